//! What members do all day: talk, look back, rename, leave and come back, and suffer the faults that are dealt to them.

use std::net::SocketAddr;
use std::time::Duration;

use chat_memory::Chance;
use rand::Rng;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::member::Member;

/// What befalls a member.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The connection is reset.
    Cut,
    /// It ends in the middle of a frame.
    HalfFrame,
    /// It is closed as it should be, and opened again.
    Close,
    /// The client does not read for so long.
    Deaf(Duration),
    /// For so long it takes one event at a time, and little waits in its socket.
    Slow(Duration),
    /// So many messages at once.
    Flood(u32),
    /// So many malformed commands in a row.
    Malformed(u32),
}

/// How somebody lives.
#[derive(Clone)]
pub(crate) struct Habits {
    pub(crate) addr: SocketAddr,
    /// The mean time between two messages; none is a listener, who does nothing else either.
    pub(crate) pause: Option<Duration>,
    /// True when it is time to go.
    pub(crate) over: watch::Receiver<bool>,
}

/// Lives until it is over, and then leaves.
pub(crate) async fn live(
    mut member: Member,
    habits: Habits,
    mut faults: mpsc::Receiver<Fault>,
    mut chance: Chance,
) -> Member {
    while !*habits.over.borrow() {
        if !member.enter(habits.addr).await {
            member.cut();
            sleep(Duration::from_millis(chance.random_range(50..500))).await;
            continue;
        }
        stay(&mut member, &habits, &mut faults, &mut chance).await;
    }
    go(&mut member, habits.addr).await;
    member
}

/// One connection, until it or the run is over.
async fn stay(
    member: &mut Member,
    habits: &Habits,
    faults: &mut mpsc::Receiver<Fault>,
    chance: &mut Chance,
) {
    let mut over = habits.over.clone();
    let speaks = habits.pause.is_some();
    let pause = habits.pause.unwrap_or(Duration::from_secs(1));
    let mut speak = Instant::now() + spread(pause, chance);
    let mut act = Instant::now() + spread(ACT, chance);
    let (mut deaf, mut slow) = (Instant::now(), None);
    while member.is_connected() {
        let hears = Instant::now() >= deaf;
        tokio::select! {
            heard = member.hear(), if hears => {
                if !heard {
                    return;
                }
                if slow.is_some_and(|until| Instant::now() < until) {
                    deaf = Instant::now() + SLOW;
                } else if slow.take().is_some() {
                    member.narrow(WIDE);
                }
            }
            () = sleep_until(deaf), if !hears => {}
            () = sleep_until(speak), if speaks => {
                speak += spread(pause, chance);
                if member.is_in() {
                    let long = chance.random_bool(0.05);
                    let length = if long { 2000..4000 } else { 20..200 };
                    member.say(chance.random_range(length));
                }
            }
            () = sleep_until(act), if speaks => {
                act = Instant::now() + spread(ACT, chance);
                do_something(member, chance);
            }
            Some(fault) = faults.recv() => match fault {
                Fault::Cut => return member.cut(),
                Fault::HalfFrame => {
                    // The head of a frame of 100 bytes, and 20 of them.
                    member.bytes(&[&[0x81, 0x80 | 100][..], &[0; 24]].concat());
                    return member.cut();
                }
                Fault::Close => member.close(),
                Fault::Deaf(time) => deaf = Instant::now() + time,
                Fault::Slow(time) => {
                    slow = Some(Instant::now() + time);
                    member.narrow(NARROW);
                }
                Fault::Flood(count) => (0..count).for_each(|_| member.say(10)),
                Fault::Malformed(count) => {
                    (0..count).for_each(|n| member.text(MALFORMED[n as usize % MALFORMED.len()]));
                    member.command(json!({"type": "ping"}));
                }
            },
            _ = over.changed() => return,
        }
    }
}

/// One of the things that are done in a room besides talking.
fn do_something(member: &mut Member, chance: &mut Chance) {
    if !member.is_in() {
        return member.join();
    }
    if member.is_unsure() {
        return member.say_again();
    }
    let room = member.room().to_owned();
    let command = match chance.random_range(0..10) {
        0 | 1 => json!({"type": "history", "room": room, "limit": chance.random_range(1..100)}),
        2 => json!({"type": "members", "room": room}),
        3 | 4 => {
            let nickname = format!("guest {}", chance.random_range(0..1_000_000));
            json!({"type": "nickname", "room": room, "nickname": nickname})
        }
        5 | 6 => json!({"type": "typing", "room": room, "active": chance.random::<bool>()}),
        7 => json!({"type": "rooms", "limit": 10}),
        8 => json!({"type": "ping"}),
        _ => return member.leave(),
    };
    member.command(command);
}

/// Comes back if it is away, says what is unsure, hears all replies, leaves and closes.
async fn go(member: &mut Member, addr: SocketAddr) {
    let going = async {
        loop {
            if !member.is_connected() {
                member.enter(addr).await;
            } else if !member.is_in() {
                member.join();
            }
            while !member.is_answered() && member.hear().await {}
            if member.is_in() && !member.is_unsure() {
                break;
            }
            // Refused for coming too fast, mostly.
            sleep(Duration::from_millis(500)).await;
            if member.is_in() {
                member.say_again();
            }
        }
        // The others are saying their last, too.
        let _ = timeout(LAST_WORDS, async { while member.hear().await {} }).await;
        member.leave();
        while member.is_in() && member.hear().await {}
        member.close();
        while member.hear().await {}
    };
    if timeout(PATIENCE, going).await.is_err() {
        member.complain("cannot leave");
    }
    member.cut();
}

/// A time around a mean, as those between unrelated happenings are.
fn spread(mean: Duration, chance: &mut Chance) -> Duration {
    let share: f64 = chance.random();
    mean.mul_f64(-(1.0 - share).ln())
}

const MALFORMED: [&str; 6] = [
    "{",
    "[]",
    r#"{"type":"join"}"#,
    r#"{"type":"send","room":"x","text":5}"#,
    r#"{"type":"fly"}"#,
    r#"{"id":-1,"type":"ping"}"#,
];
/// The mean time between two acts that are no messages.
const ACT: Duration = Duration::from_secs(4);
/// From one event to the next.
const SLOW: Duration = Duration::from_millis(50);
const NARROW: usize = 4096;
const WIDE: usize = 1 << 20;
const LAST_WORDS: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);
