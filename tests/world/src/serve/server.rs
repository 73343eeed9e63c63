//! A server on loopback: accepts, hands requests to its site, and lets faults strike.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::service_time::Worker;
use super::{Counters, Locked, Payload, ServiceTime, Trace, Upload};
use crate::faults::{Fault, Faults, What};

/// How much of a refused upload is still taken in, so that the client can read the answer.
const DRAIN_BYTES: u64 = 64 * 1024 * 1024;
/// The largest body of a control request.
const CONTROL_BYTES: usize = 16 * 1024 * 1024;

/// A request whose head, and for some its body, has been read.
pub(crate) struct Received<C> {
    pub trace: Trace,
    pub call: C,
    /// What is left of the body.
    pub upload: Upload,
}

/// What a server serves.
pub(crate) trait Site: Send + Sync + 'static {
    /// A request that was understood.
    type Call: Send + 'static;

    /// Understands a request. An error: the client went away while sending.
    fn read(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = io::Result<Received<Self::Call>>> + Send;

    /// Answers it. An error drops the connection.
    fn answer(
        &self,
        call: Self::Call,
        upload: &mut Upload,
    ) -> impl Future<Output = io::Result<Response<Payload>>> + Send;

    /// Answers what this site alone has under `/_world/`.
    fn control(&self, method: &Method, path: &str, body: &Value) -> Option<Value>;
}

/// A running server. Dropping it ends it.
pub(crate) struct Server<S> {
    shared: Arc<Shared<S>>,
    address: SocketAddr,
    accepting: Locked<Option<JoinHandle<()>>>,
}

struct Shared<S> {
    site: S,
    faults: Faults,
    counters: Counters,
    latency_ms: AtomicU64,
    worker: Worker,
}

impl<S: Site> Server<S> {
    /// Listens on loopback, on a free port unless one is given.
    pub(crate) async fn start(site: S, port: Option<u16>, latency_ms: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            site,
            faults: Faults::default(),
            counters: Counters::new(),
            latency_ms: AtomicU64::new(latency_ms),
            worker: Worker::default(),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self {
            shared,
            address,
            accepting: Locked::new(Some(accepting)),
        })
    }

    pub(crate) fn site(&self) -> &S {
        &self.shared.site
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    pub(crate) fn set_latency_ms(&self, ms: u64) {
        self.shared.latency_ms.store(ms, Ordering::Relaxed);
    }

    pub(crate) fn set_service_time(&self, service_time: ServiceTime) {
        self.shared.worker.set(service_time);
    }

    /// Ends the server and all its connections at once; what it holds is kept.
    pub(crate) async fn stop(&self) {
        let accepting = self.accepting.lock().take();
        if let Some(accepting) = accepting {
            accepting.abort();
            // The port is free when the task is gone.
            let _ = accepting.await;
        }
    }

    /// Listens again, on the same port. Nothing happens if it never stopped.
    pub(crate) async fn restart(&self) -> io::Result<()> {
        if self.accepting.lock().is_some() {
            return Ok(());
        }
        let listener = TcpListener::bind(self.address).await?;
        *self.accepting.lock() = Some(tokio::spawn(accept(listener, self.shared.clone())));
        Ok(())
    }
}

impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.lock().take() {
            accepting.abort();
        }
    }
}

async fn accept<S: Site>(listener: TcpListener, shared: Arc<Shared<S>>) {
    // Connections live and die with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(connection(stream, shared.clone())); }
                // Out of file descriptors, or the peer is gone: the next one may do.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection<S: Site>(stream: TcpStream, shared: Arc<Shared<S>>) {
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let service = {
        let reset = reset.clone();
        service_fn(move |request| {
            let (shared, reset) = (shared.clone(), reset.clone());
            let answer: Pin<Box<dyn Future<Output = _> + Send>> =
                Box::pin(async move { serve(&shared, &reset, request).await });
            answer
        })
    };
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = std::future::poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let stream = connection.into_parts().io.into_inner();
    if reset.load(Ordering::Relaxed) {
        let _ = stream.set_zero_linger();
    } else if ended.is_ok() {
        let mut stream = stream;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
    }
}

