//! Confirms that Storage has the uploaded objects, before any file counts as moved.
//!
//! The answer to an upload says nothing about the object. Objects lie in 256 folders by SHA-1, so one listing
//! confirms all recent uploads to a folder; uploads are therefore collected per folder for a while.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use fault::{Fault, Kind};
use futures::StreamExt;
use ledger::attachments::Claimed;
use outbound::Http;
use sha1::{Digest, Sha1};
use storage::{Fingerprint, Info, Storage};

use super::{of_one_object, path};

/// A folder is due when this many files wait, or one has waited this long.
const FILES: usize = 32;
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Objects per listing. Larger folders are not listed: reading all pages costs more than asking for each object.
const PAGE: usize = 1000;

/// How many rows of a listing cost as much as asking for one object (measured on storage-api 1.70).
const ROWS_A_FILE: usize = 50;

/// An uploaded file, or one whose content an earlier batch uploaded.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) file: Claimed,
    /// The size and MD5 that were sent; `None` if an earlier batch sent them.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// How many confirmations have failed.
    pub(crate) tries: u32,
}

impl Sent {
    /// A file whose content an earlier batch uploaded, by the catalogue.
    pub(crate) fn earlier(file: Claimed) -> Self {
        Self {
            file,
            fingerprint: None,
            tries: 0,
        }
    }
}

/// Files that wait for confirmation, by folder.
#[derive(Debug, Default)]
pub(crate) struct Unconfirmed {
    folders: BTreeMap<String, (Duration, Vec<Sent>)>,
    /// The length of the longest listing so far.
    rows: usize,
}

/// The files to confirm next.
#[derive(Debug)]
pub(crate) struct Confirmation {
    files: Vec<Sent>,
    folder: Option<String>,
}

impl Unconfirmed {
    /// Adds a file that Storage accepted.
    pub(crate) fn add(&mut self, sent: Sent, now: Duration) {
        let folder = path(&sent.file).folder().to_owned();
        let (_, files) = self.folders.entry(folder).or_insert((now, Vec::new()));
        files.push(sent);
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }

    /// Notes the length of a listing. The next one will be alike, since hashes spread evenly.
    pub(crate) fn listed(&mut self, rows: usize) {
        self.rows = self.rows.max(rows);
    }

    /// The next folder that is due; with `all`, any that waits.
    pub(crate) fn due(&mut self, now: Duration, all: bool) -> Option<Confirmation> {
        let is_due = |(since, files): &(Duration, Vec<Sent>)| {
            all || files.len() >= FILES || now.saturating_sub(*since) >= LONGEST_WAIT
        };
        let (folder, _) = self.folders.iter().find(|(_, waiting)| is_due(waiting))?;
        let folder = folder.clone();
        let (_, files) = self.folders.remove(&folder)?;
        let listed = files.len() > 1 && self.rows < PAGE && self.rows <= files.len() * ROWS_A_FILE;
        let folder = listed.then_some(folder);
        Some(Confirmation { files, folder })
    }
}

/// Confirms these files. Returns for each whether Storage has what was sent, and how many rows the listing had.
pub(crate) async fn confirm<H: Http>(
    storage: &Storage<H>,
    Confirmation { files, folder }: Confirmation,
) -> (Vec<(Sent, Result<(), Fault>)>, usize) {
    let mut listed = HashMap::new();
    if let Some(folder) = folder {
        match storage.list(&folder, 0, PAGE).await {
            Ok(page) => listed.extend(page.into_iter().map(|info| (info.name.clone(), info))),
            Err(fault) => {
                let fault = of_one_object(storage, fault).await;
                let failed = |sent| (sent, Err(fault.clone()));
                return (files.into_iter().map(failed).collect(), 0);
            }
        }
    }
    let mut confirmed = Vec::with_capacity(files.len());
    for sent in files {
        // Not in the listing: behind its end, or the bucket is gone, which looks empty.
        let info = match listed.get(path(&sent.file).as_str()) {
            Some(info) => Ok(Some(info.clone())),
            None => storage.info(path(&sent.file).as_str()).await,
        };
        let compared = match info {
            Ok(info) => compare(storage, &sent, info).await,
            Err(fault) => Err(of_one_object(storage, fault).await),
        };
        confirmed.push((sent, compared));
    }
    (confirmed, listed.len())
}

