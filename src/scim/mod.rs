//! Layer 4: what provisioning clients speak, SCIM 2.0 (RFC 7643, RFC 7644).
//! Pure: requests and records in, changes and answers out.
//!
//! ```text
//! body ──shape──▶ resource ──WrittenUser──▶ Report          User  ──show_user──▶ answer
//!      ──Patch──▶ operations ─apply▶ resource               Group ──show_group─▶
//!                            ─group_change▶ GroupChange
//! text ──Filter──▶ holds for a resource
//! ```

mod apply;
mod discovery;
mod error;
mod etag;
mod evaluate;
mod filter;
mod group;
mod moment;
mod patch;
mod path;
mod query;
pub mod schema;
mod shape;
#[cfg(test)]
mod tests;
mod token;
mod user;

pub use discovery::{resource_type_named, resource_types, schema_named, schemas, service_provider_config};
pub use error::{ScimError, ScimType};
pub use etag::{Tags, weak};
pub use filter::{Filter, Operator, Term, Test};
pub use group::{WrittenGroup, show_group};
pub use patch::{Action, Operation, Patch, Target};
pub use path::AttributePath;
pub use query::{ListQuery, MOST_RESULTS, Parameters, Projection, list_response};
pub use user::{HeldGroup, SubjectRule, WrittenUser, gone_as_of, show_user};
