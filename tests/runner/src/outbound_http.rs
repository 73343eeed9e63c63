//! Outbound `wasi:http`: allowed hosts only, kept connections, the guest's timeouts, no redirects.
//!
//! Unlike Spin this speaks no HTTP/2. Like Spin it leaves Nagle's algorithm on, so that what it
//! costs there (a head and a body that leave in two writes) can be seen here.

use std::{
    error::Error as _,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use anyhow::Result;
use bytes::Bytes;
use http::{Uri, header::HOST, uri::Scheme};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper_util::{
    client::legacy::{
        Client, Error as ClientError,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, pki_types::ServerName},
};
use tower_service::Service;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::{allowed_hosts::AllowedHosts, log::Log};

/// Spin's, for each of connect, first byte and between bytes.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

/// The connections of the app, shared by its components.
#[derive(Clone)]
pub(crate) struct Connections(Client<Connector, WasiBody>);

impl Connections {
    pub(crate) fn new() -> Result<Self> {
        let connector = Connector {
            tls: tls::client_config(None)?,
        };
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }
}

/// The outbound HTTP of one component.
#[derive(Clone)]
pub(crate) struct OutboundHttp {
    pub(crate) component: Arc<str>,
    pub(crate) allowed_hosts: Arc<AllowedHosts>,
    pub(crate) connections: Connections,
    pub(crate) log: Log,
}

/// Tells how the sending of the request's body ended; here always well, since the client reports
/// failures through the response.
type Sent = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for OutboundHttp {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Sent), Error>> + Send> {
        let this = self.clone();
        Box::new(async move {
            let response = this.send(request, options.unwrap_or_default()).await?;
            Ok((response, Box::new(async { Ok(()) }) as Sent))
        })
    }
}

impl OutboundHttp {
    async fn send(
        self,
        mut request: http::Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<http::Response<WasiBody>, Error> {
        self.check(request.uri())?;
        // The client writes its own, from the address.
        request.headers_mut().remove(HOST);
        let sending = CONNECT_TIMEOUT.scope(
            options.connect_timeout.unwrap_or(DEFAULT_TIMEOUT),
            self.connections.0.request(request),
        );
        let response = timeout(
            options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT),
            sending,
        )
        .await
        .map_err(|_| Error::ConnectionReadTimeout)?
        .map_err(|error| request_error(&error))?;
        let between_bytes = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);
        Ok(response.map(|body| {
            TimedBody {
                body: Some(body),
                between_bytes,
                waiting: None,
            }
            .boxed_unsync()
        }))
    }

    fn check(&self, uri: &Uri) -> Result<(), Error> {
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(Error::HttpRequestUriInvalid);
        };
        if self.allowed_hosts.allow(scheme, host, uri.port_u16()) {
            return Ok(());
        }
        // Not the whole authority, which may have a password in it.
        let port = uri.port_u16().map(|port| format!(":{port}"));
        self.log.line(
            &self.component,
            &format!(
                "denied: {scheme}://{host}{} is not in the component's allowed_outbound_hosts",
                port.unwrap_or_default()
            ),
        );
        Err(Error::HttpRequestDenied)
    }
}

fn request_error(error: &ClientError) -> Error {
    match error.source().and_then(|source| source.downcast_ref()) {
        Some(ConnectError::Timeout) => Error::ConnectionTimeout,
        Some(ConnectError::Address) => Error::DnsError {
            rcode: Some("address not available".to_owned()),
            info_code: Some(0),
        },
        Some(ConnectError::Refused) => Error::ConnectionRefused,
        Some(ConnectError::Tls) => Error::TlsProtocolError,
        None => Error::HttpProtocolError,
    }
}

tokio::task_local! {
    /// The client has no way to hand a request's own timeout to its connector.
    static CONNECT_TIMEOUT: Duration;
}

/// Why there is no connection.
#[derive(Debug)]
enum ConnectError {
    Timeout,
    Address,
    Refused,
    Tls,
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Timeout => "the connection took too long",
            Self::Address => "the host has no address",
            Self::Refused => "the connection was refused",
            Self::Tls => "TLS failed",
        })
    }
}

impl std::error::Error for ConnectError {}

/// Opens connections, with TLS or without.
#[derive(Clone)]
struct Connector {
    tls: Arc<ClientConfig>,
}

impl Connector {
    async fn connect(self, uri: Uri) -> Result<Stream, ConnectError> {
        let host = uri.host().ok_or(ConnectError::Address)?;
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        // Brackets are for URLs, not for addresses.
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let addresses: Vec<_> = lookup_host((bare, port))
            .await
            .map_err(|_| ConnectError::Address)?
            .collect();
        let tcp = TcpStream::connect(addresses.as_slice())
            .await
            .map_err(|_| ConnectError::Refused)?;
        if !secure {
            return Ok(Stream::Plain(tcp));
        }
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| ConnectError::Address)?;
        let stream = TlsConnector::from(self.tls).connect(name, tcp).await;
        stream
            .map(|stream| Stream::Tls(Box::new(stream)))
            .map_err(|_| ConnectError::Tls)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let limit = CONNECT_TIMEOUT
            .try_with(|limit| *limit)
            .unwrap_or(DEFAULT_TIMEOUT);
        let connecting = self.clone().connect(uri);
        Box::pin(async move {
            timeout(limit, connecting)
                .await
                .unwrap_or(Err(ConnectError::Timeout))
                .map(TokioIo::new)
        })
    }
}

/// A connection, with TLS or without.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Self::Plain(tcp) => tcp.connected(),
            Self::Tls(tls) => tls.get_ref().0.connected(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, into),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// A response's body that fails when nothing has come for too long.
struct TimedBody {
    /// Dropped, and its connection with it, when the time is up.
    body: Option<hyper::body::Incoming>,
    between_bytes: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            this.waiting = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|_| Error::HttpProtocolError)));
        }
        let between_bytes = this.between_bytes;
        let waiting = this
            .waiting
            .get_or_insert_with(|| Box::pin(sleep(between_bytes)));
        ready!(waiting.as_mut().poll(cx));
        this.body = None;
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}
