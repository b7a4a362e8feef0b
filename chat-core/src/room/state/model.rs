//! A room as simply as it can be written: lists that are searched from the front.

use super::Lifecycle;
use super::settings::Settings;
use super::tests::{NICKNAMES, RETAINED, Step, What, member};
use crate::protocol::{HistoryFrom, MemberId};

pub(super) struct Model {
    capacity: usize,
    has_password: bool,
    from_join: bool,
    grace: u64,
    idle: Option<u64>,
    expires: Option<u64>,
    seats: Vec<Seat>,
    next_ordinal: u64,
    /// The members who were let in, with the newest event at that time.
    granted: Vec<(u8, Option<u64>)>,
    bans: Vec<(u8, Option<u64>)>,
    /// Author and key of every event.
    events: Vec<(Option<u8>, Option<u8>)>,
    empty_since: u64,
    lifecycle: Lifecycle,
}

struct Seat {
    member: u8,
    nickname: usize,
    ordinal: u64,
    connections: u32,
    first_seq: u64,
    leaves_at: Option<u64>,
}

type Outcome = Result<String, String>;

impl Model {
    pub(super) fn new(settings: &Settings) -> Self {
        let ttl = settings.ttl_ms;
        Self {
            capacity: settings.capacity as usize,
            has_password: settings.password.is_some(),
            from_join: settings.history_from == HistoryFrom::Join,
            grace: settings.grace_ms,
            idle: (ttl == 0 && !settings.kept).then_some(settings.idle_ms),
            expires: (ttl != 0).then_some(ttl),
            seats: Vec::new(),
            next_ordinal: 0,
            granted: Vec::new(),
            bans: Vec::new(),
            events: Vec::new(),
            empty_since: 0,
            lifecycle: Lifecycle::Live,
        }
    }

    pub(super) fn seats(&self) -> Vec<(MemberId, String, u32)> {
        let seats = self.seats.iter();
        seats
            .map(|seat| {
                let nickname = NICKNAMES[seat.nickname].to_owned();
                (member(seat.member), nickname, seat.connections)
            })
            .collect()
    }

    pub(super) fn newest(&self) -> u64 {
        self.events.len() as u64
    }

    pub(super) fn lifecycle(&self) -> Lifecycle {
        self.lifecycle
    }

    pub(super) fn apply(&mut self, step: &Step, now: u64) -> String {
        self.pass_time(now);
        let outcome = match &step.what {
            What::Join { nickname, verified } => self.join(step.member, *nickname, *verified, now),
            What::Grant => {
                self.grant(step.member, None);
                Ok("()".into())
            }
            What::Detach { left } => self.detach(step, *left, now),
            What::Send { key } => self.send(step, *key),
            What::Announce => self.check_live().map(|()| {
                self.events.push((None, None));
                self.newest().to_string()
            }),
            What::Rename { nickname } => self.rename(step, *nickname),
            What::Remove { ban_ms } => self.remove(step.member, *ban_ms, now),
            What::Unban => self.check_live().map(|()| {
                self.bans.retain(|(banned, _)| *banned != step.member);
                "()".into()
            }),
            What::Close => self.check_live().map(|()| {
                self.lifecycle = Lifecycle::Ended;
                "()".into()
            }),
            What::Tick => Ok("()".into()),
        };
        match outcome {
            Ok(outcome) => format!("Ok({outcome})"),
            Err(refusal) => format!("Err({refusal})"),
        }
    }

    /// Millisecond by millisecond.
    fn pass_time(&mut self, now: u64) {
        for at in 0..=now {
            if self.lifecycle != Lifecycle::Live {
                return;
            }
            if self.expires == Some(at) {
                self.lifecycle = Lifecycle::Ended;
                return;
            }
            let seats = self.seats.len();
            self.seats.retain(|seat| seat.leaves_at != Some(at));
            if seats > 0 && self.seats.is_empty() {
                self.empty_since = at;
            }
            let idle = self.idle.filter(|_| self.seats.is_empty());
            if idle.is_some_and(|idle| self.empty_since + idle == at) {
                self.lifecycle = Lifecycle::Forgotten;
            }
        }
    }

    fn check_live(&self) -> Result<(), String> {
        match self.lifecycle {
            Lifecycle::Live => Ok(()),
            Lifecycle::Ended => Err("Ended".into()),
            Lifecycle::Forgotten => Err("Forgotten".into()),
        }
    }

    fn is_taken(&self, nickname: usize, me: u8) -> bool {
        let look = |nickname: usize| if nickname < 3 { 0 } else { nickname };
        let mut others = self.seats.iter().filter(|seat| seat.member != me);
        others.any(|seat| look(seat.nickname) == look(nickname))
    }

    fn grant(&mut self, member: u8, first_seq: Option<u64>) {
        match self.granted.iter_mut().find(|(id, _)| *id == member) {
            Some((_, first)) => *first = first.or(first_seq),
            None => self.granted.push((member, first_seq)),
        }
    }

