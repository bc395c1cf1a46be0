//! `DataProcessing`: what of a record the model sees, and what of record and answer is kept. Follows "Associate
//! Prediction Results with Input Records" in the SageMaker developer guide.
//!
//! Records are rows of CSV, which keep their text, or JSON documents. A batch that was sent as several records must
//! be answered with as many, one to a line: the first answer belongs to the first record.

use bytes::Bytes;
use serde_json::{Value, json};
use tenantry_core::Result;

use super::path::JsonPath;
use crate::error::validation;

/// What an answer is called in a joined document.
const OUTPUT: &str = "SageMakerOutput";
/// What a record is called that is no object itself.
const INPUT: &str = "SageMakerInput";
/// Bytes of what comes of one request.
const MAX_JOINED: usize = 256 << 20;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// Columns separated by commas, a record to a line.
    Csv,
    /// One document.
    Json,
    /// A document to a line.
    JsonLines,
}

impl Format {
    fn of(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "text/csv" => Some(Self::Csv),
            "application/json" => Some(Self::Json),
            "application/jsonlines" | "application/x-jsonlines" | "application/jsonl" => Some(Self::JsonLines),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Json => "application/json",
            Self::JsonLines => "application/jsonlines",
        }
    }

    /// The records of a text.
    fn records(self, text: &str) -> Vec<&str> {
        match self {
            Self::Json => vec![text.trim()],
            Self::Csv | Self::JsonLines => {
                text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).filter(|line| !line.trim().is_empty()).collect()
            }
        }
    }
}

/// A job's `DataProcessing`, read.
#[derive(Debug, Clone)]
pub(super) struct Joining {
    input: JsonPath,
    output: JsonPath,
    join: bool,
    /// Of the records; unknown where nothing is done with them.
    format: Option<Format>,
    /// `Accept`, for answers that do not say what they are.
    accept: String,
    /// Whether records are lines.
    lines: bool,
}

impl Joining {
    /// Reads a job's request.
    ///
    /// # Errors
    /// `ValidationException`.
    pub fn read(request: &Value) -> Result<Self> {
        let processing = &request["DataProcessing"];
        let filter = |member: &str| {
            let text = processing[member].as_str().filter(|text| !text.is_empty()).unwrap_or("$");
            JsonPath::parse(text).map_err(|why| validation(format!("{member} {text} is not a JSONPath that is supported: {why}.")))
        };
        let (input, output) = (filter("InputFilter")?, filter("OutputFilter")?);
        let join = processing["JoinSource"] == json!("Input");
        let content_type = request["TransformInput"]["ContentType"].as_str().unwrap_or_default();
        let format = Format::of(content_type);
        if format.is_none() && (join || !input.is_whole()) {
            return Err(validation(format!(
                "InputFilter and JoinSource need a ContentType of text/csv, application/json or application/jsonlines in TransformInput, not [{content_type}]."
            )));
        }
        if format == Some(Format::Csv) {
            let filters = [("InputFilter", &input, true), ("OutputFilter", &output, join)];
            if let Some((member, ..)) = filters.iter().find(|(_, filter, counts)| *counts && !filter.selects_columns()) {
                return Err(validation(format!("{member} must select columns where records are CSV, such as $[0] or $[1:].")));
            }
        }
        let accept = request["TransformOutput"]["Accept"].as_str().unwrap_or_default().to_owned();
        Ok(Self { input, output, join, format, accept, lines: request["TransformInput"]["SplitType"] == json!("Line") })
    }

    /// Whether requests and answers pass as they are.
    pub fn is_nothing(&self) -> bool {
        self.input.is_whole() && self.output.is_whole() && !self.join
    }

    /// How the records of a request are written: lines that hold JSON are JSON lines whatever they are called.
    fn of_records(&self) -> Format {
        match self.format {
            Some(Format::Json) if self.lines => Format::JsonLines,
            Some(format) => format,
            None => Format::JsonLines,
        }
    }

    /// What the model sees of a batch.
    ///
    /// # Errors
    /// Why a record cannot be filtered, as a job's log tells it.
    pub fn request(&self, batch: &Bytes) -> std::result::Result<Bytes, String> {
        if self.input.is_whole() {
            return Ok(batch.clone());
        }
        let (text, format) = (utf8(batch, "the input")?, self.of_records());
        let mut filtered = Vec::new();
        for (at, record) in format.records(text).into_iter().enumerate() {
            let selected = match format {
                Format::Csv => columns(&self.input, &fields(record)),
                Format::Json | Format::JsonLines => {
                    document(record, "the input").and_then(|record| Ok(self.input.select(&record)?.to_string()))
                }
            };
            filtered.push(selected.map_err(|why| format!("ClientError: InputFilter, record {}: {why}", at + 1))?);
        }
        Ok(lines(filtered, text.ends_with('\n')).into())
    }

