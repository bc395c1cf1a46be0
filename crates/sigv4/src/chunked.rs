//! Reading `aws-chunked` bodies (AWS page "Signature calculations for the authorization header: transferring payload in
//! multiple chunks"), signed or not, with or without trailing headers.
//!
//! A state machine over whatever pieces the network delivers. It holds one line at most, never a chunk: a chunk's bytes are
//! handed out as they arrive and its signature is checked at its end. **Whoever consumes the bytes must discard all of them
//! if [`ChunkDecoder::push`] or [`ChunkDecoder::finish`] fails**, as an upload that is only made visible after `finish` does.

use std::borrow::Borrow;

use sha2::{Digest, Sha256};

use crate::{
    EMPTY_SHA256, Fault, Payload, Presented, SigningKey,
    key::{hex, is_hex64, sha256_hex},
};

const MAX_CHUNK_HEADER: usize = 1024;
const MAX_TRAILERS: usize = 16 * 1024;
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// A decoder of one body. See the module's rule about discarding.
pub struct ChunkDecoder {
    /// `None` when chunks carry no signatures.
    chain: Option<Chain>,
    trailer: bool,
    expected: Option<u64>,
    decoded: u64,
    /// The line being read: a chunk's header or a trailer. Bounded by [`MAX_CHUNK_HEADER`] and [`MAX_TRAILERS`].
    line: Vec<u8>,
    trailer_bytes: usize,
    trailers: Vec<(String, String)>,
    /// Whether the trailer's signature has been read and is right.
    sealed: bool,
    state: State,
}

enum State {
    /// Reading `size[;chunk-signature=…]\r\n`.
    Header,
    /// Reading a chunk's bytes.
    Data {
        left: u64,
    },
    /// Reading the `\r\n` after a chunk, or (`last`) after the body.
    Break {
        last: bool,
    },
    /// Reading trailing headers, to an empty line.
    Trailer,
    Done,
    Failed(Fault),
}

/// Each signature covers the one before, from the request's own on.
struct Chain {
    key: SigningKey,
    date: String,
    scope: String,
    previous: String,
    /// What the current chunk claims, and its bytes so far.
    claimed: String,
    hash: Sha256,
}

impl Chain {
    /// Checks the chunk that has just ended.
    fn close(&mut self) -> Result<(), Fault> {
        let hash = hex(&std::mem::take(&mut self.hash).finalize());
        let claimed = std::mem::take(&mut self.claimed);
        self.check("AWS4-HMAC-SHA256-PAYLOAD", &format!("{EMPTY_SHA256}\n{hash}"), claimed)
    }

    fn check(&mut self, kind: &str, hash: &str, claimed: String) -> Result<(), Fault> {
        let text = format!("{kind}\n{}\n{}\n{}\n{hash}", self.date, self.scope, self.previous);
        if !self.key.signed(text.as_bytes(), &claimed) {
            return Err(Fault::ChunkMismatch);
        }
        self.previous = claimed;
        Ok(())
    }
}

impl ChunkDecoder {
    /// A decoder for the body of a request that was **verified** with `key`. `decoded_length` is
    /// `x-amz-decoded-content-length`: the body must have exactly that many bytes. Without it the caller bounds the body itself.
    ///
    /// # Errors
    /// The payload is not [`Payload::Streaming`].
    pub fn new(presented: &Presented, key: impl Borrow<SigningKey>, decoded_length: Option<u64>) -> Result<Self, Fault> {
        let Payload::Streaming { signed_chunks, trailer } = presented.payload else {
            return Err(Fault::BadChunk("The request does not announce an aws-chunked body in x-amz-content-sha256."));
        };
        let chain = signed_chunks.then(|| Chain {
            key: key.borrow().clone(),
            date: presented.date.basic(),
            scope: presented.scope(),
            previous: presented.signature.clone(),
            claimed: String::new(),
            hash: Sha256::new(),
        });
        Ok(Self {
            chain,
            trailer,
            expected: decoded_length,
            decoded: 0,
            line: Vec::new(),
            trailer_bytes: 0,
            trailers: Vec::new(),
            sealed: false,
            state: State::Header,
        })
    }

