//! Resumable uploads (TUS 1.0.0), with real statuses and plain text.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, LOCATION};
use http::{HeaderMap, Response, StatusCode};

use super::answers::{Refusal, plain, set};
use super::intake::{Intake, PART_BYTES};
use super::site::Site;
use super::stock::{Label, uuid};
use super::{Spoil, names};
use crate::serve::{Locked, Payload, Upload, empty};

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// All resumable uploads, finished ones included.
#[derive(Default)]
pub(crate) struct Uploads(Locked<HashMap<String, Arc<tokio::sync::Mutex<Resumable>>>>);

/// One upload.
pub(crate) struct Resumable {
    label: Label,
    length: u64,
    offset: u64,
    metadata: String,
    /// Gone when the object is stored.
    intake: Option<Intake>,
    /// What there was before the chunk that is coming in, where a chunk counts whole or not at all.
    before_chunk: Option<Intake>,
}

impl Uploads {
    pub(crate) fn forget_all(&self) {
        self.0.lock().clear();
    }

    pub(crate) async fn open(&self) -> usize {
        let uploads: Vec<_> = self.0.lock().values().cloned().collect();
        let mut open = 0;
        for upload in uploads {
            open += usize::from(upload.lock().await.intake.is_some());
        }
        open
    }

    fn get(&self, id: &str) -> Option<Arc<tokio::sync::Mutex<Resumable>>> {
        self.0.lock().get(id).cloned()
    }
}

fn tus(status: StatusCode) -> Response<Payload> {
    let mut response = empty(status);
    set(&mut response, TUS_RESUMABLE, "1.0.0");
    response
}

fn gone() -> Response<Payload> {
    plain(StatusCode::NOT_FOUND, "The file for this url was not found")
}

fn too_long() -> Response<Payload> {
    plain(StatusCode::PAYLOAD_TOO_LARGE, "upload's size exceeded")
}

/// Refuses what does not speak the protocol.
pub(crate) fn refused_version(headers: &HeaderMap) -> Option<Response<Payload>> {
    if headers
        .get(TUS_RESUMABLE)
        .is_some_and(|version| version == "1.0.0")
    {
        return None;
    }
    if headers.contains_key(TUS_RESUMABLE) {
        return Some(plain(StatusCode::BAD_REQUEST, "Invalid tus-resumable"));
    }
    Some(plain(
        StatusCode::PRECONDITION_FAILED,
        "Tus-Resumable Required",
    ))
}

/// Refuses what cannot be the name of an upload: bucket, object and version, in base64.
pub(crate) fn refused_id(id: &str) -> Option<Response<Payload>> {
    let place = BASE64_URL_SAFE_NO_PAD.decode(id.trim_end_matches('=')).ok();
    let parts = place.map_or(0, |place| place.split(|byte| *byte == b'/').count());
    match parts {
        0 | 1 => Some(Refusal::request("Invalid upload id").plain()),
        2 => Some(Refusal::key("").plain()),
        _ => None,
    }
}

/// The answer to a method that the protocol lacks.
pub(crate) fn not_found() -> Response<Payload> {
    plain(StatusCode::NOT_FOUND, "Not found")
}

/// `OPTIONS /upload/resumable`: what is spoken.
pub(crate) fn options(largest: u64) -> Response<Payload> {
    let mut response = tus(StatusCode::NO_CONTENT);
    for (name, value) in [
        ("tus-version", "1.0.0"),
        (
            "tus-extension",
            "creation,creation-with-upload,creation-defer-length,termination,expiration",
        ),
        ("tus-max-size", largest.to_string().as_str()),
    ] {
        set(&mut response, HeaderName::from_static(name), value);
    }
    response
}

