//! A user as Auth0 writes one: in its Management API, and in the `user` of the
//! `event` object of its Actions.

use super::Told;
use serde_json::{Map, Value};

use super::member::{Fields, Scope, ShapeFault};
use crate::directory::{AttributesChange, Report, UserChange};
use crate::types::UnixTime;

/// The user, with what of it the directory keeps. Members that it does not know
/// are let be: Auth0 adds some without a new version.
///
/// # Errors
/// When a member that counts is not of its form.
pub fn auth0_user(user: &Map<String, Value>, scope: Scope, as_of: UnixTime) -> Result<Told, ShapeFault> {
    let subject = Fields(user).subject("user_id")?;
    let email = Fields(user).email("email", "email_verified")?.or_else(|| scope.absent(None));
    let login = Fields(user).text("username")?.flatten();
    let address = || email.clone().flatten().map(|email| email.address().to_owned());
    let name = Fields(user).text("name")?.or_else(|| scope.absent(None));
    let metadata = Fields(user).object("app_metadata")?.cloned();
    let report = Report {
        as_of,
        user_name: login.or_else(address),
        name,
        picture: Fields(user).picture("picture")?.or_else(|| scope.absent(None)),
        // Absent from users who were never blocked.
        disabled: Fields(user).flag("blocked")?.or_else(|| scope.absent(false)),
        // What others wrote besides is not the provider's to take.
        attributes: metadata.map(AttributesChange::Merge),
        email,
        ..Report::default()
    };
    Ok(Told { subject, change: UserChange::Reported(Box::new(report)) })
}
