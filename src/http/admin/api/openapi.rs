//! The OpenAPI 3.1 document, written from the table of operations.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::body::{self, BodyForm, MAX_NAME, ONE_LINE};
use super::operation::{Answer, Described, Form, IfMatch, Parameter};
use super::table::TABLE;

/// The document of the API at `base`, a path, of a service with these providers.
pub(super) fn document(base: &str, providers: &[&str]) -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for line in TABLE {
        let answer = line.answer.schema(&mut generator).map(|schema| schema.to_value());
        let path = paths.entry(line.path).or_insert_with(|| Value::Object(path_parameters(line.path)));
        if let Some(path) = path.as_object_mut() {
            path.insert(line.method.to_ascii_lowercase(), operation(line, answer));
        }
    }
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Problem".to_owned(), problem());
    schemas.insert("Attribute".to_owned(), body::attribute_schema());
    for form in [BodyForm::NewUser, BodyForm::ChangeUser, BodyForm::Disable, BodyForm::Grant, BodyForm::Explain] {
        schemas.insert(form.name().to_owned(), form.schema(providers));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tiergate administration",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What administrators see and do. Every answer has `Cache-Control: no-store`. A refusal comes \
                            before anything else is told: 401 without credentials that count, 403 without the tier of \
                            administrators, also for paths and methods that are not there.",
        },
        "servers": [{ "url": base }],
        "security": [{ "bearer": [] }, { "session": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {
                    "type": "http", "scheme": "bearer",
                    "description": "A token of a provider, or a personal access token for the tier of administrators.",
                },
                "session": {
                    "type": "apiKey", "in": "cookie", "name": crate::session::SESSION_COOKIE,
                    "description": "A signed-in browser. A change has to come from a page of the service itself.",
                },
            },
        },
    })
}

fn path_parameters(path: &str) -> Map<String, Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Vec<Value> = names
        .map(|name| {
            let (schema, means) = match name {
                "tier" => (json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" }), "The name of a tier."),
                "key" => (json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" }), "The key of a session."),
                "token" => (json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" }), "The id of a token."),
                _ => (json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" }), "The id of a user."),
            };
            json!({ "name": name, "in": "path", "required": true, "description": means, "schema": schema })
        })
        .collect();
    let mut item = Map::new();
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), Value::Array(parameters));
    }
    item
}

fn operation(line: &Described, answer: Option<Value>) -> Value {
    let mut operation = Map::new();
    operation.insert("operationId".to_owned(), line.id.into());
    operation.insert("summary".to_owned(), line.summary.into());
    let mut parameters: Vec<Value> = line.parameters.iter().map(query_parameter).collect();
    if line.if_match != IfMatch::No {
        parameters.push(json!({
            "name": "If-Match", "in": "header", "required": line.if_match == IfMatch::Must,
            "description": "The `ETag` of the user as it was read, or `*`.",
            "schema": { "type": "string", "pattern": "^(?:\"[1-9][0-9]{0,17}\"|[*])$" },
        }));
    }
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), Value::Array(parameters));
    }
    if let Some(form) = line.body {
        let schema = json!({ "$ref": format!("#/components/schemas/{}", form.name()) });
        let body = json!({ "required": form.is_required(), "content": { "application/json": { "schema": schema } } });
        operation.insert("requestBody".to_owned(), body);
    }
    let mut responses = Map::new();
    responses.insert(line.answer.status().to_string(), good(line, answer));
    for status in line.statuses() {
        responses.insert(status.to_string(), told(status));
    }
    operation.insert("responses".to_owned(), Value::Object(responses));
    Value::Object(operation)
}

fn good(line: &Described, schema: Option<Value>) -> Value {
    let mut response = Map::new();
    response.insert("description".to_owned(), line.summary.into());
    if matches!(line.answer, Answer::User(_)) {
        let tag = json!({ "description": "For `If-Match`.", "required": true, "schema": { "type": "string" } });
        response.insert("headers".to_owned(), json!({ "ETag": tag }));
    }
    if let Some(schema) = schema {
        response.insert("content".to_owned(), json!({ "application/json": { "schema": schema } }));
    }
    Value::Object(response)
}

fn told(status: u16) -> Value {
    let problem = json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
    let plain = json!({ "text/plain": { "schema": { "type": "string" } } });
    let mut both = problem.clone();
    if let (Some(both), Some(plain)) = (both.as_object_mut(), plain.as_object()) {
        both.extend(plain.clone());
    }
    let (means, content) = match status {
        400 => ("The request is not right; `detail` says what about it.", both),
        401 => ("No credentials that count.", problem),
        403 => ("No administrator, or a change that did not come from a page of the service.", problem),
        404 => ("It is not there.", problem),
        405 => ("The path has no such method, or the request came to a check, which reads no bodies.", problem),
        408 => ("The body took too long to arrive.", plain),
        409 => ("What is there already stands in the way.", problem),
        412 => ("The user was changed since the version in `If-Match`.", problem),
        413 => ("The body is larger than 64 KiB.", plain),
        415 => ("The body is no `application/json`.", problem),
        422 => ("The request is well formed, and what it asks for cannot be.", problem),
        428 => ("`If-Match` is missing.", problem),
        _ => ("A store does not answer; try again in a moment.", problem),
    };
    json!({ "description": means, "content": content })
}

fn query_parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.form {
        Form::Text => json!({ "type": "string", "minLength": 1, "maxLength": MAX_NAME, "pattern": ONE_LINE }),
        Form::Flag => json!({ "type": "boolean" }),
        Form::Choice(choices) => json!({ "type": "string", "enum": choices }),
        Form::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Form::Id => json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" }),
        Form::Moment => json!({ "type": "string", "format": "date-time" }),
    };
    json!({ "name": parameter.name, "in": "query", "description": parameter.means, "schema": schema })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "A problem (RFC 9457).",
        "properties": {
            "type": { "type": "string", "const": "about:blank" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "What to do about it." },
            "reason": { "type": "string", "description": "Of a refusal, one of a closed set." },
            "request_id": { "type": "string", "description": "By what the log knows the request." },
        },
        "required": ["type", "title", "status", "detail", "request_id"],
        "additionalProperties": false,
    })
}
