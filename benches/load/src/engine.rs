//! The clients: one thread, one epoll, thousands of sockets. A delivery costs a share of a `read`, a look at two places
//! of the payload and two histogram entries, so that the generator tires later than what it measures.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::frame::{self, Reader};
use crate::protocol::{Protocol, Scanner, Size, Template};
use crate::report::histogram;
use crate::track::{Arrival, Received, Schedule};

const READ: usize = 64 * 1024;
const EVENTS: usize = 1024;
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const TICK: Duration = Duration::from_millis(100);

/// Whom to connect to, and as whom.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the server listens.
    pub addr: SocketAddr,
    /// `Host` of the handshake.
    pub host: String,
    /// Path of the handshake; `{room}` stands for the client's room.
    pub path: String,
    /// What is spoken.
    pub protocol: Protocol,
    /// How many connections.
    pub clients: usize,
    /// How many rooms they are dealt to.
    pub rooms: usize,
    /// What room ids begin with; the number follows.
    pub room_prefix: String,
    /// How many members of each room publish, in turns.
    pub publishers: usize,
    /// How large a text is.
    pub size: Size,
    /// How many loopback addresses to connect from; 0 leaves the choice to the system.
    pub sources: usize,
    /// How many connections may be on their way into their room at a time.
    pub connecting: usize,
    /// Without any delivery for this long, what is missing counts as lost.
    pub stall: Duration,
    /// Never sleep in `epoll_wait`, so that the server never pays for waking the generator.
    pub busy: bool,
}

/// How messages are offered.
#[derive(Debug, Clone, Copy)]
pub enum Offer {
    /// Closed loop: this many unfinished publishes in each room.
    Window(usize),
    /// Open loop: this many publishes a second in all rooms together.
    Rate(f64),
}

/// One run of messages; it ends at whichever of the two limits comes first.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How messages are offered.
    pub offer: Offer,
    /// Publishes in all.
    pub messages: Option<u64>,
    /// Time to publish.
    pub duration: Option<Duration>,
}

/// What a run showed.
#[derive(Debug)]
pub struct Run {
    /// Messages published.
    pub published: u64,
    /// Messages received, over all members.
    pub deliveries: u64,
    /// From the first publish to the last delivery.
    pub elapsed: Duration,
    /// Nanoseconds from a publish (when it was due, in open loop) to each delivery.
    pub latency: Histogram<u64>,
    /// Nanoseconds from a publish to its last delivery.
    pub fanout: Histogram<u64>,
    /// Nanoseconds by which the generator published later than due (open loop).
    pub lag: Histogram<u64>,
    /// Bytes of deliveries on the wire, frame headers included.
    pub wire_bytes: u64,
    /// Bytes of deliveries, frame headers not included.
    pub payload_bytes: u64,
    /// `read` calls; deliveries per read is how much the server put together.
    pub reads: u64,
    /// Whether the run was given up because nothing arrived any more.
    pub stalled: bool,
}

impl Run {
    fn new() -> Self {
        Self {
            published: 0,
            deliveries: 0,
            elapsed: Duration::ZERO,
            latency: histogram(),
            fanout: histogram(),
            lag: histogram(),
            wire_bytes: 0,
            payload_bytes: 0,
            reads: 0,
            stalled: false,
        }
    }
}

/// What went wrong since the start.
#[derive(Debug, Default, Clone)]
pub struct Totals {
    /// Deliveries that every member together should have had.
    pub expected: u64,
    /// Different messages received.
    pub received: u64,
    /// Expected and not received.
    pub lost: u64,
    /// Received again.
    pub duplicated: u64,
    /// Not in the order of the room; `None` where the order is not known (several publishers, no sequence numbers).
    pub out_of_order: Option<u64>,
    /// `error` events.
    pub errors: u64,
    /// `gap` events.
    pub gaps: u64,
    /// Connections that ended before the generator ended them.
    pub disconnected: u64,
    /// The first few things that the server complained about.
    pub complaints: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Upgrading,
    Joining,
    Ready,
    Dead,
}

