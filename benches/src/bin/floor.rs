//! The lower bound of every fan-out: one thread, one epoll, and for each received text frame one
//! plain `write` per member of the sender's room. There is no JSON, history, presence, timer or
//! limit, so what remains is the cost of the kernel.
//!
//! The room is the path of the upgrade request. With `--coalesce`, the frames that a room received
//! in one turn of the epoll are encoded into one buffer, and each member is sent that buffer in one
//! `write` at the end of the turn. That is the lower bound for loads with more than one message in
//! flight.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::net::SocketAddr;

use clap::Parser;
use load::frame::{self, Reader};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{SocketFlags, sockopt};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const READ_SIZE: usize = 64 * 1024;
const LISTENER: u64 = u64::MAX;
/// A member is dropped when more than this waits to be written to it.
const MAX_BACKLOG: usize = 8 << 20;

/// Relays every text frame to all members of the sender's room (the path of the URL), including the
/// sender.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// One write per member and epoll turn instead of one per member and message.
    #[arg(long)]
    coalesce: bool,
}

struct Conn {
    fd: OwnedFd,
    /// `None` until the upgrade.
    room: Option<usize>,
    /// The index of the connection in the members of its room.
    slot: usize,
    reader: Reader,
    /// Bytes that the socket has not taken yet.
    backlog: Vec<u8>,
    closing: bool,
}

#[derive(Default)]
struct Room {
    members: Vec<usize>,
    /// The frames received in this turn.
    pending: Vec<u8>,
}

