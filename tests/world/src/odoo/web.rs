//! The pages of the web client: sessions, contents of files, the login page.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, COOKIE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, LAST_MODIFIED,
    LOCATION, RANGE, SET_COOKIE,
};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::attachments::{Kind, Row};
use super::failure::Failure;
use super::spelling::{Json, http_date, now_us};
use super::{Company, User, rpc};
use crate::serve::{Locked, Payload, Source, empty, html, internal_server_error, unpredictable};

/// How long a session lives, in seconds: 7 days, and 90 before 16.
fn session_s(version: u8) -> u64 {
    if version >= 16 { 604_800 } else { 7_776_000 }
}

/// After so many failed logins in a row, an address has to wait.
const FAILURES_ALLOWED: u32 = 10;

/// Who is logged in, and who failed to.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: Locked<HashMap<String, Session>>,
    /// How many failed in a row, and when the last one did. All who ask are on one address here.
    failures: Locked<Option<(u32, Instant)>>,
}

#[derive(Debug)]
struct Session {
    /// Nobody yet, where a second factor is asked for.
    uid: Option<i64>,
}

impl Sessions {
    /// Ends all sessions, as a restart with another secret or an expiry would.
    pub(crate) fn end_all(&self) {
        self.open.lock().clear();
    }

    fn open(&self, uid: Option<i64>) -> String {
        let token = format!(
            "{:016x}{:016x}{:016x}",
            unpredictable(),
            unpredictable(),
            unpredictable()
        );
        self.open.lock().insert(token.clone(), Session { uid });
        token
    }

    pub(crate) fn uid(&self, headers: &HeaderMap) -> Option<i64> {
        let cookies = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let token = cookies
            .flat_map(|cookies| cookies.split(';'))
            .find_map(|cookie| cookie.trim().strip_prefix("session_id="))?;
        let open = self.open.lock();
        open.get(token).and_then(|session| session.uid)
    }
}

/// `POST /web/session/authenticate`.
pub(crate) fn authenticate(company: &Company, body: &[u8]) -> Response<Payload> {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return rpc::invalid_json(company.version);
    };
    let id = body.get("id").cloned().unwrap_or_default();
    let text = |name: &str| {
        body.pointer(&format!("/params/{name}"))
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let user = match log_in(company, text("db"), text("login"), text("password")) {
        Err(failure) => return rpc::respond(company.version, &id, Err(failure)),
        Ok(user) => user,
    };
    let mut result = Json::default();
    let uid = if user.two_factor {
        // The password is right, but nobody is logged in before the second factor comes.
        result.value(&json!({"uid": null}));
        None
    } else {
        result.value(&session_info(company, user));
        Some(user.uid)
    };
    let mut response = rpc::respond(company.version, &id, Ok(result));
    let token = company.sessions.open(uid);
    let lives_s = session_s(company.version);
    let expires = http_date(now_us() + i64::try_from(lives_s).unwrap_or_default() * 1_000_000);
    let cookie =
        format!("session_id={token}; Expires={expires}; Max-Age={lives_s}; HttpOnly; Path=/");
    set(&mut response, SET_COOKIE, &cookie);
    response
}

/// `POST /web/session/get_session_info`.
pub(crate) fn get_session_info(
    company: &Company,
    headers: &HeaderMap,
    body: &[u8],
) -> Response<Payload> {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return rpc::invalid_json(company.version);
    };
    let uid = company.sessions.uid(headers);
    let user = company.users.iter().find(|user| Some(user.uid) == uid);
    let result = user.map(|user| {
        let mut result = Json::default();
        result.value(&session_info(company, user));
        result
    });
    let id = body.get("id").cloned().unwrap_or_default();
    let result = result.ok_or_else(Failure::session_expired);
    rpc::respond(company.version, &id, result)
}

