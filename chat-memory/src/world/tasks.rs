//! A scheduler for connections: chance decides which of the woken tasks runs next.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use rand::Rng;

use crate::chance::Chance;

/// The tasks that serve connections.
#[derive(Default)]
pub(super) struct Tasks(Vec<Option<Task>>);

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Tasks {
    /// Adds a task and returns its number, which may be that of a task that has ended. The task
    /// counts as woken.
    pub(super) fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> usize {
        let task = Task {
            future: Box::pin(future),
            woken: Arc::new(Woken(AtomicBool::new(true))),
        };
        match self.0.iter().position(Option::is_none) {
            Some(free) => {
                self.0[free] = Some(task);
                free
            }
            None => {
                self.0.push(Some(task));
                self.0.len() - 1
            }
        }
    }

    /// Polls a random one of the woken tasks. False if there is none.
    pub(super) fn poll_random(&mut self, rng: &mut Chance) -> bool {
        let woken: Vec<usize> = (0..self.0.len()).filter(|n| self.is_woken(*n)).collect();
        if woken.is_empty() {
            return false;
        }
        self.poll(woken[rng.random_range(0..woken.len())]);
        true
    }

    /// Polls one task until nothing has woken it. False if nothing had woken it before.
    pub(super) fn poll_until_idle(&mut self, n: usize) -> bool {
        let woken = self.is_woken(n);
        while self.is_woken(n) {
            self.poll(n);
        }
        woken
    }

    /// How many tasks have not ended.
    pub(super) fn len(&self) -> usize {
        self.0.iter().flatten().count()
    }

    fn is_woken(&self, n: usize) -> bool {
        let task = self.0[n].as_ref();
        task.is_some_and(|task| task.woken.0.load(Ordering::Acquire))
    }

    fn poll(&mut self, n: usize) {
        let Some(task) = &mut self.0[n] else {
            return;
        };
        task.woken.0.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&task.woken));
        if let Poll::Ready(()) = task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.0[n] = None;
        }
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("len", &self.len()).finish()
    }
}
