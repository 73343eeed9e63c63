//! Objects: store, read, list and delete.

use std::cell::Cell;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use content::ObjectPath;
use fault::{Fault, Kind, Reach};
use http::{HeaderName, Method, StatusCode, header};
use outbound::{ByteStream, Http, Request, Response, Timeouts, TransportError, broke_off};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::info::{Fingerprint, Info, InfoAnswer, Metadata};
use crate::settings::KeyHeaders;
use crate::{Bucket, Settings, answer};

const METADATA: HeaderName = HeaderName::from_static("x-metadata");
const UPSERT: HeaderName = HeaderName::from_static("x-upsert");

/// The slowest acceptable upload in bytes per minute: 8 KiB a second, which is 2 Mbit/s for 32 at once.
const BYTES_A_MINUTE: u64 = 60 * 8 * 1024;

/// Timeouts of a request with so many bytes: the minutes that they take at the slowest acceptable speed,
/// rounded up to the next whole minute.
pub(crate) fn timeouts(body_bytes: u64) -> Timeouts {
    let minutes = 1 + body_bytes / BYTES_A_MINUTE;
    Timeouts {
        connect: Duration::from_secs(10),
        first_byte: Duration::from_secs(60 * minutes),
        between_bytes: Duration::from_secs(20),
    }
}

/// Maximum size of a listing page in bytes: 1,000 objects take about 400 KB.
const LIST_BYTES: usize = 4 * 1024 * 1024;

/// What Storage stores beside an object's bytes.
#[derive(Debug, Clone)]
pub struct Label<'a> {
    /// The media type with which it is served.
    pub content_type: &'a str,
    /// Our own metadata, which `info` returns; null for none.
    pub metadata: Value,
}

/// Whether an object is known to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Storage accepted the upload; the stored object is still to be verified.
    Taken,
    /// The object existed already, with these bytes.
    Confirmed,
}

/// A bucket of Supabase Storage.
pub struct Storage<H> {
    pub(crate) http: H,
    pub(crate) settings: Settings,
    pub(crate) calls: Cell<u64>,
    key_headers: Cell<KeyHeaders>,
}

impl<H: Http> Storage<H> {
    /// A client for the bucket of these settings.
    pub fn new(http: H, settings: Settings) -> Result<Self, Fault> {
        settings.check()?;
        Ok(Self {
            http,
            calls: Cell::new(0),
            key_headers: Cell::new(settings.key_headers()),
            settings,
        })
    }

    /// Number of requests that were sent to Storage.
    pub fn calls(&self) -> u64 {
        self.calls.get()
    }

    pub(crate) fn request(&self, method: Method, rest: &str) -> Request {
        self.request_at(&self.settings.url, method, rest)
    }

    /// A request of an upload, for which a separate host may be configured.
    pub(crate) fn upload(&self, method: Method, rest: &str) -> Request {
        self.request_at(self.settings.uploads(), method, rest)
    }

    fn request_at(&self, host: &str, method: Method, rest: &str) -> Request {
        self.calls.set(self.calls.get() + 1);
        let request = Request::new(method, self.settings.address(host, rest)).timeouts(timeouts(0));
        self.key_headers.get().carry(&self.settings.key, request)
    }

    /// Sends a read-only request, with one retry if the connection breaks or a proxy fails at once. With
    /// `held`, a JSON response of at most that many bytes is read into memory first.
    pub(crate) async fn ask(
        &self,
        request: Request,
        held: Option<usize>,
    ) -> Result<Response, TransportError> {
        let once = async |request| {
            let answer: Response = self.http.send(request).await?;
            match held {
                Some(max_bytes) => answer.arrived(max_bytes).await,
                None => Ok(answer),
            }
        };
        let first = once(request.clone()).await;
        if !broke_off(first.as_ref()) {
            return first;
        }
        drop(first);
        self.calls.set(self.calls.get() + 1);
        once(request).await
    }

