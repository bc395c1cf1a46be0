//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A governed, multi-tenant machine-learning platform that speaks AWS's own APIs and runs on this machine.
#[derive(Parser, Debug)]
#[command(name = "tenantry", version, max_term_width = 100)]
pub struct Arguments {
    /// More on standard error; twice for everything.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the instance: every API on one address.
    Serve(Serve),
    /// Print shell `export` lines that point AWS clients at the instance.
    Env(Env),
    /// Run a command in that environment.
    Exec(Exec),
    /// Write AWS profiles.
    Profile(Profile),
    /// Say what this machine offers for isolation and running work.
    Doctor(Doctor),
    /// Say why a request was denied, or what would decide one.
    Explain(Explain),
    /// Read, verify or export the audit log.
    Audit(Audit),
    /// Evaluate and check policies without an instance.
    Policy(Policy),
    /// Print the page of served operations.
    Coverage {
        /// Print what the operations ask policies for as JSON: actions, resource types, condition keys.
        #[arg(long)]
        json: bool,
    },
    /// Run the main job on a temporary instance: tenants, training, inference, and what is refused.
    Demo(Demo),
}

/// Where the instance keeps its state.
#[derive(Args, Debug, Clone)]
pub struct Data {
    /// The instance's data directory.
    #[arg(long = "data", value_name = "DIR", env = "TENANTRY_DATA", default_value = "tenantry-data")]
    pub dir: PathBuf,
}

/// How user code is kept apart.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Namespaces, limits and system-call filters; jobs are refused where the host has none.
    #[default]
    Sandbox,
    /// No isolation: user code runs with the server's rights.
    None,
}

/// `serve`.
#[derive(Args, Debug, Clone)]
pub struct Serve {
    #[command(flatten)]
    pub data: Data,
    /// HTTP address; port 0 picks one.
    #[arg(long, default_value = "127.0.0.1:4566")]
    pub listen: SocketAddr,
    /// HTTPS address, under the instance's own CA.
    #[arg(long, value_name = "ADDR")]
    pub tls_listen: Option<SocketAddr>,
    /// Names besides AWS's that the certificate covers.
    #[arg(long, value_name = "NAME")]
    pub tls_name: Vec<String>,
    /// Other hosts that clients and jobs may reach through the instance: `open`, `closed`, or a list of host names.
    #[arg(long, value_name = "open|closed|HOST,...", default_value = "open")]
    pub egress: String,
    /// How user code is kept apart.
    #[arg(long, value_enum, default_value_t)]
    pub isolation: Isolation,
    /// Where Python environments are kept, if not in the data directory (several instances may share them).
    #[arg(long, value_name = "DIR", env = "TENANTRY_ENVIRONMENTS")]
    pub environments: Option<PathBuf>,
    /// Descriptions of further images (`*.toml`); they come before the built-in ones.
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
}

/// `env`.
#[derive(Args, Debug)]
pub struct Env {
    #[command(flatten)]
    pub data: Data,
    /// The region.
    #[arg(long, default_value = "us-east-1")]
    pub region: String,
    /// As one JSON object instead of shell lines.
    #[arg(long)]
    pub json: bool,
}

/// `exec`.
#[derive(Args, Debug)]
pub struct Exec {
    #[command(flatten)]
    pub data: Data,
    /// The region.
    #[arg(long, default_value = "us-east-1")]
    pub region: String,
    /// Use this AWS profile instead of the administrator's keys.
    #[arg(long)]
    pub profile: Option<String>,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<std::ffi::OsString>,
}

/// `profile`.
#[derive(Args, Debug)]
pub struct Profile {
    #[command(subcommand)]
    pub command: ProfileCommand,
}

/// What to do with profiles.
#[derive(Subcommand, Debug)]
pub enum ProfileCommand {
    /// Write a profile to `~/.aws/config` (and, for the administrator, `~/.aws/credentials`).
    Write(ProfileWrite),
}

/// `profile write`.
#[derive(Args, Debug)]
pub struct ProfileWrite {
    /// The profile's name.
    pub name: String,
    #[command(flatten)]
    pub data: Data,
    /// Assume a role of this account.
    #[arg(long, requires = "role")]
    pub account: Option<String>,
    /// The role's name (with its path).
    #[arg(long, requires = "account")]
    pub role: Option<String>,
    /// The role session's name.
    #[arg(long, default_value = "tenantry")]
    pub session: String,
    /// The region.
    #[arg(long, default_value = "us-east-1")]
    pub region: String,
}

