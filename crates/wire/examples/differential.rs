//! One half of `cargo xtask wire`: every operation's input and output, filled at random from the model, through
//! this crate on one side and botocore on the other. `cases` writes values and our encoded responses, a line each;
//! `check CASES REQUESTS` decodes the requests that botocore made of the inputs and compares.

use std::{env, fs, process::ExitCode};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use tenantry_core::AwsError;
use tenantry_wire::{
    Kind, Location, Member, Operation, Protocol, RequestParts, Service, Shape, decode, encode, encode_error, match_rest, match_s3,
    parse_query, percent_decode, services,
};

/// Fillings of each operation.
const ROUNDS: u64 = 25;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let faults = match arguments[..] {
        ["cases"] => cases(),
        ["check", cases, requests] => check(cases, requests),
        _ => Err("usage: differential cases | check CASES REQUESTS".to_owned()),
    };
    match faults {
        Ok(0) => ExitCode::SUCCESS,
        Ok(count) => {
            eprintln!("{count} requests decode to something else");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "its output is the file of cases")]
fn cases() -> Result<usize, String> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    // botocore does not know what is ours alone.
    for service in services().filter(|service| service.name != "tenantry") {
        for operation in service.operations() {
            for _ in 0..ROUNDS {
                let input = filled(operation, operation.input(), operation.streaming_input(), &mut random);
                let output = filled(operation, operation.output(), operation.streaming_output(), &mut random);
                let response = encode(operation, &output, "request-id", &[]);
                let error = encode_error(service, &refusal(), "request-id", "host-id");
                println!(
                    "{}",
                    json!({"error": {"status": error.status, "headers": error.headers, "body": STANDARD.encode(&error.body)},
                        "service": service.name, "operation": operation.name, "input": input, "output": output,
                        "status": response.status, "headers": response.headers, "body": STANDARD.encode(&response.body)})
                );
            }
        }
    }
    Ok(0)
}

/// `wire.py` expects this code and message.
fn refusal() -> AwsError {
    AwsError::new(409, "SomeConflict", "a <b> & \"c\" é").with("Detail", "<d>")
}

fn check(cases: &str, requests: &str) -> Result<usize, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"));
    let (cases, requests) = (read(cases)?, read(requests)?);
    if cases.lines().count() != requests.lines().count() {
        return Err("there are not as many requests as cases".to_owned());
    }
    let mut faults = 0;
    for (case, request) in cases.lines().zip(requests.lines()) {
        let parse = |line: &str| serde_json::from_str::<Value>(line).map_err(|error| format!("not a line of JSON: {error}"));
        let (case, request) = (parse(case)?, parse(request)?);
        let name = format!("{} {}", text(&case["service"]), text(&case["operation"]));
        match decoded(&case, &request) {
            Ok(value) if value == case["input"] => {}
            Ok(value) => {
                faults += 1;
                eprintln!("{name}\n  sent    {}\n  decoded {value}", case["input"]);
            }
            Err(error) => {
                faults += 1;
                eprintln!("{name}: {error}\n  sent    {}\n  as      {request}", case["input"]);
            }
        }
    }
    Ok(faults)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Routes and decodes as the kernel does.
fn decoded(case: &Value, request: &Value) -> Result<Value, String> {
    let service = tenantry_wire::service(text(&case["service"])).ok_or("no such service")?;
    let pairs = |value: &Value| serde_json::from_value::<Vec<(String, String)>>(value.clone()).map_err(|error| error.to_string());
    let (query, headers) = (pairs(&request["query"])?, pairs(&request["headers"])?);
    let body = STANDARD.decode(text(&request["body"])).map_err(|error| error.to_string())?;
    let method = text(&request["method"]);
    let (operation, labels) = route(service, method, text(&request["path"]), &query, &headers, &body)?;
    if operation.name != text(&case["operation"]) {
        return Err(format!("routed to {}", operation.name));
    }
    let body = if operation.streaming_input() { &[][..] } else { &body };
    decode(operation, &RequestParts { method, labels: &labels, query: &query, headers: &headers, body }).map_err(|error| error.to_string())
}

type Pairs = Vec<(String, String)>;

