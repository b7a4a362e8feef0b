//! The judgement on a world that has come to rest: what was promised, held against what everybody saw.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::view::{View, number, text};
use crate::world::{Person, World};

impl World {
    /// No seat too many, at any moment.
    pub(crate) async fn check_capacity(&self) {
        for room in &self.rooms {
            if let Ok(info) = self.chat.room(room.as_str()).unwrap().info().await {
                let capacity = info.capacity as usize;
                assert!(capacity == 0 || info.count <= capacity, "{room}: {info:?}");
            }
        }
    }

    /// The faults end: everybody reads again, half of those who are away come back, what is unsure is said again, and all
    /// graces and windows run out.
    pub(crate) async fn come_to_rest(&mut self) {
        for n in 0..self.people.len() {
            self.people[n].client.end().resume();
        }
        self.calm().await;
        for n in (0..self.people.len()).step_by(2) {
            if !self.people[n].online {
                self.connect(n);
            }
            self.calm().await;
            for room in self.rooms.clone() {
                if self.people[n].online
                    && !self.people[n].client.views().contains_key(room.as_str())
                {
                    self.join(n, room.as_str()).await;
                }
            }
        }
        self.calm().await;
        for n in 0..self.people.len() {
            if self.people[n].online {
                self.resend(n);
            }
        }
        self.calm().await;
        for _ in 0..30 {
            self.pass(200).await;
            self.calm().await;
        }
        for person in self.people.iter().filter(|person| person.online) {
            for (room, key) in person.unsure.keys() {
                let joined = person.client.views().contains_key(room);
                assert!(!joined, "{room}: {key} is not answered");
            }
        }
    }

    /// The seven questions.
    pub(crate) async fn judge(&mut self) {
        self.check_presence().await;
        self.check_liveness().await;
        let retained = self.read_history().await;
        self.check_acks(&retained);
        self.check_events();
        let online = self.people.iter().filter(|person| person.online).count();
        assert_eq!(self.tasks.len(), online, "tasks that serve nobody");
        assert_eq!(self.chat.stats().connections, online);
    }

    async fn calm(&mut self) {
        self.settle().await;
        loop {
            let unread = |person: &Person| person.online && person.client.end().unread() > 0;
            for n in 0..self.people.len() {
                self.attend(n);
            }
            self.settle().await;
            if !self.people.iter().any(unread) {
                break;
            }
        }
        for n in 0..self.people.len() {
            self.attend(n);
        }
    }

    /// The reply of somebody who is online.
    async fn ask(&mut self, n: usize, command: Value) -> Value {
        let id = self.people[n].client.command(command);
        loop {
            self.settle().await;
            self.people[n].client.pump();
            let events = self.people[n].client.drain();
            if let Some(reply) = events.into_iter().find(|event| event["id"] == id) {
                return reply;
            }
            assert!(!self.people[n].client.is_over(), "no reply");
        }
    }

    /// Every list is the server's, and the true one.
    async fn check_presence(&mut self) {
        let mut truth: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for n in 0..self.people.len() {
            if !self.people[n].online {
                continue;
            }
            let rooms: Vec<String> = self.people[n].client.views().keys().cloned().collect();
            for room in rooms {
                if !self.people[n].client.view(&room).complete {
                    self.ask(n, json!({"type": "members", "room": room})).await;
                }
                let view = self.people[n].client.view(&room);
                assert!(view.complete, "{n} in {room}: {view:?}");
                assert_eq!(
                    view.members,
                    self.members(&room).await,
                    "{n} in {room}: {view:?}"
                );
                truth
                    .entry(room.clone())
                    .or_default()
                    .insert(view.me.clone());
            }
        }
        for room in &self.rooms {
            let here: BTreeSet<String> = self.members(room.as_str()).await.into_keys().collect();
            let truth = truth.remove(room.as_str()).unwrap_or_default();
            assert_eq!(here, truth, "{room}: who is here");
        }
    }

    async fn members(&self, room: &str) -> BTreeMap<String, String> {
        let members = self.chat.room(room).unwrap().members(None, 100).await;
        let members = members.map(|page| page.members).unwrap_or_default();
        members
            .iter()
            .map(|member| (member.id.to_string(), member.nickname.to_string()))
            .collect()
    }

