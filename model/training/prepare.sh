#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes of DATA all that training takes, on Debian 12 and without a GPU. README.md says what the stages are, and how long they take.
#
#   prepare.sh DATA MADE [FOLDER]    MADE gets synth ends.tsv places words sounds voices pics.npz pics-held.npz tokenizer.json m3-nano;
#                                    FOLDER, if given, these packed (away.sh pack) for a machine with GPUs
#
# What is there is not made again: an interrupted run goes on where it was, a stage is made anew after its result has been removed.
# FOLDER is packed again when something of MADE or of this folder is newer. MADE/log/STAGE has what a stage says.
# As root, or with sudo, it installs the packages that are missing (.ci/packages.sh train, pictures); python3 must be Debian's.
set -eu
[ $# = 2 ] || [ $# = 3 ] || { sed -n '3,11s/^# \{0,1\}//p' "$0"; exit 2; }
here=$(cd "$(dirname "$0")" && pwd) shipped=$here/../weights/m3-nano packages=$here/../../.ci/packages.sh
data=$(cd "$1" && pwd)
mkdir -p "$2"
made=$(cd "$2" && pwd) folder=
[ $# = 2 ] || { mkdir -p "$(dirname "$3")"; folder=$(cd "$(dirname "$3")" && pwd)/$(basename "$3"); }
for f in speech/train.tsv text/pairs noise/esc10 images/fxemoji.tar.xz; do
    [ -e "$data/$f" ] || { echo "prepare.sh: DATA lacks $f; README.md has the layout" >&2; exit 2; }
done
mkdir -p "$made/log" "$made/tmp"
exec 9>"$made/lock"
flock -n 9 || { echo "prepare.sh: another run is at work in $made" >&2; exit 1; }

# run STAGE COMMAND...: with its log, and a line on how long it took
run() {
    name=$1 begin=$(date +%s)
    shift
    "$@" >"$made/log/$name" 2>&1 </dev/null || {
        echo "prepare.sh: $name failed; the end of $made/log/$name:" >&2
        tail -n 5 "$made/log/$name" >&2
        exit 1
    }
    printf '%-16s %4d s\n' "$name" $(($(date +%s) - begin))
}

# make STAGE COMMAND...: COMMAND writes MADE/tmp/STAGE, which becomes MADE/STAGE when it is whole
make() {
    [ ! -e "$made/$1" ] || return 0
    rm -rf "$made/tmp/$1"
    run "$@"
    mv "$made/tmp/$1" "$made/$1"
}

install() {
    "$packages" "$1" || { echo "as root: $(readlink -f "$packages") $1"; return 1; }
}

icons() {
    mkdir "$made/tmp/modules" &&
        npm install --prefix "$made/tmp/modules" openmoji@17.0.0 @twemoji/svg@15.0.0 @iconify-json/fluent-emoji@1.2.7 \
            @iconify-json/fluent-emoji-flat@1.2.6 @iconify-json/emojione@1.2.3 @iconify-json/emojione-v1@1.2.3 \
            @iconify-json/noto@1.2.9 @iconify-json/noto-v1@1.2.5 @iconify-json/streamline-emojis@1.2.4 \
            @iconify-json/fluent-emoji-high-contrast@1.2.6 @iconify-json/emojione-monotone@1.2.1 @iconify-json/game-icons@1.2.4 @iconify-json/icon-park@1.2.4
}

drawings() {
    $one python3 "$here/drawings.py" "$data/images/fxemoji.tar.xz" "$made/modules/node_modules" "$made/tmp/pics.npz" "$made/tmp/pics-held.npz" &&
        mv "$made/tmp/pics-held.npz" "$made/"
}

# Whether FOLDER is there and as new as what it is packed of.
packed() {
    [ -d "$folder" ] && [ -z "$(find "$here" $wanted m3-nano -name __pycache__ -prune -o -type f -newer "$folder" -print -quit 2>/dev/null)" ]
}

pack() {
    touch "$made/tmp/pack" && rm -rf "$folder.tmp" && "$here/away.sh" pack "$data" "$made" "$folder.tmp" &&
        rm -rf "$folder" && mv "$folder.tmp" "$folder" && touch -r "$made/tmp/pack" "$folder"    # what changed meanwhile is newer
}

cd "$made"
wanted="synth ends.tsv places words sounds voices pics.npz tokenizer.json"
missing=
for f in $wanted; do [ -e "$f" ] || missing="$missing $f"; done
if [ -n "$missing" ] || { [ -n "$folder" ] && ! packed; }; then
    run packages install train
    # where there is another Python than Debian's, these packages are not its own
    python3 -c 'import numpy, PIL, torch, sentencepiece' ||
        { echo "prepare.sh: $(command -v python3) is not Debian's, which is in /usr/bin" >&2; exit 1; }
fi
[ -e pics.npz ] || run packages-pictures install pictures

# The weights, to begin with, go with their tokenizer only; who trains from nothing may have put another one here before.
make tokenizer.json cp "$shipped/tokenizer.json" tmp/
[ -e m3-nano ] || ! cmp -s tokenizer.json "$shipped/tokenizer.json" || make m3-nano cp -r "$shipped" tmp/m3-nano
jobs=$(nproc)
make synth "$here/build.sh" "$made/tmp/synth"

# All but the last keeps both cores of a small machine busy in any order; what waits for the network comes beside the longest.
# With one thread a process: more would only wait for each other.
one="env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1"
trap 'trap - INT; kill 0' INT        # a shell's background jobs do not get it
(
    make warped.tsv $one python3 "$here/align.py" "$data" "$made/synth" "$made/tmp/warped.tsv" --jobs "$jobs"
    make ends.tsv $one python3 "$here/refine.py" "$data" "$made/synth" "$made/warped.tsv" "$made/tmp/ends.tsv" --jobs "$jobs"
) &
ends=$!
(
    [ -e pics.npz ] || make modules icons
    make pics.npz drawings
    make sounds $one python3 "$here/sounds.py" build "$made/tmp/sounds"
    make places $one python3 "$here/align_text.py" "$data" "$made/tmp/places"
    make words python3 "$here/lexicon.py" build "$made/tmp/words"
    make voices $one python3 "$here/voices.py" "$data" "$made/places" "$made/tmp/voices" --jobs "$jobs"
) &
others=$!
failed=
wait $ends || failed=yes
wait $others || failed=yes
[ -z "$failed" ] || exit 1
[ -z "$folder" ] || packed || run pack pack
