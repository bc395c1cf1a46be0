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
    /// Read or verify the audit log.
    Audit(Audit),
    /// Print the page of served operations.
    Coverage,
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
    #[arg(conflicts_with_all = ["principal", "action", "resource"], required_unless_present = "principal")]
    pub id: Option<String>,
    #[command(flatten)]
    pub data: Data,
    /// Who: the ARN of a user, a role or a role session.
    #[arg(long = "as", value_name = "ARN", requires = "action")]
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
    /// As JSON.
    #[arg(long)]
    pub json: bool,
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
    /// Recompute the hash chain.
    Verify(AuditRead),
    /// Print events, newest last.
    Tail(AuditRead),
}

/// `audit verify`, `audit tail`.
#[derive(Args, Debug)]
pub struct AuditRead {
    #[command(flatten)]
    pub data: Data,
    /// How many.
    #[arg(long, default_value_t = 50)]
    pub lines: usize,
    /// As JSON lines.
    #[arg(long)]
    pub json: bool,
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
