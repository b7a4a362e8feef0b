//! The cases. Each makes an engine and connects peers to it.

use chat_core::{Builder, Chat, Limits};
use serde_json::{Value, json};

use super::peer::{
    Observed, Peer, join, next_event, next_of_type, parse, send_command, send_message, until_closed,
};

fn engine() -> Builder {
    Chat::builder()
        .open_rooms(true)
        .limits(Limits::default().without_rates())
}

/// The first event is `welcome`, whatever the first command is.
pub(super) async fn welcome_first<P: Peer>(connect: &impl AsyncFn(&Chat) -> P) {
    let chat = engine().build();
    let mut with_hello = connect(&chat).await;
    let hello = json!({"type": "hello", "id": 1, "nickname": "Ann"});
    send_command(&mut with_hello, hello).await;
    let welcome = next_event(&mut with_hello).await;
    assert_eq!(welcome["type"], "welcome");
    assert_eq!(
        (&welcome["id"], &welcome["protocol"], &welcome["nickname"]),
        (&json!(1), &json!(1), &json!("Ann"))
    );

    let mut without_hello = connect(&chat).await;
    send_command(&mut without_hello, json!({"type": "ping", "id": 9})).await;
    let welcome = next_event(&mut without_hello).await;
    assert_eq!(
        (&welcome["type"], &welcome["id"]),
        (&json!("welcome"), &Value::Null)
    );
    let pong = next_event(&mut without_hello).await;
    assert_eq!(pong, json!({"type": "pong", "id": 9}));
}

/// Messages arrive at every member in the order in which they were sent, and `sent` comes before
/// the sender's own `message`.
pub(super) async fn order<P: Peer>(connect: &impl AsyncFn(&Chat) -> P) {
    let chat = engine().build();
    let mut ann = join(connect(&chat).await, "hall").await;
    let mut ben = join(connect(&chat).await, "hall").await;
    for n in 0..100 {
        send_message(&mut ann, "hall", &format!("{n}")).await;
    }
    let (mut sent, mut received) = (0, 0);
    while received < 100 {
        let event = next_event(&mut ann).await;
        match event["type"].as_str() {
            Some("sent") => {
                sent += 1;
                assert_eq!(event["seq"], sent);
            }
            Some("message") => {
                received += 1;
                assert_eq!(
                    (&event["seq"], &event["text"]),
                    (&json!(received), &json!(format!("{}", received - 1)))
                );
                assert!(sent >= received, "the own message came before `sent`");
            }
            _ => {}
        }
    }
    for n in 0..100 {
        let event = next_of_type(&mut ben, "message").await;
        assert_eq!(
            (&event["seq"], &event["text"]),
            (&json!(n + 1), &json!(format!("{n}")))
        );
    }
}

/// Nothing between the ends changes a text.
pub(super) async fn text_unchanged<P: Peer>(connect: &impl AsyncFn(&Chat) -> P) {
    let chat = engine().build();
    let mut ann = join(connect(&chat).await, "hall").await;
    let long = "가".repeat(4096 / 3);
    for text in [
        "tab\there, line\nthere",
        "\u{202E}turned",
        "👩‍👩‍👧 \u{FFFD} \u{10FFFD}",
        "\"quoted\" \\ / <b>&amp;",
        "x",
        &long,
    ] {
        send_message(&mut ann, "hall", text).await;
        assert_eq!(next_of_type(&mut ann, "message").await["text"], *text);
    }
}

/// A page of history that is larger than any buffer between the ends.
pub(super) async fn large_page<P: Peer>(connect: &impl AsyncFn(&Chat) -> P) {
    let chat = engine().build();
    let mut ann = join(connect(&chat).await, "hall").await;
    let text = "x".repeat(4096);
    for _ in 0..100 {
        send_message(&mut ann, "hall", &text).await;
        next_of_type(&mut ann, "message").await;
    }
    let history = json!({"type": "history", "id": 5, "room": "hall", "limit": 100});
    send_command(&mut ann, history).await;
    let page = next_of_type(&mut ann, "history").await;
    let messages = page["messages"].as_array().expect("a list");
    assert_eq!((messages.len(), &page["more"]), (100, &json!(false)));
    for (n, message) in messages.iter().enumerate() {
        assert_eq!(message["seq"], n + 1);
        assert_eq!(message["text"].as_str().map(str::len), Some(4096));
    }
}

/// Two rooms over one connection: each has its own order, and neither loses a message to the other.
pub(super) async fn interleaved_rooms<P: Peer>(connect: &impl AsyncFn(&Chat) -> P) {
    let chat = engine().build();
    let rooms = ["left", "right"];
    let mut ann = connect(&chat).await;
    let mut ben = connect(&chat).await;
    for room in rooms {
        ann = join(ann, room).await;
        ben = join(ben, room).await;
    }
    for n in 0..50 {
        for room in rooms {
            send_message(&mut ann, room, &format!("{room} {n}")).await;
        }
    }
    let mut received = [0; 2];
    while received != [50; 2] {
        let event = next_of_type(&mut ben, "message").await;
        let room = usize::from(event["room"] == "right");
        let text = format!("{} {}", rooms[room], received[room]);
        assert_eq!(event["text"], text);
        received[room] += 1;
        assert_eq!(event["seq"], received[room]);
    }
}

