//! The control frames that the server sends by itself (RFC 6455 §5.5), unmasked.

use bytes::Bytes;
use chat_core::{Close, CloseCode};

/// The longest payload of a control frame (§5.5), in bytes.
pub(super) const MAX_CONTROL_PAYLOAD: usize = 125;

/// The final fragment of a message; control frames have no other (§5.2).
pub(super) const FIN: u8 = 0x80;
const OPCODE_CLOSE: u8 = 0x8;
const OPCODE_PING: u8 = 0x9;

/// An empty ping.
pub(super) const PING: Bytes = Bytes::from_static(&[FIN | OPCODE_PING, 0]);

/// A close frame. A reason over 123 bytes, which is what a control frame has room for beside the
/// code, is cut between two characters.
pub(super) fn close_frame(close: &Close) -> Bytes {
    let CloseCode(code) = close.code;
    let mut end = close.reason.len().min(MAX_CONTROL_PAYLOAD - 2);
    while !close.reason.is_char_boundary(end) {
        end -= 1;
    }
    let reason = &close.reason[..end];
    let mut frame = Vec::with_capacity(4 + reason.len());
    frame.extend([FIN | OPCODE_CLOSE, 2 + reason.len() as u8]);
    frame.extend(code.to_be_bytes());
    frame.extend(reason.as_bytes());
    frame.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        const REASON: &str = concat!(
            "0123456789012345678901234567890123456789012345678901234567890123456789",
            "0123456789012345678901234567890123456789012345678901é456789",
        );
        let frame = close_frame(&Close::new(CloseCode::NORMAL, REASON));
        assert_eq!(frame[..4], [0x88, 124, 3, 232]);
        assert_eq!(frame.len(), 2 + 124);
    }
}
