//! Access tokens: whoever has one can read a file without a login. So a token that we write lasts for one
//! conversation: it is cleared after use, and can be told from tokens by which people shared a file.

use std::time::Duration;

use fault::{Fault, Kind};
use outbound::{Clock, Http};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::Odoo;
use crate::attachment::{ATTACHMENTS, MODEL, of_any_field};

/// The prefix of our tokens; the Unix time in hexadecimal and random digits follow.
const OURS: &str = "ots-";
/// An older token belongs to no conversation that is still going on: a batch takes an hour at most.
const ABANDONED: Duration = Duration::from_hours(2);
/// How many tokens are cleared at once.
const AT_ONCE: usize = 500;

#[derive(Deserialize)]
struct TokenRow {
    id: i64,
    /// Text, or `false`.
    access_token: Value,
}

impl<H: Http, C: Clock> Odoo<H, C> {
    /// The attachment's token: the existing one, or one that we write. Nothing else is ever written to Odoo.
    pub(crate) async fn access_token(&self, id: i64) -> Result<String, Fault> {
        if let Some(made) = self.tokens.borrow().get(&id) {
            return Ok(made.clone());
        }
        let held = self.held(vec![json!(["id", "=", id])], 1).await?;
        let held = held.first().and_then(|held| held.access_token.as_str());
        let token = if let Some(token) = held {
            token.to_owned()
        } else {
            let token = self.new_token();
            self.write_token(&[id], &json!(token)).await?;
            token
        };
        if !token
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        {
            let words = "an access token in Odoo that is none";
            return Err(Fault::new(Kind::SourceProtocol, words));
        }
        if token.starts_with(OURS) {
            self.tokens.borrow_mut().insert(id, token.clone());
        }
        Ok(token)
    }

    /// Forgets a token that did not work.
    pub(crate) fn forget_token(&self, id: i64) {
        self.tokens.borrow_mut().remove(&id);
    }

    /// Clears the tokens of this conversation, and about once an hour tokens left by conversations that were cut off.
    /// Returns how many.
    pub async fn clear_access_tokens(&self) -> Result<usize, Fault> {
        if !self.settings.may_write_access_tokens {
            return Ok(0);
        }
        // True once an hour if a batch begins each minute.
        let now = self.clock.unix_seconds();
        let is_due = now.rem_euclid(3600) < 60;
        let made = std::mem::take(&mut *self.tokens.borrow_mut());
        if made.is_empty() && !is_due {
            return Ok(0);
        }
        let ours = json!(["access_token", "=like", format!("{OURS}%")]);
        let mut left: Vec<i64> = self
            .held(vec![ours], AT_ONCE)
            .await?
            .into_iter()
            .filter(|held| made.contains_key(&held.id) || held.is_abandoned(now))
            .map(|held| held.id)
            .collect();
        left.sort_unstable();
        if !left.is_empty() {
            self.write_token(&left, &json!(false)).await?;
        }
        Ok(left.len())
    }

    async fn held(&self, mut terms: Vec<Value>, most: usize) -> Result<Vec<TokenRow>, Fault> {
        terms.extend(of_any_field());
        let mut named = ATTACHMENTS.call(terms, Some(most));
        named.insert("fields".into(), json!(["access_token"]));
        self.call(MODEL, "search_read", None, named).await
    }

    async fn write_token(&self, ids: &[i64], token: &Value) -> Result<(), Fault> {
        let values = json!({ "vals": { "access_token": token } });
        let named = values.as_object().cloned().unwrap_or_else(Map::new);
        let _: IgnoredAny = self.call(MODEL, "write", Some(ids), named).await?;
        Ok(())
    }

    fn new_token(&self) -> String {
        // 32 bits each.
        let chance = std::iter::repeat_with(|| self.clock.chance()).take(5);
        let chance = chance.map(|part| format!("{:08x}", scaled(part)));
        let now = self.clock.unix_seconds();
        format!("{OURS}{now:x}-{}", chance.collect::<String>())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "chance is below 1"
)]
fn scaled(chance: f64) -> u32 {
    (chance * (f64::from(u32::MAX) + 1.0)) as u32
}

impl TokenRow {
    fn is_abandoned(&self, now: i64) -> bool {
        let token = self.access_token.as_str().unwrap_or_default();
        let made = token
            .strip_prefix(OURS)
            .and_then(|rest| rest.split('-').next());
        let made = made.and_then(|made| i64::from_str_radix(made, 16).ok());
        let age = made.and_then(|made| u64::try_from(now - made).ok());
        age.is_some_and(|age| age > ABANDONED.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_of_ours_that_is_old_is_abandoned() {
        let now = 0x6a00_0000;
        let is_abandoned = |token: &str| {
            let access_token = json!(token);
            TokenRow {
                id: 1,
                access_token,
            }
            .is_abandoned(now)
        };
        assert!(is_abandoned("ots-69ff0000-0a"));
        for kept in [
            "ots-69ffffff-0a",
            "ots-6a000001-0a",
            "ots-6affffff-0a",
            "ots-",
            "ots-x-0a",
            "69ff0000",
            "a2f1ff00-69ff-4000-8000-69ff00000000",
            "",
        ] {
            assert!(!is_abandoned(kept), "{kept}");
        }
    }
}
