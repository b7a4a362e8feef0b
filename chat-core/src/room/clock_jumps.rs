//! The wall clock jumps while the monotonic clock goes on: deadlines must follow the latter.

use std::time::{Duration, Instant};

use super::state::{
    Announce, BanLength, Detach, Join, JoinNickname, Lifecycle, Refusal, Remove, Seated, Settings,
};
use super::{Room, state};
use crate::clock::{Now, Stamp};
use crate::identity::nickname::Nickname;
use crate::limits::Limits;
use crate::protocol::message::Content;
use crate::protocol::{HistoryFrom, MemberId, RoomId};

const HOUR: i64 = 3_600_000;
const START: u64 = 1_800_000_000_000;

/// Seconds after the start by the monotonic clock, while the wall clock is wrong by `jump`
/// milliseconds.
fn at(start: Instant, secs: u64, jump: i64) -> Now {
    let monotonic_ms = START + secs * 1000;
    Now {
        instant: start + Duration::from_secs(secs),
        stamp: Stamp {
            monotonic_ms,
            unix_ms: monotonic_ms.checked_add_signed(jump).unwrap(),
        },
    }
}

fn room(start: Instant) -> Room {
    let settings = Settings {
        title: String::new(),
        capacity: 0,
        password: None,
        ttl_ms: 60_000,
        grace_ms: 10_000,
        idle_ms: 600_000,
        history_from: HistoryFrom::All,
        listed: false,
        kept: false,
    };
    let id = RoomId::new("r").unwrap();
    let limits = Limits::default();
    Room::new(id, 1, "epoch".into(), settings, &limits, at(start, 0, 0))
}

const ANN: MemberId = MemberId([1; 15]);

fn join(room: &Room, now: Now) -> Result<Seated, Refusal> {
    let join = Join {
        member: ANN,
        nickname: JoinNickname::FirstFreeOf(&[Nickname::new("Ann")]),
        verified: None,
    };
    room.apply(now, join)
}

#[test]
fn a_room_ends_and_a_seat_is_held_by_the_monotonic_clock() {
    for jump in [-HOUR, -1000, 1000, HOUR, 24 * HOUR] {
        let start = Instant::now();
        let room = room(start);
        let ordinal = join(&room, at(start, 1, jump)).unwrap().ordinal;
        let detach = Detach {
            member: ANN,
            ordinal,
            left: false,
        };
        room.apply(at(start, 2, jump), detach).unwrap();
        assert_eq!(room.due(), Some(START + 12_000));
        assert_eq!(room.tick(at(start, 11, jump)), Lifecycle::Live);
        assert_eq!(room.info().count, 1, "{jump}");
        assert_eq!(room.tick(at(start, 12, -jump)), Lifecycle::Live);
        assert_eq!(room.info().count, 0, "{jump}");
        assert_eq!(room.tick(at(start, 59, jump)), Lifecycle::Live);
        assert_eq!(room.due(), Some(START + 60_000));
        assert_eq!(room.tick(at(start, 60, -jump)), Lifecycle::Ended);
    }
}

#[test]
fn a_ban_lasts_by_the_monotonic_clock() {
    for jump in [-HOUR, HOUR] {
        let start = Instant::now();
        let room = room(start);
        let ban = Remove {
            member: ANN,
            text: None,
            ban: Some(BanLength::Milliseconds(30_000)),
        };
        room.apply(at(start, 0, 0), ban).unwrap();
        let refused = join(&room, at(start, 29, jump)).unwrap_err();
        let wait_ms = Some(1000);
        assert_eq!(refused, Refusal::Banned { wait_ms }, "{jump}");
        assert!(join(&room, at(start, 30, jump)).is_ok(), "{jump}");
    }
}

#[test]
fn the_time_of_events_never_goes_back() {
    let start = Instant::now();
    let room = room(start);
    let mut positions: Vec<state::Position> = Vec::new();
    for (secs, jump) in [(0, 0), (1, HOUR), (2, -HOUR), (3, 0), (4, -1)] {
        let content = Content {
            text: "x",
            data: None,
            reply_to: None,
        };
        let announce = Announce { content };
        positions.push(room.apply(at(start, secs, jump), announce).unwrap());
    }
    assert!(positions.is_sorted_by(|a, b| a.seq + 1 == b.seq && a.at <= b.at));
}
