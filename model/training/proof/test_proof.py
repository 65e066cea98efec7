# SPDX-License-Identifier: Apache-2.0
"""The drivers of the proofs in miniature: random material, a few steps, every table; seconds."""
import argparse
import os
import random
import tempfile
import unittest

import numpy as np
import torch

import experts
import fusion
import lab
import pairs
import results
import routers
import specialists

import batches
import features
import m3
import scenes


def material(path, seed):
    """Made-up material: noise for speech and sounds, flat pictures."""
    g, nouns = torch.Generator().manual_seed(seed), ["cup", "car", "key"]
    keys = list(pairs.questions(scenes.rows(), nouns))
    noise = lambda n: (torch.randn(n, generator=g) * 3000).to(torch.int16)
    shown = [[("cup", 2, "red"), ("key", 1, "blue")], [("car", 1, None)]]
    pics = torch.randint(0, 256, (2, features.PIC_H, features.PIC_W, 3), generator=g).byte()
    long, n = (pairs.T + 5) * features.SLOT, len(pairs.LABELS)
    torch.save({"pcm": noise(8000 * len(keys)), "spoken": [(k, 8000 * i, 8000) for i, k in enumerate(keys)], "scene": pics, "shown": shown,
                "thing": pics[:1].expand(n, -1, -1, -1).clone(), "label": list(range(n)), "sound": noise(long * n),
                "clips": [(i, long * i, long) for i in range(n)], "nouns": nouns}, path)


class Results(unittest.TestCase):
    def test_kept(self):
        with tempfile.TemporaryDirectory() as d:
            results.Results(d).put("a", {"x": 1})
            r = results.Results(d)
            r.put("b", [2])
            results.Results(d).put("c", 3)               # another driver, at the same time
            self.assertEqual(r.read(), {"a": {"x": 1}, "b": [2], "c": 3})

    def test_spread(self):
        self.assertEqual(results.spread([1, 2, 3]), "2.0 ± 1.0")
        cut, lo, hi = results.relative([10, 20], [5, 10])
        self.assertAlmostEqual(cut, 0.5)
        self.assertAlmostEqual(lo, 0.5)
        self.assertAlmostEqual(hi, 0.5)

    def test_clock(self):
        kept = []
        results.Clock(1e9).check(lambda: kept.append(1))
        self.assertRaises(results.Spent, results.Clock(-1).check, lambda: kept.append(2))
        self.assertEqual(kept, [2])


class Questions(unittest.TestCase):
    def test_answers(self):
        """Every answer is what the scene has."""
        rng, groups, kinds = random.Random(1), [("cup", 2, "red"), ("key", 1, "blue"), ("car", 3, None)], {}
        for _ in range(2000):
            got = pairs.ask(rng, groups, ["cup", "key", "car", "star"])
            if not got:
                continue
            (kind, noun, colour), answer = got
            kinds.setdefault((kind, noun, colour), set()).add(answer)
        self.assertEqual(kinds["count", "cup", None], {"two"})
        self.assertEqual(kinds["count", "cup", "red"], {"two"})
        self.assertEqual(kinds["count", "cup", "green"], {"none"})
        self.assertEqual(kinds["count", "car", None], {"three"})
        self.assertEqual(kinds["there", "star", None], {"no"})
        self.assertEqual(kinds["there", "car", None], {"yes"})
        self.assertEqual(kinds["colour", "key", None], {"blue"})
        self.assertNotIn(("colour", "cup", None), kinds)     # it asks of one thing
        self.assertNotIn(("count", "car", "red"), kinds)     # of no exact colour

    def test_texts(self):
        said = pairs.questions(scenes.rows(), ["cup", "umbrella"])
        self.assertEqual(said["count", "cup", "red"], "How many red cups are there?")
        self.assertEqual(said["there", "umbrella", None], "Is there an umbrella?")


