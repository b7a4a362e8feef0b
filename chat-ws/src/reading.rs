//! The parser of a message under way; an idle connection has none.

use std::cell::Cell;
use std::io::{self, Read, Write};

use bytes::Bytes;
use chat_core::{Close, CloseCode, Incoming};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::framing::{Fed, Framing};

/// tungstenite's protocol machine without its I/O: bytes go in, messages come out.
///
/// It unmasks, checks UTF-8 and close codes, joins fragments and answers pings and closes. At a
/// frame boundary it holds nothing of the connection's, so it is then handed to the thread's next
/// connection with something to read.
pub(crate) struct Reading {
    context: WebSocketContext,
    framing: Framing,
    /// Messages and control frames that were taken in whole and are yet to be returned.
    ended: u32,
    /// What was read from the socket and is not parsed.
    rest: Bytes,
    /// Whether the context may hold frames of a message under way that it has not looked at.
    unseen: bool,
    /// Raised when all before it was returned.
    violation: Option<Close>,
    /// Whether a long frame has made the context's buffer large.
    grown: bool,
    /// When the message under way began.
    pub(crate) began: Instant,
}

/// What [`Reading::step`] came to.
pub(crate) enum Step {
    /// A message.
    Message(Incoming),
    /// The peer closes; this answers it.
    Close(Bytes),
    /// The peer broke the protocol; this is what to tell it.
    Broken(Close),
    /// Everything was parsed.
    More,
    /// There is more to parse, but enough was done for now.
    Enough,
}

impl Reading {
    /// A parser at a frame boundary for messages of at most `limit` bytes: the thread's spare one,
    /// or a new one.
    pub(crate) fn begin(limit: usize, now: Instant) -> Box<Self> {
        let Some(mut spare) = SPARE.take() else {
            return Box::new(Self::new(limit, now));
        };
        spare.began = now;
        if spare.context.get_config().max_message_size != Some(limit) {
            spare.context.set_config(|config| *config = settings(limit));
        }
        spare
    }

    /// Gives back a parser that [is idle](Self::is_idle).
    pub(crate) fn end(self: Box<Self>) {
        debug_assert!(self.is_idle());
        if !self.grown {
            SPARE.set(Some(self));
        }
    }

    fn new(limit: usize, now: Instant) -> Self {
        Self {
            context: WebSocketContext::new(Role::Server, Some(settings(limit))),
            framing: Framing::default(),
            ended: 0,
            rest: Bytes::new(),
            unseen: false,
            violation: None,
            grown: false,
            began: now,
        }
    }

    /// Whether all that was taken in was returned, and ended at a frame boundary outside of any
    /// message.
    pub(crate) fn is_idle(&self) -> bool {
        self.ended == 0
            && self.rest.is_empty()
            && self.violation.is_none()
            && self.framing.at_boundary()
    }

    /// Takes in bytes of the socket, of which the returned first ones are to be given to
    /// [`step`](Self::step); also tells how many of its frames carry nothing.
    pub(crate) fn take_in<'a>(&mut self, bytes: &'a [u8], limit: usize) -> (&'a [u8], u32) {
        let Fed {
            usable,
            ended,
            idle,
            longest,
            violation,
        } = self.framing.feed(bytes, limit);
        self.ended += ended;
        self.grown |= longest > GROWN;
        self.violation = violation;
        (&bytes[..usable], idle)
    }

    /// Keeps what a step has left for the next one.
    pub(crate) fn keep(&mut self, input: &[u8]) {
        if !input.is_empty() {
            self.rest = Bytes::copy_from_slice(input);
        }
    }

    /// [`step`](Self::step) over what was kept.
    pub(crate) fn step_kept(&mut self, pong: &mut dyn FnMut(Bytes), frames: &mut u32) -> Step {
        let rest = std::mem::take(&mut self.rest);
        let mut input = &rest[..];
        let step = self.step(&mut input, pong, frames);
        let used = rest.len() - input.len();
        self.rest = rest.slice(used..);
        step
    }

    /// Parses on until there is something to return, and at most `frames` control frames, which it
    /// counts down. Pongs to send are given to `pong`.
    pub(crate) fn step(
        &mut self,
        input: &mut &[u8],
        pong: &mut dyn FnMut(Bytes),
        frames: &mut u32,
    ) -> Step {
        loop {
            // A fragment that is wrong is refused before what comes behind it, and before its message ends.
            let seen = !self.unseen || self.framing.at_boundary();
            if self.ended == 0 && input.is_empty() && seen {
                return self.violation.take().map_or(Step::More, Step::Broken);
            }
            if self.ended > 0 && *frames == 0 {
                return Step::Enough;
            }
            let mut reply = None;
            let mut memory = Memory {
                input,
                reply: &mut reply,
            };
            self.unseen = true;
            match self.context.read(&mut memory) {
                Ok(Message::Text(text)) => {
                    self.ended = self.ended.saturating_sub(1);
                    return Step::Message(Incoming::Text(own(text_bytes(text))));
                }
                Ok(Message::Binary(bytes)) => {
                    self.ended = self.ended.saturating_sub(1);
                    return Step::Message(Incoming::Binary(own(bytes)));
                }
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {
                    self.ended = self.ended.saturating_sub(1);
                    *frames = frames.saturating_sub(1);
                    // Never fails: memory always takes what is written.
                    let _ = self.context.flush(&mut memory);
                    if let Some(reply) = reply {
                        pong(reply);
                    }
                }
                Ok(Message::Close(_)) => {
                    // Errs by design: the reply was written, and nothing follows it.
                    let _ = self.context.flush(&mut memory);
                    return Step::Close(reply.unwrap_or_default());
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    debug_assert_eq!(self.ended, 0, "framing and parser disagree");
                    self.ended = 0;
                    self.unseen = false;
                }
                Err(error) => return Step::Broken(verdict(&error)),
            }
        }
    }
}

