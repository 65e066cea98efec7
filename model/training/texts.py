# SPDX-License-Identifier: Apache-2.0
"""Sentences to speak and their translations, held-out parts, names nobody has heard, and voices. A sentence is held
out when crc32 of its letters is 0 mod 100, in every source alike; one that has an English translation in any pair goes
by that. So no held-out sentence is heard in training in any voice."""
import gc
import lzma
import os
import random
import re
import zlib
from typing import NamedTuple

PUNCT = r" .,?!'\"$%&:;()-"
CHARS = {"en": "A-Za-z0-9", "de": "A-Za-zÄÖÜäöüß0-9€", "fr": "A-Za-zÀÂÇÈÉÊËÎÏÔÙÛÜŒàâæçèéêëîïôùûüœ0-9€",
         "es": "A-Za-zÁÉÍÑÓÚÜáéíñóúü0-9¿¡€", "zh": "A-Za-z0-9\u4e00-\u9fff，。？！、：；《》·"}
FIT = {lang: re.compile(f"[{chars}{PUNCT}]+") for lang, chars in CHARS.items()}
SWAP = str.maketrans({"’": "'", "‘": "'", "‚": "'", "`": "'", "“": '"', "”": '"', "„": '"', "‟": '"', "«": '"', "»": '"',
                      "–": "-", "—": "-", "…": ".", "「": '"', "」": '"', "『": '"', "』": '"', "（": "(", "）": ")",
                      "\u00a0": " ", "\u202f": " ", "\t": " ", "\u200b": None, "\u00ad": None})
NONE = {}                                                    # `to` of a sentence without translations
TARGETS = {"en": ["de", "es", "fr", "zh"], "de": ["en"]}     # from spoken language
# The places of a translation's words as characters, see align_text.py.
PLACE = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PLACES = bytes.maketrans(PLACE.encode(), bytes(range(len(PLACE))))

# espeak-ng variants: not intelligible, whispering only, and held out to judge
BAD = {"Marco", "Alicia", "Demonic", "shelby", "Lee", "zac", "RicishayMax", "RicishayMax2", "norbert", "kaukovalta",
       "whisper", "whisperf"}
HELD_VARIANTS = ["Andy", "Michael", "belinda", "f4", "m5", "klatt3", "david", "steph", "paul", "travis"]
KLATT = ["klatt", "klatt2", "klatt4", "klatt5", "adam", "benjamin", "edward", "edward2", "robosoft", "robosoft2",
         "robosoft3", "robosoft4", "robosoft5", "robosoft6", "robosoft7", "robosoft8"]
DIALECTS = {"en": ["en-us", "en-us", "en-us", "en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-029"], "de": ["de"]}
FLITE = ["kal16", "slt", "awb", "rms"]                       # rms only judges


class Item(NamedTuple):
    lang: str
    text: str
    to: dict                     # target language -> (text, bytes: per word of it, the word of `text` it may follow)


def clean(s, lang="en"):
    s = " ".join(s.translate(SWAP).split())
    s = s if len(s) < 2 or s[0] != '"' or s[-1] != '"' or s.count('"') != 2 else s[1:-1].strip()
    if lang == "fr":
        s = re.sub(r' ([?!:;])', r"\1", re.sub(r'" ([^"]*) "', r'"\1"', s))
    elif lang == "zh":                                       # a character is a word, so is a run of Latin letters
        s = s.translate(str.maketrans(",?!:;", "，？！：；"))
        s = re.sub(r"(?<![A-Za-z0-9])\.|\.(?![A-Za-z0-9])", "。", s)
        s = " ".join(re.findall(r"[A-Za-z0-9.'%$-]+|\S", s))
    return s


def join(text, lang):
    """The text as people write it: Chinese has no spaces between its words."""
    return re.sub(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])", "", text) if lang == "zh" else text


def key(s):
    return re.sub(r"[^a-z0-9äöüß]+", " ", s.lower()).strip()


def held(s):
    return zlib.crc32(key(s).encode()) % 100 == 0


def order(s):
    return zlib.crc32(s.encode())


def lines(data, name):
    return lzma.open(os.path.join(data, "text", name), "rt", encoding="utf8").read().split("\n")