class Fusion(unittest.TestCase):
    def test_towers(self):
        """In the late net's towers nothing of a picture reaches the sound or the other way; in the early one it does."""
        c = fusion.config("test")
        for kind, far in (("early", True), ("late", False)):
            torch.manual_seed(1)
            net = fusion.NETS[kind](c).eval()
            got = []
            first = net.blocks[net.tower] if kind == "late" else net.blocks[1]
            first.register_forward_pre_hook(lambda _, x: got.append(x[0][:, -pairs.T:]))
            mel, when = torch.randn(1, pairs.T, 640), torch.tensor([[3]])
            for v in (0.0, 1.0):
                net.last(mel, torch.full((1, 1, m3.PATCHES, 768), v) * torch.randn(768), when)
            self.assertEqual(not torch.equal(got[0], got[1]), far, kind)

    def test_same_cost(self):
        active = {k: fusion.parameters(n(fusion.config("test")))[1] for k, n in fusion.NETS.items()}
        self.assertEqual(active["early"], active["late"])

    def test_run(self):
        with tempfile.TemporaryDirectory() as d:
            for i, part in enumerate(("train", "dev")):
                material(os.path.join(d, part + ".pt"), i)
            a = argparse.Namespace(out=d, size="test", steps=4, seeds="1,2", kinds="early,late", rounds=1, budget_s=-1.0)
            self.assertRaises(results.Spent, fusion.run, a)
            a.budget_s = 1e9
            fusion.run(a)
            r = results.Results(d).all
            self.assertTrue(all(r[f"{k} {s}"]["done"] for k in fusion.NETS for s in (1, 2)))
            self.assertTrue(0 <= r["late 2"]["error"] <= 100)
            self.assertIn("| early fusion |", fusion.table(r))
            self.assertIn("chance", fusion.table(r))

    def test_resumed(self):
        """Two steps, saved and loaded, two more: as four steps."""
        with tempfile.TemporaryDirectory() as d:
            material(os.path.join(d, "m.pt"), 1)
            part, ends = pairs.Material(os.path.join(d, "m.pt"), "cpu"), []
            for stop in (4, 2):
                os.makedirs(os.path.join(d, str(stop)))
                at = os.path.join(d, str(stop))
                r = fusion.Run(at, "late", "test", 1, 4, "cpu", part)
                while r.at < 4:
                    if r.at == stop:
                        r.save()
                        r = fusion.Run(at, "late", "test", 1, 4, "cpu", part)
                        self.assertEqual(r.at, stop)
                    r.step()
                ends.append(torch.cat([p.detach().reshape(-1) for p in r.net.parameters()]))
            self.assertLess((ends[0] - ends[1]).abs().max().item(), 1e-6)


class Experts(unittest.TestCase):
    def test_report(self):
        torch.manual_seed(1)
        net = m3.M3(m3.config("tiny")).eval()
        n, slots = 3, 20
        wave = torch.randn(n, slots * features.SLOT) * 0.1
        views = {experts.WHEN[0]: torch.randn(n, m3.PATCHES, 768)}
        r = experts.report(experts.measure(net, wave, views, torch.randint(4, 300, (n, 5)), ("style:cased", "delay:5")))
        share = np.array(r["share"]["slot, both"])
        self.assertEqual(share.shape, (2, 4))
        self.assertTrue(np.allclose(share.sum(1), net.c.top))
        self.assertTrue(np.allclose(np.array(r["share"]["token, text and speech"]).sum(1), net.c.top))
        self.assertEqual(set(r["turned"]), set(experts.WITH))
        self.assertIn("<svg", experts.svg(r, "x"))
        self.assertIn("layer", experts.markdown(r))
        self.assertNotIn("choose", net.blocks[1].__dict__)

    def test_fusion_expert(self):
        """One that is chosen only with both at hand is found."""
        def watch(share):
            w = argparse.Namespace(chosen={}, seen={}, turned=[0, 0])
            for kind in ("slot", "patch", "token"):
                w.chosen[kind], w.seen[kind] = torch.tensor([[share]] * 4) * 10, 10
            return w
        got = {"silence": watch([1.0, 1.0, 0.0]), "speech": watch([1.0, 1.0, 0.0]), "pictures": watch([1.0, 1.0, 0.0]),
               "both": watch([1.0, 0.25, 0.75]), "text and speech": watch([1.0, 1.0, 0.0])}
        r = experts.report(got)
        self.assertTrue(np.allclose(r["fusion"], [[0, -0.75, 0.75]]))
        self.assertIn("layer 1, expert 2 | 0.00 | 0.00 | 0.75 | +0.750", experts.markdown(r))