async fn compare<H: Http>(
    storage: &Storage<H>,
    sent: &Sent,
    info: Option<Info>,
) -> Result<(), Fault> {
    let Some(info) = info else {
        return Err(Fault::new(
            Kind::StorageFailed,
            "Storage does not have the object after its upload",
        ));
    };
    let size = sent.file.file_size;
    if info.size != size {
        return Err(Fault::told(
            Kind::ObjectDiffers,
            format!(
                "Storage has {} of the {size} bytes that were sent",
                info.size
            ),
        ));
    }
    // An etag that looks like an MD5 may be none, for example if S3 encrypts: then compare the bytes.
    let differs = (sent.fingerprint.as_ref()).is_some_and(|sent| info.holds(sent) == Some(false));
    if differs && !has_bytes(storage, &sent.file).await? {
        return Err(Fault::new(
            Kind::ObjectDiffers,
            "Storage has other bytes than were sent",
        ));
    }
    Ok(())
}

/// Whether an object's bytes have the SHA-1 in its name.
async fn has_bytes<H: Http>(storage: &Storage<H>, file: &Claimed) -> Result<bool, Fault> {
    let Some(mut chunks) = storage.read(path(file).as_str()).await? else {
        return Ok(false);
    };
    let mut sha1 = Sha1::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk
            .map_err(|error| Fault::told(Kind::StorageTimeout, format!("Storage: {error}")))?;
        sha1.update(chunk);
    }
    Ok(file.checksum == <[u8; 20]>::from(sha1.finalize()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(id: i64, beginning: &str) -> Sent {
        let fingerprint = Fingerprint {
            size: 1,
            md5: [0; 16],
        };
        let file = Claimed {
            id,
            name: None,
            mimetype: None,
            file_size: 1,
            checksum: format!("{beginning:0<40}").parse().unwrap(),
            attempts: 0,
            interruptions: 0,
            upload: None,
            stored: false,
            lost: false,
        };
        Sent {
            file,
            fingerprint: Some(fingerprint),
            tries: 0,
        }
    }

    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn a_folder_is_asked_for_when_many_wait_or_one_for_long_or_nothing_else_is_to_be_done() {
        let mut waiting = Unconfirmed::default();
        waiting.add(sent(1, "aa11"), NOW);
        assert!(waiting.due(NOW, false).is_none());
        assert!(waiting.due(NOW + LONGEST_WAIT, false).is_some());
        assert!(waiting.is_empty());
        for id in (0..).take(FILES) {
            waiting.add(sent(id, "bb22"), NOW);
        }
        waiting.add(sent(99, "cc33"), NOW);
        let many = waiting.due(NOW, false).unwrap();
        assert_eq!(
            (many.files.len(), many.folder.as_deref()),
            (FILES, Some("bb"))
        );
        assert!(waiting.due(NOW, false).is_none());
        let one = waiting.due(NOW, true).unwrap();
        assert_eq!((one.files.len(), one.folder), (1, None));
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_folder_is_listed_only_where_that_is_cheaper_than_asking_for_each_file() {
        let mut waiting = Unconfirmed::default();
        let mut is_listed = |rows, files| {
            waiting.listed(rows);
            for id in 0..files {
                waiting.add(sent(id, "aa11"), NOW);
            }
            waiting.due(NOW, true).unwrap().folder.is_some()
        };
        assert!(!is_listed(0, 1));
        assert!(is_listed(0, 2));
        assert!(is_listed(100, 2));
        assert!(!is_listed(101, 2));
        assert!(is_listed(900, 20));
        // A listing of a full page ends before the folder does.
        assert!(!is_listed(PAGE, 500));
    }
}