    /// Reads the next piece of the body and appends what it decodes to `out` (never more bytes than `input` has).
    ///
    /// # Errors
    /// A wrong signature, framing that cannot be read, or more bytes than announced. Once failed, always failed.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let result = self.read(input, out);
        if let Err(fault) = &result {
            self.state = State::Failed(fault.clone());
        }
        result
    }

    /// The trailing headers, once the whole body has been pushed: lower-cased names with trimmed values, in the order sent,
    /// without the trailer's signature. The caller checks that they are those which `x-amz-trailer` announced.
    ///
    /// # Errors
    /// The body ended early, or is shorter than announced; or an earlier `push` failed.
    pub fn finish(self) -> Result<Vec<(String, String)>, Fault> {
        match self.state {
            State::Done if self.expected.is_none_or(|expected| expected == self.decoded) => Ok(self.trailers),
            State::Failed(fault) => Err(fault),
            _ => Err(Fault::IncompleteBody),
        }
    }

    fn read(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        while !input.is_empty() {
            match &mut self.state {
                State::Failed(fault) => return Err(fault.clone()),
                State::Done => {
                    return Err(Fault::BadChunk("The request body continues after its last chunk."));
                }
                State::Header => {
                    if self.take_line(&mut input, MAX_CHUNK_HEADER)? {
                        self.open()?;
                    }
                }
                State::Data { left } => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    let (data, rest) = input.split_at(n);
                    *left -= n as u64;
                    let ended = *left == 0;
                    out.extend_from_slice(data);
                    input = rest;
                    if let Some(chain) = &mut self.chain {
                        chain.hash.update(data);
                        if ended {
                            chain.close()?;
                        }
                    }
                    if ended {
                        self.state = State::Break { last: false };
                    }
                }
                State::Break { last } => {
                    let last = *last;
                    if self.take_line(&mut input, 2)? {
                        if self.line != b"\r\n" {
                            return Err(Fault::BadChunk("A chunk must be followed by CRLF."));
                        }
                        self.line.clear();
                        self.state = if last { State::Done } else { State::Header };
                    }
                }
                State::Trailer => {
                    let before = self.line.len();
                    let whole = self.take_line(&mut input, MAX_TRAILERS)?;
                    self.trailer_bytes += self.line.len() - before;
                    if self.trailer_bytes > MAX_TRAILERS {
                        return Err(Fault::BadChunk("The request's trailing headers are longer than 16 KiB."));
                    }
                    if whole {
                        self.trailer_line()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Moves bytes up to and with the next line feed into `self.line`; whether the line is whole.
    fn take_line(&mut self, input: &mut &[u8], max: usize) -> Result<bool, Fault> {
        let end = input.iter().position(|b| *b == b'\n').map(|i| i + 1);
        let n = end.unwrap_or(input.len());
        if self.line.len() + n > max {
            return Err(Fault::BadChunk("A line of the chunked request body is too long."));
        }
        let (taken, rest) = input.split_at(n);
        self.line.extend_from_slice(taken);
        *input = rest;
        Ok(end.is_some())
    }

    /// Acts on a chunk's header.
    fn open(&mut self) -> Result<(), Fault> {
        let bad = Fault::BadChunk("A chunk's header must be its size in hexadecimal, its signature if it has one, and CRLF.");
        let line = std::mem::take(&mut self.line);
        let Some(line) = std::str::from_utf8(&line).ok().and_then(|line| line.strip_suffix("\r\n")) else {
            return Err(bad);
        };
        let size = match (&mut self.chain, line.split_once(";chunk-signature=")) {
            (Some(chain), Some((size, signature))) if is_hex64(signature) => {
                chain.claimed = signature.into();
                size
            }
            (None, None) => line,
            _ => return Err(bad),
        };
        if size.is_empty() || size.len() > 16 || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad);
        }
        let size = u64::from_str_radix(size, 16).map_err(|_| bad)?;
        self.decoded = self.decoded.checked_add(size).ok_or(Fault::IncompleteBody)?;
        if self.expected.is_some_and(|expected| self.decoded > expected) {
            return Err(Fault::IncompleteBody);
        }
        if size > 0 {
            self.state = State::Data { left: size };
            return Ok(());
        }
        if let Some(chain) = &mut self.chain {
            chain.close()?;
        }
        self.state = if self.trailer { State::Trailer } else { State::Break { last: true } };
        Ok(())
    }

    /// Acts on a line of the trailer. An empty line ends it, but not before the signature where there must be one: some clients
    /// set an empty line between the headers and the signature.
    fn trailer_line(&mut self) -> Result<(), Fault> {
        let bad = Fault::BadChunk("The request contained trailing data that was not well-formed.");
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).map_err(|_| bad.clone())?.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            if self.chain.is_none() || self.sealed {
                self.state = State::Done;
            }
            return Ok(());
        }
        let (name, value) = line.split_once(':').ok_or_else(|| bad.clone())?;
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
        let well_formed = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()) && !value.bytes().any(|b| b.is_ascii_control());
        if !well_formed || self.trailers.iter().any(|(n, _)| *n == name) {
            return Err(bad);
        }
        match &mut self.chain {
            Some(_) if self.sealed => Err(bad),
            Some(chain) if name == TRAILER_SIGNATURE => {
                let mut sorted: Vec<_> = self.trailers.iter().collect();
                sorted.sort_unstable();
                let lines: String = sorted.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
                chain.check("AWS4-HMAC-SHA256-TRAILER", &sha256_hex(lines.as_bytes()), value)?;
                // From here on only the empty line may follow.
                self.sealed = true;
                Ok(())
            }
            None if name == TRAILER_SIGNATURE => Err(bad),
            _ => {
                self.trailers.push((name, value));
                Ok(())
            }
        }
    }
}
