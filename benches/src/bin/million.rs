//! One message to a million members over the memory transport:
//! `cargo run --release -p benches --bin million`.
//!
//! It prints for each size the time of all joins, the memory, and the time from a send to the last
//! delivery.

use std::time::{Duration, Instant};

use chat_core::{Chat, Limits};
use chat_memory::{ClientEnd, Received, pair};

fn main() {
    let sizes: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|n| n.parse().ok())
        .collect();
    let sizes = if sizes.is_empty() {
        vec![1_000, 10_000, 100_000, 1_000_000]
    } else {
        sizes
    };
    println!(
        "{:>9} {:>12} {:>14} {:>12} {:>16}",
        "members", "joins s", "bytes/member", "RSS MiB", "last delivery ms"
    );
    for members in sizes {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("the runtime can be built");
        runtime.block_on(room_of(members));
    }
}

async fn room_of(members: usize) {
    let limits = Limits::default().connections(members + 1);
    let chat = Chat::builder()
        .open_rooms(true)
        .limits(limits.without_rates())
        .build();
    let before = resident();
    let start = Instant::now();
    let mut drained = start;
    let mut clients = Vec::with_capacity(members);
    for n in 0..members {
        let (server, client) = pair(1 << 20);
        tokio::spawn(
            chat.admit(None)
                .expect("the server has free slots")
                .serve(server),
        );
        client.send(r#"{"type":"join","room":"all"}"#);
        clients.push(client);
        if n % 1000 == 999 {
            wait_for(&clients).await;
            drain(&clients[n - 999..]);
        }
        // The members are sent their number once a second, and read it as clients do.
        if drained.elapsed() >= Duration::from_secs(1) {
            drain(&clients);
            drained = Instant::now();
        }
    }
    // Wait until all have joined and have been sent their number.
    let room = chat.room("all").expect("the id is valid");
    while room.info().await.map_or(0, |info| info.count) < members {
        tokio::task::yield_now().await;
    }
    let joins = start.elapsed();
    let count_delay = Duration::from_millis(1500).max(Duration::from_micros(11) * members as u32);
    tokio::time::sleep(count_delay).await;
    drain(&clients);
    let used = resident() - before;
    let start = Instant::now();
    clients[0].send(r#"{"type":"send","room":"all","text":"Hello, everybody"}"#);
    // Members are woken in the order of joining, so the last one to join is served last. The others
    // are checked afterwards.
    wait_for(&clients).await;
    let last = start.elapsed();
    let lost = clients.iter().filter(|client| !has_message(client)).count();
    assert_eq!(lost, 0, "members have not received the message");
    println!(
        "{members:>9} {:>12.2} {:>14} {:>12} {:>16.1}",
        joins.as_secs_f64(),
        used / members,
        resident() >> 20,
        last.as_secs_f64() * 1e3,
    );
}

/// Lets the engine run until the last client has something to read.
async fn wait_for(clients: &[ClientEnd]) {
    let last = clients.last().expect("there is at least one client");
    while last.unread() == 0 {
        tokio::task::yield_now().await;
    }
}

fn drain(clients: &[ClientEnd]) {
    clients
        .iter()
        .for_each(|client| while client.try_recv().is_some() {});
}

fn has_message(client: &ClientEnd) -> bool {
    let mut received = std::iter::from_fn(|| client.try_recv());
    received.any(
        |item| matches!(item, Received::Text(json) if json.starts_with(br#"{"type":"message""#)),
    )
}

/// The resident memory of this process in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<usize>().ok())
        .unwrap_or(0)
        * 1024
}