async fn serve<S: Site>(
    shared: &Shared<S>,
    reset: &AtomicBool,
    request: Request<Incoming>,
) -> io::Result<Response<Payload>> {
    if request.uri().path().starts_with("/_world/") {
        return control(shared, request).await;
    }
    let Received {
        trace,
        call,
        mut upload,
    } = shared.site.read(request).await?;
    let strike = shared.faults.strike(&trace);
    let path = trace.path.clone();
    let delay_ms = strike.delay_ms + shared.latency_ms.load(Ordering::Relaxed);
    let arrives_at = tokio::time::Instant::now() + Duration::from_millis(delay_ms);
    let done_at = shared.worker.until(&trace, arrives_at);
    let mut in_flight = shared.counters.begin(trace);
    for held_by in &strike.held_by {
        shared.faults.until_lifted(*held_by).await;
    }
    if delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    if let Some(done_at) = done_at {
        tokio::time::sleep_until(done_at).await;
    }
    let instead = match &strike.what {
        Some(What::Refuse) => return Err(io::ErrorKind::ConnectionAborted.into()),
        Some(What::Answer {
            status,
            headers,
            body,
        }) => Some(answer_given(*status, headers, body)),
        Some(What::Html500) => Some(internal_server_error()),
        Some(What::RedirectToLogin) => Some(redirect_to_login(&path)),
        Some(What::CutUploadAt(bytes)) => {
            upload.cut_at(*bytes);
            None
        }
        _ => None,
    };
    let mut response = match instead {
        Some(response) => {
            upload.drain(DRAIN_BYTES).await;
            response
        }
        None => match shared.site.answer(call, &mut upload).await {
            Ok(response) => response,
            Err(error) => {
                in_flight.bytes_in = upload.taken();
                return Err(error);
            }
        },
    };
    in_flight.bytes_in = upload.taken();
    if let Some(ready_at) = shared.worker.until_answered(response.body().shown()) {
        tokio::time::sleep_until(ready_at).await;
    }
    if upload.was_cut() || strike.what == Some(What::LoseAnswer) {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    in_flight.status = response.status().as_u16();
    let payload = response.body_mut();
    if let Some(what) = &strike.what {
        payload.spoil(what);
        reset.store(matches!(what, What::ResetAt(_)), Ordering::Relaxed);
    }
    // An empty body may never be polled to its end: then the request is over now.
    if !payload.is_empty() {
        payload.carry(in_flight);
    }
    Ok(response)
}

/// `/_world/…`: the same handles from outside the process.
async fn control<S: Site>(
    shared: &Shared<S>,
    request: Request<Incoming>,
) -> io::Result<Response<Payload>> {
    let (head, body) = request.into_parts();
    let body = Upload::new(body).collect(CONTROL_BYTES).await?;
    let body = if body.is_empty() {
        Ok(Value::Null)
    } else {
        serde_json::from_slice(&body)
    };
    let (status, answer) = match body {
        Err(error) => (StatusCode::BAD_REQUEST, json!({"error": error.to_string()})),
        Ok(body) => match controlled(shared, &head.method, head.uri.path(), body) {
            Ok(Some(answer)) => (StatusCode::OK, answer),
            Ok(None) => {
                let unknown = format!("there is no {} {} here", head.method, head.uri.path());
                (StatusCode::NOT_FOUND, json!({"error": unknown}))
            }
            Err(error) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                json!({"error": error.to_string()}),
            ),
        },
    };
    Ok(json(status, answer.to_string()))
}

fn controlled<S: Site>(
    shared: &Shared<S>,
    method: &Method,
    path: &str,
    body: Value,
) -> serde_json::Result<Option<Value>> {
    /// The body that sets the latency.
    #[derive(serde::Deserialize)]
    struct Latency {
        ms: u64,
    }
    /// The body that starts and ends the log.
    #[derive(serde::Deserialize)]
    struct Recording {
        on: bool,
    }
    Ok(Some(match (method, path) {
        (&Method::GET, "/_world/counters") => {
            json!({"endpoints": shared.counters.all(), "total": shared.counters.total()})
        }
        (&Method::DELETE, "/_world/counters") => {
            shared.counters.reset();
            json!({})
        }
        (&Method::GET, "/_world/faults") => json!(shared.faults.list()),
        (&Method::POST, "/_world/faults") => {
            let fault: Fault = serde_json::from_value(body)?;
            json!({"id": shared.faults.add(fault)})
        }
        (&Method::DELETE, "/_world/faults") => {
            shared.faults.clear();
            json!({})
        }
        (&Method::PUT, "/_world/latency") => {
            let Latency { ms } = serde_json::from_value(body)?;
            shared.latency_ms.store(ms, Ordering::Relaxed);
            json!({})
        }
        (&Method::PUT, "/_world/log") => {
            let Recording { on } = serde_json::from_value(body)?;
            shared.counters.record(on);
            json!({})
        }
        (&Method::GET, "/_world/log") => json!(shared.counters.take_log()),
        (method, path) => return Ok(shared.site.control(method, path, &body)),
    }))
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Payload> {
    let mut response = Response::new(Payload::default());
    *response.status_mut() = status;
    response
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response<Payload> {
    typed(status, "application/json; charset=utf-8", body)
}

/// An HTML page.
pub(crate) fn html(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response<Payload> {
    typed(status, "text/html; charset=utf-8", body)
}

fn typed(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<bytes::Bytes>,
) -> Response<Payload> {
    let mut response = Response::new(Payload::bytes(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn answer_given(status: u16, headers: &[(String, String)], body: &str) -> Response<Payload> {
    let mut response = Response::new(Payload::bytes(body.to_owned()));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The page of a worker that crashed, as werkzeug words it.
pub(crate) fn internal_server_error() -> Response<Payload> {
    html(
        StatusCode::INTERNAL_SERVER_ERROR,
        "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n<h1>Internal Server Error</h1>\n\
         <p>The server encountered an internal error and was unable to complete your request. Either the server is \
         overloaded or there is an error in the application.</p>\n",
    )
}

/// Where an Odoo sends whoever it does not know.
pub(crate) fn redirect_to_login(path: &str) -> Response<Payload> {
    let mut response = html(
        StatusCode::SEE_OTHER,
        "<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n<h1>Redirecting...</h1>\n",
    );
    let target = format!("/web/login?redirect={}%3F", path.replace('/', "%2F"));
    if let Ok(target) = HeaderValue::try_from(target) {
        response.headers_mut().insert(LOCATION, target);
    }
    response
}
