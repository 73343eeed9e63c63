//! Gets both sides of some files, and gives each file its sign.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fault::Fault;
use futures::{StreamExt, TryStreamExt, stream};
use ledger::Postgres;
use ledger::attachments::{Skip, Verdict};
use ledger::objects::{Moved, Rest};
use odoo::attachment::Attachment;
use outbound::{Clock, Http};
use storage::Info;

use super::{MODEL, MOST_CALLS, Position, Sign, Verification, compare, folder};
use crate::verdict::verdict;

/// How many objects are asked for in parallel.
const ASKED_AT_ONCE: usize = 16;

impl<H: Http, C: Clock, P: Postgres> Verification<'_, H, C, P> {
    /// Gives moved files their signs. Returns whether any object was read.
    pub(super) async fn compare(
        &self,
        files: &[Moved],
        sides: &Sides<'_>,
        findings: &mut Findings,
        position: &mut Position,
    ) -> Result<bool, Fault> {
        let signs: Vec<Sign> = files.iter().map(|file| sides.sign(file)).collect();
        let alike = |sign: Sign| matches!(sign, Sign::Same | Sign::Kept);
        let to_read: BTreeMap<&str, &Moved> = files
            .iter()
            .zip(&signs)
            .filter(|(file, sign)| alike(**sign) && self.reads(file))
            .map(|(file, _)| (file.checksum.as_str(), file))
            .filter(|(checksum, _)| position.proved.as_deref() != Some(checksum))
            .collect();
        let mut read = self.under_lease(position, self.read(&to_read)).await?;
        position.verified.read += read.len() as u64;
        let any = !read.is_empty();
        read.extend(
            position
                .proved
                .take()
                .map(|checksum| (checksum, Sign::Same)),
        );
        for (file, sign) in files.iter().zip(signs) {
            let of_bytes = read.get(&file.checksum).filter(|_| alike(sign)).copied();
            if file.lost && of_bytes == Some(Sign::Same) {
                findings.found.insert(file.checksum.clone());
            }
            let sign = of_bytes.filter(|read| *read != Sign::Same).unwrap_or(sign);
            note(file, sign, sides, findings, position);
        }
        let last = files.last().map(|file| &file.checksum);
        position.proved = last
            .filter(|checksum| read.get(*checksum) == Some(&Sign::Same))
            .cloned();
        Ok(any)
    }

    fn reads(&self, file: &Moved) -> bool {
        if file.lost || self.check.is_some_and(|check| check.read_data) {
            return true;
        }
        self.request
            .read_data
            .zip(folder(file))
            .is_some_and(|(part, folder)| part.holds(folder))
    }

    /// Asks both sides about these files. Objects that are not in `listed` are asked for by path.
    pub(super) async fn sides<'a>(
        &self,
        ids: &[i64],
        files: &[Moved],
        listed: &'a HashMap<String, Info>,
    ) -> Result<Sides<'a>, Fault> {
        let mut sides = Sides {
            source: HashMap::new(),
            unreadable: BTreeSet::new(),
            gone: BTreeSet::new(),
            unmeasured: BTreeSet::new(),
            listed,
            asked: HashMap::new(),
        };
        if !ids.is_empty() {
            let listed = self.odoo.attachments_by_id(ids).await?;
            sides.source = listed.rows.into_iter().map(|row| (row.id, row)).collect();
            sides.unreadable = listed.unreadable.iter().map(|one| one.id).collect();
            let empty = sides.source.values();
            let empty = empty.filter(|row| verdict(row) == Verdict::Skip(Skip::Empty));
            let empty: Vec<i64> = empty.map(|row| row.id).collect();
            if !empty.is_empty() {
                sides.unmeasured = self.odoo.with_content(&empty).await?;
            }
            let seen = |id: &i64| sides.source.contains_key(id) || sides.unreadable.contains(id);
            let absent: Vec<i64> = ids.iter().copied().filter(|id| !seen(id)).collect();
            if !absent.is_empty() {
                let mut calls = MOST_CALLS;
                let found = self.odoo.presence(MODEL, &absent, &mut calls).await?;
                let there = |id: &i64| found.hidden.contains(id) || found.unasked.contains(id);
                sides.gone = absent.iter().copied().filter(|id| !there(id)).collect();
            }
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
}

/// What Odoo and Storage say about some files.
pub(super) struct Sides<'a> {
    source: HashMap<i64, Attachment>,
    /// Files that Odoo lists but does not let the user read.
    unreadable: BTreeSet<i64>,
    /// Files that have content although Odoo has neither checksum nor size for them.
    unmeasured: BTreeSet<i64>,
    /// Files deleted in Odoo, not merely hidden.
    gone: BTreeSet<i64>,
    listed: &'a HashMap<String, Info>,
    asked: HashMap<String, Info>,
}

