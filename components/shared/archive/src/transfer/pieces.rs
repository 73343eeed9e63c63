//! A large file, piece by piece: at most two pieces are held, and a later batch goes on where this
//! one stops. The last piece is held back until the SHA-1 of the whole has proved right, so that wrong bytes
//! never become an object.

use std::cell::RefCell;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use fault::{Fault, Kind};
use futures::StreamExt;
use futures::stream::LocalBoxStream;
use ledger::attachments::Claimed;
use md5::digest::common::hazmat::SerializableState;
use md5::{Digest, Md5};
use odoo::Odoo;
use outbound::{Clock, Http};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha1::Sha1;
use storage::{CHUNK_BYTES, Fingerprint, Info, Resumable, Storage};

use super::{PART_BYTES, media_type, of_one_file, of_one_object, path, verify};

/// How it ended.
pub(crate) enum PiecesEnd {
    /// Verified and confirmed.
    Moved,
    /// Out of time; what to go on with.
    Cut(Option<Value>),
    /// It failed; what to go on with, if its beginning still stands.
    Failed(Fault, Option<Value>),
    /// It cannot be had this way.
    Skipped(&'static str),
    /// It cannot be had in this batch; nothing is known against it.
    Waits,
}

/// What is kept between batches.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// None where an object is there that only has to be compared.
    #[serde(flatten)]
    upload: Option<Resumable>,
    /// Bytes that the Storage has confirmed.
    offset: u64,
    /// Where the SHA-1 stands after them, in base64.
    sha1_state: String,
    /// Where the MD5 stands after them, in base64.
    md5_state: String,
    /// The content they belong to.
    checksum: String,
}

/// Where the bytes go.
enum Target {
    /// Into an upload, of which the Storage has so many bytes.
    Upload(Resumable, u64),
    /// Nowhere: an object of this size is there and has an MD5, which is compared.
    There(Info),
}

/// Where the hashes stand after a whole number of pieces.
#[derive(Clone, Default)]
struct Hashed {
    offset: u64,
    sha1: Sha1,
    md5: Md5,
}

impl Kept {
    fn resume(value: &Value, checksum: &str) -> Option<(Self, Hashed)> {
        let kept: Self = serde_json::from_value(value.clone()).ok()?;
        let sha1 = STANDARD.decode(&kept.sha1_state).ok()?;
        let sha1 = Sha1::deserialize(sha1.as_slice().try_into().ok()?).ok()?;
        let md5 = STANDARD.decode(&kept.md5_state).ok()?;
        let md5 = Md5::deserialize(md5.as_slice().try_into().ok()?).ok()?;
        let offset = kept.offset;
        (kept.checksum == checksum).then_some((kept, Hashed { offset, sha1, md5 }))
    }

    fn value(target: &Target, hashed: &Hashed, checksum: &str) -> Option<Value> {
        serde_json::to_value(Self {
            upload: match target {
                Target::Upload(upload, _) => Some(upload.clone()),
                Target::There(_) => None,
            },
            offset: hashed.offset,
            sha1_state: STANDARD.encode(hashed.sha1.serialize()),
            md5_state: STANDARD.encode(hashed.md5.serialize()),
            checksum: checksum.to_owned(),
        })
        .ok()
    }
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
        // A part that is a piece already is not copied.
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
}

