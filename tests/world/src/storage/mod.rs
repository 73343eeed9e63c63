//! A simulated Supabase Storage.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use world::storage::{Options, Storage};
//!
//! let storage = Storage::start(Options::default()).await?;
//! println!("{}/storage/v1", storage.url());
//! storage.set_quota(Some(10_000_000));
//! assert!(storage.verify_all().misnamed.is_empty());
//! # Ok(()) }
//! ```

mod access;
mod answers;
mod buckets;
mod intake;
mod listing;
mod names;
mod objects;
mod reading;
mod resumable;
mod site;
mod stock;

use std::path::PathBuf;

use anyhow::Context;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use stock::{Bucket, Stored};

use crate::faults::Faults;
use crate::odoo::hex;
use crate::serve::{Counters, Server, ServiceTime};
use intake::Intake;

/// What the simulated Storage is like.
#[derive(Debug, Clone)]
pub struct Options {
    /// The port on loopback; a free one where `None`.
    pub port: Option<u16>,
    /// What stands before every path: `/storage/v1` as hosted, empty without a gateway in front.
    pub prefix: String,
    /// Keys that may do everything.
    pub service_keys: Vec<String>,
    /// Keys that row-level security keeps from everything in a private bucket.
    pub anonymous_keys: Vec<String>,
    /// Whether a gateway wants an `apikey` header beside the Authorization, as hosted.
    pub requires_apikey: bool,
    /// In which headers a key is taken.
    pub key_headers: KeyHeaders,
    /// The buckets there are.
    pub buckets: Vec<Bucket>,
    /// The largest object in bytes, over all buckets.
    pub file_size_limit: u64,
    /// How many bytes fit in all together.
    pub quota_bytes: Option<u64>,
    /// How it says that the quota is used up.
    pub quota_signal: QuotaSignal,
    /// What becomes of the bytes.
    pub keep_bytes: KeepBytes,
    /// What an etag is.
    pub etags: Etags,
    /// Whether a resumable upload takes nothing but chunks of 6 MiB, the last one excepted.
    pub strict_chunks: bool,
    /// Whether a resumable upload keeps what came of a chunk that was cut off.
    pub keeps_partial_chunks: bool,
    /// How old it is.
    pub age: Age,
    /// How long every answer takes at least, in milliseconds.
    pub latency_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: None,
            prefix: "/storage/v1".to_owned(),
            service_keys: vec!["service-role-key".to_owned()],
            anonymous_keys: vec!["anon-key".to_owned()],
            requires_apikey: false,
            key_headers: KeyHeaders::Hosted,
            buckets: vec![Bucket::private("odoo-archive")],
            file_size_limit: 5 * 1024 * 1024 * 1024,
            quota_bytes: None,
            quota_signal: QuotaSignal::EntityTooLarge,
            keep_bytes: KeepBytes::Memory {
                max_object_bytes: 256 * 1024,
            },
            etags: Etags::Md5,
            strict_chunks: true,
            keeps_partial_chunks: true,
            age: Age::Today,
            latency_ms: 0,
        }
    }
}

/// How old a self-hosted Storage is: each lacks what those before it lack, too (code of storage-api at these tags).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// As of 2026.
    Today,
    /// 1.7 and 1.8.0, July 2024: `info` answers with the row as the database has it.
    RowAsInfo,
    /// 1.0 to 1.6: `info` answers with headers and no body.
    NoInfo,
    /// Up to 0.46, January 2024: an error has no code.
    NoCodes,
    /// Before 0.35 of April 2023: nothing is taken in pieces.
    NoResumable,
}

/// What becomes of the bytes that were received. They are hashed and counted in any case; reading an
/// object whose bytes were not kept is a 500.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepBytes {
    /// They are forgotten.
    None,
    /// Objects up to this size stay in memory, larger ones are forgotten.
    Memory {
        /// The largest object that is kept, in bytes.
        max_object_bytes: u64,
    },
    /// They are files in this directory, which must exist; the caller clears it away.
    Dir(PathBuf),
}

/// In which headers Storage, or the gateway before it, takes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyHeaders {
    /// As hosted: a bearer in `Authorization`, which must be no secret key, or else `apikey`.
    Hosted,
    /// `apikey` without an `Authorization` beside it.
    OnlyApikey,
    /// `Authorization`, as without a gateway.
    OnlyBearer,
    /// None: whatever is sent is refused.
    Neither,
}

/// How Storage says that its quota is used up. The first two were not recorded: storage-api has no quota of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaSignal {
    /// Like an object that is too large: HTTP 400, `"statusCode":"413"`, code `EntityTooLarge`, message
    /// `bucket quota exceeded`.
    EntityTooLarge,
    /// As the gateway of a restricted project: 402, `… exceed_storage_size_quota.`
    Restricted,
    /// As a full disk under the file backend: 500, code `InternalError`, message `ENOSPC: …`. It shows only when the
    /// bytes are written.
    DiskFull,
}

/// What an etag is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Etags {
    /// The MD5 of the bytes, however they came (the file backend).
    Md5,
    /// The MD5 of the parts' MD5s with their count, for resumable uploads (S3).
    Multipart,
}

/// What becomes of the bytes of an upload that is answered like any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corruption {
    /// The last one is lost.
    Shorter,
    /// The first one is another.
    Other,
}

/// What a look at all objects found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// How many objects there are.
    pub objects: u64,
    /// Their bytes together.
    pub bytes: u64,
    /// Objects whose name is not `xx/<sha1>` of the bytes that were received.
    pub misnamed: Vec<String>,
}

