//! Decodes the answer to `read(ids, ["datas"])` as it arrives: base64 inside JSON, chunk by chunk.
//!
//! The answer for 40 small files is several MB of JSON, nearly all of it base64. A JSON parser would hold it three
//! times (text, string, bytes); this decodes each chunk in place. It understands both protocols: the bare array of
//! JSON-2 and the envelope of JSON-RPC.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What the decoder has found.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// More bytes of the current record.
    Bytes(&'a [u8]),
    /// The current record is complete.
    Record {
        /// Its id.
        id: i64,
        /// Whether `datas` was a text at all (it is `false` where there is no content).
        has_datas: bool,
    },
}

/// Why an answer cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatasError {
    /// Not JSON, or not of the expected shape.
    Shape,
    /// `datas` holds something that is not base64.
    Base64,
    /// The answer ended too early.
    Truncated,
    /// A key is longer than any that is expected.
    TooLong,
}

/// The state of the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between tokens.
    Between,
    /// In a string other than `datas`: a key or a value.
    Text { escaped: bool },
    /// In the string of `datas`.
    Datas,
    /// After a backslash in `datas`.
    DatasEscape,
    /// In the four digits after `\u` in `datas`.
    DatasUnicode { value: u32, digits: u8 },
    /// In a number, `true`, `false` or `null`.
    Word,
}

/// The longest string or word outside `datas` that is kept. Odoo's `debug` traceback can be longer; the excess is
/// dropped, but a key that long is refused.
const KEPT: usize = 8 * 1024;

/// How many containers may be nested. `error.data.context` nests a few levels.
const DEEPEST: usize = 32;

/// The current record.
#[derive(Debug, Default)]
struct Record {
    id: Option<i64>,
    /// Whether `datas` was a string.
    has_datas: bool,
}

/// A streaming decoder of `datas`.
#[derive(Debug)]
pub struct DatasDecoder {
    state: State,
    /// The open containers: `true` for an object, with its current key.
    open: Vec<(bool, String)>,
    /// The string or word being read.
    text: Vec<u8>,
    /// Whether the next string is a key.
    key_due: bool,
    base64: Base64,
    record: Record,
    /// Whether a list of records has begun.
    has_list: bool,
    done: bool,
    error_name: Option<String>,
    error_message: Option<String>,
}

impl Default for DatasDecoder {
    fn default() -> Self {
        Self {
            state: State::Between,
            open: Vec::new(),
            text: Vec::new(),
            key_due: false,
            base64: Base64::default(),
            record: Record::default(),
            has_list: false,
            done: false,
            error_name: None,
            error_message: None,
        }
    }
}

