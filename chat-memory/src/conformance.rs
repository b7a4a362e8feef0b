//! What every transport must pass: the promises of the protocol, seen through a client of that transport.
//!
//! A transport's tests implement [`Peer`] for a client of theirs and call [`run`]. Nothing here waits for a time, only for
//! events, so the suite runs on paused and on real clocks alike; a case that hangs fails after [`PATIENCE`].

use std::future::Future;
use std::time::Duration;

use chat_core::{Builder, Chat, Limits};
use serde_json::{Value, json};

/// A client of the transport under test. It checks nothing and answers nothing but what the transport itself asks for.
#[allow(
    async_fn_in_trait,
    reason = "implemented by tests, which need no bounds on the futures"
)]
pub trait Peer {
    /// Sends a text message. One that the server no longer hears is lost.
    async fn send_text(&mut self, text: String);

    /// Sends a binary message.
    async fn send_binary(&mut self, bytes: Vec<u8>);

    /// Takes the next message. Never called between [`stop_reading`](Self::stop_reading) and
    /// [`read_again`](Self::read_again).
    async fn recv(&mut self) -> Heard;

    /// Takes nothing any more, so that the server's side fills up. A peer that reads only in [`recv`](Self::recv) has
    /// nothing to do.
    async fn stop_reading(&mut self);

    /// Takes again.
    async fn read_again(&mut self);

    /// Ends the connection without a word.
    async fn cut(self);
}

/// What a peer hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// One event.
    Text(String),
    /// The end, with the code that the server gave, if it got through.
    Closed(Option<u16>),
}

/// The time in which every case must be through.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Runs all cases. `make` connects a new peer to a server of the given engine; it may serve each engine for as long as the
/// test lives.
///
/// # Panics
/// Where the transport fails, with the name of the case.
pub async fn run<P: Peer, F: Future<Output = P>>(make: impl Fn(&Chat) -> F) {
    case("welcome first", welcome_first(&make)).await;
    case("order", order(&make)).await;
    case("text byte for byte", bytes(&make)).await;
    case("a large page", large_page(&make)).await;
    case("interleaved rooms", interleaved(&make)).await;
    case("recovery after a cut", recovery(&make)).await;
    case("a binary message", binary(&make)).await;
    case("malformed commands", malformed(&make)).await;
    case("a slow reader", slow_reader(&make)).await;
    case("a drain", drain(&make)).await;
}

async fn case(name: &str, run: impl Future<Output = ()>) {
    let done = tokio::time::timeout(PATIENCE, run).await;
    assert!(done.is_ok(), "{name}: hangs");
}

fn engine() -> Builder {
    Chat::builder()
        .open_rooms(true)
        .limits(Limits::default().without_rates())
}

/// The first frame is `welcome`, whatever the first command.
async fn welcome_first<P: Peer, F: Future<Output = P>>(make: &impl Fn(&Chat) -> F) {
    let chat = engine().build();
    let mut polite = make(&chat).await;
    tell(
        &mut polite,
        json!({"type": "hello", "id": 1, "nickname": "Ann"}),
    )
    .await;
    let welcome = hear(&mut polite).await;
    assert_eq!(welcome["type"], "welcome");
    assert_eq!(
        (&welcome["id"], &welcome["protocol"], &welcome["nickname"]),
        (&json!(1), &json!(1), &json!("Ann"))
    );
    let mut blunt = make(&chat).await;
    tell(&mut blunt, json!({"type": "ping", "id": 9})).await;
    let welcome = hear(&mut blunt).await;
    assert_eq!(
        (&welcome["type"], &welcome["id"]),
        (&json!("welcome"), &Value::Null)
    );
    assert_eq!(hear(&mut blunt).await, json!({"type": "pong", "id": 9}));
}

/// What one says arrives in the order in which it was said, at everybody; `sent` comes before the own `message`.
async fn order<P: Peer, F: Future<Output = P>>(make: &impl Fn(&Chat) -> F) {
    let chat = engine().build();
    let mut ann = join(make(&chat).await, "hall").await;
    let mut ben = join(make(&chat).await, "hall").await;
    for n in 0..100 {
        say(&mut ann, "hall", &format!("{n}")).await;
    }
    let (mut sent, mut seen) = (0, 0);
    while seen < 100 {
        let event = hear(&mut ann).await;
        match event["type"].as_str() {
            Some("sent") => {
                sent += 1;
                assert_eq!(event["seq"], sent);
            }
            Some("message") => {
                seen += 1;
                assert_eq!(
                    (&event["seq"], &event["text"]),
                    (&json!(seen), &json!(format!("{}", seen - 1)))
                );
                assert!(sent >= seen, "the own message before `sent`");
            }
            _ => {}
        }
    }
    for n in 0..100 {
        let event = hear_kind(&mut ben, "message").await;
        assert_eq!(
            (&event["seq"], &event["text"]),
            (&json!(n + 1), &json!(format!("{n}")))
        );
    }
}

