//! Verification: Odoo, the catalogue and the Storage compared.
//!
//! First what counts as moved, a folder of objects at a time: one listing tells of a thousand objects. Then
//! Odoo's whole list, for what is in no folder: what was never moved, and what was moved since the
//! verification began. So each file gets one sign, whatever goes on meanwhile.
//!
//! The signs are rclone's: `=` the same on both sides, `-` missing at the source, `+` missing at the
//! destination, `*` different, `!` could not be compared; and `~` for what Odoo deleted and is kept.

mod found;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fault::{Fault, Kind};
use futures::{StreamExt, TryStreamExt, stream};
use ledger::Postgres;
use ledger::attachments::catalogue;
use ledger::objects::{Moved, Rest, moved, note_etags, requeue, rest, settled_before};
use ledger::validation;
use odoo::Odoo;
use odoo::attachment::{Attachment, Window};
use outbound::{Clock, Http};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha1::{Digest, Sha1};
use storage::{Info, Storage};
use uuid::Uuid;

use crate::discovery::found as as_found;
use crate::verdict::{Verdict, verdict};
use crate::{Request, Settings};
pub use found::{Sign, Verified, compare};

/// How many catalogued files, or objects of a listing, are held at once.
const PAGE: usize = 1000;

/// How many ids one call to Odoo lists.
const IDS: usize = 5000;

/// How many objects are asked for at once.
const ASKED_AT_ONCE: usize = 16;

/// A verification that began longer ago says nothing of today: the next one begins anew.
const MOST_AGE: TimeDelta = TimeDelta::hours(24);

/// Verification, as far as the time allows.
pub(crate) struct Verification<'a, H, C, P> {
    pub(crate) odoo: &'a Odoo<H, C>,
    pub(crate) storage: &'a Storage<H>,
    pub(crate) postgres: &'a P,
    pub(crate) clock: &'a C,
    pub(crate) settings: &'a Settings,
    pub(crate) run_id: Uuid,
    pub(crate) request: &'a Request,
    pub(crate) until: Duration,
}

/// How far it came.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    #[serde(flatten)]
    verified: Verified,
    /// What was moved before this moment is compared by folders, and what was moved since by Odoo's list.
    began: DateTime<Utc>,
    /// The last file of the folder to go on with that was compared: its SHA-1 and id.
    after: (String, i64),
    /// Listed since the last file, but deleted by now.
    #[serde(skip)]
    gone: u64,
    /// When this was last kept.
    #[serde(skip)]
    kept: Duration,
}

/// The name of the position in the ledger.
pub(crate) const CURSOR: &str = "archive-batch:verify";

