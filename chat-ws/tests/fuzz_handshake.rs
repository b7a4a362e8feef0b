//! Requests of any kind to the endpoint, behind hyper as a server configures it: each has its
//! status, and only what RFC 6455 §4.2.1 demands has 101. See `docs/FUZZING.md`.

mod common;

use chat_core::Chat;
use chat_memory::{Chance, block_on_paused, inputs};
use common::*;
use rand::Rng;
use rand::seq::IndexedRandom;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Well-formed requests whose headers are present, missing, repeated or unusual.
#[test]
fn requests() {
    let run = |choices: &[u8]| {
        let head = request(&mut Chance::from_choices(choices));
        let expected = expected_status(&head);
        for pieces in [usize::MAX, 1] {
            let (got, welcomed) = send(head.as_bytes(), pieces);
            assert_eq!(got, Some(expected), "{head}");
            assert_eq!(welcomed, expected == 101, "{head}");
        }
    };
    bolero::check!().with_iterations(0).for_each(run);
    inputs(1500, 60).for_each(|choices| run(&choices));
}

/// A valid request of which some bytes are changed.
#[test]
fn damaged_requests() {
    let run = |edits: &[u8]| {
        let mut head = VALID_REQUEST.replace('\n', "\r\n").into_bytes();
        for edit in edits.chunks_exact(4).take(16) {
            let at = usize::from(u16::from_be_bytes([edit[1], edit[2]])) % head.len();
            match edit[0] % 4 {
                0 => head[at] = edit[3],
                1 => head.insert(at, edit[3]),
                2 => drop(head.remove(at)),
                _ => head = [&head[..at], &head[at.saturating_sub(edit[3].into())..]].concat(),
            }
        }
        let shown = String::from_utf8_lossy(&head);
        let (got, _) = send(&head, usize::MAX);
        let whole = head.windows(4).any(|end| end == b"\r\n\r\n")
            || head.windows(2).any(|end| end == b"\n\n");
        // An error may be noticed before the end of the head, but a server that receives the head
        // byte by byte waits for that end.
        let same = send(&head, 1).0 == got || (!whole && matches!(got, Some(400 | 431)));
        assert!(
            same,
            "{got:?} at once, but another status byte by byte: {shown:?}"
        );
        match got {
            Some(101) => assert!(is_opening_request(&head), "{shown:?}"),
            Some(400 | 403 | 405 | 414 | 426 | 431 | 505) => {}
            None => assert!(!whole, "{shown:?}"),
            Some(status) => panic!("{status}: {shown:?}"),
        }
    };
    bolero::check!().with_iterations(0).for_each(run);
    inputs(1500, 24).for_each(|edits| run(&edits));
}

