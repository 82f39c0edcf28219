//! What goes to the upstream with an allowed request.

use std::fmt;
use std::sync::Arc;

use http::HeaderName;

use super::checker::Snapshot;
use super::identity_headers::{ASSERTION_HEADER, Identity};
use crate::session::SetCookie;
use crate::types::{Principal, TierIndex, TierSet};

/// What goes to the upstream with an allowed request. What is the same for every
/// request of a caller is not copied: it is read off the caller when the answer is
/// written.
#[derive(Clone)]
pub struct Allow {
    pub(super) caller: Told,
    /// Names in the request that are another spelling of a reserved one, each once.
    pub(super) aliases: Vec<String>,
    /// The query for the upstream, with its `?` (HTTP protocols).
    pub query: String,
    /// The raw names of the parameters that were cut out of the query.
    pub query_cut: Vec<String>,
    /// The subprotocols for the upstream.
    pub websocket_protocol: String,
    /// Whether a token was cut out of the subprotocols.
    pub websocket_protocol_cut: bool,
    /// The cookies for the upstream, without those of the service.
    pub cookie: String,
    /// Whether a cookie was cut out.
    pub cookie_cut: bool,
    /// Cookies for the browser, which come with the upstream's answer.
    pub set_cookies: Vec<SetCookie>,
    /// The origin that may read the answer, on a rule with `cors`.
    pub cors_origin: Option<String>,
}

/// Whom the upstream is told of, under which settings.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) principal: Option<Arc<Principal>>,
    pub(super) held: TierSet,
    /// The tier the rule asked for.
    pub(super) tier: Option<TierIndex>,
    pub(super) request_id: Arc<str>,
    /// The signed assertion, or nothing.
    pub(super) assertion: String,
}

impl Allow {
    /// Every managed header with its value, empty when unknown; each name once,
    /// in lower case.
    pub fn each_header(&self, mut put: impl FnMut(&str, &str)) {
        self.each_of_caller(|name, value| put(name.as_str(), value));
        self.each_of_request(|name, value| put(name.as_str(), value));
    }

    /// Those of them that say the same in every request of the caller under the
    /// same tier: see [`PerCaller`].
    pub fn each_of_caller(&self, put: impl FnMut(&HeaderName, &str)) {
        let Told { snapshot, principal, held, tier, request_id: _, assertion: _ } = &self.caller;
        let tiers = snapshot.policy.tiers();
        let tier = tier.map(|tier| tiers.name(tier));
        let identity = Identity { principal: principal.as_deref(), tiers, held: *held, tier };
        snapshot.identity.each_of_caller(&identity, put);
    }

    /// Those of them that are about this request.
    pub fn each_of_request(&self, mut put: impl FnMut(&HeaderName, &str)) {
        let Told { snapshot, request_id, assertion, .. } = &self.caller;
        for name in snapshot.identity.of_request() {
            put(name, request_id);
        }
        put(&HeaderName::from_static(ASSERTION_HEADER), assertion);
    }

    /// Headers of the client that must not go upstream: reserved names that are
    /// not managed, and every other spelling of a reserved name.
    pub fn removed(&self) -> impl Iterator<Item = &str> {
        self.removed_always().iter().map(HeaderName::as_str).chain(self.removed_here())
    }

    /// Those of them that no request may bring, under the same settings always the same.
    #[must_use]
    pub fn removed_always(&self) -> &[HeaderName] {
        self.caller.snapshot.identity.unmanaged()
    }

    /// Those of them that this request brought.
    pub fn removed_here(&self) -> impl Iterator<Item = &str> {
        self.aliases.iter().map(String::as_str)
    }
}

/// Without values: the caller's own cookies, query and assertion stand there.
impl fmt::Debug for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allow")
            .field("known", &self.caller.principal.is_some())
            .field("aliases", &self.aliases)
            .field("query_cut", &self.query_cut)
            .field("websocket_protocol_cut", &self.websocket_protocol_cut)
            .field("cookie_cut", &self.cookie_cut)
            .field("set_cookies", &self.set_cookies.len())
            .field("cors_origin", &self.cors_origin)
            .finish_non_exhaustive()
    }
}
