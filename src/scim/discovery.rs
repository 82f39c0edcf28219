//! What the service says of itself (RFC 7643 sections 5 to 7).

use serde_json::{Map, Value, json};

use super::query::MOST_RESULTS;
use super::schema::{Attribute, COMMON, ENTERPRISE, GROUPS, Kind, Mutability, ResourceSchema, USERS};

/// What of the protocol there is.
#[must_use]
pub fn service_provider_config(base: &str) -> Value {
    let no = json!({ "supported": false });
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": MOST_RESULTS },
        "changePassword": no,
        "sort": no,
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "OAuth Bearer Token",
            "description": "A token of the configuration, in the Authorization header",
            "primary": true,
        }],
        "meta": { "resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig") },
    })
}

/// The kinds of resources.
#[must_use]
pub fn resource_types(base: &str) -> Vec<Value> {
    [USERS, GROUPS].iter().map(|schema| resource_type(schema, base)).collect()
}

/// The kind of this name.
#[must_use]
pub fn resource_type_named(name: &str, base: &str) -> Option<Value> {
    [USERS, GROUPS].iter().find(|schema| schema.name == name).map(|schema| resource_type(schema, base))
}

/// The schemas.
#[must_use]
pub fn schemas(base: &str) -> Vec<Value> {
    let user = schema(USERS.urn, "User", "A user", USERS.attributes, base);
    let enterprise = USERS
        .extension
        .map(|(urn, attributes)| schema(urn, "EnterpriseUser", "What an enterprise knows of a user", attributes, base));
    let group = schema(GROUPS.urn, "Group", "A group of users", GROUPS.attributes, base);
    [Some(user), enterprise, Some(group)].into_iter().flatten().collect()
}

/// The schema with this URN.
#[must_use]
pub fn schema_named(urn: &str, base: &str) -> Option<Value> {
    schemas(base).into_iter().find(|schema| schema.get("id").and_then(Value::as_str) == Some(urn))
}

fn resource_type(schema: &ResourceSchema, base: &str) -> Value {
    let extensions = match schema.extension {
        Some(_) => json!([{ "schema": ENTERPRISE, "required": false }]),
        None => json!([]),
    };
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": schema.name,
        "name": schema.name,
        "endpoint": schema.endpoint,
        "description": format!("A {}", schema.name.to_lowercase()),
        "schema": schema.urn,
        "schemaExtensions": extensions,
        "meta": { "resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{}", schema.name) },
    })
}

fn schema(urn: &str, name: &str, description: &str, attributes: &[Attribute], base: &str) -> Value {
    // The other common attributes are those of every resource (RFC 7643 section 3.1).
    let external_id = COMMON.iter().filter(|common| common.name == "externalId" && !urn.contains("extension"));
    let attributes: Vec<Value> = external_id.chain(attributes).map(attribute).collect();
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": urn,
        "name": name,
        "description": description,
        "attributes": attributes,
        "meta": { "resourceType": "Schema", "location": format!("{base}/Schemas/{urn}") },
    })
}

fn attribute(attribute: &Attribute) -> Value {
    let (kind, mutability, returned) = (
        match attribute.kind {
            Kind::String => "string",
            Kind::Boolean => "boolean",
            Kind::DateTime => "dateTime",
            Kind::Binary => "binary",
            Kind::Reference => "reference",
            Kind::Complex => "complex",
        },
        match attribute.mutability {
            Mutability::ReadOnly => "readOnly",
            Mutability::ReadWrite => "readWrite",
            Mutability::WriteOnly => "writeOnly",
        },
        if attribute.mutability == Mutability::WriteOnly { "never" } else { "default" },
    );
    let mut written = Map::new();
    let mut put = |name: &str, value: Value| written.insert(name.to_owned(), value);
    put("name", Value::from(attribute.name));
    put("type", Value::from(kind));
    put("multiValued", Value::Bool(attribute.is_multiple));
    put("description", Value::from(attribute.description));
    put("required", Value::Bool(attribute.is_required));
    if attribute.kind != Kind::Complex {
        put("caseExact", Value::Bool(attribute.is_case_exact));
    }
    put("mutability", Value::from(mutability));
    put("returned", Value::from(returned));
    put("uniqueness", Value::from(if attribute.is_unique { "server" } else { "none" }));
    if attribute.kind == Kind::Reference {
        let types: &[&str] = if attribute.name == "$ref" { &["User", "Group"] } else { &["external"] };
        put("referenceTypes", json!(types));
    }
    if !attribute.parts.is_empty() {
        put("subAttributes", Value::Array(attribute.parts.iter().map(self::attribute).collect()));
    }
    Value::Object(written)
}
