"""Divides scikit-learn's digits into images to train on, to choose by, and to test on."""
import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

digits = load_digits()
x, y = (digits.data / 16).astype("float32"), digits.target
rest_x, test_x, rest_y, test_y = train_test_split(x, y, test_size=0.2, stratify=y, random_state=args.seed)
train_x, valid_x, train_y, valid_y = train_test_split(rest_x, rest_y, test_size=0.2, stratify=rest_y, random_state=args.seed)
for name, images, labels in [("train", train_x, train_y), ("valid", valid_x, valid_y), ("test", test_x, test_y)]:
    np.savez(args.out / f"{name}.npz", x=images, y=labels)
