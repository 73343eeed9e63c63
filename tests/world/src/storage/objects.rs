//! `/object`: storing, listing, deleting.

use std::io;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::access::Caller;
use super::answers::{Refusal, written};
use super::names;
use super::resumable::is_upsert;
use super::site::{Answer, Call, Site};
use super::stock::{Label, uuid};
use super::{Corruption, QuotaSignal};
use crate::serve::Upload;

/// The largest form that is taken in.
const FORM_BYTES: usize = 16 * 1024 * 1024;

impl Site {
    /// Whether an object may come in, as far as is known before its bytes.
    pub(crate) fn admit(
        &self,
        bucket: &str,
        name: &str,
        announced_bytes: Option<u64>,
        mimetype: &str,
        upsert: bool,
    ) -> Result<(), Refusal> {
        let stock = self.stock.lock();
        let rules = stock.bucket(bucket)?;
        if !rules.takes(mimetype) {
            return Err(Refusal::mime_type(mimetype));
        }
        // Only an announced size is held against the limit: a chunked upload slips past it.
        let limit = rules
            .file_size_limit
            .unwrap_or(u64::MAX)
            .min(self.options.file_size_limit);
        if announced_bytes.is_some_and(|bytes| bytes > limit) {
            return Err(Refusal::too_large());
        }
        // Looked up before the bytes come and not again after: not atomic, like the real one.
        if !upsert && stock.object(bucket, name).is_some() {
            return Err(Refusal::exists());
        }
        if self.options.quota_signal != QuotaSignal::DiskFull
            && !stock.has_room(announced_bytes.unwrap_or_default())
        {
            return Err(Refusal::quota(self.options.quota_signal));
        }
        Ok(())
    }

    /// `POST` and `PUT /object/<bucket>/<name>`. The outer error: the upload was cut off.
    pub(super) async fn store(
        &self,
        call: &Call,
        bucket: &str,
        name: &str,
        upload: &mut Upload,
    ) -> io::Result<Answer> {
        let header =
            |name: HeaderName| call.headers.get(name).and_then(|value| value.to_str().ok());
        let mimetype = header(CONTENT_TYPE)
            .unwrap_or("application/octet-stream")
            .to_owned();
        let name = names::decode(name);
        let announced = header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let upsert = call.method == Method::PUT || is_upsert(&call.headers);
        let admitted = self.caller(call).and_then(|caller| {
            self.stock.lock().bucket(bucket)?;
            if caller == Caller::Anonymous {
                return Err(Refusal::row_level_security());
            }
            names::check(&name, self.options.etags)?;
            if name.ends_with(names::PLACEHOLDER) && announced.is_some_and(|bytes: u64| bytes != 0)
            {
                return Err(Refusal::too_large());
            }
            self.admit(bucket, &name, announced, &mimetype, upsert)
        });
        if let Err(refusal) = admitted {
            return Ok(Err(refusal));
        }
        let version = uuid();
        let mut intake = self.intake(false, version)?;
        // Such a body is unwrapped, whoever sent it and for whatever reason: its file becomes the object.
        let mimetype = if mimetype.starts_with("multipart/form-data") {
            let body = upload.collect(FORM_BYTES).await?;
            let Some((kind, part)) = file_of(&mimetype, &body) else {
                return Ok(Err(Refusal::no_content()));
            };
            intake.take(part)?;
            kind
        } else {
            let mut corruption = self.spoiled.lock().pop();
            while let Some(piece) = upload.next().await {
                match corruption.take() {
                    None => intake.take(&piece?)?,
                    Some(corruption) => intake.take(&corruption.apply(piece?))?,
                }
            }
            mimetype
        };
        let cache_control = header(CACHE_CONTROL).unwrap_or("no-cache").to_owned();
        let label = Label {
            bucket: bucket.to_owned(),
            name,
            version,
            mimetype,
            cache_control,
            metadata: metadata_of(&call.headers),
        };
        let mut stock = self.stock.lock();
        if !stock.has_room(intake.len()) {
            return Ok(Err(Refusal::quota(self.options.quota_signal)));
        }
        let key = format!("{}/{}", label.bucket, label.name);
        let id = stock.put(label, intake.finish());
        Ok(Ok(written(StatusCode::OK, &Put { key, id })))
    }

    pub(super) fn list(&self, caller: Caller, bucket: &str, body: &[u8]) -> Answer {
        let body = json_body(body)?;
        let Some(prefix) = body.get("prefix").and_then(Value::as_str) else {
            return Err(Refusal::request(
                "body must have required property 'prefix'",
            ));
        };
        let limit = limit_of(&body)?.unwrap_or(100);
        let offset = body
            .get("offset")
            .and_then(Value::as_u64)
            .and_then(|offset| usize::try_from(offset).ok())
            .unwrap_or_default();
        let (_, descending) = sort_of(&body, &SORTABLE)?;
        let page = (offset, limit);
        let search = body
            .get("search")
            .and_then(Value::as_str)
            .unwrap_or_default();
        // A missing bucket, and one that is out of bounds, look empty.
        let listed = match caller {
            Caller::Anonymous => Vec::new(),
            Caller::Service => self
                .stock
                .lock()
                .list(bucket, prefix, search, descending, page),
        };
        Ok(written(StatusCode::OK, &listed))
    }

