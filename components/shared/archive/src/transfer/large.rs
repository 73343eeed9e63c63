//! Moves a large file in pieces: at most two are held, and a later batch continues where this one stops. The last
//! piece is held back until the SHA-1 of the whole file is verified, so that wrong bytes never become an object.

use std::cell::{Cell, RefCell};

use bytes::{Buf, Bytes};
use fault::{Fault, Kind};
use futures::StreamExt;
use futures::stream::LocalBoxStream;
use ledger::attachments::{Claimed, Skip};
use md5::Digest;
use odoo::Odoo;
use outbound::{Clock, Http};
use serde_json::Value;
use storage::{CHUNK_BYTES, Fingerprint, Info, Resumable, Storage};

use super::resume_point::ResumePoint;
use super::{PART_BYTES, label, of_one_file, of_one_object, path, verify};

/// A large file being moved. If the transfer is dropped midway, its progress is found here.
#[derive(Debug)]
pub(crate) struct LargeUpload {
    pub(crate) file: Claimed,
    resume: RefCell<Option<ResumePoint>>,
    /// How many pieces this batch has finished.
    pieces: Cell<u32>,
}

/// How the transfer of a large file ended.
pub(crate) enum LargeEnd {
    /// Verified and confirmed.
    Moved,
    /// Time is up; a later batch continues.
    Cut,
    /// The transfer failed.
    Failed(Fault),
    /// It cannot be fetched this way.
    Skipped(Skip),
    /// It cannot be fetched in this batch, through no fault of its own.
    Waits,
}

impl LargeUpload {
    /// Continues from the progress of earlier batches.
    pub(crate) fn of(file: Claimed) -> Self {
        let kept = file.upload.as_ref();
        let resume = kept.and_then(|kept| ResumePoint::read(kept, &file.checksum));
        Self {
            resume: RefCell::new(resume),
            file,
            pieces: Cell::new(0),
        }
    }

    /// Whether it starts over because an earlier version stored its progress in another form.
    pub(crate) fn is_outdated(&self) -> bool {
        let kept = self.file.upload.as_ref();
        kept.is_some_and(|kept| ResumePoint::is_outdated(kept, &self.file.checksum))
    }

    /// The progress as the ledger stores it, if there is any.
    pub(crate) fn document(&self) -> Option<Value> {
        let resume = self.resume.borrow();
        resume.as_ref()?.document(&self.file.checksum)
    }

    /// How many pieces this batch has finished.
    pub(crate) fn pieces(&self) -> u32 {
        self.pieces.get()
    }

    fn keep(&self, point: Option<ResumePoint>) {
        self.resume.replace(point);
    }

    /// How many bytes Storage has confirmed.
    pub(crate) fn offset(&self) -> u64 {
        let resume = self.resume.borrow();
        resume.as_ref().map_or(0, |point| point.offset)
    }
}

/// Where the bytes go.
enum Target {
    /// Into an upload, of which Storage has this many bytes.
    Upload(Resumable, u64),
    /// Nowhere: an object of this size exists, and its MD5 is compared.
    There(Info),
}

/// The source, read in pieces.
struct Source {
    chunks: LocalBoxStream<'static, Result<Bytes, Fault>>,
    rest: Bytes,
}

impl Source {
    /// The next `length` bytes, or fewer at the end.
    async fn read(&mut self, length: u64) -> Result<Bytes, Fault> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if self.rest.is_empty()
            && let Some(chunk) = self.chunks.next().await
        {
            self.rest = chunk?;
        }
        // A part that already is a piece is not copied.
        if self.rest.len() >= length {
            return Ok(self.rest.split_to(length));
        }
        let mut piece = Vec::with_capacity(length);
        while piece.len() < length {
            if self.rest.is_empty() {
                match self.chunks.next().await {
                    Some(chunk) => self.rest = chunk?,
                    None => break,
                }
            }
            let take = self.rest.len().min(length - piece.len());
            piece.extend_from_slice(&self.rest.split_to(take));
        }
        Ok(piece.into())
    }

    /// The next piece: up to the next multiple of [`CHUNK_BYTES`].
    async fn next_piece(&mut self, offset: u64, size: u64) -> Result<Bytes, Fault> {
        let end = (offset / CHUNK_BYTES + 1)
            .saturating_mul(CHUNK_BYTES)
            .min(size);
        self.read(end.saturating_sub(offset)).await
    }
}