fn session_info(company: &Company, user: &User) -> Value {
    let administrator = user.is_administrator();
    let mut info = json!({
        "uid": user.uid, "is_system": administrator, "is_admin": administrator,
        "user_context": {"lang": "en_US", "tz": "Europe/Brussels", "uid": user.uid},
        "db": company.database, "username": user.login, "name": user.name, "server_version": company.serie(),
    });
    // As `addons/web/models/ir_http.py` of each version has them.
    for (from, name, value) in [
        (16, "support_url", json!("https://www.odoo.com/buy")),
        (17, "is_internal_user", json!(true)),
        (18, "is_public", json!(false)),
    ] {
        if company.version >= from
            && let Value::Object(info) = &mut info
        {
            info.insert(name.to_owned(), value);
        }
    }
    info
}

/// Whose password it is. An API key is nobody's here.
fn log_in<'a>(
    company: &'a Company,
    database: &str,
    login: &str,
    password: &str,
) -> Result<&'a User, Failure> {
    if database != company.database {
        return Err(Failure::access_error("Database not found."));
    }
    let mut failures = company.sessions.failures.lock();
    if let Some((count, last)) = *failures
        && count >= FAILURES_ALLOWED
        && last.elapsed() < company.login_cooldown
    {
        let message = "Too many login failures, please wait a bit before trying again.";
        return Err(Failure::new("odoo.exceptions.AccessDenied", message));
    }
    let user = company
        .users
        .iter()
        .find(|user| user.login == login && user.password.as_deref() == Some(password));
    if let Some(user) = user {
        *failures = None;
        return Ok(user);
    }
    let count = failures.map_or(0, |(count, _)| count);
    *failures = Some((count + 1, Instant::now()));
    Err(Failure::access_denied())
}

/// `POST` of a page, which wants a token of the page before it.
pub(crate) fn no_csrf_token() -> Response<Payload> {
    html(
        StatusCode::BAD_REQUEST,
        "<!doctype html>\n<html lang=en>\n<title>400 Bad Request</title>\n<h1>Bad Request</h1>\n<p>Session expired \
         (invalid CSRF token)</p>\n",
    )
}

/// `GET /web/content/<id>`, with a session, a token, or neither.
pub(crate) fn content(
    company: &Company,
    id: i64,
    query: &str,
    headers: &HeaderMap,
) -> Response<Payload> {
    let parameter = |name: &str| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
            .filter(|value| !value.is_empty())
    };
    let Some(row) = company.attachments.table().row(id) else {
        return not_found();
    };
    let with_token =
        parameter("access_token").is_some_and(|token| row.access_token.as_deref() == Some(token));
    let user = company
        .sessions
        .uid(headers)
        .and_then(|uid| company.users.iter().find(|user| user.uid == uid));
    let with_session =
        user.is_some_and(|user| company.attachments.table().readable_row(id, user).is_some());
    // Missing and forbidden look the same.
    let open_to_all = row.public && !row.hidden;
    if !with_token && !with_session && !open_to_all {
        return not_found();
    }
    if row.kind != Kind::Binary {
        let status = if row.kind == Kind::Url {
            StatusCode::MOVED_PERMANENTLY
        } else {
            StatusCode::FOUND
        };
        let mut response = html(
            status,
            "<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n",
        );
        let signed = if row.kind == Kind::Url {
            ""
        } else {
            "?expires=300&signature=simulated"
        };
        set(
            &mut response,
            LOCATION,
            &format!("{}{signed}", row.url.as_deref().unwrap_or("/")),
        );
        return response;
    }
    // On 14 nothing to give is nothing there, whatever the row says.
    if company.version < 16 && row.stored().is_none_or(|stored| stored.len() == 0) {
        return not_found();
    }
    let Some(stored) = row.stored() else {
        return internal_server_error();
    };
    let word = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("download="));
    let download = match word.map(str::to_ascii_lowercase).as_deref() {
        Some(word) if company.version < 18 => !word.is_empty(),
        Some("y" | "yes" | "1" | "true" | "t" | "on") => true,
        None | Some("n" | "no" | "0" | "false" | "f" | "off") => false,
        Some(_) => return internal_server_error(),
    };
    file(company, &row, Arc::new(stored), download, headers)
}

