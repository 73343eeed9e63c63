//! Verification: Odoo, the catalogue and the Storage compared, a folder of objects at a time.
//!
//! The signs are rclone's: `=` the same on both sides, `-` missing at the source, `+` missing at the
//! destination, `*` different, `!` could not be compared.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use fault::{Fault, Kind};
use futures::StreamExt;
use ledger::Postgres;
use ledger::objects::{Moved, moved, note_etags};
use ledger::validation::{self, Validation};
use odoo::Odoo;
use odoo::attachment::Attachment;
use outbound::{Clock, Http};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use storage::{Info, Storage};
use uuid::Uuid;

use crate::Settings;
use crate::request::Part;

/// How many catalogued files, or objects of a listing, are held at once.
const PAGE: usize = 1000;

/// How many examples are kept.
const EXAMPLES: usize = 50;

/// What became of one comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Sign {
    /// The same on both sides.
    #[serde(rename = "=")]
    Same,
    /// Missing at the source.
    #[serde(rename = "-")]
    MissingAtSource,
    /// Missing at the destination.
    #[serde(rename = "+")]
    MissingAtDestination,
    /// On both sides, but different.
    #[serde(rename = "*")]
    Differs,
    /// It could not be compared.
    #[serde(rename = "!")]
    Error,
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verified {
    /// How many files got which sign.
    pub signs: BTreeMap<String, u64>,
    /// Examples of all but `=`, as `* 8832 0d/0d10d65a…`.
    pub examples: Vec<String>,
    /// Objects whose bytes were read.
    pub read: u64,
    /// Whether all folders were compared. If not, the next verification goes on.
    pub complete: bool,
    /// The folder to go on with, 0 to 256.
    pub next_folder: u16,
}

impl Verified {
    fn note(&mut self, sign: Sign, id: i64, path: &str) {
        let sign = match sign {
            Sign::Same => "=",
            Sign::MissingAtSource => "-",
            Sign::MissingAtDestination => "+",
            Sign::Differs => "*",
            Sign::Error => "!",
        };
        *self.signs.entry(sign.to_owned()).or_default() += 1;
        if sign != "=" && self.examples.len() < EXAMPLES {
            self.examples.push(format!("{sign} {id} {path}"));
        }
    }

    fn count(&self, sign: &str) -> u64 {
        self.signs.get(sign).copied().unwrap_or_default()
    }

    /// What was found, as a row of the log.
    fn validation(&self, run_id: Uuid) -> Validation {
        let [same, extra, missing, stale, errors] =
            ["=", "-", "+", "*", "!"].map(|sign| self.count(sign));
        let verdict = if errors > 0 {
            "error"
        } else if extra + missing + stale > 0 {
            "differs"
        } else {
            "same"
        };
        Validation {
            run_id,
            entity: "attachments",
            source_count: same + missing + stale + errors,
            destination_count: same + extra + stale,
            missing,
            extra,
            stale,
            verdict,
            detail: json!({ "signs": self.signs, "examples": self.examples, "read": self.read }),
        }
    }
}

/// What the three say of a file, put together. `source` is Odoo's SHA-1 and size, `object` the
/// Storage's size and etag; `None` where there is nothing.
pub fn compare(file: &Moved, source: Option<(&str, u64)>, object: Option<&Info>) -> Sign {
    let Some(object) = object else {
        return Sign::MissingAtDestination;
    };
    if object.size != file.file_size {
        return Sign::Differs;
    }
    if let (Some(then), Some(now)) = (&file.etag, &object.etag)
        && then != now
    {
        return Sign::Differs;
    }
    match source {
        None => Sign::MissingAtSource,
        Some((sha1, size)) if sha1 == file.checksum && size == file.file_size => Sign::Same,
        // Changed in Odoo since: discovery will find it by its SHA-1.
        Some(_) => Sign::Differs,
    }
}

