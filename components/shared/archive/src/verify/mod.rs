//! Verification: compares Odoo, the catalogue and Storage.
//!
//! First come the moved files, in the order of their objects: one listing of a folder covers a thousand. Then comes
//! Odoo's whole list, for files never moved, or moved since the verification began. So each file gets one sign,
//! whatever happens meanwhile.
//!
//! The signs are rclone's: `=` same on both sides, `-` missing at the source, `+` missing at the destination, `*`
//! different, `!` not comparable; and `~` for deleted in Odoo but kept.

mod found;
mod gaps;
mod read;
mod sides;

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fault::{Fault, Kind};
use futures::future::{Either, select};
use futures::{StreamExt, TryStreamExt, stream};
use ledger::Postgres;
use ledger::attachments::catalogue;
use ledger::check::Check;
use ledger::objects::{Moved, Rest, moved, note_etags, note_lost, requeue, rest, settled_before};
use ledger::runs::RunId;
use ledger::validation;
use odoo::Odoo;
use odoo::attachment::Window;
use outbound::{Clock, Http};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storage::{Info, Storage};

use crate::discovery::found as as_found;
use crate::{Request, Settings};
pub use found::{Sign, Verified, compare};
use sides::{Findings, not_moved};

const MODEL: &str = "ir.attachment";

/// Catalogued files per page, and objects per page of a listing.
const PAGE: usize = 1000;

/// The value of `next_folder` that stands for Odoo's list.
const LISTED: u16 = 256;

/// How many folders are listed at once.
const LISTED_AT_ONCE: usize = 8;

/// How many objects, and how many bytes, are read at once. A larger object is read alone. The bounds make a batch end
/// soon after its time is up.
const READ_AT_ONCE: usize = 16;
const READ_BYTES: u64 = 64 << 20;

/// How many calls a final check may use to ask for ids that no list shows.
const MOST_CALLS: u32 = 1000;

/// How many ids one call to Odoo lists.
const IDS: usize = 5000;

/// An older verification is discarded, as it says nothing about today: the next one starts over.
const MOST_AGE: TimeDelta = TimeDelta::hours(24);

/// A verification within a batch's time.
pub(crate) struct Verification<'a, H, C, P> {
    pub(crate) odoo: &'a Odoo<H, C>,
    pub(crate) storage: &'a Storage<H>,
    pub(crate) postgres: &'a P,
    pub(crate) clock: &'a C,
    pub(crate) settings: &'a Settings,
    pub(crate) run_id: RunId,
    pub(crate) request: &'a Request,
    pub(crate) until: Duration,
    /// The final check that this verification is part of.
    pub(crate) check: Option<Check>,
}

/// The progress of a verification, as stored in the ledger.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    #[serde(flatten)]
    verified: Verified,
    /// Files moved before this moment are compared by folder, later ones by Odoo's list.
    began: DateTime<Utc>,
    /// The last file compared by folder: its SHA-1 and id.
    after: (String, i64),
    /// The final check, and how many times it has started over because files were repaired.
    check: Option<i64>,
    pass: u32,
    /// Ids that no list shows are asked for up to this id; `calls` is how many calls are left for that.
    asked_to: i64,
    calls: u32,
    /// How many attachments the user can see, selected or not.
    visible: u64,
    /// Whether the final check has stored findings of this pass.
    told: bool,
    /// Files deleted in Odoo since they were listed, not yet subtracted from `listed`.
    #[serde(skip)]
    gone: u64,
    /// The folder that the next page may continue in, and its objects.
    #[serde(skip)]
    listed: (String, HashMap<String, Info>),
    /// The content whose bytes were last read and found right: several files may share an object.
    #[serde(skip)]
    proved: Option<String>,
    /// When the progress was last stored.
    #[serde(skip)]
    kept: Duration,
}

/// The names of the cursors in the ledger: of a verification, and of a final check.
pub(crate) const CURSOR: &str = "archive-batch:verify";
pub(crate) const CHECK_CURSOR: &str = "archive-batch:check";

/// The most passes of a final check: it compares all files again if it has repaired some.
const MOST_PASSES: u32 = 3;

