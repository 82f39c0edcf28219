use super::*;
use crate::types::Protocol;

const ALL: TokenPlaces = TokenPlaces { header: true, query: true, websocket_protocol: true };
const HEADER: TokenPlaces = TokenPlaces { header: true, query: false, websocket_protocol: false };

fn view<'a>(target: &'a str, headers: &'a [(&'a str, &'a [u8])]) -> RequestView<'a> {
    RequestView {
        protocol: Protocol::Grpc,
        method: "GET",
        target: target.as_bytes(),
        host: None,
        headers,
        route_tier: None,
        route_app: None,
        request_id: None,
    }
}

#[test]
fn a_header_holds_one_bearer_token_or_none_that_counts() {
    use Credentials as C;
    for (value, expected) in [
        ("Bearer t", C::Bearer("t")),
        ("bearer t", C::Bearer("t")),
        ("BEARER  t ", C::Bearer("t")),
        ("Bearer", C::Malformed),
        ("Bearer ", C::Malformed),
        ("Bearer a b", C::Malformed),
        ("Basic t", C::Malformed),
        ("BearerX t", C::Malformed),
        ("Bearer a, Bearer b", C::Multiple),
        ("Bearer\tt", C::Malformed),
    ] {
        assert_eq!(find(&view("/", &[("authorization", value.as_bytes())]), ALL), expected, "{value}");
    }
    let twice: [(&str, &[u8]); 2] = [("authorization", b"Bearer a"), ("authorization", b"Bearer b")];
    assert_eq!(find(&view("/", &twice), ALL), Credentials::Multiple);
}

#[test]
fn other_places_count_only_where_the_rule_names_them() {
    let token = "eyA.eyB.c";
    let target = format!("/x?a=1&access_token={token}&b=2");
    let protocols = format!("chat, bearer, {token}");
    let headers: [(&str, &[u8]); 1] = [("sec-websocket-protocol", protocols.as_bytes())];
    assert_eq!(find(&view(&target, &[]), ALL), Credentials::Bearer(token));
    assert_eq!(find(&view(&target, &[]), HEADER), Credentials::None);
    assert_eq!(find(&view("/", &headers), ALL), Credentials::Bearer(token));
    assert_eq!(find(&view("/", &headers), HEADER), Credentials::None);
    assert_eq!(find(&view(&target, &headers), ALL), Credentials::Multiple);
    assert_eq!(token_parameters(target.as_bytes()), ["access_token"]);
    assert_eq!(
        token_parameters(b"/x?access%5Ftoken=a&access_token=b&access_token"),
        ["access%5Ftoken", "access_token"]
    );
    assert!(protocols_hold_token(&view("/", &headers)));
    assert_eq!(upstream_query(target.as_bytes(), true), "?a=1&b=2");
    assert_eq!(upstream_query(target.as_bytes(), false), format!("?a=1&access_token={token}&b=2"));
    assert_eq!(upstream_query(b"/x?access%5ftoken=t", true), "");
    assert_eq!(upstream_query(b"/x?", true), "");
    assert_eq!(upstream_protocols(&view("/", &headers), true), "chat");
    assert_eq!(upstream_protocols(&view("/", &headers), false), protocols);
}

#[test]
fn an_encoded_parameter_name_is_the_same_parameter() {
    assert_eq!(find(&view("/x?%61ccess%5Ftoken=a&access_token=b", &[]), ALL), Credentials::Multiple);
    assert_eq!(find(&view("/x?access_token", &[]), ALL), Credentials::Malformed);
    assert_eq!(find(&view("/x?access%5Ftoken=a", &[]), ALL), Credentials::Malformed);
    assert_eq!(find(&view("/x?xaccess_token=a&access_tokens=b", &[]), ALL), Credentials::None);
}

