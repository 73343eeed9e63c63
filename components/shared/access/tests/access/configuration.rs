use access::{Policy, Refusal};
use outbound::Secret;

use crate::tokens::{Draft, SECRET, hmac};
use crate::world::{Instance, JWKS_PATH, ORIGIN};

#[test]
fn without_configuration_nobody_gets_in() {
    let empty = Policy::new()
        .service_keys(&Secret::new(" , ,"))
        .jwt_secret(Secret::new(""))
        .jwks("https://supabase.invalid", JWKS_PATH)
        .audience("")
        .issuer("", "");
    for policy in [Policy::new(), empty] {
        let app = Instance::with(policy);
        let empty_secret = Draft::new().header("alg", "HS256").signed(|m| hmac(b"", m));
        let empty_claims = Draft::new().claim("aud", "").claim("iss", "").hs256();
        let mut tokens = vec![
            String::new(),
            ",".into(),
            "null".into(),
            empty_secret,
            empty_claims,
        ];
        tokens.extend(Draft::new().all_ways());
        for token in tokens {
            assert_eq!(app.bearer(&token), Err(Refusal::Unauthorized), "{token}");
            assert_eq!(
                app.headers(None, Some(&token)),
                Err(Refusal::Unauthorized),
                "{token}"
            );
        }
        assert_eq!(app.world.key_set_asked(), 0);
    }
}

#[test]
fn without_an_audience_no_user_token_passes() {
    let app = Instance::with(
        Policy::new()
            .jwt_secret(Secret::new(SECRET))
            .jwks(ORIGIN, JWKS_PATH),
    );
    for draft in [
        Draft::new(),
        Draft::new().claim("aud", ""),
        Draft::new().without("aud"),
    ] {
        for token in draft.all_ways() {
            assert_eq!(app.bearer(&token), Err(Refusal::Unauthorized));
        }
    }
}

#[test]
fn a_secret_that_could_be_guessed_signs_nothing() {
    let short = "only-thirty-one-bytes-of-secret";
    assert_eq!(short.len(), 31);
    let app = Instance::with(
        Policy::new()
            .jwt_secret(Secret::new(short))
            .audience("authenticated"),
    );
    let token = Draft::new()
        .header("alg", "HS256")
        .signed(|m| hmac(short.as_bytes(), m));
    assert_eq!(app.bearer(&token), Err(Refusal::Unauthorized));
}
