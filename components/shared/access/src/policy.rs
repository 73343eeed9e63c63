//! The configured credentials.

use fault::Fault;
use outbound::{Http, Secret, Variables};

use crate::key_set;
use crate::service_key::{KeyHash, unfit_key};

/// HS256 requires a secret as long as its hash (RFC 7518, 3.2): anyone who holds a token can brute-force a
/// shorter one.
const MIN_JWT_SECRET_BYTES: usize = 32;

/// Credentials that are accepted beside the keys in Postgres. Without any setting, only keys in Postgres are
/// accepted.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    service_keys: Vec<KeyHash>,
    unfit_keys: Vec<&'static str>,
    jwt_secret: Option<Secret>,
    jwt_secret_is_short: bool,
    jwks_url: Option<String>,
    audience: Option<String>,
    issuer: Option<String>,
    clients: Vec<String>,
    second_factor: bool,
}

impl Policy {
    /// Accepts nothing but the keys in Postgres.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the variables `service_keys`, `jwt_*` and `jwks_path`.
    pub async fn read(variables: &impl Variables) -> Result<Self, Fault> {
        // Without an accepted `storage_url` no key set is read; over plain http anyone who can change it in
        // transit could sign as anybody.
        let project = variables.origin("storage_url").await.unwrap_or_default();
        let second_factor = variables.text("jwt_require_aal2").await?;
        Ok(Self::new()
            .service_keys(&variables.secret("service_keys").await?)
            .jwt_secret(variables.secret("jwt_secret").await?)
            .jwks(&project, &variables.text("jwks_path").await?)
            .audience(&variables.text("jwt_audience").await?)
            .issuer(&variables.text("jwt_issuer").await?, &project)
            .clients(variables.list("jwt_clients").await?)
            // Any value but `false` and an empty one requires it, so that a typing error opens nothing.
            .second_factor(!matches!(second_factor.as_str(), "" | "false")))
    }

    /// Accepts these keys too (comma-separated). Public and guessable ones are rejected, and [`Policy::gaps`]
    /// reports them.
    #[must_use]
    pub fn service_keys(mut self, keys: &Secret) -> Self {
        let keys = keys.reveal().split(',').map(str::trim);
        let (unfit, fit): (Vec<_>, Vec<_>) = keys
            .filter(|key| !key.is_empty())
            .map(|key| (key, unfit_key(key)))
            .partition(|(_, unfit)| unfit.is_some());
        self.service_keys = fit.into_iter().map(|(key, _)| KeyHash::of(key)).collect();
        self.unfit_keys = unfit.into_iter().filter_map(|(_, why)| why).collect();
        self
    }

    /// Accepts user tokens signed by HS256 with this secret of at least 32 bytes. A shorter one is not used,
    /// and [`Policy::gaps`] reports it.
    #[must_use]
    pub fn jwt_secret(mut self, secret: Secret) -> Self {
        let length = secret.reveal().len();
        self.jwt_secret_is_short = (1..MIN_JWT_SECRET_BYTES).contains(&length);
        self.jwt_secret = (length >= MIN_JWT_SECRET_BYTES).then_some(secret);
        self
    }

    /// Accepts user tokens signed by ES256 or RS256 with a key of the key set at `path` on `origin`
    /// (`scheme://host[:port]`). Without a path, or with a host under `.invalid` (a placeholder for an unset
    /// address), there is no key set.
    #[must_use]
    pub fn jwks(mut self, origin: &str, path: &str) -> Self {
        let path = path.trim();
        // A path without a leading slash could change the host.
        self.jwks_url = known_origin(origin)
            .filter(|_| path.starts_with('/'))
            .map(|origin| format!("{origin}{path}"));
        self
    }

    /// Accepts only user tokens for this audience (`aud`). Without one no user token is accepted.
    #[must_use]
    pub fn audience(mut self, audience: &str) -> Self {
        self.audience = some_text(audience);
        self
    }

    /// Accepts only user tokens of this issuer (`iss`). Empty: that of Supabase Auth on `origin`, if there is
    /// one; `any`: all issuers.
    #[must_use]
    pub fn issuer(mut self, issuer: &str, origin: &str) -> Self {
        self.issuer = match issuer.trim() {
            "any" => None,
            "" => known_origin(origin).map(|origin| format!("{origin}/auth/v1")),
            issuer => Some(issuer.to_owned()),
        };
        self
    }

    /// Accepts tokens issued to these OAuth apps too. By default only tokens of people who signed in to the
    /// project itself are accepted.
    #[must_use]
    pub fn clients(mut self, clients: Vec<String>) -> Self {
        self.clients = clients;
        self
    }

    /// Requires a second factor (`aal2`) of user tokens.
    #[must_use]
    pub fn second_factor(mut self, wanted: bool) -> Self {
        self.second_factor = wanted;
        self
    }

