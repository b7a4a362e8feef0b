//! What members do: they send, read history, rename themselves, leave and rejoin, and suffer the
//! injected faults.

use std::net::SocketAddr;
use std::time::Duration;

use chat_memory::Chance;
use rand::Rng;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::member::Member;

/// A fault of one member.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The connection is reset.
    Reset,
    /// The connection ends in the middle of a frame.
    HalfFrame,
    /// The connection is closed properly, and opened again.
    Close,
    /// The client reads nothing for this time.
    StopReading(Duration),
    /// The client reads one event at a time for this time, with a small receive buffer.
    Slow(Duration),
    /// This many messages at once.
    Flood(u32),
    /// This many malformed commands in a row.
    Malformed(u32),
}

/// How a member behaves.
#[derive(Clone)]
pub(crate) struct Behaviour {
    pub(crate) addr: SocketAddr,
    /// The mean time between two messages. A member without it only receives.
    pub(crate) pause: Option<Duration>,
    /// Becomes true when the member must leave.
    pub(crate) finish: watch::Receiver<bool>,
}

/// Keeps a member connected until it must leave, and then leaves.
pub(crate) async fn run_member(
    mut member: Member,
    behaviour: Behaviour,
    mut faults: mpsc::Receiver<Fault>,
    mut chance: Chance,
) -> Member {
    while !*behaviour.finish.borrow() {
        if !member.connect(behaviour.addr).await {
            member.reset();
            sleep(Duration::from_millis(chance.random_range(50..500))).await;
            continue;
        }
        run_connection(&mut member, &behaviour, &mut faults, &mut chance).await;
    }
    leave_for_good(&mut member, behaviour.addr).await;
    member
}

/// Runs one connection until it or the soak ends.
async fn run_connection(
    member: &mut Member,
    behaviour: &Behaviour,
    faults: &mut mpsc::Receiver<Fault>,
    chance: &mut Chance,
) {
    let mut finish = behaviour.finish.clone();
    let sends = behaviour.pause.is_some();
    let pause = behaviour.pause.unwrap_or(Duration::from_secs(1));
    let mut next_send = Instant::now() + spread(pause, chance);
    let mut next_action = Instant::now() + spread(ACTION_INTERVAL, chance);
    let (mut resume_reading, mut slow_until) = (Instant::now(), None);
    while member.is_connected() {
        let reads = Instant::now() >= resume_reading;
        tokio::select! {
            is_open = member.receive(), if reads => {
                if !is_open {
                    return;
                }
                if slow_until.is_some_and(|until| Instant::now() < until) {
                    resume_reading = Instant::now() + SLOW_READ_PAUSE;
                } else if slow_until.take().is_some() {
                    member.set_receive_buffer(LARGE_BUFFER);
                }
            }
            () = sleep_until(resume_reading), if !reads => {}
            () = sleep_until(next_send), if sends => {
                next_send += spread(pause, chance);
                if member.is_joined() {
                    let long = chance.random_bool(0.05);
                    let length = if long { 2000..4000 } else { 20..200 };
                    member.send_new(chance.random_range(length));
                }
            }
            () = sleep_until(next_action), if sends => {
                next_action = Instant::now() + spread(ACTION_INTERVAL, chance);
                act(member, chance);
            }
            Some(fault) = faults.recv() => match fault {
                Fault::Reset => return member.reset(),
                Fault::HalfFrame => {
                    // The head of a frame of 100 bytes, and 20 of these bytes.
                    member.bytes(&[&[0x81, 0x80 | 100][..], &[0; 24]].concat());
                    return member.reset();
                }
                Fault::Close => member.close(),
                Fault::StopReading(time) => resume_reading = Instant::now() + time,
                Fault::Slow(time) => {
                    slow_until = Some(Instant::now() + time);
                    member.set_receive_buffer(SMALL_BUFFER);
                }
                Fault::Flood(count) => (0..count).for_each(|_| member.send_new(10)),
                Fault::Malformed(count) => {
                    (0..count).for_each(|n| member.text(MALFORMED[n as usize % MALFORMED.len()]));
                    member.command(json!({"type": "ping"}));
                }
            },
            _ = finish.changed() => return,
        }
    }
}

/// Performs one of the actions in a room other than sending.
fn act(member: &mut Member, chance: &mut Chance) {
    if !member.is_joined() {
        return member.join();
    }
    if member.has_unacknowledged() {
        return member.resend();
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

/// Reconnects if necessary, resends what is unacknowledged, waits for all replies, leaves and
/// closes.
async fn leave_for_good(member: &mut Member, addr: SocketAddr) {
    let leaving = async {
        loop {
            if !member.is_connected() {
                member.connect(addr).await;
            } else if !member.is_joined() {
                member.join();
            }
            while !member.has_all_replies() && member.receive().await {}
            if member.is_joined() && !member.has_unacknowledged() {
                break;
            }
            // The join was refused, mostly with `rate_limited`.
            sleep(Duration::from_millis(500)).await;
            if member.is_joined() {
                member.resend();
            }
        }
        // The other members are sending their last messages as well.
        let _ = timeout(LAST_MESSAGES, async { while member.receive().await {} }).await;
        member.leave();
        while member.is_joined() && member.receive().await {}
        member.close();
        while member.receive().await {}
    };
    if timeout(TIMEOUT, leaving).await.is_err() {
        member.record_violation("the member cannot leave");
    }
    member.reset();
}

/// A random time with this mean, distributed like the times between independent events.
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
/// The mean time between two actions other than messages.
const ACTION_INTERVAL: Duration = Duration::from_secs(4);
/// The pause of a slow reader from one event to the next.
const SLOW_READ_PAUSE: Duration = Duration::from_millis(50);
const SMALL_BUFFER: usize = 4096;
const LARGE_BUFFER: usize = 1 << 20;
const LAST_MESSAGES: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(60);
