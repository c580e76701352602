"""An ordinary training script: argparse, scikit-learn, a loop over epochs. Of `pipe` it knows nothing but paths."""
import argparse
import json
import os
import pickle
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier

parser = argparse.ArgumentParser()
parser.add_argument("--train", type=Path, required=True)
parser.add_argument("--valid", type=Path, required=True)
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--hidden", type=int, default=32)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--state", type=Path, help="a folder to continue from")
parser.add_argument("--report", type=Path, help="a file for the metrics of each epoch")
args = parser.parse_args()

train, valid = np.load(args.train), np.load(args.valid)
checkpoint = args.state / "checkpoint.pkl" if args.state else None
if checkpoint and checkpoint.exists():
    done, model = pickle.loads(checkpoint.read_bytes())
    print(f"continues after epoch {done}")
else:
    done = 0
    model = MLPClassifier((args.hidden,), learning_rate_init=args.lr, batch_size=64, random_state=args.seed)

for epoch in range(done + 1, args.epochs + 1):
    model.partial_fit(train["x"], train["y"], classes=np.arange(10))
    metrics = {"valid.accuracy": float(model.score(valid["x"], valid["y"])), "train.loss": float(model.loss_)}
    print(f"epoch {epoch}: {metrics}", flush=True)
    if args.report:
        with args.report.open("a") as report:
            report.write(json.dumps({"epoch": epoch} | metrics) + "\n")
    if checkpoint:
        # Whole or not at all: a kill while it is written leaves the one before.
        checkpoint.with_suffix(".new").write_bytes(pickle.dumps((epoch, model)))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)

layers = {f"weights_{i}": w for i, w in enumerate(model.coefs_)} | {f"bias_{i}": b for i, b in enumerate(model.intercepts_)}
np.savez(args.out / "model.npz", **layers)
