//! What `pg_net` calls: a server on this machine that answers by the path it is asked for.

use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The running server. Dropping it ends it.
pub(crate) struct Endpoint {
    port: u16,
    accepting: JoinHandle<()>,
}

impl Endpoint {
    pub(crate) async fn start(address: &str) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let port = listener.local_addr()?.port();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
        Ok(Self { port, accepting })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// `/echo` tells the request, `/status/503` has that status, `/slow` answers never, `/drop` ends the connection,
/// `/to/echo`, `/kept/echo` and `/away/echo` lead to `/echo`, the second as what is asked, the third by a whole address;
/// `/named/echo` only names it, and `/partly` ends before its content does. `/loop/3` leads on three times,
/// `/go/303?to=…` leads there with that status, `/wait/900` answers after so many milliseconds, `/raw?answer=…` answers
/// with just these bytes, and `/reset` ends the connection with what it was sent unread.
async fn answer(mut stream: TcpStream) -> Option<()> {
    let (head, body) = asked(&mut stream).await?;
    let mut words = head.split_whitespace();
    let (method, path) = (words.next()?, words.next()?);
    let value = decoded(path.split_once('=').map_or("", |(_, value)| value));
    let (status, headers, content) = match path.split(['/', '?']).collect::<Vec<_>>().as_slice() {
        ["", "raw", ..] => return stream.write_all(&value).await.ok(),
        ["", "wait", milliseconds, ..] => {
            tokio::time::sleep(Duration::from_millis(milliseconds.parse().ok()?)).await;
            ("200".to_owned(), String::new(), "waited".to_owned())
        }
        ["", "loop", "0"] => ("200".to_owned(), String::new(), "the end".to_owned()),
        ["", "loop", number] => {
            let place = format!("location: /loop/{}\r\n", number.parse::<u32>().ok()? - 1);
            ("302".to_owned(), place, String::new())
        }
        ["", "go", status, ..] => {
            let place = format!("location: {}\r\n", String::from_utf8_lossy(&value));
            ((*status).to_owned(), place, String::new())
        }
        ["", "slow", ..] => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            return None;
        }
        ["", "drop", ..] => return None,
        ["", "status", status, ..] => (
            (*status).to_owned(),
            String::new(),
            format!("status {status}"),
        ),
        ["", "partly", ..] => {
            let part = b"HTTP/1.1 200 conform\r\ncontent-length: 10\r\n\r\npart";
            return stream.write_all(part).await.ok();
        }
        ["", way @ ("to" | "kept" | "away" | "named"), rest, ..] => {
            let status = match *way {
                "kept" => "307",
                "named" => "201",
                _ => "302",
            };
            let host = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("host").then(|| value.trim())
            });
            let place = if *way == "away" {
                format!("http://{}/{rest}", host.unwrap_or_default())
            } else {
                format!("/{rest}")
            };
            (
                status.to_owned(),
                format!("location: {place}\r\n"),
                String::new(),
            )
        }
        _ => {
            let sent: serde_json::Map<_, _> = head
                .lines()
                .skip(1)
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().into()))
                .collect();
            let told = serde_json::json!({"method": method, "path": path, "headers": sent, "body": body, "head": head});
            (
                "200".to_owned(),
                "content-type: application/json\r\n".to_owned(),
                told.to_string(),
            )
        }
    };
    let text = format!(
        "HTTP/1.1 {status} conform\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{content}",
        content.len()
    );
    stream.write_all(text.as_bytes()).await.ok()
}

/// The head and the body of a request, if there is one to answer.
async fn asked(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    let mut first = [0; 12];
    if stream.peek(&mut first).await.ok()? == first.len() && first == *b"GET /reset H" {
        // A connection that is closed with something unread is reset.
        return None;
    }
    loop {
        let read = stream
            .read(&mut piece)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        request.extend_from_slice(piece.get(..read)?);
        if request.first() == Some(&0x16) {
            // The greeting of TLS: nobody here speaks it.
            stream
                .write_all(b"HTTP/1.1 400 conform\r\n\r\n")
                .await
                .ok()?;
            return None;
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
    }
}

/// What a value of a query stands for.
fn decoded(value: &str) -> Vec<u8> {
    let mut parts = value.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at_checked(2).unwrap_or(("", part));
        bytes.extend(u8::from_str_radix(hex, 16));
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}
