# SPDX-License-Identifier: Apache-2.0
"""One model with three lanes against three specialists of the same recipe: speech; text translation; pictures.

specialists.py run OUT --data .. (as routers.py) [--joint full] [--shapes xs,s,m,l,full] [--roles joint,speech,text,picture]
               [--steps N] [--budget-s S]     resumable; several at once, a role each, are as well (text once speech is done)
specialists.py engine OUT VIDEO [--lumivox PROGRAM] [--repeat 3]    what was picked, run by the product on a video
specialists.py folders OUT      of the joint model and what was picked
specialists.py table OUT

`run` trains the joint model, then each specialist from the smallest size on until one matches the joint model in its lane (WER,
BLEU of the translation of what the picked speech model wrote, facts of pictures; all held out), and writes model folders that the
product loads. A specialist sees the same windows: the speech model without the other lanes, the translation model without sound
but with the captions fed, the picture model without captions. `engine` runs the joint model with all lanes, and each specialist
with its own, each a process of its own. A folder has the weights of all lanes; counted are those that a role uses."""
import argparse
import os
import shutil
import subprocess
import sys
import time

import torch

import lab
import results

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import evaluate  # noqa: E402
import features  # noqa: E402
import m3  # noqa: E402
import texts  # noqa: E402
import weights  # noqa: E402

# layers, width, heads, key heads, head's width; the t ones are for trying the driver
SHAPES = {"t1": (2, 32, 2, 1, 16), "t2": (2, 64, 4, 2, 16), "t3": (3, 96, 6, 2, 16), "xs": (3, 128, 2, 1, 64),
          "s": (4, 192, 3, 1, 64), "m": (6, 256, 4, 2, 64), "l": (8, 320, 5, 1, 64), "full": (8, 384, 6, 2, 64)}
LANES = {"joint": ("caption", "translation", "description"), "speech": ("caption",), "text": ("translation",),
         "picture": ("description",)}
MEASURE = {"speech": ("wer", -1), "text": ("bleu", 1), "picture": ("facts", 1)}      # and whether more is better
SLOTS, PICTURES = 750, 30                                # a minute: slots of 80 ms, a picture every two seconds


def config(shape):
    layers, d, heads, kv, hd = SHAPES[shape]
    round32 = lambda x: int(x + 31) // 32 * 32
    return m3.config("nano", hidden_size=d, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv,
                     head_dim=hd, rotary_dim=hd // 2, dense_intermediate_size=round32(d * 10 / 3), intermediate_size=d,
                     shared_intermediate_size=round32(d * 4 / 3), moe_layer_freq=[0] + [1] * (layers - 1))


def cost(c, role):
    """-> (parameters that the role uses, FLOPs of a media minute), from the config alone."""
    lanes, seen = len(LANES[role]), lab.ROLES[role].pictures
    attention = c.d * (c.heads + 2 * c.kv) * c.hd + c.heads * c.hd * c.d
    dense, shared, expert, router = 3 * c.d * c.dense, 3 * c.d * c.shared, 3 * c.d * c.inter, c.d * (2 * c.experts + 2 * c.rdim)
    sparse = sum(c.moe)
    whole = c.layers * attention + (c.layers - sparse) * dense + sparse * (shared + c.experts * expert + router)
    active = c.layers * attention + (c.layers - sparse) * dense + sparse * (shared + c.top * expert + router)
    keys = c.window + (c.pictures * m3.PATCHES if seen else 0)
    scores = c.layers * 2 * keys * c.heads * c.hd        # q k and p v, in multiply-adds
    slot = active + scores + 640 * c.d + lanes * (2 * c.d * c.d + c.vocab * c.d)
    patch = active + scores + 768 * c.d
    parameters = whole + c.vocab * c.d + 640 * c.d + 2 * lanes * c.d * c.d + (768 + 16) * c.d * seen
    return parameters, 2 * (SLOTS * slot + (PICTURES * m3.PATCHES * patch if seen else 0))


@torch.no_grad()
def translate_text(net, captions, cond):
    """captions [B, T] ids as another model wrote them, fed slot by slot; nothing is heard. -> ids [B, T]."""
    b, t = captions.shape
    dev, c = net.embed.device, net.c
    quiet = features.slots(torch.zeros(1, t * features.SLOT), features.mel_filters()).to(dev)
    s, out = m3.Stream(net, evaluate.conditions(c, cond).to(dev).expand(b, -1)), []
    fed = torch.full((b, len(c.lanes)), c.pad, device=dev)
    for i in range(t):
        logits, _ = s.slot(quiet[:, i].expand(b, -1), fed)
        fed = torch.full_like(fed, c.pad)
        fed[:, 0], fed[:, 1] = captions[:, i].to(dev), logits[1].argmax(-1)
        out.append(fed[:, 1].cpu())
    return torch.stack(out, 1)