impl<H: Http, C: Clock, P: Postgres> Verification<'_, H, C, P> {
    /// Goes on where the last one stopped, until all is compared or the time is up, a page at least.
    pub(crate) async fn run(&self, position: Option<&Value>) -> Result<Verified, Fault> {
        let mut position = self.resume(position).await?;
        position.kept = self.clock.now();
        while !position.verified.complete {
            position.verified.complete = self.step(&mut position).await?;
            self.keep(&mut position).await?;
            if self.time_is_up() {
                break;
            }
        }
        let verified = position.verified;
        if verified.complete {
            validation::log(self.postgres, &verified.validation(self.run_id)).await?;
        }
        Ok(verified)
    }

    async fn resume(&self, position: Option<&Value>) -> Result<Position, Fault> {
        let now = settled_before(self.postgres).await?;
        let earlier = position
            .and_then(|position| serde_json::from_value::<Position>(position.clone()).ok())
            .filter(|earlier| !earlier.verified.complete && now - earlier.began < MOST_AGE)
            .filter(|_| !self.request.restart);
        Ok(earlier.unwrap_or_else(|| Position {
            began: now,
            ..Position::default()
        }))
    }

    fn time_is_up(&self) -> bool {
        self.clock.now() >= self.until
    }

    /// Keeps how far it came, and the lease.
    async fn keep(&self, position: &mut Position) -> Result<(), Fault> {
        let document = serde_json::to_value(&*position)
            .map_err(|_| Fault::new(Kind::Program, "a cursor that is no JSON"))?;
        let (run_id, lease_s) = (self.run_id, self.settings.lease_s);
        position.kept = self.clock.now();
        if ledger::runs::beat(self.postgres, run_id, lease_s, (CURSOR, &document)).await? {
            Ok(())
        } else {
            Err(Fault::new(Kind::OutOfTime, "the verification was given up"))
        }
    }

    /// As [`Self::keep`], long before the lease passes.
    async fn keep_in_time(&self, position: &mut Position) -> Result<(), Fault> {
        let third = Duration::from_secs(self.settings.lease_s.into()) / 3;
        if self.clock.now().saturating_sub(position.kept) < third {
            return Ok(());
        }
        self.keep(position).await
    }

    /// A part of it; whether that was the last.
    async fn step(&self, position: &mut Position) -> Result<bool, Fault> {
        let Ok(folder) = u8::try_from(position.verified.next_folder) else {
            return self.list(position).await;
        };
        if self.folder(folder, position).await? {
            position.verified.next_folder += 1;
            position.after = Default::default();
        }
        Ok(false)
    }

    /// Goes on in a folder; whether it came to its end.
    async fn folder(&self, folder: u8, position: &mut Position) -> Result<bool, Fault> {
        let prefix = format!("{folder:02x}");
        let objects = self.objects(&prefix, position).await?;
        loop {
            let after = (position.after.0.as_str(), position.after.1);
            let files = moved(self.postgres, &prefix, position.began, after, PAGE).await?;
            let ids: Vec<i64> = files.iter().map(|file| file.id).collect();
            let sides = self.sides(&ids, &files, &objects).await?;
            let mut findings = Findings::default();
            let mut cut_short = false;
            for file in &files {
                if cut_short {
                    break;
                }
                self.compare(file, &sides, &mut findings, position).await?;
                position.after = (file.checksum.clone(), file.id);
                cut_short = self.reads(file) && self.time_is_up();
            }
            self.write_down(findings, position).await?;
            if cut_short || (files.len() == PAGE && self.time_is_up()) {
                return Ok(false);
            }
            if files.len() < PAGE {
                return Ok(true);
            }
            self.keep_in_time(position).await?;
        }
    }

    /// Goes on in Odoo's list; whether it came to its end.
    async fn list(&self, position: &mut Position) -> Result<bool, Fault> {
        let after_id = position.verified.after_id;
        let window = Window {
            after_id,
            ..Window::default()
        };
        let selection = &self.settings.selection;
        let ids = self.odoo.attachment_ids(selection, window, IDS).await?;
        let rising = ids
            .iter()
            .try_fold(after_id, |last, id| (*id > last).then_some(*id));
        let Some(last_id) = rising else {
            return Err(Fault::new(
                Kind::SourceProtocol,
                "Odoo's list of ids is not in their order",
            ));
        };
        let files = rest(self.postgres, &ids, position.began, self.request.repair).await?;
        let unlisted = HashMap::new();
        for files in files.chunks(PAGE) {
            let of_chunk: Vec<i64> = files.iter().map(|file| file.id).collect();
            let moved: Vec<Moved> = files.iter().filter_map(|file| file.moved.clone()).collect();
            let sides = self.sides(&of_chunk, &moved, &unlisted).await?;
            let mut findings = Findings::default();
            let mut cut_short = false;
            for file in files {
                if cut_short {
                    break;
                }
                match &file.moved {
                    Some(moved) => {
                        self.compare(moved, &sides, &mut findings, position).await?;
                        cut_short = self.reads(moved) && self.time_is_up();
                    }
                    None => not_moved(file, &sides, &mut findings, position),
                }
                position.list_to(file.id, &ids);
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

    /// Gives a file that counts as moved its sign.
    async fn compare(
        &self,
        file: &Moved,
        sides: &Sides<'_>,
        findings: &mut Findings,
        position: &mut Position,
    ) -> Result<(), Fault> {
        let object = sides.object(file);
        let row = sides.source.get(&file.id);
        let mut sign = if sides.unreadable.contains(&file.id) {
            Sign::Error
        } else {
            compare(file, row.map(content), object)
        };
        if sign == Sign::Same
            && self.reads(file)
            && findings.proved.as_ref() != Some(&file.checksum)
        {
            sign = self.read(file, position).await?;
            position.verified.read += 1;
            // Several files may share an object: it is read once.
            findings.proved = (sign == Sign::Same).then(|| file.checksum.clone());
        }
        match (sign, row) {
            (Sign::Same, _) if file.etag.is_none() => {
                let etag = object.and_then(|object| object.etag.clone());
                let noted = etag.map(|etag| (file.id, file.object_path.clone(), etag));
                findings.etags.extend(noted);
            }
            (Sign::MissingAtDestination | Sign::Differs, Some(row)) => {
                if content(row) == (&file.checksum, file.file_size) {
                    findings.again.insert(file.checksum.clone());
                } else {
                    findings.changed.push(row.clone());
                }
            }
            _ => {}
        }
        position.verified.note(sign, file.id, &file.object_path);
        Ok(())
    }

    /// Keeps what was found beside the signs, and hands to the queue again what is not as it should be.
    async fn write_down(&self, findings: Findings, position: &mut Position) -> Result<(), Fault> {
        let (postgres, run_id) = (self.postgres, self.run_id);
        if !findings.etags.is_empty() {
            note_etags(postgres, &findings.etags).await?;
        }
        if !self.request.repair {
            return Ok(());
        }
        if !findings.again.is_empty() {
            position.verified.repaired += requeue(postgres, run_id, &findings.again).await?;
        }
        if !findings.changed.is_empty() {
            let max_file_bytes = self.settings.max_file_bytes;
            let changed = findings.changed.into_iter();
            let found: Vec<_> = changed.map(|row| as_found(row, max_file_bytes)).collect();
            let written = catalogue(postgres, run_id, &found, None).await?;
            let written = written.unwrap_or_default();
            position.verified.repaired += u64::from(written.new + written.changed);
        }
        Ok(())
    }

    fn reads(&self, file: &Moved) -> bool {
        let folder = file.checksum.get(..2);
        let folder = folder.and_then(|folder| u8::from_str_radix(folder, 16).ok());
        self.request
            .read_data
            .zip(folder)
            .is_some_and(|(part, folder)| part.holds(folder))
    }

    /// What both sides say of these files. Objects that are not `listed` are asked for by name.
    async fn sides<'a>(
        &self,
        ids: &[i64],
        files: &[Moved],
        listed: &'a HashMap<String, Info>,
    ) -> Result<Sides<'a>, Fault> {
        let mut sides = Sides {
            source: HashMap::new(),
            unreadable: BTreeSet::new(),
            listed,
            asked: HashMap::new(),
        };
        if !ids.is_empty() {
            let listed = self.odoo.attachments_by_id(ids).await?;
            sides.source = listed.rows.into_iter().map(|row| (row.id, row)).collect();
            sides.unreadable = listed.unreadable.iter().map(|one| one.id).collect();
        }
        let paths: BTreeSet<&str> = files
            .iter()
            .map(|file| file.object_path.as_str())
            .filter(|path| !listed.contains_key(*path))
            .collect();
        let mut answers = stream::iter(paths)
            .map(|path| self.storage.info(path))
            .buffer_unordered(ASKED_AT_ONCE);
        while let Some(info) = answers.try_next().await? {
            sides
                .asked
                .extend(info.map(|info| (info.name.clone(), info)));
        }
        Ok(sides)
    }

    /// All objects of a folder, by path. 20 million files make 80,000 a folder, about 15 MB.
    async fn objects(
        &self,
        prefix: &str,
        position: &mut Position,
    ) -> Result<HashMap<String, Info>, Fault> {
        let mut objects = HashMap::new();
        loop {
            let page = self.storage.list(prefix, objects.len(), PAGE).await?;
            self.keep_in_time(position).await?;
            let last = page.len() < PAGE;
            objects.extend(page.into_iter().map(|info| (info.name.clone(), info)));
            if last {
                return Ok(objects);
            }
        }
    }

    /// Whether an object's bytes have the SHA-1 that its name says. However long that takes, the lease is kept.
    async fn read(&self, file: &Moved, position: &mut Position) -> Result<Sign, Fault> {
        let mut chunks = match self.storage.read(&file.object_path).await {
            Ok(Some(chunks)) => chunks,
            Ok(None) => return Ok(Sign::MissingAtDestination),
            Err(_) => return Ok(Sign::Error),
        };
        let mut sha1 = Sha1::new();
        while let Some(chunk) = chunks.next().await {
            let Ok(chunk) = chunk else {
                return Ok(Sign::Error);
            };
            sha1.update(chunk);
            self.keep_in_time(position).await?;
        }
        Ok(if crate::transfer::hex(&sha1.finalize()) == file.checksum {
            Sign::Same
        } else {
            Sign::Differs
        })
    }
}

