//! `/bucket`: the buckets and their rules.

use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::access::Caller;
use super::answers::{Refusal, no_route_within, written};
use super::site::{Answer, Call, Site};
use super::stock::{Bucket, iso};
use crate::odoo::now_us;

impl Site {
    pub(super) fn bucket(&self, call: &Call, name: Option<&str>, body: &[u8]) -> Answer {
        if self.caller(call)? == Caller::Anonymous {
            return Err(if call.method == Method::GET {
                Refusal::no_bucket()
            } else {
                Refusal::row_level_security()
            });
        }
        let mut stock = self.stock.lock();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        if call.method == Method::POST
            && let Some((name, "empty")) = name.and_then(|name| name.split_once('/'))
        {
            stock.bucket(name)?;
            stock.empty(name);
            let message = "Empty bucket has been queued. Completion may take up to an hour.";
            return Ok(written(StatusCode::OK, &json!({"message": message})));
        }
        match (&call.method, name) {
            (&Method::GET, None | Some("")) => {
                let all: Vec<_> = stock.buckets.values().map(BucketShown::of).collect();
                Ok(written(StatusCode::OK, &all))
            }
            (&Method::GET, Some(name)) if !name.contains('/') => {
                let bucket = stock.buckets.get(name).ok_or_else(Refusal::no_bucket)?;
                Ok(written(StatusCode::OK, &BucketShown::of(bucket)))
            }
            (&Method::POST, None | Some("")) => {
                let name = body.get("name").and_then(Value::as_str);
                let name = name
                    .ok_or_else(|| Refusal::request("body must have required property 'name'"))?;
                if name.is_empty() || name.contains(['/', '\\']) {
                    return Err(Refusal::bucket_name());
                }
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
                stock.bucket(name)?;
                if stock.holds_anything(name) {
                    return Err(Refusal::bucket_not_empty());
                }
                stock.buckets.remove(name);
                Ok(written(
                    StatusCode::OK,
                    &json!({"message": "Successfully deleted"}),
                ))
            }
            (method, None) => Ok(no_route_within(method, "/bucket")),
            (method, Some(name)) => Ok(no_route_within(method, &format!("/bucket/{name}"))),
        }
    }
}

/// A bucket as Storage shows it.
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
