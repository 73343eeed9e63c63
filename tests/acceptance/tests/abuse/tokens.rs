//! Tokens that are wrong in any way are refused, and all of them alike.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};
use stage::{Caller, JWT_SECRET, Stage, signed_token};
use world::faults::Fault;

use crate::scene::{JOBS, all_still_serve, nothing_was_done, set};

const ISSUER: &str = "https://project.example/auth/v1";
const ADMIN: &str = "11111111-2222-4333-8444-555555555555";

/// The public key of RFC 7515, A.3.
const PUBLIC_KEY: &str = r#"{"kty":"EC","crv":"P-256","kid":"ec-1","alg":"ES256","use":"sig","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn now() -> Result<u64> {
    Ok(std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs())
}

/// What the token of the admin claims, but for this.
fn claims(name: &str, value: Value) -> Result<Value> {
    let mut claims = json!({"sub": ADMIN, "aud": "authenticated", "iss": ISSUER, "role": "authenticated", "exp": now()? + 3600});
    let entries = claims.as_object_mut().context("claims are an object")?;
    match value {
        Value::Null => entries.remove(name),
        value => entries.insert(name.to_owned(), value),
    };
    Ok(claims)
}

/// Every wrong token, with what is wrong.
#[expect(clippy::too_many_lines, reason = "one table")]
fn wrong() -> Result<Vec<(&'static str, String)>> {
    let hs256 = json!({"alg": "HS256", "typ": "JWT"});
    let good = claims("jti", json!("1"))?;
    let by_secret = |claims: &Value| signed_token(&hs256, claims, JWT_SECRET.as_bytes());
    let none = |alg: &str| format!("{}.{}.", part(&json!({"alg": alg})), part(&good));
    let es256 = json!({"alg": "ES256", "kid": "ec-1"});
    let key: Value = serde_json::from_str(PUBLIC_KEY)?;
    let x = URL_SAFE_NO_PAD.decode(key.get("x").and_then(Value::as_str).unwrap_or_default())?;
    let unsigned = by_secret(&good)?;
    let unsigned = unsigned
        .rsplit_once('.')
        .map_or("", |(unsigned, _)| unsigned);
    Ok(vec![
        ("alg none", none("none")),
        ("alg None", none("nOnE")),
        ("no signature", format!("{unsigned}.")),
        ("two parts", unsigned.to_owned()),
        ("four parts", format!("{}.x", by_secret(&good)?)),
        (
            "another secret",
            signed_token(&hs256, &good, b"another-secret-of-at-least-32-characters")?,
        ),
        ("no secret", signed_token(&hs256, &good, b"")?),
        (
            "the public key for a secret",
            signed_token(
                &json!({"alg": "HS256", "kid": "ec-1"}),
                &good,
                PUBLIC_KEY.as_bytes(),
            )?,
        ),
        (
            "its x for a secret",
            signed_token(&json!({"alg": "HS256", "kid": "ec-1"}), &good, &x)?,
        ),
        (
            "HS256 called ES256",
            signed_token(&es256, &good, JWT_SECRET.as_bytes())?,
        ),
        (
            "HS256 called RS256",
            signed_token(
                &json!({"alg": "RS256", "kid": "ec-1"}),
                &good,
                JWT_SECRET.as_bytes(),
            )?,
        ),
        (
            "HS512",
            signed_token(&json!({"alg": "HS512"}), &good, JWT_SECRET.as_bytes())?,
        ),
        (
            "a signature of zeros",
            format!(
                "{}.{}.{}",
                part(&es256),
                part(&good),
                URL_SAFE_NO_PAD.encode([0; 64])
            ),
        ),
        (
            "an unknown key",
            format!(
                "{}.{}.{}",
                part(&json!({"alg": "ES256", "kid": "ec-2"})),
                part(&good),
                URL_SAFE_NO_PAD.encode([1; 64])
            ),
        ),
        (
            "critical",
            signed_token(
                &json!({"alg": "HS256", "crit": ["b64"], "b64": false}),
                &good,
                JWT_SECRET.as_bytes(),
            )?,
        ),
        ("expired", by_secret(&claims("exp", json!(now()? - 60))?)?),
        ("no expiry", by_secret(&claims("exp", Value::Null)?)?),
        (
            "not yet valid",
            by_secret(&claims("nbf", json!(now()? + 120))?)?,
        ),
        ("wrong audience", by_secret(&claims("aud", json!("anon"))?)?),
        ("no audience", by_secret(&claims("aud", Value::Null)?)?),
        (
            "wrong issuer",
            by_secret(&claims("iss", json!("https://elsewhere.example"))?)?,
        ),
        ("no issuer", by_secret(&claims("iss", Value::Null)?)?),
        (
            "role service_role",
            by_secret(&claims("role", json!("service_role"))?)?,
        ),
        ("no role", by_secret(&claims("role", Value::Null)?)?),
        (
            "of an OAuth app",
            by_secret(&claims("client_id", json!("app-1"))?)?,
        ),
        (
            "of third-party auth",
            by_secret(&claims("sub", json!("user_2abcDEF"))?)?,
        ),
        ("no sub", by_secret(&claims("sub", Value::Null)?)?),
        (
            "sub that is no id",
            by_secret(&claims("sub", json!("' or true --"))?)?,
        ),
        (
            "oversized",
            by_secret(&claims("x", json!("x".repeat(9_000)))?)?,
        ),
        ("not base64", "a.b.c".to_owned()),
        ("dots", "..".to_owned()),
    ])
}

