use std::time::Duration;

use access::{Caller, Policy, Refusal, Scope};
use outbound::Secret;

use crate::tokens::{Draft, SECRET};
use crate::world::{ADMIN, Behaviour, Instance, JOBS, is_unavailable};

const OLD: &str = "ots_old-key";
const NEW: &str = "ots_new-key";
const A: &str = "ots_a-of-at-least-thirty-two-characters";
const B: &str = "sb_secret_b-of-at-least-thirty-two-characters";
const TEN_MINUTES: Duration = Duration::from_mins(10);

#[test]
fn a_key_in_postgres_is_accepted_and_any_other_is_not() {
    let app = Instance::new();
    app.world.rotate(NEW, TEN_MINUTES);
    assert_eq!(app.bearer(NEW), Ok(JOBS));
    for wrong in [
        &NEW[1..],
        "ots_new-kez",
        "ots_new-key2",
        "OTS_NEW-KEY",
        "",
        " ",
    ] {
        assert_eq!(app.bearer(wrong), Err(Refusal::Unauthorized), "{wrong:?}");
    }
}

#[test]
fn any_of_the_keys_given_by_variable_is_accepted_and_nobody_is_asked() {
    let app = Instance::with(Policy::new().service_keys(&Secret::new(format!(" {A} , {B},, "))));
    for key in [A, B] {
        assert_eq!(app.bearer(key), Ok(ADMIN));
    }
    assert!(app.world.is_untouched());
    for wrong in [",", &format!("{A} , {B},,"), &format!("{A},{B}")] {
        assert_eq!(app.bearer(wrong), Err(Refusal::Unauthorized), "{wrong:?}");
    }
}

#[test]
fn a_key_may_come_in_either_header_and_the_bearer_token_says_who_calls() {
    let app = Instance::new();
    app.world.rotate(NEW, TEN_MINUTES);
    let bearer = format!("Bearer {NEW}");
    for (authorization, apikey, accepted) in [
        (Some(bearer.as_str()), None, true),
        (Some("bearer  ots_new-key "), None, true),
        (Some(bearer.as_str()), Some("anon"), true),
        (None, Some(NEW), true),
        (Some("Basic YTpi"), Some(NEW), true),
        (Some("Bearer "), Some(NEW), true),
        (Some("Bearer ots_wrong"), Some(NEW), false),
        (Some(NEW), None, false),
        (Some("Bearerots_new-key"), None, false),
        (None, Some(bearer.as_str()), false),
        (None, None, false),
    ] {
        let outcome = app.headers(authorization, apikey);
        let expected = if accepted {
            Ok(JOBS)
        } else {
            Err(Refusal::Unauthorized)
        };
        assert_eq!(outcome, expected, "{authorization:?} {apikey:?}");
        app.world.pass(Duration::from_secs(1));
    }
}

#[test]
fn the_legacy_service_role_key_is_a_key_and_never_a_user() {
    let service_role = Draft::new()
        .claim("role", "service_role")
        .without("sub")
        .without("aud")
        .hs256();

    let neither = Instance::new();
    assert_eq!(neither.bearer(&service_role), Err(Refusal::Unauthorized));

    let by_variable = Instance::with(Policy::new().service_keys(&Secret::new(&service_role)));
    assert_eq!(by_variable.bearer(&service_role), Ok(ADMIN));

    let by_postgres = Instance::new();
    by_postgres.world.rotate(&service_role, TEN_MINUTES);
    assert_eq!(by_postgres.bearer(&service_role), Ok(JOBS));
    // From the cache, before it is parsed as a token.
    assert_eq!(by_postgres.bearer(&service_role), Ok(JOBS));
    assert_eq!(by_postgres.world.keys_asked(), 1);
}

/// Keys that every visitor has or may have, with valid and invalid signatures.
fn public_keys() -> [String; 4] {
    let anon = Draft::new().without("sub").without("aud");
    [
        "sb_publishable_0123456789012345678901234567".to_owned(),
        anon.claim("role", "anon").hs256(),
        Draft::new().without("sub").hs256(),
        "eyJhbGciOiJIUzI1NiJ9.bm8ganNvbg.c2lnbmF0dXJl".to_owned(),
    ]
}

#[test]
fn a_key_that_everybody_has_is_none_by_variable_and_by_postgres() {
    for public in public_keys() {
        assert!(access::unfit_key(&public).is_some(), "{public}");
        let policy = Policy::new().service_keys(&Secret::new(format!("{public},{A}")));
        assert!(policy.gaps()[0].starts_with("a key of service_keys is not accepted: it is"));
        let app = Instance::with(policy);
        assert_eq!(app.bearer(A), Ok(ADMIN));
        // An older version may have stored it as accepted.
        app.world.rotate(&public, TEN_MINUTES);
        for _ in 0..2 {
            assert_eq!(app.bearer(&public), Err(Refusal::Unauthorized), "{public}");
            assert_eq!(
                app.headers(None, Some(&public)),
                Err(Refusal::Unauthorized),
                "{public}"
            );
            app.world.pass(Duration::from_secs(2));
        }
    }
}

