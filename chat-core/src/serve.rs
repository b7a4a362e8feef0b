//! The driver: one connection, from its first message to its end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::time::Sleep;

use crate::session::{Session, Work};
use crate::stir::{Flag, Stir};
use crate::ticket::Ticket;
use crate::transport::{Close, CloseCode, Incoming, Outgoing, Transport};

/// A connection being served: a future that ends with it, with the reason.
///
/// One task polls both directions: the rest of a command that had to wait, then a few new commands, then what is to be sent.
/// Dropping it is a cut connection: its members keep their seats for their grace.
//
// Laid out by hand, as `Session` and chat-ws's `WebSocket` are: what a delivery touches lies together, in the middle, what only
// commands need at both ends. A thousand connections are more than the nearest caches hold, so each line less is a wait for
// memory less: 3 % of a delivery in small rooms (docs/PERFORMANCE.md).
#[must_use = "a connection is served by polling it"]
#[repr(C)]
pub struct Connection<T: Transport> {
    transport: T,
    /// The write deadline, while the transport does not take what it is given.
    stall: Option<Pin<Box<Sleep>>>,
    work: Option<Box<Work>>,
    closing: Option<Box<Close>>,
    /// Raised when the transport has woken the task.
    stirred: Flag,
    /// What raises it: what the transport is polled with.
    waker: Waker,
    /// The transport may have commands although it has not said so.
    more: bool,
    /// The last turn took commands, so this one delivers.
    heard: bool,
    session: Session,
}

impl<T: Transport> Connection<T> {
    pub(crate) fn new(ticket: Ticket, transport: T) -> Self {
        let mut session = Session::new(ticket);
        if session.ticket.identity.is_some() {
            let now = session.engine.clock.now();
            session.greet(now);
        }
        let stirred = session.engine.flags.of(session.slot);
        Self {
            transport,
            session,
            work: None,
            stall: None,
            closing: None,
            more: true,
            heard: false,
            stirred,
            waker: Waker::noop().clone(),
        }
    }

    /// One turn. Ready when the connection is over.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Close> {
        loop {
            if let Some(close) = &self.closing {
                let close = Close::clone(close);
                return self.poll_closed(cx).map(|()| close);
            }
            self.go_on(cx);
            self.session.ring();
            // Commands first. What they have made is delivered in the next turn, after those of everybody else who is heard in
            // this one: busy rooms are then delivered in fewer and larger writes.
            if !self.heard {
                let heard = self.listen();
                self.session.ring();
                match heard {
                    Ok(0) => {}
                    Ok(_) => {
                        self.heard = true;
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Err(close) => return Poll::Ready(close),
                }
            }
            let stalled = match self.deliver() {
                Ok(stalled) => stalled,
                Err(error) => return Poll::Ready(broken::<T>(&error)),
            };
            if let Some(close) = self.session.ending().cloned().filter(|_| !stalled) {
                self.say_goodbye(close);
                continue;
            }
            if std::mem::take(&mut self.heard) {
                continue;
            }
            if stalled {
                if self.poll_stall(cx).is_pending() {
                    return Poll::Pending;
                }
                // No close frame gets through to a peer that takes nothing.
                return Poll::Ready(Close::new(CloseCode::TOO_SLOW, "too slow"));
            }
            if self.session.rest() {
                return Poll::Pending;
            }
        }
    }

    /// Goes on with a command that waits.
    fn go_on(&mut self, cx: &mut Context<'_>) {
        while let Some(work) = &mut self.work {
            let Poll::Ready(rest) = work.rest.as_mut().poll(cx) else {
                return;
            };
            let (id, now) = (work.id, self.session.engine.clock.now());
            self.work = self.session.resume(id, rest, now).map(Box::new);
        }
    }

