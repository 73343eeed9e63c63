//! Limits on the size and the duration of request bodies.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::future::{Either, select};
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyDataStream;
use outbound::Clock;
use spin_sdk::wasip3::http_compat::IncomingRequestBody;

use super::{Guard, Refusal};
use crate::SpinClock;

/// Maximum length of a body.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// How much of a too long body is read and dropped before it is refused: a response that is sent while the
/// client still writes is sometimes lost with the connection (seen on Spin 4.1 with 300 KB).
const DROPPED_BYTES: u64 = 1024 * 1024;

/// Maximum time for a body to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

const TOO_LONG: Refusal = Refusal::Body(
    StatusCode::PAYLOAD_TOO_LARGE,
    "The body is longer than 64 KiB",
);

impl Guard {
    /// Reads the body; refuses one that is too long or too slow.
    pub async fn body(&mut self) -> Result<Bytes, Refusal> {
        let Some(body) = self.body.take() else {
            return Ok(Bytes::new());
        };
        // If the announced length is above what would be dropped, refuse at once.
        let length = self
            .header(&CONTENT_LENGTH)
            .and_then(|length| length.parse::<u64>().ok());
        if length.is_some_and(|length| length > DROPPED_BYTES) {
            return Err(TOO_LONG);
        }
        let (reading, sleep) = (Box::pin(read(body)), Box::pin(SpinClock.sleep(BODY_TIME)));
        match select(reading, sleep).await {
            Either::Left((body, _)) => body,
            Either::Right(_) => Err(Refusal::Body(
                StatusCode::REQUEST_TIMEOUT,
                "The body did not come within 10 s",
            )),
        }
    }
}

async fn read(body: IncomingRequestBody) -> Result<Bytes, Refusal> {
    let mut chunks = BodyDataStream::new(body);
    let mut whole = BytesMut::new();
    let mut dropped = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|_| Refusal::Body(StatusCode::BAD_REQUEST, "The body broke off"))?;
        if dropped == 0 && whole.len() + chunk.len() <= MAX_BODY_BYTES {
            whole.extend_from_slice(&chunk);
            continue;
        }
        dropped += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if dropped > DROPPED_BYTES {
            break;
        }
    }
    if dropped == 0 {
        Ok(whole.freeze())
    } else {
        Err(TOO_LONG)
    }
}
