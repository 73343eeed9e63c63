//! What callers show: tokens, what signed ones claim, and the keys that sign them.

use access::{Cache, Caller, MAX_TOKEN_BYTES, Policy, Refusal, identify};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::executor::block_on;
use hmac::{Hmac, KeyInit, Mac};
use ledger::{Postgres, PostgresError};
use outbound::{Clock, Secret};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::outside::{InstantClock, ORIGIN, Recorded, Server};

const SECRET: &str = "super-secret-jwt-token-with-at-least-32-characters-long";
const AUDIENCE: &str = "authenticated";
const LEEWAY_S: f64 = 30.0;

/// A Postgres that accepts no key, and has one admin.
struct NoKeys;

const ADMIN: Uuid = Uuid::from_u128(0x1111_1111_2222_4333_8444_5555_5555_5555);

impl Postgres for NoKeys {
    async fn run(&self, _: &'static str, argument: Vec<u8>) -> Result<Vec<Vec<u8>>, PostgresError> {
        let argument: Value = serde_json::from_slice(&argument).unwrap();
        Ok(match argument.get("user") {
            Some(user) => vec![json!(*user == json!(ADMIN)).to_string().into_bytes()],
            None => Vec::new(),
        })
    }
}

fn who(authorization: &str, apikey: Option<&str>, key_set: &[u8]) -> Result<Caller, Refusal> {
    let policy = Policy::new()
        .jwt_secret(Secret::new(SECRET))
        .jwks(ORIGIN, "/keys.json")
        .audience(AUDIENCE);
    let server = Server::new(Recorded::read(key_set), 97);
    let clock = InstantClock::default();
    block_on(identify(
        Some(authorization),
        apikey,
        &policy,
        &Cache::new(),
        &NoKeys,
        &server,
        &clock,
    ))
}

/// A key set with the P-256 key whose secret is 7, 7, 7, …: nothing that a fuzzer would sign with.
fn key_set() -> Vec<u8> {
    let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point.as_bytes()[range]);
    let jwk = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "ec-1", "x": part(1..33), "y": part(33..65)});
    json!({ "keys": [jwk] }).to_string().into_bytes()
}

/// Headers of a stranger: `Authorization`, and after a line break `apikey`. Nobody gets in.
pub fn tokens(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (authorization, apikey) = match text.split_once('\n') {
        Some((authorization, apikey)) => (authorization, Some(apikey)),
        None => (text.as_ref(), None),
    };
    if let Some(jwt) = access::parse_jwt_untrusted(authorization) {
        assert!(authorization.len() <= MAX_TOKEN_BYTES);
        assert_eq!(authorization.split('.').count(), 3);
        assert!(jwt.key_id().is_none_or(|id| id.len() <= MAX_TOKEN_BYTES));
    }
    let keys = key_set();
    for authorization in [authorization, &format!("Bearer {authorization}")] {
        let caller = who(authorization, apikey, &keys);
        assert_eq!(
            caller,
            Err(Refusal::Unauthorized),
            "{authorization:?} got in"
        );
    }
    let words = access::refusal_words(&Refusal::Unauthorized, Some(authorization), apikey);
    assert!(words.is_ascii() && words.len() < 200);
}

/// What a token claims that is rightly signed. Whoever gets in is the user that it names, in time and
/// meant for us, by another reading of the same document.
pub fn claims(data: &[u8]) {
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(data));
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    let signature = mac.chain_update(&signed).finalize().into_bytes();
    let token = format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    let Ok(Caller::User { id, admin }) = who(&token, None, b"{\"keys\":[]}") else {
        return;
    };
    assert!(token.len() <= MAX_TOKEN_BYTES + "Bearer ".len());
    // What is not heeded may be of a kind that this reading does not take, such as 1e999.
    let Ok(claims) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let named = claims["sub"].as_str();
    assert!(named.is_some_and(|sub| sub.eq_ignore_ascii_case(&id.to_string())));
    assert_eq!(admin, id == ADMIN);
    let for_us = |audience: &Value| audience == AUDIENCE;
    assert!(
        for_us(&claims["aud"])
            || claims["aud"]
                .as_array()
                .is_some_and(|all| all.iter().any(for_us))
    );
    #[expect(clippy::cast_precision_loss, reason = "exact for 285 million years")]
    let now = InstantClock::default().unix_seconds() as f64;
    assert!(
        claims["exp"]
            .as_f64()
            .is_some_and(|exp| now < exp + LEEWAY_S)
    );
    assert!(
        claims["nbf"]
            .as_f64()
            .is_none_or(|nbf| nbf <= now + LEEWAY_S)
    );
}

/// A key set, and the answer that brings it. A stranger's token is no better for it.
pub fn key_sets(data: &[u8]) {
    if let Some(keys) = access::parse_key_set(data) {
        assert!(keys.len() <= 32 && data.len() <= access::MAX_KEY_SET_BYTES);
    }
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"ES256","kid":"ec-1"}"#);
    let claims = json!({"sub": ADMIN, "aud": AUDIENCE, "exp": 1_900_000_000});
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    let signature = URL_SAFE_NO_PAD.encode([1; 64]);
    let token = format!("Bearer {header}.{claims}.{signature}");
    assert!(who(&token, None, data).is_err());
}
