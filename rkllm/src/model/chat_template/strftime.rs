//! Dates as Python's `strftime` writes them in the C locale.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::{Error, ErrorKind, Result};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// The longest format string that is worth writing.
const MAX_FORMAT: usize = 1024;

/// A day and a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Days since 1970-01-01.
    days: i64,
    /// Seconds of the day.
    seconds: i64,
}

impl Moment {
    /// `YYYY-MM-DD` or `YYYY-MM-DDTHH:MM:SS`; without it, now in UTC.
    pub(super) fn of(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let now = i64::try_from(now).unwrap_or(0);
            return Ok(Self { days: now.div_euclid(86_400), seconds: now.rem_euclid(86_400) });
        };
        parse(text).ok_or_else(|| {
            Error::new(ErrorKind::Input, format!("expected a date, found {text:?}"))
                .with_hint("write it as 2025-03-31 or 2025-03-31T14:05:00")
        })
    }

    pub(super) fn to_json(self) -> Value {
        json!([self.days, self.seconds])
    }

    pub(super) fn from_value(value: &minijinja::Value) -> Option<Self> {
        let part = |index| value.get_item_by_index(index).ok()?.as_i64();
        Some(Self { days: part(0)?, seconds: part(1)? })
    }

    /// Writes the moment; an error says which directive is not known.
    pub(super) fn format(self, format: &str) -> Result<String, String> {
        if format.len() > MAX_FORMAT {
            return Err("the format of the date is too long".into());
        }
        let mut out = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let mut directive = chars.next();
            let bare = directive == Some('-');
            if bare {
                directive = chars.next();
            }
            self.directive(&mut out, directive.unwrap_or('\0'), bare)
                .ok_or_else(|| format!("strftime_now does not know {format:?}"))?;
        }
        Ok(out)
    }

    fn directive(self, out: &mut String, directive: char, bare: bool) -> Option<()> {
        let (year, month, day) = civil(self.days);
        let (hour, minute, second) =
            (self.seconds / 3600, self.seconds / 60 % 60, self.seconds % 60);
        let weekday = DAYS[(self.days + 3).rem_euclid(7) as usize];
        let month_name = MONTHS[month as usize - 1];
        let hour12 = (hour + 11) % 12 + 1;
        let day_of_year = self.days - days(year, 1, 1) + 1;
        let (number, width) = match directive {
            'd' => (day, 2),
            'm' => (month, 2),
            'y' => (year.rem_euclid(100), 2),
            'Y' => (year, 4),
            'H' => (hour, 2),
            'I' => (hour12, 2),
            'M' => (minute, 2),
            'S' => (second, 2),
            'j' => (day_of_year, 3),
            'f' => (0, 6),
            other => {
                let text = match other {
                    'a' => weekday[..3].to_owned(),
                    'A' => weekday.to_owned(),
                    'b' | 'h' => month_name[..3].to_owned(),
                    'B' => month_name.to_owned(),
                    'p' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
                    'e' => format!("{day:2}"),
                    'F' => format!("{year:04}-{month:02}-{day:02}"),
                    'T' => format!("{hour:02}:{minute:02}:{second:02}"),
                    'D' => format!("{month:02}/{day:02}/{:02}", year.rem_euclid(100)),
                    '%' => "%".to_owned(),
                    _ => return None,
                };
                out.push_str(&text);
                return Some(());
            }
        };
        let width = if bare { 1 } else { width };
        let _ = write!(out, "{number:0width$}");
        Some(())
    }
}

fn parse(text: &str) -> Option<Moment> {
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    if hour > 23 || minute > 59 || second > 59 || !(1..=12).contains(&month) {
        return None;
    }
    let days = days(year, month, day);
    let moment = Moment { days, seconds: hour * 3600 + minute * 60 + second };
    (civil(days) == (year, month, day)).then_some(moment)
}

/// Three short numbers without signs.
fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let parts: Vec<i64> = text
        .split(separator)
        .map(|part| {
            let digits = (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            if digits { part.parse().ok() } else { None }
        })
        .collect::<Option<_>>()?;
    parts.try_into().ok()
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years begin in March here, so that the
/// leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let years = if month <= 2 { year - 1 } else { year };
    let months = (month + 9) % 12;
    let leaps = years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
    365 * years + leaps + (153 * months + 2) / 5 + day - 1 - 719_468
}

/// The date of a day: the inverse, by trying the years around it.
fn civil(day: i64) -> (i64, i64, i64) {
    // Never later than the year sought.
    let guess = 1970 + day.div_euclid(if day < 0 { 365 } else { 366 });
    let year = (guess..).take_while(|&year| days(year, 1, 1) <= day).last().unwrap_or(guess - 1);
    let month = (1..=12).rev().find(|&month| days(year, month, 1) <= day).unwrap_or(1);
    (year, month, day - days(year, month, 1) + 1)
}
