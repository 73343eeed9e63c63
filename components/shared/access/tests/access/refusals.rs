//! Every token here is refused, with the same response.

use access::{Policy, Refusal, refusal_words};
use outbound::Secret;
use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};

use crate::tokens::{
    Draft, EC_KEY_ID, RSA_KEY_ID, SECRET, base64url, ec_jwk, ec_key, ecdsa, hmac, key_set, rsa_jwk,
    rsa_key, rsassa,
};
use crate::world::{Instance, JWKS_PATH, ORIGIN, UNIX_SECONDS};

#[track_caller]
fn refused(what: &str, token: &str) {
    let app = Instance::new();
    let outcome = app.bearer(token);
    assert!(
        matches!(
            outcome,
            Err(Refusal::Unauthorized | Refusal::TokenRejection(_))
        ),
        "{what}: {token}: {outcome:?}"
    );
    let asked = app.world.key_set_asked.borrow();
    let configured = format!("{ORIGIN}{JWKS_PATH}");
    assert!(
        asked.iter().all(|(_, url)| *url == configured),
        "{what}: {asked:?}"
    );
    assert!(app.world.admin_asked.borrow().is_empty(), "{what}");
}

#[track_caller]
fn refused_in_all_ways(what: &str, draft: Draft) {
    for token in draft.all_ways() {
        refused(what, &token);
    }
}

#[test]
fn claims_that_are_wrong_or_missing() {
    let now = UNIX_SECONDS;
    refused_in_all_ways("expired", Draft::new().claim("exp", now - 3600));
    refused_in_all_ways("no expiry", Draft::new().without("exp"));
    refused_in_all_ways(
        "expiry as text",
        Draft::new().claim("exp", (now + 3600).to_string()),
    );
    refused_in_all_ways("expiry null", Draft::new().claim("exp", Value::Null));
    refused_in_all_ways("not yet valid", Draft::new().claim("nbf", now + 3600));
    refused_in_all_ways("wrong audience", Draft::new().claim("aud", "anon"));
    refused_in_all_ways(
        "wrong audiences",
        Draft::new().claim("aud", json!(["anon", "Authenticated"])),
    );
    refused_in_all_ways("no audiences", Draft::new().claim("aud", json!([])));
    refused_in_all_ways("empty audience", Draft::new().claim("aud", ""));
    refused_in_all_ways(
        "audience of another type",
        Draft::new().claim("aud", json!({ "authenticated": true })),
    );
    refused_in_all_ways("no audience", Draft::new().without("aud"));
    refused_in_all_ways(
        "wrong issuer",
        Draft::new().claim("iss", "https://elsewhere.example"),
    );
    refused_in_all_ways("no issuer", Draft::new().without("iss"));
    refused_in_all_ways("no user", Draft::new().without("sub"));
    for sub in [
        "",
        "admin",
        "11111111222243338444555555555555",
        "{11111111-2222-4333-8444-555555555555}",
        "urn:uuid:11111111-2222-4333-8444-555555555555",
        "11111111-2222-4333-8444-55555555555g",
        "' or true --' or true --' or true --",
    ] {
        refused_in_all_ways("no UUID", Draft::new().claim("sub", sub));
    }
    refused_in_all_ways("a number for a user", Draft::new().claim("sub", 1));
}

