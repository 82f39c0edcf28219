use super::{FetchUrl, FetchUrlError, HttpClient};

#[test]
fn only_https_or_loopback_may_be_asked() {
    for good in [
        "https://idp.example.com/jwks",
        "https://idp.example.com:8443/jwks?a=b",
        "http://127.0.0.1:8080/jwks",
        "http://127.9.9.9/",
        "http://[::1]:1/",
        "http://localhost/x",
    ] {
        assert_eq!(FetchUrl::parse(good).unwrap().as_str(), good);
    }
    for insecure in [
        "http://idp.example.com/jwks",
        "http://169.254.169.254/latest",
        "http://localhost.example.com/",
        "http://127.0.0.1.nip.io/",
        "http://0.0.0.0/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
    ] {
        assert_eq!(FetchUrl::parse(insecure), Err(FetchUrlError::Insecure(insecure.to_owned())));
    }
    assert_eq!(FetchUrl::parse("https://u:p@idp.example.com/"), Err(FetchUrlError::Extra));
    assert_eq!(FetchUrl::parse("https://idp.example.com/#x"), Err(FetchUrlError::Extra));
    assert_eq!(FetchUrl::parse("/jwks"), Err(FetchUrlError::NotAUrl("/jwks".to_owned())));
    let host = |text| FetchUrl::parse(text).unwrap();
    assert!(host("https://idp.example.com/a").has_host_of(&host("https://IDP.example.com:8443/b")));
    assert!(!host("https://idp.example.com/a").has_host_of(&host("https://idp.example.com.evil.example/b")));
}

#[tokio::test]
async fn a_request_of_any_kind_is_held_to_the_same_urls() {
    let client = HttpClient::new().unwrap();
    let request = http::Request::post("http://idp.example.com/token").body("a=b".into()).unwrap();
    assert_eq!(
        client.send(request).await.unwrap_err().to_string(),
        "`http://idp.example.com/token` is not https (http is for loopback hosts only)"
    );
}
