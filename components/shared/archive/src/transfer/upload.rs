//! Storing a file that is held whole.

use bytes::Bytes;
use fault::Fault;
use ledger::attachments::Claimed;
use outbound::{Body, Http};
use storage::Storage;

use super::{content_type, path};

/// Stores verified bytes; `Ok` means that the Storage has confirmed them.
pub(crate) async fn upload<H: Http>(
    storage: &Storage<H>,
    file: &Claimed,
    content: Bytes,
) -> Result<(), Fault> {
    let again = Body::Whole(content.clone());
    storage
        .store(
            &path(file),
            content_type(file),
            file.file_size,
            Body::Whole(content),
            Some(again),
        )
        .await
        .map(|_| ())
}
