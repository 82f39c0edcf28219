//! Until when a tier is given, as the form says it.

use crate::types::UnixTime;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// For how long, by the value of the form and the message that it is called by.
pub(super) const SPANS: [(&str, &str); 7] = [
    ("", "admin.span_choose"),
    ("hour", "admin.span_hour"),
    ("day", "admin.span_day"),
    ("week", "admin.span_week"),
    ("friday", "admin.span_friday"),
    ("month", "admin.span_month"),
    ("ever", "admin.span_ever"),
];

/// Why the form does not say until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSpan {
    /// Neither a span nor an end.
    Neither,
    /// Both.
    Both,
    /// No time to come.
    End,
}

/// The end that the form says; `None` is for good.
pub(super) fn end(span: &str, until: &str, now: UnixTime) -> Result<Option<UnixTime>, NoSpan> {
    let after = |seconds: i64| Ok(Some(UnixTime::from_secs(now.as_secs().saturating_add(seconds))));
    match (span, until) {
        ("", "") => Err(NoSpan::Neither),
        ("", until) => {
            let until = parse(until).filter(|until| *until > now).ok_or(NoSpan::End)?;
            Ok(Some(until))
        }
        (_, until) if !until.is_empty() => Err(NoSpan::Both),
        ("hour", _) => after(HOUR),
        ("day", _) => after(DAY),
        ("week", _) => after(7 * DAY),
        ("month", _) => after(30 * DAY),
        ("friday", _) => Ok(Some(end_of_friday(now))),
        ("ever", _) => Ok(None),
        _ => Err(NoSpan::Neither),
    }
}

/// The midnight that ends the Friday of this week, or of the next where this one is past.
fn end_of_friday(now: UnixTime) -> UnixTime {
    let days = now.as_secs().div_euclid(DAY);
    // 1970-01-01 was a Thursday: day 1 was a Friday.
    let ahead = (1i64).saturating_sub(days).rem_euclid(7);
    UnixTime::from_secs(days.saturating_add(ahead).saturating_add(1).saturating_mul(DAY))
}

/// `2027-05-28T18:00`, with seconds or without, as a browser sends it (HTML section 2.3.5.5), in UTC.
fn parse(text: &str) -> Option<UnixTime> {
    let text = text.trim();
    let seconds = if text.len() == "2027-05-28T18:00".len() { ":00" } else { "" };
    UnixTime::parse_rfc3339(&format!("{text}{seconds}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read_as_they_are_written() {
        for (text, written) in [
            ("2027-05-28T18:00", Some("2027-05-28T18:00:00")),
            ("2027-05-28T18:00:59", Some("2027-05-28T18:00:59")),
            ("2027-05-28 18:00", Some("2027-05-28T18:00:00")),
            ("2028-02-29T00:00", Some("2028-02-29T00:00:00")),
            ("2027-02-29T00:00", None),
            ("2027-13-01T00:00", None),
            ("2027-05-28T24:00", None),
            ("2027-05-28", None),
            ("2027-05-28T18:00+09:00", None),
            ("27-05-28T18:00", None),
            ("02027-05-28T18:00", None),
            ("", None),
            ("soon", None),
        ] {
            let read = parse(text).map(|time| time.to_string());
            assert_eq!(read.as_deref().and_then(|read| read.get(..19)), written, "{text}");
        }
    }

    #[test]
    fn spans_end_when_they_say() {
        // A Friday, 20:00.
        let now = parse("2027-01-15T20:00").expect("a time");
        let at = |text: &str| Ok(Some(parse(text).expect("a time")));
        for (span, until, expected) in [
            ("hour", "", at("2027-01-15T21:00")),
            ("day", "", at("2027-01-16T20:00")),
            ("week", "", at("2027-01-22T20:00")),
            ("month", "", at("2027-02-14T20:00")),
            ("friday", "", at("2027-01-16T00:00")),
            ("ever", "", Ok(None)),
            ("", "2027-01-15T20:01", at("2027-01-15T20:01")),
            ("", "2027-01-15T20:00", Err(NoSpan::End)),
            ("", "x", Err(NoSpan::End)),
            ("", "", Err(NoSpan::Neither)),
            ("year", "", Err(NoSpan::Neither)),
            ("day", "2027-01-16T20:00", Err(NoSpan::Both)),
            ("ever", "2027-01-16T20:00", Err(NoSpan::Both)),
        ] {
            assert_eq!(end(span, until, now), expected, "{span} {until}");
        }
        for (now, friday) in [
            ("2027-01-16T00:00", "2027-01-23T00:00"),
            ("2027-01-14T23:59", "2027-01-16T00:00"),
            ("2027-01-17T12:00", "2027-01-23T00:00"),
        ] {
            assert_eq!(Some(end_of_friday(parse(now).expect("a time"))), parse(friday), "{now}");
        }
    }
}
