//! Fan-out in memory: from one publish until the last member has it. *Delivered*, not *enqueued*: an iteration ends when every
//! member's sink has taken every event.
//!
//! Ours is the whole engine: a JSON command is parsed, limits are asked, the event is numbered, encoded, logged, delivered to a
//! transport that counts. The comparators have one task per member too, and relay a shared text with no chat at all.

use std::sync::Arc;
use std::time::Duration;

use benches::{Counter, Ours, TEXT, Transport, engine};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{broadcast, mpsc};

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Members × burst × payload, beside one queue per member and a broadcast channel.
fn fan_out(c: &mut Criterion) {
    for payload in [16usize, 128, 4096] {
        for burst in [1usize, 16] {
            let mut group = c.benchmark_group(format!("fan_out/{payload}_bytes/burst_{burst}"));
            brief(&mut group);
            for members in [10usize, 100, 1000] {
                let size = Size {
                    members,
                    burst,
                    text: "x".repeat(payload),
                };
                group.throughput(Throughput::Elements((members * burst) as u64));
                group.bench_function(BenchmarkId::new("log", members), |b| log(b, &size));
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
    brief(&mut group);
    for burst in [1usize, 64] {
        let runtime = runtime();
        let ours = runtime.block_on(Ours::start(&engine(), "bench", 1000, Transport::WebSocket));
        group.throughput(Throughput::Elements((1000 * burst) as u64));
        group.bench_function(BenchmarkId::new("burst", burst), |b| {
            b.iter(|| runtime.block_on(ours.publish(burst)));
        });
    }
    group.finish();
}

/// Many rooms of ten in one engine, one message in each.
fn rooms(c: &mut Criterion) {
    let mut group = c.benchmark_group("rooms_of_10");
    brief(&mut group);
    for rooms in [10usize, 100, 1000] {
        group.throughput(Throughput::Elements((rooms * 10) as u64));
        let runtime = runtime();
        let all: Vec<Ours> = runtime.block_on(async {
            let (chat, mut all) = (engine(), Vec::new());
            for n in 0..rooms {
                all.push(Ours::start(&chat, &format!("room-{n}"), 10, Transport::Direct).await);
            }
            all
        });
        group.bench_function(BenchmarkId::new("log", rooms), |b| {
            b.iter(|| {
                runtime.block_on(async {
                    all.iter().for_each(|ours| ours.say(TEXT, 1));
                    for ours in &all {
                        ours.delivered(1).await;
                    }
                });
            });
        });
    }
    group.finish();
}

/// 2048 messages while one of two members takes nothing; then it is told of 1024 that are gone and gets the other 1024. The
/// broadcast channel's receiver is told how many it has missed.
fn lag(c: &mut Criterion) {
    const SAID: usize = 2048;
    let mut group = c.benchmark_group("lag");
    brief(&mut group);
    group.throughput(Throughput::Elements((SAID + SAID / 2) as u64));
    let runtime = runtime();
    let ours = runtime.block_on(Ours::start(&engine(), "bench", 2, Transport::Direct));
    group.bench_function("log", |b| {
        b.iter(|| {
            runtime.block_on(async {
                ours.stall(true);
                ours.say(TEXT, SAID);
                ours.reach(SAID).await;
                ours.stall(false);
                ours.reach(SAID / 2).await;
            });
        });
    });
    let (sender, mut fast) = broadcast::channel::<Arc<str>>(SAID / 2);
    let mut slow = sender.subscribe();
    group.bench_function("broadcast", |b| {
        b.iter(|| {
            runtime.block_on(async {
                for _ in 0..SAID {
                    sender.send(TEXT.into()).expect("receivers");
                    fast.recv().await.expect("not behind");
                }
                slow.recv().await.expect_err("behind");
                for _ in 0..SAID / 2 {
                    slow.recv().await.expect("retained");
                }
            });
        });
    });
    group.finish();
}

/// One more member comes to a room of so many, and leaves.
fn joins(c: &mut Criterion) {
    let mut group = c.benchmark_group("join_and_leave");
    brief(&mut group);
    for members in [10usize, 1000] {
        let runtime = runtime();
        let ours = runtime.block_on(Ours::start(&engine(), "bench", members, Transport::Direct));
        group.bench_function(BenchmarkId::new("log", members), |b| {
            b.iter(|| runtime.block_on(ours.come_and_go()));
        });
    }
    group.finish();
}

/// A command's way through the parser, and its event's through the encoder: a room of one. Beside it with WebSocket framing,
/// masked on the way in.
fn codec(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    brief(&mut group);
    for payload in [16usize, 128, 4096] {
        let text = "x".repeat(payload);
        group.throughput(Throughput::Bytes(payload as u64));
        for transport in [Transport::Direct, Transport::WebSocket] {
            let runtime = runtime();
            let ours = runtime.block_on(Ours::start(&engine(), "bench", 1, transport));
            group.bench_function(BenchmarkId::new(format!("{transport:?}"), payload), |b| {
                b.iter(|| {
                    runtime.block_on(async {
                        ours.say(&text, 1);
                        ours.delivered(1).await;
                    });
                });
            });
        }
    }
    group.finish();
}

/// Enough to see a tenth on a machine that others use too.
fn brief<M: criterion::measurement::Measurement>(group: &mut criterion::BenchmarkGroup<'_, M>) {
    group.sample_size(20);
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(1));
}

fn log(b: &mut criterion::Bencher<'_>, size: &Size) {
    let runtime = runtime();
    let chat = engine();
    let ours = runtime.block_on(Ours::start(&chat, "bench", size.members, Transport::Direct));
    b.iter(|| {
        runtime.block_on(async {
            ours.say(&size.text, size.burst);
            ours.delivered(size.burst).await;
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
                        .expect("room for a burst");
                }
            }
            counter.reach(size.members * size.burst).await;
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
                sender.send(size.text.as_str().into()).expect("receivers");
            }
            counter.reach(size.members * size.burst).await;
        });
    });
}

criterion_group!(all, fan_out, websocket, rooms, lag, joins, codec);
criterion_main!(all);
