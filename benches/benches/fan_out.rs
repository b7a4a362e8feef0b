//! Fan-out in memory: from one publish until the last member has it. *Delivered*, not *enqueued*: an iteration ends when every
//! member's sink has taken every event.
//!
//! Ours is the whole engine: a JSON command is parsed, limits are asked, the event is numbered, encoded, logged, delivered to a
//! transport that counts. The comparators have one task per member too, and relay a shared text with no chat at all.

use std::sync::Arc;

use benches::{Counter, Ours};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{broadcast, mpsc};

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn fan_out(c: &mut Criterion) {
    for burst in [1usize, 16] {
        let mut group = c.benchmark_group(format!("fan_out/burst_{burst}"));
        group.sample_size(20);
        for members in [10usize, 100, 1000] {
            group.throughput(Throughput::Elements((members * burst) as u64));
            group.bench_function(BenchmarkId::new("log", members), |b| log(b, members, burst));
            group.bench_function(BenchmarkId::new("mpsc", members), |b| {
                queues(b, members, burst);
            });
            group.bench_function(BenchmarkId::new("broadcast", members), |b| {
                channel(b, members, burst);
            });
        }
        group.finish();
    }
}

/// Many rooms of ten, one message in each.
fn rooms(c: &mut Criterion) {
    let mut group = c.benchmark_group("rooms_of_10");
    group.sample_size(20);
    for rooms in [10usize, 100] {
        group.throughput(Throughput::Elements((rooms * 10) as u64));
        let runtime = runtime();
        let all: Vec<Ours> = runtime.block_on(async {
            let mut all = Vec::new();
            for _ in 0..rooms {
                all.push(Ours::start(10).await);
            }
            all
        });
        group.bench_function(BenchmarkId::new("log", rooms), |b| {
            b.iter(|| {
                runtime.block_on(async {
                    all.iter().for_each(|ours| ours.say(1));
                    for ours in &all {
                        ours.delivered(1).await;
                    }
                });
            });
        });
    }
    group.finish();
}

/// One more member comes to a room of so many, and leaves.
fn joins(c: &mut Criterion) {
    let mut group = c.benchmark_group("join_and_leave");
    for members in [10usize, 1000] {
        let runtime = runtime();
        let ours = runtime.block_on(Ours::start(members));
        group.bench_function(BenchmarkId::new("log", members), |b| {
            b.iter(|| runtime.block_on(ours.come_and_go()));
        });
    }
    group.finish();
}

fn log(b: &mut criterion::Bencher<'_>, members: usize, burst: usize) {
    let runtime = runtime();
    let ours = runtime.block_on(Ours::start(members));
    b.iter(|| runtime.block_on(ours.publish(burst)));
}

fn queues(b: &mut criterion::Bencher<'_>, members: usize, burst: usize) {
    let runtime = runtime();
    let counter = Counter::default();
    let senders: Vec<_> = (0..members)
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
            for _ in 0..burst {
                let text: Arc<str> = benches::TEXT.into();
                for sender in &senders {
                    sender
                        .try_send(Arc::clone(&text))
                        .expect("room for a burst");
                }
            }
            counter.reach(members * burst).await;
        });
    });
}

fn channel(b: &mut criterion::Bencher<'_>, members: usize, burst: usize) {
    let runtime = runtime();
    let counter = Counter::default();
    let (sender, _) = broadcast::channel::<Arc<str>>(256);
    for _ in 0..members {
        let (mut receiver, counter) = (sender.subscribe(), counter.clone());
        runtime.spawn(async move {
            while let Ok(text) = receiver.recv().await {
                counter.add(1, text.len());
            }
        });
    }
    b.iter(|| {
        runtime.block_on(async {
            for _ in 0..burst {
                sender.send(benches::TEXT.into()).expect("receivers");
            }
            counter.reach(members * burst).await;
        });
    });
}

criterion_group!(all, fan_out, rooms, joins);
criterion_main!(all);
