//! As much of a Supabase project's gateway as the documents' pages use of it by supabase-js: a login, reads of tables
//! and calls of functions, answered out of the real Postgres, as the role and with the claims of the caller's token.
//! `PostgREST` and `GoTrue` come by no package; of both this knows the documented requests only, and refuses others.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_postgres::SimpleQueryMessage;
use url::form_urlencoded;
use world::postgres::Database;

/// The key that a page has of it, which everybody may see.
pub const PUBLISHABLE_KEY: &str = "sb_publishable_of_the_documents_tests";

/// The one password of all its users.
pub const PASSWORD: &str = "correct horse battery staple";

/// A gateway, and the pages that it serves. It ends with the test's runtime.
pub struct Gateway {
    origin: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    database: OnceLock<Database>,
    pages: Mutex<HashMap<String, String>>,
    /// Users by their addresses.
    users: Mutex<HashMap<String, String>>,
    /// The users of the tokens that it gave.
    sessions: Mutex<HashMap<String, String>>,
}

impl Gateway {
    /// Listens on loopback. What it reads, and its pages, come later: these need to know its origin.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(State::default());
        tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { origin, state })
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Reads that database from now on.
    pub fn reads(&self, database: &Database) {
        self.state.database.get_or_init(|| database.clone());
    }

    /// Lets a user of the application log in with an address.
    pub fn knows(&self, email: &str, user: &str) {
        let mut users = self
            .state
            .users
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        users.insert(email.to_owned(), user.to_owned());
    }

    /// Serves a page; its address.
    pub fn page(&self, path: &str, html: String) -> String {
        let mut pages = self
            .state
            .pages
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        pages.insert(path.to_owned(), html);
        format!("{}{path}", self.origin)
    }
}

/// Where npm puts what the pages load.
pub fn installed(file: &str) -> PathBuf {
    stage::root().join("target/npm/node_modules").join(file)
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, Infallible>(state.answer(request).await) }
            });
            let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A page that is left ends its connections.
            let _ = serving.await;
        });
    }
}

type Answer = Response<Full<Bytes>>;

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        match self.try_answer(request).await {
            Ok(answer) => answer,
            Err(problem) => {
                let document = json!({ "code": "X", "message": format!("{problem:#}") });
                json_answer(StatusCode::BAD_REQUEST, &document)
            }
        }
    }

    async fn try_answer(&self, request: Request<Incoming>) -> Result<Answer> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let query = parts.uri.query().unwrap_or_default();
        let token = parts.headers.get(AUTHORIZATION);
        let token = token.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let path = parts.uri.path();
        if let Some(file) = path.strip_prefix("/npm/") {
            let script = std::fs::read_to_string(installed(file))?;
            return Ok(text_answer("text/javascript", script));
        }
        let page = {
            let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
            pages.get(path).cloned()
        };
        if let Some(html) = page {
            return Ok(text_answer("text/html", html));
        }
        match (&parts.method, path) {
            (&Method::POST, "/auth/v1/token") if query == "grant_type=password" => {
                self.log_in(&serde_json::from_slice(&body)?)
            }
            (&Method::POST, path) if path.starts_with("/rest/v1/rpc/") => {
                let function = path.trim_start_matches("/rest/v1/rpc/");
                let statement = call(function, &serde_json::from_slice(&body)?)?;
                self.rows(token, &statement).await
            }
            (&Method::GET, path) if path.starts_with("/rest/v1/") => {
                let statement = select(path.trim_start_matches("/rest/v1/"), query)?;
                self.rows(token, &statement).await
            }
            _ => Ok(json_answer(
                StatusCode::NOT_FOUND,
                &json!({"message": "not found"}),
            )),
        }
    }

    fn log_in(&self, asked: &Value) -> Result<Answer> {
        let email = asked["email"].as_str().unwrap_or_default();
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let user = users.get(email).filter(|_| asked["password"] == PASSWORD);
        let Some(user) = user else {
            let refused = json!({"code": 400, "error_code": "invalid_credentials", "msg": "Invalid login credentials"});
            return Ok(json_answer(StatusCode::BAD_REQUEST, &refused));
        };
        let token = stage::token_of(user)?;
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(token.clone(), user.clone());
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let session = json!({
            "access_token": token, "token_type": "bearer", "expires_in": 3600, "expires_at": now + 3600, "refresh_token": "of-once",
            "user": { "id": user, "aud": "authenticated", "role": "authenticated", "email": email, "app_metadata": {}, "user_metadata": {} },
        });
        Ok(json_answer(StatusCode::OK, &session))
    }

    /// The rows that a statement of one column and row has, asked as whoever calls.
    async fn rows(&self, token: Option<&str>, statement: &str) -> Result<Answer> {
        let database = self.database.get().context("no database")?;
        let user = {
            let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            token.and_then(|token| sessions.get(token).cloned())
        };
        let client = match user {
            Some(user) => {
                let claims = json!({ "sub": user, "role": "authenticated" });
                database.connect_as("authenticated", Some(&claims)).await?
            }
            None if token.is_none_or(|token| token == PUBLISHABLE_KEY) => {
                database.connect_as("anon", None).await?
            }
            None => {
                let refused = json!({"code": "PGRST301", "message": "JWT invalid"});
                return Ok(json_answer(StatusCode::UNAUTHORIZED, &refused));
            }
        };
        match client.simple_query(statement).await {
            Ok(messages) => {
                let rows = messages.iter().find_map(|message| match message {
                    SimpleQueryMessage::Row(row) => row.get(0),
                    _ => None,
                });
                Ok(text_answer(
                    "application/json",
                    rows.context("no row")?.to_owned(),
                ))
            }
            Err(error) => {
                let error = error.as_db_error().context("the connection broke")?;
                let said = json!({
                    "code": error.code().code(), "message": error.message(), "details": error.detail(), "hint": error.hint(),
                });
                Ok(json_answer(StatusCode::FORBIDDEN, &said))
            }
        }
    }
}

