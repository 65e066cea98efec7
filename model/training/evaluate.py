# SPDX-License-Identifier: Apache-2.0
"""Held-out tests, greedy and streaming: word error rate, BLEU, names with and without a glossary, facts of pictures, nouns of
photographs, tags of sounds, words in silence, noise and music.

evaluate.py MODEL DATA SYNTH ESPEAK_DATA PLACES [--pictures FILE] [--sounds FOLDER] [--rows N] [--sets a,b,..]
            [--delays 3,5,10] [--detect]       runs a model folder; --detect does not tell it the language"""
import argparse
import os
import random
import re
import sys
import tempfile
from typing import NamedTuple

import numpy as np
import torch

import features
import m3
import photos
import pictures
import scenes
import sounds
import speech
import texts
import tokens

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "score"))
import bleu as score  # noqa: E402

T, TAIL, PREFIX = 256, 44, 16                             # slots; TAIL: room for the last words, however late; tokens
OPTIONAL = ("in:", "delay:")                              # conditions that a model need not have
TAG = re.compile(r"\[[^\]]*\]")
SETS = ["en", "de", "rms", "human-en", "human-de", "plain", *(f"{a}-{b}" for a, bs in texts.TARGETS.items() for b in bs),
        "names", "pictures", "photos", "sounds", "silence", "voices"]


class Set(NamedTuple):
    waves: torch.Tensor
    said: list                   # per window
    translated: list
    lang: str
    target: str = None


def words(s):
    return re.sub(r"[^\w' ]+", " ", TAG.sub(" ", s.lower())).split()


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def pack(utterances, lang, target=None, slots=T, gap=0.8, seed=5):
    """[(samples, text, translation)] one after another into windows."""
    rng, rows, refs = random.Random(seed), [], []
    row, at, ref = None, 0, None
    for x, text, other in utterances:
        if len(x) > (slots - TAIL - 3) * features.SLOT - 16000:
            continue
        if row is None or at + len(x) > (slots - TAIL) * features.SLOT:
            row, at, ref = np.zeros(slots * features.SLOT, np.float32), int(rng.uniform(0.2, 0.8) * 16000), ([], [])
            rows.append(row)
            refs.append(ref)
        row[at:at + len(x)] = x.astype(np.float32) / 32768
        at += len(x) + int(rng.uniform(0.4, 1.6) * gap * 16000)
        ref[0].append(text)
        ref[1].append(other or "")
    return Set(torch.from_numpy(np.stack(rows)), [" ".join(r[0]) for r in refs], [" ".join(r[1]) for r in refs], lang, target)


def spoken(items, voice, synth, espeak_data):
    """items [(text, translation)], voice(i) -> fields."""
    with tempfile.TemporaryDirectory() as tmp:
        pcm, rows = speech.speak([(voice(i), x[0]) for i, x in enumerate(items)], synth, os.path.join(tmp, "e"),
                                 os.path.dirname(espeak_data.rstrip("/")))
    return [(pcm[off:off + n], items[i][0], items[i][1]) for i, off, n, _ in rows]


def make_sets(data, places, synth, espeak_data, work, only=None, sound_folder=None):
    """name -> Set; "sounds" -> [(samples, label)], "names" -> (Set of windows of one sentence, the names in each)."""
    out, held = {}, texts.tests(data, places)
    go = lambda *names: only is None or any(n in only for n in names)
    for (lang, target), items in held.items():
        name = f"{lang}-{target}" if target else lang
        if go(name, *(["pictures"] if name == "en" else [])):
            out[name] = pack(spoken(items, lambda i, lang=lang: texts.held_voice(i, lang), synth, espeak_data), lang, target)
    if go("rms"):
        out["rms"] = pack(spoken(held["en", None][:250], lambda i: ("f", "rms", "1", "1", "0", "1"), synth, espeak_data), "en")
    if go("names"):
        out["names"] = named(held["en", None] + held["en", "de"], synth, espeak_data)
    for lang, source in (("en", "librispeech"), ("de", "kerstin")):
        if go("human-" + lang, *(["plain"] if lang == "en" else [])):
            rec = [r for r in speech.recordings(data, "dev") if r[1] == lang and r[4] == source]
            wav = speech.decode([r[0] for r in rec], work, 4)
            out["human-" + lang] = pack([(x, r[3], None) for x, r in zip(wav, rec) if x is not None], lang, slots=432)
    if go("voices"):
        rec = [r for r in speech.recordings(data, "dev") if r[4] == "librispeech"]
        out["voices"] = turns(list(zip(speech.decode([r[0] for r in rec], work, 4), (r[2] for r in rec))))
    if sound_folder and go("sounds"):
        out["sounds"] = sounds.load(data, sound_folder, "dev", work)
    return out


