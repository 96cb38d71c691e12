# Sourced by the Makefile's recipes and the scripts: where cargo is and where it builds.
# Building outside the working tree lets every clone on a machine share one cache.
TARN_CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/tarn"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$TARN_CACHE/target}"
TARN_VENV="${TARN_VENV:-$TARN_CACHE/venv}"
export TARN_NODE_MODULES="${TARN_NODE_MODULES:-$TARN_CACHE/node/node_modules}"
TARN_RUST=1.95.0

# rustup puts cargo here; a shell that was open before does not know it yet.
if ! command -v cargo >/dev/null 2>&1 && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
  PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
  export PATH
fi

# version_at_least HAVE WANT
version_at_least() {
  [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# The version of the cargo that would run, or nothing. A rustup proxy without a toolchain fails.
cargo_version() {
  cargo --version 2>/dev/null | cut -d' ' -f2 || true
}

# Where the default toolchain is too old, the one that setup.sh installed is used for this process.
if ! version_at_least "$(cargo_version)" "$TARN_RUST"; then
  RUSTUP_TOOLCHAIN="$TARN_RUST"
  export RUSTUP_TOOLCHAIN
fi