fn basic(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

#[test]
fn a_personal_access_token_is_a_bearer_token_or_the_password_of_anybody() {
    use Credentials as C;
    let token = format!("tgp_{}", "aB-_9".repeat(8) + "xyz");
    let hash = AccessTokenSecret::hash_of(&token).unwrap();
    let bearer = C::AccessToken { hash, as_password: false };
    let as_password = C::AccessToken { hash, as_password: true };
    let not_padded = STANDARD.encode(format!("ab:{token}"));
    assert!(not_padded.ends_with('='));
    // The same bytes by a last letter whose lowest bits are no part of them.
    let (held, last) = not_padded.trim_end_matches('=').split_at(not_padded.trim_end_matches('=').len() - 1);
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let next = letters.split(last).nth(1).and_then(|after| after.chars().next()).unwrap();
    let not_canonical = not_padded.replace(&format!("{held}{last}"), &format!("{held}{next}"));
    assert_ne!(not_canonical, not_padded);
    for (value, expected) in [
        (format!("Bearer {token}"), bearer),
        (format!("bearer  {token} "), bearer),
        (basic(&format!("zoe:{token}")), as_password),
        (basic(&format!(":{token}")), as_password),
        (basic(&format!("zoë@example.com:{token}")), as_password),
        (basic(&format!("zoe:{token}")).replace("Basic", "BASIC"), as_password),
        (format!("Bearer {token}x"), C::Bearer("")),
        (format!("Bearer {}", token.replace("tgp_", "TGP_")), C::Bearer("")),
        (format!("Basic {token}"), C::Malformed),
        (basic(&token), C::Malformed),
        (basic(&format!("{token}:")), C::Malformed),
        (basic(&format!("{token}:x")), C::Malformed),
        (basic(&format!("a:b:{token}")), C::Malformed),
        (basic(&format!("zoe:{token}:")), C::Malformed),
        (basic(&format!("zoe:{token}\n")), C::Malformed),
        (basic(&format!("zoe: {token}")), C::Malformed),
        (basic("zoe:password"), C::Malformed),
        (basic(""), C::Malformed),
        (basic(":"), C::Malformed),
        ("Basic".to_owned(), C::Malformed),
        ("Basic ".to_owned(), C::Malformed),
        (format!("Basic {}", not_padded.trim_end_matches('=')), C::Malformed),
        (format!("Basic {not_padded}"), C::AccessToken { hash, as_password: true }),
        (format!("Basic {not_padded}="), C::Malformed),
        (format!("Basic {not_canonical}"), C::Malformed),
        (format!("Basic {not_padded}\t"), C::Malformed),
        (format!("Basic {} {not_padded}", STANDARD.encode("a:b")), C::Malformed),
        (basic(&format!("zoe:{token}")).replace("Basic ", "Basic\t"), C::Malformed),
        (format!("Basic {}", STANDARD.encode([&b"z\xff:"[..], token.as_bytes()].concat())), C::Malformed),
        (format!("Digest {token}"), C::Malformed),
        (format!("Bearer {token}, Bearer {token}"), C::Multiple),
        (format!("{}, Bearer x", basic(&format!("zoe:{token}"))), C::Multiple),
    ] {
        let headers: [(&str, &[u8]); 1] = [("authorization", value.as_bytes())];
        match (find(&view("/", &headers), ALL), expected) {
            (C::Bearer(_), C::Bearer(_)) => {}
            (found, expected) => assert_eq!(found, expected, "{value}"),
        }
    }
    // The alphabet of URLs is not that of RFC 7617.
    let other = base64::engine::general_purpose::URL_SAFE.encode(format!("\u{3ff}?:{token}"));
    assert!(other.contains(['-', '_']));
    let value = format!("Basic {other}");
    assert_eq!(find(&view("/", &[("authorization", value.as_bytes())]), ALL), C::Malformed);
}

#[test]
fn a_personal_access_token_stands_where_the_rule_lets_a_token_stand() {
    let token = format!("tgp_{}", "A".repeat(43));
    let hash = AccessTokenSecret::hash_of(&token).unwrap();
    let found = Credentials::AccessToken { hash, as_password: false };
    let target = format!("/x?access_token={token}");
    let protocols = format!("chat, bearer, {token}");
    let headers: [(&str, &[u8]); 1] = [("sec-websocket-protocol", protocols.as_bytes())];
    assert_eq!(find(&view(&target, &[]), ALL), found);
    assert_eq!(find(&view(&target, &[]), HEADER), Credentials::None);
    assert_eq!(find(&view("/", &headers), ALL), found);
    assert_eq!(find(&view("/", &headers), HEADER), Credentials::None);
    assert_eq!(find(&view(&target, &headers), ALL), Credentials::Multiple);
    assert!(protocols_hold_token(&view("/", &headers)));
    assert_eq!(upstream_protocols(&view("/", &headers), true), "chat");
    assert_eq!(upstream_query(target.as_bytes(), true), "");
}
