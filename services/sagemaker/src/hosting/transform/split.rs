//! Inputs taken apart into requests.

use bytes::{Bytes, BytesMut};

/// Collects the bytes of an input and gives the requests that they make, in order.
pub(super) struct Splitter {
    lines: bool,
    single: bool,
    limit: usize,
    /// Whole records that wait for more of their kind.
    batch: BytesMut,
    /// The beginning of a record.
    open: BytesMut,
}

/// A record is larger than a request may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Splitter {
    /// `lines`: a record is a line, otherwise the whole input. `single`: one record to a request.
    pub fn new(lines: bool, single: bool, limit: usize) -> Self {
        Self { lines, single, limit, batch: BytesMut::new(), open: BytesMut::new() }
    }

    /// More of the input; answers the requests that are complete.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn feed(&mut self, mut data: &[u8]) -> Result<Vec<Bytes>, TooLarge> {
        let mut ready = Vec::new();
        while self.lines
            && let Some(at) = data.iter().position(|byte| *byte == b'\n')
        {
            self.extend(&data[..at])?;
            data = &data[at + 1..];
            self.record(&mut ready);
        }
        self.extend(data)?;
        Ok(ready)
    }

    fn extend(&mut self, data: &[u8]) -> Result<(), TooLarge> {
        // The line's end takes a byte of the request.
        if self.open.len() + data.len() + usize::from(self.lines) > self.limit {
            return Err(TooLarge);
        }
        self.open.extend_from_slice(data);
        Ok(())
    }

    fn record(&mut self, ready: &mut Vec<Bytes>) {
        let record = self.open.split();
        let record = record.strip_suffix(b"\r").unwrap_or(&record);
        if record.is_empty() {
            return;
        }
        if self.single {
            return ready.push(Bytes::copy_from_slice(record));
        }
        if !self.batch.is_empty() && self.batch.len() + record.len() + 1 > self.limit {
            ready.push(self.batch.split().freeze());
        }
        self.batch.extend_from_slice(record);
        self.batch.extend_from_slice(b"\n");
    }

    /// The end of the input; answers what is left.
    pub fn end(mut self) -> Vec<Bytes> {
        let mut ready = Vec::new();
        if !self.lines {
            ready.push(self.open.freeze());
            return ready;
        }
        self.record(&mut ready);
        if !self.batch.is_empty() {
            ready.push(self.batch.freeze());
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(mut splitter: Splitter, parts: &[&str]) -> Result<Vec<String>, TooLarge> {
        let mut all = Vec::new();
        for part in parts {
            all.extend(splitter.feed(part.as_bytes())?);
        }
        all.extend(splitter.end());
        Ok(all.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect())
    }

    #[test]
    fn whole_inputs() {
        assert_eq!(split(Splitter::new(false, false, 8), &["a\n", "b\n"]).unwrap(), ["a\nb\n"]);
        assert_eq!(split(Splitter::new(false, false, 4), &["abcd"]).unwrap(), ["abcd"]);
        assert_eq!(split(Splitter::new(false, false, 4), &["ab", "cde"]), Err(TooLarge));
        assert_eq!(split(Splitter::new(false, false, 4), &[]).unwrap(), [""]);
    }

    #[test]
    fn lines() {
        assert_eq!(split(Splitter::new(true, true, 9), &["a\r\nb", "b\n\nc"]).unwrap(), ["a", "bb", "c"]);
        assert_eq!(split(Splitter::new(true, false, 4), &["a\nb\nc\nd"]).unwrap(), ["a\nb\n", "c\nd\n"]);
        assert_eq!(split(Splitter::new(true, false, 4), &["abc\n"]).unwrap(), ["abc\n"]);
        assert_eq!(split(Splitter::new(true, false, 4), &["abcd\n"]), Err(TooLarge));
        assert!(split(Splitter::new(true, false, 4), &["\n\n"]).unwrap().is_empty());
    }
}
