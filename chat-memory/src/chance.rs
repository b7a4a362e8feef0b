//! What decides in a world: a seed, or choices that are written down.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A source of chance: written choices first, one byte each, then a generator.
///
/// Whoever changes one byte changes one decision, so that a fuzzer can find its way; what comes after the last choice is the
/// same every time.
#[derive(Clone, Debug)]
pub struct Chance {
    choices: Vec<u8>,
    made: usize,
    rng: ChaCha8Rng,
}

impl Chance {
    /// Nothing but a generator.
    pub fn of_seed(seed: u64) -> Self {
        Self {
            choices: Vec::new(),
            made: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Decides as written.
    pub fn of_choices(choices: &[u8]) -> Self {
        Self {
            choices: choices.to_vec(),
            ..Self::of_seed(0)
        }
    }

    /// Whether all that was written is decided.
    pub fn is_spent(&self) -> bool {
        self.made >= self.choices.len()
    }

    fn next_choice(&mut self) -> Option<u8> {
        let choice = self.choices.get(self.made).copied();
        self.made += 1;
        choice
    }
}

/// A choice is the highest byte of a number, as it is the one that decides in a range.
impl RngCore for Chance {
    fn next_u32(&mut self) -> u32 {
        match self.next_choice() {
            Some(choice) => u32::from(choice) << 24,
            None => self.rng.next_u32(),
        }
    }

    fn next_u64(&mut self) -> u64 {
        match self.next_choice() {
            Some(choice) => u64::from(choice) << 56,
            None => self.rng.next_u64(),
        }
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = match self.next_choice() {
                Some(choice) => choice,
                None => self.rng.next_u32() as u8,
            };
        }
    }
}

/// Byte strings of up to `longest` bytes, the same in every run: what a fuzz target is fed where no engine chooses.
pub fn inputs(count: u64, longest: usize) -> impl Iterator<Item = Vec<u8>> {
    use rand::Rng;

    (0..count).map(move |n| {
        let mut rng = ChaCha8Rng::seed_from_u64(n);
        let mut input = vec![0; rng.random_range(0..=longest)];
        rng.fill_bytes(&mut input);
        input
    })
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use rand::seq::IndexedRandom;

    use super::*;

    #[test]
    fn one_byte_is_one_decision() {
        let mut chance = Chance::of_choices(&[0, 255, 128, 0, 255, 64]);
        assert_eq!(chance.random_range(0..100), 0);
        assert_eq!(chance.random_range(0..100), 99);
        assert_eq!(["a", "b", "c", "d"].choose(&mut chance), Some(&"c"));
        assert!(chance.random_bool(0.01));
        assert!(!chance.random_bool(0.99));
        assert!(!chance.is_spent());
        assert_eq!(chance.random_range(0..4u64), 1);
        assert!(chance.is_spent());
    }

    #[test]
    fn without_choices_it_is_the_generator() {
        let mut chance = Chance::of_seed(7);
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for _ in 0..100 {
            assert_eq!(chance.random_range(0..1000), rng.random_range(0..1000));
            assert_eq!(chance.random_bool(0.3), rng.random_bool(0.3));
        }
    }
}
