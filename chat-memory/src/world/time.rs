//! Runs connections and lets time pass.

use std::time::Duration;

use rand::Rng;

use super::state::State;

/// Runs connections until nothing wakes any of them.
pub(super) async fn settle(state: &mut State) {
    loop {
        let mut any = false;
        while state.tasks.poll_random(&mut state.rng) {
            any = true;
        }
        // Other tasks of the engine, such as that of the deadlines, belong to the runtime.
        tokio::task::yield_now().await;
        if !any {
            return;
        }
    }
}

/// Lets time pass in random steps of up to 300 ms, and runs connections after each.
pub(super) async fn advance(state: &mut State, ms: u64) {
    let mut left = ms;
    while left > 0 {
        let step = state.rng.random_range(1..=300).min(left);
        tokio::time::sleep(Duration::from_millis(step)).await;
        left -= step;
        settle(state).await;
    }
}

pub(super) async fn advance_by_one_of(state: &mut State, times: [u64; 4]) {
    let ms = times[state.rng.random_range(0..4)];
    advance(state, ms).await;
}

/// Runs one connection until nothing wakes it, including a password hash.
///
/// A hash is computed on another thread. Nothing else runs in the meantime, so that its end has a
/// fixed place in the run; the paused clock stands still until then.
pub(super) async fn settle_one(state: &mut State, task: usize) {
    while state.tasks.poll_until_idle(task) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
