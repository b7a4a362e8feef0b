//! One room as one connection sees it: a state that every event updates, and that checks every
//! event.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::fields::{number, text};
use crate::ledger::Ledger;

/// A joined room.
///
/// [`Client`](crate::Client) keeps a view of each of its rooms. Clients of other transports can
/// keep their own: begin with [`from_joined`](Self::from_joined), then pass every later event of
/// the room to the method for its type. `raw` is always the whole event as it was received.
#[derive(Clone, Debug)]
pub struct View {
    /// The id of the room.
    pub room: String,
    /// The epoch of its log.
    pub epoch: String,
    /// The number of the newest event that was received, or skipped by a declared gap.
    pub seq: u64,
    /// The client's own id in this room.
    pub me: String,
    /// The version of `members`.
    pub version: u64,
    /// The version of the last `joined` or `presence`. It is behind `version` after a `members`
    /// reply that is newer.
    pub presence_version: u64,
    /// How many members there are as of `version`.
    pub count: u64,
    /// Nicknames by id, as far as they are known.
    pub members: BTreeMap<String, String>,
    /// Whether `members` is the whole list as of `version`. In large rooms and after skipped
    /// versions it is not.
    pub complete: bool,
    /// How many events were skipped by declared gaps.
    pub skipped: u64,
}

impl View {
    /// The view after a `joined`. `since` is the epoch and the `seq` that the `join` asked for.
    ///
    /// # Panics
    /// If the reply breaks a promise of the protocol.
    pub fn from_joined(
        joined: &Value,
        raw: &str,
        since: Option<(String, u64)>,
        ledger: &Ledger,
    ) -> Self {
        let (epoch, newest) = (text(joined, "epoch"), number(joined, "seq"));
        let room = text(&joined["room"], "id");
        let messages = messages(raw);
        let recovered = joined["recovered"] == true;
        let mut seq = newest;
        if recovered {
            let (asked, at) = since.expect("only a join with `since` is recovered");
            assert_eq!(asked, epoch, "recovered in another epoch: {raw}");
            assert!(at <= newest, "recovered at a future position: {raw}");
            assert!(messages.is_empty(), "recovered with recent messages: {raw}");
            seq = at;
        } else if let Some((last, _)) = messages.last() {
            assert_eq!(
                *last, newest,
                "the recent messages must end with the newest: {raw}"
            );
        }
        check_page(&room, &epoch, &messages, ledger);
        let mut view = Self {
            room,
            epoch,
            seq,
            me: text(&joined["you"], "id"),
            version: 0,
            presence_version: 0,
            count: 0,
            members: BTreeMap::new(),
            complete: false,
            skipped: 0,
        };
        view.apply_list(&joined["presence"], true, true);
        view.presence_version = view.version;
        view
    }

    /// Applies a `message` or `notice`.
    ///
    /// # Panics
    /// If it is not the next event of the log, or if another client saw a different event there.
    pub fn apply_event(&mut self, event: &Value, raw: &str, ledger: &Ledger) {
        let seq = number(event, "seq");
        assert_eq!(seq, self.seq + 1, "out of order: {raw}");
        self.seq = seq;
        ledger.record(&self.room, &self.epoch, seq, raw);
    }

    /// Applies a `gap`.
    ///
    /// # Panics
    /// If it is empty, of another epoch, or does not begin after the newest event.
    pub fn apply_gap(&mut self, gap: &Value) {
        let (from, to) = (number(gap, "from"), number(gap, "to"));
        assert_eq!(text(gap, "epoch"), self.epoch, "{gap}");
        assert_eq!(
            from,
            self.seq + 1,
            "a gap must begin after the newest event: {gap}"
        );
        assert!(to >= from, "an empty gap: {gap}");
        self.seq = to;
        self.skipped += to - from + 1;
    }

    /// Checks a `history` reply.
    ///
    /// # Panics
    /// If it has holes, or if another client saw different events.
    pub fn check_history(&self, raw: &str, ledger: &Ledger) {
        check_page(&self.room, &self.epoch, &messages(raw), ledger);
    }

    /// Applies a `members` reply. A first page, which is one without a `cursor` in its command,
    /// starts the list anew; the last page completes it.
    ///
    /// # Panics
    /// If a field is missing.
    pub fn apply_members(&mut self, page: &Value, first: bool) {
        // Pages of two versions do not fit together: between them, the connection has received
        // changes that an older page does not have.
        if first || number(page, "version") == self.version {
            self.apply_list(page, first, page["cursor"].is_null());
        }
    }

    fn apply_list(&mut self, list: &Value, first: bool, last: bool) {
        if first {
            self.members.clear();
        }
        self.version = number(list, "version");
        self.count = number(list, "count");
        self.members.extend(members(&list["members"]));
        self.complete = last && self.members.len() as u64 == self.count;
    }

    /// Applies a `presence`.
    ///
    /// # Panics
    /// If its version is old, if it contradicts itself, or if it does not fit a complete list of
    /// the version before.
    pub fn apply_presence(&mut self, event: &Value) {
        let version = number(event, "version");
        assert!(version > self.presence_version, "an old version: {event}");
        let follows = version == self.presence_version + 1;
        self.presence_version = version;
        if version <= self.version {
            // A `members` reply has overtaken this event.
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
            let known = self.members.insert(id.clone(), nickname.clone());
            assert!(
                known.is_none() || !self.complete,
                "a member joined twice: {event}, {self:?}"
            );
        }
        for (id, nickname) in renamed {
            let known = self.members.insert(id.clone(), nickname.clone());
            assert!(
                known.is_some() || !self.complete,
                "an unknown member was renamed: {event}, {self:?}"
            );
        }
        for (id, _) in left {
            let known = self.members.remove(id);
            assert!(
                known.is_some() || !self.complete,
                "an unknown member left: {event}, {self:?}"
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

/// Checks that the numbers in a page are consecutive, and records its events.
fn check_page(room: &str, epoch: &str, page: &[(u64, String)], ledger: &Ledger) {
    for pair in page.windows(2) {
        assert_eq!(pair[0].0 + 1, pair[1].0, "{room}: a hole in a page");
    }
    for (seq, event) in page {
        ledger.record(room, epoch, *seq, event);
    }
}

/// The `messages` of an event with their numbers, byte for byte.
fn messages(raw: &str) -> Vec<(u64, String)> {
    let fields: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(raw).expect("an event must be an object");
    let list = fields
        .get("messages")
        .expect("the event must have messages");
    let list: Vec<Box<RawValue>> =
        serde_json::from_str(list.get()).expect("`messages` must be a list");
    list.iter()
        .map(|raw| {
            let event: Value = serde_json::from_str(raw.get()).expect("a message must be an event");
            (number(&event, "seq"), raw.get().to_owned())
        })
        .collect()
}

/// Ids and nicknames of a list, which may be absent.
fn members(list: &Value) -> Vec<(String, String)> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .map(|member| (text(member, "id"), text(member, "nickname")))
        .collect()
}
