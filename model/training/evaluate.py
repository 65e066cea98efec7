# SPDX-License-Identifier: Apache-2.0
"""Held-out tests: greedy streaming word error rate, German BLEU, nouns of described pictures, words in silence.

evaluate.py MODEL DATA SYNTH ESPEAK_DATA [--icons FILE] [--rows N] [--sets a,b,..]  runs a model folder."""
import argparse
import os
import random
import re
import tempfile

import numpy as np
import torch

import features
import m3
import pictures
import speech
import texts

T = 256


def words(s):
    return re.sub(r"[^a-z0-9' ]+", " ", s.lower()).split()


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def pack(utterances, slots=T, gap=0.8, seed=5):
    """[(samples, text, translation)] one after another into windows -> [B, slots*1280] in -1..1, texts, translations."""
    rng, rows, refs = random.Random(seed), [], []
    row, at, ref = None, 0, None
    for x, text, de in utterances:
        if len(x) > (slots - 15) * features.SLOT - 16000:
            continue
        if row is None or at + len(x) > (slots - 12) * features.SLOT:
            row, at, ref = np.zeros(slots * features.SLOT, np.float32), int(rng.uniform(0.2, 0.8) * 16000), ([], [])
            rows.append(row)
            refs.append(ref)
        row[at:at + len(x)] = x.astype(np.float32) / 32768
        at += len(x) + int(rng.uniform(0.4, 1.6) * gap * 16000)
        ref[0].append(text)
        ref[1].append(de or "")
    return torch.from_numpy(np.stack(rows)), [" ".join(r[0]) for r in refs], [" ".join(r[1]) for r in refs]


def spoken(items, voice, synth, espeak_data):
    """items [(text, translation)], voice(i) -> fields."""
    with tempfile.TemporaryDirectory() as tmp:
        pcm, rows = speech.speak([(voice(i), x[0]) for i, x in enumerate(items)], synth, os.path.join(tmp, "e"),
                                 os.path.dirname(espeak_data.rstrip("/")))
    return [(pcm[off:off + n], items[i][0], items[i][1]) for i, off, n, _ in rows]


def make_sets(data, synth, espeak_data, work):
    """name -> (waves, references, translations, lane): espeak, rms, german, human."""
    _, plain, paired = texts.load(data)
    paired = [(a, b[0]) for a, b in paired]
    out = {"espeak": pack(spoken([(s, None) for s in plain], texts.held_voice, synth, espeak_data)),
           "rms": pack(spoken([(s, None) for s in plain[:250]], lambda i: ("f", "rms", "1", "1", "0", "1"), synth, espeak_data)),
           "german": pack(spoken(paired, texts.held_voice, synth, espeak_data))}
    if os.path.exists(os.path.join(data, "speech", "dev.tsv")):
        rec = [r for r in speech.recordings(data, "dev") if r[3] == "librispeech"]
        wav = speech.decode([r[0] for r in rec], work, 4)
        out["human"] = pack([(x, r[2], None) for x, r in zip(wav, rec) if x is not None], slots=400)
    return out


@torch.no_grad()
def greedy(net, wave, on, style="style:cased", views=None, batch=128):
    """wave [B, n*1280]; on: lanes that run; views {slot: [B, 60, 768]} -> ids [B, T, lanes]."""
    c, dev, out = net.c, net.embed.device, []
    fb = features.mel_filters().to(dev)
    cond = torch.tensor([float(x == style or (x == "to:de" and on[1])) for x in c.conds], device=dev)
    live = torch.tensor([on], device=dev)
    for lo in range(0, len(wave), batch):
        mel = features.slots(wave[lo:lo + batch].to(dev), fb)
        b = len(mel)
        s, fed, ids = m3.Stream(net, cond.expand(b, -1)), torch.full((b, len(c.lanes)), c.pad, device=dev), []
        for t in range(mel.shape[1]):
            if views and t in views:
                s.picture(views[t][lo:lo + batch].to(dev))
            best = torch.stack([x.argmax(-1) for x in s.slot(mel[:, t], fed)[0]], 1)
            fed = torch.where(live, best, torch.full_like(best, c.pad))
            ids.append(fed)
        out.append(torch.stack(ids, 1).cpu())
    return torch.cat(out)


def wer(net, tok, wave, refs, say, style="style:cased", show=0):
    ids, err, total = greedy(net, wave, (True, False, False), style), 0, 0
    for i, ref in enumerate(refs):
        hyp = tok.decode(ids[i, :, 0].tolist())
        err, total = err + distance(words(ref), words(hyp)), total + len(words(ref))
        if i < show:
            say(f"    {ref[:150]}\n    {hyp[:150]}")
    return 100 * err / max(1, total), total


