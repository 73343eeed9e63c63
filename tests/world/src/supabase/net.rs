//! `pg_net`'s worker: one, taking the queue batch by batch.
//!
//! A batch is one transaction, so its results appear when its slowest request ends, and a worker
//! that dies in between leaves the requests in the queue, to be sent again. What is sent and what is kept is
//! libcurl's way: the requests are written by hand, since no client of HTTP sends a header twice as it does.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::future::join_all;
use http::Uri;
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::NET_WORKER;
use crate::postgres::Database;

/// `pg_net.batch_size`.
const BATCH: i64 = 200;
/// `pg_net.ttl`: responses older than this go at the next request.
const TTL: &str = "6 hours";
/// After a batch the worker rests, unless it is woken.
const REST: Duration = Duration::from_secs(1);
/// From 8.3 on libcurl follows thirty redirects; before, any number.
const REDIRECTS: usize = 30;

const NOTHING: &str = "Server returned nothing (no headers, no data)";
const MALFORMED: &str = "URL using bad/illegal format or missing URL";
const PARTIAL: &str = "Transferred a partial file";
const UNSUPPORTED: &str = "Unsupported protocol";
const WEIRD: &str = "Weird server reply";
const RECEIVING: &str = "Failure when receiving data from the peer";
const CODING: &str = "Unrecognized or bad HTTP Content or Transfer-Encoding";

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
            while send_batch(&mut client).await? {
                let _ = tokio::time::timeout(REST, woken.recv()).await;
            }
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
    /// As lines, `Name: value`.
    headers: Vec<String>,
    body: Option<Vec<u8>>,
    timeout_ms: i32,
}

struct Answer {
    status: i32,
    headers: Vec<(String, String)>,
    content: Vec<u8>,
}

impl Answer {
    fn named(&self, name: &str) -> impl DoubleEndedIterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Of several headers of a name the last one says how the content goes; type and place are those of the first.
    fn header(&self, name: &str) -> Option<&str> {
        self.named(name).next_back()
    }
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

impl From<std::io::Error> for Failure {
    fn from(_: std::io::Error) -> Self {
        RECEIVING.into()
    }
}

/// Whether there was anything to do.
async fn send_batch(client: &mut Client) -> Result<bool> {
    let transaction = client.transaction().await?;
    let expired = transaction
        .execute(
            &format!(
                "delete from net._http_response where ctid in
                   (select ctid from net._http_response where created < now() - interval '{TTL}' order by created limit $1)"
            ),
            &[&BATCH],
        )
        .await?;
    let rows = transaction
        .query(
            "delete from net.http_request_queue q
             where id in (select id from net.http_request_queue order by id limit $1)
             returning id, method::text, url,
               array(select key || ': ' || value from jsonb_each_text(q.headers) where value is not null),
               body, timeout_milliseconds",
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
    let results = join_all(calls.iter().map(call_within_its_time)).await;
    // `created` is its default, the transaction's time: when the batch began.
    let insert = transaction
        .prepare(
            "insert into net._http_response (id, status_code, content_type, headers, content, timed_out, error_msg)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .await?;
    for (call, result) in calls.iter().zip(results) {
        let (answer, headers, failure) = match result {
            Ok((answer, headers)) => (Some(answer), Some(headers), None),
            Err(failure) => (None, None, Some(failure)),
        };
        transaction
            .execute(
                &insert,
                &[
                    &call.id,
                    &answer.as_ref().map(|answer| answer.status),
                    &answer
                        .as_ref()
                        .and_then(|answer| answer.named("content-type").next()),
                    &headers,
                    &answer.as_ref().and_then(content_of),
                    &failure.as_ref().is_some_and(|failure| failure.timed_out),
                    &failure.as_ref().map(|failure| failure.message.as_str()),
                ],
            )
            .await?;
    }
    transaction.commit().await?;
    Ok(expired > 0 || !calls.is_empty())
}

/// A text of C: it ends at the first zero byte, and an empty one is null. (The real one keeps bytes that are no
/// UTF-8, which nobody can write by SQL.)
fn content_of(answer: &Answer) -> Option<String> {
    let text = answer.content.split(|byte| *byte == 0).next()?;
    (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
}

async fn call_within_its_time(call: &Call) -> Result<(Answer, Value), Failure> {
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

/// The last answer, with the headers of the first: `pg_net` asks libcurl for those of request 0.
async fn follow(call: &Call) -> Result<(Answer, Value), Failure> {
    let first = parse(&call.url)?;
    let mut url = first.clone();
    let mut method = call.method.to_ascii_uppercase();
    let empty = (method == "POST").then(Vec::new);
    let mut body = call.body.as_ref().or(empty.as_ref());
    let mut headers = None;
    for _ in 0..=REDIRECTS {
        let at_home = (url.scheme(), url.host(), url.port_u16())
            == (first.scheme(), first.host(), first.port_u16());
        let request = request(&url, &method, &call.headers, body, at_home);
        let answer = exchange(&url, &request).await?;
        headers.get_or_insert_with(|| {
            answer
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), value.clone().into()))
                .collect::<Map<String, Value>>()
        });
        let location = answer
            .named("location")
            .find(|place| !place.is_empty())
            .filter(|_| (300..400).contains(&answer.status));
        let Some(location) = location else {
            return Ok((answer, headers.into_iter().flatten().collect()));
        };
        if matches!(answer.status, 301..=303) {
            body = None;
            if method == "POST" {
                "GET".clone_into(&mut method);
            }
        }
        url = resolve(&url, location)?;
    }
    Err("Number of redirects hit maximum amount".into())
}

/// What an address begins with, and what follows the mark behind it.
fn scheme<'url>(url: &'url str, mark: &str) -> Option<(&'url str, &'url str)> {
    let (scheme, rest) = url.split_once(mark)?;
    let named = scheme
        .bytes()
        .all(|letter| letter.is_ascii_alphanumeric() || b"+.-".contains(&letter));
    named.then_some((scheme, rest))
}

/// An address as libcurl reads it: it may lack its scheme, or have one to three slashes. What follows a `#` is not sent.
fn parse(url: &str) -> Result<Uri, Failure> {
    if url.contains(|letter: char| letter == ' ' || letter.is_ascii_control()) {
        return Err(MALFORMED.into());
    }
    let mut ascii = String::new();
    for letter in url.split('#').next().unwrap_or_default().chars() {
        if letter.is_ascii() {
            ascii.push(letter);
        } else {
            let bytes = letter.to_string().into_bytes();
            ascii.extend(bytes.iter().map(|byte| format!("%{byte:02x}")));
        }
    }
    let (scheme, rest) = match scheme(&ascii, ":/") {
        Some(("", _)) => return Err(MALFORMED.into()),
        Some((scheme, rest)) => {
            let fewer = rest.strip_prefix("//").or(rest.strip_prefix('/'));
            (scheme, fewer.unwrap_or(rest))
        }
        None => ("http", ascii.as_str()),
    };
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let url = format!("{scheme}://{authority}{}{query}", without_dots(path));
    let url: Uri = url.parse().map_err(|_| MALFORMED)?;
    let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
    let (_, port) = authority.rsplit_once(':').unwrap_or_default();
    match url.scheme_str() {
        Some("http" | "https") if is_port(port) || port.ends_with(']') => Ok(url),
        Some("http" | "https") => Err(MALFORMED.into()),
        _ => Err(UNSUPPORTED.into()),
    }
}

fn without_dots(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        parts.push("");
    }
    format!("/{}", parts.join("/"))
}

