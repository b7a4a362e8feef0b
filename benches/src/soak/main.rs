//! `soak`: a server under mixed traffic with a fault every few seconds, for as long as you like, and whether it keeps what it
//! promises and what it was given: `cargo run --release -p benches --bin soak -- --minutes 30`.

mod life;
mod member;
mod report;
mod server;
mod short;
mod slope;
mod visits;
mod wire;
mod witness;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chat_memory::Chance;
use clap::Parser;
use rand::Rng;
use rand::seq::IndexedRandom;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use life::{Fault, Habits, live};
use member::{Book, Member};
use report::{Report, Watch};
use server::Server;
use short::Maker;

/// Soaks the standalone server: builds and starts it, lets clients over real sockets talk, come and go, makes something go wrong
/// every few seconds, and holds every client to every promise all the while.
///
/// Checked: each member's `seq` grows by one unless a gap is declared; no event comes twice; any two members see the same
/// event in the same place; what was acknowledged to one is seen by another; a key counts once; an own message comes
/// after its `sent`; presence follows. Measured: memory, descriptors, threads and CPU time of the server, and whether
/// they are back once everybody has left.
#[derive(Parser, Clone)]
#[command(max_term_width = 100, after_long_help = MORE)]
struct Args {
    /// How long everybody talks; the warm-up is part of it, leaving and cooling down come after.
    #[arg(long, short, default_value_t = 3.0, value_parser = minutes)]
    minutes: f64,

    /// Not counted in the slope of the memory: until caches, histories and pools are filled. [default: a quarter of the time, at
    /// most 10]
    #[arg(long, value_parser = minutes)]
    warm_up: Option<f64>,

    /// Members, each in one room.
    #[arg(long, short, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    clients: u32,

    /// Rooms to deal them to; each has a witness besides.
    #[arg(long, short, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rooms: u32,

    /// Messages a second, of all members together.
    #[arg(long, default_value_t = 200.0, value_parser = above_zero)]
    rate: f64,

    /// Seconds from one fault to the next, in the mean.
    #[arg(long, default_value_t = 3.0, value_parser = above_zero)]
    fault_every: f64,

    /// Seconds from one short room to the next, in the mean.
    #[arg(long, default_value_t = 2.0, value_parser = above_zero)]
    room_every: f64,

    /// Ends the server by SIGTERM and starts it again each time so many minutes have gone by.
    #[arg(long, value_parser = minutes)]
    restart_every: Option<f64>,

    /// Decides who does what and what goes wrong; what the machine makes of it differs all the same. [default: random]
    #[arg(long)]
    seed: Option<u64>,

    /// The server's executable, instead of building it.
    #[arg(long, value_name = "FILE")]
    standalone: Option<PathBuf>,

    /// More options for the server, in one string.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    standalone_args: String,

    /// Write the summary, and the samples, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

const MORE: &str = "\
Examples:
  cargo run --release -p benches --bin soak -- --minutes 30 --json soak.json
  cargo run --release -p benches --bin soak -- --minutes 10 --restart-every 2 --seed 7

Exit status: 0 when every promise was kept and every descriptor was given back; 1 otherwise; 2 when it did not run.";

fn main() -> ExitCode {
    let args = Args::parse();
    load::proc::raise_open_files();
    // What a check that fails has to say is told as a violation.
    std::panic::set_hook(Box::new(|_| {}));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime.and_then(|runtime| runtime.block_on(soak(&args))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(2)
        }
    }
}

async fn soak(args: &Args) -> io::Result<bool> {
    let seed = args.seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    let mut server = Server::start(args.standalone.clone(), flags(args))?;
    println!("seed {seed}, server at {}", server.addr);
    let baseline = server.sample()?;
    let mut town = Town::found(args, seed, server.addr);
    let mut watch = Watch::new(args.warm_up());
    let mut report = Report::new(seed, &baseline);

    let end = Instant::now() + time(args.minutes);
    let mut look = Instant::now();
    let mut restart = args.restart_every.map(|every| Instant::now() + time(every));
    loop {
        let next = restart.unwrap_or(end).min(end).min(look);
        town.go_on(next).await;
        let now = Instant::now();
        if now >= end {
            break;
        }
        if now >= look {
            look = now + LOOK;
            watch.look(&server.sample()?, &town.book);
        }
        if restart.is_some_and(|at| now >= at) {
            restart = args.restart_every.map(|every| now + time(every));
            town.interrupt();
            server.terminate().await?;
            // Everybody hears the rest of what was said.
            sleep(Duration::from_secs(1)).await;
            town.book().end_all();
            server.start_again()?;
            watch.begin_anew();
            report.restarts += 1;
        }
    }
    let warm = server.sample()?;
    town.leave(&mut report).await;
    report.cool_down(&server, &baseline).await?;
    report.sum_up(&warm, watch, &town);
    report.print();
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    Ok(report.is_clean())
}

