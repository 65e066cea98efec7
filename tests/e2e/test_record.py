#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""--record with the real model: killed in the middle, the files are whole; a new run makes new ones."""
import asyncio
import json
import os
import signal
import subprocess
import tempfile
import time
import unittest
import xml.etree.ElementTree as ET

import lvx

P = "{http://www.w3.org/ns/ttml}p"


def captions(folder):
    """{extension: path} of the caption lane, by the time in the name."""
    runs = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".events.jsonl"):
            continue
        _, when, lane, *_, form = name.split(".")         # a language only where it is told
        if lane == "caption":
            runs.setdefault(when, {})[form] = os.path.join(folder, name)
    return runs


def read(path):
    with open(path, "rb") as f:
        return f.read()


def ffmpeg(path):
    """The words of a subtitle file, as FFmpeg reads it."""
    out = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", path, "-f", "srt", "-"],
                         stdout=subprocess.PIPE, check=True).stdout.decode()
    return " ".join(line for block in out.replace("\r", "").strip().split("\n\n") for line in block.split("\n")[2:]).split()


def all_words(paths):
    """The words of the four files of a run, which must be whole and say the same."""
    text = read(paths["jsonl"]).decode()
    assert text.endswith("\n")
    lines = [json.loads(line) for line in text.splitlines()]
    said = [w["text"] for e in lines for w in e["words"]]
    words = {"jsonl": said, "srt": ffmpeg(paths["srt"]), "vtt": ffmpeg(paths["vtt"]),
             "ttml": " ".join(" ".join(p.itertext()) for p in ET.parse(paths["ttml"]).iter(P)).split()}
    return words, lines


@unittest.skipIf(lvx.RANDOM_MODEL, "a model that was not trained says no cues")
class Record(unittest.TestCase):
    def test_killed_and_resumed(self):
        with tempfile.TemporaryDirectory() as folder:
            args = ("--pace", "max", "--lanes", "caption", "--record", folder, "clip=" + lvx.CLIP)
            d = lvx.Daemon(*args).__enter__()
            try:
                deadline = time.monotonic() + 120
                while True:
                    run = list(captions(folder).values())
                    if run and len(run[0]) == 4 and read(run[0]["jsonl"]).count(b"\n") >= 3:
                        break
                    self.assertLess(time.monotonic(), deadline, d.log)
                    time.sleep(0.002)
            finally:
                d.process.send_signal(signal.SIGKILL)
                d.process.wait()
                d.out.close()
            first, = captions(folder).values()
            before = {form: read(path) for form, path in first.items()}
            killed, lines = all_words(first)
            counts = sorted(map(len, killed.values()))
            # Formats are written one after another: the last cue may be in some of them only.
            longest = max(killed.values(), key=len)
            for form, words in killed.items():
                self.assertEqual(words, longest[:len(words)], form)
            self.assertLessEqual(counts[-1] - counts[0], max(len(e["words"]) for e in lines) + 20)
            self.assertGreaterEqual(len(lines), 3)

            with lvx.Daemon(*args) as d:
                while not d.stream("clip").get("end_reason"):
                    time.sleep(0.1)
            runs = captions(folder)
            self.assertEqual(len(runs), 2)
            for form, path in first.items():
                self.assertEqual(read(path), before[form], form)
            second = runs[max(runs)]
            whole, lines = all_words(second)
            self.assertEqual(set(whole), {"srt", "vtt", "ttml", "jsonl"})
            for form, words in whole.items():
                self.assertEqual(words, whole["jsonl"], form)
            # The same clip: what was recorded before the kill is how it begins.
            self.assertEqual(whole["jsonl"][:len(longest)], longest)
            self.assertGreater(len(whole["jsonl"]), len(longest))
            # And what `lumivox transcribe` writes.
            srt = subprocess.run([lvx.LUMIVOX, "transcribe", "-f", "srt", lvx.CLIP], stdout=subprocess.PIPE, check=True,
                                 env={**os.environ, "LVX_MODEL": lvx.MODEL}).stdout.decode()
            self.assertEqual(read(second["srt"]).decode(), srt)

    def test_silence_makes_final(self):
        """Live: the last cue before a long silence is on the disk soon, while the stream goes on."""
        sound = lvx.pcm(lvx.CLIP)[:10 * 32000] + bytes(12 * 32000)
        with tempfile.TemporaryDirectory() as folder, \
                lvx.Daemon("--record", folder, "--lanes", "caption") as d:
            async def run():
                pushing = asyncio.create_task(lvx.push(d, sound, chunk=3200, pace=32000, stream="mic", live=True,
                                                       format="s16le", sample_rate=16000, channels=1))
                deadline = time.monotonic() + 120
                last = None
                while not pushing.done():
                    for paths in captions(folder).values():
                        last = "jsonl" in paths and read(paths["jsonl"]).splitlines()[-1:]
                    self.assertLess(time.monotonic(), deadline)
                    await asyncio.sleep(0.1)
                    if d.stream("mic")["heard_us"] > 19e6:
                        break
                events, _ = await pushing
                return last, events

            last, events = asyncio.run(run())
            words = lvx.words(events)
            self.assertTrue(last, "nothing was recorded")
            self.assertTrue(words)
            before = [w["text"] for w in words if w["end_us"] < 11e6]
            self.assertEqual(json.loads(last[0])["words"][-1]["text"], before[-1])


if __name__ == "__main__":
    lvx.main()