/// Where a `Location` leads from here.
fn resolve(base: &Uri, location: &str) -> Result<Uri, Failure> {
    let (path, query) = location.split_at(location.find('?').unwrap_or(location.len()));
    let (path, query) = (path.replace(' ', "%20"), query.replace(' ', "+"));
    let own_scheme = base.scheme_str().unwrap_or_default();
    if scheme(&path, ":").is_some() {
        return parse(&format!("{path}{query}"));
    }
    if path.starts_with("//") {
        return parse(&format!("{own_scheme}:{path}{query}"));
    }
    // A question takes the place of the one before, a path that of the last name or of all of it.
    let own_path = base.path();
    let kept = match path.chars().next() {
        Some('/') => "",
        Some(_) => own_path.trim_end_matches(|letter| letter != '/'),
        None => own_path,
    };
    let authority = base.authority().map_or("", |authority| authority.as_str());
    parse(&format!("{own_scheme}://{authority}{kept}{path}{query}"))
}

/// A request as libcurl writes it: what is given takes the place of its own header, but for the name of `pg_net`.
fn request(
    url: &Uri,
    method: &str,
    given: &[String],
    body: Option<&Vec<u8>>,
    at_home: bool,
) -> Vec<u8> {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let (user, host) = authority
        .rsplit_once('@')
        .map_or((None, authority), |(user, host)| (Some(user), host));
    let target = url.path_and_query().map_or("/", |target| target.as_str());
    // Elsewhere nobody is told what was meant for the first host.
    let given: Vec<(&str, &str)> = given
        .iter()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| {
            at_home
                || !["authorization", "cookie", "host"]
                    .contains(&name.to_ascii_lowercase().as_str())
        })
        .collect();
    let own = |name: &str, value: String| {
        let is_given = given
            .iter()
            .any(|(given, _)| given.eq_ignore_ascii_case(name));
        if is_given {
            String::new()
        } else {
            format!("{name}: {value}\r\n")
        }
    };
    let is_host = |name: &str| name.eq_ignore_ascii_case("host");
    let given_host = given.iter().find(|(name, _)| is_host(name));
    let host = given_host.map_or(host, |(_, host)| host.trim());
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
    if let Some(user) = user {
        head += &own(
            "Authorization",
            format!("Basic {}", BASE64_STANDARD.encode(user)),
        );
    }
    head += &own("Accept", "*/*".to_owned());
    // One without a value is left out.
    let more = given
        .iter()
        .filter(|(name, value)| !is_host(name) && !value.trim().is_empty());
    for (name, value) in more {
        head.extend([*name, ":", *value, "\r\n"]);
    }
    head += "User-Agent: pg_net/0.20.4\r\n";
    if let Some(body) = body {
        head += &own("Content-Length", body.len().to_string());
        head += &own(
            "Content-Type",
            "application/x-www-form-urlencoded".to_owned(),
        );
    }
    head += "\r\n";
    [head.into_bytes(), body.cloned().unwrap_or_default()].concat()
}

