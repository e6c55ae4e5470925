# Sourced by the two commands of the README: installs the Debian packages that are missing, and says so.
# Building needs a C toolchain, perl (OpenSSL's own build) and libclang (bindgen); the tests also need the peers they talk to.

need_packages() {
  local missing=() package
  for package in "$@"; do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
      missing+=("$package")
    fi
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]} (or what your system calls them); install them and run this again" >&2
    return 1
  fi
  local as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  echo "installing Debian packages: ${missing[*]}" >&2
  "${as_root[@]}" apt-get update -q >&2 || echo "apt-get update failed; trying with the lists at hand" >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
}

need_rust() {
  command -v cargo >/dev/null && return 0
  echo "cargo is missing: install Rust 1.95 or newer (rustup.rs, or your distribution), then run this again" >&2
  return 1
}

# Evidence bundles are checked by python3 with `cryptography` 42 or newer; Debian 12 has an older one, so that a place of its own is made.
need_python() {
  local asks='import sys, cryptography; sys.exit(int(cryptography.__version__.split(".")[0]) < 42)'
  python3 -c "$asks" 2>/dev/null && return 0
  local venv=$PWD/target/python
  if ! "$venv/bin/python3" -c "$asks" 2>/dev/null; then
    echo "installing the Python package cryptography into target/python" >&2
    python3 -m venv "$venv" >&2
    "$venv/bin/pip" install -q --disable-pip-version-check cryptography==48.0.0 >&2
  fi
  export PATH="$venv/bin:$PATH"
}

BUILD_PACKAGES=(build-essential pkg-config perl libclang-dev)
TEST_PACKAGES=(gnupg openssl curl swaks python3 python3-venv libnet-ssleay-perl libio-socket-ssl-perl dovecot-imapd)
