//! The query of a request, read strictly: every parameter known, each once.

use std::collections::HashMap;

use super::body::{MAX_NAME, is_line};
use super::fault::{Fault, shown};
use super::operation::{Form, Parameter};
use crate::directory::UserId;
use crate::types::UnixTime;

/// The parameters of a query; each is what its [`Form`] says.
pub(super) struct Query {
    values: HashMap<&'static str, String>,
}

impl Query {
    /// Reads `query` by the parameters that there are.
    pub(super) fn read(query: &[u8], known: &[Parameter]) -> Result<Self, Fault> {
        let mut values = HashMap::new();
        for pair in query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (pair.get(..at), pair.get(at.saturating_add(1)..)),
                None => (Some(pair), Some(&b""[..])),
            };
            let decoded = name.and_then(decode).zip(value.and_then(decode));
            let Some((name, value)) = decoded else {
                return Err(Fault::Query("the query is not percent-encoded UTF-8".to_owned()));
            };
            let Some(parameter) = known.iter().find(|known| known.name == name) else {
                let names: Vec<String> = known.iter().map(|known| format!("`{}`", known.name)).collect();
                let there = if names.is_empty() { "there are none".to_owned() } else { names.join(", ") };
                return Err(Fault::Query(format!("`{}` is not known here: {there}", shown(&name))));
            };
            if !parameter.form.takes(&value) {
                return Err(Fault::Query(format!("`{name}` must be {}", parameter.form.wants())));
            }
            if values.insert(parameter.name, value).is_some() {
                return Err(Fault::Query(format!("`{name}` stands there twice")));
            }
        }
        Ok(Self { values })
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.values.get(name).map(|value| value == "true")
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.values.get(name)?.parse().ok()
    }

    pub(super) fn id(&self, name: &str) -> Option<UserId> {
        UserId::parse(self.values.get(name)?)
    }

    pub(super) fn moment(&self, name: &str) -> Option<UnixTime> {
        UnixTime::parse_rfc3339(self.values.get(name)?)
    }

    /// How many at most.
    pub(super) fn limit(&self) -> usize {
        self.number("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(50)
    }
}

impl Form {
    fn takes(self, value: &str) -> bool {
        match self {
            Self::Text => is_line(value, MAX_NAME),
            Self::Flag => matches!(value, "true" | "false"),
            Self::Choice(choices) => choices.contains(&value),
            Self::Number(least, most) => {
                let digits = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
                digits && value.parse::<u64>().is_ok_and(|number| (least..=most).contains(&number))
            }
            Self::Id => UserId::parse(value).is_some(),
            Self::Moment => UnixTime::parse_rfc3339(value).is_some(),
        }
    }

    fn wants(self) -> String {
        match self {
            Self::Text => format!("a text of 1 to {MAX_NAME} characters without control characters"),
            Self::Flag => "`true` or `false`".to_owned(),
            Self::Choice(choices) => {
                format!("one of {}", choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", "))
            }
            Self::Number(least, most) => format!("a number from {least} to {most}"),
            Self::Id => "32 lower-case hexadecimal digits".to_owned(),
            Self::Moment => "a moment by RFC 3339, such as `2027-01-15T20:00:00Z`".to_owned(),
        }
    }
}

/// A part of a form-encoded query (WHATWG URL section 5.1), where that is UTF-8.
fn decode(part: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit =
                    |byte: Option<&u8>| char::from(*byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                high << 4 | low
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Parameter] = &[
        Parameter { name: "search", form: Form::Text, means: "" },
        Parameter { name: "limit", form: Form::Number(1, 200), means: "" },
    ];

    #[test]
    fn a_query_is_read_as_it_was_meant_or_not_at_all() {
        let read = |query: &str| Query::read(query.as_bytes(), KNOWN).ok().and_then(|query| query.text("search"));
        assert_eq!(read("search=a+b%20c%2B&limit=7"), Some("a b c+".to_owned()));
        assert_eq!(read("search=Zo%C3%AB"), Some("Zoë".to_owned()));
        for wrong in [
            "search=a&search=b",
            "search=",
            "search",
            "search=%ff",
            "search=%0",
            "search=%zz",
            "search=%00",
            "serch=a",
            "search=a&limit=0",
            "search=a&limit=201",
            "search=a&limit=+7",
            "search=a&limit=07",
            "search=a&limit=-1",
        ] {
            assert!(Query::read(wrong.as_bytes(), KNOWN).is_err(), "{wrong}");
        }
    }
}
