use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::oidc::{AssertionAudience, ClientAuth};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/config")
}

fn vector(name: &str) -> String {
    std::fs::read_to_string(vectors().join(name)).unwrap()
}

fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn read_secret(path: &str) -> std::io::Result<String> {
    match path {
        "secrets/client" => Ok("from-a-file\n".to_owned()),
        "secrets/keys" => {
            Ok("first-key-of-more-than-32-characters\nsecond-key-of-more-than-32-characters\n".to_owned())
        }
        "secrets/key" => Ok(private_key()),
        "secrets/store" => Ok("rediss://:hunter2@redis.example.com:6380/1\r\n".to_owned()),
        "secrets/directory" => Ok("postgres://joe:hunter2@db.example.com/users".to_owned()),
        _ => Err(std::io::Error::new(std::io::ErrorKind::NotFound, "no such file")),
    }
}

/// What the section `portal` names.
struct Files;

impl ReadFiles for Files {
    fn bytes(&self, path: &str) -> std::io::Result<Vec<u8>> {
        let text = match path {
            "logo.svg" => "<svg xmlns='http://www.w3.org/2000/svg'/>",
            "script.svg" => "<svg><script>alert(1)</script></svg>",
            "logo.txt" => "a name",
            _ => return NoFiles.bytes(path),
        };
        Ok(text.into())
    }

    fn folder(&self, path: &str) -> std::io::Result<Vec<(String, Vec<u8>)>> {
        let files: &[(&str, &[u8])] = match path {
            "messages" => &[("fr.yaml", b"out.title: Vous avez quitt\xc3\xa9 le site\n"), ("ko.yml", b"")],
            "wrong/messages" => &[
                ("de.yaml", b"# Deutsch\nout.titel: Abgemeldet\nportal.version: '{nummer}'\n"),
                ("french.yaml", b""),
                ("it.yaml", b"a: [b"),
                ("notes.txt", b""),
                ("pl.yaml", b"\xff"),
            ],
            "templates" => &[("message.html", b"{% extends \"base.html\" %}{% block main %}{{ text }}{% endblock %}")],
            "wrong/templates" => {
                &[("choose.html", b"\n{% for choice in %}"), ("message.html", b"\n{{ txt }}"), ("x.html", b"")]
            }
            _ => return NoFiles.folder(path),
        };
        Ok(files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect())
    }
}

fn private_key() -> String {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use base64::Engine as _;
    let random = aws_lc_rs::rand::SystemRandom::new();
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

fn client_secret(login: &Login) -> Option<&str> {
    match &login.auth {
        ClientAuth::SecretBasic(secret) | ClientAuth::SecretPost(secret) => Some(secret.expose()),
        ClientAuth::None | ClientAuth::PrivateKeyJwt { .. } => None,
    }
}

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    Config::load(&Sources {
        file: Some(("tiergate.yaml", text)),
        environment: environment(variables),
        read_secret: &read_secret,
        files: &Files,
    })
}

fn load_environment(variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    Config::load(&Sources { file: None, environment: environment(variables), read_secret: &read_secret, files: &Files })
}

/// A config as text; secrets spelled out, since equality is about them too. A
/// file never has the paths at the root.
fn told(config: &Config) -> String {
    let mut text = format!("{:#?}\n", Config { notices: Vec::new(), seed_paths: false, ..config.clone() });
    for login in config.identity_providers.iter().filter_map(|provider| provider.login.as_ref()) {
        writeln!(text, "client secret {:?}", client_secret(login)).unwrap();
    }
    for secret in config.sessions.iter().flat_map(|sessions| &sessions.secrets) {
        writeln!(text, "session secret {}", secret.expose()).unwrap();
    }
    writeln!(text, "directory {:?}", config.directory.as_ref().map(|directory| store_url(&directory.store))).unwrap();
    text
}

fn store_url(address: &DirectoryAddress) -> String {
    match address {
        DirectoryAddress::Sqlite(path) => format!("sqlite:{}", path.display()),
        DirectoryAddress::Mysql(url) | DirectoryAddress::Postgres(url) => url.expose().to_owned(),
    }
}

/// One faulty config of the case files.
struct Case {
    name: String,
    environment: Vec<(String, String)>,
    text: String,
}

