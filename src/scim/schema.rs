//! The attributes of users and groups (RFC 7643 sections 3.1, 4 and 8.7.1).

/// The core user.
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// What an enterprise knows besides.
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// A group.
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// An error.
pub const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
/// A list of resources.
pub const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// The body of a PATCH.
pub const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// The body of a search.
pub const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// What a value is (RFC 7643 section 2.3). A reference is a string here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    String,
    /// `true` or `false`.
    Boolean,
    /// A moment, as XML Schema writes it.
    DateTime,
    /// Bytes in base64.
    Binary,
    /// A URI.
    Reference,
    /// What has attributes of its own.
    Complex,
}

/// Who may write an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutability {
    /// The service alone.
    ReadOnly,
    /// Clients too.
    ReadWrite,
    /// Clients; it is never shown, and here it is not kept either.
    WriteOnly,
}

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    /// What it is, for people.
    pub description: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Whether it has several values.
    pub is_multiple: bool,
    /// Whether its values are compared with case.
    pub is_case_exact: bool,
    /// Whether there has to be one.
    pub is_required: bool,
    /// Whether no two resources share a value.
    pub is_unique: bool,
    /// Who may write it.
    pub mutability: Mutability,
    /// Its own attributes.
    pub parts: &'static [Self],
}

const TEXT: Attribute = Attribute {
    name: "",
    description: "",
    kind: Kind::String,
    is_multiple: false,
    is_case_exact: false,
    is_required: false,
    is_unique: false,
    mutability: Mutability::ReadWrite,
    parts: &[],
};

const fn text(name: &'static str, description: &'static str) -> Attribute {
    Attribute { name, description, ..TEXT }
}

const fn of_kind(name: &'static str, description: &'static str, kind: Kind) -> Attribute {
    let is_case_exact = matches!(kind, Kind::Reference | Kind::Binary);
    Attribute { name, description, kind, is_case_exact, ..TEXT }
}

const fn complex(name: &'static str, description: &'static str, parts: &'static [Attribute]) -> Attribute {
    Attribute { name, description, kind: Kind::Complex, parts, ..TEXT }
}

const fn multiple(name: &'static str, description: &'static str, parts: &'static [Attribute]) -> Attribute {
    Attribute { is_multiple: true, ..complex(name, description, parts) }
}

const fn read_only(attribute: Attribute) -> Attribute {
    Attribute { mutability: Mutability::ReadOnly, ..attribute }
}

const fn exact(attribute: Attribute) -> Attribute {
    Attribute { is_case_exact: true, ..attribute }
}

const VALUE: Attribute = text("value", "The value itself");
const DISPLAY: Attribute = text("display", "The value as people read it");
const TYPE: Attribute = text("type", "What the value is for, such as `work` or `home`");
const PRIMARY: Attribute = of_kind("primary", "Whether it comes first; one value at most", Kind::Boolean);
const VALUES: &[Attribute] = &[VALUE, DISPLAY, TYPE, PRIMARY];
const LINKS: &[Attribute] = &[of_kind("value", "The URI", Kind::Reference), DISPLAY, TYPE, PRIMARY];

/// The attributes that every resource has.
pub const COMMON: &[Attribute] = &[
    read_only(exact(text("id", "The directory's own name for the resource"))),
    exact(text("externalId", "The client's own name for the resource")),
    read_only(complex(
        "meta",
        "About the resource",
        &[
            read_only(exact(text("resourceType", "What kind of resource it is"))),
            read_only(of_kind("created", "When it was made", Kind::DateTime)),
            read_only(of_kind("lastModified", "When it was changed last", Kind::DateTime)),
            read_only(of_kind("location", "Where it is", Kind::Reference)),
            read_only(exact(text("version", "Its version, for If-Match"))),
        ],
    )),
];

