# SPDX-License-Identifier: Apache-2.0
"""Real photographs for the description lane: which nouns of their human captions it names.

Nouns are found with WordNet (Debian: wordnet-base, wordnet-sense-index): a word counts if it is most often a noun, and one of
its senses that WordNet's texts have is a thing, a being, a food, a plant, a place. Two nouns are the same if they share a sense."""
import csv
import os
import re
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

import features
import scenes

WORDNET = "/usr/share/wordnet"
SEEN = {"05", "06", "08", "13", "15", "17", "18", "20"}  # animal, artifact, body, food, place, object, person, plant
EVERY = 25                                               # slots between two looks at one picture, as a stream has it


class Photo(NamedTuple):
    name: str
    pixels: np.ndarray           # uint8 [96, 160, 3]
    captions: list


class Nouns:
    """The nouns of a text; those that the model has, of whatever words, are found before WordNet's single words."""
    def __init__(self, rows, folder=WORDNET):
        self.grammar = scenes.Grammar(rows)
        self.names = {form.lower(): name.lower() for form, name in self.grammar.noun.items()}
        self.senses, count, seen = {}, {}, set()
        for line in read(folder, "index.sense"):
            key, synset, rank, n = line.split()
            lemma, _, sense = key.partition("%")
            kind = count.setdefault(lemma, {})
            kind[sense[0]] = kind.get(sense[0], 0) + int(n)
            if sense[0] == "1":
                self.senses.setdefault(lemma, set()).add(synset)
                if sense.split(":")[1] in SEEN and (rank == "1" or int(n)):
                    seen.add(lemma)
        self.things = {w for w in seen if count[w]["1"] == max(count[w].values())}
        self.odd = dict(line.split()[:2] for line in read(folder, "noun.exc"))

    def single(self, word):
        """The noun that this is a form of, or None."""
        for w in (word, self.odd.get(word), re.sub(r"ies$", "y", word), re.sub(r"(s|x|ch|sh)es$", r"\1", word), re.sub(r"s$", "", word)):
            if w in self.things:
                return w
        return None

    def told(self, text):
        """The nouns of what the description lane says."""
        return {fact[1].lower() for fact in self.grammar.facts(text) if fact[0] == "object"}

    def of(self, text):
        words, out, i = re.findall(r"[a-z]+(?:-[a-z]+)*", text.lower()), set(), 0
        while i < len(words):
            n = next((n for n in (4, 3, 2, 1) if " ".join(words[i:i + n]) in self.names and i + n <= len(words)), 0)
            if n:
                out.add(self.names[" ".join(words[i:i + n])])
            elif self.single(words[i]):
                out.add(self.single(words[i]))
            i += n or 1
        return out

    def same(self, a, b):
        sense = lambda w: self.senses.get(w.replace(" ", "_"), set())
        return a == b or bool(sense(a) & sense(b))

    def among(self, noun, nouns):
        return any(self.same(noun, x) for x in nouns)


def read(folder, name):
    with open(os.path.join(folder, name), encoding="latin1") as f:
        return f.read().splitlines()


def load(data):
    """The photographs with their captions; scaled as the product does it, whatever their shape."""
    folder, out = os.path.join(data, "images", "coco-dev"), []
    for row in list(csv.reader(open(os.path.join(folder, "captions.tsv"), encoding="utf8"), delimiter="\t", quoting=csv.QUOTE_NONE))[1:]:
        image = Image.open(os.path.join(folder, row[0])).convert("RGB")
        pixels = np.asarray(image.resize((features.PIC_W, features.PIC_H), Image.BOX))
        out.append(Photo(row[0], pixels, row[3:]))
    return out


def views(photos, slots, first=10):
    """{slot: [n, 60, 768]}: each photograph from slot `first` on, looked at again every two seconds."""
    seen = features.patches(torch.from_numpy(np.stack([p.pixels for p in photos])))
    return {t: seen for t in range(first, slots - EVERY, EVERY)}


def score(nouns, captions, told):
    """captions: a list for each photograph; told: one text for each. -> shares as (hits, of how many):
    recall, of nouns in any caption and in at least two; the same of nouns the model has; precision; by chance, the
    precision against the captions of the other photographs."""
    out = {k: [0, 0] for k in ("recall", "recall, in two captions", "recall, known", "recall, known, in two captions",
                               "precision", "precision by chance", "photographs with nothing told")}
    known = set(nouns.names.values())
    wanted = [[nouns.of(c) for c in texts] for texts in captions]
    everything = [set().union(*w) for w in wanted]
    for i, text in enumerate(told):
        said = nouns.told(text)
        twice = {n for n in everything[i] if sum(nouns.among(n, w) for w in wanted[i]) > 1}
        for name, want in (("", everything[i]), (", in two captions", twice)):
            for kind, some in (("recall", want), ("recall, known", [n for n in want if nouns.among(n, known)])):
                out[kind + name][0] += sum(nouns.among(n, said) for n in some)
                out[kind + name][1] += len(some)
        out["precision"][0] += sum(nouns.among(n, everything[i]) for n in said)
        out["precision"][1] += len(said)
        others = [w for j, w in enumerate(everything) if j != i]
        out["precision by chance"][0] += sum(nouns.among(n, w) for w in others for n in said)
        out["precision by chance"][1] += len(others) * len(said)
        out["photographs with nothing told"][0] += not said
        out["photographs with nothing told"][1] += 1
    return out


def describe(net, tok, data, greedy, conditions, say, slots=125):
    """Shows each to the model for ten seconds of silence; greedy: evaluate.greedy. -> what score() gives."""
    photos, nouns = load(data), Nouns(scenes.rows())
    wave = torch.zeros(len(photos), slots * features.SLOT)
    ids = greedy(net, wave, ("caption", "description"), conditions, views=views(photos, slots))["description"]
    told = [tok.decode(r) for r in ids.tolist()]
    for p, text in zip(photos, told):
        seen = set().union(*map(nouns.of, p.captions))
        say(f"    {p.name}: {text or '-'} ({', '.join(sorted(seen))}) {[n for n in nouns.told(text) if nouns.among(n, seen)] or ''}")
    return score(nouns, [p.captions for p in photos], told)
