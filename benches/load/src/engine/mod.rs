//! The clients: one thread, one epoll, thousands of sockets. A delivery costs a share of a `read`,
//! a look at two offsets of the payload and two histogram entries, so that the generator reaches
//! its limit later than the server.

mod clients;
mod config;
mod deliveries;
mod result;
mod rooms;
mod sockets;

use std::io;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::fd::OwnedFd;

use clients::{Client, State};
use rooms::Room;

use crate::frame;
use crate::protocol::{Protocol, Scanner, Template};
use crate::track::Schedule;

pub use config::{Config, Offer, Plan};
pub use result::{Run, Totals};

const MAX_EVENTS: usize = 1024;
/// The longest wait for events, so that limits of time are noticed.
const TICK: Duration = Duration::from_millis(100);

/// All clients of the generator.
pub struct Engine {
    config: Config,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    scratch: Vec<u8>,
    clients: Vec<Client>,
    rooms: Vec<Room>,
    scanner: Scanner,
    clock: Instant,
    mask: u32,
    ready: usize,
    in_flight: u64,
    completed: Vec<u32>,
    dirty: Vec<u32>,
    run: Run,
    totals: Totals,
    out_of_order: u64,
    failure: Option<String>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Prepares the rooms without connecting.
    ///
    /// # Errors
    /// The system refuses to create an epoll.
    pub fn new(config: Config) -> io::Result<Self> {
        let rooms = (0..config.rooms)
            .map(|n| Room {
                template: Template::new(&config.protocol, n, &room_id(&config, n), config.size),
                members: Vec::new(),
                turn: 0,
                sent: 0,
                base: 0,
                in_flight: std::collections::VecDeque::new(),
            })
            .collect();
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(MAX_EVENTS),
            scratch: vec![0; sockets::READ_SIZE],
            clients: Vec::with_capacity(config.clients),
            rooms,
            scanner: Scanner::default(),
            clock: Instant::now(),
            mask: 0x9E37_79B9,
            ready: 0,
            in_flight: 0,
            completed: Vec::new(),
            dirty: Vec::new(),
            run: Run::new(),
            totals: Totals::default(),
            out_of_order: 0,
            failure: None,
            config,
        })
    }

    /// Connects every client and joins its room. `progress` is called with the number of clients
    /// that have joined.
    ///
    /// # Errors
    /// A connection, an upgrade or a join failed, or nobody joined for the stall time.
    pub fn connect(&mut self, progress: &mut dyn FnMut(u64)) -> io::Result<()> {
        let (mut last, mut last_ready) = (Instant::now(), 0);
        while self.ready < self.config.clients {
            while self.clients.len() < self.config.clients
                && self.clients.len() - self.ready < self.config.connecting
            {
                self.open()?;
            }
            self.turn(Some(TICK))?;
            if let Some(failure) = self.failure.take() {
                return Err(io::Error::other(failure));
            }
            if self.ready > last_ready {
                (last, last_ready) = (Instant::now(), self.ready);
                progress(self.ready as u64);
            } else if last.elapsed() > self.config.stall {
                let message = format!(
                    "{} of {} clients joined, then none for {:?}",
                    self.ready, self.config.clients, self.config.stall
                );
                return Err(io::Error::other(message));
            }
        }
        Ok(())
    }

    /// Handles events for a while without publishing.
    ///
    /// # Errors
    /// The epoll failed.
    pub fn idle(&mut self, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.turn(Some(left.min(TICK)))?;
        }
        Ok(())
    }

    /// Publishes as planned, waits until everything is delivered, and returns the measurements.
    /// `progress` is called with the number of publishes that are complete.
    ///
    /// # Errors
    /// The epoll failed.
    pub fn run(&mut self, plan: Plan, progress: &mut dyn FnMut(u64)) -> io::Result<Run> {
        self.run = Run::new();
        self.completed.clear();
        let start = self.now();
        let budget = plan.messages.unwrap_or(u64::MAX);
        let end = plan
            .duration
            .map_or(u64::MAX, |d| start + d.as_nanos() as u64);
        if let Offer::Window(window) = plan.offer {
            'fill: for _ in 0..window {
                for room in 0..self.rooms.len() {
                    if self.run.published == budget {
                        break 'fill;
                    }
                    let now = self.now();
                    self.publish(room, now);
                }
            }
        }
        let schedule = match plan.offer {
            Offer::Rate(rate) => Some(Schedule::new(start, rate)),
            Offer::Window(_) => None,
        };
        let (mut progress_at, mut delivered, mut shown) = (start, 0, start);
        loop {
            let mut timeout = TICK;
            let now = self.now();
            let mut open = self.run.published < budget && now < end;
            if let Some(schedule) = schedule {
                while open {
                    let due = schedule.due(self.run.published);
                    if due >= end {
                        open = false;
                    } else if due > now {
                        timeout = timeout.min(Duration::from_nanos(due - now));
                        break;
                    } else {
                        let room = (self.run.published % self.rooms.len() as u64) as usize;
                        self.run.lag.saturating_record(now - due);
                        self.publish(room, due);
                        open = self.run.published < budget;
                    }
                }
            }
            if !open && self.in_flight == 0 {
                break;
            }
            self.flush_dirty();
            self.turn(Some(timeout))?;
            let now = self.now();
            for room in std::mem::take(&mut self.completed) {
                if schedule.is_none() && self.run.published < budget && now < end {
                    self.publish(room as usize, now);
                }
            }
            if self.totals.disconnected == self.clients.len() as u64 {
                self.run.stalled = true;
                break;
            }
            if self.run.deliveries != delivered || (self.in_flight == 0 && open) {
                (progress_at, delivered) = (now, self.run.deliveries);
            } else if now - progress_at > self.config.stall.as_nanos() as u64 {
                self.run.stalled = true;
                break;
            }
            if now - shown > TICK.as_nanos() as u64 {
                shown = now;
                progress(self.run.published.saturating_sub(self.in_flight));
            }
        }
        self.run.elapsed = Duration::from_nanos(self.now() - start);
        Ok(std::mem::replace(&mut self.run, Run::new()))
    }

    /// The sums over all members since the first message.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = self.totals.clone();
        for client in &self.clients {
            let sent = self.rooms[client.room as usize].sent;
            totals.expected += sent;
            totals.received += client.received.count();
            totals.lost += sent.saturating_sub(client.received.count());
        }
        let known = matches!(self.config.protocol, Protocol::ChatV1) || self.config.publishers == 1;
        totals.out_of_order = known.then_some(self.out_of_order);
        totals
    }

    /// Sends close code 1000 on every connection and ends it.
    pub fn close(mut self) {
        for i in 0..self.clients.len() {
            if self.clients[i].state == State::Ready {
                self.push(i, frame::CLOSE, &1000_u16.to_be_bytes());
            }
        }
        self.flush_dirty();
        // The server gets the chance to close first, so that no port of the generator stays in
        // TIME_WAIT.
        let _ = self.idle(Duration::from_millis(200));
    }

    fn now(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64
    }
}

fn room_id(config: &Config, number: usize) -> String {
    format!("{}{number}", config.room_prefix)
}
