//! Compares Odoo's whole list (ids, dates, checksums) with the catalogue, a range at a time. This finds attachments
//! that are gone from Odoo, that became visible or selected since, or that changed in a transaction too slow for the
//! readings by date.

use std::collections::HashSet;

use fault::{Fault, Kind};
use ledger::Postgres;
use ledger::attachments::{Catalogued, catalogue};
use ledger::runs::RunId;
use ledger::sweep::{Compared, Settled, Step, compare, mark_missing, settle_missing};
use ledger::unreadable::{Unreadable, note};
use odoo::Odoo;
use odoo::attachment::{Selection, Window};
use outbound::{Clock, Http};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Settings;
use crate::discovery::{found_all, note_unreadable};

/// The name of the cursor in the ledger.
pub(crate) const CURSOR: &str = "archive-batch:sweep";

/// How many ids one call lists, and how many catalogue rows one statement covers.
const PAGE: usize = 5000;

/// How many attachments one step reads in full: about 400 KB of JSON.
const READ: usize = 1000;

/// How many calls one step may use to tell hidden attachments from deleted ones.
const MOST_CALLS: u32 = 200;

/// How often a sweep begins, in seconds.
const EVERY_S: i64 = 24 * 60 * 60;

/// A sweep may always mark this many files: in a small catalogue the allowed share is less than one file.
const MOST_FILES: u64 = 10;

/// The progress of a sweep, as stored in the ledger.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    /// Ids up to this one are compared.
    compared_to: i64,
    listed_any: bool,
    /// How many attachments are missing in Odoo so far.
    missing: u64,
    /// The result, set once the whole list is compared; the marks are then settled by it.
    verdict: Option<Swept>,
    /// When the last sweep ended, in seconds since 1970 by our clock; 0 if none has.
    ended: i64,
    /// What was selected when the current sweep, or else the last one, began.
    selection: Option<Value>,
}

/// The result of a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Swept {
    /// How many catalogued attachments are missing in Odoo's list.
    pub(crate) missing: u64,
    /// How many attachments the catalogue has.
    pub(crate) catalogued: u64,
    /// Whether the missing ones are marked as deleted; `false` if they are too many to be believed.
    pub(crate) marked: bool,
}

/// The result of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepOutcome {
    /// The sweep goes on; what this step added to the catalogue or updated there.
    On(Catalogued),
    /// The sweep ended.
    Ended(Swept),
    /// This batch may not continue: another run moved the cursor, or this run was given up.
    Overtaken(Catalogued),
}

/// The sweep as one batch sees it.
pub(crate) struct Sweep {
    position: Position,
    /// The cursor exactly as the ledger stores it: a step moves it only from this value.
    kept: Value,
    /// The current selection.
    selection: Value,
}

impl Sweep {
    /// Continues from the stored cursor.
    pub(crate) fn resume(position: Option<&Value>, selection: &Selection) -> Self {
        Self {
            position: position
                .and_then(|position| serde_json::from_value(position.clone()).ok())
                .unwrap_or_default(),
            kept: position.cloned().unwrap_or_default(),
            selection: selection.domain().into(),
        }
    }

    /// Whether a step is due. A changed selection makes a sweep due, as no date reveals what is newly selected.
    pub(crate) fn due(&self, now_s: i64) -> bool {
        self.position.under_way()
            || !(0..EVERY_S).contains(&now_s.saturating_sub(self.position.ended))
            || (self.position.selection.as_ref()).is_some_and(|then| *then != self.selection)
    }

    /// Compares one range, or settles some of the missing files. Each step makes a few calls and stores the cursor.
    pub(crate) async fn step<H: Http, C: Clock>(
        &mut self,
        odoo: &Odoo<H, C>,
        postgres: &impl Postgres,
        run_id: RunId,
        settings: &Settings,
        now_s: i64,
    ) -> Result<StepOutcome, Fault> {
        if self.position == Position::default() {
            // The first sweep starts a day after the first batch: nothing can be missing before.
            let begun = Position::rested(now_s, &self.selection);
            let kept = json(&begun)?;
            ledger::runs::keep_cursor(postgres, CURSOR, &kept).await?;
            (self.position, self.kept) = (begun, kept);
            return Ok(StepOutcome::On(Catalogued::default()));
        }
        if let Some(verdict) = self.position.verdict {
            return self.settle(postgres, run_id, verdict, now_s).await;
        }
        if !self.position.under_way() {
            self.position = Position::rested(self.position.ended, &self.selection);
        }
        self.compare(odoo, postgres, run_id, settings).await
    }

