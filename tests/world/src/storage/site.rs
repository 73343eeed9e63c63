//! Which address leads where.

use std::collections::HashMap;
use std::io;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, HeaderName, IF_NONE_MATCH, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::access::{self, Caller};
use super::answers::{Refusal, gateway, no_route, set, written};
use super::intake::Intake;
use super::resumable::{self, Uploads};
use super::stock::{Bucket, Label, Object, Stock, Stored, iso, uuid};
use super::{Options, Verification, is_named_after, names};
use crate::odoo::{hex, http_date, now_us, parse_range, percent_encode};
use crate::serve::{Locked, Payload, Received, Trace, Upload, empty, unpredictable};

/// The largest body of a JSON request.
const JSON_BYTES: usize = 16 * 1024 * 1024;
/// How much of a refused upload is still taken in, so that the client can read the answer.
const DRAIN_BYTES: u64 = 64 * 1024 * 1024;

/// One Storage behind its address.
pub(crate) struct Site {
    pub options: Options,
    pub stock: Locked<Stock>,
    pub uploads: Uploads,
    signed: Locked<HashMap<String, Signed>>,
}

/// An address that was signed.
struct Signed {
    path: String,
    expires_us: i64,
}

/// A request whose head was read.
pub(crate) struct Call {
    method: Method,
    /// Behind the prefix, not yet decoded; `None` where the prefix is not there.
    path: Option<String>,
    query: String,
    headers: HeaderMap,
}

/// An answer, good or bad.
type Answer = Result<Response<Payload>, Refusal>;

