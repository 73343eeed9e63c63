//! The claims of a signed token, and whether they identify a user.

use serde::Deserialize;
use uuid::Uuid;

use crate::caller::{Refusal, TokenRejection};

/// Tolerated clock skew, in seconds.
const LEEWAY_S: f64 = 30.0;

/// The claims that are used.
#[derive(Debug, Clone, Deserialize)]
pub struct Claims {
    sub: String,
    aud: Audience,
    /// Seconds since 1970; fractions are allowed (RFC 7519, 2).
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    iss: Option<String>,
    /// The Postgres role.
    #[serde(default)]
    role: Option<String>,
    /// The OAuth app that it was issued to; none if the user signed in to the project itself.
    #[serde(default)]
    client_id: Option<String>,
    /// `aal2` after a second factor.
    #[serde(default)]
    aal: Option<String>,
}

/// One audience or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Any(Vec<String>),
}

/// What a token must claim.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The audience that it must be for.
    pub audience: &'a str,
    /// The issuer that it must be from; `None`: anyone who has the signing key.
    pub issuer: Option<&'a str>,
    /// OAuth apps whose tokens are accepted.
    pub clients: &'a [String],
    /// Whether a second factor is required.
    pub second_factor: bool,
    /// The current time, in seconds since 1970.
    pub unix_seconds: i64,
}

impl Claims {
    /// The user, if the token is within its lifetime (30 s of leeway either way), has our audience, and is a
    /// user's at all, which the legacy `anon` and `service_role` keys are not. If only another requirement
    /// fails, the refusal keeps the reason for the log.
    pub fn user(&self, expected: &Expected<'_>) -> Result<Uuid, Refusal> {
        #[expect(clippy::cast_precision_loss, reason = "exact for 285 million years")]
        let now = expected.unix_seconds as f64;
        let in_time = now < self.exp + LEEWAY_S && self.nbf.is_none_or(|nbf| nbf <= now + LEEWAY_S);
        let for_us = match &self.aud {
            Audience::One(audience) => audience == expected.audience,
            Audience::Any(audiences) => audiences.iter().any(|a| a == expected.audience),
        };
        if !in_time || !for_us {
            return Err(Refusal::Unauthorized);
        }
        let from_there = expected
            .issuer
            .is_none_or(|issuer| self.iss.as_deref() == Some(issuer));
        let by_known_app = self
            .client_id
            .as_ref()
            .is_none_or(|client| expected.clients.contains(client));
        let strong_enough = !expected.second_factor || self.aal.as_deref() == Some("aal2");
        for (fit, reason) in [
            (from_there, TokenRejection::Issuer),
            (
                self.role.as_deref() == Some("authenticated"),
                TokenRejection::Role,
            ),
            (by_known_app, TokenRejection::Client),
            (strong_enough, TokenRejection::SecondFactor),
        ] {
            if !fit {
                return Err(Refusal::TokenRejection(reason));
            }
        }
        // Accept only the form that Supabase writes: 36 characters with hyphens.
        (self.sub.len() == 36)
            .then(|| Uuid::try_parse(&self.sub).ok())
            .flatten()
            .ok_or(Refusal::TokenRejection(TokenRejection::Subject))
    }
}
