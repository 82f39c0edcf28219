//! Moments as XML Schema writes them, `2011-05-13T04:42:34.5Z` (RFC 7643 section 2.3.5).

use crate::types::UnixTime;

/// The moment that `text` is; a zone has to be there.
pub(super) fn parse(text: &str) -> Option<UnixTime> {
    let (date, time) = text.split_once(['T', 't'])?;
    let mut date = date.splitn(3, '-').map(|part| digits(part, 4));
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = time.split_at_checked(zone_at)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut time = time.splitn(3, ':').map(|part| digits(part, 2));
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let offset = offset_minutes(zone)?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + (minute - offset) * 60 + second;
    Some(UnixTime::from_millis(seconds * 1000 + millis(fraction)?))
}

fn digits(text: &str, most: usize) -> Option<i64> {
    let is_number = !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn millis(fraction: &str) -> Option<i64> {
    if fraction.is_empty() {
        return Some(0);
    }
    let shown: String = fraction.chars().chain("00".chars()).take(3).collect();
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) { None } else { digits(&shown, 3) }
}

fn offset_minutes(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    (hours <= 14 && minutes <= 59).then(|| sign * (hours * 60 + minutes))
}

/// The days from 1970-01-01, years counted from March so that the leap day is the last.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_they_are_written() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T00:00:00.000Z", Some(951_782_400_000)),
            ("2025-12-31T23:59:59.5Z", Some(1_767_225_599_500)),
            ("2026-01-01T01:59:59.123456+02:00", Some(1_767_225_599_123)),
            ("2011-05-13T04:42:34Z", Some(1_305_261_754_000)),
            ("1969-12-31T23:59:59z", Some(-1000)),
            ("2011-05-13", None),
            ("2011-05-13T04:42:34", None),
            ("2011-13-13T04:42:34Z", None),
            ("2011-05-13T04:42:34+99:00", None),
            ("2011-05-13T04:42:34.x1Z", None),
            ("T:Z", None),
            ("", None),
        ] {
            assert_eq!(parse(text).map(UnixTime::as_millis), millis, "{text}");
        }
        let now = UnixTime::from_millis(1_764_000_123_456);
        assert_eq!(parse(&now.to_string()), Some(now));
    }
}
