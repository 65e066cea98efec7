# SPDX-License-Identifier: Apache-2.0
"""Words that the sentences to speak lack: a sentence's words are replaced by others of the same ending, German nouns also by
compounds that nobody has written. What a few ten thousand sentences say is soon known by heart; a captioner must spell what it
never heard.

lexicon.py build OUT [DICT]    OUT/{en,de}.txt.xz from the word lists wamerican (SCOWL, free to use) and wngerman (igerman98,
                               GPL-2 or 3) in DICT (/usr/share/dict); OUT/de.parts.txt.xz, the parts that its compounds have"""
import collections
import lzma
import os
import re
import sys

import texts

LISTS = {"en": ("american-english", "A-Za-z"), "de": ("ngerman", "A-Za-zÄÖÜäöüß")}
LINKS = ("", "s", "es", "n", "en")                       # between the parts of a German compound
PART, LONG, ENDING = 4, 26, 3                            # letters: of a part at least, of a compound at most, that a word keeps


def compounds(words):
    """-> (first parts, with what links them, last parts), each of three compounds of the list at least."""
    nouns = {w for w in words if w[0].isupper()}
    first, last = collections.Counter(), collections.Counter()
    for w in nouns:
        for i in range(PART, len(w) - PART + 1):
            if w[i:].capitalize() in nouns and any(w[:i].endswith(link) and w[:i - len(link)] in nouns for link in LINKS
                                                   if i - len(link) >= PART):
                first[w[:i]] += 1
                last[w[i:]] += 1
    return tuple(sorted(x for x, n in c.items() if n >= 3) for c in (first, last))


def build(out, folder="/usr/share/dict"):
    os.makedirs(out, exist_ok=True)

    def write(name, xs):
        with lzma.open(os.path.join(out, name), "wt", encoding="utf8") as f:
            f.write("\n".join(xs) + "\n")
    for lang, (name, letters) in LISTS.items():
        fit = re.compile(f"[{letters}]{{4,{LONG}}}")
        with open(os.path.join(folder, name), encoding="utf8") as f:
            words = sorted({w for w in f.read().split("\n") if fit.fullmatch(w) and not w[1:].isupper()})
        write(lang + ".txt.xz", words)
        print(lang, len(words), "words")
        if lang == "de":
            parts = compounds(words)
            write("de.parts.txt.xz", [" ".join(x) for x in parts])
            print("compounds of", len(parts[0]), "and", len(parts[1]), "parts")


class Lexicon:
    """load() makes one."""
    def __init__(self, words, parts=((), ())):
        self.alike, self.first, self.last = {}, parts[0], {}
        for w in words:
            self.alike.setdefault(self.kind(w), []).append(w)
        for x in parts[1]:
            self.last.setdefault(x[-ENDING:], []).append(x)

    @staticmethod
    def kind(word):
        return word[0].isupper(), word[-ENDING:]

    def like(self, rng, word):
        """Another word in its place, which ends as it does, or the word itself."""
        heads = self.last.get(word[-ENDING:]) if word[0].isupper() else None
        if heads and rng.random() < 0.5:
            made = rng.choice(self.first) + rng.choice(heads)
            if len(made) <= LONG:
                return made
        return rng.choice(self.alike.get(self.kind(word), (word,)))

    def swap(self, rng, text):
        """The sentence with up to a third of its words replaced by others; None where there is none to replace."""
        words = text.split(" ")
        core = [re.sub(r"^\W+|\W+$", "", w) for w in words]
        at = [i for i, w in enumerate(core) if len(w) > 4 and w.isalpha() and texts.inside(words, i) and self.kind(w) in self.alike]
        if not at:
            return None
        for i in rng.sample(at, rng.randint(1, max(1, min(len(at), len(words) // 3)))):
            words[i] = words[i].replace(core[i], self.like(rng, core[i]))
        return " ".join(words)


def load(folder):
    """{language: Lexicon} of what build() wrote."""
    read = lambda name: lzma.open(os.path.join(folder, name), "rt", encoding="utf8").read().split("\n")[:-1]
    parts = [x.split(" ") for x in read("de.parts.txt.xz")]
    return {"en": Lexicon(read("en.txt.xz")), "de": Lexicon(read("de.txt.xz"), parts)}


if __name__ == "__main__":
    {"build": build}[sys.argv[1]](*sys.argv[2:])
