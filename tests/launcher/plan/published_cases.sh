#!/usr/bin/env bash
# published_cases.sh HECATE CASES.json: strips the results, has them worked out again, compares.
set -euo pipefail
hecate=$1
cases=$2
[[ -f $cases ]] || { echo "$cases is not at hand: skipped"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 - "$cases" "$scratch/inputs.json" <<'PY'
import json, sys
results = {"holders", "owner_of_remaining", "free_slots_after", "new_owner", "adopted", "shadowed",
           "physical_to_logical", "replica_count"}
cases = json.load(open(sys.argv[1]))
for kind in cases.values():
    for case in kind if isinstance(kind, list) else []:
        for key in results & case.keys():
            del case[key]
json.dump(cases, open(sys.argv[2], "w"))
PY
"$hecate" plan --cases "$scratch/inputs.json" --out "$scratch/results.json"
"$hecate" plan --cases "$cases" > "$scratch/again.json"
python3 - "$cases" "$scratch/results.json" "$scratch/again.json" <<'PY'
import json, sys
wanted, found, again = (json.load(open(name)) for name in sys.argv[1:])
assert found == again, "results given with a case change the answer"
for kind in ("algorithm1", "algorithm2", "smartmoe", "fastermoe"):
    assert len(wanted[kind]) > 0
    for i, (a, b) in enumerate(zip(wanted[kind], found[kind], strict=True)):
        assert a == b, f"{kind}[{i}]: expected {a}, got {b}"
for a, b in zip(wanted["eplb"], found["eplb"], strict=True):
    assert a["replica_count"] == b["replica_count"]  # copies of equal load may be swapped
PY
