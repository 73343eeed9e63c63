//! HTTP in: connections, routes, and a response or a bare status.

use std::{collections::BTreeMap, fmt, net::SocketAddr, sync::Arc};

use http::{
    Request, Response, StatusCode, Uri, header,
    uri::{Authority, PathAndQuery},
};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use wasmtime_wasi_http::{Error, WasiBody, handler::ProxyHandler};

use crate::{instances::Instances, log::Log, routes::Routes};

/// The prefix that Spin answers itself.
const WELL_KNOWN: &str = "/.well-known/spin/";

pub(crate) struct Server {
    pub(crate) routes: Routes,
    pub(crate) components: BTreeMap<String, ProxyHandler<Instances>>,
    pub(crate) log: Log,
}

impl Server {
    /// Accepts connections until its runtime ends.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, client)) => {
                    tokio::spawn(self.clone().serve_connection(stream, client));
                }
                Err(error) => {
                    // Mostly too many open files: some may close.
                    self.log
                        .line("runner", &format!("cannot accept a connection: {error}"));
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn serve_connection(self: Arc<Self>, stream: TcpStream, client: SocketAddr) {
        let answer = service_fn(|request| {
            let server = self.clone();
            async move { server.answer(request, client).await }
        });
        // An error here is a client that went away, a response cut short on purpose, or a request that
        // gets no answer.
        let _ = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), answer)
            .await;
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        client: SocketAddr,
    ) -> Result<Response<WasiBody>, NoHost> {
        let path = request.uri().path().to_owned();
        if let Some(well_known) = path.strip_prefix(WELL_KNOWN) {
            return Ok(match well_known {
                "health" => healthy(),
                _ => bare(StatusCode::NOT_FOUND),
            });
        }
        let Some(found) = self.routes.find(&path) else {
            return Ok(bare(StatusCode::NOT_FOUND));
        };
        let Some(handler) = self.components.get(&found.route.component) else {
            return Ok(bare(StatusCode::NOT_FOUND));
        };
        let uri = absolute(&request).ok_or(NoHost)?;
        let mut values = request.headers().values();
        if !values.all(|value| std::str::from_utf8(value.as_bytes()).is_ok()) {
            return Ok(bare(StatusCode::INTERNAL_SERVER_ERROR));
        }
        found.add_headers(request.headers_mut(), &uri, client);
        // Only of use to the server itself.
        request.headers_mut().remove(header::CONNECTION);
        *request.uri_mut() = uri;
        let request = request.map(|body| body.map_err(Error::from).boxed_unsync());
        Ok(match handler.handle((), request).await {
            Ok(response) => response,
            Err(error) => {
                self.log.line(
                    "runner",
                    &format!("{path} of {}: {error}", found.route.component),
                );
                bare(StatusCode::INTERNAL_SERVER_ERROR)
            }
        })
    }
}

/// A request that does not say for whom it is, or says two things: like Spin, its connection is closed
/// without an answer.
#[derive(Debug)]
struct NoHost;

impl fmt::Display for NoHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request names no host, or two")
    }
}

impl std::error::Error for NoHost {}

/// The request's address with scheme and host, which a component sees.
fn absolute(request: &Request<Incoming>) -> Option<Uri> {
    let named = request.uri().authority();
    let authority = match (request.headers().get(header::HOST), named) {
        (None, named) => named?.clone(),
        (Some(host), named) => {
            let host: Authority = host.to_str().ok()?.parse().ok()?;
            if named.is_some_and(|named| *named != host) {
                return None;
            }
            host
        }
    };
    let path = request.uri().path_and_query();
    Uri::builder()
        .scheme("http")
        .authority(authority)
        .path_and_query(path.map_or("/", PathAndQuery::as_str))
        .build()
        .ok()
}

fn bare(status: StatusCode) -> Response<WasiBody> {
    let body = Empty::new().map_err(Error::from).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn healthy() -> Response<WasiBody> {
    Response::new(
        Full::new(bytes::Bytes::from_static(b"OK"))
            .map_err(Error::from)
            .boxed_unsync(),
    )
}
