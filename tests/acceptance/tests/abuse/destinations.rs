//! Nobody but the configuration says where the program sends anything.

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use stage::SERVICE_KEY;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;
use world::faults::Fault;

use crate::raw;
use crate::scene::{POSTS, all_still_serve, nothing_was_done, set};

/// A host of the caller's choosing, which counts who comes.
async fn decoy() -> Result<(String, Arc<AtomicUsize>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = visits.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    Ok((address, visits))
}

/// A token that names where its key may be had.
fn token_with(header: &serde_json::Value, address: &str) -> String {
    let claims = json!({"sub": "11111111-2222-4333-8444-555555555555", "aud": "authenticated",
                        "iss": format!("http://{address}/auth/v1"), "exp": 4_000_000_000_u64});
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!(
        "{}.{}.{}",
        part(header),
        part(&claims),
        URL_SAFE_NO_PAD.encode([7; 64])
    )
}

#[tokio::test]
async fn no_header_address_or_token_makes_it_ask_another_host() -> Result<()> {
    let stage = set().start().await?;
    let (decoy, visits) = decoy().await?;
    let key_set = format!("http://{decoy}/keys.json");
    let mut strangers = Vec::new();
    for alg in ["HS256", "ES256", "RS256"] {
        let header = json!({"alg": alg, "typ": "JWT", "kid": key_set, "jku": key_set, "x5u": key_set,
                            "jwk": {"kty": "oct", "k": "AAAA"}, "x5c": [key_set]});
        strangers.push(token_with(&header, &decoy));
    }
    // Supabase Auth has no key of that name.
    stage.storage.faults().add(Fault::on("/jwks.json").answer(
        200,
        &[("content-type", "application/json")],
        r#"{"keys":[]}"#,
    ));
    for token in strangers.iter().map(String::as_str).chain([SERVICE_KEY]) {
        for path in POSTS {
            // An action that is refused or starts nothing, and runs that end at once: a broken body.
            let headers = format!(
                "authorization: Bearer {token}\r\nx-forwarded-host: {decoy}\r\nx-forwarded-proto: http\r\nforwarded: host={decoy}\r\n\
                 x-original-url: http://{decoy}/\r\nspin-full-url: http://{decoy}{path}\r\nspin-path-info: http://{decoy}/\r\n\
                 x-odoo-database: {decoy}\r\norigin: http://{decoy}\r\nreferer: http://{decoy}/\r\ncontent-length: 1"
            );
            for (address, host) in [
                (path.to_owned(), decoy.as_str()),
                (format!("http://{decoy}{path}"), decoy.as_str()),
                (format!("http://{decoy}{path}"), "app"),
                (
                    format!("{path}?url=http://{decoy}/&odoo_url=http://{decoy}"),
                    "app",
                ),
            ] {
                let request =
                    format!("POST {address} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n\r\n{{");
                if address.starts_with("http") && host == "app" {
                    // Two hosts: Spin closes the connection (seen on 4.1).
                    ensure!(raw::send(&stage, request.as_bytes()).await.is_err());
                    continue;
                }
                let answer = raw::send(&stage, request.as_bytes()).await?;
                let expected = if token == SERVICE_KEY { 422 } else { 401 };
                ensure!(answer.status == expected, "{address} {host}: {answer:?}");
            }
        }
    }
    // The key set of the configuration may have been asked for, and nothing else was.
    let asked = stage.storage.counters().all();
    let asked: Vec<_> = asked.keys().collect();
    ensure!(asked == ["GET /"], "{asked:?}");
    ensure!(stage.odoo.counters().total().calls == 0);
    ensure!(stage.count("select count(*) from odoo_sync.runs").await? == 0);

    // With the key, in the same company, the work goes where the configuration says.
    let body =
        json!({"mode": "migrate", "odoo_url": format!("http://{decoy}"), "storage_url": decoy})
            .to_string();
    let request = format!(
        "POST http://{decoy}/archive-batch HTTP/1.1\r\nhost: {decoy}\r\nauthorization: Bearer {SERVICE_KEY}\r\n\
         x-forwarded-host: {decoy}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = raw::send(&stage, request.as_bytes()).await?;
    ensure!(
        answer.status == 200 && answer.json()["migrated"] == 3,
        "{answer:?}"
    );
    ensure!(visits.load(Ordering::SeqCst) == 0, "the decoy was visited");
    ensure!(
        !stage.log().iter().any(|line| line.contains(&decoy)),
        "{:?}",
        stage.log()
    );
    all_still_serve(&stage).await
}

#[tokio::test]
async fn where_an_upload_goes_is_not_the_storages_choice() -> Result<()> {
    use world::odoo::EdgeCase;
    let odoo = world::odoo::Options {
        attachments: world::odoo::Attachments::of(1).with(1, EdgeCase::Size(7_000_000)),
        ..world::odoo::Options::default()
    };
    let stage = stage::Stage::builder().odoo(odoo).start().await?;
    let (decoy, visits) = decoy().await?;
    let location = format!("http://{decoy}/upload/resumable/b2Rvbw");
    stage
        .storage
        .faults()
        .add(Fault::on("/upload/resumable").method("POST").answer(
            201,
            &[("location", &location), ("tus-resumable", "1.0.0")],
            "",
        ));
    let answer = stage.post("/archive-batch", "{}").await?;
    ensure!(answer.json()["migrated"] == 0, "{}", answer.text());
    ensure!(visits.load(Ordering::SeqCst) == 0, "the decoy was visited");
    // Nor does a redirect of Odoo's lead anywhere.
    let elsewhere = format!("http://{decoy}/web/login");
    stage
        .odoo
        .faults()
        .add(Fault::on("/").answer(303, &[("location", &elsewhere)], ""));
    let (_host, caller) = stage.replica(&[]).await?;
    let answer = caller.post("/crm-sync", SERVICE_KEY, "{}").await?;
    ensure!(answer.status == 502, "{}", answer.text());
    ensure!(visits.load(Ordering::SeqCst) == 0, "the decoy was visited");
    Ok(())
}

#[tokio::test]
async fn a_stranger_makes_nobody_be_asked_but_postgres() -> Result<()> {
    let stage = set().start().await?;
    for path in POSTS {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: app\r\nauthorization: Bearer a-stranger\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        ensure!(raw::send(&stage, request.as_bytes()).await?.status == 401);
    }
    nothing_was_done(&stage).await
}
