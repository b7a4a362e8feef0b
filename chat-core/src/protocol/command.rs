//! What clients ask for: the commands of `chat.v1`, parsed strictly.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::create::Create;
use super::error::{Code, Error};
use super::fields::{Fields, MAX_INTEGER, bad_command, is_key};
use super::id::RoomId;
use super::message::Content;

/// A command with the `id` that its reply repeats.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) id: Option<u64>,
    pub(crate) command: Command<'a>,
}

/// A command that could not be parsed, with the `id` under which the error is reported.
#[derive(Debug)]
pub(crate) struct Malformed {
    pub(crate) id: Option<u64>,
    /// Whether it was a `hello`: a malformed one is refused, while any other malformed first
    /// command is preceded by an implicit `hello`.
    pub(crate) hello: bool,
    pub(crate) error: Error,
}

#[derive(Debug)]
pub(crate) enum Command<'a> {
    Hello {
        token: Option<String>,
        nickname: Option<String>,
        locale: Option<String>,
    },
    Create(Create),
    Rooms {
        cursor: Option<String>,
        limit: Option<u64>,
    },
    Join(Join),
    Leave {
        room: RoomId,
    },
    Send(SendCommand<'a>),
    History {
        room: RoomId,
        before: Option<u64>,
        limit: Option<u64>,
    },
    Members {
        room: RoomId,
        cursor: Option<String>,
        limit: Option<u64>,
    },
    Nickname {
        nickname: String,
        room: Option<RoomId>,
    },
    Typing {
        room: RoomId,
        active: bool,
    },
    Ping,
}

#[derive(Clone, Debug)]
pub(crate) struct Join {
    pub(crate) room: RoomId,
    pub(crate) password: Option<String>,
    pub(crate) nickname: Option<String>,
    pub(crate) since: Option<(String, u64)>,
    pub(crate) history: Option<u64>,
    /// False if the room must exist already.
    pub(crate) create: bool,
}

/// `send`, borrowed from the received message where that contains no escapes.
#[derive(Debug)]
pub(crate) struct SendCommand<'a> {
    /// Has the syntax of a room id.
    pub(crate) room: Cow<'a, str>,
    pub(crate) text: Cow<'a, str>,
    pub(crate) key: Option<Cow<'a, str>>,
    pub(crate) reply_to: Option<u64>,
    pub(crate) data: Option<&'a RawValue>,
}

impl SendCommand<'_> {
    pub(crate) fn content(&self) -> Content<'_> {
        Content {
            text: &self.text,
            data: self.data,
            reply_to: self.reply_to,
        }
    }
}

impl<'a> Request<'a> {
    /// Parses one message.
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        // UTF-8 is checked once for the whole message, not for each string in it.
        let text = std::str::from_utf8(text).ok();
        match text.and_then(plain_send) {
            Some(request) => Ok(request),
            None => Self::read(text),
        }
    }

    fn read(text: Option<&'a str>) -> Result<Self, Malformed> {
        let fields = text.and_then(|text| serde_json::from_str::<Fields<'_>>(text).ok());
        let Some(fields) = fields else {
            let error = Error::new(Code::BadJson, "A command must be one JSON object");
            return Err(Malformed {
                id: None,
                hello: false,
                error,
            });
        };
        let (id, id_error) = match fields.whole("id") {
            Ok(id) => (id, None),
            Err(error) => (None, Some(error)),
        };
        let kind = fields.text("type");
        let hello = kind
            .as_ref()
            .is_ok_and(|kind| kind.as_deref() == Some("hello"));
        let command = match (id_error, kind) {
            (Some(error), _) | (None, Err(error)) => Err(error),
            (None, Ok(kind)) => Command::read(kind.as_deref(), &fields),
        };
        match command {
            Ok(command) => Ok(Self { id, command }),
            Err(error) => Err(Malformed { id, hello, error }),
        }
    }
}

impl<'a> Command<'a> {
    fn read(kind: Option<&str>, fields: &Fields<'a>) -> Result<Self, Error> {
        Ok(match kind {
            Some("hello") => Self::Hello {
                token: fields.string("token")?,
                nickname: fields.string("nickname")?,
                locale: fields.string("locale")?,
            },
            Some("create") => Self::Create(Create::read(fields)?),
            Some("rooms") => Self::Rooms {
                cursor: fields.string("cursor")?,
                limit: fields.limit()?,
            },
            Some("join") => Self::Join(Join {
                password: fields.string("password")?,
                nickname: fields.string("nickname")?,
                since: fields.position("since")?,
                history: fields.whole("history")?,
                create: fields.boolean("create")?.unwrap_or(true),
                room: fields.room()?,
            }),
            Some("leave") => Self::Leave {
                room: fields.room()?,
            },
            Some("send") => Self::Send(SendCommand {
                text: fields.required("text", fields.text("text")?)?,
                key: fields.key()?,
                reply_to: fields.seq("reply_to")?,
                data: fields.get("data"),
                room: {
                    let room = fields.required("room", fields.text("room")?)?;
                    RoomId::check(&room)?;
                    room
                },
            }),
            Some("history") => Self::History {
                before: fields.seq("before")?,
                limit: fields.limit()?,
                room: fields.room()?,
            },
            Some("members") => Self::Members {
                cursor: fields.string("cursor")?,
                limit: fields.limit()?,
                room: fields.room()?,
            },
            Some("nickname") => Self::Nickname {
                nickname: fields.required("nickname", fields.string("nickname")?)?,
                room: fields
                    .string("room")?
                    .map(|room| RoomId::new(&room))
                    .transpose()?,
            },
            Some("typing") => Self::Typing {
                active: fields.required("active", fields.boolean("active")?)?,
                room: fields.room()?,
            },
            Some("ping") => Self::Ping,
            Some(_) => return Err(bad_command("This `type` is unknown")),
            None => return Err(bad_command("`type` is missing")),
        })
    }

