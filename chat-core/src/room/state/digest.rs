//! A hash of the whole state, to compare two of them.

use sha2::{Digest, Sha256};

use super::state::State;

impl State {
    /// A hash of everything that operations decide about. How the log is stored, and which of its
    /// events are retained, is not part of it.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut text = format!("{:?} {:?} {:?} ", self.id, self.settings, self.lifetime);
        text += &format!("log {} ", self.log.newest());
        for (member, key, position) in self.keys.iter() {
            text += &format!("key {member} {key:?} {position:?} ");
        }
        for (member, seat, leaves_at) in self.roster.seats() {
            text += &format!("seat {member} {seat:?} {leaves_at:?} ");
        }
        for grant in self.access.grants() {
            text += &format!("grant {grant:?} ");
        }
        text += &format!("bans {:?}", self.access.bans());
        Sha256::digest(text).into()
    }
}
