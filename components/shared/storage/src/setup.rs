//! Requests that only the setup check makes.

use fault::{Fault, Kind};
use http::{HeaderName, Method, StatusCode, header};
use outbound::{Http, Request};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::object::{no_json, timeouts};
use crate::resumable::NO_PIECES;
use crate::{Storage, answer};

const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");

/// A bucket, as Storage describes it. Unexpected fields are ignored, so that an unusual description stops no
/// batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Whether anyone may read its objects.
    pub public: bool,
    /// Maximum size of an object in bytes; `None`: the limit of the project.
    pub file_size_limit: Option<u64>,
    /// Allowed media types, such as `image/*`; `None`: all.
    pub allowed_mime_types: Option<Vec<String>>,
}

impl From<&Map<String, Value>> for Bucket {
    fn from(told: &Map<String, Value>) -> Self {
        let limit = told.get("file_size_limit");
        let types = told.get("allowed_mime_types").and_then(Value::as_array);
        let named = |types: &Vec<Value>| {
            let named = types.iter().filter_map(Value::as_str);
            named.map(str::to_owned).collect()
        };
        Self {
            public: told.get("public") == Some(&Value::Bool(true)),
            file_size_limit: limit.and_then(|limit| match limit {
                Value::String(digits) => digits.parse().ok(),
                number => number.as_u64(),
            }),
            allowed_mime_types: types.map(named),
        }
    }
}

impl Bucket {
    /// Whether it accepts this media type (parameters are ignored; code of storage-api 1.70).
    pub fn takes(&self, media_type: &str) -> bool {
        let bare = media_type.split(';').next().unwrap_or_default().trim();
        self.allowed_mime_types.as_ref().is_none_or(|allowed| {
            allowed.iter().any(|allowed| {
                let family = allowed.strip_suffix('*');
                allowed == bare || family.is_some_and(|family| bare.starts_with(family))
            })
        })
    }
}

impl<H: Http> Storage<H> {
    /// Creates the bucket, as a private one.
    pub async fn create_bucket(&self) -> Result<(), Fault> {
        let name = &self.settings.bucket;
        let bucket = json!({ "id": name, "name": name, "public": false }).to_string();
        let request = self
            .request(Method::POST, "/bucket")
            .header(header::CONTENT_TYPE, "application/json")
            .body(bucket.into_bytes());
        let response = self.http.send(request).await.map_err(answer::transport)?;
        if response.status.is_success() {
            return Ok(());
        }
        Err(answer::refusal(response).await?.fault(&self.settings))
    }

    /// The project's own limit for uploads, whatever the bucket's limit, if Storage reports it.
    pub async fn project_limit(&self) -> Result<Option<u64>, Fault> {
        let request = self.tus(Method::OPTIONS, "");
        let response = (self.ask(request, None).await).map_err(|e| self.upload_failed(e))?;
        let limit = response.header(&TUS_MAX_SIZE);
        let limit = limit.and_then(|limit| limit.trim().parse().ok());
        if response.status == StatusCode::NOT_FOUND {
            let refusal = answer::refusal(response).await?;
            if refusal.is_no_route() {
                return Err(Fault::new(Kind::TooLarge, NO_PIECES));
            }
        }
        Ok(limit)
    }

    /// Checks that URLs can be signed, and that a signed URL of `object` opens. Without an object, signing a
    /// missing one must fail with `NoSuchKey`, which shows that signing works.
    pub async fn check_signed(&self, object: Option<&str>) -> Result<(), Fault> {
        #[derive(Deserialize)]
        struct Signed {
            #[serde(rename = "signedURL")]
            url: String,
        }
        let bucket = self.settings.bucket_segment();
        let path = object.unwrap_or("00/signing-check");
        let request = self
            .request(Method::POST, &format!("/object/sign/{bucket}/{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(&br#"{"expiresIn":60}"#[..]);
        let response = self.http.send(request).await.map_err(answer::transport)?;
        if !response.status.is_success() {
            let refusal = answer::refusal(response).await?;
            return if object.is_none() && refusal.code == "NoSuchKey" {
                Ok(())
            } else {
                Err(refusal.fault(&self.settings))
            };
        }
        let body = response.bytes(answer::ANSWER_BYTES).await;
        let body = body.map_err(answer::transport)?;
        let signed: Signed = serde_json::from_slice(&body).map_err(|_| no_json())?;
        self.calls.set(self.calls.get() + 1);
        // Open it without the key, as anybody would.
        let address = self.settings.address(&self.settings.url, &signed.url);
        let request = Request::new(Method::GET, address)
            .timeouts(timeouts(0))
            .header(header::RANGE, "bytes=0-0");
        let response = self.http.send(request).await.map_err(answer::transport)?;
        // An empty object has no first byte.
        if response.status.is_success() || response.status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(());
        }
        Err(answer::refusal(response).await?.fault(&self.settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_bucket_is_read_as_far_as_it_is_understood() {
        let of = |told: Value| Bucket::from(told.as_object().unwrap());
        let typed = Bucket {
            public: true,
            file_size_limit: Some(50),
            allowed_mime_types: Some(vec!["image/*".to_owned()]),
        };
        let as_today =
            json!({"public": true, "file_size_limit": 50, "allowed_mime_types": ["image/*"]});
        assert_eq!(of(as_today), typed);
        for odd in [
            json!({}),
            json!({"public": null, "file_size_limit": null, "allowed_mime_types": null}),
            json!({"public": "no", "file_size_limit": "much", "allowed_mime_types": "all"}),
        ] {
            assert_eq!(of(odd), Bucket::default());
        }
        assert_eq!(
            of(json!({"file_size_limit": "50"})).file_size_limit,
            Some(50)
        );
    }
}
