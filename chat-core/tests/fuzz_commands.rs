//! Sends arbitrary bytes and almost valid JSON, and checks every answer against the protocol: which
//! fields a command has, their types and bounds, and which answers it may get.
//! See `docs/FUZZING.md`.

mod common;

use std::collections::BTreeMap;

use chat_core::{Code, Create};
use chat_memory::{Chance, ClientEnd, Received, block_on_paused, inputs, pair};
use common::*;
use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::Value;
use serde_json::value::RawValue;

/// One message of arbitrary bytes, sent first on a connection and again later.
#[test]
fn any_bytes() {
    let converse = |text: &[u8]| {
        converse([text, HELLO, text, PING, text].map(<[u8]>::to_vec));
    };
    bolero::check!().with_iterations(0).for_each(converse);
    inputs(2000, 40).for_each(|text| converse(&text));
}

/// A sequence of commands with valid and invalid fields.
#[test]
fn commands() {
    let play = |choices: &[u8]| {
        let mut chance = Chance::from_choices(choices);
        converse(std::iter::from_fn(|| {
            (!chance.is_exhausted()).then(|| command(&mut chance))
        }));
    };
    bolero::check!().with_iterations(0).for_each(play);
    inputs(1500, 300).for_each(|choices| play(&choices));
}

/// Sends messages one by one and checks every answer against the documentation.
fn converse(messages: impl IntoIterator<Item = Vec<u8>>) {
    block_on_paused(async {
        let chat = chat();
        room(&chat, "r", Create::default()).await;
        let (server, end) = pair(usize::MAX);
        let served = tokio::spawn(chat.admit(None).unwrap().serve(server));
        let mut line = Conversation {
            end,
            greeted: false,
            row: 0,
        };
        for message in messages.into_iter().take(64) {
            if !line.exchange(&message).await {
                break;
            }
        }
        if line.row < MAX_MALFORMED {
            // Whatever came before, a valid command is served.
            assert!(line.exchange(PING).await);
            assert_eq!(line.row, 0);
            line.end.close();
        }
        served.await.expect("the connection must not panic");
        assert_eq!(chat.stats().connections, 0);
    });
}

/// A connection and its state according to the protocol.
struct Conversation {
    end: ClientEnd,
    greeted: bool,
    /// The number of malformed commands in a row so far.
    row: usize,
}

impl Conversation {
    /// Sends one message and checks everything that comes back. Returns false once the connection
    /// is closed.
    async fn exchange(&mut self, message: &[u8]) -> bool {
        let shown: String = String::from_utf8_lossy(message).chars().take(400).collect();
        self.end.send(message.to_vec());
        let (mut replies, close) = self.replies().await;
        let rules = Rules::of(message);
        let refused_hello = rules.kind.as_deref() == Some("hello")
            && !self.greeted
            && replies.iter().all(|reply| reply["type"] != "welcome");
        if !self.greeted && !refused_hello {
            self.greeted = true;
            if rules.kind.as_deref() != Some("hello") {
                let welcome = replies.remove(0);
                assert_eq!(welcome["type"], "welcome", "{shown}");
                assert!(welcome.get("id").is_none(), "{shown}: {welcome}");
            }
        }
        let quiet = rules.kind.as_deref() == Some("typing") && rules.id.is_none();
        match &replies[..] {
            [] if quiet && rules.faults.is_empty() => self.row = 0,
            [reply] => {
                rules.check(reply, &shown);
                let code = reply["code"].as_str();
                if matches!(code, Some("bad_json" | "bad_command")) || refused_hello {
                    self.row += 1;
                } else if code.is_none() {
                    assert!(!quiet, "{shown}: {reply}");
                    self.row = 0;
                }
            }
            _ => panic!("{shown}: {} replies: {replies:?}", replies.len()),
        }
        assert_eq!(
            close,
            (self.row >= MAX_MALFORMED).then_some(1008),
            "{shown}: {} malformed commands in a row",
            self.row
        );
        close.is_none()
    }

    /// Everything that arrives until nothing more does, without the events of rooms, and the close
    /// code.
    async fn replies(&self) -> (Vec<Value>, Option<u16>) {
        pass(ms(1)).await;
        let (mut replies, mut close) = (Vec::new(), None);
        while let Some(received) = self.end.try_recv() {
            assert_eq!(close, None, "received after the close: {received:?}");
            match received {
                Received::Text(text) => replies.push(serde_json::from_slice(&text).unwrap()),
                Received::Close(code) => close = Some(code),
            }
        }
        replies.retain(|event: &Value| {
            let kind = event["type"].as_str().unwrap();
            !["message", "notice", "presence"].contains(&kind)
        });
        (replies, close)
    }
}