def bleu(net, tok, wave, refs, say, show=1):
    ids = greedy(net, wave, (True, True, False))
    hyps = [tok.decode(r) for r in ids[:, :, 1].tolist()]
    for r, h in list(zip(refs, hyps))[:show]:
        say(f"    {r[:150]}\n    {h[:150]}")
    try:
        import sacrebleu
    except ImportError:
        return float("nan")
    return sacrebleu.corpus_bleu(hyps, [refs]).score


def describe(net, tok, atlas, wave, say, seed=9):
    """Noun recall and precision over new compositions and backgrounds, with speech going on."""
    b, names, rng = len(wave), pictures.names(), random.Random(seed)
    when, views, truth = (10, 70, 130, 190), {}, [[] for _ in range(b)]
    g = torch.Generator().manual_seed(seed)
    for w in when:
        icons = torch.full((b, pictures.MOST), -1)
        for i in range(b):
            pick = rng.sample(range(len(names)), rng.choice([1, 1, 2, 3]))
            icons[i, :len(pick)] = torch.tensor(pick)
            truth[i].append(pick)
        torch.manual_seed(seed + w)
        seeds = torch.randint(0, 1 << 16, (b,), generator=g)
        views[w] = features.patches(pictures.paint(atlas, icons.to(atlas.device), seeds.to(atlas.device)))
    ids = greedy(net, wave, (True, False, True), views=views)
    hit = said = total = 0
    for i in range(b):
        for k, w in enumerate(when):
            text = " " + tok.decode(ids[i, w:w + 60, 2].tolist()).lower().rstrip(".").replace(",", "") + " "
            want = [names[x].lower() for x in truth[i][k]]
            hit += sum(f" {n} " in text for n in want)
            said += len(re.findall(r" an? ", text))
            total += len(want)
            if i == 0:
                say(f"    {' / '.join(want)}: {text.strip()}")
    return 100 * hit / max(1, total), 100 * min(1.0, hit / max(1, said)), total


def silence(net, tok, seed=3):
    """Words a minute on silence and coloured noise, -70 to -25 dB."""
    g, n = torch.Generator().manual_seed(seed), 24
    x = torch.randn(n, T * features.SLOT, generator=g)
    f = torch.fft.rfft(x) / (torch.linspace(0, 60, T * features.SLOT // 2 + 1) + 1) ** torch.rand(n, 1, generator=g)
    x = torch.fft.irfft(f, n=T * features.SLOT)
    x = x / x.std(1, keepdim=True) * 10 ** (-(25 + 45 * torch.rand(n, 1, generator=g)) / 20)
    x[:4] = 0
    ids = greedy(net, x, (True, False, False))[:, :, 0]
    return sum(len(tok.decode(r).split()) for r in ids.tolist()) / (n * T * 0.08 / 60)


def everything(net, tok, sets, atlas, say, rows=None, only=None):
    net.eval()
    go = lambda n: only is None or n in only
    for name in ("espeak", "rms", "human"):
        if name in sets and go(name):
            w, ref, _ = sets[name]
            r, n = wer(net, tok, w[:rows], ref[:rows], say, show=2)
            say(f"EVAL {name}: WER {r:.1f} % of {n} words")
    if "human" in sets and go("plain"):
        r, n = wer(net, tok, sets["human"][0][:rows], sets["human"][1][:rows], say, "style:plain")
        say(f"EVAL human, style:plain: WER {r:.1f} % of {n} words")
    if go("german"):
        w, ref, de = sets["german"]
        say(f"EVAL german: BLEU {bleu(net, tok, w[:rows], de[:rows], say):.1f} on {len(de[:rows])} windows")
    if atlas is not None and go("pictures"):
        r, p, n = describe(net, tok, atlas, sets["espeak"][0][:rows or 40], say)
        say(f"EVAL pictures: noun recall {r:.1f} %, precision {p:.1f} % over {n} nouns")
    if go("silence"):
        say(f"EVAL silence and noise: {silence(net, tok):.2f} words a minute")
    net.train()


def main():
    import tokens
    import weights
    a = argparse.ArgumentParser()
    for x in ("model", "data", "synth", "espeak_data"):
        a.add_argument(x)
    a.add_argument("--icons")
    a.add_argument("--rows", type=int)
    a.add_argument("--sets")
    a = a.parse_args()
    dev = "cuda" if torch.cuda.is_available() else "cpu"
    net, tok = weights.load_folder(a.model).to(dev), tokens.Tokenizer(os.path.join(a.model, "tokenizer.json"))
    with tempfile.TemporaryDirectory() as work:
        sets = make_sets(a.data, a.synth, a.espeak_data, work)
    atlas = pictures.load_atlas(a.icons).to(dev) if a.icons else None
    everything(net, tok, sets, atlas, print, a.rows, a.sets.split(",") if a.sets else None)


if __name__ == "__main__":
    main()
