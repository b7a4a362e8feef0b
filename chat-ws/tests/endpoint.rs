//! The endpoint behind hyper as a server sets it up: heads that are too long, too many, too slow, or other than they should be.

mod common;

use std::time::Duration;

use chat_core::Chat;
use common::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep};

const HONEST: &str = "GET /ws HTTP/1.1\r\nHost: chat\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn connect() -> DuplexStream {
    endpoint(&Chat::builder().build())
}

async fn status(head: &str) -> Option<u16> {
    let mut client = connect();
    // The server may refuse it before it took everything.
    let _ = client.write_all(head.as_bytes()).await;
    answer(&mut client).await.map(|(status, _)| status)
}

#[tokio::test(start_paused = true)]
async fn requests_other_than_that_of_the_rfc_have_their_status() {
    let with = |line: &str| format!("{HONEST}{line}\r\n\r\n");
    let without = |name: &str| {
        let lines: Vec<&str> = HONEST
            .lines()
            .filter(|line| !line.starts_with(name))
            .collect();
        lines.join("\r\n") + "\r\n\r\n"
    };
    let but = |from: &str, to: &str| format!("{}\r\n", HONEST.replace(from, to));
    for (head, expected) in [
        (format!("{HONEST}\r\n"), 101),
        (but("GET", "POST"), 405),
        (but("GET", "HEAD"), 405),
        (but("GET", "get"), 405),
        (but("HTTP/1.1", "HTTP/1.0"), 505),
        (but("HTTP/1.1", "HTTP/1.9"), 400),
        (
            but("Connection: Upgrade", "Connection: keep-alive, uPGRADE"),
            101,
        ),
        (
            but(
                "Connection: Upgrade",
                "Connection: keep-alive\r\nConnection: upgrade",
            ),
            101,
        ),
        (but("Connection: Upgrade", "Connection: close"), 426),
        (but("Upgrade: websocket", "Upgrade: h2c, WebSocket"), 101),
        (but("Upgrade: websocket", "Upgrade: h2c"), 426),
        (without("Connection"), 426),
        (without("Upgrade"), 426),
        (without("Sec-WebSocket-Version"), 426),
        (but("Version: 13", "Version: 12"), 426),
        (but("Version: 13", "Version: 99"), 426),
        (with("Sec-WebSocket-Version: 13"), 426),
        (without("Host"), 400),
        (with("Host: chat"), 400),
        (without("Sec-WebSocket-Key"), 400),
        (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400),
        (but("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"), 400),
        (
            but("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSBpcw=="),
            400,
        ),
        (
            but("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j!Q=="),
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

/// CVE-2023-43669: a header that goes on and on.
#[test]
fn a_header_without_an_end_is_refused_and_not_kept() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let memory = allocation_counter::measure(|| {
        let (sent, status) = runtime.block_on(async {
            let mut client = connect();
            client.write_all(HONEST.as_bytes()).await.unwrap();
            client.write_all(b"Cookie: ").await.unwrap();
            let mut sent = 0;
            while sent < 1 << 22 && client.write_all(&[b'a'; 1024]).await.is_ok() {
                tokio::task::yield_now().await;
                sent += 1024;
            }
            (sent, answer(&mut client).await.map(|(status, _)| status))
        });
        assert_eq!(status, Some(431));
        assert!(sent <= 32 * 1024, "{sent} bytes were taken");
    });
    assert!(memory.bytes_max < 256 * 1024, "{memory:?}");
}

/// CVE-2024-37890: more headers than the server has room for.
#[tokio::test(start_paused = true)]
async fn more_headers_than_the_limit_are_refused() {
    let of = |headers: usize| {
        let more: String = (HONEST.lines().count()..=headers)
            .map(|n| format!("X-{n}: 1\r\n"))
            .collect();
        format!("{HONEST}{more}\r\n")
    };
    assert_eq!(of(MAX_HEADERS).lines().count(), 1 + MAX_HEADERS + 1);
    assert_eq!(status(&of(MAX_HEADERS)).await, Some(101));
    for headers in [MAX_HEADERS + 1, 2 * MAX_HEADERS, 1000, 100_000] {
        assert_eq!(status(&of(headers)).await, Some(431), "{headers}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_is_served_within_the_time_and_not_beyond_it() {
    let head = format!("{HONEST}\r\n");
    for (time, expected) in [(9, Some(101)), (11, None)] {
        let mut client = connect();
        let began = Instant::now();
        for byte in head.bytes() {
            sleep(Duration::from_secs(time) / head.len() as u32).await;
            if client.write_all(&[byte]).await.is_err() {
                break;
            }
        }
        let status = answer(&mut client).await.map(|(status, _)| status);
        assert_eq!(status, expected, "{time} s");
        assert!(began.elapsed() < HEADER_TIMEOUT + Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_half_is_gone_after_the_header_timeout() {
    for half in ["", "G", "GET /ws HTTP/1.1\r\nHost: chat\r\n"] {
        let mut client = connect();
        let began = Instant::now();
        client.write_all(half.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        let waited = began.elapsed();
        assert!(waited >= HEADER_TIMEOUT, "{half:?}: {waited:?}");
        assert!(
            waited < HEADER_TIMEOUT + Duration::from_secs(1),
            "{half:?}: {waited:?}"
        );
    }
}
