//! The log of a room: its events, in order, in one bounded ring.

use std::collections::VecDeque;
use std::ops::Range;

use crate::protocol::Frames;

/// A bounded ring of encoded events with dense sequence numbers from 1.
///
/// A reader's position is the sequence number of the last event that it was sent, or 0 before the
/// first.
///
/// Events lie back to back in chunks. A reader gets the rest of a chunk, which is shared and not
/// copied. New events are written to an open chunk, which the first reader [seals](Log::seal), so
/// all events since the last read are one chunk for every reader that keeps up. A chunk is freed
/// with its last event, so up to [`CHUNK`] bytes and one event are held over the bound.
pub(crate) struct Log {
    sealed: VecDeque<Chunk>,
    open: Vec<u8>,
    /// Where each retained event starts within its chunk.
    starts: VecDeque<u32>,
    /// The sequence number of the newest event; 0 before the first.
    newest: u64,
    /// The sequence number of the first event of the open chunk.
    open_from: u64,
    bytes: usize,
    max_events: usize,
    max_bytes: usize,
}

/// Events that were sealed together, with the sequence number of the first one.
struct Chunk {
    from: u64,
    frames: Frames,
}

/// The place of an event in the log of its room, and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) seq: u64,
    /// Milliseconds since the Unix epoch.
    pub(crate) at: u64,
}

/// What follows a position.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The events that are skipped because they are no longer retained.
    pub(crate) gap: Option<Range<u64>>,
    /// The events to send next; may be empty.
    pub(crate) frames: Frames,
    /// The position after them.
    pub(crate) position: u64,
}

impl Log {
    pub(crate) fn new(max_events: usize, max_bytes: usize) -> Self {
        Self {
            sealed: VecDeque::new(),
            open: Vec::new(),
            starts: VecDeque::new(),
            newest: 0,
            open_from: 1,
            bytes: 0,
            max_events: max_events.max(1),
            max_bytes,
        }
    }

    /// Appends an event of the time `at`, which `push` writes as one frame.
    pub(crate) fn append(
        &mut self,
        at: u64,
        push: impl FnOnce(Position, &mut Vec<u8>),
    ) -> Position {
        let position = Position {
            seq: self.newest + 1,
            at,
        };
        if self.open.capacity() == 0 {
            self.open.reserve(INITIAL_CAPACITY);
        }
        let start = self.open.len();
        push(position, &mut self.open);
        self.bytes += self.open.len() - start;
        self.starts.push_back(start as u32);
        self.newest = position.seq;
        // The newest event always stays, however large it is.
        while self.starts.len() > 1
            && (self.starts.len() > self.max_events || self.bytes > self.max_bytes)
        {
            self.drop_oldest();
        }
        if self.open.len() >= CHUNK {
            self.seal();
        }
        position
    }

    fn drop_oldest(&mut self) {
        let oldest = self.oldest();
        // The oldest event lies in the first chunk, so no search is needed.
        let end = match (self.starts.get(1), self.sealed.front()) {
            (Some(&next), _) if next > 0 => next as usize,
            (_, Some(first)) => first.frames.len(),
            (_, None) => self.open.len(),
        };
        let start = self.starts.pop_front().unwrap_or_default();
        self.bytes -= end - start as usize;
        let next = self
            .sealed
            .get(1)
            .map_or(self.open_from, |chunk| chunk.from);
        if next == oldest + 1 {
            self.sealed.pop_front();
        }
    }

