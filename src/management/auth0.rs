//! A user as Auth0 writes one: in its Management API, and in the `user` of the
//! `event` object of its Actions.

use super::Told;
use super::member::{self, Members, Scope, ShapeFault};
use crate::directory::{AttributesChange, Report, UserChange};
use crate::types::UnixTime;

/// The user, with what of it the directory keeps. Members that it does not know
/// are let be: Auth0 adds some without a new version.
///
/// # Errors
/// When a member that counts is not of its form.
pub fn auth0_user(user: &Members, scope: Scope, as_of: UnixTime) -> Result<Told, ShapeFault> {
    let subject = member::subject(user, "user_id")?;
    let email = member::email(user, "email", "email_verified")?.or_else(|| scope.absent(None));
    let login = member::text(user, "username")?.flatten();
    let address = || email.clone().flatten().map(|email| email.address().to_owned());
    let name = member::text(user, "name")?.or_else(|| scope.absent(None));
    let metadata = member::object(user, "app_metadata")?.cloned();
    let report = Report {
        as_of,
        user_name: login.or_else(address),
        name,
        picture: member::picture(user, "picture")?.or_else(|| scope.absent(None)),
        // Absent from users who were never blocked.
        disabled: member::flag(user, "blocked")?.or_else(|| scope.absent(false)),
        attributes: metadata.or_else(|| scope.absent(Members::new())).map(AttributesChange::Replace),
        email,
        ..Report::default()
    };
    Ok(Told { subject, change: UserChange::Reported(Box::new(report)) })
}
