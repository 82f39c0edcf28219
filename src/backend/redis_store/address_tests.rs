use std::path::PathBuf;

use super::{Address, RedisTopology};
use crate::types::Secret;

fn parse(topology: RedisTopology, url: &str) -> Result<Address, String> {
    Address::parse(topology, &Secret::new(url.to_owned())).map_err(|error| error.to_string())
}

#[test]
fn every_form_is_read() {
    use RedisTopology::{Cluster, Sentinel, Single, SingleTls};
    for (topology, url, hosts, name, database) in [
        (Single, "redis://127.0.0.1", "127.0.0.1:6379", "", 0),
        (Single, "redis://user:p%40ss@[::1]:7000/3", "::1:7000", "", 3),
        (SingleTls, "rediss://:word@redis.example.com/", "redis.example.com:6379", "", 0),
        (SingleTls, "rediss://redis.example.com?ca=/etc/ca.pem", "redis.example.com:6379", "", 0),
        (Sentinel, "redis+sentinel://s1,s2:26380/main/2", "s1:26379 s2:26380", "main", 2),
        (Sentinel, "redis+sentinel://u:p@s1/main?sentinel_password=x", "s1:26379", "main", 0),
        (Cluster, "redis+cluster://a:1,b:2?tls=true&ca=ca.pem", "a:1 b:2", "", 0),
    ] {
        let address = parse(topology, url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let read: Vec<String> = address.hosts.iter().map(ToString::to_string).collect();
        assert_eq!((read.join(" ").as_str(), address.primary_name.as_str(), address.database), (hosts, name, database));
    }
    let address = parse(Single, "redis://user:p%40ss@h").unwrap();
    assert_eq!(address.login.user.as_deref(), Some("user"));
    assert_eq!(address.login.password.as_ref().map(Secret::expose), Some("p@ss"));
    let address = parse(SingleTls, "rediss://h?ca=%2Fetc%2Fca.pem").unwrap();
    assert_eq!((address.ca, address.tls), (Some(PathBuf::from("/etc/ca.pem")), true));
}

#[test]
fn what_cannot_be_read_is_named_and_never_repeated() {
    use RedisTopology::{Cluster, Sentinel, Single};
    for (topology, url, message) in [
        (Single, "rediss://hunter2@h", "does not begin with `redis://`"),
        (Single, "redis://h:hunter2", "the host in"),
        (Single, "redis://hunter2@h:0", "the host in"),
        (Single, "redis://a,hunter2", "the host in"),
        (Single, "redis://", "the host in"),
        (Single, "redis://user:@h", "the password in"),
        (Single, "redis://:hunter2%4@h", "the percent-encoding in"),
        (Single, "redis://h/hunter2", "the database in"),
        (Single, "redis://h?hunter2=1", "has a parameter"),
        (Single, "redis://h?ca=hunter2", "has a parameter"),
        (Sentinel, "redis+sentinel://:hunter2@h/", "the path in"),
        (Cluster, "redis+cluster://:hunter2@h/1", "the database in"),
        (Cluster, "redis+cluster://h?sentinel_password=hunter2", "has a parameter"),
    ] {
        let error = parse(topology, url).expect_err(url);
        assert!(error.contains(message) && !error.contains("hunter2"), "{url}: {error}");
    }
}
