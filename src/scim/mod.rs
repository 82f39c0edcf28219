//! Layer 4: what provisioning clients speak, SCIM 2.0 (RFC 7643, RFC 7644).
//! Pure: requests and records in, changes and answers out.

mod error;
pub mod schema;

pub use error::{ScimError, ScimType};
