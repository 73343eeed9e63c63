//! Deletes objects of files that were erased from the catalogue.

use fault::Fault;
use ledger::{Postgres, erased};
use outbound::{Clock, Http};

use super::Batch;

/// How many objects one request deletes.
const MANY: usize = 100;

impl<H: Http, C: Clock, P: Postgres> Batch<'_, H, C, P> {
    /// Deletes all listed objects. Objects that cannot be deleted stay on the list.
    pub(super) async fn erase(&self) -> Result<(), Fault> {
        let (postgres, run_id) = (&self.run.environment.postgres, self.run.id);
        while self.run.erases() {
            let paths = erased::unwanted(postgres, run_id, MANY).await?;
            if !paths.is_empty() {
                self.storage.remove(&paths).await?;
                erased::removed(postgres, run_id, &paths).await?;
            }
            if paths.len() < MANY {
                break;
            }
        }
        Ok(())
    }
}
