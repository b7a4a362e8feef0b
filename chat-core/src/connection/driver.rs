//! The driver of one connection: it polls the transport and the session.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::time::Sleep;

use super::continuation::PendingCommand;
use super::dispatch;
use super::session::Session;
use super::ticket::Ticket;
use super::transport::{Close, CloseCode, Incoming, Outgoing, Transport};
use crate::room::PendingNotifications;
use crate::wake::TransportWaker;

/// A connection that is being served: a future that ends with the connection, and tells why.
///
/// One task polls both directions: the rest of a command that had to wait, then a few new commands,
/// then what is to be sent. Dropping the future is the same as losing the connection: the seats of
/// its members are held for their grace.
///
/// # Panics
/// Polled outside of a tokio runtime with its timer.
#[must_use = "a connection is served by polling it"]
pub struct Connection<T: Transport> {
    transport: T,
    session: Session,
    phase: Phase,
    /// The command that waits for something outside. Those behind it wait as well.
    waiting: Option<Box<PendingCommand>>,
    /// The write deadline, while the transport does not accept what it is given.
    stall: Option<Pin<Box<Sleep>>>,
    closing: Option<Box<Close>>,
    /// Whether the transport may have commands although it has not called its waker.
    input_left: bool,
    /// What the transport is polled with, and whether it has called it.
    transport_waker: Option<Arc<TransportWaker>>,
    waker: Waker,
}

/// What the next turn does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Receive commands. If there are none, deliver.
    Receive,
    /// Deliver, because the last turn has received commands.
    ///
    /// Deliveries wait for a turn, so that the commands of all other connections that are awake
    /// come first: busy rooms are then delivered in fewer and larger writes.
    Deliver,
}

impl Ticket {
    /// Serves a connection for as long as it lives. Spawn the future where you like; dropping it
    /// loses the connection.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one whose timer is not enabled.
    pub fn serve<T: Transport>(self, transport: T) -> Connection<T> {
        Connection::new(self, transport)
    }
}

impl<T: Transport> Connection<T> {
    fn new(ticket: Ticket, transport: T) -> Self {
        ticket.engine.ensure_timekeeper();
        let identified = ticket.identity.is_some();
        let mut session = Session::new(ticket);
        if identified {
            let now = session.now();
            dispatch::ensure_hello(&mut session, now);
        }
        Self {
            transport,
            session,
            phase: Phase::Receive,
            waiting: None,
            stall: None,
            closing: None,
            input_left: true,
            transport_waker: None,
            waker: Waker::noop().clone(),
        }
    }

    /// One turn. Ready when the connection is over.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Close> {
        loop {
            if let Some(close) = &self.closing {
                let close = Close::clone(close);
                return self.poll_closed(cx).map(|()| close);
            }
            match self.run_commands(cx) {
                Ok(0) => {}
                Ok(_) => {
                    self.phase = Phase::Deliver;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(close) => return Poll::Ready(close),
            }
            let stalled = match self.deliver() {
                Ok(stalled) => stalled,
                Err(error) => return Poll::Ready(broken::<T>(&error)),
            };
            if let Some(close) = self.session.ending().cloned().filter(|_| !stalled) {
                self.start_closing(close);
                continue;
            }
            if self.phase == Phase::Deliver {
                self.phase = Phase::Receive;
                continue;
            }
            if stalled {
                if self.poll_stall(cx).is_pending() {
                    return Poll::Pending;
                }
                // No close frame reaches a peer that accepts nothing.
                return Poll::Ready(Close::new(CloseCode::TOO_SLOW, "too slow"));
            }
            if self.input_left && self.waiting.is_none() {
                // A full outbox has stopped the reading. It is empty now, and the transport, which
                // has not been polled to its end, would not wake the task for what it has.
                continue;
            }
            if self.session.prepare_to_sleep() {
                return Poll::Pending;
            }
        }
    }

    /// Goes on with a command that waits, receives new ones if it is time for that, and notifies
    /// the rooms to which they have sent. Returns the number of new commands.
    fn run_commands(&mut self, cx: &mut Context<'_>) -> Result<usize, Close> {
        let receives = self.phase == Phase::Receive && self.has_input();
        if !receives && self.waiting.is_none() {
            return Ok(0);
        }
        let mut pending = PendingNotifications::default();
        self.poll_waiting(cx, &mut pending);
        let received = if receives {
            self.receive(&mut pending)
        } else {
            Ok(0)
        };
        pending.notify();
        received
    }