thread_local! {
    static SPARE: Cell<Option<Box<Reading>>> = const { Cell::new(None) };
}

/// Payloads over this leave the parser with a buffer too large to keep.
const GROWN: u64 = 16 * 1024;
/// Payloads over this are worth keeping in the block that they were read into.
const OWN_BLOCK: usize = 4 * 1024;
/// What the context zeroes and then reads at a time: enough for a command, cheap to zero.
const READ: usize = 1024;

fn settings(limit: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(0)
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit))
}

/// A payload apart from the read buffer, whose block a slice would pin.
fn own(payload: Bytes) -> Bytes {
    if payload.len() > OWN_BLOCK {
        payload
    } else {
        Bytes::copy_from_slice(&payload)
    }
}

fn text_bytes(text: Utf8Bytes) -> Bytes {
    text.into()
}

/// What a violation is answered with (RFC 6455 §7.4.1).
fn verdict(error: &Error) -> Close {
    match error {
        Error::Utf8(_) => Close::new(CloseCode::INVALID, "text is not UTF-8"),
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Close::new(CloseCode::TOO_BIG, "message too big")
        }
        Error::Protocol(ProtocolError::InvalidCloseSequence) => {
            Close::new(CloseCode::PROTOCOL, "bad close frame")
        }
        _ => Close::new(CloseCode::PROTOCOL, "protocol error"),
    }
}

/// The stream that the context reads from and writes to.
struct Memory<'a, 'i> {
    input: &'a mut &'i [u8],
    /// The last frame written. The context writes frame by frame, as its write buffer has no size.
    reply: &'a mut Option<Bytes>,
}

impl Read for Memory<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.input.read(buf)
    }
}

impl Write for Memory<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        *self.reply = Some(Bytes::copy_from_slice(buf));
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 300;

    /// What a parse came to, comparable.
    #[derive(Clone, Debug, PartialEq)]
    enum Got {
        Message(Incoming),
        Pong(Bytes),
        Close(Bytes),
        Broken(CloseCode),
    }

    /// One context for the whole connection, fed everything at once.
    fn kept(bytes: &[u8]) -> Vec<Got> {
        let mut context = WebSocketContext::new(Role::Server, Some(settings(LIMIT)));
        let mut input = bytes;
        let mut got = Vec::new();
        loop {
            let mut reply = None;
            let mut memory = Memory {
                input: &mut input,
                reply: &mut reply,
            };
            match context.read(&mut memory) {
                Ok(Message::Text(text)) => got.push(Got::Message(Incoming::Text(text.into()))),
                Ok(Message::Binary(bytes)) => got.push(Got::Message(Incoming::Binary(bytes))),
                Ok(Message::Close(_)) => {
                    let _ = context.flush(&mut memory);
                    got.push(Got::Close(reply.unwrap()));
                    return got;
                }
                Ok(_) => {
                    context.flush(&mut memory).unwrap();
                    got.extend(reply.map(Got::Pong));
                }
                Err(Error::Io(_)) => return got,
                Err(error) => {
                    got.push(Got::Broken(verdict(&error).code));
                    return got;
                }
            }
        }
    }

    /// A parser taken for each stretch of bytes that needs one, fed in pieces.
    fn taken(pieces: &[&[u8]]) -> Vec<Got> {
        let now = Instant::now();
        let mut reading: Option<Box<Reading>> = None;
        let mut got = Vec::new();
        for piece in pieces {
            let current = reading.get_or_insert_with(|| Reading::begin(LIMIT, now));
            let (mut input, _) = current.take_in(piece, LIMIT);
            let (mut first, mut pongs) = (true, Vec::new());
            loop {
                // One control frame a step, so that what is left goes through `keep`.
                let (mut pong, mut frames) = (|pong| pongs.push(Got::Pong(pong)), 1);
                let step = if first {
                    let step = current.step(&mut input, &mut pong, &mut frames);
                    current.keep(input);
                    step
                } else {
                    current.step_kept(&mut pong, &mut frames)
                };
                first = false;
                got.append(&mut pongs);
                match step {
                    Step::Message(message) => got.push(Got::Message(message)),
                    Step::Enough => {}
                    Step::More => break,
                    Step::Close(reply) => {
                        got.push(Got::Close(reply));
                        return got;
                    }
                    Step::Broken(close) => {
                        got.push(Got::Broken(close.code));
                        return got;
                    }
                }
            }
            if current.is_idle() {
                reading.take().unwrap().end();
            }
        }
        got
    }

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let mut out = vec![first];
        match payload.len() {
            len @ 0..126 => out.push(0x80 | len as u8),
            len => {
                out.push(0x80 | 126);
                out.extend((len as u16).to_be_bytes());
            }
        }
        out.extend(mask);
        out.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        out
    }

    /// Mostly honest frames, so that runs are long; some with a bad header, size, text or order.
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
        fn a_parser_per_message_gives_what_one_per_connection_gives(
            frames in prop::collection::vec(frames(), 0..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let bytes = frames.concat();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|span| &bytes[span[0]..span[1]]).collect();
            let (expected, got) = (kept(&bytes), taken(&pieces));
            // Headers are judged before payloads here, so the codes of a frame wrong twice over
            // may differ; what was received may not.
            prop_assert_eq!(expected.len(), got.len(), "{:?} {:?}", expected, got);
            for (expected, got) in expected.iter().zip(&got) {
                if !matches!((expected, got), (Got::Broken(_), Got::Broken(_))) {
                    prop_assert_eq!(expected, got);
                }
            }
        }
    }
}
