//! Storage's answers: errors, listings, offsets, and where an upload is.

use content::ObjectPath;
use futures::StreamExt;
use futures::executor::block_on;
use outbound::Secret;
use storage::{Fingerprint, Label, Resumable, Settings, Storage};

use crate::outside::{KEY, ORIGIN, Recorded, Server, check};

/// The answer to everything that is asked of Storage.
pub fn storage(data: &[u8]) {
    let storage = || {
        let settings = Settings {
            url: ORIGIN.to_owned(),
            upload_url: None,
            path: "/storage/v1".to_owned(),
            key: Secret::new(KEY),
            bucket: "odoo-archive".to_owned(),
        };
        Storage::new(Server::new(Recorded::read(data), 97), settings).unwrap()
    };
    let content = || b"content".to_vec();
    let fingerprint = Fingerprint {
        size: 7,
        md5: [0; 16],
    };
    let sha1 = "0d10d65a3cbca6a252daf0510f07e278dbe86fd2".parse().unwrap();
    let object = ObjectPath::of(&sha1);
    let path = object.as_str();
    let label = Label {
        content_type: "text/plain",
        metadata: serde_json::json!({"name": "a.txt"}),
    };
    block_on(async {
        check(storage().check_bucket().await);
        let stored = storage()
            .store(&object, &label, content().into(), &fingerprint, false)
            .await;
        check(stored);
        check(storage().info(path).await);
        for info in check(storage().list("0d", 0, 100).await).unwrap_or_default() {
            assert!(info.name.starts_with("0d/"));
        }
        if let Some(Some(mut bytes)) = check(storage().read(path).await) {
            while let Some(Ok(_)) = bytes.next().await {}
        }
        let known = Resumable {
            id: "upload-1".to_owned(),
        };
        let upload = check(storage().begin(&object, &label, 7).await).unwrap_or(known);
        assert!(!upload.id.is_empty() && !upload.id.contains(['/', ' ', '\r', '\n']));
        check(storage().offset(&upload).await);
        check(storage().append(&upload, 0, content().into()).await);
        check(storage().finish(&object, &fingerprint).await);
        check(storage().abandon(&upload).await);
    });
}
