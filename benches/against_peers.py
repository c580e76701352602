"""Times training steps of Keras and PyTorch, each at its best setting, in turn with those of `pipe` on the same networks.

    pip install tensorflow-cpu torch
    python3 benches/against_peers.py [--cases mlp/32 best/64] [--rounds 5] [--json times.json]
    python3 benches/against_peers.py --spread 20 --cases mlp/32

First every setting of a peer is tried once in a short run, and the fastest is chosen. Then each round measures `pipe` and both peers
one after the other, every measurement in a process of its own, in an order that turns from round to round. All have the same number of
threads. A ratio above 1 means that `pipe` is faster. With `--json`, what was tried and measured before is read from that file and added
to, so that the rounds can be run piece by piece. `--spread` runs only `pipe`, in so many processes, to show how they differ.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The network and its batch size.
CASES = {
    "cnn/32": ("cnn", 32),
    "cnn/256": ("cnn", 256),
    "mlp/32": ("mlp", 32),
    "mlp/256": ("mlp", 256),
    "best/64": ("best", 64),
    "best/320": ("best", 320),
}
# So many images of a run are enough: the data must fit into memory.
MOST_IMAGES = 100_000
STEPS_PER_EXECUTION = 40
SETTINGS = {
    "Keras": ["batch", "batch xla", "fit", "fit xla", "fit 40", "fit 40 xla"],
    "PyTorch": ["eager", "channels last", "compile", "compile, channels last"],
}


def data(network, batch, steps):
    """Returns images, channels last, and the labels of each head."""
    import numpy as np

    shape, classes = ((32, 32, 3), [100, 20]) if network == "best" else ((28, 28, 1), [10])
    random = np.random.default_rng(1)
    images = random.random((batch * steps, *shape), dtype="float32") - 0.5
    return images, [random.integers(0, n, batch * steps) for n in classes]


def keras_model(network, **options):
    import keras
    from keras import layers

    loss = "sparse_categorical_crossentropy"
    if network != "best":
        cnn = [layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2)]
        units = 100 if network == "cnn" else 350
        hidden = [*(cnn if network == "cnn" else []), layers.Flatten(), layers.Dense(units, activation="relu")]
        model = keras.Sequential([layers.Input((28, 28, 1)), *hidden, layers.Dense(10, activation="softmax")])
        model.compile("adam", loss, metrics=["accuracy"], **options)
        return model
    # The best network of Hyperopt on CIFAR-100.
    penalty = keras.regularizers.L2(0.0007 * 0.41207)

    def conv(filters, kernel, activation="elu"):
        return layers.Conv2D(filters, kernel, padding="same", activation=activation, kernel_regularizer=penalty)

    x = images = layers.Input((32, 32, 3))
    x = conv(16, 3)(x)
    for filters in (63, 126, 252):
        x = layers.BatchNormalization()(conv(filters, 3)(x))
        for _ in range(3):
            straight = conv(filters, 1, None)(x)
            added = conv(filters, 2)(layers.Dropout(0.25924)(x))
            x = layers.BatchNormalization()(layers.Add()([straight, added]))
        x = layers.AveragePooling2D(2)(layers.BatchNormalization()(x))
        x = layers.Dropout(0.25924)(x)
    x = layers.Dense(1308, activation="elu", kernel_regularizer=penalty)(layers.Flatten()(x))
    x = layers.Dropout(0.43223)(x)
    heads = [
        layers.Dense(n, activation="softmax", kernel_regularizer=penalty, name=name)(x)
        for name, n in (("fine", 100), ("coarse", 20))
    ]
    model = keras.Model(images, heads)
    nadam = keras.optimizers.Nadam(0.00065493)
    model.compile(nadam, [loss, loss], [1, 0.30671], metrics=[["accuracy"], ["accuracy"]], **options)
    return model


def keras_speed(network, batch, steps, threads, setting, seconds):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    together = min(STEPS_PER_EXECUTION, steps) if "40" in setting else 1
    steps -= steps % together
    model = keras_model(network, jit_compile="xla" in setting, steps_per_execution=together)
    images, labels = data(network, batch, steps)
    parameters = model.count_params()
    if setting.startswith("batch"):

        def run(i):
            part = slice(i % steps * batch, (i % steps + 1) * batch)
            chosen = [of_head[part] for of_head in labels]
            model.train_on_batch(images[part], chosen if len(chosen) > 1 else chosen[0])

        return parameters, speed(run, batch, seconds)
    targets = tuple(labels) if len(labels) > 1 else labels[0]
    dataset = tf.data.Dataset.from_tensor_slices((images, targets)).batch(batch).prefetch(tf.data.AUTOTUNE)
    return parameters, speed(lambda _: model.fit(dataset, epochs=1, verbose=0), batch * steps, seconds)


def torch_model(network):
    import torch
    from torch import nn

    if network == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 350), nn.ReLU(), nn.Linear(350, 10))
    if network == "cnn":
        convolution = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
        return nn.Sequential(*convolution, nn.Linear(32 * 13 * 13, 100), nn.ReLU(), nn.Linear(100, 10))

    def normalised(n):
        # With the constants of Keras.
        return nn.BatchNorm2d(n, eps=1e-3, momentum=0.01)

    def conv(before, n, kernel):
        return nn.Conv2d(before, n, kernel, padding="same")

    class Residual(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.straight, self.after = conv(n, n, 1), normalised(n)
            self.added = nn.Sequential(nn.Dropout(0.25924), conv(n, n, 2), nn.ELU())

        def forward(self, x):
            return self.after(self.straight(x) + self.added(x))

    class Best(nn.Module):
        def __init__(self):
            super().__init__()
            body, before = [conv(3, 16, 3), nn.ELU()], 16
            for n in (63, 126, 252):
                body += [conv(before, n, 3), nn.ELU(), normalised(n), *(Residual(n) for _ in range(3))]
                body += [normalised(n), nn.AvgPool2d(2), nn.Dropout(0.25924)]
                before = n
            body += [nn.Flatten(), nn.Linear(252 * 16, 1308), nn.ELU(), nn.Dropout(0.43223)]
            self.body = nn.Sequential(*body)
            self.fine, self.coarse = nn.Linear(1308, 100), nn.Linear(1308, 20)

        def forward(self, x):
            x = self.body(x)
            return self.fine(x), self.coarse(x)

    torch.manual_seed(1)
    return Best()


def torch_speed(network, batch, steps, threads, setting, seconds, device="cpu", precision="f32"):
    import contextlib

    import torch
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(threads)
    # On NVIDIA's cards, `pipe` multiplies f32 as TF32.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    model = torch_model(network).to(device)
    # As the others count, with the running means and variances.
    counted = [*model.parameters(), *(array for array in model.buffers() if array.dim() > 0)]
    parameters = sum(array.numel() for array in counted)
    images, labels = data(network, batch, steps)
    images = torch.from_numpy(images).permute(0, 3, 1, 2)
    layout = torch.channels_last if "channels last" in setting else torch.contiguous_format
    model, images = model.to(memory_format=layout), images.to(device).contiguous(memory_format=layout)
    labels = [torch.from_numpy(of_head).to(device) for of_head in labels]
    if network == "best":
        # A decay of the gradient by 2 λ w is the gradient of the penalty λ w². Biases and normalisation have none.
        penalty = 2 * 0.0007 * 0.41207
        kernels = [weight for weight in model.parameters() if weight.dim() > 1]
        others = [weight for weight in model.parameters() if weight.dim() == 1]
        groups = [{"params": kernels, "weight_decay": penalty}, {"params": others}]
        optimizer = torch.optim.NAdam(groups, lr=0.00065493, eps=1e-7)
    else:
        optimizer = torch.optim.Adam(model.parameters(), eps=1e-7, fused=True)
    weights = [1, 0.30671]

    def losses(x, *targets):
        with torch.autocast(device, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext():
            outputs = model(x)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        outputs = [found.float() for found in outputs]
        loss = sum(w * cross_entropy(found, wanted) for w, found, wanted in zip(weights, outputs, targets))
        # Both others count the right answers too.
        right = torch.stack([(found.argmax(1) == wanted).sum() for found, wanted in zip(outputs, targets)])
        return loss, right

    forward = torch.compile(losses) if "compile" in setting else losses
    total = torch.zeros(len(labels), dtype=torch.int64, device=device)

    def run(i):
        part = slice(i % steps * batch, (i % steps + 1) * batch)
        optimizer.zero_grad(set_to_none=True)
        loss, right = forward(images[part], *(of_head[part] for of_head in labels))
        loss.backward()
        optimizer.step()
        total.add_(right)

    model.train()
    if device == "cpu":
        return parameters, speed(run, batch, seconds)

    def epoch(i):
        # A card takes steps without being waited for. So does `pipe`, which reads once in an epoch.
        for step in range(steps):
            run(i * steps + step)
        total.tolist()

    return parameters, speed(epoch, batch * steps, seconds)


def speed(run, images, seconds):
    """Returns the images per second at the median of the runs of so many seconds, after two that do not count."""
    run(0), run(1)
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        run(len(times) + 2)
        times.append(time.perf_counter() - start)
    return images / statistics.median(times)


def measured(command, arguments):
    """Returns the last line that a command prints, read as JSON, or a reason why there is none."""
    number = str(arguments.threads)
    environment = dict(os.environ, RAYON_NUM_THREADS=number, OMP_NUM_THREADS=number)
    try:
        done = subprocess.run(
            [str(part) for part in command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=arguments.limit
        )
    except subprocess.TimeoutExpired:
        return f"took longer than {arguments.limit} s"
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return lines[-1][:200]
    return json.loads(done.stdout.strip().splitlines()[-1])


def ours(case, steps, arguments):
    # `cargo bench` only runs it, because it is compiled already.
    command = ["cargo", "bench", "--quiet", "--bench", "train_step", "--"]
    network, batch = CASES[case]
    found = measured([*([arguments.pipe] if arguments.pipe else command), network, batch, steps], arguments)
    return sys.exit(f"pipe failed at {case}: {found}") if isinstance(found, str) else found


def theirs(peer, setting, case, steps, seconds, arguments):
    network, batch = CASES[case]
    return measured(
        [sys.executable, __file__, "--one", peer, network, batch, steps, arguments.threads, setting, seconds], arguments
    )


def prepare(case, known, arguments, save):
    """Chooses the number of steps and the best setting of each peer."""
    batch = CASES[case][1]
    if "steps" not in known:
        first = ours(case, 3, arguments)
        most = max(3, min(int(arguments.seconds * first["images_per_second"] / batch), MOST_IMAGES // batch))
        known.update(steps=most, parameters=first["parameters"], tried={}, rounds=[])
    for peer, settings in SETTINGS.items():
        tried = known["tried"].setdefault(peer, {})
        for setting in settings:
            if setting in tried or (case.startswith("mlp") and "channels last" in setting):
                continue
            found = theirs(peer, setting, case, known["steps"], min(2, arguments.seconds), arguments)
            if not isinstance(found, str) and found["parameters"] != known["parameters"]:
                sys.exit(f"{peer} has {found['parameters']} parameters at {case}, pipe {known['parameters']}")
            tried[setting] = found if isinstance(found, str) else found["images_per_second"]
            shown = tried[setting] if isinstance(found, str) else f"{tried[setting]:.0f} images/s"
            print(f"{case}: {peer}, {setting}: {shown}", file=sys.stderr, flush=True)
            save()


def best_of(tried):
    worked = {setting: value for setting, value in tried.items() if not isinstance(value, str)}
    return max(worked, key=worked.get) if worked else None


def measure(case, known, arguments, save):
    chosen = {peer: best_of(known["tried"][peer]) for peer in SETTINGS}
    who = ["pipe", *(peer for peer, setting in chosen.items() if setting)]
    for _ in range(arguments.rounds):
        turn = len(known["rounds"]) % len(who)
        speeds = {}
        for name in who[turn:] + who[:turn]:
            if name == "pipe":
                found = ours(case, known["steps"], arguments)
            else:
                found = theirs(name, chosen[name], case, known["steps"], arguments.seconds, arguments)
                if isinstance(found, str):
                    sys.exit(f"{name} failed at {case}, {chosen[name]}: {found}")
            speeds[name] = found["images_per_second"]
        known["rounds"].append(speeds)
        save()


def middle(values, form):
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def table(cases, known):
    print("| network/batch | pipe, images/s | Keras, images/s | ratio | PyTorch, images/s | ratio | pairs |")
    print("|---|---|---|---|---|---|---|")
    for case in cases:
        rounds = known.get(case, {}).get("rounds")
        if not rounds:
            continue
        cells = [case, middle([speeds["pipe"] for speeds in rounds], ".0f")]
        for peer in SETTINGS:
            pairs = [(speeds["pipe"], speeds[peer]) for speeds in rounds if peer in speeds]
            if not pairs:
                cells += ["failed", "-"]
                continue
            setting = best_of(known[case]["tried"][peer])
            cells += [f"{setting}: {middle([b for _, b in pairs], '.0f')}", middle([a / b for a, b in pairs], ".2f")]
        print(f"| {' | '.join([*cells, str(len(rounds))])} |")
    for case in cases:
        for peer, tried in known.get(case, {}).get("tried", {}).items():
            shown = "; ".join(f"{name} {found if isinstance(found, str) else format(found, '.0f')}" for name, found in tried.items())
            print(f"\nTried at {case}, {peer}: {shown}", end="")
    print()


def main():
    if sys.argv[1:2] == ["--one"]:
        peer, network, batch, steps, threads, setting, seconds, *on = sys.argv[2:]
        run = {"Keras": keras_speed, "PyTorch": torch_speed}[peer]
        parameters, found = run(network, int(batch), int(steps), int(threads), setting, float(seconds), *on)
        return print(json.dumps({"parameters": parameters, "images_per_second": found}))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--rounds", type=int, default=5, help="how many pairs to measure now (5)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4, help="how long a measurement lasts, without its start (4)")
    parser.add_argument("--limit", type=float, default=300, help="a process that takes longer has failed (300 s)")
    parser.add_argument("--json", type=Path, help="reads what was measured before from this file, and adds to it")
    parser.add_argument("--pipe", type=Path, help="a compiled benches/train_step.rs, instead of `cargo bench`")
    parser.add_argument("--spread", type=int, help="runs only pipe, in so many processes")
    arguments = parser.parse_args()
    if arguments.pipe:
        arguments.pipe = arguments.pipe.resolve()
    else:
        subprocess.run(["cargo", "bench", "--quiet", "--bench", "train_step", "--no-run"], cwd=ROOT, check=True)
    known = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {}

    def save():
        if arguments.json:
            arguments.json.write_text(json.dumps(known, indent=1) + "\n")

    for case in arguments.cases:
        if arguments.spread:
            rate = ours(case, 3, arguments)["images_per_second"]
            steps = max(3, min(int(arguments.seconds * rate), MOST_IMAGES) // CASES[case][1])
            speeds = sorted(ours(case, steps, arguments)["images_per_second"] for _ in range(arguments.spread))
            print(f"{case}: {middle(speeds, '.0f')} images/s; all: {' '.join(f'{speed:.0f}' for speed in speeds)}", flush=True)
            continue
        of_case = known.setdefault(case, {})
        prepare(case, of_case, arguments, save)
        measure(case, of_case, arguments, save)
    if not arguments.spread:
        table(arguments.cases, known)


main()
