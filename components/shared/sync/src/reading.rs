//! Reading pages: what changed, everything, and what something refers to.

use chrono::{DateTime, Utc};
use futures::future::join;
use ledger::Postgres;
use ledger::sync::{Row, known, waiting};
use odoo::Window;
use odoo::records::{Model, Record, written};
use odoo::salvage::{Part, Unreadable};
use outbound::{Clock, Http};
use serde_json::json;

use crate::Scope;
use crate::cursor::Seen;
use crate::source::{OWNERS, PAGE};
use crate::subject::{Stop, Subject};
use crate::work::Course;

impl<H: Http, C: Clock, P: Postgres> Course<'_, H, C, P> {
    /// Reads what changed since the last time; for an entity that was never read, finds out where
    /// that begins.
    pub(crate) async fn read_changes(&self, subject: &mut Subject<'_>) -> Result<(), Stop> {
        if let Scope::Of(_) = subject.scope {
            self.begin_of(subject);
            return Ok(());
        }
        if subject.shape.undated.is_some() {
            return self.read_new(subject).await;
        }
        let settings = self.settings;
        let begin = subject.position.written.is_none()
            || (subject.position.complete && subject.position.changes.is_none());
        if begin {
            if self.read_few(subject).await? {
                return Ok(());
            }
            let model = subject.model(&settings.language);
            subject.newest = self.source.newest(model).await?;
            self.begin(subject, subject.newest);
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
            subject.write(&self.pen, &rows, next).await?;
        }
        Ok(())
    }

    /// Sets the bound of a reading.
    fn begin(&self, subject: &mut Subject<'_>, newest: Option<DateTime<Utc>>) {
        let now = self.source.today();
        subject.position.begin(newest, now, self.settings.overlap);
        subject.position.begin_full(now);
        subject.position.bounded_by(self.pen.writer.run_id);
        if subject.position.caught_up() {
            subject.as_of = Some(self.pen.writer.run_id);
        }
    }

    /// Reads what changed where it fits into one page: the newest of it is the bound then, and nobody has to ask for that
    /// before. `false`: it does not fit, and nothing was done.
    async fn read_few(&self, subject: &mut Subject<'_>) -> Result<bool, Stop> {
        let overlap = self.settings.overlap;
        let model = subject.model(&self.settings.language);
        // Of messages so many may change at once that Odoo would be busy with the answer for long.
        let may_be_many = model.hides_late() && !subject.entity.comes_and_goes();
        if !subject.position.complete || may_be_many {
            return Ok(false);
        }
        let window = subject.position.changes_since(overlap);
        let few = self.source.few(model, window, &subject.asked).await?;
        let Some(mut part) = few else {
            return Ok(false);
        };
        // One of a date that nobody can read would never be behind the bound.
        let is_dateless = |one: &Unreadable| one.fields.is_empty();
        if part.unreadable.iter().any(is_dateless) {
            return Ok(false);
        }
        let newest = part.records.iter().filter_map(written).max();
        subject.newest = newest.or(subject.position.written);
        self.begin(subject, newest);
        let Some(changes) = &subject.position.changes else {
            return Ok(true);
        };
        // What is dated in the future waits until then.
        let until = changes.until;
        let is_due = |record: &Record| written(record).is_none_or(|written| written <= until);
        part.records.retain(is_due);
        let (rows, seen) = self.rows(subject, part).await?;
        let next = subject.position.changes_read(&seen, true, overlap);
        subject.write(&self.pen, &rows, next).await?;
        Ok(true)
    }

    /// Reads what is new of a model without dates, by its ids. What changes there is found when contents are compared.
    async fn read_new(&self, subject: &mut Subject<'_>) -> Result<(), Stop> {
        self.begin_of(subject);
        while subject.position.complete {
            if self.out_of_time() {
                subject.as_of = None;
                break;
            }
            let window = Window {
                after_id: subject.position.last_id,
                ..Window::default()
            };
            let model = subject.model(&self.settings.language);
            let (part, at_end) = self.source.records(model, window, &subject.asked).await?;
            let (rows, seen) = self.rows(subject, part).await?;
            let mut next = subject.position.clone();
            next.last_id = seen.iter().map(|row| row.id).fold(next.last_id, i64::max);
            subject.write(&self.pen, &rows, next).await?;
            if at_end {
                break;
            }
        }
        Ok(())
    }

    /// What is read by the rows of another table has no changes of its own. The first reading goes through all of these
    /// rows that are here; afterwards each that is written asks for its own.
    fn begin_of(&self, subject: &mut Subject<'_>) {
        subject.position.changes = None;
        if subject.position.written.is_none() {
            let now = self.source.today();
            subject.position.begin(None, now, self.settings.overlap);
            subject.position.begin_full(now);
            subject.position.bounded_by(self.pen.writer.run_id);
        }
        if subject.position.caught_up() {
            subject.as_of = Some(self.pen.writer.run_id);
        }
    }

    /// Reads what points to these rows by a field. All but the last page of it is written here.
    async fn read_of(
        &self,
        subject: &mut Subject<'_>,
        field: &str,
        ids: &[i64],
    ) -> Result<Vec<Row>, Stop> {
        let domain = [json!([field, "in", ids])];
        let mut window = Window::default();
        loop {
            let model = Model {
                domain: &domain,
                ..subject.model(&self.settings.language)
            };
            let (part, at_end) = self.source.records(model, window, &subject.asked).await?;
            window.after_id = part.last_id().unwrap_or_default().max(window.after_id);
            let (rows, _) = self.rows(subject, part).await?;
            if at_end {
                return Ok(rows);
            }
            subject.mend(&self.pen, &rows, &[]).await?;
        }
    }

    /// Reads what points to the next rows of the other table, and to which of them.
    async fn read_next_of(
        &self,
        subject: &mut Subject<'_>,
        field: &str,
        after_id: i64,
    ) -> Result<(Vec<Row>, Option<i64>, bool), Stop> {
        let ids = known(self.pen.postgres, subject.entity.table, after_id, OWNERS).await?;
        let rows = match ids.as_slice() {
            [] => Vec::new(),
            ids => self.read_of(subject, field, ids).await?,
        };
        let (up_to, at_end) = (ids.last().copied(), ids.len() < OWNERS);
        subject.answered = ids;
        Ok((rows, up_to, at_end))
    }

    /// Goes on with reading everything, where that is under way. While Postgres writes a page, Odoo is asked for the next.
    pub(crate) async fn read_all(&self, subject: &mut Subject<'_>) -> Result<(), Stop> {
        let mut ahead = None;
        while let Some(full) = &subject.position.full {
            let (rows, seen, up_to, at_end) = match ahead.take() {
                Some(page) => page,
                None if self.out_of_time() => return Ok(()),
                None => {
                    let after_id = full.after_id;
                    self.read_next(subject, after_id).await?
                }
            };
            let overlap = self.settings.overlap;
            let next = subject.position.full_read(&seen, up_to, at_end, overlap);
            let sheet = subject.sheet(&self.pen, &rows, &[], Some(&next))?;
            drop(rows);
            let after_id = next.full.as_ref().map(|full| full.after_id);
            let read_ahead = async {
                // What goes by the rows that are here has to wait for these.
                let after_id = after_id.filter(|_| subject.scope == Scope::All)?;
                if !self.is_in_time() {
                    return None;
                }
                Some(self.read_next(subject, after_id).await)
            };
            let (written, read) = join(self.pen.write(sheet), read_ahead).await;
            let written = written?;
            subject.stand_at(&self.pen, next, written);
            let written = written.unwrap_or_default();
            subject.position.rewrote(written.inserted + written.updated);
            ahead = read.transpose()?;
        }
        Ok(())
    }

    /// The next page of everything: its rows, what the cursor needs of them, up to which id, and whether it is the last.
    async fn read_next(
        &self,
        subject: &mut Subject<'_>,
        after_id: i64,
    ) -> Result<(Vec<Row>, Vec<Seen>, Option<i64>, bool), Stop> {
        let model = subject.model(&self.settings.language);
        let (part, up_to, at_end) = match subject.scope {
            Scope::All => {
                let window = Window {
                    after_id,
                    ..Window::default()
                };
                let page = self.source.records(model, window, &subject.asked).await?;
                (page.0, None, page.1)
            }
            Scope::Of(field) => {
                let (rows, up_to, at_end) = self.read_next_of(subject, field, after_id).await?;
                return Ok((rows, Vec::new(), up_to, at_end));
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
        Ok((rows, seen, up_to, at_end))
    }

    /// Reads what something refers to and that is not here yet. What Odoo does not have is marked, so that it is not
    /// asked for again and again; what it does not show is put on its list, and asked for once a day.
    pub(crate) async fn read_waiting(&self, subject: &mut Subject<'_>) -> Result<(), Stop> {
        if self.pen.dry {
            return Ok(());
        }
        match subject.entity.scope {
            Scope::All => return Ok(()),
            Scope::Of(field) => return self.read_waiting_of(subject, field).await,
            Scope::Referred => {}
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

    /// Reads what points to rows that were written since. While a first reading goes through them all, it is not twice
    /// that they are asked about.
    async fn read_waiting_of(&self, subject: &mut Subject<'_>, field: &str) -> Result<(), Stop> {
        let (table, model) = (subject.entity.table, subject.entity.model);
        while subject.position.complete {
            if self.out_of_time() {
                subject.as_of = None;
                break;
            }
            let ids = waiting(self.pen.postgres, table, model, 0, OWNERS).await?;
            if ids.is_empty() {
                break;
            }
            let rows = self.read_of(subject, field, &ids).await?;
            subject.answered = ids;
            subject.mend(&self.pen, &rows, &[]).await?;
        }
        Ok(())
    }
}
