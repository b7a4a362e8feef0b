//! The decoder of the messages under way. An idle connection has none.

use std::cell::Cell;
use std::io;

use bytes::Bytes;
use chat_core::{Close, CloseCode, Incoming};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

use super::frame_scanner::{FrameScanner, Scan};
use super::memory_stream::MemoryStream;

/// tungstenite's protocol machine without its I/O: bytes go in, messages come out.
///
/// The machine unmasks, checks UTF-8 and close codes, joins fragments, and answers pings and close
/// frames. At a frame boundary it holds nothing that belongs to the connection, so it is then given
/// to the next connection of the thread that has something to decode.
///
/// The headers are parsed twice, by the [`FrameScanner`] and by the machine. If the two disagree
/// about where a message ends, the decoder logs an error and reports a violation with code 1002.
pub(super) struct Decoder {
    context: WebSocketContext,
    scanner: FrameScanner,
    /// Messages and control frames that the scanner has seen whole and that are not yet returned.
    pending: u32,
    /// Bytes that were scanned and have not been given to the context.
    saved: Bytes,
    /// Whether the context may have buffered bytes of a message under way without checking them.
    context_has_unchecked: bool,
    /// A violation behind everything else. It is returned last.
    violation: Option<Close>,
    /// Whether a long frame has made the context's buffer large.
    buffer_grown: bool,
    /// When the message under way started.
    pub(super) message_start: Instant,
}

/// What [`Decoder::decode`] came to.
pub(super) enum Decoded {
    /// A message.
    Message(Incoming),
    /// The peer sent a close frame. This frame answers it.
    Close(Bytes),
    /// The peer violated the protocol and is to be closed with this.
    Violation(Close),
    /// Everything was decoded.
    NeedInput,
    /// There is more to decode, but the limit of this call is reached.
    LimitReached,
}

thread_local! {
    /// A decoder at a frame boundary, for the next connection of this thread.
    static SPARE_DECODER: Cell<Option<Box<Decoder>>> = const { Cell::new(None) };
}

/// A longer payload, in bytes, leaves the context with a buffer that is too large to keep.
const MAX_REUSABLE_PAYLOAD: u64 = 16 * 1024;
/// A payload of at most this many bytes is copied out of the block that it was read into.
const MAX_COPIED_PAYLOAD: usize = 4 * 1024;
/// The bytes that the context zeroes and then reads at a time: enough for a command, and cheap to
/// zero.
const CONTEXT_READ_BYTES: usize = 1024;

impl Decoder {
    /// A decoder at a frame boundary, for messages of at most `max_message_bytes`: the spare one of
    /// this thread, or a new one.
    pub(super) fn acquire(max_message_bytes: usize, now: Instant) -> Box<Self> {
        let Some(mut spare) = SPARE_DECODER.take() else {
            return Box::new(Self::new(max_message_bytes, now));
        };
        spare.message_start = now;
        if spare.context.get_config().max_message_size != Some(max_message_bytes) {
            spare
                .context
                .set_config(|config| *config = context_config(max_message_bytes));
        }
        spare
    }

    /// Gives back a decoder that [is idle](Self::is_idle).
    #[inline]
    pub(super) fn release(self: Box<Self>) {
        debug_assert!(self.is_idle());
        if !self.buffer_grown {
            SPARE_DECODER.set(Some(self));
        }
    }

    fn new(max_message_bytes: usize, now: Instant) -> Self {
        Self {
            context: WebSocketContext::new(Role::Server, Some(context_config(max_message_bytes))),
            scanner: FrameScanner::default(),
            pending: 0,
            saved: Bytes::new(),
            context_has_unchecked: false,
            violation: None,
            buffer_grown: false,
            message_start: now,
        }
    }

    /// Whether everything that was scanned has been returned, and ended at a frame boundary outside
    /// of any message.
    pub(super) fn is_idle(&self) -> bool {
        self.pending == 0
            && self.saved.is_empty()
            && self.violation.is_none()
            && self.scanner.at_boundary()
    }

