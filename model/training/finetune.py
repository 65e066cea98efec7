# SPDX-License-Identifier: Apache-2.0
"""Fine-tunes a model folder on recordings of one's own, and on names and terms; on a GPU, or on the CPU.

finetune.py --model DIR --recordings FILE --synth PROGRAM --out DIR [--words FILE] [--sentences FILE]
            [--language en|de] [--minutes 20] [--judge 0.2]

FILE of recordings: lines of  sound file TAB what is said in it [TAB language], 0.5 to 20 s each; anything that ffmpeg
decodes, named from FILE's folder. Texts all in capitals are learnt in the case that the sentences, the words and the other texts have.
A part of the recordings is kept back (--judge), and the word error rate on those is told before and after. FILE of words:
a name or term a line, spoken by synthetic voices in place of other words. FILE of sentences: a sentence a line, as people say
them where the model will listen: read by synthetic voices, so that it does not forget how others speak.
The word ends of the recordings come from align.py and refine.py: no trained model is needed. OUT/q4 is the new model folder."""
import argparse
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch

import align
import arena
import batches
import evaluate
import features
import refine
import speech
import step
import texts
import tokens
import weights

SHORT, LONG, LANGUAGES = 0.5, 20, ("en", "de")
ENOUGH = 90                                              # seconds of a language for refine.py to learn from
VOICES = 6                                               # synthetic readings of a sentence, and of each word
PULL = 0.02                                              # how much of the way back to where it began a weight goes at each step