impl Site {
    pub(crate) fn new(options: Options) -> Self {
        let stock = Stock::new(options.buckets.clone(), options.quota_bytes);
        Self {
            options,
            stock: Locked::new(stock),
            uploads: Uploads::default(),
            signed: Locked::default(),
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

    /// Whether an object may come in, as far as is known before its bytes.
    pub(crate) fn admit(
        &self,
        bucket: &str,
        name: &str,
        announced_bytes: Option<u64>,
        mimetype: &str,
        upsert: bool,
    ) -> Result<(), Refusal> {
        let stock = self.stock.lock();
        let rules = stock.bucket(bucket)?;
        if !rules.takes(mimetype) {
            return Err(Refusal::mime_type(mimetype));
        }
        // Only an announced size is held against the limit: a chunked upload slips past it.
        let limit = rules
            .file_size_limit
            .unwrap_or(u64::MAX)
            .min(self.options.file_size_limit);
        if announced_bytes.is_some_and(|bytes| bytes > limit) {
            return Err(Refusal::too_large());
        }
        // Looked up before the bytes come and not again after: not atomic, like the real one.
        if !upsert && stock.object(bucket, name).is_some() {
            return Err(Refusal::exists());
        }
        if !stock.has_room(announced_bytes.unwrap_or(0)) {
            return Err(Refusal::quota(self.options.quota_signal));
        }
        Ok(())
    }

    async fn route(&self, call: &Call, upload: &mut Upload) -> io::Result<Response<Payload>> {
        let Some(path) = &call.path else {
            return Ok(no_route(&call.method, ""));
        };
        if let Some(refused) = self.refused_by_gateway(call) {
            return Ok(refused);
        }
        if let Some(resumable) = path.strip_prefix("/upload/resumable") {
            return self
                .resumable(call, resumable.trim_start_matches('/'), upload)
                .await;
        }
        let segments: Vec<&str> = path.trim_start_matches('/').splitn(3, '/').collect();
        let answer = match (&call.method, segments.as_slice()) {
            (_, ["bucket", ..]) => {
                let body = upload.collect(JSON_BYTES).await?;
                self.bucket(call, segments.get(1).copied(), &body)
            }
            (&Method::POST, ["object", "list", bucket]) => {
                let body = upload.collect(JSON_BYTES).await?;
                self.caller(call)
                    .and_then(|caller| self.list(caller, bucket, &body))
            }
            (&Method::POST, ["object", "sign", place]) => {
                let body = upload.collect(JSON_BYTES).await?;
                self.caller(call)
                    .and_then(|caller| self.sign(caller, place, &body))
            }
            (&Method::GET | &Method::HEAD, ["object", "sign", place]) => self.signed(call, place),
            (&Method::GET | &Method::HEAD, ["object", "info", place]) => {
                let place = place.strip_prefix("authenticated/").unwrap_or(place);
                self.readable(call, place, false)
                    .map(|(name, object)| info(&name, &object, place))
            }
            (&Method::GET | &Method::HEAD, ["object", "public", place]) => self
                .readable(call, place, true)
                .and_then(|(_, object)| content(call, &object)),
            (&Method::GET | &Method::HEAD, ["object", "authenticated", place]) => self
                .readable(call, place, false)
                .and_then(|(_, object)| content(call, &object)),
            (&Method::GET | &Method::HEAD, ["object", bucket, name]) => self
                .readable(call, &format!("{bucket}/{name}"), false)
                .and_then(|(_, object)| content(call, &object)),
            (&Method::POST | &Method::PUT, ["object", bucket, name]) if !name.is_empty() => {
                match self.store(call, bucket, name, upload).await? {
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
                    .map(|caller| self.delete_several(caller, bucket, &body))
            }
            (&Method::DELETE, ["object", bucket, name]) => self
                .caller(call)
                .and_then(|caller| self.delete(caller, bucket, &names::decode(name))),
            _ => return Ok(no_route(&call.method, path)),
        };
        let mut response = answer.unwrap_or_else(|refusal| refusal.answer());
        if call.method == Method::HEAD && !response.status().is_success() {
            *response.body_mut() = Payload::default();
        }
        Ok(response)
    }

    fn refused_by_gateway(&self, call: &Call) -> Option<Response<Payload>> {
        let signed_or_public = call.path.as_deref().is_some_and(|path| {
            path.starts_with("/object/sign/") || path.starts_with("/object/public/")
        });
        if !self.options.requires_apikey || (signed_or_public && call.method != Method::POST) {
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
        (!known).then(|| {
            gateway(
                "Invalid API key",
                "Double check your Supabase `anon` or `service_role` API key.",
            )
        })
    }

    fn caller(&self, call: &Call) -> Result<Caller, Refusal> {
        access::tell(
            &call.headers,
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
        let refused = match self.caller(call) {
            Err(refusal) => Some(refusal.plain()),
            Ok(Caller::Anonymous) => Some(Refusal::row_level_security().plain()),
            Ok(Caller::Service) => resumable::refused_version(&call.headers),
        };
        let response = match refused {
            Some(refused) => refused,
            None => match (&call.method, id) {
                (&Method::POST, "") => resumable::create(self, &call.headers),
                (&Method::HEAD, id) => resumable::progress(self, id).await,
                (&Method::PATCH, id) => resumable::append(self, id, &call.headers, upload).await?,
                (&Method::DELETE, id) => self.uploads.terminate(id),
                (method, id) => no_route(method, &format!("/upload/resumable/{id}")),
            },
        };
        if response.status().as_u16() >= 400 {
            upload.drain(DRAIN_BYTES).await;
        }
        Ok(response)
    }

    fn bucket(&self, call: &Call, name: Option<&str>, body: &[u8]) -> Answer {
        if self.caller(call)? == Caller::Anonymous {
            return Err(if call.method == Method::GET {
                Refusal::no_bucket()
            } else {
                Refusal::row_level_security()
            });
        }
        let mut stock = self.stock.lock();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match (&call.method, name) {
            (&Method::GET, None | Some("")) => {
                let all: Vec<_> = stock.buckets.values().map(BucketShown::of).collect();
                Ok(written(StatusCode::OK, &all))
            }
            (&Method::GET, Some(name)) => {
                let bucket = stock.buckets.get(name).ok_or_else(Refusal::no_bucket)?;
                Ok(written(StatusCode::OK, &BucketShown::of(bucket)))
            }
            (&Method::POST, None | Some("")) => {
                let name = body
                    .get("name")
                    .or_else(|| body.get("id"))
                    .and_then(Value::as_str);
                let name = name
                    .ok_or_else(|| Refusal::request("body must have required property 'name'"))?;
                if stock.buckets.contains_key(name) {
                    return Err(Refusal::bucket_exists());
                }
                let bucket = Bucket {
                    name: name.to_owned(),
                    ..with_rules(Bucket::private(name), &body)
                };
                stock.buckets.insert(name.to_owned(), (bucket, now_us()));
                Ok(written(StatusCode::OK, &json!({"name": name})))
            }
            (&Method::PUT, Some(name)) => {
                let (bucket, _) = stock.buckets.get_mut(name).ok_or_else(Refusal::no_bucket)?;
                *bucket = with_rules(bucket.clone(), &body);
                Ok(written(
                    StatusCode::OK,
                    &json!({"message": "Successfully updated"}),
                ))
            }
            (&Method::DELETE, Some(name)) => {
                stock.buckets.remove(name).ok_or_else(Refusal::no_bucket)?;
                Ok(written(
                    StatusCode::OK,
                    &json!({"message": "Successfully deleted"}),
                ))
            }
            (method, _) => Ok(no_route(method, "/bucket")),
        }
    }

    fn list(&self, caller: Caller, bucket: &str, body: &[u8]) -> Answer {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(prefix) = body.get("prefix").and_then(Value::as_str) else {
            return Err(Refusal::request(
                "body must have required property 'prefix'",
            ));
        };
        let number = |name: &str, otherwise| {
            body.get(name)
                .and_then(Value::as_u64)
                .and_then(|number| usize::try_from(number).ok())
                .unwrap_or(otherwise)
        };
        let page = (number("offset", 0), number("limit", 100));
        let descending = body.pointer("/sortBy/order").and_then(Value::as_str) == Some("desc");
        let search = body
            .get("search")
            .and_then(Value::as_str)
            .unwrap_or_default();
        // A missing bucket, and one that is out of bounds, look empty.
        let listed = match caller {
            Caller::Anonymous => Vec::new(),
            Caller::Service => self
                .stock
                .lock()
                .list(bucket, prefix, search, descending, page),
        };
        Ok(written(StatusCode::OK, &listed))
    }

    /// The object at `bucket/name`, if this caller may read it.
    fn readable(
        &self,
        call: &Call,
        place: &str,
        public: bool,
    ) -> Result<(String, Object), Refusal> {
        let (bucket, name) = place.split_once('/').ok_or_else(Refusal::no_object)?;
        let name = names::decode(name);
        let stock = self.stock.lock();
        let rules = stock.bucket(bucket)?;
        if public || !access::is_given(&call.headers) {
            if !rules.public {
                return Err(Refusal::no_bucket());
            }
        } else {
            let caller = access::tell(
                &call.headers,
                &self.options.service_keys,
                &self.options.anonymous_keys,
            )?;
            if caller == Caller::Anonymous && !rules.public {
                return Err(Refusal::no_object());
            }
        }
        let object = stock
            .object(bucket, &name)
            .cloned()
            .ok_or_else(Refusal::no_object)?;
        Ok((name, object))
    }

    /// `POST` and `PUT /object/<bucket>/<name>`. The outer error: the upload was cut off.
    async fn store(
        &self,
        call: &Call,
        bucket: &str,
        name: &str,
        upload: &mut Upload,
    ) -> io::Result<Answer> {
        let header =
            |name: HeaderName| call.headers.get(name).and_then(|value| value.to_str().ok());
        let mimetype = header(CONTENT_TYPE)
            .unwrap_or("application/octet-stream")
            .to_owned();
        let name = names::decode(name);
        let announced = header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
        // `TRUE` is not `true`.
        let upsert = call.method == Method::PUT
            || call
                .headers
                .get("x-upsert")
                .is_some_and(|value| value == "true");
        let admitted = self.caller(call).and_then(|caller| {
            self.stock.lock().bucket(bucket)?;
            if caller == Caller::Anonymous {
                return Err(Refusal::row_level_security());
            }
            names::check(&name)?;
            self.admit(bucket, &name, announced, &mimetype, upsert)
        });
        if let Err(refusal) = admitted {
            return Ok(Err(refusal));
        }
        let version = uuid();
        let mut intake = self.intake(false, version)?;
        while let Some(piece) = upload.next().await {
            intake.take(&piece?)?;
        }
        let cache_control = header(CACHE_CONTROL).unwrap_or("no-cache").to_owned();
        let label = Label {
            bucket: bucket.to_owned(),
            name,
            version,
            mimetype,
            cache_control,
            resumable: false,
        };
        let mut stock = self.stock.lock();
        if !stock.has_room(intake.len()) {
            return Ok(Err(Refusal::quota(self.options.quota_signal)));
        }
        let key = format!("{}/{}", label.bucket, label.name);
        let id = stock.put(label, intake.finish());
        Ok(Ok(written(StatusCode::OK, &Put { key, id })))
    }

    fn delete(&self, caller: Caller, bucket: &str, name: &str) -> Answer {
        let mut stock = self.stock.lock();
        stock.bucket(bucket)?;
        if caller == Caller::Anonymous || stock.remove(bucket, name).is_none() {
            return Err(Refusal::no_object());
        }
        Ok(written(
            StatusCode::OK,
            &json!({"message": "Successfully deleted"}),
        ))
    }

    fn delete_several(&self, caller: Caller, bucket: &str, body: &[u8]) -> Response<Payload> {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let names = body
            .get("prefixes")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let mut stock = self.stock.lock();
        let deleted = names
            .filter(|_| caller == Caller::Service)
            .filter_map(|name| {
                let object = stock.remove(bucket, name)?;
                let mut entry = object.entry(name);
                if let Value::Object(entry) = &mut entry {
                    entry.insert("bucket_id".into(), json!(bucket));
                    entry.insert("owner".into(), json!(""));
                    entry.insert("owner_id".into(), json!(""));
                    entry.insert("version".into(), json!(object.version));
                    entry.insert("user_metadata".into(), json!({}));
                }
                Some(entry)
            });
        let deleted: Vec<Value> = deleted.collect();
        written(StatusCode::OK, &deleted)
    }

    fn sign(&self, caller: Caller, place: &str, body: &[u8]) -> Answer {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(seconds) = body.get("expiresIn").and_then(Value::as_i64) else {
            return Err(Refusal::request(
                "body must have required property 'expiresIn'",
            ));
        };
        let (bucket, name) = place.split_once('/').ok_or_else(Refusal::no_object)?;
        let name = names::decode(name);
        if caller == Caller::Anonymous || self.stock.lock().object(bucket, &name).is_none() {
            return Err(Refusal::no_object());
        }
        let path = format!("{bucket}/{name}");
        let claims = json!({"url": path, "iat": now_us() / 1_000_000, "exp": now_us() / 1_000_000 + seconds});
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signature = BASE64_URL_SAFE_NO_PAD.encode(format!(
            "{:016x}{:016x}",
            unpredictable(),
            unpredictable()
        ));
        let token = format!(
            "{}.{}.{signature}",
            part(&json!({"alg": "HS256"})),
            part(&claims)
        );
        let signed = Signed {
            path,
            expires_us: now_us() + seconds * 1_000_000,
        };
        self.signed.lock().insert(token.clone(), signed);
        let address = format!("/object/sign/{place}?token={token}");
        Ok(written(StatusCode::OK, &json!({"signedURL": address})))
    }

    /// `GET` of a signed address, by anyone.
    fn signed(&self, call: &Call, place: &str) -> Answer {
        let parameter = |name: &str| {
            let mut pairs = call
                .query
                .split('&')
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            pairs
                .find(|(key, _)| *key == name)
                .map(|(_, value)| names::decode(&value.replace('+', " ")))
        };
        let (bucket, name) = place.split_once('/').ok_or_else(Refusal::no_object)?;
        let name = names::decode(name);
        let token = parameter("token")
            .ok_or_else(|| Refusal::request("querystring must have required property 'token'"))?;
        let valid = self.signed.lock().get(&token).is_some_and(|signed| {
            signed.path == format!("{bucket}/{name}") && signed.expires_us > now_us()
        });
        if !valid {
            return Err(Refusal::signature());
        }
        let object = self
            .stock
            .lock()
            .object(bucket, &name)
            .cloned()
            .ok_or_else(Refusal::no_object)?;
        let mut response = content(call, &object)?;
        if let Some(download) = parameter("download") {
            let disposition = match download.as_str() {
                "" => "attachment".to_owned(),
                named => format!(
                    "attachment; filename*=UTF-8''{}",
                    percent_encode(named, b"-._~")
                ),
            };
            set(&mut response, CONTENT_DISPOSITION, &disposition);
        }
        Ok(response)
    }
}

/// The answer to a stored object.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    key: String,
    id: Uuid,
}

/// A bucket as the Storage shows it.
#[derive(Serialize)]
struct BucketShown<'a> {
    id: &'a str,
    name: &'a str,
    owner: &'static str,
    public: bool,
    file_size_limit: Option<u64>,
    allowed_mime_types: Option<&'a [String]>,
    created_at: String,
    updated_at: String,
}

impl<'a> BucketShown<'a> {
    fn of((bucket, created_us): &'a (Bucket, i64)) -> Self {
        Self {
            id: &bucket.name,
            name: &bucket.name,
            owner: "",
            public: bucket.public,
            file_size_limit: bucket.file_size_limit,
            allowed_mime_types: bucket.allowed_mime_types.as_deref(),
            created_at: iso(*created_us),
            updated_at: iso(*created_us),
        }
    }
}

/// A bucket with the rules that a request names.
fn with_rules(mut bucket: Bucket, body: &Value) -> Bucket {
    if let Some(public) = body.get("public").and_then(Value::as_bool) {
        bucket.public = public;
    }
    if let Some(limit) = body.get("file_size_limit") {
        bucket.file_size_limit = limit.as_u64();
    }
    if let Some(types) = body.get("allowed_mime_types") {
        let types = types.as_array().map(|types| {
            types
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        });
        bucket.allowed_mime_types = types;
    }
    bucket
}

/// The headers that tell one version of an object from another.
fn describe(response: &mut Response<Payload>, object: &Object) {
    set(response, ETAG, &object.etag);
    set(response, LAST_MODIFIED, &http_date(object.updated_us));
    set(response, CACHE_CONTROL, &object.cache_control);
}

fn info(name: &str, object: &Object, place: &str) -> Response<Payload> {
    #[derive(Serialize)]
    struct Info<'a> {
        id: Uuid,
        name: &'a str,
        version: Uuid,
        bucket_id: &'a str,
        size: u64,
        content_type: &'a str,
        cache_control: &'a str,
        etag: &'a str,
        metadata: Value,
        last_modified: String,
        created_at: String,
    }
    let mut response = written(
        StatusCode::OK,
        &Info {
            id: object.id,
            name,
            version: object.version,
            bucket_id: place.split('/').next().unwrap_or_default(),
            size: object.len,
            content_type: &object.mimetype,
            cache_control: &object.cache_control,
            etag: &object.etag,
            metadata: if object.resumable {
                Value::Null
            } else {
                json!({})
            },
            last_modified: iso(object.updated_us),
            created_at: iso(object.created_us),
        },
    );
    describe(&mut response, object);
    response
}

/// The bytes of an object, or a range of them.
fn content(call: &Call, object: &Object) -> Answer {
    let header = |name: HeaderName| call.headers.get(name).and_then(|value| value.to_str().ok());
    if header(IF_NONE_MATCH) == Some(&object.etag) {
        let mut response = empty(StatusCode::NOT_MODIFIED);
        describe(&mut response, object);
        return Ok(response);
    }
    let mut response = empty(StatusCode::OK);
    let (mut from, mut end) = (0, object.len);
    match header(RANGE).and_then(|range| parse_range(range, object.len)) {
        None => {}
        Some(Err(())) => return Err(Refusal::range()),
        Some(Ok((first, last))) => {
            (from, end) = (first, last + 1);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            set(
                &mut response,
                CONTENT_RANGE,
                &format!("bytes {first}-{last}/{}", object.len),
            );
        }
    }
    if call.method == Method::HEAD {
        set(&mut response, CONTENT_LENGTH, &(end - from).to_string());
    } else if end > from {
        let source = object.kept.source().ok_or_else(Refusal::internal)?;
        *response.body_mut() = Payload::source(source, from, end);
    }
    set(&mut response, ACCEPT_RANGES, "bytes");
    set(&mut response, CONTENT_TYPE, &object.mimetype);
    set(
        &mut response,
        HeaderName::from_static("x-robots-tag"),
        "none",
    );
    describe(&mut response, object);
    Ok(response)
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
