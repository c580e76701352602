"""Everything that is to be known of `pipe` on an NVIDIA card, in one command and about ten minutes.

    pip install torch
    python3 benches/on_a_card.py --json card.json

It needs the card's driver, `libnvrtc` and the headers of CUDA (CUDA_PATH), Rust, and Python with PyTorch. Building comes first and does
not count. Then, the most important first, until `--minutes` are over:

    parity   the layers, kernels and trainings on the card against the CPU's (cargo test)
    speed    the best network of Hyperopt-CIFAR at batch 320 and 1024, with f32 (TF32) and bf16: `pipe`, and PyTorch eager, with channels
             last, and compiled
    packed   the same at 320 in two and four processes at once: images/s of all together
    studies  the default study, and half of CIFAR-100 with few epochs (`--epochs`), on the CPU and on the card. Without `--cifar URL`
             (the folder of the archive, `file:///data`), pictures that come with `pipe` stand in for CIFAR-100

What was measured is written to the file of `--json` after every step, and is not measured again. So a second call goes on with what the
first did not reach, and has the compiled kernels of the first. The table for BENCHMARKS.md is printed at the end, also by `--table`.

The published 67.61 % of the best network take hours, and are a study of their own:

    PIPE_MIRRORS=file:///data pipe run --file studies/cifar100_best.ron --device cuda [--precision bf16]

Without a card, the script itself is tried out on a software driver, `--device wgpu --profile gpu --tiny`, where no number means anything.
"""

import argparse
import datetime
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).resolve().parent / "against_peers.py"
EAGER = ["eager", "channels last"]
COMPILED = ["compile, channels last"]


