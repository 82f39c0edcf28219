//! The rules of an app: with whole paths, compiled, their faults at the place
//! where they were written.

use std::fmt::Display;

use super::apps::Reading;
use super::apps_file::AppFile;
use super::fault::{Fault, quoted};
use super::node::in_words;
use crate::apps::{AppId, AppPath};
use crate::policy::document::RuleFile;
use crate::policy::{PolicyError, PolicyErrorKind, RuleSet};

/// The rules of an app, with whole paths.
pub(super) struct Rules {
    /// The one that nobody has to write.
    pub(super) implied: RuleFile,
    pub(super) written: Vec<RuleFile>,
}

impl Reading<'_, '_> {
    /// The app's rules with whole paths.
    pub(super) fn rules(&mut self, file: &AppFile, id: &AppId, path: &AppPath) -> Rules {
        let implied = RuleFile {
            path: format!("{}/**", path.prefix()),
            host: file.host.clone(),
            tier: Some(id.tier.to_string()),
            ..RuleFile::default()
        };
        let mut rules = Rules { implied, written: Vec::new() };
        for (position, written) in file.rules.iter().enumerate() {
            let at = format!("rules/{position}");
            if written.host.is_some() {
                self.fault_at(&at, "host", "a rule of an app is for the app's own host", "remove `host`");
            }
            if !written.path.starts_with('/') {
                let message = format!("the path {} is not relative to the app's", quoted(&written.path));
                self.fault_at(&at, "path", message, "start it with `/`, such as `/reports/**`");
                continue;
            }
            let names_tier = written.tier.is_some() || written.require.as_ref().is_some_and(|more| more.tier.is_some());
            let mut whole = written.clone();
            whole.path = format!("{}{}", path.prefix(), written.path);
            whole.host.clone_from(&file.host);
            if !names_tier {
                whole.tier = Some(id.tier.to_string());
            }
            rules.written.push(whole);
        }
        rules
    }

    fn fault_at(&mut self, inner: &str, key: &str, message: impl Display, hint: &str) {
        self.check.fault(Fault::new(format!("{}/{inner}/{key}", self.at), message.to_string()).hint(hint));
    }

    pub(super) fn compile(&mut self, rules: &Rules) -> Option<RuleSet> {
        let errors = match self.context.policy?.compile_rules(&rules.implied, &rules.written) {
            Ok(compiled) => return Some(compiled),
            Err(errors) => errors,
        };
        for error in errors {
            let fault = self.located(&error);
            self.check.fault(fault);
        }
        None
    }

    /// The fault at the place where the rule was written.
    fn located(&self, error: &PolicyError) -> Fault {
        let place = |pointer: &str| {
            if pointer.starts_with("/rules/") { format!("{}{pointer}", self.at) } else { self.at.to_owned() }
        };
        let message = if let PolicyErrorKind::Tie { other } = error.kind() {
            format!("this rule and `{}` are for the same requests", in_words(&place(other)))
        } else {
            error.to_string()
        };
        Fault::new(place(error.pointer()), message).maybe_hint(error.hint())
    }
}
