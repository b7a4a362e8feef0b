//! The log of a room: what was said, in order, in one bounded ring.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use crate::frame::Frames;
use crate::id::MemberId;

/// A bounded ring of encoded events with dense sequence numbers from 1.
///
/// No lock, no clock, no waker: appending and reading are the whole of it. A reader's position is the sequence number of the
/// last event that it was served, 0 before the first.
///
/// Events lie back to back in chunks, and a reader is served the rest of a chunk, shared and not copied. New ones are written to
/// an open chunk; the first reader [seals](Log::seal) it, so whatever was said since the last look is one chunk for all who keep
/// up. A chunk goes with its last event: up to [`CHUNK`] bytes, and one event, are held over the bound.
pub(crate) struct Log {
    sealed: VecDeque<Chunk>,
    open: Vec<u8>,
    /// Where each retained event starts in its chunk.
    starts: VecDeque<u32>,
    /// The sequence number of the newest event; 0 when nothing was said.
    newest: u64,
    /// That of the first event of the open chunk.
    open_from: u64,
    bytes: usize,
    most_events: usize,
    most_bytes: usize,
    newest_at: u64,
    /// Where each member's idempotency keys were used, for as long as those events are retained.
    keys: HashMap<Key, Place>,
    /// The same, oldest first.
    keyed: VecDeque<(u64, Key)>,
}

/// Events that were sealed together, and the sequence number of the first.
struct Chunk {
    from: u64,
    frames: Frames,
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
    pub(crate) frames: Frames,
    /// The position after them.
    pub(crate) position: u64,
}

impl Log {
    pub(crate) fn new(most_events: usize, most_bytes: usize) -> Self {
        Self {
            sealed: VecDeque::new(),
            open: Vec::new(),
            starts: VecDeque::new(),
            newest: 0,
            open_from: 1,
            bytes: 0,
            most_events: most_events.max(1),
            most_bytes,
            newest_at: 0,
            keys: HashMap::new(),
            keyed: VecDeque::new(),
        }
    }

    /// Appends the event that `push` appends for its place, one frame. Its time is `at`, or that of the event before where the
    /// calendar went back.
    pub(crate) fn append(
        &mut self,
        at: u64,
        key: Option<(MemberId, &str)>,
        push: impl FnOnce(Place, &mut Vec<u8>),
    ) -> Place {
        self.newest_at = self.newest_at.max(at);
        let place = Place {
            seq: self.newest + 1,
            at: self.newest_at,
        };
        if self.open.capacity() == 0 {
            self.open.reserve(FIRST);
        }
        let start = self.open.len();
        push(place, &mut self.open);
        self.bytes += self.open.len() - start;
        self.starts.push_back(start as u32);
        self.newest = place.seq;
        if let Some((member, key)) = key {
            let key = (member, Box::from(key));
            self.keys.insert(Key::clone(&key), place);
            self.keyed.push_back((place.seq, key));
        }
        // The newest event always stays, however large.
        while self.starts.len() > 1
            && (self.starts.len() > self.most_events || self.bytes > self.most_bytes)
        {
            self.forget_oldest();
        }
        if self.open.len() >= CHUNK {
            self.seal();
        }
        place
    }

    fn forget_oldest(&mut self) {
        let oldest = self.oldest();
        // The oldest lies in the first chunk: no search for it.
        let end = match (self.starts.get(1), self.sealed.front()) {
            (Some(&next), _) if next > 0 => next as usize,
            (_, Some(first)) => first.frames.len(),
            (_, None) => self.open.len(),
        };
        let start = self.starts.pop_front().unwrap_or_default();
        self.bytes -= end - start as usize;
        if self.keyed.front().is_some_and(|(seq, _)| *seq == oldest)
            && let Some((_, key)) = self.keyed.pop_front()
        {
            self.keys.remove(&key);
        }
        let next = self
            .sealed
            .get(1)
            .map_or(self.open_from, |chunk| chunk.from);
        if next == oldest + 1 {
            self.sealed.pop_front();
        }
    }

    /// Whether there is something to [seal](Self::seal).
    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Makes a chunk of what was appended since the last time.
    pub(crate) fn seal(&mut self) {
        if self.open.is_empty() {
            return;
        }
        self.sealed.push_back(Chunk {
            from: self.open_from,
            frames: Frames::copy_of(&self.open),
        });
        self.open_from = self.newest + 1;
        self.open.clear();
        // What one busy turn needed is not kept for a room's life.
        self.open.shrink_to(KEPT);
    }

    /// The sequence number of the newest event; 0 when nothing was said.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// The sequence number of the oldest retained event; one after the newest when there is none.
    pub(crate) fn oldest(&self) -> u64 {
        self.newest + 1 - self.starts.len() as u64
    }

    /// Where `member` has used `key`.
    pub(crate) fn find_key(&self, member: MemberId, key: &str) -> Option<Place> {
        self.keys.get(&(member, Box::from(key))).copied()
    }

