//! Where a large upload continues, stored in the ledger between batches.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use md5::digest::common::hazmat::SerializableState;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha1::Sha1;
use storage::Resumable;

/// Where a large upload continues: after a whole number of pieces.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResumePoint {
    /// The upload; `None` if an existing object is only compared.
    pub(super) upload: Option<Resumable>,
    /// How many bytes Storage has confirmed.
    pub(super) offset: u64,
    /// The state of the SHA-1 after these bytes.
    pub(super) sha1: Sha1,
    /// The state of the MD5 after these bytes.
    pub(super) md5: Md5,
}

/// The form stored in the ledger, with the hash states in base64.
#[derive(Serialize, Deserialize)]
struct Document {
    #[serde(flatten)]
    upload: Option<Resumable>,
    offset: u64,
    sha1_state: String,
    md5_state: String,
    /// The SHA-1 of the content that this belongs to.
    checksum: content::Sha1,
}

impl ResumePoint {
    /// Reads the stored form; `None` if it belongs to another content or is unreadable.
    pub(super) fn read(document: &Value, checksum: &content::Sha1) -> Option<Self> {
        let document: Document = serde_json::from_value(document.clone()).ok()?;
        let sha1 = STANDARD.decode(&document.sha1_state).ok()?;
        let md5 = STANDARD.decode(&document.md5_state).ok()?;
        (document.checksum == *checksum).then_some(Self {
            upload: document.upload,
            offset: document.offset,
            sha1: Sha1::deserialize(sha1.as_slice().try_into().ok()?).ok()?,
            md5: Md5::deserialize(md5.as_slice().try_into().ok()?).ok()?,
        })
    }

    /// Whether an earlier version stored this for the same content in a form that is no longer readable.
    pub(super) fn is_outdated(document: &Value, checksum: &content::Sha1) -> bool {
        document.get("checksum").and_then(Value::as_str) == Some(checksum.to_string().as_str())
            && Self::read(document, checksum).is_none()
    }

    /// The form to store in the ledger.
    pub(super) fn document(&self, checksum: &content::Sha1) -> Option<Value> {
        serde_json::to_value(Document {
            upload: self.upload.clone(),
            offset: self.offset,
            sha1_state: STANDARD.encode(self.sha1.serialize()),
            md5_state: STANDARD.encode(self.md5.serialize()),
            checksum: *checksum,
        })
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use md5::Digest;
    use serde_json::json;

    const ABC: content::Sha1 = content::Sha1::new([0xab; 20]);
    const OTHER: content::Sha1 = content::Sha1::new([0xcd; 20]);

    fn after(content: &[u8]) -> ResumePoint {
        ResumePoint {
            upload: Some(Resumable { id: "x".into() }),
            offset: content.len() as u64,
            sha1: Sha1::new_with_prefix(content),
            md5: Md5::new_with_prefix(content),
        }
    }

    #[test]
    fn hashes_go_on_where_they_were_kept() {
        let document = after(&[b'a'; 128]).document(&ABC).unwrap();
        let point = ResumePoint::read(&document, &ABC).unwrap();
        let id = point.upload.map(|upload| upload.id);
        assert_eq!((point.offset, id.as_deref()), (128, Some("x")));
        assert_eq!(
            point.sha1.chain_update(b"aaa").finalize(),
            Sha1::digest([b'a'; 131])
        );
        assert_eq!(
            point.md5.chain_update(b"aaa").finalize(),
            Md5::digest([b'a'; 131])
        );
    }

    #[test]
    fn a_comparison_goes_on_where_it_was_kept() {
        let comparing = ResumePoint {
            upload: None,
            ..after(b"")
        };
        let document = comparing.document(&ABC).unwrap();
        let point = ResumePoint::read(&document, &ABC).unwrap();
        assert!(point.upload.is_none());
    }

    #[test]
    fn what_an_earlier_version_kept_is_told_from_what_belongs_to_another_content() {
        let words = STANDARD.encode([0; 20]);
        let before = json!({"id": "x", "offset": 8, "sha1_state": words, "checksum": ABC});
        assert!(ResumePoint::is_outdated(&before, &ABC));
        assert!(!ResumePoint::is_outdated(&before, &OTHER));
        let now = after(b"").document(&ABC).unwrap();
        assert!(!ResumePoint::is_outdated(&now, &ABC));
    }

    #[test]
    fn what_was_kept_of_another_content_or_is_broken_is_not_gone_on_with() {
        let document = after(b"").document(&ABC).unwrap();
        assert!(ResumePoint::read(&document, &ABC).is_some());
        assert!(ResumePoint::read(&document, &OTHER).is_none());
        for (key, broken) in [
            ("offset", json!(null)),
            ("sha1_state", json!("AAAA")),
            ("sha1_state", json!(STANDARD.encode([0; 21]))),
            ("md5_state", json!(null)),
            ("md5_state", json!("AAAA")),
        ] {
            let mut broken_document = document.clone();
            broken_document[key] = broken;
            assert!(
                ResumePoint::read(&broken_document, &ABC).is_none(),
                "{broken_document}"
            );
        }
        assert!(ResumePoint::read(&json!(null), &ABC).is_none());
    }
}
