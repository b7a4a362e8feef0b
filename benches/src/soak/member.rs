//! Somebody in one room over as many connections as it takes, who checks all that it is told.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chat_memory::{Ledger, View};
use serde_json::{Value, json};

use crate::wire::{Heard, Wire};
use crate::witness::Witness;

/// What all members enter what they see into.
pub(crate) type Book = Arc<Mutex<Witness>>;

pub(crate) struct Member {
    no: u32,
    room: String,
    from: Ipv4Addr,
    book: Book,
    wire: Option<Wire>,
    token: Option<String>,
    view: Option<View>,
    position: Option<(String, u64)>,
    next_id: u64,
    asked: HashMap<u64, Asked>,
    /// Key and text of what was said and not acknowledged.
    unsure: VecDeque<(String, String)>,
    said: u64,
    /// Since the last connection: why the stay in the room ended.
    pub(crate) removed: Option<String>,
    /// Refusals by code, over all connections.
    pub(crate) refusals: HashMap<String, u64>,
    /// Close codes, and 0 for ends without one.
    pub(crate) closes: HashMap<u16, u64>,
    pub(crate) recovered: u64,
    pub(crate) unrecovered: u64,
}

enum Asked {
    Join {
        since: Option<(String, u64)>,
    },
    Send {
        key: String,
        text: String,
        fresh: bool,
    },
    Members {
        first: bool,
    },
    Other,
}

impl Member {
    pub(crate) fn new(no: u32, room: &str, from: Ipv4Addr, book: &Book) -> Self {
        Self {
            no,
            room: room.to_owned(),
            from,
            book: Arc::clone(book),
            wire: None,
            token: None,
            view: None,
            position: None,
            next_id: 1,
            asked: HashMap::new(),
            unsure: VecDeque::new(),
            said: 0,
            removed: None,
            refusals: HashMap::new(),
            closes: HashMap::new(),
            recovered: 0,
            unrecovered: 0,
        }
    }

    /// Opens a connection, says who it is, and comes in or comes back. True once it is inside.
    pub(crate) async fn enter(&mut self, to: SocketAddr) -> bool {
        match Wire::open(self.from, to).await {
            Ok(wire) => self.wire = Some(wire),
            Err(error) => {
                *self.refusals.entry(error.to_string()).or_default() += 1;
                return false;
            }
        }
        self.asked.clear();
        self.view = None;
        self.removed = None;
        let mut hello = json!({"type": "hello"});
        if let Some(token) = &self.token {
            hello["token"] = json!(token);
        }
        self.command(hello);
        self.join();
        while self.view.is_none() {
            let refused = self.refusals.values().sum::<u64>();
            if !self.hear().await || self.refusals.values().sum::<u64>() > refused {
                return false;
            }
        }
        true
    }

    /// Comes in, or comes back to where it was.
    pub(crate) fn join(&mut self) {
        let mut join = json!({"type": "join", "room": self.room});
        if let Some((epoch, seq)) = &self.position {
            join["since"] = json!({"epoch": epoch, "seq": seq});
        }
        self.command(join);
    }

    pub(crate) fn leave(&mut self) {
        self.command(json!({"type": "leave", "room": self.room}));
    }

    pub(crate) fn is_in(&self) -> bool {
        self.view.is_some()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.wire.is_some()
    }

    /// Whether it has heard all replies.
    pub(crate) fn is_answered(&self) -> bool {
        self.asked.is_empty()
    }

    pub(crate) fn room(&self) -> &str {
        &self.room
    }

    pub(crate) fn epoch(&self) -> Option<&str> {
        Some(&self.position.as_ref()?.0)
    }

    /// Says something that nobody has said before.
    pub(crate) fn say(&mut self, padding: usize) {
        if self.unsure.len() >= MOST_UNSURE {
            return;
        }
        self.said += 1;
        let text = format!("{}-{} {}", self.no, self.said, "x".repeat(padding));
        let key = format!("{}-{}", self.no, self.said);
        self.send(key, text, true);
    }

    /// Says again what nobody has acknowledged, under its old keys.
    pub(crate) fn say_again(&mut self) {
        let waiting: Vec<String> = self
            .asked
            .values()
            .filter_map(Asked::key)
            .cloned()
            .collect();
        let unsure: Vec<_> = self
            .unsure
            .drain(..)
            .filter(|(key, _)| !waiting.contains(key))
            .collect();
        for (key, text) in unsure {
            self.send(key, text, false);
        }
    }

    /// Whether something waits to be said again.
    pub(crate) fn is_unsure(&self) -> bool {
        !self.unsure.is_empty()
    }

    fn send(&mut self, key: String, text: String, fresh: bool) {
        let id = self.command(json!({"type": "send", "room": self.room, "text": text, "key": key}));
        self.asked.insert(id, Asked::Send { key, text, fresh });
    }

