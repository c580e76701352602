//! Benchmarks of the store, the engine, the views, decoding and augmentation: `cargo bench`, or a part such as `cargo bench -- store`.
//! BENCHMARKS.md has results.

#![expect(clippy::disallowed_methods, reason = "a benchmark makes and damages files of its own")]

mod augment;
mod decode;
mod engine;
mod fabricated;
mod philox;
mod pictures;
mod store;
mod studies;
mod views;

fn main() {
    divan::main();
}
