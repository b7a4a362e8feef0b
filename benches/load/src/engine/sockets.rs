//! Connections, reads and writes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::clients::{Client, State};
use super::{Engine, room_id};
use crate::frame::{self, Reader};
use crate::protocol::Protocol;
use crate::track::Received;

pub(super) const READ_SIZE: usize = 64 * 1024;
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

impl Engine {
    pub(super) fn open(&mut self) -> io::Result<()> {
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
                &SocketAddr::new(source_address(number % self.config.sources), 0),
            )?;
        }
        match rustix::net::connect(&fd, &addr) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(e) => return Err(e.into()),
        }
        let data = epoll::EventData::new_u64(number as u64);
        // Edge triggered, so that the kernel does not have to look again at a socket that was just
        // read.
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

    /// Waits for events once and handles them.
    pub(super) fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
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
                        self.on_connected(i);
                    }
                }
                _ => {
                    if flags.contains(epoll::EventFlags::OUT) && !self.clients[i].out.is_empty() {
                        self.flush(i);
                    }
                    let ended =
                        epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
                    if flags.intersects(epoll::EventFlags::IN | ended) {
                        self.on_readable(i, flags.intersects(ended));
                    }
                }
            }
        }
        self.events = events;
        self.flush_dirty();
        Ok(())
    }

    fn on_connected(&mut self, i: usize) {
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

    /// Reads until there is no more data. A short read shows that, unless the connection has
    /// `ended`.
    fn on_readable(&mut self, i: usize, ended: bool) {
        let mut scratch = std::mem::take(&mut self.scratch);
        loop {
            let kept = self.clients[i].reader.restore(&mut scratch, READ_SIZE);
            let read = rustix::io::read(&self.clients[i].fd, &mut scratch[kept..kept + READ_SIZE]);
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
            self.on_bytes(i, &mut scratch[..kept + n]);
            if (n < READ_SIZE && !ended) || self.clients[i].state == State::Dead {
                break;
            }
        }
        self.scratch = scratch;
    }

    fn on_bytes(&mut self, i: usize, mut bytes: &mut [u8]) {
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
            for text in self.config.protocol.opening(i, &room) {
                self.push(i, frame::TEXT, text.as_bytes());
            }
            self.clients[i].state = State::Joining;
            if self.config.protocol.joins_without_ack() {
                self.on_joined(i);
            }
            bytes = rest;
        }
        let now = self.now();
        let mut reader = std::mem::take(&mut self.clients[i].reader);
        let result = reader.feed(bytes, |opcode, payload| {
            self.on_frame(i, opcode, payload, now);
        });
        self.clients[i].reader = reader;
        if let Err(e) = result {
            self.drop_client(i, &e.to_string());
        }
    }

    pub(super) fn push(&mut self, i: usize, opcode: u8, payload: &[u8]) {
        self.mask = self.mask.rotate_left(5).wrapping_mul(0x9E37_79B1);
        let client = &mut self.clients[i];
        frame::push_client(&mut client.out, opcode, payload, self.mask.to_be_bytes());
        if !client.dirty {
            client.dirty = true;
            self.dirty.push(i as u32);
        }
    }

    pub(super) fn flush_dirty(&mut self) {
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

    /// Closes a client that failed, and takes it out of the messages in flight.
    pub(super) fn drop_client(&mut self, i: usize, reason: &str) {
        let client = &mut self.clients[i];
        if client.state == State::Dead {
            return;
        }
        if client.state != State::Ready {
            self.failure.get_or_insert_with(|| reason.to_owned());
        }
        client.state = State::Dead;
        let _ = epoll::delete(&self.epoll, &client.fd);
        let room = client.room as usize;
        let state = &mut self.rooms[room];
        let mut ended = 0;
        for (at, message) in state.in_flight.iter_mut().enumerate() {
            if message.remaining > 0 && !client.received.contains(state.base + at as u64) {
                message.remaining -= 1;
                ended += u32::from(message.remaining == 0);
            }
        }
        for _ in 0..ended {
            self.complete(room);
        }
        self.totals.disconnected += 1;
        self.record_problem(reason);
    }
}

/// Loopback address number `n`: 127.0.0.1 to 127.0.0.250, then 127.0.1.1 and so on.
fn source_address(n: usize) -> IpAddr {
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
        let all: std::collections::HashSet<_> = (0..2000).map(source_address).collect();
        assert_eq!(all.len(), 2000);
        assert!(all.iter().all(IpAddr::is_loopback));
        assert_eq!(source_address(0), IpAddr::from([127, 0, 0, 1]));
        assert_eq!(source_address(250), IpAddr::from([127, 0, 1, 1]));
    }
}