#[test]
fn a_key_that_can_be_guessed_is_none_by_variable() {
    let app = Instance::with(Policy::new().service_keys(&Secret::new(&A[..31])));
    assert_eq!(app.bearer(&A[..31]), Err(Refusal::Unauthorized));
}

#[test]
fn the_key_of_the_jobs_runs_them_and_one_to_read_reads() {
    let read = Caller::Service(Scope::Read);
    for (caller, trusted, look, run) in [
        (JOBS, false, false, true),
        (read, false, true, false),
        (ADMIN, true, true, true),
    ] {
        assert_eq!(
            (
                caller.is_trusted(),
                caller.may_look(),
                caller.may_run_jobs()
            ),
            (trusted, look, run),
            "{caller:?}"
        );
    }
}

#[test]
fn after_a_rotation_the_new_key_is_accepted_at_once_and_the_old_one_until_it_expires() {
    let app = Instance::new();
    app.world.rotate(OLD, TEN_MINUTES);
    assert_eq!(app.bearer(OLD), Ok(JOBS));
    app.world.pass(Duration::from_secs(2));

    app.world.rotate(NEW, TEN_MINUTES);
    assert_eq!(
        app.bearer(NEW),
        Ok(JOBS),
        "the cache, though fresh, does not know it"
    );
    for _ in 0..598 {
        assert_eq!(app.bearer(OLD), Ok(JOBS));
        app.world.pass(Duration::from_secs(1));
    }
    app.world.pass(Duration::from_secs(2));
    assert_eq!(app.bearer(OLD), Err(Refusal::Unauthorized));
    assert_eq!(app.bearer(NEW), Ok(JOBS));
}

#[test]
fn a_key_expires_on_time_even_in_a_fresh_cache() {
    let app = Instance::new();
    app.world.rotate(OLD, TEN_MINUTES);
    app.world.rotate(NEW, Duration::from_millis(2500));
    assert_eq!(app.bearer(OLD), Ok(JOBS));
    app.world.pass(Duration::from_millis(2499));
    assert_eq!(app.bearer(OLD), Ok(JOBS));
    app.world.pass(Duration::from_millis(1));
    assert_eq!(app.bearer(OLD), Err(Refusal::Unauthorized));
}

#[test]
fn a_key_that_is_taken_back_is_refused_within_five_seconds() {
    let app = Instance::new();
    app.world.rotate(OLD, TEN_MINUTES);
    assert_eq!(app.bearer(OLD), Ok(JOBS));
    app.world.accept_no_key();
    app.world.pass(Duration::from_secs(5));
    assert_eq!(app.bearer(OLD), Err(Refusal::Unauthorized));
}

#[test]
fn while_postgres_is_down_keys_by_variable_work_and_no_other_key_is_called_wrong() {
    let app = Instance::with(
        Policy::new()
            .service_keys(&Secret::new(A))
            .jwt_secret(Secret::new(SECRET))
            .audience("authenticated"),
    );
    app.world.rotate(NEW, TEN_MINUTES);
    app.world.postgres.set(Behaviour::Refusing);
    for _ in 0..3 {
        assert_eq!(app.bearer(A), Ok(ADMIN));
        for token in [NEW, "ots_wrong", &Draft::new().hs256()] {
            let outcome = app.bearer(token);
            assert!(is_unavailable(&outcome), "{token}: {outcome:?}");
        }
        // A public token can never be a service key, so it is refused without Postgres.
        let nobodys = Draft::new().without("sub").hs256();
        assert_eq!(app.bearer(&nobodys), Err(Refusal::Unauthorized));
        assert_eq!(app.headers(None, None), Err(Refusal::Unauthorized));
        app.world.pass(Duration::from_millis(400));
    }

    app.world.postgres.set(Behaviour::Well);
    app.world.pass(Duration::from_secs(1));
    assert_eq!(app.bearer(NEW), Ok(JOBS));
    assert_eq!(app.bearer("ots_wrong"), Err(Refusal::Unauthorized));
}

#[test]
fn what_could_not_be_checked_says_what_to_do_and_shows_nothing_of_the_key() {
    let app = Instance::new();
    app.world.postgres.set(Behaviour::Refusing);
    let refusal = app.bearer(NEW).unwrap_err().to_string();
    assert!(
        refusal.contains("db_host") && !refusal.contains(NEW),
        "{refusal}"
    );
}
