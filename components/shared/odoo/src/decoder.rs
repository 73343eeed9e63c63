//! Reads the answer to `read(ids, ["datas"])` as it comes: base64 inside JSON, decoded chunk by chunk.
//!
//! The answer for 40 small files is several MB of JSON of which all but a few bytes are base64. Parsed
//! as a document it would be held three times over (text, string, bytes); here each chunk is decoded
//! where it stands. Both protocols are understood: the bare array of JSON-2 and the envelope of JSON-RPC.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What is found on the way.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// More bytes of the record at hand.
    Bytes(&'a [u8]),
    /// The record at hand is complete.
    Record {
        /// Its id.
        id: i64,
        /// Whether `datas` was a text at all (it is `false` where there is no content).
        has_datas: bool,
    },
}

/// Why an answer cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatasError {
    /// Not JSON, or not of the expected shape.
    Shape,
    /// `datas` holds something that is not base64.
    Base64,
    /// The answer ended too early.
    Truncated,
    /// Some other value is longer than any that is expected.
    TooLong,
}

/// Where the reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between tokens.
    Between,
    /// In a text that is kept (a key, or a value that is not `datas`).
    Text { escaped: bool },
    /// In the text of `datas`.
    Datas,
    /// After a backslash in `datas`.
    DatasEscape,
    /// In the four digits after `\u` in `datas`.
    DatasUnicode { value: u32, digits: u8 },
    /// In a number, `true`, `false` or `null`.
    Word,
}

/// The longest text or word outside `datas` that is kept. Odoo's `debug` traceback is longer at times;
/// what is over this is skipped, not refused, unless it is a key.
const KEPT: usize = 8 * 1024;

/// Containers that may be open at once. `error.data.context` nests a few levels.
const DEEPEST: usize = 32;

/// A streaming reader of `datas`.
#[derive(Debug)]
pub struct DatasDecoder {
    state: State,
    /// Open containers: `true` for an object, with the key at hand.
    open: Vec<(bool, String)>,
    /// The text or word being read.
    text: Vec<u8>,
    /// Whether the text that ends next is a key.
    key_due: bool,
    /// Up to three base64 characters that wait for their group of four.
    quad: Vec<u8>,
    padded: bool,
    decoded: Vec<u8>,
    id: Option<i64>,
    has_datas: bool,
    /// Whether the list of records was there at all.
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
            quad: Vec::with_capacity(4),
            padded: false,
            decoded: Vec::new(),
            id: None,
            has_datas: false,
            has_list: false,
            done: false,
            error_name: None,
            error_message: None,
        }
    }
}

impl DatasDecoder {
    /// A reader at the beginning of an answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads on. Chunks may be cut anywhere. `found` is told of everything that is complete.
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

    /// The answer has ended: `Ok` if it was complete.
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

    /// Whether there was a list of records: what is neither that nor an error is no answer of Odoo's.
    pub fn has_list(&self) -> bool {
        self.has_list
    }