/// Moves a large file until it is done or `time_is_up`.
pub(crate) async fn pieces<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    storage: &Storage<H>,
    file: &Claimed,
    max_rpc_bytes: u64,
    progress: &Progress,
    time_is_up: impl Fn() -> bool,
) -> PiecesEnd {
    // A kept connection may have been closed by the other side just before it was used again.
    let mut once_more = true;
    // Whether an object that is there has proved to be another.
    let mut replace = false;
    let may_use_rpc = file.file_size <= max_rpc_bytes;
    loop {
        // Known before anything is begun for it.
        if !odoo.can_stream() && !may_use_rpc {
            return only_by_rpc(odoo);
        }
        let began_at = progress.offset();
        let moving = move_on(
            odoo,
            storage,
            file,
            (may_use_rpc, replace),
            progress,
            &time_is_up,
        );
        let fault = match moving.await {
            Ok(Some(end)) => return end,
            Ok(None) => {
                replace = true;
                progress.keep(None);
                continue;
            }
            Err(fault) => of_one_object(storage, fault).await,
        };
        match fault.kind() {
            // A connection that broke off after some way costs no attempt: it is gone on with.
            Kind::StorageTimeout | Kind::SourceTimeout
                if (progress.offset() > began_at || once_more) && !time_is_up() =>
            {
                once_more = progress.offset() > began_at;
            }
            Kind::StorageTimeout | Kind::SourceTimeout if progress.offset() > began_at => {
                return PiecesEnd::Cut(progress.value());
            }
            // Bytes that proved wrong are no beginning to go on with.
            Kind::WrongBytes | Kind::Truncated | Kind::SourceEmpty => {
                return PiecesEnd::Failed(fault, None);
            }
            _ => return PiecesEnd::Failed(fault, progress.value()),
        }
    }
}

/// How far a large file came, for whoever has to let go of it in mid-way.
#[derive(Debug, Clone)]
pub(crate) struct Progress(Rc<RefCell<Option<Value>>>);

impl Progress {
    /// As far as the batches before came, until this one comes further.
    pub(crate) fn of(file: &Claimed) -> Self {
        Self(Rc::new(RefCell::new(file.upload.clone())))
    }

    fn keep(&self, value: Option<Value>) {
        *self.0.borrow_mut() = value;
    }

    /// What to go on with.
    pub(crate) fn value(&self) -> Option<Value> {
        self.0.borrow().clone()
    }

    /// Whether it was begun by a version that kept its hashes in another form, so that it begins anew.
    pub(crate) fn is_outdated(&self, file: &Claimed) -> bool {
        let checksum = file.checksum.as_deref().unwrap_or_default();
        self.0.borrow().as_ref().is_some_and(|kept| {
            kept.get("checksum").and_then(Value::as_str) == Some(checksum)
                && Kept::resume(kept, checksum).is_none()
        })
    }

    /// How many bytes the Storage has confirmed.
    fn offset(&self) -> u64 {
        let kept = self.0.borrow();
        let offset = kept.as_ref().and_then(|kept| kept.get("offset"));
        offset.and_then(Value::as_u64).unwrap_or_default()
    }
}

/// Why a file that is too large for RPC cannot be had: for want of a password, until a person gives one; or
/// because no session opened this time.
fn only_by_rpc<H: Http, C: Clock>(odoo: &Odoo<H, C>) -> PiecesEnd {
    if odoo.session_is_blocked() {
        PiecesEnd::Waits
    } else {
        PiecesEnd::Skipped("needs_password")
    }
}

