//! Bodies of responses, as streams.

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::LocalBoxStream;

use crate::TransportError;

/// A stream of bytes.
pub type ByteStream = LocalBoxStream<'static, Result<Bytes, TransportError>>;

/// Collects the whole stream; an error if it is longer than `max_bytes`.
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
