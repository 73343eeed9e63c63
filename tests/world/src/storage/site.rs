//! Which address leads where.

use std::collections::HashMap;
use std::io;

use http::header::USER_AGENT;
use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use serde_json::{Value, json};
use uuid::Uuid;

use super::access::{self, Caller};
use super::answers::{Refusal, bad_url, gateway, no_route, no_route_within};
use super::intake::Intake;
use super::reading::{content, download, info};
use super::resumable::{self, Uploads};
use super::stock::{Stock, Stored};
use super::{Age, Corruption, Options, Verification, is_named_after, names};
use crate::odoo::hex;
use crate::serve::{Locked, Payload, Received, Trace, Upload};

/// The largest body of a JSON request.
const JSON_BYTES: usize = 16 * 1024 * 1024;
/// How much of a refused upload is still taken in, so that the client can read the answer.
const DRAIN_BYTES: u64 = 64 * 1024 * 1024;

/// One Storage behind its address.
pub(crate) struct Site {
    pub options: Options,
    pub stock: Locked<Stock>,
    pub uploads: Uploads,
    pub signed: Locked<HashMap<String, Signed>>,
    /// What becomes of the next uploads.
    pub spoiled: Locked<Vec<Corruption>>,
    /// The next resumable uploads that do not become objects.
    pub unfinished: Locked<Vec<()>>,
}

/// An address that was signed.
pub(super) struct Signed {
    pub path: String,
    pub expires_us: i64,
}

/// A request whose head was read.
pub(crate) struct Call {
    pub method: Method,
    /// Behind the prefix, not yet decoded; `None` where the prefix is not there.
    path: Option<String>,
    pub query: String,
    pub headers: HeaderMap,
}

/// An answer, good or bad.
pub(super) type Answer = Result<Response<Payload>, Refusal>;

impl Site {
    pub(crate) fn new(options: Options) -> Self {
        let stock = Stock::new(options.buckets.clone(), options.quota_bytes);
        Self {
            options,
            stock: Locked::new(stock),
            uploads: Uploads::default(),
            signed: Locked::default(),
            spoiled: Locked::default(),
            unfinished: Locked::default(),
        }
    }

    pub(crate) fn intake(&self, in_parts: bool, version: Uuid) -> io::Result<Intake> {
        Intake::new(
            &self.options.keep_bytes,
            self.options.etags,
            in_parts,
            &version.to_string(),
        )
    }

    pub(crate) fn objects(&self) -> Vec<Stored> {
        let stock = self.stock.lock();
        let stored = stock.all().map(|(bucket, name, object)| Stored {
            bucket: bucket.to_owned(),
            name: name.to_owned(),
            size: object.len,
            sha1: hex(&object.sha1),
            mimetype: object.mimetype.clone(),
            etag: object.etag.clone(),
            metadata: object.metadata.clone(),
        });
        let mut stored: Vec<_> = stored.collect();
        stored.sort_by(|a, b| (&a.bucket, &a.name).cmp(&(&b.bucket, &b.name)));
        stored
    }

    pub(crate) fn verify_all(&self) -> Verification {
        let stock = self.stock.lock();
        let mut found = Verification::default();
        for (bucket, name, object) in stock.all() {
            found.objects += 1;
            found.bytes += object.len;
            if !is_named_after(name, &object.sha1) {
                found.misnamed.push(format!("{bucket}/{name}"));
            }
        }
        found
    }

