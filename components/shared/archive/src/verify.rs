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
use outbound::{ByteStream, Clock, Http};
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

/// The name of the position in the ledger.
pub(crate) const CURSOR: &str = "archive-batch:verify";

impl<H: Http, C: Clock, P: Postgres> Verification<'_, H, C, P> {
    /// Goes on where the last one stopped, until all is compared or the time is up.
    pub(crate) async fn run(&self, position: Option<&Value>) -> Result<Verified, Fault> {
        let mut verified = position
            .and_then(|position| serde_json::from_value::<Verified>(position.clone()).ok())
            .filter(|earlier| !earlier.complete)
            .unwrap_or_default();
        while verified.next_folder < 256 && self.clock.now() < self.until {
            let folder = u8::try_from(verified.next_folder).unwrap_or(u8::MAX);
            self.folder(folder, &mut verified).await?;
            verified.next_folder += 1;
            let run = ledger::runs::beat(self.postgres, self.run_id, self.settings.lease_s).await?;
            if !run {
                return Err(Fault::new(Kind::OutOfTime, "the verification was given up"));
            }
        }
        verified.complete = verified.next_folder >= 256;
        let document = serde_json::to_value(&verified)
            .map_err(|_| Fault::new(Kind::Program, "a cursor that is no JSON"))?;
        ledger::runs::keep_cursor(self.postgres, CURSOR, &document).await?;
        if verified.complete {
            validation::log(self.postgres, &verified.validation(self.run_id)).await?;
        }
        Ok(verified)
    }

    async fn folder(&self, folder: u8, verified: &mut Verified) -> Result<(), Fault> {
        let prefix = format!("{folder:02x}");
        let objects = self.objects(&prefix).await?;
        let reads = self.read_data.is_some_and(|part| part.holds(folder));
        let mut after = (String::new(), 0);
        loop {
            let files = moved(self.postgres, &prefix, (&after.0, after.1), PAGE).await?;
            let Some(last) = files.last() else {
                return Ok(());
            };
            after = (last.checksum.clone(), last.id);
            let ids: Vec<i64> = files
                .iter()
                .filter(|file| !file.deleted)
                .map(|file| file.id)
                .collect();
            let source: HashMap<i64, (String, u64)> = if ids.is_empty() {
                HashMap::new()
            } else {
                let rows = self.odoo.attachments_by_id(&ids).await?;
                rows.into_iter()
                    .map(|row| {
                        let size = row.file_size.and_then(|size| u64::try_from(size).ok());
                        (
                            row.id,
                            (row.checksum.unwrap_or_default(), size.unwrap_or_default()),
                        )
                    })
                    .collect()
            };
            let mut etags = Vec::new();
            let mut proved = None;
            for file in &files {
                let object = objects.get(&file.object_path);
                let of_source = source
                    .get(&file.id)
                    .map(|(sha1, size)| (sha1.as_str(), *size));
                let mut sign = compare(file, of_source, object);
                if reads && sign == Sign::Same && proved.as_ref() != Some(&file.checksum) {
                    sign = self.read(file).await;
                    verified.read += 1;
                    // Several files may share an object: it is read once.
                    proved = (sign == Sign::Same).then(|| file.checksum.clone());
                }
                if sign == Sign::Same
                    && file.etag.is_none()
                    && let Some(etag) = object.and_then(|object| object.etag.clone())
                {
                    etags.push((file.id, etag));
                }
                verified.note(sign, file.id, &file.object_path);
            }
            if !etags.is_empty() {
                note_etags(self.postgres, &etags).await?;
            }
            if files.len() < PAGE {
                return Ok(());
            }
        }
    }

    /// All objects of a folder, by path. 20 million files make 80,000 a folder, about 15 MB.
    async fn objects(&self, prefix: &str) -> Result<HashMap<String, Info>, Fault> {
        let mut objects = HashMap::new();
        loop {
            let page = self.storage.list(prefix, objects.len(), PAGE).await?;
            let last = page.len() < PAGE;
            objects.extend(page.into_iter().map(|info| (info.name.clone(), info)));
            if last {
                return Ok(objects);
            }
        }
    }

    /// Whether an object's bytes have the SHA-1 that its name says.
    async fn read(&self, file: &Moved) -> Sign {
        match self.storage.read(&file.object_path).await {
            Ok(Some(chunks)) => match digest(chunks).await {
                Some(sha1) if sha1 == file.checksum => Sign::Same,
                Some(_) => Sign::Differs,
                None => Sign::Error,
            },
            Ok(None) => Sign::MissingAtDestination,
            Err(_) => Sign::Error,
        }
    }
}

async fn digest(mut chunks: ByteStream) -> Option<String> {
    let mut sha1 = Sha1::new();
    while let Some(chunk) = chunks.next().await {
        sha1.update(chunk.ok()?);
    }
    Some(crate::transfer::hex(&sha1.finalize()))
}

#[cfg(test)]
mod tests {
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
}
