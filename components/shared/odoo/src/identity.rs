//! Identifies an Odoo database for any user: `database.uuid` is readable by administrators only, and a restored copy
//! may get a new one. The creation dates of the first two users are readable by a salesman (seen on 16 to 19), and
//! stay the same wherever the data is restored.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use fault::Fault;
use outbound::{Clock, Http};
use serde::{Deserialize, Serialize};

use crate::Odoo;
use crate::records::{Model, Record};
use crate::salvage::{id_of, is_of_content};
use crate::value::parse_datetime;

/// `OdooBot` and the first administrator.
const FIRST_USERS: [i64; 2] = [1, 2];

/// The creation dates of the first users of a database, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(BTreeMap<i64, DateTime<Utc>>);

impl Identity {
    /// Whether both can be the same database. A user that only one of them knows proves nothing.
    pub fn may_be(&self, other: &Self) -> bool {
        let both = self.0.iter().filter_map(|(id, made)| {
            let then = other.0.get(id)?;
            Some(made == then)
        });
        both.min().unwrap_or(true)
    }

    /// The users known to either.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        let both = self.0.iter().chain(&other.0);
        Self(both.map(|(id, made)| (*id, *made)).collect())
    }

    /// When the database was created.
    pub fn made(&self) -> Option<DateTime<Utc>> {
        self.0.values().min().copied()
    }
}

impl<H: Http, C: Clock> Odoo<H, C> {
    /// Identifies this database, as far as the user may see it.
    pub async fn identity(&self) -> Result<Identity, Fault> {
        let users = Model {
            name: "res.users",
            domain: &[],
            language: "",
            undated: None,
            links: &[],
        };
        let named = users.of_ids(&FIRST_USERS, &["create_date".to_owned()]);
        let found: Result<Vec<Record>, Fault> =
            self.call(users.name, "search_read", None, named).await;
        match found {
            Ok(found) => Ok(Identity(
                found
                    .iter()
                    .filter_map(|user| {
                        let made = user.get("create_date")?.as_str().and_then(parse_datetime);
                        Some((id_of(user)?, made?))
                    })
                    .collect(),
            )),
            Err(fault) if is_of_content(&fault) => Ok(Identity::default()),
            Err(fault) => Err(fault),
        }
    }

    /// The address and database, without secrets.
    pub fn place(&self) -> String {
        match self.settings.database.as_str() {
            "" => self.settings.url.clone(),
            database => format!("{}, database {database}", self.settings.url),
        }
    }
}

/// Describes a place and its identity.
pub fn in_words(place: &str, identity: &Identity) -> String {
    identity.made().map_or_else(
        || place.to_owned(),
        |made| format!("{place}, made {}", made.format("%Y-%m-%d %H:%M:%S")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(users: &[(i64, i64)]) -> Identity {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        Identity(users.iter().map(|(id, made)| (*id, at(*made))).collect())
    }

    #[test]
    fn a_database_is_another_only_where_both_know_a_user_and_differ() {
        let ours = made(&[(1, 100), (2, 100)]);
        assert!(ours.may_be(&ours));
        assert!(ours.may_be(&made(&[(2, 100)])), "a user who sees less");
        assert!(!ours.may_be(&made(&[(1, 100), (2, 200)])));
        assert!(ours.may_be(&Identity::default()));
    }
}
