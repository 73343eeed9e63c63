use std::time::Duration;

use access::{Policy, Refusal, TokenRejection};
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

/// OpenSSL signed these tokens and made the key set, independently of this program.
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

/// A policy with all settings of a project, modified by `change`.
fn project(change: impl FnOnce(Policy) -> Policy) -> Instance {
    let policy = Policy::new()
        .jwt_secret(Secret::new(SECRET))
        .jwks(ORIGIN, JWKS_PATH)
        .audience("authenticated")
        .issuer("", ORIGIN);
    Instance::with(change(policy))
}

fn refused_with(app: &Instance, draft: Draft, reason: TokenRejection) {
    for token in draft.all_ways() {
        assert_eq!(app.bearer(&token), Err(Refusal::TokenRejection(reason)));
    }
}

#[test]
fn the_issuer_is_the_projects_own_unless_another_or_any_is_set() {
    let elsewhere = Draft::new().claim("iss", "https://elsewhere.example/auth/v1");
    let app = project(|policy| policy);
    assert_eq!(app.bearer(&Draft::new().hs256()), Ok(user(false)));
    refused_with(&app, elsewhere.clone(), TokenRejection::Issuer);
    refused_with(&app, Draft::new().without("iss"), TokenRejection::Issuer);

    let app = project(|policy| policy.issuer("https://elsewhere.example/auth/v1", ORIGIN));
    assert_eq!(app.bearer(&elsewhere.clone().hs256()), Ok(user(false)));
    refused_with(&app, Draft::new(), TokenRejection::Issuer);

    let app = project(|policy| policy.issuer("any", ORIGIN));
    for draft in [elsewhere, Draft::new().without("iss")] {
        for token in draft.all_ways() {
            assert_eq!(app.bearer(&token), Ok(user(false)));
        }
    }
}

#[test]
fn only_a_signed_in_user_is_one_whatever_else_the_project_signs() {
    let app = Instance::new();
    for role in ["service_role", "anon", "supabase_admin", ""] {
        refused_with(&app, Draft::new().claim("role", role), TokenRejection::Role);
    }
    refused_with(&app, Draft::new().without("role"), TokenRejection::Role);
}

#[test]
fn an_oauth_app_acts_for_nobody_unless_it_is_listed() {
    let draft = Draft::new().claim("client_id", "f2d4c7b0-app");
    refused_with(&Instance::new(), draft.clone(), TokenRejection::Client);
    let app = project(|policy| policy.clients(vec!["f2d4c7b0-app".to_owned()]));
    assert_eq!(app.bearer(&draft.hs256()), Ok(user(false)));
    refused_with(
        &app,
        Draft::new().claim("client_id", "other"),
        TokenRejection::Client,
    );
}

#[test]
fn a_second_factor_is_wanted_where_it_is_set() {
    let app = project(|policy| policy.second_factor(true));
    refused_with(&app, Draft::new(), TokenRejection::SecondFactor);
    refused_with(
        &app,
        Draft::new().claim("aal", "aal1"),
        TokenRejection::SecondFactor,
    );
    let token = Draft::new().claim("aal", "aal2").hs256();
    assert_eq!(app.bearer(&token), Ok(user(false)));
}

#[test]
fn a_subject_of_third_party_auth_has_its_own_words() {
    let draft = Draft::new().claim("sub", "user_2abcDEF");
    refused_with(&Instance::new(), draft, TokenRejection::Subject);
}

#[test]
fn a_user_token_is_no_apikey() {
    let app = Instance::new();
    assert_eq!(
        app.headers(None, Some(&Draft::new().hs256())),
        Err(Refusal::Unauthorized)
    );
}
