# SPDX-License-Identifier: Apache-2.0
"""Phonemes found again: python3 test_refine.py"""
import random
import unittest

import numpy as np
import torch

import features
import refine

IDS = {"_": 0, "a": 1, "b": 2, "c": 3}


def heard(*runs):
    """Scores of a net that is sure: [(phoneme, frames)]."""
    y = [IDS[n] for n, k in runs for _ in range(k)]
    out = np.full((len(y), len(IDS)), -5.0, np.float32)
    out[np.arange(len(y)), y] = -0.1
    return out


class Path(unittest.TestCase):
    def test_as_heard(self):
        got = refine.path(heard(("_", 4), ("a", 5), ("b", 7), ("c", 6), ("_", 3)), IDS, ["_", "a", "b", "c", "_"], [0, 0, 0, 1, 1])
        self.assertEqual(got, (["_", "a", "b", "c", "_"], [0, 0, 0, 1, 1], [0, 4, 9, 16, 22]))

    def test_pause_that_nobody_expected(self):
        names, word, begin = refine.path(heard(("_", 4), ("a", 5), ("_", 9), ("b", 6), ("_", 3)), IDS, ["_", "a", "b", "_"], [0, 0, 1, 1])
        self.assertEqual((names, word, begin), (["_", "a", "_", "b", "_"], [0, 0, 0, 1, 1], [0, 4, 9, 18, 24]))

    def test_no_pause_within_a_word(self):
        names, _, _ = refine.path(heard(("_", 4), ("a", 5), ("_", 9), ("b", 6), ("_", 3)), IDS, ["_", "a", "b", "_"], [0, 0, 0, 0])
        self.assertEqual(names, ["_", "a", "b", "_"])

    def test_pause_of_the_reader_that_nobody_made(self):
        names, _, begin = refine.path(heard(("a", 5), ("b", 6)), IDS, ["_", "a", "_", "b", "_"], [0, 0, 0, 1, 1])
        self.assertEqual((names, begin), (["_", "a", "b", "_"], [0, 0, 5, 11]))

    def test_too_short(self):
        self.assertIsNone(refine.path(heard(("a", 4)), IDS, ["_", "a", "b", "_"], [0, 0, 1, 1]))


class Rounds(unittest.TestCase):
    def test_errors_average_out(self):
        refine.STEPS = 20                                # quick; many would learn these few by heart
        rng, nrng, said, true = random.Random(1), np.random.default_rng(1), [], []
        sound = {n: nrng.normal(size=features.MELS) for n in "_abcd"}
        for i in range(60):
            names = ["_"] + [rng.choice("abcd") for _ in range(30)] + ["_"]
            names = [n for k, n in enumerate(names) if k == 0 or n != names[k - 1]]
            long = [rng.randint(5, 14) for _ in names]
            begin = [0, *np.cumsum(long[:-1]).tolist()]
            mel = np.concatenate([np.tile(sound[n], (k, 1)) for n, k in zip(names, long)])
            mel += nrng.normal(size=mel.shape) * 0.7
            moved = sorted(min(len(mel) - 1, max(0, b + rng.randint(-5, 5))) for b in begin)
            said.append(refine.Said(str(i), torch.from_numpy(mel).half(), names, [0] + list(range(len(names) - 2)) + [len(names) - 3],
                                    [t * refine.HOP for t in [0] + moved[1:]]))
            true.append(begin)
        error = lambda: np.mean([abs(p - q) for s, b in zip(said, true) for p, q in zip(s.begin, b)])
        before = error()
        refine.rounds_of(said, 3, 1, rng)
        self.assertLess(error(), before / 4)
        self.assertEqual([len(s.begin) for s in said], [len(b) for b in true])


if __name__ == "__main__":
    unittest.main()
