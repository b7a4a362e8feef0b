//! A transport that accepts nothing for a while, and then everything at once, as a socket does whose
//! peer pauses.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use chat_core::{Chat, Connection, Incoming, Limits, Outgoing};
use futures::{Sink, Stream};

#[derive(Clone, Default)]
struct Socket(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    commands: VecDeque<Bytes>,
    is_blocked: bool,
    /// Woken when a command arrives at a socket that had none, and not for those that are there.
    reader: Option<Waker>,
    /// Woken when the socket accepts data again.
    writer: Option<Waker>,
    delivered: usize,
}

impl Stream for Socket {
    type Item = Result<Incoming, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.borrow_mut();
        match state.commands.pop_front() {
            Some(command) => Poll::Ready(Some(Ok(Incoming::Text(command)))),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Sink<Outgoing> for Socket {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        let mut state = self.0.borrow_mut();
        if state.is_blocked {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, outgoing: Outgoing) -> Result<(), Infallible> {
        if let Outgoing::Frames(frames) = outgoing {
            self.0.borrow_mut().delivered += frames.payloads().count();
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

/// A task as its executor sees it: it is polled only when it was woken.
struct Task(AtomicBool);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

fn poll_while_woken(connection: &mut Connection<Socket>, task: &Arc<Task>) {
    let waker = Waker::from(Arc::clone(task));
    let mut cx = Context::from_waker(&waker);
    while task.0.swap(false, Ordering::AcqRel) {
        assert!(Pin::new(&mut *connection).poll(&mut cx).is_pending());
    }
}

/// A full outbox stops the reading. Once the peer reads on, the server must, too: nothing else would
/// wake the connection for the commands that wait.
#[tokio::test]
async fn after_a_pause_of_the_peer_every_waiting_command_is_answered() {
    const PAGES: usize = 20;
    let limits = Limits::default().without_rates();
    let chat = Chat::builder().limits(limits).open_rooms(true).build();
    let socket = Socket::default();
    let mut connection = chat.admit(None).unwrap().serve(socket.clone());
    let queue = |command: String| {
        let mut state = socket.0.borrow_mut();
        state.commands.push_back(command.into());
        state.reader.take().map(Waker::wake)
    };
    let task = Arc::new(Task(AtomicBool::new(true)));

    queue(r#"{"type":"join","room":"r"}"#.into());
    for _ in 0..50 {
        let text = "x".repeat(3000);
        queue(format!(r#"{{"type":"send","room":"r","text":"{text}"}}"#));
    }
    poll_while_woken(&mut connection, &task);
    let before = socket.0.borrow().delivered;

    socket.0.borrow_mut().is_blocked = true;
    for _ in 0..PAGES {
        queue(r#"{"type":"history","room":"r","limit":50}"#.into());
    }
    poll_while_woken(&mut connection, &task);
    assert!(
        !socket.0.borrow().commands.is_empty(),
        "the outbox has no bound"
    );

    socket.0.borrow_mut().is_blocked = false;
    let writer = socket.0.borrow_mut().writer.take();
    writer.expect("the connection waits for the socket").wake();
    poll_while_woken(&mut connection, &task);
    assert_eq!(
        socket.0.borrow().commands.len(),
        0,
        "commands are left unread"
    );
    assert_eq!(socket.0.borrow().delivered - before, PAGES);
}
