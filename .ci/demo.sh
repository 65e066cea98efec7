#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Captions the bundled clip in the terminal and on a page, until Ctrl-C.
set -eu
build=${1:-build}
port=${LVX_PORT:-8437}
echo
echo "  Captions appear here, and on  http://127.0.0.1:$port/   (Ctrl-C stops the daemon)"
echo
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && command -v xdg-open >/dev/null; then
    (sleep 2 && xdg-open "http://127.0.0.1:$port/") >/dev/null 2>&1 &
fi
exec "$build/daemon/lumivoxd" --port "$port" --lanes caption,translation \
    --translate-to de --log-level warn --print clients/demo/clip.webm
