//! Publishing messages, and accounting for their deliveries.

use super::Engine;
use super::clients::State;
use super::rooms::InFlight;
use crate::frame;
use crate::protocol::Protocol;
use crate::track::Arrival;

impl Engine {
    pub(super) fn on_frame(&mut self, i: usize, opcode: u8, payload: &[u8], now: u64) {
        match opcode {
            frame::TEXT => {
                if let Some(d) = self.scanner.scan(&self.config.protocol, payload) {
                    self.run.payload_bytes += payload.len() as u64;
                    self.run.wire_bytes += frame::server_frame_len(payload.len()) as u64;
                    self.deliver(i, d.room, d.index, d.seq, now);
                } else if self.clients[i].state == State::Joining
                    && self.config.protocol.is_joined(payload)
                {
                    self.on_joined(i);
                } else if matches!(self.config.protocol, Protocol::ChatV1) {
                    self.on_event(i, payload);
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

    fn on_event(&mut self, i: usize, payload: &[u8]) {
        let is = |event_type: &str| {
            payload
                .strip_prefix(br#"{"type":""#)
                .is_some_and(|p| p.starts_with(event_type.as_bytes()))
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
            self.record_problem(&text);
        }
    }

    pub(super) fn on_joined(&mut self, i: usize) {
        self.clients[i].state = State::Ready;
        self.ready += 1;
    }

    fn deliver(&mut self, i: usize, room: usize, index: u64, seq: u64, now: u64) {
        let client = &mut self.clients[i];
        if client.room as usize != room || index >= self.rooms[room].sent {
            return self.record_problem("a message of another room or run");
        }
        let arrival = client.received.record(index);
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
        // A message that completed without this member, which seemed dead, is no longer in message.
        if let Some(message) = index
            .checked_sub(room_state.base)
            .and_then(|at| room_state.in_flight.get_mut(at as usize))
        {
            // All members must receive a message with the same sequence number.
            in_order &= message.seq == 0 || message.seq == seq;
            message.seq = seq;
            self.run
                .latency
                .saturating_record(now.saturating_sub(message.since));
            message.remaining = message.remaining.saturating_sub(1);
            if message.remaining == 0 {
                self.run
                    .fanout
                    .saturating_record(now.saturating_sub(message.since));
                self.complete(room);
            }
        }
        self.out_of_order += u64::from(!in_order);
    }

    /// Removes the complete messages at the front, and notes that the room may publish again.
    pub(super) fn complete(&mut self, room: usize) {
        self.in_flight -= 1;
        self.completed.push(room as u32);
        let state = &mut self.rooms[room];
        while state.in_flight.front().is_some_and(|f| f.remaining == 0) {
            state.in_flight.pop_front();
            state.base += 1;
        }
    }

    /// Publishes the next message of a room, which was due at `since`.
    pub(super) fn publish(&mut self, room: usize, since: u64) {
        let state = &mut self.rooms[room];
        let publishers = self.config.publishers.min(state.members.len());
        let publisher = state.members[state.turn % publishers] as usize;
        state.turn += 1;
        let index = state.sent;
        state.sent += 1;
        let echo = self.config.protocol.echo();
        let clients = &self.clients;
        let alive = |m: &&u32| clients[**m as usize].state != State::Dead;
        let all_alive = self.totals.disconnected == 0;
        let mut remaining = if all_alive {
            state.members.len()
        } else {
            state.members.iter().filter(alive).count()
        };
        if !echo && clients[publisher].state != State::Dead {
            remaining -= 1;
        }
        state.in_flight.push_back(InFlight {
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
            client.received.record(index);
        }
        if remaining == 0 {
            self.complete(room);
        }
    }

    pub(super) fn record_problem(&mut self, problem: &str) {
        if self.totals.problems.len() < 3 {
            self.totals.problems.push(problem.to_owned());
        }
    }
}