class Card:
    """Runs commands until the time is over."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.end = time.monotonic() + 60 * arguments.minutes
        profile = arguments.profile
        self.cargo = ["--profile", profile, "--features", arguments.device.split(":")[0], "--locked"]
        self.target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
        self.pipe = self.target / profile / "pipe"
        self.work = arguments.json.resolve().with_suffix(".work")
        self.environment = dict(os.environ, PIPE_KERNELS=str(self.work / "kernels"))

    def run(self, command, limit, **environment):
        """Returns what a command prints, its errors too, and the seconds that it took. Raises a reason if it fails."""
        limit = min(limit, self.end - time.monotonic())
        if limit < 5:
            raise TimeIsOver
        start = time.monotonic()
        process = subprocess.Popen(
            [str(part) for part in command], cwd=ROOT, env={**self.environment, **environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed, _ = process.communicate()
            raise Failed(f"took longer than {limit:.0f} s", printed) from None
        if process.returncode != 0:
            raise Failed(f"exit status {process.returncode}", printed)
        return printed, time.monotonic() - start

    def build(self):
        for command in [
            ["cargo", "build", *self.cargo, "--bin", "pipe"],
            ["cargo", "bench", *self.cargo, "--bench", "train_step", "--no-run"],
            ["cargo", "test", *self.cargo, "-p", "pipe-stages", "--lib", "--no-run"],
        ]:
            print("$", *command, file=sys.stderr, flush=True)
            subprocess.run(command, cwd=ROOT, check=True)

    def machine(self):
        def said(command):
            try:
                return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
            except (OSError, subprocess.CalledProcessError):
                return ""

        query = "--query-gpu=name,driver_version,memory.total"
        torch = said([sys.executable, "-c", "import torch; print(torch.__version__)"])
        cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) if Path("/proc/cpuinfo").exists() else None
        return {
            "date": datetime.date.today().isoformat(),
            "card": said(["nvidia-smi", query, "--format=csv,noheader"]),
            "processor": f"{cpu[1] if cpu else platform.processor()}, {os.cpu_count()} cores",
            "pytorch": torch,
            "commit": said(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"]),
            "devices": said([self.pipe, "devices"]),
        }

    def parity(self):
        # Without tuning by timing, each operation has one kernel to compile. The bound on launches is for drivers that lack tensor cores.
        command = ["cargo", "test", *self.cargo, "-p", "pipe-stages", "--lib", "--", "our_kernels_agree_with_burn"]
        command += ["on_device::tests"] if self.arguments.tiny else ["on_device", "kernels::tests", "bf16"]
        try:
            printed, _ = self.run(command, 60 * self.arguments.minutes / 4, CUBECL_AUTOTUNE_LEVEL="0")
        except Failed as failed:
            printed = failed.printed
            if not re.search(r"^test .*(ok|FAILED)$", printed, re.MULTILINE):
                raise
        tests = dict(re.findall(r"^test (\S+) \.\.\. (ok|FAILED)", printed, re.MULTILINE))
        if "skipped: there is no device" in printed:
            raise Failed("the tests found no device", printed)
        wrong = sorted(name for name, result in tests.items() if result != "ok")
        return {"passed": len(tests) - len(wrong), "failed": wrong, "ended": "test result:" in printed}

    def speed(self, batch, precision, who):
        if who == "pipe":
            return json.loads(self.finished(self.step(batch, precision))[-1])
        command = [sys.executable, PEERS, "--one", "PyTorch", "best", batch, self.steps(batch), os.cpu_count() or 1, who]
        device = "cuda" if self.arguments.device.startswith("cuda") else "cpu"
        return json.loads(self.finished([*command, 0.1 if self.arguments.tiny else 3, device, precision])[-1])

    def packed(self, precision, n):
        """Returns the images per second of n processes at once: of all, over the time that each measured itself."""
        found = []
        # Long enough that all of them compute at the same time for most of it.
        command = [str(part) for part in [*self.step(320, precision), 4 if self.arguments.tiny else 30]]
        processes = [
            subprocess.Popen(command, cwd=ROOT, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for _ in range(n)
        ]
        try:
            for process in processes:
                printed, _ = process.communicate(timeout=max(1, min(200, self.end - time.monotonic())))
                if process.returncode != 0:
                    raise Failed(f"exit status {process.returncode}", printed)
                found.append(json.loads(printed.strip().splitlines()[-1])["images_per_second"])
        except subprocess.TimeoutExpired:
            raise Failed("took too long", "") from None
        finally:
            for process in processes:
                process.kill()
                process.wait()
        return {"images_per_second": sum(found), "each": found}

    def steps(self, batch):
        return 3 if self.arguments.tiny else max(12, 20_000 // batch)

    def step(self, batch, precision):
        batch = 4 if self.arguments.tiny else batch
        network = "small" if self.arguments.tiny else "best"
        bench = ["cargo", "bench", "--quiet", *self.cargo, "--bench", "train_step", "--"]
        return [*bench, network, batch, self.steps(batch), self.arguments.device, precision]

    def finished(self, command):
        return self.run(command, 200)[0].strip().splitlines()

    def study(self, name, on):
        """Runs a study in a store of its own. Returns its accuracy on the test images and the seconds that it took."""
        store = self.work / "stores" / f"{name} {on}".replace(" ", "-").replace("/", "-")
        device, _, precision = on.partition("/")
        command = [self.pipe, "run", "--json", "--store", store, "--device", device]
        command += ["--precision", precision] if precision else []
        command += ["--jobs-per-device", 4] if name == "default" and device != "cpu" else []
        if name == "default":
            command += ["--file", ROOT / "pipeline.ron"]
            small = {"search.trials": 2, "search.lag": 1, "search.sampler.startup": 1, "search.trial.epochs": 1,
                     "retrain_best.epochs": 1, "visualize_filters.steps": 2, "raw.train": 200, "raw.test": 100}
            values = small if self.arguments.tiny else {}
        else:
            # Kernels are compiled once for the search and the retraining, so that few epochs say more of compiling than of training.
            command += ["--file", ROOT / "studies/cifar100_half.ron"]
            values = {"search.trials": 1, "search.lag": 1, "search.sampler.startup": 1, "search.trial.epochs": 1,
                      "retrain_best.epochs": self.arguments.epochs, "visualize_filters.steps": 2}
            if not self.arguments.cifar:
                train, test = (60, 40) if self.arguments.tiny else (25_000, 5_000)
                values["raw"] = f'Fetch(Embedded(name: "shapes100", train: {train}, test: {test}))'
        for key, value in values.items():
            command += ["--set", f"{key}={value}"]
        mirrors = {"PIPE_MIRRORS": self.arguments.cifar} if self.arguments.cifar else {}
        printed, seconds = self.run(command, 240, **mirrors)
        events = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
        found = {"seconds": seconds, "events": len(events)}
        score = self.run([self.pipe, "cat", "test/evaluation.json", "--store", store], 60)[0]
        found["test"] = json.loads(score)
        return found


class TimeIsOver(Exception):
    pass


class Failed(Exception):
    def __init__(self, why, printed):
        lines = [line for line in printed.strip().splitlines() if line.strip()]
        super().__init__(": ".join([why, *[line[:300] for line in lines[-3:]]]))
        self.printed = printed


def plan(arguments):
    """Returns the steps, the most important first: for each its name, the method of `Card`, and its arguments."""
    on_gpu = [arguments.device, f"{arguments.device}/bf16"]
    precisions = ["f32", "bf16"]
    if not arguments.device.startswith("cuda"):
        on_gpu, precisions = on_gpu[:1], ["f32"]
    steps = [("parity", "parity", ())]
    speeds = lambda batch, precision, who: [(f"speed {batch} {precision} {one}", "speed", (batch, precision, one)) for one in who]
    for precision in precisions:
        steps += speeds(320, precision, ["pipe", *EAGER])
    steps += [(f"packed {n} {precision}", "packed", (precision, n)) for precision in precisions for n in (2, 4)]
    steps += [(f"study default {on}", "study", ("default", on)) for on in ["cpu", *on_gpu]]
    for precision in precisions:
        steps += speeds(320, precision, COMPILED)
    for precision in precisions:
        steps += speeds(1024, precision, ["pipe", *EAGER, *COMPILED])
    return steps + [(f"study half {on}", "study", ("half", on)) for on in [*on_gpu, "cpu"]]


def table(known):
    """Returns the table for BENCHMARKS.md."""
    steps = known["steps"]
    cell = lambda name: steps.get(name, {})
    rate = lambda name: cell(name).get("images_per_second")

    def shown(name):
        if rate(name) is not None:
            return f"{rate(name):,.0f}"
        return f"failed: {cell(name)['failed']}" if isinstance(cell(name).get("failed"), str) else "not reached"

    lines = [json.dumps(known["machine"]), ""]
    parity = cell("parity")
    if "passed" in parity:
        ended = "" if parity["ended"] else " (the time was over before the last)"
        wrong = f"; failed: {', '.join(parity['failed'])}" if parity["failed"] else ""
        lines.append(f"Parity: {parity['passed']} tests pass{ended}{wrong}.")
    else:
        lines.append(f"Parity: {shown('parity')}")
    lines += ["", "| batch, precision | pipe, images/s | PyTorch eager | ratio | eager, channels last | ratio | compiled | ratio |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for batch in (320, 1024):
        for precision in ("f32", "bf16"):
            ours = f"speed {batch} {precision} pipe"
            cells = [f"{batch}, {precision}", shown(ours)]
            for who in [*EAGER, *COMPILED]:
                theirs = f"speed {batch} {precision} {who}"
                both = rate(ours) and rate(theirs)
                cells += [shown(theirs), f"{rate(ours) / rate(theirs):.2f}" if both else "-"]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| processes at once, 320 | images/s of all | one alone | ratio | ratio to one of PyTorch, eager |", "|---|---|---|---|---|"]
    for precision in ("f32", "bf16"):
        one = f"speed 320 {precision} pipe"
        for n in (2, 4):
            name = f"packed {n} {precision}"
            to = [one, f"speed 320 {precision} eager"]
            ratios = [f"{rate(name) / rate(other):.2f}" if rate(name) and rate(other) else "-" for other in to]
            lines.append(f"| {n}, {precision} | {shown(name)} | {shown(one)} | {' | '.join(ratios)} |")
    lines += ["", "| study | on | seconds | accuracy on the test images |", "|---|---|---|---|"]
    for name, found in steps.items():
        if not name.startswith("study"):
            continue
        _, study, on = name.split(" ", 2)
        if "seconds" not in found:
            lines.append(f"| {study} | {on} | {shown(name)} | |")
            continue
        heads = found["test"]["heads"].items()
        scores = ", ".join(f"{name} {100 * head['accuracy']:.2f} %" for name, head in heads)
        lines.append(f"| {study} | {on} | {found['seconds']:.0f} | {scores} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("card.json"), help="what is measured, also by an earlier call (card.json)")
    parser.add_argument("--minutes", type=float, default=9.5, help="for everything but building (9.5)")
    parser.add_argument("--epochs", type=int, default=2, help="of the retraining of half of CIFAR-100 (2; its own are 36)")
    parser.add_argument("--cifar", help="the URL of the folder of cifar-100-binary.tar.gz with half of the images")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or wgpu (cuda)")
    parser.add_argument("--profile", default="release", help="of cargo (release)")
    parser.add_argument("--no-build", action="store_true", help="everything is built")
    parser.add_argument("--only", help="only the steps whose names begin so: parity, speed, packed, study")
    parser.add_argument("--tiny", action="store_true", help="tries out the script: a small network, few images")
    parser.add_argument("--table", action="store_true", help="only prints the table of what was measured")
    arguments = parser.parse_args()
    known = json.loads(arguments.json.read_text()) if arguments.json.exists() else {"steps": {}}
    if arguments.table:
        return print(table(known))
    card = Card(arguments)
    if not arguments.no_build:
        card.build()
    card.end = time.monotonic() + 60 * arguments.minutes
    known["machine"] = card.machine()
    left = []
    for name, method, values in plan(arguments):
        if arguments.only and not name.startswith(arguments.only):
            continue
        # What failed is tried again.
        if name in known["steps"] and not isinstance(known["steps"][name].get("failed"), str):
            continue
        start = time.monotonic()
        try:
            if card.end - start < 5:
                raise TimeIsOver
            known["steps"][name] = getattr(card, method)(*values)
        except TimeIsOver:
            left.append(name)
            continue
        except Failed as failed:
            known["steps"][name] = {"failed": str(failed)}
        known["steps"][name]["took"] = round(time.monotonic() - start, 1)
        arguments.json.write_text(json.dumps(known, indent=1) + "\n")
        print(f"{name}: {json.dumps(known['steps'][name])[:300]}", file=sys.stderr, flush=True)
    print(table(known))
    if left:
        print(f"\nNot reached: {', '.join(left)}. The same command goes on with them.", file=sys.stderr)


main()
