//! What was ever said, as all clients together saw it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// One book for all clients of a test: the bytes of every event of a room's log, by epoch and `seq`. Whoever sees an event
/// enters it, and whoever sees other bytes under the same number finds the order broken.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<BTreeMap<Life, BTreeMap<u64, String>>>>);

/// A room and its epoch.
type Life = (String, String);

impl Ledger {
    /// Enters an event.
    ///
    /// # Panics
    /// If another event has this place.
    pub fn enter(&self, room: &str, epoch: &str, seq: u64, event: &str) {
        let mut lives = self.0.lock();
        let life = lives.entry((room.into(), epoch.into())).or_default();
        match life.get(&seq) {
            Some(known) => assert_eq!(known, event, "{room}: two events have the seq {seq}"),
            None => drop(life.insert(seq, event.into())),
        }
    }

    /// The event at a place, if anybody saw it.
    pub fn get(&self, room: &str, epoch: &str, seq: u64) -> Option<String> {
        let lives = self.0.lock();
        lives.get(&(room.into(), epoch.into()))?.get(&seq).cloned()
    }

    /// All events by room, epoch and `seq`.
    pub fn all(&self) -> Vec<(String, String, u64, String)> {
        let lives = self.0.lock();
        lives
            .iter()
            .flat_map(|((room, epoch), life)| {
                life.iter()
                    .map(|(seq, event)| (room.clone(), epoch.clone(), *seq, event.clone()))
            })
            .collect()
    }
}
