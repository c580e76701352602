//! `decode` of an archive with the binary layout and the number of images of CIFAR-100.

use std::collections::BTreeMap;

use divan::{Bencher, counter::ItemsCount};
use pipe_stages::{
    decode::Decode,
    fetch::{ARCHIVE, FetchAction},
    stage::{ComputeDevice, Context, Inputs, QuietHost, Stage},
};
use pipe_store::MemoryObjects;
use serde_json::json;

const TRAIN: u32 = 50_000;
const TEST: u32 = 10_000;

#[divan::bench(sample_count = 5)]
fn cifar100(bencher: Bencher) {
    let context = Context { seed: 0, device: ComputeDevice::CPU, host: &QuietHost };
    let no_slots = BTreeMap::new();
    let mut objects = MemoryObjects::default();
    let embedded = json!({ "Embedded": { "name": "shapes100", "train": TRAIN, "test": TEST } });
    let fetch: FetchAction = serde_json::from_value(embedded).expect("it is a fetch action");
    let fetched = fetch.run(&Inputs::new(&no_slots, &objects), &context).expect("generated data need no network");
    let archive = fetched.into_files().remove(ARCHIVE).expect("it is the output");
    let slots = BTreeMap::from([(ARCHIVE.to_owned(), objects.put(archive))]);
    let decode = json!({ "format": "Cifar100", "validation": { "Stratified": 0.1 } });
    let decode: Decode = serde_json::from_value(decode).expect("it is a decoding");
    let run = || decode.run(&Inputs::new(&slots, &objects), &context).expect("the archive is whole");
    bencher.counter(ItemsCount::new(TRAIN + TEST)).bench_local(run);
}
