//! Who is calling: the service, an anonymous visitor, or nobody who is known.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::Value;

use super::KeyHeaders;
use super::answers::Refusal;

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Everything.
    Service,
    /// What row-level security lets anyone do: nothing, in a private bucket.
    Anonymous,
}

/// The bearer of the Authorization header, with or without the word.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    Some(match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => value,
    })
}

/// Whether a key is given at all.
pub(crate) fn is_given(headers: &HeaderMap, headers_of_key: KeyHeaders) -> bool {
    headers.contains_key(AUTHORIZATION)
        || (headers_of_key != KeyHeaders::OnlyBearer && headers.contains_key("apikey"))
}

/// The key, where it is taken from the headers that it came in.
fn given(headers: &HeaderMap, headers_of_key: KeyHeaders) -> Result<&str, Refusal> {
    let apikey = headers.get("apikey").and_then(|key| key.to_str().ok());
    match (headers_of_key, bearer(headers)) {
        (KeyHeaders::Hosted, Some(bearer)) if bearer.starts_with("sb_") => {
            Err(Refusal::token("Invalid Compact JWS"))
        }
        (KeyHeaders::Hosted | KeyHeaders::OnlyBearer, Some(bearer)) => Ok(bearer),
        (KeyHeaders::Hosted | KeyHeaders::OnlyApikey, None) => {
            apikey.ok_or_else(Refusal::no_authorization)
        }
        (KeyHeaders::OnlyApikey | KeyHeaders::Neither, Some(_)) => {
            Err(Refusal::token("Invalid Compact JWS"))
        }
        (KeyHeaders::OnlyBearer | KeyHeaders::Neither, None) => Err(Refusal::no_authorization()),
    }
}

/// Tells the caller, or says what is wrong with the token.
pub(crate) fn tell(
    headers: &HeaderMap,
    headers_of_key: KeyHeaders,
    service_keys: &[String],
    anonymous_keys: &[String],
) -> Result<Caller, Refusal> {
    let token = given(headers, headers_of_key)?;
    if service_keys.iter().any(|key| key == token) {
        return Ok(Caller::Service);
    }
    if anonymous_keys.iter().any(|key| key == token) {
        return Ok(Caller::Anonymous);
    }
    let mut parts = token.split('.');
    let (Some(head), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::token("Invalid Compact JWS"));
    };
    let json = |part: &str| -> Option<Value> {
        let part = BASE64_URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice(&part).ok()
    };
    let Some(head) = json(head) else {
        return Err(Refusal::token("JWS Protected Header is invalid"));
    };
    if head.get("alg").and_then(Value::as_str) == Some("none") {
        return Err(Refusal::token(
            "\"alg\" (Algorithm) Header Parameter value not allowed",
        ));
    }
    let claims = json(claims);
    // The signature of a key that has run out is taken for good, so that both refusals can be had.
    let expired = claims
        .and_then(|claims| claims.get("exp").and_then(Value::as_i64))
        .is_some_and(|at| at < crate::odoo::now_us() / 1_000_000);
    Err(Refusal::token(if expired {
        "\"exp\" claim timestamp check failed"
    } else {
        "signature verification failed"
    }))
}
