//! Reading objects: by those who may, and by anyone with a signed address.

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, EXPIRES, HeaderName, IF_NONE_MATCH, LAST_MODIFIED, RANGE,
};
use http::{Method, Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::access::{self, Caller};
use super::answers::{Refusal, set, written};
use super::site::{Answer, Call, Signed, Site};
use super::stock::{Object, iso};
use super::{Age, names};
use crate::odoo::{http_date, now_us, parse_range, percent_encode};
use crate::serve::{Payload, empty, unpredictable};

/// What the tokens of signed addresses begin with: `{"alg":"HS256"}`.
const TOKEN_HEAD: &str = "eyJhbGciOiJIUzI1NiJ9";

impl Site {
    /// The object at `bucket/name`, if this caller may read it.
    pub(super) fn readable(
        &self,
        call: &Call,
        place: &str,
        public: bool,
    ) -> Result<(String, Object), Refusal> {
        let (bucket, name) = in_bucket(place)?;
        let (bucket, name) = (&names::decode(bucket), names::decode(name));
        let stock = self.stock.lock();
        let rules = stock.bucket(bucket)?;
        if public || !access::is_given(&call.headers, self.options.key_headers) {
            if !rules.public {
                return Err(Refusal::no_bucket());
            }
        } else if self.caller(call)? == Caller::Anonymous && !rules.public {
            return Err(Refusal::no_object());
        }
        let object = stock
            .object(bucket, &name)
            .cloned()
            .ok_or_else(Refusal::no_object)?;
        Ok((name, object))
    }

    /// `POST /object/sign/<bucket>/<name>`, or of a bucket with the names in the body.
    pub(super) fn sign(&self, caller: Caller, place: &str, body: &[u8]) -> Answer {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let lacking = |name: &str| {
            let message = format!("body must have required property '{name}'");
            Refusal::request(&message)
        };
        let seconds = body.get("expiresIn").and_then(Value::as_i64);
        let seconds = seconds.ok_or_else(|| lacking("expiresIn"))?;
        if seconds < 1 {
            return Err(Refusal::request("body/expiresIn must be >= 1"));
        }
        let signed = |bucket: &str, name: &str| {
            let is_there = self.stock.lock().object(bucket, name).is_some();
            let path = format!("{bucket}/{name}");
            (is_there && caller == Caller::Service).then(|| self.signed_token(path, seconds))
        };
        if let Some((bucket, name)) = place.split_once('/') {
            let token = signed(&names::decode(bucket), &names::decode(name));
            let token = token.ok_or_else(Refusal::no_object)?;
            let address = format!("/object/sign/{place}?token={token}");
            return Ok(written(StatusCode::OK, &json!({"signedURL": address})));
        }
        let paths = body.get("paths").and_then(Value::as_array);
        let paths = paths.ok_or_else(|| lacking("paths"))?;
        let each = paths.iter().filter_map(Value::as_str).map(|path| {
            let token = signed(&names::decode(place), path);
            let address = token.map(|token| format!("/object/sign/{place}/{path}?token={token}"));
            let error = "Either the object does not exist or you do not have access to it";
            let error = address.is_none().then_some(error);
            json!({"error": error, "path": path, "signedURL": address})
        });
        Ok(written(StatusCode::OK, &each.collect::<Vec<_>>()))
    }

    /// A token that opens an object for so long. It looks like a JWT; what it means is known here only.
    fn signed_token(&self, path: String, seconds: i64) -> String {
        let token = format!("{TOKEN_HEAD}.{}.{}", unpredictable(), unpredictable());
        let signed = Signed {
            path,
            expires_us: now_us() + seconds * 1_000_000,
        };
        self.signed.lock().insert(token.clone(), signed);
        token
    }

    /// `GET` of a signed address, by anyone.
    pub(super) fn signed(&self, call: &Call, place: &str) -> Answer {
        let (bucket, name) = in_bucket(place)?;
        let (bucket, name) = (&names::decode(bucket), names::decode(name));
        let token = parameter(call, "token")
            .ok_or_else(|| Refusal::request("querystring must have required property 'token'"))?;
        if token.split('.').count() != 3 {
            return Err(Refusal::signature("Invalid Compact JWS"));
        }
        if !token.starts_with(TOKEN_HEAD) {
            return Err(Refusal::signature("JWS Protected Header is invalid"));
        }
        let expires_us = match self.signed.lock().get(&token) {
            None => return Err(Refusal::signature("signature verification failed")),
            Some(signed) if signed.expires_us <= now_us() => {
                return Err(Refusal::signature("\"exp\" claim timestamp check failed"));
            }
            Some(signed) if signed.path != format!("{bucket}/{name}") => {
                return Err(Refusal::foreign_signature());
            }
            Some(signed) => signed.expires_us,
        };
        let object = self
            .stock
            .lock()
            .object(bucket, &name)
            .cloned()
            .ok_or_else(Refusal::no_object)?;
        let mut response = download(call, &object)?;
        // It may be kept for as long as the address opens.
        response.headers_mut().remove(CACHE_CONTROL);
        set(&mut response, EXPIRES, &http_date(expires_us));
        Ok(response)
    }
}

/// The bucket and the name. Without a name `info/x` is an object `x` in a bucket called `info`, which is not there.
fn in_bucket(place: &str) -> Result<(&str, &str), Refusal> {
    place.split_once('/').ok_or_else(Refusal::no_bucket)
}

/// What the query says of this name.
fn parameter(call: &Call, name: &str) -> Option<String> {
    let mut pairs = call
        .query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .find(|(key, _)| *key == name)
        .map(|(_, value)| names::decode(&value.replace('+', " ")))
}

/// The bytes of an object, to be saved under a name where the query asks for it.
pub(super) fn download(call: &Call, object: &Object) -> Answer {
    let mut response = content(call, object)?;
    if let Some(named) = parameter(call, "download") {
        let encoded = percent_encode(&named, b"-._~");
        let disposition = if named.is_empty() {
            "attachment;".to_owned()
        } else {
            format!("attachment; filename={encoded}; filename*=UTF-8''{encoded}")
        };
        set(&mut response, CONTENT_DISPOSITION, &disposition);
    }
    Ok(response)
}

/// The headers that tell one version of an object from another.
fn describe(response: &mut Response<Payload>, object: &Object) {
    set(response, ETAG, &object.etag);
    set(response, LAST_MODIFIED, &http_date(object.updated_us));
    set(response, CACHE_CONTROL, &object.cache_control);
}

pub(super) fn info(age: Age, name: &str, object: &Object, place: &str) -> Response<Payload> {
    #[derive(Serialize)]
    struct Info<'a> {
        id: Uuid,
        name: &'a str,
        version: Uuid,
        bucket_id: &'a str,
        size: u64,
        content_type: &'a str,
        cache_control: &'a str,
        etag: &'a str,
        metadata: Value,
        last_modified: String,
        created_at: String,
    }
    if age >= Age::NoInfo {
        let mut response = empty(StatusCode::OK);
        describe(&mut response, object);
        set(&mut response, CONTENT_TYPE, &object.mimetype);
        return response;
    }
    if age == Age::RowAsInfo {
        let row = json!({
            "id": object.id, "version": object.version, "created_at": iso(object.created_us), "user_metadata": object.metadata,
            "metadata": { "eTag": object.etag, "size": object.len, "mimetype": object.mimetype },
        });
        return written(StatusCode::OK, &row);
    }
    let mut response = written(
        StatusCode::OK,
        &Info {
            id: object.id,
            name,
            version: object.version,
            bucket_id: place.split('/').next().unwrap_or_default(),
            size: object.len,
            content_type: &object.mimetype,
            cache_control: &object.cache_control,
            etag: &object.etag,
            metadata: object.metadata.clone(),
            last_modified: iso(object.updated_us),
            created_at: iso(object.created_us),
        },
    );
    describe(&mut response, object);
    response
}

