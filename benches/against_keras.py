"""Times training steps of Keras and of `pipe` in turn, on the same networks, and prints the ratio.

    pip install tensorflow-cpu
    python3 benches/against_keras.py [--rounds 5] [--threads 2] [--only best/64 mlp/256]

Each round runs both in their own processes, one after the other, in alternating order. For Keras, the better of `fit` (with a
prefetching dataset) and `train_on_batch` counts. Both have the same number of threads. A ratio above 1 means that `pipe` is faster.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Network, batch size, steps of a run.
CASES = [("best", 64, 8), ("best", 320, 3), ("cnn", 32, 200), ("cnn", 256, 40), ("mlp", 32, 400), ("mlp", 256, 200)]


def keras_step(network, batch, steps, threads):
    """Prints the images per second of Keras."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import numpy as np
    import tensorflow as tf
    from keras import layers

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)

    def best():
        # The best network of Hyperopt on CIFAR-100, 7,061,116 parameters.
        penalty = keras.regularizers.L2(0.0007 * 0.41207)

        def conv(filters, kernel, activation="elu"):
            return layers.Conv2D(
                filters, kernel, padding="same", activation=activation, kernel_regularizer=penalty
            )

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
        loss = "sparse_categorical_crossentropy"
        model.compile(
            keras.optimizers.Nadam(0.00065493), [loss, loss], [1, 0.30671], metrics=[["accuracy"], ["accuracy"]]
        )
        return model

    def small(*hidden):
        model = keras.Sequential([layers.Input((28, 28, 1)), *hidden, layers.Dense(10, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    if network == "best":
        model, shape, heads = best(), (32, 32, 3), 2
    elif network == "cnn":
        model, shape, heads = small(
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(100, activation="relu"),
        ), (28, 28, 1), 1
    else:
        model, shape, heads = small(layers.Flatten(), layers.Dense(350, activation="relu")), (28, 28, 1), 1

    random = np.random.default_rng(1)
    n = batch * steps
    images = random.random((n, *shape), dtype="float32") - 0.5
    labels = [random.integers(0, 10, n) for _ in range(heads)]

    def of_batch(i):
        part = slice(i * batch, (i + 1) * batch)
        chosen = [of_head[part] for of_head in labels]
        return images[part], chosen if heads > 1 else chosen[0]

    for i in range(2):
        model.train_on_batch(*of_batch(i))
    times = []
    for i in range(steps):
        x, y = of_batch(i)
        start = time.perf_counter()
        model.train_on_batch(x, y)
        times.append(time.perf_counter() - start)
    by_batch = batch / statistics.median(times)

    targets = tuple(labels) if heads > 1 else labels[0]
    dataset = tf.data.Dataset.from_tensor_slices((images, targets)).batch(batch).prefetch(tf.data.AUTOTUNE)
    model.fit(dataset, epochs=1, verbose=0)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        model.fit(dataset, epochs=1, verbose=0)
        times.append(time.perf_counter() - start)
    print(json.dumps({"train_on_batch": by_batch, "fit": n / statistics.median(times)}))


def measured(command, threads):
    """Returns the last line that a command prints, read as JSON."""
    environment = dict(os.environ, RAYON_NUM_THREADS=str(threads))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def ours(network, batch, steps, threads):
    # It is compiled already, so `cargo bench` only runs it.
    command = ["cargo", "bench", "--quiet", "--bench", "train_step", "--", network, str(batch), str(steps)]
    return measured(command, threads)["images_per_second"]


def keras(network, batch, steps, threads):
    command = [sys.executable, __file__, "--keras", network, str(batch), str(steps), str(threads)]
    return max(measured(command, threads).values())


def main():
    if sys.argv[1:2] == ["--keras"]:
        network, *numbers = sys.argv[2:]
        return keras_step(network, *map(int, numbers))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", nargs="*", help="cases such as best/64")
    arguments = parser.parse_args()
    subprocess.run(["cargo", "bench", "--quiet", "--bench", "train_step", "--no-run"], cwd=ROOT, check=True)
    print(f"{platform.processor() or platform.machine()}, {arguments.threads} threads, {arguments.rounds} rounds")
    print(f"{'case':10} {'pipe':>10} {'Keras':>10}   ratio: median (least to largest)")
    for network, batch, steps in CASES:
        case = f"{network}/{batch}"
        if arguments.only and case not in arguments.only:
            continue
        found = []
        for i in range(arguments.rounds):
            both = [ours, keras] if i % 2 == 0 else [keras, ours]
            speeds = {run: run(network, batch, steps, arguments.threads) for run in both}
            found.append((speeds[ours], speeds[keras]))
        ratios = [a / b for a, b in found]
        medians = [statistics.median(column) for column in zip(*found)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{case:10} {medians[0]:10.0f} {medians[1]:10.0f}   {spread}", flush=True)


main()