fn cases(file: &Path) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in std::fs::read_to_string(file).unwrap().lines() {
        if let Some(name) = line.strip_prefix("# case: ") {
            cases.push(Case { name: name.to_owned(), environment: Vec::new(), text: String::new() });
            continue;
        }
        let case = cases.last_mut().expect("a case file starts with a case");
        match line.strip_prefix("# env: ").and_then(|setting| setting.split_once('=')) {
            Some((name, value)) => case.environment.push((name.to_owned(), value.to_owned())),
            None => writeln!(case.text, "{line}").unwrap(),
        }
    }
    cases
}

/// Every case file as one story: the config, then what is said about it.
#[test]
fn every_fault_is_told_in_words_with_its_place() {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(vectors().join("faults")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut count = 0;
    for file in files {
        let mut story = String::new();
        for case in cases(&file) {
            let variables: Vec<(&str, &str)> =
                case.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let errors = load(&case.text, &variables).map(|_| ()).expect_err(&case.name);
            let told = errors.to_string();
            assert!(!told.contains("hunter2"), "{}: a secret is repeated:\n{told}", case.name);
            assert!(errors.errors().iter().all(|error| !error.message.ends_with('.')), "{told}");
            count += errors.errors().len();
            writeln!(story, "== {}\n{told}\n", case.name).unwrap();
        }
        let name = format!("faults_{}", file.file_stem().unwrap().to_str().unwrap());
        insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(name, story) });
    }
    assert!(count >= 100, "only {count} faults");
}

#[test]
fn the_example_of_the_contract_loads() {
    let config = load(
        &vector("contract.yaml"),
        &[("OIDC_CLIENT_SECRET", "hunter2"), ("SECRET_KEY", "0123456789012345678901234567890123456789")],
    )
    .unwrap();
    let provider = &config.identity_providers[0];
    assert_eq!(provider.issuer(), "https://tenant.eu.auth0.com/");
    assert_eq!(provider.tokens.audiences, ["http://seistech.nz/api"]);
    assert_eq!(provider.tokens.token_types, ["at+jwt", "jwt"]);
    let login = provider.login.as_ref().unwrap();
    assert_eq!(client_secret(login), Some("hunter2"));
    assert_eq!(login.label, "main");
    assert_eq!(login.callback_path, "/_auth/callback/main");
    assert_eq!(config.policy.rules().len(), 7);
    assert_eq!(config.trusted_proxies.len(), 2);
    assert_eq!(load("trusted_proxies: [::1/128]", &[]).unwrap().trusted_proxies.len(), 1);
    assert_eq!(config.public_url.as_ref().unwrap().origin(), "http://localhost:8080");
    assert!(!format!("{config:?}").contains("hunter2"));
    insta::assert_snapshot!("notices_of_the_contract", config.notices.join("\n"));
}

