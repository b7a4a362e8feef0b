//! The protocols: chat.v1, or any plain-text protocol through templates; and the token in each text
//! by which a delivery is recognised.

use crate::frame::find;

const MARKER: &[u8] = b"@L";
const ROOM_DIGITS: usize = 6;
const INDEX_DIGITS: usize = 10;

/// Length of the token at the start of every text.
pub const TOKEN_LEN: usize = MARKER.len() + ROOM_DIGITS + INDEX_DIGITS;

/// How to speak to the server.
#[derive(Debug, Clone)]
pub enum Protocol {
    /// The engine's own protocol.
    ChatV1,
    /// Text frames from templates.
    Raw(Raw),
}

/// A plain-text protocol.
#[derive(Debug, Clone)]
pub struct Raw {
    /// The first frame of each connection; none if the URL is enough.
    pub join: Option<String>,
    /// A client has joined when it receives a text that contains this; at once if absent.
    pub join_ack: Option<String>,
    /// The frame that publishes a message.
    pub send: String,
    /// Whether the publisher receives its own message.
    pub echo: bool,
}

/// The size of a text.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Bytes of the text, including the token.
    pub text: usize,
    /// The text is lengthened until the whole published frame has this many bytes of payload.
    pub pad_to: Option<usize>,
}

impl Protocol {
    /// The frames that a client sends when the socket is open.
    #[must_use]
    pub fn opening(&self, client: usize, room: &str) -> Vec<String> {
        match self {
            // Nicknames of equal length keep the frames at equal length.
            Self::ChatV1 => vec![
                format!(r#"{{"type":"hello","nickname":"m{client:06}"}}"#),
                format!(r#"{{"type":"join","room":"{room}"}}"#),
            ],
            Self::Raw(raw) => raw.join.iter().map(|j| j.replace("{room}", room)).collect(),
        }
    }

    /// Whether this frame confirms that the client has joined its room.
    #[must_use]
    pub fn is_joined(&self, payload: &[u8]) -> bool {
        match self {
            Self::ChatV1 => payload.starts_with(br#"{"type":"joined""#),
            Self::Raw(raw) => raw
                .join_ack
                .as_ref()
                .is_none_or(|ack| find(payload, ack.as_bytes(), &mut 0).is_some()),
        }
    }

    /// Whether a client has joined its room without waiting for a confirmation.
    #[must_use]
    pub fn joins_without_ack(&self) -> bool {
        matches!(self, Self::Raw(raw) if raw.join_ack.is_none())
    }

    /// Whether the publisher receives its own message.
    #[must_use]
    pub fn echo(&self) -> bool {
        !matches!(self, Self::Raw(raw) if !raw.echo)
    }
}

/// The publishing frame of a room, and where the token of each message belongs.
#[derive(Debug)]
pub struct Template {
    payload: Vec<u8>,
    token_at: usize,
}

impl Template {
    /// Prepares the publishing frame of `room`, which has the number `number`.
    #[must_use]
    pub fn new(protocol: &Protocol, number: usize, room: &str, size: Size) -> Self {
        let fill = |text: &str| match protocol {
            Protocol::ChatV1 => format!(r#"{{"type":"send","room":"{room}","text":"{text}"}}"#),
            Protocol::Raw(raw) => raw.send.replace("{room}", room).replace("{text}", text),
        };
        let bare = fill("").len();
        let len = size
            .pad_to
            .map_or(size.text, |total| total.saturating_sub(bare));
        let mut text = format!(
            "{}{number:0ROOM_DIGITS$x}{:0INDEX_DIGITS$x}",
            String::from_utf8_lossy(MARKER),
            0
        );
        let filler = " the quick brown fox jumps over the lazy dog"
            .bytes()
            .cycle();
        text.extend(filler.take(len.saturating_sub(text.len())).map(char::from));
        let payload = fill(&text).into_bytes();
        let token_at = find(&payload, MARKER, &mut 0).unwrap_or(0);
        Self { payload, token_at }
    }

    /// The frame that publishes message `index`.
    pub fn render(&mut self, index: u64) -> &[u8] {
        let at = self.token_at + MARKER.len() + ROOM_DIGITS;
        for (i, digit) in self.payload[at..at + INDEX_DIGITS].iter_mut().enumerate() {
            let nibble = (index >> (4 * (INDEX_DIGITS - 1 - i))) & 0xF;
            *digit = b"0123456789abcdef"[nibble as usize];
        }
        &self.payload
    }
}

fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |n, d| {
        let digit = match d {
            b'0'..=b'9' => d - b'0',
            b'a'..=b'f' => d - b'a' + 10,
            _ => return None,
        };
        Some(n << 4 | u64::from(digit))
    })
}

/// Finds the fields of a delivery without parsing it. Each is looked for first at its offset in the
/// previous frame.
#[derive(Debug, Default)]
pub struct Scanner {
    token_at: usize,
    seq_at: usize,
}

/// The fields of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The number of the room.
    pub room: usize,
    /// The number of the message in that room, in the order of publishing.
    pub index: u64,
    /// The sequence number of the server; 0 if the protocol has none.
    pub seq: u64,
}

impl Scanner {
    /// The delivery in this text frame; `None` if it is something else.
    pub fn scan(&mut self, protocol: &Protocol, payload: &[u8]) -> Option<Delivery> {
        let chat = matches!(protocol, Protocol::ChatV1);
        if chat && !payload.starts_with(br#"{"type":"message""#) {
            return None;
        }
        let at = find(payload, MARKER, &mut self.token_at)? + MARKER.len();
        let room = hex(payload.get(at..at + ROOM_DIGITS)?)? as usize;
        let index = hex(payload.get(at + ROOM_DIGITS..at + ROOM_DIGITS + INDEX_DIGITS)?)?;
        let mut seq = 0;
        if chat {
            const KEY: &[u8] = br#""seq":"#;
            let at = find(payload, KEY, &mut self.seq_at)? + KEY.len();
            let digits = payload[at..].iter().take_while(|b| b.is_ascii_digit());
            seq = digits.fold(0, |n, d| n * 10 + u64::from(d - b'0'));
        }
        Some(Delivery { room, index, seq })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(send: &str) -> Protocol {
        Protocol::Raw(Raw {
            join: Some("JOIN {room}".into()),
            join_ack: Some("welcome to".into()),
            send: send.into(),
            echo: true,
        })
    }

    #[test]
    fn chat_messages_are_published_and_recognised() {
        let size = Size {
            text: 128,
            pad_to: None,
        };
        let mut template = Template::new(&Protocol::ChatV1, 10, "r10", size);
        let sent = String::from_utf8(template.render(0x1f).to_vec()).unwrap();
        let text = sent
            .strip_prefix(r#"{"type":"send","room":"r10","text":""#)
            .and_then(|s| s.strip_suffix(r#""}"#))
            .unwrap();
        assert_eq!(text.len(), 128);
        assert!(text.starts_with("@L00000a000000001f the quick"), "{text}");

        let mut scanner = Scanner::default();
        for seq in [9_u64, 10, 1234] {
            let head = format!(r#"{{"type":"message","room":"r10","seq":{seq}"#);
            let from = r#""from":{"id":"x","nickname":"m"}"#;
            let frame = format!(r#"{head},{from},"text":"{text}","at":1}}"#);
            assert_eq!(
                scanner.scan(&Protocol::ChatV1, frame.as_bytes()),
                Some(Delivery {
                    room: 10,
                    index: 0x1f,
                    seq
                })
            );
        }
        let reply = format!(r#"{{"type":"sent","room":"r10","seq":1,"text":"{text}"}}"#);
        assert_eq!(scanner.scan(&Protocol::ChatV1, reply.as_bytes()), None);
        assert!(Protocol::ChatV1.is_joined(br#"{"type":"joined","room":{}}"#));
    }

    #[test]
    fn templates_are_filled_and_padded() {
        let protocol = raw(r#"say {room} "{text}""#);
        let size = Size {
            text: 128,
            pad_to: Some(270),
        };
        let mut template = Template::new(&protocol, 1, "r1", size);
        assert_eq!(template.render(7).len(), 270);
        assert!(
            template
                .render(7)
                .starts_with(br#"say r1 "@L0000010000000007 the"#)
        );
        let seen = [b"echo: ", template.render(7)].concat();
        assert_eq!(
            Scanner::default().scan(&protocol, &seen),
            Some(Delivery {
                room: 1,
                index: 7,
                seq: 0
            })
        );
        assert_eq!(protocol.opening(0, "r1"), ["JOIN r1"]);
        assert!(protocol.is_joined(b"welcome to r1") && !protocol.is_joined(b"hello"));
        assert!(!protocol.joins_without_ack());
    }

    #[test]
    fn a_text_is_never_shorter_than_its_token() {
        let size = Size {
            text: 1,
            pad_to: Some(3),
        };
        let mut template = Template::new(&raw("{text}"), 2, "r2", size);
        assert_eq!(template.render(1).len(), TOKEN_LEN);
    }
}