    async fn route(&self, call: &Call, upload: &mut Upload) -> io::Result<Response<Payload>> {
        let path = call.path.as_deref().unwrap_or_default();
        if let Some(refused) = self.refused_by_gateway(call) {
            return Ok(refused);
        }
        if !names::is_text(path) {
            return Ok(bad_url(path));
        }
        if let Some(resumable) = path
            .strip_prefix("/upload/resumable")
            .filter(|_| self.options.age < Age::NoResumable)
        {
            return self
                .resumable(call, resumable.trim_start_matches('/'), upload)
                .await;
        }
        let segments: Vec<&str> = path.trim_start_matches('/').splitn(3, '/').collect();
        let answer = match (&call.method, segments.as_slice()) {
            (_, ["bucket", ..]) => {
                let body = upload.collect(JSON_BYTES).await?;
                let name = path
                    .trim_start_matches('/')
                    .split_once('/')
                    .map(|(_, name)| names::decode(name));
                self.bucket(call, name.as_deref(), &body)
            }
            (&Method::POST, ["object", "list-v2", bucket]) => {
                let body = upload.collect(JSON_BYTES).await?;
                self.caller(call)
                    .and_then(|caller| self.list_from(caller, &names::decode(bucket), &body))
            }
            (&Method::POST, ["object", "list", bucket]) => {
                let body = upload.collect(JSON_BYTES).await?;
                self.caller(call)
                    .and_then(|caller| self.list(caller, &names::decode(bucket), &body))
            }
            (&Method::POST, ["object", "sign", place]) => {
                let body = upload.collect(JSON_BYTES).await?;
                self.caller(call)
                    .and_then(|caller| self.sign(caller, place, &body))
            }
            (&Method::GET | &Method::HEAD, ["object", "sign", place]) => self.signed(call, place),
            (&Method::GET | &Method::HEAD, ["object", "info", place]) => {
                let (public, place) = match place.split_once('/') {
                    Some(("public", place)) => (true, place),
                    Some(("authenticated", place)) => (false, place),
                    _ => (false, *place),
                };
                self.readable(call, place, public)
                    .map(|(name, object)| info(self.options.age, &name, &object, place))
            }
            (&Method::GET | &Method::HEAD, ["object", "public", place]) => self
                .readable(call, place, true)
                .and_then(|(_, object)| download(call, &object)),
            (&Method::GET | &Method::HEAD, ["object", "authenticated", place]) => self
                .readable(call, place, false)
                .and_then(|(_, object)| content(call, &object)),
            (&Method::GET | &Method::HEAD, ["object", bucket, name]) => self
                .readable(call, &format!("{bucket}/{name}"), false)
                .and_then(|(_, object)| content(call, &object)),
            (&Method::POST | &Method::PUT, ["object", bucket, name]) => {
                let bucket = names::decode(bucket);
                match self.store(call, &bucket, name, upload).await? {
                    Err(refusal) => {
                        upload.drain(DRAIN_BYTES).await;
                        Err(refusal)
                    }
                    stored => stored,
                }
            }
            (&Method::DELETE, ["object", bucket]) => {
                let body = upload.collect(JSON_BYTES).await?;
                self.caller(call)
                    .and_then(|caller| self.delete_several(caller, &names::decode(bucket), &body))
            }
            (&Method::DELETE, ["object", bucket, name]) => self.caller(call).and_then(|caller| {
                self.delete(caller, &names::decode(bucket), &names::decode(name))
            }),
            (_, ["object", ..]) => return Ok(no_route_within(&call.method, path)),
            _ => return Ok(no_route(&call.method, path)),
        };
        Ok(answer.unwrap_or_else(|refusal| {
            if self.options.age < Age::NoCodes {
                refusal.answer()
            } else {
                refusal.without_code()
            }
        }))
    }

    fn refused_by_gateway(&self, call: &Call) -> Option<Response<Payload>> {
        let signed_or_public = call.path.as_deref().is_some_and(|path| {
            path.starts_with("/object/sign/") || path.starts_with("/object/public/")
        });
        if !self.options.requires_apikey || signed_or_public {
            return None;
        }
        let Some(given) = call.headers.get("apikey") else {
            let hint = "No `apikey` request header or url param was found.";
            return Some(gateway("No API key found in request", hint));
        };
        let known = self
            .options
            .service_keys
            .iter()
            .chain(&self.options.anonymous_keys);
        let known = known
            .map(String::as_bytes)
            .any(|key| key == given.as_bytes());
        if !known {
            return Some(gateway(
                "Invalid API key",
                "Double check your Supabase `anon` or `service_role` API key.",
            ));
        }
        let browser = call
            .headers
            .get(USER_AGENT)
            .is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/"));
        (browser && given.as_bytes().starts_with(b"sb_secret_")).then(|| {
            gateway(
                "Forbidden use of secret API key in browser",
                "Secret API keys can only be used in a protected environment and should never be used in a browser.",
            )
        })
    }