    /// Whether there are events to [seal](Self::seal).
    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Makes a chunk of the events that were appended since the last time.
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
        // The memory that one busy turn needed is not kept for the life of the room.
        self.open.shrink_to(KEPT_CAPACITY);
    }

    /// The sequence number of the newest event; 0 before the first.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// The sequence number of the oldest retained event; one after the newest when there is none.
    pub(crate) fn oldest(&self) -> u64 {
        self.newest + 1 - self.starts.len() as u64
    }

    /// What to send after `position` and up to `until`: the rest of one chunk.
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

    /// Whether everything after `position` is still retained, and `position` itself was ever
    /// reached.
    pub(crate) fn can_resume(&self, position: u64) -> bool {
        position <= self.newest && position + 1 >= self.oldest()
    }

    /// The encoded events in `range` that are still retained, oldest first.
    pub(crate) fn frames(&self, range: Range<u64>) -> impl Iterator<Item = Frames> {
        let range = range.start.max(self.oldest())..range.end.min(self.newest + 1);
        range.map(|seq| self.chunk(seq, seq).0)
    }

    /// The events from `from` up to `until` that lie in one chunk, and the number of the last of
    /// them. Both `from` and `until` must be retained.
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

    /// The sealed chunk that contains an event, and the first event of the next chunk.
    fn chunk_of(&self, seq: u64) -> (&Chunk, u64) {
        // A reader that keeps up reads the last chunk.
        if let Some(last) = self.sealed.back()
            && last.from <= seq
        {
            return (last, self.open_from);
        }
        let next = self.sealed.partition_point(|chunk| chunk.from <= seq);
        (&self.sealed[next - 1], self.sealed[next].from)
    }

    /// Where a retained event lies within its chunk.
    fn span(&self, seq: u64) -> Range<usize> {
        let n = (seq - self.oldest()) as usize;
        let start = self.starts[n] as usize;
        let end = match self.starts.get(n + 1) {
            // The first event of the next chunk starts at 0.
            Some(&next) if next > 0 => next as usize,
            _ if seq >= self.open_from => self.open.len(),
            _ => self.chunk_of(seq).0.frames.len(),
        };
        start..end
    }
}

/// An open chunk of this size or more is sealed by the writer.
const CHUNK: usize = 16 * 1024;
/// The capacity of a new open chunk: one message.
const INITIAL_CAPACITY: usize = 512;
/// The capacity that an open chunk keeps when it is sealed.
const KEPT_CAPACITY: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::frames;

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

    /// A reader, with everything that it was sent.
    #[derive(Default)]
    struct Reader {
        start: u64,
        position: u64,
        cut: bool,
        seen: Vec<u64>,
        missed: Vec<u64>,
    }

    proptest! {
        /// A reader sees the log from where it started, minus the declared gaps, in any schedule.
        #[test]
        fn readers_see_the_log_minus_declared_gaps(steps in steps(), events in 1..20usize, bytes in 1..600usize) {
            let mut log = Log::new(events, bytes);
            let mut sent: Vec<String> = Vec::new();
            let mut readers: [Reader; 3] = Default::default();
            for step in steps {
                match step {
                    Step::Publish { size } => {
                        sent.push(format!("{}:{}", sent.len() + 1, "x".repeat(size)));
                        let text = sent.last().unwrap();
                        let seq = log.append(7, |_, out| frames::push(out, text)).seq;
                        prop_assert_eq!(seq, sent.len() as u64);
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
                            let text = serde_json::to_string(&sent[seq as usize - 1]).unwrap();
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
                            *reader = Reader { start: log.newest(), position: log.newest(), ..Reader::default() };
                        }
                    }
                }
                // Bounded, but the newest event is always retained.
                prop_assert!(log.starts.len() <= events);
                prop_assert!(log.bytes <= bytes || log.starts.len() == 1);
                let retained: usize = log.frames(0..u64::MAX).map(|frames| frames.len()).sum();
                prop_assert_eq!(retained, log.bytes);
                // A chunk is freed with its last event.
                if let Some(chunk) = log.sealed.get(1) {
                    prop_assert!(chunk.from > log.oldest());
                }
            }
            for reader in &readers {
                let mut reported: Vec<u64> = reader.seen.iter().chain(&reader.missed).copied().collect();
                reported.sort_unstable();
                prop_assert!(reader.seen.is_sorted());
                prop_assert_eq!(reported, (reader.start + 1..=reader.position).collect::<Vec<_>>());
            }
        }
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
