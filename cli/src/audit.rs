//! `tenantry audit`: the events of an instance, read from its files, which only its operator can. Changes nothing.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use serde_json::Value;
use tenantry_core::Timestamp;
use tenantry_kernel::{
    Kernel,
    audit::{complete, short_name},
};
use tenantry_store::Event;

use crate::{
    args::{Audit, AuditCommand, AuditExport, AuditTail, AuditVerify},
    failure::Failure,
    instance,
};

/// Events that are read at once.
const AT_ONCE: usize = 1000;
/// How often `--follow` looks.
const LOOK: Duration = Duration::from_millis(300);
/// The columns of `export --csv`, by where they stand in an event.
const COLUMNS: [(&str, &str); 16] = [
    ("eventTime", "/eventTime"),
    ("eventID", "/eventID"),
    ("eventSource", "/eventSource"),
    ("eventName", "/eventName"),
    ("awsRegion", "/awsRegion"),
    ("recipientAccountId", "/recipientAccountId"),
    ("identityType", "/userIdentity/type"),
    ("identityArn", "/userIdentity/arn"),
    ("sessionIssuer", "/userIdentity/sessionContext/sessionIssuer/arn"),
    ("sourceIdentity", "/userIdentity/sessionContext/sourceIdentity"),
    ("invokedBy", "/userIdentity/invokedBy"),
    ("accessKeyId", "/userIdentity/accessKeyId"),
    ("sourceIPAddress", "/sourceIPAddress"),
    ("readOnly", "/readOnly"),
    ("errorCode", "/errorCode"),
    ("errorMessage", "/errorMessage"),
];

/// `tenantry audit`.
pub async fn audit(audit: Audit) -> Result<ExitCode, Failure> {
    match audit.command {
        AuditCommand::Verify(verify) => self::verify(&verify).await?,
        AuditCommand::Tail(tail) => self::tail(&tail).await?,
        AuditCommand::Export(export) => self::export(&export).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a line; false when nobody reads any more.
fn print(line: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Unavailable(format!("cannot write: {error}"))),
    }
}

async fn verify(verify: &AuditVerify) -> Result<(), Failure> {
    let kernel = instance::kernel_for_reading(&verify.data.dir)?;
    let verified = kernel.store().verify_events().await?;
    if let Some(seq) = verified.broken {
        return Err(Failure::Refused(format!(
            "the chain is broken at event {seq}: {} events before it are whole",
            verified.intact - verified.pruned
        )));
    }
    let head: String = verified.head.iter().map(|byte| format!("{byte:02x}")).collect();
    print(&format!("{} events, chain whole, head {head}", verified.intact - verified.pruned))?;
    if verified.pruned > 0 {
        print(&format!("{} older events were pruned; the chain's checkpoint agrees", verified.pruned))?;
    }
    Ok(())
}

async fn tail(tail: &AuditTail) -> Result<(), Failure> {
    let kernel = instance::kernel_for_reading(&tail.data.dir)?;
    let mut newest = kernel.store().events(None, tail.lines.clamp(1, 10_000).saturating_mul(3), true).await?;
    newest.reverse();
    let mut seen = newest.last().map_or(0, |event| event.seq);
    let mut lines = Vec::new();
    for event in &newest {
        lines.extend(line(&kernel, event, tail.json).await?);
    }
    for line in lines.iter().skip(lines.len().saturating_sub(tail.lines)) {
        if !print(line)? {
            return Ok(());
        }
    }
    if !tail.follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(LOOK).await;
        for event in kernel.store().events(Some(seen), AT_ONCE, false).await? {
            seen = event.seq;
            if let Some(line) = line(&kernel, &event, tail.json).await?
                && !print(&line)?
            {
                return Ok(());
            }
        }
    }
}

/// An event for people or as JSON; `None` for what is no event of a call.
async fn line(kernel: &Kernel, event: &Event, json: bool) -> Result<Option<String>, Failure> {
    let whole = complete(kernel.store(), event).await?;
    Ok(whole.map(|(event, _)| if json { event.to_string() } else { in_words(&event) }))
}

fn text<'a>(event: &'a Value, pointer: &str) -> &'a str {
    event.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// When, how it ended, who, what, on what.
