use std::time::Duration;

use access::{Algorithm, Refusal, parse_key_set};
use http::StatusCode;
use rsa::RsaPrivateKey;
use serde_json::{Value, json};

use crate::tokens::{
    Dice, Draft, EC_KEY_ID, RSA_KEY_ID, ec_jwk, ec_key, ecdsa, key_set, key_set_of, rsa_jwk,
    rsa_key, rsassa, user,
};
use crate::world::{Behaviour, Instance, is_unavailable};

fn second_key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[8; 32]).unwrap()
}

fn second_token() -> String {
    let draft = Draft::new().header("alg", "ES256").header("kid", "ec-2");
    draft.signed(|m| ecdsa(&second_key(), m))
}

#[test]
fn a_new_signing_key_is_known_at_once_and_a_dropped_one_for_ten_minutes_at_most() {
    let app = Instance::new();
    let old = Draft::new().es256();
    assert_eq!(app.bearer(&old), Ok(user(false)));
    app.world.pass(Duration::from_secs(10));

    app.world.key_set.borrow_mut().1 = key_set_of(&[ec_jwk("ec-2", &second_key())]);
    assert_eq!(app.bearer(&old), Ok(user(false)), "kept");
    assert_eq!(
        app.bearer(&second_token()),
        Ok(user(false)),
        "fetched for it"
    );
    assert_eq!(
        app.bearer(&old),
        Err(Refusal::Unauthorized),
        "the new set has it no more"
    );
    assert_eq!(app.world.key_set_asked(), 2);

    app.world.key_set.borrow_mut().1 = key_set();
    app.world.pass(Duration::from_secs(599));
    assert_eq!(app.bearer(&second_token()), Ok(user(false)));
    app.world.pass(Duration::from_secs(1));
    assert_eq!(app.bearer(&second_token()), Err(Refusal::Unauthorized));
}

#[test]
fn a_kept_key_set_carries_users_over_an_outage_and_unknown_keys_are_not_called_wrong() {
    let app = Instance::new();
    assert_eq!(app.bearer(&Draft::new().es256()), Ok(user(false)));
    app.world.auth.set(Behaviour::Refusing);
    app.world.pass(Duration::from_mins(1));
    assert_eq!(app.bearer(&Draft::new().es256()), Ok(user(false)));
    assert!(is_unavailable(&app.bearer(&second_token())));
    app.world.pass(Duration::from_mins(10));
    assert!(
        is_unavailable(&app.bearer(&Draft::new().es256())),
        "too old to be trusted"
    );

    app.world.auth.set(Behaviour::Well);
    app.world.pass(Duration::from_secs(10));
    assert_eq!(app.bearer(&Draft::new().es256()), Ok(user(false)));
}

#[test]
fn an_answer_that_is_no_key_set_opens_nothing_and_is_told_apart() {
    let long = json!({ "keys": [ec_jwk(EC_KEY_ID, &ec_key())], "padding": "x".repeat(64 * 1024) });
    for (status, body, words) in [
        (200, long.to_string(), "more than 65536 bytes"),
        (200, "<html>".into(), "no JSON Web Key Set"),
        (200, "{}".into(), "no JSON Web Key Set"),
        (200, "[".repeat(60_000), "no JSON Web Key Set"),
        (302, String::from_utf8(key_set()).unwrap(), "HTTP 302"),
        (500, "oops".into(), "HTTP 500"),
    ] {
        let app = Instance::new();
        *app.world.key_set.borrow_mut() =
            (StatusCode::from_u16(status).unwrap(), body.into_bytes());
        match app.bearer(&Draft::new().es256()) {
            Err(Refusal::Unavailable(fault)) => assert!(fault.message().contains(words), "{fault}"),
            outcome => panic!("{status} {words}: {outcome:?}"),
        }
    }
}

