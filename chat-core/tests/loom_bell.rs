//! Every interleaving of publishers with a reader that falls asleep, under the C11 memory model:
//! `LOOM_MAX_PREEMPTIONS=3 RUSTFLAGS="--cfg loom" cargo test -p chat-core --test loom_bell --release`.

#![cfg(loom)]

use std::future::poll_fn;
use std::task::{Poll, Waker};

use chat_core::loom_parts::Bell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::thread;

/// What a bell does for the model: so that a wrong one can take its place.
trait Ring: Send + Sync + 'static {
    fn follow(&self, task: &Waker);
    fn ring(&self) -> Option<Waker>;
    fn arm(&self);
}

impl Ring for Bell {
    fn follow(&self, task: &Waker) {
        Bell::follow(self, task);
    }

    fn ring(&self) -> Option<Waker> {
        Bell::ring(self)
    }

    fn arm(&self) {
        Bell::arm(self);
    }
}

/// The tempting variant: it looks before it swaps, to spare the swap where the bell has been rung already.
struct Peeking {
    rung: AtomicBool,
    task: loom::sync::Mutex<Option<Waker>>,
}

impl Ring for Peeking {
    fn follow(&self, task: &Waker) {
        *self.task.lock().unwrap() = Some(task.clone());
    }

    fn ring(&self) -> Option<Waker> {
        if self.rung.load(Ordering::Acquire) || self.rung.swap(true, Ordering::AcqRel) {
            return None;
        }
        self.task.lock().unwrap().clone()
    }

    fn arm(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }
}

/// Each publisher appends one event, then rings. The reader reads, arms, looks again, sleeps, until it has read them all.
/// A lost wake is a reader that sleeps for ever, which loom finds.
fn all_is_read<B: Ring>(publishers: u64, preemptions: Option<usize>, make: fn() -> B) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let bell = Arc::new(make());
        let head = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..publishers)
            .map(|_| {
                let (bell, head) = (Arc::clone(&bell), Arc::clone(&head));
                thread::spawn(move || {
                    head.fetch_add(1, Ordering::Release);
                    if let Some(waker) = bell.ring() {
                        waker.wake();
                    }
                })
            })
            .collect();
        let mut read = 0;
        // The first poll is another task's, as when a connection moves before its task is woken.
        let mut moves = true;
        loom::future::block_on(poll_fn(|cx| {
            loop {
                let task = if moves { Waker::noop() } else { cx.waker() };
                bell.follow(task);
                read = head.load(Ordering::Acquire);
                if read == publishers {
                    return Poll::Ready(());
                }
                bell.arm();
                if std::mem::take(&mut moves) {
                    continue;
                }
                if head.load(Ordering::Acquire) == read {
                    return Poll::Pending;
                }
            }
        }));
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn one_publisher_always_wakes_the_reader() {
    all_is_read(1, None, Bell::new);
}

/// Three threads have too many interleavings to run them all: those with up to three preemptions are run, of which one
/// is enough to lose a wake below.
#[test]
fn two_publishers_always_wake_the_reader() {
    all_is_read(2, Some(3), Bell::new);
}

#[test]
#[should_panic(expected = "deadlock")]
fn looking_before_the_swap_loses_wakes() {
    all_is_read(1, Some(1), || Peeking {
        rung: AtomicBool::new(true),
        task: loom::sync::Mutex::new(None),
    });
}
