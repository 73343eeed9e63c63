//! Settings and format of a component's log: which lines are written, as text or as JSON.

use chrono::{DateTime, SecondsFormat};
use fault::{Fault, Kind};
use outbound::Variables;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// For how long an unchanged warning about the configuration is not repeated, in seconds.
const TOLD_FOR_S: i64 = 86_400;

/// Severity of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something worked or was refused, and somebody should know.
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

/// Level and format of the log: the variables `log_level` and `log_format`.
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

    /// Formats a line if its level is enabled: `words` alone, or a JSON object with `fields` beside them.
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

/// Warnings that were logged, so that they are not repeated at each call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedWarnings {
    words: Vec<String>,
    at: i64,
}

impl LoggedWarnings {
    /// These warnings, logged now.
    pub fn now(words: Vec<String>, unix_seconds: i64) -> Self {
        Self {
            words,
            at: unix_seconds,
        }
    }

    /// Whether the same warnings were logged within the last day.
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
        let told = |words: &str, at| LoggedWarnings::now(vec![words.to_owned()], at);
        let before = told("service_keys is not set", 1000);
        assert!(told("service_keys is not set", 1060).is_known_from(&before));
        assert!(!told("service_keys is not set", 1000 + TOLD_FOR_S).is_known_from(&before));
        assert!(!told("jwt_secret is short", 1060).is_known_from(&before));
        // If the clock was set back, the warning is repeated once.
        assert!(!told("service_keys is not set", 900).is_known_from(&before));
    }
}
