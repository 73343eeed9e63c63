//! A wire to Postgres that can be cut at a given statement: before the server has it, or after the
//! server has done it but before its answer is back.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Where to cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The statement never arrives.
    Before,
    /// The statement is done, and committed; its answer never comes.
    After,
}

/// What only the argument of a statement holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement {
    Begin,
    Catalogue,
    Claim,
    Record,
    End,
}

impl Statement {
    pub const ALL: [Self; 5] = [
        Self::Begin,
        Self::Catalogue,
        Self::Claim,
        Self::Record,
        Self::End,
    ];

    fn mark(self) -> &'static [u8] {
        match self {
            Self::Begin => b"\"slots\":",
            Self::Catalogue => b"\"found\":[",
            Self::Claim => b"\"limit\":",
            Self::Record => b"\"settled\":[",
            Self::End => b"\"counts\":{",
        }
    }
}

type Armed = Arc<Mutex<Option<(Statement, Cut)>>>;

/// A wire to Postgres. It ends when it is dropped.
pub struct Wire {
    address: SocketAddr,
    armed: Armed,
    accepting: JoinHandle<()>,
}

impl Wire {
    /// A wire to this port on loopback.
    pub async fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let armed = Armed::default();
        let accepting = tokio::spawn({
            let armed = armed.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(carry(client, port, armed.clone()));
                }
            }
        });
        Ok(Self {
            address,
            armed,
            accepting,
        })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Cuts the wire once, at the next such statement.
    pub fn cut_at(&self, statement: Statement, cut: Cut) {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some((statement, cut));
    }

    /// Whether it was cut since.
    pub fn was_cut(&self) -> bool {
        self.armed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Carries one connection until it ends or is cut.
async fn carry(mut client: TcpStream, port: u16, armed: Armed) {
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
        return;
    };
    let (mut sent, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    // A mark may lie across two reads.
    let mut recent: Vec<u8> = Vec::new();
    loop {
        tokio::select! {
            read = client.read(&mut sent) => {
                let Some(bytes) = read.ok().and_then(|read| sent.get(..read)) else { return };
                if bytes.is_empty() {
                    return;
                }
                recent.extend_from_slice(bytes);
                match struck(&armed, &recent) {
                    Some(Cut::Before) => return,
                    Some(Cut::After) => {
                        if server.write_all(bytes).await.is_ok() {
                            until_done(&mut client, &mut server).await;
                        }
                        return;
                    }
                    None => {}
                }
                recent.drain(..recent.len().saturating_sub(32));
                if server.write_all(bytes).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Some(bytes) = read.ok().and_then(|read| answered.get(..read)) else { return };
                if bytes.is_empty() || client.write_all(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn struck(armed: &Armed, sent: &[u8]) -> Option<Cut> {
    let mut armed = armed.lock().unwrap_or_else(PoisonError::into_inner);
    let (statement, cut) = (*armed)?;
    let mark = statement.mark();
    sent.windows(mark.len()).any(|part| part == mark).then(|| {
        *armed = None;
        cut
    })
}

/// Lets the server have the rest of the statement and waits until it is ready for another.
async fn until_done(client: &mut TcpStream, server: &mut TcpStream) {
    const READY: &[u8] = b"Z\0\0\0\x05I";
    let (mut sent, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut answer: Vec<u8> = Vec::new();
    while !answer.windows(READY.len()).any(|part| part == READY) {
        tokio::select! {
            read = client.read(&mut sent) => {
                let Some(bytes) = read.ok().and_then(|read| sent.get(..read)) else { return };
                if bytes.is_empty() || server.write_all(bytes).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Some(bytes) = read.ok().and_then(|read| answered.get(..read)) else { return };
                if bytes.is_empty() {
                    return;
                }
                answer.extend_from_slice(bytes);
            }
        }
    }
}