/// What the protocol says about one message.
struct Rules {
    /// The type, if it is that of a command.
    kind: Option<String>,
    id: Option<u64>,
    /// The codes that the message may be refused with because of its form.
    faults: Vec<&'static str>,
    fields: Fields,
}

impl Rules {
    fn of(message: &[u8]) -> Self {
        let Ok(fields) = serde_json::from_slice::<BTreeMap<String, Box<RawValue>>>(message) else {
            return Self {
                kind: None,
                id: None,
                faults: vec!["bad_json"],
                fields: Fields::default(),
            };
        };
        let fields = Fields(fields);
        let mut faults = Vec::new();
        let mut fault = |is: bool, code| {
            if is {
                faults.push(code);
            }
        };
        let (id, id_is_bad) = match fields.whole("id", 0) {
            Ok(id) => (id, false),
            Err(()) => (None, true),
        };
        fault(id_is_bad, "bad_command");
        let kind = fields.string("type").ok().flatten();
        let known = COMMANDS
            .iter()
            .find(|(kind_, ..)| Some(*kind_) == kind.as_deref());
        fault(known.is_none(), "bad_command");
        for (name, rule) in known.map(|(_, rules, ..)| *rules).unwrap_or_default() {
            let (optional, rule) = match rule.strip_suffix('?') {
                Some(rule) => (true, rule),
                None => (false, *rule),
            };
            fault(!optional && fields.get(name).is_none(), "bad_command");
            match rule {
                "string" => fault(fields.string(name).is_err(), "bad_command"),
                "boolean" => fault(
                    fields
                        .value(name)
                        .is_none_or(|value| !value.is_boolean() && !value.is_null()),
                    "bad_command",
                ),
                "whole" => fault(fields.whole(name, 0).is_err(), "bad_command"),
                "seq" => fault(fields.whole(name, 1).is_err(), "bad_command"),
                "seats" => fault(
                    !fields
                        .whole(name, 0)
                        .is_ok_and(|n| n.unwrap_or(0) <= u32::MAX.into()),
                    "bad_command",
                ),
                "ttl" => fault(
                    !fields
                        .whole(name, 0)
                        .is_ok_and(|n| !(1..1000).contains(&n.unwrap_or(0))),
                    "bad_command",
                ),
                "grace" => fault(
                    !fields
                        .whole(name, 0)
                        .is_ok_and(|n| n.unwrap_or(0) <= 600_000),
                    "bad_command",
                ),
                "from" => fault(
                    !fields.string(name).is_ok_and(|from| {
                        from.is_none_or(|from| ["all", "join"].contains(&&*from))
                    }),
                    "bad_command",
                ),
                "key" => fault(
                    !fields.string(name).is_ok_and(|key| {
                        key.is_none_or(|key| (1..=64).contains(&key.chars().count()))
                    }),
                    "bad_command",
                ),
                "room" => match fields.string(name) {
                    Ok(room) => fault(room.is_some_and(|room| !is_room(&room)), "bad_room"),
                    Err(()) => fault(true, "bad_command"),
                },
                "text" => match fields.string(name) {
                    Ok(text) => {
                        let text = text.unwrap_or("x".into());
                        let control = |c: char| c.is_control() && !"\t\n".contains(c);
                        fault(text.len() > 4096, "too_large");
                        fault(text.chars().any(control), "bad_command");
                        fault(text.trim().is_empty(), "empty_text");
                    }
                    Err(()) => fault(true, "bad_command"),
                },
                "title" => match fields.string(name) {
                    Ok(title) => {
                        let title = title.unwrap_or_default();
                        fault(title.trim().chars().count() > 60, "too_large");
                        let acts = |c: char| c.is_control() || is_invisible_control(c);
                        fault(title.trim().chars().any(acts), "bad_command");
                    }
                    Err(()) => fault(true, "bad_command"),
                },
                "password" => match fields.string(name) {
                    Ok(password) => fault(
                        password.is_some_and(|password| password.len() > 256),
                        "too_large",
                    ),
                    Err(()) => fault(true, "bad_command"),
                },
                "data" => {
                    let bytes = fields.get(name).map_or(0, |data| data.get().len());
                    let value = fields.value(name);
                    fault(value.is_none(), "bad_command");
                    let deep = value.is_none_or(|value| depth(&value) > 64);
                    fault(bytes > 4096 || deep, "too_large");
                }
                "position" => fault(!fields.is_position(name), "bad_command"),
                rule => panic!("{rule}"),
            }
        }
        Self {
            kind: known.map(|(kind, ..)| (*kind).to_owned()),
            id,
            faults,
            fields,
        }
    }

