//! Noticing a peer that has gone without a word.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::Config;

/// The one timer of a connection.
///
/// Hearing something only notes the time. The timer is moved when it fires, to where that time puts
/// it, so a busy connection touches it once in a [`Config::heartbeat`].
pub(crate) struct Heartbeat {
    timer: Pin<Box<Sleep>>,
    /// When the peer was last heard, or the server itself last found to have slept.
    heard: Instant,
    pinged: bool,
}

/// What is due.
pub(crate) enum Beat {
    /// A ping.
    Ping,
    /// Nothing: the timer was moved.
    Rest,
    /// The end: no answer to the ping, or a message that does not end.
    Dead,
}

/// A timer that fires this much too late has slept with its process (stopped, suspended or
/// starved), and that time does not count against the peer. Half the time for the answer is as
/// much, or a short one could be lost without a ping.
const LOST: Duration = Duration::from_secs(2);

impl Heartbeat {
    pub(crate) fn new(config: &Config) -> Self {
        let now = Instant::now();
        let timer = Box::pin(sleep_until(now + config.heartbeat));
        Self {
            timer,
            heard: now,
            pinged: false,
        }
    }

    /// Notes that bytes have come.
    pub(crate) fn hear(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Pending until something is due, given when the message under way began. To be polled after
    /// the socket was read, for what was received while the process slept.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        config: &Config,
        began: Option<Instant>,
    ) -> Poll<Beat> {
        ready!(self.timer.as_mut().poll(cx));
        let now = Instant::now();
        let patience = config.heartbeat + config.pong_timeout;
        let lost = LOST.min(config.pong_timeout / 2);
        let beat = if now.duration_since(self.timer.deadline()) > lost {
            self.heard = now;
            Beat::Rest
        } else if now >= self.heard + patience || began.is_some_and(|began| now >= began + patience)
        {
            return Poll::Ready(Beat::Dead);
        } else if now < self.heard + config.heartbeat {
            Beat::Rest
        } else if self.pinged {
            // The deadline of a message came up between the ping and its answer.
            Beat::Rest
        } else {
            Beat::Ping
        };
        self.pinged = match beat {
            Beat::Ping => true,
            _ => self.pinged && now >= self.heard + config.heartbeat,
        };
        let silent = self.heard
            + if self.pinged {
                patience
            } else {
                config.heartbeat
            };
        // Never in the past, or a process that slept through a message's time would spin.
        let unended = began.map(|began| began + patience).filter(|at| *at > now);
        self.timer
            .as_mut()
            .reset(unended.map_or(silent, |at| at.min(silent)));
        Poll::Ready(beat)
    }

    /// Turns the timer into that of the closing handshake.
    pub(crate) fn expire_in(&mut self, time: Duration) {
        self.timer.as_mut().reset(Instant::now() + time);
    }

    /// Pending until the time of [`expire_in`](Self::expire_in) is over.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.as_mut().poll(cx)
    }
}
