//! What operators are told of opaque tokens: how often a provider is asked about
//! them, and when that does not work.

use std::sync::atomic::{AtomicBool, Ordering};

use metrics::counter;

use crate::oidc::{Asked, IntrospectionWatch};
use crate::types::ProviderId;

/// Counts, and writes down when asking begins to fail and when it works again.
#[derive(Debug, Default)]
pub(super) struct CountIntrospections {
    fails: AtomicBool,
}

impl IntrospectionWatch for CountIntrospections {
    fn asked(&self, provider: &ProviderId, result: Asked) {
        let provider = provider.as_str();
        counter!("tiergate_introspection_total", "provider" => provider.to_owned(), "result" => result.as_str())
            .increment(1);
        let why = match result {
            Asked::Active | Asked::Inactive | Asked::Refused => {
                if self.fails.swap(false, Ordering::Relaxed) {
                    tracing::info!(provider, "the introspection endpoint answers");
                }
                return;
            }
            Asked::Unreachable => "it does not answer, or with a failure of its own",
            Asked::Client => "it does not take the client of `introspection`",
            Asked::Malformed => "what it answers is no introspection response, or it has no such endpoint",
        };
        if !self.fails.swap(true, Ordering::Relaxed) {
            tracing::warn!(provider, why, "opaque tokens cannot be looked up: who brings one is refused (503)");
        }
    }
}