/// `doctor`.
#[derive(Args, Debug)]
pub struct Doctor {
    #[command(flatten)]
    pub data: Data,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// `explain`.
#[derive(Args, Debug)]
pub struct Explain {
    /// The id of a denied request (`x-amzn-requestid`, "RequestId" in the client's error).
    #[arg(conflicts_with_all = ["principal", "action", "resource", "can_reach"])]
    pub id: Option<String>,
    #[command(flatten)]
    pub data: Data,
    /// Who: the ARN of a user, a role or a role session.
    #[arg(long = "as", value_name = "ARN")]
    pub principal: Option<String>,
    /// What: `service:Action`.
    #[arg(long)]
    pub action: Option<String>,
    /// On what: an ARN, or `*`.
    #[arg(long, default_value = "*")]
    pub resource: String,
    /// Condition keys: `aws:PrincipalTag/TenantID=tenant1`.
    #[arg(long = "context", value_name = "KEY=VALUE")]
    pub context: Vec<String>,
    /// Who can do --action on --resource, or what can --as do.
    #[arg(long)]
    pub can_reach: bool,
    /// Also the layers that do not apply.
    #[arg(long)]
    pub all: bool,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// `policy`.
#[derive(Args, Debug)]
pub struct Policy {
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// What to do with policies.
#[derive(Subcommand, Debug)]
pub enum PolicyCommand {
    /// Decide cases: a JSON line in for each, a line out.
    Evaluate(PolicyEvaluate),
    /// Say what is wrong with a document, or odd about it.
    Validate(PolicyValidate),
}

/// `policy evaluate`.
#[derive(Args, Debug)]
pub struct PolicyEvaluate {
    /// The cases; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub cases: PathBuf,
    /// Answers as JSON lines.
    #[arg(long)]
    pub json: bool,
}

/// `policy validate`.
#[derive(Args, Debug)]
pub struct PolicyValidate {
    /// The document; `-` reads standard input.
    pub file: PathBuf,
    /// What the document is to be used as.
    #[arg(long = "type", value_enum, default_value_t)]
    pub kind: PolicyType,
    /// Findings as JSON lines.
    #[arg(long)]
    pub json: bool,
}

/// The uses of a policy document.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PolicyType {
    /// Attached to a user, group or role.
    #[default]
    Identity,
    /// Attached to a resource.
    Resource,
    /// The trust policy of a role.
    Trust,
    /// A service control policy.
    Scp,
    /// A resource control policy.
    Rcp,
    /// Passed when a role is assumed.
    Session,
    /// A permissions boundary.
    Boundary,
    /// The policy of a VPC endpoint.
    Vpce,
}

/// `audit`.
#[derive(Args, Debug)]
pub struct Audit {
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// What to do with the audit log.
#[derive(Subcommand, Debug)]
pub enum AuditCommand {
    /// Recompute the hash chain, and hold it against the checkpoint where events were pruned.
    Verify(AuditVerify),
    /// Print the newest events, newest last.
    Tail(AuditTail),
    /// Print all events of a time, oldest first: JSON lines, or a table.
    Export(AuditExport),
}

/// `audit verify`.
#[derive(Args, Debug)]
pub struct AuditVerify {
    #[command(flatten)]
    pub data: Data,
}

/// `audit tail`.
#[derive(Args, Debug)]
pub struct AuditTail {
    #[command(flatten)]
    pub data: Data,
    /// How many.
    #[arg(short = 'n', long, default_value_t = 50)]
    pub lines: usize,
    /// Go on with what happens.
    #[arg(short, long)]
    pub follow: bool,
    /// As JSON lines, in CloudTrail's shape.
    #[arg(long)]
    pub json: bool,
}

/// `audit export`.
#[derive(Args, Debug)]
pub struct AuditExport {
    #[command(flatten)]
    pub data: Data,
    /// From this day or instant on (UTC).
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Until before this day or instant.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// JSON lines, in CloudTrail's shape: the default.
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// A table of the main columns.
    #[arg(long)]
    pub csv: bool,
}

/// `demo`.
#[derive(Args, Debug)]
pub struct Demo {
    /// Keep the instance's data here instead of a temporary directory that is removed.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Where Python environments are kept between runs.
    #[arg(long, value_name = "DIR", env = "TENANTRY_ENVIRONMENTS")]
    pub environments: Option<PathBuf>,
}
