//! The traffic of a soak: members, misbehaving clients, short rooms and faults.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use chat_memory::Chance;
use rand::Rng;
use rand::seq::IndexedRandom;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::args::Args;
use crate::behaviour::{Behaviour, Fault, run_member};
use crate::member::{Member, SharedOracle};
use crate::misbehaviour;
use crate::oracle::Oracle;
use crate::short_rooms::RoomCreator;

/// The kind, the restarts before it, and the result.
type Misbehaviour = (&'static str, u64, Result<(), String>);
/// The creator, the restarts before it, and the result.
type ShortRoom = (RoomCreator, u64, Result<(), String>);

/// All clients of a soak.
pub(crate) struct Traffic {
    addr: SocketAddr,
    pub(crate) oracle: SharedOracle,
    chance: Chance,
    members: Vec<(mpsc::Sender<Fault>, JoinHandle<Member>)>,
    /// Members that only receive, one in each room.
    observers: Vec<(mpsc::Sender<Fault>, JoinHandle<Member>)>,
    misbehaving: JoinSet<Misbehaviour>,
    creators: Vec<RoomCreator>,
    short_rooms: JoinSet<ShortRoom>,
    members_finish: watch::Sender<bool>,
    observers_finish: watch::Sender<bool>,
    next_no: u32,
    next_fault: Instant,
    next_room: Instant,
    fault_every: f64,
    room_every: f64,
    room_count: u32,
    /// The number of restarts. What was under way at a restart may fail.
    interruptions: u64,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) short_room_count: u64,
}

impl Traffic {
    pub(crate) fn start(args: &Args, seed: u64, addr: SocketAddr) -> Self {
        let (members_finish, member_finish) = watch::channel(false);
        let (observers_finish, observer_finish) = watch::channel(false);
        let mut traffic = Self {
            addr,
            oracle: SharedOracle::default(),
            chance: Chance::from_seed(seed),
            members: Vec::new(),
            observers: Vec::new(),
            misbehaving: JoinSet::new(),
            creators: (0..CREATORS).map(|n| RoomCreator::new(source(n))).collect(),
            short_rooms: JoinSet::new(),
            members_finish,
            observers_finish,
            next_no: 1_000_000,
            next_fault: Instant::now() + SETTLE,
            next_room: Instant::now(),
            fault_every: args.fault_every,
            room_every: args.room_every,
            room_count: args.rooms,
            interruptions: 0,
            faults: BTreeMap::new(),
            short_room_count: 0,
        };
        let pause = Duration::from_secs_f64(f64::from(args.clients) / args.rate);
        for no in 0..args.rooms + args.clients {
            let is_observer = no < args.rooms;
            let member = Member::new(no, &room(no % args.rooms), source(no), &traffic.oracle);
            let behaviour = Behaviour {
                addr,
                pause: (!is_observer).then_some(pause),
                finish: if is_observer {
                    observer_finish.clone()
                } else {
                    member_finish.clone()
                },
            };
            let (fault_sender, faults) = mpsc::channel(4);
            let chance = Chance::from_seed(traffic.chance.random());
            let task = tokio::spawn(run_member(member, behaviour, faults, chance));
            let all = if is_observer {
                &mut traffic.observers
            } else {
                &mut traffic.members
            };
            all.push((fault_sender, task));
        }
        traffic
    }