/// Moves a large file until it is done or `time_is_up`.
pub(crate) async fn large<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    storage: &Storage<H>,
    upload: &LargeUpload,
    max_rpc_bytes: u64,
    time_is_up: impl Fn() -> bool,
) -> LargeEnd {
    let moving = LargeTransfer {
        odoo,
        storage,
        upload,
        may_use_rpc: upload.file.file_size <= max_rpc_bytes,
        time_is_up,
    };
    // Retry once: a kept-alive connection may have been closed just before its reuse.
    let mut once_more = true;
    // Whether the existing object proved to have other bytes.
    let mut replace = false;
    loop {
        // Checked before an upload is begun.
        if !odoo.can_stream() && !moving.may_use_rpc {
            return moving.only_by_rpc();
        }
        let began_at = upload.offset();
        let fault = match moving.run(replace).await {
            Ok(Some(end)) => return end,
            Ok(None) => {
                replace = true;
                upload.keep(None);
                continue;
            }
            Err(fault) => of_one_object(storage, fault).await,
        };
        match fault.kind() {
            // A connection that broke after some progress costs no attempt: continue from there.
            Kind::StorageTimeout | Kind::SourceTimeout
                if (upload.offset() > began_at || once_more) && !(moving.time_is_up)() =>
            {
                once_more = upload.offset() > began_at;
            }
            Kind::StorageTimeout | Kind::SourceTimeout if upload.offset() > began_at => {
                return LargeEnd::Cut;
            }
            // Wrong bytes are no progress to continue from.
            Kind::WrongBytes | Kind::Truncated | Kind::SourceEmpty => {
                upload.keep(None);
                return LargeEnd::Failed(fault);
            }
            _ => return LargeEnd::Failed(fault),
        }
    }
}

/// The transfer of one large file.
struct LargeTransfer<'a, H, C, T> {
    odoo: &'a Odoo<H, C>,
    storage: &'a Storage<H>,
    upload: &'a LargeUpload,
    may_use_rpc: bool,
    time_is_up: T,
}

