//! Adds the attachments that records refer to, if missing, to the archive's catalogue. The archive moves them like
//! any other, if selected.

use ledger::Postgres;
use ledger::attachments::{Found, Skip, Verdict, catalogue};
use ledger::chatter::{asked, wanted};
use outbound::{Clock, Http};

use crate::entity_run::{EntityRun, Stop};
use crate::work::RunContext;

/// The most attachments per call.
const PAGE: usize = 500;

impl<H: Http, C: Clock, P: Postgres> RunContext<'_, H, C, P> {
    /// Asks Odoo for attachments that the catalogue lacks. They were noted together with the records that refer to
    /// them, so none is forgotten. Attachments that Odoo lacks or hides are not asked for again.
    pub(crate) async fn catalogue_attachments(
        &self,
        entity_run: &mut EntityRun<'_>,
    ) -> Result<(), Stop> {
        let catalogues = entity_run
            .entity
            .options
            .is_some_and(|options| options.catalogues);
        if !catalogues || self.writer.dry {
            return Ok(());
        }
        let run_id = self.writer.lease.run_id;
        while !self.out_of_time() {
            let ids = wanted(self.writer.postgres, PAGE).await?;
            if ids.is_empty() {
                break;
            }
            let selected = self.source.selected(&ids, &self.settings.selection).await?;
            let listed = self.source.attachments(&ids).await?;
            archive::note_unreadable(self.writer.postgres, run_id, listed.unreadable).await?;
            let found = archive::found_all(self.source.odoo, listed.rows).await?;
            let found: Vec<Found> = found
                .into_iter()
                .map(|found| {
                    if selected.contains(&found.id) {
                        found
                    } else {
                        not_selected(found)
                    }
                })
                .collect();
            let written = catalogue(self.writer.postgres, run_id, &found, None).await?;
            let written = written.ok_or(Stop::GivenUp)?;
            if !asked(self.writer.postgres, run_id, &ids).await? {
                return Err(Stop::GivenUp);
            }
            self.writer.moved.set(true);
            *entity_run.copied.catalogued.get_or_insert_default() += u64::from(written.new);
        }
        Ok(())
    }
}

/// Marks an attachment that is catalogued but not moved, as the archive's selection does not include it.
fn not_selected(found: Found) -> Found {
    Found {
        verdict: Verdict::Skip(Skip::NotSelected),
        ..found
    }
}
