//! Outbound HTTP.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::HeaderValue;
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};
use http_body_util::BodyDataStream;
use outbound::{Body, ByteStream, Http, Request, Response, Timeouts, TransportError};
use spin_sdk::wasip3::http::types::{ErrorCode, RequestOptions};
use spin_sdk::wasip3::http_compat::RequestOptionsExtension;

/// A body is handed over in parts of this size, since each is copied on its way to the host: a
/// whole piece of 6 MiB at once would be in memory twice.
const PART_BYTES: usize = 256 * 1024;

/// Outbound HTTP by the host.
#[derive(Debug, Clone, Copy, Default)]
pub struct SpinHttp;

impl Http for SpinHttp {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let Request {
            method,
            url,
            headers,
            body,
            timeouts,
        } = request;
        let mut outgoing = http::Request::builder()
            .method(method)
            .uri(url)
            .body(Outgoing::from(body))
            .map_err(|_| TransportError::Other("not an address".to_owned()))?;
        *outgoing.headers_mut() = headers;
        if let Some(length) = outgoing.body().length {
            outgoing
                .headers_mut()
                .insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        outgoing.extensions_mut().insert(options(timeouts));
        let response = spin_sdk::http::send(outgoing)
            .await
            .map_err(|code| transport(&code))?;
        let (parts, body) = response.into_parts();
        Ok(Response {
            status: parts.status,
            headers: parts.headers,
            body: BodyDataStream::new(body)
                .map(|chunk| chunk.map_err(|code| transport(&code)))
                .boxed_local(),
        })
    }
}

fn options(timeouts: Timeouts) -> RequestOptionsExtension {
    let options = RequestOptions::new();
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).ok();
    // A host that does not know an option keeps its own default of 600 s.
    let _ = options.set_connect_timeout(nanos(timeouts.connect));
    let _ = options.set_first_byte_timeout(nanos(timeouts.first_byte));
    let _ = options.set_between_bytes_timeout(nanos(timeouts.between_bytes));
    RequestOptionsExtension(options)
}

fn transport(code: &ErrorCode) -> TransportError {
    match code {
        ErrorCode::ConnectionRefused | ErrorCode::DestinationUnavailable => TransportError::Refused,
        ErrorCode::DnsError(_) | ErrorCode::DnsTimeout | ErrorCode::DestinationNotFound => {
            TransportError::NoSuchHost
        }
        ErrorCode::HttpRequestDenied => TransportError::NotAllowed,
        ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_) => TransportError::Tls,
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => TransportError::Timeout,
        ErrorCode::ConnectionTerminated
        | ErrorCode::HttpResponseIncomplete
        | ErrorCode::HttpProtocolError => TransportError::Reset,
        // The host's words for what it has no code for.
        ErrorCode::InternalError(Some(words)) => by_words(words),
        other => TransportError::Other(other.to_string()),
    }
}

fn by_words(words: &str) -> TransportError {
    let lower = words.to_ascii_lowercase();
    if lower.contains("connection refused") {
        TransportError::Refused
    } else if lower.contains("reset")
        || lower.contains("closed")
        || lower.contains("broken pipe")
        || lower.contains("incomplete")
    {
        TransportError::Reset
    } else if lower.contains("timeout") || lower.contains("timed out") {
        TransportError::Timeout
    } else {
        TransportError::Other(words.to_owned())
    }
}

/// A body on its way out.
struct Outgoing {
    length: Option<u64>,
    rest: Rest,
}

enum Rest {
    Whole(Bytes),
    Stream(ByteStream),
}

impl From<Body> for Outgoing {
    fn from(body: Body) -> Self {
        match body {
            Body::Empty => Self {
                length: None,
                rest: Rest::Whole(Bytes::new()),
            },
            Body::Whole(bytes) => Self {
                length: u64::try_from(bytes.len()).ok(),
                rest: Rest::Whole(bytes),
            },
            Body::Stream { length, chunks } => Self {
                length: Some(length),
                rest: Rest::Stream(chunks),
            },
        }
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        match &mut self.rest {
            Rest::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Rest::Whole(bytes) => {
                let part = bytes.split_to(bytes.len().min(PART_BYTES));
                Poll::Ready(Some(Ok(Frame::data(part))))
            }
            Rest::Stream(chunks) => chunks
                .poll_next_unpin(context)
                .map(|chunk| chunk.map(|chunk| chunk.map(Frame::data))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
