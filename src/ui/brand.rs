//! The operator's name, picture and colours on the pages.

use super::color::{Color, READABLE};
use super::contact::Contact;
use super::logo::Logo;

/// Whose pages they are.
#[derive(Debug, Clone)]
pub struct Brand {
    /// What people read at the top and in the title.
    pub name: String,
    /// The picture beside it; a mark of our own when absent.
    pub logo: Option<Logo>,
    /// What buttons and links are coloured with.
    pub colors: Colors,
    /// Whom to ask where nobody else is named.
    pub contact: Option<Contact>,
}

impl Default for Brand {
    fn default() -> Self {
        Self { name: "Tiergate".to_owned(), logo: None, colors: Colors::default(), contact: None }
    }
}

/// The one colour that a brand chooses, for light and for dark pages. What
/// stands on it is chosen so that it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colors {
    /// On light pages.
    pub accent: Color,
    /// On dark pages.
    pub accent_dark: Color,
}

/// The backs of light and dark pages, as `style.css` has them; a test compares.
pub(super) const LIGHT: [Color; 2] = [Color::new(0xf4, 0xf5, 0xf7), Color::WHITE];
pub(super) const DARK: [Color; 2] = [Color::new(0x11, 0x15, 0x1a), Color::new(0x1a, 0x1f, 0x26)];

impl Default for Colors {
    fn default() -> Self {
        Self { accent: Color::new(0x0b, 0x5c, 0x6b), accent_dark: Color::new(0x6f, 0xd0, 0xdf) }
    }
}

impl Colors {
    /// Why `accent` cannot be read on light pages: its contrast in hundredths,
    /// and the nearest colour that can be.
    #[must_use]
    pub fn too_faint_on_light(accent: Color) -> Option<(u32, Color)> {
        too_faint(accent, &LIGHT, Color::NIGHT)
    }

    /// The same for `accent_dark` on dark pages.
    #[must_use]
    pub fn too_faint_on_dark(accent: Color) -> Option<(u32, Color)> {
        too_faint(accent, &DARK, Color::WHITE)
    }

    /// The colour for dark pages that goes with this one for light pages.
    #[must_use]
    pub fn dark_for(accent: Color) -> Color {
        accent.readable_on(&DARK, Color::WHITE)
    }
}

fn too_faint(color: Color, backs: &[Color], toward: Color) -> Option<(u32, Color)> {
    let least = backs.iter().map(|back| color.contrast(*back)).min()?;
    (least < READABLE).then(|| (least, color.readable_on(backs, toward)))
}
