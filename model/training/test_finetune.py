# SPDX-License-Identifier: Apache-2.0
"""What is made of a user's transcripts: python3 test_finetune.py"""
import unittest

import finetune


class UsualCase(unittest.TestCase):
    def test_as_they_are(self):
        rows = [(None, "He met Mary.", "en"), (None, "NASA", "en"), (None, "Das ist gut.", "de")]
        self.assertEqual(finetune.usual_case(rows, {}), rows)

    def test_capitals(self):
        rows = [(1, "AND THEN I MET MARY IN OSLO", "en"), (2, "Today Mary sleeps.", "en"), (3, "DAS IST DIE STADT", "de")]
        got = finetune.usual_case(rows, {"en": ["We see Oslo and the NASA."], "de": ["- Stadt"]})
        self.assertEqual(got, [(1, "And then I met Mary in Oslo", "en"), rows[1], (3, "Das ist die Stadt", "de")])
        self.assertEqual(finetune.usual_case(rows[2:], {}), [(3, "Das ist die stadt", "de")])


if __name__ == "__main__":
    unittest.main()
