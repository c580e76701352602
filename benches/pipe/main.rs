//! Benchmarks of the store, the engine, the views and decoding: `cargo bench`, or a part of them, as
//! `cargo bench -- store`. What they gave is in BENCHMARKS.md.

mod decode;
mod engine;
mod fabricated;
mod philox;
mod store;
mod studies;
mod views;

fn main() {
    divan::main();
}
