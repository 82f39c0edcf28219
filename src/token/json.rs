//! JSON for hostile input (RFC 8259, RFC 7493): one object, no member named
//! twice at any level (also not through `\u` escapes), bounded depth.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// The deepest nesting; the outermost object is level one.
const MAX_DEPTH: u8 = 16;

/// Why the bytes are not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonFault {
    /// Not one JSON object, not UTF-8, with a byte-order mark, or too deep.
    Malformed,
    /// A member is named twice.
    Duplicate,
}

/// The object that `bytes` are.
///
/// # Errors
///
/// When they are none, or one that two readers could read differently.
pub fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, JsonFault> {
    let duplicate = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = Strict { level: 1, duplicate: &duplicate }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match parsed {
        Ok(Value::Object(members)) => Ok(members),
        _ if duplicate.get() => Err(JsonFault::Duplicate),
        _ => Err(JsonFault::Malformed),
    }
}

/// Builds one value; `level` is the level that an array or object here has.
struct Strict<'a> {
    level: u8,
    duplicate: &'a Cell<bool>,
}

impl<'a> Strict<'a> {
    /// The seed for what stands inside an array or object at this level.
    fn inside<E: serde::de::Error>(&self) -> Result<Strict<'a>, E> {
        if self.level > MAX_DEPTH {
            return Err(E::custom("nested too deep"));
        }
        Ok(Strict { level: self.level.saturating_add(1), duplicate: self.duplicate })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a json value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = elements.next_element_seed(self.inside()?)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let Entry::Vacant(place) = members.entry(name) else {
                self.duplicate.set(true);
                return Err(A::Error::custom("member named twice"));
            };
            place.insert(entries.next_value_seed(self.inside()?)?);
        }
        Ok(Value::Object(members))
    }
}
