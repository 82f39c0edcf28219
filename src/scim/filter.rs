//! The filter language (RFC 7644 section 3.4.2.2): text to a tree, bounded in
//! length, depth and terms.

use serde_json::Value;

use super::error::{ScimError, ScimType, shown};
use super::path::AttributePath;
use super::schema::{Attribute, Kind, ResourceSchema};
use super::token::{Token, Tokens};

/// The longest filter, in bytes.
const LONGEST: usize = 4096;
/// How deep groups and `not` may be nested.
const DEEPEST: usize = 16;
/// How many comparisons one may have.
const MOST_TERMS: usize = 64;
/// How many the value filter of a PATCH may have: each value is held against it.
const MOST_SELECT_TERMS: usize = 20;

/// What resources are looked for by.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All hold.
    And(Vec<Self>),
    /// One holds.
    Or(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// Some value of an attribute stands the test.
    Has(Term),
}

/// A test of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// The attribute.
    pub path: AttributePath,
    /// Which of its values: those for which this holds.
    pub select: Option<Box<Filter>>,
    /// What the schema says of what is compared.
    pub leaf: Option<&'static Attribute>,
    /// The test.
    pub test: Test,
}

/// What is asked of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// That there is one.
    Present,
    /// How it compares: with text, a number, `true`, `false` or `null`.
    Compare(Operator, Value),
}

/// How values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// They are the same.
    Equal,
    /// They are not.
    NotEqual,
    /// It holds the text.
    Contains,
    /// It begins with the text.
    StartsWith,
    /// It ends with the text.
    EndsWith,
    /// It is greater, or later.
    Greater,
    /// It is not less.
    GreaterOrEqual,
    /// It is less, or earlier.
    Less,
    /// It is not greater.
    LessOrEqual,
}

impl Operator {
    pub(super) fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "eq" => Self::Equal,
            "ne" => Self::NotEqual,
            "co" => Self::Contains,
            "sw" => Self::StartsWith,
            "ew" => Self::EndsWith,
            "gt" => Self::Greater,
            "ge" => Self::GreaterOrEqual,
            "lt" => Self::Less,
            "le" => Self::LessOrEqual,
            _ => return None,
        })
    }

    const fn is_of_text(self) -> bool {
        matches!(self, Self::Contains | Self::StartsWith | Self::EndsWith)
    }

    const fn is_of_order(self) -> bool {
        matches!(self, Self::Greater | Self::GreaterOrEqual | Self::Less | Self::LessOrEqual)
    }
}

