//! TLS to the outside: rustls, which trusts Mozilla's roots and what it is given besides.

mod postgres;

pub use postgres::Rustls;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// A client's configuration. `authority` is the PEM text of one more certificate authority; as in
/// Spin, whatever else the text holds is passed over.
pub fn client_config(authority: Option<&str>) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(pem) = authority {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| anyhow::anyhow!("invalid root certificate: {error}"))?;
        roots.add(certificate).context("invalid root certificate")?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
