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
#[derive(Clone, Copy, Debug, Default)]
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

const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl FromStr for Schedule {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = match text.split_ascii_whitespace().next().unwrap_or_default() {
            // No minute is a restart's; and pg_cron sets month 0 for a year, which never comes.
            "@reboot" | "@restart" | "@yearly" | "@annually" => return Ok(Self::default()),
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ => text,
        };
        // What follows the fifth field is left unread.
        let mut fields = text.split_ascii_whitespace();
        let mut next = || fields.next().ok_or(());
        let (minutes, hours, days, months, weekdays) =
            (next()?, next()?, next()?, next()?, next()?);
        let sunday_twice = values(weekdays, 0, 7, WEEKDAYS)?;
        Ok(Self {
            minutes: values(minutes, 0, 59, &[])?,
            hours: values(hours, 0, 23, &[])?,
            days: values(days, 1, 31, &[])?,
            months: values(months, 1, 12, MONTHS)?,
            weekdays: (sunday_twice | (sunday_twice >> 7)) & 0x7f,
            any_day: days.starts_with('*'),
            any_weekday: weekdays.starts_with('*'),
        })
    }
}

/// `*`, numbers, names and ranges, with steps of ranges; what follows the list is left unread.
fn values(field: &str, lowest: u32, highest: u32, names: &[&str]) -> Result<u64, ()> {
    let number = |text: &str| {
        let place = names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text));
        match place.and_then(|position| u32::try_from(position).ok()) {
            Some(position) => Ok(position + lowest),
            None => text.parse::<u32>().map_err(drop),
        }
    };
    let mut set = 0;
    let mut rest = field;
    loop {
        let (from, to, is_range) = if let Some(after) = rest.strip_prefix('*') {
            rest = after;
            (lowest, highest, true)
        } else {
            let from = number(word(&mut rest))?;
            match rest.strip_prefix('-') {
                Some(after) => {
                    rest = after;
                    (from, number(word(&mut rest))?, true)
                }
                None => (from, from, false),
            }
        };
        let step = match rest.strip_prefix('/') {
            Some(after) if is_range => {
                rest = after;
                word(&mut rest).parse::<u32>().map_err(drop)?
            }
            Some(_) => return Err(()),
            None => 1,
        };
        if step == 0 || from.min(to) < lowest || from.max(to) > highest {
            return Err(());
        }
        for value in (from..=to).step_by(step as usize) {
            set |= 1 << value;
        }
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Ok(set),
        }
    }
}

/// Takes letters and digits from the beginning.
fn word<'text>(rest: &mut &'text str) -> &'text str {
    let end = rest
        .find(|letter: char| !letter.is_ascii_alphanumeric())
        .unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    *rest = after;
    word
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
            "5/1 * * * *",
            "",
        ] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }
}
