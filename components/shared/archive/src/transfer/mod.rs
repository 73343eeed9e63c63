//! Moving bytes: from Odoo, verified, into the Storage.

mod fetch;
mod lanes;
mod pieces;
mod together;
mod upload;

pub(crate) use fetch::{Fetched, Unverified, group, whole};
pub(crate) use pieces::{PiecesEnd, Progress, pieces};
pub(crate) use together::{COMPANY, Together};
pub(crate) use upload::upload;

use fault::{Fault, Kind};
use ledger::attachments::Claimed;

/// A large file comes in the parts that the Storage takes, and all others by the same way as one.
#[expect(clippy::cast_possible_truncation, reason = "six MiB")]
const PART_BYTES: usize = storage::CHUNK_BYTES as usize;

/// The MIME type that an object gets: Odoo's, if it can stand in a header.
fn content_type(file: &Claimed) -> &str {
    file.mimetype
        .as_deref()
        .filter(|mime| {
            mime.split_once('/')
                .is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty())
                && mime.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        })
        .unwrap_or("application/octet-stream")
}

/// Where its object lies.
pub(crate) fn path(file: &Claimed) -> String {
    storage::object_path(file.checksum.as_deref().unwrap_or_default())
}

/// Whether these are the file's bytes: length first, then SHA-1. Odoo gives a lost file as an empty
/// one without any error (seen on 18).
fn verify(file: &Claimed, length: u64, sha1: &[u8]) -> Result<(), Fault> {
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
    let expected = file.checksum.as_deref().unwrap_or_default();
    if length != file.file_size || hex(sha1) != expected {
        return Err(Fault::told(
            Kind::WrongBytes,
            format!("the bytes' SHA-1 is not {expected}, as Odoo says it is"),
        ));
    }
    Ok(())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// A refusal of one file's content is that file's, though the same words to a listing would be
/// everybody's: access follows the record that a file hangs on (an administrator saw 203 of 205).
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
            mimetype: mimetype.map(str::to_owned),
            file_size: size,
            checksum: Some(checksum.to_owned()),
            attempts: 0,
            interruptions: 0,
            upload: None,
            stored: false,
        }
    }

    #[test]
    fn only_the_very_bytes_pass() {
        let pdf = file(15, "0d10d65a3cbca6a252daf0510f07e278dbe86fd2", None);
        let kind = |content: &'static [u8]| {
            let content = Bytes::from_static(content);
            let verified = Unverified::new(pdf.clone(), content, &Together::default()).verify();
            verified
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

    #[test]
    fn a_mime_type_that_is_none_becomes_bytes() {
        for (mime, expected) in [
            (Some("application/pdf"), "application/pdf"),
            (
                Some("text/plain; charset=utf-8"),
                "text/plain; charset=utf-8",
            ),
            (Some("a\r\nX-Evil: 1"), "application/octet-stream"),
            (Some("pdf"), "application/octet-stream"),
            (None, "application/octet-stream"),
        ] {
            assert_eq!(content_type(&file(1, "x", mime)), expected);
        }
    }
}
