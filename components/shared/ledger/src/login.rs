//! Logins that Postgres refuses: how rarely they are tried again, by all instances together. A pooler that
//! refused a few lets nobody in for minutes (Supavisor: 10 within 150 s).

use serde::{Deserialize, Serialize};

/// How long a login that was refused is not tried again, in seconds.
const PAUSE_S: i64 = 30;

/// A login that was refused, as all instances know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Stands for the address, password included: with others it is another login.
    address: u32,
    /// When it may be tried again, in seconds since 1970.
    again_at: i64,
    /// What was said.
    said: String,
}

/// What to do about a login.
#[derive(Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Nothing is known against it. Should its password be refused, it is tried once more a moment later: right
    /// after a change the pooler still knows the old one.
    First,
    /// The pause is over: try once, and have the others wait.
    Again,
    /// Not now. It was refused in these words.
    Later(String),
}

impl Refused {
    /// What was said.
    pub fn said(&self) -> &str {
        &self.said
    }

    /// A login that was refused now.
    pub fn at(now: i64, address: u32, said: impl Into<String>) -> Self {
        Self {
            address,
            again_at: now.saturating_add(PAUSE_S),
            said: said.into(),
        }
    }
}

/// What to do about a login by `address`, by what was kept of earlier ones.
pub fn attempt(kept: Option<&Refused>, address: u32, now: i64) -> Attempt {
    match kept.filter(|kept| kept.address == address) {
        None => Attempt::First,
        // A clock that was set back must not close the way for long.
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
