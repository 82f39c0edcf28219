//! Sessions: opened from the store, and as a check asks for them.

use std::hint::black_box;

use tiergate::session::SessionSource as _;

use super::Case;
use crate::stage::{Stage, at_once};

pub(super) fn cases() -> Vec<Case> {
    let open = Case::new("session opened", "", || {
        let (sessions, _, id) = Stage::with_sign_in().sessions.expect("sessions");
        Box::new(move || {
            black_box(at_once(sessions.open(black_box(&id))).expect("a live session"));
        })
    });
    let find = Case::new("session found", "", || {
        let (_, live, id) = Stage::with_sign_in().sessions.expect("sessions");
        Box::new(move || {
            black_box(at_once(live.find(black_box(&id))).expect("a live session"));
        })
    });
    vec![open, find.gated()]
}