/// What Odoo and the Storage say of some files.
struct Sides<'a> {
    source: HashMap<i64, Attachment>,
    /// What Odoo lists, and does not let be read.
    unreadable: BTreeSet<i64>,
    listed: &'a HashMap<String, Info>,
    asked: HashMap<String, Info>,
}

impl Sides<'_> {
    fn object(&self, file: &Moved) -> Option<&Info> {
        let path = &file.object_path;
        self.listed.get(path).or_else(|| self.asked.get(path))
    }
}

/// What is to be written down of some files.
#[derive(Default)]
struct Findings {
    /// Etags that were seen for the first time: of each attachment the id, where its object lies, and the etag.
    etags: Vec<(i64, String, String)>,
    /// The content whose object is missing or another.
    again: BTreeSet<String>,
    /// What Odoo has otherwise than the catalogue, or only Odoo has.
    changed: Vec<Attachment>,
    /// The content whose bytes were read last, and were right.
    proved: Option<String>,
}

/// A file's content, as Odoo has it: SHA-1 and size.
fn content(row: &Attachment) -> (&str, u64) {
    let size = row.file_size.and_then(|size| u64::try_from(size).ok());
    (
        row.checksum.as_deref().unwrap_or_default(),
        size.unwrap_or_default(),
    )
}