#[test]
fn every_key_loads() {
    let config = load(&vector("every_key.yaml"), &[]).unwrap();
    assert_eq!(config.listen.grpc.to_string(), "unix:/run/tiergate/grpc.sock");
    assert_eq!(config.base_path, "/internal/auth");
    let [keycloak, local] = config.identity_providers.as_slice() else { panic!("two providers") };
    assert_eq!(keycloak.tokens.algorithms.len(), 9);
    assert_eq!(keycloak.tokens.token_types, ["at+jwt"]);
    assert_eq!(keycloak.tokens.max_lifetime.as_secs(), 3600);
    assert_eq!(keycloak.jwks.source, JwksSource::File(PathBuf::from("keys.json")));
    let login = keycloak.login.as_ref().unwrap();
    assert_eq!(client_secret(login), Some("from-a-file"));
    assert!(matches!(login.auth, ClientAuth::SecretPost(_)));
    assert_eq!(login.label, "Everybody else");
    let ClientAuth::PrivateKeyJwt { key_id, audience, .. } = &local.login.as_ref().unwrap().auth else {
        panic!("a private key")
    };
    assert_eq!(key_id.as_deref(), Some("k7"));
    assert_eq!(*audience, AssertionAudience::TokenEndpoint);
    assert_eq!(local.login.as_ref().unwrap().callback_path, "/internal/auth/callback/local");
    assert_eq!(config.assertion.as_ref().unwrap().issuer, "https://app.example.com");
    assert!(config.error_template.is_some());
    assert!(config.compat.authelia && config.compat.oauth2_proxy);
    assert!(config.identity_headers.reserved().any(|name| name == "x-envoy-peer-metadata"));
    let sessions = config.sessions.as_ref().unwrap();
    assert_eq!(sessions.secrets.len(), 2);
    assert!(matches!(&sessions.store, SessionStoreAddress::Redis { topology: RedisTopology::SingleTls, url }
        if url.expose() == "rediss://:hunter2@redis.example.com:6380/1"));
    assert!(matches!(config.directory.as_ref().unwrap().store, DirectoryAddress::Postgres(_)));
    assert_eq!(config.apps_dirs, [PathBuf::from("apps.d"), PathBuf::from("apps")]);
    let app = &config.apps[0].app;
    assert_eq!((app.front(), app.host_text()), ("/r/staff/reports/", Some("apps.example.com")));
    assert_eq!(app.upstream.to_string(), "https://reports.internal:443/v2");
    assert_eq!(
        app.rules.iter().map(|rule| rule.path.as_str()).collect::<Vec<_>>(),
        ["/r/staff/reports/status", "/r/staff/reports/edit/**"]
    );
    assert_eq!(app.rules.iter().map(|rule| rule.tier.as_deref()).collect::<Vec<_>>(), [Some("open"), Some("staff")]);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn an_empty_file_is_all_defaults() {
    for text in ["", "# nothing\n", "---\n", "{}"] {
        let config = load(text, &[]).unwrap();
        assert_eq!(config.listen.grpc.to_string(), "127.0.0.1:9191");
        assert_eq!(config.base_path, "/_auth");
        assert!(config.trusted_proxies.is_empty());
        assert_eq!(config.limits.token_cache, 10_000);
        insta::assert_snapshot!("notices_of_nothing", config.notices.join("\n"));
    }
}

/// The schema that editors use and the struct that serde fills are one thing
/// written twice; the examples must pass both.
#[test]
fn the_examples_fit_the_exported_schema() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for name in ["contract.yaml", "every_key.yaml"] {
        let mut faults = Vec::new();
        let written = yaml::parse(&vector(name), &mut faults).unwrap().to_json();
        let errors: Vec<String> = validator.iter_errors(&written).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
        ConfigFile::deserialize(written).unwrap();
    }
}

#[test]
fn every_key_of_the_schema_is_described() {
    fn undescribed(schema: &Value, path: &str, found: &mut Vec<String>) {
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if property.get("description").is_none() {
                found.push(format!("{path}/{name}"));
            }
        }
    }
    let schema = schema();
    let mut found = Vec::new();
    undescribed(&schema, "", &mut found);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        undescribed(definition, name, &mut found);
    }
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["$id"], "urn:tiergate:config");
    assert_eq!(schema["title"], "Tiergate config");
    assert!(!schema.to_string().contains("\"null\""));
}

const AUTH0: [(&str, &str); 6] = [
    ("AUTH0_DOMAIN", "tenant.eu.auth0.com"),
    ("AUTH0_CLIENT_ID", "client"),
    ("AUTH0_CLIENT_SECRET", "hunter2"),
    ("AUTH0_CALLBACK_URL", "http://localhost:8080/callback"),
    ("AUTH0_AUDIENCE", "http://seistech.nz/api"),
    ("SECRET_KEY", "0123456789012345678901234567890123456789"),
];

#[test]
fn the_environment_alone_is_the_same_as_a_file() {
    let from_file = load(&vector("environment.yaml"), &AUTH0).unwrap();
    let from_environment = load_environment(&AUTH0).unwrap();
    assert_eq!(told(&from_environment), told(&from_file));
    assert_eq!(from_environment.policy.fingerprint(), from_file.policy.fingerprint());
    assert_eq!(from_environment.notices, from_file.notices);
    assert_eq!(from_environment.identity_providers[0].issuer(), "https://tenant.eu.auth0.com/");
}

