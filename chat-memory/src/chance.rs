//! Where the decisions of a test come from: a seed, or recorded choices.

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A random number generator that first yields recorded choices, one byte each, and then numbers of
/// a seeded generator.
///
/// Changing one byte changes one decision, which lets a fuzzer search step by step. The numbers
/// after the last choice are always the same.
///
/// ```
/// use chat_memory::Chance;
/// use rand::Rng;
///
/// let mut chance = Chance::from_choices(&[0, 255]);
/// assert_eq!(chance.random_range(0..100), 0);
/// assert_eq!(chance.random_range(0..100), 99);
/// assert!(chance.is_exhausted());
/// ```
#[derive(Clone, Debug)]
pub struct Chance {
    choices: Vec<u8>,
    /// How many numbers were drawn, choices and others.
    drawn: usize,
    rng: ChaCha8Rng,
}

impl Chance {
    /// A generator without recorded choices.
    pub fn from_seed(seed: u64) -> Self {
        Self {
            choices: Vec::new(),
            drawn: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// A generator that yields these choices first.
    pub fn from_choices(choices: &[u8]) -> Self {
        Self {
            choices: choices.to_vec(),
            ..Self::from_seed(0)
        }
    }

    /// Whether all recorded choices are used up.
    pub fn is_exhausted(&self) -> bool {
        self.drawn >= self.choices.len()
    }

    fn next_choice(&mut self) -> Option<u8> {
        let choice = self.choices.get(self.drawn).copied();
        self.drawn += 1;
        choice
    }
}

/// A choice becomes the highest byte of a number, because that byte decides within a range.
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

/// `count` byte strings of 0 to `max_len` bytes, the same in every run: the input of a fuzz target
/// when it runs as an ordinary test.
pub fn inputs(count: u64, max_len: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(move |n| {
        let mut rng = ChaCha8Rng::seed_from_u64(n);
        let mut input = vec![0; rng.random_range(0..=max_len)];
        rng.fill_bytes(&mut input);
        input
    })
}

#[cfg(test)]
mod tests {
    use rand::seq::IndexedRandom;

    use super::*;

    #[test]
    fn one_byte_is_one_decision() {
        let mut chance = Chance::from_choices(&[0, 255, 128, 0, 255, 64]);
        assert_eq!(chance.random_range(0..100), 0);
        assert_eq!(chance.random_range(0..100), 99);
        assert_eq!(["a", "b", "c", "d"].choose(&mut chance), Some(&"c"));
        assert!(chance.random_bool(0.01));
        assert!(!chance.random_bool(0.99));
        assert!(!chance.is_exhausted());
        assert_eq!(chance.random_range(0..4u64), 1);
        assert!(chance.is_exhausted());
    }

    #[test]
    fn without_choices_it_equals_the_seeded_generator() {
        let mut chance = Chance::from_seed(7);
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for _ in 0..100 {
            assert_eq!(chance.random_range(0..1000), rng.random_range(0..1000));
            assert_eq!(chance.random_bool(0.3), rng.random_bool(0.3));
        }
    }
}