def sentences(data, name, lang="en", most=160):
    out = set()
    for s in lines(data, name):
        s = clean(s, lang)
        if 8 <= len(s) <= most and FIT[lang].fullmatch(s) and sum(c.isalpha() for c in s) > 5:
            out.add(s)
    return sorted(out)


def spoken(data, lang):
    names = ["common-voice.en.txt.xz", "ljspeech.en.txt.xz"] if lang == "en" else ["common-voice.de.txt.xz"]
    return [s for name in names for s in sentences(data, name, lang)]


def translations(places, source, target):
    """[(sentence, translation, places)] as align_text.py wrote them, held-out ones too."""
    text = lzma.open(os.path.join(places, f"{source}-{target}.tsv.xz"), "rt", encoding="utf8").read()
    return [line.split("\t") for line in text.split("\n") if line]


def load(data, places):
    """The items for training. places: the folder that align_text.py has filled."""
    gc.disable()                                             # half a million small objects, none of them a cycle
    found, german = {"en": {}, "de": {}}, set()
    for source, targets in TARGETS.items():
        for target in targets:
            for a, b, at in translations(places, source, target):
                if held(a if source == "en" else b):
                    german.add(key(a))
                else:
                    found[source].setdefault(a, {})[target] = (b, at.encode().translate(PLACES))
    for s in [s for s in found["de"] if key(s) in german]:   # but for its punctuation, it is held out
        del found["de"][s]
    paired = {key(s) for s in found["de"]}
    for lang, known in found.items():
        for s in spoken(data, lang):
            k = key(s)
            if s not in known and k not in german and (k in paired or not held(s)):
                known[s] = NONE
    out = [Item(lang, s, to) for lang, known in found.items() for s, to in known.items()]
    gc.enable()
    return out


def held_sentences(data, lang, paired=()):
    """Held-out sentences of a language; paired: keys of those that go by their translation."""
    return [s for s in sentences(data, f"common-voice.{lang}.txt.xz", lang)
            if held(s) and len(s.split()) >= 4 and key(s) not in paired]


def tests(data, places, most=400):
    """Held-out sentences: (lang, None) -> [(text, None)], (source, target) -> [(text, translation)]."""
    out, paired = {}, {key(a) for a, _, _ in translations(places, "de", "en")}
    for lang in TARGETS:
        out[lang, None] = [(s, None) for s in held_sentences(data, lang, paired)]
    for source, targets in TARGETS.items():
        for target in targets:
            out[source, target] = [(a, join(b, target)) for a, b, _ in translations(places, source, target)
                                   if len(a) > 35 and held(a if source == "en" else b)]
    return {k: sorted(v, key=lambda x: order(x[0]))[:most] for k, v in out.items()}


ONSET = "b br ch d dr f fl g gr h j k kl kr l m n p pr qu r s sh sk st str t th tr v w z".split()
VOWEL = "a a e e i i o o u ai ei ou ia eo".split()
CODA = "n r l s m t k x nd rk lt nt ss ck th".split() + [""] * 10
ENDS = "a o us in ex is on er ford ville ski son berg ington ova escu ani ito mann heim ley rix dor ium".split()
SYLLABLES = {"en": (ONSET, VOWEL, CODA, ENDS),
             "de": (ONSET + "sch schw pf z zw gn st sp w".split(), VOWEL + "ä ö ü ie ei au eu".split(),
                    CODA + "ng nz tz ch rt ld rn ll mm".split(),
                    "mann meier berg burg dorf stein bach hausen heim ingen stedt ow itz ig er el sen feld thal".split())}
RARE = """Abernathy Achterberg Adewale Agnieszka Aloysius Anastasopoulos Ashworth Baptiste Bartholomew Bexley Birgitta
Bjornson Blaszczyk Caoimhe Castellanos Chukwu Cholmondeley Dashiell Delacroix Dubrovnik Eszter Etienne Featherstone
Fitzwilliam Galadriel Ghislaine Gudrun Haverford Hyacinth Ignatius Ilkley Jaroslav Jokinen Kaczmarek Kilimanjaro Kowalski
Kyriakos Lachlan Leverkusen Llewellyn Lubomir Mahmoud Marchetti Mbappe Montenegro Murgatroyd Nakamura Novosibirsk Oberhausen
Okonkwo Ophelia Ouagadougou Papadakis Peregrine Quetzal Rasputin Reykjavik Rosencrantz Saoirse Schwarzkopf Siobhan Sorensen
Szymanski Tarquin Thessaloniki Theodora Tuchman Uzbekistan Vandermeer Vasquez Villeneuve Wolverhampton Xanthippe Yevgeny
Ypsilanti Zacharias Zimbabwe Zoltan Zygmunt Kubernetes Vulkan Fourier Lagrange Debian Heisenberg Tensor Fibonacci""".split()


