//! A large file, piece by piece: at most two pieces are held, and a later batch goes on where this
//! one stops. A piece is hashed while it is on its way, together with those that wait of other files. The
//! last piece is held back until the SHA-1 of the whole has proved right, so that wrong bytes never become
//! an object.

use std::cell::RefCell;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use fault::{Fault, Kind};
use futures::StreamExt;
use futures::stream::LocalBoxStream;
use ledger::attachments::Claimed;
use odoo::Odoo;
use outbound::{Body, Clock, Http};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storage::{CHUNK_BYTES, Resumable, Storage};

use super::together::{START, State, Together};
use super::{PART_BYTES, content_type, of_one_file, path, verify};

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
}

/// Nothing leads to it but RPC, and for that it is too large.
const NEEDS_PASSWORD: PiecesEnd = PiecesEnd::Skipped("needs_password");

/// What is kept between batches.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    upload: Resumable,
    /// Bytes that the Storage has confirmed.
    offset: u64,
    /// Where the SHA-1 stands after them: the standard's five words, in base64.
    sha1_state: String,
    /// The content they belong to.
    checksum: String,
}

impl Kept {
    fn resume(value: &Value, checksum: &str) -> Option<(Self, State)> {
        let kept: Self = serde_json::from_value(value.clone()).ok()?;
        let bytes = STANDARD.decode(&kept.sha1_state).ok()?;
        let (words, []) = bytes.as_chunks() else {
            return None;
        };
        let words: Vec<u32> = words.iter().map(|word| u32::from_be_bytes(*word)).collect();
        let state = State::try_from(words).ok()?;
        (kept.checksum == checksum).then_some((kept, state))
    }

