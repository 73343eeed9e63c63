//! The part of an entity in a final check: its evidence, its findings, and ids that no list shows.

use chrono::{DateTime, TimeDelta, Utc};
use fault::Fault;
use ledger::Postgres;
use ledger::check::{self, Check, Finding};
use ledger::validation::Verdict;
use odoo::presence;
use odoo::records::Stamp;
use outbound::{Clock, Http};
use serde_json::{Value, json};

use crate::Scope;
use crate::comparison::Comparison;
use crate::cursor::Position;
use crate::entity_run::{EntityRun, Gap};
use crate::work::RunContext;

/// How many ids missing from the list one step asks for.
const MOST_GAPS: usize = 5 * presence::BLOCK;

impl Comparison {
    /// The evidence that a final check stores.
    pub(crate) fn evidence(&self, entity_run: &EntityRun<'_>) -> Value {
        let lacking = entity_run.shape.lacking.iter();
        let frozen = &entity_run.position.frozen;
        let mut left_out: Vec<String> = lacking
            .filter(|column| !frozen.iter().any(|name| name == *column))
            .map(|column| format!("column {column}: this Odoo, or its user, has no such field"))
            .collect();
        left_out.extend(
            entity_run
                .shape
                .left_out
                .iter()
                .filter(|(field, reason)| reason.loses(field))
                .map(|(field, reason)| format!("field {field}: {}", reason.words())),
        );
        json!({
            "model": entity_run.entity.model, "compared": "every row by the SHA-1 of its contents, then the lists of ids",
            "contents_since": self.contents, "source_count": self.listed, "destination_count": self.here,
            "rewritten": self.rewritten, "missing": self.missing, "stale": self.stale, "extra": self.extra,
            "mended": self.mended, "newer_than_the_last_reading": self.later, "hidden": self.hidden,
            "ids_not_asked_for": self.unasked, "left_out": left_out,
        })
    }

    /// The findings that stand in the way of switching Odoo off.
    pub(crate) fn findings(
        &self,
        verdict: Verdict,
        settled: u64,
        problem: Option<&String>,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(problem) = problem {
            findings.push(Finding::new("not_believed", 0, problem.clone()));
        } else if verdict != Verdict::Same {
            let (unmended, unsettled) = (
                (self.missing + self.stale).saturating_sub(self.mended),
                self.extra.saturating_sub(settled),
            );
            for (kind, rows, ids, said) in [
                (
                    "missing",
                    unmended.min(self.missing),
                    self.missing_ids.as_slice(),
                    "in Odoo, and not here",
                ),
                (
                    "stale",
                    unmended.min(self.stale),
                    &self.stale_ids,
                    "of another date than in Odoo",
                ),
                (
                    "extra",
                    unsettled,
                    &self.extra_ids,
                    "here, and no longer in Odoo's list",
                ),
            ] {
                if rows > 0 {
                    let words = format!(
                        "{rows} rows are {said}; among these: {:?}",
                        ids.get(..10).unwrap_or(ids)
                    );
                    findings.push(Finding::new(kind, 0, words));
                }
            }
        }
        if self.unasked > 0 {
            let said = format!(
                "{} ids that no list showed were not asked for",
                self.unasked
            );
            findings.push(Finding::new("not_asked", 0, said));
        }
        if self.contents.is_none() {
            findings.push(Finding::new(
                "not_compared",
                0,
                "its contents were not read",
            ));
        }
        findings
    }
}

impl<H: Http, C: Clock, P: Postgres> RunContext<'_, H, C, P> {
    /// Asks for the ids that a part of a list skips: any that exist are hidden from this user. A part with many
    /// skipped ids is cut short.
    pub(crate) async fn look_into_gaps(
        &self,
        entity_run: &EntityRun<'_>,
        check: Check,
        comparison: &mut Comparison,
        stamps: &mut Vec<Stamp>,
        up_to_id: &mut Option<i64>,
    ) -> Result<(), Fault> {
        if entity_run.scope != Scope::All {
            return Ok(());
        }
        let mut after_id = comparison.after_id;
        if comparison.calls == 0 {
            // No calls are left: count the ids that are not asked for.
            let last = stamps.last().map_or(after_id, |stamp| stamp.id);
            let skipped = (last - after_id)
                .unsigned_abs()
                .saturating_sub(stamps.len() as u64);
            comparison.unasked += skipped;
            return Ok(());
        }
        let mut ids: Vec<i64> = stamps.iter().map(|stamp| stamp.id).collect();
        loop {
            let is_last = up_to_id.is_none();
            let (skipped, end) = presence::gaps(after_id, &ids, is_last, MOST_GAPS);
            let model = entity_run.entity.model;
            let found = self
                .source
                .presence(entity_run.model(""), &skipped, &mut comparison.calls)
                .await?;
            let findings: Vec<Finding> = found
                .hidden
                .iter()
                .map(|id| {
                    Finding::new(
                        "hidden",
                        *id,
                        format!("{model} {id} exists, and the Odoo user may not read it"),
                    )
                })
                .collect();
            comparison.hidden += found.hidden.len() as u64;
            comparison.unasked += found.unasked.len() as u64;
            let evidence = comparison.evidence(entity_run);
            if !findings.is_empty() {
                let (postgres, run_id) = (self.writer.postgres, self.writer.lease.run_id);
                let name = entity_run.entity.name;
                check::keep(
                    postgres,
                    run_id,
                    check,
                    name,
                    (&evidence, false),
                    (&findings, false),
                )
                .await?;
            }
            let last = ids.last().copied().unwrap_or(after_id);
            if end < last || (is_last && skipped.len() >= MOST_GAPS) {
                // The rest of the part will be listed again.
                stamps.retain(|stamp| stamp.id <= end);
                *up_to_id = Some(end);
                return Ok(());
            }
            // If records exist beyond the end of the list, there may be more.
            let beyond = found
                .hidden
                .iter()
                .chain(&found.readable)
                .any(|id| *id > last);
            if !(is_last && beyond) {
                return Ok(());
            }
            after_id = end;
            ids.clear();
        }
    }

    /// Requests a comparison of contents if the last one is too old, in whichever run.
    pub(crate) fn compare_by_age(&self, position: &mut Position, now: DateTime<Utc>) {
        if let Some(days) = self.compare_days {
            #[allow(clippy::cast_possible_truncation)]
            let most_age = TimeDelta::seconds((days * 86_400.0) as i64);
            position.ask_for_full_by_age(now, most_age);
        }
    }

    /// Tells the final check about an entity left out as a whole. A model that Odoo lacks is no obstacle.
    pub(crate) async fn tell_left_out(&self, entity_run: &EntityRun<'_>) -> Result<(), Fault> {
        let (Some(check), Some(gap)) = (self.check, entity_run.gap()) else {
            return Ok(());
        };
        let model = entity_run.entity.model;
        let said = match gap {
            Gap::Forbidden => {
                format!("the Odoo user may not read {model}: none of it is here")
            }
            Gap::Absent => format!("this Odoo has no model {model}"),
        };
        let evidence = json!({ "model": model, "left_out": [said] });
        let findings = match gap {
            Gap::Forbidden => vec![Finding::new("forbidden", 0, said)],
            Gap::Absent => Vec::new(),
        };
        let (postgres, run_id) = (self.writer.postgres, self.writer.lease.run_id);
        let name = entity_run.entity.name;
        check::keep(
            postgres,
            run_id,
            check,
            name,
            (&evidence, true),
            (&findings, false),
        )
        .await
    }
}
