#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# All tests, or one part:  .ci/check.sh [test|sanitize|tsan|fuzz]...
# The last line sums up what every part ran.
set -u
cd "$(dirname "$0")/.."
fuzz_seconds=${LVX_FUZZ_SECONDS:-60}
status=0

say() { printf '\n== %s ==\n' "$*"; }
fail() { echo "FAILED: $*" >&2; status=1; }

# build_in DIR [meson options]: set up (again, where the options changed) and build.
build_in() {
    dir=$1
    shift
    if [ -f "$dir/build.ninja" ]; then
        meson configure "$dir" $(printf '%s\n' "$@" | grep '^-D' || true) >/dev/null
    else
        meson setup "$dir" --fatal-meson-warnings "$@" >"$dir.setup.log" 2>&1 ||
            { cat "$dir.setup.log"; return 1; }
    fi
    ninja -C "$dir" >"$dir.ninja.log" 2>&1 || { tail -n 60 "$dir.ninja.log"; return 1; }
}

part_test() {
    say "build and test"
    build_in build --buildtype=debugoptimized || { fail "build"; return; }
    meson test -C build --print-errorlogs || fail "tests"
}

part_sanitize() {
    say "tests under AddressSanitizer, LeakSanitizer and UBSan"
    CC=clang build_in build-asan -Db_sanitize=address,undefined -Db_lundef=false \
        -Dbuildtype=debugoptimized || { fail "sanitizer build"; return; }
    # The drivers' JIT and GLib's type system keep memory for the life of the process.
    ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 \
    LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0 \
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
        meson test -C build-asan --print-errorlogs --timeout-multiplier 4 \
        --suite base --suite pipeline --suite model --suite daemon || fail "sanitized tests"
}

part_tsan() {
    say "ring and bell under ThreadSanitizer"
    CC=clang build_in build-tsan -Db_sanitize=thread -Db_lundef=false \
        -Dbuildtype=debugoptimized || { fail "tsan build"; return; }
    TSAN_OPTIONS=halt_on_error=1 \
        meson test -C build-tsan --print-errorlogs --timeout-multiplier 4 --suite tsan ||
        fail "thread-sanitized tests"
}

part_fuzz() {
    say "fuzz targets, $fuzz_seconds s each"
    # The fuzzer is blind to code without its counters: the libraries need them, not only the targets.
    CC=clang build_in build-fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false \
        -Dbuildtype=debugoptimized -Dc_args=-fsanitize=fuzzer-no-link || { fail "fuzz build"; return; }
    LVX_FUZZ_SECONDS=$fuzz_seconds \
        meson test -C build-fuzz --print-errorlogs --suite fuzz --num-processes 2 ||
        fail "fuzz targets"
}

[ $# -gt 0 ] || set -- test sanitize tsan fuzz
rm -f build*/meson-logs/testlog.json
for part in "$@"; do
    "part_$part"
done

# One line in words that anyone, and any tool, understands.
count() { cat build*/meson-logs/testlog.json 2>/dev/null | grep -oE "\"result\": \"($1)\"" | wc -l; }
passed=$(count 'OK|EXPECTEDFAIL')
failed=$(count 'FAIL|TIMEOUT|ERROR|INTERRUPT|UNEXPECTEDPASS')
skipped=$(count 'SKIP')
[ "$status" = 0 ] || [ "$failed" -gt 0 ] || failed=1
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
