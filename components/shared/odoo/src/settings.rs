//! How to reach an Odoo server.

use fault::Fault;
use outbound::{Secret, Variables};

/// Which protocol to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProtocolChoice {
    /// Ask the server.
    #[default]
    Auto,
    /// JSON-2 (Odoo 19 and later), with an API key.
    Json2,
    /// JSON-RPC (Odoo 14 to 21).
    JsonRpc,
}

impl std::str::FromStr for ProtocolChoice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "auto" => Ok(Self::Auto),
            "json-2" => Ok(Self::Json2),
            "json-rpc" => Ok(Self::JsonRpc),
            _ => Err("one of auto, json-2, json-rpc"),
        }
    }
}

/// How to reach an Odoo server.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `scheme://host[:port]`, without a path.
    pub url: String,
    /// The database's name.
    pub database: String,
    /// The user's login.
    pub login: String,
    /// The user's API key: for RPC; refused by web sessions (seen on 17 and 18).
    pub api_key: Secret,
    /// The user's password: for web sessions, and for RPC where there is no API key.
    pub password: Secret,
    /// Which protocol to speak.
    pub protocol: ProtocolChoice,
    /// The most calls per second; 0 for no limit.
    pub calls_per_second: f64,
    /// The most concurrent calls.
    pub parallel_calls: usize,
    /// Whether access tokens may be written, to stream large files without a web session. That writes to the
    /// attachment and changes its `write_date` (seen on 18).
    pub may_write_access_tokens: bool,
}

impl Settings {
    /// Reads the variables `odoo_*`.
    pub async fn read(variables: &impl Variables) -> Result<Self, Fault> {
        let protocol = "auto, json-2 or json-rpc";
        Ok(Self {
            url: variables.origin("odoo_url").await?,
            database: variables.text("odoo_database").await?,
            login: variables.text("odoo_login").await?,
            api_key: variables.secret("odoo_api_key").await?,
            password: variables.secret("odoo_password").await?,
            protocol: variables.value("odoo_protocol", protocol).await?,
            calls_per_second: variables
                .number("odoo_calls_per_second", 0.0..=1000.0)
                .await?,
            parallel_calls: variables.number("odoo_parallel_calls", 1..=32).await?,
            may_write_access_tokens: variables
                .value("odoo_access_tokens", "true or false")
                .await?,
        })
    }

    /// Removes our secrets from a fault: some servers repeat what they were sent.
    pub(crate) fn hide_secrets_in(&self, fault: Fault) -> Fault {
        fault
            .hiding(self.api_key.reveal())
            .hiding(self.password.reveal())
    }

    /// The key or password that RPC calls carry.
    pub(crate) fn rpc_secret(&self) -> &Secret {
        if self.api_key.is_empty() {
            &self.password
        } else {
            &self.api_key
        }
    }
}
