//! Accounting of deliveries: which messages are lost, duplicated or out of order, and when they
//! were due.

use std::collections::BTreeSet;

/// The messages of a room that one member has received. They are numbered from 0 as they are
/// published. Recording one costs one comparison while they arrive in that order.
#[derive(Debug, Default)]
pub struct Received {
    next: u64,
    ahead: BTreeSet<u64>,
}

/// How a message arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It is the next one in the order of publishing.
    InOrder,
    /// It is new, but not the next one.
    OutOfOrder,
    /// It had arrived before.
    Duplicate,
}

impl Received {
    /// Records the arrival of message `index`.
    pub fn record(&mut self, index: u64) -> Arrival {
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

    /// Whether message `index` has arrived.
    #[must_use]
    pub fn contains(&self, index: u64) -> bool {
        index < self.next || self.ahead.contains(&index)
    }

    /// The number of distinct messages that have arrived.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.next + self.ahead.len() as u64
    }
}

/// When open-loop messages are due. Latency counts from there and not from the actual sending, so
/// that a stall of the server shows in every message that should have been sent during it (no
/// coordinated omission).
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    start_ns: u64,
    rate: f64,
}

impl Schedule {
    /// `rate` messages per second from `start_ns` on.
    #[must_use]
    pub fn new(start_ns: u64, rate: f64) -> Self {
        Self { start_ns, rate }
    }

    /// When message number `k` is due, in nanoseconds.
    #[must_use]
    pub fn due(&self, k: u64) -> u64 {
        self.start_ns + (k as f64 * 1e9 / self.rate) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_classified() {
        let mut r = Received::default();
        assert_eq!(r.record(0), Arrival::InOrder);
        assert_eq!(r.record(2), Arrival::OutOfOrder);
        assert_eq!(r.record(2), Arrival::Duplicate);
        assert_eq!(r.record(0), Arrival::Duplicate);
        assert!(!r.contains(1) && r.contains(2) && r.count() == 2);
        assert_eq!(r.record(1), Arrival::OutOfOrder);
        assert_eq!(r.record(3), Arrival::InOrder);
        assert_eq!(r.count(), 4);
    }

    #[test]
    fn a_stall_counts_for_every_message_due_in_it() {
        // 1000 per second. The server takes 1 ms, except for one stall of 100 ms in which the
        // generator cannot send.
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
        // Without the correction 1 of 1000 would be slow. In fact a tenth is, spread evenly from 1
        // to 101 ms.
        let ms = |q| hist.value_at_quantile(q) as f64 / 1e6;
        assert!((ms(0.50) - 1.0).abs() < 0.01);
        assert!((ms(0.95) - 51.0).abs() < 1.5, "{}", ms(0.95));
        assert!((ms(0.99) - 91.0).abs() < 1.5, "{}", ms(0.99));
    }
}