    /// The fault of an upload without a response; names the separate upload host, if there is one.
    pub(crate) fn upload_failed(&self, error: TransportError) -> Fault {
        let fault = answer::transport(error);
        match &self.settings.upload_url {
            Some(_) if fault.reach() == Reach::Batch => {
                let host = self.settings.summary().uploads_to;
                fault.at(format!("uploads by storage_upload_url, {host}"))
            }
            _ => fault,
        }
    }

    fn object(&self, method: Method, path: &str) -> Request {
        let bucket = self.settings.bucket_segment();
        self.request(method, &format!("/object/{bucket}/{path}"))
    }

    /// Checks that the bucket exists and the key is valid, before any file is processed. If the gateway
    /// rejects the key, it is sent in the other headers once; if that works, all later requests use these.
    pub async fn check_bucket(&self) -> Result<Bucket, Fault> {
        let refusal = match self.see_bucket().await? {
            Ok(bucket) => return Ok(bucket),
            Err(refusal) => refusal,
        };
        let refused = refusal.fault(&self.settings);
        if refused.kind() != Kind::StorageLogin {
            return Err(refused);
        }
        let first = self.key_headers.get();
        self.key_headers.set(first.other());
        let other = match self.see_bucket().await? {
            Ok(bucket) => return Ok(bucket),
            Err(other) => other,
        };
        self.key_headers.set(first);
        let other_refused = other.fault(&self.settings);
        Err(if other_refused.kind() == Kind::StorageLogin {
            Fault::told(
                Kind::StorageLogin,
                format!(
                    "Storage refused the key: check storage_key ({} {}; {} {})",
                    first.words(),
                    refusal.said(),
                    first.other().words(),
                    other.said()
                ),
            )
            .hiding(self.settings.key.reveal())
        } else {
            other_refused
        })
    }

