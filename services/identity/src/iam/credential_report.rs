//! The credential report: GenerateCredentialReport and GetCredentialReport.
//!
//! It is made at once and kept for four hours: a call in that time is told that it is complete. The columns are
//! those of "Generate credential reports for your AWS account", IAM User Guide.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_core::{AwsError, Result, Scope, Timestamp};
use tenantry_kernel::{
    Check, Checks, Cx, KEY_USED, OperationRow, Permit, Reply, Used,
    directory::{AccessKey, User, kind},
};
use tenantry_store::{Batch, Expect, Kind, List, Row};

use super::{
    certificates::Certificate,
    entity::{self, row_id},
    error,
    login::{self, Login},
    password_policy,
};
use tenantry_kernel::operation;

/// The last report of an account; id = `report`.
const REPORT: Kind = Kind::new("report.credentials");
const ID: &str = "report";
/// Seconds for which a report is good.
const GOOD: i64 = 4 * 3600;

const COLUMNS: &str = "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,password_next_rotation,\
    mfa_active,access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,\
    access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,\
    access_key_2_last_used_region,access_key_2_last_used_service,cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated";
/// There is nothing to say.
const NONE: &str = "N/A";

#[derive(Serialize, Deserialize)]
struct Stored {
    made: Timestamp,
    content: String,
}

#[derive(Deserialize)]
pub(crate) struct NoInput {}

async fn resolve(_: &Cx, action: &'static str, _: &NoInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn stored(cx: &Cx, scope: &Scope) -> Result<Option<Stored>> {
    let row = cx.kernel.store().get(REPORT, scope, ID).await?;
    Ok(row.as_ref().map(Row::body).transpose()?)
}

async fn generate(cx: &Cx, permit: Permit<GenerateCredentialReport>, _: NoInput) -> Result<Reply> {
    let scope = permit.global();
    let now = cx.now();
    let before = stored(cx, &scope).await?;
    if before.as_ref().is_some_and(|report| report.made.plus_secs(GOOD) > now) {
        return Ok(json!({ "State": "COMPLETE" }).into());
    }
    let report = Stored { made: now, content: report(cx, &scope).await? };
    let mut batch = Batch::new();
    batch.put(Row::new(REPORT, &scope, ID, now).with(&report)?, Expect::Any);
    cx.commit(batch).await.map_err(error::lost)?;
    let text = if before.is_some() {
        "Report is older than four hours. Starting a new report generation task"
    } else {
        "No report exists. Starting a new report generation task"
    };
    Ok(json!({ "State": "STARTED", "Description": text }).into())
}

async fn get(cx: &Cx, permit: Permit<GetCredentialReport>, _: NoInput) -> Result<Reply> {
    let gone = |code: &'static str, text: &str| AwsError::new(410, code, text);
    let report = stored(cx, &permit.global()).await?;
    let report = report.ok_or_else(|| gone("ReportNotPresent", "No report exists. Call GenerateCredentialReport first."))?;
    if report.made.plus_secs(GOOD) <= cx.now() {
        return Err(gone("ReportExpired", "The report is older than four hours. Call GenerateCredentialReport again."));
    }
    Ok(json!({ "Content": STANDARD.encode(report.content), "ReportFormat": "text/csv", "GeneratedTime": report.made }).into())
}

fn time(at: Timestamp) -> String {
    at.iso8601(false).replace('Z', "+00:00")
}

/// A field as RFC 4180 has it: names may hold commas.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// What an account's users have, by their ids (keys: by the ids of users' rows).
struct Holdings {
    logins: HashMap<String, Login>,
    devices: HashMap<String, usize>,
    keys: HashMap<String, Vec<AccessKey>>,
    uses: HashMap<String, Used>,
    certificates: HashMap<String, Vec<Certificate>>,
    max_age: Option<i64>,
}

