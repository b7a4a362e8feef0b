//! What all clients together saw of each room, for as long as it can matter.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;

/// Holds what one connection sees against what others saw, and what was acknowledged against both.
///
/// Of each life of a room the newest [`WINDOW`] places are remembered, as hashes: more than a server retains, so that whoever is
/// behind is still held to them. A place that leaves the window, or whose room ends, is judged.
#[derive(Default)]
pub(crate) struct Witness {
    lives: BTreeMap<(String, String), Life>,
    /// The lives that ended lately: who was deaf hears of them later.
    over: VecDeque<(String, String)>,
    pub(crate) delivered: u64,
    pub(crate) acknowledged: u64,
    /// Events that were declared to be skipped.
    pub(crate) skipped: u64,
    /// Seen too late to be held against anything.
    pub(crate) unchecked: u64,
    pub(crate) violations: u64,
    /// The first few.
    pub(crate) complaints: Vec<String>,
}

#[derive(Default)]
struct Life {
    /// The `seq` of the first place.
    first: u64,
    places: VecDeque<Place>,
    /// Where each text of the window stands.
    texts: HashMap<u64, u64>,
}

#[derive(Clone, Copy, Default)]
struct Place {
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
struct Said {
    text: String,
}

impl Witness {
    /// Connection `by` has seen an event of a room's log.
    pub(crate) fn see(&mut self, room: &str, epoch: &str, seq: u64, raw: &str, by: u32) {
        self.delivered += 1;
        let Some(place) = self.place(room, epoch, seq) else {
            self.unchecked += 1;
            return;
        };
        let event = hash(raw);
        if let Some(seen) = &mut place.seen {
            seen.by_others |= seen.by != by;
            if seen.event != event {
                self.complain(format!("{room}: {by} sees another event at {seq}: {raw}"));
            }
            return;
        }
        let Ok(said) = serde_json::from_str::<Said>(raw) else {
            return self.complain(format!("{room}: no event: {raw}"));
        };
        let text = hash(&said.text);
        place.seen = Some(Seen {
            event,
            text,
            by,
            by_others: false,
        });
        let acknowledged = place.acknowledged;
        if acknowledged.is_some_and(|ack| ack.text != text) {
            self.complain(format!(
                "{room}: {seq} was acknowledged for another text: {raw}"
            ));
        }
        let life = self.life(room, epoch);
        if let Some(before) = life.texts.insert(text, seq)
            && seq.abs_diff(before) < RETAINED
        {
            self.complain(format!("{room}: at {before} and again: {raw}"));
        }
    }

    /// A `sent` has come to connection `to`.
    pub(crate) fn acknowledge(&mut self, room: &str, epoch: &str, seq: u64, text: &str, to: u32) {
        self.acknowledged += 1;
        let text = hash(text);
        let Some(place) = self.place(room, epoch, seq) else {
            self.unchecked += 1;
            return;
        };
        place.acknowledged = Some(Ack { text, to });
        if place.seen.is_some_and(|seen| seen.text != text) {
            self.complain(format!("{room}: {seq} is acknowledged and another text"));
        }
    }

    /// A life of a room is over, and everybody has heard all of it.
    pub(crate) fn end(&mut self, room: &str, epoch: &str) {
        let Some(life) = self.forget(room, epoch) else {
            return;
        };
        for (seq, place) in (life.first..).zip(life.places) {
            self.judge(room, seq, place);
        }
    }

    /// The lives of all rooms are over.
    pub(crate) fn end_all(&mut self) {
        let lives: Vec<_> = self.lives.keys().cloned().collect();
        for (room, epoch) in lives {
            self.end(&room, &epoch);
        }
    }

    pub(crate) fn complain(&mut self, complaint: String) {
        self.violations += 1;
        if self.complaints.len() < COMPLAINTS {
            eprintln!("violation: {complaint}");
            self.complaints.push(complaint);
        }
    }

    fn forget(&mut self, room: &str, epoch: &str) -> Option<Life> {
        let key = (room.to_owned(), epoch.to_owned());
        let life = self.lives.remove(&key)?;
        if self.over.len() >= LIVES {
            self.over.pop_front();
        }
        self.over.push_back(key);
        Some(life)
    }

    fn life(&mut self, room: &str, epoch: &str) -> &mut Life {
        self.lives
            .entry((room.to_owned(), epoch.to_owned()))
            .or_default()
    }