    /// Credentials that the configuration does not accept, and how to change that; for the log.
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps = self.key_gaps();
        if self.service_keys.is_empty() && self.unfit_keys.is_empty() {
            gaps.push("service_keys is not set: only keys in odoo_sync.accepted_keys are accepted (select odoo_sync.rotate_key() makes one)".to_owned());
        }
        gaps.extend(self.token_gaps().into_iter().map(str::to_owned));
        gaps
    }

    /// Why keys in `service_keys` are not accepted.
    pub fn key_gaps(&self) -> Vec<String> {
        let unfit = self.unfit_keys.iter();
        let unfit = unfit.map(|why| format!("a key of service_keys is not accepted: {why}"));
        unfit.collect()
    }

    /// Why no user token is accepted, or fewer than intended.
    pub fn token_gaps(&self) -> Vec<&'static str> {
        let mut gaps = Vec::new();
        if self.jwt_secret_is_short {
            gaps.push("jwt_secret is shorter than 32 bytes and is not used: take the JWT secret of the Supabase project");
        }
        if self.jwt_secret.is_none() && self.jwks_url.is_none() {
            gaps.push("no user token is accepted: set jwt_secret, or storage_url and jwks_path");
        } else if self.audience.is_none() {
            gaps.push(
                "no user token is accepted: set jwt_audience (Supabase's is `authenticated`)",
            );
        }
        gaps
    }

    /// Whether user tokens signed with a secret are accepted.
    pub fn has_secret(&self) -> bool {
        self.jwt_secret.is_some()
    }

    /// Number of public keys for user tokens; `None`: no key set is configured.
    pub async fn count_keys(&self, http: &impl Http) -> Option<Result<usize, Fault>> {
        let url = self.key_set_url()?;
        Some(key_set::fetch(http, url).await.map(|keys| keys.len()))
    }

    pub(crate) fn accepts_key(&self, key: &KeyHash) -> bool {
        key.is_among(&self.service_keys)
    }

    pub(crate) fn hs256_secret(&self) -> Option<&Secret> {
        self.jwt_secret.as_ref()
    }

    pub(crate) fn key_set_url(&self) -> Option<&str> {
        self.jwks_url.as_deref()
    }

    pub(crate) fn expected_audience(&self) -> Option<&str> {
        self.audience.as_deref()
    }

    /// The issuer whose user tokens are accepted; `None`: all issuers.
    pub fn expected_issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    pub(crate) fn accepted_clients(&self) -> &[String] {
        &self.clients
    }

    pub(crate) fn wants_second_factor(&self) -> bool {
        self.second_factor
    }
}

/// The origin, unless it is unset.
fn known_origin(origin: &str) -> Option<&str> {
    let origin = origin.trim().trim_end_matches('/');
    (!origin.is_empty() && !origin.ends_with(".invalid")).then_some(origin)
}

fn some_text(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG_SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";

    #[test]
    fn what_is_missing_is_said_and_what_is_complete_is_silent() {
        assert_eq!(Policy::new().gaps().len(), 2);
        let commas = Policy::new().service_keys(&Secret::new(" , ,"));
        assert_eq!(commas.gaps(), Policy::new().gaps());
        let complete = Policy::new()
            .service_keys(&Secret::new("ots_of-at-least-thirty-two-characters"))
            .jwt_secret(Secret::new(LONG_SECRET))
            .audience("authenticated");
        assert_eq!(complete.gaps(), Vec::<String>::new());
        let unfit = complete
            .clone()
            .service_keys(&Secret::new("sb_publishable_of-at-least-thirty-two,ots_1"));
        assert_eq!(unfit.gaps().len(), 2);
        assert!(unfit.gaps()[0].contains("publishable key") && unfit.gaps()[1].contains("32"));
        assert!(unfit.service_keys.is_empty());
        let short = complete.jwt_secret(Secret::new("short"));
        assert!(short.gaps()[0].starts_with("jwt_secret is shorter"));
        assert!(short.hs256_secret().is_none());
    }

    #[test]
    fn the_key_set_lies_on_the_configured_host_or_nowhere() {
        let url = |origin, path| Policy::new().jwks(origin, path).jwks_url;
        let path = "/auth/v1/.well-known/jwks.json";
        assert_eq!(
            url("https://p.supabase.co/", path).as_deref(),
            Some("https://p.supabase.co/auth/v1/.well-known/jwks.json")
        );
        for (origin, path) in [
            ("https://supabase.invalid", path),
            ("", path),
            ("https://p.supabase.co", ""),
            ("https://p.supabase.co", "@elsewhere.example/jwks"),
            ("https://p.supabase.co", ".elsewhere.example/jwks"),
        ] {
            assert_eq!(url(origin, path), None, "{origin}{path}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let policy = Policy::new()
            .service_keys(&Secret::new("ots_hunter2"))
            .jwt_secret(Secret::new(LONG_SECRET));
        let shown = format!("{policy:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains(LONG_SECRET),
            "{shown}"
        );
    }
}
