//! That nothing of an upload waits for the other side to acknowledge the rest, which takes 40 ms.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::scene::{all_is_well, odoo_with, set, small, tick};

/// What a door has seen.
#[derive(Debug, Default)]
struct Seen {
    uploads: AtomicU64,
    /// Those whose head came without any of their body.
    heads_alone: AtomicU64,
}

/// A door to a Storage that sees in which portions uploads come.
struct Door {
    port: u16,
    seen: Arc<Seen>,
    leads_to: watch::Sender<Option<String>>,
    doorkeeper: JoinHandle<()>,
}

impl Door {
    /// A door that is closed until it is known where it leads to.
    async fn build() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (leads_to, known) = watch::channel(None);
        let seen = Arc::<Seen>::default();
        let doorkeeper = tokio::spawn({
            let seen = seen.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let (mut known, seen) = (known.clone(), seen.clone());
                    tokio::spawn(async move {
                        if let Ok(server) = known.wait_for(Option::is_some).await.map(|s| s.clone())
                            && let Some(server) = server
                            && let Ok(server) = TcpStream::connect(server).await
                        {
                            // Either side may go at any time; the other then sees the end of its stream.
                            let _ = pass(client, server, &seen).await;
                        }
                    });
                }
            }
        });
        Ok(Self {
            port,
            seen,
            leads_to,
            doorkeeper,
        })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.doorkeeper.abort();
    }
}

async fn pass(client: TcpStream, server: TcpStream, seen: &Seen) -> Result<()> {
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
    let mut portion = vec![0; 256 * 1024];
    loop {
        let read = from_client.read(&mut portion).await?;
        let Some(bytes) = portion.get(..read).filter(|bytes| !bytes.is_empty()) else {
            back.abort();
            return Ok(());
        };
        if bytes.starts_with(b"POST /storage/v1/object/odoo-archive/") {
            seen.uploads.fetch_add(1, Ordering::Relaxed);
            if bytes.ends_with(b"\r\n\r\n") {
                seen.heads_alone.fetch_add(1, Ordering::Relaxed);
            }
        }
        to_server.write_all(bytes).await?;
    }
}

#[tokio::test]
async fn head_and_body_of_an_upload_leave_in_one_write() -> Result<()> {
    let door = Door::build().await?;
    let stage = set(odoo_with(small(600)))
        .variable("storage_url", format!("http://127.0.0.1:{}", door.port))
        .start()
        .await?;
    let url = stage.storage.url();
    let server = url.strip_prefix("http://").context("plain HTTP")?;
    door.leads_to.send_replace(Some(server.to_owned()));
    assert_eq!(tick(&stage).await?["migrated"], 600);
    let uploads = door.seen.uploads.load(Ordering::Relaxed);
    let alone = door.seen.heads_alone.load(Ordering::Relaxed);
    ensure!(uploads == 600, "{uploads} uploads were seen");
    // A thread of the host that is stopped just then by a busy machine may part one or the other.
    ensure!(
        alone * 20 <= uploads,
        "{alone} of {uploads} heads came without their bodies"
    );
    all_is_well(&stage).await
}
