# SPDX-License-Identifier: Apache-2.0
"""The router's ablation: cross-modal (ours), plain (`W h` alone), per-modality (a W for each modality; one pool of experts).

routers.py run OUT --data .. --places .. --tokenizer .. --synth .. --espeak-data .. --drawings .. --held-drawings ..
           [--size nano|tiny] [--routers LIST] [--steps N] [--seeds 1,2] [--budget-s S]     resumable; OUT/results grows as it goes
routers.py table OUT          prints the table and writes OUT/experts-ROUTER.svg

All three begin as the same function and see the same windows in the same order."""
import argparse
import os
import sys

import experts
import lab
import results

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import evaluate  # noqa: E402
import m3  # noqa: E402


def judge(bench, t):
    """Loss, WER, BLEU, facts of pictures, experts by what is at hand."""
    net, quiet, sets = t.net, lambda *_: None, bench.held()
    r = {"loss": bench.loss(t)}
    net.eval()
    cond = ("style:cased", "in:en", f"delay:{net.c.delay}")
    r["wer"], r["words"] = evaluate.wer(net, bench.tok, sets["en"], cond, quiet)
    r["bleu"], r["windows"] = evaluate.bleu(net, bench.tok, sets["en-de"], cond, quiet, show=0), len(sets["en-de"].said)
    facts = evaluate.describe(net, bench.tok, bench.atlas["dev"], sets["en"].waves, quiet, cond)
    r["facts"] = {k: (100 * found, 100 * right, n) for k, (found, right, n) in facts.items()}
    got = experts.material(bench.held()["en"], bench.atlas["dev"], min(24, bench.a.rows), bench.tok)
    r["experts"] = experts.report(experts.measure(net, *got, cond))
    net.train()
    return r


def run(a):
    bench, res = lab.Lab(a), results.Results(a.out)
    ours = m3.config(a.size, "cross-modal", vocab_size=6144)
    for seed in map(int, a.seeds.split(",")):
        for router in a.routers.split(","):
            name = f"{router} {seed}"
            if name not in res.all:
                t = bench.train(name.replace(" ", "-"), m3.config(a.size, router, vocab_size=6144), seed, alike=ours)
                res.put(name, {"size": a.size, "steps": a.steps, **judge(bench, t)})
                results.say(name, {k: v for k, v in res.all[name].items() if k != "experts"})


def table(res, out):
    rows = {k: [v for n, v in sorted(res.items()) if n.split()[0] == k] for k in m3.ROUTERS}
    if not any(rows.values()):
        return "nothing has been run yet"
    first = next(v[0] for v in rows.values() if v)
    lines = [f"| router ({first['size']}, {first['steps']} steps, held-out material) | seeds | loss: caption | translation | "
             f"description | WER of {first['words']} words | BLEU, {first['windows']} windows | "
             f"facts told (right) of {first['facts']['all'][2]} | most gained with both, of a slot's choices |", "|---|" + "---|" * 8]
    for k, v in rows.items():
        if v:
            mean = lambda f, v=v: results.spread([f(x) for x in v])
            loss = lambda lane, v=v: f"{sum(x['loss'][lane] for x in v) / len(v):.3f}"
            told, right = (mean(lambda x, i=i: x["facts"]["all"][i]) for i in (0, 1))
            lines.append(f"| {k} | {len(v)} | {loss('caption')} | {loss('translation')} | {loss('description')} | "
                         f"{mean(lambda x: x['wer'])} % | {mean(lambda x: x['bleu'])} | {told} % ({right} %) | "
                         f"{max(g for layer in v[0]['experts']['fusion'] for g in layer):+.3f} |")
            with open(os.path.join(out, f"experts-{k}.svg"), "w", encoding="utf8") as f:
                f.write(experts.svg(v[0]["experts"], f"{k} router: which experts are chosen"))
    return "\n".join(lines)


def main():
    a = argparse.ArgumentParser()
    sub = a.add_subparsers(dest="what", required=True)
    r = sub.add_parser("run")
    r.add_argument("out")
    r.add_argument("--size", default="nano")
    r.add_argument("--routers", default=",".join(m3.ROUTERS))
    lab.options(r)
    sub.add_parser("table").add_argument("out")
    a = a.parse_args()
    if a.what == "table":
        print(table(results.Results(a.out).all, a.out))
        return 0
    return results.status(lambda: run(a))


if __name__ == "__main__":
    sys.exit(main())