#[test]
fn claims_that_are_no_object_or_say_a_thing_twice() {
    let signed = |claims: &str| {
        let unsigned = format!(
            "{}.{}",
            base64url(br#"{"alg":"HS256"}"#),
            base64url(claims.as_bytes())
        );
        format!(
            "{unsigned}.{}",
            base64url(&hmac(SECRET.as_bytes(), unsigned.as_bytes()))
        )
    };
    let deep = format!("{}1{}", "[".repeat(2_000), "]".repeat(2_000));
    let good = r#""sub":"11111111-2222-4333-8444-555555555555","aud":"authenticated","role":"authenticated","iss":"https://project.supabase.co/auth/v1""#;
    let ok = signed(&format!("{{{good},\"exp\":1900000000}}"));
    assert!(
        Instance::new().bearer(&ok).is_ok(),
        "the rest of these differ from this one only"
    );
    for claims in [
        "",
        "null",
        "[]",
        r#"["11111111-2222-4333-8444-555555555555","authenticated",1900000000,null,"https://project.supabase.co/auth/v1"]"#,
        "\"text\"",
        "{}",
        "{",
        "\u{feff}{}",
        &deep,
        &format!("{{{good},\"exp\":1900000000,\"exp\":1}}"),
        &format!("{{{good},\"exp\":1900000000,\"aud\":{deep}}}"),
        &format!("{{{good},\"exp\":1e999}}"),
        &format!("{{{good},\"exp\":NaN}}"),
    ] {
        refused(claims.get(..40).unwrap_or(claims), &signed(claims));
    }
}

#[test]
fn algorithms_that_are_none_of_ours() {
    for alg in [
        "none", "None", "NONE", "nOnE", "", "hs256", "HS384", "HS512", "RS512", "PS256", "ES384",
        "EdDSA", "HS256 ",
    ] {
        let draft = Draft::new().header("alg", alg).header("kid", EC_KEY_ID);
        let unsigned = draft.unsigned();
        refused(alg, &format!("{unsigned}."));
        refused(alg, &unsigned);
        refused(alg, &draft.signed(|m| hmac(SECRET.as_bytes(), m)));
        refused(alg, &draft.signed(|m| ecdsa(&ec_key(), m)));
        refused(alg, &draft.signed(|m| rsassa(rsa_key(), m)));
    }
    for alg in [
        Value::Null,
        json!(0),
        json!(["HS256"]),
        json!({ "HS256": null }),
    ] {
        let draft = Draft::new().header("alg", alg);
        refused(
            "an algorithm that is no text",
            &draft.signed(|m| hmac(SECRET.as_bytes(), m)),
        );
    }
    refused(
        "no algorithm",
        &Draft::new().signed(|m| hmac(SECRET.as_bytes(), m)),
    );
}

#[test]
fn headers_that_are_no_object_or_say_a_thing_twice() {
    let [good, _, _] = Draft::new().all_ways();
    let claims = good.split('.').nth(1).unwrap();
    for header in [
        "",
        "null",
        "\"HS256\"",
        r#"["HS256"]"#,
        r#"["HS256",null,null]"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256"} {}"#,
        r#"{"alg":"HS256""#,
    ] {
        let unsigned = format!("{}.{claims}", base64url(header.as_bytes()));
        let signature = base64url(&hmac(SECRET.as_bytes(), unsigned.as_bytes()));
        refused(header, &format!("{unsigned}.{signature}"));
    }
}

#[test]
fn a_public_key_is_no_hmac_secret() {
    let modulus = rsa_key().n_bytes();
    let jwk = rsa_jwk(RSA_KEY_ID, rsa_key());
    let ec = ec_jwk(EC_KEY_ID, &ec_key());
    let point = ec_key().verifying_key().to_sec1_point(false);
    let secrets: Vec<Vec<u8>> = vec![
        modulus.to_vec(),
        jwk["n"].as_str().unwrap().into(),
        jwk.to_string().into(),
        ec.to_string().into(),
        point.as_bytes().to_vec(),
        key_set(),
        vec![],
    ];
    let policies = [
        Policy::new()
            .jwks(ORIGIN, JWKS_PATH)
            .audience("authenticated"),
        Policy::new()
            .jwks(ORIGIN, JWKS_PATH)
            .jwt_secret(Secret::new(SECRET))
            .audience("authenticated"),
    ];
    for policy in policies {
        for kid in [RSA_KEY_ID, EC_KEY_ID] {
            for secret in &secrets {
                let app = Instance::with(policy.clone());
                let forged = Draft::new().header("alg", "HS256").header("kid", kid);
                let token = forged.signed(|m| hmac(secret, m));
                assert_eq!(app.bearer(&token), Err(Refusal::Unauthorized));
            }
        }
    }
}

#[test]
fn an_algorithm_for_which_no_key_is_configured() {
    let only_secret = Policy::new()
        .jwt_secret(Secret::new(SECRET))
        .audience("authenticated");
    let only_key_set = Policy::new()
        .jwks(ORIGIN, JWKS_PATH)
        .audience("authenticated");
    let [hs256, es256, rs256] = Draft::new().all_ways();
    for (policy, accepted, not) in [
        (only_secret, vec![&hs256], vec![&es256, &rs256]),
        (only_key_set, vec![&es256, &rs256], vec![&hs256]),
    ] {
        let app = Instance::with(policy);
        assert!(accepted.into_iter().all(|token| app.bearer(token).is_ok()));
        for token in not {
            assert_eq!(app.bearer(token), Err(Refusal::Unauthorized));
        }
    }
    // The secret is used as if it were the key that an RS256 token names.
    let app = Instance::with(
        Policy::new()
            .jwt_secret(Secret::new(SECRET))
            .audience("authenticated"),
    );
    let forged = Draft::new()
        .header("alg", "RS256")
        .header("kid", RSA_KEY_ID);
    assert_eq!(
        app.bearer(&forged.signed(|m| hmac(SECRET.as_bytes(), m))),
        Err(Refusal::Unauthorized)
    );
}

#[test]
fn a_key_of_another_kind_or_name_than_the_token_says() {
    let es256 = Draft::new().header("alg", "ES256");
    let rs256 = Draft::new().header("alg", "RS256");
    for kid in [
        RSA_KEY_ID,
        "EC-1",
        "",
        "ec-1 ",
        "../ec-1",
        "https://elsewhere.example",
    ] {
        refused(
            kid,
            &es256
                .clone()
                .header("kid", kid)
                .signed(|m| ecdsa(&ec_key(), m)),
        );
    }
    for kid in [EC_KEY_ID, "RSA-1"] {
        refused(
            kid,
            &rs256
                .clone()
                .header("kid", kid)
                .signed(|m| rsassa(rsa_key(), m)),
        );
    }
    refused("no kid", &es256.signed(|m| ecdsa(&ec_key(), m)));
    refused("no kid", &rs256.signed(|m| rsassa(rsa_key(), m)));
    refused(
        "kid null",
        &es256
            .clone()
            .header("kid", Value::Null)
            .signed(|m| ecdsa(&ec_key(), m)),
    );
    refused(
        "kid a number",
        &es256.header("kid", 1).signed(|m| ecdsa(&ec_key(), m)),
    );
}

#[test]
fn a_key_that_the_token_brings_along() {
    let stranger = p256::ecdsa::SigningKey::from_slice(&[9; 32]).unwrap();
    for kid in [EC_KEY_ID, "stranger"] {
        let token = Draft::new()
            .header("alg", "ES256")
            .header("kid", kid)
            .header("jwk", ec_jwk(kid, &stranger))
            .header("jku", "https://elsewhere.example/jwks.json")
            .header("x5u", "https://elsewhere.example/cert.pem")
            .signed(|m| ecdsa(&stranger, m));
        refused("a key of its own", &token);
    }
}

#[test]
fn extensions_that_must_be_understood() {
    for crit in [
        json!(["exp"]),
        json!(["b64"]),
        json!([]),
        json!(true),
        Value::Null,
    ] {
        refused_in_all_ways(
            "crit",
            Draft::new().header("crit", crit).header("b64", false),
        );
    }
}

#[test]
fn signatures_that_are_empty_zero_or_of_another_form() {
    let es256 = Draft::new().header("alg", "ES256").header("kid", EC_KEY_ID);
    let rs256 = Draft::new()
        .header("alg", "RS256")
        .header("kid", RSA_KEY_ID);
    let hs256 = Draft::new().header("alg", "HS256");
    for length in [0, 1, 16, 31, 32, 33, 63, 64, 65, 72, 255, 256, 257] {
        for byte in [0, 1, 255] {
            for draft in [&es256, &rs256, &hs256] {
                refused("a made-up signature", &draft.signed(|_| vec![byte; length]));
            }
        }
    }
    let der = |m: &[u8]| {
        let signature = p256::ecdsa::Signature::from_slice(&ecdsa(&ec_key(), m)).unwrap();
        signature.to_der().as_bytes().to_vec()
    };
    refused("ECDSA in DER", &es256.signed(der));
    refused(
        "half of an HMAC",
        &hs256.signed(|m| hmac(SECRET.as_bytes(), m)[..16].to_vec()),
    );
    refused(
        "another secret",
        &hs256.signed(|m| hmac(b"another secret of more than 32 bytes", m)),
    );
    let padded = |m: &[u8]| [rsassa(rsa_key(), m), vec![0]].concat();
    refused("RSA and a byte", &rs256.signed(padded));
}

#[test]
fn tokens_of_another_shape() {
    for token in Draft::new().all_ways() {
        let parts: Vec<&str> = token.split('.').collect();
        for shape in [
            format!("{token}."),
            format!(".{token}"),
            format!("{token}.{}", parts[2]),
            format!("{}.{}", parts[0], parts[1]),
            format!("{}..{}", parts[0], parts[2]),
            format!("{}.{}.{}", parts[1], parts[0], parts[2]),
            format!("{token}="),
            format!("{token}=="),
            format!("{} .{}.{}", parts[0], parts[1], parts[2]),
            token.replace('.', "%2e"),
            token.to_uppercase(),
            token.chars().rev().collect(),
        ] {
            refused("another shape", &shape);
        }
    }
}

#[test]
fn tokens_of_more_than_8_kib() {
    let padded = |bytes: usize| Draft::new().claim("padding", "x".repeat(bytes));
    for (bytes, accepted) in [(5_000, true), (8_192, false)] {
        for token in padded(bytes).all_ways() {
            assert_eq!(token.len() <= 8_192, accepted);
            assert_eq!(Instance::new().bearer(&token).is_ok(), accepted);
        }
    }
}

#[test]
fn the_words_for_the_log_hold_nothing_of_the_call() {
    let token = Draft::new().hs256();
    let bearer = format!("Bearer {token}");
    let words = [
        refusal_words(&Refusal::Unauthorized, None, None),
        refusal_words(&Refusal::Unauthorized, Some("Bearer "), None),
        refusal_words(&Refusal::Unauthorized, Some("Bearer ots_key"), None),
        refusal_words(&Refusal::Unauthorized, None, Some("ots_key")),
        refusal_words(&Refusal::Unauthorized, Some(&bearer), Some("ots_key")),
    ];
    assert!(words[0].contains("missing from the vault") && words[1] == words[0]);
    assert!(words[2].contains("key that is not accepted") && words[3] == words[2]);
    assert!(words[4].contains("user token"));
    assert!(
        words
            .iter()
            .all(|w| !w.contains("ots_key") && !w.contains(&token))
    );
}
