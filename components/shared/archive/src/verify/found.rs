//! The result of a verification, per file and as a whole.

use std::collections::BTreeMap;

use ledger::check::Finding;
use ledger::objects::{Moved, Rest};
use ledger::runs::RunId;
use ledger::validation::{Validation, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use storage::Info;

/// How many examples are kept.
const EXAMPLES: usize = 50;

/// The result of comparing one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// The same on both sides.
    Same,
    /// Missing at the source, as far as Odoo shows it.
    MissingAtSource,
    /// Missing at the destination.
    MissingAtDestination,
    /// On both sides, but different.
    Differs,
    /// It could not be compared.
    Error,
    /// Deleted in Odoo, and kept here.
    Kept,
}

impl Sign {
    const fn text(self) -> &'static str {
        match self {
            Self::Same => "=",
            Self::MissingAtSource => "-",
            Self::MissingAtDestination => "+",
            Self::Differs => "*",
            Self::Error => "!",
            Self::Kept => "~",
        }
    }
}

/// The result of a verification, as far as it got.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verified {
    /// How many files have which sign.
    pub signs: BTreeMap<String, u64>,
    /// How many attachments Odoo listed.
    pub listed: u64,
    /// Listed attachments without content in Odoo, by reason.
    pub without_content: BTreeMap<String, u64>,
    /// Listed attachments that were not moved, by reason. They have the sign `+`.
    pub not_moved: BTreeMap<String, u64>,
    /// Examples of all signs but `=` and `~`, as `* 8832 0d/0d10d65a…`.
    pub examples: Vec<String>,
    /// Objects whose bytes were read.
    pub read: u64,
    /// How many files were queued again.
    pub repaired: u64,
    /// Bytes of the listed files that have content, as Odoo says.
    pub source_bytes: u64,
    /// Bytes of the objects of files with the sign `=`.
    pub bytes: u64,
    /// Files with the sign `~` that the catalogue did not know to be deleted.
    pub deleted_since: u64,
    /// Files with the sign `+` or `*` that Odoo has deleted, so that only the kept object is lost.
    pub kept_lost: u64,
    /// Attachments that exist but are in no list that the user sees, as far as they were asked for.
    pub hidden: u64,
    /// Ids that no list shows and that were not asked for, since there were no calls left.
    pub ids_not_asked_for: u64,
    /// Obstacles to switching Odoo off that are not stored yet.
    #[serde(skip)]
    pub findings: Vec<Finding>,
    /// Whether everything was compared. If not, the next verification continues.
    pub complete: bool,
    /// Where to continue: 0 to 255 are folders, 256 is Odoo's list, 257 are the gaps in it.
    pub next_folder: u16,
    /// After the folders: Odoo's list is compared up to this id.
    pub after_id: i64,
}

impl Verified {
    /// Counts the file under its sign and adds a finding for the final check.
    pub(super) fn find(&mut self, sign: Sign, id: i64, kind: &str, words: &str) {
        self.note(sign, id, words);
        self.findings.push(Finding::new(kind, id, words));
    }

    pub(super) fn note(&mut self, sign: Sign, id: i64, words: &str) {
        let text = sign.text();
        *self.signs.entry(text.to_owned()).or_default() += 1;
        if !matches!(sign, Sign::Same | Sign::Kept) && self.examples.len() < EXAMPLES {
            self.examples.push(format!("{text} {id} {words}"));
        }
    }

    pub(super) fn note_not_moved(&mut self, file: &Rest) {
        let why = file.why();
        *self.not_moved.entry(why.to_owned()).or_default() += 1;
        let words = [
            Some(why),
            file.reason.as_deref().filter(|reason| *reason != why),
            file.message.as_deref(),
        ];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        self.find(Sign::MissingAtDestination, file.id, why, &words.join(": "));
    }

