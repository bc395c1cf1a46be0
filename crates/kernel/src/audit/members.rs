//! Writes a JSON object straight into its text, canonical as the chain has it: an event is made for every call, and a tree of
//! values would cost more than the rest of a small one.

use tenantry_store::write_json_text;

/// An object that is being written. Its members must be added in the order of their names' bytes.
pub(super) struct Members<'o> {
    out: &'o mut String,
    #[cfg(debug_assertions)]
    last: String,
    begun: bool,
}

impl<'o> Members<'o> {
    /// Writes an object with what `fill` adds.
    pub(super) fn write(out: &'o mut String, fill: impl FnOnce(&mut Members<'_>)) {
        let mut members = Members {
            out,
            #[cfg(debug_assertions)]
            last: String::new(),
            begun: false,
        };
        members.out.push('{');
        fill(&mut members);
        members.out.push('}');
    }

    fn name(&mut self, name: &str) {
        #[cfg(debug_assertions)]
        {
            assert!(!self.begun || *self.last < *name, "`{name}` does not follow `{}`", self.last);
            name.clone_into(&mut self.last);
        }
        if self.begun {
            self.out.push(',');
        }
        self.begun = true;
        write_json_text(name, self.out);
        self.out.push(':');
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.name(name);
        write_json_text(text, self.out);
        self
    }
    /// A text, or null.
    pub(super) fn text_or_null(&mut self, name: &str, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(name, text),
            None => self.raw(name, "null"),
        }
    }
    /// A text, where there is one.
    pub(super) fn text_if(&mut self, name: &str, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }
    /// True or false.
    pub(super) fn flag(&mut self, name: &str, flag: bool) -> &mut Self {
        self.raw(name, if flag { "true" } else { "false" })
    }
    /// What is canonical JSON already.
    pub(super) fn raw(&mut self, name: &str, json: &str) -> &mut Self {
        self.name(name);
        self.out.push_str(json);
        self
    }
    /// An object.
    pub(super) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Members<'_>)) -> &mut Self {
        self.name(name);
        Members::write(self.out, fill);
        self
    }
    /// A list, of which `fill` writes each element.
    pub(super) fn list<T>(&mut self, name: &str, items: impl IntoIterator<Item = T>, fill: impl Fn(T, &mut String)) -> &mut Self {
        self.name(name);
        self.out.push('[');
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            fill(item, self.out);
        }
        self.out.push(']');
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tenantry_store::canonical_json;

    use super::*;

    #[test]
    fn what_is_written_is_canonical() {
        let mut out = String::new();
        Members::write(&mut out, |all| {
            all.text("A", "\"é\"\n").text_if("B", None).object("a", |inner| _ = inner.flag("x", true));
            all.list("b", [1, 2], |item, out| out.push_str(&item.to_string())).text_or_null("c", None).raw("d", "[]");
        });
        let value: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value, json!({"A": "\"é\"\n", "a": {"x": true}, "b": [1, 2], "c": null, "d": []}));
        assert_eq!(out, canonical_json(&value));
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "does not follow")]
    fn out_of_order() {
        Members::write(&mut String::new(), |all| _ = all.text("b", "").text("a", ""));
    }
}
