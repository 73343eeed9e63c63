use std::time::Duration;

use crate::tokens::{Draft, USER, user};
use crate::world::{ADMIN, Behaviour, Instance, is_unavailable};

#[test]
fn a_right_that_is_given_or_taken_is_seen_within_thirty_seconds() {
    let app = Instance::new();
    let token = Draft::new().hs256();
    assert_eq!(app.bearer(&token), Ok(user(false)));
    app.world.admins.borrow_mut().insert(USER);
    app.world.pass(Duration::from_secs(30));
    assert_eq!(app.bearer(&token), Ok(user(true)));
    app.world.admins.borrow_mut().clear();
    app.world.pass(Duration::from_millis(29_999));
    assert_eq!(app.bearer(&token), Ok(user(true)));
    app.world.pass(Duration::from_millis(1));
    assert_eq!(app.bearer(&token), Ok(user(false)));
    assert_eq!(app.world.admin_asked.borrow().len(), 3);
}

#[test]
fn what_a_token_says_of_its_role_makes_nobody_an_admin() {
    let app = Instance::new();
    let boastful = Draft::new()
        .claim("user_role", "admin")
        .claim("admin", true)
        .claim("app_metadata", serde_json::json!({ "role": "admin" }));
    assert_eq!(app.bearer(&boastful.hs256()), Ok(user(false)));
}

#[test]
fn only_a_service_key_and_an_admin_are_trusted() {
    assert!(ADMIN.is_trusted());
    assert!(user(true).is_trusted());
    assert!(!user(false).is_trusted());
}

#[test]
fn nobody_is_an_admin_while_postgres_cannot_say_so() {
    for behaviour in [Behaviour::Refusing, Behaviour::Hanging] {
        let app = Instance::new();
        app.world.admins.borrow_mut().insert(USER);
        app.world.postgres.set(behaviour);
        assert!(is_unavailable(&app.bearer(&Draft::new().hs256())));
        app.world.postgres.set(Behaviour::Well);
        assert_eq!(
            app.bearer(&Draft::new().hs256()),
            Ok(user(true)),
            "the outage is not remembered"
        );
    }
}