async fn call(caller: &Caller, path: &str, token: &str) -> Result<(u16, String, String)> {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("apikey", "public-anon-key"),
    ];
    let answer = caller.send(Method::POST, path, &headers, "{}").await?;
    let mut names: Vec<&str> = answer
        .headers
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    names.sort_unstable();
    Ok((answer.status.as_u16(), answer.text(), names.join(",")))
}

async fn with_admin() -> Result<Stage> {
    with_admin_at(set().variable("jwt_issuer", ISSUER)).await
}

async fn with_admin_at(builder: stage::Builder) -> Result<Stage> {
    let stage = builder.variable("jwt_secret", JWT_SECRET).start().await?;
    stage
        .owner
        .batch_execute(&format!(
            "insert into auth.users (id) values ('{ADMIN}');
             insert into public.user_roles (user_id, role) values ('{ADMIN}', 'admin')"
        ))
        .await?;
    let keys = format!(r#"{{"keys":[{PUBLIC_KEY}]}}"#);
    let json = [("content-type", "application/json")];
    stage
        .storage
        .faults()
        .add(Fault::on("/jwks.json").answer(200, &json, &keys));
    Ok(stage)
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_the_answer_does_not_say_why() -> Result<()> {
    let stage = with_admin().await?;
    let refused = call(stage.caller(), JOBS[0], "a-stranger").await?;
    ensure!(
        refused.0 == 401 && refused.1 == r#"{"error":"Unauthorized"}"#,
        "{refused:?}"
    );
    let mut taken = Vec::new();
    for (what, token) in wrong()? {
        for path in JOBS.iter().chain(&["/actions/retry"]) {
            let answer = call(stage.caller(), path, &token).await?;
            if answer != refused {
                taken.push(format!("{what} at {path}: {answer:?}"));
            }
        }
    }
    ensure!(taken.is_empty(), "{}", taken.join("\n"));
    let calls = stage.odoo.counters().total().calls;
    ensure!(calls == 0, "{calls} calls to Odoo");
    ensure!(stage.count("select count(*) from odoo_sync.runs").await? == 0);
    // They differ from this one only.
    let good = signed_token(
        &json!({"alg": "HS256", "typ": "JWT"}),
        &claims("jti", json!("1"))?,
        JWT_SECRET.as_bytes(),
    )?;
    let answer = call(stage.caller(), JOBS[0], &good).await?;
    ensure!(answer.0 == 200, "{answer:?}");
    all_still_serve(&stage).await
}

#[tokio::test]
async fn a_token_of_another_project_is_refused_though_no_issuer_is_set() -> Result<()> {
    let stage = with_admin_at(set().variable("jwt_issuer", "")).await?;
    let hs256 = json!({"alg": "HS256"});
    let own = format!("{}/auth/v1", stage.storage.url());
    for (issuer, status) in [(ISSUER, 401), (own.as_str(), 200)] {
        let claims = claims("iss", json!(issuer))?;
        let token = signed_token(&hs256, &claims, JWT_SECRET.as_bytes())?;
        let answer = call(stage.caller(), JOBS[0], &token).await?;
        ensure!(answer.0 == status, "{issuer}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn where_a_second_factor_is_asked_for_a_token_without_one_starts_nothing() -> Result<()> {
    let builder = set()
        .variable("jwt_issuer", ISSUER)
        .variable("jwt_require_aal2", "true");
    let stage = with_admin_at(builder).await?;
    for (level, status) in [
        (Value::Null, 401),
        (json!("aal1"), 401),
        (json!("aal2"), 200),
    ] {
        let claims = claims("aal", level.clone())?;
        let token = signed_token(&json!({"alg": "HS256"}), &claims, JWT_SECRET.as_bytes())?;
        let answer = call(stage.caller(), JOBS[0], &token).await?;
        ensure!(answer.0 == status, "{level}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_user_who_is_no_admin_starts_nothing() -> Result<()> {
    let stage = with_admin().await?;
    let other = claims("sub", json!("66666666-2222-4333-8444-555555555555"))?;
    let token = signed_token(&json!({"alg": "HS256"}), &other, JWT_SECRET.as_bytes())?;
    for path in JOBS.iter().chain(&["/actions/retry"]) {
        let answer = call(stage.caller(), path, &token).await?;
        ensure!(answer.0 == 403, "{path}: {answer:?}");
    }
    nothing_was_done(&stage).await
}

#[tokio::test]
async fn the_log_of_refused_calls_says_why_a_token_of_the_project_is_not_accepted() -> Result<()> {
    let stage = with_admin().await?;
    let token = signed_token(
        &json!({"alg": "HS256"}),
        &claims("client_id", json!("app-1"))?,
        JWT_SECRET.as_bytes(),
    )?;
    let answer = call(stage.caller(), JOBS[0], &token).await?;
    ensure!(answer.0 == 401, "{answer:?}");
    let told = "select count(*) from public.migration_logs where status = 'auth_error' and errors[1] like '%jwt_clients'";
    ensure!(stage.count(told).await? == 1);
    Ok(())
}
