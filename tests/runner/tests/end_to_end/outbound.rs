//! What a component may reach by HTTP, and how.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::app::{Guest, Setting};

/// A server on loopback that does what its path says.
struct Upstream {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(
                    http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service_fn(answer)),
                );
            }
        });
        Self {
            address,
            connections,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn allowed_guest(&self) -> Guest {
        let setting = Setting {
            allowed: vec![self.url("")],
            ..Setting::default()
        };
        setting.start().await
    }
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let path = request.uri().path().to_owned();
    let host = format!("{:?}", request.headers().get("host"));
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut response = Response::new(Full::new(body).boxed());
    match path.as_str() {
        "/echo" => {}
        "/host" => *response.body_mut() = Full::from(host).boxed(),
        "/redirect" => {
            *response.status_mut() = http::StatusCode::FOUND;
            let location = http::HeaderValue::from_static("/echo");
            response.headers_mut().insert("location", location);
        }
        "/silent" => std::future::pending().await,
        "/stalls" => {
            let first = stream::once(async { Ok(Frame::data(Bytes::from_static(b"begun"))) });
            let stalled = first.chain(stream::pending());
            *response.body_mut() = BoxBody::new(StreamBody::new(stalled));
        }
        path => panic!("{path}"),
    }
    Ok(response)
}

#[tokio::test]
async fn an_allowed_host_is_reached_with_the_body_and_its_name() {
    let upstream = Upstream::start().await;
    let guest = upstream.allowed_guest().await;
    let action = format!("fetch?{}", upstream.url("/echo"));
    assert_eq!(guest.done(&action, "payload").await, "200 OK payload");
    let action = format!("fetch?{}", upstream.url("/host"));
    let host = guest.done(&action, "").await;
    assert!(host.contains(&upstream.address.to_string()), "{host}");
}

#[tokio::test]
async fn another_host_is_denied_and_named_in_the_log_with_the_component() {
    let upstream = Upstream::start().await;
    let guest = upstream.allowed_guest().await;
    // The same machine by another name is another host.
    let other = format!("localhost:{}", upstream.address.port());
    let denied = guest
        .refused(&format!("fetch?http://{other}/echo"), "")
        .await;
    assert!(denied.contains("HttpRequestDenied"), "{denied}");
    guest
        .logged(1, &format!("[guest] denied: http://{other}"))
        .await;
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_redirect_is_the_components_to_follow() {
    let upstream = Upstream::start().await;
    let guest = upstream.allowed_guest().await;
    let action = format!("fetch?{}", upstream.url("/redirect"));
    assert_eq!(guest.done(&action, "").await, "302 Found ");
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let upstream = Upstream::start().await;
    let guest = upstream.allowed_guest().await;
    let action = format!("fetch?{}", upstream.url("/echo"));
    let requests = 20;
    for _ in 0..requests {
        guest.done(&action, "payload").await;
    }
    // A request may come before the last one's connection is back.
    assert!(upstream.connections.load(Ordering::SeqCst) < requests / 2);
}

#[tokio::test]
async fn the_guests_timeouts_hold_for_the_head_and_within_the_body() {
    let upstream = Upstream::start().await;
    let guest = upstream.allowed_guest().await;
    for path in ["/silent", "/stalls"] {
        let action = format!("fetch-hastily?{}", upstream.url(path));
        let asked = tokio::time::timeout(Duration::from_mins(2), guest.refused(&action, ""));
        let error = asked.await.expect("the timeout is not kept");
        assert!(error.contains("ConnectionReadTimeout"), "{path}: {error}");
    }
}

#[tokio::test]
async fn a_closed_port_is_a_refused_connection() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let setting = Setting {
        allowed: vec![format!("http://{address}")],
        ..Setting::default()
    };
    let guest = setting.start().await;
    let error = guest.refused(&format!("fetch?http://{address}/"), "").await;
    assert!(error.contains("ConnectionRefused"), "{error}");
}
