//! Whether all of it arrived: what Odoo has, what the catalogue says and what lies in Storage.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use world::odoo::{Counts, Odoo};
use world::storage::Stored;

use crate::scene::Scene;
use crate::spelling::{bytes, count, number};
use crate::summary::Summary;
use crate::terminal::{Terminal, Tone};

/// A file as the catalogue has it.
struct Catalogued {
    id: i64,
    state: String,
    checksum: Option<String>,
    file_size: u64,
    object_path: Option<String>,
}

/// What was found, by the signs of `rclone check`.
#[derive(Debug, Default)]
struct Signs {
    /// `=` The object's bytes, hashed in Storage, are what Odoo says.
    same: u64,
    /// `-` An object that belongs to no file.
    extra: u64,
    /// `+` A file without its object, or without its row.
    missing: u64,
    /// `*` The object has other bytes.
    differs: u64,
}

/// What was found.
pub struct Found {
    summary_is_good: bool,
    /// How many attachments Odoo has for us, and for how many of them the catalogue accounts. None for
    /// a real Odoo, which only the components have asked.
    accounted: Option<(u64, u64)>,
    /// None for a real Storage: it cannot be asked to hash.
    signs: Option<(Signs, u64, u64)>,
}

/// How many attachments the archive gets to see: all but those of fields, web assets, and what is
/// hidden from everybody.
pub fn visible(counts: &Counts) -> u64 {
    counts.movable + counts.damaged + counts.empty + counts.urls + counts.cloud
}

/// Compares.
pub async fn of(scene: &Scene, summary: &Summary) -> Result<Found> {
    let catalogue = catalogue(scene).await?;
    let accounted = scene.odoo.as_ref().map(|odoo| {
        let counts = odoo.attachments().counts();
        (visible(&counts), accounted(&counts, summary))
    });
    let signs = scene.storage.as_ref().map(|storage| {
        let objects = storage.objects();
        let total = objects.iter().map(|object| object.size).sum();
        let number = objects.len() as u64;
        (
            signs(&catalogue, &objects, scene.odoo.as_ref()),
            number,
            total,
        )
    });
    Ok(Found {
        summary_is_good: summary.all_failed() == 0 && summary.logged == summary.batches,
        accounted,
        signs,
    })
}

async fn catalogue(scene: &Scene) -> Result<Vec<Catalogued>> {
    let rows = scene
        .owner
        .query("select id, state, checksum, file_size, object_path from public.odoo_attachments order by id", &[])
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Catalogued {
                id: row.try_get(0)?,
                state: row.try_get(1)?,
                checksum: row.try_get(2)?,
                file_size: u64::try_from(row.try_get::<_, i64>(3)?)?,
                object_path: row.try_get(4)?,
            })
        })
        .collect()
}

/// Of how many attachments the catalogue says what Odoo's own counts says of them.
fn accounted(counts: &Counts, summary: &Summary) -> u64 {
    let skipped = |reason: &str| summary.skipped.get(reason).copied().unwrap_or_default();
    summary.moved.min(counts.movable)
        + summary.all_failed().min(counts.damaged)
        + skipped("empty").min(counts.empty)
        + skipped("url").min(counts.urls)
        + skipped("cloud_storage").min(counts.cloud)
}

/// Compares file by file. With a simulated Odoo at hand its own rows are what counts, and not what the
/// catalogue holds of them.
fn signs(catalogue: &[Catalogued], objects: &[Stored], odoo: Option<&Odoo>) -> Signs {
    let by_name: HashMap<&str, &Stored> = objects
        .iter()
        .map(|object| (object.name.as_str(), object))
        .collect();
    let mut signs = Signs::default();
    let mut used = HashSet::new();
    for file in catalogue.iter().filter(|file| file.state == "moved") {
        let (checksum, size) = match odoo {
            None => (file.checksum.clone(), file.file_size),
            Some(odoo) => odoo
                .attachments()
                .get(file.id)
                .map_or((None, 0), |attachment| {
                    (attachment.checksum, attachment.file_size)
                }),
        };
        match file
            .object_path
            .as_deref()
            .and_then(|path| by_name.get(path))
        {
            None => signs.missing += 1,
            Some(object) => {
                used.insert(object.name.as_str());
                if Some(&object.sha1) == checksum.as_ref() && object.size == size {
                    signs.same += 1;
                } else {
                    signs.differs += 1;
                }
            }
        }
    }
    signs.extra = (objects.len() - used.len()) as u64;
    signs
}

impl Signs {
    fn good(&self) -> bool {
        self.extra == 0 && self.missing == 0 && self.differs == 0
    }
}

impl Found {
    /// Shows it; whether all is good.
    pub fn print(&self, terminal: &mut Terminal) -> bool {
        let mut good = self.summary_is_good;
        match &self.signs {
            Some((signs, objects, total)) if signs.good() => terminal.told(
                Tone::Good,
                "verified",
                &format!(
                    "{} ({}) hashed again in Storage: = all",
                    count(*objects, "object"),
                    bytes(*total)
                ),
            ),
            Some((signs, _, _)) => {
                good = false;
                terminal.told(
                    Tone::Bad,
                    "verified",
                    &format!(
                        "= {} same  + {} missing  * {} differ  - {} extra",
                        number(signs.same),
                        number(signs.missing),
                        number(signs.differs),
                        number(signs.extra)
                    ),
                );
            }
            None => terminal.fact(
                "verified",
                "SHA-1 and length of each file, as it was sent; confirmed by Storage",
            ),
        }
        if let Some((there, accounted)) = self.accounted {
            let all = there == accounted;
            good &= all;
            let tone = if all { Tone::Good } else { Tone::Bad };
            terminal.told(
                tone,
                "accounted",
                &format!(
                    "for {} of Odoo's {}",
                    number(accounted),
                    count(there, "attachment")
                ),
            );
        }
        good
    }
}
