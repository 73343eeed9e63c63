//! Finds what is gone from Odoo: its list of ids against the catalogue's, a range at a time.

use fault::{Fault, Kind};
use ledger::Postgres;
use ledger::sweep::{Swept, end_sweep, mark_missing, unlisted};
use odoo::Odoo;
use odoo::attachment::Window;
use outbound::{Clock, Http};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::Settings;

/// The name of the position in the ledger.
pub(crate) const CURSOR: &str = "archive-batch:sweep";

/// How many ids one call lists.
const PAGE: usize = 5000;

/// How often a sweep begins, in seconds.
const EVERY_S: i64 = 24 * 60 * 60;

/// So many files may go in any case: the share of a small catalogue is less than one file.
const MOST_FILES: u64 = 10;

/// How far a sweep came, as it is kept in the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    after_id: i64,
    listed_any: bool,
    /// When the last one ended, in seconds since 1970 by our clock; 0 if none ever did.
    ended: i64,
}

/// The sweeping of one batch.
pub(crate) struct Sweep {
    position: Position,
}

impl Sweep {
    /// Goes on where the ledger says.
    pub(crate) fn resume(position: Option<&Value>) -> Self {
        Self {
            position: position
                .and_then(|position| serde_json::from_value(position.clone()).ok())
                .unwrap_or_default(),
        }
    }

    /// Whether there is something to do now.
    pub(crate) fn due(&self, now_s: i64) -> bool {
        self.position.after_id > 0 || now_s.saturating_sub(self.position.ended) >= EVERY_S
    }

    /// Compares one range; what the sweep came to, if it was the last. `None` inside: not the last.
    pub(crate) async fn step<H: Http, C: Clock>(
        &mut self,
        odoo: &Odoo<H, C>,
        postgres: &impl Postgres,
        run_id: Uuid,
        settings: &Settings,
        now_s: i64,
    ) -> Result<Option<Swept>, Fault> {
        if self.position == Position::default() {
            // Before the first day is over there is nothing to miss.
            let begun = Position {
                ended: now_s,
                ..Position::default()
            };
            ledger::runs::keep_cursor(postgres, CURSOR, &json(&begun)?).await?;
            self.position = begun;
            return Ok(None);
        }
        let after_id = self.position.after_id;
        let window = Window {
            after_id,
            ..Window::default()
        };
        let listed = odoo
            .attachment_ids(&settings.selection, window, PAGE)
            .await?;
        let last = listed.len() < PAGE;
        let last_id = match listed.last() {
            Some(id) if !last && *id > after_id => *id,
            _ if last => i64::MAX,
            _ => {
                return Err(Fault::new(
                    Kind::SourceProtocol,
                    "Odoo's list of ids is not in their order",
                ));
            }
        };
        let mut missing = unlisted(postgres, after_id, last_id, &listed).await?;
        for some in missing.clone().chunks(PAGE) {
            // A selection that was narrowed lists less than there is: what exists is not deleted.
            let existing = odoo.existing_attachments(some).await?;
            missing.retain(|id| !existing.contains(id));
        }
        let next = Position {
            after_id: if last { after_id } else { last_id },
            listed_any: self.position.listed_any || !listed.is_empty(),
            ..self.position.clone()
        };
        let marked = mark_missing(
            postgres,
            run_id,
            (after_id, last_id),
            &missing,
            (CURSOR, &json(&next)?),
        )
        .await?;
        if !marked {
            return Err(Fault::new(
                Kind::OutOfTime,
                "the sweep's batch was given up",
            ));
        }
        self.position = next;
        if !last {
            return Ok(None);
        }
        let done = Position {
            ended: now_s,
            ..Position::default()
        };
        let swept = end_sweep(
            postgres,
            run_id,
            self.position.listed_any,
            settings.max_deleted_share,
            MOST_FILES,
            (CURSOR, &json(&done)?),
        )
        .await?;
        self.position = done;
        Ok(Some(swept))
    }
}

fn json(position: &Position) -> Result<Value, Fault> {
    serde_json::to_value(position)
        .map_err(|_| Fault::new(Kind::Program, "a cursor that is no JSON"))
}
