//! Fan-out in memory: from one publish until the last member has received it. Messages are
//! *delivered* and not just *enqueued*: an iteration ends when the sink of every member has taken
//! every event.
//!
//! `log` is the whole engine: a JSON command is parsed, limits are checked, and the event is
//! numbered, encoded, logged and delivered to a transport that counts. The channels it is compared
//! with also have one task per member, and relay a shared text without any chat.

use std::sync::Arc;
use std::time::Duration;

use benches::{BenchRoom, Counter, TEXT, Transport, engine};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{broadcast, mpsc};

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the runtime can be built")
}

/// Members × burst × payload, compared with one queue per member and with a broadcast channel.
fn fan_out(c: &mut Criterion) {
    for payload in [16usize, 128, 4096] {
        for burst in [1usize, 16] {
            let mut group = c.benchmark_group(format!("fan_out/{payload}_bytes/burst_{burst}"));
            short(&mut group);
            for members in [10usize, 100, 1000] {
                let size = Size {
                    members,
                    burst,
                    text: "x".repeat(payload),
                };
                group.throughput(Throughput::Elements((members * burst) as u64));
                group.bench_function(BenchmarkId::new("log", members), |b| engine_log(b, &size));
                group.bench_function(BenchmarkId::new("mpsc", members), |b| queues(b, &size));
                group.bench_function(BenchmarkId::new("broadcast", members), |b| {
                    channel(b, &size);
                });
            }
            group.finish();
        }
    }
}

struct Size {
    members: usize,
    burst: usize,
    text: String,
}

/// The same with WebSocket framing, over a byte stream without a kernel.
fn websocket(c: &mut Criterion) {
    let mut group = c.benchmark_group("websocket");
    short(&mut group);
    for burst in [1usize, 64] {
        let runtime = runtime();
        let room = runtime.block_on(BenchRoom::start(
            &engine(),
            "bench",
            1000,
            Transport::WebSocket,
        ));
        group.throughput(Throughput::Elements((1000 * burst) as u64));
        group.bench_function(BenchmarkId::new("burst", burst), |b| {
            b.iter(|| runtime.block_on(room.publish(burst)));
        });
    }
    group.finish();
}

/// Many rooms of ten members in one engine, with one message in each.
fn rooms(c: &mut Criterion) {
    let mut group = c.benchmark_group("rooms_of_10");
    short(&mut group);
    for rooms in [10usize, 100, 1000] {
        group.throughput(Throughput::Elements((rooms * 10) as u64));
        let runtime = runtime();
        let all: Vec<BenchRoom> = runtime.block_on(async {
            let (chat, mut all) = (engine(), Vec::new());
            for n in 0..rooms {
                all.push(
                    BenchRoom::start(&chat, &format!("room-{n}"), 10, Transport::Direct).await,
                );
            }
            all
        });
        group.bench_function(BenchmarkId::new("log", rooms), |b| {
            b.iter(|| {
                runtime.block_on(async {
                    all.iter().for_each(|room| room.send(TEXT, 1));
                    for room in &all {
                        room.wait_for_all(1).await;
                    }
                });
            });
        });
    }
    group.finish();
}

/// 2048 messages while one of two members reads nothing. It then receives a gap for the 1024 that
/// are gone, and the other
/// 1024. The receiver of the broadcast channel learns how many it has missed.
fn lag(c: &mut Criterion) {
    const SENT: usize = 2048;
    let mut group = c.benchmark_group("lag");
    short(&mut group);
    group.throughput(Throughput::Elements((SENT + SENT / 2) as u64));
    let runtime = runtime();
    let room = runtime.block_on(BenchRoom::start(&engine(), "bench", 2, Transport::Direct));
    group.bench_function("log", |b| {
        b.iter(|| {
            runtime.block_on(async {
                room.stall(true);
                room.send(TEXT, SENT);
                room.wait_for(SENT).await;
                room.stall(false);
                room.wait_for(SENT / 2).await;
            });
        });
    });
    let (sender, mut fast) = broadcast::channel::<Arc<str>>(SENT / 2);
    let mut slow = sender.subscribe();
    group.bench_function("broadcast", |b| {
        b.iter(|| {
            runtime.block_on(async {
                for _ in 0..SENT {
                    sender.send(TEXT.into()).expect("there are receivers");
                    fast.recv().await.expect("the fast receiver is not behind");
                }
                slow.recv().await.expect_err("the slow receiver is behind");
                for _ in 0..SENT / 2 {
                    slow.recv().await.expect("the message is retained");
                }
            });
        });
    });
    group.finish();
}