/// `None` if the object that is there has other bytes.
async fn move_on<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    storage: &Storage<H>,
    file: &Claimed,
    (may_use_rpc, replace): (bool, bool),
    progress: &Progress,
    time_is_up: impl Fn() -> bool,
) -> Result<Option<PiecesEnd>, Fault> {
    let checksum = file.checksum.as_deref().unwrap_or_default();
    let path = path(file);
    let kept = progress.value();
    let (target, mut hashed) =
        begin(storage, file, &path, checksum, kept.as_ref(), replace).await?;
    progress.keep(Kept::value(&target, &hashed, checksum));
    let mut offset = hashed.offset;
    let Some(mut source) = open(odoo, file, may_use_rpc, checksum, offset).await? else {
        abandon(storage, &target).await;
        return Ok(Some(only_by_rpc(odoo)));
    };
    let mut piece = next_piece(&mut source, offset, file.file_size).await?;
    loop {
        let mut unsent = piece;
        hashed.sha1.update(&unsent);
        hashed.md5.update(&unsent);
        let end = offset + u64::try_from(unsent.len()).unwrap_or(u64::MAX);
        // A piece that ends before its place is the last one too: the content is shorter than it should
        // be, and pieces of any other size are refused.
        let last = end >= file.file_size || unsent.is_empty() || !end.is_multiple_of(CHUNK_BYTES);
        if last {
            let more = source.read(1).await?.len();
            let length = end.saturating_add(u64::try_from(more).unwrap_or(1));
            if let Err(fault) = verify(file, length, &hashed.sha1.clone().finalize()) {
                abandon(storage, &target).await;
                return Err(fault);
            }
        }
        let sent = async {
            let Target::Upload(upload, confirmed) = &target else {
                return Ok(end);
            };
            // What the Storage has already of this piece was only read for its hashes.
            let known = usize::try_from(confirmed.saturating_sub(offset)).unwrap_or(usize::MAX);
            unsent.advance(known.min(unsent.len()));
            if unsent.is_empty() {
                return Ok(end);
            }
            let from = offset.max(*confirmed);
            storage.append(upload, from, unsent).await
        };
        let stop = last || time_is_up();
        let ahead = async {
            if stop {
                Ok(Bytes::new())
            } else {
                next_piece(&mut source, end, file.file_size).await
            }
        };
        let (sent, ahead) = futures::future::join(sent, ahead).await;
        if sent? != end {
            return Err(Fault::new(
                Kind::StorageTimeout,
                "the Storage took only a part of a piece",
            ));
        }
        offset = end;
        if last {
            let content = Fingerprint {
                size: file.file_size,
                md5: hashed.md5.finalize().into(),
            };
            return match target {
                Target::Upload(..) => {
                    storage.finish(&path, &content).await?;
                    Ok(Some(PiecesEnd::Moved))
                }
                Target::There(info) => {
                    Ok((info.holds(&content) == Some(true)).then_some(PiecesEnd::Moved))
                }
            };
        }
        hashed.offset = offset;
        progress.keep(Kept::value(&target, &hashed, checksum));
        if stop {
            return Ok(Some(PiecesEnd::Cut(progress.value())));
        }
        piece = ahead?;
    }
}

/// What to work on: the object that is there, if its size is right; or the upload that was begun, if both sides
/// still know of it. An object that is there was left behind by a batch that was cut off between upload and
/// record, unless it is another's (`replace`) or cannot be told.
async fn begin<H: Http>(
    storage: &Storage<H>,
    file: &Claimed,
    path: &str,
    checksum: &str,
    kept: Option<&Value>,
    replace: bool,
) -> Result<(Target, Hashed), Fault> {
    let kept = kept.and_then(|value| Kept::resume(value, checksum));
    let there = if replace {
        None
    } else {
        storage.info(path).await?
    };
    if let Some(info) = there.filter(|info| info.size == file.file_size && info.md5().is_some()) {
        let hashed = kept.map(|(_, hashed)| hashed).unwrap_or_default();
        return Ok((Target::There(info), hashed));
    }
    if let Some((kept, hashed)) = kept
        && let Some(upload) = kept.upload
        && let Some(confirmed) = storage.offset(&upload).await?
        && (kept.offset..=file.file_size).contains(&confirmed)
    {
        return Ok((Target::Upload(upload, confirmed), hashed));
    }
    let media_type = media_type(file.mimetype.as_deref());
    let upload = storage.begin(path, media_type, file.file_size).await?;
    Ok((Target::Upload(upload, 0), Hashed::default()))
}

/// Gives an upload up. What is not given up here, the Storage clears away by itself.
async fn abandon<H: Http>(storage: &Storage<H>, target: &Target) {
    if let Target::Upload(upload, _) = target {
        let _ = storage.abandon(upload).await;
    }
}

