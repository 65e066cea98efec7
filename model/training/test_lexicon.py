# SPDX-License-Identifier: Apache-2.0
"""Other words in the places of a sentence's words: python3 test_lexicon.py"""
import os
import random
import tempfile
import unittest

import lexicon

GERMAN = """Wertung Bewertung Meister Meisterwertung Meisterkurs Meisterbrief Gastwertung Gastkurs Gast Kurs Brief Gastbrief Hand
Handwertung Handkurs Handbrief klein kleinen reinen feinen Kassel""".split()


class Lexicon(unittest.TestCase):
    def test_compounds(self):
        first, last = lexicon.compounds(GERMAN)
        self.assertEqual((first, last), (["Gast", "Hand", "Meister"], ["brief", "kurs", "wertung"]))
        self.assertEqual(lexicon.compounds("Amtsgericht Amtshaus Amtsstube Gericht Haus Stube Amt".split()), ([], []))    # too short a part
        first, _ = lexicon.compounds("Staatsgericht Staatshaus Staatsstube Gericht Haus Stube Staat".split())
        self.assertEqual(first, ["Staats"])

    def test_like(self):
        rng, x = random.Random(1), lexicon.Lexicon(GERMAN, lexicon.compounds(GERMAN))
        self.assertEqual(x.like(rng, "Hopfen"), "Hopfen")
        seen = {x.like(rng, "Leitung") for _ in range(300)}
        self.assertLessEqual({"Wertung", "Handwertung", "Gastwertung"}, seen)
        self.assertTrue(all(w.endswith("ung") and w[0].isupper() for w in seen))
        self.assertEqual({x.like(rng, "alten") for _ in range(9)}, {"alten"})
        self.assertEqual({x.like(rng, "deinen") for _ in range(99)}, {"reinen", "kleinen", "feinen"})

    def test_swap(self):
        rng, x = random.Random(2), lexicon.Lexicon(GERMAN)
        said = {x.swap(rng, "Deinen deinen Hut. Deinen Kasten, (meinen) Kessel!") for _ in range(200)}
        self.assertIn("Deinen reinen Hut. Deinen Kasten, (meinen) Kassel!", said)
        self.assertTrue(all(s.startswith("Deinen ") and "Hut. Deinen Kasten, (" in s and s.endswith("!") for s in said))
        self.assertNotIn("Deinen deinen Hut. Deinen Kasten, (meinen) Kessel!", said)
        self.assertIsNone(x.swap(rng, "Wer ist das?"))

    def test_build_and_load(self):
        with tempfile.TemporaryDirectory() as d:
            for name, words in (("american-english", ["station", "nation", "ration", "NASA", "it's", "fair"]), ("ngerman", GERMAN + ["Öl", "Ölung"])):
                with open(os.path.join(d, name), "w", encoding="utf8") as f:
                    f.write("\n".join(words) + "\n")
            lexicon.build(os.path.join(d, "out"), d)
            x, rng = lexicon.load(os.path.join(d, "out")), random.Random(3)
            self.assertEqual({x["en"].like(rng, "lotion") for _ in range(99)}, {"station", "nation", "ration"})
            self.assertIn("Ölung", {x["de"].like(rng, "Leitung") for _ in range(99)})
            self.assertIn("Handwertung", {x["de"].like(rng, "Leitung") for _ in range(99)})


if __name__ == "__main__":
    unittest.main()
