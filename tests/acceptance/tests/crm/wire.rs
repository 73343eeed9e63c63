//! Between the app and Postgres: counts the statements that go by.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use world::postgres::Database;

/// A door to a database that counts what is executed through it.
pub struct Wire {
    port: u16,
    statements: Arc<AtomicU64>,
    door: JoinHandle<()>,
}

impl Wire {
    /// A door before this database.
    pub async fn before(database: &Database) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (host, server_port) = (database.host(), database.port());
        let statements = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&statements);
        let door = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (host, counter) = (host.clone(), Arc::clone(&counter));
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect((host.as_str(), server_port)).await {
                        // Either side may go at any time; the other then sees the end of its stream.
                        let _ = pass(client, server, &counter).await;
                    }
                });
            }
        });
        Ok(Self {
            port,
            statements,
            door,
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn reset(&self) {
        self.statements.store(0, Ordering::Relaxed);
    }

    /// Statements that were executed with parameters, which all of the program's are.
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.door.abort();
    }
}

/// Passes messages on: after the first, each is a letter, its length, and the rest.
async fn pass(client: TcpStream, server: TcpStream, counter: &AtomicU64) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
    let mut greeted = false;
    loop {
        let mut message = Vec::new();
        if greeted {
            let letter = from_client.read_u8().await?;
            message.push(letter);
            if letter == b'E' {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
        let length = from_client.read_u32().await?;
        message.extend(length.to_be_bytes());
        let rest = usize::try_from(length)
            .unwrap_or_default()
            .saturating_sub(4);
        let begun = message.len();
        message.resize(begun + rest, 0);
        if let Some(rest) = message.get_mut(begun..) {
            from_client.read_exact(rest).await?;
        }
        to_server.write_all(&message).await?;
        greeted = true;
    }
}
