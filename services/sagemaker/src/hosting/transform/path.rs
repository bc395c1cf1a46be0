//! The filters of a transform job: the part of JSONPath that AWS documents for `InputFilter` and `OutputFilter`
//! ("Associate Prediction Results with Input Records" in the SageMaker developer guide).
//!
//! A row of CSV is an array of its columns. Names that are not there are left out where several are named and an
//! error where one is; an index outside an array is an error, a slice is cut to it. What is selected twice appears
//! once, so that a short filter cannot make a long record longer.

use serde_json::{Map, Value};

/// A filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JsonPath(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// `.name` or `['name']`.
    Name(String),
    /// `['a','b']`.
    Names(Vec<String>),
    /// `.*` or `[*]`.
    Any,
    /// `[1]`.
    Index(i64),
    /// `[0,5:]`.
    Items(Vec<Item>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Index(i64),
    Slice(Option<i64>, Option<i64>),
}

impl JsonPath {
    /// Reads a filter.
    ///
    /// # Errors
    /// What is wrong with it, without its text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.strip_prefix('$').ok_or("it does not begin with $")?;
        let mut segments = Vec::new();
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix(".[").or_else(|| rest.strip_prefix('[')) {
                let (segment, after) = bracket(inner)?;
                segments.push(segment);
                rest = after;
                continue;
            }
            let name = rest.strip_prefix('.').ok_or("a name is missing its dot")?;
            let end = name.find(['.', '[']).unwrap_or(name.len());
            segments.push(match &name[..end] {
                "" => return Err("a name is missing after a dot, and `..` is not supported".to_owned()),
                "*" => Segment::Any,
                name if name.contains(['(', ')', '?', '@', ']', '\'', '"', ' ', '*']) => {
                    return Err(format!("`{name}` is not a name: functions and conditions are not supported"));
                }
                name => Segment::Name(name.to_owned()),
            });
            rest = &name[end..];
        }
        Ok(Self(segments))
    }

    /// `$`: nothing is left out.
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it can select columns of a row.
    pub fn selects_columns(&self) -> bool {
        matches!(self.0.as_slice(), [] | [Segment::Any | Segment::Index(_) | Segment::Items(_)])
    }

    /// The columns of a row that has `count` of them.
    ///
    /// # Errors
    /// An index that is no column, a path that selects none.
    pub fn columns(&self, count: usize) -> Result<Vec<usize>, String> {
        match self.0.as_slice() {
            [] | [Segment::Any] => Ok((0..count).collect()),
            [Segment::Index(index)] => Ok(vec![position(*index, count)?]),
            [Segment::Items(items)] => positions(items, count),
            _ => Err("it does not select columns: use indexes such as $[0] or $[1:]".to_owned()),
        }
    }

    /// What of a document is selected: a value where the path can mean but one, an object of the members that its end
    /// names, else a list.
    ///
    /// # Errors
    /// Where nothing is.
    pub fn select(&self, document: &Value) -> Result<Value, String> {
        let definite = |segment: &Segment| matches!(segment, Segment::Name(_) | Segment::Index(_));
        let (last, before) = match self.0.split_last() {
            Some((last, before)) => (Some(last), before),
            None => return Ok(document.clone()),
        };
        let mut at = vec![document];
        for segment in before {
            let mut next = Vec::new();
            for value in at {
                step(segment, value, &mut next)?;
            }
            at = next;
        }
        let single = before.iter().all(definite);
        let mut found = Vec::new();
        for value in at {
            match last {
                Some(Segment::Names(names)) => found.push(members(names, value)?),
                Some(segment) => {
                    let mut values = Vec::new();
                    step(segment, value, &mut values)?;
                    found.extend(values.into_iter().cloned());
                }
                None => {}
            }
        }
        let single = single && last.is_some_and(|last| definite(last) || matches!(last, Segment::Names(_)));
        if single { found.pop().ok_or_else(|| "it selects nothing".to_owned()) } else { Ok(Value::Array(found)) }
    }
}

