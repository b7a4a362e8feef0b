//! Compares what all clients have received from each room, for as long as it can matter.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;

/// Compares the events that one connection receives with those of the others, and both with the
/// acknowledgements.
///
/// For each epoch of a room the newest [`WINDOW`] entries are kept as hashes. That is more than a
/// server retains, so that members who are behind are checked as well. An entry is checked finally
/// when it leaves the window or its room ends.
#[derive(Default)]
pub(crate) struct Oracle {
    /// By room and epoch.
    logs: BTreeMap<(String, String), EpochLog>,
    /// The epochs that have ended lately. Members who did not read for a while receive their events
    /// later.
    ended: VecDeque<(String, String)>,
    pub(crate) delivered: u64,
    pub(crate) acknowledged: u64,
    /// Events that were skipped by a declared gap.
    pub(crate) skipped: u64,
    /// Events that were received too late to be compared.
    pub(crate) unchecked: u64,
    pub(crate) violations: u64,
    /// The first few violations.
    pub(crate) violation_texts: Vec<String>,
}

#[derive(Default)]
struct EpochLog {
    /// The `seq` of the first entry.
    first: u64,
    entries: VecDeque<Entry>,
    /// The `seq` of each text in the window, by its hash.
    texts: HashMap<u64, u64>,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    seen: Option<Seen>,
    acknowledged: Option<Ack>,
}

#[derive(Clone, Copy)]
struct Seen {
    event: u64,
    text: u64,
    by: u32,
    by_others: bool,
}

#[derive(Clone, Copy)]
struct Ack {
    text: u64,
    to: u32,
}

#[derive(Deserialize)]
struct Message {
    text: String,
}

impl Oracle {
    /// Member `by` has received an event of the log of a room.
    pub(crate) fn record_event(&mut self, room: &str, epoch: &str, seq: u64, raw: &str, by: u32) {
        self.delivered += 1;
        let Some(entry) = self.entry(room, epoch, seq) else {
            self.unchecked += 1;
            return;
        };
        let event = hash(raw);
        if let Some(seen) = &mut entry.seen {
            seen.by_others |= seen.by != by;
            if seen.event != event {
                self.record_violation(format!(
                    "{room}: {by} received a different event at {seq}: {raw}"
                ));
            }
            return;
        }
        let Ok(message) = serde_json::from_str::<Message>(raw) else {
            return self.record_violation(format!("{room}: not an event: {raw}"));
        };
        let text = hash(&message.text);
        entry.seen = Some(Seen {
            event,
            text,
            by,
            by_others: false,
        });
        let acknowledged = entry.acknowledged;
        if acknowledged.is_some_and(|ack| ack.text != text) {
            self.record_violation(format!(
                "{room}: {seq} was acknowledged for another text: {raw}"
            ));
        }
        let log = self.log(room, epoch);
        if let Some(before) = log.texts.insert(text, seq)
            && seq.abs_diff(before) < RETAINED
        {
            self.record_violation(format!(
                "{room}: the same text was already at {before}: {raw}"
            ));
        }
    }

    /// Member `to` has received a `sent`.
    pub(crate) fn record_acknowledgement(
        &mut self,
        room: &str,
        epoch: &str,
        seq: u64,
        text: &str,
        to: u32,
    ) {
        self.acknowledged += 1;
        let text = hash(text);
        let Some(entry) = self.entry(room, epoch, seq) else {
            self.unchecked += 1;
            return;
        };
        entry.acknowledged = Some(Ack { text, to });
        if entry.seen.is_some_and(|seen| seen.text != text) {
            self.record_violation(format!(
                "{room}: {seq} is acknowledged but has another text"
            ));
        }
    }

    /// An epoch of a room has ended, and all members have received all of it.
    pub(crate) fn end(&mut self, room: &str, epoch: &str) {
        let Some(log) = self.remove(room, epoch) else {
            return;
        };
        for (seq, entry) in (log.first..).zip(log.entries) {
            self.check_final(room, seq, entry);
        }
    }

    /// All epochs of all rooms have ended.
    pub(crate) fn end_all(&mut self) {
        let keys: Vec<_> = self.logs.keys().cloned().collect();
        for (room, epoch) in keys {
            self.end(&room, &epoch);
        }
    }

    pub(crate) fn record_violation(&mut self, text: String) {
        self.violations += 1;
        if self.violation_texts.len() < MAX_TEXTS {
            eprintln!("violation: {text}");
            self.violation_texts.push(text);
        }
    }

    fn remove(&mut self, room: &str, epoch: &str) -> Option<EpochLog> {
        let key = (room.to_owned(), epoch.to_owned());
        let log = self.logs.remove(&key)?;
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(key);
        Some(log)
    }

    fn log(&mut self, room: &str, epoch: &str) -> &mut EpochLog {
        self.logs
            .entry((room.to_owned(), epoch.to_owned()))
            .or_default()
    }

