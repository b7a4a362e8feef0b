//! Waking tasks: everything that the model checker (loom) must see.

mod transport_waker;
mod waker_set;

#[cfg(all(test, loom))]
mod loom_tests;

pub(crate) use transport_waker::TransportWaker;
pub(crate) use waker_set::WakerSet;
