"""Measures a trained network on images that nothing was chosen by."""
import argparse
import json
from pathlib import Path

import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("model", type=Path)
parser.add_argument("data", type=Path)
parser.add_argument("--out", type=Path, required=True)
args = parser.parse_args()

model, data = np.load(args.model), np.load(args.data)
hidden = np.maximum(data["x"] @ model["weights_0"] + model["bias_0"], 0)
classes = (hidden @ model["weights_1"] + model["bias_1"]).argmax(axis=1)
accuracy = float((classes == data["y"]).mean())
(args.out / "metrics.json").write_text(json.dumps({"test.accuracy": accuracy, "images": len(classes)}))
