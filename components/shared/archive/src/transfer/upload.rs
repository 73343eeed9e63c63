//! Uploads a file that is held whole.

use bytes::Bytes;
use fault::Fault;
use ledger::attachments::Claimed;
use outbound::Http;
use storage::{Fingerprint, Storage, Stored};

use super::{label, of_one_object, path};

/// Uploads verified bytes. Returns whether Storage has confirmed them or only accepted them.
pub(crate) async fn upload<H: Http>(
    storage: &Storage<H>,
    file: &Claimed,
    content: Bytes,
    fingerprint: &Fingerprint,
) -> Result<Stored, Fault> {
    match storage
        .store(&path(file), &label(file), content, fingerprint, file.lost)
        .await
    {
        Ok(stored) => Ok(stored),
        Err(fault) => Err(of_one_object(storage, fault).await),
    }
}
