//! The people the development provider knows.

/// One account; signing in is one click, there are no passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The name to sign in with; `sub` is `dev|<name>`.
    pub name: &'static str,
    /// What people read.
    pub display_name: &'static str,
    /// The scopes that this person's tokens carry beside the OpenID ones.
    pub scopes: &'static [&'static str],
    /// The `permissions` claim.
    pub permissions: &'static [&'static str],
}

impl Account {
    /// Every account.
    pub const ALL: &'static [Self] = &[
        Self {
            name: "admin",
            display_name: "Ada Admin",
            scopes: &["access:admin"],
            permissions: &["read:admin-messages"],
        },
        Self { name: "devel", display_name: "Devi Devel", scopes: &["access:devel"], permissions: &[] },
        Self { name: "ea", display_name: "Eddy Early", scopes: &["access:ea"], permissions: &[] },
        Self { name: "stable", display_name: "Stella Stable", scopes: &[], permissions: &[] },
        Self { name: "barista", display_name: "Bo Barista", scopes: &[], permissions: &["get:drinks-detail"] },
        Self {
            name: "manager",
            display_name: "Mo Manager",
            scopes: &[],
            permissions: &["get:drinks-detail", "post:drinks", "patch:drinks", "delete:drinks"],
        },
    ];

    /// The account of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|account| account.name == name)
    }

    /// The `sub` claim.
    pub fn subject(&self) -> String {
        format!("dev|{}", self.name)
    }

    /// The `email` claim; always verified.
    pub fn email(&self) -> String {
        format!("{}@example.com", self.name)
    }
}
