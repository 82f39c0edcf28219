//! The address that somebody asks from, for counting and for nothing else: what
//! a proxy says of it counts only from a proxy of ours.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::check::Sender;

/// Who asks, by the values of `X-Forwarded-For` in their order. Each proxy adds
/// whom it heard from at the end, so that what our own have not written stands
/// to the left of the first address that is not theirs, and is not believed.
pub(super) fn find<'a>(
    sender: Sender,
    forwarded_for: impl DoubleEndedIterator<Item = &'a [u8]>,
    trusted_proxies: &[IpNet],
) -> Option<IpAddr> {
    match sender {
        Sender::Proxy => {}
        Sender::Address(address) => return Some(address.to_canonical()),
        Sender::Unknown => return None,
    }
    for entry in forwarded_for.rev().flat_map(|value| value.rsplit(|byte| *byte == b',')) {
        let address = read(entry)?;
        if !trusted_proxies.iter().any(|network| network.contains(&address)) {
            return Some(address);
        }
    }
    None
}

/// An address, which some proxies write with the port.
fn read(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry.trim_ascii()).ok()?;
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse().ok().or_else(with_port).or_else(in_brackets).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_address_that_is_no_proxy_of_ours_is_the_client() {
        for (values, client) in [
            (&["198.51.100.7"] as &[&str], Some("198.51.100.7")),
            (&["198.51.100.7, 10.0.0.1"], Some("198.51.100.7")),
            (&["198.51.100.7,10.0.0.1,10.0.0.2"], Some("198.51.100.7")),
            // What the client itself wrote stands further to the left.
            (&["192.0.2.66, 198.51.100.7, 10.0.0.1"], Some("198.51.100.7")),
            (&["192.0.2.66", "198.51.100.7", "10.0.0.1"], Some("198.51.100.7")),
            (&["10.0.0.9, 198.51.100.7"], Some("198.51.100.7")),
            (&["2001:db8::7"], Some("2001:db8::7")),
            (&["::ffff:198.51.100.7, ::ffff:10.0.0.1"], Some("198.51.100.7")),
            (&["198.51.100.7:4711"], Some("198.51.100.7")),
            (&["[2001:db8::7]:4711"], Some("2001:db8::7")),
            (&["[2001:db8::7]"], Some("2001:db8::7")),
            (&["10.0.0.1"], None),
            (&[], None),
            (&[""], None),
            (&["198.51.100.7, unknown"], None),
            (&["198.51.100.7, "], None),
            (&["198.51.100.7 10.0.0.1"], None),
        ] {
            let ours = ["10.0.0.0/8".parse().expect("a network")];
            let forwarded_for = || values.iter().map(|value| value.as_bytes());
            let expected = client.map(|client| client.parse::<IpAddr>().expect("an address"));
            assert_eq!(find(Sender::Proxy, forwarded_for(), &ours), expected, "{values:?}");
            let peer: IpAddr = "203.0.113.1".parse().expect("an address");
            assert_eq!(find(Sender::Address(peer), forwarded_for(), &ours), Some(peer), "{values:?}");
            assert_eq!(find(Sender::Unknown, forwarded_for(), &ours), None, "{values:?}");
        }
    }
}