/// Where the names of a filter are looked up.
#[derive(Clone, Copy)]
enum Scope<'s> {
    /// In a resource.
    Resource(&'s ResourceSchema),
    /// In the values of an attribute, which the schema may know.
    Values(Option<&'static Attribute>),
}

struct Parser<'t, 's> {
    tokens: Tokens<'t>,
    schema: &'s ResourceSchema,
    terms: usize,
    most_terms: usize,
}

impl Filter {
    /// The filter that `text` is, over resources of this schema.
    ///
    /// # Errors
    /// When it is none, is too long or too deep, or compares what cannot be compared.
    pub fn parse(text: &str, schema: &ResourceSchema) -> Result<Self, ScimError> {
        let mut parser = Parser::new(text, schema, MOST_TERMS)?;
        let filter = parser.either(Scope::Resource(schema), 0)?;
        parser.expect(&Token::End, "`and`, `or` or the end")?;
        Ok(filter)
    }

    /// The filter between the brackets of a value path, over values of `of`.
    pub(super) fn parse_select(
        text: &str,
        schema: &ResourceSchema,
        of: Option<&'static Attribute>,
    ) -> Result<Self, ScimError> {
        let mut parser = Parser::new(text, schema, MOST_SELECT_TERMS)?;
        let filter = parser.either(Scope::Values(of), 0)?;
        parser.expect(&Token::End, "`]`")?;
        Ok(filter)
    }

    /// What all has to hold: the filter itself, or what it joins by `and`.
    pub fn conjuncts(&self) -> impl Iterator<Item = &Self> {
        match self {
            Self::And(all) => all.iter(),
            Self::Or(_) | Self::Not(_) | Self::Has(_) => std::slice::from_ref(self).iter(),
        }
    }

    /// The text that this attribute of the core, or the `value` of one of its
    /// values, has to equal.
    #[must_use]
    pub fn wanted(&self, name: &str) -> Option<&str> {
        self.conjuncts().find_map(|filter| match filter {
            Self::Has(Term {
                path, select: None, test: Test::Compare(Operator::Equal, Value::String(text)), ..
            }) if path.is(name) && path.part.as_deref().is_none_or(|part| part == "value") => Some(text.as_str()),
            Self::And(_) | Self::Or(_) | Self::Not(_) | Self::Has(_) => None,
        })
    }

    /// Whether this attribute of the core has to be `true` or `false`.
    #[must_use]
    pub fn wanted_flag(&self, name: &str) -> Option<bool> {
        self.conjuncts().find_map(|filter| match filter {
            Self::Has(Term { path, test: Test::Compare(Operator::Equal, Value::Bool(flag)), .. }) if path.is(name) => {
                Some(*flag)
            }
            Self::And(_) | Self::Or(_) | Self::Not(_) | Self::Has(_) => None,
        })
    }

    /// How many comparisons it has, those in brackets aside.
    pub(super) fn terms(&self) -> usize {
        match self {
            Self::And(filters) | Self::Or(filters) => filters.iter().map(Self::terms).sum(),
            Self::Not(filter) => filter.terms(),
            Self::Has(_) => 1,
        }
    }

    /// How often it speaks of this attribute of the core.
    #[must_use]
    pub fn mentions(&self, name: &str) -> usize {
        match self {
            Self::And(filters) | Self::Or(filters) => filters.iter().map(|filter| filter.mentions(name)).sum(),
            Self::Not(filter) => filter.mentions(name),
            Self::Has(term) => usize::from(term.path.is(name)),
        }
    }
}

impl<'t, 's> Parser<'t, 's> {
    fn new(text: &'t str, schema: &'s ResourceSchema, most_terms: usize) -> Result<Self, ScimError> {
        if text.len() > LONGEST {
            return Err(invalid(format!("the filter is longer than {LONGEST} bytes")));
        }
        Ok(Self { tokens: Tokens::new(text), schema, terms: 0, most_terms })
    }

    fn expect(&mut self, wanted: &Token<'_>, name: &str) -> Result<(), ScimError> {
        if self.tokens.takes(wanted)? { Ok(()) } else { Err(unexpected(&self.tokens.take()?, name)) }
    }

    fn either(&mut self, scope: Scope<'_>, depth: usize) -> Result<Filter, ScimError> {
        let mut filters = vec![self.all(scope, depth)?];
        while self.tokens.takes_word("or")? {
            filters.push(self.all(scope, depth)?);
        }
        Ok(one_or(filters, Filter::Or))
    }

    fn all(&mut self, scope: Scope<'_>, depth: usize) -> Result<Filter, ScimError> {
        let mut filters = vec![self.single(scope, depth)?];
        while self.tokens.takes_word("and")? {
            filters.push(self.single(scope, depth)?);
        }
        Ok(one_or(filters, Filter::And))
    }

    fn single(&mut self, scope: Scope<'_>, depth: usize) -> Result<Filter, ScimError> {
        if depth >= DEEPEST {
            return Err(invalid(format!("the filter is nested deeper than {DEEPEST} levels")));
        }
        match self.tokens.take()? {
            Token::Open => self.group(scope, depth),
            Token::Word(word) if word.eq_ignore_ascii_case("not") && self.tokens.takes(&Token::Open)? => {
                Ok(Filter::Not(Box::new(self.group(scope, depth)?)))
            }
            Token::Word(word) => self.term(word, scope, depth),
            other @ (Token::Close | Token::OpenSelect | Token::CloseSelect | Token::Text(_) | Token::End) => {
                Err(unexpected(&other, "an attribute, `not` or `(`"))
            }
        }
    }

    /// What stands behind an opening parenthesis, with the closing one.
    fn group(&mut self, scope: Scope<'_>, depth: usize) -> Result<Filter, ScimError> {
        let filter = self.either(scope, depth.saturating_add(1))?;
        self.expect(&Token::Close, "`)`")?;
        Ok(filter)
    }

    fn term(&mut self, word: &str, scope: Scope<'_>, depth: usize) -> Result<Filter, ScimError> {
        self.terms = self.terms.saturating_add(1);
        if self.terms > self.most_terms {
            return Err(invalid(format!("the filter has more than {} comparisons", self.most_terms)));
        }
        let (mut path, known) = self.path(word, scope)?;
        let mut select = None;
        if let Scope::Resource(_) = scope
            && path.part.is_none()
            && self.tokens.takes(&Token::OpenSelect)?
        {
            select = Some(Box::new(self.either(Scope::Values(known), depth.saturating_add(1))?));
            self.expect(&Token::CloseSelect, "`]`")?;
            path.part = self.tokens.take_part()?.map(|part| canonical_part(known, part));
            if path.part.is_none() && !self.tokens.is_before_comparison()? {
                return Ok(Filter::Has(Term { path, select, leaf: None, test: Test::Present }));
            }
        }
        let leaf = leaf(known, path.part.as_deref());
        let test = self.test(leaf)?;
        Ok(Filter::Has(Term { path, select, leaf, test }))
    }

    fn path(&self, word: &str, scope: Scope<'_>) -> Result<(AttributePath, Option<&'static Attribute>), ScimError> {
        let path = AttributePath::parse(word, self.schema).map_err(|error| invalid(error.detail))?;
        match scope {
            Scope::Resource(schema) => {
                let known = path.attribute(schema);
                Ok((path, known))
            }
            // Names in brackets are those of the attribute's own attributes.
            Scope::Values(of) => {
                if path.extension.is_some() || path.part.is_some() {
                    return Err(invalid(format!("{} is no attribute of a value", shown(word))));
                }
                let known = of.and_then(|of| of.part(word));
                let name = known.map_or(word, |known| known.name).to_owned();
                Ok((AttributePath { extension: None, name, part: None }, known))
            }
        }
    }

    fn test(&mut self, leaf: Option<&'static Attribute>) -> Result<Test, ScimError> {
        let word = match self.tokens.take()? {
            Token::Word(word) => word,
            other @ (Token::Open
            | Token::Close
            | Token::OpenSelect
            | Token::CloseSelect
            | Token::Text(_)
            | Token::End) => {
                return Err(unexpected(&other, "an operator such as `eq`"));
            }
        };
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Test::Present);
        }
        let Some(operator) = Operator::parse(word) else {
            return Err(invalid(format!(
                "{} is no operator: use eq, ne, co, sw, ew, gt, ge, lt, le or pr",
                shown(word)
            )));
        };
        let value = match self.tokens.take()? {
            Token::Text(text) => Value::String(text),
            Token::Word(word) => literal(word)?,
            other @ (Token::Open | Token::Close | Token::OpenSelect | Token::CloseSelect | Token::End) => {
                return Err(unexpected(&other, "a value"));
            }
        };
        if let Some(why) = cannot_compare(operator, &value, leaf) {
            return Err(invalid(why));
        }
        Ok(Test::Compare(operator, value))
    }
}

