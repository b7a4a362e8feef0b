//! HTTP/1.1 written by hand, for requests that no client library would send.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    /// The value of a header; the case of its name does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A connection from the given address of this machine.
pub async fn connect(from: impl Into<IpAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.into(), 0))?;
    socket.connect(to).await
}

pub async fn get(addr: SocketAddr, path: &str) -> Response {
    let head = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    request(Ipv4Addr::LOCALHOST, addr, head).await
}

/// Requests a WebSocket upgrade with further header lines, and closes the connection after the
/// response.
pub async fn upgrade(from: impl Into<IpAddr>, addr: SocketAddr, headers: &str) -> Response {
    request(from, addr, upgrade_head(addr, headers)).await
}

pub fn upgrade_head(addr: SocketAddr, headers: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nhost: {addr}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// Sends bytes over a new connection and reads one response.
pub async fn request(
    from: impl Into<IpAddr>,
    addr: SocketAddr,
    bytes: impl AsRef<[u8]>,
) -> Response {
    let stream = connect(from, addr).await;
    exchange(&mut stream.expect("the server accepts connections"), bytes).await
}

/// Sends bytes and reads one response.
pub async fn exchange(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) -> Response {
    stream
        .write_all(bytes.as_ref())
        .await
        .expect("the request can be written");
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        let read = stream
            .read_buf(&mut bytes)
            .await
            .expect("a response arrives");
        assert_ne!(
            read,
            0,
            "the connection ended early: {}",
            String::from_utf8_lossy(&bytes)
        );
    };
    let head = String::from_utf8(bytes[..end].to_vec()).expect("the head is text");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let mut response = Response {
        status: status.expect("there is a status"),
        head,
        body: String::new(),
    };
    let length = response.header("content-length").map_or(0, |length| {
        length.parse::<usize>().expect("the length is a number")
    });
    while bytes.len() < end + length {
        let read = stream.read_buf(&mut bytes).await.expect("a body arrives");
        assert_ne!(read, 0, "the connection ended early: {response:?}");
    }
    response.body = String::from_utf8_lossy(&bytes[end..]).into_owned();
    response
}
