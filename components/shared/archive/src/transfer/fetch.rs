//! Getting files that are held whole.

use std::collections::HashMap;

use bytes::Bytes;
use fault::{Fault, Kind};
use futures::channel::mpsc::UnboundedSender;
use ledger::attachments::Claimed;
use odoo::Odoo;
use outbound::{Clock, Http, collect};

use super::PART_BYTES;
use super::together::{COMPANY, Running, START, Together};
use super::{of_one_file, verify};
use crate::plan::SMALL_BYTES;

/// A file whose bytes are here and verified.
pub(crate) struct Fetched {
    pub(crate) file: Claimed,
    pub(crate) content: Bytes,
}

/// A file whose bytes are here, and may be any. What is hashed before it takes it along.
pub(crate) struct Unverified {
    file: Claimed,
    content: Bytes,
    sha1: Running,
}

impl Unverified {
    pub(crate) fn new(file: Claimed, content: Bytes, together: &Together) -> Self {
        let mut sha1 = together.begin(START, 0);
        sha1.update(content.clone());
        Self {
            file,
            content,
            sha1,
        }
    }

    /// How many bytes Odoo says that it has.
    pub(crate) fn bytes(&self) -> u64 {
        self.file.file_size
    }

    /// How many of its bytes are still to be hashed.
    pub(crate) fn unhashed(&self) -> usize {
        self.sha1.waiting()
    }

    /// The file, if these are its bytes.
    pub(crate) fn verify(self) -> Result<Fetched, (Claimed, Fault)> {
        let length = u64::try_from(self.content.len()).unwrap_or(u64::MAX);
        match verify(&self.file, length, &self.sha1.hash()) {
            Ok(()) => Ok(Fetched {
                file: self.file,
                content: self.content,
            }),
            Err(fault) => Err((self.file, fault)),
        }
    }
}

/// Gets a group of small files by one call, handing each on as soon as it is here, still to be verified.
/// Returns those that could not be had: by their own fault, or (`true`) because the call as a whole failed.
pub(crate) async fn group<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    files: Vec<Claimed>,
    together: &Together,
    here: &UnboundedSender<Unverified>,
) -> Vec<(Claimed, Fault, bool)> {
    let mut waiting: HashMap<i64, Claimed> =
        files.into_iter().map(|file| (file.id, file)).collect();
    let (fault, whole_call) = match read_group(odoo, &mut waiting, together, here).await {
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
    together: &Together,
    here: &UnboundedSender<Unverified>,
) -> Result<(), Fault> {
    // Files of one size are neighbours, so that those that are hashed together end together.
    let mut ids: Vec<(u64, i64)> = waiting.values().map(|f| (f.file_size, f.id)).collect();
    ids.sort_unstable();
    let ids: Vec<i64> = ids.into_iter().map(|(_, id)| id).collect();
    let bytes: u64 = waiting.values().map(|file| file.file_size).sum();
    // A file that is longer than Odoo says may be so by a little without spoiling its group.
    let max_bytes = usize::try_from(bytes + SMALL_BYTES).unwrap_or(usize::MAX);
    let mut datas = odoo.datas(&ids, max_bytes).await?;
    let mut some = Vec::with_capacity(COMPANY);
    let outcome = loop {
        match datas.next().await {
            Ok(Some(got)) => some.extend(
                waiting
                    .remove(&got.id)
                    .map(|file| Unverified::new(file, got.content, together)),
            ),
            Ok(None) => break Ok(()),
            Err(fault) => break Err(fault),
        }
        if some.len() == COMPANY {
            hand_on(&mut some, here);
        }
    };
    hand_on(&mut some, here);
    outcome
}

/// Hands on some files at a time, so that none of them is hashed alone.
fn hand_on(some: &mut Vec<Unverified>, here: &UnboundedSender<Unverified>) {
    for file in some.drain(..) {
        // The receiver lives as long as the batch; without it nobody waits for this file.
        let _ = here.unbounded_send(file);
    }
}

/// Gets the bytes of one file, streamed from `/web/content` if it is not small and that is possible. They
/// are still to be verified.
pub(crate) async fn whole<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    file: &Claimed,
) -> Result<Bytes, Fault> {
    let max_bytes = usize::try_from(file.file_size)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    if file.file_size > SMALL_BYTES
        && odoo.can_stream()
        && let Some(content) = streamed(odoo, file, max_bytes).await?
    {
        return Ok(content);
    }
    let mut datas = odoo
        .datas(&[file.id], max_bytes)
        .await
        .map_err(of_one_file)?;
    let got = datas.next().await.map_err(of_one_file)?;
    Ok(got.map(|got| got.content).unwrap_or_default())
}

async fn streamed<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    file: &Claimed,
    max_bytes: usize,
) -> Result<Option<Bytes>, Fault> {
    let Some(content) = odoo.content(file.id, 0, PART_BYTES).await? else {
        return Ok(None);
    };
    if content
        .sha1
        .as_deref()
        .is_some_and(|sha1| Some(sha1) != file.checksum.as_deref())
    {
        return Err(Fault::new(
            Kind::WrongBytes,
            "the content in Odoo has changed",
        ));
    }
    match collect(content.chunks, max_bytes).await {
        Ok(content) => Ok(Some(content)),
        Err(outbound::TransportError::TooLong { .. }) => Err(Fault::new(
            Kind::WrongBytes,
            "Odoo sends more bytes than it says the file has",
        )),
        Err(error) => Err(Fault::told(Kind::SourceTimeout, format!("Odoo: {error}"))),
    }
}
