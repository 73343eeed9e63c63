//! What the catalogue says when all is done.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use crate::moving::Ended;
use crate::scene::Scene;
use crate::spelling::{bytes, count, number, rate, time};
use crate::terminal::{Terminal, Tone};

/// Reasons for which there is nothing to move, in words for one and for several.
const REASONS: [(&str, &str, &str); 6] = [
    ("url", "link", "links"),
    ("cloud_storage", "already in a cloud", "already in a cloud"),
    ("empty", "empty file", "empty files"),
    ("no_checksum", "without checksum", "without checksum"),
    (
        "over_size_limit",
        "over the size limit",
        "over the size limit",
    ),
    ("unknown_type", "of an unknown type", "of an unknown type"),
];

/// What the catalogue says.
#[derive(Debug, Deserialize)]
pub struct Summary {
    /// Files whose bytes are in Storage.
    pub moved: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many different contents they have: objects in Storage.
    pub contents: u64,
    /// The bytes of these.
    pub content_bytes: u64,
    /// Files that have nothing to move, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Files that could not be moved, by reason.
    pub failed: BTreeMap<String, Failed>,
    /// Batches that did something.
    pub batches: u64,
    /// Of these, how many have their row in `migration_logs`.
    pub logged: u64,
}

/// Files that could not be moved for one reason.
#[derive(Debug, Deserialize)]
pub struct Failed {
    /// How many.
    pub files: u64,
    /// One of them.
    pub example: i64,
    /// What is said of that one.
    pub message: Option<String>,
}

impl Summary {
    /// Reads the catalogue.
    pub async fn read(scene: &Scene) -> Result<Self> {
        const STATEMENT: &str = "
            with moved as (
              select count(*) as files, coalesce(sum(file_size), 0) as bytes from public.odoo_attachments where state = 'moved'
            ), contents as (
              select count(*) as files, coalesce(sum(file_size), 0) as bytes
                from (select distinct checksum, file_size from public.odoo_attachments where state = 'moved') c
            ), skipped as (
              select coalesce(jsonb_object_agg(coalesce(reason, '?'), files), '{}') as reasons
                from (select reason, count(*) as files from public.odoo_attachments where state = 'skipped' group by 1) s
            ), failed as (
              select coalesce(jsonb_object_agg(reason, jsonb_build_object('files', files, 'example', example, 'message', message)), '{}') as reasons
                from (select coalesce(reason, 'not tried') as reason, count(*) as files, min(id) as example, min(message) as message
                        from public.odoo_attachments where state in ('pending', 'dead') group by 1) f
            ), batches as (
              select count(*) as runs, count(*) filter (where exists (select from public.migration_logs l where l.run_id = r.id)) as logged
                from odoo_sync.runs r
               where r.job = 'archive-batch' and r.outcome <> 'running'
                 and (select bool_or(r.counts->>did <> '0') from unnest(array['moved', 'failed', 'skipped', 'discovered']) did)
            )
            select jsonb_build_object(
              'moved', moved.files, 'bytes', moved.bytes, 'contents', contents.files, 'content_bytes', contents.bytes,
              'skipped', skipped.reasons, 'failed', failed.reasons, 'batches', batches.runs, 'logged', batches.logged)
            from moved, contents, skipped, failed, batches";
        let row = scene.owner.query_one(STATEMENT, &[]).await?;
        Ok(serde_json::from_value(row.try_get::<_, Value>(0)?)?)
    }

    /// Files that have nothing to move.
    pub fn all_skipped(&self) -> u64 {
        self.skipped.values().sum()
    }

    /// Files that could not be moved.
    pub fn all_failed(&self) -> u64 {
        self.failed.values().map(|failed| failed.files).sum()
    }

    /// Shows it.
    pub fn print(&self, ended: &Ended, terminal: &mut Terminal) {
        terminal.told(
            Tone::Good,
            "moved",
            &format!(
                "{}, {} in {}: {:.0} files/s, {}/s",
                count(self.moved, "file"),
                bytes(self.bytes),
                time(ended.took),
                rate(self.moved, ended.took),
                per_second(self.bytes, ended),
            ),
        );
        let duplicates = self.moved.saturating_sub(self.contents);
        if duplicates > 0 {
            let spared = bytes(self.bytes.saturating_sub(self.content_bytes));
            terminal.fact(
                "duplicates",
                &format!(
                    "{} more with the same content: moved once, {spared} spared",
                    number(duplicates)
                ),
            );
        }
        if !self.skipped.is_empty() {
            let reasons: Vec<String> = self
                .skipped
                .iter()
                .map(|(reason, files)| in_words(reason, *files))
                .collect();
            terminal.fact(
                "skipped",
                &format!("{}: {}", number(self.all_skipped()), reasons.join(", ")),
            );
        }
        for (reason, failed) in &self.failed {
            let message = failed.message.as_deref().unwrap_or(reason);
            terminal.told(
                Tone::Bad,
                "failed",
                &format!(
                    "{}, such as {}: {message}",
                    count(failed.files, "file"),
                    failed.example
                ),
            );
        }
        let tone = if self.logged == self.batches {
            Tone::Plain
        } else {
            Tone::Bad
        };
        let logged = match (self.batches, self.logged) {
            (1, 1) => "1 batch, with its row".to_owned(),
            (1, _) => "1 batch, without a row".to_owned(),
            (batches, logged) if logged == batches => {
                format!("{} batches, each with its row", number(batches))
            }
            (batches, logged) => {
                format!(
                    "{} batches, only {} with a row",
                    number(batches),
                    number(logged)
                )
            }
        };
        terminal.told(tone, "logged", &format!("{logged} in migration_logs"));
    }
}

fn per_second(value: u64, ended: &Ended) -> String {
    let milliseconds = u64::try_from(ended.took.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    bytes(value.saturating_mul(1_000) / milliseconds)
}

fn in_words(reason: &str, files: u64) -> String {
    let known = REASONS.iter().find(|(code, _, _)| *code == reason);
    let words = known.map_or(
        reason,
        |(_, one, several)| if files == 1 { one } else { several },
    );
    format!("{} {words}", number(files))
}
