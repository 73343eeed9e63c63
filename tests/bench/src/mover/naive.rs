//! What people use instead: one file after the other, `datas` by a call of its own, then an upload.
//! It keeps no catalogue and verifies nothing, so it is faster than the scripts it stands for.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::plain::{Servers, whole};
use super::{Mover, Task, Usage};

/// The naive way.
pub(super) struct Naive(Servers);

impl Naive {
    pub(super) fn start(task: &Task) -> Result<Self> {
        Servers::of(task).map(Self)
    }
}

impl Mover for Naive {
    async fn move_all(&mut self) -> Result<Usage> {
        self.0.log_in().await?;
        for file in self.0.list().await? {
            let content = STANDARD.decode(self.0.datas(file.id).await?)?;
            self.0.store(&file, None, whole(content)).await?;
        }
        Ok(Usage::default())
    }
}
