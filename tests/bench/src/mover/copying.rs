//! The physical limit: bytes from one server to the other on many connections, and nothing else. No
//! hash, no catalogue, nothing is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use http_body_util::BodyExt;
use tokio::task::JoinSet;

use super::plain::{BoxError, Servers};
use super::{Mover, Task, Usage};

/// Plain copying.
pub(super) struct Copying {
    servers: Servers,
    connections: usize,
}

impl Copying {
    pub(super) fn start(task: &Task) -> Result<Self> {
        Ok(Self {
            servers: Servers::of(task)?,
            connections: task.connections.max(1),
        })
    }
}

impl Mover for Copying {
    async fn move_all(&mut self) -> Result<Usage> {
        self.servers.log_in().await?;
        self.servers.open_session().await?;
        let files = Arc::new(self.servers.list().await?);
        let next = Arc::new(AtomicUsize::new(0));
        let mut copying = JoinSet::new();
        for _ in 0..self.connections.min(files.len()) {
            let (servers, files, next) = (self.servers.clone(), files.clone(), next.clone());
            copying.spawn(async move {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let content = servers.content(file.id).await?.into_body();
                    let length = hyper::body::Body::size_hint(&content).exact();
                    let content = content.map_err(BoxError::from).boxed_unsync();
                    servers.store(file, length, content).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(copied) = copying.join_next().await {
            copied.context("a copying task broke off")??;
        }
        Ok(Usage::default())
    }
}
