//! Outbound HTTP with Spin.
//!
//! It uses the host's interface directly, for two reasons. A request's body is handed over as soon as the
//! host has the head, so that both leave in one write: a body that follows its head waits for the other
//! side's acknowledgement, 40 ms on a kept connection (seen on Spin 4.1). And responses are read in large
//! chunks, because each read is a call of the host.

use std::future::poll_fn;
use std::pin::pin;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use outbound::{Http, Request, Response, Timeouts, TransportError};
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{self, ErrorCode, Fields, RequestOptions, Scheme, Trailers};
use spin_sdk::wasip3::wit_bindgen::{
    FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter,
};
use spin_sdk::wasip3::{wit_future, wit_stream};

/// A shared body is handed over in chunks of this size, because each chunk is copied: a whole file of 6 MiB
/// at once would be in memory twice.
const PART_BYTES: usize = 256 * 1024;

/// Maximum size of the chunks in which a response is read, unless the request asks for another size.
const READ_BYTES: usize = 256 * 1024;

/// Outbound HTTP with Spin.
#[derive(Debug, Clone, Copy, Default)]
pub struct SpinHttp;

impl Http for SpinHttp {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let part_bytes = request.part_bytes;
        let (head, mut writing) = begin(request)?;
        let mut written = false;
        let mut sending = pin!(client::send(head));
        // Poll the writing right after `send`: by then the host waits for the first chunk and takes it at
        // once. Were the chunk offered before, the host would fetch it only when this component yields, and
        // by then another of its threads has often sent the head alone (one upload in four).
        let response = poll_fn(|context| {
            let answered = sending.as_mut().poll(context);
            written = written || writing.as_mut().poll(context).is_ready();
            answered
        })
        .await;
        if !written {
            // The response came early; the server may still want the rest of the body before it takes another
            // request.
            crate::spawn(writing);
        }
        received(response.map_err(|code| transport(&code))?, part_bytes)
    }
}

type Writing = futures::future::LocalBoxFuture<'static, ()>;

/// The request as the host takes it, and the future that writes its body.
fn begin(request: Request) -> Result<(types::Request, Writing), TransportError> {
    let Request {
        method,
        url,
        mut headers,
        body,
        timeouts,
        part_bytes: _,
    } = request;
    if let Some(bytes) = &body {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    }
    let fields = Fields::from_list(&fields(&headers))
        .map_err(|_| TransportError::Other("a header that the host does not take".to_owned()))?;
    let (end, at_end) = wit_future::new(|| {
        Err(ErrorCode::InternalError(Some(
            "the body broke off".to_owned(),
        )))
    });
    let (contents, writing) = match body {
        None => (None, finish(end).boxed_local()),
        Some(bytes) => {
            let (writer, contents) = wit_stream::new();
            (Some(contents), write(writer, end, bytes).boxed_local())
        }
    };
    let (head, _) = types::Request::new(fields, contents, at_end, Some(options(timeouts)));
    address(&head, &url)
        .and_then(|()| head.set_method(&types::Method::from(method)).ok())
        .ok_or_else(|| TransportError::Other("not an address".to_owned()))?;
    Ok((head, writing))
}

fn fields(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_owned()))
        .collect()
}

fn address(head: &types::Request, url: &str) -> Option<()> {
    let uri: Uri = url.parse().ok()?;
    let scheme = match uri.scheme_str()? {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    head.set_scheme(Some(&scheme)).ok()?;
    head.set_authority(Some(uri.authority()?.as_str())).ok()?;
    let path = uri.path_and_query().map(http::uri::PathAndQuery::as_str);
    head.set_path_with_query(path).ok()
}

fn options(timeouts: Timeouts) -> RequestOptions {
    let options = RequestOptions::new();
    let nanos = |duration: std::time::Duration| u64::try_from(duration.as_nanos()).ok();
    // A host that does not know an option keeps its default of 600 s.
    let _ = options.set_connect_timeout(nanos(timeouts.connect));
    let _ = options.set_first_byte_timeout(nanos(timeouts.first_byte));
    let _ = options.set_between_bytes_timeout(nanos(timeouts.between_bytes));
    options
}

type End = FutureWriter<Result<Option<Trailers>, ErrorCode>>;

/// Marks a body as complete; without this, the host treats it as cut off.
async fn finish(end: End) {
    // Ignore a server that stopped reading; its response tells why.
    let _ = end.write(Ok(None)).await;
}

async fn write(mut writer: StreamWriter<u8>, end: End, mut bytes: Bytes) {
    let most = if bytes.is_unique() {
        bytes.len()
    } else {
        PART_BYTES
    };
    while !bytes.is_empty() {
        let part = bytes.split_to(bytes.len().min(most));
        if !writer.write_all(part.into()).await.is_empty() {
            return;
        }
    }
    drop(writer);
    finish(end).await;
}

fn received(
    response: types::Response,
    part_bytes: Option<usize>,
) -> Result<Response, TransportError> {
    let status = StatusCode::from_u16(response.get_status_code())
        .map_err(|_| TransportError::Other("an answer without a valid status".to_owned()))?;
    let headers: HeaderMap = response
        .get_headers()
        .copy_all()
        .into_iter()
        .filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_bytes(&value).ok()?))
        })
        .collect();
    if let Some(by) = headers
        .get(CONTENT_ENCODING)
        .filter(|by| *by != "identity" && !by.is_empty())
    {
        let by = String::from_utf8_lossy(by.as_bytes());
        return Err(TransportError::Encoded(by.chars().take(20).collect()));
    }
    let left = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let (done, at_done) = wit_future::new(|| Ok(()));
    let (contents, trailers) = types::Response::consume_body(response, at_done);
    let reading = Reading {
        contents,
        trailers,
        left,
        // Without a known length, a buffer of a whole chunk may be far too large.
        part_bytes: part_bytes.filter(|_| left.is_some()),
        _done: done,
    };
    Ok(Response {
        status,
        headers,
        body: stream::try_unfold(reading, Reading::next).boxed_local(),
    })
}

/// The body of a response that is being read.
struct Reading {
    contents: StreamReader<u8>,
    trailers: FutureReader<Result<Option<Trailers>, ErrorCode>>,
    /// Remaining bytes, if the length is known.
    left: Option<usize>,
    /// Size of the chunks to return; `None`: return data as it arrives.
    part_bytes: Option<usize>,
    _done: FutureWriter<Result<(), ErrorCode>>,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, TransportError> {
        // All announced bytes are here: no need to ask the host for the end.
        if self.left == Some(0) {
            return Ok(None);
        }
        let most = self.part_bytes.unwrap_or(READ_BYTES);
        let room = self.left.unwrap_or(READ_BYTES).min(most);
        let mut part = Vec::with_capacity(room);
        loop {
            let (result, more) = self.contents.read(part).await;
            part = more;
            match result {
                StreamResult::Complete(count) => {
                    self.left = self.left.map(|left| left.saturating_sub(count));
                    if self.part_bytes.is_none() || part.len() >= room {
                        return Ok(Some((part.into(), self)));
                    }
                }
                StreamResult::Dropped | StreamResult::Cancelled => {
                    return match self.trailers.await {
                        Ok(_) if part.is_empty() => Ok(None),
                        // The body ended before the announced length.
                        Ok(_) => Err(TransportError::Reset),
                        Err(code) => Err(transport(&code)),
                    };
                }
            }
        }
    }
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
        // The host gives a message where it has no code.
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
