"""Runs the baselines of the benchmark of samplers, and freezes them in `baselines.json`:

    pip install optuna==5.0.0 hyperopt==0.3.0 cmaes scipy torch
    cargo build --release --bench regret
    python benches/regret/baselines.py run BENCH RUNS [--auto FOLDER] [--seeds 0:30] [--samplers optuna,hyperopt,..]
    python benches/regret/baselines.py freeze RUNS

BENCH is the built benchmark, which evaluates the functions: `BENCH serve`. RUNS is a file with a line of JSON for each search. A search
that has a line is not run again. FOLDER is `package/samplers/auto_sampler` of github.com/optuna/optunahub-registry.

The samplers are `optuna` (TPESampler as it is by default), `gp` (GPSampler), `auto` (AutoSampler of OptunaHub, which Optuna recommends),
`hyperopt` (tpe.suggest) and `random` (Optuna's RandomSampler). With a lag of 8, trials are asked for in batches of 8, and all of a batch
are asked for before any is told.
"""

import argparse
import json
import math
import subprocess
import sys
import time
import warnings
from collections import defaultdict
from pathlib import Path

AFTER = [25, 50, 100]
BATCH = 8


class Functions:
    """The functions, evaluated by the benchmark itself."""

    def __init__(self, bench):
        self.process = subprocess.Popen([bench, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.spaces = json.loads(self.process.stdout.readline())

    def evaluate(self, function, seed, trial, values):
        question = {"function": function, "seed": seed, "trial": trial, "values": values}
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def is_expression(node):
    kinds = {"uniform", "loguniform", "quniform", "qloguniform", "choice", "Choice", "IntRange", "FloatRange", "label"}
    return isinstance(node, dict) and len(node) == 1 and next(iter(node)) in kinds


def build(node, label, suggest):
    """Returns the value of a node of a space, or the node of another library's space. `suggest(label, kind, arguments)` makes a label;
    for a choice, the arguments are functions that build its options."""
    if isinstance(node, list):
        return [build(inner, None, suggest) for inner in node]
    if not isinstance(node, dict):
        return node
    if not is_expression(node):
        return {key: build(inner, key, suggest) for key, inner in node.items()}
    ((kind, arguments),) = node.items()
    if kind == "label":
        return build(arguments[1], arguments[0], suggest)
    if kind in ("choice", "Choice"):
        options = [lambda inner=inner: build(inner, None, suggest) for inner in arguments]
        return suggest(label, kind, options if kind == "choice" else arguments)
    return suggest(label, kind, arguments)


def optuna_value(trial, space):
    def suggest(label, kind, a):
        if kind == "choice":
            return a[trial.suggest_categorical(label, list(range(len(a))))]()
        if kind == "Choice":
            return a[trial.suggest_int(label, 0, len(a) - 1)]
        if kind == "uniform":
            return trial.suggest_float(label, a[0], a[1])
        if kind == "loguniform":
            return trial.suggest_float(label, math.exp(a[0]), math.exp(a[1]), log=True)
        if kind == "FloatRange":
            return trial.suggest_float(label, a["lo"], a["hi"], log=a.get("log", False))
        if kind == "IntRange":
            return trial.suggest_int(label, a["lo"], a["hi"], log=a.get("log", False))
        lo, hi = (a[0], a[1]) if kind == "quniform" else (math.exp(a[0]), math.exp(a[1]))
        first, last = (round(x / a[2]) * a[2] for x in (lo, hi))
        if kind == "quniform":
            return trial.suggest_float(label, first, last, step=a[2])
        # Optuna has no steps on a logarithmic scale.
        x = trial.suggest_float(label, max(first - a[2] / 2, lo), last + a[2] / 2, log=True)
        return min(max(round(x / a[2]) * a[2], first), last)

    return build(space, None, suggest)


def hyperopt_space(space):
    from hyperopt import hp

    def suggest(label, kind, a):
        if kind == "choice":
            return hp.choice(label, [option() for option in a])
        if kind == "Choice":
            return hp.quniform(label, -0.5, len(a) - 0.5, 1)
        if kind in ("IntRange", "FloatRange"):
            lo, hi = a["lo"], a["hi"]
            half = 0.499 if kind == "IntRange" else 0
            if a.get("log"):
                bounds = math.log(lo - half), math.log(hi + half)
                return hp.qloguniform(label, *bounds, 1) if kind == "IntRange" else hp.loguniform(label, *bounds)
            return hp.quniform(label, lo - half, hi + half, 1) if kind == "IntRange" else hp.uniform(label, lo, hi)
        return getattr(hp, kind)(label, *a)

    return build(space, None, suggest)


def of_hyperopt(values, space):
    """Returns Hyperopt's point with integers where the space has integers, and the options of ordered choices."""
    if is_expression(space):
        ((kind, arguments),) = space.items()
        if kind == "label":
            return of_hyperopt(values, arguments[1])
        if kind == "Choice":
            return arguments[min(max(int(round(values)), 0), len(arguments) - 1)]
        if kind == "IntRange":
            return min(max(int(round(values)), arguments["lo"]), arguments["hi"])
        if kind == "choice":
            return next((of_hyperopt(values, option) for option in arguments if fits(values, option)), values)
        return float(values)
    if isinstance(space, dict) and isinstance(values, dict):
        return {key: of_hyperopt(values[key], inner) for key, inner in space.items()}
    return values


def fits(values, option):
    if isinstance(option, dict) and not is_expression(option):
        constants = {key: inner for key, inner in option.items() if not isinstance(inner, dict)}
        return isinstance(values, dict) and set(values) == set(option) and all(values[k] == v for k, v in constants.items())
    return not isinstance(values, dict) and (is_expression(option) or values == option)


class Curve:
    """The regret of the trial with the least observed loss, after each trial."""

    def __init__(self, functions, function, seed):
        self.functions, self.function, self.seed = functions, function, seed
        self.best, self.regrets, self.failed = (math.inf, math.inf), [], 0

    def evaluate(self, values):
        found = self.functions.evaluate(self.function, self.seed, len(self.regrets), values)
        observed = math.inf if found["observed"] is None else found["observed"]
        self.failed += observed == math.inf
        self.best = min(self.best, (observed, found["regret"]))
        self.regrets.append(self.best[1])
        return observed


def optuna_sampler(name, seed, auto):
    import optuna

    if name == "optuna":
        return optuna.samplers.TPESampler(seed=seed)
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed)
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    sys.path.insert(0, str(Path(auto).parent))
    return __import__(Path(auto).name).AutoSampler(seed=seed)


def run_optuna(curve, space, sampler, lag):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=sampler)
    while len(curve.regrets) < AFTER[-1]:
        asked = [study.ask() for _ in range(min(1 if lag == 1 else BATCH, AFTER[-1] - len(curve.regrets)))]
        values = [optuna_value(trial, space) for trial in asked]
        for trial, value in zip(asked, values):
            observed = curve.evaluate(value)
            if observed == math.inf:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, observed)