    pub(super) fn note_unreadable(&mut self, id: i64) {
        *self.not_moved.entry("unreadable".to_owned()).or_default() += 1;
        self.find(
            Sign::MissingAtDestination,
            id,
            "unreadable",
            "unreadable: Odoo lists it, and does not let this user read it",
        );
    }

    pub(super) fn note_unmeasured(&mut self, id: i64, said: &str) {
        *self.not_moved.entry("no_checksum".to_owned()).or_default() += 1;
        self.find(Sign::MissingAtDestination, id, "no_checksum", said);
    }

    pub(super) fn note_without_content(&mut self, why: &str) {
        *self.without_content.entry(why.to_owned()).or_default() += 1;
    }

    pub(super) fn count(&self, sign: Sign) -> u64 {
        self.signs.get(sign.text()).copied().unwrap_or_default()
    }

    /// The evidence that a final check stores.
    pub(super) fn evidence(&self, outside: Option<u64>) -> Value {
        let mut left_out: Vec<String> = self
            .without_content
            .iter()
            .map(|(why, files)| format!("{files} attachments have no content in Odoo: {why}"))
            .collect();
        if let Some(outside) = outside.filter(|outside| *outside > 0) {
            left_out.push(format!(
                "{outside} attachments are outside of what the archive_ variables select, such as images of fields and the web client's own files"
            ));
        }
        let kept = self.count(Sign::Kept);
        if kept > 0 {
            left_out.push(format!(
                "{kept} files were deleted in Odoo, and are kept here"
            ));
        }
        if self.kept_lost > 0 {
            left_out.push(format!(
                "{} files were deleted in Odoo, and their objects are missing or changed in Storage too: nothing can bring them back",
                self.kept_lost
            ));
        }
        json!({
            "model": "ir.attachment", "compared": "SHA-1 and size of Odoo's lists with the catalogue, size and etag of each object",
            "read_back": self.read, "signs": self.signs, "source_count": self.listed, "source_bytes": self.source_bytes,
            "destination_count": self.count(Sign::Same), "destination_bytes": self.bytes, "not_moved": self.not_moved,
            "without_content": self.without_content, "handed_to_the_queue": self.repaired, "hidden": self.hidden,
            "ids_not_asked_for": self.ids_not_asked_for, "left_out": left_out,
        })
    }

    /// The findings that concern all files together.
    pub(super) fn of_the_whole(&self, max_deleted_share: f64) -> Vec<Finding> {
        let mut findings = Vec::new();
        let signed: u64 = [
            Sign::Same,
            Sign::MissingAtDestination,
            Sign::Differs,
            Sign::Error,
        ]
        .map(|sign| self.count(sign))
        .iter()
        .sum();
        let accounted =
            signed - self.kept_lost.min(signed) + self.without_content.values().sum::<u64>();
        if accounted < self.listed {
            let said = format!(
                "{} files changed while they were compared",
                self.listed - accounted
            );
            findings.push(Finding::new("not_compared", 0, said));
        }
        #[allow(clippy::cast_precision_loss)]
        let most = ((self.count(Sign::Kept) + self.listed) as f64 * max_deleted_share).max(10.0);
        #[allow(clippy::cast_precision_loss)]
        if self.deleted_since as f64 > most {
            let said = format!(
                "{} files are gone from Odoo at once, more than archive_max_deleted_share allows",
                self.deleted_since
            );
            findings.push(Finding::new("not_believed", 0, said));
        }
        if self.ids_not_asked_for > 0 {
            let said = format!(
                "{} ids that no list showed were not asked for",
                self.ids_not_asked_for
            );
            findings.push(Finding::new("not_asked", 0, said));
        }
        findings
    }