/// A file's `ETag`: its checksum, in quotes from 16 on; or that of the nginx that sends it.
fn etag(company: &Company, row: &Row, size: u64) -> Option<String> {
    if company.x_sendfile {
        return Some(format!("\"{:x}-{size:x}\"", row.write_us / 1_000_000));
    }
    let quote = if company.version >= 16 { "\"" } else { "" };
    let checksum = row.checksum()?;
    Some(format!("{quote}{checksum}{quote}"))
}

fn file(
    company: &Company,
    row: &Row,
    stored: Arc<dyn Source>,
    download: bool,
    headers: &HeaderMap,
) -> Response<Payload> {
    let size = stored.len();
    let etag = etag(company, row, size);
    let unchanged = headers
        .get(IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .zip(etag.as_deref())
        .is_some_and(|(known, etag)| {
            known
                .split(',')
                .any(|known| known.trim() == etag || known.trim() == "*")
        });
    let range = headers
        .get(RANGE)
        // 14 and 15 put the whole file into the answer, whatever range is asked for.
        .filter(|_| company.version >= 16)
        .and_then(|value| value.to_str().ok())
        .map(|range| parse_range(range, size));
    let mut response = match range {
        _ if unchanged => empty(StatusCode::NOT_MODIFIED),
        Some(None) => {
            let mut response = html(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "<!doctype html>\n<html lang=en>\n<title>416 Requested Range Not Satisfiable</title>\n",
            );
            set(&mut response, CONTENT_RANGE, &format!("bytes */{size}"));
            return response;
        }
        Some(Some((from, to))) => {
            let mut response = Response::new(Payload::source(stored, from, to + 1));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            set(&mut response, ACCEPT_RANGES, "bytes");
            set(
                &mut response,
                CONTENT_RANGE,
                &format!("bytes {from}-{to}/{size}"),
            );
            response
        }
        None => Response::new(Payload::source(stored, 0, size)),
    };
    let name = with_extension(&row.name(), row.mimetype());
    if let Some(named) = disposition(company.version, &name, download) {
        set(&mut response, CONTENT_DISPOSITION, &named);
    }
    if !unchanged {
        let mimetype = row.mimetype();
        let is_text = mimetype.starts_with("text/") || mimetype.ends_with("+xml");
        let charset = if is_text && company.version >= 16 {
            "; charset=utf-8"
        } else {
            ""
        };
        set(&mut response, CONTENT_TYPE, &format!("{mimetype}{charset}"));
        // What was stored as a file has a date, also where nothing is left of it.
        if row.len > 0 {
            set(&mut response, LAST_MODIFIED, &http_date(row.write_us));
        }
    }
    if let Some(etag) = etag {
        set(&mut response, ETAG, &etag);
    }
    set(&mut response, CACHE_CONTROL, "no-cache, private");
    set(&mut response, CONTENT_SECURITY_POLICY, "default-src 'none'");
    super::nosniff(&mut response);
    response
}

/// The first and the last byte of `bytes=2-5`, `bytes=2-` or `bytes=-3`; nothing where it lies outside, or is no
/// such range.
pub(crate) fn parse_range(range: &str, size: u64) -> Option<(u64, u64)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let end = size.checked_sub(1)?;
    let (from, to) = match (from, to) {
        ("", last) => (size.saturating_sub(last.parse().ok()?), end),
        (from, "") => (from.parse().ok()?, end),
        (from, to) => (from.parse().ok()?, end.min(to.parse().ok()?)),
    };
    (from <= to).then_some((from, to))
}

/// A name without an extension, which is of up to four letters and digits here, gets that of its type, as far as it is
/// known here.
fn with_extension(name: &str, mimetype: &str) -> String {
    let is_one = |end: &str| {
        !end.is_empty() && end.len() <= 4 && end.chars().all(|sign| sign.is_ascii_alphanumeric())
    };
    let has_one = name.rsplit_once('.').is_some_and(|(_, end)| is_one(end));
    match mimetype {
        "application/pdf" if !has_one => format!("{name}.pdf"),
        "text/plain" if !has_one => format!("{name}.txt"),
        _ => name.to_owned(),
    }
}

