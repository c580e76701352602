"""The mean temperature of a station at each hour of the day, and how far it swings."""
import csv
import json
import sys

source, station, out = sys.argv[1:]
hours = [[] for _ in range(24)]
with open(source, newline="") as file:
    for row in csv.DictReader(file):
        if row["station"] == station:
            hours[int(row["time"][11:13])].append(round(10 * float(row["celsius"])))

means = [sum(tenths) / len(tenths) / 10 for tenths in hours]
with open(f"{out}/day.csv", "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["hour", "mean"])
    table.writerows([hour, f"{mean:.2f}"] for hour, mean in enumerate(means))
with open(f"{out}/day.json", "w") as file:
    json.dump({"day.swing": round(max(means) - min(means), 2), "day.warmest_hour": means.index(max(means))}, file)
