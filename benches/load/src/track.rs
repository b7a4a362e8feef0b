//! Which messages reached whom: what is lost, doubled or out of order.

use std::collections::BTreeSet;

/// What one member has received of its room's messages, which are numbered from 0 as they are published. Costs one
/// comparison while they come in that order.
#[derive(Debug, Default)]
pub struct Received {
    next: u64,
    ahead: BTreeSet<u64>,
}

/// How a message arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The next one, in the order in which they were published.
    InOrder,
    /// A new one, but not the next.
    OutOfOrder,
    /// One that was here before.
    Duplicate,
}

impl Received {
    /// Notes that message `index` arrived.
    pub fn note(&mut self, index: u64) -> Arrival {
        if index == self.next && self.ahead.is_empty() {
            self.next += 1;
            return Arrival::InOrder;
        }
        if index < self.next || !self.ahead.insert(index) {
            return Arrival::Duplicate;
        }
        while self.ahead.remove(&self.next) {
            self.next += 1;
        }
        Arrival::OutOfOrder
    }

    /// Whether message `index` arrived.
    #[must_use]
    pub fn has(&self, index: u64) -> bool {
        index < self.next || self.ahead.contains(&index)
    }

    /// How many different messages arrived.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.next + self.ahead.len() as u64
    }
}

/// When open-loop messages are due. Latency counts from there, not from when the generator got round to sending, so
/// that a stall of the server shows in every message that should have been sent meanwhile (no coordinated omission).
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    start_ns: u64,
    rate: f64,
}

impl Schedule {
    /// `rate` messages a second from `start_ns` on.
    #[must_use]
    pub fn new(start_ns: u64, rate: f64) -> Self {
        Self { start_ns, rate }
    }

    /// When message number `k` is due.
    #[must_use]
    pub fn due(&self, k: u64) -> u64 {
        self.start_ns + (k as f64 * 1e9 / self.rate) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals() {
        let mut r = Received::default();
        assert_eq!(r.note(0), Arrival::InOrder);
        assert_eq!(r.note(2), Arrival::OutOfOrder);
        assert_eq!(r.note(2), Arrival::Duplicate);
        assert_eq!(r.note(0), Arrival::Duplicate);
        assert!(!r.has(1) && r.has(2) && r.count() == 2);
        assert_eq!(r.note(1), Arrival::OutOfOrder);
        assert_eq!(r.note(3), Arrival::InOrder);
        assert_eq!(r.count(), 4);
    }

    #[test]
    fn a_stall_is_charged_to_every_message_due_in_it() {
        // 1000 a second; the server is quick (1 ms) but for one stall of 100 ms, in which the generator cannot send.
        let schedule = Schedule::new(0, 1000.0);
        let latency = |k: u64| {
            let due = schedule.due(k);
            let sent = if (50_000_000..150_000_000).contains(&due) {
                150_000_000
            } else {
                due
            };
            sent + 1_000_000 - due
        };
        let mut hist = crate::report::histogram();
        for k in 0..1000 {
            hist.saturating_record(latency(k));
        }
        // Without the correction 1 of 1000 would be slow; in truth a tenth is, evenly from 1 to 101 ms.
        let ms = |q| hist.value_at_quantile(q) as f64 / 1e6;
        assert!((ms(0.50) - 1.0).abs() < 0.01);
        assert!((ms(0.95) - 51.0).abs() < 1.5, "{}", ms(0.95));
        assert!((ms(0.99) - 91.0).abs() < 1.5, "{}", ms(0.99));
    }
}
