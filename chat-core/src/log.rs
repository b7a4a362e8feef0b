//! The log of a room: what was said, in order, in one bounded ring.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use crate::frame::Frames;
use crate::id::MemberId;

/// A bounded ring of encoded events with dense sequence numbers from 1.
///
/// No lock, no clock, no waker: appending and reading are the whole of it. A reader's position is the sequence number of the
/// last event that it was served, 0 before the first.
pub(crate) struct Log {
    entries: VecDeque<Entry>,
    /// The sequence number of the newest event; 0 when nothing was said.
    newest: u64,
    bytes: usize,
    most_events: usize,
    most_bytes: usize,
    /// Where each member's idempotency keys were used, for as long as those events are retained.
    keys: HashMap<Key, u64>,
    newest_at: u64,
}

struct Entry {
    frames: Frames,
    at: u64,
    key: Option<Key>,
}

type Key = (MemberId, Box<str>);

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) seq: u64,
    pub(crate) at: u64,
}

/// What there is after a position.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The events that were skipped because they are no longer retained.
    pub(crate) gap: Option<Range<u64>>,
    /// The events to serve next; may be empty.
    pub(crate) events: Range<u64>,
}

impl Log {
    pub(crate) fn new(most_events: usize, most_bytes: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            newest: 0,
            bytes: 0,
            most_events: most_events.max(1),
            most_bytes,
            keys: HashMap::new(),
            newest_at: 0,
        }
    }

    /// Appends the event that `encode` makes of its place. Its time is `at`, or that of the event before where the calendar
    /// went back.
    pub(crate) fn append(
        &mut self,
        at: u64,
        key: Option<(MemberId, &str)>,
        encode: impl FnOnce(Place) -> Frames,
    ) -> Place {
        self.newest_at = self.newest_at.max(at);
        let place = Place {
            seq: self.newest + 1,
            at: self.newest_at,
        };
        let frames = encode(place);
        let key = key.map(|(member, key)| (member, Box::from(key)));
        if let Some(key) = &key {
            self.keys.insert(key.clone(), place.seq);
        }
        self.bytes += frames.len();
        self.entries.push_back(Entry {
            frames,
            at: place.at,
            key,
        });
        self.newest = place.seq;
        // The newest event always stays, however large.
        while self.entries.len() > 1
            && (self.entries.len() > self.most_events || self.bytes > self.most_bytes)
        {
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= oldest.frames.len();
            if let Some(key) = oldest.key {
                self.keys.remove(&key);
            }
        }
        place
    }

    /// The sequence number of the newest event; 0 when nothing was said.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// The sequence number of the oldest retained event; one after the newest when there is none.
    pub(crate) fn oldest(&self) -> u64 {
        self.newest + 1 - self.entries.len() as u64
    }

    /// Where `member` has used `key`.
    pub(crate) fn find_key(&self, member: MemberId, key: &str) -> Option<Place> {
        let seq = *self.keys.get(&(member, Box::from(key)))?;
        Some(Place {
            seq,
            at: self.entry(seq)?.at,
        })
    }

    /// What to serve after `position`: at most `budget` bytes, but at least one event if there is one.
    pub(crate) fn read(&self, position: u64, budget: usize) -> Reading {
        let oldest = self.oldest();
        let gap = (position + 1 < oldest).then(|| position + 1..oldest);
        let from = oldest.max(position + 1);
        let (mut to, mut bytes) = (from, 0);
        while let Some(entry) = self.entry(to) {
            bytes += entry.frames.len();
            if bytes > budget && to > from {
                break;
            }
            to += 1;
        }
        Reading {
            gap,
            events: from..to,
        }
    }

    /// Whether everything after `position` is still there, and `position` itself was ever reached.
    pub(crate) fn can_resume(&self, position: u64) -> bool {
        position <= self.newest && position + 1 >= self.oldest()
    }

    /// The encoded events in `range`, oldest first, as far as they are retained.
    pub(crate) fn frames(&self, range: Range<u64>) -> impl Iterator<Item = &Frames> + Clone {
        range
            .filter_map(|seq| self.entry(seq))
            .map(|entry| &entry.frames)
    }

    fn entry(&self, seq: u64) -> Option<&Entry> {
        self.entries
            .get(usize::try_from(seq.checked_sub(self.oldest())?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Publish { size: usize },
        Read { reader: usize, budget: usize },
        Cut { reader: usize },
        Resume { reader: usize },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            5 => (1..60usize).prop_map(|size| Step::Publish { size }),
            3 => (0..3usize, 1..400usize).prop_map(|(reader, budget)| Step::Read { reader, budget }),
            1 => (0..3usize).prop_map(|reader| Step::Cut { reader }),
            1 => (0..3usize).prop_map(|reader| Step::Resume { reader }),
        ];
        proptest::collection::vec(step, 0..200)
    }

    /// A reader, and all that it was told.
    #[derive(Default)]
    struct Reader {
        opened: u64,
        position: u64,
        cut: bool,
        seen: Vec<u64>,
        missed: Vec<u64>,
    }

    proptest! {
        /// What a reader saw is the log from where it opened, minus the declared gaps, for any schedule.
        #[test]
        fn readers_see_the_log_minus_declared_gaps(steps in steps(), events in 1..20usize, bytes in 1..600usize) {
            let mut log = Log::new(events, bytes);
            let mut said: Vec<String> = Vec::new();
            let mut readers: [Reader; 3] = Default::default();
            for step in steps {
                match step {
                    Step::Publish { size } => {
                        said.push(format!("{}:{}", said.len() + 1, "x".repeat(size)));
                        let place = log.append(7, None, |_| Frames::encode(said.last().unwrap()));
                        prop_assert_eq!(place.seq, said.len() as u64);
                    }
                    Step::Read { reader, budget } => {
                        let reader = &mut readers[reader];
                        if reader.cut { continue }
                        let reading = log.read(reader.position, budget);
                        reader.missed.extend(reading.gap.clone().into_iter().flatten());
                        let frames: Vec<_> = log.frames(reading.events.clone()).collect();
                        prop_assert_eq!(frames.len() as u64, reading.events.end - reading.events.start);
                        prop_assert_eq!(frames.is_empty(), reader.position == log.newest() );
                        for (seq, frames) in reading.events.clone().zip(frames) {
                            let text = serde_json::to_string(&said[seq as usize - 1]).unwrap();
                            prop_assert_eq!(frames.payload(), text.as_bytes());
                            reader.seen.push(seq);
                        }
                        reader.position = reading.events.end - 1;
                    }
                    Step::Cut { reader } => readers[reader].cut = true,
                    Step::Resume { reader } => {
                        let reader = &mut readers[reader];
                        if !reader.cut { continue }
                        reader.cut = false;
                        if !log.can_resume(reader.position) {
                            prop_assert!(reader.position + 1 < log.oldest());
                            *reader = Reader { opened: log.newest(), position: log.newest(), ..Reader::default() };
                        }
                    }
                }
                // Bounded, but the newest is always there.
                prop_assert!(log.entries.len() <= events);
                prop_assert!(log.bytes <= bytes || log.entries.len() == 1);
            }
            for reader in &readers {
                let mut told: Vec<u64> = reader.seen.iter().chain(&reader.missed).copied().collect();
                told.sort_unstable();
                prop_assert!(reader.seen.is_sorted());
                prop_assert_eq!(told, (reader.opened + 1..=reader.position).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn keys_live_as_long_as_their_events() {
        let mut log = Log::new(2, 1000);
        let member = MemberId([1; 15]);
        let say = |log: &mut Log, key| log.append(5, Some((member, key)), |_| Frames::encode(&"x"));
        let first = say(&mut log, "a");
        assert_eq!(log.find_key(member, "a"), Some(first));
        assert_eq!(log.find_key(MemberId([2; 15]), "a"), None);
        say(&mut log, "b");
        say(&mut log, "c");
        assert_eq!(log.find_key(member, "a"), None);
        assert_eq!(log.keys.len(), 2);
    }

    #[test]
    fn time_never_goes_back() {
        let mut log = Log::new(9, 1000);
        let times: Vec<_> = [5, 3, 9, 1]
            .map(|at| log.append(at, None, |_| Frames::encode(&"x")).at)
            .into();
        assert_eq!(times, [5, 5, 9, 9]);
    }

    #[test]
    fn an_empty_log_resumes_at_zero_only() {
        let log = Log::new(9, 1000);
        assert!(log.can_resume(0));
        assert!(!log.can_resume(1));
        assert_eq!(
            log.read(0, 10),
            Reading {
                gap: None,
                events: 1..1
            }
        );
    }
}