/// A client whose connection broke comes back with its token and position. It receives what it
/// missed, once each, before anything newer.
pub(super) async fn recovery<P: Peer>(connect: &impl AsyncFn(&Chat) -> P) {
    let chat = engine().build();
    let mut ann = join(connect(&chat).await, "hall").await;
    let mut ben = connect(&chat).await;
    send_command(&mut ben, json!({"type": "hello"})).await;
    let token = next_event(&mut ben).await["token"].clone();
    send_command(&mut ben, json!({"type": "join", "room": "hall"})).await;
    let joined = next_of_type(&mut ben, "joined").await;
    send_message(&mut ann, "hall", "seen").await;
    let seq = next_of_type(&mut ben, "message").await["seq"].clone();
    ben.abort().await;
    for n in 0..20 {
        send_message(&mut ann, "hall", &format!("missed {n}")).await;
        next_of_type(&mut ann, "sent").await;
    }

    let mut ben = connect(&chat).await;
    send_command(&mut ben, json!({"type": "hello", "token": token})).await;
    let since = json!({"epoch": joined["epoch"], "seq": seq});
    let join = json!({"type": "join", "room": "hall", "since": since});
    send_command(&mut ben, join).await;
    let rejoined = next_of_type(&mut ben, "joined").await;
    assert_eq!(
        (&rejoined["recovered"], &rejoined["messages"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(rejoined["you"]["id"], joined["you"]["id"]);
    send_message(&mut ann, "hall", "new").await;
    for n in 0..20 {
        let message = next_of_type(&mut ben, "message").await;
        assert_eq!(message["text"], format!("missed {n}"));
    }
    assert_eq!(next_of_type(&mut ben, "message").await["text"], "new");
}

/// A binary message closes its connection with 1003, and no other one.
pub(super) async fn binary_message<P: Peer>(connect: &impl AsyncFn(&Chat) -> P) {
    let chat = engine().build();
    let mut other = join(connect(&chat).await, "hall").await;
    let mut ann = join(connect(&chat).await, "hall").await;
    ann.send_binary(b"\x00\x01".to_vec()).await;
    assert_eq!(until_closed(&mut ann).await.1, Some(1003));
    send_command(&mut other, json!({"type": "ping"})).await;
    next_of_type(&mut other, "pong").await;
}

/// Each malformed command is answered, and the tenth in a row also closes with 1008. One good
/// command in between starts the count again.
pub(super) async fn malformed_commands<P: Peer>(connect: &impl AsyncFn(&Chat) -> P) {
    let chat = engine().build();
    let mut ann = connect(&chat).await;
    for _ in 0..9 {
        ann.send_text("{".into()).await;
    }
    send_command(&mut ann, json!({"type": "ping"})).await;
    for _ in 0..10 {
        ann.send_text("{\"type\":\"dance\"}".into()).await;
    }
    let (events, code) = until_closed(&mut ann).await;
    let errors = |code| events.iter().filter(|event| event["code"] == code).count();
    assert_eq!(
        (errors("bad_json"), errors("bad_command"), code),
        (9, 10, Some(1008))
    );
}

/// A client that does not read is sent a gap later, or its connection is ended; no other client
/// waits for it or misses anything.
pub(super) async fn slow_reader<P: Peer>(connect: &impl AsyncFn(&Chat) -> P) {
    /// Together with the size of the text, more than the buffers of a loopback connection hold.
    const MESSAGES: u64 = 640;
    let limits = Limits::default()
        .without_rates()
        .text_bytes(32 * 1024)
        .log_events(64)
        .log_bytes(1 << 30);
    let chat = engine().limits(limits).build();
    let mut ann = join(connect(&chat).await, "hall").await;
    let mut ben = join(connect(&chat).await, "hall").await;
    let mut slow = join(connect(&chat).await, "hall").await;
    slow.pause_reading().await;
    let text = "x".repeat(32 * 1024);
    for n in 1..=MESSAGES {
        send_message(&mut ann, "hall", &text).await;
        for fast in [&mut ann, &mut ben] {
            assert_eq!(next_of_type(fast, "message").await["seq"], n);
        }
    }

    slow.resume_reading().await;
    let mut position = 0;
    while position < MESSAGES {
        let event = match slow.recv().await {
            Observed::Text(event) => parse(&event),
            Observed::Closed(code) => {
                assert!(matches!(code, None | Some(4002)), "{code:?}");
                return;
            }
        };
        match event["type"].as_str() {
            Some("message") => {
                assert_eq!(event["seq"], position + 1, "an undeclared hole");
                position += 1;
            }
            Some("gap") => {
                assert_eq!(event["from"], position + 1);
                position = event["to"].as_u64().expect("a number");
                assert!(position < MESSAGES, "a gap over retained messages");
            }
            _ => {}
        }
    }
}

/// A drain sends `closing`, then closes with 1001, and ends when all connections have ended.
pub(super) async fn drain<P: Peer>(connect: &impl AsyncFn(&Chat) -> P) {
    let chat = engine().build();
    let mut ann = join(connect(&chat).await, "hall").await;
    let mut idle = connect(&chat).await;
    let ends = async {
        let (events, code) = until_closed(&mut ann).await;
        let last = events.last().expect("an event before the close");
        assert_eq!((&last["type"], code), (&json!("closing"), Some(1001)));
        assert!(last["reconnect_after_ms"].is_u64());
        assert_eq!(until_closed(&mut idle).await.1, Some(1001));
    };
    tokio::join!(chat.drain(), ends);
    assert_eq!(chat.stats().connections, 0);
    assert!(chat.admit(None).is_err());
}