impl Sides<'_> {
    fn sign(&self, file: &Moved) -> Sign {
        if self.unreadable.contains(&file.id) {
            return Sign::Error;
        }
        let source = self.source.get(&file.id).map(content);
        compare(file, source, self.object(file), self.is_gone(file))
    }

    /// Whether Odoo has deleted the file, and does not merely hide it.
    fn is_gone(&self, file: &Moved) -> bool {
        let listed = self.source.contains_key(&file.id);
        !listed && (file.deleted || self.gone.contains(&file.id))
    }

    fn object(&self, file: &Moved) -> Option<&Info> {
        let path = &file.object_path;
        self.listed.get(path).or_else(|| self.asked.get(path))
    }
}

/// What is to be stored about some files.
#[derive(Default)]
pub(super) struct Findings {
    /// Etags seen for the first time: attachment id, object path, etag.
    pub(super) etags: Vec<(i64, String, String)>,
    /// Contents whose object is missing or different, and which can be moved again.
    pub(super) again: BTreeSet<String>,
    /// Attachments whose content differs from the catalogue, or that only Odoo has.
    pub(super) changed: Vec<Attachment>,
    /// Contents whose object is missing or no longer what was moved.
    pub(super) lost: BTreeSet<String>,
    /// Contents that were lost and are there again.
    pub(super) found: BTreeSet<String>,
}

/// The SHA-1 and size of a file's content in Odoo.
fn content(row: &Attachment) -> (&str, u64) {
    let size = row.file_size.and_then(|size| u64::try_from(size).ok());
    (
        row.checksum.as_deref().unwrap_or_default(),
        size.unwrap_or_default(),
    )
}

/// Counts a file under its sign, and collects what is to be stored about it.
fn note(
    file: &Moved,
    sign: Sign,
    sides: &Sides<'_>,
    findings: &mut Findings,
    position: &mut Position,
) {
    let row = sides.source.get(&file.id);
    position.verified.source_bytes += row.map_or(0, |row| content(row).1);
    match (sign, row) {
        (Sign::Same, _) if file.etag.is_none() => {
            let etag = sides.object(file).and_then(|object| object.etag.clone());
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
    let changed = row.is_some_and(|row| content(row) != (file.checksum.as_str(), file.file_size));
    if sign == Sign::MissingAtDestination || (sign == Sign::Differs && !changed) {
        findings.lost.insert(file.checksum.clone());
    }
    let path = &file.object_path;
    let verified = &mut position.verified;
    match sign {
        Sign::Same => verified.bytes += file.file_size,
        Sign::Kept if !file.deleted => verified.deleted_since += 1,
        _ => {}
    }
    let kind = match sign {
        Sign::Same | Sign::Kept => {
            verified.note(sign, file.id, path);
            return;
        }
        // Deleted in Odoo: nothing can be moved again, and nothing more is lost with Odoo.
        Sign::MissingAtDestination | Sign::Differs if sides.is_gone(file) => {
            verified.kept_lost += 1;
            verified.note(sign, file.id, path);
            return;
        }
        Sign::MissingAtSource => "hidden",
        Sign::MissingAtDestination => "object_missing",
        Sign::Differs if changed => "changed",
        Sign::Differs => "object_differs",
        Sign::Error => "not_compared",
    };
    verified.find(sign, file.id, kind, path);
}

/// Counts a file that was not moved, by what Odoo says of it.
pub(super) fn not_moved(
    file: &Rest,
    sides: &Sides<'_>,
    findings: &mut Findings,
    position: &mut Position,
) {
    if sides.unreadable.contains(&file.id) {
        position.verified.note_unreadable(file.id);
        return;
    }
    let Some(row) = sides.source.get(&file.id) else {
        // Deleted in Odoo since it was listed.
        position.gone += 1;
        return;
    };
    let (_, size) = content(row);
    match verdict(row) {
        Verdict::Skip(Skip::Empty) if sides.unmeasured.contains(&file.id) => {
            let said =
                "no_checksum: it has a content, and Odoo knows neither its size nor its SHA-1";
            position.verified.note_unmeasured(file.id, said);
            return;
        }
        Verdict::Skip(why @ (Skip::Url | Skip::CloudStorage | Skip::Empty)) => {
            position.verified.note_without_content(why.code());
            return;
        }
        _ => {}
    }
    position.verified.source_bytes += size;
    position.verified.note_not_moved(file);
    if file.state == Rest::UNKNOWN {
        findings.changed.push(row.clone());
    }
}