impl DatasDecoder {
    /// A decoder at the beginning of an answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes a chunk, which may be cut anywhere, and reports events to `found`.
    pub fn push(
        &mut self,
        mut chunk: &[u8],
        found: &mut impl FnMut(Event<'_>),
    ) -> Result<(), DatasError> {
        while let Some((&byte, rest)) = chunk.split_first() {
            chunk = match self.state {
                State::Between => {
                    self.between(byte, found)?;
                    rest
                }
                State::Word => {
                    if byte.is_ascii_alphanumeric() || b"+-.".contains(&byte) {
                        self.keep(byte);
                        rest
                    } else {
                        self.word_ends()?;
                        chunk
                    }
                }
                State::Text { escaped } => {
                    self.text(byte, escaped)?;
                    rest
                }
                State::Datas => self.datas(chunk, found)?,
                State::DatasEscape => {
                    self.datas_escape(byte, found)?;
                    rest
                }
                State::DatasUnicode { value, digits } => {
                    self.datas_unicode(byte, value, digits, found)?;
                    rest
                }
            };
        }
        Ok(())
    }

    /// Ends the answer: `Ok` if it was complete.
    pub fn finish(&mut self) -> Result<(), DatasError> {
        if self.state == State::Word && self.open.is_empty() {
            self.word_ends()?;
        }
        if self.done && self.open.is_empty() && self.state == State::Between {
            Ok(())
        } else {
            Err(DatasError::Truncated)
        }
    }

    /// The exception's name and message, if the answer was an error of JSON-RPC.
    pub fn error(&self) -> Option<(&str, &str)> {
        let name = self.error_name.as_deref();
        let message = self.error_message.as_deref();
        (name.is_some() || message.is_some())
            .then(|| (name.unwrap_or_default(), message.unwrap_or_default()))
    }

    /// Whether there was a list of records: anything else but an error is not an answer of Odoo.
    pub fn has_list(&self) -> bool {
        self.has_list
    }

    /// Whether the innermost container is a record: `[{` in JSON-2, `{"result":[{` in JSON-RPC.
    fn in_record(&self) -> bool {
        match self.open.as_slice() {
            [(false, _), (true, _)] => true,
            [(true, key), (false, _), (true, _)] => key == "result",
            _ => false,
        }
    }

    fn key(&self) -> &str {
        self.open.last().map_or("", |(_, key)| key.as_str())
    }

    fn between(&mut self, byte: u8, found: &mut impl FnMut(Event<'_>)) -> Result<(), DatasError> {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {}
            _ if self.done => return Err(DatasError::Shape),
            b'{' | b'[' => {
                if self.open.len() >= DEEPEST {
                    return Err(DatasError::Shape);
                }
                self.has_list |= byte == b'['
                    && match self.open.as_slice() {
                        [] => true,
                        [(true, key)] => key == "result",
                        _ => false,
                    };
                self.open.push((byte == b'{', String::new()));
                self.key_due = byte == b'{';
                if byte == b'{' && self.in_record() {
                    self.record = Record::default();
                }
            }
            b'}' | b']' => {
                let record = self.in_record();
                let Some((object, _)) = self.open.pop() else {
                    return Err(DatasError::Shape);
                };
                if object != (byte == b'}') {
                    return Err(DatasError::Shape);
                }
                if object && record {
                    let id = self.record.id.take().ok_or(DatasError::Shape)?;
                    found(Event::Record {
                        id,
                        has_datas: self.record.has_datas,
                    });
                }
                self.key_due = false;
                self.done = self.open.is_empty();
            }
            b',' => self.key_due = self.open.last().is_some_and(|(object, _)| *object),
            b':' => self.key_due = false,
            b'"' if !self.key_due && self.in_record() && self.key() == "datas" => {
                self.record.has_datas = true;
                self.base64 = Base64::default();
                self.state = State::Datas;
            }
            b'"' => {
                self.text.clear();
                self.state = State::Text { escaped: false };
            }
            _ => {
                self.text.clear();
                self.keep(byte);
                self.state = State::Word;
            }
        }
        Ok(())
    }

    fn keep(&mut self, byte: u8) {
        if self.text.len() < KEPT {
            self.text.push(byte);
        }
    }

    fn text(&mut self, byte: u8, escaped: bool) -> Result<(), DatasError> {
        match (byte, escaped) {
            (b'"', false) => {
                self.state = State::Between;
                self.text_ends()?;
            }
            (b'\\', false) => {
                self.keep(byte);
                self.state = State::Text { escaped: true };
            }
            _ => {
                self.keep(byte);
                self.state = State::Text { escaped: false };
            }
        }
        Ok(())
    }

    fn text_ends(&mut self) -> Result<(), DatasError> {
        let text = std::mem::take(&mut self.text);
        if self.key_due {
            if text.len() >= KEPT {
                return Err(DatasError::TooLong);
            }
            if let Some((_, key)) = self.open.last_mut() {
                *key = String::from_utf8_lossy(&text).into_owned();
            }
            self.key_due = false;
        } else if let [(true, first), (true, second), (true, third)] = self.open.as_slice()
            && first == "error"
            && second == "data"
        {
            // A cut or oddly escaped text is shown as it is: it is only for people.
            let quoted = format!("\"{}\"", String::from_utf8_lossy(&text));
            let value = serde_json::from_str(&quoted).unwrap_or(quoted);
            match third.as_str() {
                "name" => self.error_name = Some(value),
                "message" => self.error_message = Some(value),
                _ => {}
            }
        }
        if self.open.is_empty() {
            self.done = true;
        }
        Ok(())
    }

    fn word_ends(&mut self) -> Result<(), DatasError> {
        self.state = State::Between;
        let word = std::mem::take(&mut self.text);
        if self.in_record() && self.key() == "id" {
            self.record.id = std::str::from_utf8(&word).ok().and_then(|w| w.parse().ok());
            if self.record.id.is_none() {
                return Err(DatasError::Shape);
            }
        }
        if self.open.is_empty() {
            self.done = true;
        }
        Ok(())
    }

    /// Decodes up to the next quote or backslash. Returns the rest of the chunk.
    fn datas<'c>(
        &mut self,
        chunk: &'c [u8],
        found: &mut impl FnMut(Event<'_>),
    ) -> Result<&'c [u8], DatasError> {
        let end = memchr::memchr2(b'"', b'\\', chunk);
        let (base64, rest) = chunk.split_at(end.unwrap_or(chunk.len()));
        self.base64.decode(base64, found)?;
        let Some((&stop, rest)) = rest.split_first() else {
            return Ok(rest);
        };
        if stop == b'"' {
            if !self.base64.quad.is_empty() {
                return Err(DatasError::Base64);
            }
            self.state = State::Between;
        } else {
            self.state = State::DatasEscape;
        }
        Ok(rest)
    }

