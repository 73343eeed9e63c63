//! Backoff for logins that Postgres refuses, shared by all instances. A pooler lets nobody in for minutes
//! after a few refused logins (Supavisor: 10 within 150 s).

use serde::{Deserialize, Serialize};

/// Pause after a refused login, in seconds.
const PAUSE_S: i64 = 30;

/// A refused login, as all instances share it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Hash of the connection address, password included: with another one it is another login.
    address: u32,
    /// When the next attempt is due, in seconds since 1970.
    again_at: i64,
    /// What the server said.
    said: String,
}

/// What to do with a login.
#[derive(Debug, PartialEq, Eq)]
pub enum Attempt {
    /// No refusal is on record. If the password is refused now, try once more a moment later: right after a
    /// password change the pooler still knows the old one.
    First,
    /// The pause is over: try once, and have the other instances wait.
    Again,
    /// Do not try now; it was refused with this message.
    Later(String),
}

impl Refused {
    /// What the server said.
    pub fn said(&self) -> &str {
        &self.said
    }

    /// A login that is refused at `now`.
    pub fn at(now: i64, address: u32, said: impl Into<String>) -> Self {
        Self {
            address,
            again_at: now.saturating_add(PAUSE_S),
            said: said.into(),
        }
    }
}

/// Decides on a login with `address`, given the last refusal on record.
pub fn attempt(kept: Option<&Refused>, address: u32, now: i64) -> Attempt {
    match kept.filter(|kept| kept.address == address) {
        None => Attempt::First,
        // If the clock was set back, do not wait longer than the pause.
        Some(kept) if (1..=PAUSE_S).contains(&kept.again_at.saturating_sub(now)) => {
            Attempt::Later(kept.said.clone())
        }
        Some(_) => Attempt::Again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_login_is_tried_twice_a_minute_and_another_one_at_once() {
        let mut kept: Option<Refused> = None;
        let mut tried = Vec::new();
        for now in 1000..1120 {
            if let Attempt::Later(said) = attempt(kept.as_ref(), 7, now) {
                assert_eq!(said, "no");
            } else {
                tried.push(now);
                kept = Some(Refused::at(now, 7, "no"));
            }
        }
        assert_eq!(tried, [1000, 1030, 1060, 1090]);
        assert_eq!(attempt(kept.as_ref(), 8, 1091), Attempt::First);
        assert_eq!(
            attempt(kept.as_ref(), 7, 900),
            Attempt::Again,
            "the clock was set back"
        );
        assert_eq!(attempt(None, 7, 900), Attempt::First);
    }
}
