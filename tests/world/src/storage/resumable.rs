//! Resumable uploads (TUS 1.0.0), with real statuses and plain text.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, LOCATION};
use http::{HeaderMap, Method, Response, StatusCode};

use super::answers::{Refusal, plain, set, wrong};
use super::intake::{Intake, PART_BYTES};
use super::site::Site;
use super::stock::{Label, uuid};
use super::{Corruption, Etags, names};
use crate::serve::{Locked, Payload, Upload, empty};

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const TUS_COMPLETE: HeaderName = HeaderName::from_static("tus-complete");
/// The type of a piece.
const OFFSET_STREAM: &str = "application/offset+octet-stream";
/// What S3 says of an upload that is complete.
const NO_SUCH_UPLOAD: &str = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.";
/// Headers that have to be as the protocol has them, in their order.
const VALIDATED: [&str; 6] = [
    "content-type",
    "tus-resumable",
    "upload-concat",
    "upload-length",
    "upload-metadata",
    "upload-offset",
];

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

/// Refuses what does not speak the protocol: first who does not say its version, then headers, by their names.
pub(crate) fn refused_headers(method: &Method, headers: &HeaderMap) -> Option<Response<Payload>> {
    if !headers.contains_key(TUS_RESUMABLE) {
        return Some(plain(
            StatusCode::PRECONDITION_FAILED,
            "Tus-Resumable Required",
        ));
    }
    let is_whole = |text: &str| {
        text.parse::<u64>()
            .is_ok_and(|whole| whole.to_string() == text)
    };
    let valid = |name: &str| {
        let text = headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default());
        text.is_none_or(|text| match name {
            "content-type" => *method != Method::PATCH || text == OFFSET_STREAM,
            "tus-resumable" => text == "1.0.0",
            "upload-concat" => text == "partial" || text.starts_with("final;"),
            "upload-metadata" => metadata(text).is_some(),
            _ => is_whole(text),
        })
    };
    let invalid: Vec<&str> = VALIDATED.into_iter().filter(|name| !valid(name)).collect();
    (!invalid.is_empty()).then(|| {
        let words = format!("Invalid {}", invalid.join(" "));
        plain(StatusCode::BAD_REQUEST, &words)
    })
}