/// Counts a file that was not moved, by what Odoo says of it.
fn not_moved(file: &Rest, sides: &Sides<'_>, findings: &mut Findings, position: &mut Position) {
    if sides.unreadable.contains(&file.id) {
        position.verified.note_unreadable(file.id);
        return;
    }
    let Some(row) = sides.source.get(&file.id) else {
        // Deleted since it was listed.
        position.gone += 1;
        return;
    };
    if let Verdict::Skip(why @ ("url" | "cloud_storage" | "empty")) = verdict(row, u64::MAX) {
        position.verified.note_without_content(why);
        return;
    }
    position.verified.note_not_moved(file);
    if file.state == Rest::UNKNOWN {
        findings.changed.push(row.clone());
    }
}

impl Position {
    /// Odoo's list was gone through up to this id. `ids` are those that it lists.
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
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use bytes::Bytes;
    use futures::FutureExt;
    use http::header::CONTENT_TYPE;
    use http::{HeaderMap, HeaderValue, StatusCode};
    use ledger::PostgresError;
    use outbound::{Request as HttpRequest, Response, Secret, TransportError};
    use serde_json::json;

    use super::*;
    use crate::request::Part;

    /// Postgres, Odoo, the Storage and the clock for one object, whose reading takes a quarter of an hour.
    struct World {
        sha1: String,
        now: Rc<Cell<Duration>>,
        beats: RefCell<Vec<Duration>>,
        alive: bool,
    }

    const CHUNKS: u64 = 30;
    const CHUNK_TIME: Duration = Duration::from_secs(30);

    impl World {
        fn new(alive: bool) -> Self {
            let bytes = vec![7; usize::try_from(CHUNKS).unwrap()];
            Self {
                sha1: crate::transfer::hex(&Sha1::digest(&bytes)),
                now: Rc::default(),
                beats: RefCell::default(),
                alive,
            }
        }

        fn row(&self) -> Value {
            json!({
                "id": 1, "type": "binary", "checksum": self.sha1, "file_size": CHUNKS, "etag": null,
                "object_path": content::ObjectPath::of(&self.sha1.parse().unwrap()), "deleted": false,
            })
        }
    }

    impl Clock for World {
        fn now(&self) -> Duration {
            self.now.get()
        }
        fn unix_seconds(&self) -> i64 {
            0
        }
        async fn sleep(&self, _: Duration) {}
        fn chance(&self) -> f64 {
            0.5
        }
    }

