//! Bearer tokens: verified in full, and looked at again.

use std::hint::black_box;
use std::sync::Arc;

use tiergate::app;
use tiergate::token::{KeySet, KeySource, verify};
use tiergate::types::ProviderId;

use super::Case;
use crate::stage::{NOW, Stage};

struct Keys(Arc<KeySet>);

impl KeySource for Keys {
    fn key_set(&self, _: &ProviderId) -> Option<Arc<KeySet>> {
        Some(Arc::clone(&self.0))
    }
}

pub(super) fn cases() -> Vec<Case> {
    let cold = |algorithm: &'static str| {
        let prepare = move || -> super::Operation {
            let stage = Stage::readme();
            let issuers = app::issuers(&stage.config).expect("issuers");
            let keys = Keys(Arc::clone(&stage.credentials.keys));
            let token = stage.credentials.token(algorithm).to_owned();
            Box::new(move || {
                black_box(verify(black_box(&token), &issuers, &keys, NOW).expect("a good token"));
            })
        };
        Case::new("token verified", algorithm, prepare).gated()
    };
    let again = Case::new("token looked at again", "", || {
        let stage = Stage::readme();
        let issuers = app::issuers(&stage.config).expect("issuers");
        let keys = Keys(Arc::clone(&stage.credentials.keys));
        let verified = verify(stage.credentials.token("RS256"), &issuers, &keys, NOW).expect("a good token");
        Box::new(move || {
            verified.recheck(black_box(&issuers), &keys, NOW).expect("still a good token");
        })
    });
    vec![cold("RS256"), cold("ES256"), cold("EdDSA"), again]
}