    /// How many containers are open around a field of a record: `[{` in JSON-2, `{"result":[{` in JSON-RPC.
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
                    self.id = None;
                    self.has_datas = false;
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
                    let id = self.id.take().ok_or(DatasError::Shape)?;
                    found(Event::Record {
                        id,
                        has_datas: self.has_datas,
                    });
                }
                self.key_due = false;
                self.done = self.open.is_empty();
            }
            b',' => self.key_due = self.open.last().is_some_and(|(object, _)| *object),
            b':' => self.key_due = false,
            b'"' if !self.key_due && self.in_record() && self.key() == "datas" => {
                self.has_datas = true;
                self.padded = false;
                self.quad.clear();
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
            // What is cut or oddly escaped is shown as it stands: it is only for people.
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
            self.id = std::str::from_utf8(&word).ok().and_then(|w| w.parse().ok());
            if self.id.is_none() {
                return Err(DatasError::Shape);
            }
        }
        if self.open.is_empty() {
            self.done = true;
        }
        Ok(())
    }

    /// Decodes up to the next quote or backslash; what is left of the chunk.
    fn datas<'c>(
        &mut self,
        chunk: &'c [u8],
        found: &mut impl FnMut(Event<'_>),
    ) -> Result<&'c [u8], DatasError> {
        let end = memchr::memchr2(b'"', b'\\', chunk);
        let (base64, rest) = chunk.split_at(end.unwrap_or(chunk.len()));
        self.decode(base64, found)?;
        let Some((&stop, rest)) = rest.split_first() else {
            return Ok(rest);
        };
        if stop == b'"' {
            if !self.quad.is_empty() {
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
            b'/' => self.decode(b"/", found),
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
            Ok(byte) => self.decode(&[byte], found),
            Err(_) => Err(DatasError::Base64),
        }
    }

    /// Decodes base64 characters, keeping what does not fill a group of four.
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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    type Files = Vec<(i64, Option<Vec<u8>>)>;

    /// Reads an answer in the given cuts.
    fn read(answer: &[u8], cuts: &[usize]) -> Result<Files, DatasError> {
        let mut decoder = DatasDecoder::new();
        let mut files = Vec::new();
        let mut bytes = Vec::new();
        let mut found = |event: Event<'_>| match event {
            Event::Bytes(more) => bytes.extend_from_slice(more),
            Event::Record { id, has_datas } => {
                let content = std::mem::take(&mut bytes);
                files.push((id, has_datas.then_some(content)));
            }
        };
        let mut rest = answer;
        for cut in cuts {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            decoder.push(now, &mut found)?;
            rest = later;
        }
        decoder.push(rest, &mut found)?;
        decoder.finish()?;
        Ok(files)
    }

    fn answer(files: &Files, envelope: bool) -> Vec<u8> {
        let records: Vec<_> = files
            .iter()
            .map(|(id, content)| {
                json!({
                    "id": id, "name": "a \"datas\": \\\" name", "company_id": [1, "YourCompany"],
                    "datas": content.as_ref().map_or(json!(false), |c| json!(STANDARD.encode(c))),
                })
            })
            .collect();
        if envelope {
            json!({"jsonrpc": "2.0", "id": 1, "result": records})
                .to_string()
                .into_bytes()
        } else {
            json!(records).to_string().into_bytes()
        }
    }

    proptest! {
        #[test]
        fn chunks_may_be_cut_anywhere(
            files in prop::collection::vec((1i64..1_000_000, prop::option::of(prop::collection::vec(any::<u8>(), 0..200))), 0..6),
            cuts in prop::collection::vec(0usize..40, 0..60),
            envelope: bool,
        ) {
            prop_assert_eq!(read(&answer(&files, envelope), &cuts), Ok(files));
        }

        #[test]
        fn an_answer_that_ends_early_is_never_taken_for_whole(
            content in prop::collection::vec(any::<u8>(), 0..100),
            lost in 1usize..100,
            envelope: bool,
        ) {
            let whole = answer(&vec![(7, Some(content))], envelope);
            let kept = whole.len().saturating_sub(lost);
            prop_assert!(read(&whole[..kept], &[]).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), cuts in prop::collection::vec(0usize..40, 0..10)) {
            let _ = read(&bytes, &cuts);
        }

        #[test]
        fn no_json_makes_it_panic(text in r#"[\[\]{}",:\\a-z0-9/+= ]{0,200}"#) {
            let _ = read(text.as_bytes(), &[]);
            let _ = read(format!(r#"[{{"id":1,"datas":"{text}"#).as_bytes(), &[3, 5]);
        }
    }

    #[test]
    fn escapes_that_json_allows_are_understood() {
        let plain = STANDARD.encode([0xff, 0xff, 0xfe, 0x3e]);
        assert_eq!(plain, "///+Pg==");
        let answer = br#"[{"id":1,"datas":"\/\u002f/\u002BP\ng=="}]"#;
        assert_eq!(
            read(answer, &[18, 1, 3, 2]),
            Ok(vec![(1, Some(vec![0xff, 0xff, 0xfe, 0x3e]))])
        );
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for datas in ["15.00 bytes", "AAA", "AA==AAAA", "A=AA", "ä"] {
            let answer = json!([{ "id": 1, "datas": datas }]).to_string();
            assert_eq!(
                read(answer.as_bytes(), &[]),
                Err(DatasError::Base64),
                "{datas}"
            );
        }
    }

    #[test]
    fn an_error_is_read_without_its_traceback() {
        let answer = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 200, "message": "Odoo Server Error", "data": {
            "name": "odoo.exceptions.AccessDenied", "debug": "x".repeat(20_000), "message": "Access \"Denied\"", "arguments": ["Access Denied"], "context": {}}}});
        let mut decoder = DatasDecoder::new();
        decoder
            .push(answer.to_string().as_bytes(), &mut |_| panic!("no record"))
            .unwrap();
        decoder.finish().unwrap();
        assert_eq!(
            decoder.error(),
            Some(("odoo.exceptions.AccessDenied", "Access \"Denied\""))
        );
    }

    #[test]
    fn an_answer_without_a_list_is_told_from_an_empty_list() {
        for (answer, has_list) in [
            ("[]", true),
            (r#"{"jsonrpc":"2.0","result":[]}"#, true),
            ("{}", false),
            (r#"{"result":null}"#, false),
            (r#"{"error":{"message":"no data","items":[]}}"#, false),
            ("false", false),
        ] {
            let mut decoder = DatasDecoder::new();
            decoder.push(answer.as_bytes(), &mut |_| ()).unwrap();
            decoder.finish().unwrap();
            assert_eq!(decoder.has_list(), has_list, "{answer}");
        }
    }

    #[test]
    fn a_record_without_an_id_is_refused() {
        assert_eq!(read(br#"[{"datas":"AAAA"}]"#, &[]), Err(DatasError::Shape));
    }
}
