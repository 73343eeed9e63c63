//! Pools of connections: one for each component, address and certificate authority.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::{Config, NoTls, config::SslMode};

/// Spin's, for each pool.
const MAX_CONNECTIONS: usize = 64;

/// A connection out of a pool. It goes back when the last clone is dropped.
pub(super) type Client = Arc<PooledConnection>;

/// A connection, and the room it takes of all components' together.
pub(super) struct PooledConnection {
    object: Object,
    _room: Option<OwnedSemaphorePermit>,
}

impl Deref for PooledConnection {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.object
    }
}

/// The pools of one component.
#[derive(Default)]
pub(crate) struct Pools {
    pools: Mutex<HashMap<Key, Pool>>,
    /// As `max_connections` of Spin's `[outbound_pg]`: further calls wait.
    room: Option<Arc<Semaphore>>,
}

/// The address as it was given, and the PEM text of the authority.
type Key = (String, Option<String>);

impl Pools {
    /// Pools with no more connections in use than there is room for.
    pub(crate) fn within(room: Option<Arc<Semaphore>>) -> Self {
        Self {
            pools: Mutex::default(),
            room,
        }
    }

    pub(super) async fn get(&self, address: &str, authority: Option<&str>) -> Result<Client> {
        let pool = self.pool(address, authority)?;
        let room = match &self.room {
            Some(room) => Some(Arc::clone(room).acquire_owned().await?),
            None => None,
        };
        Ok(Arc::new(PooledConnection {
            object: pool.get().await?,
            _room: room,
        }))
    }

    fn pool(&self, address: &str, authority: Option<&str>) -> Result<Pool> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (address.to_owned(), authority.map(str::to_owned));
        if let Some(pool) = pools.get(&key) {
            return Ok(pool.clone());
        }
        let pool = open(address, authority)?;
        pools.insert(key, pool.clone());
        Ok(pool)
    }
}

fn open(address: &str, authority: Option<&str>) -> Result<Pool> {
    let config = parse(address)?;
    // Clean resets settings and drops temporary tables, but it does not roll back: a transaction
    // left open is still there for the next who gets the connection. So it is in Spin.
    let manager_config = ManagerConfig {
        recycling_method: RecyclingMethod::Clean,
    };
    let manager = if config.get_ssl_mode() == SslMode::Disable {
        Manager::from_config(config, NoTls, manager_config)
    } else {
        let tls = tls::Rustls(tls::client_config(authority)?);
        Manager::from_config(config, tls, manager_config)
    };
    Pool::builder(manager)
        .max_size(MAX_CONNECTIONS)
        .build()
        .context("cannot build a pool of connections")
}

/// Reads an address as `postgres://…` or `host=… user=…`.
pub(super) fn parse(address: &str) -> Result<Config> {
    for mode in ["verify-full", "verify-ca"] {
        if address.contains(&format!("sslmode={mode}")) {
            bail!(
                "invalid connection string: sslmode={mode} is not known to Spin; use `require`, which verifies too"
            );
        }
    }
    address.parse().context("invalid connection string")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifying_modes_are_refused_and_named_and_the_others_taken() {
        for mode in ["verify-full", "verify-ca"] {
            let error = parse(&format!("postgres://u:p@h/d?sslmode={mode}")).unwrap_err();
            assert!(error.to_string().contains(mode), "{error}");
        }
        for mode in ["disable", "prefer", "require"] {
            parse(&format!("postgres://u:p@h/d?sslmode={mode}")).unwrap();
            parse(&format!("host=h user=u sslmode={mode}")).unwrap();
        }
    }

    #[test]
    fn an_error_does_not_show_the_password() {
        let error = format!(
            "{:#}",
            parse("postgres://u:geheim@h/d?nonsense=1").unwrap_err()
        );
        assert!(!error.contains("geheim"), "{error}");
    }
}
