//! Contents by `/web/content`: a stream that costs the server no memory (60 MB in 0.07 s, where RPC
//! took 1.14 s and 96 MB; measured on 18). It needs a web session, and that a password: API keys are
//! refused there, and Bearer or Basic give a 404 (seen on 17 and 18).

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

/// The longest answer of a login.
const ANSWER_BYTES: usize = 1024 * 1024;

/// A content on its way.
pub struct Content {
    /// The bytes, from the offset that was asked for. As long as they are held, one of the calls is under way that
    /// Odoo is asked for at once.
    pub chunks: ByteStream,
    /// The SHA-1 of the whole content, as the server says: its `ETag`, unless a proxy has put its own there.
    pub sha1: Option<String>,
}

/// What is wanted of a content.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    offset: u64,
    part_bytes: usize,
}

/// What leads to `/web/content`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Session,
    Token,
}

impl<H: Http, C: Clock> Odoo<H, C> {
    /// The way to contents, as far as is known by now: a web session unless none opens, or access tokens where
    /// they may be written.
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

    /// Whether contents can be streamed, as far as is known by now.
    pub fn can_stream(&self) -> bool {
        self.way().is_some()
    }

    /// Whether a content can be gone on with in its midst, as far as is known by now: a web session is open, or
    /// access tokens stand in for it, and the server knows ranges.
    pub fn knows_ranges(&self) -> bool {
        let known = self.known.borrow();
        let open = matches!(known.session, WebSession::Open(_));
        !known.no_ranges && (open || self.way() == Some(Way::Token))
    }

    /// Why there is no web session, if none opened.
    pub fn session_refusal(&self) -> Option<Fault> {
        match &self.known.borrow().session {
            WebSession::Refused(fault) | WebSession::Blocked(fault) => Some(fault.clone()),
            WebSession::Untried | WebSession::Open(_) => None,
        }
    }

    /// Whether no web session opened, though Odoo has not refused one: it is tried again in the next conversation.
    pub fn session_is_blocked(&self) -> bool {
        matches!(self.known.borrow().session, WebSession::Blocked(_))
    }

    /// Opens a web session, as large files want one; `None` where there is no password for it.
    pub async fn open_session(&self) -> Option<Result<(), Fault>> {
        if self.settings.password.is_empty() {
            return None;
        }
        Some(self.session().await.map(drop))
    }

    /// The content of an attachment from `offset` on, in parts of `part_bytes` where the client can do that;
    /// `None` where it can only be had by RPC: no web session opens, and no access token may be made for it.
    pub async fn content(
        &self,
        id: i64,
        offset: u64,
        part_bytes: usize,
    ) -> Result<Option<Content>, Fault> {
        let wanted = Wanted { offset, part_bytes };
        if self.way() == Some(Way::Session) {
            match self.by_session(id, wanted).await {
                // It was refused just now: another way may be left.
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
            // Missing, forbidden and a session that is over all look alike: log in once more and see.
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
            // It may be read, but not written to.
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
        // What stands before the offset in the answer.
        let before = match response.status {
            StatusCode::OK => offset,
            StatusCode::PARTIAL_CONTENT if offset > 0 => 0,
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(Fault::new(
                    Kind::Truncated,
                    "Odoo's file is shorter than it says",
                ));
            }
            // A file that is missing or forbidden is a 404, and one that the file store has lost a 500 (seen on
            // 17 to 19). A proxy says the same of every file, so whoever asked has to find out.
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
            // 14 and 15 know no ranges: they send the whole.
            self.known.borrow_mut().no_ranges = true;
            behind(response.body, before)
        } else {
            response.body
        };
        let chunks = chunks.inspect(move |_| _ = &permit).boxed_local();
        Ok(Content { chunks, sha1 })
    }

    /// The cookie of a web session, logging in if there is none. However many ask, one logs in: five
    /// failures lock the user out for a minute.
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
        // A server or a gateway in trouble: nothing of what it says is about this login.
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

    /// Gives up a session that is over, unless somebody has opened another meanwhile.
    fn forget(&self, over: &Secret) {
        let session = &mut self.known.borrow_mut().session;
        if matches!(session, WebSession::Open(cookie) if cookie.reveal() == over.reveal()) {
            *session = WebSession::Untried;
        }
    }

    /// Asks whether a session still stands, by a call that only a session may make.
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

/// What a try to open a web session came to.
#[derive(Debug, PartialEq)]
enum Login {
    /// A session, by its cookie.
    Open(Secret),
    /// Odoo opens none, and will not before a person has changed something.
    Refused(Fault),
    /// Somebody else answered in Odoo's place.
    Blocked(Fault),
    /// Nobody looked at it: it may go well another time.
    Later(Fault),
}

/// What a login is answered. The rest of it is of no interest here.
#[derive(Deserialize)]
struct LoggedIn {
    /// Nobody's, where a second factor is asked for: the password is right, the answer a success, and its cookie
    /// opens nothing.
    #[serde(default)]
    uid: Value,
}

impl Login {
    /// What an answer means.
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
            // A proxy that lets nothing but RPC through, or did not this once.
            (Err(fault), _) if matches!(fault.kind(), Kind::SourceProtocol | Kind::SourceProxy) => {
                Self::Blocked(Fault::told(
                    fault.kind(),
                    format!(
                        "no web session opens ({fault}): let /web/session through to Odoo, or leave odoo_password empty; it is tried again"
                    ),
                ))
            }
            // A dbfilter that does not fit the host.
            (Err(fault), _) => refused(Fault::told(
                Kind::SourceLogin,
                format!(
                    "no web session opens ({fault}): let /web/session through to Odoo and its dbfilter fit, or leave odoo_password empty"
                ),
            )),
        }
    }
}

/// Whether a fault says nothing of what was asked, and is over after a while.
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

/// The SHA-1 in an `ETag`. Where nginx sends the files itself (`--x-sendfile`), it is nginx's own, of time and
/// length, and says nothing of the content.
fn sha1_of(etag: &str) -> Option<String> {
    let tag = etag.trim_start_matches("W/").trim_matches('"');
    let is_sha1 = tag.len() == 40 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_sha1.then(|| tag.to_ascii_lowercase())
}

/// What follows the first `before` bytes.
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
