#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# All that the proofs train, side by side on a machine with one or two GPUs that has PyTorch and nothing else.
#
#   away.sh start ROOT SECONDS [options of lab.py]    there: in a checkout; ROOT holds part b of ../away.sh, pics.npz and pics-held.npz; in the background
#   away.sh watch ROOT SECONDS OUT                    there: waits until all has ended, or so long; tells how it goes; OUT/results.tar.gz,
#                                                     OUT/models.* by 15 MB: the models for `specialists.py engine` (cat | tar -x)
set -eu
here=$(cd "$(dirname "$0")" && pwd)

# lane GPU NAME 'COMMAND' ...: one after another, whatever becomes of each.
lane() {
    gpu=$1 name=$2
    shift 2
    for command in "$@"; do
        # shellcheck disable=SC2086 # options are words
        CUDA_VISIBLE_DEVICES=$gpu timeout $((end - $(date +%s) + 20)) python3 $command --budget-s $((end - $(date +%s))) >>"$root/$name.log" 2>&1 ||
            echo "$name: status $?: $command" >>"$root/ended.log"
    done
}

run() {
    root=$1 end=$2
    shift 2
    export PATH="$root/bin:$PATH" PYTHONUNBUFFERED=1 OMP_NUM_THREADS=2
    other=$(($(nvidia-smi -L 2>/dev/null | grep -c GPU || true) > 1 ? 1 : 0))
    lab="--data $root/data --places $root/places --tokenizer $root/tokenizer.json --synth $root/bin/synth --espeak-data $root/espeak-ng-data
        --drawings $root/pics.npz --held-drawings $root/pics-held.npz $*"
    proof=$here out="$root/lab"
    # shellcheck disable=SC2086
    CUDA_VISIBLE_DEVICES=$other python3 "$proof/fusion.py" make "$root/fusion" --data "$root/data" --synth "$root/bin/synth" \
        --espeak-data "$root/espeak-ng-data" --drawings "$root/pics.npz" --held-drawings "$root/pics-held.npz" >>"$root/make.log" 2>&1 &
    CUDA_VISIBLE_DEVICES=0 python3 "$proof/lab.py" make "$out" $lab >>"$root/make.log" 2>&1
    wait
    lab="$lab --jobs 2"
    lane 0 early "$proof/fusion.py run $root/fusion --kinds early" &
    lane 0 late "$proof/fusion.py run $root/fusion --kinds late" &
    for router in cross-modal plain per-modality; do
        lane 0 "router-$router" "$proof/routers.py run $out $lab --routers $router" &
    done
    lane $other text "$proof/specialists.py run $out $lab --roles text --train-only" &
    text=$!
    lane $other speech "$proof/specialists.py run $out $lab --roles speech" &
    speech=$!
    lane $other picture "$proof/specialists.py run $out $lab --roles picture" &
    lane $other joint "$proof/specialists.py run $out $lab --roles joint"
    wait $text $speech
    lane $other text "$proof/specialists.py run $out $lab --roles text"
    wait
    touch "$root/done"
}

watch() {
    root=$1 until=$(($(date +%s) + $2)) out=$3
    while [ "$(date +%s)" -lt "$until" ] && [ ! -e "$root/done" ]; do sleep 2; done
    mkdir -p "$out"
    tail -qn 2 "$root"/*.log | cut -c 1-300
    [ ! -d "$root/lab/results" ] || tar -C "$root" -czf "$out/results.tar.gz" --ignore-failed-read lab/results fusion/results "$root"/*.log 2>/dev/null || true
    folders=$(python3 "$here/specialists.py" folders "$root/lab")
    # shellcheck disable=SC2086
    [ -z "$folders" ] || tar -C "$root/lab/models" -cf - $folders | split -b 15000000 - "$out/models."
}

verb=${1:-}
case $verb:$# in
    watch:4) shift; watch "$@" ;;
    start:*)
        [ $# -ge 3 ] || exit 2
        root=$(cd "$2" && pwd) end=$(($(date +%s) + $3))
        shift 3
        setsid nohup "$here/away.sh" run "$root" "$end" "$@" >"$root/keep.log" 2>&1 </dev/null &
        ;;
    run:*) shift; run "$@" ;;
    *) sed -n '3,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
