//! The wire format of Protocol Buffers, read in place: fields of a message that
//! somebody else wrote, without a copy and without recursion.
//!
//! What is rare or broken is [`Odd`] here. Whoever meets it asks a complete
//! decoder, so nothing below has to be right about what it calls odd.

/// Not the usual encoding, or not an encoding at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Odd;

/// What one field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content<'a> {
    /// A number, a boolean or the value of an enum; the wire is checked, the value not read.
    Varint,
    Fixed64,
    Fixed32,
    /// A text, bytes or a message.
    Delimited(&'a [u8]),
}

/// The fields of a message that are still to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) const fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The next field with its number, 1 to 15; all fields of the messages that
    /// are read here have such numbers, and others are odd.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Result<Option<(u8, Content<'a>)>, Odd> {
        let Some((&key, rest)) = self.0.split_first() else { return Ok(None) };
        if !(0x08..0x80).contains(&key) {
            return Err(Odd);
        }
        let content = match key & 0x07 {
            2 => {
                let (length, rest) = length(rest)?;
                let (content, rest) = rest.split_at_checked(length).ok_or(Odd)?;
                self.0 = rest;
                Content::Delimited(content)
            }
            0 => {
                self.0 = after_varint(rest)?;
                Content::Varint
            }
            1 => {
                self.0 = rest.split_at_checked(8).ok_or(Odd)?.1;
                Content::Fixed64
            }
            5 => {
                self.0 = rest.split_at_checked(4).ok_or(Odd)?.1;
                Content::Fixed32
            }
            // 3 and 4 are groups, 6 and 7 nothing.
            _ => return Err(Odd),
        };
        Ok(Some((key >> 3, content)))
    }
}

/// The length before a delimited field, at most three bytes of it: no message
/// that is accepted has a longer one.
#[inline(always)]
fn length(bytes: &[u8]) -> Result<(usize, &[u8]), Odd> {
    match *bytes {
        [low, ref rest @ ..] if low < 0x80 => Ok((usize::from(low), rest)),
        [low, high, ref rest @ ..] if high < 0x80 => Ok((usize::from(low & 0x7f) | usize::from(high) << 7, rest)),
        [low, middle, high, ref rest @ ..] if high < 0x80 => {
            Ok((usize::from(low & 0x7f) | usize::from(middle & 0x7f) << 7 | usize::from(high) << 14, rest))
        }
        _ => Err(Odd),
    }
}

/// What follows a number of at most 64 bits.
fn after_varint(bytes: &[u8]) -> Result<&[u8], Odd> {
    let last = bytes.iter().take(10).position(|byte| *byte < 0x80).ok_or(Odd)?;
    // The tenth byte holds one bit.
    if last == 9 && bytes.get(last).is_none_or(|byte| *byte > 1) {
        return Err(Odd);
    }
    bytes.get(last + 1..).ok_or(Odd)
}

/// Key and value of an entry of a map of texts as everybody writes one: both are
/// there, in this order, once. `None` says nothing about any other.
#[inline]
pub(super) fn usual_entry(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let [KEY, length_of_key @ ..0x80, rest @ ..] = message else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(*length_of_key))?;
    let [VALUE, rest @ ..] = rest else { return None };
    let (length, value) = length(rest).ok()?;
    (length == value.len()).then_some((key, value))
}

/// Field 1, delimited.
const KEY: u8 = 1 << 3 | 2;
/// Field 2, delimited.
const VALUE: u8 = 2 << 3 | 2;

/// A text field.
#[inline]
pub(super) fn text(bytes: &[u8]) -> Result<&str, Odd> {
    std::str::from_utf8(bytes).map_err(|_| Odd)
}

/// Checks a text field of which the bytes are enough.
#[inline]
pub(super) fn bytes_of_text(bytes: &[u8]) -> Result<&[u8], Odd> {
    // Nearly all of them are, and that is quicker to see.
    if bytes.is_ascii() || std::str::from_utf8(bytes).is_ok() { Ok(bytes) } else { Err(Odd) }
}

/// What a field has to hold. Shapes are slices of these, from field 1 on; a
/// field beyond the end is unknown.
#[derive(Debug)]
pub(super) enum Kind {
    Unknown,
    Text,
    Bytes,
    Varint,
    Fixed64,
    Message(&'static [Kind]),
}

/// Messages within messages. Far below the 100 at which a complete decoder stops.
const MAX_DEPTH: usize = 32;
/// How many of them have their room at once; that for more is made where it is needed.
const USUAL_DEPTH: usize = 4;

/// Checks a message that nothing is read from as strictly as one that is:
/// whoever decodes it whole refuses it for a text that is no UTF-8 or a field
/// of another kind, so it must not pass here.
pub(super) fn conforms(message: &[u8], shape: &'static [Kind]) -> Result<(), Odd> {
    let mut outer: [(Fields<'_>, &'static [Kind]); USUAL_DEPTH] = [(Fields(&[]), &[]); USUAL_DEPTH];
    let mut far_out: Vec<(Fields<'_>, &'static [Kind])> = Vec::new();
    let mut depth = 0;
    let (mut fields, mut shape) = (Fields(message), shape);
    loop {
        let Some((number, content)) = fields.next()? else {
            let Some(above) = usize::checked_sub(depth, 1) else { return Ok(()) };
            depth = above;
            (fields, shape) = match outer.get(above) {
                Some(kept) => *kept,
                None => far_out.pop().ok_or(Odd)?,
            };
            continue;
        };
        let kind = shape.get(usize::from(number) - 1).unwrap_or(&Kind::Unknown);
        match (kind, content) {
            (Kind::Unknown, _)
            | (Kind::Bytes, Content::Delimited(_))
            | (Kind::Varint, Content::Varint)
            | (Kind::Fixed64, Content::Fixed64) => {}
            (Kind::Text, Content::Delimited(bytes)) => {
                bytes_of_text(bytes)?;
            }
            (Kind::Message(inner), Content::Delimited(bytes)) => {
                match outer.get_mut(depth) {
                    Some(place) => *place = (fields, shape),
                    None if depth < MAX_DEPTH => far_out.push((fields, shape)),
                    None => return Err(Odd),
                }
                depth += 1;
                (fields, shape) = (Fields(bytes), inner);
            }
            (Kind::Text | Kind::Bytes | Kind::Varint | Kind::Fixed64 | Kind::Message(_), _) => return Err(Odd),
        }
    }
}
