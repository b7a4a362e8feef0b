//! WebSocket framing (RFC 6455 §5) for measuring tools: one pass over the bytes of a read, no copy
//! of a whole frame, and no memory held for a connection whose frames arrive in one piece.

use std::fmt;

/// A text frame.
pub const TEXT: u8 = 0x1;
/// A binary frame.
pub const BINARY: u8 = 0x2;
/// A close frame.
pub const CLOSE: u8 = 0x8;
/// A ping.
pub const PING: u8 = 0x9;
/// A pong.
pub const PONG: u8 = 0xA;

const CONTINUATION: u8 = 0x0;
const MAX_PAYLOAD: u64 = 16 << 20;

/// Why the bytes of a peer are not valid frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// A reserved bit or opcode, or a control frame that is fragmented or too long.
    Malformed,
    /// A payload over 16 MiB.
    TooLarge,
    /// A continuation without a message, or a new message inside another one.
    Fragmentation,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed frame",
            Self::TooLarge => "frame over 16 MiB",
            Self::Fragmentation => "fragments out of place",
        })
    }
}

impl std::error::Error for FrameError {}

struct Header {
    fin: bool,
    opcode: u8,
    mask: Option<[u8; 4]>,
    head: usize,
    payload: usize,
}

/// Parses the header at the start of `buf`; `None` while it is incomplete.
fn header(buf: &[u8]) -> Result<Option<Header>, FrameError> {
    let &[first, second, ..] = buf else {
        return Ok(None);
    };
    let (fin, opcode) = (first & 0x80 != 0, first & 0x0F);
    let short = second & 0x7F;
    let known = matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG);
    if first & 0x70 != 0 || !known || (opcode >= CLOSE && (!fin || short > 125)) {
        return Err(FrameError::Malformed);
    }
    let (mut head, payload) = match short {
        126 => match buf.get(2..4) {
            Some(len) => (4, u64::from(u16::from_be_bytes([len[0], len[1]]))),
            None => return Ok(None),
        },
        127 => match buf.get(2..10) {
            Some(len) => (10, len.iter().fold(0, |n, b| n << 8 | u64::from(*b))),
            None => return Ok(None),
        },
        n => (2, u64::from(n)),
    };
    if payload > MAX_PAYLOAD {
        return Err(FrameError::TooLarge);
    }
    let mut mask = None;
    if second & 0x80 != 0 {
        let Some(key) = buf.get(head..head + 4) else {
            return Ok(None);
        };
        mask = Some([key[0], key[1], key[2], key[3]]);
        head += 4;
    }
    Ok(Some(Header {
        fin,
        opcode,
        mask,
        head,
        payload: payload as usize,
    }))
}

fn mask_in_place(payload: &mut [u8], key: [u8; 4]) {
    for (i, byte) in payload.iter_mut().enumerate() {
        *byte ^= key[i & 3];
    }
}

/// The receiving half of one connection. It holds the bytes of an incomplete frame and the
/// fragments of an incomplete message. Most of the time both are empty and own no memory.
#[derive(Debug, Default)]
pub struct Reader {
    tail: Vec<u8>,
    message: Vec<u8>,
    message_opcode: Option<u8>,
}

impl Reader {
    /// Puts the bytes left over from the last [`feed`](Self::feed) at the start of `buf`, grows it
    /// so that `capacity` bytes are free behind them, and returns their number. The next read must
    /// write behind them.
    pub fn restore(&mut self, buf: &mut Vec<u8>, capacity: usize) -> usize {
        let kept = self.tail.len();
        if buf.len() < kept + capacity {
            buf.resize(kept + capacity, 0);
        }
        if kept > 0 {
            buf[..kept].copy_from_slice(&self.tail);
            self.tail = Vec::new();
        }
        kept
    }

    /// Keeps bytes that are not a frame yet (such as half an HTTP response) for the next
    /// [`restore`](Self::restore).
    pub fn keep(&mut self, bytes: &[u8]) {
        self.tail = bytes.to_vec();
    }

    /// Passes every complete message and control frame in `buf` to `on` as (opcode, payload), and
    /// keeps the rest.
    ///
    /// # Errors
    /// The bytes are not valid frames. The connection cannot be used any more.
    pub fn feed(
        &mut self,
        buf: &mut [u8],
        mut on: impl FnMut(u8, &[u8]),
    ) -> Result<(), FrameError> {
        let mut at = 0;
        loop {
            let rest = &mut buf[at..];
            let Some(h) = header(rest)? else { break };
            let Some(payload) = rest.get_mut(h.head..h.head + h.payload) else {
                break;
            };
            if let Some(key) = h.mask {
                mask_in_place(payload, key);
            }
            at += h.head + h.payload;
            if h.opcode >= CLOSE || (h.fin && h.opcode != CONTINUATION) {
                if h.opcode < CLOSE && self.message_opcode.is_some() {
                    return Err(FrameError::Fragmentation);
                }
                on(h.opcode, payload);
                continue;
            }
            match (h.opcode, self.message_opcode) {
                (CONTINUATION, Some(_)) => {}
                (CONTINUATION, None) | (_, Some(_)) => return Err(FrameError::Fragmentation),
                (opcode, None) => self.message_opcode = Some(opcode),
            }
            if (self.message.len() + payload.len()) as u64 > MAX_PAYLOAD {
                return Err(FrameError::TooLarge);
            }
            self.message.extend_from_slice(payload);
            if h.fin
                && let Some(opcode) = self.message_opcode.take()
            {
                let message = std::mem::take(&mut self.message);
                on(opcode, &message);
            }
        }
        if at < buf.len() {
            self.tail = buf[at..].to_vec();
        }
        Ok(())
    }
}

