//! Numbers, sizes and times as people read them.

use std::time::Duration;

/// `1,234,567`.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut spelled = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            spelled.push(',');
        }
        spelled.push(digit);
    }
    spelled
}

/// `1 file`, `2 files`.
pub fn count(value: u64, one: &str) -> String {
    let plural = if value == 1 { "" } else { "s" };
    format!("{} {one}{plural}", number(value))
}

/// `128.4 MB`.
pub fn bytes(value: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "it is rounded anyway")]
    let value = value as f64;
    let (value, unit) = match value {
        value if value >= 1e9 => (value / 1e9, "GB"),
        value if value >= 1e6 => (value / 1e6, "MB"),
        value => (value / 1e3, "KB"),
    };
    format!("{value:.1} {unit}")
}

/// `9.1 s`, `2 min 5 s`.
pub fn time(value: Duration) -> String {
    let seconds = value.as_secs();
    if seconds >= 60 {
        format!("{} min {} s", seconds / 60, seconds % 60)
    } else {
        format!("{:.1} s", value.as_secs_f64())
    }
}

/// How many of them in a second.
pub fn rate(value: u64, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "it is rounded anyway")]
    let value = value as f64;
    value / time.as_secs_f64().max(0.001)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_as_people_read_them() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(2_000, "file"), "2,000 files");
        assert_eq!(bytes(128_400_000), "128.4 MB");
        assert_eq!(time(Duration::from_millis(9_140)), "9.1 s");
        assert_eq!(time(Duration::from_secs(125)), "2 min 5 s");
    }
}
