//! Worlds whose every decision is an input byte: a fuzzer looks for one in which a promise is broken.
//! See `docs/FUZZING.md`.

use chat_memory::{World, inputs};

#[test]
fn operations() {
    bolero::check!()
        .with_iterations(0)
        .for_each(|choices: &[u8]| {
            World::replay(choices);
        });
    for choices in inputs(150, 1500) {
        World::replay(&choices);
    }
}