/// A running simulated Storage. Dropping it ends it.
pub struct Storage {
    server: Server<site::Site>,
}

impl Storage {
    /// Starts it on loopback, in the current tokio runtime.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let (port, latency_ms) = (options.port, options.latency_ms);
        Ok(Self {
            server: Server::start(site::Site::new(options), port, latency_ms).await?,
        })
    }

    /// `http://127.0.0.1:<port>`, without the prefix.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The faults, to be set and lifted at any time.
    pub fn faults(&self) -> &Faults {
        self.server.faults()
    }

    /// What was asked so far.
    pub fn counters(&self) -> &Counters {
        self.server.counters()
    }

    /// All objects, by bucket and name.
    pub fn objects(&self) -> Vec<Stored> {
        self.server.site().objects()
    }

    /// The bytes of an object, where they were kept.
    pub fn bytes(&self, bucket: &str, name: &str) -> Option<Vec<u8>> {
        let source = self
            .server
            .site()
            .stock
            .lock()
            .object(bucket, name)?
            .kept
            .source()?;
        source.read_all(0, source.len()).ok()
    }

    /// Puts an object in place, behind every caller's back: a stranger's, or a damaged one.
    pub fn put(
        &self,
        bucket: &str,
        name: &str,
        mimetype: &str,
        bytes: impl Into<Bytes>,
    ) -> anyhow::Result<()> {
        let (site, version) = (self.server.site(), stock::uuid());
        let mut intake = Intake::new(
            &site.options.keep_bytes,
            site.options.etags,
            false,
            &version.to_string(),
        )?;
        intake.take(&bytes.into())?;
        let label = stock::Label {
            bucket: bucket.to_owned(),
            name: name.to_owned(),
            version,
            mimetype: mimetype.to_owned(),
            cache_control: "no-cache".to_owned(),
            metadata: serde_json::json!({}),
        };
        site.stock.lock().put(label, intake.finish());
        Ok(())
    }

    /// Changes the first byte of an object, and nothing that is said of it, as a failing disk does.
    pub fn rot(&self, bucket: &str, name: &str) -> anyhow::Result<()> {
        let mut bytes = self.bytes(bucket, name).context("no such object")?;
        let said = |site: &site::Site| {
            site.stock
                .lock()
                .object(bucket, name)
                .map(|o| (o.etag.clone(), o.mimetype.clone()))
        };
        let (etag, mimetype) = said(self.server.site()).context("no such object")?;
        let first = bytes.first_mut().context("an empty object")?;
        *first = !*first;
        self.put(bucket, name, &mimetype, bytes)?;
        if let Some(object) = self.server.site().stock.lock().object_mut(bucket, name) {
            object.etag = etag;
        }
        Ok(())
    }

    /// Stores so many of the next uploads with other bytes than were sent, and says nothing of it.
    pub fn corrupt(&self, uploads: usize, how: Corruption) {
        *self.server.site().spoiled.lock() = vec![how; uploads];
    }

    /// Of the next resumable uploads so many do not become objects at their last byte: the database fails. Files go at
    /// once then; S3's go later, by a queue.
    pub fn fail_to_finish(&self, uploads: usize) {
        *self.server.site().unfinished.lock() = vec![(); uploads];
    }

    /// Takes an object away, behind every caller's back; says whether it was there.
    pub fn remove(&self, bucket: &str, name: &str) -> bool {
        self.server
            .site()
            .stock
            .lock()
            .remove(bucket, name)
            .is_some()
    }

    /// Sets the rules of a bucket, or adds it.
    pub fn set_bucket(&self, bucket: Bucket) {
        let now = crate::odoo::now_us();
        self.server
            .site()
            .stock
            .lock()
            .buckets
            .insert(bucket.name.clone(), (bucket, now));
    }

    /// Takes a bucket away; its objects are out of reach until it is set again.
    pub fn remove_bucket(&self, name: &str) {
        self.server.site().stock.lock().buckets.remove(name);
    }

    /// Sets how many bytes fit in all together.
    pub fn set_quota(&self, bytes: Option<u64>) {
        self.server.site().stock.lock().quota_bytes = bytes;
    }

    /// How many bytes are stored.
    pub fn used_bytes(&self) -> u64 {
        self.server.site().stock.lock().used_bytes
    }

    /// Checks that each object's name is the hash of its bytes, as content-addressed names are.
    pub fn verify_all(&self) -> Verification {
        self.server.site().verify_all()
    }

    /// Forgets all resumable uploads that are not finished, as their expiry would.
    pub fn expire_uploads(&self) {
        self.server.site().uploads.forget_all();
    }

    /// How many resumable uploads are not finished.
    pub async fn open_uploads(&self) -> usize {
        self.server.site().uploads.open().await
    }

    /// Sets how long every answer takes at least.
    pub fn set_latency_ms(&self, ms: u64) {
        self.server.set_latency_ms(ms);
    }

    /// Sets how long it works at each request, one after the other.
    pub fn set_service_time(&self, service_time: ServiceTime) {
        self.server.set_service_time(service_time);
    }

    /// Ends the server and its connections at once, as an outage; what it holds is kept.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Ends the outage: the same port, the same objects, the same faults.
    pub async fn restart(&self) -> anyhow::Result<()> {
        Ok(self.server.restart().await?)
    }
}

/// Whether a name is `xx/<sha1>` of these bytes.
fn is_named_after(name: &str, sha1: &[u8; 20]) -> bool {
    let sha1 = hex(sha1);
    name.strip_prefix(sha1.get(..2).unwrap_or_default())
        .and_then(|rest| rest.strip_prefix('/'))
        == Some(&sha1)
}
