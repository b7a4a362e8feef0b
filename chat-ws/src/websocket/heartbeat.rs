//! Pings, and the timeout of a peer that has silently gone.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::Config;

/// The only timer of a connection.
///
/// Receiving bytes only notes the time. The timer is moved when it fires, to where that time puts
/// it, so a busy connection touches the timer once in a [`Config::heartbeat`].
pub(super) struct Heartbeat {
    timer: Pin<Box<Sleep>>,
    /// When bytes last arrived, or when the process last resumed after a suspension.
    last_received: Instant,
    /// Whether a ping was sent since then.
    pinged: bool,
}

/// What [`Heartbeat::poll`] found to be due.
pub(super) enum HeartbeatEvent {
    /// A ping is to be sent.
    PingDue,
    /// Nothing is due; the timer was moved.
    Rescheduled,
    /// The peer did not answer the ping, or its message did not end in time.
    TimedOut,
}

/// A timer that fires later than this shows that the process did not run (it was stopped, suspended
/// or starved), and that time does not count against the peer. Where half of the pong timeout is
/// shorter, it applies instead, because otherwise a connection with a short timeout could be closed
/// without a ping.
const MAX_TIMER_DELAY: Duration = Duration::from_secs(2);

impl Heartbeat {
    pub(super) fn new(config: &Config) -> Self {
        let now = Instant::now();
        let timer = Box::pin(sleep_until(now + config.heartbeat));
        Self {
            timer,
            last_received: now,
            pinged: false,
        }
    }

    /// Notes that bytes have arrived.
    pub(super) fn received(&mut self, now: Instant) {
        self.last_received = now;
    }

    /// Pending until something is due. `message_start` is when the message under way started.
    ///
    /// It must be polled after the socket was read, so that what arrived during a suspension of the
    /// process counts.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        config: &Config,
        message_start: Option<Instant>,
    ) -> Poll<HeartbeatEvent> {
        ready!(self.timer.as_mut().poll(cx));
        let now = Instant::now();
        let timeout = config.heartbeat + config.pong_timeout;
        let max_delay = MAX_TIMER_DELAY.min(config.pong_timeout / 2);
        let event = if now.duration_since(self.timer.deadline()) > max_delay {
            self.last_received = now;
            HeartbeatEvent::Rescheduled
        } else if now >= self.last_received + timeout
            || message_start.is_some_and(|start| now >= start + timeout)
        {
            return Poll::Ready(HeartbeatEvent::TimedOut);
        } else if now < self.last_received + config.heartbeat {
            HeartbeatEvent::Rescheduled
        } else if self.pinged {
            // The timer was set to the deadline of a message, which lay between the ping and its
            // answer.
            HeartbeatEvent::Rescheduled
        } else {
            HeartbeatEvent::PingDue
        };
        self.pinged = match event {
            HeartbeatEvent::PingDue => true,
            _ => self.pinged && now >= self.last_received + config.heartbeat,
        };
        let silence_deadline = self.last_received
            + if self.pinged {
                timeout
            } else {
                config.heartbeat
            };
        // A deadline in the past is left out: after a suspension that outlasted the time of a
        // message the timer would fire again and again.
        let message_deadline = message_start
            .map(|start| start + timeout)
            .filter(|deadline| *deadline > now);
        self.timer
            .as_mut()
            .reset(message_deadline.map_or(silence_deadline, |at| at.min(silence_deadline)));
        Poll::Ready(event)
    }

    /// Turns the timer into that of the closing handshake.
    pub(super) fn expire_in(&mut self, time: Duration) {
        self.timer.as_mut().reset(Instant::now() + time);
    }

    /// Pending until the time of [`expire_in`](Self::expire_in) is over.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.as_mut().poll(cx)
    }
}
