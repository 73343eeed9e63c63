//! Which address leads where, in which version.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::attachments::NewAttachment;
use super::{Company, Limit, json2, rpc, web};
use crate::serve::{Locked, Payload, Received, Trace, Upload, html, redirect_to_login};

/// The largest body of a call.
const CALL_BYTES: usize = 64 * 1024 * 1024;

/// One Odoo behind its address.
#[derive(Debug)]
pub(crate) struct Site {
    pub company: Company,
    limit: Option<Limit>,
    running: Arc<AtomicU32>,
    recent: Locked<VecDeque<Instant>>,
}

/// A remote call between its arrival and its answer; `admitted` where the host allows it.
pub(crate) struct Running {
    count: Arc<AtomicU32>,
    admitted: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that was understood.
pub(crate) enum Call {
    Rpc(rpc::Call, Running),
    /// A call that does not say that it is JSON.
    NotJson,
    BadRequest(&'static str),
    Json2(json2::Call, Running),
    Authenticate(Vec<u8>),
    SessionInfo(HeaderMap, Vec<u8>),
    VersionInfo(Vec<u8>),
    Content {
        id: i64,
        query: String,
        headers: HeaderMap,
    },
    Version,
    LoginPage,
    ToLogin(String),
    Unauthorized,
    /// An address under `/json/2` that is none of a method.
    NoJson2,
    /// A call as JSON of what is not there.
    NoRpc,
    Nowhere,
    NowherePage,
    /// A page is posted without the token that it gave.
    NoToken,
}

impl Site {
    pub(crate) fn new(company: Company, limit: Option<Limit>) -> Self {
        Self {
            company,
            limit,
            running: Arc::default(),
            recent: Locked::default(),
        }
    }

    /// Counts a call in, and says whether the host allows it.
    fn arrive(&self) -> Running {
        let parallel = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        let admitted = self.limit.is_none_or(|limit| {
            let mut recent = self.recent.lock();
            while recent
                .front()
                .is_some_and(|at| at.elapsed() >= Duration::from_secs(1))
            {
                recent.pop_front();
            }
            let admitted =
                recent.len() < limit.calls_per_second as usize && parallel <= limit.parallel_calls;
            if admitted {
                recent.push_back(Instant::now());
            }
            admitted
        });
        Running {
            count: self.running.clone(),
            admitted,
        }
    }
}

impl crate::serve::Site for Site {
    type Call = Call;

    async fn read(&self, request: Request<Incoming>) -> io::Result<Received<Call>> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let mut upload = Upload::new(body);
        let body = upload.collect(CALL_BYTES).await?;
        let version = self.company.version;
        let mut ids = Vec::new();
        let mut target = None;
        let mut endpoint = None;
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let call = match (&head.method, segments.as_slice()) {
            (_, ["jsonrpc"] | ["web", "session" | "webclient", ..])
                if !json2::is_json(&head.headers) =>
            {
                Call::NotJson
            }
            // Whatever the method is: what has no body is no JSON.
            (_, ["jsonrpc"]) => match rpc::Call::parse(&body) {
                Err(words) => Call::BadRequest(words),
                Ok(call) => {
                    match call.target() {
                        Some((called, named)) => {
                            ids = named;
                            target = Some(called);
                        }
                        None => endpoint = Some(call.service_method()),
                    }
                    Call::Rpc(call, self.arrive())
                }
            },
            (&Method::POST, ["json", "2", model, method]) if version >= 19 => {
                let call = json2::Call::parse(model, method, &head.headers, &body);
                target = Some(format!("{model}/{method}"));
                ids = call.ids();
                Call::Json2(call, self.arrive())
            }
            (_, ["json", "2", ..]) if version >= 19 => Call::NoJson2,
            (&Method::GET, ["web" | "json", "version"]) if version >= 19 => Call::Version,
            // The older JSON-1 wants a key; any other address there is a page for people: 18 sends a stranger to log
            // in, 17 and earlier know nothing of it.
            (_, ["json", "1", ..]) if version >= 18 => Call::Unauthorized,
            (_, ["json", ..]) if version >= 18 => Call::ToLogin(path.clone()),
            // 14 takes what is sent as JSON for JSON-RPC, and says so in JSON.
            (_, ["json", ..]) if version < 16 && json2::is_json(&head.headers) => Call::NoRpc,
            (_, ["json", ..]) => Call::NowherePage,
            (&Method::POST, ["web", "webclient", "version_info"]) => Call::VersionInfo(body),
            (_, ["web", "login"]) => Call::LoginPage,
            (&Method::POST, ["web", "session", "authenticate"]) => Call::Authenticate(body),
            (&Method::POST, ["web", "session", "get_session_info"]) => {
                Call::SessionInfo(head.headers, body)
            }
            (&Method::POST, ["web", "content", ..]) => Call::NoToken,
            (&Method::GET | &Method::HEAD, ["web", "content", id, ..]) => match id.parse() {
                Ok(id) => {
                    ids.push(id);
                    endpoint = Some("GET /web/content".to_owned());
                    let query = head.uri.query().unwrap_or_default().to_owned();
                    Call::Content {
                        id,
                        query,
                        headers: head.headers,
                    }
                }
                Err(_) => Call::Nowhere,
            },
            _ => Call::Nowhere,
        };
        let endpoint = endpoint
            .or_else(|| target.clone())
            .unwrap_or_else(|| format!("{} {path}", head.method));
        let trace = Trace {
            method: head.method,
            path,
            endpoint,
            call: target,
            ids,
        };
        Ok(Received {
            trace,
            call,
            upload,
        })
    }