impl Holdings {
    async fn of(cx: &Cx, scope: &Scope) -> Result<Self> {
        let rows = async |kind| cx.kernel.store().list(&List::of(kind, scope)).await;
        let mut held = Self {
            logins: HashMap::new(),
            devices: HashMap::new(),
            keys: HashMap::new(),
            uses: HashMap::new(),
            certificates: HashMap::new(),
            max_age: password_policy::rules(cx, scope).await?.and_then(|rules| rules.max_password_age),
        };
        for row in rows(kind::LOGIN).await? {
            held.logins.insert(row.parent.clone(), row.body()?);
        }
        for row in rows(kind::MFA_DEVICE).await? {
            *held.devices.entry(row.parent).or_default() += 1;
        }
        for row in rows(kind::ACCESS_KEY).await? {
            held.keys.entry(row.parent.clone()).or_default().push(row.body()?);
        }
        for row in rows(KEY_USED).await? {
            held.uses.insert(row.id.clone(), row.body()?);
        }
        for row in rows(kind::SIGNING_CERTIFICATE).await? {
            held.certificates.entry(row.parent.clone()).or_default().push(row.body()?);
        }
        held.keys.values_mut().for_each(|keys| keys.sort_by_key(|key| (key.created, key.id.clone())));
        held.certificates.values_mut().for_each(|all| all.sort_by_key(|it| (it.uploaded, it.id.clone())));
        Ok(held)
    }

    fn line(&self, user: &User) -> String {
        let mut fields = vec![field(&user.name), field(user.arn.as_str()), time(user.created)];
        let login = self.logins.get(&user.id);
        fields.push(login.is_some().to_string());
        // Nobody signs in with a password here.
        fields.push(if login.is_some() { "no_information" } else { NONE }.to_owned());
        fields.push(login.map_or_else(|| NONE.to_owned(), |login| time(login.changed)));
        fields.push(login.and_then(|login| login::expires(login, self.max_age)).map_or_else(|| NONE.to_owned(), time));
        fields.push(self.devices.contains_key(&user.id).to_string());
        let keys = self.keys.get(&row_id(&user.name)).map_or(&[][..], Vec::as_slice);
        for at in 0..2 {
            let key = keys.get(at);
            let used = key.and_then(|key| self.uses.get(&key.id));
            fields.push(key.is_some_and(|key| key.status == "Active").to_string());
            fields.push(key.map_or_else(|| NONE.to_owned(), |key| time(key.created)));
            fields.push(used.map_or_else(|| NONE.to_owned(), |used| time(used.time)));
            fields.push(used.map_or_else(|| NONE.to_owned(), |used| used.region.clone()));
            fields.push(used.map_or_else(|| NONE.to_owned(), |used| used.service.clone()));
        }
        let certificates = self.certificates.get(&user.id).map_or(&[][..], Vec::as_slice);
        for at in 0..2 {
            let it = certificates.get(at);
            fields.push(it.is_some_and(|it| it.status == "Active").to_string());
            fields.push(it.map_or_else(|| NONE.to_owned(), |it| time(it.uploaded)));
        }
        fields.join(",")
    }
}

/// The root user has no password, no keys and no devices on this instance.
fn root(scope: &Scope, created: Timestamp) -> String {
    let fields = [
        "<root_account>".to_owned(),
        format!("arn:aws:iam::{}:root", scope.account),
        time(created),
        "not_supported,no_information,not_supported,not_supported,false".to_owned(),
        "false,N/A,N/A,N/A,N/A,false,N/A,N/A,N/A,N/A,false,N/A,false,N/A".to_owned(),
    ];
    fields.join(",")
}

async fn report(cx: &Cx, scope: &Scope) -> Result<String> {
    let held = Holdings::of(cx, scope).await?;
    let account = crate::account::get(cx.kernel.store(), &scope.account).await?;
    let mut lines = vec![COLUMNS.to_owned(), root(scope, account.map(|account| account.joined).unwrap_or_default())];
    lines.extend(entity::all::<User>(cx, scope).await?.iter().map(|user| held.line(user)));
    Ok(lines.join("\n"))
}

operation!("iam", GenerateCredentialReport, ["*"], NoInput, resolve, generate);
operation!("iam", GetCredentialReport, ["*"], NoInput, resolve, get);

pub(super) const TABLE: &[OperationRow] = &[OperationRow::of::<GenerateCredentialReport>(), OperationRow::of::<GetCredentialReport>()];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_every_column() {
        let columns = COLUMNS.split(',').count();
        assert_eq!(columns, 22);
        assert!(COLUMNS.split(',').all(|name| !name.contains(' ')));
        assert_eq!(root(&Scope::global("111122223333"), Timestamp::from_secs(0)).split(',').count(), columns);
        assert_eq!(time(Timestamp::from_secs(0)), "1970-01-01T00:00:00+00:00");
    }

    #[test]
    fn names_with_commas_stay_one_field() {
        assert_eq!(field("a,b"), "\"a,b\"");
        assert_eq!(field("ann@example.com"), "ann@example.com");
    }
}