/// Some members of an object.
fn members(names: &[String], value: &Value) -> Result<Value, String> {
    let object = value.as_object().ok_or_else(|| format!("`{}` is asked of something that has no members", names.join("`, `")))?;
    let found: Map<String, Value> = names.iter().filter_map(|name| Some((name.clone(), object.get(name)?.clone()))).collect();
    if found.is_empty() { Err(format!("there is no `{}`", names.join("` and no `"))) } else { Ok(Value::Object(found)) }
}

/// What a segment leads to.
fn step<'a>(segment: &Segment, value: &'a Value, found: &mut Vec<&'a Value>) -> Result<(), String> {
    let list = || value.as_array().ok_or_else(|| "an index is asked of something that is no list".to_owned());
    match segment {
        Segment::Name(name) => found.push(value.get(name).ok_or_else(|| format!("there is no `{name}`"))?),
        Segment::Names(names) => found.extend(names.iter().filter_map(|name| value.get(name))),
        Segment::Any => match value {
            Value::Array(items) => found.extend(items),
            Value::Object(members) => found.extend(members.values()),
            _ => return Err("`*` is asked of something that has no parts".to_owned()),
        },
        Segment::Index(index) => {
            let list = list()?;
            found.push(&list[position(*index, list.len())?]);
        }
        Segment::Items(items) => {
            let list = list()?;
            found.extend(positions(items, list.len())?.into_iter().map(|at| &list[at]));
        }
    }
    Ok(())
}

/// An index that may count from the end.
fn position(index: i64, count: usize) -> Result<usize, String> {
    let length = i64::try_from(count).unwrap_or(i64::MAX);
    let at = if index < 0 { index.saturating_add(length) } else { index };
    if (0..length).contains(&at) {
        Ok(usize::try_from(at).unwrap_or_default())
    } else {
        Err(format!("index {index} is outside of {count} elements"))
    }
}

fn positions(items: &[Item], count: usize) -> Result<Vec<usize>, String> {
    let length = i64::try_from(count).unwrap_or(i64::MAX);
    let (mut chosen, mut seen) = (Vec::new(), vec![false; count]);
    let mut take = |at: usize| {
        if !std::mem::replace(&mut seen[at], true) {
            chosen.push(at);
        }
    };
    for item in items {
        match *item {
            Item::Index(index) => take(position(index, count)?),
            Item::Slice(from, to) => {
                let bound = |end: i64| if end < 0 { end.saturating_add(length) } else { end }.clamp(0, length);
                let (from, to) = (from.map_or(0, bound), to.map_or(length, bound));
                (from..to).filter_map(|at| usize::try_from(at).ok()).for_each(&mut take);
            }
        }
    }
    Ok(chosen)
}

/// What stands between brackets, and what follows them.
fn bracket(inner: &str) -> Result<(Segment, &str), String> {
    if inner.starts_with(['\'', '"']) {
        return names(inner);
    }
    let (inside, after) = inner.split_once(']').ok_or("a bracket is not closed")?;
    if inside.trim() == "*" {
        return Ok((Segment::Any, after));
    }
    let number = |text: &str| text.trim().parse::<i64>().map_err(|_| format!("`{text}` is not an index"));
    let bound = |text: &str| if text.trim().is_empty() { Ok(None) } else { number(text).map(Some) };
    let item = |text: &str| match text.split_once(':') {
        Some((from, to)) => Ok(Item::Slice(bound(from)?, bound(to)?)),
        None => number(text).map(Item::Index),
    };
    let items = inside.split(',').map(item).collect::<Result<Vec<_>, String>>()?;
    Ok((if let [Item::Index(index)] = items[..] { Segment::Index(index) } else { Segment::Items(items) }, after))
}

