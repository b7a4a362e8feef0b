//! The other ends of the connections: they say what they are told to, and count what they are handed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use chat_core::{Incoming, Outgoing};
use futures_util::{Sink, Stream};
use load::frame;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Counter;

/// A client: what it is about to say, and whether it takes what it is told.
#[derive(Clone, Default)]
pub(crate) struct Client(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    queue: VecDeque<String>,
    stalled: bool,
    gone: bool,
    /// The server's task, waiting for either.
    waker: Option<Waker>,
}

impl Client {
    pub(crate) fn say(&self, command: String) {
        self.change(|state| state.queue.push_back(command));
    }

    pub(crate) fn stall(&self, stalled: bool) {
        self.change(|state| state.stalled = stalled);
    }

    pub(crate) fn go(&self) {
        self.change(|state| state.gone = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock().expect("not poisoned");
        change(&mut state);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// The next command, none when the client has gone.
    fn poll_command(&self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        let mut state = self.0.lock().expect("not poisoned");
        match state.queue.pop_front() {
            None if !state.gone => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            command => Poll::Ready(command),
        }
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().expect("not poisoned");
        if state.stalled {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// A client without a wire: the smallest transport there is.
pub(crate) struct Direct {
    pub(crate) client: Client,
    pub(crate) counter: Counter,
}

impl Stream for Direct {
    type Item = Result<Incoming, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let command = self.client.poll_command(cx);
        command.map(|command| Some(Ok(Incoming::Text(command?.into()))))
    }
}

impl Sink<Outgoing> for Direct {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.client.poll_room(cx).map(Ok)
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

/// A client behind a byte stream that never fills up: what a socket is to a WebSocket, without the kernel.
pub(crate) struct Wire {
    pub(crate) client: Client,
    pub(crate) counter: Counter,
}

impl Wire {
    /// Counts what was written: whole frames, as the transport writes them.
    fn take(&self, mut bytes: &[u8]) -> usize {
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

impl AsyncRead for Wire {
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

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.client.poll_room(cx).map(|()| Ok(self.take(buf)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.client
            .poll_room(cx)
            .map(|()| Ok(bufs.iter().map(|buf| self.take(buf)).sum()))
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
