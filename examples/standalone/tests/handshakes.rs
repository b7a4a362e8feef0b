//! Which connections are accepted, and what the refused ones are sent.

mod common;

use std::net::{Ipv4Addr, SocketAddr};

use common::*;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const THERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

async fn open_from(from: Ipv4Addr, addr: SocketAddr) -> WebSocketStream<TcpStream> {
    open(connect(from, addr).await.unwrap(), addr).await
}

#[tokio::test]
async fn a_full_server_says_when_to_retry() {
    let server = Server::start(&["--connections", "2"]);
    let first = open_from(HERE, server.addr).await;
    let _second = open_from(THERE, server.addr).await;
    let refused = upgrade(HERE, server.addr, "").await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("5"))
    );
    assert_eq!(get(server.addr, "/readyz").await.status, 200);
    drop(first);
    within("a free slot", async {
        while upgrade(HERE, server.addr, "").await.status != 101 {}
    })
    .await;
}

#[tokio::test]
async fn an_address_with_too_many_connections_is_told_when_to_retry() {
    let server = Server::start(&["--connections-per-address", "1"]);
    let _first = open_from(HERE, server.addr).await;
    let refused = upgrade(HERE, server.addr, "").await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("30"))
    );
    let _from_there = open_from(THERE, server.addr).await;
    let spoofed = upgrade(HERE, server.addr, "x-forwarded-for: 192.0.2.1\r\n").await;
    assert_eq!(spoofed.status, 429, "anybody can write this header");
}

#[tokio::test]
async fn connections_through_a_trusted_proxy_count_for_the_forwarded_address() {
    let flags = ["--connections-per-address", "1", "--trusted-proxies"];
    let server = Server::start(&[&flags[..], &["127.0.0.2/32,10.0.0.0/8"]].concat());
    let through = async |from, forwarded: &str| {
        let header = format!("x-forwarded-for: {forwarded}\r\n");
        let mut stream = connect(from, server.addr).await.unwrap();
        let response = exchange(&mut stream, upgrade_head(server.addr, &header)).await;
        (response.status, stream)
    };
    let mut open = Vec::new();
    for (from, forwarded, status) in [
        (THERE, "192.0.2.1", 101),
        (THERE, "192.0.2.1", 429),
        // Anybody can write the entries further to the left.
        (THERE, "192.0.2.9, 192.0.2.1", 429),
        (THERE, "192.0.2.1, 192.0.2.2", 101),
        (THERE, "192.0.2.2, 10.1.2.3", 429),
        (THERE, "192.0.2.3, 10.1.2.3", 101),
        (HERE, "192.0.2.4", 101),
        (HERE, "192.0.2.5", 429),
    ] {
        let (actual, stream) = through(from, forwarded).await;
        assert_eq!(actual, status, "{forwarded} from {from}");
        open.push(stream);
    }
}
