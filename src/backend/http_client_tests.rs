use reqwest::dns::Resolve as _;

use super::{HttpClient, Names};

#[tokio::test]
async fn a_request_of_any_kind_is_held_to_the_same_urls() {
    let client = HttpClient::new().unwrap();
    let request = http::Request::post("http://idp.example.com/token").body("a=b".into()).unwrap();
    assert_eq!(
        client.send(request).await.unwrap_err().to_string(),
        "`http://idp.example.com/token` is not https (http is for loopback hosts only)"
    );
}

#[tokio::test]
async fn the_names_of_this_machine_are_not_asked_of_others() {
    for name in ["localhost", "op.localhost", "OP.Localhost"] {
        let addresses: Vec<_> = Names.resolve(name.parse().unwrap()).await.unwrap().collect();
        assert!(!addresses.is_empty() && addresses.iter().all(|address| address.ip().is_loopback()), "{addresses:?}");
    }
}
