//! A million rooms that are created and end over the memory transport, in virtual time:
//! `cargo run --release -p benches --bin rooms`.
//!
//! Every room has one visitor, who creates it, joins and sends a message. A quarter of them leave,
//! a quarter are disconnected, a quarter stay to the end, and a quarter create a room without an
//! end, which is forgotten once it is empty. The rooms of one wave have ended before the next wave
//! begins, so the remaining memory is what the engine keeps of ended rooms. The allocator keeps the
//! pages of a wave for the next one: a leak shows as growth of RSS from line to line.

use std::io;
use std::time::Duration;

use chat_core::{Chat, Limits};
use chat_memory::{ClientEnd, Received, block_on_paused, pair};
use clap::Parser;
use load::proc::{Cpu, rss_kb};

/// Creates rooms and lets them end, and shows the memory that remains and the CPU time that each
/// took.
#[derive(Parser)]
#[command(max_term_width = 100)]
struct Args {
    /// Rooms in total.
    #[arg(long, default_value_t = 1_000_000)]
    rooms: usize,

    /// Rooms that exist at the same time.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    wave: u32,

    /// Ids of ended rooms that the engine remembers (`Limits::ended_rooms`).
    #[arg(long, default_value_t = Limits::default().ended_rooms)]
    ended_rooms: usize,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    block_on_paused(run(&args))
}

async fn run(args: &Args) -> io::Result<()> {
    let wave = args.wave as usize;
    let limits = Limits::default()
        .rooms(wave)
        .connections(wave)
        .ended_rooms(args.ended_rooms)
        .ended_for(Duration::from_secs(365 * 24 * 3600))
        .room_idle(TTL);
    let life = TTL + limits.room_idle + limits.grace + Duration::from_secs(1);
    let chat = Chat::builder().limits(limits).build();
    println!(
        "{:>9} {:>16} {:>16} {:>14} {:>12}",
        "rooms", "RSS alive KiB", "RSS after KiB", "bytes/room", "CPU µs/room"
    );
    println!("{:>9} {:>16} {:>16}", 0, "–", rss_kb("self")?);
    let (mut created, mut peak, mut last_line) = (0, 0, None);
    let mut since = Cpu::of("self")?;
    while created < args.rooms {
        let count = wave.min(args.rooms - created);
        let visitors = create_rooms(&chat, created, count).await;
        peak = rss_kb("self")?.max(peak);
        // A quarter of the visitors have left already, and those who stayed are notified of the
        // end.
        tokio::time::sleep(life).await;
        assert!(visitors.iter().all(is_removed));
        drop(visitors);
        tokio::time::sleep(life).await;
        assert_eq!((chat.stats().rooms, chat.stats().connections), (0, 0));

        let before = created;
        created += count;
        if created / STEP > before / STEP || created == args.rooms {
            let (rss, cpu) = (rss_kb("self")?, Cpu::of("self")?);
            let (then, at) = last_line.unwrap_or((rss, 0));
            println!(
                "{created:>9} {peak:>16} {rss:>16} {:>14.1} {:>12.2}",
                (rss as f64 - then as f64) * 1024.0 / (created - at) as f64,
                cpu.since(&since).as_secs_f64() * 1e6 / (created - at) as f64,
            );
            (last_line, since, peak) = (Some((rss, created)), cpu, 0);
        }
    }
    println!(
        "ids remembered: {} of {created}",
        remembered(&chat, created).await
    );
    Ok(())
}

/// Creates rooms, and returns those of their visitors who stay.
async fn create_rooms(chat: &Chat, first: usize, count: usize) -> Vec<ClientEnd> {
    let mut staying = Vec::new();
    for n in first..first + count {
        let (server, client) = pair(1 << 20);
        tokio::spawn(
            chat.admit(None)
                .expect("the server has free slots")
                .serve(server),
        );
        let is_endless = n % 4 == 3;
        let ttl = if is_endless { 0 } else { TTL.as_millis() };
        client.send(format!(
            r#"{{"type":"create","room":"r{n}","ttl_ms":{ttl},"listed":true,"title":"Room {n}"}}"#
        ));
        client.send(format!(r#"{{"type":"join","room":"r{n}"}}"#));
        client.send(format!(
            r#"{{"type":"send","room":"r{n}","text":"Is anybody here?","key":"k"}}"#
        ));
        wait_for(&client, br#"{"type":"message""#).await;
        if n % 4 == 0 || is_endless {
            client.send(format!(r#"{{"type":"leave","room":"r{n}"}}"#));
            wait_for(&client, br#"{"type":"left""#).await;
        }
        match n % 4 {
            1 => client.abort(),
            2 => staying.push(client),
            _ => client.close(),
        }
    }
    assert_eq!(chat.stats().rooms, count);
    staying
}

fn is_removed(client: &ClientEnd) -> bool {
    has(client, br#"{"type":"removed""#)
}

/// Lets the engine run until an event arrives that starts with `prefix`.
async fn wait_for(client: &ClientEnd, prefix: &[u8]) {
    while !has(client, prefix) {
        tokio::task::yield_now().await;
    }
}

/// Whether one of the events that have arrived starts with `prefix`. Takes these events.
fn has(client: &ClientEnd, prefix: &[u8]) -> bool {
    let mut received = std::iter::from_fn(|| client.try_recv());
    received.any(|item| matches!(item, Received::Text(json) if json.starts_with(prefix)))
}

/// The number of rooms of which the engine remembers that they have ended.
async fn remembered(chat: &Chat, created: usize) -> usize {
    let mut count = 0;
    for n in 0..created {
        let room = chat.room(&format!("r{n}")).expect("the id is valid");
        let expired = |error: chat_core::Error| error.code == chat_core::Code::RoomExpired;
        count += usize::from(room.info().await.is_err_and(expired));
    }
    count
}

/// The lifetime of a room of a wave, and the time after which an empty room without an end is
/// forgotten.
const TTL: Duration = Duration::from_secs(60);
/// The number of rooms from one line to the next.
const STEP: usize = 100_000;