/// Whether what is there may be replaced. `TRUE` is not `true`.
pub(crate) fn is_upsert(headers: &HeaderMap) -> bool {
    headers.get("x-upsert").is_some_and(|value| value == "true")
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// The pairs of an `Upload-Metadata` header; nothing where one is none.
fn metadata(text: &str) -> Option<Vec<(String, String)>> {
    let pairs = text.split(',').map(|pair| {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let value = BASE64_STANDARD
            .decode(value)
            .ok()
            .filter(|_| !key.is_empty())?;
        Some((key.to_owned(), String::from_utf8_lossy(&value).into_owned()))
    });
    pairs.collect()
}

/// `POST /upload/resumable`.
pub(crate) fn create(site: &Site, headers: &HeaderMap) -> Response<Payload> {
    let invalid = |name| plain(StatusCode::BAD_REQUEST, &format!("Invalid {name}"));
    let given = headers.get("upload-metadata");
    let pairs = given.map(|text| text.to_str().ok().and_then(metadata));
    let Some(length) = number(headers, "upload-length") else {
        return if headers.contains_key("upload-length") {
            invalid("upload-length")
        } else {
            let words = "Upload-Length or Upload-Defer-Length header required";
            plain(StatusCode::BAD_REQUEST, words)
        };
    };
    let mut pairs = match pairs {
        None => return Refusal::request("Metadata header is required").plain(),
        Some(None) => return invalid("upload-metadata"),
        Some(Some(pairs)) => pairs,
    };
    let given = |name: &str| {
        pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty())
    };
    let (bucket, name) = (
        given("bucketName").unwrap_or_default(),
        given("objectName").unwrap_or_default(),
    );
    let mimetype = given("contentType").unwrap_or_else(|| "application/octet-stream".to_owned());
    let cache_control = given("cacheControl").map_or_else(
        || "no-cache".to_owned(),
        |seconds| format!("max-age={seconds}"),
    );
    let metadata_given = given("metadata").and_then(|text| serde_json::from_str(&text).ok());
    let upsert = is_upsert(headers);
    let named = if bucket.is_empty() {
        Err(Refusal::bucket_name())
    } else {
        names::check(&name)
    };
    if let Err(refusal) =
        named.and_then(|()| site.admit(&bucket, &name, Some(length), &mimetype, upsert))
    {
        return if refusal == Refusal::too_large() {
            plain(StatusCode::PAYLOAD_TOO_LARGE, "Maximum size exceeded")
        } else {
            refusal.plain()
        };
    }
    let version = uuid();
    let id = BASE64_URL_SAFE_NO_PAD.encode(format!("{bucket}/{name}/{version}"));
    let Ok(intake) = site.intake(true, version) else {
        return Refusal::internal().plain();
    };
    for (key, value) in &mut pairs {
        if key == "cacheControl" {
            value.clone_from(&cache_control);
        }
    }
    let metadata: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{key} {}", BASE64_STANDARD.encode(value)))
        .collect();
    let label = Label {
        bucket,
        name,
        version,
        mimetype,
        cache_control,
        metadata: metadata_given.unwrap_or_default(),
    };
    let mut upload = Resumable {
        label,
        length,
        offset: 0,
        metadata: metadata.join(","),
        intake: Some(intake),
        before_chunk: None,
    };
    // What has no bytes is complete.
    if length == 0
        && let Some(intake) = upload.intake.take()
    {
        site.stock.lock().put(upload.label.clone(), intake.finish());
    }
    site.uploads
        .0
        .lock()
        .insert(id.clone(), Arc::new(tokio::sync::Mutex::new(upload)));
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    let mut response = tus(StatusCode::CREATED);
    set(
        &mut response,
        LOCATION,
        &format!("http://{host}{}/upload/resumable/{id}", site.options.prefix),
    );
    set(&mut response, CONTENT_TYPE, "text/plain;charset=UTF-8");
    response
}

/// `HEAD /upload/resumable/<id>`.
pub(crate) async fn progress(site: &Site, id: &str) -> Response<Payload> {
    let Some(upload) = site.uploads.get(id) else {
        return gone();
    };
    let mut upload = upload.lock().await;
    upload.settle();
    let mut response = tus(StatusCode::OK);
    set(&mut response, CACHE_CONTROL, "no-store");
    set(&mut response, CONTENT_TYPE, "text/plain;charset=UTF-8");
    set(
        &mut response,
        HeaderName::from_static("upload-length"),
        &upload.length.to_string(),
    );
    set(
        &mut response,
        HeaderName::from_static("upload-metadata"),
        &upload.metadata,
    );
    set(&mut response, UPLOAD_OFFSET, &upload.offset.to_string());
    response
}