    /// What is kept of a batch and its answer.
    ///
    /// # Errors
    /// Why they cannot be joined or filtered, as a job's log tells it.
    pub fn answer(&self, batch: &Bytes, answer: Bytes, content_type: Option<&str>) -> std::result::Result<Bytes, String> {
        if !self.join && self.output.is_whole() {
            return Ok(answer);
        }
        let text = utf8(&answer, "the answer")?;
        let said = content_type.and_then(Format::of).or_else(|| Format::of(&self.accept)).or(self.format);
        let Some(format) = said else {
            return Err(format!(
                "ClientError: OutputFilter needs an answer of text/csv, application/json or application/jsonlines, not [{}]",
                content_type.unwrap_or_default()
            ));
        };
        if !self.join {
            let format = if format == Format::Json && self.lines && whole(text).is_none() { Format::JsonLines } else { format };
            let kept = format.records(text).into_iter().map(|record| match format {
                Format::Csv => columns(&self.output, &fields(record)),
                Format::Json | Format::JsonLines => Ok(self.output.select(&document(record, "the answer")?)?.to_string()),
            });
            return self.kept(kept, text.ends_with('\n'));
        }
        let given = self.of_records();
        let records = given.records(utf8(batch, "the input")?);
        if (given == Format::Csv) != (format == Format::Csv) {
            return Err(format!(
                "ClientError: an answer of {} cannot be joined to records of {}: set Accept to the format of the records",
                format.name(),
                given.name()
            ));
        }
        // A single record may be answered with a document of several lines.
        let answers = if records.len() == 1 && whole(text).is_some() { vec![text.trim()] } else { Format::JsonLines.records(text) };
        if answers.len() != records.len() {
            return Err(format!(
                "ClientError: {} records were answered with {}: they cannot be joined; BatchStrategy SingleRecord sends them one by one",
                records.len(),
                answers.len()
            ));
        }
        let kept = records.into_iter().zip(answers).map(|(record, answer)| match given {
            Format::Csv => columns(&self.output, &[fields(record), fields(answer)].concat()),
            Format::Json | Format::JsonLines => {
                let joined = joined(document(record, "the input")?, document(answer, "the answer")?);
                Ok(self.output.select(&joined)?.to_string())
            }
        });
        self.kept(kept, text.ends_with('\n'))
    }

    fn kept(&self, records: impl Iterator<Item = std::result::Result<String, String>>, ended: bool) -> std::result::Result<Bytes, String> {
        let (mut kept, mut size) = (Vec::new(), 0);
        for (at, record) in records.enumerate() {
            let record = record.map_err(|why| format!("ClientError: OutputFilter, record {}: {why}", at + 1))?;
            size += record.len() + 1;
            if size > MAX_JOINED {
                return Err(format!("ClientError: what is kept of one request is longer than {MAX_JOINED} bytes"));
            }
            kept.push(record);
        }
        Ok(lines(kept, ended).into())
    }
}

fn lines(records: Vec<String>, ended: bool) -> String {
    let mut text = records.join("\n");
    if ended {
        text.push('\n');
    }
    text
}

/// A text that is one JSON document.
fn whole(text: &str) -> Option<serde::de::IgnoredAny> {
    serde_json::from_str(text).ok()
}

fn utf8<'a>(bytes: &'a Bytes, what: &str) -> std::result::Result<&'a str, String> {
    std::str::from_utf8(bytes).map_err(|_| format!("ClientError: {what} is not UTF-8"))
}

fn document(text: &str, what: &str) -> std::result::Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{what} is not JSON: {error}"))
}

/// A record with its answer.
fn joined(record: Value, answer: Value) -> Value {
    match record {
        Value::Object(mut members) => {
            members.insert(OUTPUT.to_owned(), answer);
            Value::Object(members)
        }
        other => json!({INPUT: other, OUTPUT: answer}),
    }
}

