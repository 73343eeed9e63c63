//! Comparing both sides by ids and dates, and mending what differs.

use fault::{Fault, Kind};
use ledger::Postgres;
use ledger::sync::{Listed, Part, compare, known};
use ledger::validation::Validation;
use odoo::records::Stamp;
use outbound::{Clock, Http};
use serde_json::json;

use crate::comparison::Comparison;
use crate::source::PAGE;
use crate::subject::{Stop, Subject};
use crate::work::Course;
use crate::{Mode, Scope};

impl<H: Http, C: Clock, P: Postgres> Course<'_, H, C, P> {
    /// Goes on with comparing, where that is under way, and logs what it came to.
    pub(crate) async fn compare(&self, subject: &mut Subject) -> Result<(), Stop> {
        while let Some(comparison) = subject.position.comparison.clone() {
            if self.out_of_time() {
                return Ok(());
            }
            let (stamps, up_to_id) = self.list(subject, comparison.after_id).await?;
            let listed: Vec<Listed> = stamps.iter().map(listed).collect();
            let part = Part {
                listed: &listed,
                after_id: comparison.after_id,
                up_to_id,
                written: subject.position.written,
            };
            let found = compare(
                self.pen.postgres,
                subject.entity.table,
                self.pen.writer,
                part,
            );
            let difference = found.await?.ok_or(Stop::GivenUp)?;
            let mut next = comparison;
            let mended = if next.heal {
                let ids = [difference.missing.as_slice(), &difference.stale].concat();
                self.mend(subject, &ids).await?
            } else {
                0
            };
            next.add(&difference, listed.len(), mended);
            if let Some(up_to_id) = up_to_id {
                next.after_id = up_to_id;
                subject.position.comparison = Some(next);
                subject.save(&self.pen).await?;
            } else {
                self.conclude(subject, next).await?;
            }
        }
        Ok(())
    }

    /// The next part of Odoo's list, and its last id; `None` if there is no further part.
    async fn list(
        &self,
        subject: &Subject,
        after_id: i64,
    ) -> Result<(Vec<Stamp>, Option<i64>), Fault> {
        let model = subject.model(&self.settings.language);
        match subject.entity.scope {
            Scope::All => {
                let (stamps, at_end) = self.source.stamps(model, after_id).await?;
                let last = stamps.last().map(|stamp| stamp.id);
                Ok((stamps, last.filter(|_| !at_end)))
            }
            Scope::Referred => {
                let ids = known(self.pen.postgres, subject.entity.table, after_id, PAGE).await?;
                if ids.is_empty() {
                    return Ok((Vec::new(), None));
                }
                let stamps = self.source.stamps_by_id(model, &ids).await?;
                let up_to_id = ids.last().copied().filter(|_| ids.len() >= PAGE);
                Ok((stamps, up_to_id))
            }
        }
    }

    /// Reads rows by id and writes them; how many of them Odoo had.
    async fn mend(&self, subject: &mut Subject, mut ids: &[i64]) -> Result<u64, Stop> {
        let mut mended = 0;
        while !ids.is_empty() {
            let model = subject.model(&self.settings.language);
            let (part, asked) = self
                .source
                .records_by_id(model, ids, &subject.asked)
                .await?;
            let (rows, seen) = self.rows(subject, part).await?;
            if !seen.is_empty() {
                let written = subject.mend(&self.pen, &rows, &[]).await?;
                mended += written.inserted + written.updated;
            }
            ids = ids.get(asked..).unwrap_or_default();
        }
        Ok(mended)
    }

    async fn conclude(&self, subject: &mut Subject, comparison: Comparison) -> Result<(), Stop> {
        let believable = comparison.believable(subject.position.confirmed);
        let gone = if comparison.heal && believable.is_ok() {
            self.confirmed_gone(subject, &comparison.extra_ids).await?
        } else {
            Vec::new()
        };
        let deleted = u64::try_from(gone.len()).unwrap_or_default();
        let left = comparison.missing + comparison.stale + comparison.extra;
        let verdict = match (&believable, comparison.heal) {
            (Err(_), _) => "error",
            (Ok(()), _) if left == comparison.mended + deleted => "same",
            (Ok(()), _) => "differs",
        };
        let mut detail = json!({
            "mode": self.request.mode.name(), "mended": comparison.mended, "deleted": deleted,
            "newer_than_the_last_reading": comparison.later, "missing": comparison.missing_ids,
            "stale": comparison.stale_ids, "extra": comparison.extra_examples(),
        });
        if let (Err(problem), Some(detail)) = (&believable, detail.as_object_mut()) {
            detail.insert("problem".into(), json!(problem));
        }
        let validation = Validation {
            run_id: self.pen.writer.run_id,
            entity: subject.entity.name,
            source_count: comparison.listed,
            destination_count: comparison.here,
            missing: comparison.missing,
            extra: comparison.extra,
            stale: comparison.stale,
            verdict,
            detail,
        };
        let mut next = subject.position.clone();
        next.comparison = None;
        next.confirmed = false;
        subject
            .conclude(&self.pen, &validation, &gone, next)
            .await?;
        match believable {
            Err(problem) if self.request.mode != Mode::Validate => {
                Err(Fault::told(Kind::SourceProtocol, problem).into())
            }
            _ => Ok(()),
        }
    }

    /// Those of these ids that Odoo does not have when it is asked for them by name, either: what a
    /// list left out by mistake, or what came back, is not gone.
    async fn confirmed_gone(&self, subject: &Subject, ids: &[i64]) -> Result<Vec<i64>, Fault> {
        let mut gone = Vec::new();
        for ids in ids.chunks(PAGE) {
            let model = subject.model(&self.settings.language);
            let there = self.source.stamps_by_id(model, ids).await?;
            gone.extend(
                ids.iter()
                    .filter(|id| !there.iter().any(|stamp| stamp.id == **id)),
            );
        }
        Ok(gone)
    }
}

fn listed(stamp: &Stamp) -> Listed {
    Listed {
        id: stamp.id,
        write_date: stamp.write_date,
    }
}
