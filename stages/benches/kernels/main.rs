//! Benchmarks of what stages compute: `cargo bench --workspace`, or a part of them, as
//! `cargo bench --workspace -- philox`. What they gave is in BENCHMARKS.md.

mod philox;

fn main() {
    divan::main();
}