/// The server's flags: everything by default, but that what it remembers of ended rooms is full early, and that empty rooms
/// go soon.
fn flags(args: &Args) -> Vec<String> {
    let ours = "--ended-rooms 100 --ended-for 1m --room-ttl 0s --room-idle 5s --log warn \
                --secret the-secret-of-a-soak-and-of-nothing-else";
    let all = ours.split(' ').chain(args.standalone_args.split(' '));
    all.filter(|flag| !flag.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Everybody there is.
struct Town {
    addr: SocketAddr,
    book: Book,
    chance: Chance,
    members: Vec<(mpsc::Sender<Fault>, JoinHandle<Member>)>,
    witnesses: Vec<(mpsc::Sender<Fault>, JoinHandle<Member>)>,
    visits: JoinSet<(&'static str, u64, Result<(), String>)>,
    makers: Vec<Maker>,
    rooms: JoinSet<(Maker, u64, Result<(), String>)>,
    members_over: watch::Sender<bool>,
    witnesses_over: watch::Sender<bool>,
    next_no: u32,
    next_fault: Instant,
    next_room: Instant,
    fault_every: f64,
    room_every: f64,
    room_count: u32,
    /// Grows with every restart: what was under way then may have gone wrong.
    interruptions: u64,
    faults: BTreeMap<&'static str, u64>,
    short_rooms: u64,
}

impl Town {
    fn found(args: &Args, seed: u64, addr: SocketAddr) -> Self {
        let (members_over, over) = watch::channel(false);
        let (witnesses_over, witness_over) = watch::channel(false);
        let mut town = Self {
            addr,
            book: Book::default(),
            chance: Chance::of_seed(seed),
            members: Vec::new(),
            witnesses: Vec::new(),
            visits: JoinSet::new(),
            makers: (0..MAKERS).map(|n| Maker::new(source(n))).collect(),
            rooms: JoinSet::new(),
            members_over,
            witnesses_over,
            next_no: 1_000_000,
            next_fault: Instant::now() + SETTLE,
            next_room: Instant::now(),
            fault_every: args.fault_every,
            room_every: args.room_every,
            room_count: args.rooms,
            interruptions: 0,
            faults: BTreeMap::new(),
            short_rooms: 0,
        };
        let pause = Duration::from_secs_f64(f64::from(args.clients) / args.rate);
        for no in 0..args.rooms + args.clients {
            let is_witness = no < args.rooms;
            let member = Member::new(no, &room(no % args.rooms), source(no), &town.book);
            let habits = Habits {
                addr,
                pause: (!is_witness).then_some(pause),
                over: if is_witness {
                    witness_over.clone()
                } else {
                    over.clone()
                },
            };
            let (deal, faults) = mpsc::channel(4);
            let chance = Chance::of_seed(town.chance.random());
            let task = tokio::spawn(live(member, habits, faults, chance));
            let all = if is_witness {
                &mut town.witnesses
            } else {
                &mut town.members
            };
            all.push((deal, task));
        }
        town
    }

    fn book(&self) -> std::sync::MutexGuard<'_, witness::Witness> {
        self.book
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Lets things happen, and go wrong, until then.
    async fn go_on(&mut self, until: Instant) {
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                () = sleep_until(self.next_fault) => {
                    self.next_fault = Instant::now() + self.spread(self.fault_every);
                    self.go_wrong();
                }
                () = sleep_until(self.next_room), if !self.makers.is_empty() => {
                    self.next_room = Instant::now() + self.spread(self.room_every);
                    self.make_room();
                }
                Some(visit) = self.visits.join_next() => self.visited(visit),
                Some(ended) = self.rooms.join_next() => self.ended(ended),
            }
        }
    }

    /// One thing goes wrong.
    fn go_wrong(&mut self) {
        let chance = &mut self.chance;
        let kinds = visits::ALL.len();
        let n = chance.random_range(0..2 * kinds);
        if let Some(&kind) = visits::ALL.get(n) {
            *self.faults.entry(kind).or_default() += 1;
            let (to, from) = (self.addr, [(); 2].map(|()| source(chance.random())));
            let room = room(chance.random_range(0..self.room_count));
            let mut chance = Chance::of_seed(chance.random());
            let interruptions = self.interruptions;
            self.visits.spawn(async move {
                let received = visits::visit(kind, to, from, &room, &mut chance).await;
                (kind, interruptions, received)
            });
            return;
        }
        let (name, fault) = match chance.random_range(0..7) {
            0 => ("cut", Fault::Cut),
            1 => ("cut in a frame", Fault::HalfFrame),
            2 => ("closed and reopened", Fault::Close),
            3 => {
                let time = Duration::from_secs(chance.random_range(1..40));
                ("deaf for a while", Fault::Deaf(time))
            }
            4 => (
                "flood of messages",
                Fault::Flood(chance.random_range(10..64)),
            ),
            5 => {
                let time = Duration::from_secs(chance.random_range(30..300));
                ("slow for a while", Fault::Slow(time))
            }
            _ => ("nine malformed", Fault::Malformed(9)),
        };
        *self.faults.entry(name).or_default() += 1;
        if let Some((deal, _)) = self.members.choose(chance) {
            let _ = deal.try_send(fault);
        }
    }

    fn make_room(&mut self) {
        let at = self.chance.random_range(0..self.makers.len());
        let mut maker = self.makers.swap_remove(at);
        let (to, no, book) = (self.addr, self.next_no, Arc::clone(&self.book));
        self.next_no += 2;
        self.short_rooms += 1;
        let mut chance = Chance::of_seed(self.chance.random());
        let interruptions = self.interruptions;
        self.rooms.spawn(async move {
            let ended = maker.run(to, no, &book, &mut chance).await;
            (maker, interruptions, ended)
        });
    }

    fn visited(
        &mut self,
        visit: Result<(&'static str, u64, Result<(), String>), tokio::task::JoinError>,
    ) {
        match visit {
            Ok((kind, interruptions, Err(why))) if interruptions == self.interruptions => {
                self.book().complain(format!("{kind}: {why}"));
            }
            Ok(_) => {}
            Err(panic) => self.book().complain(panic.to_string()),
        }
    }

    fn ended(&mut self, ended: Result<(Maker, u64, Result<(), String>), tokio::task::JoinError>) {
        match ended {
            Ok((maker, interruptions, ended)) => {
                if let Err(why) = ended
                    && interruptions == self.interruptions
                {
                    self.book().complain(why);
                }
                self.makers.push(maker);
            }
            Err(panic) => self.book().complain(panic.to_string()),
        }
    }

    fn interrupt(&mut self) {
        self.interruptions += 1;
    }

    /// Everybody leaves, the witnesses last; then all that was acknowledged is judged.
    async fn leave(&mut self, report: &mut Report) {
        while let Some(ended) = self.rooms.join_next().await {
            self.ended(ended);
        }
        let _ = self.members_over.send(true);
        for (_, task) in std::mem::take(&mut self.members) {
            report.add(self.gone(task).await);
        }
        let _ = self.witnesses_over.send(true);
        for (_, task) in std::mem::take(&mut self.witnesses) {
            report.add(self.gone(task).await);
        }
        while let Some(visit) = self.visits.join_next().await {
            self.visited(visit);
        }
        self.book().end_all();
    }

    async fn gone(&mut self, task: JoinHandle<Member>) -> Option<Member> {
        match task.await {
            Ok(member) => Some(member),
            Err(panic) => {
                self.book().complain(panic.to_string());
                None
            }
        }
    }

    /// A time around a mean of so many seconds.
    fn spread(&mut self, mean: f64) -> Duration {
        let share: f64 = self.chance.random();
        Duration::from_secs_f64(mean * -(1.0 - share).ln())
    }
}

impl Args {
    fn warm_up(&self) -> Duration {
        time(self.warm_up.unwrap_or((self.minutes / 4.0).min(10.0)))
    }
}

fn room(n: u32) -> String {
    format!("hall-{n}")
}

/// One of sixteen loopback addresses, so that limits by address are at work and not in the way.
fn source(n: u32) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, (n % 16 + 1) as u8)
}

fn time(minutes: f64) -> Duration {
    Duration::from_secs_f64(minutes * 60.0)
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().map_err(|_| "minutes are a number")?;
    (0.05..1e6)
        .contains(&minutes)
        .then_some(minutes)
        .ok_or_else(|| "minutes are at least 0.05".into())
}

fn above_zero(text: &str) -> Result<f64, String> {
    let number = text.parse().map_err(|_| "this is a number")?;
    (0.001..1e6)
        .contains(&number)
        .then_some(number)
        .ok_or_else(|| "this is between 0.001 and a million".into())
}

/// From one look at the server to the next.
const LOOK: Duration = Duration::from_secs(2);
/// Everybody comes in before anything goes wrong.
const SETTLE: Duration = Duration::from_secs(3);
/// Identities that make short rooms.
const MAKERS: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
