//! Partial writes, full sockets and peers that do not read.

mod common;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use chat_core::{Close, CloseCode, Outgoing};
use chat_ws::{Config, Message, WebSocket};
use common::*;
use futures::{Sink, SinkExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What one write to a [`Scripted`] stream does.
#[derive(Clone, Copy)]
enum Write {
    /// Takes at most so many bytes.
    Bytes(usize),
    /// Is pending once.
    Block,
}

/// A stream that never has input. It takes output by a script, and everything after the script.
struct Scripted {
    script: VecDeque<Write>,
    vectored: bool,
    written: Arc<Mutex<Vec<u8>>>,
    calls: Arc<Mutex<usize>>,
}

impl Scripted {
    fn write(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        *self.calls.lock().unwrap() += 1;
        let len = match self.script.pop_front() {
            Some(Write::Bytes(len)) => len.min(bytes.len()),
            Some(Write::Block) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            None => bytes.len(),
        };
        self.written.lock().unwrap().extend(&bytes[..len]);
        Poll::Ready(Ok(len))
    }
}

impl AsyncRead for Scripted {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        assert!(bufs.len() <= 64);
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        self.write(cx, &all)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Sends three messages and a close over a stream with that script. Returns the bytes that were
/// written, and the number of write calls.
async fn write_with_script(script: Vec<Write>, vectored: bool) -> (Vec<u8>, usize) {
    let (written, calls) = <(Arc<Mutex<Vec<u8>>>, Arc<Mutex<usize>>)>::default();
    let io = Scripted {
        script: script.into(),
        vectored,
        written: Arc::clone(&written),
        calls: Arc::clone(&calls),
    };
    let mut socket = WebSocket::new(io, &[], Arc::new(Config::default()));
    socket.queue_message(text("one").into());
    socket.queue_message(Message::Binary(Bytes::from_static(b"two")));
    socket.flush().await.unwrap();
    socket.queue_message(text("three").into());
    socket
        .feed(Outgoing::Close(Close::new(CloseCode::NORMAL, "end")))
        .await
        .unwrap();
    socket.close().await.unwrap();
    (written.lock().unwrap().clone(), *calls.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn every_partial_write_is_resumed_where_it_ended() {
    let expected = b"\x81\x03one\x82\x03two\x81\x05three\x88\x05\x03\xe8end";
    for vectored in [true, false] {
        let (written, calls) = write_with_script(vec![], vectored).await;
        assert_eq!(written, expected);
        // Two flushes: of two messages, and of one message with the close frame.
        assert_eq!(calls, if vectored { 2 } else { 7 });
        for at in 0..expected.len() {
            for len in 1..=expected.len() - at {
                let script = vec![Write::Bytes(at.max(1)), Write::Block, Write::Bytes(len)];
                assert_eq!(
                    write_with_script(script, vectored).await.0,
                    expected,
                    "{at}, then {len}"
                );
            }
        }
        let drip = (0..100)
            .flat_map(|_| [Write::Block, Write::Bytes(1)])
            .collect();
        assert_eq!(write_with_script(drip, vectored).await.0, expected);
        for block in 0..expected.len() {
            let mut script = vec![Write::Bytes(1); block];
            script.extend([Write::Block; 3]);
            assert_eq!(write_with_script(script, vectored).await.0, expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_takes_no_bytes_is_an_error() {
    let (written, calls) = Default::default();
    let script = VecDeque::from([Write::Bytes(0)]);
    let io = Scripted {
        script,
        vectored: true,
        written,
        calls,
    };
    let mut socket = WebSocket::new(io, &[], Arc::new(Config::default()));
    socket.queue_message(text("one").into());
    assert_eq!(
        socket.flush().await.unwrap_err().kind(),
        io::ErrorKind::WriteZero
    );
}

/// Queues messages of `len` bytes until the queue is full, and returns how many it took.
async fn fill(len: usize) -> usize {
    let (io, _client) = tokio::io::duplex(1);
    let mut socket = WebSocket::new(io, &[], Arc::new(Config::default()));
    let message = Message::Binary(vec![0; len].into());
    poll_fn(|cx| {
        let mut queued = 0;
        while Pin::new(&mut socket).poll_ready(cx).is_ready() {
            socket.queue_message(message.clone());
            queued += 1;
        }
        Poll::Ready(queued)
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_fills_a_bounded_queue() {
    assert_eq!(fill(1 << 20).await, 1);
    assert_eq!(fill(64 * 1024).await, 1);
    assert_eq!(fill(10 * 1024).await, 7);
    assert_eq!(fill(1).await, 16);
}