/// Why a value cannot be compared so, where it cannot.
fn cannot_compare(operator: Operator, value: &Value, leaf: Option<&'static Attribute>) -> Option<&'static str> {
    if operator.is_of_text() && !value.is_string() {
        return Some("co, sw and ew compare with text in double quotes");
    }
    if operator.is_of_order() {
        // RFC 7644 table 3: these have no order.
        if leaf.is_some_and(|leaf| matches!(leaf.kind, Kind::Boolean | Kind::Binary)) {
            return Some("gt, ge, lt and le do not compare what has no order");
        }
        if !(value.is_string() || value.is_number()) {
            return Some("gt, ge, lt and le compare with text or a number");
        }
    }
    None
}

fn literal(word: &str) -> Result<Value, ScimError> {
    let value = match word.to_ascii_lowercase().as_str() {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        _ => match serde_json::from_str(word) {
            Ok(Value::Number(number)) => Value::Number(number),
            _ => return Err(invalid(format!("{} is no value: text stands in double quotes", shown(word)))),
        },
    };
    Ok(value)
}

/// What is compared: the part, else the `value` of what has several.
pub(super) fn leaf(known: Option<&'static Attribute>, part: Option<&str>) -> Option<&'static Attribute> {
    let known = known?;
    match part {
        Some(part) => known.part(part),
        None if known.kind == Kind::Complex => known.part("value"),
        None => Some(known),
    }
}

/// A part by the name that the schema has for it.
pub(super) fn canonical_part(known: Option<&'static Attribute>, part: &str) -> String {
    known.and_then(|known| known.part(part)).map_or(part, |known| known.name).to_owned()
}

fn one_or(mut filters: Vec<Filter>, join: fn(Vec<Filter>) -> Filter) -> Filter {
    match filters.pop() {
        Some(only) if filters.is_empty() => only,
        Some(last) => {
            filters.push(last);
            join(filters)
        }
        None => join(filters),
    }
}

pub(super) fn invalid(detail: impl Into<String>) -> ScimError {
    ScimError::new(ScimType::InvalidFilter, detail)
}

fn unexpected(found: &Token<'_>, wanted: &str) -> ScimError {
    let found = match found {
        Token::Open => "`(`".to_owned(),
        Token::Close => "`)`".to_owned(),
        Token::OpenSelect => "`[`".to_owned(),
        Token::CloseSelect => "`]`".to_owned(),
        Token::Word(word) => shown(word),
        Token::Text(text) => shown(text),
        Token::End => "the end of the filter".to_owned(),
    };
    invalid(format!("{found} stands where {wanted} belongs"))
}
