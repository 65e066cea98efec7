#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing of the Debian 12 packages that a goal needs:
#   .ci/packages.sh demo     build and run
#   .ci/packages.sh check    the same, and everything that the tests use
#   .ci/packages.sh train    the same, and what model/training uses
#   .ci/packages.sh pictures what model/training/drawings.py makes its drawings of
set -eu

demo="build-essential meson ninja-build pkg-config glslang-tools
  libvulkan-dev mesa-vulkan-drivers
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev gstreamer1.0-plugins-base
  gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav
  libavformat-dev libavcodec-dev libavutil-dev libswresample-dev libswscale-dev libglib2.0-dev
  portaudio19-dev libkissfft-dev libwebsockets-dev libjansson-dev libutf8proc-dev libinih-dev libssl-dev zlib1g-dev
  libebur128-dev libwebrtc-audio-processing-dev espeak-ng ca-certificates"
check="clang libclang-rt-14-dev libcmocka-dev spirv-tools valgrind vulkan-validationlayers
  ffmpeg gstreamer1.0-tools gstreamer1.0-plugins-ugly libasound2-plugins openssl curl
  libzvbi-dev libespeak-ng-dev flite pocketsphinx pocketsphinx-en-us
  python3 python3-numpy python3-pil python3-websockets chromium fonts-dejavu-core"
# For the clients of tests/doors; a Node from elsewhere brings its own npm.
command -v npm >/dev/null || check="$check nodejs npm"
train="python3-torch python3-sentencepiece libopenblas0-pthread libespeak-ng-dev flite1-dev
  opus-tools librsvg2-bin opencc wordnet-base wordnet-sense-index wamerican wngerman
  festival festlex-cmu festlex-poslex festvox-kdlpc16k festvox-us-slt-hts htsengine
  frozen-bubble-data asc-music hyperrogue-music supertux-data extremetuxracer-data"
pictures="python3-numpy python3-pil python3-fonttools librsvg2-bin fonts-noto-color-emoji fonts-symbola openclipart-svg
  fonts-dejavu-core fonts-lato fonts-roboto-unhinted gnome-backgrounds mate-backgrounds
  plasma-workspace-wallpapers lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 ukui-wallpapers"

goal=${1:-demo}
case $goal in
demo) want=$demo ;;
check) want="$demo $check" ;;
train) want="$demo $check $train" ;;
pictures) want=$pictures ;;
*)
    echo "packages.sh: unknown goal '$goal'; known are demo, check, train, pictures" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "This is not a Debian system: install the equivalents of these packages by hand," >&2
    echo "then run 'make build':" $want >&2
    exit 1
fi

missing=
for p in $want; do
    dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed ||
        missing="$missing $p"
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "These packages are missing; install them as root:$missing" >&2
        exit 1
    }
    sudo=sudo
fi
echo "Installing:$missing"
# sudo keeps no environment, and a mirror may be slow.
get() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 "$@" </dev/null; }
for try in 1 2 3; do
    # An old list may still do.
    get update || echo "packages.sh: the lists of packages could not all be fetched" >&2
    get install -y --no-install-recommends $missing && exit 0
    [ "$try" = 3 ] || sleep 10
done
echo "packages.sh: these packages could not be installed:$missing" >&2
exit 1
