//! A message as it is encoded once for all readers, and its receipt.

use serde_json::value::RawValue;

use super::id::{MemberId, RoomId};

/// What a member sends: checked, but not yet in a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'a> {
    pub(crate) text: &'a str,
    pub(crate) data: Option<&'a RawValue>,
    pub(crate) reply_to: Option<u64>,
}

/// Who sends it.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(crate) struct Author<'a> {
    pub(crate) id: MemberId,
    pub(crate) nickname: &'a str,
}

/// The event `message`. It and [`Sent`] are written by hand, because every publish encodes them.
/// Compared with serde's tagged enum that saves a tenth of a publish's instructions, and two fifths
/// with a text of 4 KiB (`cargo run -p benches --bin instructions`).
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, Copy, serde::Serialize))]
#[cfg_attr(test, serde(tag = "type", rename = "message"))]
pub(crate) struct Message<'a> {
    pub(crate) room: &'a RoomId,
    pub(crate) seq: u64,
    pub(crate) from: Author<'a>,
    pub(crate) text: &'a str,
    pub(crate) at: u64,
    #[cfg_attr(test, serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) reply_to: Option<u64>,
    #[cfg_attr(test, serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) data: Option<&'a RawValue>,
}

/// The event `sent`.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Serialize))]
#[cfg_attr(test, serde(tag = "type", rename = "sent"))]
pub(crate) struct Sent<'a> {
    #[cfg_attr(test, serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) id: Option<u64>,
    pub(crate) room: &'a RoomId,
    pub(crate) seq: u64,
    pub(crate) at: u64,
    #[cfg_attr(test, serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) key: Option<&'a str>,
}

impl Message<'_> {
    /// Appends it as JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        // The ids of rooms and members need no escapes.
        out.extend_from_slice(br#"{"type":"message","room":""#);
        out.extend_from_slice(self.room.as_str().as_bytes());
        out.extend_from_slice(br#"","seq":"#);
        whole(out, self.seq);
        out.extend_from_slice(br#","from":{"id":""#);
        self.from
            .id
            .with_str(|id| out.extend_from_slice(id.as_bytes()));
        out.extend_from_slice(br#"","nickname":"#);
        string(out, self.from.nickname);
        out.extend_from_slice(br#"},"text":"#);
        string(out, self.text);
        out.extend_from_slice(br#","at":"#);
        whole(out, self.at);
        if let Some(reply_to) = self.reply_to {
            out.extend_from_slice(br#","reply_to":"#);
            whole(out, reply_to);
        }
        if let Some(data) = self.data {
            out.extend_from_slice(br#","data":"#);
            out.extend_from_slice(data.get().as_bytes());
        }
        out.push(b'}');
    }
}

impl Sent<'_> {
    /// Appends it as JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"type":"sent","#);
        if let Some(id) = self.id {
            out.extend_from_slice(br#""id":"#);
            whole(out, id);
            out.push(b',');
        }
        out.extend_from_slice(br#""room":""#);
        out.extend_from_slice(self.room.as_str().as_bytes());
        out.extend_from_slice(br#"","seq":"#);
        whole(out, self.seq);
        out.extend_from_slice(br#","at":"#);
        whole(out, self.at);
        if let Some(key) = self.key {
            out.extend_from_slice(br#","key":"#);
            string(out, key);
        }
        out.push(b'}');
    }
}

fn whole(out: &mut Vec<u8>, n: u64) {
    // Takes a fifth of the instructions of `write!`, which pads and grows the buffer as it goes.
    serde_json::to_writer(out, &n).expect("a vector accepts every write");
}

fn string(out: &mut Vec<u8>, text: &str) {
    // Checks many bytes at a time. Text that needs escapes is rare and left to serde.
    let plain = |plain, b: u8| plain & (b >= b' ') & (b != b'"') & (b != b'\\');
    if text.bytes().fold(true, plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("a vector accepts every write");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Byte for byte the same as what serde writes.
        #[test]
        fn the_hand_written_encoding_equals_that_of_serde(
            text in any::<String>(),
            plain in "[ -~]{0,40}",
            nickname in "\\PC{1,20}",
            id in any::<[u8; 15]>(),
            seq in any::<u64>(),
            at in any::<u64>(),
            reply_to in any::<Option<u64>>(),
            data in proptest::option::of(Just(r#"{"mood":["calm",null]}"#)),
        ) {
            let room = RoomId::new("R_-0").unwrap();
            let from = Author { id: MemberId(id), nickname: &nickname };
            let data = data.map(|json| RawValue::from_string(json.into()).unwrap());
            for text in [&text, &plain] {
                let data = data.as_deref();
                let message = Message { room: &room, seq, from, text, at, reply_to, data };
                let mut written = Vec::new();
                message.write(&mut written);
                prop_assert_eq!(String::from_utf8(written).unwrap(), serde_json::to_string(&message).unwrap());
                for key in [None, Some(text.as_str())] {
                    let sent = Sent { id: reply_to, room: &room, seq, at, key };
                    let mut written = Vec::new();
                    sent.write(&mut written);
                    prop_assert_eq!(String::from_utf8(written).unwrap(), serde_json::to_string(&sent).unwrap());
                }
            }
        }
    }
}
