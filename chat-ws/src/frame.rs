//! The few frames that the server makes itself (RFC 6455 §5.2), unmasked and unfragmented.

use bytes::Bytes;
use chat_core::{Close, CloseCode};

/// An empty ping.
pub(crate) const PING: Bytes = Bytes::from_static(&[FIN | 0x9, 0]);

/// The header of a text message.
pub(crate) fn text_header(len: usize) -> Bytes {
    header(0x1, len)
}

/// The header of a binary message.
pub(crate) fn binary_header(len: usize) -> Bytes {
    header(0x2, len)
}

/// A close frame; its reason is cut to the 123 bytes that a control frame has for it (§5.5).
pub(crate) fn close(close: &Close) -> Bytes {
    let CloseCode(code) = close.code;
    let mut end = close.reason.len().min(CONTROL_BYTES - 2);
    while !close.reason.is_char_boundary(end) {
        end -= 1;
    }
    let reason = &close.reason[..end];
    let mut frame = Vec::with_capacity(4 + reason.len());
    frame.extend([FIN | 0x8, 2 + reason.len() as u8]);
    frame.extend(code.to_be_bytes());
    frame.extend(reason.as_bytes());
    frame.into()
}

fn header(opcode: u8, len: usize) -> Bytes {
    let mut header = Vec::with_capacity(10);
    header.push(FIN | opcode);
    if len < 126 {
        header.push(len as u8);
    } else if let Ok(len) = u16::try_from(len) {
        header.push(126);
        header.extend(len.to_be_bytes());
    } else {
        header.push(127);
        header.extend((len as u64).to_be_bytes());
    }
    header.into()
}

const FIN: u8 = 0x80;
/// The most that a control frame carries (§5.5).
pub(crate) const CONTROL_BYTES: usize = 125;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        assert_eq!(text_header(125)[..], [0x81, 125]);
        assert_eq!(text_header(126)[..], [0x81, 126, 0, 126]);
        assert_eq!(binary_header(65_535)[..], [0x82, 126, 255, 255]);
        assert_eq!(
            binary_header(65_536)[..],
            [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]
        );
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        const REASON: &str = concat!(
            "0123456789012345678901234567890123456789012345678901234567890123456789",
            "0123456789012345678901234567890123456789012345678901é456789",
        );
        let frame = close(&Close::new(CloseCode::NORMAL, REASON));
        assert_eq!(frame[..4], [0x88, 124, 3, 232]);
        assert_eq!(frame.len(), 2 + 124);
    }
}
