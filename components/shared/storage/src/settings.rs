//! Which Storage, and which bucket.

use fault::{Fault, Kind};
use outbound::Secret;

/// Which Storage, and which bucket.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `scheme://host[:port]`, without a path.
    pub url: String,
    /// What stands before `/object`: `/storage/v1` on hosted Supabase, nothing without a gateway.
    pub path: String,
    /// The service key.
    pub key: Secret,
    /// The bucket.
    pub bucket: String,
}

impl Settings {
    /// Whether there is enough to begin with.
    pub fn check(&self) -> Result<(), Fault> {
        for (missing, words) in [
            (
                self.url.is_empty() || self.url.ends_with(".invalid"),
                "storage_url is not set: give your project's address, such as https://abcd.supabase.co",
            ),
            (
                self.key.is_empty(),
                "storage_key is not set: give the service_role key or an sb_secret_ key",
            ),
            (self.bucket.is_empty(), "storage_bucket is not set"),
        ] {
            if missing {
                return Err(Fault::new(Kind::Setting, words));
            }
        }
        Ok(())
    }

    pub(crate) fn base(&self) -> String {
        let path = self.path.trim_matches('/');
        if path.is_empty() {
            self.url.clone()
        } else {
            format!("{}/{path}", self.url)
        }
    }
}
