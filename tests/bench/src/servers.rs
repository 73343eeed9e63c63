//! The simulated Odoo and Storage, in a process of their own.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use world::odoo::{Odoo, User};
use world::storage::{KeepBytes, Storage};

use crate::case::{Files, ODOO_SERVICE_TIME, Place, STORAGE_SERVICE_TIME};
use crate::child::{self, Process};

/// The database's name in the simulated Odoo.
const DATABASE: &str = "odoo";

/// What the servers hold, and how far away they are.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    files: Files,
    count: u64,
    place: Place,
}

/// Where they are.
#[derive(Debug, Serialize, Deserialize)]
struct Addresses {
    odoo: String,
    storage: String,
    variables: stage::Variables,
}

/// Is the servers, until whoever asked for them ends.
pub async fn serve() -> Result<()> {
    let order: Order = child::order()?;
    let odoo = Odoo::start(world::odoo::Options {
        attachments: order.files.attachments(order.count),
        database: DATABASE.to_owned(),
        latency_ms: order.place.latency_ms,
        ..Default::default()
    })
    .await?;
    // The hash of each file is at hand before the clock runs.
    odoo.attachments().counts();
    let storage = world::storage::Options {
        // Hashed and counted as they come, but not kept: their memory is not what is measured.
        keep_bytes: KeepBytes::None,
        latency_ms: order.place.latency_ms,
        ..Default::default()
    };
    let key = storage.service_keys.first().cloned().unwrap_or_default();
    let storage = Storage::start(storage).await?;
    if order.place.is_slow {
        odoo.set_service_time(ODOO_SERVICE_TIME);
        storage.set_service_time(STORAGE_SERVICE_TIME);
    }
    let mut variables = stage::of_odoo(&odoo, DATABASE, &User::administrator());
    variables.extend(stage::of_storage(&storage, &key));
    child::tell(&Addresses {
        odoo: odoo.url(),
        storage: storage.url(),
        variables,
    })?;
    std::future::pending().await
}

/// Servers that are running.
pub struct Servers {
    addresses: Addresses,
    client: Client<HttpConnector, Full<Bytes>>,
    _process: Process,
}

/// What was asked of the servers, and what arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests to Odoo.
    pub odoo_calls: u64,
    /// Requests to Storage.
    pub storage_calls: u64,
    /// Bytes that lie in Storage.
    pub bytes: u64,
}

impl Servers {
    /// Starts them with so many files.
    pub async fn start(files: Files, count: u64, place: Place) -> Result<Self> {
        let order = Order {
            files,
            count,
            place,
        };
        let mut process = Process::start("serve", &order).await?;
        Ok(Self {
            addresses: process.answer().await?,
            client: Client::builder(TokioExecutor::new()).build_http(),
            _process: process,
        })
    }

    /// How the app reaches them.
    pub fn variables(&self) -> &stage::Variables {
        &self.addresses.variables
    }

    /// What was asked of them; an error unless all files of Odoo lie in Storage, each under the
    /// hash of its bytes.
    pub async fn check(&self) -> Result<Seen> {
        #[derive(Deserialize)]
        struct Counters {
            total: Total,
        }
        #[derive(Deserialize)]
        struct Total {
            calls: u64,
        }
        #[derive(Deserialize)]
        struct Counts {
            movable: u64,
            movable_bytes: u64,
        }
        #[derive(Deserialize)]
        struct Verified {
            objects: u64,
            bytes: u64,
            misnamed: Vec<String>,
        }
        let Addresses { odoo, storage, .. } = &self.addresses;
        let of_odoo: Counters = self.ask(odoo, "counters").await?;
        let of_storage: Counters = self.ask(storage, "counters").await?;
        let counts: Counts = self.ask(odoo, "counts").await?;
        let verified: Verified = self.ask(storage, "verify").await?;
        ensure!(
            verified.misnamed.is_empty(),
            "objects that are not what their name says: {:?}",
            verified.misnamed
        );
        ensure!(
            (verified.objects, verified.bytes) == (counts.movable, counts.movable_bytes),
            "Odoo has {} files of {} bytes, in Storage are {} of {}",
            counts.movable,
            counts.movable_bytes,
            verified.objects,
            verified.bytes
        );
        Ok(Seen {
            odoo_calls: of_odoo.total.calls,
            storage_calls: of_storage.total.calls,
            bytes: verified.bytes,
        })
    }

    async fn ask<T: DeserializeOwned>(&self, url: &str, what: &str) -> Result<T> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(format!("{url}/_world/{what}"))
            .body(Full::default())?;
        let response = self
            .client
            .request(request)
            .await
            .with_context(|| format!("a simulated server does not tell its {what}"))?;
        let body = response.into_body().collect().await?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    }
}
