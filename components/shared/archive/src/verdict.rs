//! Decides from Odoo's list whether an attachment is moved or skipped.

use content::Sha1;
use ledger::attachments::{Skip, Verdict};
use odoo::attachment::Attachment;

/// A link has no content, cloud content is not in Odoo, an empty file has no checksum. Limits set by variables are
/// applied later, when the file is claimed.
pub fn verdict(attachment: &Attachment) -> Verdict {
    let size = attachment.file_size.unwrap_or_default();
    match attachment.kind.as_str() {
        "url" => Verdict::Skip(Skip::Url),
        "cloud_storage" => Verdict::Skip(Skip::CloudStorage),
        "binary" => {
            let checksum = attachment.checksum.as_deref();
            if size <= 0 {
                Verdict::Skip(Skip::Empty)
            } else if checksum.is_none_or(|text| text.parse::<Sha1>().is_err()) {
                Verdict::Skip(Skip::NoChecksum)
            } else {
                Verdict::Move
            }
        }
        _ => Verdict::Skip(Skip::UnknownType),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(kind: &str, size: i64, checksum: Option<&str>) -> Verdict {
        let row = json!({"id": 1, "type": kind, "file_size": size, "checksum": checksum});
        verdict(&serde_json::from_value(row).unwrap())
    }

    #[test]
    fn only_content_that_can_be_verified_is_moved() {
        let sha1 = Some("0d10d65a3cbca6a252daf0510f07e278dbe86fd2");
        assert_eq!(of("binary", 15, sha1), Verdict::Move);
        assert_eq!(of("binary", i64::MAX, sha1), Verdict::Move);
        assert_eq!(of("binary", 0, None), Verdict::Skip(Skip::Empty));
        assert_eq!(of("binary", 15, None), Verdict::Skip(Skip::NoChecksum));
        assert_eq!(
            of("binary", 15, Some("../../etc/passwd")),
            Verdict::Skip(Skip::NoChecksum)
        );
        assert_eq!(of("url", 0, None), Verdict::Skip(Skip::Url));
        assert_eq!(
            of("cloud_storage", 0, None),
            Verdict::Skip(Skip::CloudStorage)
        );
    }
}
