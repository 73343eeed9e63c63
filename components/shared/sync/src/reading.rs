//! Reading pages: what changed, everything, and what something refers to.

use ledger::Postgres;
use ledger::sync::{known, waiting};
use odoo::Window;
use odoo::salvage::Part;
use outbound::{Clock, Http};

use crate::Scope;
use crate::source::PAGE;
use crate::subject::{Stop, Subject};
use crate::work::Course;

impl<H: Http, C: Clock, P: Postgres> Course<'_, H, C, P> {
    /// Reads what changed since the last time; for an entity that was never read, finds out where
    /// that begins.
    pub(crate) async fn read_changes(&self, subject: &mut Subject) -> Result<(), Stop> {
        let settings = self.settings;
        let begin = subject.position.written.is_none()
            || (subject.position.complete && subject.position.changes.is_none());
        if begin {
            let model = subject.model(&settings.language);
            subject.newest = self.source.newest(model).await?;
            let now = self.source.today();
            subject
                .position
                .begin(subject.newest, now, settings.overlap);
            subject.position.begin_full(now);
            subject.position.bounded_by(self.pen.writer.run_id);
            if subject.position.caught_up() {
                subject.as_of = Some(self.pen.writer.run_id);
            }
        }
        while let Some(window) = subject.position.changes_window(settings.overlap) {
            if self.out_of_time() {
                return Ok(());
            }
            let model = subject.model(&settings.language);
            let (part, at_end) = self.source.records(model, window, &subject.asked).await?;
            let (rows, seen) = self.rows(subject, part).await?;
            let next = subject
                .position
                .changes_read(&seen, at_end, settings.overlap);
            subject.write(&self.pen, &rows, &[], next).await?;
        }
        Ok(())
    }

    /// Goes on with reading everything, where that is under way.
    pub(crate) async fn read_all(&self, subject: &mut Subject) -> Result<(), Stop> {
        while let Some(full) = &subject.position.full {
            if self.out_of_time() {
                return Ok(());
            }
            let after_id = full.after_id;
            let model = subject.model(&self.settings.language);
            let (part, up_to, at_end) = match subject.entity.scope {
                Scope::All => {
                    let window = Window {
                        after_id,
                        ..Window::default()
                    };
                    let page = self.source.records(model, window, &subject.asked).await?;
                    (page.0, None, page.1)
                }
                Scope::Referred => {
                    let table = subject.entity.table;
                    let ids = known(self.pen.postgres, table, after_id, PAGE).await?;
                    if ids.is_empty() {
                        (Part::default(), None, true)
                    } else {
                        let (part, asked) = self
                            .source
                            .records_by_id(model, &ids, &subject.asked)
                            .await?;
                        let up_to = ids.get(asked.saturating_sub(1)).copied();
                        (part, up_to, asked == ids.len() && asked < PAGE)
                    }
                }
            };
            let (rows, seen) = self.rows(subject, part).await?;
            let overlap = self.settings.overlap;
            let next = subject.position.full_read(&seen, up_to, at_end, overlap);
            let before = subject.copied.written;
            subject.write(&self.pen, &rows, &[], next).await?;
            let written = subject.copied.written;
            subject
                .position
                .rewrote(written.inserted + written.updated - before.inserted - before.updated);
        }
        Ok(())
    }

    /// Reads what something refers to and that is not here yet. What Odoo does not have is marked, so that it is not
    /// asked for again and again; what it does not show is put on its list, and asked for once a day.
    pub(crate) async fn read_waiting(&self, subject: &mut Subject) -> Result<(), Stop> {
        if subject.entity.scope != Scope::Referred || self.pen.dry {
            return Ok(());
        }
        let mut after_id = 0;
        let mut read_any = false;
        loop {
            if self.out_of_time() {
                subject.as_of = None;
                return Ok(());
            }
            let (table, model) = (subject.entity.table, subject.entity.model);
            let ids = waiting(self.pen.postgres, table, model, after_id, PAGE).await?;
            if ids.is_empty() {
                // What is read refers to more: a contact to its company. What cannot be read goes on waiting.
                if !read_any {
                    return Ok(());
                }
                (after_id, read_any) = (0, false);
                continue;
            }
            let model = subject.model(&self.settings.language);
            let (part, asked) = self
                .source
                .records_by_id(model, &ids, &subject.asked)
                .await?;
            let (rows, seen) = self.rows(subject, part).await?;
            read_any |= !rows.is_empty();
            after_id = asked
                .checked_sub(1)
                .and_then(|last| ids.get(last).copied())
                .unwrap_or(after_id);
            let gone: Vec<i64> = ids
                .into_iter()
                .take(asked)
                .filter(|id| !seen.iter().any(|row| row.id == *id))
                .collect();
            let (gone, hidden) = self.gone_or_hidden(subject, &gone).await?;
            subject.turned_invisible(hidden);
            subject.mend(&self.pen, &rows, &gone).await?;
        }
    }
}