def judge(bench, net, role, heard=None):
    """heard: what the speech specialist wrote of the windows of en-de, ids. -> {"wer"}, {"bleu"}, {"facts"} or all of them."""
    net.eval()
    sets, quiet, r = bench.held(), lambda *_: None, {}
    cond = ("style:cased", "in:en", f"delay:{net.c.delay}")
    if role in ("joint", "speech"):
        r["wer"], r["words"] = evaluate.wer(net, bench.tok, sets["en"], cond, quiet)
    if role == "joint":
        r["bleu"] = evaluate.bleu(net, bench.tok, sets["en-de"], cond, quiet, show=0)
    elif role == "text":
        s = sets["en-de"]
        said = translate_text(net, heard, (*cond, "to:" + s.target)).tolist()
        hyps = [texts.clean(bench.tok.decode(x), s.target) for x in said]
        r["bleu"] = evaluate.score.bleu([[texts.clean(x, s.target)] for x in s.translated], hyps)
    if role in ("joint", "picture"):
        facts = evaluate.describe(net, bench.tok, bench.atlas["dev"], sets["en"].waves, quiet, cond)
        r["facts"], r["of"] = 100 * facts["all"][0], facts["all"][2]
    net.train()
    return r


def matches(role, mine, joint):
    key, sign = MEASURE[role]
    return sign * (mine[key] - joint[key]) >= 0


def picked(res):
    """(joint's seed, {role: (shape, matched)}): the smallest that matches, else the largest that was run."""
    seed, out = next((k.split()[1] for k in res if k.startswith("joint ")), None), {}
    for role in MEASURE if seed else ():
        done = [s for s in SHAPES if f"{role} {s} {seed}" in res]
        hit = [s for s in done if matches(role, res[f"{role} {s} {seed}"], res[f"joint {seed}"])]
        if done:
            out[role] = (hit or done[-1:])[0], bool(hit)
    return seed, out


def chosen(res):
    """{role: the run's name}, of the joint model and those picked."""
    seed, p = picked(res)
    return {"joint": f"joint {seed}", **{r: f"{r} {p[r][0]} {seed}" for r in p}} if seed else {}


def run(a):
    shapes = a.shapes.split(",")
    bench, res, seed = lab.Lab(a), results.Results(a.out), int(a.seeds.split(",")[0])

    def one(role, shape, heard=None):
        name = f"joint {seed}" if role == "joint" else f"{role} {shape} {seed}"
        if name not in res.all:
            file = f"{role}-{shape}-{seed}"
            t = bench.train(file, config(shape), seed, role)
            folder = os.path.join(a.out, "models", file)
            weights.save_folder(t.net, folder, 8, 4)
            shutil.copy(a.tokenizer, os.path.join(folder, "tokenizer.json"))
            parameters, flops = cost(t.net.c, role)
            res.put(name, {"shape": shape, "steps": a.steps, "folder": folder, "parameters": parameters, "flops": flops,
                           "loss": bench.loss(t, role), **judge(bench, t.net, role, heard)})
            results.say(name, {k: v for k, v in res.all[name].items() if k != "folder"})
        return res.all[name]

    roles, heard = a.roles.split(","), None
    if a.train_only:
        for role in roles:
            for shape in shapes:
                bench.train(f"{role}-{shape}-{seed}", config(shape), seed, role)
        return
    if "joint" in roles:
        one("joint", a.joint)
    for role in (r for r in MEASURE if r in roles):
        if role == "text":                               # what the speech model that was picked writes of the same windows
            best = picked(res.read())[1]["speech"][0]
            net = weights.load_folder(res.all[f"speech {best} {seed}"]["folder"]).to(bench.dev)
            cond = ("style:cased", "in:en", f"delay:{net.c.delay}")
            heard = evaluate.greedy(net, bench.held()["en-de"].waves, ("caption",), cond)["caption"]
        for shape in shapes:
            mine, joint = one(role, shape, heard), res.read().get(f"joint {seed}")
            if joint and matches(role, mine, joint):
                break


