//! What a world reports.

use std::collections::BTreeMap;

/// What happened in a world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// A hash of every byte that every client received.
    pub transcript: u64,
    /// How many of each kind of event were received. Errors count by their code; `joined recovered`
    /// and `removed` with its reason count by themselves.
    pub events: BTreeMap<String, u64>,
    /// How many connections ended with each close code; 0 stands for an end without one. Ends that
    /// the client chose do not count.
    pub closes: BTreeMap<u16, u64>,
}
