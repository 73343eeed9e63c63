//! Settings of Storage.

use std::fmt::Write;

use fault::{Fault, Kind};
use http::{HeaderName, header};
use outbound::{Request, Secret, Variables};
use serde::Serialize;

const APIKEY: HeaderName = HeaderName::from_static("apikey");

/// Settings of Storage.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `scheme://host[:port]`, without a path.
    pub url: String,
    /// Host for uploads, if it is a separate one: hosted projects have one for large uploads,
    /// `https://PROJECT.storage.supabase.co`.
    pub upload_url: Option<String>,
    /// Path prefix before `/object`: `/storage/v1` on hosted Supabase, empty without a gateway.
    pub path: String,
    /// The service key.
    pub key: Secret,
    /// The bucket.
    pub bucket: String,
}

impl Settings {
    /// Reads the variables `storage_*`.
    pub async fn read(variables: &impl Variables) -> Result<Self, Fault> {
        let upload_url = variables.text("storage_upload_url").await?;
        let settings = Self {
            url: variables.origin("storage_url").await?,
            upload_url: if upload_url.is_empty() || upload_url.ends_with(".invalid") {
                // A placeholder, as for every host that is not set.
                None
            } else {
                Some(variables.origin("storage_upload_url").await?)
            },
            path: variables.text("storage_path").await?,
            key: variables.secret("storage_key").await?,
            bucket: variables.text("storage_bucket").await?,
        };
        settings.check()?;
        Ok(settings)
    }

    /// Checks that the required settings are there.
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

    /// The headers in which the key is sent first.
    pub(crate) fn key_headers(&self) -> KeyHeaders {
        if self.key.reveal().starts_with("sb_") {
            KeyHeaders::Apikey
        } else {
            KeyHeaders::Both
        }
    }

    /// Whether the key is a legacy JWT, which Supabase retires at the end of 2026.
    pub fn key_is_legacy(&self) -> bool {
        let key = self.key.reveal();
        key.starts_with("eyJ") && key.split('.').count() == 3
    }

    /// The bucket as a path segment: Supabase allows spaces and more in its name.
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

    /// What reports should tell people about these settings.
    pub fn summary(&self) -> Summary {
        let url = self.uploads();
        let host = url.split_once("://").map_or(url, |(_, host)| host);
        Summary {
            uploads_to: host.to_owned(),
            legacy_key: self.key_is_legacy(),
        }
    }

    pub(crate) fn uploads(&self) -> &str {
        self.upload_url.as_deref().unwrap_or(&self.url)
    }

    /// The URL of an API endpoint at one of the two hosts.
    pub(crate) fn address(&self, host: &str, rest: &str) -> String {
        let path = self.path.trim_matches('/');
        if path.is_empty() {
            format!("{host}{rest}")
        } else {
            format!("{host}/{path}{rest}")
        }
    }
}

/// What reports tell people about the settings of Storage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The host that uploads are sent to.
    pub uploads_to: String,
    /// Whether the key is a legacy one, which Supabase retires.
    pub legacy_key: bool,
}

/// The headers that carry the key. A secret key (`sb_secret_…`) is not a JWT, and is rejected as a bearer
/// token (supabase.com/docs/guides/api/api-keys). A legacy key goes into both headers, because a Storage
/// without a gateway reads only the bearer token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyHeaders {
    /// `apikey` alone.
    Apikey,
    /// `apikey`, and `Authorization` with a bearer token.
    Both,
}

impl KeyHeaders {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Apikey => Self::Both,
            Self::Both => Self::Apikey,
        }
    }

    /// The headers in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Apikey => "in the header apikey alone:",
            Self::Both => "in the headers apikey and Authorization:",
        }
    }

    /// Adds the key to the request.
    pub(crate) fn carry(self, key: &Secret, request: Request) -> Request {
        let key = key.reveal();
        let request = request.header(APIKEY, key);
        match self {
            Self::Apikey => request,
            Self::Both => request.header(header::AUTHORIZATION, format!("Bearer {key}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_key_is_no_bearer_and_a_legacy_one_is_told() {
        for (key, headers, legacy) in [
            (
                "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz",
                KeyHeaders::Apikey,
                false,
            ),
            (
                "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2ln",
                KeyHeaders::Both,
                true,
            ),
            ("a-key-of-another-gateway", KeyHeaders::Both, false),
        ] {
            let settings = Settings {
                key: Secret::new(key),
                ..Settings::default()
            };
            assert_eq!(settings.key_headers(), headers, "{key}");
            assert_eq!(settings.key_is_legacy(), legacy, "{key}");
        }
    }

    #[test]
    fn what_is_in_use_is_told() {
        let mut settings = Settings {
            url: "https://abcd.supabase.co".to_owned(),
            path: "/storage/v1".to_owned(),
            key: Secret::new("sb_secret_x"),
            ..Settings::default()
        };
        assert_eq!(settings.summary().uploads_to, "abcd.supabase.co");
        settings.upload_url = Some("https://abcd.storage.supabase.co".to_owned());
        assert_eq!(settings.summary().uploads_to, "abcd.storage.supabase.co");
        assert_eq!(
            settings.address(settings.uploads(), "/upload/resumable"),
            "https://abcd.storage.supabase.co/storage/v1/upload/resumable"
        );
    }

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
