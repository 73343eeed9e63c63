//! User tokens: parsed, but not yet trusted.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use crate::caller::MAX_TOKEN_BYTES;
use crate::claims::Claims;
use crate::signature::{Algorithm, VerifyingKey};

/// A JWT whose signature has not been verified. Its claims can only be read through
/// [`UntrustedJwt::signed_by`].
pub struct UntrustedJwt<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    signed: &'a str,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

/// The header fields that are used. A key inside the token, or the URL of one (`jwk`, `jku`, `x5c`, `x5u`),
/// is ignored.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    /// Extensions that must be understood. None is supported, so a token with any is rejected.
    #[serde(default, rename = "crit", deserialize_with = "present")]
    has_critical: bool,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// Parses a token in compact form (RFC 7515): at most 8 KiB, three parts in strict base64url, a supported
/// algorithm, no critical extension. `None` for anything else.
pub fn parse_jwt_untrusted(token: &str) -> Option<UntrustedJwt<'_>> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    // A fourth part would be in the claims, and base64url has no dot.
    let header: Header = object(&decoded(header)?)?;
    if header.has_critical {
        return None;
    }
    Some(UntrustedJwt {
        algorithm: Algorithm::named(&header.alg)?,
        key_id: header.kid,
        signed,
        claims: decoded(claims)?,
        signature: decoded(signature)?,
    })
}

impl UntrustedJwt<'_> {
    /// The algorithm that the token claims.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The id of the key that the token claims (`kid`).
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The claims, if `key` signed the token with the algorithm that the token claims.
    pub fn signed_by(&self, key: &VerifyingKey) -> Option<Claims> {
        key.verifies(self.algorithm, self.signed.as_bytes(), &self.signature)
            .then(|| object(&self.claims))
            .flatten()
    }
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

/// Parses a JSON object. The check is needed because serde also accepts an array of the values.
fn object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    json.trim_ascii_start()
        .starts_with(b"{")
        .then(|| serde_json::from_slice(json).ok())?
}