struct Server {
    epoll: OwnedFd,
    listener: OwnedFd,
    coalesce: bool,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    rooms: Vec<Room>,
    room_of_path: HashMap<String, usize>,
    dirty: Vec<usize>,
    closing: Vec<usize>,
    scratch: Vec<u8>,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    load::proc::raise_open_files();
    // The listener of std is suitable except for its short backlog.
    let listener = OwnedFd::from(std::net::TcpListener::bind(args.listen)?);
    rustix::net::listen(&listener, 4096)?;
    rustix::io::ioctl_fionbio(&listener, true)?;
    let address: SocketAddr = rustix::net::getsockname(&listener)?.try_into()?;
    println!("listening on http://{address}");
    io::stdout().flush()?;

    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(
        &epoll,
        &listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    let mut server = Server {
        epoll,
        listener,
        coalesce: args.coalesce,
        conns: Vec::new(),
        free: Vec::new(),
        rooms: Vec::new(),
        room_of_path: HashMap::new(),
        dirty: Vec::new(),
        closing: Vec::new(),
        scratch: Vec::new(),
    };
    let mut events: Vec<Event> = Vec::with_capacity(1024);
    loop {
        events.clear();
        match epoll::wait(&server.epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        for event in &events {
            server.on_event(event.data.u64(), event.flags);
        }
        server.end_turn();
    }
}

impl Server {
    fn on_event(&mut self, id: u64, flags: EventFlags) {
        if id == LISTENER {
            return self.accept();
        }
        let id = id as usize;
        if flags.contains(EventFlags::OUT) {
            self.drain(id);
        }
        if flags.intersects(!EventFlags::OUT) {
            self.read(id);
        }
    }

    fn accept(&mut self) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        while let Ok(fd) = rustix::net::accept_with(&self.listener, flags) {
            let _ = sockopt::set_tcp_nodelay(&fd, true);
            let id = self.free.pop().unwrap_or_else(|| {
                self.conns.push(None);
                self.conns.len() - 1
            });
            if epoll::add(
                &self.epoll,
                &fd,
                EventData::new_u64(id as u64),
                EventFlags::IN,
            )
            .is_ok()
            {
                let reader = Reader::default();
                let backlog = Vec::new();
                self.conns[id] = Some(Conn {
                    fd,
                    room: None,
                    slot: 0,
                    reader,
                    backlog,
                    closing: false,
                });
            } else {
                self.free.push(id);
            }
        }
    }

    fn read(&mut self, id: usize) {
        let Some(conn) = &mut self.conns[id] else {
            return;
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        let kept = conn.reader.restore(&mut scratch, READ_SIZE);
        match rustix::io::read(&conn.fd, &mut scratch[kept..kept + READ_SIZE]) {
            Ok(0) => self.close(id),
            Ok(n) => self.on_bytes(id, &mut scratch[..kept + n]),
            Err(Errno::AGAIN | Errno::INTR) => conn.reader.keep(&scratch[..kept]),
            Err(_) => self.close(id),
        }
        self.scratch = scratch;
    }

    fn on_bytes(&mut self, id: usize, mut bytes: &mut [u8]) {
        let Some(conn) = &mut self.conns[id] else {
            return;
        };
        let room = if let Some(room) = conn.room {
            room
        } else {
            let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
                return conn.reader.keep(bytes);
            };
            let (head, rest) = bytes.split_at_mut(end + 4);
            bytes = rest;
            let Some(room) = self.upgrade(id, &String::from_utf8_lossy(head)) else {
                return self.close(id);
            };
            room
        };
        let Some(conn) = &mut self.conns[id] else {
            return;
        };
        let mut reader = std::mem::take(&mut conn.reader);
        let result = reader.feed(bytes, |opcode, payload| match opcode {
            frame::TEXT => self.publish(room, payload),
            frame::PING => {
                let mut pong = Vec::new();
                frame::push_server(&mut pong, frame::PONG, payload);
                self.send(id, &pong);
            }
            frame::CLOSE => {
                let mut close = Vec::new();
                frame::push_server(&mut close, frame::CLOSE, payload);
                self.send(id, &close);
                self.close(id);
            }
            _ => {}
        });
        if let Some(conn) = &mut self.conns[id] {
            conn.reader = reader;
        }
        if result.is_err() {
            self.close(id);
        }
    }

    /// Answers the handshake and adds the connection to its room.
    fn upgrade(&mut self, id: usize, head: &str) -> Option<usize> {
        let path = head.strip_prefix("GET ")?.split(' ').next()?;
        let key = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("sec-websocket-key")
                .then(|| value.trim())
        })?;
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            derive_accept_key(key.as_bytes())
        );
        self.send(id, response.as_bytes());
        let rooms = &mut self.rooms;
        let room = *self.room_of_path.entry(path.to_owned()).or_insert_with(|| {
            rooms.push(Room::default());
            rooms.len() - 1
        });
        let conn = self.conns[id].as_mut()?;
        conn.room = Some(room);
        conn.slot = self.rooms[room].members.len();
        self.rooms[room].members.push(id);
        Some(room)
    }

    fn publish(&mut self, room: usize, payload: &[u8]) {
        let pending = &mut self.rooms[room].pending;
        if pending.is_empty() {
            self.dirty.push(room);
        }
        frame::push_server(pending, frame::TEXT, payload);
        if !self.coalesce {
            self.fan_out();
        }
    }

    /// Writes the pending frames of each room, with one write per member.
    fn fan_out(&mut self) {
        while let Some(room) = self.dirty.pop() {
            let members = std::mem::take(&mut self.rooms[room].members);
            let mut pending = std::mem::take(&mut self.rooms[room].pending);
            for &id in &members {
                self.send(id, &pending);
            }
            pending.clear();
            self.rooms[room].pending = pending;
            self.rooms[room].members = members;
        }
    }

    fn send(&mut self, id: usize, bytes: &[u8]) {
        let Some(conn) = &mut self.conns[id] else {
            return;
        };
        if conn.backlog.is_empty() {
            match rustix::io::write(&conn.fd, bytes) {
                Ok(n) if n == bytes.len() => return,
                Ok(n) => conn.backlog.extend_from_slice(&bytes[n..]),
                Err(Errno::AGAIN | Errno::INTR) => conn.backlog.extend_from_slice(bytes),
                Err(_) => return self.close(id),
            }
            let data = EventData::new_u64(id as u64);
            let _ = epoll::modify(
                &self.epoll,
                &conn.fd,
                data,
                EventFlags::IN | EventFlags::OUT,
            );
        } else {
            conn.backlog.extend_from_slice(bytes);
            if conn.backlog.len() > MAX_BACKLOG {
                self.close(id);
            }
        }
    }

    /// Writes the backlog when the socket takes bytes again.
    fn drain(&mut self, id: usize) {
        let Some(conn) = &mut self.conns[id] else {
            return;
        };
        match rustix::io::write(&conn.fd, &conn.backlog) {
            Ok(n) => {
                conn.backlog.drain(..n);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return self.close(id),
        }
        if conn.backlog.is_empty() {
            conn.backlog = Vec::new();
            let data = EventData::new_u64(id as u64);
            let _ = epoll::modify(&self.epoll, &conn.fd, data, EventFlags::IN);
        }
    }

    fn close(&mut self, id: usize) {
        if let Some(conn) = &mut self.conns[id]
            && !conn.closing
        {
            conn.closing = true;
            self.closing.push(id);
        }
    }

    fn end_turn(&mut self) {
        self.fan_out();
        while let Some(id) = self.closing.pop() {
            let Some(conn) = self.conns[id].take() else {
                continue;
            };
            if let Some(room) = conn.room {
                let members = &mut self.rooms[room].members;
                members.swap_remove(conn.slot);
                if let Some(moved) = members.get(conn.slot).and_then(|m| self.conns[*m].as_mut()) {
                    moved.slot = conn.slot;
                }
            }
            self.free.push(id);
        }
    }
}