#[test]
fn a_callback_where_an_app_is_expected_is_told() {
    let notices = |callback: &str, rule: &str| {
        let text = format!(
            r#"
public_url: https://app.example.com:8443
base_path: /apps/auth
trusted_proxies: [127.0.0.1/32]
identity_providers:
  - {{ id: main, issuer: "https://idp.example.com/", audience: [api], login: {{ client_id: a{callback} }} }}
tiers: {{ stable: {{ grant: authenticated }} }}
rules: [{{ {rule}, tier: stable }}]
"#
        );
        load(&text, &[]).unwrap().notices.join("\n")
    };
    let told = notices(", callback_path: /apps/stable/x", "path: '/apps/{tier}/**'");
    assert_eq!(
        told,
        "`callback_path` `/apps/stable/x` of `main` lies under the rule `/apps/{tier}/**`: no app gets what is sent \
         there; choose a path under no rule"
    );
    for (callback, rule, is_told) in [
        (", callback_path: /callback", "path: '/apps/{tier}/**'", false),
        (", callback_path: /callback", "path: '/**'", false),
        (", callback_path: /callback", "path: /callback", true),
        (", callback_path: /callback", "methods: [POST], path: /callback", false),
        (", callback_path: /callback", "host: 'app.example.com:8443', path: '/callback/**'", true),
        (", callback_path: /callback", "host: other.example.com, path: /callback", false),
        ("", "path: '/apps/**'", true),
    ] {
        assert_eq!(!notices(callback, rule).is_empty(), is_told, "{callback} {rule}");
    }
    let of_variables = load_environment(&AUTH0).unwrap().notices;
    assert!(of_variables.iter().all(|notice| !notice.contains("callback_path")), "{of_variables:?}");
}

#[test]
fn every_key_of_a_file_can_be_a_variable() {
    let written = r#"
listen: { grpc: 127.0.0.1:1, admin: "unix:/run/a.sock" }
trusted_proxies: [127.0.0.1/32, "::1/128"]
limits: { token_cache: 7 }
log: { level: warn, format: text }
identity_providers:
  - { id: main, issuer: "https://idp.example.com/", audience: [api], jwks: { uri: "https://idp.example.com/keys" } }
tiers: { ea: { grant: { scopes: ["access:ea"] } }, free: { grant: anyone } }
rules: [{ path: /x, tier: ea }]
"#;
    let from_variables = load_environment(&[
        ("TIERGATE_LISTEN__GRPC", "127.0.0.1:1"),
        ("TIERGATE_LISTEN__ADMIN", "unix:/run/a.sock"),
        ("TIERGATE_TRUSTED_PROXIES", "[127.0.0.1/32, \"::1/128\"]"),
        ("TIERGATE_LIMITS__TOKEN_CACHE", "7"),
        ("TIERGATE_LOG", "{level: debug, format: json}"),
        ("TIERGATE_LOG__LEVEL", "warn"),
        ("TIERGATE_LOG__FORMAT", "text"),
        ("TIERGATE_IDENTITY_PROVIDERS__0__ID", "main"),
        ("TIERGATE_IDENTITY_PROVIDERS__0__ISSUER", "https://idp.example.com/"),
        ("TIERGATE_IDENTITY_PROVIDERS__0__AUDIENCE__0", "api"),
        ("TIERGATE_IDENTITY_PROVIDERS__0__JWKS", "{\"uri\": \"https://idp.example.com/keys\"}"),
        ("TIERGATE_TIERS__EA__GRANT", "{scopes: ['access:ea']}"),
        ("TIERGATE_TIERS__FREE__GRANT", "anyone"),
        ("TIERGATE_RULES", "[{path: /x, tier: ea}]"),
    ])
    .unwrap();
    assert_eq!(told(&from_variables), told(&load(written, &[]).unwrap()));
}

#[test]
fn variables_overrule_the_environment_only_form_too() {
    let mut variables = AUTH0.to_vec();
    variables.push(("TIERGATE_IDENTITY_PROVIDERS__0__JWKS__REFRESH", "1m"));
    variables.push(("TIERGATE_TRUSTED_PROXIES__0", "127.0.0.1"));
    let config = load_environment(&variables).unwrap();
    assert_eq!(config.identity_providers[0].jwks.refresh.as_secs(), 60);
    assert_eq!(config.trusted_proxies.len(), 1);
}

