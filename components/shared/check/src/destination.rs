//! Checks Storage: settings, connection, key, and the bucket with its limits.

use std::collections::BTreeSet;

use fault::{Fault, Kind};
use ledger::Postgres;
use ledger::setup::{Line, Outlook};
use outbound::{Http, Variables};
use storage::{Bucket, Settings, Storage};

use crate::words::{failed, not_tried, ok, size, warning, wrong};

pub(crate) const SETTINGS: &str = "settings of Storage";
pub(crate) const REACHED: &str = "Storage";
pub(crate) const KEY: &str = "key of Storage";
pub(crate) const BUCKET: &str = "bucket";
pub(crate) const SIZE: &str = "size limit";
pub(crate) const TYPES: &str = "MIME types";
pub(crate) const UPLOADS: &str = "uploads";
pub(crate) const SIGNED: &str = "signed addresses";

const OF_A_BUCKET: [&str; 5] = [BUCKET, SIZE, TYPES, UPLOADS, SIGNED];

/// Maximum number of MIME types that are named.
const MOST_TYPES: usize = 5;

pub(crate) async fn look(
    variables: &impl Variables,
    http: &impl Http,
    (postgres, outlook): (Option<&impl Postgres>, Option<&Outlook>),
    create_bucket: bool,
) -> Vec<Line> {
    let storage = async {
        let settings = Settings::read(variables).await?;
        Ok::<_, Fault>((Storage::new(http, settings.clone())?, settings))
    };
    let (storage, settings) = match storage.await {
        Ok(both) => both,
        Err(fault) => {
            return ends(
                Vec::new(),
                failed(SETTINGS, &fault),
                &[&[REACHED, KEY], &OF_A_BUCKET[..]].concat(),
            );
        }
    };
    let place = format!("bucket {} at {}.", settings.bucket, settings.url);
    let mut lines = vec![ok(SETTINGS, place)];
    let bucket = match bucket_of(&storage, create_bucket).await {
        Ok(bucket) => bucket,
        Err(fault) => return without_bucket(lines, &fault),
    };
    lines.push(ok(REACHED, format!("It answers at {}.", settings.url)));
    lines.push(key(&storage, &settings));
    lines.push(private(&bucket, &settings, postgres, outlook).await);
    lines.push(limit(&storage, &bucket, outlook).await);
    lines.push(types(&bucket, outlook));
    lines.push(match storage.check_uploads().await {
        Ok(()) => ok(
            UPLOADS,
            format!("They come through, to {}.", settings.summary().uploads_to),
        ),
        Err(fault) => failed(UPLOADS, &fault),
    });
    let object = outlook.and_then(|outlook| outlook.object_path.as_deref());
    lines.push(match (storage.check_signed(object).await, object) {
        (Ok(()), Some(_)) => ok(SIGNED, "An address that was signed opens without a key."),
        (Ok(()), None) => ok(
            SIGNED,
            "Storage signs; whether an address opens is tried once a file was moved.",
        ),
        (Err(fault), _) => failed(SIGNED, &fault),
    });
    lines
}

/// The bucket; with `create`, a missing one is created.
async fn bucket_of<H: Http>(storage: &Storage<H>, create: bool) -> Result<Bucket, Fault> {
    match storage.check_bucket().await {
        Err(fault) if create && fault.kind() == Kind::BucketMissing => {
            storage.create_bucket().await?;
            storage.check_bucket().await
        }
        seen => seen,
    }
}

/// Adds a failed line, and marks the following ones as not tried.
fn ends(mut lines: Vec<Line>, line: Line, rest: &[&str]) -> Vec<Line> {
    let first = line.name.clone();
    lines.push(line);
    lines.extend(rest.iter().map(|name| not_tried(name, &first)));
    lines
}

/// The lines if the bucket cannot be read: no connection, a refused key, or no such bucket.
fn without_bucket(mut lines: Vec<Line>, fault: &Fault) -> Vec<Line> {
    let [bucket, of_bucket @ ..] = OF_A_BUCKET;
    match fault.kind() {
        Kind::BucketMissing => {
            lines.push(ok(REACHED, "It answers."));
            // A key that may not see buckets gets the same answer, so this says nothing about the key.
            lines.push(not_tried(KEY, bucket));
            ends(lines, failed(bucket, fault), &of_bucket)
        }
        Kind::StorageLogin => {
            lines.push(ok(REACHED, "It answers."));
            ends(lines, failed(KEY, fault), &OF_A_BUCKET)
        }
        _ => ends(
            lines,
            failed(REACHED, fault),
            &[&[KEY], &OF_A_BUCKET[..]].concat(),
        ),
    }
}

