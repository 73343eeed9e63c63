//! A Supabase Storage, simulated or real.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use world::storage::{Age, Bucket, Etags, KeepBytes, KeyHeaders, QuotaSignal};

use crate::client::Client;
use crate::conversation::{Came, Target, ask, hex, pattern_bytes};
use crate::fixtures::Fixtures;
use crate::odoo::fresh_prefix;
use crate::report::Report;
use crate::table::{Caller, Step};
use crate::{Server, exchanges, way};

/// The real Storage that is asked.
pub struct Options {
    /// `scheme://host[:port]`.
    pub url: String,
    /// What its paths begin with: `/storage/v1` on hosted Supabase.
    pub path: String,
    /// The service key: a JWT, or one that begins with `sb_secret_`.
    pub key: String,
    /// The public key, where there is one.
    pub anonymous_key: Option<String>,
    /// A secret key, if its ways are to be asked too; the service key may be one.
    pub secret_key: Option<String>,
    /// A key of its own that has run out, if what is said of one is to be asked too.
    pub expired_key: Option<String>,
    /// What is known of it: `file_backend`, `s3_backend`, and its ways.
    pub known: Vec<String>,
    /// Make nothing.
    pub read_only: bool,
}

struct Storage {
    client: Client,
    base: String,
    key: String,
    anonymous_key: Option<String>,
    secret_key: Option<String>,
    expired_key: Option<String>,
}

/// A key that begins so is no JWT, and is not sent as a bearer's.
const OPAQUE: &str = "sb_";

impl Storage {
    /// The headers by which a caller proves itself.
    fn proof(key: &str) -> Vec<(&'static str, String)> {
        let mut headers = vec![("apikey", key.to_owned())];
        if !key.starts_with(OPAQUE) {
            headers.push(("authorization", format!("Bearer {key}")));
        }
        headers
    }
}

impl Target for Storage {
    async fn ask(&self, caller: Caller, step: &Step) -> Result<Result<Came, String>> {
        let line = step.http.as_deref().context("a step asks for nothing")?;
        let mut usual = match (caller, &self.anonymous_key) {
            (Caller::Nobody, _) => Vec::new(),
            (Caller::Anonymous, None) => return Ok(Err("no public key was given".to_owned())),
            (Caller::Anonymous, Some(key)) => Self::proof(key),
            _ => Self::proof(&self.key),
        };
        if step.json.is_some() {
            usual.push(("content-type", "application/json".to_owned()));
        }
        let answer = self
            .client
            .send(ask(&self.base, line, step, &usual)?)
            .await?;
        Ok(Ok(answer.map_or_else(Came::Dropped, Came::Http)))
    }
}

/// What exchanges speak of.
fn fixtures(prefix: &str, storage: &Storage) -> Fixtures {
    use md5::{Digest, Md5};
    let mut fixtures = Fixtures::default();
    fixtures.set("prefix", prefix);
    fixtures.set("key", storage.key.clone());
    let secret = storage
        .secret_key
        .as_ref()
        .or_else(|| Some(&storage.key).filter(|key| key.starts_with(OPAQUE)));
    for (name, key) in [
        ("anonymous_key", storage.anonymous_key.as_ref()),
        ("secret_key", secret),
        ("expired_key", storage.expired_key.as_ref()),
    ] {
        match key {
            Some(key) => fixtures.set(name, key.clone()),
            None => fixtures.lack(name, "it was not given"),
        }
    }
    for length in [15_usize, 1000] {
        let bytes = pattern_bytes(length);
        fixtures.set(&format!("md5.{length}"), hex(&Md5::digest(&bytes)));
        fixtures.set(
            &format!("sha1.{length}"),
            hex(&<sha1::Sha1 as Digest>::digest(&bytes)),
        );
    }
    // Of a resumable upload in pieces of 6 MiB, as S3 makes them.
    for (name, lengths) in [
        ("etag.one_part", &[6_291_456_usize][..]),
        ("etag.two_parts", &[6_291_456, 1]),
    ] {
        let parts = lengths
            .iter()
            .map(|length| Md5::digest(pattern_bytes(*length)));
        let parts: Vec<u8> = parts.flatten().collect();
        let etag = format!("{}-{}", hex(&Md5::digest(&parts)), lengths.len());
        fixtures.set(name, etag);
    }
    fixtures
}

