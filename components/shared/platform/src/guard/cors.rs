//! CORS: which origins may read a response, and which of its headers.

use http::HeaderValue;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ORIGIN, VARY};

use super::Guard;
use crate::Answer;

/// The headers that supabase-js (seen with its functions client) and the card send.
pub(super) const ALLOWED_HEADERS: &str =
    "authorization, apikey, x-client-info, content-type, prefer, if-none-match";

/// Headers that a page of another origin may read beside the default ones.
const EXPOSED_HEADERS: &str = "etag, x-server-time";

impl Guard {
    pub(super) fn open_to_browsers(&self, mut answer: Answer) -> Answer {
        let headers = answer.headers_mut();
        headers.insert(
            VARY,
            HeaderValue::from_static("Origin, Authorization, apikey"),
        );
        if let Some(origin) = self.allowed_origin() {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static(EXPOSED_HEADERS),
            );
        }
        answer
    }

    fn allowed_origin(&self) -> Option<HeaderValue> {
        let origin = self.header(&ORIGIN)?;
        (self.allowed_origins.iter().any(|allowed| allowed == origin))
            .then(|| HeaderValue::from_str(origin).ok())
            .flatten()
    }
}