def named(items, synth, espeak_data, most=120):
    """Held-out sentences with invented names in them, a window each."""
    rng, jobs = random.Random(11), []
    for text, _ in items:
        new = texts.carrier(rng, texts.Item("en", text, texts.NONE))
        if new and len(jobs) < most:
            before = set(words(text))
            jobs.append((new, " ".join(w for w in words(new.replace("'s", "")) if w not in before)))
    said = [pack([x], "en", slots=160) for x in spoken(jobs, texts.held_voice, synth, espeak_data) if len(x[0]) < 16000 * 8]
    return Set(torch.cat([s.waves for s in said]), [s.said[0] for s in said], [s.translated[0] for s in said], "en")


def conditions(c, names):
    """The row of conditions by name; those of OPTIONAL may be unknown to it."""
    for n in names:
        if n not in c.conds and not n.startswith(OPTIONAL):
            raise ValueError(f"the model has no condition {n}; it has {', '.join(c.conds)}")
    return torch.tensor([float(x in names) for x in c.conds])


def turns(recordings, n=16, slots=432, seed=8):
    """[(samples, speaker)] -> windows of stretches of 2 to 5 s, (window, slot, whether the voice is another one) of each
    stretch but the first of a window."""
    rng, waves, starts = random.Random(seed), np.zeros((n, slots * features.SLOT), np.float32), []
    for i in range(n):
        at, last = 8000, None
        while True:
            x, speaker = rng.choice(recordings)
            long = min(len(x), int(rng.uniform(2, 5) * 16000))
            off = rng.randrange(len(x) - long + 1)
            if at + long > slots * features.SLOT:
                break
            waves[i, at:at + long] = x[off:off + long] / 32768
            if last:
                starts.append((i, at // features.SLOT, speaker != last))
            at, last = at + long + int(rng.uniform(0.2, 0.8) * 16000), speaker
    return torch.from_numpy(waves), starts


@torch.no_grad()
def greedy(net, wave, on, names, views=None, prefix=None, batch=128, activity=None):
    """wave [B, n*1280]; on: lanes that run; names of conditions; views {slot: [B, 60, 768]}; prefix: ids [B, n];
    activity: a list that gets the activity head's probabilities, [B, T, 3]. -> ids {lane: [B, T]}."""
    c, dev, out = net.c, net.embed.device, []
    fb = features.mel_filters().to(dev)
    cond = conditions(c, names).to(dev)
    live = torch.tensor([[lane in on for lane in c.lanes]], device=dev)
    for lo in range(0, len(wave), batch):
        mel = features.slots(wave[lo:lo + batch].to(dev), fb)
        b = len(mel)
        s = m3.Stream(net, cond.expand(b, -1), None if prefix is None else prefix[lo:lo + batch].to(dev))
        fed, ids, heads = torch.full((b, len(c.lanes)), c.pad, device=dev), [], []
        for t in range(mel.shape[1]):
            if views and t in views:
                s.picture(views[t][lo:lo + batch].to(dev))
            logits, act = s.slot(mel[:, t], fed)
            best = torch.stack([x.argmax(-1) for x in logits], 1)
            heads.append(act.sigmoid())
            fed = torch.where(live, best, torch.full_like(best, c.pad))
            ids.append(fed)
        out.append(torch.stack(ids, 1).cpu())
        if activity is not None:
            activity.append(torch.stack(heads, 1).cpu())
    out = torch.cat(out)
    return {lane: out[:, :, i] for i, lane in enumerate(c.lanes)}


def captions(net, tok, wave, names, **more):
    return [tok.decode(r) for r in greedy(net, wave, ("caption",), names, **more)["caption"].tolist()]


def wer(net, tok, s, names, say, show=0):
    err = total = 0
    for i, (ref, hyp) in enumerate(zip(s.said, captions(net, tok, s.waves, names))):
        err, total = err + distance(words(ref), words(hyp)), total + len(words(ref))
        if i < show:
            say(f"    {ref[:150]}\n    {hyp[:150]}")
    return 100 * err / max(1, total), total


def bleu(net, tok, s, names, say, show=1):
    """Of whole windows; Chinese by characters."""
    ids = greedy(net, s.waves, ("caption", "translation"), (*names, "to:" + s.target))["translation"]
    hyps = [texts.clean(texts.join(tok.decode(r), s.target), s.target) for r in ids.tolist()]
    refs = [texts.clean(r, s.target) for r in s.translated]
    for r, h in list(zip(refs, hyps))[:show]:
        say(f"    {r[:150]}\n    {h[:150]}")
    return score.bleu([[r] for r in refs], hyps)


def recall(net, tok, s, names, glossary):
    """Share of the invented names that are written right; glossary: they stand in the prefix among other words."""
    rng, prefix = random.Random(13), None
    if glossary:
        rows, common = [], [w[:-1] for w in tok.piece if w.endswith(tokens.END) and len(w) > 5 and w[:-1].isalpha()]
        for own in s.translated:
            some = [w.capitalize() for w in own.split()] + [texts.invent(rng)]
            rows.append([tok.word(w) for w in some])
        most = max(PREFIX, max(sum(map(len, r)) for r in rows))
        for r in rows:                                    # all of one length, so that they run as one batch
            r += [tok.word(w) for w in rng.sample(common, most - sum(map(len, r)))]
            rng.shuffle(r)
        prefix = torch.tensor([[z for w in r for z in w] for r in rows])
    hit = total = 0
    for own, hyp in zip(s.translated, captions(net, tok, s.waves, names, prefix=prefix)):
        heard = words(hyp)
        hit, total = hit + sum(w in heard for w in own.split()), total + len(own.split())
    return 100 * hit / max(1, total), total


def describe(net, tok, atlas, wave, say, conds, fresh=False, seed=9, when=(10, 60, 110, 170)):
    """Facts of made-up scenes told, in drawings, photographs and letters that training has not seen, while someone speaks;
    fresh: nouns too. All rows run in step, so the pictures come when `when` says."""
    b, views = len(wave), {}
    at, spec, said = pictures.test_set(atlas.names, seed, 8 * b, T, len(when), fresh)
    rows = np.flatnonzero((at < T).all(1))[:b]
    for k, t in enumerate(when):
        painted = pictures.paint(atlas, torch.from_numpy(spec[rows, k]).float().to(atlas.icons.device))
        views[t] = features.patches(painted)
    hyps = [tok.decode(r) for r in greedy(net, wave[:len(rows)], ("caption", "description"), conds, views=views)["description"].tolist()]
    wanted = [" ".join(text for _, text in said[i]) for i in rows]
    say(f"    {wanted[0]}\n    {hyps[0]}")
    return pictures.score(pictures.Grammar(scenes.rows()), hyps, wanted)


def tags(net, tok, clips, names):
    """Clips of sounds -> per label (clips, those with the right tag, those with another), words a minute."""
    out, spoken_words, minutes = {}, 0, 0.0
    n = max(len(x) for x, _ in clips) // features.SLOT + TAIL
    wave = torch.zeros(len(clips), n * features.SLOT)
    for i, (x, _) in enumerate(clips):
        wave[i, 4 * features.SLOT:4 * features.SLOT + len(x)] = torch.from_numpy(x.astype(np.float32) / 32768)[:n * features.SLOT]
        minutes += len(x) / 16000 / 60
    for (_, label), hyp in zip(clips, captions(net, tok, wave, names)):
        found, r = set(TAG.findall(hyp)), out.setdefault(label, [0, 0, 0])
        r[0], r[1], r[2] = r[0] + 1, r[1] + (label in found), r[2] + bool(found - {label})
        spoken_words += len(words(hyp))
    return out, spoken_words / minutes


def voices(net, tok, wave, starts, names, levels=(0.3, 0.5, 0.7, 0.8, 0.9), within=15):
    """Other voices told by the activity head: for each level how often it told one, how many of them were right (in the
    `within` slots after one has begun to speak), and how many there were."""
    act, out = [], []
    greedy(net, wave, ("caption",), names, activity=act)
    p = torch.cat(act)[:, :, 2]
    for level in levels:
        told = set()
        for i, row in enumerate(p.tolist()):
            armed, last = True, -99
            for t, x in enumerate(row):                  # as model/activity.c does
                armed = armed or x < 0.6 * level
                if armed and x > level and t - last >= 13:
                    told.add((i, t))
                    armed, last = False, t
        right = sum(any((i, t) in told for t in range(s, s + within)) for i, s, other in starts if other)
        out.append((level, len(told), right, sum(other for _, _, other in starts)))
    return out


def silence(net, tok, names, seed=3):
    """Words a minute on silence and coloured noise, -70 to -25 dB."""
    g, n = torch.Generator().manual_seed(seed), 24
    x = torch.randn(n, T * features.SLOT, generator=g)
    f = torch.fft.rfft(x) / (torch.linspace(0, 60, T * features.SLOT // 2 + 1) + 1) ** torch.rand(n, 1, generator=g)
    x = torch.fft.irfft(f, n=T * features.SLOT)
    x = x / x.std(1, keepdim=True) * 10 ** (-(25 + 45 * torch.rand(n, 1, generator=g)) / 20)
    x[:4] = 0
    return sum(len(words(r)) for r in captions(net, tok, x, names)) / (n * T * 0.08 / 60)


def everything(net, tok, sets, atlas, data, say, rows=None, only=None, extra=(), detect=False):
    """extra: further conditions, as delay:10; detect: the language is not told."""
    net.eval()
    if not any(x.startswith("delay:") for x in extra):
        extra = (*extra, f"delay:{net.c.delay}")
    go = lambda n: only is None or n in only
    cut = lambda s: Set(s.waves[:rows], s.said[:rows], s.translated[:rows], s.lang, s.target)
    cond = lambda lang, style="style:cased": (style, *extra, *(() if detect else ("in:" + lang,)))
    for name, s in sets.items():
        if name in ("names", "sounds", "voices") or not go(name):
            continue
        s = cut(s)
        if s.target is None:
            r, n = wer(net, tok, s, cond(s.lang), say, show=2)
            say(f"EVAL {name}: WER {r:.1f} % of {n} words")
        elif "to:" + s.target in net.c.conds:
            say(f"EVAL {name}: BLEU {bleu(net, tok, s, cond(s.lang), say):.1f} on {len(s.said)} windows")
    if "human-en" in sets and go("plain"):
        r, n = wer(net, tok, cut(sets["human-en"]), cond("en", "style:plain"), say)
        say(f"EVAL human-en, style:plain: WER {r:.1f} % of {n} words")
    if "names" in sets and go("names"):
        s = cut(sets["names"])
        a, b = (recall(net, tok, s, cond("en"), x) for x in (False, True))
        say(f"EVAL names: recall {a[0]:.1f} % without a glossary, {b[0]:.1f} % with it, of {a[1]} names")
    if atlas is not None and "en" in sets and go("pictures"):
        for fresh in (False, True):
            got = describe(net, tok, atlas, sets["en"].waves[:rows or 40], say, cond("en"), fresh)
            say(f"EVAL pictures{', new nouns' if fresh else ''}: facts told, told right: " +
                ", ".join(f"{k} {100 * r:.0f} %, {100 * p:.0f} % of {n}" for k, (r, p, n) in got.items()))
    if go("photos"):
        got = photos.describe(net, tok, data, greedy, cond("en"), say)
        say("EVAL photos: " + ", ".join(f"{k} {100 * n / max(1, of):.0f} % of {of}" for k, (n, of) in got.items()))
    if "sounds" in sets and go("sounds"):
        got, pace = tags(net, tok, [x for i, x in enumerate(sets["sounds"]) if rows is None or i % 8 < rows], cond("en"))
        say("EVAL sounds: right tag, another tag: " + ", ".join(f"{k} {b}/{n}, {c}/{n}" for k, (n, b, c) in got.items()))
        say(f"EVAL sounds: {pace:.2f} words a minute")
        music = [x for x in sets["sounds"] if x[1] == "[music]"][:rows]
        say(f"EVAL music: {tags(net, tok, music, cond('en'))[1]:.2f} words a minute")
    if "voices" in sets and go("voices"):
        for level, told, right, n in voices(net, tok, *sets["voices"], cond("en")):
            say(f"EVAL voices: above {level}: {told} told, {right} of them right, of {n}")
    if go("silence"):
        say(f"EVAL silence and noise: {silence(net, tok, cond('en')):.2f} words a minute")
    net.train()


def main():
    import weights
    a = argparse.ArgumentParser()
    for x in ("model", "data", "synth", "espeak_data", "places"):
        a.add_argument(x)
    a.add_argument("--pictures", help="held-out drawings of drawings.py")
    a.add_argument("--sounds")
    a.add_argument("--rows", type=int)
    a.add_argument("--sets", help=f"of {','.join(SETS)}")
    a.add_argument("--delays", help="slots, comma separated; without: the model's own")
    a.add_argument("--detect", action="store_true")
    a = a.parse_args()
    only = a.sets.split(",") if a.sets else None
    if only and set(only) - set(SETS):
        sys.exit(f"evaluate.py: no such set: {', '.join(set(only) - set(SETS))}; there are {', '.join(SETS)}")
    dev = "cuda" if torch.cuda.is_available() else "cpu"
    net, tok = weights.load_folder(a.model).to(dev), tokens.Tokenizer(os.path.join(a.model, "tokenizer.json"))
    with tempfile.TemporaryDirectory() as work:
        sets = make_sets(a.data, a.places, a.synth, a.espeak_data, work, only, a.sounds)
    atlas = pictures.load(a.pictures).to(dev) if a.pictures else None
    for d in a.delays.split(",") if a.delays else [None]:
        if d:
            print(f"== delay {d} slots")
        everything(net, tok, sets, atlas, a.data, print, a.rows, only, (f"delay:{d}",) if d else (), a.detect)


if __name__ == "__main__":
    main()