fn in_words(event: &Value) -> String {
    let arn = text(event, "/userIdentity/arn");
    let name = text(event, "/userIdentity/userName");
    let invoked = text(event, "/userIdentity/invokedBy");
    let who = [arn, name, invoked].into_iter().find(|name| !name.is_empty()).unwrap_or("anonymous");
    let mut out = format!(
        "{} {:<12} {who}",
        text(event, "/eventTime"),
        if text(event, "/errorCode").is_empty() { "ok" } else { text(event, "/errorCode") },
    );
    let identity = text(event, "/userIdentity/sessionContext/sourceIdentity");
    if !identity.is_empty() {
        out.push_str(&format!(" ({identity})"));
    }
    if !invoked.is_empty() && invoked != who {
        out.push_str(&format!(" by {invoked}"));
    }
    let service = text(event, "/eventSource").split('.').next().unwrap_or_default().to_owned();
    out.push_str(&format!(" {service}:{}", text(event, "/eventName")));
    let on = text(event, "/resources/0/ARN");
    if !on.is_empty() {
        out.push_str(&format!(" on {}", short_name(on)));
    }
    out.push_str(&format!(" from {}", text(event, "/sourceIPAddress")));
    // A name that a client chose must not write another line, nor command a terminal.
    out.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// An instant, or the day that begins then.
fn instant(text: &str) -> Result<Timestamp, Failure> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    Timestamp::parse(&whole).ok_or_else(|| Failure::Usage(format!("`{text}` is no instant: give 2026-01-31 or 2026-01-31T12:00:00Z")))
}

async fn export(export: &AuditExport) -> Result<(), Failure> {
    let from = export.from.as_deref().map(instant).transpose()?;
    let to = export.to.as_deref().map(instant).transpose()?;
    let kernel = instance::kernel_for_reading(&export.data.dir)?;
    if export.csv && !print(&COLUMNS.map(|(name, _)| name).join(","))? {
        return Ok(());
    }
    let mut seen = None;
    loop {
        let events = kernel.store().events(seen, AT_ONCE, false).await?;
        for event in &events {
            if from.is_some_and(|from| event.time < from) || to.is_some_and(|to| event.time >= to) {
                continue;
            }
            let Some((whole, _)) = complete(kernel.store(), event).await? else { continue };
            if !print(&if export.csv { row(&whole) } else { whole.to_string() })? {
                return Ok(());
            }
        }
        match events.last() {
            Some(last) => seen = Some(last.seq),
            None => return Ok(()),
        }
    }
}

/// A row of `export --csv`.
fn row(event: &Value) -> String {
    let cells = COLUMNS.map(|(_, pointer)| match event.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => cell(text),
        Some(other) => cell(&other.to_string()),
    });
    cells.join(",")
}

/// A value as spreadsheets read it, and as none of them runs it.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let safe = if formula { format!("'{text}") } else { text.to_owned() };
    if safe.contains([',', '"', '\n', '\r']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words() {
        let event = json!({
            "eventTime": "2026-11-22T12:00:00Z", "eventSource": "iam.amazonaws.com", "eventName": "CreateUser", "errorCode": "AccessDenied",
            "userIdentity": {"arn": "arn:aws:sts::1:assumed-role/R/s", "invokedBy": "sagemaker.amazonaws.com", "sessionContext": {"sourceIdentity": "ali\nce"}},
            "resources": [{"ARN": "arn:aws:iam::1:user/x"}], "sourceIPAddress": "127.0.0.1",
        });
        assert_eq!(
            in_words(&event),
            "2026-11-22T12:00:00Z AccessDenied arn:aws:sts::1:assumed-role/R/s (ali?ce) by sagemaker.amazonaws.com iam:CreateUser on x from 127.0.0.1"
        );
    }

    #[test]
    fn cells() {
        for (text, expected) in
            [("plain", "plain"), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\""), ("=1+1", "'=1+1"), ("a\nb", "\"a\nb\"")]
        {
            assert_eq!(cell(text), expected);
        }
        assert_eq!(row(&json!({"eventTime": "t", "readOnly": true})).matches(',').count(), COLUMNS.len() - 1);
    }

    #[test]
    fn instants() {
        assert_eq!(instant("2026-11-22").unwrap(), instant("2026-11-22T00:00:00Z").unwrap());
        assert!(instant("yesterday").is_err());
    }
}