    /// Scans bytes of the socket. Returns the part that is to be given to [`decode`](Self::decode),
    /// and the number of control frames and empty data frames in it.
    pub(super) fn scan<'a>(
        &mut self,
        bytes: &'a [u8],
        max_message_bytes: usize,
    ) -> (&'a [u8], u32) {
        let Scan {
            valid_bytes,
            completed,
            idle_frames,
            max_payload,
            violation,
        } = self.scanner.scan(bytes, max_message_bytes);
        self.pending += completed;
        self.buffer_grown |= max_payload > MAX_REUSABLE_PAYLOAD;
        self.violation = violation;
        (&bytes[..valid_bytes], idle_frames)
    }

    /// Saves the input that a call of [`decode`](Self::decode) left over.
    pub(super) fn save(&mut self, input: &[u8]) {
        if !input.is_empty() {
            self.saved = Bytes::copy_from_slice(input);
        }
    }

    /// [`decode`](Self::decode) for the input that was [saved](Self::save).
    pub(super) fn decode_saved(
        &mut self,
        send_pong: &mut dyn FnMut(Bytes),
        control_frames_left: &mut u32,
    ) -> Decoded {
        let saved = std::mem::take(&mut self.saved);
        let mut input = &saved[..];
        let decoded = self.decode(&mut input, send_pong, control_frames_left);
        let used = saved.len() - input.len();
        self.saved = saved.slice(used..);
        decoded
    }

    /// Decodes until there is something to return, taking what it needs off `input`.
    ///
    /// It handles at most `control_frames_left` pings and pongs, and counts them down. Pongs to
    /// send are given to `send_pong`.
    pub(super) fn decode(
        &mut self,
        input: &mut &[u8],
        send_pong: &mut dyn FnMut(Bytes),
        control_frames_left: &mut u32,
    ) -> Decoded {
        loop {
            // A fragment with invalid text is a violation before its message ends, and before what
            // follows it.
            let all_checked = !self.context_has_unchecked || self.scanner.at_boundary();
            if self.pending == 0 && input.is_empty() && all_checked {
                return self
                    .violation
                    .take()
                    .map_or(Decoded::NeedInput, Decoded::Violation);
            }
            if self.pending > 0 && *control_frames_left == 0 {
                return Decoded::LimitReached;
            }
            let mut reply = None;
            let mut stream = MemoryStream {
                input,
                reply: &mut reply,
            };
            self.context_has_unchecked = true;
            let message = match self.context.read(&mut stream) {
                Ok(message) => message,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.pending != 0 {
                        return self.disagreement();
                    }
                    self.context_has_unchecked = false;
                    continue;
                }
                Err(error) => return Decoded::Violation(close_for(&error)),
            };
            if let Message::Close(_) = message {
                // This fails by design once the reply is written, because nothing may follow it.
                let _ = self.context.flush(&mut stream);
                return Decoded::Close(reply.unwrap_or_default());
            }
            let Some(pending) = self.pending.checked_sub(1) else {
                return self.disagreement();
            };
            self.pending = pending;
            match message {
                Message::Text(text) => {
                    return Decoded::Message(Incoming::Text(detach(text.into())));
                }
                Message::Binary(bytes) => {
                    return Decoded::Message(Incoming::Binary(detach(bytes)));
                }
                _ => {
                    *control_frames_left = control_frames_left.saturating_sub(1);
                    // This never fails, because memory takes everything that is written.
                    let _ = self.context.flush(&mut stream);
                    if let Some(pong) = reply {
                        send_pong(pong);
                    }
                }
            }
        }
    }

    /// Where a message ends is not known, so the connection cannot go on.
    fn disagreement(&self) -> Decoded {
        tracing::error!(
            pending = self.pending,
            "the frame scanner and tungstenite disagree about the end of a message; \
             closing the connection"
        );
        debug_assert!(false, "the frame scanner and tungstenite disagree");
        Decoded::Violation(Close::new(CloseCode::PROTOCOL_ERROR, "protocol error"))
    }
}

