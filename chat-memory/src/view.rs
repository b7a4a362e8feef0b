//! One room as one connection sees it, folded from events; every step is checked.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::ledger::Ledger;

/// A joined room.
#[derive(Clone, Debug)]
pub struct View {
    /// Its id.
    pub room: String,
    /// The life of the log.
    pub epoch: String,
    /// The newest event seen, or declared to be skipped.
    pub seq: u64,
    /// This client's own id here.
    pub me: String,
    /// The version of `members`.
    pub version: u64,
    /// The version last told by `joined` or `presence`; behind `version` after a list was asked for.
    pub told: u64,
    /// How many members there are as of the version.
    pub count: u64,
    /// Nicknames by id, as far as they are known.
    pub members: BTreeMap<String, String>,
    /// Whether `members` is the whole list as of `version`. Not so in large rooms, and after skipped versions.
    pub complete: bool,
    /// Events that were declared to be skipped.
    pub skipped: u64,
}

impl View {
    /// What a `joined` shows, with the position that was asked for.
    ///
    /// # Panics
    /// If the answer breaks a promise.
    pub fn open(joined: &Value, raw: &str, since: Option<(String, u64)>, ledger: &Ledger) -> Self {
        let (epoch, newest) = (text(joined, "epoch"), number(joined, "seq"));
        let room = text(&joined["room"], "id");
        let messages = messages(raw);
        let recovered = joined["recovered"] == true;
        let mut seq = newest;
        if recovered {
            let (asked, at) = since.expect("only who asks is recovered");
            assert_eq!(asked, epoch, "recovered in another epoch: {raw}");
            assert!(at <= newest, "recovered in the future: {raw}");
            assert!(messages.is_empty(), "recovered with recent messages: {raw}");
            seq = at;
        } else if let Some((last, _)) = messages.last() {
            assert_eq!(
                *last, newest,
                "recent messages end before the newest: {raw}"
            );
        }
        check_page(&room, &epoch, &messages, ledger);
        let mut view = Self {
            room,
            epoch,
            seq,
            me: text(&joined["you"], "id"),
            version: 0,
            told: 0,
            count: 0,
            members: BTreeMap::new(),
            complete: false,
            skipped: 0,
        };
        view.list(&joined["presence"], true, true);
        view.told = view.version;
        view
    }

    /// A `message` or `notice`.
    ///
    /// # Panics
    /// If it is not the next one, or not the same that others saw.
    pub fn event(&mut self, event: &Value, raw: &str, ledger: &Ledger) {
        let seq = number(event, "seq");
        assert_eq!(seq, self.seq + 1, "out of order: {raw}");
        self.seq = seq;
        ledger.enter(&self.room, &self.epoch, seq, raw);
    }

    /// A `gap`.
    ///
    /// # Panics
    /// If it does not begin where this view ends.
    pub fn gap(&mut self, gap: &Value) {
        let (from, to) = (number(gap, "from"), number(gap, "to"));
        assert_eq!(text(gap, "epoch"), self.epoch, "{gap}");
        assert_eq!(from, self.seq + 1, "a gap that does not begin here: {gap}");
        assert!(to >= from, "an empty gap: {gap}");
        self.seq = to;
        self.skipped += to - from + 1;
    }

    /// A page of `history`.
    ///
    /// # Panics
    /// If it has holes, or is not what others saw.
    pub fn history(&self, raw: &str, ledger: &Ledger) {
        check_page(&self.room, &self.epoch, &messages(raw), ledger);
    }

    /// A `members` page: a first page starts the list anew, the last one completes it.
    pub fn page(&mut self, page: &Value, first: bool) {
        // An older list says nothing: its connection has seen newer changes. Pages of two versions do not fit together.
        let fits = first || number(page, "version") == self.version;
        if fits {
            self.list(page, first, page["cursor"].is_null());
        }
    }

    fn list(&mut self, list: &Value, first: bool, last: bool) {
        if first {
            self.members.clear();
        }
        self.version = number(list, "version");
        self.count = number(list, "count");
        for member in members(&list["members"]) {
            self.members.insert(member.0, member.1);
        }
        self.complete = last && self.members.len() as u64 == self.count;
    }

    /// A `presence`.
    ///
    /// # Panics
    /// If it is old, contradicts itself, or does not fit the list as of the version before.
    pub fn presence(&mut self, event: &Value) {
        let version = number(event, "version");
        assert!(version > self.told, "an old version: {event}");
        let follows = version == self.told + 1;
        self.told = version;
        if version <= self.version {
            // A list that was asked for is newer than what was still to be told.
            return;
        }
        let follows = follows || version == self.version + 1;
        self.version = version;
        self.count = number(event, "count");
        let lists = ["joined", "left", "renamed"].map(|list| members(&event[list]));
        let [joined, left, renamed] = &lists;
        let mut ids: Vec<&String> = lists.iter().flatten().map(|(id, _)| id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(
            ids.len(),
            lists.iter().map(Vec::len).sum::<usize>(),
            "a member is in two lists: {event}"
        );
        if !follows || ids.is_empty() {
            self.complete = false;
        }
        for (id, nickname) in joined {
            let before = self.members.insert(id.clone(), nickname.clone());
            assert!(
                before.is_none() || !self.complete,
                "joined twice: {event}, {self:?}"
            );
        }
        for (id, nickname) in renamed {
            let before = self.members.insert(id.clone(), nickname.clone());
            assert!(
                before.is_some() || !self.complete,
                "renamed a stranger: {event}, {self:?}"
            );
        }
        for (id, _) in left {
            let before = self.members.remove(id);
            assert!(
                before.is_some() || !self.complete,
                "a stranger left: {event}, {self:?}"
            );
        }
        if self.complete {
            assert_eq!(
                self.members.len() as u64,
                self.count,
                "the count is wrong: {event}, {self:?}"
            );
        }
    }
}

/// Neighbours in a page have neighbouring numbers.
fn check_page(room: &str, epoch: &str, page: &[(u64, String)], ledger: &Ledger) {
    for pair in page.windows(2) {
        assert_eq!(pair[0].0 + 1, pair[1].0, "{room}: a hole in a page");
    }
    for (seq, event) in page {
        ledger.enter(room, epoch, *seq, event);
    }
}

/// The `messages` of an event with their numbers, byte for byte.
fn messages(raw: &str) -> Vec<(u64, String)> {
    let fields: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(raw).expect("events are objects");
    let list = fields.get("messages").expect("an event with messages");
    let list: Vec<Box<RawValue>> = serde_json::from_str(list.get()).expect("messages are a list");
    list.iter()
        .map(|raw| {
            let event: Value = serde_json::from_str(raw.get()).expect("messages are events");
            (number(&event, "seq"), raw.get().to_owned())
        })
        .collect()
}

fn members(list: &Value) -> Vec<(String, String)> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .map(|member| (text(member, "id"), text(member, "nickname")))
        .collect()
}

/// A string field.
pub(crate) fn text(event: &Value, field: &str) -> String {
    event[field]
        .as_str()
        .unwrap_or_else(|| panic!("no `{field}` in {event}"))
        .to_owned()
}

/// A whole number field.
pub(crate) fn number(event: &Value, field: &str) -> u64 {
    event[field]
        .as_u64()
        .unwrap_or_else(|| panic!("no `{field}` in {event}"))
}
