//! The endpoint behind hyper as a server configures it, with request heads that are too long, too
//! slow, have too many headers, or are invalid.

mod common;

use std::time::Duration;

use chat_core::Chat;
use common::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep};

const VALID_LINES: &str = "GET /ws HTTP/1.1\r\nHost: chat\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn connect() -> DuplexStream {
    endpoint(&Chat::builder().build())
}

async fn status(head: &str) -> Option<u16> {
    let mut client = connect();
    // The server may reject it before it has read everything.
    let _ = client.write_all(head.as_bytes()).await;
    response_head(&mut client).await.map(|(status, _)| status)
}

#[tokio::test(start_paused = true)]
async fn each_deviation_from_the_request_of_the_rfc_has_its_status() {
    let with = |line: &str| format!("{VALID_LINES}{line}\r\n\r\n");
    let without = |name: &str| {
        let lines: Vec<&str> = VALID_LINES
            .lines()
            .filter(|line| !line.starts_with(name))
            .collect();
        lines.join("\r\n") + "\r\n\r\n"
    };
    let replaced = |from: &str, to: &str| format!("{}\r\n", VALID_LINES.replace(from, to));
    for (head, expected) in [
        (format!("{VALID_LINES}\r\n"), 101),
        (replaced("GET", "POST"), 405),
        (replaced("GET", "HEAD"), 405),
        (replaced("GET", "get"), 405),
        (replaced("HTTP/1.1", "HTTP/1.0"), 505),
        (replaced("HTTP/1.1", "HTTP/1.9"), 400),
        (
            replaced("Connection: Upgrade", "Connection: keep-alive, uPGRADE"),
            101,
        ),
        (
            replaced(
                "Connection: Upgrade",
                "Connection: keep-alive\r\nConnection: upgrade",
            ),
            101,
        ),
        (replaced("Connection: Upgrade", "Connection: close"), 426),
        (
            replaced("Upgrade: websocket", "Upgrade: h2c, WebSocket"),
            101,
        ),
        (replaced("Upgrade: websocket", "Upgrade: h2c"), 426),
        (without("Connection"), 426),
        (without("Upgrade"), 426),
        (without("Sec-WebSocket-Version"), 426),
        (replaced("Version: 13", "Version: 12"), 426),
        (replaced("Version: 13", "Version: 99"), 426),
        (with("Sec-WebSocket-Version: 13"), 426),
        (without("Host"), 400),
        (with("Host: chat"), 400),
        (without("Sec-WebSocket-Key"), 400),
        (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400),
        (
            replaced("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"),
            400,
        ),
        (
            replaced("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSBpcw=="),
            400,
        ),
        (
            replaced("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j!Q=="),
            400,
        ),
        (with("Content-Length: 5"), 400),
        (with("Transfer-Encoding: chunked"), 400),
        (with("Origin: https://evil.example"), 403),
        (with("No colon"), 400),
        (with("Folded: a\r\n b"), 400),
        (with("Sp ace: a"), 400),
    ] {
        assert_eq!(status(&head).await, Some(expected), "{head}");
    }
}

/// CVE-2023-43669: a header that does not end.
#[test]
fn a_header_without_an_end_is_rejected_and_not_kept() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let memory = allocation_counter::measure(|| {
        let (sent, status) = runtime.block_on(async {
            let mut client = connect();
            client.write_all(VALID_LINES.as_bytes()).await.unwrap();
            client.write_all(b"Cookie: ").await.unwrap();
            let mut sent = 0;
            while sent < 1 << 22 && client.write_all(&[b'a'; 1024]).await.is_ok() {
                tokio::task::yield_now().await;
                sent += 1024;
            }
            (
                sent,
                response_head(&mut client).await.map(|(status, _)| status),
            )
        });
        assert_eq!(status, Some(431));
        assert!(sent <= 32 * 1024, "{sent} bytes were read");
    });
    assert!(memory.bytes_max < 256 * 1024, "{memory:?}");
}

/// CVE-2024-37890: more headers than the server has room for.
#[tokio::test(start_paused = true)]
async fn more_headers_than_the_limit_are_rejected() {
    let of = |headers: usize| {
        let more: String = (VALID_LINES.lines().count()..=headers)
            .map(|n| format!("X-{n}: 1\r\n"))
            .collect();
        format!("{VALID_LINES}{more}\r\n")
    };
    assert_eq!(of(MAX_HEADERS).lines().count(), 1 + MAX_HEADERS + 1);
    assert_eq!(status(&of(MAX_HEADERS)).await, Some(101));
    for headers in [MAX_HEADERS + 1, 2 * MAX_HEADERS, 1000, 100_000] {
        assert_eq!(status(&of(headers)).await, Some(431), "{headers}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_is_served_within_the_header_timeout_and_not_beyond() {
    let head = format!("{VALID_LINES}\r\n");
    for (time, expected) in [(9, Some(101)), (11, None)] {
        let mut client = connect();
        let start = Instant::now();
        for byte in head.bytes() {
            sleep(Duration::from_secs(time) / head.len() as u32).await;
            if client.write_all(&[byte]).await.is_err() {
                break;
            }
        }
        let status = response_head(&mut client).await.map(|(status, _)| status);
        assert_eq!(status, expected, "{time} s");
        assert!(start.elapsed() < HEADER_TIMEOUT + Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_whole_request_is_disconnected_after_the_header_timeout() {
    for partial in ["", "G", "GET /ws HTTP/1.1\r\nHost: chat\r\n"] {
        let mut client = connect();
        let start = Instant::now();
        client.write_all(partial.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        let waited = start.elapsed();
        assert!(waited >= HEADER_TIMEOUT, "{partial:?}: {waited:?}");
        assert!(
            waited < HEADER_TIMEOUT + Duration::from_secs(1),
            "{partial:?}: {waited:?}"
        );
    }
}
