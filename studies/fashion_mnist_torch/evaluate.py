"""Measures a trained network on images that nothing was chosen by."""
import argparse
import json
from pathlib import Path

import torch

from train import measure, network, read

parser = argparse.ArgumentParser()
parser.add_argument("model", type=Path)
parser.add_argument("data", type=Path)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--out", type=Path, required=True)
args = parser.parse_args()

torch.set_num_threads(args.threads)
saved = torch.load(args.model)
model = network(saved["filters"], saved["dropout"])
model.load_state_dict(saved["weights"])
images, classes = read(args.data)
loss, accuracy = measure(model, images, classes)
(args.out / "metrics.json").write_text(json.dumps({"test.loss": loss, "test.accuracy": accuracy, "images": len(images)}))
