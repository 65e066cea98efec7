# SPDX-License-Identifier: Apache-2.0
"""Which experts a model chooses for speech alone, pictures (in silence), both, and a text prefix: a table and a picture.

experts.py MODEL DATA SYNTH ESPEAK_DATA PLACES DRAWINGS [--windows 32] [--out FILE.json] [--svg FILE.svg]
DRAWINGS: held-out ones. Held-out sentences, voices and drawings, streaming, its own text fed back. Two minutes a core.

A fusion expert would be chosen more with both at hand than with either alone: `fusion` is by how much, at slots, the share of
slots that choose it with both exceeds the larger of the two shares alone (window by window, with its standard error)."""
import argparse
import json
import os
import sys
import tempfile

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import evaluate  # noqa: E402
import features  # noqa: E402
import m3  # noqa: E402
import pictures  # noqa: E402
import tokens  # noqa: E402
import weights  # noqa: E402

T, WHEN = 192, (10, 50, 90, 130)
WITH = {"silence": (False, False, False), "speech": (True, False, False), "pictures": (False, True, False),
        "both": (True, True, False), "text and speech": (True, False, True)}
# what is shown: positions of a run, and with what
ROWS = (("slot", "silence"), ("slot", "speech"), ("slot", "pictures"), ("slot", "both"), ("slot", "text and speech"),
        ("patch", "pictures"), ("patch", "both"), ("token", "text and speech"))


class Watch:
    """Counts, for each row of the batch, which experts a net's blocks choose."""
    def __init__(self, net, rows):
        self.sparse = [b for b in net.blocks if b.sparse]
        shape = (rows, len(self.sparse), net.c.experts)
        self.chosen = {k: torch.zeros(shape) for k in ("slot", "patch", "token")}
        self.seen = {k: 0 for k in self.chosen}          # positions counted
        self.turned = [0, 0]                             # choices that W h alone would make otherwise, of all
        self.slots = 0
        for i, b in enumerate(self.sparse):
            b.choose = self.hook(b, i, b.choose)
            if net.c.router == "cross-modal":
                b.router_logits = self.compare(b, b.router_logits)

    def hook(self, block, layer, choose):
        def watched(logits):
            index, w = choose(logits)
            n = index.shape[1]
            kind = "slot" if n == 1 else "patch" if n == m3.PATCHES else "token"
            if layer == 0:
                self.slots += kind == "slot"
            if kind != "slot" or self.slots > WHEN[0]:   # from the first picture on
                if layer == 0:
                    self.seen[kind] += n
                on = torch.zeros_like(logits).scatter(2, index, 1.0)
                self.chosen[kind][:, layer] += on.sum(1).cpu()
            return index, w
        return watched

    def compare(self, block, router_logits):
        def watched(h, mean, present):
            out = router_logits(h, mean, present)
            if h.shape[1] == 1 and self.slots >= WHEN[0]:
                sets = [torch.zeros_like(x).scatter(-1, (torch.sigmoid(x) + block.bias).topk(block.c.top, -1)[1], 1.0)
                        for x in (out, block.own_logits(h, m3.AUDIO))]
                self.turned[0] += (sets[0] * (1 - sets[1])).sum().item()
                self.turned[1] += sets[0].sum().item()
            return out
        return watched

    def end(self):
        for b in self.sparse:
            del b.choose
            b.__dict__.pop("router_logits", None)


def material(s, atlas, n, tok):
    """s: a Set of speech. -> waves [n, T slots], views {slot: patches}, prefix [n, 16]: words of the window's own sentences."""
    at, spec, _ = pictures.test_set(atlas.names, 9, 8 * n, 256, len(WHEN))
    rows = np.flatnonzero((at < 256).all(1))[:n]
    views = {t: features.patches(pictures.paint(atlas, torch.from_numpy(spec[rows, k]).float().to(atlas.icons.device)))
             for k, t in enumerate(WHEN)}
    ids = [tok.encode(" ".join(w.strip(".,?!;:\"()") for w in x.split()))[:evaluate.PREFIX] for x in s.said[:n]]
    return s.waves[:n, :T * features.SLOT], views, torch.tensor(ids)


def measure(net, wave, views, prefix, conditions):
    """-> {condition: Watch}."""
    out = {}
    for name, (speech, seen, text) in WITH.items():
        n = len(wave) if speech or seen else 1           # one silence is as another
        w = Watch(net, n)
        evaluate.greedy(net, wave if speech else torch.zeros_like(wave[:n]), ("caption", "description"), conditions,
                        views=views if seen else None, prefix=prefix if text else None, batch=n)
        w.end()
        out[name] = w
    return out


def report(watched):
    """-> {"share": {"slot, both": [layers][experts]}, "fusion": [layers][experts], "error", "turned": {...}}."""
    share = lambda kind, name: watched[name].chosen[kind] / max(1, watched[name].seen[kind])
    a, p, both = (share("slot", k) for k in ("speech", "pictures", "both"))
    # the larger of the two is chosen on all windows, so that the noise of one window does not choose it
    larger = torch.where(a.mean(0) >= p.mean(0), a, p)
    gain = both - larger
    return {"share": {f"{kind}, {name}": share(kind, name).mean(0).tolist() for kind, name in ROWS},
            "fusion": gain.mean(0).tolist(), "error": (gain.std(0) / len(gain) ** 0.5).tolist(),
            "turned": {k: w.turned[0] / w.turned[1] for k, w in watched.items() if w.turned[1]}}


