//! Where frames begin and end in a stream of bytes, and what their headers alone rule out.

use std::io::Cursor;

use chat_core::{Close, CloseCode};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Follows the frames of a client, header by header, without keeping their payloads.
///
/// It tells when the parser holds nothing (so that an idle connection needs none), how many
/// messages the parser is yet to give, and refuses by its header what need not be buffered first.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    /// The start of a header that was cut.
    header: [u8; MAX_HEADER],
    header_len: u8,
    /// Bytes of the current frame's payload that are yet to come.
    payload: u64,
    /// Whether the current frame, once whole, gives a message: it is final, or a control frame.
    gives: bool,
    /// Whether a fragmented message is under way.
    fragmented: bool,
    /// Whether the current frame is a close frame.
    close: bool,
    /// Whether a close frame has ended: what follows it means nothing (RFC 6455 §5.5.1).
    closed: bool,
    /// Payload bytes of the message under way.
    message: u64,
}

/// What [`Framing::feed`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fed {
    /// Bytes from the start that are fit for the parser.
    pub(crate) usable: usize,
    /// Messages and control frames that ended within them.
    pub(crate) ended: u32,
    /// Control frames and empty data frames that began within them.
    pub(crate) idle: u32,
    /// The longest payload that began within them.
    pub(crate) longest: u64,
    /// What is wrong with the frame that begins behind them.
    pub(crate) violation: Option<Close>,
}

impl Framing {
    /// Whether no frame and no fragmented message is under way.
    pub(crate) fn at_boundary(&self) -> bool {
        self.header_len == 0 && self.payload == 0 && !self.fragmented
    }

    /// Follows `bytes`, which continue those of the calls before. Not to be called again after a
    /// violation.
    pub(crate) fn feed(&mut self, bytes: &[u8], limit: usize) -> Fed {
        let mut fed = Fed::default();
        while fed.usable < bytes.len() && !self.closed {
            if self.payload == 0 {
                match self.header(&bytes[fed.usable..]) {
                    Ok(Some((header, len, taken))) => {
                        let wrong = self.begin(&header, len, limit);
                        if let Err(close) = wrong {
                            fed.violation = Some(close);
                            break;
                        }
                        fed.usable += taken;
                        fed.longest = fed.longest.max(len);
                        if len == 0 || matches!(header.opcode, OpCode::Control(_)) {
                            fed.idle += 1;
                        }
                    }
                    Ok(None) => {
                        fed.usable = bytes.len();
                        break;
                    }
                    Err(close) => {
                        fed.violation = Some(close);
                        break;
                    }
                }
            }
            let part = self.payload.min((bytes.len() - fed.usable) as u64);
            fed.usable += part as usize;
            self.payload -= part;
            if self.payload == 0 {
                fed.ended += u32::from(self.gives);
                self.closed = self.close;
            }
        }
        fed
    }

    /// Reads a header: it, its payload's length, and the bytes it took from `bytes`. Nothing if it
    /// is cut; then all of `bytes` are kept.
    fn header(&mut self, bytes: &[u8]) -> Result<Option<(FrameHeader, u64, usize)>, Close> {
        let kept = usize::from(self.header_len);
        // Never more than a header needs is kept, so what is read lies in `header` or in `bytes`.
        let more = bytes.len().min(MAX_HEADER - kept);
        self.header[kept..kept + more].copy_from_slice(&bytes[..more]);
        let mut cursor = Cursor::new(&self.header[..kept + more]);
        match FrameHeader::parse(&mut cursor) {
            Ok(Some((header, len))) => {
                let total = cursor.position() as usize;
                if len >> 63 != 0 || header.len(len) != total {
                    return Err(protocol("length not in its shortest form"));
                }
                self.header_len = 0;
                Ok(Some((header, len, total - kept)))
            }
            Ok(None) => {
                self.header_len = (kept + more) as u8;
                Ok(None)
            }
            Err(_) => Err(protocol("reserved opcode")),
        }
    }

    fn begin(&mut self, header: &FrameHeader, len: u64, limit: usize) -> Result<(), Close> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(protocol("reserved bit set"));
        }
        if header.mask.is_none() {
            return Err(protocol("frame not masked"));
        }
        match header.opcode {
            OpCode::Control(_) if !header.is_final => {
                return Err(protocol("control frame fragmented"));
            }
            OpCode::Control(_) if len > crate::frame::CONTROL_BYTES as u64 => {
                return Err(protocol("control frame too long"));
            }
            OpCode::Control(_) => {}
            OpCode::Data(Data::Continue) if !self.fragmented => {
                return Err(protocol("nothing to continue"));
            }
            OpCode::Data(Data::Text | Data::Binary) if self.fragmented => {
                return Err(protocol("message within a message"));
            }
            OpCode::Data(_) => {
                self.message = if self.fragmented {
                    self.message.saturating_add(len)
                } else {
                    len
                };
                if self.message > limit as u64 {
                    return Err(Close::new(CloseCode::TOO_BIG, "message too big"));
                }
                self.fragmented = !header.is_final;
            }
        }
        self.gives = header.is_final;
        self.close = matches!(header.opcode, OpCode::Control(Control::Close));
        self.payload = len;
        Ok(())
    }
}

/// The longest header that a client sends: two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;

fn protocol(reason: &'static str) -> Close {
    Close::new(CloseCode::PROTOCOL, reason)
}
