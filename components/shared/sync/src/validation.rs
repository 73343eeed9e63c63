//! Compares both sides by ids and dates, and repairs differences.

use std::collections::BTreeSet;

use fault::{Fault, Kind};
use ledger::Postgres;
use ledger::check;
use ledger::sync::{Listed, Part, compare, known};
use ledger::unreadable::{self, Unreadable};
use ledger::validation::{Validation, Verdict};
use odoo::records::{Model, Stamp};
use outbound::{Clock, Http};
use serde_json::json;

use crate::comparison::{Comparison, MOST_CALLS};
use crate::entity_run::{EntityRun, Stop};
use crate::source::{LIST, PAGE};
use crate::work::RunContext;
use crate::{Mode, Scope};

/// A slice of a comparison ends after this many parts, or with the part that reaches this many entries.
const PARTS: usize = 4;
const ENTRIES: usize = 2 * LIST;

impl<H: Http, C: Clock, P: Postgres> RunContext<'_, H, C, P> {
    /// Continues a comparison that is under way, and logs its result. A read-only comparison is separate from the
    /// repairing one.
    pub(crate) async fn compare(&self, entity_run: &mut EntityRun<'_>) -> Result<(), Stop> {
        let looks = self.request.mode == Mode::Validate;
        let (mut parts, mut entries) = (0, 0);
        while let Some(mut comparison) = entity_run.position.comparison_of(looks).clone() {
            let sliced = self.in_slices(&comparison, entity_run.position.confirmed);
            let enough = parts >= PARTS || entries >= ENTRIES;
            if self.out_of_time() || (sliced && enough) {
                return Ok(());
            }
            let (mut stamps, mut up_to_id) = self.list(entity_run, comparison.after_id).await?;
            if let Some(check) = self
                .check
                .filter(|check| comparison.check == Some(check.id))
            {
                self.look_into_gaps(
                    entity_run,
                    check,
                    &mut comparison,
                    &mut stamps,
                    &mut up_to_id,
                )
                .await?;
            }
            let listed: Vec<Listed> = stamps.iter().map(listed).collect();
            let part = Part {
                model: entity_run.entity.model,
                listed: &listed,
                after_id: comparison.after_id,
                up_to_id,
                // With `Scope::Of`, Odoo lists only children of rows that are here: none of them is too new.
                written: entity_run
                    .position
                    .written
                    .filter(|_| !matches!(entity_run.scope, Scope::Of(_))),
            };
            let found = compare(
                self.writer.postgres,
                entity_run.entity.table,
                self.writer.lease,
                part,
            );
            let difference = found.await?.ok_or(Stop::GivenUp)?;
            let mut next = comparison;
            let mended = if next.heal {
                let ids = [difference.missing.as_slice(), &difference.stale].concat();
                self.mend(entity_run, &ids).await?
            } else {
                0
            };
            next.add(&difference, listed.len(), mended);
            (parts, entries) = (parts + 1, entries + listed.len());
            if let Some(up_to_id) = up_to_id {
                next.after_id = up_to_id;
                *entity_run.position.comparison_of(looks) = Some(next);
                entity_run.save(&self.writer).await?;
            } else {
                self.conclude(entity_run, next).await?;
            }
        }
        Ok(())
    }

    /// Whether this run does only a slice. A routine comparison starts again as soon as it ends, and would cost the
    /// whole list each hour. The next run continues it; a small list fits into one slice.
    fn in_slices(&self, comparison: &Comparison, confirmed: bool) -> bool {
        let is_routine = comparison.contents.is_none() && comparison.check.is_none();
        self.slices && is_routine && !confirmed
    }

    /// The next part of Odoo's list, and its last id; `None` for the last part.
    async fn list(
        &self,
        entity_run: &EntityRun<'_>,
        after_id: i64,
    ) -> Result<(Vec<Stamp>, Option<i64>), Fault> {
        let model = entity_run.model(&self.settings.language);
        match entity_run.scope {
            Scope::All => {
                let (stamps, at_end) = self.source.stamps(model, after_id).await?;
                let last = stamps.last().map(|stamp| stamp.id);
                Ok((stamps, last.filter(|_| !at_end)))
            }
            Scope::Referred => {
                let ids = known(
                    self.writer.postgres,
                    entity_run.entity.table,
                    after_id,
                    PAGE,
                )
                .await?;
                if ids.is_empty() {
                    return Ok((Vec::new(), None));
                }
                let stamps = self.source.stamps_by_id(model, &ids).await?;
                let up_to_id = ids.last().copied().filter(|_| ids.len() >= PAGE);
                Ok((stamps, up_to_id))
            }
            Scope::Of(field) => {
                let ids = known(
                    self.writer.postgres,
                    entity_run.entity.table,
                    after_id,
                    LIST,
                )
                .await?;
                let domain = [json!([field, "in", ids])];
                let of = Model {
                    domain: &domain,
                    ..model
                };
                let (mut stamps, mut at_end) = (Vec::new(), ids.is_empty());
                while !at_end {
                    let last = stamps.last().map_or(0, |stamp: &Stamp| stamp.id);
                    let next = self.source.stamps(of, last).await?;
                    stamps.extend(next.0);
                    at_end = next.1;
                }
                let up_to_id = ids.last().copied().filter(|_| ids.len() >= LIST);
                Ok((stamps, up_to_id))
            }
        }
    }

    /// Reads records by id and writes them. Returns how many rows were inserted or updated.
    async fn mend(&self, entity_run: &mut EntityRun<'_>, mut ids: &[i64]) -> Result<u64, Stop> {
        let mut mended = 0;
        while !ids.is_empty() {
            let model = entity_run.model(&self.settings.language);
            let (part, asked) = self
                .source
                .records_by_id(model, ids, &entity_run.asked)
                .await?;
            let (rows, seen) = self.rows(entity_run, part).await?;
            if !seen.is_empty() {
                let written = entity_run.mend(&self.writer, &rows, &[]).await?;
                mended += written.inserted + written.updated;
            }
            ids = ids.get(asked..).unwrap_or_default();
        }
        Ok(mended)
    }

    async fn conclude(
        &self,
        entity_run: &mut EntityRun<'_>,
        comparison: Comparison,
    ) -> Result<(), Stop> {
        let looks = self.request.mode == Mode::Validate;
        let confirmed = entity_run.position.confirmed || entity_run.entity.comes_and_goes();
        let believable = comparison.believable(confirmed, self.most_deleted_share);
        let (gone, hidden) = if comparison.heal && believable.is_ok() {
            self.gone_or_hidden(entity_run, &comparison.extra_ids)
                .await?
        } else {
            Default::default()
        };
        if !hidden.is_empty() {
            let hidden: Vec<Unreadable> = hidden.iter().copied().map(Unreadable::hidden).collect();
            let (postgres, run_id) = (self.writer.postgres, self.writer.lease.run_id);
            entity_run.copied.written.unreadable += u64::from(
                unreadable::note(postgres, run_id, entity_run.entity.model, &hidden).await?,
            );
        }
        let deleted = u64::try_from(gone.len()).unwrap_or_default();
        // Hidden records have their own findings.
        let settled = u64::try_from(gone.len() + hidden.len()).unwrap_or_default();
        let left = comparison.missing + comparison.stale + comparison.extra;
        let verdict = match (&believable, comparison.heal) {
            (Err(_), _) => Verdict::Error,
            (Ok(()), _) if left == comparison.mended + deleted => Verdict::Same,
            (Ok(()), _) => Verdict::Differs,
        };
        let mut detail = json!({
            "mode": self.request.mode.name(), "mended": comparison.mended, "deleted": deleted,
            "newer_than_the_last_reading": comparison.later, "missing": comparison.missing_ids,
            "stale": comparison.stale_ids, "extra": comparison.extra_examples(), "hidden": hidden,
            "compared": if comparison.contents.is_some() { "contents" } else { "ids and dates" },
            "contents_since": comparison.contents, "rewritten": comparison.rewritten,
        });
        if let (Err(problem), Some(detail)) = (&believable, detail.as_object_mut()) {
            detail.insert("problem".into(), json!(problem));
        }
        let validation = Validation {
            run_id: self.writer.lease.run_id,
            entity: entity_run.entity.name,
            source_count: comparison.listed,
            destination_count: comparison.here,
            missing: comparison.missing,
            extra: comparison.extra,
            stale: comparison.stale,
            verdict,
            detail,
        };
        if let Some(check) = self
            .check
            .filter(|check| comparison.check == Some(check.id))
        {
            let findings = comparison.findings(verdict, settled, believable.as_ref().err());
            let evidence = comparison.evidence(entity_run);
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
            .await?;
        }
        let mut next = entity_run.position.clone();
        *next.comparison_of(looks) = None;
        if !looks {
            next.confirmed = false;
            next.compared = comparison.contents.or(next.compared);
        }
        entity_run
            .conclude(&self.writer, &validation, &gone, next)
            .await?;
        match believable {
            Err(problem) if !looks => Err(Fault::told(Kind::SourceProtocol, problem).into()),
            _ => Ok(()),
        }
    }

    /// Of these ids, those that Odoo lacks when asked for them by id, and those that it has but hides. A record that
    /// the list left out by mistake, that came back, or that is hidden is not deleted.
    pub(crate) async fn gone_or_hidden(
        &self,
        entity_run: &EntityRun<'_>,
        ids: &[i64],
    ) -> Result<(Vec<i64>, BTreeSet<i64>), Fault> {
        let (mut gone, mut hidden) = (Vec::new(), BTreeSet::new());
        let mut calls = MOST_CALLS;
        for ids in ids.chunks(PAGE) {
            let model = entity_run.model(&self.settings.language);
            let there = self.source.stamps_by_id(model, ids).await?;
            let absent = |id: &&i64| !there.iter().any(|stamp| stamp.id == **id);
            let absent: Vec<i64> = ids.iter().filter(absent).copied().collect();
            if absent.is_empty() {
                continue;
            }
            let found = self.source.presence(model, &absent, &mut calls).await?;
            // A record outside the copied scope counts as deleted.
            let kept = |id: &i64| found.hidden.contains(id) || found.unasked.contains(id);
            gone.extend(absent.iter().filter(|id| !kept(id)));
            hidden.extend(found.hidden);
        }
        Ok((gone, hidden))
    }
}

fn listed(stamp: &Stamp) -> Listed {
    Listed {
        id: stamp.id,
        write_date: stamp.write_date,
    }
}
