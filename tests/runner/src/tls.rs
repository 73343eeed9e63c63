//! TLS to the outside: rustls, which trusts Mozilla's roots and what it is given besides.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// A client's configuration. `authority` is the PEM text of further certificate authorities.
pub(crate) fn client_config(authority: Option<&str>) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(pem) = authority {
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.context("invalid root certificate")?;
            roots.add(certificate).context("invalid root certificate")?;
            found = true;
        }
        ensure!(
            found,
            "invalid root certificate: no PEM block BEGIN CERTIFICATE"
        );
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