    /// The headers in which the key is sent, in words.
    pub fn key_headers(&self) -> &'static str {
        self.key_headers.get().words().trim_end_matches(':')
    }

    async fn see_bucket(&self) -> Result<Result<Bucket, answer::Refusal>, Fault> {
        let bucket = self.settings.bucket_segment();
        let request = self.request(Method::GET, &format!("/bucket/{bucket}"));
        let response = self.ask(request, Some(answer::ANSWER_BYTES)).await;
        let response = response.map_err(answer::transport)?;
        if response.status.is_success() && response.is_json() {
            let body = response.bytes(answer::ANSWER_BYTES).await;
            let body = body.map_err(answer::transport)?;
            let told: Map<String, Value> =
                serde_json::from_slice(&body).map_err(|_| not_a_storage(StatusCode::OK))?;
            return Ok(Ok(Bucket::from(&told)));
        }
        if response.status.is_success() || response.status.is_redirection() {
            return Err(not_a_storage(response.status));
        }
        let status = response.status;
        match answer::refusal(response).await {
            Ok(refusal) if !refusal.code.is_empty() || status != StatusCode::NOT_FOUND => {
                Ok(Err(refusal))
            }
            Err(fault) if status != StatusCode::NOT_FOUND => Err(fault),
            _ => Err(not_a_storage(status)),
        }
    }

    /// Stores an object in one request. If an object with these bytes exists already (by its etag), that
    /// counts as stored; an object with other bytes is replaced. With `replace` any object is.
    pub async fn store(
        &self,
        path: &ObjectPath,
        label: &Label<'_>,
        content: Bytes,
        fingerprint: &Fingerprint,
        replace: bool,
    ) -> Result<Stored, Fault> {
        if replace {
            return self.replace(path, label, content).await;
        }
        let there = match self
            .put(path.as_str(), label, content.clone(), false)
            .await?
        {
            Ok(()) => return Ok(Stored::Taken),
            Err(refusal) if refusal.code == "KeyAlreadyExists" || refusal.status_code == "409" => {
                self.info(path.as_str()).await?
            }
            Err(refusal) => return Err(refusal.fault(&self.settings)),
        };
        if there.is_some_and(|there| there.holds(fingerprint) == Some(true))
            && self.has_bytes(path.as_str()).await?
        {
            return Ok(Stored::Confirmed);
        }
        self.replace(path, label, content).await
    }

    /// Stores an object, and replaces an existing one.
    async fn replace(
        &self,
        path: &ObjectPath,
        label: &Label<'_>,
        content: Bytes,
    ) -> Result<Stored, Fault> {
        match self.put(path.as_str(), label, content, true).await? {
            Ok(()) => Ok(Stored::Taken),
            Err(refusal) => Err(refusal.fault(&self.settings)),
        }
    }

    /// Checks that uploads reach Storage, with one that stores nothing: every version of Storage rejects this
    /// name.
    pub async fn check_uploads(&self) -> Result<(), Fault> {
        let label = Label {
            content_type: "application/octet-stream",
            metadata: Value::Null,
        };
        let answer = self.put("~upload-check", &label, Bytes::new(), false);
        let Err(refusal) = answer.await? else {
            return Ok(());
        };
        let fault = refusal.fault(&self.settings);
        match fault.kind() {
            Kind::NameRefused | Kind::MimeRefused => Ok(()),
            _ => Err(fault),
        }
    }

    async fn put(
        &self,
        path: &str,
        label: &Label<'_>,
        content: Bytes,
        upsert: bool,
    ) -> Result<Result<(), answer::Refusal>, Fault> {
        let bucket = self.settings.bucket_segment();
        let mut request = self
            .upload(Method::POST, &format!("/object/{bucket}/{path}"))
            .timeouts(timeouts(content.len() as u64))
            .header(header::CONTENT_TYPE, label.content_type)
            .header(header::CACHE_CONTROL, "max-age=31536000")
            .body(content);
        if !label.metadata.is_null() {
            let metadata = STANDARD.encode(label.metadata.to_string());
            request = request.header(METADATA, metadata);
        }
        if upsert {
            // Storage ignores `TRUE` (seen on storage-api 1.11).
            request = request.header(UPSERT, "true");
        }
        let response = (self.http.send(request).await).map_err(|e| self.upload_failed(e))?;
        if response.status.is_success() {
            if !response.is_json() {
                return Err(not_a_storage(response.status));
            }
            // Read the response to its end, so that the connection can be reused.
            response
                .bytes(answer::ANSWER_BYTES)
                .await
                .map_err(answer::transport)?;
            return Ok(Ok(()));
        }
        if response.status.is_redirection() {
            return Err(not_a_storage(response.status));
        }
        Ok(Err(answer::refusal(response).await?))
    }

    /// What Storage reports about an object; `None` if there is none of this name.
    pub async fn info(&self, path: &str) -> Result<Option<Info>, Fault> {
        let bucket = self.settings.bucket_segment();
        let request = self.request(Method::GET, &format!("/object/info/{bucket}/{path}"));
        let response = self.ask(request, Some(answer::ANSWER_BYTES)).await;
        let response = response.map_err(answer::transport)?;
        if !response.status.is_success() {
            let refusal = answer::refusal(response).await?;
            return if refusal.code == "NoSuchKey" {
                Ok(None)
            } else {
                Err(refusal.fault(&self.settings))
            };
        }
        // Before 1.7 (July 2024) the answer is in headers alone, and a proxy may remove those that matter.
        if !response.is_json() {
            return self.listed(path).await;
        }
        let body = response
            .bytes(answer::ANSWER_BYTES)
            .await
            .map_err(answer::transport)?;
        let told: InfoAnswer = serde_json::from_slice(&body).map_err(|_| no_json())?;
        Ok(Some(told.info(path)))
    }

    /// The same, from a listing of the object's folder.
    async fn listed(&self, path: &str) -> Result<Option<Info>, Fault> {
        let (folder, name) = path.split_once('/').unwrap_or(("", path));
        let listed = self.page(folder, name, 0, 1).await?;
        Ok(listed.into_iter().find(|info| info.name == path))
    }

    /// Deletes objects. Missing ones count as deleted.
    pub async fn remove(&self, paths: &[String]) -> Result<(), Fault> {
        let bucket = self.settings.bucket_segment();
        let names = serde_json::json!({ "prefixes": paths });
        let request = self
            .request(Method::DELETE, &format!("/object/{bucket}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(names.to_string().into_bytes());
        let response = self.http.send(request).await.map_err(answer::transport)?;
        if response.status.is_success() {
            Ok(())
        } else {
            Err(answer::refusal(response).await?.fault(&self.settings))
        }
    }

    /// Up to `limit` objects of a folder (the first two digits of a SHA-1) by name, from `offset` on. A
    /// missing bucket looks like an empty folder (seen on storage-api 1.11).
    pub async fn list(
        &self,
        folder: &str,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<Info>, Fault> {
        self.page(folder, "", offset, limit).await
    }

    /// The same, limited to names with this prefix.
    async fn page(
        &self,
        folder: &str,
        beginning: &str,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<Info>, Fault> {
        #[derive(Deserialize)]
        struct Listed {
            name: String,
            metadata: Option<Metadata>,
        }
        let mut question = serde_json::json!({
            "prefix": folder, "limit": limit, "offset": offset,
            "sortBy": { "column": "name", "order": "asc" },
        });
        if let (Some(question), false) = (question.as_object_mut(), beginning.is_empty()) {
            question.insert("search".to_owned(), beginning.into());
        }
        let bucket = self.settings.bucket_segment();
        let request = self
            .request(Method::POST, &format!("/object/list/{bucket}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(question.to_string().into_bytes());
        let response = self.ask(request, Some(LIST_BYTES)).await;
        let response = response.map_err(answer::transport)?;
        if !response.status.is_success() {
            return Err(answer::refusal(response).await?.fault(&self.settings));
        }
        let body = response
            .bytes(LIST_BYTES)
            .await
            .map_err(answer::transport)?;
        let listed: Vec<Listed> = serde_json::from_slice(&body).map_err(|_| no_json())?;
        // An entry without metadata is a folder.
        let info = |listed: Listed| {
            let metadata = listed.metadata?;
            Some(Info {
                name: format!("{folder}/{}", listed.name),
                size: metadata.size,
                etag: metadata.etag,
            })
        };
        Ok(listed.into_iter().filter_map(info).collect())
    }

    /// An object's bytes; `None` if there is no object of this name, or its bytes are gone.
    pub async fn read(&self, path: &str) -> Result<Option<ByteStream>, Fault> {
        let response = self.ask(self.object(Method::GET, path), None).await;
        let response = response.map_err(answer::transport)?;
        if response.status.is_success() {
            return Ok(Some(response.body));
        }
        let refusal = answer::refusal(response).await?;
        if refusal.lacks_bytes() {
            Ok(None)
        } else {
            Err(refusal.fault(&self.settings))
        }
    }

    /// Whether a known object has bytes: after a restore of the database alone it has a row with size and
    /// MD5, but no bytes.
    async fn has_bytes(&self, path: &str) -> Result<bool, Fault> {
        let request = self
            .object(Method::GET, path)
            .header(header::RANGE, "bytes=0-0");
        let response = self.ask(request, None).await;
        let response = response.map_err(answer::transport)?;
        // If it cannot be read, it is uploaded again.
        Ok(response.status.is_success() || response.status == StatusCode::RANGE_NOT_SATISFIABLE)
    }
}

pub(crate) fn no_json() -> Fault {
    Fault::new(
        Kind::StorageProtocol,
        "Storage's answer is not the JSON that was due",
    )
}

fn not_a_storage(status: StatusCode) -> Fault {
    Fault::told(
        Kind::StorageProtocol,
        format!(
            "storage_url answered HTTP {} as no Storage does: check storage_url and storage_path (/storage/v1 on hosted Supabase)",
            status.as_u16()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_has_the_time_that_a_slow_link_takes_for_its_bytes() {
        let seconds = |bytes| timeouts(bytes).first_byte.as_secs();
        assert_eq!(seconds(0), 60);
        assert_eq!(seconds(60_000), 60);
        assert_eq!(seconds(crate::CHUNK_BYTES), 13 * 60);
        for bytes in (0..crate::CHUNK_BYTES).step_by(1_000) {
            assert!(seconds(bytes) >= bytes / (8 * 1024));
        }
        assert!(seconds(u64::MAX) > 0);
    }
}