/// The columns of a row as they are written: a comma between quotes separates nothing.
fn fields(row: &str) -> Vec<&str> {
    let (mut fields, mut from, mut quoted) = (Vec::new(), 0, false);
    for (at, byte) in row.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                fields.push(&row[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    fields.push(&row[from..]);
    fields
}

fn columns(path: &JsonPath, fields: &[&str]) -> std::result::Result<String, String> {
    Ok(path.columns(fields.len())?.into_iter().map(|at| fields[at]).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joining(content_type: &str, split: &str, processing: Value) -> Joining {
        Joining::read(&json!({"TransformInput": {"ContentType": content_type, "SplitType": split}, "DataProcessing": processing})).unwrap()
    }

    /// What the model is sent, and what is kept of it and an answer.
    fn run(joining: &Joining, batch: &'static str, answer: &'static str, kind: &str) -> (String, std::result::Result<String, String>) {
        let batch = Bytes::from_static(batch.as_bytes());
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let kept = joining.answer(&batch, Bytes::from_static(answer.as_bytes()), Some(kind)).map(text);
        (joining.request(&batch).map(text).unwrap(), kept)
    }

    #[test]
    fn rows_are_joined_as_they_are_written() {
        let all = json!({"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"});
        let (sent, kept) = run(&joining("text/csv", "Line", all), "id1,\"a,b\",2\nid2,c,3\n", "0.5\n0.7\n", "text/csv; charset=utf-8");
        assert_eq!((sent.as_str(), kept.as_deref()), ("\"a,b\",2\nc,3\n", Ok("id1,0.5\nid2,0.7\n")));
        let (sent, kept) = run(&joining("text/csv", "Line", json!({"JoinSource": "Input"})), "1,2", "x,y", "text/csv");
        assert_eq!((sent.as_str(), kept.as_deref()), ("1,2", Ok("1,2,x,y")));
        let (_, kept) = run(&joining("text/csv", "None", json!({"JoinSource": "Input"})), "1,2\r\n3,4\r\n", "x\ny\n", "text/csv");
        assert_eq!(kept.as_deref(), Ok("1,2,x\n3,4,y\n"));
    }

    #[test]
    fn documents_are_joined_under_their_names() {
        let some = json!({"InputFilter": "$.features", "JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"});
        let lines = "{\"id\":1,\"features\":[1,2]}\n{\"id\":2,\"features\":[3]}\n";
        let (sent, kept) =
            run(&joining("application/jsonlines", "Line", some.clone()), lines, "{\"score\":0.5}\n0.7\n", "application/jsonlines");
        assert_eq!(sent, "[1,2]\n[3]\n");
        assert_eq!(kept.unwrap(), "{\"id\":1,\"SageMakerOutput\":{\"score\":0.5}}\n{\"id\":2,\"SageMakerOutput\":0.7}\n");
        let (sent, kept) =
            run(&joining("application/json", "None", some), "{\n \"id\": 1, \"features\": {\"a\": 1}}", "[\n1]", "application/json");
        assert_eq!((sent.as_str(), kept.as_deref()), ("{\"a\":1}", Ok("{\"id\":1,\"SageMakerOutput\":[1]}")));
        let (_, kept) =
            run(&joining("application/json", "Line", json!({"JoinSource": "Input"})), "[1,2]", "{\n\"p\": 1\n}", "application/json");
        assert_eq!(kept.unwrap(), "{\"SageMakerInput\":[1,2],\"SageMakerOutput\":{\"p\":1}}");
    }

    #[test]
    fn answers_can_be_filtered_without_their_records() {
        let output = json!({"OutputFilter": "$.predictions[0]"});
        let (sent, kept) = run(&joining("image/png", "None", output.clone()), "x", "{\"predictions\":[9]}", "application/json");
        assert_eq!((sent.as_str(), kept.as_deref()), ("x", Ok("9")));
        assert!(run(&joining("image/png", "None", output), "x", "y", "image/png").1.unwrap_err().contains("[image/png]"));
        let (_, kept) = run(&joining("text/csv", "Line", json!({"OutputFilter": "$[0]"})), "1\n2\n", "a,b\nc,d\n", "text/csv");
        assert_eq!(kept.as_deref(), Ok("a\nc\n"));
    }

    #[test]
    fn what_cannot_be_joined_says_why() {
        let join = || joining("text/csv", "Line", json!({"JoinSource": "Input", "OutputFilter": "$[0,5]"}));
        assert!(run(&join(), "1\n2\n", "a\n", "text/csv").1.unwrap_err().contains("2 records were answered with 1"));
        assert!(run(&join(), "1\n2\n", "[1]\n[2]", "application/json").1.unwrap_err().contains("set Accept"));
        assert!(run(&join(), "1\n", "a\n", "text/csv").1.unwrap_err().contains("record 1: index 5 is outside of 2"));
        let filter = joining("application/jsonlines", "Line", json!({"InputFilter": "$.a"}));
        assert!(filter.request(&Bytes::from_static(b"{\"a\":1}\n{\"b\":1}")).unwrap_err().contains("record 2: there is no `a`"));
        assert!(filter.request(&Bytes::from_static(b"nope")).unwrap_err().contains("not JSON"));
        assert!(filter.request(&Bytes::from_static(b"\xff")).unwrap_err().contains("not UTF-8"));
    }

    #[test]
    fn requests_are_checked() {
        let read = |content_type: &str, processing: Value| {
            Joining::read(&json!({"TransformInput": {"ContentType": content_type, "SplitType": "Line"}, "DataProcessing": processing}))
        };
        assert!(read("text/csv", json!({})).unwrap().is_nothing());
        assert!(read("", json!({"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"})).unwrap().is_nothing());
        assert!(!read("text/csv", json!({"OutputFilter": "$.a"})).unwrap().is_nothing());
        for (content_type, processing, why) in [
            ("image/png", json!({"JoinSource": "Input"}), "need a ContentType"),
            ("", json!({"InputFilter": "$[0]"}), "need a ContentType"),
            ("text/csv", json!({"InputFilter": "$.a"}), "InputFilter must select columns"),
            ("text/csv", json!({"JoinSource": "Input", "OutputFilter": "$.a"}), "OutputFilter must select columns"),
            ("application/json", json!({"InputFilter": "$..a"}), "InputFilter $..a is not a JSONPath"),
        ] {
            let error = read(content_type, processing.clone()).unwrap_err();
            assert!(error.code == "ValidationException" && error.message.contains(why), "{processing}: {error}");
        }
    }
}
