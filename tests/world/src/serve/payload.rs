//! Bodies: answers that are produced while they are sent, and uploads that can be cut off.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::Shown;
use super::traffic::InFlight;
use crate::faults::What;

/// The largest piece in which a body leaves.
const CHUNK: u64 = 256 * 1024;
/// The largest piece that is encoded at once: a multiple of three bytes, so that no padding falls inside.
const BASE64_CHUNK: u64 = 48 * 1024;

/// Bytes that are produced when they are needed.
pub(crate) trait Source: Send + Sync {
    /// How many bytes there are.
    fn len(&self) -> u64;

    /// Some bytes from `at` on: at least one, at most `max`, and none only at the end.
    fn read(&self, at: u64, max: u64) -> io::Result<Bytes>;

    /// All bytes from `at` to `end`, in one piece.
    fn read_all(&self, mut at: u64, end: u64) -> io::Result<Vec<u8>> {
        let mut bytes =
            Vec::with_capacity(usize::try_from(end.saturating_sub(at)).unwrap_or_default());
        while at < end {
            let piece = self.read(at, end - at)?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            at += piece.len() as u64;
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}

impl Source for Bytes {
    fn len(&self) -> u64 {
        Self::len(self) as u64
    }

    fn read(&self, at: u64, max: u64) -> io::Result<Bytes> {
        let from = usize::try_from(at)
            .unwrap_or(usize::MAX)
            .min(Self::len(self));
        let to = usize::try_from(at.saturating_add(max))
            .unwrap_or(usize::MAX)
            .min(Self::len(self));
        Ok(self.slice(from..to.max(from)))
    }
}

/// One part of an answer's body.
pub(crate) enum Part {
    Bytes(Bytes),
    /// The bytes of a source from `at` to `end`.
    Raw {
        source: Arc<dyn Source>,
        at: u64,
        end: u64,
    },
    /// A whole source in base64, from `at` on.
    Base64 {
        source: Arc<dyn Source>,
        at: u64,
    },
}

impl Part {
    pub(crate) fn base64(source: Arc<dyn Source>) -> Self {
        Self::Base64 { source, at: 0 }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Raw { at, end, .. } => end.saturating_sub(*at),
            Self::Base64 { source, at } => source.len().saturating_sub(*at).div_ceil(3) * 4,
        }
    }

    /// The next piece, and what is left.
    fn next(self) -> io::Result<(Bytes, Option<Self>)> {
        match self {
            Self::Bytes(bytes) => Ok((bytes, None)),
            Self::Raw { source, at, end } => {
                let piece = source.read(at, (end - at).min(CHUNK))?;
                let at = at + piece.len() as u64;
                if piece.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok((piece, (at < end).then_some(Self::Raw { source, at, end })))
            }
            Self::Base64 { source, at } => {
                let end = (at + BASE64_CHUNK).min(source.len());
                let piece = BASE64_STANDARD.encode(source.read_all(at, end)?);
                let left = (end < source.len()).then_some(Self::Base64 { source, at: end });
                Ok((piece.into(), left))
            }
        }
    }
}

/// The body of an answer.
#[derive(Default)]
pub(crate) struct Payload {
    parts: VecDeque<Part>,
    /// Bytes not yet produced.
    left: u64,
    produced: u64,
    shown: Shown,
    spoilt: Option<BodyFault>,
    in_flight: Option<InFlight>,
}

/// How a fault spoils a body, and at which byte.
enum BodyFault {
    Reset(u64),
    Stall(u64),
    WrongByte(u64),
}

impl Payload {
    pub(crate) fn of(parts: impl Into<VecDeque<Part>>) -> Self {
        let mut parts = parts.into();
        // A part without bytes would send an empty frame.
        parts.retain(|part| part.len() > 0);
        let left = parts.iter().map(Part::len).sum();
        Self {
            parts,
            left,
            ..Self::default()
        }
    }

    pub(crate) fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::of([Part::Bytes(bytes.into())])
    }

    pub(crate) fn source(source: Arc<dyn Source>, at: u64, end: u64) -> Self {
        Self::of([Part::Raw { source, at, end }])
    }

    /// The same, with what it shows.
    pub(crate) fn showing(mut self, shown: Shown) -> Self {
        self.shown = shown;
        self
    }

