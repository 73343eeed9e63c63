//! Storage's error responses, and their meaning.
//!
//! Nearly every error is HTTP 400 with the real status as text in the body, so errors are recognised by their
//! `code` (seen on storage-api 1.11).

use fault::{Fault, Kind};
use outbound::{Response, TransportError};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::Settings;

pub(crate) const ANSWER_BYTES: usize = 64 * 1024;
/// By these words a project is full, or the disk of a self-hosted Storage.
const FULL: [&str; 3] = ["quota", "insufficient storage", "enospc"];

/// The body of an error response.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Refusal {
    #[serde(rename = "statusCode", default, deserialize_with = "text_or_number")]
    pub(crate) status_code: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    pub(crate) code: String,
}

/// For an unknown route the status is a number (seen on storage-api 1.70).
fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    })
}

/// The fault for a request without a response.
pub(crate) fn transport(error: TransportError) -> Fault {
    match error {
        TransportError::Refused => Fault::new(
            Kind::StorageUnreachable,
            "Storage refused the connection: check storage_url, and that it is up",
        ),
        TransportError::NoSuchHost => Fault::new(
            Kind::StorageUnreachable,
            "Storage's host does not resolve: check storage_url",
        ),
        TransportError::NotAllowed => Fault::new(
            Kind::Setting,
            "storage_url is not an allowed host: it must be scheme://host[:port] without a path",
        ),
        TransportError::Tls => Fault::new(
            Kind::StorageUnreachable,
            "no TLS connection to Storage: check storage_url (http or https?) and its certificate",
        ),
        TransportError::Timeout => {
            Fault::new(Kind::StorageTimeout, "Storage did not answer in time")
        }
        TransportError::Reset => Fault::new(Kind::StorageTimeout, "Storage dropped the connection"),
        error @ TransportError::Encoded(_) => {
            Fault::told(Kind::StorageProxy, format!("Storage: {error}"))
        }
        other => Fault::told(
            Kind::StorageTimeout,
            format!("no answer of Storage: {other}"),
        ),
    }
}

/// Parses an error response. Anything that is neither Storage's JSON nor its plain text for resumable uploads
/// comes from a proxy: its status says nothing about the key or the object.
pub(crate) async fn refusal(response: Response) -> Result<Refusal, Fault> {
    let status = response.status.as_u16();
    if matches!(status, 429 | 502 | 503 | 504 | 544) {
        return Err(Fault::told(
            Kind::StorageBusy,
            format!("Storage is busy (HTTP {status})"),
        )
        .retry_after(response.retry_after()));
    }
    if matches!(status, 520..=530) {
        return Err(Fault::told(
            Kind::StorageBusy,
            format!("{} cannot reach it (HTTP {status})", proxy(&response)),
        ));
    }
    let json = response.is_json();
    let plain = response.headers.contains_key("tus-resumable");
    let by_proxy = by_proxy(&response);
    let body = response.bytes(ANSWER_BYTES).await.map_err(transport)?;
    let told: Option<Refusal> = json.then(|| serde_json::from_slice(&body).ok()).flatten();
    match told {
        Some(refusal) if !refusal.status_code.is_empty() || !refusal.code.is_empty() => {
            Ok(refusal.coded())
        }
        // Supabase's own gateway, whose body has no status.
        Some(refusal) if status == 401 => Ok(Refusal {
            status_code: status.to_string(),
            ..refusal
        }),
        None if plain => Ok(Refusal {
            status_code: status.to_string(),
            message: String::from_utf8_lossy(&body).into_owned(),
            ..Refusal::default()
        }),
        _ => Err(by_proxy),
    }
}

/// The fault for a response of a proxy in place of Storage's.
fn by_proxy(response: &Response) -> Fault {
    let status = response.status.as_u16();
    let proxy = proxy(response);
    match status {
        402 => Fault::told(
            Kind::QuotaExceeded,
            format!("quota exceeded ({proxy} answered HTTP 402): look at the project's usage"),
        ),
        413 => Fault::told(
            Kind::FileBlocked,
            format!(
                "{proxy} takes no request of this size (HTTP 413): let it take 8 MiB (nginx: client_max_body_size 8m)"
            ),
        ),
        423 => Fault::told(
            Kind::StorageTimeout,
            format!("{proxy} says that another request holds it (HTTP 423)"),
        ),
        500..=599 => Fault::told(
            Kind::StorageFailed,
            format!("{proxy} answered HTTP {status} in its place"),
        ),
        _ => Fault::told(
            Kind::StorageProxy,
            format!(
                "{proxy} answered HTTP {status} in its place: let requests to storage_url through, whatever their path and content"
            ),
        ),
    }
}

