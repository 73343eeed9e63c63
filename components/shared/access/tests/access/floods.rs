use std::time::Duration;

use access::Refusal;
use futures::executor::block_on;
use futures::future::join_all;
use futures::{FutureExt, pin_mut};

use crate::tokens::{Draft, SECRET, ec_key, ecdsa};
use crate::world::{Behaviour, Instance, JOBS, is_unavailable};

const KEY: &str = "ots_the-key";

fn app() -> Instance {
    let app = Instance::new();
    app.world.rotate(KEY, Duration::from_mins(10));
    app
}

/// Whether any two times are at least `interval` apart.
fn spaced(times: &[Duration], interval: Duration) -> bool {
    times.windows(2).all(|pair| pair[0] + interval <= pair[1])
}

#[test]
fn ten_thousand_wrong_keys_cause_at_most_one_refresh_a_second() {
    for pace in [
        Duration::ZERO,
        Duration::from_millis(7),
        Duration::from_millis(333),
    ] {
        let app = app();
        for n in 0..10_000 {
            assert_eq!(app.bearer(&format!("ots_{n}")), Err(Refusal::Unauthorized));
            app.world.pass(pace);
        }
        let asked = app.world.keys_asked.borrow();
        assert!(spaced(&asked, Duration::from_secs(1)), "{pace:?}");
        assert!(
            asked.len() as u64 <= 1 + (pace * 10_000).as_secs(),
            "{pace:?}"
        );
    }
}

#[test]
fn the_bound_holds_while_postgres_is_down_too() {
    let app = app();
    app.world.postgres.set(Behaviour::Refusing);
    for n in 0..1_000 {
        assert!(is_unavailable(&app.bearer(&format!("ots_{n}"))));
        app.world.pass(Duration::from_millis(7));
    }
    assert!(spaced(
        &app.world.keys_asked.borrow(),
        Duration::from_secs(1)
    ));
}

#[test]
fn wrong_tokens_of_users_are_bounded_like_wrong_keys() {
    let app = app();
    for n in 0..2_000 {
        let token = Draft::new()
            .claim("n", n)
            .header("alg", "HS256")
            .signed(|_| vec![0; 32]);
        assert_eq!(app.bearer(&token), Err(Refusal::Unauthorized));
        app.world.pass(Duration::from_millis(7));
    }
    assert!(spaced(
        &app.world.keys_asked.borrow(),
        Duration::from_secs(1)
    ));
    assert_eq!(app.world.key_set_asked(), 0);
    assert!(app.world.admin_asked.borrow().is_empty());
}

#[test]
fn unknown_signing_keys_cause_at_most_one_fetch_in_ten_seconds() {
    let app = app();
    for n in 0..10_000 {
        let stranger = Draft::new()
            .header("alg", "ES256")
            .header("kid", format!("k{n}"));
        let token = stranger.signed(|_| vec![1; 64]);
        assert_eq!(app.bearer(&token), Err(Refusal::Unauthorized));
        app.world.pass(Duration::from_millis(7));
    }
    let asked: Vec<_> = app
        .world
        .key_set_asked
        .borrow()
        .iter()
        .map(|(at, _)| *at)
        .collect();
    assert!((2..=8).contains(&asked.len()), "{asked:?}");
    assert!(spaced(&asked, Duration::from_secs(10)));
}

#[test]
fn the_right_key_gets_through_a_flood_of_wrong_ones() {
    let app = app();
    for n in 0..2_000 {
        assert_eq!(app.bearer(&format!("ots_{n}")), Err(Refusal::Unauthorized));
        assert_eq!(app.bearer(KEY), Ok(JOBS));
        app.world.pass(Duration::from_millis(7));
    }
}

#[test]
fn what_shows_nothing_or_is_too_long_asks_nobody() {
    let app = app();
    let long_key = "k".repeat(8 * 1024 + 1);
    let long_token = Draft::new().claim("padding", "x".repeat(8 * 1024)).hs256();
    for token in ["", long_key.as_str(), long_token.as_str()] {
        assert_eq!(app.bearer(token), Err(Refusal::Unauthorized));
    }
    assert_eq!(app.headers(None, None), Err(Refusal::Unauthorized));
    assert_eq!(
        app.headers(None, Some(&long_key)),
        Err(Refusal::Unauthorized)
    );
    assert!(app.world.is_untouched());
}

#[test]
fn sixteen_calls_at_once_share_one_question() {
    let app = app();
    app.world
        .postgres
        .set(Behaviour::Slowly(Duration::from_millis(700)));
    let calls = (0..16).map(|n| {
        let app = &app;
        async move {
            app.bearer_call(if n % 2 == 0 { KEY } else { "ots_wrong" })
                .await
        }
    });
    let outcomes = block_on(join_all(calls));
    for pair in outcomes.chunks(2) {
        assert_eq!(pair, [Ok(JOBS), Err(Refusal::Unauthorized)]);
    }
    assert_eq!(app.world.keys_asked(), 1);
}

