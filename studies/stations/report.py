"""A folder with a page: a chart of the months, a chart of the day, and a table."""
import csv
import json
import sys
from pathlib import Path

months, days, quality, out = sys.argv[1:]
pages = Path(out, "pages")
pages.mkdir()
COLOURS = ["#1b6ca8", "#2e8b57", "#8a5a9e", "#c0562b"]


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def chart(name, title, lines, first):
    """Writes a chart with a line for each station. Its points are numbered from `first`."""
    values = [value for line in lines.values() for value in line]
    low, high = min(values) - 1, max(values) + 1
    x = lambda i, n: 40 + 400 * i / (n - 1)
    y = lambda value: 220 - 190 * (value - low) / (high - low)
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 540 240" font-family="sans-serif" font-size="11">',
             f'<rect width="540" height="240" fill="white"/><text x="40" y="16">{title}</text>']
    for degrees in range(int(low // 5 + 1) * 5, int(high) + 1, 5):
        parts.append(f'<path d="M40 {y(degrees):.1f}h400" stroke="#ddd"/><text x="34" y="{y(degrees) + 4:.1f}" text-anchor="end">{degrees}</text>')
    points = len(next(iter(lines.values())))
    for i in range(0, points, 1 if points <= 12 else 3):
        parts.append(f'<text x="{x(i, points):.1f}" y="234" text-anchor="middle">{first + i}</text>')
    for number, ((station, line), colour) in enumerate(zip(lines.items(), COLOURS)):
        points = " ".join(f"{x(i, len(line)):.1f},{y(value):.1f}" for i, value in enumerate(line))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="450" y="{40 + 18 * number}" fill="{colour}">{station}</text>')
    (pages / name).write_text("\n".join([*parts, "</svg>\n"]))


of_month = {}
for row in read(months):
    of_month.setdefault(row["station"], []).append(row)
of_day = {folder.name: read(folder / "day.csv") for folder in sorted(Path(days).iterdir())}
counts = json.loads(Path(quality).read_text())

chart("months.svg", "mean of each month, °C", {name: [float(row["mean"]) for row in rows] for name, rows in of_month.items()}, 1)
chart("day.svg", "mean of each hour of the day, °C", {name: [float(row["mean"]) for row in rows] for name, rows in of_day.items()}, 0)
lines = ["# Four stations", "", "![](months.svg)", "", "![](day.svg)", "", "| station | readings | coldest month | warmest month |", "|---|---|---|---|"]
for station, rows in of_month.items():
    by_mean = sorted(rows, key=lambda row: float(row["mean"]))
    coldest, warmest = (f"{row['mean']} °C ({row['month']})" for row in (by_mean[0], by_mean[-1]))
    lines.append(f"| {station} | {sum(int(row['readings']) for row in rows)} | {coldest} | {warmest} |")
left_out = ", ".join(f"{count} {name.removeprefix('readings.')}" for name, count in counts.items() if name != "readings.kept")
lines += ["", f"Left out: {left_out}.", ""]
(pages / "README.md").write_text("\n".join(lines))
