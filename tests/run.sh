#!/usr/bin/env bash
# Everything that is checked: formatting, lints, and all tests with their real peers. Arguments go to `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/debian.sh
need_rust
need_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
need_python
if [ $# -eq 0 ]; then
  cargo fmt --check
  cargo clippy --locked --all-targets -- -D warnings
fi
exec cargo test --locked "$@"