/// The proxy, with the name that it gives itself.
fn proxy(response: &Response) -> String {
    let name = response.header(&http::header::SERVER).filter(|name| {
        name.len() <= 40
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._/ ".contains(&b))
    });
    match name {
        Some(name) => format!("a proxy before Storage ({name})"),
        None => "a proxy before Storage".to_owned(),
    }
}

impl Refusal {
    /// Before 1.0 (April 2024) errors have no code: those whose code matters are recognised by their text.
    fn coded(mut self) -> Self {
        if !self.code.is_empty() {
            return self;
        }
        let words = [&self.error, &self.message].map(|words| words.to_ascii_lowercase());
        let says = |word| words.iter().any(|words| words.contains(word));
        let code = match self.status_code.as_str() {
            "404" if self.is_no_route() => "",
            "404" if says("bucket") => "NoSuchBucket",
            "404" => "NoSuchKey",
            "400" if says("key") && says("invalid") => "InvalidKey",
            _ => "",
        };
        code.clone_into(&mut self.code);
        self
    }

    /// Whether this Storage does not know the route.
    pub(crate) fn is_no_route(&self) -> bool {
        self.status_code == "404" && self.message.starts_with("Route ")
    }

    /// The fault for storing or reading an object, with the key removed from its message.
    pub(crate) fn fault(&self, settings: &Settings) -> Fault {
        self.meaning(&settings.bucket).hiding(settings.key.reveal())
    }

    /// Whether there are no bytes: no object of this name, or only its row, as after a restore of the
    /// database alone. In that case the error of the backend comes through: S3's, or that of the file system
    /// (code of storage-api 1.70).
    pub(crate) fn lacks_bytes(&self) -> bool {
        let said = self.said();
        match self.code.as_str() {
            "NoSuchKey" => true,
            "S3Error" => self.status_code == "404" || said == "NoSuchKey",
            "InternalError" => said.contains("ENOENT"),
            _ => false,
        }
    }

    /// The error's message.
    pub(crate) fn said(&self) -> &str {
        if self.message.is_empty() {
            &self.error
        } else {
            &self.message
        }
    }

    fn meaning(&self, bucket: &str) -> Fault {
        let said = self.said();
        match (self.code.as_str(), self.status_code.as_str()) {
            ("NoSuchBucket", _) => Fault::told(
                Kind::BucketMissing,
                format!(
                    "Storage has no bucket {bucket:?}, or the key may not see it: create it as a private bucket, or set storage_bucket"
                ),
            ),
            ("AccessDenied", _) | (_, "401" | "403") => Fault::told(
                Kind::StorageLogin,
                format!("Storage refused the key: check storage_key ({said})"),
            ),
            ("InvalidRequest", _) if said.contains("authorization") => {
                Fault::new(Kind::StorageLogin, "Storage got no key: check storage_key")
            }
            _ if self.is_quota() => Fault::told(
                Kind::QuotaExceeded,
                format!("bucket quota exceeded ({said})"),
            ),
            ("EntityTooLarge", _) | (_, "413") => Fault::new(
                Kind::TooLarge,
                "larger than the bucket allows: raise its file size limit, then odoo_sync.retry()",
            ),
            ("InvalidMimeType", _) | (_, "415") => Fault::told(
                Kind::MimeRefused,
                format!("{said}: allow it in the bucket, then odoo_sync.retry()"),
            ),
            ("InvalidKey", _) => Fault::told(
                Kind::NameRefused,
                format!("Storage refuses the name: {said}"),
            ),
            ("NoSuchKey", _) => Fault::new(Kind::StorageFailed, "the object is not there"),
            // A resumable upload is locked: another request still holds it.
            (_, "423") => Fault::new(
                Kind::StorageTimeout,
                "Storage says that another request holds this upload",
            ),
            ("SlowDown" | "TooManyRequests" | "DatabaseTimeout" | "ResourceLocked", _)
            | (_, "429" | "503" | "544") => {
                Fault::told(Kind::StorageBusy, format!("Storage is busy ({said})"))
            }
            _ => Fault::told(
                Kind::StorageFailed,
                format!(
                    "Storage failed ({} {}): {said}",
                    self.status_code, self.code
                ),
            ),
        }
    }

