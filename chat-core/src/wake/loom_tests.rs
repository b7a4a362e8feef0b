//! Every interleaving of publishers with a reader that has moved to another task and falls asleep,
//! under the C11 memory model:
//! `LOOM_MAX_PREEMPTIONS=3 RUSTFLAGS="--cfg loom" cargo test --release -p chat-core --lib loom`.

use std::sync::Arc;
use std::task::{Wake, Waker};

use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::thread;

use super::WakerSet;

/// What publishers and readers do, and in which order.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// Append, then notify. Set the waker, look, arm, look again, sleep.
    Correct,
    /// Notify, then append.
    NotifyFirst,
    /// Look, then set the waker.
    LookFirst,
    /// Look, arm, sleep.
    LookOnce,
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

/// A connection that has just moved here from another task, which the set still knows.
struct Reader {
    wakers: Arc<WakerSet>,
    head: Arc<AtomicU64>,
    slot: u32,
    task: Arc<Task>,
    moved: bool,
    read: u64,
}

impl Reader {
    fn new(wakers: &Arc<WakerSet>, head: &Arc<AtomicU64>) -> Self {
        Self {
            wakers: Arc::clone(wakers),
            head: Arc::clone(head),
            slot: wakers.insert(Waker::noop().clone()),
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

    fn set_waker(&mut self) {
        if !std::mem::replace(&mut self.moved, true) {
            self.wakers
                .set_waker(self.slot, Waker::from(Arc::clone(&self.task)));
        }
    }

    fn poll(&mut self, order: Order) {
        if order == Order::LookFirst {
            self.look();
            self.wakers.arm();
            self.set_waker();
            return;
        }
        self.set_waker();
        self.look();
        loop {
            self.wakers.arm();
            if order == Order::LookOnce || !self.look() {
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

/// Each publisher appends one event and notifies. Each reader reads whenever it is woken. In the
/// end every reader has read everything, or has been woken and does so now.
fn check_everything_is_read(
    publishers: u64,
    readers: usize,
    preemptions: Option<usize>,
    order: Order,
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let wakers = Arc::new(WakerSet::new());
        let head = Arc::new(AtomicU64::new(0));
        let mut ann = Reader::new(&wakers, &head);
        let others: Vec<_> = (1..readers)
            .map(|_| {
                let mut reader = Reader::new(&wakers, &head);
                thread::spawn(move || {
                    reader.poll_while_woken(order);
                    reader
                })
            })
            .collect();
        let threads: Vec<_> = (0..publishers)
            .map(|_| {
                let (wakers, head) = (Arc::clone(&wakers), Arc::clone(&head));
                thread::spawn(move || {
                    if order == Order::NotifyFirst {
                        wakers.notify_all();
                        head.fetch_add(1, Ordering::Release);
                    } else {
                        head.fetch_add(1, Ordering::Release);
                        wakers.notify_all();
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
            assert_eq!(reader.read, publishers, "sleeps forever");
        }
    });
}

#[test]
fn one_publisher_always_wakes_the_reader() {
    check_everything_is_read(1, 1, None, Order::Correct);
}

/// Three threads have too many interleavings to run all of them. Those with up to three preemptions
/// are run; one is enough to lose a wake in the wrong orders below.
#[test]
fn two_publishers_always_wake_the_reader() {
    check_everything_is_read(2, 1, Some(3), Order::Correct);
}

#[test]
fn both_readers_are_always_woken() {
    check_everything_is_read(1, 2, Some(3), Order::Correct);
}

#[test]
#[should_panic(expected = "sleeps forever")]
fn notifying_before_appending_loses_wakes() {
    check_everything_is_read(1, 1, Some(1), Order::NotifyFirst);
}

#[test]
#[should_panic(expected = "sleeps forever")]
fn looking_before_setting_the_waker_loses_wakes() {
    check_everything_is_read(1, 1, Some(1), Order::LookFirst);
}

#[test]
#[should_panic(expected = "sleeps forever")]
fn sleeping_without_a_second_look_loses_wakes() {
    check_everything_is_read(1, 1, Some(1), Order::LookOnce);
}