    /// Checks that the reply is a permitted answer to the message.
    fn check(&self, reply: &Value, shown: &str) {
        assert_eq!(
            reply.get("id").and_then(Value::as_u64),
            self.id,
            "{shown}: {reply}"
        );
        let code = reply["code"].as_str();
        if let Some(code) = code {
            assert!(
                Code::ALL.iter().any(|known| known.as_str() == code),
                "{reply}"
            );
        }
        let (_, _, success, refusals) = self
            .kind
            .as_deref()
            .and_then(|kind| COMMANDS.iter().find(|(known, ..)| *known == kind))
            .unwrap_or(&("", &[], "", &[]));
        match code {
            None => {
                assert!(
                    self.faults.is_empty(),
                    "{shown}: {:?}: {reply}",
                    self.faults
                );
                assert_eq!(reply["type"], *success, "{shown}");
                self.check_success(reply, shown);
            }
            // Only the server knows which cursors are valid.
            Some("bad_command") if self.fields.get("cursor").is_some() => {}
            Some(code) => assert!(
                self.faults.contains(&code) || refusals.contains(&code),
                "{shown}: {:?}: {reply}",
                self.faults
            ),
        }
        if code == Some("room_not_found") {
            // Only a join that must not make its room may fail to find it.
            let must_exist = self.fields.value("create") == Some(Value::Bool(false));
            assert!(
                must_exist || self.fields.get("password").is_some(),
                "{shown}"
            );
        }
        // An invalid form is invalid in every state of the room, although another refusal may come
        // first.
        let form = ["bad_json", "bad_command", "bad_room"];
        if self
            .faults
            .first()
            .is_some_and(|fault| *fault == "bad_json")
        {
            assert_eq!(code, Some("bad_json"), "{shown}");
        }
        if self.kind.is_none() {
            assert!(
                code.is_some_and(|code| form.contains(&code)),
                "{shown}: {reply}"
            );
        }
    }

    fn check_success(&self, reply: &Value, shown: &str) {
        let limit = |name| self.fields.whole(name, 0).unwrap().unwrap_or(50).min(100) as usize;
        let list = |name: &str| reply[name].as_array().map(Vec::len).unwrap();
        match reply["type"].as_str().unwrap() {
            "sent" => {
                let key = self.fields.string("key").unwrap();
                assert_eq!(
                    reply.get("key").and_then(Value::as_str),
                    key.as_deref(),
                    "{shown}"
                );
            }
            "history" => assert!(list("messages") <= limit("limit"), "{shown}"),
            "members" => assert!(list("members") <= limit("limit"), "{shown}"),
            "rooms" => assert!(list("rooms") <= limit("limit"), "{shown}"),
            "joined" => {
                let history = self.fields.whole("history", 0).unwrap().unwrap_or(50);
                assert!(list("messages") as u64 <= history.min(100), "{shown}");
            }
            "created" => {
                let room = &reply["room"];
                assert!(is_room(room["id"].as_str().unwrap()), "{shown}: {reply}");
                let seats = self.fields.whole("capacity", 0).unwrap().unwrap_or(0);
                assert_eq!(room["capacity"], seats, "{shown}");
            }
            _ => {}
        }
    }
}

