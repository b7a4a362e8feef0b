//! The state of one client.

use rustix::fd::OwnedFd;

use crate::frame::Reader;
use crate::track::Received;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Connecting,
    Upgrading,
    Joining,
    Ready,
    Dead,
}

pub(super) struct Client {
    pub(super) fd: OwnedFd,
    pub(super) state: State,
    pub(super) room: u32,
    pub(super) dirty: bool,
    pub(super) reader: Reader,
    pub(super) out: Vec<u8>,
    pub(super) received: Received,
    pub(super) last_seq: u64,
}
