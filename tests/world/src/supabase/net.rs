//! `pg_net`'s worker: one, taking the queue batch by batch.
//!
//! A batch is one transaction, so its results appear when its slowest request ends, and a worker
//! that dies in between leaves the requests in the queue, to be sent again.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use futures::future::join_all;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::NET_WORKER;
use crate::postgres::Database;

/// `pg_net.batch_size`.
const BATCH: i64 = 200;
/// `pg_net.ttl`: responses older than this go at the next request.
const TTL: &str = "6 hours";
/// libcurl gives up at its thirtieth redirect.
const REDIRECTS: usize = 30;

/// Works until it is aborted; comes back when the database was away.
pub(super) async fn run(database: Database) {
    loop {
        let _ = work(&database).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn work(database: &Database) -> Result<()> {
    let (mut client, mut connection) = database
        .superuser_config()
        .application_name(NET_WORKER)
        .connect(NoTls)
        .await?;
    let (wake, mut woken) = mpsc::channel::<()>(1);
    let messages = async move {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(_) = message? {
                // One waiting wake-up is enough.
                let _ = wake.try_send(());
            }
        }
        anyhow::Ok(())
    };
    let batches = async {
        client.batch_execute("listen pg_net").await?;
        loop {
            while send_batch(&mut client).await? > 0 {}
            // The real worker is woken by commits only; it has no poll to fall back on.
            if woken.recv().await.is_none() {
                return anyhow::Ok(());
            }
        }
    };
    tokio::select! {
        ended = messages => ended,
        ended = batches => ended,
    }
}

struct Call {
    id: i64,
    method: String,
    url: String,
    headers: Option<Value>,
    body: Option<Vec<u8>>,
    timeout_ms: i32,
}

struct Answer {
    status_code: i32,
    content_type: Option<String>,
    headers: Value,
    content: String,
}

/// What libcurl says of a request that got no answer.
struct Failure {
    message: String,
    timed_out: bool,
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self {
            message: message.into(),
            timed_out: false,
        }
    }
}

async fn send_batch(client: &mut Client) -> Result<usize> {
    let transaction = client.transaction().await?;
    let rows = transaction
        .query(
            "delete from net.http_request_queue
             where id in (select id from net.http_request_queue order by id limit $1)
             returning id, method::text, url, headers, body, timeout_milliseconds",
            &[&BATCH],
        )
        .await?;
    let mut calls = Vec::with_capacity(rows.len());
    for row in &rows {
        calls.push(Call {
            id: row.try_get(0)?,
            method: row.try_get(1)?,
            url: row.try_get(2)?,
            headers: row.try_get(3)?,
            body: row.try_get(4)?,
            timeout_ms: row.try_get(5)?,
        });
    }
    if !calls.is_empty() {
        transaction
            .execute(
                &format!("delete from net._http_response where created < now() - interval '{TTL}'"),
                &[],
            )
            .await?;
        let results = join_all(calls.iter().map(call_within_its_time)).await;
        let insert = transaction
            .prepare(
                "insert into net._http_response (id, status_code, content_type, headers, content, timed_out, error_msg, created)
                 values ($1, $2, $3, $4, $5, $6, $7, clock_timestamp())",
            )
            .await?;
        for (call, result) in calls.iter().zip(results) {
            match result {
                Ok(answer) => {
                    let error: Option<String> = None;
                    transaction
                        .execute(
                            &insert,
                            &[
                                &call.id,
                                &answer.status_code,
                                &answer.content_type,
                                &answer.headers,
                                &answer.content,
                                &false,
                                &error,
                            ],
                        )
                        .await?;
                }
                Err(failure) => {
                    let nothing: Option<String> = None;
                    transaction
                        .execute(
                            &insert,
                            &[
                                &call.id,
                                &None::<i32>,
                                &nothing,
                                &None::<Value>,
                                &nothing,
                                &failure.timed_out,
                                &failure.message,
                            ],
                        )
                        .await?;
                }
            }
        }
    }
    transaction.commit().await?;
    Ok(calls.len())
}

async fn call_within_its_time(call: &Call) -> Result<Answer, Failure> {
    let started = Instant::now();
    let limit = match u64::try_from(call.timeout_ms) {
        Ok(0) | Err(_) => return follow(call).await,
        Ok(limit) => Duration::from_millis(limit),
    };
    // Dropping the exchange closes its connection, as libcurl does.
    tokio::time::timeout(limit, follow(call)).await.unwrap_or_else(|_| {
        Err(Failure {
            message: format!(
                "Timeout of {} ms reached. Total time: {:.6} ms (DNS time: 0.000000 ms, TCP/SSL handshake time: 0.000000 ms, HTTP Request/Response time: {:.6} ms)",
                call.timeout_ms,
                started.elapsed().as_secs_f64() * 1000.0,
                started.elapsed().as_secs_f64() * 1000.0,
            ),
            timed_out: true,
        })
    })
}

