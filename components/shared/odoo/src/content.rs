//! Contents by `/web/content`: a stream that costs the server no memory (60 MB in 0.07 s, where RPC took 1.14 s and
//! 96 MB; measured on 18). It needs a web session, which needs a password: API keys are refused there, and Bearer or
//! Basic give a 404 (seen on 17 and 18).

use std::future::ready;
use std::time::Duration;

use bytes::Buf;
use fault::{Fault, Kind};
use futures::{StreamExt, TryStreamExt};
use http::{Method, StatusCode, header};
use outbound::{ByteStream, Clock, Http, Request, Response, Secret, Timeouts};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::client::WebSession;
use crate::{Odoo, answer, protocol};

const CONTENT_TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    first_byte: Duration::from_secs(30),
    between_bytes: Duration::from_secs(20),
};

/// The longest answer to a login.
const ANSWER_BYTES: usize = 1024 * 1024;

/// A content being streamed.
pub struct Content {
    /// The bytes, from the requested offset. The stream holds its limiter permit until it is dropped.
    pub chunks: ByteStream,
    /// The SHA-1 of the whole content, from the `ETag`; `None` if a proxy replaced that.
    pub sha1: Option<String>,
}

/// Which part of a content is wanted, and in what parts.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    offset: u64,
    part_bytes: usize,
}

/// How `/web/content` is authorized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Session,
    Token,
}

impl<H: Http, C: Clock> Odoo<H, C> {
    /// How contents can be streamed, as far as is known: by a web session unless none opens, or else by access tokens
    /// if writing them is allowed.
    fn way(&self) -> Option<Way> {
        let none_opens = matches!(
            self.known.borrow().session,
            WebSession::Refused(_) | WebSession::Blocked(_)
        );
        if !self.settings.password.is_empty() && !none_opens {
            Some(Way::Session)
        } else {
            self.settings.may_write_access_tokens.then_some(Way::Token)
        }
    }

    /// Whether contents can be streamed, as far as is known.
    pub fn can_stream(&self) -> bool {
        self.way().is_some()
    }

    /// Whether streaming can start at an offset, as far as is known: there is a web session, or access tokens replace
    /// it, and the server supports ranges.
    pub fn knows_ranges(&self) -> bool {
        let known = self.known.borrow();
        let open = matches!(known.session, WebSession::Open(_));
        !known.no_ranges && (open || self.way() == Some(Way::Token))
    }

    /// Why no web session opened, if one was tried.
    pub fn session_refusal(&self) -> Option<Fault> {
        match &self.known.borrow().session {
            WebSession::Refused(fault) | WebSession::Blocked(fault) => Some(fault.clone()),
            WebSession::Untried | WebSession::Open(_) => None,
        }
    }

    /// Whether something other than Odoo kept a web session from opening: the next conversation tries again.
    pub fn session_is_blocked(&self) -> bool {
        matches!(self.known.borrow().session, WebSession::Blocked(_))
    }

    /// Opens a web session, which large files need; `None` if there is no password.
    pub async fn open_session(&self) -> Option<Result<(), Fault>> {
        if self.settings.password.is_empty() {
            return None;
        }
        Some(self.session().await.map(drop))
    }

    /// The content from `offset` on, in parts of `part_bytes` if the client can do that. Returns `None` if only RPC
    /// can fetch it: no web session opens, and no access token may be written.
    pub async fn content(
        &self,
        id: i64,
        offset: u64,
        part_bytes: usize,
    ) -> Result<Option<Content>, Fault> {
        let wanted = Wanted { offset, part_bytes };
        if self.way() == Some(Way::Session) {
            match self.by_session(id, wanted).await {
                // The session was refused just now: access tokens may still work.
                Err(_) if self.way() != Some(Way::Session) => {}
                other => return other.map(Some),
            }
        }
        match self.way() {
            Some(_) => self.by_token(id, wanted).await,
            None => Ok(None),
        }
    }

    async fn by_session(&self, id: i64, wanted: Wanted) -> Result<Content, Fault> {
        let url = self.content_url(id);
        let cookie = self.session().await?;
        match self.stream(url.clone(), Some(&cookie), wanted).await {
            // A missing file, a forbidden one and an expired session look alike: check the session, and log in again.
            Err(fault)
                if fault.kind() == Kind::SourceContent && self.session_is_over(&cookie).await? =>
            {
                self.forget(&cookie);
                let cookie = self.session().await?;
                self.stream(url, Some(&cookie), wanted).await
            }
            other => other,
        }
    }

