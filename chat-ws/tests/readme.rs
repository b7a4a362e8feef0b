//! The example in the README is the one that is built.

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```rust,no_run\n").expect("an example");
    let (shown, _) = rest.split_once("```").expect("its end");
    let built = include_str!("../../examples/axum/src/main.rs");
    let built: String = built
        .lines()
        .skip_while(|line| line.starts_with("//!") || line.is_empty())
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(shown, built);
}
