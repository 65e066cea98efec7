#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the bundled clip, clients/demo/clip.webm, and its truth, clip.json, from nothing but
# scenes.py and draw.py: speech by espeak-ng, pictures drawn here. Needs espeak-ng (with its
# development files), ffmpeg with libvpx and libopus, and python3 with PIL.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$here/../../clients/demo
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck disable=SC2046
${CC:-cc} -std=gnu17 -O1 "$here/speak.c" -o "$work/speak" $(pkg-config --cflags --libs espeak-ng)
PYTHONDONTWRITEBYTECODE=1 /usr/bin/env "${PYTHON:-python3}" "$here/make_clip.py" "$work/speak" "$work"
ffmpeg -nostdin -v error -y -f rawvideo -pix_fmt rgb24 -s 640x360 -r 10 -i "$work/frames.rgb" \
	-i "$work/clip.wav" -map 0:v -map 1:a -fflags +bitexact -flags:v +bitexact -flags:a +bitexact \
	-c:v libvpx -b:v 180k -quality good -cpu-used 1 -g 20 -threads 1 -pix_fmt yuv420p \
	-c:a libopus -b:a 40k -ac 1 "$work/clip.webm"
mkdir -p "$out"
cp "$work/clip.webm" "$work/clip.json" "$out/"
ls -l "$out/clip.webm"
