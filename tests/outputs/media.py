# SPDX-License-Identifier: Apache-2.0
"""What the tests of the outputs share: programmes made by FFmpeg, and what FFmpeg says of results."""
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "daemon"))
from harness import PATIENCE  # noqa: E402


def ffmpeg(*args, **kwargs):
    return subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *args], check=True, timeout=PATIENCE, **kwargs)


def programme(path, seconds=20, rate="30000/1001", video=("libx264", "-bf", "3"), audio=("aac",)):
    codec, *more = video
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=320x180:r={rate}:d={seconds}", "-f", "lavfi", "-i", f"sine=440:d={seconds}",
           "-c:v", codec, "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "30", *more, "-c:a", *audio, path)
    return path


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def hashes(path):
    """Of each decoded picture."""
    out = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", path, "-map", "0:v", "-vsync", "passthrough", "-f",
                          "framehash", "-"], check=True, capture_output=True, text=True, timeout=PATIENCE).stdout
    return [line.split(",")[-1].strip() for line in out.splitlines() if line and line[0] != "#"]


def probe(path, entries, *args):
    return subprocess.run(["ffprobe", "-v", "error", *args, "-show_entries", entries, "-of", "csv=p=0", path], check=True,
                          capture_output=True, text=True, timeout=PATIENCE).stdout.split()


class Popen:
    """A receiver, or sender, that is stopped at the end."""

    def __init__(self, *args):
        self.proc = subprocess.Popen(args, stdin=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.send_signal(signal.SIGTERM)
        self.proc.wait(PATIENCE)


def wait_log(d, text):
    wait(lambda: text in d.stderr(), lambda: d.stderr())


def wait_size(path, size):
    wait(lambda: os.path.exists(path) and os.path.getsize(path) >= size, lambda: path)


def wait(test, say):
    end = time.monotonic() + PATIENCE
    while not test():
        assert time.monotonic() < end, say()
        time.sleep(0.05)
