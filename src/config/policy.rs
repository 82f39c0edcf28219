//! Tiers and rules: compiled, or every fault of what of them could be read.

use serde_json::Value;

use super::check::Check;
use super::fault::Fault;
use super::node::push;
use crate::policy::document::PolicyDocument;
use crate::policy::{Declared, Policy};

/// The names that the config declares, also in sections that are faulty.
pub(crate) struct Declarations {
    /// `None` when the tiers are no map.
    tiers: Option<Vec<String>>,
    /// `None` when a provider has no id that can be read.
    providers: Option<Vec<String>>,
}

impl Declarations {
    /// Reads the names from the whole config; `faults` are those of its text.
    pub(crate) fn find(config: &Value, faults: &[Fault]) -> Self {
        let is_clean = |pointer: &str| !faults.iter().any(|fault| Fault::new(pointer, "").touches(fault));
        let tiers = match config.get("tiers") {
            None => Some(Vec::new()),
            Some(Value::Object(tiers)) => Some(tiers.keys().cloned().collect()),
            Some(_) => None,
        };
        let providers = match config.get("identity_providers") {
            None => Some(Vec::new()),
            Some(Value::Array(providers)) => providers
                .iter()
                .enumerate()
                .map(|(position, provider)| {
                    let pointer = push(&push("/identity_providers", &position.to_string()), "id");
                    let id = provider.get("id").and_then(Value::as_str).filter(|_| is_clean(&pointer))?;
                    Some(id.to_owned())
                })
                .collect(),
            Some(_) => None,
        };
        Self { tiers, providers }
    }
}

/// The policy, when all of it could be read and nothing is wrong with it.
pub(crate) fn read(document: &PolicyDocument, declared: &Declarations, check: &mut Check<'_>) -> Option<Policy> {
    let whole = ["tiers", "rules", "identity_providers"].into_iter().all(|section| check.is_sound(section));
    let errors = match (&declared.providers, whole) {
        (Some(providers), true) => {
            let ids: Vec<&str> = providers.iter().map(String::as_str).collect();
            match Policy::compile(document, &ids) {
                Ok(policy) => return Some(policy),
                Err(errors) => errors,
            }
        }
        (None, _) | (_, false) => Policy::faults_of_part(
            document,
            &Declared { tiers: declared.tiers.as_deref(), providers: declared.providers.as_deref() },
        ),
    };
    check.faults.extend(errors.iter().map(Fault::from));
    None
}