    async fn compare<H: Http, C: Clock>(
        &mut self,
        odoo: &Odoo<H, C>,
        postgres: &impl Postgres,
        run_id: RunId,
        settings: &Settings,
    ) -> Result<StepOutcome, Fault> {
        let after_id = self.position.compared_to;
        let window = Window {
            after_id,
            ..Window::default()
        };
        let listed = odoo
            .attachment_marks(&settings.selection, window, PAGE)
            .await?;
        let last_id = match listed.last() {
            Some(last) if listed.len() >= PAGE => last.id,
            _ => i64::MAX,
        };
        let marks = serde_json::to_value(&listed)
            .map_err(|_| Fault::new(Kind::Program, "a list that is no JSON"))?;
        let compared = compare(postgres, (after_id, last_id), &marks, PAGE).await?;
        let compared = no_more_than(compared, READ);
        let mut missing = compared.unlisted;
        if !missing.is_empty() {
            // A narrowed selection lists fewer files: what still exists in Odoo is not deleted.
            let existing: HashSet<i64> = odoo
                .existing_attachments(&missing)
                .await?
                .into_iter()
                .collect();
            missing.retain(|id| !existing.contains(id));
        }
        // What the user may no longer see is not deleted either.
        let mut hidden = Vec::new();
        if !missing.is_empty() {
            let mut calls = MOST_CALLS;
            let found = odoo.presence("ir.attachment", &missing, &mut calls).await?;
            missing.retain(|id| !found.hidden.contains(id) && !found.unasked.contains(id));
            hidden.extend(found.hidden.into_iter().map(Unreadable::hidden));
        }
        let mut catalogued = Catalogued::default();
        if !compared.uncatalogued.is_empty() {
            let listed = odoo.attachments_by_id(&compared.uncatalogued).await?;
            let unreadable = note_unreadable(postgres, run_id, listed.unreadable).await?;
            let read = found_all(odoo, listed.rows).await?;
            match catalogue(postgres, run_id, &read, None).await? {
                Some(written) => {
                    catalogued = Catalogued {
                        unreadable,
                        ..written
                    };
                }
                None => return Ok(StepOutcome::Overtaken(catalogued)),
            }
        }
        let mut next = Position {
            compared_to: compared.last_id,
            listed_any: self.position.listed_any || !listed.is_empty(),
            missing: self.position.missing + missing.len() as u64,
            ..self.position.clone()
        };
        let verdict = next.verdict(compared.catalogued, settings.max_deleted_share);
        if !verdict.marked {
            // Too many to be believed: count them only, as their marks would be removed at the end.
            missing.clear();
        }
        if compared.last_id == i64::MAX {
            next.verdict = Some(verdict);
        }
        let to = json(&next)?;
        let range = (after_id, compared.last_id);
        let turned = note(postgres, run_id, "ir.attachment", &hidden).await?;
        catalogued.unreadable += turned;
        let hidden: Vec<i64> = hidden.iter().map(|one| one.id).collect();
        let found = (missing.as_slice(), hidden.as_slice());
        if !mark_missing(postgres, run_id, range, found, self.to(&to)).await? {
            return Ok(StepOutcome::Overtaken(catalogued));
        }
        (self.position, self.kept) = (next, to);
        Ok(StepOutcome::On(catalogued))
    }

    async fn settle(
        &mut self,
        postgres: &impl Postgres,
        run_id: RunId,
        verdict: Swept,
        now_s: i64,
    ) -> Result<StepOutcome, Fault> {
        let ended = Position {
            ended: now_s,
            selection: self.position.selection.clone(),
            ..Position::default()
        };
        let to = json(&ended)?;
        let settled = settle_missing(postgres, run_id, verdict.marked, PAGE, self.to(&to)).await?;
        Ok(match settled {
            Settled::More => StepOutcome::On(Catalogued::default()),
            Settled::Overtaken => StepOutcome::Overtaken(Catalogued::default()),
            Settled::All => {
                (self.position, self.kept) = (ended, to);
                StepOutcome::Ended(verdict)
            }
        })
    }