/// Refuses what cannot be the name of an upload: bucket, object and version, in base64.
pub(crate) fn refused_id(id: &str) -> Option<Response<Payload>> {
    let place = BASE64_URL_SAFE_NO_PAD.decode(id.trim_end_matches('='));
    match place
        .unwrap_or_default()
        .split(|byte| *byte == b'/')
        .count()
    {
        1 => Some(Refusal::request("Invalid upload id").plain()),
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

/// `POST /upload/resumable`, with the first bytes or without any. An error: they were cut off.
pub(crate) async fn create(
    site: &Site,
    headers: &HeaderMap,
    body: &mut Upload,
) -> io::Result<Response<Payload>> {
    let mut upload = match begun(site, headers) {
        Ok(upload) => upload,
        Err(refused) => return Ok(refused),
    };
    let Label {
        bucket,
        name,
        version,
        ..
    } = &upload.label;
    let id = BASE64_URL_SAFE_NO_PAD.encode(format!("{bucket}/{name}/{version}"));
    let mut response = tus(StatusCode::CREATED);
    if headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == OFFSET_STREAM)
    {
        if let Err(refused) = upload.take_in(site, headers, body).await? {
            return Ok(refused);
        }
        upload.tell(&mut response);
    }
    // What has no bytes is complete, but S3 has no object of no parts.
    if upload.length == 0
        && let Some(intake) = upload.intake.take()
    {
        if site.options.etags == Etags::Multipart {
            return Ok(Refusal::no_parts().plain());
        }
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
    set(
        &mut response,
        LOCATION,
        &format!("http://{host}{}/upload/resumable/{id}", site.options.prefix),
    );
    set(&mut response, CONTENT_TYPE, "text/plain;charset=UTF-8");
    Ok(response)
}

/// An upload as its headers say.
fn begun(site: &Site, headers: &HeaderMap) -> Result<Resumable, Response<Payload>> {
    if headers.contains_key("upload-concat") {
        let words = "Concatenation extension is not (yet) supported. Disable parallel uploads in the tus client.";
        return Err(plain(StatusCode::NOT_IMPLEMENTED, words));
    }
    let Some(length) = number(headers, "upload-length") else {
        let words = "Upload-Length or Upload-Defer-Length header required";
        return Err(plain(StatusCode::BAD_REQUEST, words));
    };
    let given = headers.get("upload-metadata");
    let Some(mut pairs) = given.and_then(|text| metadata(text.to_str().ok()?)) else {
        return Err(Refusal::request("Metadata header is required").plain());
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
    let untyped = match site.options.etags {
        Etags::Md5 => "application/octet-stream",
        Etags::Multipart => "binary/octet-stream",
    };
    let mimetype = given("contentType").unwrap_or_else(|| untyped.to_owned());
    let seconds = given("cacheControl").filter(|seconds| seconds.parse::<i64>().is_ok());
    let cache_control = seconds.map_or_else(
        || "no-cache".to_owned(),
        |seconds| format!("max-age={seconds}"),
    );
    let metadata_given = given("metadata").and_then(|text| serde_json::from_str(&text).ok());
    let upsert = is_upsert(headers);
    let named = if bucket.is_empty() {
        Err(Refusal::bucket_name())
    } else {
        names::check(&name, site.options.etags)
    };
    if let Err(refusal) =
        named.and_then(|()| site.admit(&bucket, &name, Some(length), &mimetype, upsert))
    {
        return Err(if refusal == Refusal::too_large() {
            plain(StatusCode::PAYLOAD_TOO_LARGE, "Maximum size exceeded")
        } else {
            refusal.plain()
        });
    }
    let version = uuid();
    let Ok(intake) = site.intake(true, version) else {
        return Err(Refusal::internal().plain());
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
    Ok(Resumable {
        label,
        length,
        offset: 0,
        metadata: metadata.join(","),
        intake: Some(intake),
        before_chunk: None,
    })
}

/// `HEAD /upload/resumable/<id>`.
pub(crate) async fn progress(site: &Site, id: &str) -> Response<Payload> {
    let Some(upload) = site.uploads.get(id) else {
        return gone();
    };
    let mut upload = upload.lock().await;
    upload.settle();
    if let Some(gone) = upload.gone(site) {
        return gone;
    }
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
    let upload = upload.lock().await;
    if let Some(gone) = upload.gone(site) {
        return gone;
    }
    if upload.is_taken(site, headers) {
        return Refusal::exists().plain();
    }
    if upload.intake.is_none() {
        let words = "Cannot terminate an already completed upload";
        return Refusal::request(words).plain();
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
    if !headers.contains_key(UPLOAD_OFFSET) {
        let words = "Upload-Offset header required";
        return Ok(plain(StatusCode::FORBIDDEN, words));
    }
    if !headers.contains_key(CONTENT_TYPE) {
        return Ok(plain(StatusCode::FORBIDDEN, "Content-Type header required"));
    }
    if let Some(gone) = upload.gone(site) {
        return Ok(gone);
    }
    if upload.is_taken(site, headers) {
        return Ok(Refusal::exists().plain());
    }
    if number(headers, UPLOAD_OFFSET.as_str()) != Some(upload.offset) {
        return Ok(plain(StatusCode::CONFLICT, "Upload-Offset conflict"));
    }
    if let Err(refused) = upload.take_in(site, headers, body).await? {
        return Ok(refused);
    }
    let mut response = tus(StatusCode::NO_CONTENT);
    upload.tell(&mut response);
    Ok(response)
}

impl Resumable {
    /// Takes in a piece. With the last one it becomes an object.
    async fn take_in(
        &mut self,
        site: &Site,
        headers: &HeaderMap,
        body: &mut Upload,
    ) -> io::Result<Result<(), Response<Payload>>> {
        let left = self.length - self.offset;
        let announced = number(headers, CONTENT_LENGTH.as_str());
        if announced.is_some_and(|bytes| bytes > left) {
            let words = "upload's size exceeded";
            return Ok(Err(plain(StatusCode::PAYLOAD_TOO_LARGE, words)));
        }
        if self.intake.is_none() && site.options.etags == Etags::Multipart {
            return Ok(Err(wrong(NO_SUCH_UPLOAD)));
        }
        let at_boundary = self.offset.is_multiple_of(PART_BYTES);
        if site.options.strict_chunks
            && announced.is_some_and(|bytes| {
                bytes > PART_BYTES || (at_boundary && bytes != left.min(PART_BYTES))
            })
        {
            return Ok(Err(plain(
                StatusCode::BAD_REQUEST,
                "chunks must be of 6 MiB, the last one excepted",
            )));
        }
        if self.intake.is_some() && !site.stock.lock().has_room(self.length) {
            return Ok(Err(Refusal::quota(site.options.quota_signal).plain()));
        }
        if !site.options.keeps_partial_chunks {
            self.before_chunk.clone_from(&self.intake);
        }
        let mut spoil = site.spoiled.lock().pop();
        while let Some(piece) = body.next().await {
            let mut piece = piece?;
            if spoil.take().is_some() {
                // As long as announced, in any case.
                piece = Corruption::Other.apply(piece);
            }
            if self.offset + piece.len() as u64 > self.length {
                let words = "Maximum size exceeded";
                return Ok(Err(plain(StatusCode::PAYLOAD_TOO_LARGE, words)));
            }
            if let Some(intake) = &mut self.intake {
                intake.take(&piece)?;
                self.offset = intake.len();
            }
        }
        self.before_chunk = None;
        if self.offset == self.length
            && let Some(intake) = self.intake.take()
        {
            if site.unfinished.lock().pop().is_some() {
                return Ok(Err(Refusal::database().plain()));
            }
            site.stock.lock().put(self.label.clone(), intake.finish());
        }
        Ok(Ok(()))
    }

    /// How far it is, and whether it is an object now.
    fn tell(&self, response: &mut Response<Payload>) {
        set(response, UPLOAD_OFFSET, &self.offset.to_string());
        if self.intake.is_none() {
            set(response, TUS_COMPLETE, "1");
        }
    }

    /// The answer to who asks for it after its object was deleted or replaced, and its bytes with it.
    fn gone(&self, site: &Site) -> Option<Response<Payload>> {
        let stock = site.stock.lock();
        let object = stock.object(&self.label.bucket, &self.label.name);
        let is_there =
            self.intake.is_some() || object.is_some_and(|it| it.version == self.label.version);
        // S3 takes an upload without parts for one that is complete.
        let is_known = is_there || site.options.etags == Etags::Multipart;
        let words = "The file for this url no longer exists";
        (!is_known).then(|| plain(StatusCode::GONE, words))
    }

    /// Whether an object is in its place, be it its own, that each request has to say it replaces.
    fn is_taken(&self, site: &Site, headers: &HeaderMap) -> bool {
        let (bucket, name) = (&self.label.bucket, &self.label.name);
        !is_upsert(headers) && site.stock.lock().object(bucket, name).is_some()
    }

    /// Forgets a chunk that was cut off, where such chunks are not kept.
    fn settle(&mut self) {
        if let Some(before) = self.before_chunk.take() {
            self.offset = before.len();
            self.intake = Some(before);
        }
    }
}