    /// The entry of a `seq`, or `None` if it has left the window.
    fn entry(&mut self, room: &str, epoch: &str, seq: u64) -> Option<&mut Entry> {
        let key = (room.to_owned(), epoch.to_owned());
        if !self.logs.contains_key(&key) && self.ended.contains(&key) {
            return None;
        }
        let log = self.logs.entry(key).or_default();
        if log.entries.is_empty() {
            log.first = seq.saturating_sub(WINDOW / 2).max(1);
        }
        let at = usize::try_from(seq.checked_sub(log.first)?).ok()?;
        if at > MAX_JUMP {
            return None;
        }
        if at >= log.entries.len() {
            log.entries.resize_with(at + 1, Entry::default);
        }
        let mut left = Vec::new();
        while log.entries.len() as u64 > WINDOW {
            let entry = log.entries.pop_front().unwrap_or_default();
            if let Some(seen) = entry.seen
                && log.texts.get(&seen.text) == Some(&log.first)
            {
                log.texts.remove(&seen.text);
            }
            left.push((log.first, entry));
            log.first += 1;
        }
        for (seq, entry) in left {
            self.check_final(room, seq, entry);
        }
        let log = self.log(room, epoch);
        let at = (seq - log.first) as usize;
        log.entries.get_mut(at)
    }

    /// A message acknowledged to one member must have been received by another one.
    fn check_final(&mut self, room: &str, seq: u64, entry: Entry) {
        let Some(ack) = entry.acknowledged else {
            return;
        };
        let is_confirmed = |seen: Seen| seen.by != ack.to || seen.by_others;
        if !entry.seen.is_some_and(is_confirmed) {
            self.record_violation(format!(
                "{room}: {seq} was acknowledged, but no other member received it"
            ));
        }
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The entries kept for a room: four times what a server retains by default.
const WINDOW: u64 = 4096;
/// The events that a server retains by default. A key counts for as long.
const RETAINED: u64 = 1024;
/// The largest plausible distance between two events of a room that are recorded one after the
/// other.
const MAX_JUMP: usize = 1 << 20;
/// The number of ended epochs that are kept.
const MAX_ENDED: usize = 256;
const MAX_TEXTS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        format!(r#"{{"type":"message","text":"{text}"}}"#)
    }

    /// Two members have received `1` to `last`.
    fn received(last: u64) -> Oracle {
        let mut oracle = Oracle::default();
        for seq in 1..=last {
            for by in [1, 2] {
                oracle.record_event("r", "e", seq, &message(&format!("text {seq}")), by);
            }
        }
        oracle
    }

    #[test]
    fn members_who_agree_cause_no_violation() {
        let mut oracle = received(10_000);
        oracle.record_acknowledgement("r", "e", 9_999, "text 9999", 1);
        oracle.record_event("r", "e", 10_001, &message("new"), 1);
        oracle.record_acknowledgement("r", "e", 10_001, "new", 1);
        oracle.record_event("r", "e", 10_001, &message("new"), 2);
        oracle.end("r", "e");
        assert_eq!((oracle.violations, oracle.delivered), (0, 20_002));
        assert!(oracle.logs.is_empty());
    }

    #[test]
    fn two_orders_are_detected() {
        let mut oracle = received(10);
        oracle.record_event("r", "e", 11, &message("a"), 1);
        oracle.record_event("r", "e", 12, &message("b"), 1);
        oracle.record_event("r", "e", 11, &message("b"), 2);
        assert_eq!(oracle.violations, 1);
        oracle.record_event("r", "e", 12, &message("a"), 2);
        assert_eq!(oracle.violations, 2);
    }

    #[test]
    fn a_repeated_text_is_detected_while_its_key_counts() {
        let mut oracle = received(10);
        oracle.record_event("r", "e", 11, &message("text 5"), 1);
        assert_eq!(oracle.violations, 1);
        let mut oracle = received(2000);
        oracle.record_event("r", "e", 2001, &message("text 5"), 1);
        assert_eq!(oracle.violations, 0);
    }

    #[test]
    fn a_lost_acknowledged_message_is_detected() {
        // At its end, or when it leaves the window.
        for last in [10, 10_000] {
            let mut oracle = received(last);
            oracle.record_acknowledgement("r", "e", last + 1, "mine", 1);
            // Receipt by its sender alone is not enough.
            oracle.record_event("r", "e", last + 1, &message("mine"), 1);
            (2..WINDOW + 2).for_each(|n| {
                oracle.record_event("r", "e", last + n, &message(&format!("{n}")), 1);
            });
            assert_eq!(oracle.violations, 1, "{:?}", oracle.violation_texts);
            oracle.record_acknowledgement("r", "e", last + 5, "another text", 1);
            assert_eq!(oracle.violations, 2);
            oracle.record_acknowledgement("r", "other", 1, "mine", 1);
            oracle.end("r", "other");
            assert_eq!(oracle.violations, 3);
        }
    }

    #[test]
    fn events_received_after_the_end_of_an_epoch_are_not_checked() {
        let mut oracle = received(10);
        oracle.end("r", "e");
        oracle.record_acknowledgement("r", "e", 11, "late", 3);
        oracle.record_event("r", "e", 3, &message("other"), 3);
        oracle.end_all();
        assert_eq!((oracle.violations, oracle.unchecked), (0, 2));
    }

    #[test]
    fn memory_is_bounded() {
        let oracle = received(50_000);
        let log = &oracle.logs[&("r".to_owned(), "e".to_owned())];
        assert_eq!(log.entries.len() as u64, WINDOW);
        assert_eq!(log.texts.len() as u64, WINDOW);
    }
}