def distance(p, q):
    """Share of the choices that differ between two rows of `share`, averaged over layers."""
    p, q = torch.tensor(p), torch.tensor(q)
    return ((p - q).abs().sum(-1) / 2 / p.sum(-1)).mean().item()


def markdown(r):
    s = r["share"]
    out = ["| choices that differ (share of an expert set, mean of the layers) | |", "|---|---|"]
    for a, b in (("slot, silence", "slot, speech"), ("slot, silence", "slot, pictures"), ("slot, speech", "slot, both"),
                 ("slot, speech", "slot, text and speech"), ("slot, both", "patch, both"), ("patch, pictures", "patch, both")):
        out.append(f"| {a} / {b} | {100 * distance(s[a], s[b]):.0f} % |")
    top = sorted(((g, e, i, j) for i, (gs, es) in enumerate(zip(r["fusion"], r["error"])) for j, (g, e) in enumerate(zip(gs, es))),
                 reverse=True)[:5]
    out += ["", "| experts with the largest gain with both | share of slots with speech alone | pictures alone | both | gain |",
            "|---|---|---|---|---|"]
    for g, e, i, j in top:
        x, y, z = (s[k][i][j] for k in ("slot, speech", "slot, pictures", "slot, both"))
        out.append(f"| layer {i + 1}, expert {j} | {x:.2f} | {y:.2f} | {z:.2f} | {g:+.3f} ± {e:.3f} |")
    if r["turned"]:
        out += ["", "Choices at slots that `W h` alone would make otherwise: " +
                ", ".join(f"{k} {100 * v:.0f} %" for k, v in r["turned"].items()) + "."]
    return "\n".join(out)


def svg(r, title):
    """A heat map: a row for each kind of position and what is at hand, a column for each expert, layer by layer."""
    rows = [k for k in r["share"]]
    layers, experts = len(r["fusion"]), len(r["fusion"][0])
    cell, left, top, gap = 12, 150, 46, 8
    width, height = left + layers * (experts * cell + gap) + 10, top + (len(rows) + 1) * (cell + 4) + 64
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" font-family="sans-serif" '
           'font-size="10">', '<!-- SPDX-License-Identifier: Apache-2.0 -->',
           f'<rect width="{width}" height="{height}" fill="#fff"/>',
           f'<text x="8" y="16" font-size="12">{title}</text>']
    warm = lambda v: f"rgb(255,{round(255 - 175 * v)},{round(255 - 235 * v)})"
    cold = lambda v: f"rgb({round(255 - 215 * v)},{round(255 - 95 * v)},255)"
    at = lambda i, j: left + i * (experts * cell + gap) + j * cell
    for i in range(layers):
        out.append(f'<text x="{at(i, 0)}" y="{top - 6}">layer {i + 1}</text>')
    for k, name in enumerate(rows + ["fusion"]):
        y = top + k * (cell + 4) + (6 if name == "fusion" else 0)
        label = name if name != "fusion" else "both over either alone"
        out.append(f'<text x="{left - 6}" y="{y + 10}" text-anchor="end">{label}</text>')
        for i in range(layers):
            for j in range(experts):
                v = r["fusion"][i][j] if name == "fusion" else r["share"][name][i][j]
                # of the gain, only what is gained
                c = cold(min(1, max(0, v) / 0.5)) if name == "fusion" else warm(min(1, v))
                out.append(f'<rect x="{at(i, j)}" y="{y}" width="{cell - 1}" height="{cell}" fill="{c}" stroke="#ddd" '
                           f'stroke-width="0.5"><title>{name}, layer {i + 1}, expert {j}: {v:.2f}</title></rect>')
    y = height - 34
    for n, x, to in (("share of positions that choose the expert: 0 to 1", left, warm), ("gain: 0 to 0.5", left + 380, cold)):
        out += [f'<rect x="{x + 10 * i}" y="{y}" width="10" height="10" fill="{to(i / 9)}"/>' for i in range(10)]
        out.append(f'<text x="{x + 106}" y="{y + 9}">{n}</text>')
    return "\n".join(out + ["</svg>", ""])


def main():
    a = argparse.ArgumentParser()
    for x in ("model", "data", "synth", "espeak_data", "places", "drawings"):
        a.add_argument(x)
    a.add_argument("--windows", type=int, default=32)
    a.add_argument("--out")
    a.add_argument("--svg")
    a.add_argument("--title", default="M3-Nano: which experts are chosen")
    a = a.parse_args()
    net, tok = weights.load_folder(a.model), tokens.Tokenizer(os.path.join(a.model, "tokenizer.json"))
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as work:
        said = evaluate.make_sets(a.data, a.places, a.synth, a.espeak_data, work, ["en"])["en"]
    got = material(said, pictures.load(a.drawings), a.windows, tok)
    r = report(measure(net, *got, ("style:cased", "in:en", f"delay:{net.c.delay}")))
    for path, text in ((a.out, json.dumps(r)), (a.svg, svg(r, a.title))):
        if path:
            open(path, "w", encoding="utf8").write(text)
    print(markdown(r))


if __name__ == "__main__":
    main()