    /// The number of units that a command takes of the quota `Limits::commands`, by the work that
    /// it makes for the server and for other members.
    pub(crate) fn cost(&self) -> u32 {
        match self {
            Self::Create(_) => 10,
            Self::Join(_) | Self::Nickname { .. } => 5,
            Self::History { .. } | Self::Members { .. } | Self::Rooms { .. } => 2,
            _ => 1,
        }
    }
}

/// Parses a `send` that has only known fields, each once, in a single pass. Most messages are like
/// that, and it costs two fifths less than [`Fields`]. `None` for anything else, valid or not.
fn plain_send(text: &str) -> Option<Request<'_>> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Plain<'a> {
        r#type: &'a str,
        id: Option<u64>,
        room: &'a str,
        #[serde(borrow)]
        text: Cow<'a, str>,
        key: Option<&'a str>,
        reply_to: Option<u64>,
        #[serde(borrow)]
        data: Option<&'a RawValue>,
    }
    // serde would take an array as well.
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let plain: Plain<'_> = serde_json::from_str(text).ok()?;
    let fits = plain.r#type == "send"
        && plain.id.is_none_or(|id| id <= MAX_INTEGER)
        && RoomId::check(plain.room).is_ok()
        && plain.key.is_none_or(is_key)
        && plain
            .reply_to
            .is_none_or(|seq| (1..=MAX_INTEGER).contains(&seq));
    fits.then(|| Request {
        id: plain.id,
        command: Command::Send(SendCommand {
            room: plain.room.into(),
            text: plain.text,
            key: plain.key.map(Cow::Borrowed),
            reply_to: plain.reply_to,
            data: plain.data,
        }),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(text: &str) -> (Option<u64>, Code) {
        let malformed = Request::parse(text.as_bytes()).unwrap_err();
        (malformed.id, malformed.error.code)
    }

    #[test]
    fn unknown_fields_of_a_command_are_ignored() {
        let text = r#"{"type":"ping","id":7,"room":{"x":[1,2]},"text":null,"😀":1e999}"#;
        let request = Request::parse(text.as_bytes()).unwrap();
        assert!(matches!(
            request,
            Request {
                id: Some(7),
                command: Command::Ping
            }
        ));
        let text = r#"{"type":"send","room":"a","text":"h\ni","data":{"n":12345678901234567890.10},"key":null}"#;
        let Command::Send(send) = Request::parse(text.as_bytes()).unwrap().command else {
            panic!()
        };
        assert_eq!(send.text, "h\ni");
        assert_eq!(send.data.unwrap().get(), r#"{"n":12345678901234567890.10}"#);
        assert_eq!(send.key, None);
    }

    /// A `send` with few fields, most of them valid.
    fn sends() -> impl Strategy<Value = String> {
        let field = prop_oneof![
            Just(r#""id":7"#),
            Just(r#""id":null"#),
            Just(r#""id":9007199254740992"#),
            Just(r#""id":1e0"#),
            Just(r#""key":"k""#),
            Just(r#""key":"\u006b""#),
            Just(r#""key":"""#),
            Just(r#""key":null"#),
            Just(r#""reply_to":3"#),
            Just(r#""reply_to":0"#),
            Just(r#""reply_to":-0"#),
            Just(r#""data":{"n":[1e999,"\ud800"]}"#),
            Just(r#""data":null"#),
            Just(r#""data": 1 "#),
            Just(r#""unknown":{"type":1}"#),
            Just(r#""room":"b""#),
            Just(r#""te\u0078t":"y""#),
            Just(r#""x""#),
            Just(r#""#),
        ];
        let kind = prop_oneof![
            9 => Just(r#""type":"send""#),
            1 => Just(r#""type":"s\u0065nd""#),
            1 => Just(r#""type":null"#)
        ];
        let room = prop_oneof![9 => Just(r#""room":"a-1""#), 1 => Just(r#""room":"a b""#)];
        let text = prop_oneof![
            9 => any::<String>().prop_map(|text| format!("\"text\":{}", serde_json::json!(text))),
            1 => Just(r#""text":"\ud800""#.to_owned()),
            1 => Just(r#""text":null"#.to_owned())
        ];
        let more = proptest::collection::vec(field, 0..3);
        let space = prop_oneof![Just(""), Just(" \r\n\t")];
        (kind, room, text, more, space)
            .prop_flat_map(|(kind, room, text, more, space)| {
                let mut fields = vec![kind.to_owned(), room.to_owned(), text];
                fields.extend(more.into_iter().map(str::to_owned));
                (Just(fields).prop_shuffle(), Just(space))
            })
            .prop_map(|(fields, space)| {
                format!(
                    "{space}{{{space}{}}}{space}",
                    fields.join(&format!("{space},{space}"))
                )
            })
    }

    proptest! {
        /// The fast path gives what the general path gives, or nothing.
        #[test]
        fn both_paths_parse_a_send_alike(text in sends()) {
            if let Some(request) = plain_send(&text) {
                prop_assert_eq!(
                    format!("{request:?}"),
                    format!("{:?}", Request::read(Some(&text)).unwrap())
                );
            }
        }
    }

    #[test]
    fn the_fast_path_takes_plain_sends_only() {
        for plain in [
            r#"{"type":"send","room":"a","text":"x"}"#,
            r#" {"id": 1, "type": "send", "room": "a", "text": "\u00e9\n", "key": "k"}"#,
            r#"{"type":"send","room":"a","text":"x","id":0,"reply_to":1,"data":{"a":[]}}"#,
        ] {
            assert!(plain_send(plain).is_some(), "{plain}");
        }
        for other in [
            r#"["send",1,"a","x",null,null,null]"#,
            r#"{"type":"sent","room":"a","text":"x"}"#,
            r#"{"type":"send","room":"a","text":"x","text":"y"}"#,
            r#"{"type":"send","room":"a","text":"x"}{}"#,
        ] {
            assert!(plain_send(other).is_none(), "{other}");
        }
    }

    #[test]
    fn every_kind_of_malformed_command_has_its_code() {
        for text in [
            "",
            " ",
            "x",
            "[]",
            r#"["send",1,"a","x",null,null,null]"#,
            "1",
            "null",
            "\"ping\"",
            "{",
            "{}x",
            "{\"type\":\"ping\"",
            "{\"a\":}",
        ] {
            assert_eq!(refusal(text), (None, Code::BadJson), "{text}");
        }
        let long = format!(
            r#"{{"type":"send","id":1,"room":"a","text":"x","key":"{}"}}"#,
            "k".repeat(65)
        );
        for text in [
            r#"{"id":1}"#,
            r#"{"id":1,"type":null}"#,
            r#"{"id":1,"type":5}"#,
            r#"{"id":1,"type":"dance"}"#,
            r#"{"id":1,"type":"join"}"#,
            r#"{"id":1,"type":"join","room":5}"#,
            r#"{"id":1,"type":"join","room":"a","since":5}"#,
            r#"{"id":1,"type":"join","room":"a","since":{"epoch":"e"}}"#,
            r#"{"id":1,"type":"join","room":"a","since":{"epoch":"e","seq":-1}}"#,
            r#"{"id":1,"type":"join","room":"a","history":1.5}"#,
            r#"{"id":1,"type":"history","room":"a","before":0}"#,
            r#"{"id":1,"type":"history","room":"a","limit":0}"#,
            r#"{"id":1,"type":"history","room":"a","before":9007199254740992}"#,
            r#"{"id":1,"type":"send","room":"a"}"#,
            r#"{"id":1,"type":"send","room":"a","text":"\ud800"}"#,
            r#"{"id":1,"type":"send","room":"a","text":"x","key":""}"#,
            r#"{"id":1,"type":"send","room":"a","text":"x","reply_to":0}"#,
            r#"{"id":1,"type":"create","ttl_ms":999}"#,
            r#"{"id":1,"type":"create","grace_ms":600001}"#,
            r#"{"id":1,"type":"create","capacity":4294967296}"#,
            r#"{"id":1,"type":"create","history_from":"never"}"#,
            r#"{"id":1,"type":"typing","room":"a","active":"yes"}"#,
            &long,
        ] {
            assert_eq!(refusal(text), (Some(1), Code::BadCommand), "{text}");
        }
        for id in ["-1", "1.5", "\"1\"", "9007199254740992", "true", "{}"] {
            let text = format!(r#"{{"id":{id},"type":"ping"}}"#);
            assert_eq!(refusal(&text), (None, Code::BadCommand), "{text}");
        }
        for room in ["", "a b", "ü", "../x", &"a".repeat(65)] {
            let text = format!(r#"{{"id":1,"type":"leave","room":"{room}"}}"#);
            assert_eq!(refusal(&text), (Some(1), Code::BadRoom), "{text}");
        }
    }

    #[test]
    fn deeply_nested_input_is_refused_without_recursion() {
        let deep = "[".repeat(60_000);
        assert_eq!(refusal(&deep).1, Code::BadJson);
        let ignored = format!(
            r#"{{"type":"ping","x":{}{}}}"#,
            "[".repeat(30_000),
            "]".repeat(30_000)
        );
        let read = Request::parse(ignored.as_bytes());
        assert!(
            matches!(
                read,
                Ok(Request {
                    command: Command::Ping,
                    ..
                })
            ) || read.is_err()
        );
    }
}