/// Makes the buckets that exchanges speak of; what is in them is made by the exchanges.
async fn furnish(storage: &Storage, fixtures: &mut Fixtures) -> Result<()> {
    for (name, rules) in [
        ("bucket", json!({"public": false})),
        (
            "limited",
            json!({"public": false, "file_size_limit": 1000, "allowed_mime_types": ["text/*", "application/pdf"]}),
        ),
    ] {
        let kind = name;
        let name = format!("{}-{kind}", fixtures.text("prefix"));
        fixtures.set(kind, name.clone());
        let mut body = json!({"id": name, "name": name});
        if let (Value::Object(body), Value::Object(rules)) = (&mut body, rules) {
            body.extend(rules);
        }
        let step = Step {
            http: Some("POST /bucket".to_owned()),
            json: Some(body),
            ..Step::default()
        };
        match storage.ask(Caller::Administrator, &step).await? {
            Ok(Came::Http(answer)) if answer.status == 200 => {}
            other => bail!("the bucket {name} could not be made: {other:?}"),
        }
    }
    Ok(())
}

async fn remove(storage: &Storage, fixtures: &Fixtures) -> Vec<String> {
    let mut left = Vec::new();
    for name in ["bucket", "limited"] {
        let name = fixtures.text(name);
        for line in [
            format!("POST /bucket/{name}/empty"),
            format!("DELETE /bucket/{name}"),
        ] {
            let step = Step {
                http: Some(line.clone()),
                ..Step::default()
            };
            match storage.ask(Caller::Administrator, &step).await {
                Ok(Ok(Came::Http(answer))) if answer.status == 200 => {}
                other => left.push(format!("bucket {name}: {line}: {other:?}")),
            }
        }
    }
    left
}

/// What the simulated Storage keeps its objects in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Files.
    File,
    /// S3, as hosted.
    S3,
}

/// A Storage that has one of the ways that few have.
fn one_way(way: &str) -> Result<world::storage::Options> {
    let mut options = world::storage::Options {
        strict_chunks: false,
        ..Default::default()
    };
    match way {
        "apikey_only" => options.key_headers = KeyHeaders::OnlyApikey,
        "no_key_fits" => options.key_headers = KeyHeaders::Neither,
        "full_as_too_large" => options.quota_signal = QuotaSignal::EntityTooLarge,
        "full_as_restricted" => options.quota_signal = QuotaSignal::Restricted,
        "full_as_disk" => options.quota_signal = QuotaSignal::DiskFull,
        "whole_chunks" => options.strict_chunks = true,
        "cut_chunks_lost" => options.keeps_partial_chunks = false,
        "row_as_info" => options.age = Age::RowAsInfo,
        "headers_as_info" => options.age = Age::NoInfo,
        "no_codes" => options.age = Age::NoCodes,
        "nothing_in_pieces" => options.age = Age::NoResumable,
        other => bail!("there is no way {other}"),
    }
    if way.starts_with("full_") {
        options.quota_bytes = Some(2000);
    }
    Ok(options)
}

/// Runs the exchanges of one way against a simulated Storage that has it.
pub async fn against_simulated_way(name: &str) -> Result<Report> {
    let options = one_way(name)?;
    let bucket = options.buckets.first().map(|bucket| bucket.name.clone());
    let running = world::storage::Storage::start(options).await?;
    let storage = Storage {
        client: Client::new()?,
        base: format!("{}/storage/v1", running.url()),
        key: "service-role-key".to_owned(),
        anonymous_key: None,
        secret_key: None,
        expired_key: None,
    };
    let mut fixtures = fixtures("conform", &storage);
    fixtures.set("bucket", bucket);
    fixtures.set(name, true);
    let mut table = exchanges(Server::Storage)?;
    way::keep(&mut table, Some(name), |_| false);
    let mut report = Report::default();
    crate::conversation::run(&storage, &table, &fixtures, false, &mut report).await?;
    Ok(report)
}