/// `DELETE /upload/resumable/<id>`.
pub(crate) async fn terminate(site: &Site, id: &str, headers: &HeaderMap) -> Response<Payload> {
    let Some(upload) = site.uploads.get(id) else {
        return gone();
    };
    if upload.lock().await.is_taken(site, headers) {
        return Refusal::exists().plain();
    }
    site.uploads.0.lock().remove(id);
    tus(StatusCode::NO_CONTENT)
}

/// `PATCH /upload/resumable/<id>`. An error: the chunk was cut off.
pub(crate) async fn append(
    site: &Site,
    id: &str,
    headers: &HeaderMap,
    body: &mut Upload,
) -> io::Result<Response<Payload>> {
    let Some(upload) = site.uploads.get(id) else {
        return Ok(gone());
    };
    let mut upload = upload.lock().await;
    upload.settle();
    if headers
        .get(CONTENT_TYPE)
        .is_none_or(|kind| kind != "application/offset+octet-stream")
    {
        return Ok(plain(StatusCode::BAD_REQUEST, "Invalid content-type"));
    }
    if upload.is_taken(site, headers) {
        return Ok(Refusal::exists().plain());
    }
    let Some(offset) = number(headers, UPLOAD_OFFSET.as_str()) else {
        let words = "Upload-Offset header required";
        return Ok(plain(StatusCode::FORBIDDEN, words));
    };
    if offset != upload.offset {
        return Ok(plain(StatusCode::CONFLICT, "Upload-Offset conflict"));
    }
    let left = upload.length - upload.offset;
    let announced = number(headers, CONTENT_LENGTH.as_str());
    if announced.is_some_and(|bytes| bytes > left) {
        return Ok(too_long());
    }
    let at_boundary = upload.offset.is_multiple_of(PART_BYTES);
    if site.options.strict_chunks
        && announced.is_some_and(|bytes| {
            bytes > PART_BYTES || (at_boundary && bytes != left.min(PART_BYTES))
        })
    {
        return Ok(plain(
            StatusCode::BAD_REQUEST,
            "chunks must be of 6 MiB, the last one excepted",
        ));
    }
    if !site.stock.lock().has_room(upload.length) {
        return Ok(Refusal::quota(site.options.quota_signal).plain());
    }
    if !site.options.keeps_partial_chunks {
        let before = upload.intake.clone();
        upload.before_chunk = before;
    }
    let length = upload.length;
    let mut spoil = site.spoiled.lock().pop();
    while let Some(piece) = body.next().await {
        let mut piece = piece?;
        if spoil.take().is_some() {
            // As long as announced, in any case.
            piece = Spoil::Other.apply(piece);
        }
        let Some(intake) = &mut upload.intake else {
            return Ok(plain(StatusCode::FORBIDDEN, "the upload is finished"));
        };
        if intake.len() + piece.len() as u64 > length {
            return Ok(too_long());
        }
        intake.take(&piece)?;
        upload.offset = intake.len();
    }
    upload.before_chunk = None;
    let mut response = tus(StatusCode::NO_CONTENT);
    set(&mut response, UPLOAD_OFFSET, &upload.offset.to_string());
    if upload.offset == upload.length
        && let Some(intake) = upload.intake.take()
    {
        let label = upload.label.clone();
        let mut stock = site.stock.lock();
        stock.put(label, intake.finish());
        set(&mut response, HeaderName::from_static("tus-complete"), "1");
    }
    Ok(response)
}

impl Resumable {
    /// Whether it is complete, or another object is in its place that each request has to say it replaces.
    fn is_taken(&self, site: &Site, headers: &HeaderMap) -> bool {
        let (bucket, name) = (&self.label.bucket, &self.label.name);
        let replaces = is_upsert(headers) || site.stock.lock().object(bucket, name).is_none();
        self.intake.is_none() || !replaces
    }

    /// Forgets a chunk that was cut off, where such chunks are not kept.
    fn settle(&mut self) {
        if let Some(before) = self.before_chunk.take() {
            self.offset = before.len();
            self.intake = Some(before);
        }
    }
}
