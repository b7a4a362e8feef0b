//! Worlds in which an input byte makes every decision. A fuzzer looks for a world that breaks a
//! guarantee. See `docs/FUZZING.md`.

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
