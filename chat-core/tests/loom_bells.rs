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
    /// Append, then ring; follow, then look.
    Ours,
    /// Ring, then append.
    RingsFirst,
    /// Look, then follow.
    LooksFirst,
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

/// Each publisher appends one event and rings. The reader, whom the bells know as another task's, reads whenever it is woken.
/// When all is said it has read it all, or is woken and does so now.
fn all_is_read(publishers: u64, preemptions: Option<usize>, order: Order) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let bells = Arc::new(Bells::new());
        let slot = bells.add(Waker::noop().clone());
        let head = Arc::new(AtomicU64::new(0));
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
        let task = Arc::new(Task {
            woken: AtomicBool::new(true),
        });
        let (mut read, mut moved) = (0, false);
        let mut poll_while_woken = || {
            while task.woken.swap(false, Ordering::AcqRel) {
                if order == Order::LooksFirst {
                    read = head.load(Ordering::Acquire);
                }
                if !moved {
                    bells.follow(slot, Waker::from(Arc::clone(&task)));
                    moved = true;
                }
                if order != Order::LooksFirst {
                    read = head.load(Ordering::Acquire);
                }
            }
            read
        };
        poll_while_woken();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(poll_while_woken(), publishers, "sleeps for ever");
    });
}

#[test]
fn one_publisher_always_wakes_the_reader() {
    all_is_read(1, None, Order::Ours);
}

/// Three threads have too many interleavings to run them all: those with up to three preemptions are run, of which one
/// is enough to lose a wake below.
#[test]
fn two_publishers_always_wake_the_reader() {
    all_is_read(2, Some(3), Order::Ours);
}

#[test]
#[should_panic(expected = "sleeps for ever")]
fn ringing_before_appending_loses_wakes() {
    all_is_read(1, Some(1), Order::RingsFirst);
}

#[test]
#[should_panic(expected = "sleeps for ever")]
fn looking_before_following_loses_wakes() {
    all_is_read(1, Some(1), Order::LooksFirst);
}