fn route(
    service: &'static Service,
    method: &str,
    path: &str,
    query: &Pairs,
    headers: &Pairs,
    body: &[u8],
) -> Result<(&'static Operation, Pairs), String> {
    let found = match service.protocol {
        Protocol::AwsJson => {
            let target = headers.iter().find(|(name, _)| name == "X-Amz-Target").map(|(_, value)| value.as_str());
            Service::from_target(target.unwrap_or_default()).map(|(_, operation)| (operation, Vec::new()))
        }
        Protocol::AwsQuery | Protocol::Ec2Query => {
            let params = parse_query(&String::from_utf8_lossy(body)).map_err(|error| error.to_string())?;
            let operation = tenantry_wire::operation_from_params(service, &params).map_err(|error| error.to_string())?;
            Some((operation, Vec::new()))
        }
        _ if service.is_s3() => {
            let path = path.trim_start_matches('/');
            let (bucket, key) = path.split_once('/').map_or((path, None), |(bucket, key)| (bucket, Some(key)));
            let (bucket, key) = (percent_decode(bucket), key.and_then(percent_decode));
            match_s3(service, method, bucket.as_deref().filter(|b| !b.is_empty()), key.as_deref(), query, headers)
        }
        _ => match_rest(service, method, path, query),
    };
    found.ok_or_else(|| "routed nowhere".to_owned())
}

/// xorshift: the same cases every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

fn filled(operation: &Operation, shape: Option<&Shape>, streamed: bool, random: &mut Random) -> Value {
    let Some(structure) = shape.and_then(Shape::structure) else { return json!({}) };
    let mut out = Map::new();
    for (index, member) in structure.members.iter().enumerate() {
        let payload = structure.payload().is_some_and(|payload| payload.name == member.name);
        let must = member.location == Location::Uri || structure.required.contains(&index);
        if !(payload && streamed) && (must || random.below(2) == 0) {
            let value = value(operation, member, member.location, 1, random);
            // Text that is the whole body is there only if it is not empty.
            if !(payload && value == "") {
                out.insert(member.name.clone(), value);
            }
        }
    }
    Value::Object(out)
}

fn value(operation: &Operation, member: &Member, location: Location, depth: usize, random: &mut Random) -> Value {
    let shape = operation.service.shape(member.shape);
    let protocol = operation.service.protocol;
    // XML cannot tell an empty list from none where it is flattened, nor can headers.
    let least = usize::from(protocol == Protocol::RestXml || location != Location::Body);
    match &shape.kind {
        Kind::Structure(structure) if structure.union => {
            let member = &structure.members[random.below(structure.members.len())];
            let mut out = Map::new();
            out.insert(member.name.clone(), value(operation, member, member.location, depth + 1, random));
            Value::Object(out)
        }
        Kind::Structure(structure) => {
            let mut out = Map::new();
            for (index, member) in structure.members.iter().enumerate().filter(|_| depth < 7) {
                // A form has no empty structures.
                let must = protocol == Protocol::AwsQuery && index == 0;
                if must || random.below(depth + 1) == 0 {
                    out.insert(member.name.clone(), value(operation, member, member.location, depth + 1, random));
                }
            }
            Value::Object(out)
        }
        Kind::List(element) => (0..least + random.below(3)).map(|_| value(operation, element, location, depth + 1, random)).collect(),
        Kind::Map(_, element) => {
            let mut out = Map::new();
            for at in 0..least + random.below(3) {
                out.insert(format!("k{at}"), value(operation, element, location, depth + 1, random));
            }
            Value::Object(out)
        }
        Kind::String if !shape.constraints.one_of.is_empty() => {
            Value::from(shape.constraints.one_of[random.below(shape.constraints.one_of.len())].as_str())
        }
        Kind::String => {
            let anywhere = ["a", "x-1", "a=b&c", "a;b:c/d?e#f", "a+b%20c", "\"q\"'<&>", "a b"];
            // An XML parser makes one line end of two.
            let lines = if protocol == Protocol::RestXml { "line\nline\ttab" } else { "line\r\nline\ttab" };
            let in_bodies = [lines, " s ", "é ß \u{1f600}", ""];
            let in_paths = ["a", "é ß", "a+b%2Fc", "a/b//c/", "a?b#c", "%", "~a.b"];
            let pool = match location {
                Location::Body => [&anywhere[..], &in_bodies].concat(),
                Location::Uri if member.name == "Key" => in_paths.to_vec(),
                Location::Uri => vec!["a", "a.b-c_1", "a b+c"],
                Location::QueryString => [&anywhere[..], &in_bodies[..3]].concat(),
                _ => anywhere.to_vec(),
            };
            Value::from(pool[random.below(pool.len())])
        }
        Kind::Boolean => Value::from(random.below(2) == 0),
        Kind::Integer => Value::from([0, 1, -5, i32::MAX][random.below(4)]),
        Kind::Long => Value::from([0, 1, -5, 1_i64 << 50][random.below(4)]),
        Kind::Float | Kind::Double => Value::from([0.5, -2.25, 1234.0625][random.below(3)]),
        Kind::Timestamp => Value::from([1, 951_827_696, 1_795_356_377][random.below(3)]),
        Kind::Blob => Value::from(STANDARD.encode([0, 255, 7].repeat(random.below(3)))),
        Kind::Document => json!({"a": [1, null]}),
    }
}
