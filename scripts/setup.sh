#!/usr/bin/env bash
# Installs what Tarn needs and the machine lacks, on Debian 12 and Ubuntu 24.04 or newer. Says what it
# installs and why; does nothing, quietly, where everything is there.
#
#   scripts/setup.sh            toolchain and Python environment
#   scripts/setup.sh test       the same, and what training programs need (5 GB)
#   scripts/setup.sh build      toolchain only
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

# What the build needs, one line each: package|command or file that proves it is there|why.
packages() {
  cat <<'LIST'
build-essential|cc|C compiler and headers, for zstd, SQLite and ring
clang|clang|drives the linker (.cargo/config.toml)
mold|mold|links in a second what the default linker takes half a minute for
cmake|cmake|builds the C parts of some crates
pkg-config|pkg-config|finds system libraries
protobuf-compiler|protoc|compiles the Substrait plan definitions
libprotobuf-dev|/usr/include/google/protobuf/any.proto|the definitions that Substrait's include
ca-certificates|/etc/ssl/certs/ca-certificates.crt|trusts crates.io and PyPI
curl|curl|fetches rustup
git|git|tells the version of a build
LIST
  if [ "${1:-all}" = all ]; then
    cat <<'LIST'
python3|python3|the demo's story, the end-to-end tests, the benchmarks
postgresql|/usr/lib/postgresql|the second store of the catalog, and psql, in tests
default-jre-headless|java|runs PostgreSQL's driver for Java in tests
libpostgresql-jdbc-java|/usr/share/java/postgresql.jar|that driver
nodejs|node|runs the OpenID provider and the Azure Blob Storage of the tests
npm|npm|fetches them
LIST
  fi
}

hdf5_package() {
  case "$(. /etc/os-release && echo "$ID $VERSION_ID")" in
    "debian 12") echo libhdf5-103-1 ;;
    "ubuntu 24.04") echo libhdf5-103-1t64 ;;
    *) echo libhdf5-310 ;;
  esac
}

present() {
  case "$1" in
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
  esac
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null 2>&1; then
    sudo "$@"
  else
    fail "needs root to run: $* — run it as root, or install sudo"
  fi
}

install_packages() {
  local missing=() name proof why
  while IFS='|' read -r name proof why; do
    present "$proof" && continue
    say "missing $name: $why"
    missing+=("$name")
  done < <(packages "$1")
  # A Python that can make no environment lacks Debian's split-off part.
  if [ "$1" = all ] && [ ! -x "$TARN_VENV/bin/python" ] && ! python3 -c 'import ensurepip' 2>/dev/null; then
    say "missing python3-venv: keeps the tests' Python packages away from the system's"
    missing+=(python3-venv)
  fi
  # Optional for a user: filters that Tarn has no code for. Its package has the version in its name.
  if [ "$1" = all ] && ! /sbin/ldconfig -p | grep 'libhdf5_serial\.so\.' >/dev/null; then
    say "missing $(hdf5_package): undoes HDF5's rarer filters, which the tests compare with h5py's"
    missing+=("$(hdf5_package)")
  fi
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null 2>&1 ||
    fail "no apt-get here: install these by hand and run again: ${missing[*]}"
  say "installing with apt-get: ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq ||
    fail "apt-get cannot reach its mirror; check the network, or install by hand: ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    fail "apt-get could not install: ${missing[*]}"
}

install_rust() {
  version_at_least "$(cargo_version)" "$TARN_RUST" && return 0
  if ! command -v rustup >/dev/null 2>&1; then
    say "installing rustup and Rust $TARN_RUST into ${CARGO_HOME:-$HOME/.cargo}: the compiler Tarn is written for"
    local url init
    url="https://static.rust-lang.org/rustup/dist/$(uname -m)-unknown-linux-gnu/rustup-init"
    init=$(mktemp -d)/rustup-init
    curl --proto '=https' --tlsv1.2 -sSf --max-time 120 "$url" -o "$init" ||
      fail "$url cannot be fetched; check the network, or install Rust $TARN_RUST by hand"
    chmod +x "$init"
    "$init" -y -q --profile minimal --default-toolchain "$TARN_RUST" -c rustfmt -c clippy --no-modify-path ||
      fail "rustup could not install Rust $TARN_RUST; check the network"
    rm -rf "$(dirname "$init")"
  else
    say "installing Rust $TARN_RUST beside $(rustc --version 2>/dev/null || echo 'no default toolchain'): the compiler Tarn is written for"
    rustup toolchain install "$TARN_RUST" --profile minimal -c rustfmt -c clippy ||
      fail "rustup cannot fetch Rust $TARN_RUST; check the network"
  fi
  PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH" RUSTUP_TOOLCHAIN="$TARN_RUST" cargo --version >/dev/null ||
    fail "Rust $TARN_RUST was installed but cargo does not start"
}

# Of one list of packages, and why.
install_python() {
  local list="tests/$1.txt" stamp="$TARN_VENV/tarn-$1.sha256" want
  want=$(sha256sum "$list" | cut -d' ' -f1)
  [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && "$TARN_VENV/bin/python" -c '' 2>/dev/null && return 0
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "python3 is $(python3 --version); the pinned packages need 3.11 or newer"
  say "filling $TARN_VENV with $2"
  [ -x "$TARN_VENV/bin/python" ] || python3 -m venv "$TARN_VENV"
  "$TARN_VENV/bin/python" -m pip install -q --disable-pip-version-check -r "$list" ||
    fail "pip could not install $list; check the network"
  printf '%s\n' "$want" >"$stamp"
}

# Tests that need one of these are left out without it, and say so; in CI they fail.
install_servers() {
  local folder stamp want
  folder=$(dirname "$TARN_NODE_MODULES")
  stamp="$folder/lock.sha256"
  want=$(sha256sum tests/node/package-lock.json | cut -d' ' -f1)
  [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && return 0
  say "filling $TARN_NODE_MODULES with the servers that the tests talk to (an OpenID provider, Azurite)"
  mkdir -p "$folder"
  cp tests/node/package.json tests/node/package-lock.json "$folder/"
  if npm ci --prefix "$folder" --no-audit --no-fund --ignore-scripts --silent; then
    printf '%s\n' "$want" >"$stamp"
  else
    say "npm could not install tests/node: the tests of logins and of Azure are left out"
  fi
}

part=${1:-all}
case "$part" in
  all | build | test) ;;
  *) fail "usage: scripts/setup.sh [all|build|test]" ;;
esac
# What a package is needed for tells builds from the rest.
needed=all
[ "$part" = build ] && needed=build
install_packages "$needed"
install_rust
if [ "$part" != build ]; then
  install_python requirements "the readers that Tarn is compared with (h5py, netCDF4, xarray, pyarrow, …)"
  install_servers
fi
if [ "$part" = test ]; then
  install_python requirements-training "what the Python package streams into (torch, JAX): 5 GB, which takes minutes"
fi