/// Verification, as far as the time allows.
pub(crate) struct Verification<'a, H, C, P> {
    pub(crate) odoo: &'a Odoo<H, C>,
    pub(crate) storage: &'a Storage<H>,
    pub(crate) postgres: &'a P,
    pub(crate) clock: &'a C,
    pub(crate) settings: &'a Settings,
    pub(crate) run_id: Uuid,
    pub(crate) read_data: Option<Part>,
    pub(crate) until: Duration,
}

/// How far it came.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    #[serde(flatten)]
    verified: Verified,
    /// The last file of the folder to go on with that was compared: its SHA-1 and id.
    after: (String, i64),
    /// When this was last kept.
    #[serde(skip)]
    kept: Duration,
}

/// The name of the position in the ledger.
pub(crate) const CURSOR: &str = "archive-batch:verify";

impl<H: Http, C: Clock, P: Postgres> Verification<'_, H, C, P> {
    /// Goes on where the last one stopped, until all is compared or the time is up.
    pub(crate) async fn run(&self, position: Option<&Value>) -> Result<Verified, Fault> {
        let mut position = position
            .and_then(|position| serde_json::from_value::<Position>(position.clone()).ok())
            .filter(|earlier| !earlier.verified.complete)
            .unwrap_or_default();
        position.kept = self.clock.now();
        while position.verified.next_folder < 256 && !self.time_is_up() {
            let folder = u8::try_from(position.verified.next_folder).unwrap_or(u8::MAX);
            if self.folder(folder, &mut position).await? {
                position.verified.next_folder += 1;
                position.after = Default::default();
            }
            position.verified.complete = position.verified.next_folder >= 256;
            self.keep(&mut position).await?;
        }
        let verified = position.verified;
        if verified.complete {
            validation::log(self.postgres, &verified.validation(self.run_id)).await?;
        }
        Ok(verified)
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

    /// Goes on in a folder; whether it came to its end.
    async fn folder(&self, folder: u8, position: &mut Position) -> Result<bool, Fault> {
        let prefix = format!("{folder:02x}");
        let objects = self.objects(&prefix, position).await?;
        let reads = self.read_data.is_some_and(|part| part.holds(folder));
        loop {
            let after = (position.after.0.as_str(), position.after.1);
            let files = moved(self.postgres, &prefix, after, PAGE).await?;
            if files.is_empty() {
                return Ok(true);
            }
            let source = self.source(&files).await?;
            let mut etags = Vec::new();
            let mut proved = None;
            let mut compared = 0;
            for file in &files {
                let object = objects.get(&file.object_path);
                let of_source = source
                    .get(&file.id)
                    .map(|(sha1, size)| (sha1.as_str(), *size));
                let mut sign = compare(file, of_source, object);
                if reads && sign == Sign::Same && proved.as_ref() != Some(&file.checksum) {
                    sign = self.read(file, position).await?;
                    position.verified.read += 1;
                    // Several files may share an object: it is read once.
                    proved = (sign == Sign::Same).then(|| file.checksum.clone());
                }
                if sign == Sign::Same
                    && file.etag.is_none()
                    && let Some(etag) = object.and_then(|object| object.etag.clone())
                {
                    etags.push((file.id, file.object_path.as_str(), etag));
                }
                position.verified.note(sign, file.id, &file.object_path);
                position.after = (file.checksum.clone(), file.id);
                compared += 1;
                if self.time_is_up() {
                    break;
                }
            }
            if !etags.is_empty() {
                note_etags(self.postgres, &etags).await?;
            }
            if compared < files.len() {
                return Ok(false);
            }
            if files.len() < PAGE {
                return Ok(true);
            }
            self.keep_in_time(position).await?;
        }
    }

    /// What Odoo says of files, by id: SHA-1 and size.
    async fn source(&self, files: &[Moved]) -> Result<HashMap<i64, (String, u64)>, Fault> {
        let ids: Vec<i64> = files
            .iter()
            .filter(|file| !file.deleted)
            .map(|file| file.id)
            .collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.odoo.attachments_by_id(&ids).await?;
        let of_row = |row: Attachment| {
            let size = row.file_size.and_then(|size| u64::try_from(size).ok());
            let checksum = row.checksum.unwrap_or_default();
            (row.id, (checksum, size.unwrap_or_default()))
        };
        Ok(rows.rows.into_iter().map(of_row).collect())
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

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use bytes::Bytes;
    use futures::{FutureExt, stream};
    use http::header::CONTENT_TYPE;
    use http::{HeaderMap, HeaderValue, StatusCode};
    use ledger::PostgresError;
    use outbound::{Body, Request, Response, Secret, TransportError};

    use super::*;

    #[test]
    fn each_sign_has_its_case() {
        let file = Moved {
            id: 1,
            checksum: "aa".into(),
            file_size: 5,
            object_path: "aa/aa".into(),
            etag: Some("e".into()),
            deleted: false,
        };
        let object = |size, etag: &str| Info {
            name: "aa/aa".into(),
            size,
            etag: Some(etag.into()),
        };
        let same = object(5, "e");
        assert_eq!(compare(&file, Some(("aa", 5)), Some(&same)), Sign::Same);
        assert_eq!(compare(&file, None, Some(&same)), Sign::MissingAtSource);
        assert_eq!(
            compare(&file, Some(("aa", 5)), None),
            Sign::MissingAtDestination
        );
        assert_eq!(compare(&file, None, None), Sign::MissingAtDestination);
        assert_eq!(
            compare(&file, Some(("aa", 5)), Some(&object(4, "e"))),
            Sign::Differs
        );
        assert_eq!(
            compare(&file, Some(("aa", 5)), Some(&object(5, "f"))),
            Sign::Differs
        );
        assert_eq!(compare(&file, Some(("bb", 5)), Some(&same)), Sign::Differs);
    }

    #[test]
    fn the_verdict_says_the_worst() {
        let mut verified = Verified::default();
        verified.note(Sign::Same, 1, "a");
        assert_eq!(verified.validation(Uuid::nil()).verdict, "same");
        verified.note(Sign::MissingAtDestination, 2, "b");
        let row = verified.validation(Uuid::nil());
        assert_eq!(
            (
                row.verdict,
                row.missing,
                row.source_count,
                row.destination_count
            ),
            ("differs", 1, 2, 1)
        );
        verified.note(Sign::Error, 3, "c");
        assert_eq!(verified.validation(Uuid::nil()).verdict, "error");
        assert_eq!(verified.examples, ["+ 2 b", "! 3 c"]);
    }

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
                "object_path": storage::object_path(&self.sha1), "deleted": false,
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
            let argument: Value = serde_json::from_slice(&argument).unwrap();
            let first = argument["after"] == "";
            Ok(first
                .then(|| self.row().to_string().into())
                .into_iter()
                .collect())
        }
    }

    impl Http for World {
        async fn send(&self, request: Request) -> Result<Response, TransportError> {
            let listed = json!({ "name": self.sha1, "metadata": { "size": CHUNKS } });
            let chunks = if request.url.ends_with("/jsonrpc") {
                let Body::Whole(call) = &request.body else {
                    return Err(TransportError::Reset);
                };
                let logs_in = String::from_utf8_lossy(call).contains("\"authenticate\"");
                let result = if logs_in {
                    json!(2)
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
            read_data: Some(Part { part: 1, parts: 1 }),
            until: settings.batch,
        };
        let position = json!({ "next_folder": folder });
        let run = verification.run(Some(&position));
        run.now_or_never().expect("nothing is waited for")
    }

    #[test]
    fn an_object_that_reads_longer_than_the_lease_is_read_to_its_end_under_it() {
        let world = World::new(true);
        let verified = verify(&world).unwrap();
        assert_eq!((verified.read, verified.count("=")), (1, 1));
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