def engine(a):
    """Wall and processor seconds, peak memory of a media minute for each picked model, by the product."""
    res = results.Results(a.out)
    seconds = float(subprocess.run(["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", a.video],
                                   capture_output=True, text=True, check=True).stdout)
    out = {"video_s": seconds}
    for role, name in chosen(res.all).items():
        lanes = LANES[role]
        command = [a.lumivox, "transcribe", "--model", os.path.join(a.out, "models", os.path.basename(res.all[name]["folder"])), "--language", "en", "--lanes", ",".join(lanes),
                   "--output", os.devnull, a.video] + (["--translate-to", "de"] if "translation" in lanes else [])
        runs = []
        for _ in range(a.repeat):
            begin = time.monotonic()
            child = subprocess.Popen(command)
            _, status, use = os.wait4(child.pid, 0)
            if status:
                raise SystemExit(f"specialists.py: {' '.join(command)}: ended with status {status}")
            runs.append((time.monotonic() - begin, use.ru_utime + use.ru_stime, use.ru_maxrss / 1024))
        wall, cpu, mb = (sorted(x)[len(runs) // 2] for x in zip(*runs))
        out[role] = {"wall_s": wall * 60 / seconds, "cpu_s": cpu * 60 / seconds, "mb": mb}
        results.say(role, out[role])
    res.put("engine", out)


def table(res):
    p, e = picked(res)[1], res.get("engine", {})
    if len(p) < len(MEASURE):
        return "not all roles have been run yet"
    rows = [(r, name, r == "joint" or p[r][1]) for r, name in chosen(res).items()]
    out = ["| | size | matches the joint model | WER | BLEU | facts | parameters | GFLOP a media minute | processor s | wall s | "
           "peak memory |", "|---|" + "---|" * 10]
    total = {"parameters": 0, "flops": 0, "cpu_s": 0, "wall_s": 0, "mb": 0}
    number = lambda x, d=1: "" if x is None else f"{x:.{d}f}"
    for role, name, ok in rows:
        r, m = res[name], e.get(role, {})
        out.append(f"| {role} | {r['shape']} | {'' if role == 'joint' else 'yes' if ok else 'no: the largest that was run'} | " +
                   " | ".join(number(r.get(k)) for k in ("wer", "bleu", "facts")) +
                   f" | {r['parameters'] / 1e6:.2f} M | {r['flops'] / 1e9:.1f} | " +
                   " | ".join(number(m.get(k), 2) for k in ("cpu_s", "wall_s")) + f" | {number(m.get('mb'), 0)} MB |")
        if role != "joint":
            for k in total:
                total[k] += r.get(k, m.get(k, 0))
    j = {**res[rows[0][1]], **e.get("joint", {})}
    out.append(f"| three specialists | | | | | | {total['parameters'] / 1e6:.2f} M | {total['flops'] / 1e9:.1f} | " +
               (f"{total['cpu_s']:.2f} | {total['wall_s']:.2f} | {total['mb']:.0f} MB |" if e else "| | |"))
    less = lambda k: f"{100 * (1 - j[k] / total[k]):.0f} %" if j.get(k) and total[k] else "not measured"
    out.append(f"\nThe joint model takes less than the three by: compute {less('flops')}, processor time {less('cpu_s')}, wall time "
               f"{less('wall_s')} (one after another), memory {less('mb')}, parameters {less('parameters')}. " +
               ("" if all(p[r][1] for r in MEASURE) else "Where no size matches, this flatters the specialists."))
    return "\n".join(out)


def main():
    a = argparse.ArgumentParser()
    sub = a.add_subparsers(dest="what", required=True)
    r = sub.add_parser("run")
    r.add_argument("out")
    r.add_argument("--joint", default="full", choices=SHAPES)
    r.add_argument("--shapes", default="xs,s,m,l,full", help="of the specialists, the smallest first")
    r.add_argument("--roles", default=",".join(LANES))
    r.add_argument("--train-only", action="store_true", help="all --shapes of --roles, to be judged by a later call")
    lab.options(r)
    e = sub.add_parser("engine")
    e.add_argument("out")
    e.add_argument("video")
    e.add_argument("--lumivox", default="build/clients/lumivox")
    e.add_argument("--repeat", type=int, default=3)
    sub.add_parser("folders").add_argument("out")
    sub.add_parser("table").add_argument("out")
    a = a.parse_args()
    if a.what == "folders":
        res = results.Results(a.out).all
        print(*(os.path.basename(res[name]["folder"]) for name in chosen(res).values()))
        return 0
    if a.what == "run" and (set(a.shapes.split(",")) - set(SHAPES) or len(a.shapes.split(",")) < 3):
        sys.exit(f"specialists.py: --shapes: at least three of {', '.join(SHAPES)}")
    if a.what == "table":
        print(table(results.Results(a.out).all))
        return 0
    return results.status(lambda: {"run": run, "engine": engine}[a.what](a))


if __name__ == "__main__":
    sys.exit(main())
