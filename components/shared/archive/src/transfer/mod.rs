//! Moves bytes from Odoo to Storage, verified.

mod confirm;
mod fetch;
mod large;
mod media_type;
mod resume_point;
mod upload;

pub(crate) use base16ct::lower::encode_string as hex;
pub(crate) use confirm::{Sent, Unconfirmed, confirm};
pub(crate) use fetch::{Fetched, group, whole};
pub(crate) use large::{LargeEnd, LargeUpload, large};
pub use media_type::media_type;
pub(crate) use upload::upload;

use content::{ObjectPath, Sha1};
use fault::{Fault, Kind};
use ledger::attachments::Claimed;
use outbound::Http;
use serde_json::json;
use sha1::Digest as _;
use storage::{Label, Storage};

/// The part size of streamed content: that of Storage's pieces, so that a large file is not copied.
#[expect(clippy::cast_possible_truncation, reason = "six MiB")]
const PART_BYTES: usize = storage::CHUNK_BYTES as usize;

/// The path of the file's object.
pub(crate) fn path(file: &Claimed) -> ObjectPath {
    ObjectPath::of(&file.checksum)
}

/// The metadata stored with the object, so that the archive explains itself without the catalogue. Files that share a
/// content share the first one's.
fn label(file: &Claimed) -> Label<'_> {
    Label {
        content_type: media_type(file.mimetype.as_deref()),
        metadata: json!({
            "odoo_id": file.id,
            "name": file.name,
            "mimetype": file.mimetype,
            "sha1": file.checksum.to_string(),
        }),
    }
}

/// The SHA-1 of these bytes.
fn sha1(bytes: &[u8]) -> Sha1 {
    <[u8; 20]>::from(sha1::Sha1::digest(bytes)).into()
}

/// Verifies a file's bytes: length first, then SHA-1. Odoo gives a lost file as an empty one without any error (seen
/// on 18).
fn verify(file: &Claimed, length: u64, sha1: Sha1) -> Result<(), Fault> {
    if length == 0 && file.file_size > 0 {
        return Err(Fault::new(
            Kind::SourceEmpty,
            "Attachment not found or empty",
        ));
    }
    if length < file.file_size {
        return Err(Fault::told(
            Kind::Truncated,
            format!("Odoo gave {length} of {} bytes", file.file_size),
        ));
    }
    let expected = file.checksum;
    if length != file.file_size || sha1 != expected {
        return Err(Fault::told(
            Kind::WrongBytes,
            format!("the bytes' SHA-1 is not {expected}, as Odoo says it is"),
        ));
    }
    Ok(())
}

/// Blames a proxy's answer on the one object if the bucket still answers. Otherwise the bucket's fault, which
/// concerns all objects, is returned.
async fn of_one_object<H: Http>(storage: &Storage<H>, fault: Fault) -> Fault {
    if !matches!(fault.kind(), Kind::StorageProxy | Kind::StorageProtocol) {
        return fault;
    }
    match storage.check_bucket().await {
        Ok(_) => Fault::told(Kind::FileBlocked, fault.message()),
        Err(of_all) => of_all,
    }
}

/// A refusal to read one file's content concerns that file only, although for a listing it would concern all: access
/// follows the record that a file is attached to (an administrator saw 203 of 205).
fn of_one_file(fault: Fault) -> Fault {
    match fault.kind() {
        Kind::SourceForbidden => Fault::told(Kind::FileForbidden, fault.message()),
        _ => fault,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn file(size: u64, checksum: &str, mimetype: Option<&str>) -> Claimed {
        Claimed {
            id: 1,
            name: None,
            mimetype: mimetype.map(str::to_owned),
            file_size: size,
            checksum: checksum.parse().unwrap(),
            attempts: 0,
            interruptions: 0,
            upload: None,
            stored: false,
            lost: false,
        }
    }

    #[test]
    fn only_the_very_bytes_pass() {
        let pdf = file(15, "0d10d65a3cbca6a252daf0510f07e278dbe86fd2", None);
        let kind = |content: &'static [u8]| {
            let content = Bytes::from_static(content);
            Fetched::of(pdf.clone(), content)
                .map(|fetched| fetched.content)
                .map_err(|(_, fault)| fault.kind())
        };
        let sample = Bytes::from_static(b"%PDF-1.4 sample");
        assert_eq!(kind(b"%PDF-1.4 sample"), Ok(sample));
        assert_eq!(kind(b""), Err(Kind::SourceEmpty));
        assert_eq!(kind(b"%PDF-1.4"), Err(Kind::Truncated));
        assert_eq!(kind(b"%PDF-1.4 sampl!"), Err(Kind::WrongBytes));
        assert_eq!(kind(b"%PDF-1.4 sample and more"), Err(Kind::WrongBytes));
    }
}
