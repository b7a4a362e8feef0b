//! A seeded world: clients over rooms on one engine, in virtual time, with everything that can go wrong between them.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use chat_core::{Chat, Create, HistoryFrom, Limits, MemberId, RoomId};
use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use crate::chance::Chance;
use crate::client::Client;
use crate::ledger::Ledger;
use crate::tasks::Tasks;
use crate::view::{number, text};
use crate::wire::pair;

/// A world. One number, or a string of choices, decides everything in it: who does what, which connection runs next, how much
/// time goes by.
pub struct World {
    pub(crate) rng: Chance,
    pub(crate) chat: Chat,
    pub(crate) tasks: Tasks,
    pub(crate) ledger: Ledger,
    pub(crate) people: Vec<Person>,
    pub(crate) rooms: Vec<RoomId>,
    pub(crate) log_events: u64,
    /// Who said a text where, whether it arrived or not. No text is said twice, but under its key.
    pub(crate) said: BTreeMap<(String, String), usize>,
    pub(crate) announced: BTreeSet<(String, String)>,
    pub(crate) acks: Vec<Ack>,
    pub(crate) report: Report,
    words: u64,
    trace: bool,
}

/// Somebody with a client.
pub(crate) struct Person {
    pub(crate) client: Client,
    pub(crate) task: usize,
    pub(crate) online: bool,
    /// Room and key of what was said and not acknowledged, with the text.
    pub(crate) unsure: BTreeMap<(String, String), String>,
    /// The life of each room as of the events handled so far.
    pub(crate) epochs: BTreeMap<String, String>,
    /// This person's id in each room.
    pub(crate) ids: BTreeMap<String, String>,
}

/// An acknowledged message.
pub(crate) struct Ack {
    pub(crate) room: String,
    pub(crate) epoch: String,
    pub(crate) seq: u64,
    pub(crate) text: String,
}

/// What happened in a world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// A hash of every byte that every client heard.
    pub transcript: u64,
    /// How often each kind of event or refusal was heard.
    pub heard: BTreeMap<String, u64>,
    /// Close codes, and 0 for connections that ended without one.
    pub closes: BTreeMap<u16, u64>,
}