    /// The place of a `seq`; none if it has left the window.
    fn place(&mut self, room: &str, epoch: &str, seq: u64) -> Option<&mut Place> {
        let key = (room.to_owned(), epoch.to_owned());
        if !self.lives.contains_key(&key) && self.over.contains(&key) {
            return None;
        }
        let life = self.lives.entry(key).or_default();
        if life.places.is_empty() {
            life.first = seq.saturating_sub(WINDOW / 2).max(1);
        }
        let at = usize::try_from(seq.checked_sub(life.first)?).ok()?;
        if at > FAR {
            return None;
        }
        if at >= life.places.len() {
            life.places.resize_with(at + 1, Place::default);
        }
        let mut left = Vec::new();
        while life.places.len() as u64 > WINDOW {
            let place = life.places.pop_front().unwrap_or_default();
            if let Some(seen) = place.seen
                && life.texts.get(&seen.text) == Some(&life.first)
            {
                life.texts.remove(&seen.text);
            }
            left.push((life.first, place));
            life.first += 1;
        }
        for (seq, place) in left {
            self.judge(room, seq, place);
        }
        let life = self.life(room, epoch);
        let at = (seq - life.first) as usize;
        life.places.get_mut(at)
    }

    /// What was acknowledged to one connection has been seen by another.
    fn judge(&mut self, room: &str, seq: u64, place: Place) {
        let Some(ack) = place.acknowledged else {
            return;
        };
        let witnessed = |seen: Seen| seen.by != ack.to || seen.by_others;
        if !place.seen.is_some_and(witnessed) {
            self.complain(format!(
                "{room}: {seq} was acknowledged and seen by nobody else"
            ));
        }
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Places remembered of a room: four times what a server retains by default.
const WINDOW: u64 = 4096;
/// What a server retains by default: for so long a key counts.
const RETAINED: u64 = 1024;
/// No room comes so far between two looks at it.
const FAR: usize = 1 << 20;
/// Ended lives remembered.
const LIVES: usize = 256;
const COMPLAINTS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        format!(r#"{{"type":"message","text":"{text}"}}"#)
    }

    /// Two members have seen `1` to `last`.
    fn seen(last: u64) -> Witness {
        let mut witness = Witness::default();
        for seq in 1..=last {
            for by in [1, 2] {
                witness.see("r", "e", seq, &said(&format!("text {seq}")), by);
            }
        }
        witness
    }

    #[test]
    fn members_who_agree_are_no_violation() {
        let mut witness = seen(10_000);
        witness.acknowledge("r", "e", 9_999, "text 9999", 1);
        witness.see("r", "e", 10_001, &said("new"), 1);
        witness.acknowledge("r", "e", 10_001, "new", 1);
        witness.see("r", "e", 10_001, &said("new"), 2);
        witness.end("r", "e");
        assert_eq!((witness.violations, witness.delivered), (0, 20_002));
        assert!(witness.lives.is_empty());
    }

    #[test]
    fn two_orders_are_noticed() {
        let mut witness = seen(10);
        witness.see("r", "e", 11, &said("a"), 1);
        witness.see("r", "e", 12, &said("b"), 1);
        witness.see("r", "e", 11, &said("b"), 2);
        assert_eq!(witness.violations, 1);
        witness.see("r", "e", 12, &said("a"), 2);
        assert_eq!(witness.violations, 2);
    }

    #[test]
    fn one_text_in_two_places_is_noticed_while_its_key_counts() {
        let mut witness = seen(10);
        witness.see("r", "e", 11, &said("text 5"), 1);
        assert_eq!(witness.violations, 1);
        let mut witness = seen(2000);
        witness.see("r", "e", 2001, &said("text 5"), 1);
        assert_eq!(witness.violations, 0);
    }

    #[test]
    fn what_is_acknowledged_and_lost_is_noticed() {
        // At its end, or when it leaves the window.
        for last in [10, 10_000] {
            let mut witness = seen(last);
            witness.acknowledge("r", "e", last + 1, "mine", 1);
            // Its own author alone is no witness.
            witness.see("r", "e", last + 1, &said("mine"), 1);
            (2..WINDOW + 2)
                .for_each(|n| witness.see("r", "e", last + n, &said(&format!("{n}")), 1));
            assert_eq!(witness.violations, 1, "{:?}", witness.complaints);
            witness.acknowledge("r", "e", last + 5, "another text", 1);
            assert_eq!(witness.violations, 2);
            witness.acknowledge("r", "other", 1, "mine", 1);
            witness.end("r", "other");
            assert_eq!(witness.violations, 3);
        }
    }

    #[test]
    fn who_hears_of_a_life_after_its_end_is_not_held_to_it() {
        let mut witness = seen(10);
        witness.end("r", "e");
        witness.acknowledge("r", "e", 11, "late", 3);
        witness.see("r", "e", 3, &said("other"), 3);
        witness.end_all();
        assert_eq!((witness.violations, witness.unchecked), (0, 2));
    }

    #[test]
    fn memory_is_bounded() {
        let witness = seen(50_000);
        let life = &witness.lives[&("r".to_owned(), "e".to_owned())];
        assert_eq!(life.places.len() as u64, WINDOW);
        assert_eq!(life.texts.len() as u64, WINDOW);
    }
}
