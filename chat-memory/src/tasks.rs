//! A scheduler of its own for connections: which of those that are awake goes next is decided by chance.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use rand::Rng;

use crate::chance::Chance;

/// Connections being served.
#[derive(Default)]
pub(crate) struct Tasks(Vec<Option<Task>>);

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    awake: Arc<Awake>,
}

#[derive(Default)]
struct Awake(AtomicBool);

impl Wake for Awake {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Tasks {
    /// Adds a task, awake. Its number may be one that was used before.
    pub(crate) fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> usize {
        let task = Task {
            future: Box::pin(future),
            awake: Arc::new(Awake(AtomicBool::new(true))),
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

    /// Polls one that is awake, picked by chance. False if all sleep.
    pub(crate) fn turn(&mut self, rng: &mut Chance) -> bool {
        let awake: Vec<usize> = (0..self.0.len()).filter(|n| self.is_awake(*n)).collect();
        if awake.is_empty() {
            return false;
        }
        self.poll(awake[rng.random_range(0..awake.len())]);
        true
    }

    /// Polls this one until it sleeps. False if it slept already.
    pub(crate) fn exhaust(&mut self, n: usize) -> bool {
        let awake = self.is_awake(n);
        while self.is_awake(n) {
            self.poll(n);
        }
        awake
    }

    /// How many live.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().flatten().count()
    }

    fn is_awake(&self, n: usize) -> bool {
        let task = self.0[n].as_ref();
        task.is_some_and(|task| task.awake.0.load(Ordering::Acquire))
    }

    fn poll(&mut self, n: usize) {
        let Some(task) = &mut self.0[n] else {
            return;
        };
        task.awake.0.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&task.awake));
        if let Poll::Ready(()) = task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.0[n] = None;
        }
    }
}
