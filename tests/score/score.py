#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of error rates: score.py [SET]...

  own         30 sentences of ours (own.txt), held-out espeak-ng voices, spoken at test time
  heldout     held-out English sentences in held-out espeak-ng voices   (LVX_DATA; the lists of model/training)
  heldout-de  the same in German                                        (LVX_DATA)
  noise       `heldout` with coloured noise, 10 dB                      (LVX_DATA)
  rms         its sentences by flite's rms, a synthesiser that training never heard        (LVX_DATA)
  human       real people: the English dev part of LibriSpeech          (LVX_DATA)
  human-de    the German dev part                                       (LVX_DATA)
  sphinx      pocketsphinx-en-us on the recordings of `human`, for comparison              (LVX_DATA)
  en-de en-fr en-es en-zh de-en   BLEU of held-out Tatoeba sentences, spoken by held-out voices; all translations
              are references (LVX_DATA; en-zh needs opencc)
  flores-de flores-fr flores-es   the same of FLORES-200 devtest        (LVX_DATA)
  names       how many of the made-up names in held-out sentences are written right, without and with a glossary of
              all of them (LVX_DATA)
  foreign     `human` with that glossary, none of whose names is said     (LVX_DATA)

LVX_BUILD names the build folder (default build), LVX_MODEL the model. Nothing that is spoken is kept unless
--keep DIR says where; the hypotheses then lie beside it.
"""
import argparse
import csv
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import wave

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "model", "training")]
import bleu  # noqa: E402
import texts  # noqa: E402
import wer  # noqa: E402
try:
    import align_text  # noqa: E402
    import numpy as np  # noqa: E402
except ImportError:
    align_text = np = None                               # `own` and `human` do without

SPHINX = "/usr/share/pocketsphinx/model/en-us"
VARIANTS = ["Andy", "Michael", "belinda", "f4", "m5", "klatt3", "david", "steph", "paul", "travis"]


class Skip(Exception):
    pass


class Scorer:
    def __init__(self, args, work):
        self.args, self.work = args, work
        build = os.environ.get("LVX_BUILD", os.path.join(ROOT, "build"))
        self.lumivox = os.path.join(build, "clients", "lumivox")
        self.speak = os.path.join(build, "tests", "clip", "speak")
        self.data = os.environ.get("LVX_DATA")

    # ---- material: each gives ({id: reference}, [paths]) ----

    def spoken(self, name, jobs):
        """jobs: [(engine, voice, rate, pitch, text)]."""
        if not os.path.exists(self.speak):
            raise Skip("tests/clip/speak was not built (espeak-ng and flite are missing)")
        folder = os.path.join(self.work, name)
        os.makedirs(folder, exist_ok=True)
        refs, lines = {}, []
        for i, (*voice, text) in enumerate(jobs):
            key = f"{name}-{i:04}"
            refs[key] = text
            lines.append("\t".join([os.path.join(folder, key + ".wav"), *map(str, voice), text]))
        subprocess.run([self.speak], input="\n".join(lines) + "\n", text=True, check=True, stdout=subprocess.DEVNULL)
        for key in refs:
            self.pad(os.path.join(folder, key + ".wav"))
        return refs, [os.path.join(folder, key + ".wav") for key in refs]

    @staticmethod
    def pad(path, ms=400):
        """No one begins to speak with the first sample."""
        with wave.open(path) as w:
            params, pcm = w.getparams(), w.readframes(w.getnframes())
        quiet = bytes(2 * (params.framerate * ms // 1000))
        with wave.open(path, "wb") as w:
            w.setparams(params)
            w.writeframes(quiet + pcm + quiet)

    def own(self):
        with open(os.path.join(HERE, "own.txt"), encoding="utf8") as f:
            texts = f.read().splitlines()
        return self.spoken("own", [("e", ("en-us", "en-gb")[i // 10 % 2] + "+" + VARIANTS[i % 10], 160, 50, t)
                                   for i, t in enumerate(texts)])

    def need(self):
        if not self.data:
            raise Skip("LVX_DATA is not set")
        if np is None:
            raise Skip("numpy is not installed")
        return self.data

    def sentences(self, lang):
        """Held-out ones; what has a translation is held out by its English (model/training/texts.py)."""
        data, paired = self.need(), set()
        if lang == "de":
            paired = {texts.key(b) for _, b in align_text.read(data, "de")}
        return sorted(texts.held_sentences(data, lang, paired), key=texts.order)[:self.args.texts]

    def voiced(self, name, said, lang):
        return self.spoken(name, [(*texts.held_voice(i, lang)[:4], s) for i, s in enumerate(said)])

    def heldout(self):
        return self.voiced("heldout", self.sentences("en"), "en")

    def heldout_de(self):
        return self.voiced("heldout-de", self.sentences("de"), "de")

    def noise(self):
        refs, paths = self.voiced("noise", self.sentences("en"), "en")
        rng = np.random.default_rng(7)
        for path in paths:
            with wave.open(path) as w:
                params, x = w.getparams(), np.frombuffer(w.readframes(w.getnframes()), np.int16).astype(np.float32)
            f = np.fft.rfft(rng.standard_normal(len(x))) / np.sqrt(np.arange(len(x) // 2 + 1) + 1.0) ** rng.uniform(0, 1)
            n = np.fft.irfft(f, n=len(x))
            n *= x[np.abs(x) > 100].std() / n.std() * 10 ** (-10 / 20)
            with wave.open(path, "wb") as w:
                w.setparams(params)
                w.writeframes((x + n).clip(-32768, 32767).astype(np.int16).tobytes())
        return refs, paths

    def rms(self):
        return self.spoken("rms", [("f", "rms", "1.0", "0", t) for t in self.sentences("en")])

    def recordings(self, lang, source):
        folder = os.path.join(self.need(), "speech")
        with open(os.path.join(folder, "dev.tsv"), encoding="utf8", newline="") as f:
            rows = [r for r in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE)
                    if r["lang"] == lang and r["path"].startswith(source)]
        return ({wer.file_id(r["path"]): r["text"] for r in rows},
                [self.later(os.path.join(folder, r["path"])) for r in rows])

    def later(self, path):
        """The recording with --before ms of silence in front: where slots begin in it changes a few words of a hundred."""
        if not self.args.before:
            return path
        out = os.path.join(self.work, f"{wer.file_id(path)}.wav")
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", path, "-af", f"adelay={self.args.before}:all=1", out],
                       check=True)
        return out

    def human(self):
        return self.recordings("en", "librispeech")

    def foreign(self):
        return self.human()

    def human_de(self):
        return self.recordings("de", "kerstin")

    # ---- recognisers ----

    def transcribe(self, name, paths, *more):
        out = os.path.join(self.work, name + ".jsonl")
        began = time.monotonic()
        with open(out, "w", encoding="utf8") as f:
            rc = subprocess.run([self.lumivox, "transcribe", "--format", "json", "--jobs", str(self.args.jobs),
                                 *(["--delay", str(self.args.delay)] if self.args.delay else []), *more, *paths],
                                stdout=f).returncode
        if rc:
            print(f"{name}: lumivox transcribe ended with {rc}", file=sys.stderr)
        took = time.monotonic() - began
        with open(out, encoding="utf8") as f:
            return f.read().splitlines(), took

    def sphinx_text(self, paths):
        if not shutil.which("pocketsphinx_batch") or not os.path.isdir(SPHINX):
            raise Skip("pocketsphinx and pocketsphinx-en-us are not installed")
        folder = os.path.join(self.work, "sphinx")
        os.makedirs(folder, exist_ok=True)
        for p in paths:
            subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", p, "-ac", "1", "-ar", "16000",
                            os.path.join(folder, wer.file_id(p) + ".wav")], check=True)
        ctl, hyp = os.path.join(folder, "list"), os.path.join(folder, "hyp")
        with open(ctl, "w", encoding="utf8") as f:
            f.write("\n".join(wer.file_id(p) for p in paths) + "\n")
        subprocess.run(["pocketsphinx_batch", "-adcin", "yes", "-cepdir", folder, "-cepext", ".wav", "-ctl", ctl,
                        "-hyp", hyp, "-hmm", SPHINX + "/en-us", "-lm", SPHINX + "/en-us.lm.bin",
                        "-dict", SPHINX + "/cmudict-en-us.dict", "-logfn", os.devnull], check=True)
        with open(hyp, encoding="utf8") as f:
            rows = (line.rstrip().rsplit("(", 1) for line in f)
            return {tail.rstrip(")").split()[0]: text for text, tail in rows}

    # ---- sets ----

    def speech(self, name):
        refs, paths = getattr(self, name.replace("-", "_"))()
        told = [] if name == "own" else ["--language", "de" if name.endswith("-de") else "en"]
        if name == "foreign":
            told += ["--glossary", self.named()[2]]
        lines, took = self.transcribe(name, paths, *told)
        self.keep_refs(name, refs)
        r = wer.score(refs, wer.read_json_lines(lines))
        print(wer.show(name, r) + f"  ({took:.0f} s)", flush=True)
        return r

    def sphinx(self, name):
        refs, paths = self.human()
        r = wer.score(refs, self.sphinx_text(paths))
        print(wer.show("sphinx (recordings of human)", r), flush=True)
        return r

    def pairs(self, source, target):
        """[(sentence, its translations)], all held out and long enough to say something."""
        other = target if source == "en" else source
        if other == "zh" and not shutil.which("opencc"):
            raise Skip("opencc is not installed")
        out = {}
        for a, b in align_text.read(self.need(), other):
            if texts.held(a):
                x, y = (a, b) if source == "en" else (b, a)
                out.setdefault(x, []).append(y)
        return sorted(((x, y) for x, y in out.items() if len(x) > 35), key=lambda r: texts.order(r[0]))[:self.args.texts]

    def flores(self, target):
        read = lambda code: open(os.path.join(self.need(), "text", "dev", f"flores200.{code}.txt"), encoding="utf8").read().splitlines()
        code = {"de": "deu", "fr": "fra", "es": "spa"}[target]
        return [(a, [b]) for a, b in zip(read("eng"), read(code))][:self.args.texts]

    def translation(self, name):
        source, target = name.split("-")
        pairs = self.flores(target) if source == "flores" else self.pairs(source, target)
        source = "en" if source == "flores" else source
        refs, paths = self.voiced(name, [a for a, _ in pairs], source)
        lines, _ = self.transcribe(name, paths, "--language", source, "--translate-to", target)
        hyps = wer.read_json_lines(lines, "translation")
        clean = lambda s: texts.clean(s, target)         # of Chinese: a character is a word
        hs, rs = [clean(hyps.get(k, "")) for k in refs], [[clean(y) for y in b] for _, b in pairs]
        r = wer.score(refs, wer.read_json_lines(lines))
        print(wer.show(f"{name}: what was said", r))
        out = {"bleu": bleu.bleu(rs, hs), "chrf": bleu.chrf(rs, hs), "source_wer": r["wer"]}
        print(f"{name:<28} BLEU {out['bleu']:.1f}  chrF2 {out['chrf']:.1f}  {len(hs)} texts", flush=True)
        return out

    def named(self):
        """-> sentences with made-up names, the names of each, a glossary of all."""
        rng, said, terms = random.Random(11), [], []
        for s in self.sentences("en"):
            new = texts.carrier(rng, texts.Item("en", s, texts.NONE))
            if new:
                before = set(wer.normalise(s))
                said.append(new)
                terms.append([w for w in (w.strip(".,?!;:\"()") for w in new.replace("'s", "").split())
                              if w and not before & set(wer.normalise(w))])
        glossary = os.path.join(self.work, "names.txt")
        with open(glossary, "w", encoding="utf8") as f:
            f.writelines(w + "\n" for w in sorted({w for ws in terms for w in ws}))
        return said, terms, glossary

    def names(self, name):
        """{"without", "with"}: (share of the names that are right, word error rate)."""
        said, terms, glossary = self.named()
        refs, paths = self.voiced(name, said, "en")
        out = {}
        for how, more in (("without", []), ("with", ["--glossary", glossary])):
            lines, _ = self.transcribe(name, paths, "--language", "en", *more)
            hyps = wer.read_json_lines(lines)
            hit = total = 0
            for key, ws in zip(refs, terms):
                heard = wer.normalise(hyps.get(key, ""))
                hit, total = hit + sum(set(wer.normalise(w)) <= set(heard) for w in ws), total + len(ws)
            r = wer.score(refs, hyps)
            print(f"names {how} a glossary: {hit} of {total} right, {hit / total:.1%}")
            print(wer.show(f"names {how} a glossary", r), flush=True)
            out[how] = {"recall": hit / total, "wer": r["wer"]}
        return out

    def keep_refs(self, name, refs):
        with open(os.path.join(self.work, name + ".ref.tsv"), "w", encoding="utf8") as f:
            f.writelines(f"{k}\t{t}\n" for k, t in refs.items())


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("sets", nargs="*", metavar="SET")
    ap.add_argument("--jobs", type=int, default=4, help="recordings side by side (default 4)")
    ap.add_argument("--texts", type=int, default=400, help="sentences of a spoken set (default 400: all)")
    ap.add_argument("--delay", type=int, metavar="MS", help="instead of the model's own")
    ap.add_argument("--before", type=int, metavar="MS", help="silence before each recording of `human` and `human-de`")
    ap.add_argument("--keep", metavar="DIR")
    ap.add_argument("--json", metavar="FILE", help="the figures, for other programs")
    a = ap.parse_args()
    sets = {**dict.fromkeys(("own", "heldout", "heldout-de", "noise", "rms", "human", "human-de", "foreign"), "speech"), "sphinx": "sphinx",
            **dict.fromkeys(("en-de", "en-fr", "en-es", "en-zh", "de-en", "flores-de", "flores-fr", "flores-es"), "translation"), "names": "names"}
    for name in a.sets:
        if name not in sets:
            ap.error(f"no set '{name}'; known are {', '.join(sets)}")
    figures = {}
    with tempfile.TemporaryDirectory() as tmp:
        scorer = Scorer(a, a.keep or tmp)
        os.makedirs(scorer.work, exist_ok=True)
        for name in a.sets or sets:
            try:
                figures[name] = getattr(scorer, sets[name])(name)
            except Skip as e:
                print(f"{name:<28} skipped: {e}", flush=True)
    if a.json:
        with open(a.json, "w", encoding="utf8") as f:
            json.dump(figures, f, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
