#!/usr/bin/env python3
"""Recomputes the forward pass of a trained network with NumPy, and compares it with what `pipe` predicted.

    pip install numpy safetensors
    python3 tests/numpy_forward.py --pipe target/release/pipe --store .pipe

Needs a study with stages `data`, `retrain_best` and `test` (and `flip`, if it augments), such as the default one. Exports
their outputs, runs the network's layers as architecture.json lists them, and compares each image's most likely class and its
probability with predictions.csv. Exit code 0: they agree to 1e-4; 1: they do not.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


def same_padding(side, size, stride):
    """TensorFlow's "same": ceil(side / stride) outputs. An odd pixel of padding goes to the end."""
    out = -(-side // stride)
    total = max((out - 1) * stride + size - side, 0)
    return total // 2, total - total // 2


def windows(x, size, stride, padding, fill):
    """[n, c, h, w] -> [n, c, h', w', size, size]"""
    pads = [(0, 0), (0, 0)]
    for side in x.shape[2:]:
        pads.append(same_padding(side, size, stride) if padding == "same" else (0, 0))
    x = np.pad(x, pads, constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
    return view[:, :, ::stride, ::stride]


def layer(spec, inputs, weights):
    kind, name, x = spec["kind"], spec["name"], inputs[0]
    if kind == "conv":
        view = windows(x, spec["kernel"], spec["stride"], spec["padding"], 0.0)
        y = np.einsum("nchwij,fcij->nfhw", view, weights[f"{name}.kernel"], optimize=True)
        return y + weights[f"{name}.bias"][:, None, None]
    if kind == "batch_norm":
        gamma, beta, mean, variance = (
            weights[f"{name}.{part}"].reshape((-1,) + (1,) * (x.ndim - 2))
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return gamma * (x - mean) / np.sqrt(variance + spec["epsilon"]) + beta
    if kind == "activation":
        negative = np.expm1(np.minimum(x, 0))
        return {
            "relu": np.maximum(x, 0),
            "elu": np.where(x > 0, x, negative),
            "selu": 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * negative),
        }[spec["function"]]
    if kind == "max_pool":
        return windows(x, spec["size"], spec["stride"], spec["padding"], -np.inf).max(axis=(4, 5))
    if kind == "avg_pool":
        # Padding is ignored.
        return np.nanmean(windows(x, spec["size"], spec["stride"], spec["padding"], np.nan), axis=(4, 5))
    if kind == "dropout":
        return x
    if kind == "add":
        return sum(inputs[1:], x)
    if kind == "concat":
        return np.concatenate(inputs, axis=1)
    if kind == "flatten":
        return x.reshape(len(x), -1)
    if kind == "dense":
        return x @ weights[f"{name}.kernel"] + weights[f"{name}.bias"]
    sys.exit(f"layer {name}: unknown kind {kind}")


def forward(architecture, weights, images):
    outputs = {"input": images}
    for spec in architecture["layers"]:
        outputs[spec["name"]] = layer(spec, [outputs[name] for name in spec["inputs"]], weights)
        assert list(outputs[spec["name"]].shape[1:]) == spec["shape"], spec["name"]
    return {head["name"]: softmax(outputs[head["name"]]) for head in architecture["heads"]}


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pipe", default="pipe", help="the program")
    parser.add_argument("--store", default=".pipe", help="the store")
    parser.add_argument("--images", type=int, default=256, help="how many images to compare")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        def export(what):
            dest = Path(folder) / what.replace("/", "-")
            subprocess.run([args.pipe, "--quiet", "export", "--store", args.store, what, dest], check=True, capture_output=True)
            return dest

        architecture = json.loads(export("retrain_best/architecture.json").read_text())
        weights = load_file(export("retrain_best/best/weights.safetensors"))
        policy = json.loads(export("flip/policy.json").read_text())["normalise"]
        images = load_file(export("data/test.safetensors"))["images"][: args.images]
        with open(export("test/predictions.csv")) as file:
            rows = list(csv.DictReader(file))[: args.images]

    scale, offset = (np.array(policy[part], np.float32)[:, None, None] for part in ("scale", "offset"))
    weights = {name: values.astype(np.float64) for name, values in weights.items()}
    found = forward(architecture, weights, (images * scale + offset).astype(np.float64))
    worst = 0.0
    for head, probabilities in found.items():
        for row, p in zip(rows, probabilities):
            worst = max(worst, abs(p[int(row[f"{head}_prediction"])] - float(row[f"{head}_probability"])))
            worst = max(worst, p.max() - p[int(row[f"{head}_prediction"])])
    print(f"{len(rows)} images, {len(architecture['layers'])} layers: largest difference {worst:.2e}")
    return 0 if worst <= 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
