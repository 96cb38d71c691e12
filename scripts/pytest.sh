#!/usr/bin/env bash
# Runs pytest in the project's environment against the binary of the dev profile (or TARN_BIN).
#
#   scripts/pytest.sh tests -k story
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
export TARN_BIN="${TARN_BIN:-$CARGO_TARGET_DIR/debug/tarn}"
[ -x "$TARN_BIN" ] || {
  echo "no binary at $TARN_BIN: run cargo build --workspace --features tarn/postgres, or set TARN_BIN" >&2
  exit 1
}
exec "$TARN_VENV/bin/python" -m pytest "$@"
