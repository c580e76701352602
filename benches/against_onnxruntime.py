"""Times inference of onnxruntime on exported networks, in turn with `pipe` on the same networks.

    pip install onnxruntime
    python3 benches/against_onnxruntime.py [--cases best/1 best/250] [--rounds 5]

`cargo bench --bench network` writes each network as an ONNX model and times it. Each round measures both, every measurement in a process
of its own, and the order turns from round to round. Both have the same number of threads. A ratio above 1 means that `pipe` is faster.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CASES = [f"{network}/{batch}" for network in ("mlp", "cnn", "best") for batch in (1, 250)]


def onnxruntime_speed(file, batch, threads, seconds):
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    shape = [batch, *session.get_inputs()[0].shape[1:]]
    images = numpy.random.default_rng(1).random(shape, dtype="float32") * 255
    # The logits only: like `pipe`'s network, without the probabilities.
    outputs = [output.name for output in session.get_outputs() if output.name.endswith("_logits")]
    times, end = [], None
    while end is None or len(times) < 7 or time.perf_counter() < end:
        start = time.perf_counter()
        session.run(outputs, {"images": images})
        # The first run does not count.
        if end is None:
            end = time.perf_counter() + seconds
        else:
            times.append(time.perf_counter() - start)
    return batch / statistics.median(times)


def measured(command, threads):
    environment = dict(os.environ, RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    command = [str(part) for part in command]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])["images_per_second"]


def middle(values, form):
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main():
    if sys.argv[1:2] == ["--one"]:
        file, batch, threads, seconds = sys.argv[2:]
        found = onnxruntime_speed(file, int(batch), int(threads), float(seconds))
        return print(json.dumps({"images_per_second": found}))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=CASES, choices=CASES)
    parser.add_argument("--rounds", type=int, default=5, help="how many pairs to measure (5)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2, help="how long a measurement of onnxruntime lasts (2)")
    parser.add_argument("--pipe", type=Path, help="a compiled benches/network.rs, instead of `cargo bench`")
    arguments = parser.parse_args()
    ours = ["cargo", "bench", "--quiet", "--bench", "network", "--"]
    if arguments.pipe:
        ours = [arguments.pipe.resolve()]
    folder = Path(tempfile.mkdtemp())
    print("| network/batch | pipe, images/s | onnxruntime, images/s | ratio |\n|---|---|---|---|")
    for case in arguments.cases:
        network, batch = case.split("/")
        file = folder / f"{network}.onnx"
        commands = {
            "pipe": [*ours, network, batch, file],
            "onnxruntime": [sys.executable, __file__, "--one", file, batch, arguments.threads, arguments.seconds],
        }
        measured(commands["pipe"], arguments.threads)
        pairs = []
        for turn in range(arguments.rounds):
            order = list(commands)[:: 1 if turn % 2 else -1]
            pairs.append({name: measured(commands[name], arguments.threads) for name in order})
        columns = [middle([pair[name] for pair in pairs], ".0f") for name in commands]
        ratio = middle([pair["pipe"] / pair["onnxruntime"] for pair in pairs], ".2f")
        print(f"| {case} | {' | '.join(columns)} | {ratio} |", flush=True)


main()