/// As werkzeug words it: a plain name as it is, any other quoted, and beyond ASCII in both spellings. 14 names a
/// file only where a download is asked for.
fn disposition(version: u8, name: &str, download: bool) -> Option<String> {
    let kind = if download { "attachment" } else { "inline" };
    if version < 16 {
        let encoded = percent_encode(name, b"-._~");
        return download.then(|| format!("{kind}; filename*=UTF-8''{encoded}"));
    }
    // What would end the header is none of the name.
    let name = name.replace(['\r', '\n'], "_");
    let plain: String = name.chars().filter_map(fold).collect();
    let is_token = plain
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter));
    let quoted = if is_token {
        plain.clone()
    } else {
        format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
    };
    if plain == name {
        return Some(format!("{kind}; filename={quoted}"));
    }
    let encoded = percent_encode(&name, b"-._~!#$&+^`|");
    Some(format!(
        "{kind}; filename={quoted}; filename*=UTF-8''{encoded}"
    ))
}

/// Percent-encodes all but letters, digits and these signs.
pub(crate) fn percent_encode(text: &str, safe: &[u8]) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || safe.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// The ASCII letter under an accent; nothing for what has none.
fn fold(letter: char) -> Option<char> {
    Some(match letter {
        letter if letter.is_ascii() => letter,
        'À'..='Å' => 'A',
        'Ç' => 'C',
        'È'..='Ë' => 'E',
        'Ì'..='Ï' => 'I',
        'Ñ' => 'N',
        'Ò'..='Ö' => 'O',
        'Ù'..='Ü' => 'U',
        'Ý' => 'Y',
        'à'..='å' => 'a',
        'ç' => 'c',
        'è'..='ë' => 'e',
        'ì'..='ï' => 'i',
        'ñ' => 'n',
        'ò'..='ö' => 'o',
        'ù'..='ü' => 'u',
        'ý' | 'ÿ' => 'y',
        _ => return None,
    })
}

/// `POST /web/webclient/version_info`: what `common.version` says.
pub(crate) fn version_info(company: &Company, body: &[u8]) -> Response<Payload> {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return rpc::invalid_json(company.version);
    };
    let mut result = Json::default();
    result.value(&company.version_info());
    let id = body.get("id").cloned().unwrap_or_default();
    rpc::respond(company.version, &id, Ok(result))
}

/// `GET /web/version` and `/json/version`, from 19 on.
pub(crate) fn version(company: &Company) -> Response<Payload> {
    let info = company.version_info();
    let mut body = Json::default();
    body.value(&json!({"version_info": info.get("server_version_info"), "version": info.get("server_version")}));
    let mut response = crate::serve::json(StatusCode::OK, "");
    *response.body_mut() = body.finish();
    response
}

/// `GET /web/login`: what a client that follows redirects ends up with.
pub(crate) fn login_page() -> Response<Payload> {
    html(
        StatusCode::OK,
        "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head><title>Odoo</title></head>\n<body class=\"bg-100\">\n<form \
         class=\"oe_login_form\" role=\"form\" method=\"post\" action=\"/web/login\">\n<input name=\"login\"/><input \
         name=\"password\" type=\"password\"/>\n</form>\n</body>\n</html>\n",
    )
}

/// What is missing, or forbidden.
pub(crate) fn not_found() -> Response<Payload> {
    html(
        StatusCode::NOT_FOUND,
        "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>The requested URL was \
         not found on the server. If you entered the URL manually please check your spelling and try again.</p>\n",
    )
}

/// The whole page that the website shows for an unknown address.
pub(crate) fn not_found_page() -> Response<Payload> {
    html(
        StatusCode::NOT_FOUND,
        "<!DOCTYPE html>\n<html>\n    <head>\n        <meta charset=\"utf-8\"/>\n        <meta \
         http-equiv=\"X-UA-Compatible\" content=\"IE=edge\"/>\n        <title>Page not found</title>\n    </head>\n    \
         <body><h1>404</h1><p>We couldn't find the page you're looking for!</p></body>\n</html>\n",
    )
}

fn set(response: &mut Response<Payload>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
