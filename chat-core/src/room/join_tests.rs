//! What may happen between the two halves of a join, and in the operation of a join.

use std::task::Waker;
use std::time::{Duration, Instant};

use super::joining::Joined;
use super::state::{Detach, Join, JoinNickname, Remove, Rename, Seated, Settings};
use super::{Cursor, Delivery, Return, Room};
use crate::clock::{Now, Stamp};
use crate::identity::nickname::Nickname;
use crate::limits::Limits;
use crate::protocol::{HistoryFrom, MemberId, RoomId};

const START: u64 = 1_800_000_000_000;
const ANN: MemberId = MemberId([1; 15]);
const BEN: MemberId = MemberId([2; 15]);

fn at(ms: u64) -> Now {
    let stamp = Stamp {
        monotonic_ms: START + ms,
        unix_ms: START + ms,
    };
    Now {
        instant: Instant::now() + Duration::from_millis(ms),
        stamp,
    }
}

fn room() -> Room {
    let settings = Settings {
        title: String::new(),
        capacity: 0,
        password: None,
        ttl_ms: 0,
        grace_ms: 10_000,
        idle_ms: 600_000,
        history_from: HistoryFrom::All,
        listed: false,
        kept: false,
    };
    let id = RoomId::new("r").unwrap();
    Room::new(id, 1, "epoch".into(), settings, &Limits::default(), at(0))
}

fn admit(room: &Room, member: MemberId, nickname: &str, now: Now) -> Seated {
    let join = Join {
        member,
        nickname: JoinNickname::Chosen(&Nickname::new(nickname)),
        verified: None,
    };
    room.apply(now, join).unwrap()
}

fn attach(room: &Room, seated: Seated) -> Joined {
    let back = Return {
        since: None,
        history: None,
    };
    room.attach(seated, &back, 100, Waker::noop())
}

fn rename(room: &Room, cursor: (MemberId, u64), nickname: &str, now: Now) {
    let rename = Rename {
        member: cursor.0,
        ordinal: cursor.1,
        nickname: &Nickname::new(nickname),
    };
    room.apply(now, rename).unwrap();
}

/// The number of buffers that a cursor is sent until there is nothing more.
fn drain(room: &Room, cursor: &mut Cursor) -> usize {
    let mut count = 0;
    while room.has_delivery(cursor) && !matches!(room.read(cursor), Delivery::Nothing) {
        count += 1;
    }
    count
}

#[test]
fn a_member_renamed_between_the_halves_is_told_their_new_nickname() {
    let room = room();
    let seated = admit(&room, ANN, "Ann", at(1));
    rename(&room, (ANN, seated.ordinal), "Anna", at(1));
    let joined = attach(&room, seated);
    assert_eq!(&*joined.you.nickname, "Anna");
}

#[test]
fn a_member_removed_between_the_halves_is_told_so() {
    let room = room();
    let seated = admit(&room, ANN, "Ann", at(1));
    let kick = Remove {
        member: ANN,
        text: None,
        ban: None,
    };
    room.apply(at(1), kick).unwrap();
    let mut joined = attach(&room, seated);
    assert!(room.has_delivery(&joined.cursor));
    let delivery = room.read(&mut joined.cursor);
    assert!(matches!(delivery, Delivery::Removed(_)));
}

/// Their leave and their join are changes of one member, so there is somebody else in the room, who
/// is sent one event in a window.
#[test]
fn a_return_right_after_the_grace_keeps_the_window_of_presence() {
    let room = room();
    let ann = admit(&room, ANN, "Ann", at(0));
    let mut ben = attach(&room, admit(&room, BEN, "Ben", at(0)));
    let detach = Detach {
        member: ANN,
        ordinal: ann.ordinal,
        left: false,
    };
    room.apply(at(1000), detach).unwrap();
    rename(&room, (BEN, ben.cursor.ordinal), "Benno", at(10_950));
    drain(&room, &mut ben.cursor);
    // The grace was over at 11 000, and the window of the last event ends at 11 050.
    let again = admit(&room, ANN, "Anna", at(11_010));
    assert_ne!(again.ordinal, ann.ordinal);
    assert_eq!(drain(&room, &mut ben.cursor), 0);
    room.tick(at(11_050));
    assert_eq!(drain(&room, &mut ben.cursor), 1);
}
