//! The service in the servers that it is made for, with real sockets and an independent client.

mod common;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use chat_core::{Chat, Limits};
use chat_ws::{ClientAddr, Origins, service};
use common::{TEXT, frame};
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Sends `hello`, and returns the type of the first event.
async fn first_event(address: SocketAddr) -> String {
    let url = format!("ws://{address}/ws");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    socket
        .send(Message::text(r#"{"type":"hello"}"#))
        .await
        .unwrap();
    let event: serde_json::Value =
        serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap();
    socket
        .send(Message::Ping(Bytes::from_static(b"?")))
        .await
        .unwrap();
    assert_eq!(
        socket.next().await.unwrap().unwrap(),
        Message::Pong(Bytes::from_static(b"?"))
    );
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    event["type"].as_str().unwrap().to_owned()
}

async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn serve_axum(chat: &Chat) -> SocketAddr {
    let (listener, address) = bind().await;
    let app = axum::Router::new().route_service("/ws", service(chat.clone()));
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

#[tokio::test]
async fn axum_mounts_it_as_a_route() {
    let chat = Chat::builder().build();
    let address = serve_axum(&chat).await;
    assert_eq!(first_event(address).await, "welcome");
}

#[tokio::test]
async fn hyper_serves_it_as_a_service() {
    let chat = Chat::builder().build();
    for auto in [false, true] {
        let (listener, address) = bind().await;
        let service = service(chat.clone());
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            if auto {
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = builder
                    .serve_connection_with_upgrades(TokioIo::new(socket), service)
                    .await;
            } else {
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), service)
                    .with_upgrades()
                    .await;
            }
        });
        assert_eq!(first_event(address).await, "welcome");
    }
}

/// A stream that is not a TCP socket is served through hyper's own type.
#[tokio::test]
async fn other_streams_are_served() {
    let chat = Chat::builder().build();
    let (server, client) = tokio::io::duplex(4096);
    let service = service(chat);
    tokio::spawn(async move {
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(server), service)
            .with_upgrades()
            .await
    });
    let (mut socket, _) = tokio_tungstenite::client_async("ws://chat/ws", client)
        .await
        .unwrap();
    socket
        .send(Message::text(r#"{"type":"hello"}"#))
        .await
        .unwrap();
    let event = socket.next().await.unwrap().unwrap();
    assert!(event.to_text().unwrap().contains(r#""type":"welcome""#));
}

#[tokio::test]
async fn bytes_that_arrive_with_the_request_are_not_lost() {
    let chat = Chat::builder().build();
    let address = serve_axum(&chat).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = "GET /ws HTTP/1.1\r\nHost: chat\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let hello = frame(TEXT, br#"{"type":"hello"}"#);
    socket
        .write_all(&[request.as_bytes(), &hello].concat())
        .await
        .unwrap();
    let mut got = String::new();
    while !got.contains("welcome") {
        let mut buf = [0; 1024];
        let len = socket.read(&mut buf).await.unwrap();
        assert_ne!(len, 0, "{got}");
        got.push_str(&String::from_utf8_lossy(&buf[..len]));
    }
    assert!(got.starts_with("HTTP/1.1 101 "));
}

async fn rejection(address: SocketAddr, origin: Option<&str>) -> (StatusCode, HeaderMap) {
    let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
    if let Some(origin) = origin {
        request
            .headers_mut()
            .insert("origin", HeaderValue::from_str(origin).unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Err(Error::Http(response)) => (response.status(), response.headers().clone()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn pages_of_other_origins_are_rejected() {
    let chat = Chat::builder().build();
    let address = serve_axum(&chat).await;
    assert_eq!(
        rejection(address, Some("https://evil.example")).await.0,
        StatusCode::FORBIDDEN
    );
    let mut own = format!("ws://{address}/ws").into_client_request().unwrap();
    let origin = HeaderValue::from_str(&format!("http://{address}")).unwrap();
    own.headers_mut().insert("origin", origin);
    tokio_tungstenite::connect_async(own).await.unwrap();
}

#[tokio::test]
async fn connections_over_the_limit_are_rejected_before_the_upgrade() {
    let limits = Limits::default().connections(1);
    let chat = Chat::builder().limits(limits).build();
    let address = serve_axum(&chat).await;
    let (first, _) = tokio_tungstenite::connect_async(format!("ws://{address}/ws"))
        .await
        .unwrap();
    let (status, headers) = rejection(address, None).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(headers["retry-after"], "5");
    // Its slot is free again once it has ended.
    drop(first);
    while chat.admit(None).is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(first_event(address).await, "welcome");
}

/// A valid request of a server that cannot upgrade its connections.
fn request() -> http::request::Builder {
    Request::get("/ws")
        .header("host", "chat")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

#[tokio::test]
async fn a_server_that_cannot_upgrade_does_not_send_101() {
    let chat = Chat::builder().build();
    let service = service(chat.clone()).origins(Origins::Any);
    let response = service.respond(request().body(()).unwrap());
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(b"The server does not allow"));
}

#[tokio::test]
async fn connections_count_under_the_address_that_the_host_names() {
    let limits = Limits::default().connections_per_address(1);
    let chat = Chat::builder().limits(limits).build();
    let (listener, address) = bind().await;
    let service = service(chat);
    let app = axum::Router::new()
        .route_service("/ws", service)
        .layer(axum::middleware::from_fn(
            async |mut request: axum::extract::Request, next: axum::middleware::Next| {
                let addr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
                request.extensions_mut().insert(ClientAddr(addr));
                Ok::<_, Infallible>(next.run(request).await)
            },
        ));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let url = format!("ws://{address}/ws");
    let (_first, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let (status, headers) = rejection(address, None).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(headers["retry-after"], "30");
}
