#!/bin/sh
# Make a virtual environment with a pip in it, on whatever Python this machine has.
#
#   tools/venv.sh FOLDER          PYTHON=/path/to/python chooses the interpreter
#
# Tries, in this order: venv; virtualenv or uv; venv without pip, filled by the machine's pip; and as root on Debian,
# installing python3-venv. A working environment in FOLDER is kept. Exits 1 with the way out when nothing works.
set -eu

folder=$1
minimum=3.11

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "error: $1"
  shift
  for line in "$@"; do say "  $line"; done
  exit 1
}

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

# apt_install PACKAGE: as root on Debian and its kin; says what it does, because it changes the machine.
apt_install() {
  can_install || return 1
  say "installing the system package $1 (apt-get install $1)"
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y --no-install-recommends "$1" >/dev/null 2>&1 && return 0
  apt-get update >/dev/null 2>&1 || true
  apt-get install -y --no-install-recommends "$1" >/dev/null
}

# answers PYTHON CODE: whether an interpreter runs, and runs this without an error.
answers() { "$1" -c "$2" >/dev/null 2>&1; }

recent() { answers "$1" 'import sys; sys.exit(sys.version_info < (3, 11))'; }

# candidates: interpreters on PATH that are recent enough, newest first.
candidates() {
  for name in python3.14 python3.13 python3.12 python3.11 python3 python; do
    if command -v "$name" >/dev/null 2>&1 && recent "$name"; then echo "$name"; fi
  done
}

# choose: the newest interpreter that can make environments by itself, otherwise the newest.
choose() {
  first=
  for name in $(candidates); do
    if answers "$name" 'import ensurepip, venv'; then echo "$name"; return; fi
    first=${first:-$name}
  done
  echo "$first"
}

works() { [ -x "$folder/bin/python" ] && recent "$folder/bin/python" && "$folder/bin/python" -m pip --version >/dev/null 2>&1; }

# attempt COMMAND…: run it on an empty FOLDER; succeed only when an environment with a pip came out.
attempt() {
  rm -rf "$folder"
  "$@" >/dev/null 2>&1 && works
}

by_venv() { "$python" -m venv "$folder"; }
by_virtualenv() { "$python" -m virtualenv "$folder"; }
by_virtualenv_command() { virtualenv -p "$python" "$folder"; }
by_uv() { uv venv --seed --python "$python" "$folder"; }
by_pip() { "$python" -m venv --without-pip "$folder" && "$python" -m pip --python "$folder/bin/python" install pip; }

# apt_venv: Debian keeps ensurepip in a package for each Python version.
apt_venv() {
  version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
  apt_install "$version-venv" || apt_install python3-venv
}

if ! command -v git >/dev/null 2>&1; then
  apt_install git || fail "git is not installed, and gitreg keeps everything in it" \
    "Debian, Ubuntu: sudo apt install git      Fedora: sudo dnf install git      macOS: xcode-select --install"
fi

if works; then exit 0; fi

python=${PYTHON:-$(choose)}
if [ -z "$python" ] || ! recent "$python"; then
  python=${python:-python3}
  if command -v "$python" >/dev/null 2>&1; then found=$("$python" -V 2>&1) || true; else found="no $python"; fi
  fail "gitreg needs Python $minimum or newer; found: $found" \
    "Debian 12, Ubuntu 24.04 and later: sudo apt install python3 python3-venv" \
    "Python elsewhere: make PYTHON=/path/to/python"
fi

for way in by_venv by_virtualenv by_virtualenv_command by_uv by_pip; do
  if attempt "$way"; then exit 0; fi
done
if can_install && apt_venv && attempt by_venv; then exit 0; fi

rm -rf "$folder"
fail "$(command -v "$python") ($("$python" -V)) cannot make a virtual environment: venv or ensurepip is missing" \
  "Debian, Ubuntu: sudo apt install python3-venv" \
  "another Python: make PYTHON=/path/to/python"
