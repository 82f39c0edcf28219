//! Wall-clock and monotonic time as values.

use std::fmt;
use std::time::Duration;

/// A moment of the wall clock: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime(i64);

impl UnixTime {
    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From whole seconds since the epoch.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment that a text names by RFC 3339: with its offset, a fraction of
    /// any length (what is below a millisecond is dropped), years 0000 to 9999.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let mut rest = text.as_bytes();
        let year = digits(&mut rest, 4)?;
        literal(&mut rest, b"-")?;
        let month = digits(&mut rest, 2)?;
        literal(&mut rest, b"-")?;
        let day = digits(&mut rest, 2)?;
        literal(&mut rest, b"Tt ")?;
        let hour = digits(&mut rest, 2)?;
        literal(&mut rest, b":")?;
        let minute = digits(&mut rest, 2)?;
        literal(&mut rest, b":")?;
        let second = digits(&mut rest, 2)?;
        let fraction = fraction(&mut rest)?;
        let offset = offset(&mut rest)?;
        let days = days_of(year, month, day)?;
        // 60 is a leap second (RFC 3339 section 5.7).
        if hour > 23 || minute > 59 || second > 60 || !rest.is_empty() {
            return None;
        }
        let seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second;
        Some(Self(seconds * 1000 + fraction))
    }

    /// As it is displayed, without the machinery of formatting; `None` beyond the
    /// years of four digits.
    #[must_use]
    pub fn rfc3339(self) -> Option<[u8; 24]> {
        let [year, month, day, hours, minutes, seconds, millis] = self.parts();
        if !(0..=9999).contains(&year) {
            return None;
        }
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let places = [(0, 4, year), (5, 2, month), (8, 2, day), (11, 2, hours), (14, 2, minutes), (17, 2, seconds)];
        for (start, count, number) in places.into_iter().chain([(20, 3, millis)]) {
            let mut rest = u64::try_from(number).unwrap_or_default();
            for digit in text.iter_mut().skip(start).take(count).rev() {
                *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
                rest /= 10;
            }
        }
        Some(text)
    }

    /// Year, month, day, hours, minutes, seconds, milliseconds.
    const fn parts(self) -> [i64; 7] {
        let of_day = self.0.rem_euclid(86_400_000);
        let (year, month, day) = civil(self.0.div_euclid(86_400_000));
        [year, month, day, of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60, of_day % 1000]
    }

    /// This moment and `by` more.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// This moment less `by`.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(millis(by)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for UnixTime {
    /// RFC 3339 with milliseconds, in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [year, month, day, hours, minutes, seconds, millis] = self.parts();
        write!(f, "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
    }
}

/// The Gregorian date of a day counted from 1970-01-01: years are counted from
/// March, so that the leap day is the last one of a year.
const fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// The day, counted from 1970-01-01, of a date that exists.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let shifted = if month > 2 { year } else { year - 1 };
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let days = shifted.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let (number, after) = rest.split_at_checked(count)?;
    *rest = after;
    let value = |sum: i64, digit: &u8| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'));
    number.iter().try_fold(0, value)
}

fn literal(rest: &mut &[u8], one_of: &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    one_of.contains(first).then_some(*first)
}

/// Milliseconds; none where there is no point.
fn fraction(rest: &mut &[u8]) -> Option<i64> {
    let Some(after) = rest.strip_prefix(b".") else { return Some(0) };
    let length = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, after) = after.split_at_checked(length).filter(|(fraction, _)| !fraction.is_empty())?;
    *rest = after;
    let digit = |(place, weight): (usize, i64)| fraction.get(place).map_or(0, |byte| i64::from(byte - b'0') * weight);
    Some([(0, 100), (1, 10), (2, 1)].into_iter().map(digit).sum())
}

/// Minutes ahead of UTC.
fn offset(rest: &mut &[u8]) -> Option<i64> {
    let sign = match literal(rest, b"Zz+-")? {
        b'+' => 1,
        b'-' => -1,
        _ => return Some(0),
    };
    let hours = digits(rest, 2)?;
    literal(rest, b":")?;
    let minutes = digits(rest, 2)?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A moment of this process's own clock, which never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// From the time since the clock's fixed start.
    #[must_use]
    pub const fn from_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment and `by` more.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_rfc_3339() {
        for (secs, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_767_225_599, "2025-12-31T23:59:59.000Z"),
            (-1, "1969-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(UnixTime::from_secs(secs).to_string(), expected);
        }
    }

    #[test]
    fn both_ways_to_write_a_moment_say_the_same() {
        for day in -1000i64..60_000 {
            let moment = UnixTime::from_millis(day * 86_399_999 + 7);
            let text = moment.rfc3339().expect("a year of four digits");
            assert_eq!(String::from_utf8_lossy(&text), moment.to_string());
        }
        assert_eq!(UnixTime::from_secs(-100_000_000_000).rfc3339(), None);
        assert_eq!(UnixTime::from_secs(300_000_000_000).rfc3339(), None);
    }

    #[test]
    fn moments_are_read_from_rfc_3339() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01t00:00:00.5z", Some(500)),
            ("2000-02-29T23:59:59.999999999Z", Some(951_868_799_999)),
            ("2026-11-22T18:00:00+02:00", Some(1_795_363_200_000)),
            ("2026-11-22T14:30:00.250-01:30", Some(1_795_363_200_250)),
            ("1969-12-31T23:59:59.900Z", Some(-100)),
            ("2016-12-31T23:59:60Z", Some(1_483_228_800_000)),
            ("2026-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-00-10T00:00:00Z", None),
            ("2026-11-22T24:00:00Z", None),
            ("2026-11-22T18:00:00", None),
            ("2026-11-22T18:00:00.Z", None),
            ("2026-11-22T18:00:00Zz", None),
            ("2026-11-22T18:00:00+2:00", None),
            ("+026-11-22T18:00:00Z", None),
            ("2026-11-22", None),
            ("", None),
        ] {
            assert_eq!(UnixTime::parse_rfc3339(text).map(UnixTime::as_millis), expected, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for millis in (-62_167_219_200_000..253_402_300_800_000).step_by(86_399_999 * 37) {
            let moment = UnixTime::from_millis(millis);
            assert_eq!(UnixTime::parse_rfc3339(&moment.to_string()), Some(moment));
        }
    }
}
