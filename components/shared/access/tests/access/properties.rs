use access::{Refusal, parse_jwt_untrusted, parse_key_set};
use proptest::prelude::*;

use crate::tokens::{Draft, SECRET, base64url, hmac, key_set};
use crate::world::Instance;

/// Text similar to a token, to get past the first checks.
fn almost_token() -> impl Strategy<Value = String> {
    let header = prop_oneof![
        Just(r#"{"alg":"HS256"}"#.to_owned()),
        Just(r#"{"alg":"ES256","kid":"ec-1"}"#.to_owned()),
        Just(r#"{"alg":"RS256","kid":"rsa-1"}"#.to_owned()),
        r#"\{"alg":"(HS256|ES256|RS256|none)","kid":"?[a-z0-9-]{0,5}"?,"crit":.{0,5}\}"#,
        ".*",
    ];
    let claims = prop_oneof![
        ".*",
        r#"\{"sub":"[0-9a-f-]{36}","aud":"?authenticated"?,"exp":-?[0-9]{1,30}(\.[0-9]+)?(e[0-9]{1,3})?\}"#,
    ];
    let signature = proptest::collection::vec(any::<u8>(), 0..300);
    (header, claims, signature).prop_map(|(header, claims, signature)| {
        let [header, claims, signature] =
            [header.as_bytes(), claims.as_bytes(), signature.as_slice()].map(base64url);
        format!("{header}.{claims}.{signature}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_headers_panic_or_get_in(authorization in proptest::option::of(".*"), apikey in proptest::option::of(".*")) {
        let app = Instance::new();
        prop_assert_eq!(app.headers(authorization.as_deref(), apikey.as_deref()), Err(Refusal::Unauthorized));
    }

    #[test]
    fn no_token_that_looks_right_panics_or_gets_in(token in almost_token()) {
        let app = Instance::new();
        prop_assert_eq!(app.bearer(&token), Err(Refusal::Unauthorized));
    }

    #[test]
    fn no_signed_claims_panic(claims in r#"\{"sub":"[0-9a-f-]{36}","aud":"authenticated","exp":-?[0-9]{1,30}(\.[0-9]+)?(e-?[0-9]{1,3})?,"nbf":-?[0-9]{1,20}\}|.*"#) {
        let unsigned = format!("{}.{}", base64url(br#"{"alg":"HS256"}"#), base64url(claims.as_bytes()));
        let token = format!("{unsigned}.{}", base64url(&hmac(SECRET.as_bytes(), unsigned.as_bytes())));
        // It has no issuer, so it is refused whatever its other claims are.
        let outcome = Instance::new().bearer(&token);
        prop_assert!(matches!(outcome, Err(Refusal::Unauthorized | Refusal::TokenRejection(_))), "{:?}", outcome);
    }

    #[test]
    fn no_bytes_panic_as_a_key_set(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in any::<prop::sample::Index>(), n in "[A-Za-z0-9_-]{0,700}", e in "[A-Za-z0-9_-]{0,14}") {
        parse_key_set(&bytes);
        let mut broken = key_set();
        let at = cut.index(broken.len());
        broken.splice(at..at, bytes);
        parse_key_set(&broken);
        parse_key_set(format!(r#"{{"keys":[{{"kty":"RSA","kid":"k","n":"{n}","e":"{e}"}},{{"kty":"EC","crv":"P-256","kid":"k","x":"{n}","y":"{e}"}}]}}"#).as_bytes());
    }

    #[test]
    fn no_text_panics_as_a_token(text in ".*") {
        parse_jwt_untrusted(&text);
    }

    /// Replaces several characters at once; the exhaustive test below replaces single ones.
    #[test]
    fn a_changed_token_is_refused(way in 0usize..3, cut in any::<prop::sample::Index>(), length in 0usize..4, put in "[A-Za-z0-9_.=-]{0,4}") {
        let mut token = Draft::new().all_ways()[way].clone();
        let original = token.clone();
        let at = cut.index(token.len());
        token.replace_range(at..(at + length).min(original.len()), &put);
        prop_assume!(token != original);
        prop_assert_eq!(Instance::new().bearer(&token), Err(Refusal::Unauthorized));
    }
}

/// Tries every base64url character and some others at each position for HS256, and a few for the slower
/// algorithms.
#[test]
fn a_token_with_any_one_character_changed_is_refused() {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+/= ~";
    let app = Instance::new();
    for (token, step) in Draft::new().all_ways().iter().zip([1, 23, 23]) {
        for at in 0..token.len() {
            for c in ALPHABET.chars().skip(at % step).step_by(step) {
                let mut changed = token.clone();
                changed.replace_range(at..=at, &c.to_string());
                if changed != *token {
                    assert_eq!(
                        app.bearer(&changed),
                        Err(Refusal::Unauthorized),
                        "{c:?} at {at}"
                    );
                }
            }
        }
        assert!(app.bearer(token).is_ok());
    }
}