/// Those of a user.
pub const USER_ATTRIBUTES: &[Attribute] = &[
    Attribute {
        is_required: true,
        is_unique: true,
        ..text("userName", "What people type for the user; unique in a provider, without case")
    },
    complex(
        "name",
        "The parts of the name",
        &[
            text("formatted", "The whole name"),
            text("familyName", "The family name"),
            text("givenName", "The given name"),
            text("middleName", "Further names"),
            text("honorificPrefix", "What stands before the name"),
            text("honorificSuffix", "What stands after the name"),
        ],
    ),
    text("displayName", "The name as people read it"),
    text("nickName", "What the user is called among friends"),
    of_kind("profileUrl", "A page about the user", Kind::Reference),
    text("title", "The job title"),
    text("userType", "How the user belongs to the organization"),
    text("preferredLanguage", "Which languages the user reads"),
    text("locale", "How numbers and dates are written for the user"),
    text("timezone", "The time zone, as in the Olson database"),
    of_kind("active", "Whether the user is let in", Kind::Boolean),
    Attribute { mutability: Mutability::WriteOnly, ..text("password", "Taken, and neither kept nor used") },
    multiple("emails", "E-mail addresses; the primary one, else the first, is the user's address", VALUES),
    multiple("phoneNumbers", "Phone numbers", VALUES),
    multiple("ims", "Addresses for instant messages", VALUES),
    multiple("photos", "Pictures; the primary one, else the first, is the user's picture", LINKS),
    multiple(
        "addresses",
        "Postal addresses",
        &[
            text("formatted", "The whole address"),
            text("streetAddress", "Street and number"),
            text("locality", "City"),
            text("region", "State or region"),
            text("postalCode", "Postal code"),
            text("country", "Country, as in ISO 3166-1"),
            TYPE,
            PRIMARY,
        ],
    ),
    read_only(multiple(
        "groups",
        "The groups of the user, changed through the groups",
        &[
            read_only(exact(text("value", "The id of the group"))),
            read_only(of_kind("$ref", "Where the group is", Kind::Reference)),
            read_only(text("display", "What rules call the group")),
            read_only(text("type", "`direct`")),
        ],
    )),
    multiple("entitlements", "What the user is entitled to", VALUES),
    multiple("roles", "The roles of the user; nothing is granted by them", VALUES),
    multiple(
        "x509Certificates",
        "Certificates",
        &[of_kind("value", "The certificate in DER", Kind::Binary), DISPLAY, TYPE, PRIMARY],
    ),
];

/// Those of the enterprise extension.
pub const ENTERPRISE_ATTRIBUTES: &[Attribute] = &[
    text("employeeNumber", "The number of the user in the organization"),
    text("costCenter", "The cost center"),
    text("organization", "The organization"),
    text("division", "The division"),
    text("department", "The department"),
    complex(
        "manager",
        "Whom the user reports to",
        &[
            exact(text("value", "The id of the manager")),
            of_kind("$ref", "Where the manager is", Kind::Reference),
            read_only(text("displayName", "The name of the manager")),
        ],
    ),
];

/// Those of a group.
pub const GROUP_ATTRIBUTES: &[Attribute] = &[
    Attribute {
        is_required: true,
        is_unique: true,
        ..exact(text("displayName", "What rules call the group; unique, with case"))
    },
    multiple(
        "members",
        "The users in the group",
        &[
            exact(text("value", "The id of the user")),
            read_only(of_kind("$ref", "Where the user is", Kind::Reference)),
            read_only(text("display", "What people type for the user")),
            text("type", "`User`; groups in groups are refused"),
        ],
    ),
];

/// A kind of resource with all attributes that it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceSchema {
    /// What kind it is: `User`, `Group`.
    pub name: &'static str,
    /// Below which path, such as `/Users`.
    pub endpoint: &'static str,
    /// The URN of its schema.
    pub urn: &'static str,
    /// Its attributes.
    pub attributes: &'static [Attribute],
    /// The URN of the extension, and its attributes.
    pub extension: Option<(&'static str, &'static [Attribute])>,
    /// How many values one attribute may have in a request, those in its values counted too.
    pub most_values: usize,
    /// How many operations one PATCH may have.
    pub most_operations: usize,
}

/// Users.
pub const USERS: ResourceSchema = ResourceSchema {
    name: "User",
    endpoint: "/Users",
    urn: USER,
    attributes: USER_ATTRIBUTES,
    extension: Some((ENTERPRISE, ENTERPRISE_ATTRIBUTES)),
    most_values: 100,
    most_operations: 100,
};

/// Groups.
pub const GROUPS: ResourceSchema = ResourceSchema {
    name: "Group",
    endpoint: "/Groups",
    urn: GROUP,
    attributes: GROUP_ATTRIBUTES,
    extension: None,
    most_values: 10_000,
    most_operations: 1000,
};

impl ResourceSchema {
    /// The attribute called `name`, without case.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        find(COMMON, name).or_else(|| find(self.attributes, name))
    }

    /// The attribute of the extension called `name`, without case.
    #[must_use]
    pub fn of_extension(&self, name: &str) -> Option<&'static Attribute> {
        find(self.extension?.1, name)
    }

    /// Whether `urn` names its extension, without case.
    #[must_use]
    pub fn is_extension(&self, urn: &str) -> bool {
        self.extension.is_some_and(|(held, _)| held.eq_ignore_ascii_case(urn))
    }
}

impl Attribute {
    /// Its attribute called `name`, without case.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&'static Self> {
        find(self.parts, name)
    }
}

fn find(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}
