"""The mean, lowest and highest temperature of each month and station."""
import csv
import sys
from collections import defaultdict

source, out = sys.argv[1:]
found = defaultdict(list)
with open(source, newline="") as file:
    for row in csv.DictReader(file):
        # In tenths, so that sums are exact in any order.
        found[row["station"], row["time"][:7]].append(round(10 * float(row["celsius"])))

with open(f"{out}/months.csv", "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["station", "month", "readings", "mean", "lowest", "highest"])
    for (station, month), tenths in sorted(found.items()):
        mean = sum(tenths) / len(tenths) / 10
        table.writerow([station, month, len(tenths), f"{mean:.2f}", min(tenths) / 10, max(tenths) / 10])