/// One more member joins a room of this many members, and leaves.
fn joins(c: &mut Criterion) {
    let mut group = c.benchmark_group("join_and_leave");
    short(&mut group);
    for members in [10usize, 1000] {
        let runtime = runtime();
        let room = runtime.block_on(BenchRoom::start(
            &engine(),
            "bench",
            members,
            Transport::Direct,
        ));
        group.bench_function(BenchmarkId::new("log", members), |b| {
            b.iter(|| runtime.block_on(room.join_and_leave()));
        });
    }
    group.finish();
}

/// A command through the parser and its event through the encoder, in a room of one; also with
/// WebSocket framing, masked on the way in.
fn codec(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    short(&mut group);
    for payload in [16usize, 128, 4096] {
        let text = "x".repeat(payload);
        group.throughput(Throughput::Bytes(payload as u64));
        for transport in [Transport::Direct, Transport::WebSocket] {
            let runtime = runtime();
            let room = runtime.block_on(BenchRoom::start(&engine(), "bench", 1, transport));
            group.bench_function(BenchmarkId::new(format!("{transport:?}"), payload), |b| {
                b.iter(|| {
                    runtime.block_on(async {
                        room.send(&text, 1);
                        room.wait_for_all(1).await;
                    });
                });
            });
        }
    }
    group.finish();
}

/// Short enough, and enough to see a difference of a tenth on a shared machine.
fn short<M: criterion::measurement::Measurement>(group: &mut criterion::BenchmarkGroup<'_, M>) {
    group.sample_size(20);
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(1));
}

fn engine_log(b: &mut criterion::Bencher<'_>, size: &Size) {
    let runtime = runtime();
    let chat = engine();
    let room = runtime.block_on(BenchRoom::start(
        &chat,
        "bench",
        size.members,
        Transport::Direct,
    ));
    b.iter(|| {
        runtime.block_on(async {
            room.send(&size.text, size.burst);
            room.wait_for_all(size.burst).await;
        });
    });
}

fn queues(b: &mut criterion::Bencher<'_>, size: &Size) {
    let runtime = runtime();
    let counter = Counter::default();
    let senders: Vec<_> = (0..size.members)
        .map(|_| {
            let (sender, mut receiver) = mpsc::channel::<Arc<str>>(256);
            let counter = counter.clone();
            runtime.spawn(async move {
                while let Some(text) = receiver.recv().await {
                    counter.add(1, text.len());
                }
            });
            sender
        })
        .collect();
    b.iter(|| {
        runtime.block_on(async {
            for _ in 0..size.burst {
                let text: Arc<str> = size.text.as_str().into();
                for sender in &senders {
                    sender
                        .try_send(Arc::clone(&text))
                        .expect("the queue has room for a burst");
                }
            }
            counter.wait_for(size.members * size.burst).await;
        });
    });
}

fn channel(b: &mut criterion::Bencher<'_>, size: &Size) {
    let runtime = runtime();
    let counter = Counter::default();
    let (sender, _) = broadcast::channel::<Arc<str>>(256);
    for _ in 0..size.members {
        let (mut receiver, counter) = (sender.subscribe(), counter.clone());
        runtime.spawn(async move {
            while let Ok(text) = receiver.recv().await {
                counter.add(1, text.len());
            }
        });
    }
    b.iter(|| {
        runtime.block_on(async {
            for _ in 0..size.burst {
                sender
                    .send(size.text.as_str().into())
                    .expect("there are receivers");
            }
            counter.wait_for(size.members * size.burst).await;
        });
    });
}

criterion_group!(all, fan_out, websocket, rooms, lag, joins, codec);
criterion_main!(all);
