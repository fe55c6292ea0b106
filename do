#!/usr/bin/env bash
# Everything a newcomer needs, one word each: ./do help
set -euo pipefail
cd "$(dirname "$0")"
export CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

usage() {
  cat <<'TEXT'
usage: ./do COMMAND [arguments]

  train [options]   install what is missing, build, train configs/quickstart.toml on the King James
                    text with two ranks, evaluate, print a sample; options go to `hecate train`
                    (--ranks N takes another number of ranks: 1 needs no mpirun)
                    (--config FILE takes another configuration)
  test [--full]     install, build and run the tests (--full: every product, sanitizers too)
  build [PRESET]    install and build (release by default)
  lint              clang-format and clang-tidy
  gpu-check         build for CUDA and run the tests of kernels, training and NCCL on the GPU
                    (without one it says so and ends with status 77)
  bench [options]   build and run the step benchmark; options go to `hecate bench step`
  clean             remove build/
TEXT
}

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

# install GROUP...: the packages of dependencies.txt that this machine lacks.
install() {
  local groups=" $* " missing=() group package _rest
  while read -r group package _rest; do
    [[ -z "$group" || "$group" == \#* || "$groups" != *" $group "* ]] && continue
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done < dependencies.txt
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    say "These packages are missing; run this line, then ./do again:"
    echo "sudo apt-get install -y --no-install-recommends ${missing[*]}"
    exit 1
  fi
  say "installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# configure PRESET [cmake options], only when something changed.
configure() {
  local preset=$1
  shift
  [[ -f build/$preset/build.ninja && $# -eq 0 ]] || cmake --preset "$preset" "$@" >/dev/null
}

build() {
  install build test
  configure "$1"
  say "building ($1)"
  cmake --build --preset "$1" ${2:+--target "$2"} | tail -n 1
}

# bits_per_byte BYTES_OF_ARCHIVE BYTES_OF_TEXT
bits_per_byte() { awk -v a="$1" -v t="$2" 'BEGIN { printf "%.2f", 8 * a / t }'; }

compare() {
  local text=$1 run=$2 size ours gz bz xz_
  size=$(wc -c < "$text")
  ours=$(grep -o '"bits_per_byte":[0-9.]*' "$run/steps.jsonl" | tail -n 1 | cut -d: -f2)
  gz=$(gzip -9 < "$text" | wc -c)
  bz=$(bzip2 -9 < "$text" | wc -c)
  xz_=$(xz -9 < "$text" | wc -c)
  printf 'bits per byte on the held-out text: hecate %.3f | gzip -9 %s | bzip2 -9 %s | xz -9 %s\n' \
    "$ours" "$(bits_per_byte "$gz" "$size")" "$(bits_per_byte "$bz" "$size")" \
    "$(bits_per_byte "$xz_" "$size")"
}

train() {
  local config=configs/quickstart.toml ranks=2
  while [[ "${1:-}" == --config || "${1:-}" == --ranks ]]; do
    [[ "$1" == --config ]] && config=${2:?--config FILE} || ranks=${2:?--ranks N}
    shift 2
  done
  install build demo
  build release hecate
  if [[ ! -f data/kjv/dataset.json ]]; then
    say "preparing the text"
    build/release/hecate data prepare configs/data/kjv.txt.gz --tokenizer sentencepiece \
      --vocab 2048 --out data/kjv
  fi
  local run
  run=runs/$(date +%Y%m%d-%H%M%S)-$(basename "$config" .toml)
  if ((ranks == 1)); then
    build/release/hecate train "$config" --run "$run" "$@"
  else
    build/release/hecate launch -n "$ranks" -- train "$config" --run "$run" "$@"
  fi
  say "sample"
  build/release/hecate generate "$run" --prompt "And it came to pass" --tokens 120 \
    --temperature 0.8 --top-p 0.95 --seed 1
  say "run directory: $run"
  compare data/kjv/validation.txt "$run"
}

# The plain tests; they include the collectives under the sanitizers, which are built first so that
# no test takes minutes. --full: all presets, each with its own summary.
run_tests() {
  if [[ "${1:-}" != --full ]]; then
    build release
    build asan collectives_sanitized
    build tsan collectives_sanitized
    ctest --preset release
    return
  fi
  local failed=() preset tests
  for preset in asan tsan f64 release; do
    tests=(ctest --preset "$preset")
    [[ $preset == release ]] && tests=(env HECATE_TEST_FULL=1 "${tests[@]}" -C full)
    { build "$preset" && "${tests[@]}"; } || failed+=("$preset")
  done
  ((${#failed[@]} == 0)) || { say "failed: ${failed[*]}"; exit 1; }
}

lint() {
  install build test lint
  configure release
  say "checking the style"
  git ls-files -z -co --exclude-standard '*.h' '*.cpp' '*.cu' '*.cuh' |
    xargs -0 clang-format --dry-run -Werror
  .ci/tidy.py build/release --jobs "$CMAKE_BUILD_PARALLEL_LEVEL"
}

# Everything that needs a GPU, with one command.
gpu_check() {
  if ! nvidia-smi -L >/dev/null 2>&1; then
    say "no GPU here (nvidia-smi lists none): nothing was checked"
    exit 77
  fi
  nvidia-smi -L
  build cuda
  local failed=0
  ctest --test-dir build/cuda -L gpu --output-on-failure || failed=1
  if command -v compute-sanitizer >/dev/null; then
    local tool
    for tool in memcheck racecheck; do
      compute-sanitizer --tool "$tool" --error-exitcode 1 \
        build/cuda/tests/runtime/kernels/kernels_cuda_test --gtest_brief=1 \
        --gtest_filter='-*BeyondOneChunk*' || failed=1
    done
  else
    say "compute-sanitizer is not installed: skipped"
  fi
  return "$failed"
}

command=${1:-help}
shift || true
case "$command" in
  train) train "$@" ;;
  test) run_tests "$@" ;;
  build) build "${1:-release}" ;;
  lint) lint ;;
  bench) build release hecate && build/release/hecate bench step "$@" ;;
  gpu-check) gpu_check ;;
  clean) rm -rf build ;;
  help | -h | --help) usage ;;
  *)
    echo "./do: unknown command '$command'" >&2
    usage >&2
    exit 2
    ;;
esac
