//! The events of all rooms, as all clients of a test together saw them.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// A record that all clients of a test share: the bytes of every log event, by room, epoch and
/// `seq`.
///
/// Every client records the events that it receives. If two clients receive different bytes under
/// the same number, the second one panics, because the order of the log is broken. Clones share one
/// record.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<BTreeMap<Log, BTreeMap<u64, String>>>>);

/// The room and epoch of a log.
type Log = (String, String);

impl Ledger {
    /// Records the bytes of an event.
    ///
    /// # Panics
    /// If a different event is recorded under this `seq`.
    pub fn record(&self, room: &str, epoch: &str, seq: u64, event: &str) {
        let mut logs = self.0.lock();
        let log = logs.entry((room.into(), epoch.into())).or_default();
        match log.get(&seq) {
            Some(known) => assert_eq!(known, event, "{room}: two events have the seq {seq}"),
            None => drop(log.insert(seq, event.into())),
        }
    }

    /// The bytes of an event, if any client saw it.
    pub fn get(&self, room: &str, epoch: &str, seq: u64) -> Option<String> {
        let logs = self.0.lock();
        logs.get(&(room.into(), epoch.into()))?.get(&seq).cloned()
    }

    /// All events as room, epoch, `seq` and bytes, ordered by the first three.
    pub fn all(&self) -> Vec<(String, String, u64, String)> {
        let logs = self.0.lock();
        logs.iter()
            .flat_map(|((room, epoch), log)| {
                log.iter()
                    .map(|(seq, event)| (room.clone(), epoch.clone(), *seq, event.clone()))
            })
            .collect()
    }
}
