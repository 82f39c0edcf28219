//! The JSON Schema of the config file: what editors complete from, what the
//! structure is checked against, and what a variable's path is looked up in.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::apps_file::AppFile;
use super::file::ConfigFile;
use super::node::steps;

/// The JSON Schema (draft 2020-12) of the config file as it is written, before
/// its variables are filled in.
#[must_use]
pub fn schema() -> Value {
    let mut schema = of_values();
    allow_variables(&mut schema);
    if let Value::Object(root) = &mut schema {
        root.insert("$id".to_owned(), Value::from("urn:tiergate:config"));
    }
    schema
}

/// The schema of the config with its variables filled in.
fn of_values() -> Value {
    values::<ConfigFile>()
}

fn values<T: JsonSchema>() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
    each_schema(&mut schema, &mut forbid_null);
    schema
}

/// The schema of the values without what the sections judge themselves, in
/// better words.
pub(crate) fn structure() -> Value {
    structural(of_values())
}

/// The same for an app in a file of its own.
pub(crate) fn app_structure() -> Value {
    structural(values::<AppFile>())
}

fn structural(mut schema: Value) -> Value {
    each_schema(&mut schema, &mut |schema| {
        for keyword in ["pattern", "minItems"] {
            schema.shift_remove(keyword);
        }
    });
    schema
}

/// A key without a value reads like a requirement that was forgotten, so no
/// value may be null. serde's optional fields would take it for absent.
fn forbid_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(branches)) = schema.get_mut("anyOf") {
        branches.retain(|branch| branch.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = branches.as_slice() {
            let only = only.clone();
            schema.shift_remove("anyOf");
            for (keyword, value) in only {
                schema.entry(keyword).or_insert(value);
            }
        }
    }
    if schema.get("default") == Some(&Value::Null) {
        schema.shift_remove("default");
    }
}

/// What `${VAR}` may stand for is told by the variable alone, so a text with
/// one fits wherever a single value does.
fn allow_variables(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    let with_variable = || json!({ "type": "string", "pattern": "\\$\\{[A-Za-z_]" });
    let is_word = |branch: &Value| branch.get("const").is_some() || branch.get("enum").is_some();
    if let Some(Value::Array(words)) = object.get_mut("oneOf")
        && words.iter().all(is_word)
    {
        words.push(with_variable());
        return;
    }
    let kind = object.get("type").and_then(Value::as_str);
    let is_narrow = matches!(kind, Some("integer" | "number" | "boolean"))
        || ["enum", "const", "pattern"].into_iter().any(|keyword| object.contains_key(keyword));
    if is_narrow {
        let mut value = std::mem::take(object);
        for keyword in ["description", "examples", "default"] {
            if let Some(told) = value.shift_remove(keyword) {
                object.insert(keyword.to_owned(), told);
            }
        }
        object.insert("anyOf".to_owned(), json!([value, with_variable()]));
        return;
    }
    each_inner(object, &mut allow_variables);
}

/// Calls `change` for `schema` and every schema inside it.
fn each_schema(schema: &mut Value, change: &mut dyn FnMut(&mut Map<String, Value>)) {
    let Value::Object(object) = schema else { return };
    change(object);
    each_inner(object, &mut |inner| each_schema(inner, change));
}

/// Calls `visit` for every schema directly inside `schema`.
fn each_inner(schema: &mut Map<String, Value>, visit: &mut dyn FnMut(&mut Value)) {
    for (keyword, inner) in schema.iter_mut() {
        match (keyword.as_str(), inner) {
            ("properties" | "$defs", Value::Object(named)) => named.values_mut().for_each(&mut *visit),
            ("anyOf" | "oneOf" | "allOf", Value::Array(branches)) => branches.iter_mut().for_each(&mut *visit),
            ("items" | "additionalProperties", inner) => visit(inner),
            _ => {}
        }
    }
}

/// One schema inside the whole, references followed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    root: &'a Value,
    here: &'a Value,
}

impl<'a> View<'a> {
    pub(crate) fn new(root: &'a Value) -> Self {
        Self { root, here: root }
    }

    fn at(self, here: &'a Value) -> Self {
        let mut here = here;
        // A reference to a reference does not occur, and a circle cannot.
        if let Some(reference) = here.get("$ref").and_then(Value::as_str) {
            here = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)).unwrap_or(here);
        }
        Self { root: self.root, here }
    }

    /// The schema of what stands at `pointer`.
    pub(crate) fn follow(self, pointer: &str) -> Option<Self> {
        steps(pointer)
            .try_fold(self, |view, step| view.property(&step).or_else(|| view.any_property()).or_else(|| view.items()))
    }

    /// The keys that a map may have here.
    pub(crate) fn keys(self) -> impl Iterator<Item = &'a str> {
        self.branches().into_iter().flat_map(|branch| {
            branch.here.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys).map(String::as_str)
        })
    }

    /// What may stand under `key`.
    pub(crate) fn property(self, key: &str) -> Option<Self> {
        self.branches().into_iter().find_map(|branch| {
            branch.here.get("properties").and_then(|named| named.get(key)).map(|inner| self.at(inner))
        })
    }

    /// What may stand under a key of the writer's own choice.
    pub(crate) fn any_property(self) -> Option<Self> {
        self.branches()
            .into_iter()
            .find_map(|branch| branch.here.get("additionalProperties").filter(|inner| inner.is_object()))
            .map(|inner| self.at(inner))
    }

    /// What the items of a list are.
    pub(crate) fn items(self) -> Option<Self> {
        self.branches().into_iter().find_map(|branch| branch.here.get("items")).map(|inner| self.at(inner))
    }

    /// Whether a value of the JSON type `kind` may stand here.
    pub(crate) fn takes(self, kind: &str) -> bool {
        self.branches().into_iter().any(|branch| {
            branch.here.get("type").is_some_and(|held| held == kind)
                || (kind == "string" && (branch.here.get("enum").is_some() || branch.here.get("const").is_some()))
        })
    }

    /// The words that a text may be here, where they are a closed set.
    pub(crate) fn words(self) -> Vec<&'a str> {
        let mut words = Vec::new();
        for branch in self.branches() {
            words.extend(branch.here.get("const").and_then(Value::as_str));
            words.extend(
                branch.here.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str),
            );
        }
        words
    }

    /// A text that would do here, where the form is a special one.
    pub(crate) fn example(self) -> Option<&'a str> {
        self.here.get("examples")?.as_array()?.first()?.as_str()
    }

    fn alternatives(self) -> Option<&'a Vec<Value>> {
        ["anyOf", "oneOf"].into_iter().find_map(|keyword| self.here.get(keyword)).and_then(Value::as_array)
    }

    /// This schema and every alternative in it.
    fn branches(self) -> Vec<Self> {
        let mut found = vec![self];
        for branch in self.alternatives().into_iter().flatten() {
            found.extend(self.at(branch).branches());
        }
        found
    }
}