fn names(mut inner: &str) -> Result<(Segment, &str), String> {
    let mut names = Vec::new();
    loop {
        inner = inner.trim_start();
        let quote = inner.chars().next().filter(|c| matches!(c, '\'' | '"')).ok_or("a name between brackets is not quoted")?;
        let (name, after) = inner[1..].split_once(quote).ok_or("a quoted name is not closed")?;
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
        inner = after.trim_start();
        if let Some(after) = inner.strip_prefix(']') {
            return Ok((if names.len() == 1 { Segment::Name(names.remove(0)) } else { Segment::Names(names) }, after));
        }
        inner = inner.strip_prefix(',').ok_or("names between brackets are not separated by commas")?;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn select(path: &str, document: &Value) -> Result<Value, String> {
        JsonPath::parse(path)?.select(document)
    }

    #[test]
    fn documents() {
        let document = json!({"id": 7, "features": [1, 2, 3], "SageMakerOutput": {"score": 0.5, "label": "a"}, "deep": {"x": {"y": [[1, 2], [3, 4]]}}, "a b": 1});
        for (path, wanted) in [
            ("$", document.clone()),
            ("$.features", json!([1, 2, 3])),
            ("$['features']", json!([1, 2, 3])),
            ("$.features[0]", json!(1)),
            ("$.features[-1]", json!(3)),
            ("$.features[1:]", json!([2, 3])),
            ("$.features[:2]", json!([1, 2])),
            ("$.features[5:]", json!([])),
            ("$.features[0,2]", json!([1, 3])),
            ("$.features[0,0,0:]", json!([1, 2, 3])),
            ("$.features[*]", json!([1, 2, 3])),
            ("$['id','SageMakerOutput']", json!({"id": 7, "SageMakerOutput": {"score": 0.5, "label": "a"}})),
            ("$[\"id\", \"missing\"]", json!({"id": 7})),
            ("$.SageMakerOutput.['score','label']", json!({"score": 0.5, "label": "a"})),
            ("$.SageMakerOutput.*", json!([0.5, "a"])),
            ("$.deep.x.y[1][0]", json!(3)),
            ("$.deep.x.y[*][0]", json!([1, 3])),
            ("$['a b']", json!(1)),
        ] {
            assert_eq!(select(path, &document), Ok(wanted), "{path}");
        }
        for (path, why) in [
            ("$.nope", "there is no `nope`"),
            ("$['nope','neither']", "there is no `nope` and no `neither`"),
            ("$.features[3]", "index 3 is outside of 3 elements"),
            ("$.features[-4]", "index -4"),
            ("$.id[0]", "no list"),
            ("$.id.*", "no parts"),
            ("$.id['a','b']", "no members"),
        ] {
            let error = select(path, &document).unwrap_err();
            assert!(error.contains(why), "{path}: {error}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for path in [
            "",
            "id",
            "$id",
            "$.",
            "$..id",
            "$.a..b",
            "$[",
            "$[]",
            "$[a]",
            "$['a'",
            "$['a' 'b']",
            "$['a',]",
            "$['a',b]",
            "$[1:2:3]",
            "$[?(@.a)]",
            "$.a.length()",
            "$[99999999999999999999]",
            "$[1]x",
        ] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn columns_of_rows() {
        let columns = |path: &str, count| JsonPath::parse(path)?.columns(count);
        assert_eq!(columns("$", 2), Ok(vec![0, 1]));
        assert_eq!(columns("$[1:]", 3), Ok(vec![1, 2]));
        assert_eq!(columns("$[0,5:]", 7), Ok(vec![0, 5, 6]));
        assert_eq!(columns("$[-1]", 3), Ok(vec![2]));
        assert_eq!(columns("$[-2:]", 3), Ok(vec![1, 2]));
        assert_eq!(columns("$[2,0,2]", 3), Ok(vec![2, 0]));
        assert!(columns("$[3]", 3).unwrap_err().contains("outside of 3"));
        assert!(columns("$.a", 3).is_err() && columns("$[0][1]", 3).is_err());
        for (path, fits) in [("$", true), ("$[*]", true), ("$[1]", true), ("$.a", false), ("$['a']", false), ("$[0][1]", false)] {
            assert_eq!(JsonPath::parse(path).unwrap().selects_columns(), fits, "{path}");
        }
    }
}