#[test]
fn the_mysql_variables_are_a_directory() {
    let mysql = [
        ("MYSQL_USERNAME", "joe"),
        ("MYSQL_PASSWORD", "p@ss/word"),
        ("MYSQL_IP", "10.0.0.1:3306"),
        ("MYSQL_DB", "users"),
    ];
    let url = |config: &Config| config.directory.as_ref().map(|directory| store_url(&directory.store));
    let expected = Some("mysql://joe:p%40ss%2Fword@10.0.0.1:3306/users".to_owned());
    assert_eq!(url(&load_environment(&[AUTH0.as_slice(), &mysql].concat()).unwrap()), expected);
    assert_eq!(url(&load("base_path: /x", &mysql).unwrap()), expected);
    let written = load("directory: { url: 'sqlite:a.db' }", &mysql).unwrap();
    assert_eq!(url(&written).as_deref(), Some("sqlite:a.db"));
    // Some of the four beside a file belong to another program.
    assert_eq!(url(&load("base_path: /x", &mysql[..3]).unwrap()), None);
    let errors = load_environment(&[AUTH0.as_slice(), &mysql[..3]].concat()).map(|_| ()).unwrap_err();
    assert_eq!(errors.errors()[0].place, Place::Variable("MYSQL_DB".to_owned()));
}

#[test]
fn an_incomplete_environment_names_what_is_missing() {
    let mut story = String::new();
    let cases: [&[(&str, &str)]; 5] = [
        &[],
        &[("AUTH0_DOMAIN", "tenant.eu.auth0.com")],
        &[("AUTH0_DOMAIN", "https://tenant.eu.auth0.com/"), ("AUTH0_AUDIENCE", "api")],
        &[("AUTH0_DOMAIN", "a.auth0.com"), ("AUTH0_AUDIENCE", "api"), ("AUTH0_CLIENT_ID", "a")],
        &[
            ("AUTH0_DOMAIN", "a.auth0.com"),
            ("AUTH0_AUDIENCE", "api"),
            ("AUTH0_CLIENT_ID", "a"),
            ("AUTH0_CLIENT_SECRET", "b"),
            ("AUTH0_CALLBACK_URL", "/callback"),
        ],
    ];
    for variables in cases {
        let errors = load_environment(variables).map(|_| ()).unwrap_err();
        writeln!(story, "{errors}\n").unwrap();
    }
    insta::assert_snapshot!("faults_of_the_environment", story);
}

#[test]
fn an_api_needs_no_login() {
    let config = load_environment(&[("AUTH0_DOMAIN", "a.auth0.com"), ("AUTH0_AUDIENCE", "api")]).unwrap();
    assert!(config.identity_providers[0].login.is_none());
    assert!(config.public_url.is_none());
    assert!(config.sessions.is_none());
}

#[test]
fn a_config_that_is_too_long_is_refused_unread() {
    let text = "#".repeat(1024 * 1024 + 1);
    let error = load(&text, &[]).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, "tiergate.yaml: the config is 1048577 bytes long\n  hint: at most 1 MiB is read\n1 error");
}

#[test]
fn a_variable_can_stand_for_a_number() {
    let config = load("limits: { token_cache: \"${CACHE}\" }", &[("CACHE", "12")]).unwrap();
    assert_eq!(config.limits.token_cache, 12);
    let config = load("limits:\n  token_cache: ${CACHE:-13}", &[]).unwrap();
    assert_eq!(config.limits.token_cache, 13);
}

#[test]
fn a_login_brings_its_sessions() {
    let text = "public_url: https://app.example.com\nidentity_providers: [{ id: main, issuer: 'https://idp.example.com/', audience: [api], login: { client_id: a } }]";
    let sessions = load(text, &[]).unwrap().sessions.unwrap();
    assert_eq!(sessions.store, SessionStoreAddress::Sqlite(PathBuf::from("tiergate.db")));
    assert!(sessions.secrets.is_empty());
}

/// What an alias stands for is judged where it is used.
#[test]
fn a_fault_behind_an_alias_is_told_where_it_is_used() {
    let text = "listen:\n  grpc: &here nowhere\npublic_url: *here\n";
    let errors = load(text, &[]).map(|_| ()).unwrap_err();
    let places: Vec<&Place> = errors.errors().iter().map(|error| &error.place).collect();
    assert_eq!(places, [&Place::File { line: 2, column: 15 }, &Place::File { line: 3, column: 13 }]);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "([a-z${}\\[\\]:,#&*!|>'\"% \\n-]|tiers|rules|\\PC){0,60}") {
        let mut faults = Vec::new();
        if let Ok(mut tree) = yaml::parse(&text, &mut faults) {
            interpolate::interpolate(&mut tree, &BTreeMap::new(), &mut faults);
            let _ = ConfigErrors::locate("x", &tree, &faults).to_string();
        }
    }

    #[test]
    fn a_pointer_leads_back_to_its_key(keys in proptest::collection::vec("[a-z/~.]{0,6}", 1..5)) {
        let pointer = keys.iter().fold(String::new(), |pointer, key| node::push(&pointer, key));
        prop_assert_eq!(node::steps(&pointer).collect::<Vec<_>>(), keys);
    }
}

