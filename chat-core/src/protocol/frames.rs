//! Encoded events, which are made once and shared by all readers.

use std::cell::RefCell;
use std::ops::Range;

use bytes::Bytes;
use serde::Serialize;

/// One or more encoded events, back to back in one shared buffer.
///
/// Each event is one JSON object behind the header of an unmasked, unfragmented text frame (RFC
/// 6455 §5.2). A WebSocket transport writes the whole buffer as it is, however many events and
/// receivers there are: nothing is encoded, checked or copied per delivery. A transport that
/// carries messages uses [`payloads`](Frames::payloads) instead.
///
/// Cloning shares the buffer. The payloads are always valid UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames(Bytes);

impl Frames {
    /// Encodes one event.
    pub(crate) fn encode<T: Serialize>(event: &T) -> Self {
        Self::encode_with(|out| to_json(out, event))
    }

    /// Encodes one event, whose JSON `write` appends.
    pub(crate) fn encode_with(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        // The result has its exact size because it may be kept for long; the scratch buffer is
        // reused.
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            push_with(scratch, write);
            Self(Bytes::copy_from_slice(scratch))
        })
    }

    /// Concatenates encoded events.
    pub(crate) fn concat<'a>(events: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let mut out = Vec::with_capacity(events.clone().map(Self::len).sum());
        events.for_each(|frames| out.extend_from_slice(&frames.0));
        Self(out.into())
    }

    /// Takes ownership of a buffer to which only [`push`] has written.
    pub(crate) fn from_pushed(buffer: Vec<u8>) -> Self {
        Self(buffer.into())
    }

    /// A copy, of its exact size, of bytes that only [`push`] has written.
    pub(crate) fn copy_of(frames: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(frames))
    }

    /// A part that begins and ends at event boundaries, sharing the buffer.
    pub(crate) fn slice(&self, part: Range<usize>) -> Self {
        Self(self.0.slice(part))
    }

    /// The frames as they are sent over a WebSocket, with their headers.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Like [`as_bytes`](Self::as_bytes), sharing the buffer.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The events one by one, without their headers, sharing the buffer. Each is one JSON object.
    pub fn payloads(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut rest = self.0.clone();
        std::iter::from_fn(move || {
            let (start, end) = span(&rest)?;
            let payload = rest.slice(start..end);
            rest = rest.slice(end..);
            Some(payload)
        })
    }

    /// The payload of a buffer that holds one event.
    pub(crate) fn payload(&self) -> &[u8] {
        span(&self.0).map_or(&[], |(start, end)| &self.0[start..end])
    }

    /// Number of bytes in the buffer, headers included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Appends one event, header first.
pub(crate) fn push<T: Serialize>(out: &mut Vec<u8>, event: &T) {
    push_with(out, |out| to_json(out, event));
}

fn to_json<T: Serialize>(out: &mut Vec<u8>, event: &T) {
    serde_json::to_writer(out, event).expect("wire types have string keys and no failing parts");
}

/// Appends one frame whose payload `write` appends.
pub(crate) fn push_with(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    // Most events are 126 to 65535 bytes long, so reserve their four bytes of header first and
    // correct the header where that was wrong.
    let start = out.len();
    out.extend_from_slice(&[TEXT, LEN_16, 0, 0]);
    write(out);
    let len = out.len() - start - 4;
    if let (126.., Ok(len)) = (len, u16::try_from(len)) {
        out[start + 2..start + 4].copy_from_slice(&len.to_be_bytes());
    } else if len < 126 {
        out[start + 1] = len as u8;
        out.drain(start + 2..start + 4);
    } else {
        out[start + 1] = LEN_64;
        let long = (len as u64).to_be_bytes();
        out.splice(start + 2..start + 4, long);
    }
}

/// Where the first payload of `frames` starts and ends.
fn span(frames: &[u8]) -> Option<(usize, usize)> {
    let (start, len) = match *frames.get(1)? {
        LEN_16 => (
            4,
            u64::from(u16::from_be_bytes(frames.get(2..4)?.try_into().ok()?)),
        ),
        LEN_64 => (10, u64::from_be_bytes(frames.get(2..10)?.try_into().ok()?)),
        short => (2, u64::from(short)),
    };
    Some((start, start + usize::try_from(len).ok()?))
}

thread_local! {
    /// Grows to the size of the largest event: text, data and names of one message, escaped.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// FIN and the text opcode.
const TEXT: u8 = 0x81;
const LEN_16: u8 = 126;
const LEN_64: u8 = 127;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_follow_rfc_6455_and_payloads_come_back() {
        for len in [2, 10, 125, 126, 127, 128, 4096, 65_535, 65_536, 70_000] {
            let text = "a".repeat(len - 2);
            let frames = Frames::encode(&text);
            let header = match len {
                0..126 => vec![0x81, len as u8],
                126..65_536 => vec![0x81, 126, (len >> 8) as u8, len as u8],
                _ => [&[0x81, 127][..], &(len as u64).to_be_bytes()].concat(),
            };
            assert_eq!(frames.as_bytes()[..header.len()], header, "{len}");
            assert_eq!(frames.len(), header.len() + len);
            assert_eq!(frames.payload(), format!("\"{text}\"").as_bytes());
        }
    }

    #[test]
    fn a_batch_gives_its_events_in_order() {
        let mut out = Vec::new();
        let long = "x".repeat(70_000);
        push(&mut out, &1);
        push(&mut out, &long);
        push(&mut out, &"b".repeat(200));
        let all: Vec<_> = Frames::from_pushed(out)
            .payloads()
            .map(|p| p.len())
            .collect();
        assert_eq!(all, [1, 70_002, 202]);
    }
}