#[test]
fn those_who_waited_for_a_slow_answer_do_not_ask_again() {
    let app = app();
    app.world
        .postgres
        .set(Behaviour::Slowly(Duration::from_secs(3)));
    let outcomes = block_on(join_all((0..16).map(|_| app.bearer_call("ots_wrong"))));
    assert!(outcomes.iter().all(|o| *o == Err(Refusal::Unauthorized)));
    assert_eq!(app.world.keys_asked(), 1);
}

#[test]
fn sixteen_users_at_once_share_one_fetch_of_the_key_set() {
    let app = app();
    app.world
        .auth
        .set(Behaviour::Slowly(Duration::from_millis(700)));
    let token = Draft::new().es256();
    let outcomes = block_on(join_all((0..16).map(|_| app.bearer_call(&token))));
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(app.world.key_set_asked(), 1);
}

#[test]
fn a_postgres_that_hangs_holds_nobody_up_for_more_than_six_seconds() {
    let app = app();
    app.world.postgres.set(Behaviour::Hanging);
    let latest = outbound::Clock::now(&app.world) + Duration::from_secs(6);
    let outcomes = block_on(join_all((0..16).map(|_| app.bearer_call(KEY))));
    assert!(outcomes.iter().all(is_unavailable), "{outcomes:?}");
    assert!(outbound::Clock::now(&app.world) <= latest);
    assert_eq!(app.world.keys_asked(), 1);
}

#[test]
fn a_key_set_that_hangs_makes_no_valid_token_wrong() {
    let app = app();
    app.world.auth.set(Behaviour::Hanging);
    assert!(is_unavailable(&app.bearer(&Draft::new().es256())));
}

#[test]
fn a_call_dropped_while_it_asks_leaves_the_turn_to_the_next() {
    let app = app();
    app.world
        .postgres
        .set(Behaviour::Slowly(Duration::from_millis(300)));
    for _ in 0..3 {
        let call = app.bearer_call("ots_wrong");
        pin_mut!(call);
        assert_eq!(call.now_or_never(), None);
    }
    let latest = outbound::Clock::now(&app.world) + Duration::from_millis(1_400);
    assert_eq!(app.bearer(KEY), Ok(JOBS));
    assert!(outbound::Clock::now(&app.world) <= latest);
    let asked = app.world.keys_asked.borrow();
    assert!(
        spaced(&asked, Duration::from_secs(1)),
        "dropping calls does not lift the bound: {asked:?}"
    );
}

#[test]
fn a_call_that_is_never_resumed_nor_dropped_blocks_nobody() {
    let app: &'static Instance = Box::leak(Box::new(app()));
    app.world
        .postgres
        .set(Behaviour::Slowly(Duration::from_millis(300)));
    let mut stuck = Box::pin(app.bearer_call("ots_wrong"));
    assert_eq!(stuck.as_mut().now_or_never(), None);
    assert_eq!(app.bearer(KEY), Ok(JOBS));

    // Resuming it later does no harm.
    assert!(block_on(stuck).is_err());
    assert_eq!(app.bearer(KEY), Ok(JOBS));
}

#[test]
fn a_user_who_is_known_by_a_key_of_the_set_costs_postgres_no_look_at_the_keys() {
    let app = app();
    for _ in 0..100 {
        for token in Draft::new().all_ways() {
            assert!(app.bearer(&token).is_ok());
        }
        app.world.pass(Duration::from_millis(250));
    }
    assert_eq!(app.world.keys_asked(), 0);
    assert_eq!(app.world.key_set_asked(), 1);
    assert_eq!(app.world.admin_asked.borrow().len(), 1);
}

#[test]
fn no_refusal_or_cache_shows_a_secret() {
    let app = app();
    app.world.postgres.set(Behaviour::Refusing);
    let token = Draft::new()
        .header("kid", "k")
        .signed(|m| ecdsa(&ec_key(), m));
    for presented in [KEY, &token] {
        let shown = format!(
            "{:?} {:?} {:?}",
            app.bearer(presented),
            app.cache,
            app.policy
        );
        assert!(
            !shown.contains(presented) && !shown.contains(SECRET),
            "{shown}"
        );
    }
}

#[test]
fn refusals_are_put_on_record_at_most_once_in_ten_seconds() {
    let app = app();
    let recorded = (0..10_000).filter(|_| {
        app.world.pass(Duration::from_millis(7));
        app.cache.should_record_refusal(&app.world)
    });
    assert_eq!(recorded.count(), 7, "in 70 seconds");
}