/// Follows redirects as libcurl does by default: what was a POST goes on as a GET, without its body.
async fn follow(call: &Call) -> Result<Answer, Failure> {
    let mut url: Uri = call
        .url
        .parse()
        .map_err(|_| "URL using bad/illegal format or missing URL")?;
    let mut method = Method::from_bytes(call.method.to_ascii_uppercase().as_bytes())
        .map_err(|_| "Unsupported protocol")?;
    for _ in 0..=REDIRECTS {
        let (answer, location) = exchange(call, &url, &method).await?;
        let Some(location) = location else {
            return Ok(answer);
        };
        if !matches!(answer.status_code, 307 | 308) && method == Method::POST {
            method = Method::GET;
        }
        url = resolve(&url, &location).ok_or("URL using bad/illegal format or missing URL")?;
    }
    Err("Number of redirects hit maximum amount".into())
}

fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    if location.starts_with('/') {
        format!("{}://{}{location}", base.scheme_str()?, base.authority()?)
            .parse()
            .ok()
    } else {
        location.parse().ok()
    }
}

async fn exchange(
    call: &Call,
    url: &Uri,
    method: &Method,
) -> Result<(Answer, Option<String>), Failure> {
    let host = url
        .host()
        .ok_or("URL using bad/illegal format or missing URL")?;
    let tls = url.scheme_str() == Some("https");
    let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let bare_host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> = tokio::net::lookup_host((bare_host, port))
        .await
        .map_err(|_| "Couldn't resolve host name")?
        .collect();
    let mut stream = TcpStream::connect(addresses.as_slice())
        .await
        .map_err(|_| "Couldn't connect to server")?;
    if tls {
        return Err(shake_hands(&mut stream).await);
    }

    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| "Couldn't connect to server")?;
    let request = request(call, url, method, host, port)?;
    let conversation = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|_| "Server returned nothing (no headers, no data)")?;
        let (head, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|_| "Transferred a partial file")?
            .to_bytes();
        let text_of = |name: HeaderName| {
            head.headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let headers: Map<String, Value> = head
            .headers
            .iter()
            .map(|(name, value)| {
                (
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into(),
                )
            })
            .collect();
        let location = head
            .status
            .is_redirection()
            .then(|| text_of(header::LOCATION))
            .flatten();
        let answer = Answer {
            status_code: i32::from(head.status.as_u16()),
            content_type: text_of(header::CONTENT_TYPE),
            headers: Value::Object(headers),
            // Postgres' text holds no zero byte.
            content: String::from_utf8_lossy(&body).replace('\0', ""),
        };
        Ok::<_, Failure>((answer, location))
    };
    // The connection lives in this future: whoever drops it closes the connection.
    tokio::pin!(conversation);
    tokio::select! {
        biased;
        result = &mut conversation => result,
        _ = connection => conversation.await,
    }
}

fn request(
    call: &Call,
    url: &Uri,
    method: &Method,
    host: &str,
    port: u16,
) -> Result<Request<Full<Bytes>>, Failure> {
    let body = if method == Method::GET {
        None
    } else {
        call.body.clone()
    };
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let host = if port == 80 {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, "pg_net/0.20.4")
        .header(header::ACCEPT, "*/*")
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|_| "URL using bad/illegal format or missing URL")?;
    for (name, value) in call.headers.iter().filter_map(Value::as_object).flatten() {
        // A value that is null leaves without its header, and nobody is told.
        let value = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            request.headers_mut().insert(name, value);
        }
    }
    Ok(request)
}

/// Greets as a TLS client, and tells a peer that speaks no TLS from one that does. The stand-in goes
/// no further: with a real `pg_net` at hand there is no stand-in.
async fn shake_hands(stream: &mut TcpStream) -> Failure {
    // TLS 1.2, one cipher suite, no extensions: enough for any answer in TLS.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3];
    hello.extend([0x5a; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    let mut first = [0_u8; 1];
    let answered =
        stream.write_all(&hello).await.is_ok() && stream.read_exact(&mut first).await.is_ok();
    match first {
        [0x14..=0x17] if answered => {
            "the stand-in for pg_net speaks no TLS: use http, or the real pg_net".into()
        }
        _ => "SSL connect error".into(),
    }
}
