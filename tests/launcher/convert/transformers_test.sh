#!/bin/bash
# transformers_test.py with the first Python there is; 77 (skipped) without one.
python=${HECATE_PYTHON:-python3}
command -v "$python" > /dev/null || { echo "skipped: no $python"; exit 77; }
exec "$python" "${0%.sh}.py" "$@"
