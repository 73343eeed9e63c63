//! Contents by `/web/content`: a stream that costs the server no memory (60 MB in 0.07 s, where RPC
//! took 1.14 s and 96 MB; measured on 18). It needs a web session, and that a password: API keys are
//! refused there, and Bearer or Basic give a 404 (seen on 17 and 18).

use std::time::Duration;

use fault::{Fault, Kind};
use http::{Method, StatusCode, header};
use outbound::{ByteStream, Clock, Http, Request, Secret, Timeouts};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::client::WebSession;
use crate::{Odoo, answer, protocol};

const CONTENT_TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    first_byte: Duration::from_secs(30),
    between_bytes: Duration::from_secs(20),
};

/// A content on its way.
pub struct Content {
    /// The bytes, from the offset that was asked for.
    pub chunks: ByteStream,
    /// How many they are, as the server says.
    pub length: Option<u64>,
    /// The SHA-1 of the whole content, as the server says (its `ETag`).
    pub sha1: Option<String>,
}

impl<H: Http, C: Clock> Odoo<H, C> {
    /// Whether contents can be streamed: with a password, or where access tokens may be written.
    pub fn can_stream(&self) -> bool {
        let refused = matches!(self.known.borrow().session, WebSession::Refused(_));
        (!self.settings.password.is_empty() && !refused) || self.settings.may_write_access_tokens
    }

    /// Whether a content can be gone on with in its midst, as far as is known by now: the password has opened
    /// a web session, or access tokens stand in for it.
    pub fn knows_ranges(&self) -> bool {
        let open = matches!(self.known.borrow().session, WebSession::Open(_));
        open || (self.settings.password.is_empty() && self.settings.may_write_access_tokens)
    }

    /// Why there is no web session, if the password was refused for one.
    pub fn session_refusal(&self) -> Option<Fault> {
        match &self.known.borrow().session {
            WebSession::Refused(fault) => Some(fault.clone()),
            WebSession::Untried | WebSession::Open(_) => None,
        }
    }

    /// The content of an attachment from `offset` on.
    pub async fn content(&self, id: i64, offset: u64) -> Result<Content, Fault> {
        let base = format!("{}/web/content/{id}", self.settings.url);
        if self.settings.password.is_empty() {
            let token = self.access_token(id).await?;
            return self
                .stream(format!("{base}?access_token={token}"), None, offset)
                .await;
        }
        let cookie = self.session().await?;
        match self.stream(base.clone(), Some(&cookie), offset).await {
            // Missing, forbidden and a session that is over all look alike: log in once more and see.
            Err(fault)
                if fault.kind() == Kind::SourceEmpty && self.session_is_over(&cookie).await? =>
            {
                self.forget(&cookie);
                let cookie = self.session().await?;
                self.stream(base, Some(&cookie), offset).await
            }
            other => other,
        }
    }

