#!/usr/bin/env python3
"""Reads a study that was exported for Trackio with Trackio itself, and compares it with what `pipe` says.

    pip install trackio
    python3 tests/trackio_reads.py --pipe target/release/pipe --store .pipe

Needs a study with a search. Exit code 0: there is one run for each training, with every value of every epoch, and with the
hyperparameters of its trial; and reading the same export again adds nothing.
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

os.environ["TRACKIO_DIR"] = FOLDER = tempfile.mkdtemp()

from trackio import Api, fragments
from trackio.sqlite_storage import SQLiteStorage


def close(ours, theirs):
    theirs = float(theirs)
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

    shown = json.loads(pipe("show", *study, "--json"))
    project = f"{shown['name']}-{shown['study'][:12]}"
    trials = {trial["node"]: trial for trial in json.loads(pipe("trials", *study, "--json"))}
    nodes = {node["name"] for node in shown["nodes"] if node["stage"] == "train" and node["outcome"] == "done"}
    values = 0
    # Trackio takes a fragment away when it has read it.
    for _ in range(2):
        pipe("export", *study, "--trackio", FOLDER, "--force")
        assert fragments.import_inbox_dir() > 0
        runs = {run.name: run for run in Api().runs(project)}
        assert set(runs) == nodes and len(Api().runs(project)) == len(nodes), (set(runs), nodes)
        values = 0
        for node, run in runs.items():
            config = run.config
            assert config["pipe.study"] == shown["study"], config
            history = history_of(node)
            logs = SQLiteStorage.get_logs(project, node, run_id=run.id)
            assert [log["step"] for log in logs] == [int(row["epoch"]) for row in history] or [0], (node, logs)
            for log, row in zip(logs, history):
                for name in [name for name in row if "." in name]:
                    assert close(float(row[name]), log[name]), (node, name, row[name], log[name])
                    values += 1
            if node in trials:
                own = {name for name in config if not name.startswith(("pipe.", "_"))}
                assert own == set(trials[node]["hyperparameters"]), (node, config)
                assert config["pipe.status"] == trials[node]["status"], (node, config)
    print(f"{len(runs)} runs, {values} values, {sum(node in trials for node in runs)} trials")


if __name__ == "__main__":
    sys.exit(main())