    /// Sends a command about which nothing but its being answered is checked.
    pub(crate) fn command(&mut self, mut command: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        command["id"] = json!(id);
        let asked = match command["type"].as_str() {
            Some("join") => Asked::Join {
                since: self.position.clone(),
            },
            Some("members") => Asked::Members {
                first: command["cursor"].is_null(),
            },
            _ => Asked::Other,
        };
        self.asked.insert(id, asked);
        self.text(&command.to_string());
        id
    }

    /// Sends text as it is.
    pub(crate) fn text(&mut self, text: &str) {
        if let Some(wire) = &mut self.wire {
            wire.say(text);
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if let Some(wire) = &mut self.wire {
            wire.write(bytes);
        }
    }

    /// See [`Wire::narrow`].
    pub(crate) fn narrow(&self, bytes: usize) {
        if let Some(wire) = &self.wire {
            wire.narrow(bytes);
        }
    }

    pub(crate) fn close(&mut self) {
        if let Some(wire) = &mut self.wire {
            wire.close();
        }
    }

    pub(crate) fn cut(&mut self) {
        if let Some(wire) = self.wire.take() {
            wire.cut();
            self.over(None);
        }
    }

    /// Takes in what comes next. False once the connection is over. Cancel-safe.
    pub(crate) async fn hear(&mut self) -> bool {
        let Some(wire) = &mut self.wire else {
            return false;
        };
        match wire.hear().await {
            Heard::Text(text) => {
                self.fold(&text);
                true
            }
            Heard::Over(code) => {
                self.over(code);
                false
            }
        }
    }

    fn over(&mut self, code: Option<u16>) {
        *self.closes.entry(code.unwrap_or(0)).or_default() += 1;
        self.wire = None;
        self.view = None;
        // What was under way may have arrived or not.
        let mut lost: Vec<_> = self.asked.drain().collect();
        lost.sort_by_key(|(id, _)| *id);
        for (_, asked) in lost {
            if let Asked::Send { key, text, .. } = asked {
                self.unsure.push_back((key, text));
            }
        }
    }

    fn fold(&mut self, raw: &str) {
        let Ok(event) = serde_json::from_str::<Value>(raw) else {
            return self.complain(&format!("no JSON: {raw}"));
        };
        let asked = match event["id"].as_u64() {
            None => None,
            Some(id) => match self.asked.remove(&id) {
                Some(asked) => Some(asked),
                None => return self.complain(&format!("a reply to nothing: {raw}")),
            },
        };
        match event["type"].as_str().unwrap_or_default() {
            "welcome" => self.token = event["token"].as_str().map(str::to_owned),
            "joined" => self.joined(&event, raw, asked),
            "message" | "notice" => {
                self.with_view(raw, |view, ledger| view.event(&event, raw, ledger));
            }
            "gap" => {
                self.with_view(raw, |view, _| view.gap(&event));
                let skipped = event["to"].as_u64().zip(event["from"].as_u64());
                let skipped = skipped.map_or(0, |(to, from)| to.saturating_sub(from) + 1);
                self.book().skipped += skipped;
            }
            "presence" => self.with_view(raw, |view, _| view.presence(&event)),
            "history" => self.with_view(raw, |view, ledger| view.history(raw, ledger)),
            "members" => {
                let first = matches!(asked, Some(Asked::Members { first: true }));
                self.with_view(raw, |view, _| view.page(&event, first));
            }
            "sent" => self.sent(&event, raw, asked),
            "left" => self.view = None,
            "removed" => {
                self.view = None;
                self.removed = event["reason"].as_str().map(str::to_owned);
            }
            "error" => self.refused(&event, asked),
            _ => {}
        }
        if let Some(view) = &self.view {
            self.position = Some((view.epoch.clone(), view.seq));
        }
    }

    fn joined(&mut self, event: &Value, raw: &str, asked: Option<Asked>) {
        let Some(Asked::Join { since }) = asked else {
            return self.complain(&format!("joined without a word: {raw}"));
        };
        match event["recovered"].as_bool() {
            Some(true) => self.recovered += 1,
            _ if since.is_some() => self.unrecovered += 1,
            _ => {}
        }
        let ledger = Ledger::default();
        let opened = checked(|| View::open(event, raw, since, &ledger));
        self.enter_all(&ledger);
        match opened {
            Ok(view) => {
                self.view = Some(view);
                self.say_again();
            }
            Err(why) => self.complain(&why),
        }
    }

    fn sent(&mut self, event: &Value, raw: &str, asked: Option<Asked>) {
        let (Some(Asked::Send { text, fresh, .. }), Some(view), Some(seq)) =
            (asked, &self.view, event["seq"].as_u64())
        else {
            return self.complain(&format!("`sent` and nothing was: {raw}"));
        };
        if fresh && seq <= view.seq {
            self.complain(&format!("the own message came before `sent`: {raw}"));
        }
        let (room, epoch) = self.place();
        self.book().acknowledge(&room, &epoch, seq, &text, self.no);
    }

    fn refused(&mut self, event: &Value, asked: Option<Asked>) {
        let code = event["code"].as_str().unwrap_or_default().to_owned();
        if code == "bad_token" {
            self.token = None;
        }
        if code == "internal" {
            self.complain(&event.to_string());
        }
        *self.refusals.entry(code).or_default() += 1;
        if let Some(Asked::Send { key, text, .. }) = asked {
            self.unsure.push_back((key, text));
        }
    }

    /// Lets the view take something in, and enters into the book what it has seen.
    fn with_view(&mut self, raw: &str, take: impl FnOnce(&mut View, &Ledger)) {
        let Some(view) = &mut self.view else {
            return self.complain(&format!("from a room that it is not in: {raw}"));
        };
        let ledger = Ledger::default();
        let taken = checked(|| take(view, &ledger));
        self.enter_all(&ledger);
        if let Err(why) = taken {
            self.complain(&why);
        }
    }

    fn enter_all(&self, ledger: &Ledger) {
        for (room, epoch, seq, raw) in ledger.all() {
            self.book().see(&room, &epoch, seq, &raw, self.no);
        }
    }

    fn place(&self) -> (String, String) {
        let epoch = self.view.as_ref().map(|view| view.epoch.clone());
        (self.room.clone(), epoch.unwrap_or_default())
    }

    pub(crate) fn complain(&self, what: &str) {
        self.book()
            .complain(format!("{} in {}: {what}", self.no, self.room));
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Witness> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    fn key(&self) -> Option<&String> {
        match self {
            Self::Send { key, .. } => Some(key),
            _ => None,
        }
    }
}

/// A view panics where a promise is broken: with what it says then.
fn checked<T>(check: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(check)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default()
    })
}