    /// Sends what there is, in one flush. True if the transport does not take it all now.
    fn deliver(&mut self) -> Result<bool, T::Error> {
        let mut cx = Context::from_waker(&self.waker);
        let mut transport = Pin::new(&mut self.transport);
        let mut stalled = false;
        loop {
            if transport.as_mut().poll_ready(&mut cx)?.is_pending() {
                stalled = true;
                break;
            }
            let Some(frames) = self.session.next() else {
                break;
            };
            transport.as_mut().start_send(Outgoing::Frames(frames))?;
            // What came before was taken: a slow peer that makes way is served for as long as it does.
            self.stall = None;
        }
        stalled |= transport.poll_flush(&mut cx)?.is_pending();
        if !stalled {
            self.stall = None;
        }
        Ok(stalled)
    }

    /// Takes commands, a few at a time so that no peer keeps the task to itself. Gives their number.
    fn listen(&mut self) -> Result<usize, Close> {
        if !self.stirred.take() && !self.more {
            return Ok(0);
        }
        self.more = true;
        let mut cx = Context::from_waker(&self.waker);
        // One look at the clocks for all.
        let mut now = None;
        for heard in 0..COMMANDS {
            // A command that waits keeps those behind it waiting, and so do replies that are not taken.
            if self.work.is_some() || self.session.is_full() {
                return Ok(heard);
            }
            match Pin::new(&mut self.transport).poll_next(&mut cx) {
                Poll::Ready(Some(Ok(Incoming::Text(text)))) => {
                    let now = *now.get_or_insert_with(|| self.session.engine.clock.now());
                    self.work = self.session.receive(&text, now).map(Box::new);
                }
                Poll::Ready(Some(Ok(Incoming::Binary(_)))) => {
                    self.session
                        .end(Close::new(CloseCode::UNSUPPORTED, "text only"));
                }
                Poll::Ready(Some(Err(error))) => return Err(broken::<T>(&error)),
                Poll::Ready(None) => {
                    return Err(Close::new(CloseCode::NORMAL, "the peer has gone"));
                }
                Poll::Pending => {
                    self.more = false;
                    return Ok(heard);
                }
            }
        }
        Ok(COMMANDS)
    }

    fn say_goodbye(&mut self, close: Close) {
        let mut cx = Context::from_waker(&self.waker);
        let mut transport = Pin::new(&mut self.transport);
        if matches!(transport.as_mut().poll_ready(&mut cx), Poll::Ready(Ok(()))) {
            let _ = transport.start_send(Outgoing::Close(close.clone()));
        }
        self.session.close(self.session.engine.clock.now());
        self.stall = None;
        self.closing = Some(Box::new(close));
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut transport_cx = Context::from_waker(&self.waker);
        if Pin::new(&mut self.transport)
            .poll_close(&mut transport_cx)
            .is_ready()
        {
            return Poll::Ready(());
        }
        self.poll_stall(cx)
    }

    /// Ready when the transport has made no way for too long.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timeout = self.session.engine.limits.write_timeout;
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        stall.as_mut().poll(cx)
    }
}

impl<T: Transport> Future for Connection<T> {
    type Output = Close;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Close> {
        // Before anything is looked at: whoever rings may know the task before only.
        if !self.session.task.will_wake(cx.waker()) {
            self.session.follow(cx.waker());
            self.waker = Stir::waker(&self.stirred, cx.waker());
            // The transport is asked once, and knows whom to wake.
            self.stirred.raise();
        }
        let close = std::task::ready!(self.turn(cx));
        let now = self.session.engine.clock.now();
        self.session.close(now);
        Poll::Ready(close)
    }
}

impl<T: Transport> Unpin for Connection<T> {}

impl<T: Transport> Drop for Connection<T> {
    fn drop(&mut self) {
        self.session.close(self.session.engine.clock.now());
    }
}

fn broken<T: Transport>(error: &T::Error) -> Close {
    tracing::debug!(%error, "connection broke");
    Close::new(CloseCode::NORMAL, "the connection broke")
}

/// Commands taken in one turn: what usually fits in one read. Those of one turn are delivered together.
const COMMANDS: usize = 128;
