"""An ordinary training script for PyTorch. Of `pipe` it knows nothing but paths."""
import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import nn


def read(path, most=None):
    """Returns the images, from 0 to 1, and the classes of a split that `Decode` wrote: a safetensors file."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        start = file.tell()

    def tensor(name, dtype):
        shape = header[name]["shape"]
        array = np.memmap(path, dtype, "r", start + header[name]["data_offsets"][0], tuple(shape))
        return torch.from_numpy(np.array(array[:most]))

    return tensor("images", "u1").float() / 255, tensor("class", "<i4").long()


def network(filters, dropout):
    """Returns a small convolutional network for images of 28x28 with one channel and for 10 classes."""
    return nn.Sequential(
        nn.Conv2d(1, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(filters, 2 * filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(dropout), nn.Linear(2 * filters * 7 * 7, 10),
    )


@torch.no_grad()
def measure(model, images, classes):
    """Returns the mean loss and the accuracy."""
    model.eval()
    logits = torch.cat([model(part) for part in images.split(500)])
    return nn.functional.cross_entropy(logits, classes).item(), (logits.argmax(1) == classes).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--valid", type=Path, required=True)
    parser.add_argument("--images", type=int, help="train on the first images only")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--weight_decay", type=float, default=1e-4)
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--state", type=Path, help="a folder to continue from")
    parser.add_argument("--report", type=Path, help="a file for the metrics of each epoch")
    args = parser.parse_args()

    # The same numbers each time, on the same kind of processor.
    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(args.threads)

    images, classes = read(args.train, args.images)
    valid = read(args.valid)
    model = network(args.filters, args.dropout)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=args.weight_decay)

    done = 0
    checkpoint = args.state / "checkpoint.pt" if args.state else None
    if checkpoint and checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        done = state["epoch"]
        print(f"continues after epoch {done}", flush=True)

    for epoch in range(done + 1, args.epochs + 1):
        model.train()
        total = 0.0
        for rows in torch.randperm(len(images)).split(args.batch):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images[rows]), classes[rows])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        valid_loss, valid_accuracy = measure(model, *valid)
        metrics = {"train.loss": total / len(images), "valid.loss": valid_loss, "valid.accuracy": valid_accuracy}
        print(f"epoch {epoch}: {metrics}", flush=True)
        if args.report:
            with args.report.open("a") as report:
                report.write(json.dumps({"epoch": epoch} | metrics) + "\n")
        if checkpoint:
            # Whole or not at all: a kill while it is written leaves the one before.
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "random": torch.get_rng_state(), "epoch": epoch}
            torch.save(state, checkpoint.with_suffix(".new"))
            os.replace(checkpoint.with_suffix(".new"), checkpoint)

    torch.save({"filters": args.filters, "dropout": args.dropout, "weights": model.state_dict()}, args.out / "model.pt")


if __name__ == "__main__":
    main()
