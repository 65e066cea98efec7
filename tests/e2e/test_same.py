#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same sound gives the same words: by file, by pushed PCM in any chunks, in containers, alone or in company."""
import asyncio
import os
import random
import subprocess
import tempfile
import unittest

import lvx


def key(events, lanes=("caption",)):
    """What must not differ: words with their times and confidence, lane by lane."""
    return [(e["lane"], e["segment"], e["segment_end"], w["text"], w["start_us"], w["end_us"], w["confidence"])
            for lane in lanes for e in events if e["type"] == "text" and e["lane"] == lane
            for w in e["words"] or [{"text": "", "start_us": 0, "end_us": 0, "confidence": 0}]]


class Same(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.TemporaryDirectory()
        cls.wav = os.path.join(cls.dir.name, "clip.wav")
        cls.flac = os.path.join(cls.dir.name, "clip.mka")
        make = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", lvx.CLIP, "-ac", "1", "-ar", "16000", "-vn"]
        subprocess.run([*make, "-t", "24", "-c:a", "pcm_s16le", cls.wav], check=True)
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", cls.wav, "-c:a", "flac", cls.flac], check=True)
        cls.pcm = lvx.pcm(cls.wav)
        cls.daemon = lvx.Daemon("--pace", "max", "file=" + cls.wav, "--rows", "6").__enter__()
        cls.by_file = asyncio.run(lvx.watch(cls.daemon, "file"))
        cls.want = key(cls.by_file)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__()
        cls.dir.cleanup()

    def raw(self, chunk, **more):
        events, reason = asyncio.run(lvx.push(self.daemon, self.pcm, chunk, format="s16le", sample_rate=16000,
                                              channels=1, **more))
        self.assertEqual(reason, "ended")
        return key(events)

    def test_file_says_something(self):
        print(f"\n  {lvx.text(self.by_file)}")
        self.assertGreater(len(self.want), 0 if lvx.RANDOM_MODEL else 20)

    def test_pcm_in_chunks(self):
        for chunk in (100001, 4096, 997):
            with self.subTest(chunk=chunk):
                self.assertEqual(self.raw(chunk), self.want)

    def test_other_sample_formats(self):
        import array
        f32 = array.array("f", (x / 32768 for x in array.array("h", self.pcm))).tobytes()
        events, _ = asyncio.run(lvx.push(self.daemon, f32, 9999, format="f32le", sample_rate=16000, channels=1))
        self.assertEqual(key(events), self.want)
        two = array.array("h")
        for x in array.array("h", self.pcm):
            two.extend((x, 0))
        events, _ = asyncio.run(lvx.push(self.daemon, two.tobytes(), 10000, format="s16le", sample_rate=16000,
                                         channels=2, channel=0))
        self.assertEqual(key(events), self.want)

    def test_containers_without_loss(self):
        for path in (self.wav, self.flac):
            with open(path, "rb") as f:
                data = f.read()
            for chunk in (65536, 1500):
                with self.subTest(path=os.path.basename(path), chunk=chunk):
                    events, reason = asyncio.run(lvx.push(self.daemon, data, chunk, format="container"))
                    self.assertEqual((reason, key(events)), ("ended", self.want))

    def test_webm_push_is_the_webm_file(self):
        """The codec's loss is in both; so are the pictures."""
        with open(lvx.CLIP, "rb") as f:
            data = f.read()
        pushed = [lvx.text(asyncio.run(lvx.push(self.daemon, data, chunk, format="container"))[0])
                  for chunk in (65536, 3333)]
        self.assertEqual(pushed[0], pushed[1])
        out = subprocess.run([lvx.LUMIVOX, "transcribe", "--model", lvx.MODEL, "--format", "json", lvx.CLIP],
                             stdout=subprocess.PIPE, text=True, check=True).stdout
        by_file = lvx.wer.read_json_lines(out.splitlines()).get("clip", "")
        if not lvx.RANDOM_MODEL:
            differ = lvx.wer.score({"clip": by_file}, {"clip": pushed[0]})["wer"]
            print(f"\n  file against push: {differ:.1%} of the words differ (resampled by different libraries)")
            self.assertLess(differ, 0.15)

    def test_in_company(self):
        async def together():
            rng = random.Random(5)
            jobs = [lvx.push(self.daemon, self.pcm, rng.randrange(500, 50000), format="s16le", sample_rate=16000,
                             channels=1) for _ in range(4)]
            return await asyncio.gather(*jobs)
        for events, reason in asyncio.run(together()):
            self.assertEqual((reason, key(events)), ("ended", self.want))

    def test_transcribe_is_the_daemon(self):
        out = subprocess.run([lvx.LUMIVOX, "transcribe", "--model", lvx.MODEL, "--format", "json", self.wav],
                             stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertEqual(lvx.wer.read_json_lines(out.splitlines()).get("clip", ""), lvx.text(self.by_file))


if __name__ == "__main__":
    lvx.main()
