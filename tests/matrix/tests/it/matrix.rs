//! The authorization matrix: every row of every table against every column. See `columns`.

use std::collections::BTreeSet;

use serde_json::Value;
use tenantry_core::{AccountId, Tag};
use tenantry_kernel::{Access, OperationRow};
use tenantry_store::Batch;
use tenantry_wire::{Operation, RequestParts};

use crate::{
    columns::{Asked, Cast, Column},
    encode::encode,
    example::{Facts, NAME},
    send::{Plain, Signing, send},
    services,
    world::{REGION, START, World, add_role},
};

/// A world with everyone in it, and a request for every row.
pub async fn prepare() -> (World, Cast, Vec<Asked>) {
    let world = World::new().await;
    let mut rows: Vec<OperationRow> = world.kernel.operations().copied().collect();
    rows.sort_by_key(|row| (row.service, row.name));
    let cast = Cast::new(&world, &rows).await;
    let mut batch = Batch::new();
    add_role(&mut batch, &world.own, NAME, &["sagemaker.amazonaws.com"]);
    for row in &rows {
        tag_resources(&world, row, &mut batch);
    }
    world.commit(batch).await;
    let upload = services::fixtures(&world).await;
    let of = |account: &AccountId| Facts {
        account: account.to_string(),
        root: world.root.clone(),
        access_key: world.administrator.id.clone(),
        upload: upload.clone(),
    };
    let facts = [of(&world.own), of(&world.denied), of(&world.fenced)];
    // A row without a model cannot be asked for; `golden` reports it.
    let asked = rows.into_iter().filter_map(|row| Some(ask(row, modelled(&row)?, &facts))).collect();
    (world, cast, asked)
}

/// Whatever a row may be about belongs to tenant A.
fn tag_resources(world: &World, row: &OperationRow, batch: &mut Batch) {
    let Access::Check { resources, .. } = row.access() else { return };
    for resource in resources {
        let arn = match row.service {
            "sagemaker" | "sagemaker-runtime" => format!("arn:aws:sagemaker:{REGION}:{}:{resource}/{NAME}", world.own),
            "iam" => format!("arn:aws:iam::{}:{resource}/{NAME}", world.own),
            "logs" => format!("arn:aws:logs:{REGION}:{}:{resource}:{NAME}", world.own),
            _ => continue,
        };
        batch.set_tags(arn, vec![Tag::new("TenantID", "tenant-a")]);
    }
}

fn modelled(row: &OperationRow) -> Option<&'static Operation> {
    tenantry_wire::service(row.service)?.operation(row.name)
}

fn ask(row: OperationRow, operation: &'static Operation, facts: &[Facts; 3]) -> Asked {
    let [own, denied, fenced] = facts.each_ref().map(|facts| good_request(&row, operation, facts));
    let crosses = crosses(operation, &own.1, &facts[0].account);
    Asked { row, operation, plain: own.0, denied: denied.0, fenced: fenced.0, crosses }
}

/// A request that means what it was made from and is valid by the model.
fn good_request(row: &OperationRow, operation: &'static Operation, facts: &Facts) -> (Plain, Value) {
    let input = facts.input(operation);
    let plain = encode(operation, &input);
    let decoded = decoded(operation, &plain);
    if let Err(error) = tenantry_wire::validate(operation, &decoded) {
        panic!("{} {}: the example is not valid: {error}", row.service, row.name);
    }
    for (name, value) in input.as_object().unwrap() {
        let same = decoded[name] == *value || decoded[name].is_object();
        assert!(same, "{} {}: {name} arrives as {} and not as {value}", row.service, row.name, decoded[name]);
    }
    (plain, input)
}

/// The request as the server reads it.
fn decoded(operation: &Operation, plain: &Plain) -> Value {
    let service = tenantry_wire::service(&operation.service.name).unwrap();
    let query = tenantry_wire::parse_query(&plain.query).unwrap();
    let labels = match service.protocol {
        tenantry_wire::Protocol::RestXml => {
            let path = tenantry_wire::percent_decode(&plain.path[1..]).unwrap();
            let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
            let found = tenantry_wire::match_s3(service, &plain.method, Some(bucket), Some(key), &query, &plain.headers);
            let (found, labels) = found.unwrap_or_else(|| panic!("{} {} leads nowhere", plain.method, plain.path));
            assert_eq!(found.name, operation.name);
            labels
        }
        tenantry_wire::Protocol::RestJson => {
            let (found, labels) = tenantry_wire::match_rest(service, &plain.method, &plain.path, &query).unwrap();
            assert_eq!(found.name, operation.name);
            labels
        }
        _ => Vec::new(),
    };
    let body: &[u8] = if operation.streaming_input() { &[] } else { &plain.body };
    let parts = RequestParts { method: &plain.method, labels: &labels, query: &query, headers: &plain.headers, body };
    tenantry_wire::decode(operation, &parts).unwrap_or_else(|error| panic!("{}: {error}", operation.name))
}