    fn granted_first_seq(&self, member: u8) -> Option<u64> {
        let mut granted = self.granted.iter();
        granted
            .find(|(id, _)| *id == member)
            .and_then(|(_, first)| *first)
    }

    fn join(
        &mut self,
        id: u8,
        nickname: Option<usize>,
        verified: Option<u64>,
        now: u64,
    ) -> Outcome {
        self.check_live()?;
        let ban = self.bans.iter().find(|(banned, _)| *banned == id);
        match ban {
            Some((_, None)) => return Err("Banned { wait_ms: None }".into()),
            Some((_, Some(until))) if *until > now => {
                return Err(format!("Banned {{ wait_ms: Some({}) }}", until - now));
            }
            _ => {}
        }
        let position = self.seats.iter().position(|seat| seat.member == id);
        let granted = self.granted.iter().any(|(granted, _)| *granted == id);
        if self.has_password && position.is_none() && !granted && verified != Some(1) {
            return Err("PasswordRequired".into());
        }
        if nickname.is_some_and(|nickname| self.is_taken(nickname, id)) {
            return Err("NicknameTaken".into());
        }
        let position = match position {
            Some(position) => {
                let seat = &mut self.seats[position];
                seat.connections += 1;
                seat.leaves_at = None;
                seat.nickname = nickname.unwrap_or(seat.nickname);
                position
            }
            None => {
                if self.capacity != 0 && self.seats.len() >= self.capacity {
                    return Err("Full".into());
                }
                let mut all = 0..NICKNAMES.len();
                let free = nickname.or_else(|| all.find(|n| !self.is_taken(*n, id)));
                let nickname = free.ok_or("NoFreeNickname")?;
                let first_seq = self.granted_first_seq(id).unwrap_or(self.newest());
                self.seats.push(Seat {
                    member: id,
                    nickname,
                    ordinal: self.next_ordinal,
                    connections: 1,
                    first_seq,
                    leaves_at: None,
                });
                self.next_ordinal += 1;
                if self.has_password || self.from_join {
                    self.grant(id, Some(first_seq));
                }
                self.seats.len() - 1
            }
        };
        let seat = &self.seats[position];
        let visible_from = if self.from_join { seat.first_seq } else { 0 };
        let nickname = NICKNAMES[seat.nickname];
        Ok(format!(
            "({nickname:?}, {}, {}, {visible_from})",
            seat.ordinal,
            self.newest()
        ))
    }

    fn stay(&mut self, step: &Step) -> Option<&mut Seat> {
        let mut seats = self.seats.iter_mut();
        seats.find(|seat| {
            let meant = step.ordinal.is_none_or(|ordinal| ordinal == seat.ordinal);
            seat.member == step.member && meant
        })
    }

    fn detach(&mut self, step: &Step, left: bool, now: u64) -> Outcome {
        let at_once = left || self.grace == 0 || self.lifecycle != Lifecycle::Live;
        let grace = self.grace;
        if let Some(seat) = self.stay(step)
            && seat.connections > 0
        {
            seat.connections -= 1;
            if seat.connections == 0 && !at_once {
                seat.leaves_at = Some(now + grace);
            } else if seat.connections == 0 {
                self.leave(step.member, now);
            }
        }
        Ok("()".into())
    }

    fn leave(&mut self, member: u8, now: u64) {
        self.seats.retain(|seat| seat.member != member);
        if self.seats.is_empty() {
            self.empty_since = now;
        }
    }

    fn send(&mut self, step: &Step, key: Option<u8>) -> Outcome {
        if self.lifecycle != Lifecycle::Live || self.stay(step).is_none() {
            return Err("NotJoined".into());
        }
        let event = (Some(step.member), key);
        let remembered = self.events.len().saturating_sub(RETAINED);
        let known = self.events[remembered..]
            .iter()
            .position(|known| *known == event);
        if let Some(known) = known.filter(|_| key.is_some()) {
            return Ok((remembered + known + 1).to_string());
        }
        self.events.push(event);
        Ok(self.newest().to_string())
    }

    fn rename(&mut self, step: &Step, nickname: usize) -> Outcome {
        if self.lifecycle != Lifecycle::Live || self.stay(step).is_none() {
            return Err("NotJoined".into());
        }
        if self.is_taken(nickname, step.member) {
            return Err("NicknameTaken".into());
        }
        let seat = self.stay(step).ok_or("NotJoined")?;
        let before = std::mem::replace(&mut seat.nickname, nickname);
        let before = (before != nickname).then_some(NICKNAMES[before]);
        Ok(format!("{before:?}"))
    }

    fn remove(&mut self, member: u8, ban_ms: Option<u64>, now: u64) -> Outcome {
        self.check_live()?;
        if let Some(ms) = ban_ms {
            self.bans.retain(|(banned, _)| *banned != member);
            self.bans.push((member, (ms != 0).then_some(now + ms)));
        }
        let was_present = self.seats.iter().any(|seat| seat.member == member);
        if was_present {
            self.leave(member, now);
        }
        Ok(was_present.to_string())
    }
}
