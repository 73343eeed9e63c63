//! How a component's log is written: which lines, and whether for people or for programs.

use chrono::{DateTime, SecondsFormat};
use fault::{Fault, Kind};
use outbound::Variables;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// For how long what stands as it stood is not told again, in seconds.
const TOLD_FOR_S: i64 = 86_400;

/// How much somebody has to care about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It did not work.
    Error,
    /// It worked, or was refused, and somebody should know.
    Warn,
    /// What was done.
    Info,
}

impl Level {
    const ALL: [Self; 3] = [Self::Error, Self::Warn, Self::Info];

    const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
        }
    }
}

/// What is written, and how: the variables `log_level` and `log_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logging {
    most: Level,
    is_json: bool,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            most: Level::Info,
            is_json: false,
        }
    }
}

impl Logging {
    /// Reads the variables.
    pub async fn read(variables: &impl Variables) -> Result<Self, Fault> {
        let level = variables.text("log_level").await?;
        let most = Level::ALL.into_iter().find(|known| known.name() == level);
        let most = most.ok_or_else(|| unusable("log_level must be error, warn or info"))?;
        let is_json = match variables.text("log_format").await?.as_str() {
            "text" => false,
            "json" => true,
            _ => return Err(unusable("log_format must be text or json")),
        };
        Ok(Self { most, is_json })
    }

    /// A line, if lines of its level are written: its words, or one object of JSON with the fields beside them.
    pub fn line(
        self,
        (level, component): (Level, &str),
        words: &str,
        fields: &impl Serialize,
        unix_seconds: i64,
    ) -> Option<String> {
        if level > self.most {
            return None;
        }
        if !self.is_json {
            return Some(words.to_owned());
        }
        let at = DateTime::from_timestamp(unix_seconds, 0).unwrap_or_default();
        let mut line = json!({
            "at": at.to_rfc3339_opts(SecondsFormat::Secs, true), "level": level.name(),
            "component": component, "message": words,
        });
        if let (Some(line), Ok(Value::Object(fields))) =
            (line.as_object_mut(), serde_json::to_value(fields))
        {
            line.extend(fields);
        }
        Some(line.to_string())
    }
}

fn unusable(words: &'static str) -> Fault {
    Fault::new(Kind::Setting, words)
}

/// What was told of how things stand, so that nobody tells it again at each call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    words: Vec<String>,
    at: i64,
}

impl Told {
    /// These words, now.
    pub fn now(words: Vec<String>, unix_seconds: i64) -> Self {
        Self {
            words,
            at: unix_seconds,
        }
    }

    /// Whether this need not be told after that.
    pub fn is_known_from(&self, before: &Self) -> bool {
        self.words == before.words && (0..TOLD_FOR_S).contains(&(self.at - before.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_for_people_or_for_programs_or_not_at_all() {
        let logging = |most, is_json| Logging { most, is_json };
        let fields = json!({ "migrated": 3 });
        let line = |logging: Logging, level| {
            logging.line((level, "archive-batch"), "moved 3 files", &fields, 0)
        };
        let quiet = logging(Level::Warn, false);
        assert_eq!(line(quiet, Level::Info), None);
        assert_eq!(line(quiet, Level::Error).as_deref(), Some("moved 3 files"));
        let json = line(logging(Level::Info, true), Level::Info).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&json).unwrap(),
            json!({"at": "1970-01-01T00:00:00Z", "level": "info", "component": "archive-batch", "message": "moved 3 files", "migrated": 3})
        );
        assert!(!json.contains('\n'));
    }

    #[test]
    fn what_stands_is_told_once_a_day_and_when_it_changes() {
        let told = |words: &str, at| Told::now(vec![words.to_owned()], at);
        let before = told("service_keys is not set", 1000);
        assert!(told("service_keys is not set", 1060).is_known_from(&before));
        assert!(!told("service_keys is not set", 1000 + TOLD_FOR_S).is_known_from(&before));
        assert!(!told("jwt_secret is short", 1060).is_known_from(&before));
        // A clock that was set back tells once more.
        assert!(!told("service_keys is not set", 900).is_known_from(&before));
    }
}