/// Whether the input names something of the account by ARN, or a bucket, as its first resource.
fn crosses(operation: &Operation, input: &Value, account: &str) -> bool {
    if operation.service.is_s3() {
        return input.get("Bucket").is_some() && operation.name != "CreateBucket";
    }
    let Some(input) = input.as_object() else { return false };
    let own = |value: &Value| value.as_str().is_some_and(|text| text.starts_with("arn:") && text.contains(&format!(":{account}:")));
    // A role or policy that is handed over is not what the call is about.
    let handed_over = |name: &str| match operation.service.name.as_str() {
        "sts" => false,
        "iam" => input.keys().any(|name| matches!(name.as_str(), "UserName" | "GroupName" | "RoleName")),
        _ => name == "RoleArn",
    };
    input.iter().any(|(name, value)| own(value) && !handed_over(name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_refuses_every_column() {
    let (world, cast, asked) = prepare().await;
    let mut faults = Vec::new();
    let mut table = Vec::new();
    world.kernel.flush_audit().await;
    let (allowed, blobs) = (world.witness.events(), world.blobs());
    let mut explained = 0;
    for column in Column::ALL {
        let (mut tested, mut before) = (0, world.witness.count());
        for one in asked.iter().filter(|one| column.applies(one)) {
            let answer = send(&world.kernel, &column.request(one, &cast)).await;
            tested += 1;
            explained += i64::from(answer.text.contains("is not authorized to perform: "));
            if let Some(fault) = column.fault(one, &answer) {
                faults.push(format!("{column:?} {}: {fault}", one.name()));
            }
            let after = world.witness.count();
            if after != before {
                faults.push(format!("{column:?} {}: wrote {:?}", one.name(), world.witness.since(before)));
                before = after;
            }
        }
        let exempt = asked.len() - tested;
        table.push(format!("{:<22} {tested:>5} refused {exempt:>5} exempt", format!("{column:?}")));
    }
    world.kernel.flush_audit().await;
    assert_eq!(world.witness.events(), allowed, "a refused call has no event that says it was allowed");
    assert_eq!(world.blobs(), blobs, "a refused upload leaves no bytes");
    for _ in 0..1000 {
        // Denials are recorded behind the answers.
        if world.witness.denials() >= explained {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(explained > 0 && world.witness.denials() >= explained, "{} of {explained} denials are explained", world.witness.denials());
    eprintln!("{} rows x {} columns\n{}", asked.len(), Column::ALL.len(), table.join("\n"));
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// The refusals are no accidents of malformed requests: the same requests reach their handlers when asked
/// by somebody who may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_lets_an_administrator_in() {
    let (world, cast, asked) = prepare().await;
    let how = Signing { key: &cast.administrator, region: REGION, service: None, at: START };
    let refusals = [
        "AccessDenied",
        "AccessDeniedException",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "InvalidAccessKeyId",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestTimeTooSkewed",
        "UnknownOperationException",
        "SerializationException",
        "MalformedXML",
        "InternalFailure",
        "InternalError",
    ];
    let (mut faults, mut good, mut changes, mut told) = (Vec::new(), 0, 0, Vec::new());
    for one in &asked {
        world.kernel.flush_audit().await;
        let (writes, events) = (world.witness.count(), world.witness.events());
        let answer = send(&world.kernel, &one.plain.signed(&how)).await;
        let written = world.witness.since(writes);
        changes += usize::from(!written.is_empty());
        if !written.is_empty() && world.witness.events() == events {
            faults.push(format!("{}: no audit event of {written:?}", one.name()));
        }
        if refusals.contains(&answer.code.as_str()) || answer.status == 403 || answer.status >= 500 {
            faults.push(format!("{}: {} {} {}", one.name(), answer.status, answer.code, answer.text));
        }
        if answer.status < 400 {
            good += 1;
        } else {
            told.push(format!("{}: {} {}", one.name(), answer.code, answer.text.chars().take(160).collect::<String>()));
        }
    }
    eprintln!("{good} of {} succeeded, {changes} changed something; the others were told\n{}", asked.len(), told.join("\n"));
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert_eq!(world.witness.denials(), 0);
    assert!(changes > 40, "the witness sees what is written: {changes} requests changed something");
}

/// Another account's administrator changes nothing of this account's, whatever the operation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_accounts_administrator_changes_nothing_here() {
    let (world, cast, asked) = prepare().await;
    let mut faults = Vec::new();
    for one in &asked {
        let before = world.witness.count();
        let answer = send(&world.kernel, &one.plain.signed(&cast.of_the_stranger())).await;
        let touched: Vec<String> = world.witness.since(before).into_iter().filter(|what| what.contains(world.own.as_str())).collect();
        if !touched.is_empty() {
            faults.push(format!("{}: {} {}: {touched:?}", one.name(), answer.status, answer.code));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_in_the_matrix() {
    let tables = services::table();
    let listed: BTreeSet<_> = tables.iter().map(|row| (row.service, row.name)).collect();
    assert_eq!(listed.len(), tables.len(), "a row stands in two tables");
    let (world, _, asked) = prepare().await;
    let served: BTreeSet<_> = world.kernel.operations().map(|row| (row.service, row.name)).collect();
    assert_eq!(served, listed);
    let asked: BTreeSet<_> = asked.iter().map(|one| (one.row.service, one.row.name)).collect();
    assert_eq!(asked, served);
}