/// The fields of a message. If a name occurs more than once, the last one counts; null is the same
/// as absent.
#[derive(Default)]
struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    fn get(&self, name: &str) -> Option<&RawValue> {
        let raw = self.0.get(name)?;
        (raw.get() != "null").then_some(raw)
    }

    /// None for JSON that has no value, such as half of a surrogate pair.
    fn value(&self, name: &str) -> Option<Value> {
        match self.get(name) {
            Some(raw) => serde_json::from_str(raw.get()).ok(),
            None => Some(Value::Null),
        }
    }

    fn string(&self, name: &str) -> Result<Option<String>, ()> {
        match self.value(name) {
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            _ => Err(()),
        }
    }

    fn whole(&self, name: &str, min: u64) -> Result<Option<u64>, ()> {
        match self.value(name).ok_or(())? {
            Value::Null => Ok(None),
            value => match value.as_u64() {
                Some(n) if (min..1 << 53).contains(&n) => Ok(Some(n)),
                _ => Err(()),
            },
        }
    }

    fn is_position(&self, name: &str) -> bool {
        let Some(raw) = self.get(name) else {
            return true;
        };
        serde_json::from_str(raw.get()).is_ok_and(|fields| {
            let fields = Self(fields);
            matches!(fields.string("epoch"), Ok(Some(_)))
                && matches!(fields.whole("seq", 0), Ok(Some(_)))
        })
    }
}

fn is_room(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c))
}