fn context_config(max_message_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(CONTEXT_READ_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(max_message_bytes))
        .max_frame_size(Some(max_message_bytes))
}

/// A short payload is copied out of the read buffer, because a slice would keep all of its block.
fn detach(payload: Bytes) -> Bytes {
    if payload.len() > MAX_COPIED_PAYLOAD {
        payload
    } else {
        Bytes::copy_from_slice(&payload)
    }
}

/// How a violation is answered (RFC 6455 §7.4.1).
fn close_for(error: &Error) -> Close {
    match error {
        Error::Utf8(_) => Close::new(CloseCode::INVALID_DATA, "text is not UTF-8"),
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Close::new(CloseCode::TOO_BIG, "message too big")
        }
        Error::Protocol(ProtocolError::InvalidCloseSequence) => {
            Close::new(CloseCode::PROTOCOL_ERROR, "bad close frame")
        }
        _ => Close::new(CloseCode::PROTOCOL_ERROR, "protocol error"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client_frames::frame;

    const LIMIT: usize = 300;

    /// What a decoder returned, in a form that can be compared.
    #[derive(Clone, Debug, PartialEq)]
    enum Event {
        Message(Incoming),
        Pong(Bytes),
        Close(Bytes),
        Violation(CloseCode),
    }

    /// What one context for the whole connection returns, given everything at once.
    fn decode_with_one_context(bytes: &[u8]) -> Vec<Event> {
        let mut context = WebSocketContext::new(Role::Server, Some(context_config(LIMIT)));
        let mut input = bytes;
        let mut events = Vec::new();
        loop {
            let mut reply = None;
            let mut stream = MemoryStream {
                input: &mut input,
                reply: &mut reply,
            };
            match context.read(&mut stream) {
                Ok(Message::Text(text)) => {
                    events.push(Event::Message(Incoming::Text(text.into())));
                }
                Ok(Message::Binary(bytes)) => {
                    events.push(Event::Message(Incoming::Binary(bytes)));
                }
                Ok(Message::Close(_)) => {
                    let _ = context.flush(&mut stream);
                    events.push(Event::Close(reply.unwrap()));
                    return events;
                }
                Ok(_) => {
                    context.flush(&mut stream).unwrap();
                    events.extend(reply.map(Event::Pong));
                }
                Err(Error::Io(_)) => return events,
                Err(error) => {
                    events.push(Event::Violation(close_for(&error).code));
                    return events;
                }
            }
        }
    }

    /// What decoders return that are acquired for each stretch of bytes that needs one, given the
    /// bytes in pieces.
    fn decode_with_acquired_decoders(pieces: &[&[u8]]) -> Vec<Event> {
        let now = Instant::now();
        let mut decoder: Option<Box<Decoder>> = None;
        let mut events = Vec::new();
        for piece in pieces {
            let current = decoder.get_or_insert_with(|| Decoder::acquire(LIMIT, now));
            let (mut input, _) = current.scan(piece, LIMIT);
            let (mut first, mut pongs) = (true, Vec::new());
            loop {
                // One control frame per call, so that the rest is saved.
                let mut send_pong = |pong| pongs.push(Event::Pong(pong));
                let mut control_frames_left = 1;
                let decoded = if first {
                    let decoded =
                        current.decode(&mut input, &mut send_pong, &mut control_frames_left);
                    current.save(input);
                    decoded
                } else {
                    current.decode_saved(&mut send_pong, &mut control_frames_left)
                };
                first = false;
                events.append(&mut pongs);
                match decoded {
                    Decoded::Message(message) => events.push(Event::Message(message)),
                    Decoded::LimitReached => {}
                    Decoded::NeedInput => break,
                    Decoded::Close(reply) => {
                        events.push(Event::Close(reply));
                        return events;
                    }
                    Decoded::Violation(close) => {
                        events.push(Event::Violation(close.code));
                        return events;
                    }
                }
            }
            if current.is_idle() {
                decoder.take().unwrap().release();
            }
        }
        events
    }

    /// What is decoded from one message while `pending` claims that the scanner saw another number
    /// of them.
    fn decode_with_wrong_count(pending: u32) -> Decoded {
        let mut decoder = Decoder::new(LIMIT, Instant::now());
        let frame = frame(0x81, b"one");
        let (mut input, _) = decoder.scan(&frame, LIMIT);
        decoder.pending = pending;
        loop {
            match decoder.decode(&mut input, &mut |_| (), &mut 1) {
                Decoded::Message(_) => {}
                other => return other,
            }
        }
    }

    fn is_protocol_error(decoded: &Decoded) -> bool {
        matches!(decoded, Decoded::Violation(close) if close.code == CloseCode::PROTOCOL_ERROR)
    }

    // A release build closes the connection; a debug build panics first.

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "disagree"))]
    fn a_message_that_only_tungstenite_sees_is_a_protocol_error() {
        assert!(is_protocol_error(&decode_with_wrong_count(0)));
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "disagree"))]
    fn a_message_that_only_the_scanner_sees_is_a_protocol_error() {
        assert!(is_protocol_error(&decode_with_wrong_count(2)));
    }

    /// Mostly valid frames, so that runs are long, and some with a bad header, size, text or order.
    fn frames() -> impl Strategy<Value = Vec<u8>> {
        let text = prop_oneof![
            8 => "[a-zé한🙂]{0,40}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..8),
        ];
        let message = (
            text,
            prop::collection::vec(0usize..200, 0..3),
            any::<bool>(),
        )
            .prop_map(|(text, cuts, binary)| {
                let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
                cuts.extend([0, text.len()]);
                cuts.sort_unstable();
                let last = cuts.len() - 2;
                let mut out = Vec::new();
                for (i, span) in cuts.windows(2).enumerate() {
                    let opcode = if i > 0 { 0 } else { 1 + u8::from(binary) };
                    let fin = if i == last { 0x80 } else { 0 };
                    out.extend(frame(fin | opcode, &text[span[0]..span[1]]));
                    if i != last && span[0] % 2 == 1 {
                        out.extend(frame(0x89, b"between"));
                    }
                }
                out
            });
        let bytes = prop::collection::vec(any::<u8>(), 0..20);
        prop_oneof![
            20 => message,
            4 => bytes.clone().prop_map(|payload| frame(0x89, &payload)),
            2 => bytes.clone().prop_map(|payload| frame(0x8a, &payload)),
            1 => (900u16..5100).prop_map(|code| frame(0x88, &code.to_be_bytes())),
            1 => bytes.clone().prop_map(|payload| frame(0x88, &payload)),
            1 => (any::<u8>(), bytes).prop_map(|(first, payload)| frame(first, &payload)),
            1 => (290usize..310).prop_map(|len| frame(0x82, &vec![7; len])),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_decoder_per_message_returns_what_one_per_connection_returns(
            frames in prop::collection::vec(frames(), 0..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let bytes = frames.concat();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|span| &bytes[span[0]..span[1]]).collect();
            let expected = decode_with_one_context(&bytes);
            let actual = decode_with_acquired_decoders(&pieces);
            // The decoder checks headers before payloads, so the codes for a frame that is wrong
            // in two ways may differ. What was received before it may not.
            prop_assert_eq!(expected.len(), actual.len(), "{:?} {:?}", expected, actual);
            for (expected, actual) in expected.iter().zip(&actual) {
                if !matches!((expected, actual), (Event::Violation(_), Event::Violation(_))) {
                    prop_assert_eq!(expected, actual);
                }
            }
        }
    }
}
