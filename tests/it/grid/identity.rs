//! What an upstream is told about the caller, written down a second time.

use anyhow::{Result, ensure};
use tiergate_testbed::{Account, Received};

use super::stage::Stage;

/// Tiers from the lowest to the highest, as the policy of the stages names them.
pub(super) const TIER_ORDER: [&str; 5] = ["public", "stable", "ea", "devel", "admin"];

/// The headers whose values follow from caller and rule.
const MANAGED: [&str; 8] = [
    "x-auth-user",
    "x-auth-email",
    "x-auth-name",
    "x-auth-tier",
    "x-auth-tiers",
    "x-auth-scopes",
    "x-auth-groups",
    "x-auth-issuer",
];

/// Who the upstream must believe to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    account: Option<Account>,
    /// What the rule asked for.
    tier: String,
}

impl Identity {
    pub(super) fn anonymous(tier: &str) -> Self {
        Self { account: None, tier: tier.to_owned() }
    }

    pub(super) fn account(name: &str, tier: &str) -> Self {
        Self { account: Some(*Account::named(name).expect("an account")), tier: tier.to_owned() }
    }

    /// Whether the upstream received exactly this identity and nothing else that reads like one.
    pub(super) fn check(&self, stage: &Stage, received: &Received) -> Result<()> {
        for (name, expected) in MANAGED.into_iter().zip(self.values(stage.provider.issuer())) {
            let values = received.header_values(name);
            let value = match values.as_slice() {
                [] => "",
                [one] => one,
                more => anyhow::bail!("{name} arrived {} times: {more:?}", more.len()),
            };
            ensure!(value == expected, "{name} arrived as `{value}` in place of `{expected}`");
        }
        let request_id = received.header_values("x-auth-request-id");
        ensure!(matches!(request_id.as_slice(), [id] if !id.is_empty()), "x-auth-request-id arrived as {request_id:?}");
        let assertion = received.header_values("x-auth-assertion");
        ensure!(
            matches!(assertion.as_slice(), [one] if one.split('.').count() == 3),
            "x-auth-assertion arrived as {assertion:?}"
        );
        let known = |name: &str| MANAGED.contains(&name) || matches!(name, "x-auth-request-id" | "x-auth-assertion");
        for (name, value) in &received.headers {
            let reads_like_one = fold(name).starts_with("x-auth-");
            ensure!(!reads_like_one || known(name) || value.is_empty(), "an upstream received `{name}: {value}`");
            ensure!(known(name) || !reads_like_one || *name == fold(name), "an upstream received `{name}`");
        }
        Ok(())
    }

    fn values(&self, issuer: &str) -> [String; 8] {
        let Some(account) = &self.account else {
            let mut values = <[String; 8]>::default();
            values[3].clone_from(&self.tier);
            values[4] = TIER_ORDER[0].to_owned();
            return values;
        };
        let highest = TIER_ORDER.iter().position(|tier| *tier == account.name).expect("a tier's account");
        [
            account.subject(),
            account.email(),
            account.display_name.to_owned(),
            self.tier.clone(),
            TIER_ORDER[..=highest].join(","),
            account.scopes.join(" "),
            String::new(),
            issuer.to_owned(),
        ]
    }
}

/// The one spelling that all spellings of a header name share.
fn fold(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' }).collect()
}