#[test]
fn an_empty_key_set_refuses_and_so_does_none() {
    for (status, body) in [(200, r#"{"keys":[]}"#), (404, "no such page")] {
        let app = Instance::new();
        *app.world.key_set.borrow_mut() = (
            StatusCode::from_u16(status).unwrap(),
            body.as_bytes().to_vec(),
        );
        assert_eq!(
            app.bearer(&Draft::new().es256()),
            Err(Refusal::Unauthorized)
        );
    }
}

#[test]
fn keys_that_cannot_be_used_are_left_out_and_the_others_are_not() {
    let ec = ec_jwk(EC_KEY_ID, &ec_key());
    let rsa = rsa_jwk(RSA_KEY_ID, rsa_key());
    let with = |key: &Value, name: &str, value: Value| {
        let mut key = key.clone();
        key[name] = value;
        key
    };
    let weak = RsaPrivateKey::new(&mut Dice(1), 1024).unwrap();
    let unusable = [
        json!(null),
        json!([]),
        json!({ "kty": "oct", "kid": "k", "k": "c2VjcmV0", "alg": "HS256" }),
        json!({ "kty": "OKP", "kid": "k", "crv": "Ed25519", "x": "AAAA" }),
        with(&ec, "kid", json!(null)),
        with(&ec, "use", json!("enc")),
        with(&ec, "alg", json!("ES384")),
        with(&ec, "crv", json!("P-384")),
        with(&ec, "x", json!("AAAA")),
        with(&ec, "x", ec["y"].clone()),
        with(&ec, "y", json!("not base64url!")),
        with(&rsa, "alg", json!("RS512")),
        with(&rsa, "alg", json!("HS256")),
        with(&rsa, "n", json!("")),
        with(&rsa, "n", json!("AAAA")),
        with(&rsa, "n", json!("A".repeat(342))),
        with(&rsa, "n", json!("_".repeat(684))),
        with(&rsa, "n", json!(format!("{}A", "_".repeat(341)))),
        with(&rsa, "n", json!("_".repeat(1_000))),
        with(&rsa, "e", json!("")),
        with(&rsa, "e", json!("AA")),
        with(&rsa, "e", json!("AQ")),
        with(&rsa, "e", json!("__________8")),
        rsa_jwk("weak", &weak),
    ];
    for key in &unusable {
        let found = parse_key_set(&key_set_of(std::slice::from_ref(key))).unwrap();
        assert!(found.is_empty(), "{key}");
    }
    let app = Instance::new();
    let all: Vec<Value> = unusable[..10].iter().cloned().chain([ec, rsa]).collect();
    app.world.key_set.borrow_mut().1 = key_set_of(&all);
    assert_eq!(app.bearer(&Draft::new().es256()), Ok(user(false)));
    assert_eq!(app.bearer(&Draft::new().rs256()), Ok(user(false)));
}

#[test]
fn no_more_than_thirty_two_keys_are_kept() {
    let keys: Vec<Value> = (0..100)
        .map(|n| ec_jwk(&format!("k{n}"), &ec_key()))
        .collect();
    assert_eq!(parse_key_set(&key_set_of(&keys)).unwrap().len(), 32);
}

#[test]
fn a_signature_by_another_key_of_the_set_is_refused() {
    let other = RsaPrivateKey::new(&mut Dice(5), 2048).unwrap();
    let app = Instance::new();
    app.world.key_set.borrow_mut().1 =
        key_set_of(&[rsa_jwk(RSA_KEY_ID, rsa_key()), rsa_jwk("rsa-2", &other)]);
    let draft = |kid: &str| Draft::new().header("alg", "RS256").header("kid", kid);
    assert_eq!(
        app.bearer(&draft("rsa-2").signed(|m| rsassa(&other, m))),
        Ok(user(false))
    );
    assert_eq!(
        app.bearer(&draft(RSA_KEY_ID).signed(|m| rsassa(&other, m))),
        Err(Refusal::Unauthorized)
    );
}

#[test]
fn keys_of_two_kinds_may_share_a_name_and_each_verifies_its_own_algorithm_only() {
    let keys = parse_key_set(&key_set_of(&[
        ec_jwk("k", &ec_key()),
        rsa_jwk("k", rsa_key()),
    ]))
    .unwrap();
    let message = b"message";
    let signatures = [
        (Algorithm::Es256, ecdsa(&ec_key(), message)),
        (Algorithm::Rs256, rsassa(rsa_key(), message)),
    ];
    for (algorithm, signature) in &signatures {
        let key = keys.find("k", *algorithm).unwrap();
        for said in [Algorithm::Hs256, Algorithm::Es256, Algorithm::Rs256] {
            assert_eq!(
                key.verifies(said, message, signature),
                said == *algorithm,
                "{algorithm:?} as {said:?}"
            );
        }
    }
    assert!(keys.find("k", Algorithm::Hs256).is_none());
}
