//! What all connections share: the registry of rooms with their deadlines, the connections
//! themselves, rate limits, the host's policy, and the source of randomness.

mod addresses;
mod connections;
mod deadlines;
mod ended_rooms;
#[allow(
    clippy::module_inception,
    reason = "the main type of a folder has a file of its own"
)]
mod engine;
mod host_policy;
mod password_attempts;
mod rates;
mod registry;
mod timekeeper;

pub use connections::AdmitError;
pub(crate) use engine::{Engine, Parts};
pub(crate) use host_policy::guard;
pub(crate) use password_attempts::AttemptSource;
pub(crate) use registry::Lookup;
