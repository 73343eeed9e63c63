//! A dry run: what a migration would move, counted by model, MIME type and reason; nothing is written.

use std::collections::BTreeMap;
use std::time::Duration;

use fault::Fault;
use ledger::attachments::{Skip, Verdict};
use odoo::Odoo;
use odoo::attachment::{Attachment, Window};
use outbound::{Clock, Http};
use serde::Serialize;

use crate::Settings;
use crate::verdict::verdict;

/// Rows per page.
const PAGE: usize = 1000;

/// How many groups of a kind are listed; the rest share one group, so that thousands of MIME types do not make an
/// answer of megabytes.
const MOST_GROUPS: usize = 100;

/// Files and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Tally {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DryRun {
    /// What would be moved.
    pub to_move: Tally,
    /// What would be moved, by model.
    pub by_model: BTreeMap<String, Tally>,
    /// What would be moved, by MIME type.
    pub by_mimetype: BTreeMap<String, Tally>,
    /// What would be skipped, by reason.
    pub skipped: BTreeMap<String, Tally>,
    /// Whether everything was counted. If not, pass `after_id` to the next dry run.
    pub complete: bool,
    /// The last id that was counted.
    pub after_id: i64,
}

impl DryRun {
    fn count(&mut self, row: &Attachment, max_file_bytes: u64) {
        let bytes = row
            .file_size
            .and_then(|size| u64::try_from(size).ok())
            .unwrap_or_default();
        match verdict(row) {
            Verdict::Move if bytes > max_file_bytes => {
                group(&mut self.skipped, Some(Skip::OverSizeLimit.code())).add(bytes);
            }
            Verdict::Move => {
                self.to_move.add(bytes);
                group(&mut self.by_model, row.res_model.as_deref()).add(bytes);
                group(&mut self.by_mimetype, row.mimetype.as_deref()).add(bytes);
            }
            Verdict::Skip(reason) => group(&mut self.skipped, Some(reason.code())).add(bytes),
        }
        self.after_id = row.id;
    }
}

fn group<'a>(groups: &'a mut BTreeMap<String, Tally>, name: Option<&str>) -> &'a mut Tally {
    let name = name.unwrap_or("(none)");
    let name = if groups.len() < MOST_GROUPS || groups.contains_key(name) {
        name
    } else {
        "(others)"
    };
    groups.entry(name.to_owned()).or_default()
}

/// Counts page by page until the list ends or the time is up.
pub(crate) async fn dry_run<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    clock: &C,
    settings: &Settings,
    after_id: i64,
    until: Duration,
) -> Result<DryRun, Fault> {
    let mut dry_run = DryRun {
        after_id,
        ..DryRun::default()
    };
    while !dry_run.complete && clock.now() < until {
        let window = Window {
            after_id: dry_run.after_id,
            ..Window::default()
        };
        let page = odoo.attachments(&settings.selection, window, PAGE).await?;
        dry_run.complete = page.found < PAGE;
        for row in &page.rows {
            dry_run.count(row, settings.max_file_bytes);
        }
        dry_run.after_id = page.last_id().unwrap_or(dry_run.after_id);
        for _ in &page.unreadable {
            group(&mut dry_run.skipped, Some(Skip::Unreadable.code())).add(0);
        }
    }
    Ok(dry_run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn thousands_of_mime_types_make_a_short_answer() {
        let mut dry_run = DryRun::default();
        for id in 1..=1000 {
            let row = json!({"id": id, "type": "binary", "file_size": 10, "mimetype": format!("x/{id}"), "checksum": "0d10d65a3cbca6a252daf0510f07e278dbe86fd2"});
            dry_run.count(&serde_json::from_value(row).unwrap(), 100);
        }
        assert_eq!(
            dry_run.to_move,
            Tally {
                files: 1000,
                bytes: 10_000
            }
        );
        assert_eq!(dry_run.by_mimetype.len(), MOST_GROUPS + 1);
        assert_eq!(
            dry_run
                .by_mimetype
                .values()
                .map(|tally| tally.files)
                .sum::<u64>(),
            1000
        );
    }
}