/// Runs the table against a simulated Storage, behind a gateway or without one.
pub async fn against_simulated(behind_gateway: bool, backend: Backend) -> Result<Report> {
    let secret = "sb_secret_conform";
    let running = world::storage::Storage::start(world::storage::Options {
        requires_apikey: behind_gateway,
        key_headers: if behind_gateway {
            KeyHeaders::Hosted
        } else {
            KeyHeaders::OnlyBearer
        },
        // A secret key means nothing to Storage itself: the gateway puts a token in its place.
        service_keys: ["service-role-key", secret]
            .into_iter()
            .take(if behind_gateway { 2 } else { 1 })
            .map(str::to_owned)
            .collect(),
        buckets: vec![Bucket::private("odoo-archive")],
        strict_chunks: false,
        etags: match backend {
            Backend::File => Etags::Md5,
            Backend::S3 => Etags::Multipart,
        },
        keep_bytes: KeepBytes::Memory {
            max_object_bytes: 16 * 1024 * 1024,
        },
        ..Default::default()
    })
    .await?;
    let storage = Storage {
        client: Client::new()?,
        base: format!("{}/storage/v1", running.url()),
        key: "service-role-key".to_owned(),
        anonymous_key: Some("anon-key".to_owned()),
        secret_key: Some(secret.to_owned()),
        // {"alg":"HS256"}, {"exp":1}
        expired_key: Some("eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2lnbmF0dXJl".to_owned()),
    };
    let mut fixtures = fixtures("conform", &storage);
    fixtures.set("simulated", true);
    fixtures.lack("real", "this server is a simulated one");
    let (has, lacks) = match backend {
        Backend::File => ("file_backend", "s3_backend"),
        Backend::S3 => ("s3_backend", "file_backend"),
    };
    fixtures.set(has, true);
    fixtures.lack(lacks, "this Storage has another one");
    against(&storage, &mut fixtures, false).await
}

/// Runs the table against a real Storage.
pub async fn against_real(options: Options) -> Result<Report> {
    let storage = Storage {
        client: Client::new()?,
        base: format!(
            "{}{}",
            options.url.trim_end_matches('/'),
            options.path.trim_end_matches('/')
        ),
        key: options.key,
        anonymous_key: options.anonymous_key,
        secret_key: options.secret_key,
        expired_key: options.expired_key,
    };
    let mut fixtures = fixtures(&fresh_prefix(), &storage);
    fixtures.lack("simulated", "this server is a real one");
    fixtures.set("real", true);
    for backend in ["file_backend", "s3_backend"] {
        fixtures.lack(
            backend,
            format!("say so by --known {backend}=1, if it has one"),
        );
    }
    for name in options.known {
        fixtures.set(&name, true);
    }
    against(&storage, &mut fixtures, options.read_only).await
}

/// Whether a gateway is before it: without one, nobody is told what an API key is.
async fn look_for_gateway(storage: &Storage, fixtures: &mut Fixtures) -> Result<()> {
    let step = Step {
        http: Some("GET /bucket".to_owned()),
        ..Step::default()
    };
    let told = match storage.ask(Caller::Nobody, &step).await? {
        Ok(Came::Http(answer)) => answer.status == 401,
        _ => false,
    };
    let (has, lacks) = if told {
        ("gateway", "no_gateway")
    } else {
        ("no_gateway", "gateway")
    };
    fixtures.set(has, true);
    fixtures.lack(lacks, "this Storage stands otherwise");
    Ok(())
}

async fn against(storage: &Storage, fixtures: &mut Fixtures, read_only: bool) -> Result<Report> {
    let mut report = Report::default();
    look_for_gateway(storage, fixtures).await?;
    if read_only {
        fixtures.lack("bucket", "none was made");
        fixtures.lack("limited", "none was made");
    } else {
        furnish(storage, fixtures).await?;
    }
    let mut table = exchanges(Server::Storage)?;
    way::keep(&mut table, None, |way| fixtures.get(way).is_some());
    let outcome = crate::conversation::run(storage, &table, fixtures, read_only, &mut report).await;
    if !read_only {
        report.left_behind = remove(storage, fixtures).await;
    }
    outcome.map(|()| report)
}
