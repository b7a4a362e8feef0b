//! Every interleaving of publishers with a reader that comes from another task and falls asleep, under the C11 memory model:
//! `LOOM_MAX_PREEMPTIONS=3 RUSTFLAGS="--cfg loom" cargo test -p chat-core --test loom_bells --release`.

#![cfg(loom)]

use std::sync::Arc;
use std::task::{Wake, Waker};

use chat_core::loom_parts::Bells;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::thread;

/// What publisher and reader do, and in which order.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// Append, then ring. Follow, look, rest, look again, sleep.
    Ours,
    /// Ring, then append.
    RingsFirst,
    /// Look, then follow.
    LooksFirst,
    /// Look, rest, sleep.
    LooksOnce,
}

/// A task as its executor sees it: to be polled, or asleep.
struct Task {
    woken: AtomicBool,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.woken.swap(true, Ordering::AcqRel);
    }
}

/// A connection whose bells know another task of it: it came from there.
struct Reader {
    bells: Arc<Bells>,
    head: Arc<AtomicU64>,
    slot: u32,
    task: Arc<Task>,
    moved: bool,
    read: u64,
}

impl Reader {
    fn new(bells: &Arc<Bells>, head: &Arc<AtomicU64>) -> Self {
        Self {
            bells: Arc::clone(bells),
            head: Arc::clone(head),
            slot: bells.add(Waker::noop().clone()),
            task: Arc::new(Task {
                woken: AtomicBool::new(true),
            }),
            moved: false,
            read: 0,
        }
    }

    fn look(&mut self) -> bool {
        let head = self.head.load(Ordering::Acquire);
        std::mem::replace(&mut self.read, head) != head
    }

    fn follow(&mut self) {
        if !std::mem::replace(&mut self.moved, true) {
            self.bells
                .follow(self.slot, Waker::from(Arc::clone(&self.task)));
        }
    }

    fn poll(&mut self, order: Order) {
        if order == Order::LooksFirst {
            self.look();
            self.bells.rest();
            self.follow();
            return;
        }
        self.follow();
        self.look();
        loop {
            self.bells.rest();
            if order == Order::LooksOnce || !self.look() {
                return;
            }
        }
    }

    fn poll_while_woken(&mut self, order: Order) {
        while self.task.woken.swap(false, Ordering::AcqRel) {
            self.poll(order);
        }
    }
}

/// Each publisher appends one event and rings. Each reader reads whenever it is woken. When all is said it has read it all, or
/// is woken and does so now.
fn all_is_read(publishers: u64, readers: usize, preemptions: Option<usize>, order: Order) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let bells = Arc::new(Bells::new());
        let head = Arc::new(AtomicU64::new(0));
        let mut ann = Reader::new(&bells, &head);
        let others: Vec<_> = (1..readers)
            .map(|_| {
                let mut reader = Reader::new(&bells, &head);
                thread::spawn(move || {
                    reader.poll_while_woken(order);
                    reader
                })
            })
            .collect();
        let threads: Vec<_> = (0..publishers)
            .map(|_| {
                let (bells, head) = (Arc::clone(&bells), Arc::clone(&head));
                thread::spawn(move || {
                    if order == Order::RingsFirst {
                        bells.ring();
                        head.fetch_add(1, Ordering::Release);
                    } else {
                        head.fetch_add(1, Ordering::Release);
                        bells.ring();
                    }
                })
            })
            .collect();
        ann.poll_while_woken(order);
        let mut readers: Vec<_> = others.into_iter().map(|t| t.join().unwrap()).collect();
        readers.push(ann);
        for thread in threads {
            thread.join().unwrap();
        }
        for reader in &mut readers {
            reader.poll_while_woken(order);
            assert_eq!(reader.read, publishers, "sleeps for ever");
        }
    });
}

#[test]
fn one_publisher_always_wakes_the_reader() {
    all_is_read(1, 1, None, Order::Ours);
}

/// Three threads have too many interleavings to run them all: those with up to three preemptions are run, of which one
/// is enough to lose a wake below.
#[test]
fn two_publishers_always_wake_the_reader() {
    all_is_read(2, 1, Some(3), Order::Ours);
}

#[test]
fn both_readers_are_always_woken() {
    all_is_read(1, 2, Some(3), Order::Ours);
}

#[test]
#[should_panic(expected = "sleeps for ever")]
fn ringing_before_appending_loses_wakes() {
    all_is_read(1, 1, Some(1), Order::RingsFirst);
}

#[test]
#[should_panic(expected = "sleeps for ever")]
fn looking_before_following_loses_wakes() {
    all_is_read(1, 1, Some(1), Order::LooksFirst);
}

#[test]
#[should_panic(expected = "sleeps for ever")]
fn sleeping_without_another_look_loses_wakes() {
    all_is_read(1, 1, Some(1), Order::LooksOnce);
}