struct Client {
    fd: OwnedFd,
    state: State,
    room: u32,
    dirty: bool,
    reader: Reader,
    out: Vec<u8>,
    received: Received,
    last_seq: u64,
}

struct Flight {
    since: u64,
    remaining: u32,
    seq: u64,
}

struct Room {
    template: Template,
    members: Vec<u32>,
    turn: usize,
    sent: u64,
    base: u64,
    flights: VecDeque<Flight>,
}

/// All clients of one generator.
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

impl Engine {
    /// Prepares the rooms; nothing is connected yet.
    ///
    /// # Errors
    /// The system refuses an epoll.
    pub fn new(config: Config) -> io::Result<Self> {
        let rooms = (0..config.rooms)
            .map(|n| Room {
                template: Template::new(&config.protocol, n, &room_id(&config, n), config.size),
                members: Vec::new(),
                turn: 0,
                sent: 0,
                base: 0,
                flights: VecDeque::new(),
            })
            .collect();
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS),
            scratch: vec![0; READ],
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

    /// Connects every client and brings it into its room. `progress` is told how many are in.
    ///
    /// # Errors
    /// A connection, an upgrade or a join failed, or nothing happened for the stall time.
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
                    "{} of {} clients joined, then nothing for {:?}",
                    self.ready, self.config.clients, self.config.stall
                );
                return Err(io::Error::other(message));
            }
        }
        Ok(())
    }

    /// Answers what comes for a while.
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

    /// Publishes as planned, waits until everything is delivered, and says what it saw. `progress` is told how many
    /// publishes are complete.
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
        let (mut moved_at, mut moved, mut shown) = (start, 0, start);
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
            if self.run.deliveries != moved || (self.in_flight == 0 && open) {
                (moved_at, moved) = (now, self.run.deliveries);
            } else if now - moved_at > self.config.stall.as_nanos() as u64 {
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

    /// Takes the sum over all members, from the first message on.
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

    /// Says goodbye on every connection (close code 1000) and ends it.
    pub fn close(mut self) {
        for i in 0..self.clients.len() {
            if self.clients[i].state == State::Ready {
                self.push(i, frame::CLOSE, &1000_u16.to_be_bytes());
            }
        }
        self.flush_dirty();
        // Give the server the chance to be the one that closes first: it, not we, then keeps no port waiting.
        let _ = self.idle(Duration::from_millis(200));
    }

    fn now(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64
    }

    fn open(&mut self) -> io::Result<()> {
        let number = self.clients.len();
        let addr = self.config.addr;
        let family = if addr.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&fd, true)?;
        if self.config.sources > 0 {
            rustix::net::bind(
                &fd,
                &SocketAddr::new(source(number % self.config.sources), 0),
            )?;
        }
        match rustix::net::connect(&fd, &addr) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(e) => return Err(e.into()),
        }
        let data = epoll::EventData::new_u64(number as u64);
        // Edge triggered: the kernel need not look at a socket again that was just read.
        let flags = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::ET;
        epoll::add(&self.epoll, &fd, data, flags)?;
        let room = number % self.rooms.len();
        self.rooms[room].members.push(number as u32);
        self.clients.push(Client {
            fd,
            state: State::Connecting,
            room: room as u32,
            dirty: false,
            reader: Reader::default(),
            out: Vec::new(),
            received: Received::default(),
            last_seq: 0,
        });
        Ok(())
    }

    /// One `epoll_wait` and what came of it.
    fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = if self.config.busy {
            Some(Duration::ZERO)
        } else {
            timeout
        };
        let timeout = timeout.map(|t| Timespec {
            tv_sec: t.as_secs() as i64,
            tv_nsec: i64::from(t.subsec_nanos()),
        });
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        for event in &events {
            let i = event.data.u64() as usize;
            let flags = event.flags;
            match self.clients[i].state {
                State::Dead => {}
                State::Connecting => {
                    if flags.intersects(epoll::EventFlags::OUT | epoll::EventFlags::ERR) {
                        self.connected(i);
                    }
                }
                _ => {
                    if flags.contains(epoll::EventFlags::OUT) && !self.clients[i].out.is_empty() {
                        self.flush(i);
                    }
                    let ended =
                        epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
                    if flags.intersects(epoll::EventFlags::IN | ended) {
                        self.readable(i, flags.intersects(ended));
                    }
                }
            }
        }
        self.events = events;
        self.flush_dirty();
        Ok(())
    }

    fn connected(&mut self, i: usize) {
        if let Err(e) | Ok(Err(e)) = sockopt::socket_error(&self.clients[i].fd) {
            return self.drop_client(i, &format!("cannot connect: {e}"));
        }
        let room = room_id(&self.config, self.clients[i].room as usize);
        let protocol = match self.config.protocol {
            Protocol::ChatV1 => "Sec-WebSocket-Protocol: chat.v1\r\n",
            Protocol::Raw(_) => "",
        };
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{protocol}\r\n",
            self.config.path.replace("{room}", &room),
            self.config.host,
        );
        self.clients[i].state = State::Upgrading;
        self.clients[i].out.extend_from_slice(request.as_bytes());
        self.flush(i);
    }

    /// Reads until there is no more: a short read says so, unless the connection `ended`.
    fn readable(&mut self, i: usize, ended: bool) {
        let mut scratch = std::mem::take(&mut self.scratch);
        loop {
            let kept = self.clients[i].reader.restore(&mut scratch, READ);
            let read = rustix::io::read(&self.clients[i].fd, &mut scratch[kept..kept + READ]);
            self.run.reads += 1;
            let n = match read {
                Ok(0) => {
                    self.drop_client(i, "the server closed the connection");
                    break;
                }
                Ok(n) => n,
                Err(Errno::INTR) => {
                    self.clients[i].reader.keep(&scratch[..kept]);
                    continue;
                }
                Err(Errno::AGAIN) => {
                    self.clients[i].reader.keep(&scratch[..kept]);
                    break;
                }
                Err(e) => {
                    self.drop_client(i, &format!("cannot read: {e}"));
                    break;
                }
            };
            self.received(i, &mut scratch[..kept + n]);
            if (n < READ && !ended) || self.clients[i].state == State::Dead {
                break;
            }
        }
        self.scratch = scratch;
    }

    fn received(&mut self, i: usize, mut bytes: &mut [u8]) {
        if self.clients[i].state == State::Upgrading {
            let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
                self.clients[i].reader.keep(bytes);
                return;
            };
            let (head, rest) = bytes.split_at_mut(end + 4);
            if !head.starts_with(b"HTTP/1.1 101") || frame::find(head, ACCEPT, &mut 0).is_none() {
                let head = String::from_utf8_lossy(head);
                let line = head.lines().next().unwrap_or_default().to_owned();
                return self.drop_client(i, &format!("no WebSocket upgrade: {line}"));
            }
            let room = room_id(&self.config, self.clients[i].room as usize);
            for text in self.config.protocol.greeting(i, &room) {
                self.push(i, frame::TEXT, text.as_bytes());
            }
            self.clients[i].state = State::Joining;
            if self.config.protocol.joined_at_once() {
                self.joined(i);
            }
            bytes = rest;
        }
        let now = self.now();
        let mut reader = std::mem::take(&mut self.clients[i].reader);
        let fed = reader.feed(bytes, |opcode, payload| {
            self.on_frame(i, opcode, payload, now);
        });
        self.clients[i].reader = reader;
        if let Err(e) = fed {
            self.drop_client(i, &e.to_string());
        }
    }

    fn on_frame(&mut self, i: usize, opcode: u8, payload: &[u8], now: u64) {
        match opcode {
            frame::TEXT => {
                if let Some(d) = self.scanner.scan(&self.config.protocol, payload) {
                    self.run.payload_bytes += payload.len() as u64;
                    self.run.wire_bytes += frame::server_frame_len(payload.len()) as u64;
                    self.deliver(i, d.room, d.index, d.seq, now);
                } else if self.clients[i].state == State::Joining
                    && self.config.protocol.is_joined(payload)
                {
                    self.joined(i);
                } else if matches!(self.config.protocol, Protocol::ChatV1) {
                    self.on_other(i, payload);
                }
            }
            frame::PING => self.push(i, frame::PONG, payload),
            frame::CLOSE => {
                let code = payload
                    .get(..2)
                    .map_or(1005, |c| u16::from_be_bytes([c[0], c[1]]));
                self.drop_client(i, &format!("closed with {code}"));
            }
            _ => {}
        }
    }

    fn on_other(&mut self, i: usize, payload: &[u8]) {
        let is = |kind: &str| {
            payload
                .strip_prefix(br#"{"type":""#)
                .is_some_and(|p| p.starts_with(kind.as_bytes()))
        };
        if is("gap\"") {
            self.totals.gaps += 1;
        } else if is("error\"") || is("removed\"") || is("closing\"") {
            self.totals.errors += 1;
            let text = String::from_utf8_lossy(payload);
            if self.clients[i].state == State::Joining {
                self.failure
                    .get_or_insert_with(|| format!("cannot join: {text}"));
            }
            self.complain(&text);
        }
    }

    fn joined(&mut self, i: usize) {
        self.clients[i].state = State::Ready;
        self.ready += 1;
    }

    fn deliver(&mut self, i: usize, room: usize, index: u64, seq: u64, now: u64) {
        let client = &mut self.clients[i];
        if client.room as usize != room || index >= self.rooms[room].sent {
            return self.complain("a message of another room or run");
        }
        let arrival = client.received.note(index);
        if arrival == Arrival::Duplicate {
            self.totals.duplicated += 1;
            return;
        }
        self.run.deliveries += 1;
        let room_state = &mut self.rooms[room];
        let mut in_order = true;
        if seq > 0 {
            in_order = client.last_seq == 0 || seq == client.last_seq + 1;
            client.last_seq = seq;
        } else if self.config.publishers == 1 {
            in_order = arrival == Arrival::InOrder;
        }
        // A message that completed without this member (it seemed dead) has no flight any more.
        if let Some(flight) = index
            .checked_sub(room_state.base)
            .and_then(|at| room_state.flights.get_mut(at as usize))
        {
            // Everybody must see one message under one number.
            in_order &= flight.seq == 0 || flight.seq == seq;
            flight.seq = seq;
            self.run
                .latency
                .saturating_record(now.saturating_sub(flight.since));
            flight.remaining = flight.remaining.saturating_sub(1);
            if flight.remaining == 0 {
                self.run
                    .fanout
                    .saturating_record(now.saturating_sub(flight.since));
                self.complete(room);
            }
        }
        self.out_of_order += u64::from(!in_order);
    }

    /// Clears what is complete at the front, and remembers that the room may publish again.
    fn complete(&mut self, room: usize) {
        self.in_flight -= 1;
        self.completed.push(room as u32);
        let state = &mut self.rooms[room];
        while state.flights.front().is_some_and(|f| f.remaining == 0) {
            state.flights.pop_front();
            state.base += 1;
        }
    }

    fn publish(&mut self, room: usize, since: u64) {
        let state = &mut self.rooms[room];
        let publishers = self.config.publishers.min(state.members.len());
        let publisher = state.members[state.turn % publishers] as usize;
        state.turn += 1;
        let index = state.sent;
        state.sent += 1;
        let echo = self.config.protocol.echo();
        let clients = &self.clients;
        let alive = |m: &&u32| clients[**m as usize].state != State::Dead;
        let whole = self.totals.disconnected == 0;
        let mut remaining = if whole {
            state.members.len()
        } else {
            state.members.iter().filter(alive).count()
        };
        if !echo && clients[publisher].state != State::Dead {
            remaining -= 1;
        }
        state.flights.push_back(Flight {
            since,
            remaining: remaining as u32,
            seq: 0,
        });
        self.in_flight += 1;
        self.run.published += 1;
        self.mask = self.mask.rotate_left(5).wrapping_mul(0x9E37_79B1);
        let client = &mut self.clients[publisher];
        let key = self.mask.to_be_bytes();
        frame::push_client(
            &mut client.out,
            frame::TEXT,
            state.template.render(index),
            key,
        );
        if !client.dirty {
            client.dirty = true;
            self.dirty.push(publisher as u32);
        }
        if !echo {
            client.received.note(index);
        }
        if remaining == 0 {
            self.complete(room);
        }
    }

    fn push(&mut self, i: usize, opcode: u8, payload: &[u8]) {
        self.mask = self.mask.rotate_left(5).wrapping_mul(0x9E37_79B1);
        let client = &mut self.clients[i];
        frame::push_client(&mut client.out, opcode, payload, self.mask.to_be_bytes());
        if !client.dirty {
            client.dirty = true;
            self.dirty.push(i as u32);
        }
    }

    fn flush_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for i in dirty.drain(..) {
            self.clients[i as usize].dirty = false;
            self.flush(i as usize);
        }
        self.dirty = dirty;
    }

    fn flush(&mut self, i: usize) {
        let client = &mut self.clients[i];
        if client.state == State::Dead {
            return;
        }
        let mut written = 0;
        while written < client.out.len() {
            match rustix::io::write(&client.fd, &client.out[written..]) {
                Ok(n) => written += n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(e) => return self.drop_client(i, &format!("cannot write: {e}")),
            }
        }
        client.out.drain(..written);
        if client.out.is_empty() && client.out.capacity() > 1 << 16 {
            client.out = Vec::new();
        }
    }

    fn drop_client(&mut self, i: usize, why: &str) {
        let client = &mut self.clients[i];
        if client.state == State::Dead {
            return;
        }
        if client.state != State::Ready {
            self.failure.get_or_insert_with(|| why.to_owned());
        }
        client.state = State::Dead;
        let _ = epoll::delete(&self.epoll, &client.fd);
        let room = client.room as usize;
        let state = &mut self.rooms[room];
        let mut ended = 0;
        for (at, flight) in state.flights.iter_mut().enumerate() {
            if flight.remaining > 0 && !client.received.has(state.base + at as u64) {
                flight.remaining -= 1;
                ended += u32::from(flight.remaining == 0);
            }
        }
        for _ in 0..ended {
            self.complete(room);
        }
        self.totals.disconnected += 1;
        self.complain(why);
    }

    fn complain(&mut self, what: &str) {
        if self.totals.complaints.len() < 3 {
            self.totals.complaints.push(what.to_owned());
        }
    }
}

fn room_id(config: &Config, number: usize) -> String {
    format!("{}{number}", config.room_prefix)
}

/// Loopback address number `n`: 127.0.0.1 to 127.0.0.250, 127.0.1.1 and so on.
fn source(n: usize) -> IpAddr {
    Ipv4Addr::new(
        127,
        (n / 62_500 % 256) as u8,
        (n / 250 % 250) as u8,
        (n % 250 + 1) as u8,
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_distinct_loopback_addresses() {
        let all: std::collections::HashSet<_> = (0..2000).map(source).collect();
        assert_eq!(all.len(), 2000);
        assert!(all.iter().all(IpAddr::is_loopback));
        assert_eq!(source(0), IpAddr::from([127, 0, 0, 1]));
        assert_eq!(source(250), IpAddr::from([127, 0, 1, 1]));
    }
}
