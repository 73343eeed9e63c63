//! Reads pages: of changes, of everything, and of referenced records.

use chrono::{DateTime, Utc};
use futures::future::join;
use ledger::Postgres;
use ledger::sync::{Row, known, waiting};
use odoo::Window;
use odoo::records::{Model, Record, written};
use odoo::salvage::Unreadable;
use outbound::{Clock, Http};
use serde_json::json;

use crate::Scope;
use crate::cursor::{Position, Seen};
use crate::entity_run::{EntityRun, Stop};
use crate::row;
use crate::source::{OWNERS, PAGE};
use crate::work::RunContext;

impl<H: Http, C: Clock, P: Postgres> RunContext<'_, H, C, P> {
    /// Reads changes since the last reading. For an entity never read before, only sets the bound of the first
    /// reading.
    pub(crate) async fn read_changes(&self, entity_run: &mut EntityRun<'_>) -> Result<(), Stop> {
        if entity_run.position.links.is_none() {
            self.find_links(entity_run).await?;
        }
        if let Scope::Of(_) = entity_run.scope {
            self.begin_of(entity_run);
            return Ok(());
        }
        if entity_run.shape.undated.is_some() {
            return self.read_new(entity_run).await;
        }
        let settings = self.settings;
        let begin = entity_run.position.written.is_none()
            || (entity_run.position.complete && entity_run.position.changes.is_none());
        if begin {
            if self.read_few(entity_run).await? {
                return Ok(());
            }
            let model = entity_run.model(&settings.language);
            entity_run.newest = self.source.newest(model).await?;
            self.begin(entity_run, entity_run.newest);
        }
        while let Some(window) = entity_run.position.changes_window(settings.overlap) {
            if self.out_of_time() {
                return Ok(());
            }
            let model = entity_run.model(&settings.language);
            let (part, at_end) = self
                .source
                .records(model, window, &entity_run.asked)
                .await?;
            let (rows, seen) = self.rows(entity_run, part).await?;
            let next = entity_run
                .position
                .changes_read(&seen, at_end, settings.overlap);
            entity_run.write(&self.writer, &rows, next).await?;
        }
        Ok(())
    }

    /// Finds out which links can lead to archived records: before the first page, and with each full reading again.
    async fn find_links(&self, entity_run: &mut EntityRun<'_>) -> Result<(), Stop> {
        let full = entity_run.position.full.as_ref();
        let begins = full.is_some_and(|full| full.after_id == 0) && !self.out_of_time();
        if entity_run.position.links.is_some() && !begins {
            return Ok(());
        }
        let mut links = Vec::new();
        for (field, target) in &entity_run.shape.links {
            if self.source.can_be_archived(target).await? {
                links.push(field.clone());
            }
        }
        entity_run.note_links(Some(links));
        Ok(())
    }

    /// Sets the bound of a reading.
    fn begin(&self, entity_run: &mut EntityRun<'_>, newest: Option<DateTime<Utc>>) {
        let now = self.source.today();
        entity_run
            .position
            .begin(newest, now, self.settings.overlap);
        entity_run.position.begin_full(now);
        entity_run.position.bounded_by(self.writer.lease.run_id);
        if entity_run.position.caught_up() {
            entity_run.as_of = Some(self.writer.lease.run_id);
        }
    }

    /// Reads changes if they fit into one page: the newest of them is then the bound, which saves asking for it.
    /// Returns `false`, having done nothing, if they do not fit.
    async fn read_few(&self, entity_run: &mut EntityRun<'_>) -> Result<bool, Stop> {
        let overlap = self.settings.overlap;
        let model = entity_run.model(&self.settings.language);
        // Many messages may change at once: Odoo would take long for the answer.
        let may_be_many = model.hides_late() && !entity_run.entity.comes_and_goes();
        if !entity_run.position.complete || may_be_many {
            return Ok(false);
        }
        let window = entity_run.position.changes_since(overlap);
        let few = self.source.few(model, window, &entity_run.asked).await?;
        let Some(mut part) = few else {
            return Ok(false);
        };
        // A record with an unreadable date would never be behind the bound.
        let is_dateless = |one: &Unreadable| one.fields.is_empty();
        if part.unreadable.iter().any(is_dateless) {
            return Ok(false);
        }
        let newest = part.records.iter().filter_map(written).max();
        entity_run.newest = newest.or(entity_run.position.written);
        self.begin(entity_run, newest);
        let Some(changes) = &entity_run.position.changes else {
            return Ok(true);
        };
        // Records dated in the future wait until then.
        let until = changes.until;
        let is_due = |record: &Record| written(record).is_none_or(|written| written <= until);
        part.records.retain(is_due);
        // A second change within a second, of nothing but links to archived records, is left to the next full reading.
        let listed: Option<Vec<Seen>> = part.records.iter().map(row::listed).collect();
        if let Some(seen) = listed.filter(|_| part.unreadable.is_empty()) {
            let next = entity_run.position.changes_read(&seen, true, overlap);
            if entity_run.knows_all_of(&next) {
                entity_run.copied.read += u64::try_from(seen.len()).unwrap_or_default();
                entity_run.write(&self.writer, &[], next).await?;
                return Ok(true);
            }
        }
        let model = entity_run.model(&self.settings.language);
        self.source.complete_links(model, &mut part).await?;
        let (rows, seen) = self.rows(entity_run, part).await?;
        let next = entity_run.position.changes_read(&seen, true, overlap);
        entity_run.write(&self.writer, &rows, next).await?;
        Ok(true)
    }

    /// Reads new records of a model without dates, by id. Changes are found when contents are compared.
    async fn read_new(&self, entity_run: &mut EntityRun<'_>) -> Result<(), Stop> {
        self.begin_of(entity_run);
        while entity_run.position.complete {
            if self.out_of_time() {
                entity_run.as_of = None;
                break;
            }
            let window = Window {
                after_id: entity_run.position.last_id,
                ..Window::default()
            };
            let model = entity_run.model(&self.settings.language);
            let (part, at_end) = self
                .source
                .records(model, window, &entity_run.asked)
                .await?;
            let (rows, seen) = self.rows(entity_run, part).await?;
            let mut next = entity_run.position.clone();
            next.last_id = seen.iter().map(|row| row.id).fold(next.last_id, i64::max);
            entity_run.write(&self.writer, &rows, next).await?;
            if at_end {
                break;
            }
        }
        Ok(())
    }

    /// An entity read by id has no changes to read. With `Scope::Of`, the first reading goes through all parent rows
    /// that are here; later, each written parent row asks for its children.
    fn begin_of(&self, entity_run: &mut EntityRun<'_>) {
        entity_run.position.changes = None;
        if entity_run.position.written.is_none() {
            let now = self.source.today();
            entity_run.position.begin(None, now, self.settings.overlap);
            entity_run.position.begin_full(now);
            entity_run.position.bounded_by(self.writer.lease.run_id);
        }
        if entity_run.position.caught_up() {
            entity_run.as_of = Some(self.writer.lease.run_id);
        }
    }

    /// Reads the children of these rows, and writes all but the last page of them.
    async fn read_of(
        &self,
        entity_run: &mut EntityRun<'_>,
        field: &str,
        ids: &[i64],
    ) -> Result<Vec<Row>, Stop> {
        let domain = [json!([field, "in", ids])];
        let mut window = Window::default();
        loop {
            let model = Model {
                domain: &domain,
                ..entity_run.model(&self.settings.language)
            };
            let (part, at_end) = self
                .source
                .records(model, window, &entity_run.asked)
                .await?;
            window.after_id = part.last_id().unwrap_or_default().max(window.after_id);
            let (rows, _) = self.rows(entity_run, part).await?;
            if at_end {
                return Ok(rows);
            }
            entity_run.mend(&self.writer, &rows, &[]).await?;
        }
    }

    /// Reads the children of the next parent rows. Returns also the last of these rows.
    async fn read_next_of(
        &self,
        entity_run: &mut EntityRun<'_>,
        field: &str,
        after_id: i64,
    ) -> Result<(Vec<Row>, Option<i64>, bool), Stop> {
        let ids = known(
            self.writer.postgres,
            entity_run.entity.table,
            after_id,
            OWNERS,
        )
        .await?;
        let rows = match ids.as_slice() {
            [] => Vec::new(),
            ids => self.read_of(entity_run, field, ids).await?,
        };
        let (up_to, at_end) = (ids.last().copied(), ids.len() < OWNERS);
        entity_run.answered = ids;
        Ok((rows, up_to, at_end))
    }

    /// Goes on with reading everything, where that is under way.
    pub(crate) async fn read_all(&self, entity_run: &mut EntityRun<'_>) -> Result<(), Stop> {
        self.find_links(entity_run).await?;
        if entity_run.scope == Scope::All {
            return self.read_all_ahead(entity_run).await;
        }
        while let Some(full) = &entity_run.position.full {
            if self.out_of_time() {
                return Ok(());
            }
            let after_id = full.after_id;
            let (rows, seen, up_to, at_end) = self.read_next(entity_run, after_id).await?;
            let overlap = self.settings.overlap;
            let next = entity_run.position.full_read(&seen, up_to, at_end, overlap);
            self.write_next(entity_run, rows, next).await?;
        }
        Ok(())
    }

    /// The same, of all records there are. Odoo is asked for the next page before rows are made of this one and Postgres
    /// writes it, so that a page takes as long as the slowest of these.
    async fn read_all_ahead(&self, entity_run: &mut EntityRun<'_>) -> Result<(), Stop> {
        let language = &self.settings.language;
        let (entity, asked) = (entity_run.entity, entity_run.asked.clone());
        let model = entity_run.model(language);
        let (domain, undated) = (model.domain.to_vec(), model.undated.map(str::to_owned));
        let links = model.links.to_vec();
        let model = Model {
            name: entity.model,
            domain: &domain,
            language,
            undated: undated.as_deref(),
            links: &links,
        };
        let mut ahead = None;
        while let Some(full) = &entity_run.position.full {
            let after = |after_id| Window {
                after_id,
                ..Window::default()
            };
            let after_id = full.after_id;
            let (mut part, at_end) = match ahead.take() {
                Some(page) => page,
                None if self.out_of_time() => return Ok(()),
                None => self.source.records(model, after(after_id), &asked).await?,
            };
            self.look_up(entity_run, &mut part).await?;
            let last_id = part.last_id().unwrap_or_default().max(after_id);
            let read_ahead = async {
                if at_end || !self.is_in_time() {
                    return None;
                }
                Some(self.source.records(model, after(last_id), &asked).await)
            };
            let write = async {
                let (rows, seen) = self.made_of(entity_run, part).await?;
                let overlap = self.settings.overlap;
                let next = entity_run.position.full_read(&seen, None, at_end, overlap);
                self.write_next(entity_run, rows, next).await
            };
            let (read, written) = join(read_ahead, write).await;
            written?;
            ahead = read.transpose()?;
        }
        Ok(())
    }

    /// Writes a page of everything, and the position behind it.
    async fn write_next(
        &self,
        entity_run: &mut EntityRun<'_>,
        rows: Vec<Row>,
        next: Position,
    ) -> Result<(), Stop> {
        let prepared = entity_run.prepare_page(&self.writer, &rows, &[], Some(&next))?;
        // The prepared page has all of it, and the next page needs the memory.
        drop(rows);
        let written = self.writer.write(prepared).await?;
        entity_run.stand_at(&self.writer, next, written);
        let written = written.unwrap_or_default();
        entity_run
            .position
            .rewrote(written.inserted + written.updated);
        Ok(())
    }

    /// The next page by the rows that are here: its own rows, what the cursor needs of them, up to which id, and whether
    /// it is the last.
    async fn read_next(
        &self,
        entity_run: &mut EntityRun<'_>,
        after_id: i64,
    ) -> Result<(Vec<Row>, Vec<Seen>, Option<i64>, bool), Stop> {
        if let Scope::Of(field) = entity_run.scope {
            let (rows, up_to, at_end) = self.read_next_of(entity_run, field, after_id).await?;
            return Ok((rows, Vec::new(), up_to, at_end));
        }
        let ids = known(
            self.writer.postgres,
            entity_run.entity.table,
            after_id,
            PAGE,
        )
        .await?;
        if ids.is_empty() {
            return Ok((Vec::new(), Vec::new(), None, true));
        }
        let model = entity_run.model(&self.settings.language);
        let (part, asked) = self
            .source
            .records_by_id(model, &ids, &entity_run.asked)
            .await?;
        let up_to = ids.get(asked.saturating_sub(1)).copied();
        let at_end = asked == ids.len() && asked < PAGE;
        let (rows, seen) = self.rows(entity_run, part).await?;
        Ok((rows, seen, up_to, at_end))
    }

    /// Reads referenced records that are not here yet. Records that Odoo lacks are marked, so that they are not asked
    /// for again; hidden ones are listed, and asked for once a day.
    pub(crate) async fn read_waiting(&self, entity_run: &mut EntityRun<'_>) -> Result<(), Stop> {
        if self.writer.dry {
            return Ok(());
        }
        match entity_run.entity.scope {
            Scope::All => return Ok(()),
            Scope::Of(field) => return self.read_waiting_of(entity_run, field).await,
            Scope::Referred => {}
        }
        let mut after_id = 0;
        let mut read_any = false;
        loop {
            if self.out_of_time() {
                entity_run.as_of = None;
                return Ok(());
            }
            let (table, model) = (entity_run.entity.table, entity_run.entity.model);
            let ids = waiting(self.writer.postgres, table, model, after_id, PAGE).await?;
            if ids.is_empty() {
                // New rows may refer to more, such as a contact to its company. Unreadable ones go on waiting.
                if !read_any {
                    return Ok(());
                }
                (after_id, read_any) = (0, false);
                continue;
            }
            let model = entity_run.model(&self.settings.language);
            let (part, asked) = self
                .source
                .records_by_id(model, &ids, &entity_run.asked)
                .await?;
            let (rows, seen) = self.rows(entity_run, part).await?;
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
            let (gone, hidden) = self.gone_or_hidden(entity_run, &gone).await?;
            entity_run.turned_invisible(hidden);
            entity_run.mend(&self.writer, &rows, &gone).await?;
        }
    }

    /// Reads the children of rows written since. While the first reading goes through all rows, it covers them.
    async fn read_waiting_of(
        &self,
        entity_run: &mut EntityRun<'_>,
        field: &str,
    ) -> Result<(), Stop> {
        let (table, model) = (entity_run.entity.table, entity_run.entity.model);
        while entity_run.position.complete {
            if self.out_of_time() {
                entity_run.as_of = None;
                break;
            }
            let ids = waiting(self.writer.postgres, table, model, 0, OWNERS).await?;
            if ids.is_empty() {
                break;
            }
            let rows = self.read_of(entity_run, field, &ids).await?;
            entity_run.answered = ids;
            entity_run.mend(&self.writer, &rows, &[]).await?;
        }
        Ok(())
    }
}
