//! Requests of any kind to the endpoint, behind hyper as a server sets it up: each has its status, and 101 only what
//! RFC 6455 §4.2.1 asks for. See `docs/FUZZING.md`.

mod common;

use chat_core::Chat;
use chat_memory::{Chance, inputs};
use common::*;
use rand::Rng;
use rand::seq::IndexedRandom;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Well-formed requests, whose headers are there, absent, doubled and odd.
#[test]
fn requests() {
    let play = |choices: &[u8]| {
        let head = request(&mut Chance::of_choices(choices));
        let expected = status(&head);
        for pieces in [usize::MAX, 1] {
            let (got, welcomed) = send(head.as_bytes(), pieces);
            assert_eq!(got, Some(expected), "{head}");
            assert_eq!(welcomed, expected == 101, "{head}");
        }
    };
    bolero::check!().with_iterations(0).for_each(play);
    inputs(1500, 60).for_each(|choices| play(&choices));
}

/// A request that is right but for some of its bytes.
#[test]
fn damaged_requests() {
    let play = |edits: &[u8]| {
        let mut head = HONEST.replace('\n', "\r\n").into_bytes();
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
        // What is wrong may be seen before the end that the server waits for when it gets byte by byte.
        let same = send(&head, 1).0 == got || (!whole && matches!(got, Some(400 | 431)));
        assert!(
            same,
            "in one piece {got:?}, and byte by byte not: {shown:?}"
        );
        match got {
            Some(101) => assert!(opens(&head), "{shown:?}"),
            Some(400 | 403 | 405 | 414 | 426 | 431 | 505) => {}
            None => assert!(!whole, "{shown:?}"),
            Some(status) => panic!("{status}: {shown:?}"),
        }
    };
    bolero::check!().with_iterations(0).for_each(play);
    inputs(1500, 24).for_each(|edits| play(&edits));
}

/// The status of the answer to `head`, and whether the chat speaks behind it.
fn send(head: &[u8], piece: usize) -> (Option<u16>, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let chat = Chat::builder().seed(1).build();
        let mut client = endpoint(&chat);
        for piece in head.chunks(piece) {
            // It may have been refused before all of it was sent.
            if client.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let Some((status, answer)) = answer(&mut client).await else {
            return (None, false);
        };
        if status != 101 || !head.ends_with(b"\r\n\r\n") {
            return (Some(status), false);
        }
        if let Some(key) = value(&lines(head), "sec-websocket-key") {
            let accept = derive_accept_key(key.as_bytes());
            assert!(
                answer.contains(&format!("sec-websocket-accept: {accept}\r\n")),
                "{answer}"
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

/// What a well-formed request is answered.
fn status(head: &str) -> u16 {
    let lines = lines(head.as_bytes());
    let origins: Vec<&str> = lines
        .iter()
        .filter(|(name, _)| name == "origin")
        .map(|(_, value)| &**value)
        .collect();
    let foreign = match &origins[..] {
        [] => false,
        ["http://chat" | "https://chat:443"] => value(&lines, "host").as_deref() != Some("chat"),
        _ => true,
    };
    if lines.len() > MAX_HEADERS {
        431
    } else if !head.starts_with("GET ") {
        405
    } else if !head.contains(" HTTP/1.1\r\n") {
        505
    } else if !lists(&lines, "connection", "upgrade")
        || !lists(&lines, "upgrade", "websocket")
        || value(&lines, "sec-websocket-version").as_deref() != Some("13")
    {
        426
    } else if value(&lines, "host").is_none_or(|host| host.is_empty())
        || !value(&lines, "sec-websocket-key").is_some_and(|key| is_key(&key))
        || has_body(&lines)
    {
        400
    } else if foreign {
        403
    } else {
        assert!(
            opens(head.as_bytes()),
            "two readings of one request: {head}"
        );
        101
    }
}

/// Whether this is, origins aside, the request of RFC 6455 §4.2.1.
fn opens(head: &[u8]) -> bool {
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let first = text
        .trim_start_matches(['\r', '\n'])
        .lines()
        .next()
        .unwrap_or_default();
    let words: Vec<&str> = first.split(' ').collect();
    let lines = lines(head);
    matches!(words[..], ["GET", _, "HTTP/1.1"])
        && lists(&lines, "connection", "upgrade")
        && lists(&lines, "upgrade", "websocket")
        && value(&lines, "sec-websocket-version").as_deref() == Some("13")
        && value(&lines, "host").is_some_and(|host| !host.is_empty())
        && value(&lines, "sec-websocket-key").is_some_and(|key| is_key(&key))
        && !has_body(&lines)
}

fn has_body(lines: &[(String, String)]) -> bool {
    lines.iter().any(|(name, value)| {
        name == "transfer-encoding" || (name == "content-length" && value != "0")
    })
}

/// Names, in lower case, and values of the headers.
fn lines(head: &[u8]) -> Vec<(String, String)> {
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let lines = text.trim_start_matches(['\r', '\n']).lines().skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| {
            let value = value.trim_matches([' ', '\t']);
            (name.to_ascii_lowercase(), value.to_owned())
        })
        .collect()
}

fn lists(lines: &[(String, String)], name: &str, token: &str) -> bool {
    lines
        .iter()
        .filter(|(known, _)| known == name)
        .any(|(_, value)| {
            let mut tokens = value
                .split(',')
                .map(|token| token.trim_matches([' ', '\t']));
            tokens.any(|known| known.eq_ignore_ascii_case(token))
        })
}

/// The value of a header that is there once.
fn value(lines: &[(String, String)], name: &str) -> Option<String> {
    let mut values = lines.iter().filter(|(known, _)| known == name);
    let (_, value) = values.next()?;
    values.next().is_none().then(|| value.clone())
}

/// Sixteen bytes in Base64.
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
    for line in HONEST.lines().skip(1).take_while(|line| !line.is_empty()) {
        let (name, honest) = line.split_once(": ").unwrap();
        let odd = *ODD.choose(chance).unwrap();
        match chance.random_range(0..32) {
            0 => {}
            1 => headers.extend([(name.to_owned(), honest), (name.to_owned(), honest)]),
            2 => headers.extend([(name.to_owned(), odd), (name.to_owned(), honest)]),
            3 => headers.push((name.to_owned(), odd)),
            4 => headers.push((name.to_ascii_uppercase(), honest)),
            _ => headers.push((name.to_owned(), honest)),
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
        let value = ODD.choose(chance).unwrap();
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

const HONEST: &str = "GET /ws HTTP/1.1
Host: chat
Upgrade: websocket
Connection: keep-alive, Upgrade
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Version: 13

";

/// Values that fit one header or another, or none.
const ODD: &[&str] = &[
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
