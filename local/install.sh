#!/bin/sh
# Makes .venv with everything that `make` needs. A machine needs Python 3.13 or uv, nothing else.
set -eu
cd "$(dirname "$0")/.."
if command -v uv >/dev/null 2>&1; then
  uv=uv
  uv venv --quiet --allow-existing --python 3.13 .venv
elif python3.13 -c '' >/dev/null 2>&1; then
  python3.13 -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
    --requirement requirements/bootstrap.txt
  uv=.venv/bin/uv
else
  echo "Batchline needs Python 3.13 or uv: install one of them, then run make again." >&2
  exit 1
fi
echo "Installing the development environment into .venv ..."
"$uv" pip sync --quiet --require-hashes --python .venv/bin/python requirements/development.txt
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation --python .venv/bin/python --editable .
touch .venv/.installed
