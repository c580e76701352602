#!/usr/bin/env bash
# Compiles every CUDA kernel of a study with NVIDIA's NVRTC, on a machine without a GPU:
#
#     tests/cuda/kernels.sh [PIPELINE] [--precision bf16] [--set KEY=VALUE]..
#
# PIPELINE defaults to the default study, small. For the best network of Hyperopt-CIFAR:
#
#     tests/cuda/kernels.sh studies/cifar100_best.ron --set 'raw=Fetch(Embedded(name: "shapes100", train: 800, test: 200))' \
#       --set train.epochs=1 --set visualize_filters.steps=2
#
# burn-cuda runs on a stand-in of the driver (driver.c) and writes its kernels out
# (nvrtc.c). Then NVRTC, from PyPI, compiles them in another process. Needs Rust, a C compiler, Python and the network. Takes
# about 40 minutes on two cores from nothing, half of it for building burn-cuda. With EVERY=20, only each twentieth kernel is compiled.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/tests/cuda
out=$root/target/cuda-kernels
mkdir -p "$out"

if [ "$#" -gt 0 ] && [ "${1#--}" = "$1" ]; then
  pipeline=$(realpath "$1") && shift
else
  pipeline=$root/pipeline.ron
  set -- --set raw.train=400 --set raw.test=200 --set search.trials=3 --set search.lag=1 --set search.sampler.startup=2 \
    --set search.trial.epochs=1 --set retrain_best.epochs=2 --set visualize_filters.steps=2 "$@"
fi

export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp}
(cd "$root" && CARGO_TARGET_DIR=target/gpu cargo build --profile gpu --features cuda --locked --bin pipe)
cc -shared -fPIC -O1 -Wall -Wextra -o "$out/libcuda.so.1" "$here/driver.c"
cc -shared -fPIC -O1 -Wall -Wextra -o "$out/libnvrtc.so" "$here/nvrtc.c"
for name in libcuda.so libnvrtc.so.12 libnvrtc.so.13; do
  source=${name%%.so*}
  [ "$source" = libcuda ] && target=libcuda.so.1 || target=libnvrtc.so
  ln -sf "$target" "$out/$name"
done
if [ ! -x "$out/python/bin/python" ]; then
  python3 -m venv "$out/python"
  "$out/python/bin/pip" install --quiet nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cuda-crt nvidia-cuda-cccl
fi

kernels=$out/kernels
rm -rf "$kernels" "$out/work"
mkdir -p "$kernels" "$out/work"
# Launches do nothing, so the study's numbers mean nothing. What counts is that kernels were written. CUDA_PATH is any folder that exists.
(cd "$out/work" && CUDA_PATH=$out PIPE_KERNELS=$out/work/cache KERNELS=$kernels LD_LIBRARY_PATH=$out "$root/target/gpu/gpu/pipe" run \
  --file "$pipeline" --store store --device cuda "$@") || echo "the study did not end; the kernels up to there are compiled"
"$out/python/bin/python" "$here/compile.py" "$kernels" "${EVERY:-1}"
