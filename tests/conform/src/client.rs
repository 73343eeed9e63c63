//! One request, one answer, on a connection of their own: nothing is followed, retried or hidden.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderMap, Method, Request, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// A request as it is sent.
#[derive(Debug)]
pub(crate) struct Ask {
    pub method: Method,
    /// With scheme and host.
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Without its length.
    pub chunked: bool,
    /// The connection ends after so many bytes of the body.
    pub cut: Option<usize>,
}

/// An answer with its whole body.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let value = self.headers.get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    pub(crate) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends requests.
#[derive(Clone)]
pub(crate) struct Client {
    tls: Arc<ClientConfig>,
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

impl Client {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            tls: tls::client_config(None)?,
        })
    }

    async fn wire(&self, uri: &Uri) -> Result<Box<dyn Wire>> {
        let host = uri.host().context("an address without a host")?.to_owned();
        let encrypted = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let bare = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let stream = TcpStream::connect((bare.as_str(), port))
            .await
            .with_context(|| format!("no connection to {host}:{port}"))?;
        if !encrypted {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(bare).context("no name for TLS")?;
        let stream = TlsConnector::from(self.tls.clone())
            .connect(name, stream)
            .await;
        Ok(Box::new(
            stream.with_context(|| format!("no TLS with {host}"))?,
        ))
    }

    /// Sends a request. The inner error: the connection ended before the answer did.
    pub(crate) async fn send(&self, ask: Ask) -> Result<Result<Answer, String>> {
        let uri: Uri = ask
            .url
            .parse()
            .with_context(|| format!("no address: {}", ask.url))?;
        let wire = self.wire(&uri).await?;
        let conversation = converse(wire, &uri, ask);
        let Ok(answer) = tokio::time::timeout(PATIENCE, conversation).await else {
            return Ok(Err(format!("no answer within {} s", PATIENCE.as_secs())));
        };
        answer
    }
}

async fn converse(wire: Box<dyn Wire>, uri: &Uri, ask: Ask) -> Result<Result<Answer, String>> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .title_case_headers(true)
        .handshake(TokioIo::new(wire))
        .await?;
    let connection = tokio::spawn(connection);
    let authority = uri
        .authority()
        .map(http::uri::Authority::as_str)
        .unwrap_or_default();
    let path = uri
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    let mut request = Request::builder()
        .method(ask.method)
        .uri(path)
        .header(header::HOST, authority);
    for (name, value) in &ask.headers {
        request = request.header(name, http::HeaderValue::from_bytes(value.as_bytes())?);
    }
    if ask.cut.is_some() {
        request = request.header(header::CONTENT_LENGTH, ask.body.len());
    }
    let request = request.body(body(ask.body, ask.chunked, ask.cut))?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok::<_, hyper::Error>(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    };
    let answer = exchange
        .await
        .map_err(|error| format!("the connection ended: {error}"));
    connection.abort();
    Ok(answer)
}

fn body(bytes: Bytes, chunked: bool, cut: Option<usize>) -> UnsyncBoxBody<Bytes, io::Error> {
    if let Some(cut) = cut {
        let part = bytes.slice(..cut.min(bytes.len()));
        let broken = Err(io::Error::other("cut off on purpose"));
        // What was written has to be on its way before the connection ends.
        let pause = stream::once(async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            None
        });
        let parts = stream::iter([Some(Ok(Frame::data(part)))])
            .chain(pause)
            .chain(stream::iter([Some(broken)]))
            .filter_map(async |part| part);
        return StreamBody::new(Box::pin(parts)).boxed_unsync();
    }
    if chunked {
        let half = bytes.len() / 2;
        let parts = [bytes.slice(..half), bytes.slice(half..)].map(|part| Ok(Frame::data(part)));
        return StreamBody::new(stream::iter(parts)).boxed_unsync();
    }
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}
