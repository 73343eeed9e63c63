//! Continues reading Odoo's list and writes it into the catalogue, a page at a time.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use fault::{Fault, Kind, Reach};
use ledger::Postgres;
use ledger::attachments::{Catalogued, Found, Skip, Verdict, catalogue};
use ledger::runs::RunId;
use ledger::unreadable::{Unreadable, note};
use odoo::Odoo;
use odoo::attachment::{Attachment, Window};
use outbound::{Clock, Http};
use serde_json::Value;

use crate::Settings;
use crate::cursor::{Position, Step};
use crate::verdict::verdict;

/// The name of the cursor in the ledger.
pub(crate) const CURSOR: &str = "archive-batch:discovery";

/// Rows per page: about 400 KB of JSON.
const PAGE: usize = 1000;

/// Discovery within one batch.
pub(crate) struct Discovery {
    position: Position,
    /// How far a reading of changes goes back behind the last one.
    overlap: TimeDelta,
    ids_at_end: bool,
}

impl Discovery {
    /// Continues from the stored cursor. An unreadable cursor starts from the beginning.
    pub(crate) fn resume(position: Option<&Value>, overlap: TimeDelta) -> Self {
        Self {
            overlap,
            position: position
                .and_then(|position| serde_json::from_value(position.clone()).ok())
                .unwrap_or_default(),
            ids_at_end: false,
        }
    }

    /// Skips the rest between two readings of changes: a final check needs all changes up to now.
    pub(crate) fn at_once(mut self) -> Self {
        self.position.changes_ended = 0;
        self
    }

    /// Whether a step is due.
    pub(crate) fn due(&self, now_s: i64) -> bool {
        self.position.next(self.ids_at_end, now_s, self.overlap) != Step::Rest
    }

    /// Reads one page. Returns what changed in the catalogue, or `None` if the run was given up meanwhile.
    pub(crate) async fn step<H: Http, C: Clock>(
        &mut self,
        odoo: &Odoo<H, C>,
        postgres: &impl Postgres,
        run_id: RunId,
        settings: &Settings,
        now_s: i64,
    ) -> Result<Option<Catalogued>, Fault> {
        match self.position.next(self.ids_at_end, now_s, self.overlap) {
            Step::Rest => Ok(Some(Catalogued::default())),
            Step::AskNewest => {
                let newest = odoo.newest_write(&settings.selection).await?;
                self.position = self.position.clone().begin_changes(newest, now_s);
                Ok(Some(Catalogued::default()))
            }
            Step::Read(window) => {
                self.page(odoo, postgres, run_id, settings, window, now_s)
                    .await
            }
        }
    }

    async fn page<H: Http, C: Clock>(
        &mut self,
        odoo: &Odoo<H, C>,
        postgres: &impl Postgres,
        run_id: RunId,
        settings: &Settings,
        window: Window,
        now_s: i64,
    ) -> Result<Option<Catalogued>, Fault> {
        let page = odoo.attachments(&settings.selection, window, PAGE).await?;
        let at_end = page.found < PAGE;
        let next = self
            .position
            .clone()
            .read(window, page.last_id(), at_end, now_s);
        let unreadable = note_unreadable(postgres, run_id, page.unreadable).await?;
        let found = found_all(odoo, page.rows).await?;
        // An unchanged cursor need not be stored.
        if found.is_empty() && next == self.position {
            self.ids_at_end |= at_end && window.until.is_none();
            return Ok(Some(Catalogued {
                unreadable,
                ..Catalogued::default()
            }));
        }
        let document = serde_json::to_value(&next)
            .map_err(|_| Fault::new(Kind::Program, "a cursor that is no JSON"))?;
        let written = catalogue(postgres, run_id, &found, Some((CURSOR, &document))).await?;
        if written.is_some() {
            self.position = next;
            self.ids_at_end |= at_end && window.until.is_none();
        }
        Ok(written.map(|written| Catalogued {
            unreadable,
            ..written
        }))
    }
}

/// Lists unreadable attachments, whatever becomes of the rest of the page. Returns how many are new on the list.
pub async fn note_unreadable(
    postgres: &impl Postgres,
    run_id: RunId,
    unreadable: Vec<odoo::salvage::Unreadable>,
) -> Result<u32, Fault> {
    let unreadable: Vec<Unreadable> = unreadable
        .into_iter()
        .map(|one| Unreadable {
            id: one.id,
            fields: one.fields,
            said: one.said,
            hidden: false,
        })
        .collect();
    note(postgres, run_id, "ir.attachment", &unreadable).await
}

/// Converts attachments for the catalogue. Those without size and SHA-1 are checked for content, as Odoo may have
/// some all the same. If that check fails now, the final check repeats it.
pub async fn found_all<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    rows: Vec<Attachment>,
) -> Result<Vec<Found>, Fault> {
    let mut found: Vec<Found> = rows.into_iter().map(found).collect();
    let is_nameless = |file: &&Found| {
        file.verdict == Verdict::Skip(Skip::Empty)
            && file.checksum.as_deref().is_none_or(str::is_empty)
    };
    let nameless: Vec<i64> = found
        .iter()
        .filter(is_nameless)
        .map(|file| file.id)
        .collect();
    let with_content = match odoo.with_content(&nameless).await {
        Err(fault) if fault.reach() == Reach::File => BTreeSet::new(),
        with_content => with_content?,
    };
    for file in found
        .iter_mut()
        .filter(|file| with_content.contains(&file.id))
    {
        file.verdict = Verdict::Skip(Skip::NoChecksum);
    }
    Ok(found)
}

/// Converts one attachment for the catalogue, by Odoo's list alone.
pub fn found(row: Attachment) -> Found {
    Found {
        verdict: verdict(&row),
        id: row.id,
        name: row.name.unwrap_or_default(),
        mimetype: row.mimetype,
        file_size: row.file_size.unwrap_or_default().max(0),
        checksum: row.checksum,
        kind: row.kind,
        url: row.url,
        res_model: row.res_model,
        res_field: row.res_field,
        res_id: row.res_id,
        company_id: row.company_id,
        create_date: row.create_date,
        write_date: row.write_date,
    }
}