    pub(crate) fn oracle(&self) -> MutexGuard<'_, Oracle> {
        self.oracle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the traffic and injects faults until then.
    pub(crate) async fn run_until(&mut self, until: Instant) {
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                () = sleep_until(self.next_fault) => {
                    self.next_fault = Instant::now() + self.spread(self.fault_every);
                    self.inject_fault();
                }
                () = sleep_until(self.next_room), if !self.creators.is_empty() => {
                    self.next_room = Instant::now() + self.spread(self.room_every);
                    self.start_short_room();
                }
                Some(result) = self.misbehaving.join_next() => self.on_misbehaved(result),
                Some(result) = self.short_rooms.join_next() => self.on_short_room_ended(result),
            }
        }
    }

    /// Injects one fault.
    fn inject_fault(&mut self) {
        let chance = &mut self.chance;
        let kinds = misbehaviour::ALL.len();
        let n = chance.random_range(0..2 * kinds);
        if let Some(&kind) = misbehaviour::ALL.get(n) {
            *self.faults.entry(kind).or_default() += 1;
            let (to, from) = (self.addr, [(); 2].map(|()| source(chance.random())));
            let room = room(chance.random_range(0..self.room_count));
            let mut chance = Chance::from_seed(chance.random());
            let interruptions = self.interruptions;
            self.misbehaving.spawn(async move {
                let result = misbehaviour::misbehave(kind, to, from, &room, &mut chance).await;
                (kind, interruptions, result)
            });
            return;
        }
        let (name, fault) = match chance.random_range(0..7) {
            0 => ("reset", Fault::Reset),
            1 => ("cut within a frame", Fault::HalfFrame),
            2 => ("closed and reopened", Fault::Close),
            3 => {
                let time = Duration::from_secs(chance.random_range(1..40));
                ("no reading for a while", Fault::StopReading(time))
            }
            4 => (
                "flood of messages",
                Fault::Flood(chance.random_range(10..64)),
            ),
            5 => {
                let time = Duration::from_secs(chance.random_range(30..300));
                ("slow reading for a while", Fault::Slow(time))
            }
            _ => ("nine malformed commands", Fault::Malformed(9)),
        };
        *self.faults.entry(name).or_default() += 1;
        if let Some((fault_sender, _)) = self.members.choose(chance) {
            let _ = fault_sender.try_send(fault);
        }
    }

    fn start_short_room(&mut self) {
        let at = self.chance.random_range(0..self.creators.len());
        let mut creator = self.creators.swap_remove(at);
        let (to, no, oracle) = (self.addr, self.next_no, Arc::clone(&self.oracle));
        self.next_no += 2;
        self.short_room_count += 1;
        let mut chance = Chance::from_seed(self.chance.random());
        let interruptions = self.interruptions;
        self.short_rooms.spawn(async move {
            let result = creator.run(to, no, &oracle, &mut chance).await;
            (creator, interruptions, result)
        });
    }

    fn on_misbehaved(&mut self, result: Result<Misbehaviour, JoinError>) {
        match result {
            Ok((kind, interruptions, Err(why))) if interruptions == self.interruptions => {
                self.oracle().record_violation(format!("{kind}: {why}"));
            }
            Ok(_) => {}
            Err(panic) => self.oracle().record_violation(panic.to_string()),
        }
    }

    fn on_short_room_ended(&mut self, result: Result<ShortRoom, JoinError>) {
        match result {
            Ok((creator, interruptions, result)) => {
                if let Err(why) = result
                    && interruptions == self.interruptions
                {
                    self.oracle().record_violation(why);
                }
                self.creators.push(creator);
            }
            Err(panic) => self.oracle().record_violation(panic.to_string()),
        }
    }

    /// Notes that the server is restarted.
    pub(crate) fn interrupt(&mut self) {
        self.interruptions += 1;
    }

    /// Lets all members leave, the observers last, and then checks everything that was
    /// acknowledged. Returns the members, `None` for each whose task panicked.
    pub(crate) async fn leave(&mut self) -> Vec<Option<Member>> {
        let mut finished = Vec::new();
        while let Some(result) = self.short_rooms.join_next().await {
            self.on_short_room_ended(result);
        }
        let _ = self.members_finish.send(true);
        for (_, task) in std::mem::take(&mut self.members) {
            finished.push(self.finished(task).await);
        }
        let _ = self.observers_finish.send(true);
        for (_, task) in std::mem::take(&mut self.observers) {
            finished.push(self.finished(task).await);
        }
        while let Some(result) = self.misbehaving.join_next().await {
            self.on_misbehaved(result);
        }
        self.oracle().end_all();
        finished
    }

    async fn finished(&mut self, task: JoinHandle<Member>) -> Option<Member> {
        match task.await {
            Ok(member) => Some(member),
            Err(panic) => {
                self.oracle().record_violation(panic.to_string());
                None
            }
        }
    }

    /// A random time with this mean in seconds, distributed like the times between independent
    /// events.
    fn spread(&mut self, mean: f64) -> Duration {
        let share: f64 = self.chance.random();
        Duration::from_secs_f64(mean * -(1.0 - share).ln())
    }
}

fn room(n: u32) -> String {
    format!("hall-{n}")
}

/// One of sixteen loopback addresses, so that limits per address apply without getting in the
/// way.
fn source(n: u32) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, (n % 16 + 1) as u8)
}

/// The time for all members to join before the first fault.
const SETTLE: Duration = Duration::from_secs(3);
/// The number of identities that create short rooms.
const CREATORS: u32 = 32;