    async fn by_token(&self, id: i64, wanted: Wanted) -> Result<Option<Content>, Fault> {
        let token = match self.access_token(id).await {
            Ok(token) => token,
            // The user may read the attachment, but not write to it.
            Err(fault) if fault.kind() == Kind::SourceForbidden => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let url = format!("{}?access_token={token}", self.content_url(id));
        let streamed = self.stream(url, None, wanted).await;
        if matches!(&streamed, Err(fault) if fault.kind() == Kind::SourceContent) {
            self.forget_token(id);
        }
        streamed.map(Some)
    }

    fn content_url(&self, id: i64) -> String {
        format!("{}/web/content/{id}", self.settings.url)
    }

    async fn stream(
        &self,
        url: String,
        cookie: Option<&Secret>,
        Wanted { offset, part_bytes }: Wanted,
    ) -> Result<Content, Fault> {
        let mut request = Request::new(Method::GET, url)
            .timeouts(CONTENT_TIMEOUTS)
            .in_parts_of(part_bytes);
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, format!("session_id={}", cookie.reveal()));
        }
        if offset > 0 {
            request = request.header(header::RANGE, format!("bytes={offset}-"));
        }
        let (response, permit) = self.ask(request, None).await.map_err(answer::transport)?;
        if let Some(fault) = answer::busy(&response) {
            return Err(fault);
        }
        // How many bytes before the offset the answer contains.
        let before = match response.status {
            StatusCode::OK => offset,
            StatusCode::PARTIAL_CONTENT if offset > 0 => 0,
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(Fault::new(
                    Kind::Truncated,
                    "Odoo's file is shorter than it says",
                ));
            }
            // A missing or forbidden file is a 404, and one lost from the file store a 500 (seen on 17 to 19). A
            // proxy may answer the same for every file, so the caller must find out which it is.
            status => {
                return Err(Fault::told(
                    Kind::SourceContent,
                    format!(
                        "Odoo gives no content at /web/content (HTTP {}): let it through to Odoo, and look at Odoo's file store",
                        status.as_u16()
                    ),
                ));
            }
        };
        let sha1 = response.header(&header::ETAG).and_then(sha1_of);
        let chunks = if before > 0 {
            // 14 and 15 do not support ranges, and send the whole content.
            self.known.borrow_mut().no_ranges = true;
            behind(response.body, before)
        } else {
            response.body
        };
        let chunks = chunks.inspect(move |_| _ = &permit).boxed_local();
        Ok(Content { chunks, sha1 })
    }

    /// The cookie of a web session, logging in if there is none. Concurrent callers share one login: five failures
    /// lock the user out for a minute.
    async fn session(&self) -> Result<Secret, Fault> {
        let _alone = self.logging_in.lock().await;
        match &self.known.borrow().session {
            WebSession::Open(cookie) => return Ok(cookie.clone()),
            WebSession::Refused(fault) | WebSession::Blocked(fault) => return Err(fault.clone()),
            WebSession::Untried => {}
        }
        let outcome = self.log_in().await;
        let (session, cookie) = match outcome {
            Login::Open(cookie) => (WebSession::Open(cookie.clone()), Ok(cookie)),
            Login::Refused(fault) => (WebSession::Refused(fault.clone()), Err(fault)),
            Login::Blocked(fault) => (WebSession::Blocked(fault.clone()), Err(fault)),
            Login::Later(fault) => (WebSession::Untried, Err(fault)),
        };
        self.known.borrow_mut().session = session;
        cookie
    }

    async fn log_in(&self) -> Login {
        let settings = &self.settings;
        if settings.database.is_empty() || settings.login.is_empty() {
            return Login::Refused(Fault::new(
                Kind::SourceLogin,
                "odoo_password opens no web session without odoo_database and odoo_login: set them, or leave it empty",
            ));
        }
        let _permit = self.permit().await;
        let login = json!({ "jsonrpc": "2.0", "params": {
            "db": settings.database,
            "login": settings.login,
            "password": settings.password.reveal(),
        }});
        let request = protocol::post(format!("{}/web/session/authenticate", settings.url), &login);
        let response = match self.http.send(request).await {
            Ok(response) => response,
            Err(error) => return Login::Later(answer::transport(error)),
        };
        // A server or gateway in trouble: its answer says nothing about this login.
        let in_trouble = response.status.is_server_error();
        let cookie = cookie(&response);
        let answer = answer::json_rpc(response, ANSWER_BYTES)
            .await
            .map_err(|fault| settings.hide_secrets_in(fault));
        match answer {
            Err(fault) if in_trouble => Login::Later(fault),
            answer => Login::of(answer, cookie),
        }
    }

    /// Forgets an expired session, unless another has been opened meanwhile.
    fn forget(&self, over: &Secret) {
        let session = &mut self.known.borrow_mut().session;
        if matches!(session, WebSession::Open(cookie) if cookie.reveal() == over.reveal()) {
            *session = WebSession::Untried;
        }
    }

    /// Whether a session has expired, found out by a call that requires one.
    async fn session_is_over(&self, cookie: &Secret) -> Result<bool, Fault> {
        let request = protocol::post(
            format!("{}/web/session/get_session_info", self.settings.url),
            &json!({ "jsonrpc": "2.0", "params": {} }),
        )
        .header(header::COOKIE, format!("session_id={}", cookie.reveal()));
        let asked = self.ask(request, Some(ANSWER_BYTES)).await;
        let (response, _permit) = asked.map_err(answer::transport)?;
        match answer::json_rpc::<IgnoredAny>(response, ANSWER_BYTES).await {
            Ok(_) => Ok(false),
            Err(fault) if passes(&fault) => Err(fault),
            Err(_) => Ok(true),
        }
    }
}

