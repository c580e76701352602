#!/usr/bin/env python3
"""Loads a trained network into PyTorch by the names of its weights, and compares it with what `pipe` predicted.

    pip install numpy safetensors torch
    python3 tests/pytorch_forward.py --pipe target/release/pipe --store .pipe

Needs a study with a stage `data` (and `flip`, if it augments), a training and its evaluation: `retrain_best` and `test`, as in
the default one, or those named by `--model` and `--test` (`tests/families.ron` has one of each kind). Builds a module for each
layer of architecture.json, fills it from weights.safetensors by `state_dict` below, and compares each image's most likely class
and its probability with predictions.csv. Exit code 0: they agree to 1e-4; 1: they do not.

The mapping is the same for every network. The `<layer>.kernel` of a convolution is `weight`, unchanged; that of a dense layer is
`weight`, transposed. `<layer>.bias` is `bias`. `gamma`, `beta`, `moving_mean` and `moving_variance` of batch normalisation are
`weight`, `bias`, `running_mean` and `running_var`, and its momentum is 1 minus Keras's. "Same" padding is as in TensorFlow, with an
odd pixel at the end, so it needs its own padding layer.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

PARTS = {
    "kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias",
    "moving_mean": "running_mean", "moving_variance": "running_var",
}


def state_dict(weights):
    """pipe's arrays by name -> PyTorch's."""
    mapped = {}
    for name, array in weights.items():
        layer, part = name.rsplit(".", 1)
        mapped[f"{layer}.{PARTS[part]}"] = array.T.contiguous() if part == "kernel" and array.ndim == 2 else array
    return mapped


class Network(nn.ModuleDict):
    def __init__(self, architecture):
        modules, shapes = {}, {"input": architecture["input"]}
        for spec in architecture["layers"]:
            channels = shapes[spec["inputs"][0]][0]
            shapes[spec["name"]] = spec["shape"]
            if spec["kind"] == "conv":
                modules[spec["name"]] = nn.Conv2d(channels, spec["filters"], spec["kernel"], stride=spec["stride"])
            elif spec["kind"] == "dense":
                modules[spec["name"]] = nn.Linear(channels, spec["units"])
            elif spec["kind"] == "batch_norm":
                norm = nn.BatchNorm2d if len(spec["shape"]) == 3 else nn.BatchNorm1d
                modules[spec["name"]] = norm(channels, eps=spec["epsilon"], momentum=1 - spec["momentum"])
        super().__init__(modules)
        self.architecture = architecture

    def forward(self, images):
        values = {"input": images}
        for spec in self.architecture["layers"]:
            inputs = [values[name] for name in spec["inputs"]]
            values[spec["name"]] = self.layer(spec, inputs)
        return {head["name"]: values[head["name"]] for head in self.architecture["heads"]}

    def layer(self, spec, inputs):
        kind, x = spec["kind"], inputs[0]
        if kind == "conv":
            return self[spec["name"]](padded(x, spec, spec["kernel"], 0.0))
        if kind in ("dense", "batch_norm"):
            return self[spec["name"]](x)
        if kind == "activation":
            return getattr(F, spec["function"])(x)
        if kind == "max_pool":
            return F.max_pool2d(padded(x, spec, spec["size"], float("-inf")), spec["size"], spec["stride"])
        if kind == "avg_pool":
            # Padding is ignored.
            ones = F.avg_pool2d(padded(torch.ones_like(x), spec, spec["size"], 0.0), spec["size"], spec["stride"])
            return F.avg_pool2d(padded(x, spec, spec["size"], 0.0), spec["size"], spec["stride"]) / ones
        if kind == "dropout":
            return x
        if kind == "add":
            return sum(inputs)
        if kind == "concat":
            return torch.cat(inputs, dim=1)
        if kind == "flatten":
            return x.flatten(1)
        raise ValueError(f"the layer {spec['name']} is of a kind that this script does not know: {kind}")


def padded(x, spec, size, value):
    if spec["padding"] == "valid":
        return x
    sides = []
    for side in reversed(x.shape[2:]):
        total = max((-(-side // spec["stride"]) - 1) * spec["stride"] + size - side, 0)
        sides += [total // 2, total - total // 2]
    return F.pad(x, sides, value=value)


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

    def export(output):
        path = folder / output.replace("/", "_")
        study = ["--study", args.study] if args.study else []
        command = [args.pipe, "export", "--store", args.store, *study, output, str(path)]
        return path if subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0 else None

    architecture = json.loads(export(f"{args.model}/architecture.json").read_text())
    network = Network(architecture)
    network.load_state_dict(
        # PyTorch also counts batches, which is not needed here.
        {**state_dict(load_file(export(f"{args.model}/best/weights.safetensors"))),
         **{name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}},
        strict=True,
    )
    network.eval()
    policy = export("flip/policy.json")
    scale, offset = [1 / 255] * architecture["input"][0], [-0.5] * architecture["input"][0]
    if policy:
        normalise = json.loads(policy.read_text())["normalise"]
        scale, offset = normalise["scale"], normalise["offset"]
    images = load_file(export("data/test.safetensors"))["images"][: args.images].float()
    images = images * torch.tensor(scale).view(1, -1, 1, 1) + torch.tensor(offset).view(1, -1, 1, 1)
    rows = list(csv.DictReader(open(export(f"{args.test}/predictions.csv"))))[: len(images)]
    largest = 0.0
    with torch.no_grad():
        for head, logits in network(images).items():
            output = next(one for one in architecture["heads"] if one["name"] == head).get("output", "Softmax")
            probabilities = logits.softmax(1) if output == "Softmax" else logits.sigmoid() / logits.sigmoid().sum(1, keepdim=True)
            predicted = np.array([int(row[f"{head}_prediction"]) for row in rows])
            expected = np.array([float(row[f"{head}_probability"]) for row in rows])
            found = probabilities.numpy()[np.arange(len(rows)), predicted]
            largest = max(largest, float(np.abs(found - expected).max()))
    print(f"{len(rows)} images, {len(architecture['layers'])} layers: largest difference {largest:.2e}")
    return int(largest > 1e-4)


if __name__ == "__main__":
    sys.exit(main())
