//! The calendar jumps, and the monotonic clock goes on: what is due by which.

use std::task::Waker;
use std::time::{Duration, Instant};

use crate::clock::Now;
use crate::command::HistoryFrom;
use crate::error::Code;
use crate::id::{MemberId, RoomId};
use crate::limits::Limits;
use crate::names::Language;
use crate::room::{Entry, Fate, Joined, Room, Settings};

const HOUR: i64 = 3_600_000;
const START: u64 = 1_800_000_000_000;

/// Seconds after the start by the monotonic clock, on a calendar that is wrong by `jump` milliseconds.
fn at(start: Instant, secs: u64, jump: i64) -> Now {
    let unix_ms = START + secs * 1000;
    Now {
        instant: start + Duration::from_secs(secs),
        unix_ms: unix_ms.checked_add_signed(jump).unwrap(),
    }
}

fn room(start: Instant) -> Room {
    let settings = Settings {
        title: String::new(),
        capacity: 0,
        password: None,
        ttl: Duration::from_secs(60),
        grace: Duration::from_secs(10),
        history_from: HistoryFrom::All,
        listed: false,
        kept: false,
    };
    let id = RoomId::new("r").unwrap();
    Room::new(
        id,
        1,
        "epoch".into(),
        settings,
        &Limits::default(),
        at(start, 0, 0),
    )
}

const ANN: MemberId = MemberId([1; 15]);

fn join(room: &Room, now: Now) -> Result<Joined, crate::Error> {
    let entry = Entry {
        id: ANN,
        nickname: None,
        language: Language::default(),
        verified: None,
        since: None,
        history: None,
        task: Waker::noop(),
    };
    room.join(&entry, &Limits::default(), now)
}

#[test]
fn a_room_ends_and_a_seat_is_held_for_as_long_as_was_said() {
    for jump in [-HOUR, -1000, 1000, HOUR, 24 * HOUR] {
        let start = Instant::now();
        let room = room(start);
        let joined = join(&room, at(start, 1, jump)).unwrap();
        room.leave(&joined.cursor, false, at(start, 2, jump).instant);
        assert_eq!(room.tick(at(start, 11, jump)), Fate::Lives);
        assert_eq!(room.info().count, 1, "{jump}");
        assert_eq!(room.tick(at(start, 12, -jump)), Fate::Lives);
        assert_eq!(room.info().count, 0, "{jump}");
        assert_eq!(room.tick(at(start, 59, jump)), Fate::Lives);
        assert_eq!(room.due(), Some(at(start, 60, 0).instant));
        assert_eq!(room.tick(at(start, 60, -jump)), Fate::Ended);
    }
}

#[test]
fn a_ban_lasts_as_long_as_was_said() {
    for jump in [-HOUR, HOUR] {
        let start = Instant::now();
        let room = room(start);
        room.remove(ANN, None, Some(Duration::from_secs(30)), at(start, 0, 0));
        let refused = join(&room, at(start, 29, jump)).err().unwrap();
        assert_eq!(
            (refused.code, refused.retry_after),
            (Code::Banned, Some(Duration::from_secs(1))),
            "{jump}"
        );
        assert!(join(&room, at(start, 30, jump)).is_ok(), "{jump}");
    }
}

#[test]
fn the_time_of_a_message_never_goes_back() {
    let start = Instant::now();
    let room = room(start);
    let mut said = Vec::new();
    for (secs, jump) in [(0, 0), (1, HOUR), (2, -HOUR), (3, 0), (4, -1)] {
        said.push(room.announce("x", None, at(start, secs, jump)).unwrap());
    }
    assert!(said.is_sorted_by(|a, b| a.seq + 1 == b.seq && a.at <= b.at));
}