class Roles(unittest.TestCase):
    def test_windows(self):
        """A specialist has the same windows without the lanes, or the sound, that it lacks."""
        layout = batches.Layout(32, True)
        rows = np.arange(2 * layout.width, dtype=np.int32).reshape(2, -1) % 97 + 1
        for name, role in lab.ROLES.items():
            got = lab.for_role(rows.copy(), layout, role)
            self.assertEqual(bool(layout.cut(got, "len").any()), role.sound, name)
            for i, on in enumerate((role.captions, role.share["tr"] > 0, role.share["desc"] > 0)):
                self.assertEqual(bool(layout.cut(got, "on")[:, 2 * i:2 * i + 2].any()), on, (name, i))
            for field in ("cap", "tr", "desc", "spec"):
                self.assertTrue((layout.cut(got, field) == layout.cut(rows, field)).all())

    def test_kinds(self):
        kinds = {k: {lab.kind_of(i, r) for i in range(6)} for k, r in lab.ROLES.items()}
        self.assertEqual(kinds, {"joint": {"plain", "rich"}, "speech": {"plain"}, "text": {"plain"}, "picture": {"rich"}})

    def test_alike(self):
        """All routers begin as the same function."""
        got, ours = [], m3.config("tiny")
        for router in m3.ROUTERS:
            bench = argparse.Namespace(a=argparse.Namespace(no_graphs=True, lr=1e-3), dev="cpu", atlas={"train": None})
            net = lab.Lab.trainer(bench, m3.config("tiny", router), 1, ours).net.eval()
            torch.manual_seed(5)
            mel, pics = torch.randn(1, 12, 640), torch.randn(1, 1, m3.PATCHES, 768)
            got.append(net(mel, torch.full((1, 12, 3), 3), torch.zeros(1, len(ours.conds)), pics, torch.tensor([[4]]), torch.tensor([[-1, 7]]))[0])
        for x in got[1:]:
            self.assertLess((x - got[0]).abs().max().item(), 1e-5)


class Specialists(unittest.TestCase):
    def test_cost(self):
        """Parameters from the config are those of the net, but for norms, conditions and heads of no lane."""
        for shape in ("t2", "s", "full"):
            c = specialists.config(shape)
            whole = sum(p.numel() for n, p in m3.M3(c).named_parameters() if not n.startswith("ctc"))
            self.assertLess(abs(specialists.cost(c, "joint")[0] / whole - 1), 0.01, shape)
        one, three = specialists.cost(c, "speech"), specialists.cost(c, "joint")
        self.assertTrue(one[0] < three[0] and one[1] < three[1])

    def test_picked(self):
        at = lambda role, shape, **more: {f"{role} {shape} 1": {"shape": shape, "parameters": 1e6, "flops": 2e9, **more}}
        res = {"joint 1": {"shape": "t3", "parameters": 2e6, "flops": 3e9, "wer": 10.0, "bleu": 20.0, "facts": 50.0},
               **at("speech", "t1", wer=12.0), **at("speech", "t2", wer=10.0), **at("text", "t1", bleu=21.0),
               **at("picture", "t1", facts=1.0), **at("picture", "t2", facts=2.0), **at("picture", "t3", facts=3.0)}
        got = specialists.picked(res)
        self.assertEqual(got, ("1", {"speech": ("t2", True), "text": ("t1", True), "picture": ("t3", False)}))
        text = specialists.table(res)
        self.assertIn("compute 50 %", text)              # 3 of 6
        self.assertIn("wall time not measured", text)
        self.assertIn("no: the largest", text)

    def test_fed(self):
        """The translation model's text depends on the captions that it is fed."""
        torch.manual_seed(2)
        net = m3.M3(m3.config("tiny")).eval()
        with torch.no_grad():
            net.embed.mul_(20)
        a, b = (specialists.translate_text(net, torch.full((1, 12), v), ("style:cased",)) for v in (5, 90))
        self.assertEqual(a.shape, (1, 12))
        self.assertFalse(torch.equal(a, b))


class Routers(unittest.TestCase):
    def test_table(self):
        one = {"size": "tiny", "steps": 6, "loss": {"caption": 1.0, "translation": 2.0, "description": 3.0}, "wer": 50.0, "words": 9, "bleu": 4.0,
               "windows": 2, "facts": {"all": [10.0, 5.0, 20]}, "experts": {"share": {"slot, both": [[0.5, 1.5]]}, "fusion": [[-0.1, 0.1]]}}
        with tempfile.TemporaryDirectory() as d:
            text = routers.table({"plain 1": one, "plain 2": {**one, "wer": 60.0}}, d)
            self.assertIn("| plain | 2 | 1.000 | 2.000 | 3.000 | 55.0 ± 7.1 % | 4.0 ± 0.0 | 10.0 ± 0.0 % (5.0 ± 0.0 %) | +0.100 |", text)
            self.assertTrue(os.path.exists(os.path.join(d, "experts-plain.svg")))


if __name__ == "__main__":
    unittest.main()
