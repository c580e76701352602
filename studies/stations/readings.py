"""Makes up what four weather stations report in a year: a temperature each hour, with gaps, a sensor that sticks and one that jumps.
Put a table of your own in its place."""
import csv
import math
import random
import sys
from datetime import datetime, timedelta

# The mean of the year, how far the seasons swing, how far a day swings.
STATIONS = {"coast": (9.8, 6.5, 2.0), "forest": (8.4, 9.0, 4.5), "hill": (5.1, 8.5, 3.0), "town": (10.6, 9.2, 4.0)}

seed, out = int(sys.argv[1]), sys.argv[2]
start = datetime(2025, 1, 1)
with open(f"{out}/readings.csv", "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["time", "station", "celsius"])
    for number, (station, (mean, year, day)) in enumerate(STATIONS.items()):
        draw = random.Random(seed + number)
        weather, stuck, last = 0.0, 0, ""
        for hour in range(365 * 24):
            weather = 0.98 * weather + draw.gauss(0, 0.5)
            season = -math.cos(2 * math.pi * (hour / 24 - 20) / 365)
            sun = -math.cos(2 * math.pi * (hour % 24 - 3) / 24)
            celsius = f"{mean + year * season + day * sun + weather:.1f}"
            fate = draw.random()
            if stuck:
                celsius, stuck = last, stuck - 1
            elif fate < 0.004:
                celsius = ""
            elif fate < 0.006:
                celsius = draw.choice(["-99.9", "85.0"])
            elif fate < 0.0065:
                stuck = draw.randrange(8, 40)
            last = celsius
            table.writerow([(start + timedelta(hours=hour)).isoformat(timespec="minutes"), station, celsius])
