//! Seeded worlds: clients in the rooms of one engine, in virtual time, with every fault that can
//! happen between them.

mod actions;
mod checks;
mod quiesce;
mod receive;
mod report;
mod state;
mod tasks;
mod time;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rand::Rng;
use rand::seq::IndexedRandom;

pub use self::report::Report;
use self::state::State;
use crate::chance::Chance;
use crate::runtime::block_on_paused;

/// A simulation of one engine, its host, and some users with their clients.
///
/// One number, or a string of choices, decides everything in it: which user does what, which
/// connection runs next, which connection stalls or breaks, and how much time passes. So the same
/// number is the same run, to the byte. At the end all faults cease, and the whole history is
/// checked for:
///
/// 1. presence: every client's list of members is that of the server, and the true one;
/// 2. liveness: a new user can join wherever there is a seat, and their messages arrive;
/// 3. retention: the history has what must be retained, without holes;
/// 4. acknowledged messages: each is in the history at its acknowledged `seq`, unless it is no
///    longer retained;
/// 5. events: each was sent by the member that it names, in the room that it names, and is there
///    once;
/// 6. tasks: no task outlives its connection;
/// 7. the engine's count of connections.
///
/// Each [`Client`](crate::Client) also checks every event when it arrives, and the capacity of the
/// rooms is checked after every step.
///
/// Set the environment variable `WORLD_TRACE` to print every command and event.
///
/// ```
/// use chat_memory::World;
///
/// let report = World::run(7, 50);
/// assert_eq!(report, World::run(7, 50), "the same seed must be the same run");
/// assert!(report.events["joined"] > 0);
/// ```
#[derive(Debug)]
pub struct World {
    state: State,
}

impl World {
    /// Runs the world of a seed for `steps` steps, then lets all faults cease, and checks the whole
    /// history. It makes its own [paused runtime](block_on_paused).
    ///
    /// # Panics
    /// If a promise is broken; the seed is printed. Also when it is called within a tokio runtime.
    pub fn run(seed: u64, steps: usize) -> Report {
        let run = || Self::simulate(Chance::from_seed(seed), seed, |step, _| step < steps);
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            eprintln!("the world of seed {seed} failed; WORLD_SEED={seed} runs it again");
            resume_unwind(panic)
        })
    }

    /// Runs the world that `choices` decide until they are used up, then lets all faults cease, and
    /// checks the whole history. It makes its own [paused runtime](block_on_paused).
    ///
    /// # Panics
    /// If a promise is broken, or when it is called within a tokio runtime.
    pub fn replay(choices: &[u8]) -> Report {
        Self::simulate(Chance::from_choices(choices), 0, |_, chance| {
            !chance.is_exhausted()
        })
    }

    fn simulate(chance: Chance, seed: u64, goes_on: impl Fn(usize, &Chance) -> bool) -> Report {
        block_on_paused(async {
            let mut world = Self {
                state: State::new(chance, seed).await,
            };
            for step in 0.. {
                if !goes_on(step, &world.state.rng) {
                    break;
                }
                world.step().await;
                checks::check_capacity(&world.state).await;
            }
            quiesce::quiesce(&mut world.state).await;
            checks::check_all(&mut world.state).await;
            world.state.into_report()
        })
    }

    async fn step(&mut self) {
        let state = &mut self.state;
        let n = state.rng.random_range(0..state.users.len());
        let room = state.rooms.choose(&mut state.rng).expect("a room");
        let room = room.to_string();
        if state.users[n].online {
            actions::random_action(state, n, room).await;
        } else if state.rng.random_bool(0.7) {
            actions::connect(state, n);
        }
        match state.rng.random_range(0..20) {
            0 => actions::random_host_action(state).await,
            1 => time::advance_by_one_of(state, [1, 20, 60, 150]).await,
            2 => time::advance_by_one_of(state, [400, 1_500, 3_000, 4_000]).await,
            3..9 => time::settle(state).await,
            _ => {
                for _ in 0..state.rng.random_range(0..6) {
                    state.tasks.poll_random(&mut state.rng);
                }
            }
        }
        for n in 0..state.users.len() {
            if state.rng.random_bool(0.5) {
                receive::receive(state, n);
            }
        }
    }
}
