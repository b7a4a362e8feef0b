//! The clients: they send the commands that they are given, and count the events that they receive.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use chat_core::{Incoming, Outgoing};
use futures::{Sink, Stream};
use load::frame;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Counter;

/// A client: the commands that it has yet to send, and whether it reads.
#[derive(Clone, Default)]
pub(crate) struct Client(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    commands: VecDeque<String>,
    stalled: bool,
    closed: bool,
    /// Wakes the task of the server, which waits for a command or for the client to read.
    waker: Option<Waker>,
}

impl Client {
    pub(crate) fn send(&self, command: String) {
        self.change(|state| state.commands.push_back(command));
    }

    pub(crate) fn stall(&self, stalled: bool) {
        self.change(|state| state.stalled = stalled);
    }

    pub(crate) fn close(&self) {
        self.change(|state| state.closed = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock().expect("not poisoned");
        change(&mut state);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// The next command, or `None` when the client has closed.
    fn poll_command(&self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        let mut state = self.0.lock().expect("not poisoned");
        match state.commands.pop_front() {
            None if !state.closed => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            command => Poll::Ready(command),
        }
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().expect("not poisoned");
        if state.stalled {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// A client without a byte stream: the smallest possible transport.
pub(crate) struct DirectClient {
    pub(crate) client: Client,
    pub(crate) counter: Counter,
}

impl Stream for DirectClient {
    type Item = Result<Incoming, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let command = self.client.poll_command(cx);
        command.map(|command| Some(Ok(Incoming::Text(command?.into()))))
    }
}

impl Sink<Outgoing> for DirectClient {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.client.poll_readable(cx).map(Ok)
    }

    fn start_send(self: Pin<&mut Self>, item: Outgoing) -> Result<(), Infallible> {
        if let Outgoing::Frames(frames) = item {
            let events = frames.payloads().filter(|json| is_message(json)).count();
            self.counter.add(events, frames.len());
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

/// A client behind a byte stream that never fills up. To a WebSocket it is a socket, but without
/// the kernel.
pub(crate) struct StreamClient {
    pub(crate) client: Client,
    pub(crate) counter: Counter,
}

impl StreamClient {
    /// Counts written bytes, which are whole frames, as the transport writes them.
    fn count(&self, mut bytes: &[u8]) -> usize {
        let all = bytes.len();
        let mut events = 0;
        while let [_, short, rest @ ..] = bytes {
            let (len, rest) = match (*short, rest) {
                (126, [high, low, rest @ ..]) => {
                    (usize::from(u16::from_be_bytes([*high, *low])), rest)
                }
                (short, rest) => (usize::from(short), rest),
            };
            let (payload, rest) = rest.split_at(len);
            events += usize::from(is_message(payload));
            bytes = rest;
        }
        self.counter.add(events, all);
        all
    }
}

impl AsyncRead for StreamClient {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.client.poll_command(cx).map(|command| {
            if let Some(command) = command {
                let mut bytes = Vec::new();
                frame::push_client(&mut bytes, frame::TEXT, command.as_bytes(), [7; 4]);
                buf.put_slice(&bytes);
            }
            Ok(())
        })
    }
}

impl AsyncWrite for StreamClient {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.client.poll_readable(cx).map(|()| Ok(self.count(buf)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.client
            .poll_readable(cx)
            .map(|()| Ok(bufs.iter().map(|buf| self.count(buf)).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn is_message(json: &[u8]) -> bool {
    json.starts_with(br#"{"type":"message""#)
}
