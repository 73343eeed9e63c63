//! Contents go to a host of their own where there is one, and nothing else does.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use world::odoo::EdgeCase;
use world::storage::Options;

use crate::scene::{
    all_is_well, attempted, finish, in_state, odoo_with, set, small, stopped_tick, tick,
};

const SECRET: &str = "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz";
const LEGACY: &str = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.bm8tc2lnbmF0dXJl";

/// A way to a server that counts what is sent to it.
struct Way {
    url: String,
    bytes: Arc<AtomicU64>,
}

impl Way {
    async fn to(url: &str) -> Result<Self> {
        let target = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let way = Self {
            url: format!("http://{}", listener.local_addr()?),
            bytes: Arc::default(),
        };
        let bytes = Arc::clone(&way.bytes);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, bytes) = (target.clone(), Arc::clone(&bytes));
                tokio::spawn(async move {
                    // A connection that breaks is the app's to notice.
                    drop(carry(client, &target, &bytes).await);
                });
            }
        });
        Ok(way)
    }

    fn sent(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }
}

async fn carry(client: TcpStream, target: &str, bytes: &AtomicU64) -> Result<()> {
    use tokio::io::AsyncReadExt;
    let server = TcpStream::connect(target).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut part = vec![0; 64 * 1024];
    loop {
        let length = from_client.read(&mut part).await?;
        if length == 0 {
            break;
        }
        bytes.fetch_add(length as u64, Ordering::SeqCst);
        to_server
            .write_all(part.get(..length).context("read")?)
            .await?;
    }
    drop(to_server);
    back.await??;
    Ok(())
}

#[tokio::test]
async fn contents_go_by_the_host_for_uploads_and_all_else_by_the_project_s_own() -> Result<()> {
    // One of them goes in pieces.
    let stage = set(odoo_with(small(5).with(2, EdgeCase::Size(8_000_000))))
        .start()
        .await?;
    let (own, direct) = (
        Way::to(&stage.storage.url()).await?,
        Way::to(&stage.storage.url()).await?,
    );
    let variables = [
        ("storage_url", own.url.as_str()),
        ("storage_upload_url", direct.url.as_str()),
    ];
    let (_host, caller) = stage.replica(&variables).await?;
    let mut uploads_to = Value::Null;
    for _ in 0..5 {
        let report = caller
            .post(crate::scene::PATH, stage::SERVICE_KEY, "{}")
            .await?
            .json();
        uploads_to = report["storage"]["uploads_to"].clone();
    }
    assert_eq!(in_state(&stage, "moved").await?, 5);
    all_is_well(&stage).await?;
    let contents = stage.storage.used_bytes();
    assert!(
        contents > 8_000_000 && direct.sent() > contents,
        "{contents}"
    );
    assert!(
        own.sent() > 0 && own.sent() < 100_000,
        "{} bytes were sent to the project's own host",
        own.sent()
    );
    assert_eq!(uploads_to, direct.url.trim_start_matches("http://"));
    let kept = "select counts->'storage'->'uploads_to' from odoo_sync.runs order by started_at desc limit 1";
    assert_eq!(stage.value(kept).await?, uploads_to);
    Ok(())
}

#[tokio::test]
async fn a_host_for_uploads_that_is_away_is_named_and_costs_no_attempt() -> Result<()> {
    let stage = set(odoo_with(small(5)))
        .variable("storage_upload_url", "http://127.0.0.1:1")
        .start()
        .await?;
    let report = stopped_tick(&stage).await?;
    assert_eq!(report["fault"]["kind"], "storage_unreachable", "{report}");
    let told = report["fault"]["message"].as_str().unwrap_or_default();
    assert!(told.contains("storage_upload_url, 127.0.0.1:1"), "{told}");
    assert_eq!(attempted(&stage).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_legacy_key_is_told_and_a_secret_one_is_not() -> Result<()> {
    for (key, legacy) in [(LEGACY, true), (SECRET, false)] {
        let options = Options {
            service_keys: vec![key.to_owned()],
            ..Options::default()
        };
        let stage = set(odoo_with(small(2))).storage(options).start().await?;
        let report = tick(&stage).await?;
        assert_eq!(report["storage"]["legacy_key"], legacy, "{report}");
        finish(&stage, 2).await?;
        let told = "select to_jsonb(detail->'storage'->'legacy_key') as value from odoo_sync.health() where job = 'archive-odoo-files-batch'";
        assert_eq!(stage.value(told).await?, legacy);
    }
    Ok(())
}
