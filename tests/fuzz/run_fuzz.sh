#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run_fuzz.sh TARGET CORPUS: fuzzes for LVX_FUZZ_SECONDS from the committed seeds.
set -eu
target=$(realpath "$1") # meson gives it relative to the build folder
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/corpus"
[ ! -d "$2" ] || cp -r "$2/." "$work/corpus/"
export LVX_LOG=error
cd "$work"
# A crash input is printed as base64, so that it can be turned into a seed.
if ! "$target" -max_total_time="${LVX_FUZZ_SECONDS:-60}" -rss_limit_mb=2048 -timeout=10 \
    -max_len=65536 -print_final_stats=1 corpus >log 2>&1; then
    tail -n 60 log
    for f in crash-* leak-* timeout-* oom-*; do
        [ -e "$f" ] && { echo "$f:"; base64 "$f"; }
    done
    exit 1
fi
grep -E 'stat::number_of_executed_units|cov:' log | tail -n 2
