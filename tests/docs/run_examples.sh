#!/usr/bin/env bash
# Runs every ```sh block of a page, in order, in one empty directory: run_examples.sh PAGE HECATE
# With MARK the ```sh MARK blocks too, and all of it by COMMAND (which may skip with 77):
# run_examples.sh PAGE HECATE MARK COMMAND...
set -euo pipefail
page=$(realpath "$1")
PATH=$(dirname "$(realpath "$2")"):$PATH
mark=${3:-}
shift $(($# < 3 ? $# : 3))
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
awk -v marked="\`\`\`sh $mark" '/^```sh$/ || $0 == marked { inside = 1; next }
  /^```$/ { inside = 0 } inside' "$page" > example.sh
[[ -s example.sh ]] || { echo "$page has no example" >&2; exit 1; }
"$@" bash -euxo pipefail example.sh
