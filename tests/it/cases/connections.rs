//! What one client of a proxy could do to the connection that carries
//! everybody's checks, and what somebody could hold who only connects.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use prost::Message as _;

use super::ask::Ask;
use super::service::{CHECK, PATIENCE, service};

/// More resets than HTTP libraries bear by default.
const RESETS: usize = 500;

#[test]
fn resets_of_one_client_do_not_end_the_checks_of_others() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let code = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, ask_among_resets(service().tiergate.grpc())).await.expect("an answer in time")
    });
    assert_eq!(code.expect("the connection lives"), 0);
}

async fn ask_among_resets(address: SocketAddr) -> Result<i32, Box<dyn std::error::Error>> {
    let socket = tokio::net::TcpStream::connect(address).await?;
    let (mut client, connection) = h2::client::handshake(socket).await?;
    let driver = tokio::spawn(connection);
    let message = frame(&Ask::get("/public/x").check_request().encode_to_vec());
    for _ in 0..RESETS {
        client = client.ready().await?;
        let (response, mut stream) = client.send_request(request(address)?, false)?;
        stream.send_data(message.clone(), true)?;
        stream.send_reset(h2::Reason::CANCEL);
        drop(response);
    }
    client = client.ready().await?;
    let (response, mut stream) = client.send_request(request(address)?, false)?;
    stream.send_data(message, true)?;
    let mut body = response.await?.into_body();
    let mut answer = BytesMut::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        answer.extend_from_slice(&part);
    }
    driver.abort();
    let answer = CheckResponse::decode(answer.get(5..).unwrap_or_default())?;
    Ok(answer.status.ok_or("no status")?.code)
}

fn request(address: SocketAddr) -> http::Result<http::Request<()>> {
    http::Request::builder()
        .method("POST")
        .uri(format!("http://{address}{CHECK}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
}

fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("a short message"));
    frame.extend_from_slice(message);
    frame.freeze()
}

/// The bound is ten seconds; that it is there at all is what matters.
#[test]
fn a_connection_without_a_request_is_closed() {
    let ports = [service().tiergate.grpc(), service().tiergate.http(), service().tiergate.admin()];
    let mut silent: Vec<TcpStream> = ports.iter().map(|port| TcpStream::connect(port).expect("connected")).collect();
    for stream in &mut silent {
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("timeout");
        let mut said = Vec::new();
        // Whatever the server says first, it ends the connection before the read times out.
        match stream.read_to_end(&mut said) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
    }
}
