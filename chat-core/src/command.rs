//! What clients ask: the commands of `chat.v1`, read strictly.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Code, Error};
use crate::id::RoomId;
use crate::message::Content;

/// A command with the number that its reply repeats.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) id: Option<u64>,
    pub(crate) command: Command<'a>,
}

/// A command that could not be read: what was asked under which number, and why not.
#[derive(Debug)]
pub(crate) struct Malformed {
    pub(crate) id: Option<u64>,
    /// Whether it was a `hello`, which is refused rather than preceded by an empty one.
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
    Send(Send<'a>),
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

/// The fields of `create`; each may be left out.
#[derive(Clone, Debug, Default)]
pub struct Create {
    /// The id; the server makes one that cannot be guessed where it is absent.
    pub room: Option<RoomId>,
    /// Shown above the room; trimmed.
    pub title: Option<String>,
    /// Seats; 0 or absent is no limit.
    pub capacity: Option<u32>,
    /// What a join must know. An empty one is none.
    pub password: Option<String>,
    /// How long the room lives: zero is for ever, at least one second otherwise; absent is the server's default.
    pub ttl: Option<Duration>,
    /// Whether the list of rooms shows it.
    pub listed: bool,
    /// How long a lost connection's seat is held; at most 10 minutes.
    pub grace: Option<Duration>,
    /// What a member may read of the time before it came.
    pub history_from: HistoryFrom,
}

/// What a member may read of the time before it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistoryFrom {
    /// All that is retained.
    #[default]
    All,
    /// Nothing before its own first admission.
    Join,
}

#[derive(Clone, Debug)]
pub(crate) struct Join {
    pub(crate) room: RoomId,
    pub(crate) password: Option<String>,
    pub(crate) nickname: Option<String>,
    pub(crate) since: Option<(String, u64)>,
    pub(crate) history: Option<u64>,
}

/// `send`, borrowed from the message where it holds no escapes.
#[derive(Debug)]
pub(crate) struct Send<'a> {
    /// A room id by its syntax.
    pub(crate) room: Cow<'a, str>,
    pub(crate) text: Cow<'a, str>,
    pub(crate) key: Option<Cow<'a, str>>,
    pub(crate) reply_to: Option<u64>,
    pub(crate) data: Option<&'a RawValue>,
}

impl Send<'_> {
    pub(crate) fn content(&self) -> Content<'_> {
        Content {
            text: &self.text,
            data: self.data,
            reply_to: self.reply_to,
        }
    }
}

impl<'a> Request<'a> {
    /// Reads one message.
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        // UTF-8 is checked once for the whole, and not for each string in it.
        let text = std::str::from_utf8(text).ok();
        match text.and_then(plain_send) {
            Some(request) => Ok(request),
            None => Self::read(text),
        }
    }

    fn read(text: Option<&'a str>) -> Result<Self, Malformed> {
        let fields = text.and_then(|text| serde_json::from_str::<Fields<'_>>(text).ok());
        let Some(fields) = fields else {
            let error = Error::new(Code::BadJson, "A command is one JSON object");
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
                room: fields.room()?,
            }),
            Some("leave") => Self::Leave {
                room: fields.room()?,
            },
            Some("send") => Self::Send(Send {
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
            Some(_) => return Err(bad("This `type` is unknown")),
            None => return Err(bad("`type` is missing")),
        })
    }

    /// What a command costs of [`Limits::commands`](crate::Limits::commands): by the work it makes for the server and for
    /// others.
    pub(crate) fn cost(&self) -> u32 {
        match self {
            Self::Create(_) => 10,
            Self::Join(_) | Self::Nickname { .. } => 5,
            Self::History { .. } | Self::Members { .. } | Self::Rooms { .. } => 2,
            _ => 1,
        }
    }
}

impl Create {
    /// Reads the fields of `create` from a JSON object.
    ///
    /// # Errors
    /// `bad_json`, `bad_command`, `bad_room`.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        match serde_json::from_slice::<Fields<'_>>(json) {
            Ok(fields) => Self::read(&fields),
            Err(_) => Err(Error::new(Code::BadJson, "The body is one JSON object")),
        }
    }

    fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        let capacity = fields.whole("capacity")?.map(u32::try_from).transpose();
        let ttl = fields.whole("ttl_ms")?.map(Duration::from_millis);
        if ttl.is_some_and(|ttl| !ttl.is_zero() && ttl < Duration::from_secs(1)) {
            return Err(bad("`ttl_ms` is 0 or at least 1000"));
        }
        let grace = fields.whole("grace_ms")?.map(Duration::from_millis);
        if grace.is_some_and(|grace| grace > LONGEST_GRACE) {
            return Err(bad("`grace_ms` is at most 600000"));
        }
        Ok(Self {
            title: fields.string("title")?,
            capacity: capacity.map_err(|_| bad("`capacity` is at most 4294967295"))?,
            password: fields
                .string("password")?
                .filter(|password| !password.is_empty()),
            ttl,
            listed: fields.boolean("listed")?.unwrap_or_default(),
            grace,
            history_from: match fields.string("history_from")?.as_deref() {
                None | Some("all") => HistoryFrom::All,
                Some("join") => HistoryFrom::Join,
                Some(_) => return Err(bad("`history_from` is `all` or `join`")),
            },
            room: fields
                .string("room")?
                .map(|room| RoomId::new(&room))
                .transpose()?,
        })
    }
}