async fn exchange(url: &Uri, request: &[u8]) -> Result<Answer, Failure> {
    let host = url.host().ok_or(MALFORMED)?;
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
        // The stand-in speaks no TLS: to it nobody does.
        return Err("SSL connect error".into());
    }
    stream.write_all(request).await?;
    let mut peer = BufReader::new(stream);
    let mut answer = head(&mut peer).await?;
    while (100..200).contains(&answer.status) && answer.status != 101 {
        answer = head(&mut peer).await?;
    }
    let length = answer
        .header("content-length")
        .map(|length| length.parse().map_err(|_| WEIRD))
        .transpose()?;
    if matches!(answer.status, 204 | 304) {
        return Ok(answer);
    }
    let codings = answer
        .header("transfer-encoding")
        .map(str::to_ascii_lowercase);
    let codings: Option<Vec<_>> = codings
        .as_ref()
        .map(|codings| codings.split(',').map(str::trim).collect());
    match (codings, length) {
        (Some(codings), _) => {
            let is_known = |coding: &&str| matches!(*coding, "chunked" | "identity" | "");
            if !codings.iter().all(is_known) {
                return Err(CODING.into());
            }
            if codings.contains(&"chunked") {
                read_chunks(&mut peer, &mut answer.content).await?;
            } else {
                peer.read_to_end(&mut answer.content).await?;
            }
        }
        (None, Some(length)) => read(&mut peer, length, &mut answer.content).await?,
        (None, None) => drop(peer.read_to_end(&mut answer.content).await?),
    }
    Ok(answer)
}

async fn read_chunks(
    peer: &mut BufReader<TcpStream>,
    content: &mut Vec<u8>,
) -> Result<(), Failure> {
    loop {
        let size = line(peer).await?.ok_or(PARTIAL)?;
        let digits = size
            .split(|letter: char| !letter.is_ascii_hexdigit())
            .next();
        let size = u64::from_str_radix(digits.unwrap_or_default(), 16).map_err(|_| RECEIVING)?;
        if size == 0 {
            while !line(peer).await?.ok_or(PARTIAL)?.is_empty() {}
            return Ok(());
        }
        read(peer, size, content).await?;
        if !line(peer).await?.ok_or(PARTIAL)?.is_empty() {
            return Err(RECEIVING.into());
        }
    }
}

/// The next line; `None` at the end.
async fn line(peer: &mut BufReader<TcpStream>) -> Result<Option<String>, Failure> {
    let mut line = Vec::new();
    peer.read_until(b'\n', &mut line).await?;
    Ok(line
        .strip_suffix(b"\n")
        .map(|line| String::from_utf8_lossy(line).trim_end().to_owned()))
}

async fn read(
    peer: &mut BufReader<TcpStream>,
    length: u64,
    content: &mut Vec<u8>,
) -> Result<(), Failure> {
    let came = peer.take(length).read_to_end(content).await?;
    if came as u64 == length {
        Ok(())
    } else {
        Err(PARTIAL.into())
    }
}

async fn head(peer: &mut BufReader<TcpStream>) -> Result<Answer, Failure> {
    let first = line(peer).await?.ok_or(NOTHING)?;
    let mut words = first.split_ascii_whitespace();
    let protocol = words.next().and_then(|word| word.get(..5));
    let status = words
        .next()
        .filter(|status| status.len() == 3 && !status.starts_with('0'))
        .and_then(|status| status.parse().ok());
    let (true, Some(status)) = (
        protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("HTTP/")),
        status,
    ) else {
        return Err(UNSUPPORTED.into());
    };
    let mut answer = Answer {
        status,
        headers: Vec::new(),
        content: Vec::new(),
    };
    while let Some(line) = line(peer).await?.filter(|line| !line.is_empty()) {
        // A line that begins with a space continues the one before.
        let goes_on = line.starts_with([' ', '\t']);
        if let Some((_, value)) = answer.headers.last_mut().filter(|_| goes_on) {
            *value += &line;
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(WEIRD)?;
        answer
            .headers
            .push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(answer)
}
