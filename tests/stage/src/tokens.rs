//! Tokens of Supabase Auth.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// What [`token_of`] signs with: the app accepts its tokens where this is `jwt_secret`.
pub const JWT_SECRET: &str = "super-secret-jwt-token-with-at-least-32-characters-long";

/// Who issues them: the app's `jwt_issuer`.
pub const ISSUER: &str = "https://stage.example/auth/v1";

/// The token of a user, good for an hour.
pub fn token_of(user: &str) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = json!({
        "iss": ISSUER, "sub": user, "aud": "authenticated", "role": "authenticated", "iat": now, "exp": now + 3600,
    });
    let header = json!({"alg": "HS256", "typ": "JWT"});
    signed_token(&header, &claims, JWT_SECRET.as_bytes())
}

/// A token of these two parts, with an HMAC-SHA-256 whatever the header says.
pub fn signed_token(header: &Value, claims: &Value, secret: &[u8]) -> Result<String> {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let mac = Hmac::<Sha256>::new_from_slice(secret)?.chain_update(&signed);
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    Ok(format!("{signed}.{signature}"))
}