    pub(super) fn caller(&self, call: &Call) -> Result<Caller, Refusal> {
        access::tell(
            &call.headers,
            self.options.key_headers,
            &self.options.service_keys,
            &self.options.anonymous_keys,
        )
    }

    async fn resumable(
        &self,
        call: &Call,
        id: &str,
        upload: &mut Upload,
    ) -> io::Result<Response<Payload>> {
        if call.method == Method::OPTIONS {
            return Ok(resumable::options(self.options.file_size_limit));
        }
        if call.method == Method::GET {
            return Ok(no_route(
                &call.method,
                call.path.as_deref().unwrap_or_default(),
            ));
        }
        let refused = match self.caller(call) {
            // The token is looked at before the protocol begins.
            Err(refusal) => Some(refusal.answer()),
            // How far an upload is may be asked by anyone.
            Ok(Caller::Anonymous) if call.method != Method::HEAD => {
                Some(Refusal::row_level_security().plain())
            }
            Ok(_) => resumable::refused_headers(&call.method, &call.headers).or_else(|| {
                let of_one = matches!(call.method, Method::HEAD | Method::PATCH | Method::DELETE);
                resumable::refused_id(id).filter(|_| of_one)
            }),
        };
        let response = match refused {
            Some(refused) => refused,
            None => match (&call.method, id) {
                // Whatever stands behind the path.
                (&Method::POST, _) => resumable::create(self, &call.headers, upload).await?,
                (&Method::HEAD, id) => resumable::progress(self, id).await,
                (&Method::PATCH, id) => resumable::append(self, id, &call.headers, upload).await?,
                (&Method::DELETE, id) => resumable::terminate(self, id, &call.headers).await,
                _ => resumable::not_found(),
            },
        };
        if response.status().as_u16() >= 400 {
            upload.drain(DRAIN_BYTES).await;
        }
        Ok(response)
    }
}

impl crate::serve::Site for Site {
    type Call = Call;

    async fn read(&self, request: Request<Incoming>) -> io::Result<Received<Call>> {
        let (head, body) = request.into_parts();
        let full_path = head.uri.path().to_owned();
        let path = full_path
            .strip_prefix(&self.options.prefix)
            .filter(|path| path.starts_with('/'));
        let mut segments = path.unwrap_or_default().trim_start_matches('/').split('/');
        let (first, second) = (
            segments.next().unwrap_or_default(),
            segments.next().unwrap_or_default(),
        );
        let endpoint = match (first, second) {
            ("object", "list" | "sign" | "info" | "public" | "authenticated")
            | ("upload", "resumable") => {
                format!("{} /{first}/{second}", head.method)
            }
            _ => format!("{} /{first}", head.method),
        };
        let trace = Trace {
            method: head.method.clone(),
            path: full_path.clone(),
            endpoint,
            call: None,
            ids: Vec::new(),
        };
        let call = Call {
            method: head.method,
            path: path.map(str::to_owned),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
        };
        Ok(Received {
            trace,
            call,
            upload: Upload::new(body),
        })
    }

    async fn answer(&self, call: Call, upload: &mut Upload) -> io::Result<Response<Payload>> {
        self.route(&call, upload).await
    }

    fn control(&self, method: &Method, path: &str, body: &Value) -> Option<Value> {
        Some(match (method, path.strip_prefix("/_world/")?) {
            (&Method::GET, "objects") => json!(self.objects()),
            (&Method::GET, "verify") => json!(self.verify_all()),
            (&Method::GET, "quota") => {
                let stock = self.stock.lock();
                json!({"bytes": stock.quota_bytes, "used_bytes": stock.used_bytes})
            }
            (&Method::PUT, "quota") => {
                self.stock.lock().quota_bytes = body.get("bytes").and_then(Value::as_u64);
                json!({})
            }
            (&Method::DELETE, "uploads") => {
                self.uploads.forget_all();
                json!({})
            }
            _ => return None,
        })
    }
}