POLITE = {"Sie", "Ihnen", "Ihr", "Ihre", "Ihren", "Ihrem", "Ihrer"}      # not names, though written as if


def invent(rng, lang="en"):
    """A name or term: rare, or made of syllables and heard nowhere."""
    if rng.random() < 0.15:
        return rng.choice(RARE)
    onset, vowel, coda, ends = SYLLABLES[lang]
    n = rng.choice([1, 1, 2, 2, 3])
    s = "".join(rng.choice(onset) + rng.choice(vowel) + rng.choice(coda) for _ in range(n)) + rng.choice(ends + [""] * 8)
    return re.sub(r"(.)\1\1+", r"\1\1", s).capitalize() if len(s) > 3 else invent(rng, lang)


def inside(words, i):
    """Whether words[i] does not begin a sentence: then it is written as it always is."""
    return i > 0 and words[i - 1][-1] not in ".?!:\""


def carrier(rng, item):
    """The item's sentence with a name or noun, or two, replaced by invented ones; None where there is none to replace."""
    words = item.text.split(" ")
    core = [re.sub(r"^[^\wÄÖÜäöüß]+|('s)?[^\wÄÖÜäöüß]+$|'s$", "", w) for w in words]
    at = [i for i, w in enumerate(core) if w[:1].isupper() and len(w) > 2 and "'" not in w and w not in POLITE
          and (inside(words, i) or w in ("Tom", "Mary", "Maria"))]
    if not at and item.lang == "en":
        at = [i for i, w in enumerate(core) if len(w) > 4 and w.islower() and i
              and core[i - 1].lower() in ("the", "a", "an", "my", "his", "her", "our", "your", "their", "this", "to", "with")]
    if not at:
        return None
    for i in rng.sample(at, min(len(at), rng.choice([1, 1, 1, 2]))):
        words[i] = words[i].replace(core[i], invent(rng, item.lang))
    return " ".join(words)


def variants(espeak_data):
    names = sorted(os.listdir(os.path.join(espeak_data, "voices", "!v")))
    return [v for v in names if v not in BAD and v not in HELD_VARIANTS]


def pick_voice(rng, usable, lang="en", flite=0.06):
    """Voice fields of a training job: engine, voice, rate, pitch, range, speed (see synth.c)."""
    speed = f"{1.0 if rng.random() < 0.5 else rng.uniform(0.88, 1.14):.2f}"
    r = rng.random()
    if lang == "en" and r < flite + 0.05:
        v = "kal16" if r > flite else rng.choice(["slt", "awb"])
        return "f", v, f"{rng.uniform(0.8, 1.25):.2f}", f"{rng.uniform(0.8, 1.25):.2f}", "0", speed
    v = rng.choice([k for k in KLATT if k in usable] if rng.random() < 0.4 else usable)
    v = rng.choice(DIALECTS[lang]) + ("+" + v if rng.random() > 0.02 else "")
    return "e", v, str(rng.randint(125, 215)), str(rng.randint(20, 80)), str(rng.randint(30, 80)), speed


def held_voice(i, lang="en"):
    """Voice fields of held-out sentence i: the held-out variants in turn; English: US and British."""
    rng = random.Random(i)
    name = ("en-us", "en")[i // 10 % 2] if lang == "en" else lang
    return "e", name + "+" + HELD_VARIANTS[i % 10], str(rng.randint(140, 200)), str(rng.randint(35, 65)), "50", "1"


def plain(s):
    """style:plain: lower case, letters, digits and apostrophes only."""
    return " ".join(re.sub(r"[^\w' ]+", " ", s.lower()).split())
