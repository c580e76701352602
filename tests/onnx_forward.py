#!/usr/bin/env python3
"""Runs a trained network as an ONNX model with onnxruntime, and compares it with what `pipe` predicted.

    pip install numpy safetensors onnx onnxruntime
    python3 tests/onnx_forward.py --pipe target/release/pipe --store .pipe

Needs a study with a stage `data`, a training and its evaluation: `retrain_best` and `test`, as in the default one, or those
named by `--model` and `--test` (`tests/families.ron` has one of each kind). Exit code 0: ONNX's own checker accepts the model,
and each test image's most likely class and its probability agree with predictions.csv to 1e-4; 1: they do not.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pipe", default="target/release/pipe")
    parser.add_argument("--store", default=".pipe")
    parser.add_argument("--study", help="default: the latest")
    parser.add_argument("--model", default="retrain_best")
    parser.add_argument("--test", default="test")
    parser.add_argument("--images", type=int, default=256)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp())

    def export(*arguments):
        study = ["--study", args.study] if args.study else []
        command = [args.pipe, "export", "--store", args.store, *study, *map(str, arguments)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)

    export(args.model, "--onnx", folder / "model.onnx")
    export("data/test.safetensors", folder / "test.safetensors")
    export(f"{args.test}/predictions.csv", folder / "predictions.csv")
    onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)
    images = load_file(folder / "test.safetensors")["images"][: args.images].astype(np.float32)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    outputs = {output.name: value for output, value in zip(session.get_outputs(), session.run(None, {"images": images}))}
    rows = list(csv.DictReader(open(folder / "predictions.csv")))[: len(images)]
    largest = 0.0
    for head in [name for name in outputs if not name.endswith("_logits")]:
        probabilities = outputs[head]
        assert np.abs(probabilities.sum(axis=1) - 1).max() < 1e-5, "probabilities sum to 1"
        predicted = np.array([int(row[f"{head}_prediction"]) for row in rows])
        expected = np.array([float(row[f"{head}_probability"]) for row in rows])
        found = probabilities[np.arange(len(rows)), predicted]
        largest = max(largest, np.abs(found - expected).max())
        # The classes may differ only if both are equally likely.
        other = probabilities.argmax(axis=1) != predicted
        assert (probabilities.max(axis=1)[other] - found[other] < 1e-4).all(), f"{head}: other classes"
    nodes = len(onnx.load(str(folder / "model.onnx")).graph.node)
    print(f"{len(rows)} images, {nodes} nodes: largest difference {largest:.2e}")
    return int(largest > 1e-4)


if __name__ == "__main__":
    sys.exit(main())
