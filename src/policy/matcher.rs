//! Finds the most specific rule for a request: host, then path segment by
//! segment, then method. A tree per host; no allocation while matching.

use std::sync::Arc;

use super::by_name::ByName;
use super::error::{PolicyError, PolicyErrorKind};
use super::pattern::Segment;
use super::rule::{HostPattern, Rule};
use crate::types::Host;

/// The position of a rule in the policy.
pub(crate) type RuleIndex = usize;

#[derive(Debug, Clone, Default)]
pub(crate) struct Matcher {
    /// Exact hosts: `name` for every port, `name:port` for one.
    exact: ByName<Node>,
    /// Wildcard hosts.
    suffixes: Suffixes,
    any: Node,
}

/// Wildcard hosts by their suffixes, each of which starts with a dot.
#[derive(Debug, Clone, Default)]
struct Suffixes {
    by_name: ByName<Ports>,
    /// The length of the longest one.
    longest: usize,
}

/// The trees of one suffix.
#[derive(Debug, Clone, Default)]
struct Ports {
    one: ByName<Node>,
    every: Option<Node>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// Literal next segments.
    literals: ByName<Node>,
    variable: Option<Box<Node>>,
    /// Rules whose pattern ends here.
    here: Leaf,
    /// Rules whose pattern ends here in `**`.
    rest: Leaf,
}

#[derive(Debug, Clone, Default)]
struct Leaf {
    by_method: Vec<(Box<str>, RuleIndex)>,
    every_method: Option<RuleIndex>,
}

impl Matcher {
    /// Builds the trees; a tie is an error that names both rules.
    pub(crate) fn build(rules: &[(usize, Arc<Rule>)], errors: &mut Vec<PolicyError>) -> Self {
        let mut matcher = Self::default();
        for (index, (position, rule)) in rules.iter().enumerate() {
            if let Some(other) = matcher.insert(index, rule) {
                let other = rules.get(other).map_or(0, |(position, _)| *position);
                errors.push(PolicyError::new(
                    format!("/rules/{position}"),
                    PolicyErrorKind::Tie { other: format!("/rules/{other}") },
                ));
            }
        }
        matcher
    }

    /// Keeps `rule`, which is number `index`; the rule it ties with, if there is
    /// one, which stays where it is.
    pub(crate) fn insert(&mut self, index: RuleIndex, rule: &Rule) -> Option<RuleIndex> {
        self.root_mut(&rule.host).leaf_mut(rule).insert(&rule.methods, index)
    }

    /// The rule that `rule` would tie with.
    pub(crate) fn tie(&self, rule: &Rule) -> Option<RuleIndex> {
        self.root(&rule.host)?.leaf(rule)?.tie(&rule.methods)
    }

    /// The most specific rule that covers host, path and method.
    pub(crate) fn find(&self, host: Option<&Host>, path: &str, method: &str) -> Option<RuleIndex> {
        let path = path.strip_prefix('/')?;
        if let Some(host) = host {
            // A client writes the port it likes: a pattern without one covers them all.
            let with_port = if host.port().is_empty() { None } else { self.exact.get(host.as_str()) };
            let exact = with_port.into_iter().chain(self.exact.get(host.name()));
            let mut roots = exact.chain(self.suffixes.covering(host));
            if let Some(found) = roots.find_map(|root| root.find(Some(path), method)) {
                return Some(found);
            }
        }
        self.any.find(Some(path), method)
    }

    /// Whether some rule is for certain hosts only.
    pub(crate) fn knows_hosts(&self) -> bool {
        !self.exact.is_empty() || !self.suffixes.by_name.is_empty()
    }

    fn root(&self, host: &HostPattern) -> Option<&Node> {
        match host {
            HostPattern::Any => Some(&self.any),
            HostPattern::Exact { name, port } if port.is_empty() => self.exact.get(name),
            HostPattern::Exact { name, port } => self.exact.get(format!("{name}:{port}").as_str()),
            HostPattern::Suffix { name, port } => self.suffixes.by_name.get(name)?.root(port),
        }
    }