def run_hyperopt(curve, space):
    import numpy
    from hyperopt import STATUS_FAIL, STATUS_OK, fmin, tpe

    def objective(values):
        observed = curve.evaluate(of_hyperopt(values, space))
        return {"status": STATUS_FAIL} if observed == math.inf else {"status": STATUS_OK, "loss": observed}

    rstate = numpy.random.default_rng(curve.seed)
    fmin(objective, hyperopt_space(space), tpe.suggest, AFTER[-1], rstate=rstate, show_progressbar=False, verbose=False)


def run(arguments):
    functions = Functions(arguments.bench)
    path = Path(arguments.runs)
    key = lambda row: (row["function"], row["sampler"], row["lag"], row["seed"])
    done = {key(json.loads(line)) for line in path.read_text().splitlines()} if path.exists() else set()
    first, end = map(int, arguments.seeds.split(":"))
    names = [name for name in functions.spaces if any(part in name for part in arguments.functions.split(","))]
    for seed in range(first, end):
        for function in names:
            for sampler in arguments.samplers.split(","):
                for lag in [1] if sampler in ("hyperopt", "random") else map(int, arguments.lags.split(",")):
                    if (function, sampler, lag, seed) in done:
                        continue
                    curve, space, start = Curve(functions, function, seed), functions.spaces[function], time.time()
                    if sampler == "hyperopt":
                        run_hyperopt(curve, space)
                    else:
                        run_optuna(curve, space, optuna_sampler(sampler, seed, arguments.auto), lag)
                    row = {"function": function, "sampler": sampler, "lag": lag, "seed": seed}
                    row |= {"regrets": [curve.regrets[n - 1] for n in AFTER], "failed": curve.failed}
                    row["seconds"] = round(time.time() - start, 1)
                    with path.open("a") as file:
                        file.write(json.dumps(row) + "\n")


def freeze(arguments):
    rows = defaultdict(dict)
    for line in Path(arguments.runs).read_text().splitlines():
        row = json.loads(line)
        rows[row["function"], row["sampler"], row["lag"]][row["seed"]] = [float(f"{x:.4g}") for x in row["regrets"]]
    lines = []
    for (function, sampler, lag), of_seed in sorted(rows.items()):
        regrets = [of_seed[seed] for seed in sorted(of_seed)]
        lines.append(json.dumps({"function": function, "sampler": sampler, "lag": lag, "regrets": regrets}))
    versions = subprocess.run([sys.executable, "-m", "pip", "freeze"], capture_output=True, text=True).stdout.split()
    named = [v for v in versions if v.split("==")[0].lower() in ("optuna", "hyperopt", "numpy", "scipy", "torch")]
    head = {"source": f"baselines.py: {' '.join(named)}, Python {sys.version.split()[0]}", "after": AFTER}
    text = json.dumps(head)[:-1] + ', "rows": [\n' + ",\n".join(lines) + "\n]}\n"
    (Path(__file__).parent / "baselines.json").write_text(text)


def main():
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run")
    running.add_argument("bench")
    running.add_argument("runs")
    running.add_argument("--auto", default="auto_sampler")
    running.add_argument("--seeds", default="0:30")
    running.add_argument("--samplers", default="optuna,hyperopt,random,gp,auto")
    running.add_argument("--lags", default="1,8")
    running.add_argument("--functions", default="")
    running.set_defaults(do=run)
    freezing = commands.add_parser("freeze")
    freezing.add_argument("runs")
    freezing.set_defaults(do=freeze)
    arguments = parser.parse_args()
    arguments.do(arguments)


main()