    impl Postgres for World {
        async fn run(
            &self,
            statement: &'static str,
            argument: Vec<u8>,
        ) -> Result<Vec<Vec<u8>>, PostgresError> {
            if statement.contains("leased_until") {
                self.beats.borrow_mut().push(self.now.get());
                return Ok(vec![json!(self.alive).to_string().into_bytes()]);
            }
            if statement.contains("pg_stat_activity") {
                return Ok(vec![
                    json!("2026-11-29T12:00:00+00:00").to_string().into_bytes(),
                ]);
            }
            let argument: Value = serde_json::from_slice(&argument).unwrap();
            // The first page of the folder; nothing of what Odoo lists is in no folder.
            let first = argument["after"] == argument["prefix"] && argument["after"] != Value::Null;
            Ok(first
                .then(|| self.row().to_string().into())
                .into_iter()
                .collect())
        }
    }

    impl Http for World {
        async fn send(&self, request: HttpRequest) -> Result<Response, TransportError> {
            let listed = json!({ "name": self.sha1, "metadata": { "size": CHUNKS } });
            let chunks = if request.url.ends_with("/jsonrpc") {
                let Some(call) = &request.body else {
                    return Err(TransportError::Reset);
                };
                let call = String::from_utf8_lossy(call);
                let result = if call.contains("\"authenticate\"") {
                    json!(2)
                } else if call.contains("\"search\"") {
                    json!([1])
                } else {
                    json!([self.row()])
                };
                vec![json!({ "result": result }).to_string().into()]
            } else if request.url.contains("/list/") {
                vec![json!([listed]).to_string().into()]
            } else {
                vec![Bytes::from_static(&[7]); usize::try_from(CHUNKS).unwrap()]
            };
            let is_object = chunks.len() > 1;
            let now = self.now.clone();
            let body = stream::iter(chunks).map(move |chunk| {
                if is_object {
                    now.set(now.get() + CHUNK_TIME);
                }
                Ok(chunk)
            });
            let json = HeaderValue::from_static("application/json");
            Ok(Response {
                status: StatusCode::OK,
                headers: HeaderMap::from_iter([(CONTENT_TYPE, json)]),
                body: body.boxed_local(),
            })
        }
    }

    fn verify(world: &World) -> Result<Verified, Fault> {
        let settings = Settings {
            odoo: odoo::Settings {
                url: "http://odoo".into(),
                database: "odoo".into(),
                login: "admin".into(),
                password: Secret::new("of-the-admin"),
                ..odoo::Settings::default()
            },
            storage: storage::Settings {
                url: "http://storage".into(),
                key: Secret::new("of-the-storage"),
                bucket: "files".into(),
                ..storage::Settings::default()
            },
            ..Settings::default()
        };
        let folder = u16::from_str_radix(&world.sha1[..2], 16).unwrap();
        let verification = Verification {
            odoo: &Odoo::new(world, world, settings.odoo.clone(), odoo::Known::default())?,
            storage: &Storage::new(world, settings.storage.clone())?,
            postgres: world,
            clock: &world,
            settings: &settings,
            run_id: Uuid::nil(),
            request: &Request {
                read_data: Some(Part { part: 1, parts: 1 }),
                ..Request::default()
            },
            until: settings.batch,
        };
        let position = json!({ "next_folder": folder, "began": "2026-11-29T11:00:00Z" });
        let run = verification.run(Some(&position));
        run.now_or_never().expect("nothing is waited for")
    }

    #[test]
    fn an_object_that_reads_longer_than_the_lease_is_read_to_its_end_under_it() {
        let world = World::new(true);
        let verified = verify(&world).unwrap();
        assert_eq!((verified.read, verified.count(Sign::Same)), (1, 1));
        assert!(world.now.get() > Duration::from_secs(Settings::default().lease_s.into()) * 2);
        let beats = world.beats.take();
        let longest = beats
            .iter()
            .zip(std::iter::once(&Duration::ZERO).chain(&beats))
            .map(|(beat, before)| beat.saturating_sub(*before))
            .max();
        assert!(longest < Some(Duration::from_mins(2)), "{beats:?}");
    }

    #[test]
    fn a_verification_that_was_given_up_reads_no_further() {
        let world = World::new(false);
        assert_eq!(
            verify(&world).map_err(|fault| fault.kind()),
            Err(Kind::OutOfTime)
        );
        assert!(world.now.get() < CHUNK_TIME * 4);
    }
}