/// Whether the character controls the text direction or has no width.
fn is_invisible_control(c: char) -> bool {
    matches!(c, '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}')
        || matches!(c, '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

fn depth(json: &Value) -> usize {
    match json {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(items) => 1 + items.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// A command: its type, its fields, its answer, and the codes of refusals that do not depend on its
/// form.
type Spec = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static [&'static str],
);

/// The commands of `docs/PROTOCOL.md`.
const COMMANDS: &[Spec] = &[
    (
        "hello",
        &[
            ("token", "string?"),
            ("nickname", "string?"),
            ("locale", "string?"),
        ],
        "welcome",
        &["already_identified", "bad_token", "bad_nickname"],
    ),
    (
        "create",
        &[
            ("room", "room?"),
            ("title", "title?"),
            ("capacity", "seats?"),
            ("password", "password?"),
            ("ttl_ms", "ttl?"),
            ("listed", "boolean?"),
            ("grace_ms", "grace?"),
            ("history_from", "from?"),
        ],
        "created",
        &["room_exists", "room_expired"],
    ),
    (
        "rooms",
        &[("cursor", "string?"), ("limit", "seq?")],
        "rooms",
        &[],
    ),
    (
        "join",
        &[
            ("room", "room"),
            ("password", "string?"),
            ("nickname", "string?"),
            ("since", "position?"),
            ("history", "whole?"),
            ("create", "boolean?"),
        ],
        "joined",
        &[
            "room_not_found",
            "already_joined",
            "too_many_rooms",
            "bad_nickname",
            "nickname_taken",
            "password_required",
            "wrong_password",
            "room_expired",
        ],
    ),
    ("leave", &[("room", "room")], "left", &["not_joined"]),
    (
        "send",
        &[
            ("room", "room"),
            ("text", "text"),
            ("key", "key?"),
            ("reply_to", "seq?"),
            ("data", "data?"),
        ],
        "sent",
        // `empty_text` is for a text of invisible characters only.
        &["not_joined", "empty_text"],
    ),
    (
        "history",
        &[("room", "room"), ("before", "seq?"), ("limit", "seq?")],
        "history",
        &["not_joined"],
    ),
    (
        "members",
        &[("room", "room"), ("cursor", "string?"), ("limit", "seq?")],
        "members",
        &["not_joined"],
    ),
    (
        "nickname",
        &[("nickname", "string"), ("room", "room?")],
        "renamed",
        &["not_joined", "bad_nickname", "nickname_taken"],
    ),
    (
        "typing",
        &[("room", "room"), ("active", "boolean")],
        "ok",
        &["not_joined"],
    ),
    ("ping", &[], "pong", &[]),
];

/// A command as JSON, mostly valid or almost valid.
fn command(chance: &mut Chance) -> Vec<u8> {
    let (kind, rules, ..) = COMMANDS.choose(chance).unwrap();
    let mut fields = vec![("type", format!("\"{kind}\""))];
    if chance.random_bool(0.1) {
        fields[0].1 = odd_value(chance);
    }
    if chance.random_bool(0.7) {
        let id = [
            "0",
            "1",
            "7",
            "9007199254740991",
            "9007199254740992",
            "-1",
            "null",
        ];
        fields.push(("id", (*id.choose(chance).unwrap()).to_owned()));
    }
    for (name, rule) in *rules {
        let (optional, rule) = match rule.strip_suffix('?') {
            Some(rule) => (true, rule),
            None => (false, *rule),
        };
        match chance.random_range(0..16) {
            0..6 if optional => continue,
            0 => continue,
            1 => fields.push((name, odd_value(chance))),
            _ => {}
        }
        fields.push((name, value_near_bounds(rule, chance)));
    }
    if chance.random_bool(0.1) {
        fields.push(("unknown", odd_value(chance)));
    }
    if chance.random_bool(0.2) {
        let n = chance.random_range(0..fields.len());
        fields.rotate_left(n);
    }
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    let mut text = format!("{{{}}}", fields.join(",")).into_bytes();
    if chance.random_bool(0.06) {
        let at = chance.random_range(0..text.len());
        match chance.random_range(0..3) {
            0 => text.truncate(at),
            1 => text[at] = chance.random(),
            _ => text.insert(at, chance.random()),
        }
    }
    text
}

/// A value at or near the bounds of a field.
fn value_near_bounds(rule: &str, chance: &mut Chance) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let mut of = |values: &[&str]| (*values.choose(chance).unwrap()).to_owned();
    match rule {
        "room" => match of(&["r", "r", "r", "s", "64", "65", "", "a b", "ü"]).as_str() {
            "64" => quoted(&"x".repeat(64)),
            "65" => quoted(&"x".repeat(65)),
            id => quoted(id),
        },
        "text" => match of(&[
            "hi", "hi", "4096", "4097", "", " ", "\t\n", "\u{7}", "\u{200B}",
        ])
        .as_str()
        {
            "4096" => quoted(&"가".repeat(1365).replacen('가', "가a", 1)),
            "4097" => quoted(&"x".repeat(4097)),
            text => quoted(text),
        },
        "title" => match of(&["Tea", "60", "61", "\t", "a\tb", " a ", "\u{202E}x"]).as_str() {
            "60" => quoted(&"가".repeat(60)),
            "61" => quoted(&"가".repeat(61)),
            title => quoted(title),
        },
        "key" => match of(&["k", "k", "l", "", "64", "65"]).as_str() {
            "64" => quoted(&"😀".repeat(64)),
            "65" => quoted(&"😀".repeat(65)),
            key => quoted(key),
        },
        "data" => {
            match of(&["{\"a\":[1]}", "1e999", "4096", "4097", "64", "65", "\"\""]).as_str() {
                "4096" => quoted(&"x".repeat(4094)),
                "4097" => quoted(&"x".repeat(4095)),
                "64" => "[".repeat(64) + &"]".repeat(64),
                "65" => "[".repeat(65) + &"]".repeat(65),
                data => data.to_owned(),
            }
        }
        // Hashing a password takes longer than everything else, so none is sent here.
        "password" => match of(&["", "", "", "257"]).as_str() {
            "257" => quoted(&"x".repeat(257)),
            password => quoted(password),
        },
        "string" => quoted(&of(&[
            "Ann", "Ben", "", "1", "ko", "РayPal", "\u{200B}", "v1.x.y",
        ])),
        "boolean" => of(&["true", "false"]),
        "position" => of(&[
            r#"{"epoch":"e","seq":1}"#,
            r#"{"epoch":"e"}"#,
            r#"{"epoch":"","seq":0,"x":[]}"#,
            r#"{"epoch":"e","seq":9007199254740992}"#,
        ]),
        "from" => quoted(&of(&["all", "join", "never"])),
        _ => of(&[
            "0",
            "1",
            "2",
            "100",
            "101",
            "999",
            "1000",
            "600000",
            "600001",
            "4294967295",
            "4294967296",
            "9007199254740991",
            "9007199254740992",
        ]),
    }
}

/// JSON of a type that fits hardly any field.
fn odd_value(chance: &mut Chance) -> String {
    let odd = [
        "null",
        "true",
        "0",
        "-0",
        "-1",
        "1.0",
        "1e3",
        "1e999",
        "18446744073709551616",
        "\"\"",
        "\"ping\"",
        "\"\\ud800\"",
        "\"\\u0000\"",
        "[]",
        "[[]]",
        "{}",
        "{\"type\":{}}",
    ];
    (*odd.choose(chance).unwrap()).to_owned()
}

/// The number of malformed commands in a row that closes a connection.
const MAX_MALFORMED: usize = 10;
const HELLO: &[u8] = br#"{"type":"hello"}"#;
const PING: &[u8] = br#"{"type":"ping","id":1}"#;