    pub(crate) const fn shown(&self) -> Shown {
        self.shown
    }

    /// Whether there is a body at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Spoils the body as the fault says; the other faults are no matter of the body.
    pub(crate) fn spoil(&mut self, what: &What) {
        match *what {
            What::ResetAt(at) => self.spoilt = Some(BodyFault::Reset(at)),
            What::StallAt(at) => self.spoilt = Some(BodyFault::Stall(at)),
            What::WrongBytes => self.spoilt = Some(BodyFault::WrongByte(self.left / 2)),
            What::Truncate(at) => self.left = self.left.min(at),
            _ => {}
        }
    }

    /// Ties the end of the request to the end of this body.
    pub(crate) fn carry(&mut self, in_flight: InFlight) {
        self.in_flight = Some(in_flight);
    }

    /// The next piece as it was meant, cut where the body ends.
    fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        let Some(part) = self.parts.pop_front() else {
            return Ok(None);
        };
        let (mut piece, rest) = part.next()?;
        if let Some(rest) = rest {
            self.parts.push_front(rest);
        }
        piece.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= piece.len() as u64;
        Ok(Some(piece))
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.spoilt {
            Some(BodyFault::Stall(at)) if self.produced >= at => return Poll::Pending,
            Some(BodyFault::Reset(at)) if self.produced >= at => {
                return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
            }
            _ => {}
        }
        let mut piece = match self.next_piece() {
            Ok(Some(piece)) => piece,
            Ok(None) => {
                // The request is over when its last byte is out, not when the connection drops the body.
                self.in_flight = None;
                return Poll::Ready(None);
            }
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        let from = self.produced;
        match self.spoilt {
            Some(BodyFault::Reset(at) | BodyFault::Stall(at)) => {
                piece.truncate(usize::try_from(at - from).unwrap_or(usize::MAX));
            }
            Some(BodyFault::WrongByte(at)) => {
                let mut spoilt = piece.to_vec();
                let inside = at.checked_sub(from).and_then(|at| usize::try_from(at).ok());
                if let Some(byte) = inside.and_then(|at| spoilt.get_mut(at)) {
                    *byte ^= 1;
                }
                piece = spoilt.into();
            }
            None => {}
        }
        self.produced += piece.len() as u64;
        let produced = self.produced;
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.bytes_out = produced;
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.spoilt.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The body of a request, which may be cut off on its way.
pub(crate) struct Upload {
    incoming: Option<Incoming>,
    taken: u64,
    /// Where a fault cuts it off.
    cut_at: Option<u64>,
    cut: bool,
}

impl Upload {
    pub(crate) fn new(incoming: Incoming) -> Self {
        Self {
            incoming: Some(incoming),
            taken: 0,
            cut_at: None,
            cut: false,
        }
    }

    pub(crate) fn cut_at(&mut self, bytes: u64) {
        self.cut_at = Some(bytes);
    }

    /// Whether a fault has cut it off.
    pub(crate) fn was_cut(&self) -> bool {
        self.cut
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// The next bytes, `None` at the end. An error: the sender is gone, or a fault struck.
    pub(crate) async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            // What came before the cut was delivered, even if it was all there is.
            if self.cut_at.is_some_and(|at| self.taken >= at) {
                self.cut = true;
                self.incoming = None;
                return Some(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let frame = self.incoming.as_mut()?.frame().await?;
            let Ok(frame) = frame else {
                self.incoming = None;
                return Some(Err(io::ErrorKind::ConnectionReset.into()));
            };
            let Ok(mut data) = frame.into_data() else {
                continue;
            };
            if let Some(at) = self.cut_at
                && self.taken + data.len() as u64 >= at
            {
                data.truncate(usize::try_from(at - self.taken).unwrap_or(usize::MAX));
            }
            self.taken += data.len() as u64;
            return Some(Ok(data));
        }
    }

    /// All of it, up to `limit` bytes.
    pub(crate) async fn collect(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(piece) = self.next().await {
            let piece = piece?;
            if all.len() + piece.len() > limit {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    /// Takes and forgets up to `limit` bytes, so that an early answer reaches a client that is still sending.
    pub(crate) async fn drain(&mut self, limit: u64) {
        let until = self.taken.saturating_add(limit);
        while self.taken < until && matches!(self.next().await, Some(Ok(_))) {}
    }
}