def samples(path):
    """Any sound file -> int16 at 16 kHz; None where ffmpeg can't."""
    got = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", path, "-ac", "1", "-ar", "16000", "-f", "s16le", "-"],
                         capture_output=True, check=False)
    return np.frombuffer(got.stdout[:len(got.stdout) // 2 * 2], np.int16) if got.returncode == 0 else None


def read_lines(path):
    try:
        return [s.strip("\ufeff\r") for s in open(path, encoding="utf8").read().split("\n")]
    except (OSError, UnicodeDecodeError) as e:
        sys.exit(f"finetune.py: {path}: {e}")


def recordings(path, language):
    """[(samples, text, language)]. What cannot be used is named, with its line, and left out."""
    out = []
    for i, line in enumerate(read_lines(path)):
        f = line.split("\t")
        if not line.strip() or line.startswith("#"):
            continue
        lang = f[2].strip() if len(f) > 2 else language
        why, x = None, None
        if len(f) < 2 or not f[1].strip():
            why = "no text: want  file TAB text [TAB language]"
        elif lang not in LANGUAGES:
            why = f"language '{lang}': there are {', '.join(LANGUAGES)}"
        else:
            name = os.path.join(os.path.dirname(os.path.abspath(path)), f[0])
            x = samples(name)
            if x is None:
                why = f"{name} cannot be decoded"
            elif not SHORT <= len(x) / features.RATE <= LONG:
                why = f"{name} has {len(x) / features.RATE:.1f} s; want {SHORT} to {LONG}"
        if why:
            print(f"{path}:{i + 1}: left out: {why}", file=sys.stderr)
        else:
            out.append((x, texts.clean(f[1], lang), lang))
    return out


def usual_case(rows, known):
    """[(samples, text, language)] -> the same, texts all in capitals in the case that words have in `known`, {language: [text]}, and in
    the other texts. As they are, they would be spelled letter by letter, by the voices too."""
    shouted = lambda text: text.isupper() and len(text.split()) > 1
    if not any(shouted(text) for _, text, _ in rows):
        return rows
    known = {**known, "en": known.get("en", []) + ["- I I'm I'll I've I'd"]}
    fix = {lang: arena.truecase(known.get(lang, []) + [text for _, text, speech_lang in rows if speech_lang == lang and not shouted(text)])
           for lang in LANGUAGES}
    print(f"{sum(shouted(text) for _, text, _ in rows)} texts are all in capitals: learnt in small letters, but for what is written "
          "otherwise elsewhere")
    return [(x, fix[lang](text, False) if shouted(text) else text, lang) for x, text, lang in rows]


def word_ends(rows, synth):
    """[(samples, text, language)] -> the same with word ends in ms."""
    out = []
    for lang in LANGUAGES:
        some = [(x, i, text, "") for i, (x, text, speech_lang) in enumerate(rows) if speech_lang == lang]
        if not some:
            continue
        got, better = align.work((some, lang, synth)), {}
        said = refine.read(lang, [(i, rows[i][0], rows[i][1], names, begins) for i, _, names, begins, _ in got if names], synth,
                           features.mel_filters())
        if sum(len(s.mel) for s in said) * refine.HOP >= ENOUGH * 1000:
            refine.rounds_of(said, 3, os.cpu_count() or 1, random.Random(1))
            better = {s.name: s for s in said}
        out += [(*rows[i], better[i].word_ends(ends) if i in better else ends) for i, ends, *_ in got]
    return out


def with_word(rng, text, word):
    """The sentence with one of its longer words replaced by `word`, or the word alone."""
    ws = text.split(" ")
    at = [i for i, w in enumerate(ws) if i and len(re.sub(r"\W", "", w)) > 4]
    if not at:
        return word + "."
    i = rng.choice(at)
    return " ".join(ws[:i] + [word + re.search(r"\W*$", ws[i]).group()] + ws[i + 1:])


def read_by_voices(said, words, lang, synth, espeak_data, seed):
    """Sentences and words, by synthetic voices -> (samples, rows of batches.Shard), [items]."""
    rng, usable = random.Random(seed), texts.variants(espeak_data)
    lines = [(text, texts.pick_voice(rng, usable, lang, 0.15)) for text in said]
    for w in words:
        lines += [(with_word(rng, rng.choice(said), w), texts.pick_voice(rng, usable, lang, 0.15)) for _ in range(VOICES)]
    rng.shuffle(lines)
    with tempfile.TemporaryDirectory() as tmp:
        pcm, got = speech.speak([(v, t) for t, v in lines], synth, os.path.join(tmp, "s"))
    return pcm, [(-1, lang, lines[i][0], off, n, np.array(ends, np.int32), hash(lines[i][1])) for i, off, n, ends in got]


class Store:
    """The arena of one process: all that is heard, and batches.Sources of it."""
    def __init__(self, work, dev, recorded, read):
        need = sum(4 * len(x) for x, *_ in recorded) + sum(len(pcm) for pcm, _ in read) + arena.SPAN
        self.arena = arena.Arena(work, dev, 0.01, need / arena.HOUR, 0.01)
        self.sources, at, rows = batches.Sources([], work), self.arena.recorded, []
        for x, text, lang, ends in recorded:
            x = torch.from_numpy(x.copy())
            for num, den in ((1, 1), (9, 10), (11, 10)):
                y = x if num == den else arena.speed(x, num, den)
                self.arena.write(at, y)
                # a speed is a voice; transcripts are taken for good in either style
                rows += [(text, at, len(y), [e * den // num for e in ends], num, cased, lang) for cased in (True, False)]
                at += len(y)
        self.arena.publish("recorded", "recorded", rows)
        for k, (pcm, said) in enumerate(read):
            self.arena.write(at, torch.from_numpy(pcm))
            self.arena.publish("synth", str(k), [(i, lang, text, at + off, n, e, v) for i, lang, text, off, n, e, v in said])
            at += len(pcm)
        self.sources.refresh()


def judge(net, tok, kept):
    """Word error rate on [(samples, text, language)], and how many words."""
    err = total = 0
    for lang in LANGUAGES:
        some = [(x, text, None) for x, text, speech_lang in kept if speech_lang == lang]
        if some:
            s = evaluate.pack(some, lang, slots=432)
            names = ("style:cased", "in:" + lang, f"delay:{net.c.delay}")
            rate, n = evaluate.wer(net.eval(), tok, s, names, print)
            err, total = err + rate * n, total + n
    return err / max(1, total), total


def tune(a, net_dir, store, tok, dev, german):
    """-> the net, trained for a.minutes; german: share of the windows."""
    t = step.Trainer(os.path.join(net_dir, "config.json"), dev, 1, None, a.lr, compiled=False, use_muon=False)
    if weights.load_into(t.net, net_dir):
        sys.exit(f"finetune.py: {net_dir}: tensors are missing or of another shape than config.json says")
    t.share["ctc"] = 0.0                                  # model folders have no head for letters
    t.wrong_human = t.wrong                               # so short a run is to add, not to change how it speaks
    start = [p.detach().clone() for p in t.net.parameters()]
    layout = batches.Layout(a.slots, False)
    b = batches.Builder(t.c, tok, store.sources, a.seed, layout, 0, a.human, german=german)
    one, begin, count, told = step.Step(t, layout, a.batch, 0, store.arena), time.time(), 0, 0.0
    while (done := (time.time() - begin) / (60 * a.minutes)) < 1:
        t.quant = done > 0.75                            # the last quarter as it will ship
        rate = a.lr * min(1, (count + 1) / 20) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))
        t.set_lr(rate)
        one.run(torch.from_numpy(b.batch(a.batch)))
        with torch.no_grad():
            for p, p0 in zip(t.net.parameters(), start):
                p.lerp_(p0, PULL * rate / a.lr)
        count += 1
        if count == 1 or time.time() - told > 20:
            told = time.time()
            print(f"[{told - begin:6.1f} s of {60 * a.minutes:.0f}] step {count}, loss of the captions {one.parts[0].item():.3f}", flush=True)
    return t.net


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for x in ("model", "recordings", "synth", "out"):
        p.add_argument("--" + x, required=True)
    p.add_argument("--words")
    p.add_argument("--sentences")
    p.add_argument("--espeak-data", default="/usr/lib/x86_64-linux-gnu/espeak-ng-data")
    p.add_argument("--language", default="en", choices=LANGUAGES, help="of recordings that do not say theirs")
    p.add_argument("--minutes", type=float, default=20)
    p.add_argument("--judge", type=float, default=0.2, help="share of the recordings that is kept back to judge")
    p.add_argument("--human", type=float, default=0.6, help="share of what is heard that is recordings")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--slots", type=int, default=256)
    p.add_argument("--lr", type=float, default=2e-4)
    p.add_argument("--seed", type=int, default=1)
    return p.parse_args()


def main():
    a = options()
    torch.manual_seed(a.seed)
    rng, dev = random.Random(a.seed), "cuda" if torch.cuda.is_available() else "cpu"
    rows = recordings(a.recordings, a.language)
    words = [w for w in (read_lines(a.words) if a.words else []) if w and not w.startswith("#")]
    sentences = [texts.clean(s, a.language) for s in read_lines(a.sentences) if s] if a.sentences else []
    rows = usual_case(rows, {a.language: sentences + ["- " + w for w in words]})
    rng.shuffle(rows)
    n = max(1, int(len(rows) * a.judge)) if a.judge else 0
    kept, rows = rows[:n], rows[n:]
    if not rows:
        sys.exit(f"finetune.py: {a.recordings}: nothing to learn from ({n} recordings are kept back)")
    recorded = word_ends(rows, a.synth)
    print(f"{len(recorded)} recordings, {sum(len(x) for x, *_ in recorded) / features.RATE / 60:.1f} minutes, to learn from; {n} to judge; "
          f"{len(words)} words", flush=True)
    langs, read = sorted({r[2] for r in recorded}), []
    for lang in langs:
        said = [text for _, text, speech_lang, _ in recorded if speech_lang == lang for _ in range(VOICES)]
        said += sentences if lang == a.language else []
        read.append(read_by_voices(said, words if lang == a.language else [], lang, a.synth, a.espeak_data, a.seed))
    tok = tokens.Tokenizer(os.path.join(a.model, "tokenizer.json"))
    before = judge(weights.load_folder(a.model), tok, kept)
    with tempfile.TemporaryDirectory() as work:
        net = tune(a, a.model, Store(work, dev, recorded, read), tok, dev, sum(r[2] == "de" for r in recorded) / len(recorded))
    out = os.path.join(a.out, "q4")
    weights.save_folder(net, out, 8, 4)
    with open(os.path.join(a.model, "tokenizer.json"), "rb") as f, open(os.path.join(out, "tokenizer.json"), "wb") as g:
        g.write(f.read())
    after = judge(weights.load_folder(out), tok, kept)
    print(f"word error rate on the {n} recordings kept back ({after[1]} words): before {before[0]:.1f} %, after {after[0]:.1f} %")
    print(f"{out} is the model folder: lumivoxd --model {out}")


if __name__ == "__main__":
    main()