fn push_length(out: &mut Vec<u8>, len: usize, mask_bit: u8) {
    match len {
        0..=125 => out.push(mask_bit | len as u8),
        126..=0xFFFF => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// Appends a frame as a server sends it: unfragmented and unmasked.
pub fn push_server(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    push_length(out, payload.len(), 0);
    out.extend_from_slice(payload);
}

/// Appends a frame as a client sends it: unfragmented and masked with `key`.
pub fn push_client(out: &mut Vec<u8>, opcode: u8, payload: &[u8], key: [u8; 4]) {
    out.push(0x80 | opcode);
    push_length(out, payload.len(), 0x80);
    out.extend_from_slice(&key);
    let start = out.len();
    out.extend_from_slice(payload);
    mask_in_place(&mut out[start..], key);
}

/// The bytes on the wire of a server's frame with a payload of this length.
#[must_use]
pub fn server_frame_len(payload: usize) -> usize {
    payload
        + match payload {
            0..=125 => 2,
            126..=0xFFFF => 4,
            _ => 10,
        }
}

/// Finds where `needle` starts in `haystack`, and tries the offset of the last time first.
#[must_use]
pub fn find(haystack: &[u8], needle: &[u8], hint: &mut usize) -> Option<usize> {
    if haystack.get(*hint..*hint + needle.len()) == Some(needle) {
        return Some(*hint);
    }
    let at = haystack.windows(needle.len()).position(|w| w == needle)?;
    *hint = at;
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> Vec<u8> {
        let mut out = Vec::new();
        push_server(&mut out, TEXT, b"short");
        push_server(&mut out, TEXT, &[b'm'; 300]);
        out.extend_from_slice(&[0x01, 2, b'a', b'b']); // a message in three pieces ...
        push_server(&mut out, PING, b"p");
        out.extend_from_slice(&[0x00, 1, b'c']);
        out.extend_from_slice(&[0x80, 1, b'd']); // ... with a ping inside
        push_server(&mut out, TEXT, &vec![b'l'; 70_000]);
        push_client(&mut out, TEXT, b"masked", [1, 2, 3, 4]);
        out
    }

    fn expected() -> Vec<(u8, Vec<u8>)> {
        vec![
            (TEXT, b"short".to_vec()),
            (TEXT, vec![b'm'; 300]),
            (PING, b"p".to_vec()),
            (TEXT, b"abcd".to_vec()),
            (TEXT, vec![b'l'; 70_000]),
            (TEXT, b"masked".to_vec()),
        ]
    }

    fn read_in_chunks(wire: &[u8], chunk: usize) -> Vec<(u8, Vec<u8>)> {
        let (mut reader, mut buf, mut got) = (Reader::default(), Vec::new(), Vec::new());
        for piece in wire.chunks(chunk) {
            let kept = reader.restore(&mut buf, piece.len());
            buf[kept..kept + piece.len()].copy_from_slice(piece);
            reader
                .feed(&mut buf[..kept + piece.len()], |op, p| {
                    got.push((op, p.to_vec()));
                })
                .unwrap();
        }
        assert!(reader.tail.is_empty() && reader.message.is_empty());
        got
    }

    #[test]
    fn frames_are_read_from_chunks_of_any_size() {
        let wire = wire();
        assert_eq!(read_in_chunks(&wire, wire.len()), expected());
        for chunk in [1, 2, 3, 5, 7, 64, 301, 4096] {
            assert_eq!(
                read_in_chunks(&wire, chunk),
                expected(),
                "in chunks of {chunk}"
            );
        }
    }

    #[test]
    fn invalid_frames_are_refused() {
        let feed = |bytes: &[u8]| Reader::default().feed(&mut bytes.to_vec(), |_, _| ());
        assert_eq!(feed(&[0xC1, 0]), Err(FrameError::Malformed), "compressed");
        assert_eq!(feed(&[0x83, 0]), Err(FrameError::Malformed), "opcode 3");
        assert_eq!(
            feed(&[0x09, 0]),
            Err(FrameError::Malformed),
            "a fragmented ping"
        );
        assert_eq!(
            feed(&[0x80, 0]),
            Err(FrameError::Fragmentation),
            "nothing to continue"
        );
        assert_eq!(
            feed(&[0x01, 0, 0x81, 0]),
            Err(FrameError::Fragmentation),
            "a message inside another"
        );
        assert_eq!(
            feed(&[0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0]),
            Err(FrameError::TooLarge),
            "an absurd length"
        );
    }

    #[test]
    fn find_uses_and_updates_the_hint() {
        let mut hint = 0;
        assert_eq!(find(b"..@L1", b"@L", &mut hint), Some(2));
        assert_eq!(hint, 2);
        assert_eq!(find(b"...@L1", b"@L", &mut hint), Some(3));
        assert_eq!(find(b"@", b"@L", &mut hint), None);
    }
}
