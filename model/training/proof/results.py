# SPDX-License-Identifier: Apache-2.0
"""What the drivers share: results as JSON, written as they come; a budget of seconds; resumable runs; tables."""
import glob
import json
import math
import os
import random
import time

import torch

T0 = float(os.environ.setdefault("LVX_PROOF_BEGAN", str(time.time())))    # also of a driver that begins anew


def say(*x):
    print(f"[{time.time() - T0:6.1f}]", *x, flush=True)


class Results:
    """{run: value}, a file of OUT/results each, so that several drivers may write at once."""
    def __init__(self, folder):
        self.folder, self.all = os.path.join(folder, "results"), {}
        self.read()

    def read(self):
        """-> all that is there by now, by whichever driver."""
        for path in glob.glob(os.path.join(self.folder, "*.json")):
            with open(path, encoding="utf8") as f:
                self.all[os.path.basename(path)[:-5]] = json.load(f)
        return self.all

    def put(self, run, value):
        os.makedirs(self.folder, exist_ok=True)
        self.all[run] = value
        whole(os.path.join(self.folder, run + ".json"), lambda f: f.write(json.dumps(value, indent=1).encode()))


class Spent(Exception):
    """The budget is spent; the same command goes on from the checkpoint."""


class Clock:
    def __init__(self, budget_s):
        self.budget_s = budget_s

    def check(self, save):
        """save() is called before Spent is raised."""
        if time.time() - T0 > self.budget_s:
            save()
            raise Spent(f"budget of {self.budget_s:.0f} s spent: the same command goes on from here")


def status(work):
    """The exit status of a driver: 0, or 3 where work() has spent its budget."""
    try:
        work()
    except Spent as e:
        say(e)
        return 3
    return 0


def whole(path, write):
    """write(file) makes the file at path: for others it is there whole or not at all, whoever else makes it."""
    part = f"{path}.{os.getpid()}"
    with open(part, "wb") as f:
        write(f)
    os.replace(part, path)


def save(path, state):
    whole(path, lambda f: torch.save(state, f))


def cosine(lr, step, steps):
    """The learning rate: up over the first fifth, 300 steps at most, then down."""
    return lr * min(1, (step + 1) / max(1, min(300, steps // 5))) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def spread(values):
    """'mean ± standard deviation' of the seeds."""
    m = sum(values) / len(values)
    if len(values) < 2:
        return f"{m:.1f}"
    return f"{m:.1f} ± {math.sqrt(sum((v - m) ** 2 for v in values) / (len(values) - 1)):.1f}"


def relative(a, b, draws=10000, seed=1):
    """By how much b is under a, as a share of a: of the means of paired seeds' values, and a 95 % interval over seeds drawn
    with replacement."""
    rng, n, got = random.Random(seed), len(a), []
    for _ in range(draws):
        pick = [rng.randrange(n) for _ in range(n)]
        got.append(1 - sum(b[i] for i in pick) / max(1e-9, sum(a[i] for i in pick)))
    got.sort()
    return 1 - sum(b) / max(1e-9, sum(a)), got[int(0.025 * draws)], got[int(0.975 * draws)]
