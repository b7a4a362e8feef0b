//! What a run has measured, and what has gone wrong since the start.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::report::histogram;

/// The measurements of one run.
#[derive(Debug)]
pub struct Run {
    /// Messages that were published.
    pub published: u64,
    /// Messages that were received, over all members.
    pub deliveries: u64,
    /// From the first publish to the last delivery.
    pub elapsed: Duration,
    /// Nanoseconds from a publish (in open loop: from when it was due) to each delivery.
    pub latency: Histogram<u64>,
    /// Nanoseconds from a publish to its last delivery.
    pub fanout: Histogram<u64>,
    /// Nanoseconds by which the generator published late (open loop).
    pub lag: Histogram<u64>,
    /// Bytes of deliveries on the wire, including frame headers.
    pub wire_bytes: u64,
    /// Bytes of deliveries, excluding frame headers.
    pub payload_bytes: u64,
    /// `read` calls. Deliveries per read show how much the server sent together.
    pub reads: u64,
    /// Whether the run was aborted because no more deliveries arrived.
    pub stalled: bool,
}

impl Run {
    pub(super) fn new() -> Self {
        Self {
            published: 0,
            deliveries: 0,
            elapsed: Duration::ZERO,
            latency: histogram(),
            fanout: histogram(),
            lag: histogram(),
            wire_bytes: 0,
            payload_bytes: 0,
            reads: 0,
            stalled: false,
        }
    }
}

/// What has gone wrong since the start.
#[derive(Debug, Default, Clone)]
pub struct Totals {
    /// Deliveries that all members together should have received.
    pub expected: u64,
    /// Distinct messages received.
    pub received: u64,
    /// Messages expected and not received.
    pub lost: u64,
    /// Messages received more than once.
    pub duplicated: u64,
    /// Messages not in the order of the room; `None` if the order is unknown (several publishers
    /// and no sequence numbers).
    pub out_of_order: Option<u64>,
    /// `error` events.
    pub errors: u64,
    /// `gap` events.
    pub gaps: u64,
    /// Connections that ended before the generator closed them.
    pub disconnected: u64,
    /// The first few problems.
    pub problems: Vec<String>,
}
