#!/usr/bin/env bash
# Builds Sealpost and runs its main job end to end on free loopback ports: packaging/demo.sh [--keep]
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/debian.sh
need_rust
need_packages "${BUILD_PACKAGES[@]}"
exec cargo run --release --locked -- demo "$@"
