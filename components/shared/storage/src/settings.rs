//! Which Storage, and which bucket.

use std::fmt::Write;

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

    /// The bucket as a segment of a path: Supabase allows spaces and more in its name.
    pub(crate) fn bucket_segment(&self) -> String {
        self.bucket
            .bytes()
            .fold(String::new(), |mut segment, byte| {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    segment.push(char::from(byte));
                } else {
                    let _ = write!(segment, "%{byte:02X}");
                }
                segment
            })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_one_segment_of_a_path_whatever_its_name() {
        for (bucket, segment) in [
            ("odoo-archive", "odoo-archive"),
            ("Odoo Archive", "Odoo%20Archive"),
            ("a/b?c#d%", "a%2Fb%3Fc%23d%25"),
            ("größe", "gr%C3%B6%C3%9Fe"),
        ] {
            let settings = Settings {
                bucket: bucket.to_owned(),
                ..Settings::default()
            };
            assert_eq!(settings.bucket_segment(), segment);
        }
    }
}