fn key<H: Http>(storage: &Storage<H>, settings: &Settings) -> Line {
    let taken = storage.key_headers();
    if settings.key_is_legacy() {
        return warning(
            KEY,
            format!(
                "It is taken, {taken}. It is a legacy key, which Supabase retires at the end of 2026."
            ),
            "Make a secret key in the dashboard under Settings, API Keys, set storage_key to it (sb_secret_…), and start the components again.",
        );
    }
    ok(KEY, format!("It is taken, {taken}."))
}

async fn private(
    bucket: &Bucket,
    settings: &Settings,
    postgres: Option<&impl Postgres>,
    outlook: Option<&Outlook>,
) -> Line {
    if bucket.public {
        return wrong(
            BUCKET,
            format!(
                "Bucket {} is public: whoever knows a file's hash reads it.",
                settings.bucket
            ),
            "Make it private in the dashboard under Storage, Edit bucket.",
        );
    }
    if let (Some(postgres), Some(outlook)) = (postgres, outlook) {
        let place = (settings.url.as_str(), settings.bucket.as_str());
        let here = run::bucket_belongs_here(place, postgres, &outlook.identities, None).await;
        if let Err(fault) = here {
            return failed(BUCKET, &fault);
        }
    }
    ok(
        BUCKET,
        format!("Bucket {} is there, and private.", settings.bucket),
    )
}

async fn limit<H: Http>(storage: &Storage<H>, bucket: &Bucket, outlook: Option<&Outlook>) -> Line {
    // A missing answer is no failure: not every gateway lets this request through.
    let of_project = match storage.project_limit().await {
        Err(fault) if fault.kind() == Kind::TooLarge => {
            return wrong(
                SIZE,
                format!("{}.", fault.message()),
                "Update the self-hosted Storage: files of more than 6 MiB cannot be stored before.",
            );
        }
        of_project => of_project.ok().flatten(),
    };
    let largest = outlook.and_then(|outlook| outlook.largest.as_ref());
    let limits = [
        ("the bucket", bucket.file_size_limit),
        ("the project", of_project),
    ];
    let lowest = limits
        .iter()
        .filter_map(|(whose, bytes)| Some((*whose, (*bytes)?)))
        .min_by_key(|(_, bytes)| *bytes);
    let Some((whose, bytes)) = lowest else {
        return ok(
            SIZE,
            "The bucket sets none, and the project does not tell its own.",
        );
    };
    let found = format!("Files up to {} are taken, by {whose}", size(bytes));
    match largest {
        Some(largest) if largest.file_size > bytes => wrong(
            SIZE,
            format!(
                "{found}; file {} has {}.",
                largest.id,
                size(largest.file_size)
            ),
            "Raise the limit in the dashboard under Storage (the project's in its settings, the bucket's by Edit bucket), then run: select odoo_sync.retry()",
        ),
        Some(largest) => ok(
            SIZE,
            format!(
                "{found}; the largest that waits has {}.",
                size(largest.file_size)
            ),
        ),
        None => ok(SIZE, format!("{found}; none that is known waits.")),
    }
}

fn types(bucket: &Bucket, outlook: Option<&Outlook>) -> Line {
    const REMEDY: &str = "Clear the list of allowed MIME types in the dashboard under Storage, Edit bucket; then run: select odoo_sync.retry()";
    let Some(allowed) = &bucket.allowed_mime_types else {
        return ok(TYPES, "The bucket takes all.");
    };
    let waiting = outlook.map_or(&[][..], |outlook| &outlook.mimetypes);
    let refused: BTreeSet<_> = waiting
        .iter()
        .map(|mimetype| archive::media_type(mimetype.as_deref()))
        .filter(|media_type| !bucket.takes(media_type))
        .collect();
    if refused.is_empty() {
        let found = format!(
            "The bucket takes {} types; no file that is known has another.",
            allowed.len()
        );
        return warning(TYPES, found, REMEDY);
    }
    let named: Vec<_> = refused.iter().take(MOST_TYPES).copied().collect();
    let more = refused.len() - named.len();
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    wrong(
        TYPES,
        format!("The bucket refuses {}{more}.", named.join(", ")),
        REMEDY,
    )
}