/// Nothing between the ends changes a text.
async fn bytes<P: Peer, F: Future<Output = P>>(make: &impl Fn(&Chat) -> F) {
    let chat = engine().build();
    let mut ann = join(make(&chat).await, "hall").await;
    let long = "가".repeat(4096 / 3);
    for text in [
        "tab\there, line\nthere",
        "\u{202E}turned",
        "👩‍👩‍👧 \u{FFFD} \u{10FFFD}",
        "\"quoted\" \\ / <b>&amp;",
        "x",
        &long,
    ] {
        say(&mut ann, "hall", text).await;
        assert_eq!(hear_kind(&mut ann, "message").await["text"], *text);
    }
}

/// A page of history that is larger than any buffer on the way.
async fn large_page<P: Peer, F: Future<Output = P>>(make: &impl Fn(&Chat) -> F) {
    let chat = engine().build();
    let mut ann = join(make(&chat).await, "hall").await;
    let text = "x".repeat(4096);
    for _ in 0..100 {
        say(&mut ann, "hall", &text).await;
        hear_kind(&mut ann, "message").await;
    }
    tell(
        &mut ann,
        json!({"type": "history", "id": 5, "room": "hall", "limit": 100}),
    )
    .await;
    let page = hear_kind(&mut ann, "history").await;
    let messages = page["messages"].as_array().expect("a list");
    assert_eq!((messages.len(), &page["more"]), (100, &json!(false)));
    for (n, message) in messages.iter().enumerate() {
        assert_eq!(message["seq"], n + 1);
        assert_eq!(message["text"].as_str().map(str::len), Some(4096));
    }
}

/// Two rooms over one connection: each in its own order, none mixed into the other.
async fn interleaved<P: Peer, F: Future<Output = P>>(make: &impl Fn(&Chat) -> F) {
    let chat = engine().build();
    let rooms = ["left", "right"];
    let mut ann = make(&chat).await;
    let mut ben = make(&chat).await;
    for room in rooms {
        ann = join(ann, room).await;
        ben = join(ben, room).await;
    }
    for n in 0..50 {
        for room in rooms {
            say(&mut ann, room, &format!("{room} {n}")).await;
        }
    }
    let mut seen = [0; 2];
    while seen != [50; 2] {
        let event = hear_kind(&mut ben, "message").await;
        let room = usize::from(event["room"] == "right");
        assert_eq!(event["text"], format!("{} {}", rooms[room], seen[room]));
        seen[room] += 1;
        assert_eq!(event["seq"], seen[room]);
    }
}

