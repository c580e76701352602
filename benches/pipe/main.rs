//! Benchmarks of the store, the engine, the views and decoding: `cargo bench`, or a part such as `cargo bench -- store`.
//! BENCHMARKS.md has results.

#![expect(clippy::disallowed_methods, reason = "a benchmark makes and damages files of its own")]

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
