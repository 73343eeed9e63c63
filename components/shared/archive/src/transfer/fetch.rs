//! Fetches files that are held whole.

use std::collections::HashMap;

use bytes::Bytes;
use fault::{Fault, Kind};
use futures::channel::mpsc::UnboundedSender;
use ledger::attachments::Claimed;
use md5::{Digest, Md5};
use odoo::Odoo;
use outbound::{Clock, Http, TransportError, collect};
use storage::Fingerprint;

use super::PART_BYTES;
use super::{of_one_file, sha1, verify};
use crate::plan::SMALL_BYTES;

/// A file whose bytes are fetched and verified.
pub(crate) struct Fetched {
    pub(crate) file: Claimed,
    pub(crate) content: Bytes,
    /// The size and MD5 that Storage must have.
    pub(crate) fingerprint: Fingerprint,
}

impl Fetched {
    /// Verifies the bytes of a file.
    pub(crate) fn of(file: Claimed, content: Bytes) -> Result<Self, (Claimed, Fault)> {
        let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
        if let Err(fault) = verify(&file, size, sha1(&content)) {
            return Err((file, fault));
        }
        let md5 = Md5::digest(&content).into();
        Ok(Self {
            file,
            content,
            fingerprint: Fingerprint { size, md5 },
        })
    }
}

/// Fetches a group of small files in one call, and hands on each as it arrives. Returns the files that failed, with
/// `true` if the call as a whole failed.
pub(crate) async fn group<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    files: Vec<Claimed>,
    here: &UnboundedSender<(Claimed, Bytes)>,
) -> Vec<(Claimed, Fault, bool)> {
    let mut waiting: HashMap<i64, Claimed> =
        files.into_iter().map(|file| (file.id, file)).collect();
    let (fault, whole_call) = match read_group(odoo, &mut waiting, here).await {
        Ok(()) => (
            Fault::new(Kind::SourceEmpty, "Attachment not found or empty"),
            false,
        ),
        Err(fault) => (of_one_file(fault), true),
    };
    waiting
        .into_values()
        .map(|file| (file, fault.clone(), whole_call))
        .collect()
}

async fn read_group<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    waiting: &mut HashMap<i64, Claimed>,
    here: &UnboundedSender<(Claimed, Bytes)>,
) -> Result<(), Fault> {
    let mut ids: Vec<i64> = waiting.keys().copied().collect();
    ids.sort_unstable();
    let bytes: u64 = waiting.values().map(|file| file.file_size).sum();
    // Slack for a file that is a little longer than Odoo says, so that it does not spoil its group.
    let max_bytes = usize::try_from(bytes + SMALL_BYTES).unwrap_or(usize::MAX);
    let mut datas = odoo.datas(&ids, max_bytes).await?;
    while let Some(got) = datas.next().await? {
        if let Some(file) = waiting.remove(&got.id) {
            // The receiver lives as long as the batch; without it nobody waits for this file.
            let _ = here.unbounded_send((file, got.content));
        }
    }
    Ok(())
}

/// Fetches one file, unverified: streamed from `/web/content` if it is not small and streaming is possible. If the
/// stream fails or ends early, RPC shows whether that is the file's fault.
pub(crate) async fn whole<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    file: &Claimed,
) -> Result<Bytes, Fault> {
    let max_bytes = usize::try_from(file.file_size)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    if file.file_size > SMALL_BYTES && odoo.can_stream() {
        match streamed(odoo, file, max_bytes).await {
            Ok(Some(content)) if content.len() + 1 == max_bytes => return Ok(content),
            Err(fault) if fault.kind() != Kind::SourceContent => return Err(fault),
            _ => {}
        }
    }
    let mut datas = odoo
        .datas(&[file.id], max_bytes)
        .await
        .map_err(of_one_file)?;
    let got = datas.next().await.map_err(of_one_file)?;
    Ok(got.map(|got| got.content).unwrap_or_default())
}

/// Streams a file from `/web/content`, and retries once from the beginning after a reset.
async fn streamed<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    file: &Claimed,
    max_bytes: usize,
) -> Result<Option<Bytes>, Fault> {
    let mut once_more = true;
    loop {
        let Some(content) = odoo.content(file.id, 0, PART_BYTES).await? else {
            return Ok(None);
        };
        if content
            .sha1
            .as_deref()
            .is_some_and(|sha1| sha1 != file.checksum.to_string())
        {
            return Err(Fault::new(
                Kind::WrongBytes,
                "the content in Odoo has changed",
            ));
        }
        match collect(content.chunks, max_bytes).await {
            Ok(content) => return Ok(Some(content)),
            Err(TransportError::TooLong { .. }) => {
                return Err(Fault::new(
                    Kind::WrongBytes,
                    "Odoo sends more bytes than it says the file has",
                ));
            }
            Err(TransportError::Reset) if once_more => once_more = false,
            Err(error) => return Err(Fault::told(Kind::SourceTimeout, format!("Odoo: {error}"))),
        }
    }
}
