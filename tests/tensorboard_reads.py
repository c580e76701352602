#!/usr/bin/env python3
"""Reads a study's event files with TensorBoard's own code, and compares them with what `pipe` says.

    pip install tensorboard
    python3 tests/tensorboard_reads.py --pipe target/release/pipe --store .pipe

Needs a study with a search and a stage `retrain_best`, such as the default one. Exit code 0: every scalar of every epoch, the
graph, the pictures, the histograms of the weights that were kept and every trial of the HParams page are as they should be.
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

from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.hparams import plugin_data_pb2


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()


def read(folder):
    accumulator = event_accumulator.EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0, "histograms": 0})
    accumulator.Reload()
    return accumulator


def close(ours, theirs):
    return (math.isnan(ours) and math.isnan(theirs)) or math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-7)


def plugin(accumulator, tag):
    content = accumulator.SummaryMetadata(tag).plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pipe", default="target/release/pipe")
    parser.add_argument("--store", default=".pipe")
    args = parser.parse_args()
    pipe = lambda command, *rest: run(args.pipe, command, "--store", args.store, *rest)

    folder = Path(tempfile.mkdtemp())
    pipe("export", "--tensorboard", str(folder / "runs"))
    nodes = [node["name"] for node in json.loads(pipe("show", "--json"))["nodes"] if node["stage"] == "train"]
    trials = {trial["node"]: trial for trial in json.loads(pipe("trials", "--json"))}
    scalars = histograms = 0
    for node in nodes:
        events = read(folder / "runs" / node)
        history = list(csv.DictReader(io.StringIO(pipe("cat", f"{node}/history.csv"))))
        for name in [name for name in history[0] if "." in name]:
            found = events.Scalars(name.replace(".", "/", 1))
            assert [event.step for event in found] == [int(row["epoch"]) for row in history], (node, name)
            for event, row in zip(found, history):
                assert close(float(row[name]), event.value), (node, name, row[name], event.value)
                scalars += 1
        layers = [layer["name"] for layer in json.loads(pipe("cat", f"{node}/architecture.json"))["layers"]]
        assert {graph_node.name.split(".")[0] for graph_node in events.Graph().node} == {"input", *layers}, node
        for tag in events.Tags()["histograms"]:
            assert events.Histograms(tag), (node, tag)
            histograms += 1
        if node in trials:
            trial = trials[node]
            start = plugin(events, "_hparams_/session_start_info").session_start_info
            for label, value in trial["labels"].items():
                if isinstance(value, (int, float)) and not isinstance(value, bool) and label in start.hparams:
                    proto = start.hparams[label]
                    assert proto.number_value == value or proto.string_value, (node, label)
            for metric, value in trial["metrics"].items():
                value = float(value) if isinstance(value, (int, float)) else float("nan" if value == "NaN" else value.replace("Infinity", "inf"))
                assert close(value, events.Scalars(f"trial/{metric}")[0].value), (node, metric)
            end = plugin(events, "_hparams_/session_end_info").session_end_info
            assert end.status == (1 if trial["status"] == "completed" else 2), node
    experiment = plugin(read(folder / "runs"), "_hparams_/experiment").experiment
    labels = {label for trial in trials.values() for label in trial["labels"]}
    assert {info.name for info in experiment.hparam_infos} == labels
    retrained = read(folder / "runs" / "retrain_best").Tags()["histograms"]
    assert any(tag.endswith("/kernel") for tag in retrained), "the kept weights have histograms"
    pictures = [path.parent for path in (folder / "runs").rglob("events*") if read(path.parent).Tags()["images"]]
    assert pictures, "there are pictures"
    print(f"{len(nodes)} trainings, {scalars} scalars, {histograms} histograms, {len(trials)} trials, {len(pictures)} runs with pictures")


if __name__ == "__main__":
    sys.exit(main())
