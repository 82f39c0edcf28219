//! Colours of a brand, and whether they can be read.

use std::fmt;

/// An opaque sRGB colour, written `#rgb` or `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color([u8; 3]);

/// The text is no colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a colour such as `#0b57b0` or `#06c`")]
pub struct ColorError;

/// The least contrast between text and what is behind it, in hundredths (WCAG
/// 2.2 success criterion 1.4.3).
pub(super) const READABLE: u32 = 450;

impl Color {
    pub(super) const WHITE: Self = Self([255, 255, 255]);
    /// Near black, with a hint of blue, as the ink of the pages.
    pub(super) const NIGHT: Self = Self([11, 17, 26]);

    pub(super) const fn new(red: u8, green: u8, blue: u8) -> Self {
        Self([red, green, blue])
    }

    /// Reads `#rgb` or `#rrggbb`.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, ColorError> {
        let digits = text.strip_prefix('#').ok_or(ColorError)?.as_bytes();
        let digit =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(ColorError);
        match *digits {
            [red, green, blue] => {
                let double = |byte: u8| digit(byte).map(|value| value * 17);
                Ok(Self([double(red)?, double(green)?, double(blue)?]))
            }
            [r1, r2, g1, g2, b1, b2] => {
                let pair = |high: u8, low: u8| Ok(digit(high)? * 16 + digit(low)?);
                Ok(Self([pair(r1, r2)?, pair(g1, g2)?, pair(b1, b2)?]))
            }
            _ => Err(ColorError),
        }
    }

    /// The contrast ratio of two colours in hundredths, 100 to 2100 (WCAG 2.2,
    /// "contrast ratio").
    #[must_use]
    pub fn contrast(self, other: Self) -> u32 {
        let (one, two) = (self.luminance(), other.luminance());
        let ratio = (one.max(two) + 0.05) / (one.min(two) + 0.05);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 100 and 2100, and cut rather than rounded: what is just too little is too little"
        )]
        let hundredths = (ratio * 100.0) as u32;
        hundredths
    }

    /// WCAG 2.2, "relative luminance".
    fn luminance(self) -> f64 {
        let linear = |channel: u8| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// Whichever of white and night is read better on this colour.
    #[must_use]
    pub(super) fn text_on(self) -> Self {
        if self.contrast(Self::WHITE) >= self.contrast(Self::NIGHT) { Self::WHITE } else { Self::NIGHT }
    }

    /// The nearest colour on the way to `toward` that can be read on each of `backs`.
    #[must_use]
    pub(super) fn readable_on(self, backs: &[Self], toward: Self) -> Self {
        let is_readable = |color: &Self| backs.iter().all(|back| color.contrast(*back) >= READABLE);
        (0..=20).map(|step| self.mixed(toward, step)).find(is_readable).unwrap_or(toward)
    }

    /// `step` twentieths of the way to `other`.
    fn mixed(self, other: Self, step: u16) -> Self {
        let [r, g, b] = self.0;
        let [to_r, to_g, to_b] = other.0;
        let mix = |from: u8, to: u8| {
            let mixed = (u16::from(from) * (20 - step) + u16::from(to) * step) / 20;
            u8::try_from(mixed).unwrap_or(u8::MAX)
        };
        Self([mix(r, to_r), mix(g, to_g), mix(b, to_b)])
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hexadecimal_colours_are_colours() {
        assert_eq!(Color::parse("#06c").map(|color| color.to_string()), Ok("#0066cc".to_owned()));
        assert_eq!(Color::parse("#0B57b0").map(|color| color.to_string()), Ok("#0b57b0".to_owned()));
        for text in
            ["", "#", "06c", "#06", "#06cc", "#0b57b0ff", "#gggggg", "red", "#06c;x", "rgb(0,0,0)", "#+1+1+1", "#é6"]
        {
            assert_eq!(Color::parse(text), Err(ColorError), "{text}");
        }
    }

    #[test]
    fn contrast_is_as_wcag_counts_it() {
        let color = |text: &str| Color::parse(text).expect("a colour");
        assert_eq!(color("#000").contrast(color("#fff")), 2100);
        assert_eq!(color("#fff").contrast(color("#fff")), 100);
        // The classic pair on both sides of the line.
        assert!(color("#767676").contrast(color("#fff")) >= READABLE);
        assert!(color("#777777").contrast(color("#fff")) < READABLE);
        assert_eq!(color("#ffd400").text_on(), Color::NIGHT);
        assert_eq!(color("#0b57b0").text_on(), Color::WHITE);
    }

    #[test]
    fn what_is_too_faint_is_moved_until_it_can_be_read() {
        for text in ["#ffd400", "#8ab8ff", "#777", "#fff", "#0b57b0"] {
            let found = Color::parse(text).expect("a colour").readable_on(&[Color::WHITE], Color::NIGHT);
            assert!(found.contrast(Color::WHITE) >= READABLE, "{text} became {found}");
        }
    }
}
