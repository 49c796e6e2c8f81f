#!/usr/bin/env bash
# The wheel as a user gets it: built here, installed where there is neither torch nor a compiler, and used; and what an
# install without a compiler falls back to. Says how large the install is.
#   tests/wheel.sh [PYTHON]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

try() {  # a wheel, the engine it must run
    "$python" -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check --constraint constraints.txt "$1"
    "$work/venv/bin/python" -c 'import importlib.util as u; assert not u.find_spec("torch")'
    # no compiler on the path, and none of this folder's files
    (cd "$work" && env PATH=/nowhere "$work/venv/bin/drrn" upscale photo.png --overwrite 2>&1 | tee said)
    grep -q "· $2 (" "$work/said"
    size=$(du -sm --exclude=pip --exclude='pip-*' --exclude=setuptools* "$work/venv/lib" | cut -f1)
    echo "$(basename "$1"): $(du -k "$1" | cut -f1) kB; installed with all it needs: $size MB"
    rm -rf "$work/venv"
}

cp samples/chelsea.png "$work/photo.png"
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$work/compiled" .
try "$work"/compiled/drrn-*.whl native
CXX=/bin/false "$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$work/pure" .
try "$work"/pure/drrn-*.whl reference