/// The outcome of trying to open a web session.
#[derive(Debug, PartialEq)]
enum Login {
    /// A session, with its cookie.
    Open(Secret),
    /// Odoo refuses, and will until a person changes something.
    Refused(Fault),
    /// A proxy answered in Odoo's place.
    Blocked(Fault),
    /// The login was not judged: it may succeed another time.
    Later(Fault),
}

/// The answer to a login, as far as it is needed.
#[derive(Deserialize)]
struct LoggedIn {
    /// No user if a second factor is required: the password is right and the answer a success, but the cookie opens
    /// nothing.
    #[serde(default)]
    uid: Value,
}

impl Login {
    /// Interprets an answer.
    fn of(answer: Result<LoggedIn, Fault>, cookie: Option<Secret>) -> Self {
        let refused = |fault| Self::Refused(fault);
        let somebody = answer.map(|LoggedIn { uid }| uid.as_i64().is_some_and(|uid| uid > 0));
        match (somebody, cookie) {
            (Ok(true), Some(cookie)) => Self::Open(cookie),
            (Ok(true), None) => refused(Fault::new(
                Kind::SourceLogin,
                "Odoo opened a web session without a cookie: does a proxy before it take Set-Cookie away?",
            )),
            (Ok(false), _) => refused(Fault::new(
                Kind::SourceLogin,
                "odoo_password opens no web session, since this Odoo user has two-factor authentication: leave it off for this user, or allow odoo_access_tokens",
            )),
            (Err(fault), _) if passes(&fault) => Self::Later(fault),
            (Err(fault), _) if fault.kind() == Kind::SourceLogin => refused(Fault::new(
                Kind::SourceLogin,
                "Odoo refused the password for a web session: check odoo_password (an API key does not do there)",
            )),
            // A proxy that lets only RPC through, or failed this once.
            (Err(fault), _) if matches!(fault.kind(), Kind::SourceProtocol | Kind::SourceProxy) => {
                Self::Blocked(Fault::told(
                    fault.kind(),
                    format!(
                        "no web session opens ({fault}): let /web/session through to Odoo, or leave odoo_password empty; it is tried again"
                    ),
                ))
            }
            // For example, a dbfilter does not match the host.
            (Err(fault), _) => refused(Fault::told(
                Kind::SourceLogin,
                format!(
                    "no web session opens ({fault}): let /web/session through to Odoo and its dbfilter fit, or leave odoo_password empty"
                ),
            )),
        }
    }
}

