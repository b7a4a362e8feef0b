//! The last few of many events of which only the latest matters.

use std::collections::VecDeque;

/// Numbered items, of which the newest `MAX` are kept. A reader that is further behind would not be
/// helped by more.
pub(super) struct Recent<T, const MAX: usize>(VecDeque<(u64, T)>);

impl<T, const MAX: usize> Recent<T, MAX> {
    pub(super) fn push(&mut self, number: u64, item: T) {
        if self.0.len() == MAX {
            self.0.pop_front();
        }
        self.0.push_back((number, item));
    }

    /// The kept items after `number`, oldest first.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = &T> {
        let from = self.0.partition_point(|(n, _)| *n <= number);
        self.0.range(from..).map(|(_, item)| item)
    }
}

impl<T, const MAX: usize> Default for Recent<T, MAX> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}