impl<H: Http, C: Clock, T: Fn() -> bool> LargeTransfer<'_, H, C, T> {
    /// Makes one try. Returns `None` if the existing object has other bytes.
    async fn run(&self, replace: bool) -> Result<Option<LargeEnd>, Fault> {
        let file = &self.upload.file;
        let (target, mut point) = self.begin(replace).await?;
        self.upload.keep(Some(point.clone()));
        let Some(mut source) = self.open(point.offset).await? else {
            self.abandon(&target).await;
            return Ok(Some(self.only_by_rpc()));
        };
        let mut piece = source.next_piece(point.offset, file.file_size).await?;
        loop {
            point.sha1.update(&piece);
            point.md5.update(&piece);
            let offset = point.offset;
            let end = offset + u64::try_from(piece.len()).unwrap_or(u64::MAX);
            // A piece that ends early is also the last: the content is too short, and Storage refuses pieces of any
            // other size.
            let last =
                end >= file.file_size || piece.is_empty() || !end.is_multiple_of(CHUNK_BYTES);
            if last {
                let more = source.read(1).await?.len();
                let length = end.saturating_add(u64::try_from(more).unwrap_or(1));
                if let Err(fault) = verify(
                    file,
                    length,
                    <[u8; 20]>::from(point.sha1.clone().finalize()).into(),
                ) {
                    self.abandon(&target).await;
                    return Err(fault);
                }
            }
            let stop = last || (self.time_is_up)();
            let ahead = async {
                if stop {
                    Ok(Bytes::new())
                } else {
                    source.next_piece(end, file.file_size).await
                }
            };
            let sending = self.send(&target, piece, offset);
            let (sent, ahead) = futures::future::join(sending, ahead).await;
            if sent? != end {
                return Err(Fault::new(
                    Kind::StorageTimeout,
                    "Storage took only a part of a piece",
                ));
            }
            if last {
                return self.finish(&target, point.md5.finalize().into()).await;
            }
            point.offset = end;
            self.upload.keep(Some(point.clone()));
            self.upload.pieces.update(|pieces| pieces + 1);
            if stop {
                return Ok(Some(LargeEnd::Cut));
            }
            piece = ahead?;
        }
    }

    /// Chooses the target: the existing object if its size is right, or the upload begun earlier if both sides still
    /// know it, or a new one; also where the old one is complete and has no object, since S3 has no parts of it any more.
    /// An existing object was left by a batch cut off between upload and record, unless it has other bytes (`replace`),
    /// is known to be lost, or has no MD5.
    async fn begin(&self, replace: bool) -> Result<(Target, ResumePoint), Fault> {
        let (storage, file) = (self.storage, &self.upload.file);
        let kept = self.upload.resume.borrow().clone();
        let path = path(file);
        let there = if replace || file.lost {
            None
        } else {
            storage.info(path.as_str()).await?
        };
        if let Some(info) = there.filter(|info| info.size == file.file_size && info.md5().is_some())
        {
            let point = ResumePoint {
                upload: None,
                ..kept.unwrap_or_default()
            };
            return Ok((Target::There(info), point));
        }
        if let Some(point) = kept
            && let Some(upload) = &point.upload
            && let Some(confirmed) = storage.offset(upload).await?
            && (point.offset..file.file_size).contains(&confirmed)
        {
            return Ok((Target::Upload(upload.clone(), confirmed), point));
        }
        let upload = storage.begin(&path, &label(file), file.file_size).await?;
        let point = ResumePoint {
            upload: Some(upload.clone()),
            ..ResumePoint::default()
        };
        Ok((Target::Upload(upload, 0), point))
    }

    /// Sends a piece. Returns the offset that Storage reports. Bytes that Storage already has were read for the
    /// hashes only.
    async fn send(&self, target: &Target, mut piece: Bytes, offset: u64) -> Result<u64, Fault> {
        let end = offset + u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let Target::Upload(upload, confirmed) = target else {
            return Ok(end);
        };
        let known = usize::try_from(confirmed.saturating_sub(offset)).unwrap_or(usize::MAX);
        piece.advance(known.min(piece.len()));
        if piece.is_empty() {
            return Ok(end);
        }
        let from = offset.max(*confirmed);
        self.storage.append(upload, from, piece).await
    }

    async fn finish(&self, target: &Target, md5: [u8; 16]) -> Result<Option<LargeEnd>, Fault> {
        let file = &self.upload.file;
        let content = Fingerprint {
            size: file.file_size,
            md5,
        };
        match target {
            Target::Upload(..) => {
                self.storage.finish(&path(file), &content).await?;
                Ok(Some(LargeEnd::Moved))
            }
            Target::There(info) => {
                Ok((info.holds(&content) == Some(true)).then_some(LargeEnd::Moved))
            }
        }
    }

    /// Cancels an upload. Storage itself clears away uploads that are not cancelled here.
    async fn abandon(&self, target: &Target) {
        if let Target::Upload(upload, _) = target {
            let _ = self.storage.abandon(upload).await;
        }
    }

    /// The end of a file too large for RPC that cannot be streamed: it needs a password from a person, or no session
    /// opened this time.
    fn only_by_rpc(&self) -> LargeEnd {
        if self.odoo.session_is_blocked() {
            LargeEnd::Waits
        } else {
            LargeEnd::Skipped(Skip::NeedsPassword)
        }
    }

    /// The content from `offset` on; `None` if only RPC could fetch it and may not be used.
    async fn open(&self, offset: u64) -> Result<Option<Source>, Fault> {
        let (odoo, file) = (self.odoo, &self.upload.file);
        let content = match odoo.content(file.id, offset, PART_BYTES).await {
            // RPC shows whether that is the file's fault.
            Err(fault) if fault.kind() == Kind::SourceContent && self.may_use_rpc => None,
            content => content?,
        };
        if let Some(content) = content {
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
            let chunks = content.chunks.map(|chunk| {
                chunk.map_err(|error| Fault::told(Kind::SourceTimeout, format!("Odoo: {error}")))
            });
            return Ok(Some(Source {
                chunks: chunks.boxed_local(),
                rest: Bytes::new(),
            }));
        }
        if !self.may_use_rpc {
            return Ok(None);
        }
        let chunks = odoo.datas_stream(file.id).await.map_err(of_one_file)?;
        let chunks = chunks.map(|chunk| chunk.map_err(of_one_file));
        let mut source = Source {
            chunks: chunks.boxed_local(),
            rest: Bytes::new(),
        };
        // RPC has no ranges: read again and drop what is already done.
        let mut skipped = 0;
        while skipped < offset {
            let piece = source.read(CHUNK_BYTES.min(offset - skipped)).await?;
            if piece.is_empty() {
                break;
            }
            skipped += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        }
        Ok(Some(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use content::Sha1;
    use futures::FutureExt;

    #[test]
    fn a_part_that_is_a_piece_already_is_not_copied_and_others_are_put_together() {
        let parts = [b"abcd", b"efgh", b"ijkl"].map(|part| Bytes::from(part.to_vec()));
        let places = parts.each_ref().map(|part| part.as_ptr());
        let mut source = Source {
            chunks: futures::stream::iter(parts.map(Ok)).boxed_local(),
            rest: Bytes::new(),
        };
        let mut read = |length| source.read(length).now_or_never().unwrap().unwrap();
        let whole = read(4);
        assert_eq!((whole.as_ref(), whole.as_ptr()), (&b"abcd"[..], places[0]));
        let beginning = read(3);
        assert_eq!(
            (beginning.as_ref(), beginning.as_ptr()),
            (&b"efg"[..], places[1])
        );
        assert_eq!(read(4).as_ref(), b"hijk");
        assert_eq!(read(4).as_ref(), b"l");
        assert!(read(1).is_empty());
    }

    #[test]
    fn a_file_that_was_let_go_of_before_it_was_begun_keeps_its_beginning() {
        let point = ResumePoint {
            upload: Some(Resumable { id: "x".into() }),
            offset: 8,
            ..ResumePoint::default()
        };
        let checksum = Sha1::from([7; 20]);
        let kept = point.document(&checksum);
        assert!(kept.is_some());
        let file = Claimed {
            id: 1,
            name: None,
            mimetype: None,
            file_size: 9,
            checksum,
            attempts: 0,
            interruptions: 0,
            upload: kept.clone(),
            stored: false,
            lost: false,
        };
        assert_eq!(LargeUpload::of(file).document(), kept);
    }
}
