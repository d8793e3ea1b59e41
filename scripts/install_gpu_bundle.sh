#!/usr/bin/env bash
# Unpack a bundle of make_gpu_bundle.sh on the GPU machine, and check it.
#
#   install_gpu_bundle.sh PARTS_DIR SITE_DIR MODEL_DIR      then: export PYTHONPATH=SITE_DIR
#
# About two minutes. The packages are compiled at once: otherwise every worker process would, at each start.
set -euo pipefail
parts=${1:?usage: install_gpu_bundle.sh PARTS_DIR SITE_DIR MODEL_DIR}
site=${2:?SITE_DIR is missing}
model=${3:?MODEL_DIR is missing}
(cd "$parts" && sha256sum --quiet --check SHA256SUMS)
unpacked=$(mktemp -d)
trap 'rm -r "$unpacked"' EXIT
mkdir -p "$site"
cat "$parts"/part.* | tar xf - -C "$unpacked"
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" "$unpacked"/*.whl
python3 -m compileall -q -j 0 "$site" >/dev/null 2>&1 || true # packages ship files of other Python versions
export PYTHONPATH=$site
# Its name means something here, too, to `train adapter` and `train export`.
cached=${MEMQUARTET_CACHE:-$HOME/.cache/memquartet}/models/smollm2-135m
mkdir -p "$cached"
cp "$unpacked/SmolLM2-135M-Instruct.Q4_1.gguf" "$cached/"
python3 -m memquartet.training.checkpoints gguf "$cached/SmolLM2-135M-Instruct.Q4_1.gguf" "$model"
python3 -c 'from memquartet.training.doctor import diagnose
for found in diagnose():
    print("ok " if found.ok else "NO ", found.name, found.detail)
    assert found.ok or not found.needed, found.advice'
