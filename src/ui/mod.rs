//! Layer 1: how every page looks and speaks: style, templates, messages, and
//! the operator's own brand on them. Pure: text in, text out.
//!
//! ```text
//! Accept-Language ──▶ Language ┐
//! Brand ──▶ style and policy   ├─▶ Ui::page ──▶ HTML with the headers that bound it
//! templates, own ones first    ┘
//! ```
//!
//! Both the refusals of a check and the service's own pages are written here,
//! so that they cannot drift apart.

mod admin_samples;
mod brand;
mod color;
mod contact;
mod html;
mod language;
mod logo;
mod messages;
mod page;
mod samples;
mod style;
mod templates;

pub use brand::{Brand, Colors};
pub use color::{Color, ColorError};
pub use contact::Contact;
pub use logo::{Logo, LogoError};
pub use messages::{Language, MessageError, Messages, Text};
pub use page::Ui;
pub(crate) use page::{Form, PageView};
pub use templates::{TemplateFault, Templates};

#[cfg(test)]
mod tests;