#[test]
fn words_of_yaml_1_1_are_texts() {
    let text =
        "tiers: { on: { grant: authenticated }, no: { grant: anyone, label: yes } }\nrules: [{ path: /x, tier: on }]";
    assert_eq!(load(text, &[]).unwrap().policy_document.tiers.0[1].1.label.as_deref(), Some("yes"));
}

#[test]
fn the_config_of_the_demo_loads() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo/tiergate.yaml");
    let config = load(&std::fs::read_to_string(path).unwrap(), &[]).map_err(|errors| errors.to_string()).unwrap();
    assert!(config.policy.rules().len() > 0);
}

#[test]
fn a_key_set_that_is_not_there_is_told_and_refuses_nothing() {
    let told = |file: &str| {
        let provider = format!("issuer: 'https://idp.example.com/', audience: [api], jwks: {{ file: {file} }}");
        load(&format!("identity_providers: [{{ id: main, {provider} }}]"), &[]).unwrap().notices.join("\n")
    };
    let gone = told("gone.json");
    assert!(gone.contains("`gone.json` of `identity_providers[0].jwks.file` cannot be read"), "{gone}");
    assert!(!told("secrets/key").contains("cannot be read"));
}

#[test]
fn the_log_is_set_by_one_variable_like_every_section() {
    let config = load("log: { format: text }", &[("TIERGATE_LOG", "{level: debug}")]).unwrap();
    assert_eq!(config.log, Log { format: LogFormat::Json, level: LogLevel::Debug });
    let errors = load("", &[("TIERGATE_LOG", "debug")]).map(|_| ()).unwrap_err();
    assert_eq!(errors.errors()[0].place, Place::Variable("TIERGATE_LOG".to_owned()));
    assert!(errors.to_string().contains("a map is expected"), "{errors}");
}

#[test]
fn the_schema_takes_a_variable_wherever_a_value_stands() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let fits = |text: &str| validator.is_valid(&yaml::parse(text, &mut Vec::new()).unwrap().to_json());
    for good in [
        "sessions: { lifetime: '${LIFETIME}', idle_timeout: '${IDLE:-30}m' }",
        "limits: { token_cache: '${CACHE}', max_connections: '${MOST:-10}' }",
        "log: { level: '${LEVEL:-info}', format: json }",
        "compat: ['${OTHER}']",
        "tiers: { ea: { grant: '${WHO}' } }",
        "rules: [{ path: /x, tier: ea, token_from: ['${PLACE}'] }]",
        "identity_providers: [{ id: '${ID}', issuer: 'https://idp.example.com/', audience: [api], leeway: '${L}' }]",
    ] {
        assert!(fits(good), "{good}");
    }
    for bad in [
        "sessions: { lifetime: soon }",
        "sessions: { lifetime: 5 }",
        "limits: { token_cache: 'x' }",
        "limits: { max_connections: 0 }",
        "log: { level: loud }",
        "log: { level: '$LEVEL' }",
        "tiers: { ea: { grant: nobody } }",
    ] {
        assert!(!fits(bad), "{bad}");
    }
}