    fn to<'a>(&'a self, to: &'a Value) -> Step<'a> {
        Step {
            cursor: CURSOR,
            from: &self.kept,
            to,
        }
    }
}

impl Position {
    fn under_way(&self) -> bool {
        self.compared_to > 0
    }

    /// The state between two sweeps, of which the last ended at `ended`.
    fn rested(ended: i64, selection: &Value) -> Self {
        Self {
            ended,
            selection: Some(selection.clone()),
            ..Self::default()
        }
    }

    /// Missing files are believed to be deleted if Odoo listed anything at all and they are at most `most_share` of
    /// the catalogue or [`MOST_FILES`].
    #[allow(clippy::cast_precision_loss)]
    fn verdict(&self, catalogued: u64, most_share: f64) -> Swept {
        let most = (catalogued as f64 * most_share).max(MOST_FILES as f64);
        Swept {
            missing: self.missing,
            catalogued,
            marked: self.missing == 0 || (self.listed_any && self.missing as f64 <= most),
        }
    }
}

/// Cuts the range short where more than `most` attachments would have to be read.
fn no_more_than(mut compared: Compared, most: usize) -> Compared {
    compared.uncatalogued.truncate(most);
    if let Some(last_id) = compared.uncatalogued.get(most.saturating_sub(1)) {
        compared.last_id = *last_id;
        compared.unlisted.retain(|id| id <= last_id);
    }
    compared
}

fn json(position: &Position) -> Result<Value, Fault> {
    serde_json::to_value(position)
        .map_err(|_| Fault::new(Kind::Program, "a cursor that is no JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn missed(missing: u64, listed_any: bool) -> Position {
        Position {
            listed_any,
            missing,
            ..Position::default()
        }
    }

    #[test]
    fn a_source_that_answers_with_too_little_is_not_believed() {
        for (missing, listed_any, catalogued, marked) in [
            (0, false, 0, true),
            (0, false, 1000, true),
            (1, false, 1000, false),
            (50, true, 1000, true),
            (51, true, 1000, false),
            // Of few files, the share is less than one file.
            (10, true, 20, true),
            (11, true, 20, false),
        ] {
            let verdict = missed(missing, listed_any).verdict(catalogued, 0.05);
            assert_eq!(verdict.marked, marked, "{verdict:?}");
        }
    }

    #[test]
    fn a_range_ends_where_more_would_have_to_be_read() {
        let compared = Compared {
            last_id: i64::MAX,
            unlisted: vec![1, 4, 9],
            uncatalogued: vec![2, 3, 5, 8],
            catalogued: 100,
        };
        assert_eq!(no_more_than(compared.clone(), 5), compared);
        let bounded = no_more_than(compared, 3);
        assert_eq!(
            (bounded.last_id, bounded.unlisted, bounded.uncatalogued),
            (5, vec![1, 4], vec![2, 3, 5])
        );
    }

    #[test]
    fn a_sweep_begins_once_a_day_and_when_something_else_is_selected() {
        let all = Selection::default();
        let leads = Selection {
            models: vec!["crm.lead".into()],
            ..Selection::default()
        };
        let kept = json(&Position::rested(1_000_000, &Value::from(all.domain()))).unwrap();
        assert!(!Sweep::resume(Some(&kept), &all).due(1_000_000 + EVERY_S - 1));
        assert!(Sweep::resume(Some(&kept), &all).due(1_000_000 + EVERY_S));
        assert!(Sweep::resume(Some(&kept), &leads).due(1_000_000));
        // The clock was ahead when the last sweep ended.
        assert!(Sweep::resume(Some(&kept), &all).due(1_000_000 - 3600));
        // An older version did not store what was selected.
        let older = json!({"after_id": 5000, "listed_any": true, "ended": 1_000_000});
        assert!(!Sweep::resume(Some(&older), &leads).due(1_000_000));
    }
}
