//! What tells one database of Odoo from another, for any user: `database.uuid` is only for administrators, and a
//! restored copy may get a new one. When the first two users were made a salesman may read (seen on 16 to 19), and it
//! goes with the data wherever it is restored.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use fault::Fault;
use outbound::{Clock, Http};
use serde::{Deserialize, Serialize};

use crate::Odoo;
use crate::records::{Model, Record};
use crate::salvage::{id_of, is_of_content};
use crate::value::parse_datetime;

/// The robot, and the first administrator.
const FIRST_USERS: [i64; 2] = [1, 2];

/// When the first users of a database were made, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(BTreeMap<i64, DateTime<Utc>>);

impl Identity {
    /// Whether this can be the database that the other is of: what only one of them knows says nothing.
    pub fn may_be(&self, other: &Self) -> bool {
        let both = self.0.iter().filter_map(|(id, made)| {
            let then = other.0.get(id)?;
            Some(made == then)
        });
        both.min().unwrap_or(true)
    }

    /// What either of both knows.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        let both = self.0.iter().chain(&other.0);
        Self(both.map(|(id, made)| (*id, *made)).collect())
    }

    /// Since when there is the database.
    pub fn made(&self) -> Option<DateTime<Utc>> {
        self.0.values().min().copied()
    }
}

impl<H: Http, C: Clock> Odoo<H, C> {
    /// What tells this database from others, as far as the user may see it.
    pub async fn identity(&self) -> Result<Identity, Fault> {
        let users = Model {
            name: "res.users",
            domain: &[],
            language: "",
            undated: None,
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

    /// Where it is, in words without secrets.
    pub fn place(&self) -> String {
        match self.settings.database.as_str() {
            "" => self.settings.url.clone(),
            database => format!("{}, database {database}", self.settings.url),
        }
    }
}

/// An identity in words.
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