    fn datas_escape(
        &mut self,
        byte: u8,
        found: &mut impl FnMut(Event<'_>),
    ) -> Result<(), DatasError> {
        self.state = State::Datas;
        match byte {
            b'/' => self.base64.decode(b"/", found),
            // Line breaks, as some encoders put them.
            b'n' | b'r' => Ok(()),
            b'u' => {
                self.state = State::DatasUnicode {
                    value: 0,
                    digits: 0,
                };
                Ok(())
            }
            _ => Err(DatasError::Base64),
        }
    }

    fn datas_unicode(
        &mut self,
        byte: u8,
        value: u32,
        digits: u8,
        found: &mut impl FnMut(Event<'_>),
    ) -> Result<(), DatasError> {
        let digit = char::from(byte).to_digit(16).ok_or(DatasError::Base64)?;
        let value = value * 16 + digit;
        if digits < 3 {
            self.state = State::DatasUnicode {
                value,
                digits: digits + 1,
            };
            return Ok(());
        }
        self.state = State::Datas;
        match u8::try_from(value) {
            Ok(b'\n' | b'\r') => Ok(()),
            Ok(byte) => self.base64.decode(&[byte], found),
            Err(_) => Err(DatasError::Base64),
        }
    }
}

/// A streaming decoder for the base64 of one `datas`.
#[derive(Debug, Default)]
struct Base64 {
    /// Up to three characters of an incomplete group of four.
    quad: Vec<u8>,
    padded: bool,
    decoded: Vec<u8>,
}

impl Base64 {
    /// Decodes whole groups of four, and keeps the rest.
    fn decode(
        &mut self,
        mut base64: &[u8],
        found: &mut impl FnMut(Event<'_>),
    ) -> Result<(), DatasError> {
        while !self.quad.is_empty() && !base64.is_empty() {
            let Some((&byte, rest)) = base64.split_first() else {
                break;
            };
            self.quad.push(byte);
            base64 = rest;
            if self.quad.len() == 4 {
                let quad = std::mem::take(&mut self.quad);
                self.decode_groups(&quad, found)?;
                self.quad = quad;
                self.quad.clear();
            }
        }
        let (groups, rest) = base64.split_at(base64.len() - base64.len() % 4);
        self.decode_groups(groups, found)?;
        self.quad.extend_from_slice(rest);
        Ok(())
    }

    fn decode_groups(
        &mut self,
        groups: &[u8],
        found: &mut impl FnMut(Event<'_>),
    ) -> Result<(), DatasError> {
        if groups.is_empty() {
            return Ok(());
        }
        // Nothing may follow the padding.
        if self.padded {
            return Err(DatasError::Base64);
        }
        self.padded = groups.ends_with(b"=");
        self.decoded.clear();
        STANDARD
            .decode_vec(groups, &mut self.decoded)
            .map_err(|_| DatasError::Base64)?;
        found(Event::Bytes(&self.decoded));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