    fn value(upload: &Resumable, offset: u64, state: State, checksum: &str) -> Option<Value> {
        serde_json::to_value(Self {
            upload: upload.clone(),
            offset,
            sha1_state: STANDARD.encode(state.map(u32::to_be_bytes).as_flattened()),
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
    together: &Together,
    time_is_up: impl Fn() -> bool,
) -> PiecesEnd {
    // A kept connection may have been closed by the other side just before it was used again.
    let mut once_more = true;
    let may_use_rpc = file.file_size <= max_rpc_bytes;
    loop {
        // Known before anything is begun for it.
        if !odoo.can_stream() && !may_use_rpc {
            return NEEDS_PASSWORD;
        }
        let began_at = progress.offset();
        let moving = move_on(
            odoo,
            storage,
            file,
            may_use_rpc,
            progress,
            together,
            &time_is_up,
        );
        let fault = match moving.await {
            Ok(end) => return end,
            Err(fault) => fault,
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

    /// How many bytes the Storage has confirmed.
    fn offset(&self) -> u64 {
        let kept = self.0.borrow();
        let offset = kept.as_ref().and_then(|kept| kept.get("offset"));
        offset.and_then(Value::as_u64).unwrap_or_default()
    }
}

async fn move_on<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    storage: &Storage<H>,
    file: &Claimed,
    may_use_rpc: bool,
    progress: &Progress,
    together: &Together,
    time_is_up: impl Fn() -> bool,
) -> Result<PiecesEnd, Fault> {
    let checksum = file.checksum.as_deref().unwrap_or_default();
    let path = path(file);
    // A batch that was cut off between upload and record leaves the whole object behind.
    if storage
        .info(&path)
        .await?
        .is_some_and(|info| info.size == file.file_size)
    {
        return Ok(PiecesEnd::Moved);
    }
    let (upload, mut offset, state, mut confirmed) =
        begin(storage, file, &path, checksum, progress.value().as_ref()).await?;
    progress.keep(Kept::value(&upload, offset, state, checksum));
    let mut sha1 = together.begin(state, offset);
    let Some(mut source) = open(odoo, file, may_use_rpc, checksum, offset).await? else {
        // The Storage clears away by itself what is not given up here.
        let _ = storage.abandon(&upload).await;
        return Ok(NEEDS_PASSWORD);
    };
    let mut piece = next_piece(&mut source, offset, file.file_size).await?;
    loop {
        let mut unsent = piece;
        sha1.update(unsent.clone());
        let end = offset + u64::try_from(unsent.len()).unwrap_or(u64::MAX);
        // A piece that ends before its place is the last one too: the content is shorter than it should
        // be, and pieces of any other size are refused.
        let last = end >= file.file_size || unsent.is_empty() || !end.is_multiple_of(CHUNK_BYTES);
        if last {
            let more = source.read(1).await?.len();
            let length = end.saturating_add(u64::try_from(more).unwrap_or(1));
            if let Err(fault) = verify(file, length, &sha1.hash()) {
                // What it leaves behind is no object, and the Storage clears it away by itself.
                let _ = storage.abandon(&upload).await;
                return Err(fault);
            }
        }
        // What the Storage has already of this piece was only read for its SHA-1.
        let known = usize::try_from(confirmed.saturating_sub(offset)).unwrap_or(usize::MAX);
        unsent.advance(known.min(unsent.len()));
        let sent = async {
            if unsent.is_empty() {
                Ok(end)
            } else {
                storage
                    .append(&upload, offset.max(confirmed), Body::Whole(unsent))
                    .await
            }
        };
        let stop = last || time_is_up();
        let ahead = async {
            if stop {
                Ok(Bytes::new())
            } else {
                let next = next_piece(&mut source, end, file.file_size).await;
                // The Storage has its hands full meanwhile.
                sha1.hash_if_all_wait();
                next
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
        confirmed = confirmed.max(end);
        if last {
            storage.finish(&path, file.file_size).await?;
            return Ok(PiecesEnd::Moved);
        }
        if let Some(state) = sha1.state() {
            progress.keep(Kept::value(&upload, offset, state, checksum));
        }
        if stop {
            return Ok(PiecesEnd::Cut(progress.value()));
        }
        piece = ahead?;
    }
}

/// The upload to work on: the one that was begun, if both sides still know of it.
async fn begin<H: Http>(
    storage: &Storage<H>,
    file: &Claimed,
    path: &str,
    checksum: &str,
    kept: Option<&Value>,
) -> Result<(Resumable, u64, State, u64), Fault> {
    if let Some((kept, state)) = kept.and_then(|value| Kept::resume(value, checksum))
        && let Some(confirmed) = storage.offset(&kept.upload).await?
        && (kept.offset..file.file_size).contains(&confirmed)
    {
        return Ok((kept.upload, kept.offset, state, confirmed));
    }
    let upload = storage
        .begin(path, content_type(file), file.file_size)
        .await?;
    Ok((upload, 0, START, 0))
}

/// The file's content from `offset` on; `None` where only RPC leads to it, and may not be used.
async fn open<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    file: &Claimed,
    may_use_rpc: bool,
    checksum: &str,
    offset: u64,
) -> Result<Option<Source>, Fault> {
    if let Some(content) = odoo.content(file.id, offset, PART_BYTES).await? {
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
    use sha1::{Digest, Sha1};

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
    fn a_hash_goes_on_where_it_was_kept() {
        let upload = Resumable { id: "x".into() };
        let mut sha1 = Together::default().begin(START, 0);
        sha1.update(Bytes::from_static(&[b'a'; 128]));
        let value = Kept::value(&upload, 128, sha1.state().unwrap(), "abc").unwrap();
        let (kept, state) = Kept::resume(&value, "abc").unwrap();
        assert_eq!((kept.offset, kept.upload), (128, upload));
        let mut resumed = Together::default().begin(state, 128);
        resumed.update(Bytes::from_static(b"aaa"));
        assert_eq!(
            resumed.hash().as_slice(),
            Sha1::digest([b'a'; 131]).as_slice()
        );
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
    fn what_was_kept_of_another_content_or_is_broken_is_not_gone_on_with() {
        let value = Kept::value(&Resumable { id: "x".into() }, 8, START, "abc").unwrap();
        assert!(Kept::resume(&value, "other").is_none());
        for broken in [
            json!(null),
            json!({}),
            json!({"id": "x", "offset": 8, "sha1_state": "AAAA", "checksum": "abc"}),
            json!({"id": "x", "offset": 8, "sha1_state": STANDARD.encode([0; 21]), "checksum": "abc"}),
        ] {
            assert!(Kept::resume(&broken, "abc").is_none());
        }
    }
}
