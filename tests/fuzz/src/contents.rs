//! The reader of `datas`, which decodes base64 inside JSON as it comes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use odoo::{DatasDecoder, DatasError, Event};
use serde_json::Value;

use crate::outside::choice;

/// A file: its id, and its bytes if `datas` was a text.
type File = (i64, Option<Vec<u8>>);

/// An answer with contents. The first byte says how it is cut: however that is, the same files come of
/// it, and they are those that parsing it as a whole gives.
pub fn datas(data: &[u8]) {
    let (cut, answer) = choice(data);
    let whole = read(answer, answer.len());
    for part in [1, 2, 3, usize::from(cut) + 1] {
        assert_eq!(read(answer, part), whole, "in parts of {part}");
    }
    if let Some(files) = files(answer) {
        assert_eq!(whole.ok(), files, "other files than in the document");
    }
}

fn read(answer: &[u8], part: usize) -> Result<Vec<File>, DatasError> {
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
    for part in answer.chunks(part.max(1)) {
        decoder.push(part, &mut found)?;
    }
    decoder.finish()?;
    Ok(files)
}

/// The files of a document by way of parsing it, where it is one that Odoo would write: an array of
/// records, or one within an envelope, in serde's own spelling, so that no key comes twice. `None`
/// inside: a content is not base64.
#[expect(clippy::option_option, reason = "no document, no files, and files")]
fn files(answer: &[u8]) -> Option<Option<Vec<File>>> {
    let document: Value = serde_json::from_slice(answer).ok()?;
    (serde_json::to_vec(&document).ok()? == answer).then_some(())?;
    let records = match &document {
        Value::Object(envelope) => envelope.get("result")?,
        bare => bare,
    };
    (depth(&document) < 30 && answer.len() < 8_000).then_some(())?;
    let mut files = Vec::new();
    let mut broken = false;
    for record in records.as_array()? {
        let id = record.as_object()?.get("id")?.as_i64()?;
        let content = match record.get("datas") {
            Some(Value::String(base64)) => {
                let decoded = STANDARD.decode(base64.replace(['\n', '\r'], ""));
                broken |= decoded.is_err();
                Some(decoded.unwrap_or_default())
            }
            _ => None,
        };
        files.push((id, content));
    }
    Some((!broken).then_some(files))
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or_default(),
        Value::Object(entries) => 1 + entries.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}
