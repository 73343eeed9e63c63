//! The app's variables, from what they describe.

use std::collections::BTreeMap;

use world::odoo::{Odoo, User};
use world::postgres::Database;
use world::storage::Storage;

/// The app's variables by name.
pub type Variables = BTreeMap<String, String>;

/// How to reach a database as the components do.
pub fn of_database(database: &Database) -> Variables {
    named([
        ("db_host", database.host()),
        ("db_port", database.port().to_string()),
        ("db_name", database.dbname().to_owned()),
        ("db_user", database.user().to_owned()),
        ("db_password", database.password()),
        ("db_sslmode", "disable".to_owned()),
    ])
}

/// How to reach a simulated Odoo as this user.
pub fn of_odoo(odoo: &Odoo, database: &str, user: &User) -> Variables {
    named([
        ("odoo_url", odoo.url()),
        ("odoo_database", database.to_owned()),
        ("odoo_login", user.login.clone()),
        ("odoo_password", user.password.clone().unwrap_or_default()),
        ("odoo_api_key", user.api_key.clone().unwrap_or_default()),
    ])
}

/// How to reach a simulated Storage.
pub fn of_storage(storage: &Storage, key: &str) -> Variables {
    named([
        ("storage_url", storage.url()),
        ("storage_key", key.to_owned()),
        ("storage_bucket", "odoo-archive".to_owned()),
    ])
}

fn named<const N: usize>(pairs: [(&str, String); N]) -> Variables {
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
