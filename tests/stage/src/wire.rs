//! A wire to Postgres that can be cut, or held, at a given statement: before the server has it, or
//! after the server has done it but before its answer is back.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// On which side of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The statement never arrives.
    Before,
    /// The statement is done, and committed; its answer never comes.
    After,
}

impl Moment {
    /// Both, in their order.
    pub const BOTH: [Self; 2] = [Self::Before, Self::After];

    /// As it stands in the table of faults and in what a test says.
    pub fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The connection breaks.
    Cut,
    /// Nothing more comes, in either direction, for as long as the other side likes to wait.
    Hold,
}

/// A place to strike, and how often.
#[derive(Debug, Clone, Copy)]
struct Armed {
    mark: &'static str,
    moment: Moment,
    then: Then,
    times: u32,
}

#[derive(Debug, Default)]
struct State {
    armed: Option<Armed>,
    struck: u32,
}

/// What the connections of a wire share.
#[derive(Debug, Default)]
struct Common {
    state: Mutex<State>,
    /// Tells those that are open to fall silent.
    silence: Notify,
}

type Shared = Arc<Common>;

impl Common {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wire to Postgres. It ends when it is dropped.
pub struct Wire {
    address: SocketAddr,
    state: Shared,
    accepting: JoinHandle<()>,
}

impl Wire {
    /// A wire to this port on loopback.
    pub async fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Shared::default();
        let accepting = tokio::spawn({
            let state = state.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(carry(client, port, state.clone()));
                }
            }
        });
        Ok(Self {
            address,
            state,
            accepting,
        })
    }

    /// The port that the app is to be given.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Strikes the next statements whose argument holds `mark`.
    pub fn strike(&self, mark: &'static str, moment: Moment, then: Then, times: u32) {
        let mut state = self.state.lock();
        state.struck = 0;
        state.armed = Some(Armed {
            mark,
            moment,
            then,
            times,
        });
    }

    /// Strikes no more.
    pub fn mend(&self) {
        let mut state = self.state.lock();
        state.armed = None;
    }

    /// How often it struck since it was told to.
    pub fn struck(&self) -> u32 {
        self.state.lock().struck
    }

    /// Of all connections that are open nothing more comes, in either direction, and none of them ends; the next ones
    /// are as always.
    pub fn silence(&self) {
        self.state.silence.notify_waiters();
    }

    /// Waits until it has struck.
    pub async fn until_struck(&self) -> Result<()> {
        let begun = std::time::Instant::now();
        while self.struck() == 0 {
            ensure!(
                begun.elapsed() < Duration::from_mins(3),
                "the statement never came"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Carries one connection until it ends or is struck.
async fn carry(mut client: TcpStream, port: u16, state: Shared) {
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
        return;
    };
    let (mut sent, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    // A mark may lie across two reads.
    let mut recent: Vec<u8> = Vec::new();
    let mut silence = pin!(state.silence.notified());
    // Before anything is carried: none misses it.
    silence.as_mut().enable();
    loop {
        tokio::select! {
            () = &mut silence => {
                until_gone(&mut client).await;
                return;
            }
            read = client.read(&mut sent) => {
                let Some(bytes) = read.ok().and_then(|read| sent.get(..read)) else { return };
                if bytes.is_empty() {
                    return;
                }
                recent.extend_from_slice(bytes);
                if let Some(armed) = struck(&state, &recent) {
                    if armed.moment == Moment::After {
                        if server.write_all(bytes).await.is_err() {
                            return;
                        }
                        until_done(&mut client, &mut server).await;
                    }
                    count(&state);
                    if armed.then == Then::Hold {
                        until_gone(&mut client).await;
                    }
                    return;
                }
                recent.drain(..recent.len().saturating_sub(64));
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

/// Swallows what comes until the other side is gone.
async fn until_gone(client: &mut TcpStream) {
    let mut sent = vec![0; 64 * 1024];
    while client.read(&mut sent).await.is_ok_and(|read| read > 0) {}
}

fn struck(state: &Shared, sent: &[u8]) -> Option<Armed> {
    let mut state = state.lock();
    let armed = state.armed?;
    let mark = armed.mark.as_bytes();
    sent.windows(mark.len()).any(|part| part == mark).then(|| {
        state.armed = (armed.times > 1).then(|| Armed {
            times: armed.times - 1,
            ..armed
        });
        armed
    })
}

fn count(state: &Shared) {
    state.lock().struck += 1;
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