/// The bytes of an object, or a range of them.
pub(super) fn content(call: &Call, object: &Object) -> Answer {
    let header = |name: HeaderName| call.headers.get(name).and_then(|value| value.to_str().ok());
    if header(IF_NONE_MATCH) == Some(&object.etag) {
        let mut response = empty(StatusCode::NOT_MODIFIED);
        describe(&mut response, object);
        return Ok(response);
    }
    let mut response = empty(StatusCode::OK);
    let (mut from, mut end) = (0, object.len);
    match header(RANGE).map(|range| parse_range(range, object.len)) {
        None => {}
        Some(None) => return Err(Refusal::range()),
        Some(Some((first, last))) => {
            (from, end) = (first, last + 1);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            set(
                &mut response,
                CONTENT_RANGE,
                &format!("bytes {first}-{last}/{}", object.len),
            );
        }
    }
    if call.method == Method::HEAD {
        set(&mut response, CONTENT_LENGTH, &(end - from).to_string());
    } else if end > from {
        let source = object.kept.source().ok_or_else(Refusal::internal)?;
        *response.body_mut() = Payload::source(source, from, end);
    }
    set(&mut response, ACCEPT_RANGES, "bytes");
    set(&mut response, CONTENT_TYPE, &object.mimetype);
    set(
        &mut response,
        HeaderName::from_static("x-robots-tag"),
        "none",
    );
    describe(&mut response, object);
    Ok(response)
}