/// Whether a fault is temporary and says nothing about the request.
fn passes(fault: &Fault) -> bool {
    matches!(
        fault.kind(),
        Kind::SourceUnreachable | Kind::SourceBusy | Kind::SourceTimeout
    )
}

fn cookie(response: &Response) -> Option<Secret> {
    let cookies = response.headers.get_all(header::SET_COOKIE);
    cookies
        .iter()
        .filter_map(|value| value.to_str().ok())
        .find_map(|value| value.strip_prefix("session_id=")?.split(';').next())
        .map(Secret::new)
}

/// The SHA-1 in an `ETag`. If nginx sends the files itself (`--x-sendfile`), the `ETag` is nginx's own, made of time
/// and length, and says nothing about the content.
fn sha1_of(etag: &str) -> Option<String> {
    let tag = etag.trim_start_matches("W/").trim_matches('"');
    let is_sha1 = tag.len() == 40 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_sha1.then(|| tag.to_ascii_lowercase())
}

/// The stream without its first `before` bytes.
fn behind(chunks: ByteStream, mut before: u64) -> ByteStream {
    chunks
        .try_filter_map(move |mut chunk| {
            let drop = usize::try_from(before).map_or(chunk.len(), |left| left.min(chunk.len()));
            chunk.advance(drop);
            before = before.saturating_sub(u64::try_from(drop).unwrap_or(u64::MAX));
            ready(Ok((!chunk.is_empty()).then_some(chunk)))
        })
        .boxed_local()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures::{FutureExt, stream};

    #[test]
    fn only_a_sha1_is_taken_for_one() {
        let sha1 = "0d10d65a3cbca6a252daf0510f07e278dbe86fd2";
        for etag in [sha1, &format!("\"{sha1}\""), &format!("W/\"{sha1}\"")] {
            assert_eq!(sha1_of(etag).as_deref(), Some(sha1), "{etag}");
        }
        for etag in ["", "\"6560d3f1-dbba0\"", "d41d8cd98f00b204e9800998ecf8427e"] {
            assert_eq!(sha1_of(etag), None, "{etag}");
        }
    }

    #[test]
    fn a_login_opens_a_session_or_is_refused_or_comes_to_nothing_yet() {
        let answer = |text| Ok(serde_json::from_str(text).unwrap());
        let fault = |kind| Err(Fault::new(kind, "it failed"));
        let cookie = || Some(Secret::new("of-a-session"));
        let open = Login::Open(Secret::new("of-a-session"));
        assert_eq!(
            Login::of(answer(r#"{"uid":2,"db":"odoo"}"#), cookie()),
            open
        );
        for refused in [
            answer(r#"{"uid":null}"#),
            answer(r#"{"uid":false}"#),
            answer("{}"),
            fault(Kind::SourceLogin),
            fault(Kind::SourceForbidden),
            fault(Kind::SourceRefused),
        ] {
            assert!(matches!(Login::of(refused, cookie()), Login::Refused(_)));
        }
        for kind in [Kind::SourceProtocol, Kind::SourceProxy] {
            assert!(matches!(
                Login::of(fault(kind), cookie()),
                Login::Blocked(_)
            ));
        }
        assert!(matches!(
            Login::of(answer(r#"{"uid":2}"#), None),
            Login::Refused(_)
        ));
        for kind in [
            Kind::SourceBusy,
            Kind::SourceTimeout,
            Kind::SourceUnreachable,
        ] {
            assert!(matches!(Login::of(fault(kind), cookie()), Login::Later(_)));
        }
    }

    #[test]
    fn what_stands_before_an_offset_is_dropped_wherever_chunks_end() {
        for size in 1..=11 {
            for before in 0..=12 {
                let parts: Vec<_> = b"hello world"
                    .chunks(size)
                    .map(Bytes::copy_from_slice)
                    .collect();
                let chunks = stream::iter(parts.into_iter().map(Ok)).boxed_local();
                let rest = behind(chunks, u64::try_from(before).unwrap());
                let rest: Vec<Bytes> = rest.try_collect().now_or_never().unwrap().unwrap();
                assert!(rest.iter().all(|chunk| !chunk.is_empty()));
                assert_eq!(
                    rest.concat(),
                    b"hello world".get(before..).unwrap_or_default()
                );
            }
        }
    }
}