/// What a client keeps to say again; nothing new is said before.
const MOST_UNSURE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn joined() -> Member {
        let mut member = Member::new(1, "r", Ipv4Addr::LOCALHOST, &Book::default());
        member.join();
        member.fold(
            r#"{"type":"joined","id":1,"room":{"id":"r"},"you":{"id":"me","nickname":"Me"},"presence":{"version":1,"count":1,"members":[{"id":"me","nickname":"Me"}]},"epoch":"e","seq":0,"recovered":false,"messages":[]}"#,
        );
        member
    }

    fn message(seq: u64) -> String {
        format!(r#"{{"type":"message","room":"r","seq":{seq},"text":"{seq}"}}"#)
    }

    /// The violations of a member that hears messages of these numbers, and a declared gap.
    fn violations(seqs: &[u64], gap: Option<(u64, u64)>) -> u64 {
        let mut member = joined();
        if let Some((from, to)) = gap {
            member.fold(&format!(
                r#"{{"type":"gap","room":"r","epoch":"e","from":{from},"to":{to}}}"#
            ));
        }
        seqs.iter().for_each(|seq| member.fold(&message(*seq)));
        member.book().violations
    }

    #[test]
    fn a_duplicate_a_hole_and_a_reorder_are_noticed() {
        assert_eq!(violations(&[1, 2, 3], None), 0);
        assert_eq!(violations(&[1, 2, 2, 3], None), 1, "a duplicate");
        assert!(violations(&[1, 3], None) >= 1, "a hole");
        assert!(violations(&[2, 1], None) >= 1, "a reorder");
        assert_eq!(violations(&[5, 6], Some((1, 4))), 0);
        assert!(
            violations(&[6], Some((1, 4))) >= 1,
            "more than was declared"
        );
    }

    #[test]
    fn an_own_message_before_its_sent_is_noticed() {
        for (early, violations) in [(false, 0), (true, 1)] {
            let mut member = joined();
            member.say(0);
            let sent = r#"{"type":"sent","id":2,"room":"r","seq":1,"at":1}"#;
            let own = r#"{"type":"message","room":"r","seq":1,"text":"1-1 "}"#;
            let order = if early { [own, sent] } else { [sent, own] };
            order.iter().for_each(|event| member.fold(event));
            assert_eq!(member.book().violations, violations);
        }
    }

    #[test]
    fn what_was_not_acknowledged_is_said_again_under_its_key() {
        let mut member = joined();
        member.say(0);
        member.over(None);
        assert!(member.is_unsure());
        member.say_again();
        assert_eq!(member.asked.values().filter_map(Asked::key).count(), 1);
        assert!(!member.is_unsure());
    }
}
