#!/usr/bin/env bash
# Runs fuzz targets one after the other; `make fuzz` calls it.
#   fuzz/run.sh SECONDS TARGET...
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
seconds=$1
shift
export PATH=$root/.tools/bin:$PATH
cd "$root"
python3 fuzz/seeds.py fuzz/corpus
failed=()
for target in "$@"; do
  printf '\nfuzz: %s for %s s\n' "$target" "$seconds"
  # No sanitizer: unsafe code is forbidden here, so what is looked for are panics and broken promises.
  rustup run nightly cargo fuzz run --sanitizer none "$target" -- \
    -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -max_len=20000 -print_final_stats=1 -verbosity=0 -print_funcs=0 ||
    failed+=("$target")
done
if [ ${#failed[@]} -gt 0 ]; then
  printf '\nfuzz: failed: %s (the inputs are in fuzz/artifacts/)\n' "${failed[*]}" >&2
  exit 1
fi
printf '\nfuzz: %s ran for %s s each, nothing found\n' "$*" "$seconds"
