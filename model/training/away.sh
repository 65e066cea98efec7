#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Trains on a GPU's machine that has Python with PyTorch and nothing else: no packages, no network, no DATA. What it takes
# goes there in files of 15 MB, in two parts of about 55 and 90 MB, so that they can travel by small steps.
#
#   away.sh pack DATA MADE FOLDER    here: FOLDER/a.*, FOLDER/b.*. MADE holds what prepare.sh made, by these names: synth
#                                    ends.tsv places words sounds voices pics.npz tokenizer.json, and m3-nano to begin with, if it is there
#   away.sh unpack FOLDER PART ROOT  there, for PART a and b, at any time
#   away.sh start ROOT SECONDS [train.py's options]
#                                    there: trains on all GPUs, in the background, whatever becomes of this shell
#   away.sh watch ROOT SECONDS OUT [master|mean]
#                                    there: waits until it has ended, or so long; tells how it goes; what there is by then, OUT/w.*, by 15 MB:
#                                    cat OUT/w.* >model.safetensors (whole if sha256sum -c OUT/sum agrees), a folder with OUT/config.json for
#                                    export.py --checkpoint, and for --init, should the machine be lost
set -eu
here=$(cd "$(dirname "$0")" && pwd)

pack() {
    data=$(cd "$1" && pwd) made=$(cd "$2" && pwd) folder=$3 kbit=${LVX_KBIT:-14}
    rm -rf "$folder"
    mkdir -p "$folder"
    tmp=$(mktemp -d)
    trap 'rm -rf "$tmp"' EXIT
    # A model of 80 Mel bins hears no difference, and four times as much fits.
    mkdir -p "$tmp/a" "$tmp/b/lib" "$tmp/b/bin"
    (cd "$data" && find speech -path '*/train/*' -name '*.opus') >"$tmp/list"
    while read -r f; do
        case $f in speech/kathleen/*) to=$tmp/b/data/$f ;; *) to=$tmp/a/data/$f ;; esac
        mkdir -p "$(dirname "$to")"
        printf '%s %s\n' "$data/$f" "$to"
    done <"$tmp/list" >"$tmp/jobs"
    xargs -P "$(nproc)" -L1 sh -c 'opusdec --quiet --rate 16000 "$1" - |
        opusenc --quiet --raw --raw-rate 16000 --raw-chan 1 --bitrate "$0" --framesize 60 - "$2"' "$kbit" <"$tmp/jobs"
    cp -L "$made/pics.npz" "$tmp/a/"
    mkdir -p "$tmp/b/data/text" "$tmp/b/data/noise"
    cp "$data/speech/train.tsv" "$tmp/b/data/speech/"
    cp "$data/text/common-voice.en.txt.xz" "$data/text/common-voice.de.txt.xz" "$data/text/ljspeech.en.txt.xz" "$tmp/b/data/text/"
    cp -r "$data/noise/esc10" "$tmp/b/data/noise/"
    cp -rL "$made/places" "$made/words" "$made/sounds" "$made/voices" "$made/ends.tsv" "$made/tokenizer.json" "$tmp/b/"
    [ -d "$made/m3-nano" ] && cp -rL "$made/m3-nano" "$tmp/b/"
    cp "$made/synth" "$tmp/b/bin/synth.real"
    cp "$(command -v opusdec)" "$tmp/b/bin/opusdec.real"
    ldd "$tmp/b/bin/synth.real" "$tmp/b/bin/opusdec.real" | awk '/=> \// && !/\/(libc|libm)\.so/ {print $3}' | sort -u |
        xargs -I{} cp -L {} "$tmp/b/lib/"
    espeak=$(dirname "$(find /usr/lib -path '*espeak-ng-data/phontab' | head -n 1)")
    cp -r "$espeak" "$tmp/b/espeak-ng-data"
    find "$tmp/b/espeak-ng-data" -name '*_dict' ! -name en_dict ! -name de_dict -delete
    cp -r "$here" "$tmp/b/code"
    rm -rf "$tmp"/b/code/__pycache__ "$tmp"/b/code/*/__pycache__
    for part in a b; do
        tar -C "$tmp/$part" -cf - . | xz -0 -T0 | split -b 15000000 - "$folder/$part."
    done
    du -ch "$folder"/*
}

unpack() {
    mkdir -p "$3"
    cat "$1/$2".* | xz -d | tar -xf - -C "$3"
    [ "$2" != b ] || wrap "$(cd "$3" && pwd)"
}

# The programs that came along, with the libraries that came along.
wrap() {
    for p in synth opusdec; do
        printf '#!/bin/sh\nexport LD_LIBRARY_PATH=%s/lib\nexec %s/bin/%s.real "$@"\n' "$1" "$1" "$p" >"$1/bin/$p"
        chmod +x "$1/bin/$p"
    done
}

start() {
    root=$(cd "$1" && pwd) seconds=$2
    shift 2
    setsid nohup "$root/code/away.sh" keep "$root" "$(($(date +%s) + seconds))" "$@" >"$root/keep.log" 2>&1 </dev/null &
}

# Trains until END (seconds since 1970), more and more carefully where it breaks off.
keep() {
    root=$1 end=$2 more=
    shift 2
    export PATH="$root/bin:$PATH" PYTHONUNBUFFERED=1
    gpus=$(nvidia-smi -L 2>/dev/null | grep -c GPU || true)
    [ "$gpus" -gt 0 ] || gpus=1
    each=$(($(nproc) / gpus))
    rm -f "$root/out/weights.done"
    while [ "$(($(date +%s) + 60))" -lt "$end" ]; do
        rm -f "$root/out/peers" "$root/failed"
        mkdir -p "$root/out"
        pids=
        for i in $(seq 0 $((gpus - 1))); do
            RANK=$i WORLD_SIZE=$gpus CUDA_VISIBLE_DEVICES=$i python3 "$root/code/train.py" --data "$root/data" --places "$root/places" \
                --sounds "$root/sounds" --pictures "$root/pics.npz" --ends "$root/ends.tsv" --tokenizer "$root/tokenizer.json" \
                --synth "$root/bin/synth" --espeak-data "$root/espeak-ng-data" --voices "$root/voices" --words "$root/words" --out "$root/out" \
                --budget-s "$((end - $(date +%s)))" --makers "$((each * 2 / 3 + 1))" --builders "$((each / 5 > 2 ? each / 5 : 2))" \
                "$@" $more >>"$root/train$i.log" 2>&1 &
            pids="$pids $!"
        done
        for p in $pids; do wait "$p" || { echo "ended badly" >>"$root/failed"; kill $pids 2>/dev/null || true; }; done
        [ -e "$root/out/weights.done" ] && return
        # a step that cannot be recorded, or one bad moment: without graphs, from the last checkpoint
        more="--no-graphs --resume"
    done
}

watch() {
    root=$1 until=$(($(date +%s) + $2)) out=$3 from=$1/out/${4:-master}
    while [ "$(date +%s)" -lt "$until" ] && [ ! -e "$root/out/weights.done" ]; do sleep 2; done
    mkdir -p "$out"
    tail -n 5 "$root"/train*.log "$root/keep.log"
    cp "$root/train0.log" "$out/"
    [ -e "$from/config.json" ] || return 0
    split -b 15000000 "$from/model.safetensors" "$out/w."
    (cd "$from" && sha256sum model.safetensors) >"$out/sum"
    cp "$from/config.json" "$out/"
}

verb=${1:-}
case $verb:$# in
    pack:4 | unpack:4 | watch:[45]) ;;
    start:*) [ $# -ge 3 ] || verb= ;;
    keep:*) ;;
    *) verb= ;;
esac
[ -n "$verb" ] || { sed -n '3,14s/^# \{0,1\}//p' "$0"; exit 2; }
shift
"$verb" "$@"