    /// Somebody new is let in wherever there is a seat, and is heard.
    async fn check_liveness(&mut self) {
        let n = self.people.len();
        self.people.push(Person::new(self.ledger.clone()));
        self.connect(n);
        for room in self.rooms.clone() {
            let room = room.as_str();
            let join = json!({"type": "join", "room": room, "password": "sesame"});
            let joined = self.wait_for_hash_and_ask(n, join).await;
            if joined["type"] == "error" {
                let why = text(&joined, "code");
                assert!(
                    ["room_full", "room_expired"].contains(&why.as_str()),
                    "{joined}"
                );
                continue;
            }
            let id = text(&joined["you"], "id");
            self.people[n].ids.insert(room.to_owned(), id);
            let said = format!("{n} is here");
            self.said.insert((room.to_owned(), said.clone()), n);
            let sent = self
                .ask(n, json!({"type": "send", "room": room, "text": said}))
                .await;
            let seq = number(&sent, "seq");
            self.calm().await;
            let everybody = self.people.iter().filter(|person| person.online);
            let views = everybody.filter_map(|person| person.client.views().get(room));
            let positions: Vec<u64> = views.map(|view: &View| view.seq).collect();
            assert!(
                positions.iter().all(|at| *at == seq),
                "{room}: {positions:?}, {seq}"
            );
        }
    }

    async fn wait_for_hash_and_ask(&mut self, n: usize, command: Value) -> Value {
        let id = self.people[n].client.command(command);
        let task = self.people[n].task;
        loop {
            while self.tasks.exhaust(task) {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            self.people[n].client.pump();
            let events = self.people[n].client.drain();
            if let Some(reply) = events.into_iter().find(|event| event["id"] == id) {
                return reply;
            }
        }
    }

    /// Pages through all that is retained, as somebody who may read it. Gives the epoch, the oldest and the newest.
    async fn read_history(&mut self) -> BTreeMap<String, (String, u64, u64)> {
        let mut retained = BTreeMap::new();
        for room in self.rooms.clone() {
            let room = room.as_str();
            let reader = (0..self.people.len()).find(|n| {
                let person = &self.people[*n];
                person.online && person.client.views().contains_key(room)
            });
            let Some(n) = reader else {
                continue;
            };
            let view = self.people[n].client.view(room).clone();
            let mut before = view.seq + 1;
            loop {
                let page = json!({"type": "history", "room": room, "before": before, "limit": 7});
                let page = self.ask(n, page).await;
                let messages = page["messages"].as_array().expect("a list");
                if let Some(first) = messages.first() {
                    assert_eq!(number(messages.last().expect("one"), "seq"), before - 1);
                    before = number(first, "seq");
                }
                if page["more"] == false {
                    break;
                }
            }
            if room != "late" {
                let count = view.seq + 1 - before;
                assert_eq!(count, view.seq.min(self.log_events), "{room}: retained");
            }
            retained.insert(room.to_owned(), (view.epoch, before, view.seq));
        }
        retained
    }

    /// What was acknowledged is in the history, at the place that was said, unless it was evicted.
    fn check_acks(&self, retained: &BTreeMap<String, (String, u64, u64)>) {
        for ack in &self.acks {
            let event = self.ledger.get(&ack.room, &ack.epoch, ack.seq);
            let kept = retained
                .get(&ack.room)
                .is_some_and(|(epoch, oldest, newest)| {
                    *epoch == ack.epoch && (*oldest..=*newest).contains(&ack.seq)
                });
            let Some(event) = event else {
                assert!(!kept, "{}: {} is lost", ack.room, ack.text);
                continue;
            };
            let event: Value = serde_json::from_str(&event).expect("an event is JSON");
            assert_eq!(event["text"], ack.text, "{}: {}", ack.room, ack.seq);
        }
    }

    /// Everything that anybody saw was said, by whom it says, where it says, and once.
    fn check_events(&self) {
        let mut places: BTreeMap<(String, String, String), u64> = BTreeMap::new();
        for (room, epoch, seq, raw) in self.ledger.all() {
            let event: Value = serde_json::from_str(&raw).expect("an event is JSON");
            assert_eq!(
                (event["room"].as_str(), number(&event, "seq")),
                (Some(&*room), seq)
            );
            let said = text(&event, "text");
            let place = (room.clone(), said.clone());
            if event["type"] == "notice" {
                assert!(self.announced.contains(&place), "a phantom: {raw}");
            } else {
                let n = self.said.get(&place);
                let n = *n.unwrap_or_else(|| panic!("a phantom: {raw}"));
                assert_eq!(
                    event["from"]["id"], self.people[n].ids[&room],
                    "not by {n}: {raw}"
                );
            }
            let before = places.insert((room, epoch, said), seq);
            // A key is remembered as long as its message is.
            let forgotten = |before: u64| seq - before >= self.log_events;
            assert!(
                before.is_none_or(forgotten),
                "twice, at {before:?} too: {raw}"
            );
        }
    }
}
