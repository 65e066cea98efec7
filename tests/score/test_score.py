#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The scoring tools against figures worked out by hand."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bleu  # noqa: E402
import confidence  # noqa: E402
import wer  # noqa: E402


class Wer(unittest.TestCase):
    def test_normalise(self):
        self.assertEqual(wer.normalise("Mr. Smith's dog -- 'tis 42, o'clock-like!"),
                         "mister smith's dog tis forty two o'clock like".split())
        self.assertEqual(wer.normalise("1,250 & 7%"), "one thousand two hundred fifty and seven percent".split())
        self.assertEqual(wer.normalise("Größe, naïve_x"), ["größe", "naïve", "x"])
        self.assertEqual(wer.normalise("1234567"), ["1234567"])

    def test_align(self):
        for ref, hyp, want in (("a b c", "a b c", (0, 0, 0)), ("a b c", "", (0, 3, 0)), ("", "a b", (0, 0, 2)),
                               ("a b c d", "a x c", (1, 1, 0)), ("a b", "a q b", (0, 0, 1))):
            self.assertEqual(wer.align(ref.split(), hyp.split()), want)
        self.assertEqual(sum(wer.align("the cat sat on the mat".split(), "the cat sat mat on".split())), 3)

    def test_score(self):
        r = wer.score({"x": "one two three", "y": "Four."}, {"x": "one too three"})
        self.assertEqual((r["words"], r["s"], r["d"], r["i"]), (4, 1, 1, 0))
        self.assertEqual(r["wer"], 0.5)

    def test_json_lines(self):
        lines = ['{"file":"a/b.wav","lane":"caption","text":"Good day."}',
                 '{"file":"a/b.wav","lane":"translation","text":"Guten Tag."}',
                 '{"file":"a/b.wav","lane":"caption","text":"Bye."}']
        self.assertEqual(wer.read_json_lines(lines), {"b": "Good day. Bye."})


class Confidence(unittest.TestCase):
    def test_right_words(self):
        self.assertEqual(confidence.right_words("a b c d".split(), "a x c q d".split()), [True, False, True, False, True])
        self.assertEqual(confidence.right_words([], ["a"]), [False])

    def test_reliability(self):
        curve, ece = confidence.reliability([(0.95, True)] * 9 + [(0.95, False)] + [(0.15, False)] * 10)
        self.assertEqual([n for n, _, _ in curve], [10, 10])
        self.assertAlmostEqual(ece, (0.05 + 0.15) / 2)

    def test_fit(self):
        """Twice too sure in log odds: the scale is a half."""
        rows = [(c, i < round(1000 / (1 + 2.718281828 ** (-confidence.odds(c) / 2)))) for c in (0.1, 0.3, 0.6, 0.9, 0.98)
                for i in range(1000)]
        a, b = confidence.fit(rows)
        self.assertAlmostEqual(a, 0.5, 2)
        self.assertAlmostEqual(b, 0.0, 2)


class Bleu(unittest.TestCase):
    def test_tokens(self):
        self.assertEqual(bleu.tokens_13a('He said: "3.5%", not 4,000-5!'),
                         ["He", "said", ":", '"', "3.5", "%", '"', ",", "not", "4,000", "-", "5", "!"])

    def test_bounds(self):
        self.assertAlmostEqual(bleu.bleu([["the cat sat on the mat"]], ["the cat sat on the mat"]), 100)
        self.assertAlmostEqual(bleu.chrf([["the cat"]], ["the cat"]), 100)
        self.assertEqual(bleu.bleu([["the cat"]], ["dog"]), 0)
        self.assertEqual(bleu.bleu([["the cat"]], [""]), 0)

    def test_hand(self):
        # precisions 5/6 3/5 1/4 and, smoothed, 1/2 of 1/3; lengths equal
        got = bleu.bleu([["the cat sat on the mat"]], ["the cat is on the mat"])
        self.assertAlmostEqual(got, 100 * (5 / 6 * 3 / 5 * 1 / 4 * 1 / 6) ** 0.25, places=6)
        # half the length: brevity exp(1 - 6/3)
        self.assertAlmostEqual(bleu.bleu([["a b c d e f g h"]], ["a b c d"]), 100 * 2.718281828 ** -1, places=4)


if __name__ == "__main__":
    unittest.main()