    /// The result as a row of the validation log. Every listed file must be accounted for: a file that changed during
    /// the verification may have no sign.
    pub(super) fn validation(&self, run_id: RunId) -> Validation<'_> {
        let [same, extra, missing, stale, errors, kept] = [
            Sign::Same,
            Sign::MissingAtSource,
            Sign::MissingAtDestination,
            Sign::Differs,
            Sign::Error,
            Sign::Kept,
        ]
        .map(|sign| self.count(sign));
        let accounted = same + self.without_content.values().sum::<u64>();
        let verdict = if errors > 0 {
            Verdict::Error
        } else if extra + missing + stale > 0 || accounted < self.listed {
            Verdict::Differs
        } else {
            Verdict::Same
        };
        Validation {
            run_id,
            entity: "attachments",
            source_count: self.listed,
            destination_count: same + extra + stale,
            missing,
            extra,
            stale,
            verdict,
            detail: json!({
                "signs": self.signs, "not_moved": self.not_moved, "without_content": self.without_content,
                "kept": kept, "examples": self.examples, "read": self.read,
            }),
        }
    }
}

/// Compares one file in Odoo, the catalogue and Storage. `source` is Odoo's SHA-1 and size, `object` Storage's size
/// and etag, `None` if missing. `gone` means deleted in Odoo, not merely hidden.
pub fn compare(
    file: &Moved,
    source: Option<(&str, u64)>,
    object: Option<&Info>,
    gone: bool,
) -> Sign {
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
        None if gone => Sign::Kept,
        None => Sign::MissingAtSource,
        Some((sha1, size)) if sha1 == file.checksum && size == file.file_size => Sign::Same,
        // The file changed in Odoo; discovery will find it by its SHA-1.
        Some(_) => Sign::Differs,
    }
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
            lost: false,
        };
        let object = |size, etag: &str| Info {
            name: "aa/aa".into(),
            size,
            etag: Some(etag.into()),
        };
        let same = object(5, "e");
        let odoo = Some(("aa", 5));
        assert_eq!(compare(&file, odoo, Some(&same), false), Sign::Same);
        assert_eq!(
            compare(&file, None, Some(&same), false),
            Sign::MissingAtSource
        );
        assert_eq!(compare(&file, None, Some(&same), true), Sign::Kept);
        for gone in [false, true] {
            assert_eq!(compare(&file, odoo, None, gone), Sign::MissingAtDestination);
            assert_eq!(compare(&file, None, None, gone), Sign::MissingAtDestination);
        }
        assert_eq!(
            compare(&file, odoo, Some(&object(4, "e")), false),
            Sign::Differs
        );
        assert_eq!(
            compare(&file, odoo, Some(&object(5, "f")), false),
            Sign::Differs
        );
        assert_eq!(
            compare(&file, Some(("bb", 5)), Some(&same), false),
            Sign::Differs
        );
    }

    #[test]
    fn the_verdict_says_the_worst() {
        let mut verified = Verified {
            listed: 2,
            ..Verified::default()
        };
        verified.note(Sign::Same, 1, "a");
        assert_eq!(
            verified.validation(RunId::default()).verdict,
            Verdict::Differs,
            "one of two was not looked at"
        );
        verified.note_without_content("url");
        verified.note(Sign::Kept, 9, "i");
        assert_eq!(verified.validation(RunId::default()).verdict, Verdict::Same);
        verified.listed += 1;
        verified.note_not_moved(&Rest {
            id: 2,
            state: "dead".into(),
            reason: Some("source_empty".into()),
            message: Some("Attachment not found or empty".into()),
            moved: None,
        });
        let row = verified.validation(RunId::default());
        assert_eq!(
            (
                row.verdict,
                row.missing,
                row.source_count,
                row.destination_count
            ),
            (Verdict::Differs, 1, 3, 1)
        );
        verified.note(Sign::Error, 3, "c");
        assert_eq!(
            verified.validation(RunId::default()).verdict,
            Verdict::Error
        );
        assert_eq!(
            verified.examples,
            [
                "+ 2 dead: source_empty: Attachment not found or empty",
                "! 3 c"
            ]
        );
    }
}
