//! Bodies: whole, or streamed with a known length.

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::LocalBoxStream;

use crate::TransportError;

/// Bytes as they come.
pub type ByteStream = LocalBoxStream<'static, Result<Bytes, TransportError>>;

/// A request's body.
pub enum Body {
    /// None.
    Empty,
    /// All of it at once.
    Whole(Bytes),
    /// As it comes, `length` bytes in all: it is sent with a `Content-Length`, since a chunked upload
    /// slips past the Storage's size limit. A stream that errs aborts the request.
    Stream {
        /// How many bytes the stream will yield.
        length: u64,
        /// The bytes.
        chunks: ByteStream,
    },
}

impl Body {
    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Whole(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Stream { length, .. } => *length,
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Whole(bytes.into())
    }
}

/// The whole stream, if it is at most `max_bytes` long.
pub async fn collect(mut chunks: ByteStream, max_bytes: usize) -> Result<Bytes, TransportError> {
    let Some(first) = chunks.next().await.transpose()? else {
        return Ok(Bytes::new());
    };
    let mut whole = BytesMut::from(first);
    while let Some(chunk) = chunks.next().await.transpose()? {
        if whole.len().saturating_add(chunk.len()) > max_bytes {
            return Err(TransportError::TooLong { max_bytes });
        }
        whole.extend_from_slice(&chunk);
    }
    if whole.len() > max_bytes {
        return Err(TransportError::TooLong { max_bytes });
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, stream};

    fn chunks(parts: &[&'static str]) -> ByteStream {
        let parts: Vec<_> = parts
            .iter()
            .map(|p| Ok(Bytes::from_static(p.as_bytes())))
            .collect();
        stream::iter(parts).boxed_local()
    }

    #[test]
    fn a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
        let whole = collect(chunks(&["ab", "cd"]), 4).now_or_never().unwrap();
        assert_eq!(whole, Ok(Bytes::from_static(b"abcd")));
        for parts in [&["abcde"] as &[_], &["ab", "cde"]] {
            assert_eq!(
                collect(chunks(parts), 4).now_or_never().unwrap(),
                Err(TransportError::TooLong { max_bytes: 4 })
            );
        }
    }
}