    /// Whether the transport may have a command.
    fn has_input(&mut self) -> bool {
        let waker = self.transport_waker.as_ref();
        let called = waker.is_some_and(|waker| waker.take_ready());
        self.input_left |= called;
        self.input_left
    }

    /// Goes on with a command that waits.
    fn poll_waiting(&mut self, cx: &mut Context<'_>, pending: &mut PendingNotifications) {
        while let Some(waiting) = &mut self.waiting {
            let Poll::Ready(continuation) = waiting.future.as_mut().poll(cx) else {
                return;
            };
            let (id, now) = (waiting.id, self.session.now());
            let waiting = dispatch::resume(&mut self.session, id, continuation, now, pending);
            self.waiting = waiting.map(Box::new);
        }
    }

    /// Receives commands, a few at a time so that no peer keeps the task to itself. Returns their
    /// number.
    fn receive(&mut self, pending: &mut PendingNotifications) -> Result<usize, Close> {
        let mut cx = Context::from_waker(&self.waker);
        // The clocks are read once for all commands.
        let mut now = None;
        for received in 0..MAX_COMMANDS {
            // A command that waits holds back those behind it, and so do replies that are not
            // accepted.
            if self.waiting.is_some() || self.session.is_full() {
                return Ok(received);
            }
            match Pin::new(&mut self.transport).poll_next(&mut cx) {
                Poll::Ready(Some(Ok(Incoming::Text(text)))) => {
                    let now = *now.get_or_insert_with(|| self.session.now());
                    let waiting = dispatch::receive(&mut self.session, &text, now, pending);
                    self.waiting = waiting.map(Box::new);
                }
                Poll::Ready(Some(Ok(Incoming::Binary(_)))) => {
                    let close = Close::new(CloseCode::UNSUPPORTED, "text only");
                    self.session.end(close);
                }
                Poll::Ready(Some(Err(error))) => return Err(broken::<T>(&error)),
                Poll::Ready(None) => {
                    return Err(Close::new(CloseCode::NORMAL, "the peer has gone"));
                }
                Poll::Pending => {
                    self.input_left = false;
                    return Ok(received);
                }
            }
        }
        Ok(MAX_COMMANDS)
    }

    /// Sends what there is, with one flush. True if the transport does not accept all of it now.
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
            // What came before was accepted: a slow peer is served as long as it makes progress.
            self.stall = None;
        }
        stalled |= transport.poll_flush(&mut cx)?.is_pending();
        if !stalled {
            self.stall = None;
        }
        Ok(stalled)
    }

    fn start_closing(&mut self, close: Close) {
        let mut cx = Context::from_waker(&self.waker);
        let mut transport = Pin::new(&mut self.transport);
        if matches!(transport.as_mut().poll_ready(&mut cx), Poll::Ready(Ok(()))) {
            let _ = transport.start_send(Outgoing::Close(close.clone()));
        }
        self.session.close(self.session.now());
        self.stall = None;
        self.closing = Some(Box::new(close));
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut transport_cx = Context::from_waker(&self.waker);
        let transport = Pin::new(&mut self.transport);
        if transport.poll_close(&mut transport_cx).is_ready() {
            return Poll::Ready(());
        }
        self.poll_stall(cx)
    }

    /// Ready when the transport has made no progress for too long.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timeout = self.session.engine.limits.write_timeout;
        let stall = &mut self.stall;
        let stall = stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        stall.as_mut().poll(cx)
    }

    fn set_task(&mut self, task: &Waker) {
        self.session.set_waker(task);
        let transport_waker = TransportWaker::new(task.clone());
        self.waker = Waker::from(Arc::clone(&transport_waker));
        self.transport_waker = Some(transport_waker);
    }
}

impl<T: Transport> Future for Connection<T> {
    type Output = Close;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Close> {
        // Before anything is read: until then a publisher may wake the previous task only.
        if !self.session.task.will_wake(cx.waker()) {
            self.set_task(cx.waker());
        }
        let close = std::task::ready!(self.poll_turn(cx));
        let now = self.session.now();
        self.session.close(now);
        Poll::Ready(close)
    }
}

impl<T: Transport> Unpin for Connection<T> {}

impl<T: Transport> Drop for Connection<T> {
    fn drop(&mut self) {
        self.session.close(self.session.now());
    }
}

impl<T: Transport> fmt::Debug for Connection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}

fn broken<T: Transport>(error: &T::Error) -> Close {
    tracing::debug!(%error, "a connection broke");
    Close::new(CloseCode::NORMAL, "the connection broke")
}

/// Commands received in one turn: what usually fits into one read. Those of one turn are delivered
/// together.
const MAX_COMMANDS: usize = 128;
