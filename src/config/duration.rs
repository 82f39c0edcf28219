//! Durations as people write them: `30s`, `10m`, `24h`.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// A duration as written; [`DurationText::read`] judges it.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct DurationText(pub(crate) String);

impl DurationText {
    /// The duration, or `None` when the text is no whole number with one of the
    /// units `ms`, `s`, `m`, `h`, `d` behind it.
    pub(crate) fn read(&self) -> Option<Duration> {
        let text = self.0.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits)?;
        let number: u64 = number.parse().ok()?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        number.checked_mul(millis).map(Duration::from_millis)
    }
}

/// The duration as one would write it.
pub(crate) fn in_words(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        // One day reads better as `24h`.
        if millis >= size && millis.is_multiple_of(size) && !(unit == "d" && millis < 2 * size) {
            return format!("{}{unit}", millis / size);
        }
    }
    format!("{millis}ms")
}

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A whole number and a unit: `ms`, `s`, `m`, `h` or `d`.",
            "pattern": "^[0-9]+(ms|s|m|h|d)$",
            "examples": ["30s", "10m", "24h"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Duration> {
        DurationText(text.to_owned()).read()
    }

    #[test]
    fn reads_a_number_with_a_unit() {
        assert_eq!(read("30s"), Some(Duration::from_secs(30)));
        assert_eq!(read("10m"), Some(Duration::from_secs(600)));
        assert_eq!(read("24h"), Some(Duration::from_secs(86_400)));
        assert_eq!(read("2d"), Some(Duration::from_secs(172_800)));
        assert_eq!(read("250ms"), Some(Duration::from_millis(250)));
    }

    #[test]
    fn refuses_everything_else() {
        for text in
            ["", "30", "s", "1.5h", "-1s", "1 h", "1h30m", "30S", "99999999999999999999s", "999999999999999999d"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for text in ["250ms", "30s", "10m", "24h", "2d", "90s"] {
            assert_eq!(in_words(read(text).unwrap()), text);
        }
    }
}