    fn root_mut(&mut self, host: &HostPattern) -> &mut Node {
        match host {
            HostPattern::Any => &mut self.any,
            HostPattern::Exact { name, port } if port.is_empty() => child_mut(&mut self.exact, name),
            HostPattern::Exact { name, port } => child_mut(&mut self.exact, &format!("{name}:{port}")),
            HostPattern::Suffix { name, port } => {
                self.suffixes.longest = self.suffixes.longest.max(name.len());
                let ports = self.suffixes.by_name.entry(name.clone()).or_default();
                if port.is_empty() { ports.every.get_or_insert_default() } else { child_mut(&mut ports.one, port) }
            }
        }
    }
}

impl Suffixes {
    /// The trees of the suffixes that cover `host`: the longest first, one port
    /// before every port.
    fn covering<'m>(&'m self, host: &Host) -> impl Iterator<Item = &'m Node> {
        let (name, port) = (host.name(), host.port());
        // A host of many labels is not looked up label by label where no suffix is that long.
        let longest = name.get(name.len().saturating_sub(self.longest)..).unwrap_or_default();
        let starts = longest.match_indices('.').filter_map(move |(dot, _)| longest.get(dot..));
        // There is something before the dot: a suffix does not cover itself.
        let covering = starts.filter(|suffix| suffix.len() < name.len());
        let ports = covering.filter_map(|suffix| self.by_name.get(suffix));
        ports.flat_map(move |ports| {
            let one = if port.is_empty() { None } else { ports.one.get(port) };
            one.into_iter().chain(&ports.every)
        })
    }
}

impl Ports {
    fn root(&self, port: &str) -> Option<&Node> {
        if port.is_empty() { self.every.as_ref() } else { self.one.get(port) }
    }
}

impl Node {
    /// The leaf at which `rule` is kept.
    fn leaf_mut(&mut self, rule: &Rule) -> &mut Leaf {
        let mut node = self;
        for segment in rule.pattern.segments() {
            node = match segment {
                Segment::Literal(literal) => child_mut(&mut node.literals, literal),
                Segment::Variable(_) => node.variable.get_or_insert_default(),
            };
        }
        if rule.pattern.has_rest() { &mut node.rest } else { &mut node.here }
    }

    /// The leaf at which `rule` would be kept, where there is one.
    fn leaf(&self, rule: &Rule) -> Option<&Leaf> {
        let mut node = self;
        for segment in rule.pattern.segments() {
            node = match segment {
                Segment::Literal(literal) => node.literals.get(literal)?,
                Segment::Variable(_) => node.variable.as_deref()?,
            };
        }
        Some(if rule.pattern.has_rest() { &node.rest } else { &node.here })
    }

    /// Depth is bounded by the longest pattern, not by the request: a path that
    /// is deeper than every pattern ends at a `**` or nowhere.
    fn find(&self, path: Option<&str>, method: &str) -> Option<RuleIndex> {
        let Some(path) = path else {
            return self.here.find(method).or_else(|| self.rest.find(method));
        };
        let (segment, after) = match path.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (path, None),
        };
        let literal = self.literals.get(segment);
        let variable = self.variable.as_deref().filter(|_| !segment.is_empty());
        literal.into_iter().chain(variable).find_map(|next| next.find(after, method)).or_else(|| self.rest.find(method))
    }
}

fn child_mut<'a>(children: &'a mut ByName<Node>, name: &str) -> &'a mut Node {
    children.entry(Box::from(name)).or_default()
}

impl Leaf {
    /// The rule that one for `methods` ties with.
    fn tie(&self, methods: &[Box<str>]) -> Option<RuleIndex> {
        if methods.is_empty() {
            return self.every_method;
        }
        self.by_method.iter().find(|(method, _)| methods.contains(method)).map(|(_, other)| *other)
    }

    /// Keeps the rule; the rule it ties with, if there is one.
    fn insert(&mut self, methods: &[Box<str>], rule: RuleIndex) -> Option<RuleIndex> {
        let tie = self.tie(methods);
        if methods.is_empty() {
            self.every_method.get_or_insert(rule);
        }
        self.by_method.extend(methods.iter().map(|method| (method.clone(), rule)));
        tie
    }

    /// `HEAD` is `GET` without the body (RFC 9110 section 9.3.2): where no rule
    /// names it, the rule for `GET` covers it.
    fn find(&self, method: &str) -> Option<RuleIndex> {
        let named = |method| self.by_method.iter().find(|(held, _)| held.as_ref() == method).map(|(_, rule)| *rule);
        let head_as_get = || if method == "HEAD" { named("GET") } else { None };
        named(method).or_else(head_as_get).or(self.every_method)
    }
}
