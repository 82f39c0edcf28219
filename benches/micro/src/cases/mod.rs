//! The cases, each with a name that stays the same from one revision to the next.

mod checks;
mod policies;
mod sessions;
mod targets;
mod tokens;

pub use policies::{Shape, document, request_path};

/// What is done once for each time it is measured.
pub type Operation = Box<dyn FnMut()>;

/// One thing to measure.
pub struct Case {
    /// What it is.
    pub name: &'static str,
    /// On what, where that is worth a number of its own.
    pub param: String,
    /// Whether the gate counts it; the others are for the curves.
    pub is_gated: bool,
    prepare: Box<dyn Fn() -> Operation>,
}

impl Case {
    fn new(name: &'static str, param: impl Into<String>, prepare: impl Fn() -> Operation + 'static) -> Self {
        Self { name, param: param.into(), is_gated: false, prepare: Box::new(prepare) }
    }

    fn gated(self) -> Self {
        Self { is_gated: true, ..self }
    }

    /// Makes what it needs.
    #[must_use]
    pub fn prepare(&self) -> Operation {
        (self.prepare)()
    }

    /// Name and parameter.
    #[must_use]
    pub fn id(&self) -> String {
        if self.param.is_empty() { self.name.to_owned() } else { format!("{}/{}", self.name, self.param) }
    }
}

/// Every case, from the small to the whole.
#[must_use]
pub fn all() -> Vec<Case> {
    [targets::cases(), policies::cases(), tokens::cases(), sessions::cases(), checks::cases()]
        .into_iter()
        .flatten()
        .collect()
}