/// Reads a `send` of known fields, each once, in one pass: most messages, for two fifths less than [`Fields`]. None for
/// anything else, right or wrong.
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
        && plain.id.is_none_or(|id| id <= LARGEST_WHOLE)
        && RoomId::check(plain.room).is_ok()
        && plain.key.is_none_or(is_key)
        && plain
            .reply_to
            .is_none_or(|seq| (1..=LARGEST_WHOLE).contains(&seq));
    fits.then(|| Request {
        id: plain.id,
        command: Command::Send(Send {
            room: plain.room.into(),
            text: plain.text,
            key: plain.key.map(Cow::Borrowed),
            reply_to: plain.reply_to,
            data: plain.data,
        }),
    })
}

fn is_key(key: &str) -> bool {
    (1..=LONGEST_KEY).contains(&key.chars().count())
}

/// The fields of an object, not yet looked into, so that those a command does not know stay unread. Of several with one
/// name the last counts, as in browsers.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// The field's JSON, unless it is absent or null.
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        let value = self.0.iter().rev().find(|(key, _)| key == name)?.1;
        (value.get() != "null").then_some(value)
    }

    fn typed<T: Deserialize<'a>>(&self, name: &str, what: &str) -> Result<Option<T>, Error> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        serde_json::from_str(value.get())
            .map(Some)
            .map_err(|_| bad(format!("`{name}` is {what}")))
    }

    fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Error> {
        // What holds no escape was read already: it is what stands between the quotes.
        let raw = self.get(name).map(RawValue::get);
        let inner = raw.and_then(|raw| raw.strip_prefix('"')?.strip_suffix('"'));
        if let Some(text) = inner.filter(|text| !text.as_bytes().contains(&b'\\')) {
            return Ok(Some(Cow::Borrowed(text)));
        }
        Ok(self
            .typed::<Name<'a>>(name, "a string")?
            .map(|Name(text)| text))
    }

    fn string(&self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.text(name)?.map(Cow::into_owned))
    }

    fn boolean(&self, name: &str) -> Result<Option<bool>, Error> {
        self.typed(name, "true or false")
    }

    fn whole(&self, name: &str) -> Result<Option<u64>, Error> {
        let what = "a whole number from 0 to 2^53-1";
        match self.typed(name, what)? {
            Some(n) if n > LARGEST_WHOLE => Err(bad(format!("`{name}` is {what}"))),
            n => Ok(n),
        }
    }

    fn seq(&self, name: &str) -> Result<Option<u64>, Error> {
        match self.whole(name)? {
            Some(0) => Err(bad(format!("`{name}` is at least 1"))),
            seq => Ok(seq),
        }
    }

    fn limit(&self) -> Result<Option<u64>, Error> {
        self.seq("limit")
    }

    fn room(&self) -> Result<RoomId, Error> {
        RoomId::new(&self.required("room", self.text("room")?)?)
    }

    fn key(&self) -> Result<Option<Cow<'a, str>>, Error> {
        match self.text("key")? {
            Some(key) if !is_key(&key) => Err(bad("`key` is 1 to 64 characters long")),
            key => Ok(key),
        }
    }

    fn position(&self, name: &str) -> Result<Option<(String, u64)>, Error> {
        let Some(position) = self.typed::<Fields<'a>>(name, "an object")? else {
            return Ok(None);
        };
        let epoch = position.required("epoch", position.string("epoch")?)?;
        Ok(Some((
            epoch,
            position.required("seq", position.whole("seq")?)?,
        )))
    }

    fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| bad(format!("`{name}` is missing")))
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some(Name(name)) = map.next_key()? {
                    fields.push((name, map.next_value()?));
                    if fields.len() > MOST_FIELDS {
                        return Err(de::Error::custom("too many fields"));
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A string, borrowed where it holds no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

fn bad(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Code::BadCommand, message)
}

/// What a JavaScript number holds exactly.
const LARGEST_WHOLE: u64 = (1 << 53) - 1;
const LONGEST_KEY: usize = 64;
const LONGEST_GRACE: Duration = Duration::from_secs(600);
/// No command has a tenth of this.
const MOST_FIELDS: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(text: &str) -> (Option<u64>, Code) {
        let malformed = Request::parse(text.as_bytes()).unwrap_err();
        (malformed.id, malformed.error.code)
    }

    #[test]
    fn a_command_is_read_with_what_it_does_not_know_ignored() {
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

    /// A `send` of few fields, most of them right.
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
        /// The short way gives what the long way gives, or nothing.
        #[test]
        fn a_send_is_read_in_one_pass_as_field_by_field(text in sends()) {
            if let Some(request) = plain_send(&text) {
                prop_assert_eq!(
                    format!("{request:?}"),
                    format!("{:?}", Request::read(Some(&text)).unwrap())
                );
            }
        }
    }

    #[test]
    fn what_clients_send_is_read_in_one_pass_and_nothing_else() {
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
    fn every_way_to_be_wrong_has_its_code() {
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
    fn deep_and_huge_input_is_refused_not_followed() {
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