#[test]
fn one_fault_does_not_hide_another() {
    const RULES: &str = "tiers:\n  a: { grant: authenticated, includes: [b] }\n  b: { includes: [a] }\nrules:\n  - { path: /a//b, tier: a }\n  - { path: /s, scopes: [] }\n  - { path: /e }\n  - { path: /t, tier: nowhere }\n  - { path: /p, providers: [mian] }\n";
    let provider = |rest: &str| {
        format!(
            "identity_providers: [{{ id: main, issuer: 'https://idp.example.com/', audience: [api]{rest} }}]\n{RULES}"
        )
    };
    let places = |text: &str| -> Vec<(u64, String)> {
        let errors = load(text, &[]).map(|_| ()).unwrap_err();
        let line = |place: &Place| if let Place::File { line, .. } = place { *line } else { 0 };
        errors.errors().iter().map(|error| (line(&error.place), error.message.clone())).collect()
    };
    let own = places(&provider(""));
    assert_eq!(own.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 6, 7, 8, 9, 10], "{own:?}");
    // A wrong value beside them is one fault more.
    let leeway = places(&provider(", leeway: 5"));
    assert_eq!(leeway[1..], own, "{leeway:?}");
    let grant = places(&provider("").replace("grant: authenticated", "grant: authenticatd"));
    assert_eq!(grant.len(), own.len() + 1, "{grant:?}");
    // An entry without the key it cannot do without leaves the others where they are.
    for more in ["  - { tier: a }\n", "  - 5\n", "  - { path: 7, tier: a }\n"] {
        let text = provider("").replace("rules:\n", &format!("rules:\n{more}"));
        let broken = places(&text);
        let moved: Vec<(u64, String)> =
            own.iter().map(|(line, told)| (line + u64::from(*line > 5), told.clone())).collect();
        assert_eq!(broken.len(), own.len() + 1, "{more}: {broken:?}");
        assert!(moved.iter().all(|fault| broken.contains(fault)), "{more}: {broken:?}");
    }
    // Without its id a provider may be the one that a rule names.
    let unnamed =
        places(&format!("identity_providers: [{{ issuer: 'https://idp.example.com/', audience: [api] }}]\n{RULES}"));
    assert_eq!(unnamed.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 3, 6, 7, 8, 9], "{unnamed:?}");
}

/// The tie of two rules is told only where both are read whole.
#[test]
fn a_fault_that_follows_from_another_is_not_told() {
    let text = "rules:\n  - { path: /x, methods: GET, scopes: [a] }\n  - { path: /x, scopes: [a] }\n";
    let errors = load(text, &[]).map(|_| ()).unwrap_err();
    assert_eq!(errors.errors().len(), 1, "{errors}");
    let text = "rules:\n  - 5\n  - { path: /x, scopes: [a] }\n  - { path: /x, scopes: [b] }\n";
    let errors = load(text, &[]).map(|_| ()).unwrap_err().to_string();
    assert!(errors.contains("`/rules/1`") && errors.contains("the other one is at tiergate.yaml:3:"), "{errors}");
}

/// What passes here is what the service asks: nothing judges the URL again.
#[test]
fn the_urls_of_the_keys_are_ready_to_be_asked() {
    let source = |provider: &str| {
        let text = format!("identity_providers: [{{ id: main, audience: [api], {provider} }}]");
        load(&text, &[])
            .map(|config| config.identity_providers[0].jwks.source.clone())
            .map_err(|error| error.to_string())
    };
    let url = |text: &str| crate::types::FetchUrl::parse(text).unwrap();
    for (issuer, document) in [
        ("http://op.localhost:5556/", "http://op.localhost:5556/.well-known/openid-configuration"),
        ("http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/.well-known/openid-configuration"),
        ("https://tenant.eu.auth0.com/", "https://tenant.eu.auth0.com/.well-known/openid-configuration"),
        ("https://idp.example.com/realms/a", "https://idp.example.com/realms/a/.well-known/openid-configuration"),
    ] {
        assert_eq!(source(&format!("issuer: '{issuer}'")), Ok(JwksSource::Discovery(url(document))));
    }
    let keys = "issuer: 'https://idp.example.com/', jwks: { uri: 'http://[::1]:8080/keys?x=y' }";
    assert_eq!(source(keys), Ok(JwksSource::Uri(url("http://[::1]:8080/keys?x=y"))));
    for refused in ["http://tenant.eu.auth0.com/", "https://256.1.1.1/", "https://a\\b/"] {
        assert!(source(&format!("issuer: '{refused}'")).is_err(), "{refused}");
    }
}

#[test]
fn the_paths_at_the_root_are_for_a_service_of_variables_that_signs_in() {
    let api = [("AUTH0_DOMAIN", "t.eu.auth0.com"), ("AUTH0_AUDIENCE", "https://api.example.com")];
    let login = [
        ("AUTH0_CLIENT_ID", "c"),
        ("AUTH0_CLIENT_SECRET", "s"),
        ("AUTH0_CALLBACK_URL", "https://app.example.com/callback"),
    ];
    assert!(!load_environment(&api).expect("a config").seed_paths);
    assert!(load_environment(&[&api[..], &login].concat()).expect("a config").seed_paths);
    assert!(!load("", &[&api[..], &login].concat()).is_ok_and(|config| config.seed_paths));
}