/// `GET /rest/v1/table?select=…&column=eq.…&order=…&limit=…` as SQL.
fn select(table: &str, query: &str) -> Result<String> {
    let (mut columns, mut conditions, mut rest) = ("*".to_owned(), Vec::new(), String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match (name.as_ref(), value.split_once('.')) {
            ("select", _) => columns = names(&value)?,
            ("order", _) => rest = format!(" order by {}{rest}", order(&value)?),
            ("limit", _) => rest = format!("{rest} limit {}", value.parse::<u32>()?),
            (column, Some(("eq", value))) => {
                conditions.push(format!("{} = {}", names(column)?, literal(value)));
            }
            (column, Some(("is", "null"))) => {
                conditions.push(format!("{} is null", names(column)?));
            }
            _ => bail!("{name}={value} is not known here"),
        }
    }
    let conditions = if conditions.is_empty() {
        String::new()
    } else {
        format!(" where {}", conditions.join(" and "))
    };
    let from = format!(
        "select {columns} from public.{}{conditions}{rest}",
        names(table)?
    );
    Ok(format!(
        "select coalesce(json_agg(t), '[]')::text from ({from}) t"
    ))
}

/// `POST /rest/v1/rpc/function` with its arguments as SQL.
fn call(function: &str, arguments: &Value) -> Result<String> {
    let mut given = Vec::new();
    for (name, value) in arguments.as_object().context("no arguments")? {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        given.push(format!("{} => {}", names(name)?, literal(&value)));
    }
    let from = format!("public.{}({})", names(function)?, given.join(", "));
    Ok(format!(
        "select coalesce(json_agg(t), '[]')::text from {from} t"
    ))
}

/// Names of columns, tables or functions, quoted.
fn names(list: &str) -> Result<String> {
    let mut quoted = Vec::new();
    for name in list.split(',') {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            bail!("`{name}` is not known here");
        }
        quoted.push(format!("\"{name}\""));
    }
    Ok(quoted.join(", "))
}

fn order(list: &str) -> Result<String> {
    let mut terms = Vec::new();
    for term in list.split(',') {
        let mut words = term.split('.');
        let mut ordered = names(words.next().unwrap_or_default())?;
        for word in words {
            ordered.push_str(match word {
                "asc" => " asc",
                "desc" => " desc",
                "nullsfirst" => " nulls first",
                "nullslast" => " nulls last",
                other => bail!("`{other}` is not known here"),
            });
        }
        terms.push(ordered);
    }
    Ok(terms.join(", "))
}

fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn json_answer(status: StatusCode, document: &Value) -> Answer {
    let mut answer = text_answer("application/json", document.to_string());
    *answer.status_mut() = status;
    answer
}

fn text_answer(media_type: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text));
    let media_type = http::HeaderValue::from_static(media_type);
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    answer
}