    async fn answer(&self, call: Call, _: &mut Upload) -> io::Result<Response<Payload>> {
        let company = &self.company;
        Ok(match call {
            Call::Rpc(
                _,
                Running {
                    admitted: false, ..
                },
            )
            | Call::Json2(
                _,
                Running {
                    admitted: false, ..
                },
            ) => {
                let page = "<html><head><title>429 Too Many Requests</title></head><body>429</body></html>\n";
                html(StatusCode::TOO_MANY_REQUESTS, page)
            }
            Call::Rpc(call, _running) => call.answer(company),
            Call::NotJson => rpc::not_json(company.version),
            Call::BadRequest(words) => rpc::bad_request(company.version, words),
            Call::Json2(call, _running) => call.answer(company),
            Call::Authenticate(body) => web::authenticate(company, &body),
            Call::SessionInfo(headers, body) => web::get_session_info(company, &headers, &body),
            Call::Content { id, query, headers } => web::content(company, id, &query, &headers),
            Call::Version => web::version(company),
            Call::VersionInfo(body) => web::version_info(company, &body),
            Call::NoJson2 => json2::no_method(),
            Call::NoRpc => rpc::not_found(),
            Call::LoginPage => web::login_page(),
            Call::ToLogin(path) => redirect_to_login(&path),
            Call::Unauthorized => html(
                StatusCode::UNAUTHORIZED,
                "<!doctype html>\n<html lang=en>\n<title>401 Unauthorized</title>\n",
            ),
            Call::Nowhere => web::not_found(),
            Call::NoToken => web::no_csrf_token(),
            Call::NowherePage => web::not_found_page(),
        })
    }

    fn control(&self, method: &Method, path: &str, body: &Value) -> Option<Value> {
        let attachments = &self.company.attachments;
        let id = || body.get("id").and_then(Value::as_i64);
        Some(match (method, path.strip_prefix("/_world/")?) {
            (&Method::GET, "counts") => json!(attachments.counts()),
            (&Method::POST, "attachments") => {
                let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
                let new = NewAttachment {
                    id: id(),
                    name: text("name"),
                    content: text("content").map(Into::into),
                    size: body.get("size").and_then(Value::as_u64),
                    mimetype: text("mimetype"),
                    res_model: text("res_model"),
                    res_id: body.get("res_id").and_then(Value::as_i64),
                    res_field: text("res_field"),
                    company: None,
                    write_date: text("write_date"),
                    edge_cases: Vec::new(),
                };
                json!({"id": attachments.insert(new)})
            }
            (&Method::DELETE, "attachments") => {
                attachments.delete(id());
                json!({})
            }
            (&Method::PUT, "attachments/content") => {
                attachments.change_content(id()?);
                json!({})
            }
            (&Method::PUT, "attachments/damage") => {
                let damage = body.get("damage").cloned().unwrap_or_default();
                attachments.damage(id()?, serde_json::from_value(damage).ok()?);
                json!({})
            }
            (&Method::DELETE, "sessions") => {
                self.company.sessions.end_all();
                json!({})
            }
            (method, path) => {
                let records = self.company.store.records(path.strip_prefix("records/")?);
                match *method {
                    Method::GET => json!({"count": records.count()}),
                    Method::POST => json!({"id": records.insert(body.clone())}),
                    Method::PUT => {
                        records.update(id()?, body);
                        json!({})
                    }
                    Method::DELETE => {
                        records.delete(id());
                        json!({})
                    }
                    _ => return None,
                }
            }
        })
    }
}
