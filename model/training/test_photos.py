# SPDX-License-Identifier: Apache-2.0
"""Nouns of texts and their score, worked out by hand; a made-up scene shown as a photograph is."""
import os
import unittest

import numpy as np
import torch

import features
import photos
import scenes

HAVE = os.path.exists(os.path.join(photos.WORDNET, "index.sense"))


@unittest.skipUnless(HAVE, "WordNet is not installed (wordnet-base, wordnet-sense-index)")
class Nouns(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.nouns = photos.Nouns(scenes.rows())

    def test_of(self):
        self.assertEqual(self.nouns.of("Two large horses standing next to the tables, and a man."), {"horse", "table", "man"})
        self.assertEqual(self.nouns.of("A Glass of wine and three traffic lights."), {"glass of wine", "traffic light"})
        self.assertEqual(self.nouns.of("The quickly running of and with"), set())

    def test_same(self):
        self.assertTrue(self.nouns.same("bicycle", "bike"))
        self.assertTrue(self.nouns.same("plane", "airplane"))
        self.assertFalse(self.nouns.same("cat", "dog"))

    def test_score(self):
        captions = [["A dog on a beach.", "A dog runs."], ["A bike by a wall.", "A bicycle."], ["A horse.", "The horse is eating."]]
        r = photos.score(self.nouns, captions, ["Two dogs and a cat on the right.", "A red bicycle.", ""])
        self.assertEqual(r["recall"], [3, 6])            # dog, bike, bicycle; not beach, wall, horse
        self.assertEqual(r["recall, in two captions"], [3, 4])
        self.assertEqual(r["precision"], [2, 3])
        self.assertEqual(r["precision by chance"], [0, 6])
        self.assertEqual(r["photographs with nothing told"], [1, 3])


class Views(unittest.TestCase):
    def test_views(self):
        some = [photos.Photo("x", np.full((features.PIC_H, features.PIC_W, 3), v, np.uint8), []) for v in (0, 255)]
        seen = photos.views(some, 125)
        self.assertEqual(sorted(seen), [10, 35, 60, 85])
        self.assertTrue(torch.equal(seen[35][:, 0, 0], torch.tensor([-1.0, 1.0])))


if __name__ == "__main__":
    unittest.main()