/// Who was cut comes back with its token and position, and hears what it missed, once each, before anything newer.
async fn recovery<P: Peer, F: Future<Output = P>>(make: &impl Fn(&Chat) -> F) {
    let chat = engine().build();
    let mut ann = join(make(&chat).await, "hall").await;
    let mut ben = make(&chat).await;
    tell(&mut ben, json!({"type": "hello"})).await;
    let token = hear(&mut ben).await["token"].clone();
    tell(&mut ben, json!({"type": "join", "room": "hall"})).await;
    let joined = hear_kind(&mut ben, "joined").await;
    say(&mut ann, "hall", "seen").await;
    let seq = hear_kind(&mut ben, "message").await["seq"].clone();
    ben.cut().await;
    for n in 0..20 {
        say(&mut ann, "hall", &format!("missed {n}")).await;
        hear_kind(&mut ann, "sent").await;
    }
    let mut ben = make(&chat).await;
    tell(&mut ben, json!({"type": "hello", "token": token})).await;
    let since = json!({"epoch": joined["epoch"], "seq": seq});
    tell(
        &mut ben,
        json!({"type": "join", "room": "hall", "since": since}),
    )
    .await;
    let again = hear_kind(&mut ben, "joined").await;
    assert_eq!(
        (&again["recovered"], &again["messages"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(again["you"]["id"], joined["you"]["id"]);
    say(&mut ann, "hall", "new").await;
    for n in 0..20 {
        assert_eq!(
            hear_kind(&mut ben, "message").await["text"],
            format!("missed {n}")
        );
    }
    assert_eq!(hear_kind(&mut ben, "message").await["text"], "new");
}

/// 1003, and nobody else is touched.
async fn binary<P: Peer, F: Future<Output = P>>(make: &impl Fn(&Chat) -> F) {
    let chat = engine().build();
    let mut other = join(make(&chat).await, "hall").await;
    let mut ann = join(make(&chat).await, "hall").await;
    ann.send_binary(b"\x00\x01".to_vec()).await;
    assert_eq!(end(&mut ann).await.1, Some(1003));
    tell(&mut other, json!({"type": "ping"})).await;
    hear_kind(&mut other, "pong").await;
}

/// Each is answered, the tenth too, then 1008; one good command in between begins a new row.
async fn malformed<P: Peer, F: Future<Output = P>>(make: &impl Fn(&Chat) -> F) {
    let chat = engine().build();
    let mut ann = make(&chat).await;
    for _ in 0..9 {
        ann.send_text("{".into()).await;
    }
    tell(&mut ann, json!({"type": "ping"})).await;
    for _ in 0..10 {
        ann.send_text("{\"type\":\"dance\"}".into()).await;
    }
    let (heard, code) = end(&mut ann).await;
    let errors = |code| heard.iter().filter(|event| event["code"] == code).count();
    assert_eq!(
        (errors("bad_json"), errors("bad_command"), code),
        (9, 10, Some(1008))
    );
}

/// Who takes nothing is told of a gap or dropped; nobody else waits for it or misses anything.
async fn slow_reader<P: Peer, F: Future<Output = P>>(make: &impl Fn(&Chat) -> F) {
    let limits = Limits::default()
        .without_rates()
        .text_bytes(32 * 1024)
        .log_events(64)
        .log_bytes(1 << 30);
    let chat = engine().limits(limits).build();
    let mut ann = join(make(&chat).await, "hall").await;
    let mut ben = join(make(&chat).await, "hall").await;
    let mut slow = join(make(&chat).await, "hall").await;
    slow.stop_reading().await;
    // More than what the buffers of a loopback connection take.
    const SAID: u64 = 640;
    let text = "x".repeat(32 * 1024);
    for n in 1..=SAID {
        say(&mut ann, "hall", &text).await;
        for fast in [&mut ann, &mut ben] {
            assert_eq!(hear_kind(fast, "message").await["seq"], n);
        }
    }
    slow.read_again().await;
    let mut position = 0;
    while position < SAID {
        match slow.recv().await {
            Heard::Closed(code) => {
                assert!(matches!(code, None | Some(4002)), "{code:?}");
                return;
            }
            Heard::Text(event) => {
                let event: Value = serde_json::from_str(&event).expect("an event is JSON");
                match event["type"].as_str() {
                    Some("message") => {
                        assert_eq!(event["seq"], position + 1, "a hole that nobody declared");
                        position += 1;
                    }
                    Some("gap") => {
                        assert_eq!(event["from"], position + 1);
                        position = event["to"].as_u64().expect("a number");
                        assert!(position < SAID, "what is retained is no gap");
                    }
                    _ => {}
                }
            }
        }
    }
}

/// `closing`, then 1001, and the engine knows when all have gone.
async fn drain<P: Peer, F: Future<Output = P>>(make: &impl Fn(&Chat) -> F) {
    let chat = engine().build();
    let mut ann = join(make(&chat).await, "hall").await;
    let mut idle = make(&chat).await;
    let ended = async {
        let (heard, code) = end(&mut ann).await;
        let last = heard.last().expect("a last word");
        assert_eq!((&last["type"], code), (&json!("closing"), Some(1001)));
        assert!(last["reconnect_after_ms"].is_u64());
        assert_eq!(end(&mut idle).await.1, Some(1001));
    };
    tokio::join!(chat.drain(), ended);
    assert_eq!(chat.stats().connections, 0);
    assert!(chat.admit(None).is_err());
}

async fn tell(peer: &mut impl Peer, command: Value) {
    peer.send_text(command.to_string()).await;
}

async fn say(peer: &mut impl Peer, room: &str, text: &str) {
    tell(peer, json!({"type": "send", "room": room, "text": text})).await;
}

async fn join<P: Peer>(mut peer: P, room: &str) -> P {
    tell(&mut peer, json!({"type": "join", "room": room})).await;
    hear_kind(&mut peer, "joined").await;
    peer
}

async fn hear(peer: &mut impl Peer) -> Value {
    match peer.recv().await {
        Heard::Text(event) => serde_json::from_str(&event).expect("an event is JSON"),
        Heard::Closed(code) => panic!("closed with {code:?}"),
    }
}

/// The next event of a type; others are skipped, refusals are not.
async fn hear_kind(peer: &mut impl Peer, kind: &str) -> Value {
    loop {
        let event = hear(peer).await;
        if event["type"] == kind {
            return event;
        }
        assert_ne!(event["type"], "error", "{event}");
    }
}

/// All that is heard until the end, and the code.
async fn end(peer: &mut impl Peer) -> (Vec<Value>, Option<u16>) {
    let mut heard = Vec::new();
    loop {
        match peer.recv().await {
            Heard::Text(event) => heard.push(serde_json::from_str(&event).expect("JSON")),
            Heard::Closed(code) => return (heard, code),
        }
    }
}
