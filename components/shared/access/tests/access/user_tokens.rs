use std::time::Duration;

use access::{Policy, Refusal};
use outbound::Secret;
use serde_json::{Value, json};

use crate::tokens::{Draft, SECRET, USER, user};
use crate::world::{Instance, JWKS_PATH, ORIGIN, UNIX_SECONDS};

#[test]
fn a_user_is_known_by_each_of_the_three_signatures() {
    let app = Instance::new();
    app.world.admins.borrow_mut().insert(USER);
    for token in Draft::new().all_ways() {
        assert_eq!(app.bearer(&token), Ok(user(true)));
    }
}

/// The tokens and the key set were made with OpenSSL's signatures, apart from this program.
#[test]
fn what_openssl_signed_is_accepted() {
    let recorded: Value = serde_json::from_str(include_str!("openssl.json")).unwrap();
    let app = Instance::new();
    app.world.key_set.borrow_mut().1 = recorded["key_set"].to_string().into_bytes();
    for algorithm in ["HS256", "ES256", "RS256"] {
        let token = recorded["tokens"][algorithm].as_str().unwrap();
        assert_eq!(app.bearer(token), Ok(user(false)), "{algorithm}");
    }
}

#[test]
fn the_audience_may_be_one_of_several() {
    let app = Instance::new();
    let token = Draft::new()
        .claim("aud", json!(["other", "authenticated"]))
        .hs256();
    assert_eq!(app.bearer(&token), Ok(user(false)));
}

#[test]
fn clocks_may_be_thirty_seconds_apart_and_no_more() {
    let app = Instance::new();
    let now = UNIX_SECONDS + 1;
    for (claim, seconds, accepted) in [
        ("exp", now - 29, true),
        ("exp", now - 30, false),
        ("nbf", now + 30, true),
        ("nbf", now + 31, false),
    ] {
        for token in Draft::new().claim(claim, seconds).all_ways() {
            assert_eq!(app.bearer(&token).is_ok(), accepted, "{claim} {seconds}");
        }
    }
}

#[test]
fn a_token_that_was_good_is_refused_once_it_has_expired() {
    let app = Instance::new();
    let tokens = Draft::new().all_ways();
    for token in &tokens {
        assert_eq!(app.bearer(token), Ok(user(false)));
    }
    app.world.pass(Duration::from_secs(3600 + 30));
    for token in &tokens {
        assert_eq!(app.bearer(token), Err(Refusal::Unauthorized));
    }
}

#[test]
fn times_with_a_fraction_are_read() {
    let app = Instance::new();
    for (exp, accepted) in [
        (1_800_000_600.5, true),
        (1_799_999_000.5, false),
        (1e300, true),
        (-1e300, false),
    ] {
        let token = Draft::new().claim("exp", exp).hs256();
        assert_eq!(app.bearer(&token).is_ok(), accepted, "{exp}");
    }
}

#[test]
fn the_issuer_is_checked_only_where_one_is_set() {
    let any_issuer = Policy::new()
        .jwt_secret(Secret::new(SECRET))
        .jwks(ORIGIN, JWKS_PATH)
        .audience("authenticated");
    let app = Instance::with(any_issuer);
    for draft in [
        Draft::new().claim("iss", "https://elsewhere.example"),
        Draft::new().without("iss"),
    ] {
        for token in draft.all_ways() {
            assert_eq!(app.bearer(&token), Ok(user(false)));
        }
    }
}

#[test]
fn a_user_token_is_no_apikey() {
    let app = Instance::new();
    assert_eq!(
        app.headers(None, Some(&Draft::new().hs256())),
        Err(Refusal::Unauthorized)
    );
}
