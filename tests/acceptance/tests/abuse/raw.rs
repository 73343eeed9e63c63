//! Calls that no client library would send: byte by byte.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use stage::Stage;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug)]
pub struct Raw {
    pub status: u16,
    pub text: String,
}

impl Raw {
    /// The body as JSON, whether or not it came in chunks.
    pub fn json(&self) -> Value {
        let (_, body) = self.text.split_once("\r\n\r\n").unwrap_or_default();
        let begin = body.find('{').unwrap_or_default();
        let end = body.rfind('}').map_or(begin, |end| end + 1);
        serde_json::from_str(body.get(begin..end).unwrap_or_default()).unwrap_or_default()
    }
}

/// How long an answer is waited for: many times as long as the app waits for a body.
const PATIENCE: Duration = Duration::from_mins(2);

/// Sends the beginning of a request, then `more` every `every`, until there is an answer.
pub async fn drip(stage: &Stage, beginning: &[u8], more: &[u8], every: Duration) -> Result<Raw> {
    let address = stage.url();
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).await?;
    let (mut reading, mut writing) = stream.split();
    let answered = async {
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        loop {
            let read = reading.read(&mut part).await.unwrap_or_default();
            answer.extend_from_slice(part.get(..read).unwrap_or_default());
            let text = String::from_utf8_lossy(&answer);
            // Until the end, or a whole answer on a connection that is kept.
            if read == 0 || text.ends_with("\r\n0\r\n\r\n") || is_whole(&text) {
                return text.into_owned();
            }
        }
    };
    let dripping = async {
        // Who refuses a request may close the connection before all of it is sent: what was answered
        // can still be read.
        let sent = writing.write_all(beginning).await;
        loop {
            tokio::time::sleep(every).await;
            if sent.is_err() || more.is_empty() || writing.write_all(more).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let text = tokio::select! {
        text = answered => text,
        () = dripping => String::new(),
        () = tokio::time::sleep(PATIENCE) => String::new(),
    };
    stage.watch().look("a raw answer", text.as_bytes());
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .with_context(|| format!("no answer: {text:?}"))?;
    Ok(Raw { status, text })
}

/// Sends a request as it stands.
pub async fn send(stage: &Stage, request: &[u8]) -> Result<Raw> {
    drip(stage, request, b"", Duration::from_mins(1)).await
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.trim().parse::<usize>().ok())
        .is_some_and(|length| body.len() >= length)
}
