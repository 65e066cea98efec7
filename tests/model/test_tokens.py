# SPDX-License-Identifier: Apache-2.0
"""A prefix has the tokens at run time that it has in training: model/tokenizer.c and model/training/tokens.py agree on
words that the vocabulary has, cut and joined, and on ones that it cannot have. test_tokens.py ENCODE FOLDER..."""
import json
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../model/training"))
import tokens  # noqa: E402


def some_words(tok, rng):
    known = [p.replace(tokens.END, "") for p in tok.piece if not p.startswith("<") and p != tokens.END]
    known = [p for p in known if p]
    for _ in range(6000):
        kind = rng.random()
        if kind < 0.3:
            yield rng.choice(known)
        elif kind < 0.7:
            yield "".join(rng.choice(known) for _ in range(rng.randint(2, 4)))
        elif kind < 0.85:
            yield rng.choice(known).capitalize() + rng.choice([".", ",", "'s", "-", "2026", ""])
        else:
            yield "".join(rng.choice("abcdefghijklmnopqrstuvwxyzABCÄÖÜßéñçøłżйшהد路米沃克한😀.-'") for _ in range(rng.randint(1, 12)))


def main():
    encode, folders = sys.argv[1], sys.argv[2:]
    print(f"1..{len(folders)}")
    failed = False
    for i, folder in enumerate(folders, 1):
        path = os.path.join(folder, "tokenizer.json")
        vocabulary = json.load(open(os.path.join(folder, "config.json"), encoding="utf8"))["text_config"]["vocab_size"]
        tok, rng = tokens.Tokenizer(path), random.Random(1)
        words = list(some_words(tok, rng))
        out = subprocess.run([encode, path, str(vocabulary)], input="\n".join(words) + "\n", text=True, check=True,
                             capture_output=True, encoding="utf8").stdout.splitlines()
        assert len(out) == len(words), (len(out), len(words))
        wrong = [(w, got, want) for w, got, want in zip(words, ([int(x) for x in line.split()] for line in out),
                                                        (tok.word(w) for w in words)) if got != want]
        failed |= bool(wrong)
        for w in wrong[:5]:
            print(f"# {w[0]!r}: {w[1]} at run time, {w[2]} in training")
        print(f"{'not ok' if wrong else 'ok'} {i} - {len(words)} words with {os.path.basename(folder)}, {len(wrong)} otherwise")
    sys.exit(failed)


main()