/// The status of the response to `head`, and whether the chat answers on the connection.
fn send(head: &[u8], piece: usize) -> (Option<u16>, bool) {
    block_on_paused(async {
        let chat = Chat::builder().seed(1).build();
        let mut client = endpoint(&chat);
        for piece in head.chunks(piece) {
            // The server may reject it before all of it is sent.
            if client.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let Some((status, response)) = response_head(&mut client).await else {
            return (None, false);
        };
        if status != 101 || !head.ends_with(b"\r\n\r\n") {
            return (Some(status), false);
        }
        if let Some(key) = value(&headers(head), "sec-websocket-key") {
            let accept = derive_accept_key(key.as_bytes());
            assert!(
                response.contains(&format!("sec-websocket-accept: {accept}\r\n")),
                "{response}"
            );
        }
        client
            .write_all(&frame(TEXT, br#"{"type":"hello"}"#))
            .await
            .unwrap();
        let (first, payload) = read_frame(&mut client).await.expect("a frame");
        let welcome = String::from_utf8_lossy(&payload).contains(r#""type":"welcome""#);
        (Some(status), first == TEXT && welcome)
    })
}

/// The status that a well-formed request must have.
fn expected_status(head: &str) -> u16 {
    let headers = headers(head.as_bytes());
    let origins: Vec<&str> = headers
        .iter()
        .filter(|(name, _)| name == "origin")
        .map(|(_, value)| &**value)
        .collect();
    let foreign = match &origins[..] {
        [] => false,
        ["http://chat" | "https://chat:443"] => value(&headers, "host").as_deref() != Some("chat"),
        _ => true,
    };
    if headers.len() > MAX_HEADERS {
        431
    } else if !head.starts_with("GET ") {
        405
    } else if !head.contains(" HTTP/1.1\r\n") {
        505
    } else if !lists(&headers, "connection", "upgrade")
        || !lists(&headers, "upgrade", "websocket")
        || value(&headers, "sec-websocket-version").as_deref() != Some("13")
    {
        426
    } else if value(&headers, "host").is_none_or(|host| host.is_empty())
        || !value(&headers, "sec-websocket-key").is_some_and(|key| is_key(&key))
        || has_body(&headers)
    {
        400
    } else if foreign {
        403
    } else {
        assert!(
            is_opening_request(head.as_bytes()),
            "the two checks of this test disagree: {head}"
        );
        101
    }
}

/// Whether this is the request of RFC 6455 §4.2.1, apart from its origin.
fn is_opening_request(head: &[u8]) -> bool {
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let first = text
        .trim_start_matches(['\r', '\n'])
        .lines()
        .next()
        .unwrap_or_default();
    let words: Vec<&str> = first.split(' ').collect();
    let headers = headers(head);
    matches!(words[..], ["GET", _, "HTTP/1.1"])
        && lists(&headers, "connection", "upgrade")
        && lists(&headers, "upgrade", "websocket")
        && value(&headers, "sec-websocket-version").as_deref() == Some("13")
        && value(&headers, "host").is_some_and(|host| !host.is_empty())
        && value(&headers, "sec-websocket-key").is_some_and(|key| is_key(&key))
        && !has_body(&headers)
}

fn has_body(headers: &[(String, String)]) -> bool {
    headers.iter().any(|(name, value)| {
        name == "transfer-encoding" || (name == "content-length" && value != "0")
    })
}

/// The names, in lower case, and the values of the headers.
fn headers(head: &[u8]) -> Vec<(String, String)> {
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let headers = text.trim_start_matches(['\r', '\n']).lines().skip(1);
    headers
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| {
            let value = value.trim_matches([' ', '\t']);
            (name.to_ascii_lowercase(), value.to_owned())
        })
        .collect()
}

fn lists(headers: &[(String, String)], name: &str, token: &str) -> bool {
    headers
        .iter()
        .filter(|(known, _)| known == name)
        .any(|(_, value)| {
            let mut tokens = value
                .split(',')
                .map(|token| token.trim_matches([' ', '\t']));
            tokens.any(|known| known.eq_ignore_ascii_case(token))
        })
}

/// The value of a header that occurs exactly once.
fn value(headers: &[(String, String)], name: &str) -> Option<String> {
    let mut values = headers.iter().filter(|(known, _)| known == name);
    let (_, value) = values.next()?;
    values.next().is_none().then(|| value.clone())
}

/// Whether this is the Base64 form of sixteen bytes.
fn is_key(key: &str) -> bool {
    key.strip_suffix("==").is_some_and(|digits| {
        let digit = |c: u8| c.is_ascii_alphanumeric() || b"+/".contains(&c);
        digits.len() == 22 && digits.bytes().all(digit)
    })
}

fn request(chance: &mut Chance) -> String {
    let mut of = |values: &[&'static str]| *values.choose(chance).unwrap();
    let method = of(&[
        "GET", "GET", "GET", "GET", "GET", "GET", "get", "POST", "HEAD", "OPTIONS",
    ]);
    let target = of(&["/ws", "/ws", "/", "/ws?a=b", "http://chat/ws"]);
    let version = of(&["1", "1", "1", "1", "1", "1", "1", "0"]);
    let mut headers = Vec::new();
    for line in VALID_REQUEST
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
    {
        let (name, valid) = line.split_once(": ").unwrap();
        let unusual = *UNUSUAL.choose(chance).unwrap();
        match chance.random_range(0..32) {
            0 => {}
            1 => headers.extend([(name.to_owned(), valid), (name.to_owned(), valid)]),
            2 => headers.extend([(name.to_owned(), unusual), (name.to_owned(), valid)]),
            3 => headers.push((name.to_owned(), unusual)),
            4 => headers.push((name.to_ascii_uppercase(), valid)),
            _ => headers.push((name.to_owned(), valid)),
        }
    }
    for _ in 0..chance.random_range(0..3) {
        let name = [
            "Origin",
            "Sec-WebSocket-Protocol",
            "X",
            "Cookie",
            "Upgrade",
            "Connection",
        ];
        let value = UNUSUAL.choose(chance).unwrap();
        headers.push(((*name.choose(chance).unwrap()).to_owned(), *value));
    }
    if chance.random_bool(0.1) {
        let length = *["0", "5"].choose(chance).unwrap();
        headers.push(("Content-Length".into(), length));
    }
    if chance.random_bool(0.1) {
        let many = chance.random_range(50..70);
        headers.extend((0..many).map(|n| (format!("X-{n}"), "1")));
    }
    if chance.random_bool(0.3) {
        let at = chance.random_range(0..=headers.len());
        headers.rotate_left(at);
    }
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("{method} {target} HTTP/1.{version}\r\n{headers}\r\n")
}

const VALID_REQUEST: &str = "GET /ws HTTP/1.1
Host: chat
Upgrade: websocket
Connection: keep-alive, Upgrade
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Version: 13

";

/// Values that are valid in some header, or in none.
const UNUSUAL: &[&str] = &[
    "",
    "chat",
    "websocket",
    "WebSocket",
    "h2c,\twebsocket",
    "websocket/13",
    "upgrade",
    "close",
    "keep-alive,UPGRADE",
    ",,",
    "13",
    "12",
    "13, 13",
    "+13",
    "dGhlIHNhbXBsZSBub25jZR==",
    "dGhlIHNhbXBsZSBub25jZQ=",
    "dGhlIHNhbXBsZSBub25jZSE=",
    "dGhlIHNhbXBsZSBub25j!Q==",
    "chat.v1",
    "mqtt, chat.v1",
    "http://chat",
    "https://chat:443",
    "http://evil.example",
    "null",
];
