//! Messages of a host that sends something other than the events of the chat.

use bytes::Bytes;
use chat_core::Incoming;

use super::control_frames::FIN;

/// A whole message to send with [`WebSocket::queue_message`](crate::WebSocket::queue_message).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text message (RFC 6455 §5.6).
    ///
    /// The bytes must be valid UTF-8. This is not checked, and a peer closes the connection over
    /// text that is not.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
}

impl From<Incoming> for Message {
    /// A message that was received, to be sent back.
    fn from(incoming: Incoming) -> Self {
        match incoming {
            Incoming::Text(text) => Self::Text(text),
            Incoming::Binary(bytes) => Self::Binary(bytes),
        }
    }
}

impl Message {
    /// The header and the payload of the one frame that carries the message (§5.2). The payload is
    /// not copied.
    pub(super) fn into_frame(self) -> [Bytes; 2] {
        match self {
            Self::Text(text) => [frame_header(OPCODE_TEXT, text.len()), text],
            Self::Binary(bytes) => [frame_header(OPCODE_BINARY, bytes.len()), bytes],
        }
    }
}

const OPCODE_TEXT: u8 = 0x1;
const OPCODE_BINARY: u8 = 0x2;

/// The header of an unmasked, unfragmented frame, with the length in its shortest form.
fn frame_header(opcode: u8, len: usize) -> Bytes {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        let text = |len| frame_header(OPCODE_TEXT, len);
        assert_eq!(text(125)[..], [0x81, 125]);
        assert_eq!(text(126)[..], [0x81, 126, 0, 126]);
        let binary = |len| frame_header(OPCODE_BINARY, len);
        assert_eq!(binary(65_535)[..], [0x82, 126, 255, 255]);
        assert_eq!(binary(65_536)[..], [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
