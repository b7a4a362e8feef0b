//! The loads under which servers are compared.

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) clients: u32,
    pub(crate) rooms: u32,
    pub(crate) window: u32,
    /// Publishes in a round; 0 measures the memory of idle connections instead.
    pub(crate) messages: u32,
    /// Whether a server that can coalesce frames does so.
    pub(crate) coalesce: bool,
}

pub(crate) const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "a",
        description: "1 room × 1000, 1 in flight",
        clients: 1000,
        rooms: 1,
        window: 1,
        messages: 1000,
        coalesce: false,
    },
    Scenario {
        name: "b",
        description: "1 room × 1000, 64 in flight",
        clients: 1000,
        rooms: 1,
        window: 64,
        messages: 10_240,
        coalesce: true,
    },
    Scenario {
        name: "c",
        description: "100 rooms × 10, 4 in flight in each",
        clients: 1000,
        rooms: 100,
        window: 4,
        messages: 100_000,
        coalesce: true,
    },
    Scenario {
        name: "d",
        description: "1 room × 10 000, 1 in flight",
        clients: 10_000,
        rooms: 1,
        window: 1,
        messages: 100,
        coalesce: false,
    },
    Scenario {
        name: "e",
        description: "10 000 idle connections in rooms of 10",
        clients: 10_000,
        rooms: 1000,
        window: 0,
        messages: 0,
        coalesce: false,
    },
    Scenario {
        name: "max",
        description: "1 room × 19 000, 1 in flight",
        clients: 19_000,
        rooms: 1,
        window: 1,
        messages: 50,
        coalesce: false,
    },
];

/// Payload bytes of a delivery if `ours` does not take part and so does not determine them.
pub(crate) const DEFAULT_PAYLOAD: u32 = 270;
