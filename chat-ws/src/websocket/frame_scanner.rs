//! Where frames begin and end in a stream of bytes, and which headers are violations.

use std::io::Cursor;

use chat_core::{Close, CloseCode};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::control_frames::MAX_CONTROL_PAYLOAD;

/// Follows the frames of a client, header by header, without keeping their payloads.
///
/// It knows when the decoder holds nothing (so that an idle connection needs none) and how many
/// messages the decoder has yet to return, and it rejects what a header alone shows to be a
/// violation before any of the payload is buffered.
#[derive(Debug, Default)]
pub(super) struct FrameScanner {
    /// The start of a header whose end has not arrived.
    partial_header: [u8; MAX_HEADER],
    partial_header_len: u8,
    /// Bytes of the current frame's payload that have not arrived.
    payload_left: u64,
    /// Whether the end of the current frame completes a message or a control frame.
    is_final: bool,
    /// Whether a fragmented message is under way.
    in_fragmented_message: bool,
    /// Whether the current frame is a close frame.
    is_close: bool,
    /// Whether a close frame has ended. Everything after it is ignored (RFC 6455 §5.5.1).
    close_received: bool,
    /// Payload bytes of the message under way.
    message_bytes: u64,
}

/// What [`FrameScanner::scan`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// How many bytes from the start the decoder may have.
    pub(super) valid_bytes: usize,
    /// Messages and control frames that ended within them.
    pub(super) completed: u32,
    /// Control frames and empty data frames that began within them.
    pub(super) idle_frames: u32,
    /// The longest payload that began within them.
    pub(super) max_payload: u64,
    /// What is wrong with the frame that begins behind them.
    pub(super) violation: Option<Close>,
}

impl FrameScanner {
    /// Whether no frame and no fragmented message is under way.
    pub(super) fn at_boundary(&self) -> bool {
        self.partial_header_len == 0 && self.payload_left == 0 && !self.in_fragmented_message
    }

    /// Follows `bytes`, which continue those of the calls before. A message may have at most
    /// `max_message_bytes` of payload. It must not be called again after a violation.
    pub(super) fn scan(&mut self, bytes: &[u8], max_message_bytes: usize) -> Scan {
        let mut scan = Scan::default();
        while scan.valid_bytes < bytes.len() && !self.close_received {
            if self.payload_left == 0 {
                match self.parse_header(&bytes[scan.valid_bytes..]) {
                    Ok(Some((header, len, used))) => {
                        if let Err(close) = self.begin_frame(&header, len, max_message_bytes) {
                            scan.violation = Some(close);
                            break;
                        }
                        scan.valid_bytes += used;
                        scan.max_payload = scan.max_payload.max(len);
                        if len == 0 || matches!(header.opcode, OpCode::Control(_)) {
                            scan.idle_frames += 1;
                        }
                    }
                    Ok(None) => {
                        scan.valid_bytes = bytes.len();
                        break;
                    }
                    Err(close) => {
                        scan.violation = Some(close);
                        break;
                    }
                }
            }
            let part = self
                .payload_left
                .min((bytes.len() - scan.valid_bytes) as u64);
            scan.valid_bytes += part as usize;
            self.payload_left -= part;
            if self.payload_left == 0 {
                scan.completed += u32::from(self.is_final);
                self.close_received = self.is_close;
            }
        }
        scan
    }

    /// Parses a header. Returns it with the length of the payload and the number of bytes that it
    /// took from `bytes`, or nothing if it is incomplete; then all of `bytes` are kept.
    fn parse_header(&mut self, bytes: &[u8]) -> Result<Option<(FrameHeader, u64, usize)>, Close> {
        let kept = usize::from(self.partial_header_len);
        // Never more than one header is kept, so the bytes behind it are still in `bytes`.
        let more = bytes.len().min(MAX_HEADER - kept);
        self.partial_header[kept..kept + more].copy_from_slice(&bytes[..more]);
        let mut cursor = Cursor::new(&self.partial_header[..kept + more]);
        match FrameHeader::parse(&mut cursor) {
            Ok(Some((header, len))) => {
                let total = cursor.position() as usize;
                if len >> 63 != 0 || header.len(len) != total {
                    return Err(protocol_error("length not in its shortest form"));
                }
                self.partial_header_len = 0;
                Ok(Some((header, len, total - kept)))
            }
            Ok(None) => {
                self.partial_header_len = (kept + more) as u8;
                Ok(None)
            }
            Err(_) => Err(protocol_error("reserved opcode")),
        }
    }

    /// Checks a header (§5.2, §5.4, §5.5) and starts to follow its frame.
    fn begin_frame(
        &mut self,
        header: &FrameHeader,
        len: u64,
        max_message_bytes: usize,
    ) -> Result<(), Close> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(protocol_error("reserved bit set"));
        }
        if header.mask.is_none() {
            return Err(protocol_error("frame not masked"));
        }
        match header.opcode {
            OpCode::Control(_) if !header.is_final => {
                return Err(protocol_error("control frame fragmented"));
            }
            OpCode::Control(_) if len > MAX_CONTROL_PAYLOAD as u64 => {
                return Err(protocol_error("control frame too long"));
            }
            OpCode::Control(_) => {}
            OpCode::Data(Data::Continue) if !self.in_fragmented_message => {
                return Err(protocol_error("nothing to continue"));
            }
            OpCode::Data(Data::Text | Data::Binary) if self.in_fragmented_message => {
                return Err(protocol_error("message within a message"));
            }
            OpCode::Data(_) => {
                self.message_bytes = if self.in_fragmented_message {
                    self.message_bytes.saturating_add(len)
                } else {
                    len
                };
                if self.message_bytes > max_message_bytes as u64 {
                    return Err(Close::new(CloseCode::TOO_BIG, "message too big"));
                }
                self.in_fragmented_message = !header.is_final;
            }
        }
        self.is_final = header.is_final;
        self.is_close = matches!(header.opcode, OpCode::Control(Control::Close));
        self.payload_left = len;
        Ok(())
    }
}

/// The longest header that a client sends: two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;

fn protocol_error(reason: &'static str) -> Close {
    Close::new(CloseCode::PROTOCOL_ERROR, reason)
}
