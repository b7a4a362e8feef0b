//! A million rooms that come and go over the memory transport, in virtual time: `cargo run --release -p benches --bin rooms`.
//!
//! Every room has a visitor of its own, who makes it, joins and speaks. A quarter of them leaves, a quarter is cut, a quarter stays
//! to the end, and a quarter makes a room without an end, which is forgotten once it is empty. The rooms of one wave are
//! over before the next begins, so what stays behind is what an engine keeps of rooms that have ended. The allocator keeps
//! the pages of a wave for the next one: a leak shows in what RSS grows by from line to line.

use std::io;
use std::time::Duration;

use chat_core::{Chat, Limits};
use chat_memory::{ClientEnd, Received, pair};
use clap::Parser;
use load::proc::{Cpu, rss_kb};

/// Makes rooms and lets them end, and shows the memory that they leave behind and the CPU time that each took.
#[derive(Parser)]
#[command(max_term_width = 100)]
struct Args {
    /// Rooms in all.
    #[arg(long, default_value_t = 1_000_000)]
    rooms: usize,

    /// Rooms alive at once.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    wave: u32,

    /// Ids of ended rooms that the engine remembers (`Limits::ended_rooms`).
    #[arg(long, default_value_t = Limits::default().ended_rooms)]
    ended_rooms: usize,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    runtime.block_on(run(&args))
}

async fn run(args: &Args) -> io::Result<()> {
    let wave = args.wave as usize;
    let limits = Limits {
        rooms: wave,
        connections: wave,
        ended_rooms: args.ended_rooms,
        ended_for: Duration::from_secs(365 * 24 * 3600),
        room_idle: TTL,
        ..Limits::default()
    };
    let life = TTL + limits.room_idle + limits.grace + Duration::from_secs(1);
    let chat = Chat::builder().limits(limits).build();
    println!(
        "{:>9} {:>16} {:>16} {:>14} {:>12}",
        "rooms", "RSS alive KiB", "RSS after KiB", "bytes/room", "CPU µs/room"
    );
    println!("{:>9} {:>16} {:>16}", 0, "–", rss_kb("self")?);
    let (mut made, mut peak, mut told) = (0, 0, None);
    let mut since = Cpu::of("self")?;
    while made < args.rooms {
        let count = wave.min(args.rooms - made);
        let visitors = live(&chat, made, count).await;
        peak = rss_kb("self")?.max(peak);
        // A quarter has gone already, and all that stayed are told of the end.
        tokio::time::sleep(life).await;
        assert!(visitors.iter().all(is_told));
        drop(visitors);
        tokio::time::sleep(life).await;
        assert_eq!((chat.stats().rooms, chat.stats().connections), (0, 0));

        let before = made;
        made += count;
        if made / STEP > before / STEP || made == args.rooms {
            let (rss, cpu) = (rss_kb("self")?, Cpu::of("self")?);
            let (then, at) = told.unwrap_or((rss, 0));
            println!(
                "{made:>9} {peak:>16} {rss:>16} {:>14.1} {:>12.2}",
                (rss as f64 - then as f64) * 1024.0 / (made - at) as f64,
                cpu.since(&since).as_secs_f64() * 1e6 / (made - at) as f64,
            );
            (told, since, peak) = (Some((rss, made)), cpu, 0);
        }
    }
    println!("ids remembered: {} of {made}", remembered(&chat, made));
    Ok(())
}

/// Makes rooms, and gives those of their visitors who stay.
async fn live(chat: &Chat, first: usize, count: usize) -> Vec<ClientEnd> {
    let mut stay = Vec::new();
    for n in first..first + count {
        let (server, client) = pair(1 << 20);
        tokio::spawn(chat.admit(None).expect("a place").serve(server));
        let endless = n % 4 == 3;
        let ttl = if endless { 0 } else { TTL.as_millis() };
        client.send(format!(
            r#"{{"type":"create","room":"r{n}","ttl_ms":{ttl},"listed":true,"title":"Room {n}"}}"#
        ));
        client.send(format!(r#"{{"type":"join","room":"r{n}"}}"#));
        client.send(format!(
            r#"{{"type":"send","room":"r{n}","text":"Is anybody here?","key":"k"}}"#
        ));
        wait_for(&client, br#"{"type":"message""#).await;
        if n % 4 == 0 || endless {
            client.send(format!(r#"{{"type":"leave","room":"r{n}"}}"#));
            wait_for(&client, br#"{"type":"left""#).await;
        }
        match n % 4 {
            1 => client.cut(),
            2 => stay.push(client),
            _ => client.close(),
        }
    }
    assert_eq!(chat.stats().rooms, count);
    stay
}

fn is_told(client: &ClientEnd) -> bool {
    has(client, br#"{"type":"removed""#)
}

/// Lets the engine run until an event comes that begins so.
async fn wait_for(client: &ClientEnd, event: &[u8]) {
    while !has(client, event) {
        tokio::task::yield_now().await;
    }
}

/// Whether an event that begins so is among those that have come, which are taken.
fn has(client: &ClientEnd, event: &[u8]) -> bool {
    let mut taken = std::iter::from_fn(|| client.try_recv());
    taken.any(|received| matches!(received, Received::Text(json) if json.starts_with(event)))
}

/// How many of the rooms are known to have ended.
fn remembered(chat: &Chat, made: usize) -> usize {
    let expired = |n: &usize| {
        let info = chat.room(&format!("r{n}")).info();
        info.is_err_and(|error| error.code == chat_core::Code::RoomExpired)
    };
    (0..made).filter(expired).count()
}

/// How long a room of a wave lives, and one without an end when it is empty.
const TTL: Duration = Duration::from_secs(60);
/// Rooms from one line to the next.
const STEP: usize = 100_000;
