# SPDX-License-Identifier: Apache-2.0
"""Sentences put together from pieces: python3 test_units.py"""
import unittest

import numpy as np

import units

MS = 16                                                  # samples


def speaker(*recordings):
    """Of [(phonemes, beginnings and end in ms)]; noise, so that every stretch of it is known again."""
    pcm = np.random.default_rng(1).integers(-9000, 9000, 16000 * len(recordings)).astype(np.int16)
    s = units.Speaker("x", pcm)
    for i, (names, begin) in enumerate(recordings):
        s.add(16000 * i, names.split(), begin)
    return s.finish()


class Units(unittest.TestCase):
    def setUp(self):
        units.SPEEDS, self.rng = (1.0,), np.random.default_rng(1)

    def test_phonemes(self):
        names, begin, word = units.phonemes("0 0 _| 0 0 I 0 56 C 1 140 h 1 300 _: 1 310 _ ")
        self.assertEqual((names, begin, word), (["_", "I", "C", "h", "_"], [0, 0, 56, 140, 300], [0, 0, 0, 1, 1]))

    def test_as_it_was(self):
        s = speaker(("_ a b c _", [0, 100, 200, 320, 420, 500]))
        y, ends = s.say(self.rng, "_ a b c _".split(), [0, 0, 0, 1, 1], 2)
        self.assertTrue(np.array_equal(y, s.pcm[:500 * MS]))
        self.assertEqual(ends, [320, 420])

    def test_joined(self):
        s = speaker(("_ a b _", [0, 100, 200, 300, 400]), ("_ b c _", [0, 100, 200, 300, 400]))
        y, ends = s.say(self.rng, "_ a b c _".split(), [0, 0, 0, 1, 1], 2)
        near = lambda ms, want: self.assertLessEqual(abs(ms - want), (units.FADE + units.SHIFT) / MS)
        near(len(y) / MS, 500)                           # 100 + a + two halves of b + c + 100
        near(ends[0], 300)
        near(ends[1], 400)
        self.assertTrue(np.array_equal(y[:240 * MS - units.FADE], s.pcm[:240 * MS - units.FADE]))
        self.assertTrue(np.array_equal(y[-200 * MS:], s.pcm[16000 + 200 * MS:16000 + 400 * MS]))

    def test_between_phonemes(self):
        s = speaker(("_ a b _", [0, 100, 200, 300, 400]), ("_ c d _", [0, 100, 200, 300, 400]))
        y, ends = s.say(self.rng, "_ a b d _".split(), [0, 0, 0, 0, 0], 1)
        self.assertEqual(len(ends), 1)
        self.assertGreater(len(y), 400 * MS)

    def test_missing(self):
        s = speaker(("_ a b _", [0, 100, 200, 300, 400]))
        self.assertIsNone(s.say(self.rng, "_ a x _".split(), [0, 0, 0, 0], 1))

    def test_not_found(self):
        """A phoneme that is much shorter than its like is not cut from."""
        s = speaker(("_ a b _", [0, 100, 200, 300, 400]), ("_ a c _", [0, 100, 110, 300, 400]), ("_ a c _", [0, 100, 200, 300, 400]))
        for _ in range(20):
            self.assertNotIn(5, [k for ab in s.choose(self.rng, "_ a c _".split()) for k in ab])


if __name__ == "__main__":
    unittest.main()