    /// What to serve after `position` and up to `until`: the rest of one chunk.
    pub(crate) fn read(&self, position: u64, until: u64) -> Reading {
        let oldest = self.oldest();
        let until = until.min(self.newest);
        let gap = position + 1..oldest.min(until + 1);
        let gap = (!gap.is_empty()).then_some(gap);
        let from = oldest.max(position + 1);
        if from > until {
            return Reading {
                gap,
                frames: Frames::default(),
                position: until.max(position),
            };
        }
        let (frames, last) = self.chunk(from, until);
        Reading {
            gap,
            frames,
            position: last,
        }
    }

    /// Whether everything after `position` is still there, and `position` itself was ever reached.
    pub(crate) fn can_resume(&self, position: u64) -> bool {
        position <= self.newest && position + 1 >= self.oldest()
    }

    /// The encoded events in `range`, oldest first, as far as they are retained.
    pub(crate) fn frames(&self, range: Range<u64>) -> impl Iterator<Item = Frames> {
        let range = range.start.max(self.oldest())..range.end.min(self.newest + 1);
        range.map(|seq| self.chunk(seq, seq).0)
    }

    /// The events from `from` on that lie in one chunk with it, up to `until`, and the last of them. Both are retained.
    fn chunk(&self, from: u64, until: u64) -> (Frames, u64) {
        if from >= self.open_from {
            let span = self.span(from).start..self.span(until).end;
            return (Frames::copy_of(&self.open[span]), until);
        }
        let (chunk, next) = self.chunk_of(from);
        let last = until.min(next - 1);
        if from == chunk.from && last == next - 1 {
            return (chunk.frames.clone(), last);
        }
        let span = self.span(from).start..self.span(last).end;
        (chunk.frames.slice(span), last)
    }

    /// The sealed chunk that holds an event, and the first event of the next.
    fn chunk_of(&self, seq: u64) -> (&Chunk, u64) {
        // Who keeps up reads the last one.
        if let Some(last) = self.sealed.back()
            && last.from <= seq
        {
            return (last, self.open_from);
        }
        let next = self.sealed.partition_point(|chunk| chunk.from <= seq);
        (&self.sealed[next - 1], self.sealed[next].from)
    }

    /// Where a retained event lies in its chunk.
    fn span(&self, seq: u64) -> Range<usize> {
        let n = (seq - self.oldest()) as usize;
        let start = self.starts[n] as usize;
        let end = match self.starts.get(n + 1) {
            // The first of the next chunk starts at 0.
            Some(&next) if next > 0 => next as usize,
            _ if seq >= self.open_from => self.open.len(),
            _ => self.chunk_of(seq).0.frames.len(),
        };
        start..end
    }
}

/// From this size on a chunk is sealed by who appends.
const CHUNK: usize = 16 * 1024;
/// The capacity that an open chunk begins with: one message.
const FIRST: usize = 512;
/// The capacity that an open chunk keeps when it is sealed.
const KEPT: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame;

    #[derive(Clone, Debug)]
    enum Step {
        Publish { size: usize },
        Seal,
        Read { reader: usize, until: u64 },
        Cut { reader: usize },
        Resume { reader: usize },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            5 => (1..60usize).prop_map(|size| Step::Publish { size }),
            1 => Just(Step::Seal),
            3 => (0..3usize, prop_oneof![3 => Just(u64::MAX), 1 => 0..99u64])
                .prop_map(|(reader, until)| Step::Read { reader, until }),
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
                        let text = said.last().unwrap();
                        let place = log.append(7, None, |_, out| frame::push(out, text));
                        prop_assert_eq!(place.seq, said.len() as u64);
                    }
                    Step::Seal => log.seal(),
                    Step::Read { reader, until } => {
                        let reader = &mut readers[reader];
                        if reader.cut || until < reader.position { continue }
                        let Reading { gap, frames, position } = log.read(reader.position, until);
                        prop_assert_eq!(position == reader.position, reader.position == until.min(log.newest()));
                        prop_assert!(position <= until);
                        let missed = gap.clone().map_or(0, |gap| gap.end - gap.start);
                        let from = reader.position + 1 + missed;
                        reader.missed.extend(gap.into_iter().flatten());
                        prop_assert_eq!(frames.is_empty(), from > position);
                        let payloads: Vec<_> = frames.payloads().collect();
                        prop_assert_eq!(payloads.len() as u64, position + 1 - from);
                        for (seq, payload) in (from..).zip(payloads) {
                            let text = serde_json::to_string(&said[seq as usize - 1]).unwrap();
                            prop_assert_eq!(payload, text.as_bytes());
                            reader.seen.push(seq);
                        }
                        reader.position = position;
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
                prop_assert!(log.starts.len() <= events);
                prop_assert!(log.bytes <= bytes || log.starts.len() == 1);
                let retained: usize = log.frames(0..u64::MAX).map(|frames| frames.len()).sum();
                prop_assert_eq!(retained, log.bytes);
                // A chunk goes with its last event.
                if let Some(chunk) = log.sealed.get(1) {
                    prop_assert!(chunk.from > log.oldest());
                }
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
        let say = |log: &mut Log, key| {
            log.append(5, Some((member, key)), |_, out| frame::push(out, &"x"))
        };
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
            .map(|at| log.append(at, None, |_, out| frame::push(out, &"x")).at)
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
                frames: Frames::default(),
                position: 0
            }
        );
    }
}
