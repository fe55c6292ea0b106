#!/bin/bash
# The emulated cluster runs a job on separate nodes and leaves nothing behind, also when it is
# stopped half-way. Exits with 77 where the cluster cannot be made (ctest then skips).
# Usage: cluster_test.sh RUN PROGRAM
set -u
run=$1 program=$2
left_behind() {  # PREFIX
  ip netns list 2>/dev/null | grep -E "^$1n"
  ip -o link show 2>/dev/null | grep -oE "$1(v[0-9]+|b)\b"
}
fail() {
  echo "cluster_test: $*" >&2
  exit 1
}

"$run" --nodes 3 --ranks-per-node 2 --gbit 1 -- "$program" &
job=$!
wait "$job"
status=$?
[ "$status" = 77 ] && exit 77
[ "$status" = 0 ] || fail "the contract suite failed on six ranks of three nodes: $status"
[ -z "$(left_behind hc$job)" ] || fail "left behind: $(left_behind hc$job)"

"$run" --nodes 2 --gbit 1 -- sleep 60 &
job=$!
for _ in $(seq 100); do
  [ -n "$(ip netns pids "hc${job}n1" 2>/dev/null)" ] && break
  sleep 0.1
done
[ -n "$(left_behind hc$job)" ] || fail "the second cluster never came up"
kill -TERM "$job"
wait "$job"
[ $? != 0 ] || fail "a stopped run reported success"
[ -z "$(left_behind hc$job)" ] || fail "left behind after a stop: $(left_behind hc$job)"

false_status=0
"$run" --nodes 2 --gbit 1 -- false || false_status=$?
[ "$false_status" != 0 ] || fail "a failing command reported success"
