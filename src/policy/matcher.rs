//! Finds the most specific rule for a request: host, then path segment by
//! segment, then method. A tree per host; no allocation while matching.

use std::cmp::Ordering;
use std::sync::Arc;

use super::error::{PolicyError, PolicyErrorKind};
use super::pattern::Segment;
use super::rule::{HostPattern, Rule};
use crate::types::Host;

/// The position of a rule in the policy.
pub(crate) type RuleIndex = usize;

#[derive(Debug, Clone, Default)]
pub(crate) struct Matcher {
    /// Exact hosts, in the order of their keys: `name` for every port,
    /// `name:port` for one.
    exact: Vec<(Box<str>, Node)>,
    /// Wildcard hosts: the longest suffix first, one port before every port.
    suffixes: Vec<(Suffix, Node)>,
    any: Node,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Suffix {
    name: Box<str>,
    port: Box<str>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// Literal next segments in byte order.
    literals: Vec<(Box<str>, Node)>,
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
            let with_port = self.exact(host.as_str());
            let exact = with_port.into_iter().chain(self.exact(host.name()));
            let suffixes = self.suffixes.iter().filter(|(suffix, _)| suffix.covers(host)).map(|(_, root)| root);
            if let Some(found) = exact.chain(suffixes).find_map(|root| root.find(Some(path), method)) {
                return Some(found);
            }
        }
        self.any.find(Some(path), method)
    }

    /// Whether some rule is for certain hosts only.
    pub(crate) fn knows_hosts(&self) -> bool {
        !self.exact.is_empty() || !self.suffixes.is_empty()
    }

    fn exact(&self, key: &str) -> Option<&Node> {
        let position = self.exact.binary_search_by(|(held, _)| held.as_ref().cmp(key)).ok()?;
        self.exact.get(position).map(|(_, root)| root)
    }

    fn root(&self, host: &HostPattern) -> Option<&Node> {
        match host {
            HostPattern::Any => Some(&self.any),
            HostPattern::Exact { name, port } if port.is_empty() => self.exact(name),
            HostPattern::Exact { name, port } => self.exact(&format!("{name}:{port}")),
            HostPattern::Suffix { name, port } => {
                let suffix = Suffix { name: name.clone(), port: port.clone() };
                self.suffixes.iter().find(|(held, _)| *held == suffix).map(|(_, root)| root)
            }
        }
    }

    fn root_mut(&mut self, host: &HostPattern) -> &mut Node {
        match host {
            HostPattern::Any => &mut self.any,
            HostPattern::Exact { name, port } if port.is_empty() => child_mut(&mut self.exact, name),
            HostPattern::Exact { name, port } => child_mut(&mut self.exact, &format!("{name}:{port}")),
            HostPattern::Suffix { name, port } => {
                let suffix = Suffix { name: name.clone(), port: port.clone() };
                let position = match self.suffixes.binary_search_by(|(held, _)| held.cmp(&suffix)) {
                    Ok(position) => position,
                    Err(position) => {
                        self.suffixes.insert(position, (suffix, Node::default()));
                        position
                    }
                };
                match self.suffixes.get_mut(position) {
                    Some((_, root)) => root,
                    None => &mut self.any,
                }
            }
        }
    }
}

impl Suffix {
    /// The longest name first, one port before every port.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_length = other.name.len().cmp(&self.name.len());
        by_length.then_with(|| self.name.cmp(&other.name)).then_with(|| other.port.cmp(&self.port))
    }

    fn covers(&self, host: &Host) -> bool {
        (self.port.is_empty() || host.port() == self.port.as_ref())
            && host.name().len() > self.name.len()
            && host.name().ends_with(self.name.as_ref())
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
                Segment::Literal(literal) => {
                    let position = node.literals.binary_search_by(|(held, _)| held.cmp(literal)).ok()?;
                    &node.literals.get(position)?.1
                }
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
        let literal = self.literals.binary_search_by(|(literal, _)| literal.as_ref().cmp(segment)).ok();
        let literal = literal.and_then(|position| self.literals.get(position)).map(|(_, node)| node);
        let variable = self.variable.as_deref().filter(|_| !segment.is_empty());
        literal.into_iter().chain(variable).find_map(|next| next.find(after, method)).or_else(|| self.rest.find(method))
    }
}

fn child_mut<'a>(children: &'a mut Vec<(Box<str>, Node)>, name: &str) -> &'a mut Node {
    let position = match children.binary_search_by(|(held, _)| held.as_ref().cmp(name)) {
        Ok(position) => position,
        Err(position) => {
            children.insert(position, (Box::from(name), Node::default()));
            position
        }
    };
    #[expect(clippy::indexing_slicing, reason = "the position was found or filled on the line above")]
    &mut children[position].1
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
