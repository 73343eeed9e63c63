//! The public keys that Supabase Auth signs with (JWKS, RFC 7517).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fault::{Fault, Kind};
use http::{Method, StatusCode};
use outbound::{Http, Request, Timeouts, TransportError};
use serde::Deserialize;

use crate::signature::{Algorithm, VerifyingKey};

/// Maximum length of a key set, in bytes. A key takes about 250, or 900 with its certificates.
pub const MAX_KEY_SET_BYTES: usize = 64 * 1024;

const MAX_KEYS: usize = 32;

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    first_byte: Duration::from_secs(5),
    between_bytes: Duration::from_secs(5),
};

/// Public keys, by id and algorithm.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Vec<(String, VerifyingKey)>);

impl KeySet {
    /// The key with this id for this algorithm.
    pub fn find(&self, key_id: &str, algorithm: Algorithm) -> Option<&VerifyingKey> {
        let mut keys = self.0.iter();
        let (_, key) = keys.find(|(id, key)| id == key_id && key.algorithm() == algorithm)?;
        Some(key)
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// Parses a key set. Unusable keys (of another type, for encryption, broken, without an id) are skipped, as
/// RFC 7517 requires; `None` if it is not a key set.
pub fn parse_key_set(json: &[u8]) -> Option<KeySet> {
    if json.len() > MAX_KEY_SET_BYTES {
        return None;
    }
    let document: Document = serde_json::from_slice(json).ok()?;
    let keys = document.keys.into_iter().filter_map(|jwk| {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let key = verifying_key(&jwk)?;
        Some((jwk.kid, key))
    });
    Some(KeySet(keys.take(MAX_KEYS).collect()))
}

fn verifying_key(jwk: &Jwk) -> Option<VerifyingKey> {
    let fits = |algorithm| {
        jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk
                .alg
                .as_deref()
                .is_none_or(|alg| Algorithm::named(alg) == Some(algorithm))
    };
    match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("EC", Some("P-256")) if fits(Algorithm::Es256) => {
            VerifyingKey::es256(&number(jwk.x.as_deref())?, &number(jwk.y.as_deref())?)
        }
        ("RSA", _) if fits(Algorithm::Rs256) => {
            VerifyingKey::rs256(&number(jwk.n.as_deref())?, &number(jwk.e.as_deref())?)
        }
        // Symmetric keys (`oct`) are skipped too: a published secret is no secret.
        _ => None,
    }
}

fn number(base64url: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(base64url?).ok()
}

/// Fetches the key set from this URL.
pub(crate) async fn fetch(http: &impl Http, url: &str) -> Result<KeySet, Fault> {
    let request = Request::new(Method::GET, url)
        .header(http::header::ACCEPT, "application/json")
        .timeouts(TIMEOUTS);
    let response = http.send(request).await.map_err(|e| unanswered(&e))?;
    match response.status {
        StatusCode::OK => {}
        // A project without asymmetric keys, or a self-hosted Auth that predates them: no token can be
        // verified.
        StatusCode::NOT_FOUND => return Ok(KeySet::default()),
        status => {
            return Err(Fault::told(
                Kind::StorageProtocol,
                format!("the key set for user tokens: HTTP {}", status.as_u16()),
            )
            .retry_after(response.retry_after()));
        }
    }
    let json = response
        .bytes(MAX_KEY_SET_BYTES)
        .await
        .map_err(|e| unanswered(&e))?;
    parse_key_set(&json).ok_or(Fault::new(
        Kind::StorageProtocol,
        "the key set for user tokens is no JSON Web Key Set: check storage_url and jwks_path",
    ))
}

fn unanswered(error: &TransportError) -> Fault {
    let kind = match error {
        TransportError::NotAllowed => Kind::Setting,
        TransportError::TooLong { .. } => Kind::StorageProtocol,
        _ if error.is_unreachable() => Kind::StorageUnreachable,
        _ => Kind::StorageTimeout,
    };
    Fault::told(kind, format!("the key set for user tokens: {error}"))
}