impl<H: Http, C: Clock, P: Postgres> Verification<'_, H, C, P> {
    /// Continues until everything is compared or time is up, but for at least one step.
    pub(crate) async fn run(&self, position: Option<&Value>) -> Result<Verified, Fault> {
        let mut position = self.resume(position).await?;
        position.kept = self.clock.now();
        while !position.verified.complete {
            position.verified.complete = self.step(&mut position).await?;
            self.tell(&mut position).await?;
            self.keep(&mut position).await?;
            if self.time_is_up() {
                break;
            }
        }
        let verified = position.verified;
        if verified.complete && self.check.is_none() {
            validation::log(self.postgres, &verified.validation(self.run_id)).await?;
        }
        Ok(verified)
    }

    async fn resume(&self, position: Option<&Value>) -> Result<Position, Fault> {
        let now = settled_before(self.postgres).await?;
        let earlier =
            position.and_then(|position| serde_json::from_value::<Position>(position.clone()).ok());
        let check = self.check.map(|check| check.id);
        let goes_on = |earlier: &Position| {
            if check.is_some() {
                return earlier.check == check && !earlier.begins_anew();
            }
            let ages = (TimeDelta::minutes(-5)..MOST_AGE).contains(&(now - earlier.began));
            !earlier.verified.complete && ages && !self.request.restart
        };
        let pass = match &earlier {
            Some(earlier) if earlier.check == check && earlier.begins_anew() => earlier.pass + 1,
            _ => 0,
        };
        Ok(earlier.filter(goes_on).unwrap_or_else(|| Position {
            began: now,
            check,
            pass,
            calls: MOST_CALLS,
            ..Position::default()
        }))
    }

    fn repairs(&self) -> bool {
        self.request.repair || self.check.is_some()
    }

    fn time_is_up(&self) -> bool {
        self.clock.now() >= self.until
    }

    /// Stores the progress and renews the lease.
    async fn keep(&self, position: &mut Position) -> Result<(), Fault> {
        let document = serde_json::to_value(&*position)
            .map_err(|_| Fault::new(Kind::Program, "a cursor that is no JSON"))?;
        let (run_id, lease_s) = (self.run_id, self.settings.lease_s);
        position.kept = self.clock.now();
        let cursor = if self.check.is_some() {
            CHECK_CURSOR
        } else {
            CURSOR
        };
        if ledger::runs::beat(self.postgres, run_id, lease_s, (cursor, &document)).await? {
            Ok(())
        } else {
            Err(Fault::new(Kind::OutOfTime, "the verification was given up"))
        }
    }

    /// Like [`Self::keep`], but only when a third of the lease has passed.
    async fn keep_in_time(&self, position: &mut Position) -> Result<(), Fault> {
        if self.clock.now().saturating_sub(position.kept) < self.renewal() {
            return Ok(());
        }
        self.keep(position).await
    }

    fn renewal(&self) -> Duration {
        Duration::from_secs(self.settings.lease_s.into()) / 3
    }

    /// Awaits work that may outlast the lease, and renews the lease meanwhile.
    async fn under_lease<T>(
        &self,
        position: &mut Position,
        work: impl Future<Output = T>,
    ) -> Result<T, Fault> {
        let mut work = pin!(work);
        loop {
            match select(work, pin!(self.clock.sleep(self.renewal()))).await {
                Either::Left((done, _)) => return Ok(done),
                Either::Right(((), unfinished)) => work = unfinished,
            }
            self.keep(position).await?;
        }
    }

    /// Does one step. Returns whether it was the last.
    async fn step(&self, position: &mut Position) -> Result<bool, Fault> {
        let next = position.verified.next_folder;
        if next < LISTED {
            self.folders(position).await?;
            return Ok(false);
        }
        if next > LISTED {
            return self.look_into_gaps(position).await;
        }
        let at_end = self.list(position).await?;
        if at_end && self.check.is_some() {
            position.verified.next_folder = LISTED + 1;
            return Ok(false);
        }
        Ok(at_end)
    }

    /// Compares the next page of moved files, in the order of their folders.
    async fn folders(&self, position: &mut Position) -> Result<(), Fault> {
        if position.after.0.is_empty() {
            position.after = (format!("{:02x}", position.verified.next_folder), 0);
        }
        let after = (position.after.0.as_str(), position.after.1);
        let files = moved(self.postgres, position.began, after, PAGE).await?;
        let ids: Vec<i64> = files.iter().map(|file| file.id).collect();
        let objects = self.objects(&files, position).await?;
        let sides = self.sides(&ids, &files, &objects).await?;
        let mut findings = Findings::default();
        let mut cut_short = false;
        for files in read_at_once(&files, |file| file.file_size) {
            if cut_short {
                break;
            }
            let read = self.compare(files, &sides, &mut findings, position).await?;
            if let Some(last) = files.last() {
                position.after = (last.checksum.clone(), last.id);
                position.verified.next_folder = folder(last).map_or(LISTED, u16::from);
            }
            cut_short = read && self.time_is_up();
        }
        self.write_down(findings, position).await?;
        if files.len() < PAGE && !cut_short {
            position.verified.next_folder = LISTED;
            position.after = Default::default();
            position.listed = Default::default();
        } else if let Some(last) = files.last() {
            position.keep_listed(last, objects);
        }
        Ok(())
    }

    /// Continues in Odoo's list. Returns whether its end is reached.
    async fn list(&self, position: &mut Position) -> Result<bool, Fault> {
        let after_id = position.verified.after_id;
        let window = Window {
            after_id,
            ..Window::default()
        };
        let selection = &self.settings.selection;
        let ids = self.odoo.attachment_ids(selection, window, IDS).await?;
        let last_id = ids.last().copied().unwrap_or(after_id);
        let files = rest(self.postgres, &ids, position.began, self.repairs()).await?;
        let unlisted = HashMap::new();
        for files in files.chunks(PAGE) {
            let of_page: Vec<i64> = files.iter().map(|file| file.id).collect();
            let moved: Vec<Moved> = files.iter().filter_map(|file| file.moved.clone()).collect();
            let sides = self.sides(&of_page, &moved, &unlisted).await?;
            let mut findings = Findings::default();
            let mut cut_short = false;
            let bytes = |file: &Rest| file.moved.as_ref().map_or(0, |moved| moved.file_size);
            for files in read_at_once(files, bytes) {
                if cut_short {
                    break;
                }
                let moved: Vec<Moved> =
                    files.iter().filter_map(|file| file.moved.clone()).collect();
                let read = self
                    .compare(&moved, &sides, &mut findings, position)
                    .await?;
                for file in files.iter().filter(|file| file.moved.is_none()) {
                    not_moved(file, &sides, &mut findings, position);
                }
                if let Some(last) = files.last() {
                    position.list_to(last.id, &ids);
                }
                cut_short = read && self.time_is_up();
            }
            self.write_down(findings, position).await?;
            if cut_short || self.time_is_up() {
                return Ok(false);
            }
            self.keep_in_time(position).await?;
        }
        position.list_to(last_id, &ids);
        Ok(ids.len() < IDS)
    }

    /// Stores etags and lost objects, and queues again what is missing or different.
    async fn write_down(&self, findings: Findings, position: &mut Position) -> Result<(), Fault> {
        let (postgres, run_id) = (self.postgres, self.run_id);
        if !findings.etags.is_empty() {
            note_etags(postgres, &findings.etags).await?;
        }
        if !findings.lost.is_empty() || !findings.found.is_empty() {
            note_lost(postgres, run_id, &findings.lost, &findings.found).await?;
        }
        if !self.repairs() {
            return Ok(());
        }
        if !findings.again.is_empty() {
            position.verified.repaired += requeue(postgres, run_id, &findings.again).await?;
        }
        if !findings.changed.is_empty() {
            let found: Vec<_> = findings.changed.into_iter().map(as_found).collect();
            let written = catalogue(postgres, run_id, &found, None).await?;
            position.verified.repaired += u64::from(written.unwrap_or_default().written);
        }
        Ok(())
    }

    /// Lists all objects, by path, of the folders that these files are in.
    async fn objects(
        &self,
        files: &[Moved],
        position: &mut Position,
    ) -> Result<HashMap<String, Info>, Fault> {
        let (known, mut objects) = std::mem::take(&mut position.listed);
        let prefixes = files.iter().filter_map(|file| file.checksum.get(..2));
        let prefixes: BTreeSet<&str> = prefixes.filter(|prefix| *prefix != known).collect();
        let folders = stream::iter(prefixes)
            .map(|prefix| self.list_folder(prefix))
            .buffer_unordered(LISTED_AT_ONCE)
            .try_concat();
        objects.extend(self.under_lease(position, folders).await??);
        Ok(objects)
    }

    /// Lists all objects of a folder. 20 million files make 80,000 per folder, about 15 MB.
    async fn list_folder(&self, prefix: &str) -> Result<Vec<(String, Info)>, Fault> {
        let mut objects = Vec::new();
        loop {
            let page = self.storage.list(prefix, objects.len(), PAGE).await?;
            let last = page.len() < PAGE;
            objects.extend(page.into_iter().map(|info| (info.name.clone(), info)));
            if last {
                return Ok(objects);
            }
        }
    }
}