    fn is_quota(&self) -> bool {
        let words = [&self.code, &self.error, &self.message].map(|w| w.to_ascii_lowercase());
        matches!(self.status_code.as_str(), "402" | "507")
            || words
                .iter()
                .any(|w| FULL.iter().any(|full| w.contains(full)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_without_a_code_are_told_by_their_words() {
        for (body, code) in [
            (
                r#"{"statusCode":"404","error":"Not found","message":"The resource was not found"}"#,
                "NoSuchKey",
            ),
            (
                r#"{"statusCode":"404","error":"not_found","message":"Object not found"}"#,
                "NoSuchKey",
            ),
            (
                r#"{"statusCode":"404","error":"Bucket not found","message":"Bucket not found"}"#,
                "NoSuchBucket",
            ),
            (
                r#"{"statusCode":"400","error":"Invalid Input","message":"The key contains invalid characters"}"#,
                "InvalidKey",
            ),
            (
                r#"{"statusCode":"404","error":"Not Found","message":"Route POST:/upload/resumable not found"}"#,
                "",
            ),
            (
                r#"{"statusCode":"409","error":"Duplicate","message":"The resource already exists"}"#,
                "",
            ),
            (
                r#"{"statusCode":"404","error":"Bucket not found","message":"x","code":"Other"}"#,
                "Other",
            ),
        ] {
            let refusal: Refusal = serde_json::from_str(body).unwrap();
            assert_eq!(refusal.coded().code, code, "{body}");
        }
    }

    #[test]
    fn recorded_errors_are_told_by_their_code() {
        for (body, kind) in [
            (
                r#"{"statusCode":"404","error":"Bucket not found","message":"Bucket not found","code":"NoSuchBucket"}"#,
                Kind::BucketMissing,
            ),
            (
                r#"{"statusCode":"413","error":"Payload too large","message":"The object exceeded the maximum allowed size","code":"EntityTooLarge"}"#,
                Kind::TooLarge,
            ),
            (
                r#"{"statusCode":"415","error":"invalid_mime_type","message":"mime type image/jpeg is not supported","code":"InvalidMimeType"}"#,
                Kind::MimeRefused,
            ),
            (
                r#"{"statusCode":"400","error":"InvalidKey","message":"Invalid key: u/café.pdf","code":"InvalidKey"}"#,
                Kind::NameRefused,
            ),
            (
                r#"{"statusCode":"400","error":"Error","message":"headers must have required property 'authorization'","code":"InvalidRequest"}"#,
                Kind::StorageLogin,
            ),
            (
                r#"{"statusCode":"403","error":"Unauthorized","message":"signature verification failed","code":"AccessDenied"}"#,
                Kind::StorageLogin,
            ),
            (
                r#"{"statusCode":"500","error":"Internal","message":"Internal Server Error","code":"InternalError"}"#,
                Kind::StorageFailed,
            ),
            (
                r#"{"statusCode":"507","error":"Insufficient Storage","message":"quota exceeded","code":""}"#,
                Kind::QuotaExceeded,
            ),
            (
                r#"{"statusCode":"500","error":"Error","message":"ENOSPC: no space left on device, write","code":"InternalError"}"#,
                Kind::QuotaExceeded,
            ),
            // In text, of a resumable upload.
            (
                r#"{"statusCode":"500","message":"Something went wrong with that request\nENOSPC: no space left on device, write\n"}"#,
                Kind::QuotaExceeded,
            ),
        ] {
            let refusal: Refusal = serde_json::from_str(body).unwrap();
            assert_eq!(refusal.meaning("files").kind(), kind, "{body}");
        }
    }
}
