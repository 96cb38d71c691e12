#!/usr/bin/env bash
# Feeds damaged and random bytes to every reader, MINUTES (2) a target. Needs nightly Rust and
# cargo-fuzz, which it installs. Stops at the first input that makes a reader panic, hang or take more
# memory than it may; that input lies in fuzz/artifacts/.
#
#   scripts/fuzz.sh [TARGET…]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
minutes=${MINUTES:-2}
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(hdf5 netcdf3 spec filters zarr)

export PATH="$TARN_CACHE/cargo-fuzz/bin:$PATH"
if ! command -v cargo-fuzz >/dev/null 2>&1; then
  echo "fuzz: installing cargo-fuzz into $TARN_CACHE/cargo-fuzz: builds and runs the targets"
  CARGO_TARGET_DIR="$TARN_CACHE/cargo-fuzz/target" \
    cargo install -q --locked cargo-fuzz --root "$TARN_CACHE/cargo-fuzz"
fi
if ! rustup toolchain list | grep -q '^nightly'; then
  echo "fuzz: installing nightly Rust: only it can watch which code an input reaches"
  rustup toolchain install nightly --profile minimal
fi

seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
"$TARN_VENV/bin/python" formats/tests/hostile/generate.py "$seeds"
mkdir -p fuzz/corpus/{hdf5,netcdf3,spec,filters,zarr}
cp "$seeds"/*.h5 "$seeds"/netcdf4.nc fuzz/corpus/hdf5/
cp "$seeds"/NETCDF3* fuzz/corpus/netcdf3/
cp demo/data/anl/*.dat fuzz/corpus/spec/
printf '\0%s\0chunk' '{"zarr_format":3,"node_type":"array","shape":[4],"data_type":"int16","chunk_grid":{"name":"regular","configuration":{"chunk_shape":[2]}},"chunk_key_encoding":{"name":"default"},"fill_value":0,"codecs":[{"name":"bytes","configuration":{"endian":"little"}},{"name":"zstd","configuration":{"level":0,"checksum":false}}],"attributes":{}}' >fuzz/corpus/zarr/three
printf '\1%s\0chunk' '{"zarr_format":2,"shape":[4,3],"chunks":[2,2],"dtype":"<f4","compressor":{"id":"blosc","cname":"lz4","clevel":5,"shuffle":1},"fill_value":"NaN","filters":[{"id":"delta","dtype":"<f4"}],"order":"F"}' >fuzz/corpus/zarr/two

for target in "${targets[@]}"; do
  echo "fuzz: $target for $minutes minutes"
  (cd fuzz && cargo +nightly fuzz run --target-dir "$CARGO_TARGET_DIR/fuzz" "$target" -- \
    -max_total_time="$((minutes * 60))" -max_len=65536 -rss_limit_mb=2048 -timeout=20 -print_final_stats=1)
done
