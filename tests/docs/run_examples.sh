#!/usr/bin/env bash
# Runs every ```sh block of a page, in order, in one empty directory: run_examples.sh PAGE HECATE
set -euo pipefail
page=$(realpath "$1")
PATH=$(dirname "$(realpath "$2")"):$PATH
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
awk '/^```sh$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$page" > example.sh
[[ -s example.sh ]] || { echo "$page has no example" >&2; exit 1; }
bash -euxo pipefail example.sh