/// Splits files, in their order, into groups that are read at once.
fn read_at_once<T>(files: &[T], bytes: impl Fn(&T) -> u64) -> impl Iterator<Item = &[T]> {
    let mut together = (1, files.first().map_or(0, &bytes));
    files.chunk_by(move |_, next| {
        let size = bytes(next);
        let more = (together.0 + 1, together.1.saturating_add(size));
        let fits = more.0 <= READ_AT_ONCE && more.1 <= READ_BYTES;
        together = if fits { more } else { (1, size) };
        fits
    })
}

/// The folder of a file's object.
fn folder(file: &Moved) -> Option<u8> {
    u8::from_str_radix(file.checksum.get(..2)?, 16).ok()
}

/// Whether this position says that the final check is done with the files.
pub(crate) fn is_done(check: Check, position: Option<&Value>) -> bool {
    of_check(check, position)
        .is_some_and(|position| position.verified.complete && !position.begins_anew())
}

/// Whether this position says that the final check is still comparing files.
pub(crate) fn is_under_way(check: Check, position: Option<&Value>) -> bool {
    of_check(check, position).is_some_and(|position| !position.verified.complete)
}

fn of_check(check: Check, position: Option<&Value>) -> Option<Position> {
    let position: Position = serde_json::from_value(position?.clone()).ok()?;
    (position.check == Some(check.id)).then_some(position)
}

