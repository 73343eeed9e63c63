//! Probes whether a route works at all after several files failed on it.

use fault::Fault;
use futures::FutureExt;
use ledger::{Postgres, attachments};
use odoo::Odoo;
use outbound::{Clock, Http};
use storage::Storage;

use super::{Event, Pipeline};
use crate::batch::breaker::{Breaker, ProbeResult};
use crate::plan::SMALL_BYTES;
use crate::transfer::{self, Fetched};

/// A route that files take, on which all of them may fail alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Content by RPC.
    Rpc,
    /// Content by `/web/content`.
    Streams,
    /// Upload to Storage.
    Storage,
}

impl<H: Http, C: Clock, P: Postgres> Pipeline<'_, H, C, P> {
    pub(super) fn breaker(&mut self, way: Way) -> &mut Breaker {
        match way {
            Way::Rpc => &mut self.fetcher.rpc,
            Way::Streams => &mut self.fetcher.streams,
            Way::Storage => &mut self.uploader.breaker,
        }
    }

    /// Probes each route on which enough files failed to blame the route; with `last`, at the end of the batch, each on
    /// which any file failed.
    pub(super) fn probe(&mut self, last: bool) {
        for way in [Way::Rpc, Way::Streams, Way::Storage] {
            if !self.breaker(way).probe(last) {
                continue;
            }
            let context = self.context;
            self.tasks.push(
                async move {
                    let proof = match way {
                        Way::Storage => match takes_uploads(context.storage).await {
                            Ok(()) => ProbeResult::Well,
                            Err(fault) => ProbeResult::Ill(Some(fault)),
                        },
                        Way::Rpc | Way::Streams => {
                            known_good(context.odoo, context.postgres, way).await
                        }
                    };
                    Event::Probed(way, proof)
                }
                .boxed_local(),
            );
        }
    }
}

/// Whether the bucket is visible and uploads get through: a proxy may allow one and not the other.
pub(super) async fn takes_uploads<H: Http>(storage: &Storage<H>) -> Result<(), Fault> {
    storage.check_bucket().await?;
    storage.check_uploads().await
}

/// Whether a file that was moved before can still be fetched on this route.
async fn known_good<H: Http, C: Clock, P: Postgres>(
    odoo: &Odoo<H, C>,
    postgres: &P,
    way: Way,
) -> ProbeResult {
    let Ok(Some(file)) = attachments::any_moved(postgres, SMALL_BYTES).await else {
        return ProbeResult::Unknown;
    };
    let well = if way == Way::Streams {
        odoo.content(file.id, 0, 1).await.is_ok()
    } else {
        let content = transfer::whole(odoo, &file).await;
        content.is_ok_and(|content| Fetched::of(file, content).is_ok())
    };
    if well {
        ProbeResult::Well
    } else {
        ProbeResult::Ill(None)
    }
}