    async fn stream(
        &self,
        url: String,
        cookie: Option<&Secret>,
        offset: u64,
    ) -> Result<Content, Fault> {
        let _turn = self.turn().await;
        let mut request = Request::new(Method::GET, url).timeouts(CONTENT_TIMEOUTS);
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, format!("session_id={}", cookie.reveal()));
        }
        if offset > 0 {
            request = request.header(header::RANGE, format!("bytes={offset}-"));
        }
        let response = self.http.send(request).await.map_err(answer::transport)?;
        if let Some(fault) = answer::busy(&response) {
            return Err(fault);
        }
        match response.status {
            StatusCode::OK if offset == 0 => {}
            StatusCode::PARTIAL_CONTENT if offset > 0 => {}
            StatusCode::OK => {
                return Err(Fault::new(
                    Kind::SourceProtocol,
                    "Odoo does not give parts of a file (no 206 for a Range)",
                ));
            }
            // A lost file of the file store is a 500 here (seen on 18).
            StatusCode::NOT_FOUND | StatusCode::INTERNAL_SERVER_ERROR => {
                return Err(Fault::new(
                    Kind::SourceEmpty,
                    "Attachment not found or empty",
                ));
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(Fault::new(
                    Kind::Truncated,
                    "Odoo's file is shorter than it says",
                ));
            }
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
                return Err(Fault::new(
                    Kind::SourceTimeout,
                    "Odoo did not answer its gateway in time",
                ));
            }
            status => {
                return Err(Fault::told(
                    Kind::SourceEmpty,
                    format!("Odoo gives no content (HTTP {})", status.as_u16()),
                ));
            }
        }
        Ok(Content {
            length: response
                .header(&header::CONTENT_LENGTH)
                .and_then(|length| length.parse().ok()),
            sha1: response
                .header(&header::ETAG)
                .map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned()),
            chunks: response.body,
        })
    }

    /// The cookie of a web session, logging in if there is none. However many ask, one logs in: five
    /// failures lock the user out for a minute.
    async fn session(&self) -> Result<Secret, Fault> {
        let _alone = self.logging_in.lock().await;
        match &self.known.borrow().session {
            WebSession::Open(cookie) => return Ok(cookie.clone()),
            WebSession::Refused(fault) => return Err(fault.clone()),
            WebSession::Untried => {}
        }
        let _turn = self.turn().await;
        let login = json!({ "jsonrpc": "2.0", "params": {
            "db": self.settings.database,
            "login": self.settings.login,
            "password": self.settings.password.reveal(),
        }});
        let request = protocol::post(
            format!("{}/web/session/authenticate", self.settings.url),
            &login,
        );
        let response = self.http.send(request).await.map_err(answer::transport)?;
        let cookie = response
            .headers
            .get_all(header::SET_COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .find_map(|value| value.strip_prefix("session_id=")?.split(';').next())
            .map(Secret::new);
        let outcome = match answer::json_rpc::<IgnoredAny>(response, 1024 * 1024).await {
            Ok(_) => cookie.ok_or(Fault::new(
                Kind::SourceProtocol,
                "Odoo opened a web session without a cookie",
            )),
            Err(fault) if fault.kind() == Kind::SourceLogin => Err(Fault::new(
                Kind::SourceLogin,
                "Odoo refused the password for a web session: check odoo_password (an API key does not do there)",
            )),
            Err(fault) => Err(self.settings.hide_secrets_in(fault)),
        };
        self.known.borrow_mut().session = match &outcome {
            Ok(cookie) => WebSession::Open(cookie.clone()),
            Err(fault) if fault.kind() == Kind::SourceLogin => WebSession::Refused(fault.clone()),
            Err(_) => WebSession::Untried,
        };
        outcome
    }

    /// Gives up a session that is over, unless somebody has opened another meanwhile.
    fn forget(&self, over: &Secret) {
        let session = &mut self.known.borrow_mut().session;
        if matches!(session, WebSession::Open(cookie) if cookie.reveal() == over.reveal()) {
            *session = WebSession::Untried;
        }
    }

    /// Asks whether a session still stands, by a call that only a session may make.
    async fn session_is_over(&self, cookie: &Secret) -> Result<bool, Fault> {
        let _turn = self.turn().await;
        let request = protocol::post(
            format!("{}/web/session/get_session_info", self.settings.url),
            &json!({ "jsonrpc": "2.0", "params": {} }),
        )
        .header(header::COOKIE, format!("session_id={}", cookie.reveal()));
        let response = self.http.send(request).await.map_err(answer::transport)?;
        Ok(answer::json_rpc::<IgnoredAny>(response, 1024 * 1024)
            .await
            .is_err())
    }

    /// Makes an access token; the only call of this program that writes to Odoo.
    async fn access_token(&self, id: i64) -> Result<String, Fault> {
        if !self.settings.may_write_access_tokens {
            return Err(Fault::new(
                Kind::SourceForbidden,
                "large files need odoo_password, or odoo_access_tokens = true",
            ));
        }
        let result: Value = self
            .call(
                "ir.attachment",
                "generate_access_token",
                Some(&[id]),
                Map::new(),
            )
            .await?;
        let token = result.get(0).and_then(Value::as_str);
        token
            .filter(|token| {
                token
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            })
            .map(str::to_owned)
            .ok_or(Fault::new(
                Kind::SourceProtocol,
                "Odoo gave no access token",
            ))
    }
}
