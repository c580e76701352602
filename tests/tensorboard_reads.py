#!/usr/bin/env python3
"""Reads a study's event files with TensorBoard's own code, and compares them with what `pipe` says.

    pip install tensorboard numpy safetensors
    python3 tests/tensorboard_reads.py --pipe target/release/pipe --store .pipe

Needs a study with a search and a stage `retrain_best` that keeps its last weights, such as the default one. Exit code 0: every
scalar of every epoch, the graph, the pictures, the histograms of the weights and every trial of the HParams page are
correct, and the last histograms equal those that NumPy computes from the last weights.
"""

import argparse
import csv
import io
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.hparams import plugin_data_pb2


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def read(folder):
    accumulator = event_accumulator.EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0, "histograms": 0})
    accumulator.Reload()
    return accumulator


def close(ours, theirs):
    return (math.isnan(ours) and math.isnan(theirs)) or math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-7)


def check_histograms(events, noted, weights):
    """Returns the number of histograms. Checks that every array has one for each recorded epoch."""
    assert set(events.Tags()["histograms"]) == {name.replace(".", "/") for name in weights}
    for name, array in weights.items():
        found = events.Histograms(name.replace(".", "/"))
        assert [event.step for event in found] == noted["epochs"].tolist(), name
        last = found[-1].histogram_value
        array = array.astype(np.float64).ravel()
        assert (last.min, last.max, last.num) == (array.min(), array.max(), array.size), name
        assert math.isclose(last.sum, array.sum(), rel_tol=1e-5, abs_tol=1e-6 * array.size), name
        assert math.isclose(last.sum_squares, (array**2).sum(), rel_tol=1e-5), name
        assert len(last.bucket) == 30 and sum(last.bucket) == array.size, name
        if array.max() > array.min():
            # A number on an edge may be counted on either side.
            expected, _ = np.histogram(array, bins=30, range=(array.min(), array.max()))
            assert np.abs(np.cumsum(last.bucket) - np.cumsum(expected)).max() <= 2, name
    return len(weights) * len(noted["epochs"])


def plugin(accumulator, tag):
    content = accumulator.SummaryMetadata(tag).plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pipe", default="target/release/pipe")
    parser.add_argument("--store", default=".pipe")
    parser.add_argument("--study", help="default: the latest")
    args = parser.parse_args()
    study = [args.study] if args.study else []
    pipe = lambda command, *rest: run(args.pipe, command, "--store", args.store, *rest).decode()
    cat = lambda what: run(args.pipe, "cat", "--store", args.store, *(["--study", *study] if study else []), what)

    folder = Path(tempfile.mkdtemp())
    pipe("export", *study, "--tensorboard", str(folder / "runs"))
    (runs,) = (folder / "runs").glob("*/*")
    nodes = [node["name"] for node in json.loads(pipe("show", *study, "--json"))["nodes"] if node["stage"] == "train"]
    trials = {trial["node"]: trial for trial in json.loads(pipe("trials", *study, "--json"))}
    scalars = 0
    for node in nodes:
        events = read(runs / node)
        history = list(csv.DictReader(io.StringIO(cat(f"{node}/history.csv").decode())))
        splits = {"train": read(runs / node / "train"), "valid": read(runs / node / "validation")}
        for name in [name for name in history[0] if "." in name]:
            split, tag = name.split(".", 1)
            found = splits[split].Scalars(tag)
            assert [event.step for event in found] == [int(row["epoch"]) for row in history], (node, name)
            for event, row in zip(found, history):
                assert close(float(row[name]), event.value), (node, name, row[name], event.value)
                scalars += 1
        layers = [layer["name"] for layer in json.loads(cat(f"{node}/architecture.json"))["layers"]]
        assert {graph_node.name.split(".")[0] for graph_node in events.Graph().node} == {"input", *layers}, node
        if node in trials:
            assert not events.Tags()["histograms"], (node, "a trial notes none")
        if node in trials:
            trial = trials[node]
            start = plugin(events, "_hparams_/session_start_info").session_start_info
            for label, value in trial["hyperparameters"].items():
                if isinstance(value, (int, float)) and not isinstance(value, bool) and label in start.hparams:
                    proto = start.hparams[label]
                    assert proto.number_value == value or proto.string_value, (node, label)
            for metric, value in trial["metrics"].items():
                found = events.Scalars(f"trial/{metric}")[0].value
                assert close(value, found) if value is not None else not math.isfinite(found), (node, metric)
            end = plugin(events, "_hparams_/session_end_info").session_end_info
            assert end.status == (1 if trial["status"] == "completed" else 2), node
    experiment = plugin(read(runs), "_hparams_/experiment").experiment
    labels = {label for trial in trials.values() for label in trial["hyperparameters"]}
    assert {info.name for info in experiment.hparam_infos} == labels
    files = [load(cat(f"retrain_best/{file}.safetensors")) for file in ["histograms", "last/weights"]]
    histograms = check_histograms(read(runs / "retrain_best"), *files)
    pictures = [path.parent for path in (folder / "runs").rglob("events*") if read(path.parent).Tags()["images"]]
    assert pictures, "there are pictures"
    print(f"{len(nodes)} trainings, {scalars} scalars, {histograms} histograms, {len(trials)} trials, {len(pictures)} runs with pictures")


if __name__ == "__main__":
    sys.exit(main())
