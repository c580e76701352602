#!/usr/bin/env python3
"""Reads an experiment in MLflow's file store with MLflow's own client, and compares it with what `pipe` says.

    pip install mlflow-skinny
    python3 tests/mlflow_reads.py --pipe target/release/pipe --store .pipe

Needs a study with a search. Exit code 0: there is one run for each training, with every value of every epoch, and with the
hyperparameters of its trial.
"""

import argparse
import csv
import io
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"

from mlflow.tracking import MlflowClient


def close(ours, theirs):
    return (math.isnan(ours) and math.isnan(theirs)) or ours == theirs or math.isclose(ours, theirs, rel_tol=1e-6)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pipe", default="target/release/pipe")
    parser.add_argument("--store", default=".pipe")
    parser.add_argument("--study", help="default: the latest")
    args = parser.parse_args()
    study = [args.study] if args.study else []

    def history_of(node):
        of_study = ["--study", *study] if study else []
        files = {file["path"] for file in json.loads(pipe("show", *of_study, node, "--json"))["outputs"]}
        # A trial whose network cannot be built has none.
        text = pipe("cat", *of_study, f"{node}/history.csv") if "history.csv" in files else ""
        return list(csv.DictReader(io.StringIO(text)))

    def pipe(command, *rest):
        done = subprocess.run([args.pipe, command, "--store", args.store, *rest], check=True, stdout=subprocess.PIPE)
        return done.stdout.decode()

    folder = Path(tempfile.mkdtemp()) / "mlruns"
    pipe("export", *study, "--mlflow", str(folder))
    client = MlflowClient(folder.as_uri())
    (experiment,) = [found for found in client.search_experiments() if found.name != "Default"]
    shown = json.loads(pipe("show", *study, "--json"))
    assert experiment.name == f"{shown['name']}-{shown['study'][:12]}"
    trials = {trial["node"]: trial for trial in json.loads(pipe("trials", *study, "--json"))}
    nodes = {node["name"] for node in shown["nodes"] if node["stage"] == "train" and node["outcome"] == "done"}
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == nodes, (set(runs), nodes)
    values = 0
    for node, run in runs.items():
        assert run.data.tags["study"] == shown["study"]
        assert [artifact.path for artifact in client.list_artifacts(run.info.run_id)] == ["action"]
        history = history_of(node)
        for name in [name for name in (history[0] if history else []) if "." in name]:
            found = client.get_metric_history(run.info.run_id, name)
            assert [metric.step for metric in found] == [int(row["epoch"]) for row in history], (node, name)
            for metric, row in zip(found, history):
                assert close(float(row[name]), metric.value), (node, name, row[name], metric.value)
                values += 1
        if node in trials:
            assert set(run.data.params) == {"pipe.stage", *trials[node]["hyperparameters"]}, node
            status = "FINISHED" if trials[node]["status"] == "completed" else "FAILED"
            assert run.info.status == status, (node, run.info.status)
    print(f"{len(runs)} runs, {values} values, {sum(node in trials for node in runs)} trials")


if __name__ == "__main__":
    sys.exit(main())
