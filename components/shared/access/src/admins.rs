//! A short-lived cache of which users are admins.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use fault::{Fault, Kind};
use ledger::Postgres;
use outbound::Clock;
use uuid::Uuid;

use crate::timeout::within;

/// Maximum age of an entry: a role that is granted or revoked takes effect after this time at the latest.
const MAX_AGE: Duration = Duration::from_secs(30);

/// Maximum number of cached users.
const MAX_USERS: usize = 256;

const PATIENCE: Duration = Duration::from_secs(5);
const LATE: Fault = Fault::new(
    Kind::LedgerUnreachable,
    "Postgres did not say within 5 s whether the user is an admin",
);

/// The cached users. Only users with a valid token get here, so that a stranger cannot evict others.
#[derive(Default)]
pub(crate) struct Admins {
    known: RefCell<BTreeMap<Uuid, Known>>,
}

#[derive(Clone, Copy)]
struct Known {
    asked_at: Duration,
    admin: bool,
}

impl Admins {
    /// Whether this user is an admin.
    pub(crate) async fn is_admin(
        &self,
        user: Uuid,
        postgres: &impl Postgres,
        clock: &impl Clock,
    ) -> Result<bool, Fault> {
        let asked_at = clock.now();
        if let Some(known) = self.known.borrow().get(&user)
            && known.is_fresh(asked_at)
        {
            return Ok(known.admin);
        }
        let answer = ledger::keys::is_admin(postgres, user);
        let admin = within(clock, PATIENCE, &LATE, answer).await?;
        self.remember(user, Known { asked_at, admin });
        Ok(admin)
    }

    fn remember(&self, user: Uuid, answer: Known) {
        let mut known = self.known.borrow_mut();
        if known.len() >= MAX_USERS && !known.contains_key(&user) {
            known.retain(|_, k| k.is_fresh(answer.asked_at));
        }
        if known.len() >= MAX_USERS && !known.contains_key(&user) {
            let oldest = known
                .iter()
                .min_by_key(|(_, k)| k.asked_at)
                .map(|(user, _)| *user);
            oldest.and_then(|user| known.remove(&user));
        }
        known.insert(user, answer);
    }
}

impl Known {
    fn is_fresh(&self, now: Duration) -> bool {
        now.saturating_sub(self.asked_at) < MAX_AGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_users_are_remembered_than_the_bound_and_the_oldest_goes_first() {
        let admins = Admins::default();
        for n in 0..10_000_u64 {
            let asked_at = Duration::from_millis(n);
            admins.remember(
                Uuid::from_u128(n.into()),
                Known {
                    asked_at,
                    admin: true,
                },
            );
        }
        let known = admins.known.borrow();
        assert_eq!(known.len(), MAX_USERS);
        assert!(
            known
                .keys()
                .all(|user| user.as_u128() >= 10_000 - MAX_USERS as u128)
        );
    }
}