impl Position {
    /// Keeps the listed objects that the page after `last` may need.
    fn keep_listed(&mut self, last: &Moved, mut objects: HashMap<String, Info>) {
        let prefix = last.checksum.get(..2).unwrap_or_default();
        objects.retain(|path, _| path.starts_with(prefix));
        self.listed = (prefix.to_owned(), objects);
    }

    /// Whether the final check compares all files again because it has repaired some.
    fn begins_anew(&self) -> bool {
        self.verified.complete && self.verified.repaired > 0 && self.pass + 1 < MOST_PASSES
    }

    /// Advances in Odoo's list to `last_id`. `ids` is the page of the list.
    fn list_to(&mut self, last_id: i64, ids: &[i64]) {
        let up_to = |last_id| ids.partition_point(|id| *id <= last_id);
        let more = up_to(last_id).saturating_sub(up_to(self.verified.after_id));
        let gone = std::mem::take(&mut self.gone);
        self.verified.listed += (more as u64).saturating_sub(gone);
        self.verified.after_id = last_id;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_or_small_objects_are_read_at_once_and_large_ones_alone() {
        let groups = |sizes: &[u64]| -> Vec<usize> {
            read_at_once(sizes, |size| *size)
                .map(<[u64]>::len)
                .collect()
        };
        assert_eq!(groups(&[]), Vec::<usize>::new());
        assert_eq!(groups(&[1_000; 40]), [16, 16, 8]);
        assert_eq!(groups(&[READ_BYTES / 2; 5]), [2, 2, 1]);
        assert_eq!(groups(&[5 << 30, 5 << 30, 1, 1]), [1, 1, 2]);
        assert_eq!(groups(&[1, 5 << 30, 1]), [1, 1, 1]);
    }
}