/// The file's content from `offset` on; `None` where only RPC leads to it, and may not be used.
async fn open<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    file: &Claimed,
    may_use_rpc: bool,
    checksum: &str,
    offset: u64,
) -> Result<Option<Source>, Fault> {
    let content = match odoo.content(file.id, offset, PART_BYTES).await {
        // RPC tells whether that is the file's fault.
        Err(fault) if fault.kind() == Kind::SourceContent && may_use_rpc => None,
        content => content?,
    };
    if let Some(content) = content {
        if content.sha1.as_deref().is_some_and(|sha1| sha1 != checksum) {
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
    if !may_use_rpc {
        return Ok(None);
    }
    let chunks = odoo.datas_stream(file.id).await.map_err(of_one_file)?;
    let chunks = chunks.map(|chunk| chunk.map_err(of_one_file));
    let mut source = Source {
        chunks: chunks.boxed_local(),
        rest: Bytes::new(),
    };
    // RPC knows no ranges: what is done already is read again and dropped.
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

/// The next piece: up to the next multiple of [`CHUNK_BYTES`].
async fn next_piece(source: &mut Source, offset: u64, size: u64) -> Result<Bytes, Fault> {
    let end = (offset / CHUNK_BYTES + 1)
        .saturating_mul(CHUNK_BYTES)
        .min(size);
    source.read(end.saturating_sub(offset)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use serde_json::json;

    fn upload() -> Target {
        Target::Upload(Resumable { id: "x".into() }, 0)
    }

    fn hashed(content: &'static [u8]) -> Hashed {
        Hashed {
            offset: content.len() as u64,
            sha1: Sha1::new_with_prefix(content),
            md5: Md5::new_with_prefix(content),
        }
    }

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
    fn hashes_go_on_where_they_were_kept() {
        let value = Kept::value(&upload(), &hashed(&[b'a'; 128]), "abc").unwrap();
        let (kept, hashed) = Kept::resume(&value, "abc").unwrap();
        let id = kept.upload.map(|upload| upload.id);
        assert_eq!((hashed.offset, id.as_deref()), (128, Some("x")));
        assert_eq!(
            hashed.sha1.chain_update(b"aaa").finalize(),
            Sha1::digest([b'a'; 131])
        );
        assert_eq!(
            hashed.md5.chain_update(b"aaa").finalize(),
            Md5::digest([b'a'; 131])
        );
    }

    #[test]
    fn a_comparison_goes_on_where_it_was_kept() {
        let name = "ab/abc".to_owned();
        let info = Info {
            name,
            size: 9,
            etag: None,
        };
        let value = Kept::value(&Target::There(info), &hashed(b""), "abc").unwrap();
        assert!(Kept::resume(&value, "abc").unwrap().0.upload.is_none());
    }

    #[test]
    fn a_file_that_was_let_go_of_before_it_was_begun_keeps_its_beginning() {
        let kept = json!({"id": "x", "offset": 8});
        let file = Claimed {
            id: 1,
            mimetype: None,
            file_size: 9,
            checksum: None,
            attempts: 0,
            interruptions: 0,
            upload: Some(kept.clone()),
            stored: false,
        };
        assert_eq!(Progress::of(&file).value(), Some(kept));
    }

    #[test]
    fn what_an_earlier_version_kept_is_told_from_what_belongs_to_another_content() {
        let words = STANDARD.encode([0; 20]);
        let file = |checksum: &str| Claimed {
            id: 1,
            mimetype: None,
            file_size: 9,
            checksum: Some(checksum.to_owned()),
            attempts: 0,
            interruptions: 0,
            upload: Some(json!({"id": "x", "offset": 8, "sha1_state": words, "checksum": "abc"})),
            stored: false,
        };
        let is_outdated = |file: Claimed| Progress::of(&file).is_outdated(&file);
        assert!(is_outdated(file("abc")));
        assert!(!is_outdated(file("other")));
        let upload = Kept::value(&upload(), &hashed(b""), "abc");
        assert!(!is_outdated(Claimed {
            upload,
            ..file("abc")
        }));
    }

    #[test]
    fn what_was_kept_of_another_content_or_is_broken_is_not_gone_on_with() {
        let value = Kept::value(&upload(), &hashed(b""), "abc").unwrap();
        assert!(Kept::resume(&value, "abc").is_some());
        assert!(Kept::resume(&value, "other").is_none());
        for (key, broken) in [
            ("offset", json!(null)),
            ("sha1_state", json!("AAAA")),
            ("sha1_state", json!(STANDARD.encode([0; 21]))),
            ("md5_state", json!(null)),
            ("md5_state", json!("AAAA")),
        ] {
            let mut kept = value.clone();
            kept[key] = broken;
            assert!(Kept::resume(&kept, "abc").is_none(), "{kept}");
        }
        assert!(Kept::resume(&json!(null), "abc").is_none());
    }
}