impl World {
    /// Runs the world of `seed` for `steps` steps, lets it come to rest, and checks all that is promised.
    ///
    /// # Panics
    /// Where a promise is broken; the seed is printed.
    pub fn run(seed: u64, steps: usize) -> Report {
        let run = || Self::live(Chance::of_seed(seed), seed, |n, _| n < steps);
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            eprintln!("the world of seed {seed} failed; WORLD_SEED={seed} runs it again");
            resume_unwind(panic)
        })
    }

    /// Runs the world that `choices` decide, for as long as they last, lets it come to rest, and checks all that is promised.
    ///
    /// # Panics
    /// Where a promise is broken.
    pub fn play(choices: &[u8]) -> Report {
        Self::live(Chance::of_choices(choices), 0, |_, chance| {
            !chance.is_spent()
        })
    }

    fn live(chance: Chance, seed: u64, goes_on: impl Fn(usize, &Chance) -> bool) -> Report {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut world = Self::new(chance, seed).await;
            for n in 0.. {
                if !goes_on(n, &world.rng) {
                    break;
                }
                world.step().await;
                world.check_capacity().await;
            }
            world.come_to_rest().await;
            world.judge().await;
            world.finish()
        })
    }

    async fn new(mut rng: Chance, seed: u64) -> Self {
        let limits = Limits::default()
            .without_rates()
            .log_events(rng.random_range(3..30))
            .presence_members(if rng.random_bool(0.3) { 3 } else { 200 })
            .grace(Duration::from_secs(2))
            .write_timeout(Duration::from_secs(3))
            .page(100);
        let log_events = limits.log_events as u64;
        let chat = Chat::builder()
            .limits(limits)
            .open_rooms(true)
            .seed(seed)
            .simulated_clock(1_800_000_000_000)
            .build();
        let ledger = Ledger::default();
        let people = (0..rng.random_range(2..8))
            .map(|_| Person::new(ledger.clone()))
            .collect();
        let mut world = Self {
            chat,
            tasks: Tasks::default(),
            ledger,
            people,
            rooms: Vec::new(),
            log_events,
            said: BTreeMap::new(),
            announced: BTreeSet::new(),
            acks: Vec::new(),
            report: Report::default(),
            words: 0,
            trace: std::env::var_os("WORLD_TRACE").is_some(),
            rng,
        };
        world.make_rooms().await;
        world
    }

    async fn make_rooms(&mut self) {
        let ttl = Duration::from_millis(self.rng.random_range(2_000..20_000));
        let kinds = [
            ("open", 1.0, None),
            ("small", 0.5, Some(Create::default().capacity(2))),
            ("short", 0.5, Some(Create::default().ttl(ttl))),
            (
                "late",
                0.3,
                Some(Create::default().history_from(HistoryFrom::Join)),
            ),
            ("hasty", 0.3, Some(Create::default().grace(Duration::ZERO))),
            // Hashing takes real time.
            (LOCKED, 0.05, Some(Create::default().password("sesame"))),
        ];
        for (name, chance, create) in kinds {
            if !self.rng.random_bool(chance) {
                continue;
            }
            let room = RoomId::new(name).expect("a good name");
            self.rooms.push(room.clone());
            if let Some(mut create) = create {
                create.room = Some(room);
                self.chat.create(create, None).await.expect("a new room");
            }
        }
    }

    async fn step(&mut self) {
        let n = self.rng.random_range(0..self.people.len());
        let room = self.rooms.choose(&mut self.rng).expect("rooms").to_string();
        if self.people[n].online {
            self.act(n, room).await;
        } else if self.rng.random_bool(0.7) {
            self.connect(n);
        }
        match self.rng.random_range(0..20) {
            0 => self.host().await,
            1 => self.pass_one_of([1, 20, 60, 150]).await,
            2 => self.pass_one_of([400, 1_500, 3_000, 4_000]).await,
            3..9 => self.settle().await,
            _ => {
                for _ in 0..self.rng.random_range(0..6) {
                    self.tasks.turn(&mut self.rng);
                }
            }
        }
        for n in 0..self.people.len() {
            if self.rng.random_bool(0.5) {
                self.attend(n);
            }
        }
    }

    /// One thing that somebody does.
    async fn act(&mut self, n: usize, room: String) {
        let client = &self.people[n].client;
        // Mostly in a room where it may do something.
        let rooms: Vec<String> = client.views().keys().cloned().collect();
        let room = match rooms.choose(&mut self.rng) {
            Some(joined) if self.rng.random_bool(0.6) => joined.clone(),
            _ => room,
        };
        let joined = rooms.contains(&room);
        match self.rng.random_range(0..100) {
            0..20 if !joined => self.join(n, &room).await,
            0..45 if joined => {
                for _ in 0..self.rng.random_range(1..6) {
                    self.say(n, &room);
                }
            }
            45..50 => self.resend(n),
            50..54 if joined => drop(self.tell(n, json!({"type": "leave", "room": room}))),
            54..60 => {
                let names = ["Ann", "ANN", "Ben", "Cleo", "Аnn", "Ada"];
                let mut rename =
                    json!({"type": "nickname", "nickname": names.choose(&mut self.rng)});
                if self.rng.random() {
                    rename["room"] = json!(room);
                }
                self.tell(n, rename);
            }
            60..64 => {
                let limit = self.rng.random_range(1..30);
                self.tell(n, json!({"type": "history", "room": room, "limit": limit}));
            }
            64..67 => drop(self.tell(n, json!({"type": "members", "room": room}))),
            67..71 => {
                let active: bool = self.rng.random();
                self.tell(n, json!({"type": "typing", "room": room, "active": active}));
            }
            71..77 => self.people[n].client.end().stall(),
            77..83 => self.people[n].client.end().resume(),
            83..88 => self.part(n, true),
            88..90 => self.part(n, false),
            90..93 => self.create(n, room),
            _ => {}
        }
    }

    /// Makes a room, be there one of that id or not.
    fn create(&mut self, n: usize, taken: String) {
        let fresh = self.rng.random::<bool>();
        let room = if fresh { MADE.to_owned() } else { taken };
        let mut create = json!({"type": "create", "room": room});
        if self.rng.random() {
            create["capacity"] = json!(self.rng.random_range(1..4));
        }
        if self.rng.random_bool(0.3) {
            create["ttl_ms"] = json!(self.rng.random_range(1_000..10_000));
        }
        if fresh && !self.rooms.iter().any(|known| known.as_str() == MADE) {
            self.rooms.push(RoomId::new(MADE).expect("a good name"));
        }
        self.tell(n, create);
    }

    fn tell(&mut self, n: usize, command: Value) -> u64 {
        self.trace(n, || format!("> {command}"));
        self.people[n].client.command(command)
    }

    pub(crate) fn connect(&mut self, n: usize) {
        let window = [0, 0, 500, usize::MAX][self.rng.random_range(0..4)];
        let (server, end) = pair(window);
        let connection = self.chat.admit(None).expect("a place").serve(server);
        self.people[n].task = self.tasks.spawn(async move {
            connection.await;
        });
        let token = self.people[n].client.known_token();
        // Somebody new may be another window of somebody who is here.
        let token = token.or_else(|| {
            let other = self.people.choose(&mut self.rng)?;
            self.rng
                .random_bool(0.2)
                .then(|| other.client.known_token())?
        });
        let person = &mut self.people[n];
        person.client.replace(end);
        person.online = true;
        match token {
            Some(token) => drop(
                person
                    .client
                    .command(json!({"type": "hello", "token": token})),
            ),
            None if self.rng.random() => drop(person.client.command(json!({"type": "hello"}))),
            None => drop(person.client.command(json!({"type": "ping"}))),
        }
    }

    /// Ends a connection: cut, or closed after what was sent.
    fn part(&mut self, n: usize, cut: bool) {
        self.trace(n, || format!("parts; cut: {cut}"));
        let person = &mut self.people[n];
        person.online = false;
        if cut {
            person.client.end().cut();
        } else {
            person.client.end().close();
        }
    }

    pub(crate) async fn join(&mut self, n: usize, room: &str) {
        let mut join = json!({"type": "join", "room": room});
        if let Some((epoch, seq)) = self.people[n].client.position(room)
            && self.rng.random_bool(0.9)
        {
            let ahead = u64::from(self.rng.random_bool(0.05)) * 1_000;
            join["since"] = json!({"epoch": epoch, "seq": seq + ahead});
        }
        if self.rng.random_bool(0.3) {
            join["history"] = json!(self.rng.random_range(0..20));
        }
        if self.rng.random_bool(0.2) {
            join["nickname"] = json!("Ann");
        }
        if room == LOCKED {
            let password = if self.rng.random_bool(0.7) {
                "sesame"
            } else {
                "barley"
            };
            join["password"] = json!(password);
        }
        self.tell(n, join);
        if room == LOCKED {
            // A hash is computed on another thread: nothing else runs meanwhile, so that its end has one place in the run.
            // The clock stands still until then.
            let task = self.people[n].task;
            while self.tasks.exhaust(task) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    fn say(&mut self, n: usize, room: &str) {
        self.words += 1;
        let (key, said) = (
            format!("k{}", self.words),
            format!("{n} says {}", self.words),
        );
        let place = (room.to_owned(), said.clone());
        self.said.insert(place, n);
        let unsure = &mut self.people[n].unsure;
        unsure.insert((room.to_owned(), key.clone()), said.clone());
        self.tell(
            n,
            json!({"type": "send", "room": room, "text": said, "key": key}),
        );
    }

    /// Says again what was not acknowledged, under the old keys.
    pub(crate) fn resend(&mut self, n: usize) {
        for ((room, key), said) in self.people[n].unsure.clone() {
            if self.people[n].client.views().contains_key(&room) {
                self.tell(
                    n,
                    json!({"type": "send", "room": room, "text": said, "key": key}),
                );
            }
        }
    }

    /// Something that the host does.
    async fn host(&mut self) {
        let room = self.rooms.choose(&mut self.rng).expect("rooms").clone();
        let handle = self.chat.room(room.as_str()).unwrap();
        let members = handle.members(None, 100).await.map(|page| page.members);
        let victim: Option<MemberId> = members
            .ok()
            .and_then(|members| members.choose(&mut self.rng).map(|member| member.id));
        match (self.rng.random_range(0..4), victim) {
            (0, Some(victim)) => drop(handle.kick(victim, Some("out")).await),
            (1, Some(victim)) => {
                let time = Duration::from_millis(self.rng.random_range(1..3_000));
                drop(handle.ban(victim, Some(time), None).await);
            }
            _ => {
                self.words += 1;
                let text = format!("notice {}", self.words);
                let said = handle.announce(&text).await;
                if said.is_ok() {
                    self.announced.insert((room.to_string(), text));
                }
            }
        }
    }

    /// Lets connections run until all sleep.
    pub(crate) async fn settle(&mut self) {
        loop {
            let mut any = false;
            while self.tasks.turn(&mut self.rng) {
                any = true;
            }
            // The engine's timekeeper is a task of the runtime.
            tokio::task::yield_now().await;
            if !any {
                return;
            }
        }
    }

    /// Lets time go by.
    pub(crate) async fn pass(&mut self, ms: u64) {
        let mut left = ms;
        while left > 0 {
            let step = self.rng.random_range(1..=300).min(left);
            tokio::time::sleep(Duration::from_millis(step)).await;
            left -= step;
            self.settle().await;
        }
    }

    async fn pass_one_of(&mut self, times: [u64; 4]) {
        let ms = times[self.rng.random_range(0..4)];
        self.pass(ms).await;
    }

    /// Takes in what somebody was told.
    pub(crate) fn attend(&mut self, n: usize) {
        if !self.people[n].online {
            return;
        }
        self.people[n].client.pump();
        for event in self.people[n].client.drain() {
            self.note(n, &event);
        }
        let person = &mut self.people[n];
        if person.client.is_over() {
            person.online = false;
            let code = person.client.closed().unwrap_or_default();
            self.trace(n, || format!("is over: {code}"));
            *self.report.closes.entry(code).or_default() += 1;
        }
    }

    /// Prints what happens, where `WORLD_TRACE` is set.
    fn trace(&self, n: usize, what: impl Fn() -> String) {
        if self.trace {
            eprintln!("{n} {}", what());
        }
    }

    fn note(&mut self, n: usize, event: &Value) {
        self.trace(n, || format!("< {event}"));
        let kind = text(event, "type");
        let person = &mut self.people[n];
        let mut heard = kind.clone();
        match kind.as_str() {
            "joined" => {
                let room = text(&event["room"], "id");
                person.epochs.insert(room.clone(), text(event, "epoch"));
                let id = text(&event["you"], "id");
                let before = person.ids.insert(room, id.clone());
                assert!(
                    before.is_none_or(|before| before == id),
                    "{n} is somebody else"
                );
                heard += if event["recovered"] == true {
                    " recovered"
                } else {
                    ""
                };
            }
            "sent" => {
                let (room, key) = (text(event, "room"), text(event, "key"));
                let said = format!("{n} says {}", &key[1..]);
                person.unsure.remove(&(room.clone(), key));
                self.acks.push(Ack {
                    epoch: person.epochs[&room].clone(),
                    seq: number(event, "seq"),
                    text: said,
                    room,
                });
            }
            "removed" => heard = format!("removed {}", text(event, "reason")),
            "error" => {
                heard = text(event, "code");
                let odd = [
                    "internal",
                    "bad_json",
                    "bad_command",
                    "rate_limited",
                    "bad_token",
                ];
                assert!(!odd.contains(&heard.as_str()), "{event}");
            }
            _ => {}
        }
        *self.report.heard.entry(heard).or_default() += 1;
    }

    fn finish(mut self) -> Report {
        let mut transcript = DefaultHasher::new();
        for person in &self.people {
            person.client.heard().hash(&mut transcript);
        }
        self.report.transcript = transcript.finish();
        self.report
    }
}

impl Person {
    pub(crate) fn new(ledger: Ledger) -> Self {
        let (_, end) = pair(0);
        Self {
            client: Client::over(end, ledger),
            task: 0,
            online: false,
            unsure: BTreeMap::new(),
            epochs: BTreeMap::new(),
            ids: BTreeMap::new(),
        }
    }
}

pub(crate) const LOCKED: &str = "locked";
/// A room that no world begins with.
const MADE: &str = "made";
