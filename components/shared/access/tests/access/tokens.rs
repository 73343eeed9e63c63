//! Tokens as Supabase Auth issues them, and invalid variants.

use std::convert::Infallible;
use std::sync::OnceLock;

use access::Caller;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::Signer;
use rsa::RsaPrivateKey;
use rsa::rand_core::{TryCryptoRng, TryRng};
use rsa::signature::SignatureEncoding;
use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::world::{ISSUER, UNIX_SECONDS};

pub const SECRET: &str = "super-secret-jwt-token-with-at-least-32-characters-long";
pub const USER: Uuid = uuid::uuid!("11111111-2222-4333-8444-555555555555");
pub const EC_KEY_ID: &str = "ec-1";
pub const RSA_KEY_ID: &str = "rsa-1";

pub fn user(admin: bool) -> Caller {
    Caller::User { id: USER, admin }
}

pub fn ec_key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap()
}

pub fn rsa_key() -> &'static RsaPrivateKey {
    static KEY: OnceLock<RsaPrivateKey> = OnceLock::new();
    KEY.get_or_init(|| RsaPrivateKey::new(&mut Dice(42), 2048).unwrap())
}

/// A random number generator with a fixed seed.
pub struct Dice(pub u64);

impl TryRng for Dice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|n| (n >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let n = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(n ^ (n >> 31))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let throw = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&throw[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Dice {}

pub fn ec_jwk(id: &str, key: &p256::ecdsa::SigningKey) -> Value {
    let point = key.verifying_key().to_sec1_point(false);
    let point = point.as_bytes();
    json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": id,
            "x": base64url(&point[1..33]), "y": base64url(&point[33..65]) })
}

pub fn rsa_jwk(id: &str, key: &RsaPrivateKey) -> Value {
    json!({ "kty": "RSA", "alg": "RS256", "use": "sig", "kid": id,
            "n": base64url(&key.n_bytes()), "e": base64url(&key.e_bytes()) })
}

pub fn key_set_of(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

/// The initial key set of the world.
pub fn key_set() -> Vec<u8> {
    key_set_of(&[ec_jwk(EC_KEY_ID, &ec_key()), rsa_jwk(RSA_KEY_ID, rsa_key())])
}

pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Builder of a token; the default is an ordinary user's.
#[derive(Clone)]
pub struct Draft {
    header: Value,
    claims: Value,
}

impl Draft {
    pub fn new() -> Self {
        Self {
            header: json!({ "typ": "JWT" }),
            claims: json!({
                "iss": ISSUER, "sub": USER, "aud": "authenticated", "role": "authenticated",
                "iat": UNIX_SECONDS, "exp": UNIX_SECONDS + 3600, "email": "ada@example.com",
            }),
        }
    }

    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    pub fn without(mut self, claim: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(claim);
        self
    }

    /// The part that gets signed.
    pub fn unsigned(&self) -> String {
        let part = |value: &Value| base64url(value.to_string().as_bytes());
        format!("{}.{}", part(&self.header), part(&self.claims))
    }

    pub fn signed(&self, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
        let unsigned = self.unsigned();
        let signature = base64url(&sign(unsigned.as_bytes()));
        format!("{unsigned}.{signature}")
    }

    pub fn hs256(self) -> String {
        self.header("alg", "HS256")
            .signed(|m| hmac(SECRET.as_bytes(), m))
    }

    pub fn es256(self) -> String {
        let named = self.header("alg", "ES256").header("kid", EC_KEY_ID);
        named.signed(|m| ecdsa(&ec_key(), m))
    }

    pub fn rs256(self) -> String {
        let named = self.header("alg", "RS256").header("kid", RSA_KEY_ID);
        named.signed(|m| rsassa(rsa_key(), m))
    }

    /// Signs it correctly with each of the three algorithms.
    pub fn all_ways(self) -> [String; 3] {
        [self.clone().hs256(), self.clone().es256(), self.rs256()]
    }
}

pub fn hmac(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

pub fn ecdsa(key: &p256::ecdsa::SigningKey, message: &[u8]) -> Vec<u8> {
    let signature: p256::ecdsa::Signature = key.sign(message);
    signature.to_bytes().to_vec()
}

pub fn rsassa(key: &RsaPrivateKey, message: &[u8]) -> Vec<u8> {
    let key = rsa::pkcs1v15::SigningKey::<Sha256>::new(key.clone());
    key.sign(message).to_vec()
}
