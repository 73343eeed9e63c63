//! A cron schedule: five fields, each a list of numbers, ranges and steps.

use std::str::FromStr;

/// A point in time as a schedule sees it, in UTC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    minute: u32,
    hour: u32,
    day: u32,
    month: u32,
    weekday: u32,
}

impl Moment {
    /// The moment so many minutes after 1970 began.
    pub(super) fn at_minute(minute: u64) -> Self {
        let days = minute / 1440;
        let (day, month) = day_and_month(days);
        let part = |value: u64| u32::try_from(value).unwrap_or_default();
        Self {
            minute: part(minute % 60),
            hour: part(minute / 60 % 24),
            day,
            month,
            weekday: part((days + 4) % 7),
        }
    }
}

/// Howard Hinnant's `civil_from_days`, for days since 1970.
fn day_and_month(days: u64) -> (u32, u32) {
    let day_of_era = (days + 719_468) % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (
        u32::try_from(day).unwrap_or_default(),
        u32::try_from(month).unwrap_or_default(),
    )
}

/// When a job is due: for each field a bit per value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// With both given, either is enough: cron's old rule.
    any_day: bool,
    any_weekday: bool,
}

impl Schedule {
    pub(super) fn is_due(&self, moment: Moment) -> bool {
        let day = has(self.days, moment.day);
        let weekday = has(self.weekdays, moment.weekday);
        let date = if self.any_day || self.any_weekday {
            day && weekday
        } else {
            day || weekday
        };
        has(self.minutes, moment.minute)
            && has(self.hours, moment.hour)
            && has(self.months, moment.month)
            && date
    }
}

fn has(set: u64, value: u32) -> bool {
    set & (1 << value) != 0
}

impl FromStr for Schedule {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = match text.trim().to_ascii_lowercase().as_str() {
            "@yearly" | "@annually" => "0 0 1 1 *".to_owned(),
            "@monthly" => "0 0 1 * *".to_owned(),
            "@weekly" => "0 0 * * 0".to_owned(),
            "@daily" | "@midnight" => "0 0 * * *".to_owned(),
            "@hourly" => "0 * * * *".to_owned(),
            other => other.to_owned(),
        };
        let mut fields = text.split_ascii_whitespace();
        let mut next = || fields.next().ok_or(());
        let (minutes, hours, days, months, weekdays) =
            (next()?, next()?, next()?, next()?, next()?);
        if fields.next().is_some() {
            return Err(());
        }
        let sunday_twice = values(weekdays, 0, 7)?;
        Ok(Self {
            minutes: values(minutes, 0, 59)?,
            hours: values(hours, 0, 23)?,
            days: values(days, 1, 31)?,
            months: values(months, 1, 12)?,
            weekdays: (sunday_twice | (sunday_twice >> 7)) & 0x7f,
            any_day: days.starts_with('*'),
            any_weekday: weekdays.starts_with('*'),
        })
    }
}

fn values(field: &str, lowest: u32, highest: u32) -> Result<u64, ()> {
    let mut set = 0;
    for item in field.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, step.parse::<u32>().map_err(drop)?),
            None => (item, 1),
        };
        let number = |text: &str| text.parse::<u32>().map_err(drop);
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (lowest, highest),
            Some((from, to)) => (number(from)?, number(to)?),
            None => (number(range)?, number(range)?),
        };
        if step == 0 || from < lowest || to > highest || from > to {
            return Err(());
        }
        for value in (from..=to).step_by(step as usize) {
            set |= 1 << value;
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21 20:15, a Saturday.
    const SATURDAY_EVENING: u64 = 29_921_535;

    fn is_due(schedule: &str, minute: u64) -> bool {
        schedule
            .parse::<Schedule>()
            .unwrap()
            .is_due(Moment::at_minute(minute))
    }

    #[test]
    fn a_schedule_is_due_at_its_moments_only() {
        for (schedule, now, a_minute_later) in [
            ("* * * * *", true, true),
            ("*/15 * * * *", true, false),
            ("16 20 * * *", false, true),
            ("15 20 21 11 *", true, false),
            ("15 20 * * 6", true, false),
            ("15 20 * * 0", false, false),
            ("15-16 8,20 1 * 6", true, true),
            ("15 20 1 * *", false, false),
            ("@hourly", false, false),
        ] {
            assert_eq!(is_due(schedule, SATURDAY_EVENING), now, "{schedule}");
            assert_eq!(
                is_due(schedule, SATURDAY_EVENING + 1),
                a_minute_later,
                "{schedule}"
            );
        }
        assert!(
            is_due("0 0 * * 7", SATURDAY_EVENING + 225),
            "7 is Sunday too"
        );
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "5 seconds",
            "* * * *",
            "60 * * * *",
            "*/0 * * * *",
            "* * 0 * *",
            "5-1 * * * *",
            "",
        ] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }
}
