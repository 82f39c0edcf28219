//! Against a real server on a port of the system's choice.

use axum::Router;
use axum::body::Body;
use axum::http::Response as Answer;
use axum::routing::post;

use super::*;

async fn send(url: &str) -> Result<Response<Bytes>, HttpError> {
    let client = HttpClient::new().unwrap();
    let port: &dyn oidc::HttpClient = &client;
    port.send(Request::post(url).body("grant_type=authorization_code".into()).unwrap()).await
}

#[tokio::test]
async fn what_a_provider_may_not_answer_is_told_from_no_answer() {
    let elsewhere = || async { Answer::builder().status(302).header("location", "/good").body(Body::empty()).unwrap() };
    let bomb = || async {
        let zeros =
            futures_util::stream::iter((0..50).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![0; 1024 * 1024]))));
        Answer::new(Body::from_stream(zeros))
    };
    let packed = || async { Answer::builder().header("content-encoding", "gzip").body(Body::from("x")).unwrap() };
    let good = |body: String| async move { Answer::builder().status(400).body(Body::from(body)).unwrap() };
    let router = Router::new()
        .route("/elsewhere", post(elsewhere))
        .route("/bomb", post(bomb))
        .route("/packed", post(packed))
        .route("/good", post(good));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    for path in ["elsewhere", "bomb", "packed"] {
        let came = send(&format!("http://{address}/{path}")).await;
        assert!(matches!(came, Err(HttpError::Unacceptable(_))), "{path}: {came:?}");
    }
    let answer = send(&format!("http://{address}/good")).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (400, b"grant_type=authorization_code".as_slice()));
    assert!(matches!(send("http://idp.example.com/token").await, Err(HttpError::Unacceptable(_))));

    server.abort();
    let _ = server.await;
    assert!(matches!(send(&format!("http://{address}/good")).await, Err(HttpError::Unreachable(_))));
}
