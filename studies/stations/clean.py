"""Sorts the readings that can be true from the others, and says why each of the others is not."""
import csv
import json
import sys
from collections import Counter

source, out = sys.argv[1:]
lowest, highest, longest = -40.0, 45.0, 6

with open(source, newline="") as file:
    rows = list(csv.DictReader(file))

# How many readings of a station in a row are equal, for each of them.
runs, start = [0] * len(rows), 0
for end in range(1, len(rows) + 1):
    same = end < len(rows) and all(rows[end][name] == rows[start][name] for name in ("station", "celsius"))
    if not same:
        runs[start:end] = [end - start] * (end - start)
        start = end


def fault(row, run):
    if not row["celsius"]:
        return "missing"
    if not lowest <= float(row["celsius"]) <= highest:
        return "impossible"
    return "stuck" if run > longest else None


faults = [fault(row, run) for row, run in zip(rows, runs)]
with open(f"{out}/clean.csv", "w", newline="") as clean, open(f"{out}/rejected.csv", "w", newline="") as rejected:
    good, bad = csv.writer(clean), csv.writer(rejected)
    good.writerow(["time", "station", "celsius"])
    bad.writerow(["time", "station", "celsius", "fault"])
    for row, why in zip(rows, faults):
        if why:
            bad.writerow([*row.values(), why])
        else:
            good.writerow(row.values())

counts = Counter(why or "kept" for why in faults)
metrics = {f"readings.{name}": counts[name] for name in ("kept", "missing", "impossible", "stuck")}
with open(f"{out}/quality.json", "w") as file:
    json.dump(metrics, file)
