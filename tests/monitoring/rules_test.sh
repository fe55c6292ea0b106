#!/usr/bin/env bash
# rules_test.sh FOLDER: promtool's checks of monitoring/prometheus.
set -euo pipefail
command -v promtool >/dev/null || { echo "no promtool: skipped" >&2; exit 77; }
cd "$1"
promtool check rules rules/*.yml
promtool check config prometheus.yml
promtool test rules tests/*.yml
