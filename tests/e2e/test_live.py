#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The bundled clip as it comes live: the captions are right, and come while the programme runs. The figures are
printed; what is asserted is generous, for slow machines run tests too."""
import asyncio
import os
import unittest

import live
import lvx


class Live(unittest.TestCase):
    def check(self, name, result):
        print(f"\n  {result.text}")
        print("  " + lvx.show_delays(name, result.delays))
        self.assertEqual([e for e in result.events if e["type"] == "gap"], [])
        seqs = [e["seq"] for e in result.events if "seq" in e]
        self.assertEqual(seqs, sorted(set(seqs)))
        if lvx.RANDOM_MODEL:
            return
        r = result.wer()
        print("  " + lvx.wer.show(name, r))
        self.assertLess(r["wer"], 0.30)
        self.assertGreater(len(result.delays), 60)
        self.assertLess(lvx.quantile(result.delays, 0.5), 3000)

    def test_file(self):
        with lvx.Daemon("--pace", "clock", "clip=" + lvx.CLIP) as d:
            self.check("file", asyncio.run(live.by_file(d, "clip")))
            self.assertEqual(d.stream("clip")["state"], "ended")

    def test_push(self):
        with lvx.Daemon() as d:
            self.check("push", asyncio.run(live.by_push(d)))

    def test_microphone(self):
        if not os.path.exists(live.PLUGIN):
            self.skipTest("the ALSA plugin was not built (libasound2-dev)")
        with live.Microphone() as m, lvx.Daemon("mic=mic:", env=m.env) as d:
            self.check("mic", asyncio.run(live.by_microphone(d, m, "mic")))


class Recording(unittest.TestCase):
    @unittest.skipUnless(lvx.DATA, "LVX_DATA is not set")
    def test_real_speech(self):
        """A real person: words come out, and most of them are right."""
        name = "2136-5147-0005"
        path = os.path.join(lvx.DATA, "speech", "librispeech", "dev", name + ".opus")
        with open(os.path.join(lvx.DATA, "speech", "dev.tsv"), encoding="utf8") as f:
            ref = next(line.rstrip("\n").split("\t")[4] for line in f if name in line)
        with lvx.Daemon("--pace", "max", "talk=" + path) as d:
            said = lvx.text(asyncio.run(lvx.watch(d, "talk")))
        print(f"\n  said   {ref}\n  heard  {said}")
        if not lvx.RANDOM_MODEL:
            self.assertGreater(len(said.split()), len(ref.split()) // 2)
            r = lvx.wer.score({"x": ref}, {"x": said})
            print("  " + lvx.wer.show(name, r))
            self.assertLess(r["wer"], 0.8)


if __name__ == "__main__":
    lvx.main()
