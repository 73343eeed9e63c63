//! Resumable uploads that a later tick can continue: TUS 1.0.0, in chunks of 6 MiB.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use content::ObjectPath;
use fault::{Fault, Kind};
use http::{HeaderName, Method, StatusCode, header};
use outbound::{Http, Request};
use serde::{Deserialize, Serialize};

use crate::object::timeouts;
use crate::{Fingerprint, Label, Storage, answer};

/// Size of every chunk but the last, in bytes.
pub const CHUNK_BYTES: u64 = 6 * 1024 * 1024;

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPSERT: HeaderName = HeaderName::from_static("x-upsert");

/// The message for a Storage that does not support the protocol.
pub(crate) const NO_PIECES: &str = "this Storage takes nothing in pieces, as those before 0.35 (April 2023): update it, then odoo_sync.retry()";

/// An upload under way, as it is stored between ticks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumable {
    /// The upload's id: the last segment of the URL that the server returned. The rest of the URL is dropped:
    /// behind a gateway it is not how we reach the server, and the server must not choose where requests go.
    pub id: String,
}

impl<H: Http> Storage<H> {
    pub(crate) fn tus(&self, method: Method, rest: &str) -> Request {
        // To replace an object, every request has to ask for it, not only the first.
        self.upload(method, &format!("/upload/resumable{rest}"))
            .header(TUS_RESUMABLE, "1.0.0")
            .header(UPSERT, "true")
    }

    /// Starts an upload of `length` bytes.
    pub async fn begin(
        &self,
        path: &ObjectPath,
        label: &Label<'_>,
        length: u64,
    ) -> Result<Resumable, Fault> {
        let own = label.metadata.to_string();
        let metadata = [
            ("bucketName", self.settings.bucket.as_str()),
            ("objectName", path.as_str()),
            ("contentType", label.content_type),
            ("cacheControl", "31536000"),
            ("metadata", &own),
        ]
        .map(|(name, value)| format!("{name} {}", STANDARD.encode(value)))
        .join(",");
        let request = self
            .tus(Method::POST, "")
            .header(UPLOAD_LENGTH, length.to_string())
            .header(UPLOAD_METADATA, metadata);
        let response = (self.http.send(request).await).map_err(|e| self.upload_failed(e))?;
        if response.status != StatusCode::CREATED {
            let refusal = answer::refusal(response).await?;
            return Err(if refusal.is_no_route() {
                Fault::new(Kind::TooLarge, NO_PIECES)
            } else {
                refusal.fault(&self.settings)
            });
        }
        response
            .header(&header::LOCATION)
            .and_then(|location| location.rsplit('/').next())
            .filter(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic()))
            .map(|id| Resumable { id: id.to_owned() })
            .ok_or(Fault::new(
                Kind::StorageProtocol,
                "Storage began an upload without saying where",
            ))
    }

    /// How many bytes of an upload Storage has; `None` if it no longer knows the upload.
    pub async fn offset(&self, upload: &Resumable) -> Result<Option<u64>, Fault> {
        let request = self.tus(Method::HEAD, &format!("/{}", upload.id));
        let response = (self.ask(request, None).await).map_err(|e| self.upload_failed(e))?;
        match response.status {
            StatusCode::OK | StatusCode::NO_CONTENT => offset_of(&response).map(Some),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            _ => Err(answer::refusal(response).await?.fault(&self.settings)),
        }
    }

    /// Appends a chunk at `offset` and returns the new offset, as Storage reports it.
    pub async fn append(
        &self,
        upload: &Resumable,
        offset: u64,
        piece: Bytes,
    ) -> Result<u64, Fault> {
        let request = self
            .tus(Method::PATCH, &format!("/{}", upload.id))
            .timeouts(timeouts(piece.len() as u64))
            .header(UPLOAD_OFFSET, offset.to_string())
            .header(header::CONTENT_TYPE, "application/offset+octet-stream")
            .body(piece);
        let response = (self.http.send(request).await).map_err(|e| self.upload_failed(e))?;
        match response.status {
            StatusCode::NO_CONTENT | StatusCode::OK => offset_of(&response),
            StatusCode::CONFLICT | StatusCode::NOT_FOUND | StatusCode::GONE => Err(Fault::new(
                Kind::StorageTimeout,
                "Storage lost the thread of a large upload; it begins anew",
            )),
            _ => Err(answer::refusal(response).await?.fault(&self.settings)),
        }
    }

    /// Checks that a complete upload became an object with this content.
    pub async fn finish(&self, path: &ObjectPath, content: &Fingerprint) -> Result<(), Fault> {
        match self.info(path.as_str()).await? {
            Some(info) if info.holds(content) != Some(false) => Ok(()),
            Some(_) => Err(Fault::new(
                Kind::ObjectDiffers,
                "Storage has the object with other bytes than were uploaded",
            )),
            None => Err(Fault::new(
                Kind::StorageFailed,
                "Storage does not have the object after its upload",
            )),
        }
    }

    /// Cancels an upload.
    pub async fn abandon(&self, upload: &Resumable) -> Result<(), Fault> {
        let request = self.tus(Method::DELETE, &format!("/{}", upload.id));
        (self.http.send(request).await).map_err(|e| self.upload_failed(e))?;
        Ok(())
    }
}

fn offset_of(response: &outbound::Response) -> Result<u64, Fault> {
    response
        .header(&UPLOAD_OFFSET)
        .and_then(|offset| offset.parse().ok())
        .ok_or(Fault::new(
            Kind::StorageProtocol,
            "Storage does not say how much of an upload it has",
        ))
}