    pub(super) fn delete(&self, caller: Caller, bucket: &str, name: &str) -> Answer {
        let mut stock = self.stock.lock();
        if caller == Caller::Anonymous {
            return Err(Refusal::token("Access denied"));
        }
        // A missing bucket is no other answer than a missing object.
        if stock.remove(bucket, name).is_none() {
            return Err(Refusal::no_object());
        }
        Ok(written(
            StatusCode::OK,
            &json!({"message": "Successfully deleted"}),
        ))
    }

    pub(super) fn delete_several(&self, caller: Caller, bucket: &str, body: &[u8]) -> Answer {
        let body = json_body(body)?;
        let Some(names) = body.get("prefixes").and_then(Value::as_array) else {
            return Err(Refusal::request(
                "body must have required property 'prefixes'",
            ));
        };
        if names.is_empty() {
            return Err(Refusal::request(
                "body/prefixes must NOT have fewer than 1 items",
            ));
        }
        let names = names.iter().filter_map(Value::as_str);
        let mut stock = self.stock.lock();
        let deleted = names
            .filter(|_| caller == Caller::Service)
            .filter_map(|name| {
                let object = stock.remove(bucket, name)?;
                let mut entry = object.entry(name);
                if let Value::Object(entry) = &mut entry {
                    entry.insert("bucket_id".into(), json!(bucket));
                    entry.insert("owner".into(), json!(""));
                    entry.insert("owner_id".into(), json!(""));
                    entry.insert("version".into(), json!(object.version));
                    entry.insert("user_metadata".into(), json!({}));
                }
                Some(entry)
            });
        let deleted: Vec<Value> = deleted.collect();
        Ok(written(StatusCode::OK, &deleted))
    }
}

impl Corruption {
    /// A piece, with other bytes.
    pub(super) fn apply(self, piece: Bytes) -> Bytes {
        match (self, piece.split_first()) {
            (Self::Shorter, Some((_, rest))) => piece.slice(..rest.len()),
            (Self::Other, Some((first, rest))) => [&[!first], rest].concat().into(),
            (_, None) => piece,
        }
    }
}

/// The type and the bytes of a form's file.
fn file_of<'a>(mimetype: &str, body: &'a [u8]) -> Option<(String, &'a [u8])> {
    let (_, boundary) = mimetype.split_once("boundary=")?;
    let boundary = boundary.split(';').next()?.trim_matches('"');
    let find = |text: &[u8], within: &'a [u8]| {
        let at = within.windows(text.len()).position(|part| part == text)?;
        Some((within.get(..at)?, within.get(at + text.len()..)?))
    };
    let mut rest = body;
    let (head, part) = loop {
        let (_, part) = find(format!("--{boundary}\r\n").as_bytes(), rest)?;
        let (head, part) = find(b"\r\n\r\n", part)?;
        (_, rest) = (head, part);
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        if head.contains("filename=") {
            let (part, _) = find(format!("\r\n--{boundary}").as_bytes(), part)?;
            break (head, part);
        }
    };
    let kind = head
        .lines()
        .find_map(|line| line.strip_prefix("content-type:"));
    Some((kind.unwrap_or("text/plain").trim().to_owned(), part))
}

/// How many entries a listing may have, where it says so. A number may come as text.
pub(super) fn limit_of(body: &Value) -> Result<Option<usize>, Refusal> {
    let Some(limit) = body.get("limit") else {
        return Ok(None);
    };
    let text = limit.as_str().and_then(|limit| limit.parse().ok());
    match limit.as_i64().or(text) {
        None => Err(Refusal::request("body/limit must be integer")),
        Some(..1) => Err(Refusal::request("body/limit must be >= 1")),
        Some(limit) => Ok(usize::try_from(limit).ok()),
    }
}

/// By what a listing can be sorted.
const SORTABLE: [&str; 4] = ["name", "updated_at", "created_at", "last_accessed_at"];

/// By what a listing is sorted, and whether the last comes first.
pub(super) fn sort_of<'a>(
    body: &'a Value,
    sortable: &[&str],
) -> Result<(Option<&'a str>, bool), Refusal> {
    let Some(sort) = body.get("sortBy") else {
        return Ok((None, false));
    };
    let given = |name: &str| {
        sort.get(name)
            .map(|given| given.as_str().unwrap_or_default())
    };
    let (column, order) = (given("column"), given("order"));
    let allowed = |name: &str| {
        let words = format!("body/sortBy/{name} must be equal to one of the allowed values");
        Err(Refusal::request(&words))
    };
    match (column, order) {
        (None, _) => {
            let words = "body/sortBy must have required property 'column'";
            Err(Refusal::request(words))
        }
        (Some(column), _) if !sortable.contains(&column) => allowed("column"),
        (_, Some(order)) if !["asc", "desc"].contains(&order) => allowed("order"),
        _ => Ok((column, order == Some("desc"))),
    }
}

/// A body that has to be a JSON object.
pub(super) fn json_body(body: &[u8]) -> Result<Value, Refusal> {
    match serde_json::from_slice(body) {
        Ok(body @ Value::Object(_)) => Ok(body),
        Ok(_) => Err(Refusal::request("body must be object")),
        Err(_) => Err(Refusal::not_json()),
    }
}

/// What a user gives along with an object: JSON in base64, or nothing.
fn metadata_of(headers: &HeaderMap) -> Value {
    let given = headers
        .get("x-metadata")
        .and_then(|value| value.to_str().ok());
    given
        .and_then(|value| BASE64_STANDARD.decode(value).ok())
        .and_then(|value| serde_json::from_slice(&value).ok())
        .filter(Value::is_object)
        .unwrap_or_else(|| json!({}))
}

/// The answer to a stored object.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    key: String,
    id: Uuid,
}
