//! Failures as values: who is to blame, kind, scope, and whether and when to retry.
//!
//! Every failure of the program is a [`Fault`]. Its [`Kind`] alone decides the consequences, so that they are
//! a table that a test can check, and not control flow where the failure occurs. The message is for people:
//! it has no secret, no traceback and no line break.

mod kind;
mod remedy;
mod retry;

pub use kind::{Blame, Kind, Reach};
pub use remedy::remedy;
pub use retry::{MAX_ATTEMPTS, Retry, next_attempt};

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// Maximum length of a message, in characters.
const MAX_MESSAGE_CHARS: usize = 300;

/// One failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    kind: Kind,
    message: Cow<'static, str>,
    /// The part of the message that this program wrote, if there is one.
    own: Option<&'static str>,
    retry_after: Option<Duration>,
}

impl Fault {
    /// A failure with a fixed message of this program.
    pub const fn new(kind: Kind, message: &'static str) -> Self {
        Self {
            kind,
            message: Cow::Borrowed(message),
            own: Some(message),
            retry_after: None,
        }
    }

    /// A failure with a fixed message, followed by what the other side said.
    pub fn quoting(kind: Kind, own: &'static str, said: &str) -> Self {
        if said.trim().is_empty() {
            return Self::new(kind, own);
        }
        Self {
            own: Some(own),
            ..Self::told(kind, format!("{own} ({said})"))
        }
    }

    /// A failure whose message has text from outside: cleaned, and cut to 300 characters.
    pub fn told(kind: Kind, message: impl AsRef<str>) -> Self {
        Self {
            kind,
            message: Cow::Owned(clean(message.as_ref())),
            own: None,
            retry_after: None,
        }
    }

    /// The same failure, with the wait that the other side asked for (`Retry-After`).
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Prefixes the message with a place: `Upload 4521: …`.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = Cow::Owned(clean(&format!("{place}: {}", self.message)));
        self
    }

    /// Hides this secret in the message: some servers repeat what they were sent.
    #[must_use]
    pub fn hiding(mut self, secret: &str) -> Self {
        if secret.is_empty() {
            return self;
        }
        if self.message.contains(secret) {
            self.message = Cow::Owned(self.message.replace(secret, "…"));
        }
        // If the message was cut in the middle of the secret, it may end with the secret's beginning.
        let beginnings = secret
            .char_indices()
            .map(|(end, _)| secret.get(..end))
            .rev();
        let left = self.message.strip_suffix('…').and_then(|message| {
            beginnings
                .flatten()
                .filter(|beginning| !beginning.is_empty())
                .find_map(|beginning| message.strip_suffix(beginning))
        });
        if let Some(left) = left {
            self.message = Cow::Owned(format!("{left}…"));
        }
        self
    }

    /// The kind of failure.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Who is to blame.
    pub fn blame(&self) -> Blame {
        self.kind.blame()
    }

    /// Whether it affects this file only, or the whole batch.
    pub fn reach(&self) -> Reach {
        self.kind.reach()
    }

    /// The message for people: one line, at most 300 characters, without secrets.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The part of the message that this program wrote, which anybody may read.
    pub fn own_words(&self) -> Option<&'static str> {
        self.own
    }

    /// The wait that the other side asked for.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// One line of printable text: control characters and white space become single spaces; cut after
/// [`MAX_MESSAGE_CHARS`].
fn clean(text: &str) -> String {
    let mut line = String::new();
    let mut space = false;
    for (count, c) in text.chars().enumerate() {
        if count >= MAX_MESSAGE_CHARS {
            line.push('…');
            break;
        }
        if c.is_control() || c.is_whitespace() {
            space = !line.is_empty();
        } else {
            if space {
                line.push(' ');
                space = false;
            }
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_from_outside_is_one_short_line() {
        let fault = Fault::told(
            Kind::SourceRefused,
            "Access Denied\n\n  Operation: read\u{1b}[31m",
        );
        assert_eq!(fault.message(), "Access Denied Operation: read [31m");
        assert_eq!(
            Fault::new(Kind::SourceEmpty, "Attachment not found or empty")
                .at("File 8832")
                .to_string(),
            "File 8832: Attachment not found or empty"
        );
    }

    #[test]
    fn own_words_are_told_from_what_the_other_side_said() {
        let fault = Fault::quoting(Kind::LedgerLogin, "check db_user", "FATAL: no\nsuch role");
        assert_eq!(fault.message(), "check db_user (FATAL: no such role)");
        assert_eq!(fault.own_words(), Some("check db_user"));
        let silent = Fault::quoting(Kind::LedgerLogin, "check db_user", " ");
        assert_eq!(silent, Fault::new(Kind::LedgerLogin, "check db_user"));
        assert_eq!(Fault::told(Kind::Program, "said").own_words(), None);
    }

    #[test]
    fn a_secret_that_was_repeated_is_hidden() {
        let fault = Fault::told(Kind::StorageLogin, "the key hunter2 is wrong").hiding("hunter2");
        assert_eq!(fault.message(), "the key … is wrong");
        let fault = Fault::new(Kind::StorageLogin, "check storage_key");
        assert_eq!(fault.clone().hiding(""), fault);
    }

    #[test]
    fn of_a_secret_that_a_message_is_cut_in_nothing_is_left() {
        let secret = "hünter2-hünter2-hünter2";
        for length in 0..=MAX_MESSAGE_CHARS {
            let text = format!("{}{secret} is wrong", "x".repeat(length));
            let fault = Fault::told(Kind::StorageLogin, text).hiding(secret);
            assert!(!fault.message().contains('h'), "{fault}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_long_or_broken_message(text in ".*") {
            let fault = Fault::told(Kind::Program, text);
            prop_assert!(fault.message().chars().count() <= MAX_MESSAGE_CHARS + 1);
            prop_assert!(!fault.message().chars().any(char::is_control));
        }
    }
}
