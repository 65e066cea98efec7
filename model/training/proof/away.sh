#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# All that the proofs train, side by side on a machine with one or two GPUs that has PyTorch and nothing else.
#
#   away.sh start ROOT SECONDS [options of lab.py]    there: in a checkout; ROOT holds part b of ../away.sh, pics.npz and pics-held.npz; in the background
#   away.sh watch ROOT SECONDS OUT                    there: waits until all has ended, or so long; tells how it goes; OUT/results.tar.gz,
#                                                     OUT/models.* by 15 MB: the models for `specialists.py engine` (cat | tar -x)
set -eu
here=$(cd "$(dirname "$0")" && pwd)

# lane GPU NAME DRIVER...: until it ends, or time does.
lane() {
    gpu=$1 name=$2 left=$((end - $(date +%s)))
    shift 2
    CUDA_VISIBLE_DEVICES=$gpu timeout $((left + 20)) python3 "$@" --budget-s $left >>"$root/$name.log" 2>&1 ||
        echo "$name: status $?: $*" >>"$root/ended.log"
}

run() {
    root=$1 end=$2
    shift 2
    export PATH="$root/bin:$PATH" PYTHONUNBUFFERED=1 OMP_NUM_THREADS=2
    other=$(($(nvidia-smi -L 2>/dev/null | grep -c GPU || true) > 1 ? 1 : 0))
    lab="--data $root/data --places $root/places --tokenizer $root/tokenizer.json --synth $root/bin/synth --espeak-data $root/espeak-ng-data
        --drawings $root/pics.npz --held-drawings $root/pics-held.npz $*"
    CUDA_VISIBLE_DEVICES=$other python3 "$here/fusion.py" make "$root/fusion" --data "$root/data" --synth "$root/bin/synth" \
        --espeak-data "$root/espeak-ng-data" --drawings "$root/pics.npz" --held-drawings "$root/pics-held.npz" >>"$root/make.log" 2>&1 &
    # shellcheck disable=SC2086 # options are words, here and below
    CUDA_VISIBLE_DEVICES=0 python3 "$here/lab.py" make "$root/lab" $lab >>"$root/make.log" 2>&1
    wait
    lab="$root/lab $lab --jobs 2"
    for kind in early late; do
        lane 0 $kind "$here/fusion.py" run "$root/fusion" --kinds $kind &
    done
    for router in cross-modal plain per-modality; do
        # shellcheck disable=SC2086
        lane 0 "router-$router" "$here/routers.py" run $lab --routers $router &
    done
    # shellcheck disable=SC2086
    {
        lane $other picture "$here/specialists.py" run $lab --roles picture &
        lane $other speech "$here/specialists.py" run $lab --roles speech &
        speech=$!
        lane $other text "$here/specialists.py" run $lab --roles text --train-only &
        text=$!
        lane $other joint "$here/specialists.py" run $lab --roles joint
        wait $text $speech
        lane $other text "$here/specialists.py" run $lab --roles text
    }
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
