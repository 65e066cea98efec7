#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The lumivox command: transcribe, watch and push, their formats, errors and exit codes."""
import json
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest

import lvx


def run(*args, env=None, data=None, **more):
    return subprocess.run([lvx.LUMIVOX, *args], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, "LVX_MODEL": lvx.MODEL, **(env or {})}, timeout=300, **more)


def seconds(t):
    h, m, s = t.replace(",", ".").split(":")
    return int(h) * 3600 + int(m) * 60 + float(s)


class Cli(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.TemporaryDirectory()
        cls.wav = os.path.join(cls.dir.name, "short.wav")
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", lvx.CLIP, "-vn", "-ac", "1", "-ar", "16000",
                        "-t", "10", cls.wav], check=True)
        cls.daemon = lvx.Daemon("--pace", "max", "short=" + cls.wav).__enter__()
        cls.env = {"LVX_SERVER": cls.daemon.url.replace("http", "ws")}

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__()
        cls.dir.cleanup()

    def test_usage(self):
        for args, code in (((), 2), (("--help",), 0), (("--version",), 0), (("sing",), 2), (("watch",), 2),
                           (("transcribe", "--help"), 0), (("transcribe",), 2), (("transcribe", "--format", "doc", "x"), 2),
                           (("transcribe", "--channel", "x", "y"), 2), (("transcribe", "-f", "srt", "a", "b"), 2),
                           (("transcribe", "--delay", "soon", "y"), 2), (("push", "--delay", "-1", "y"), 2),
                           (("push", "--raw", "u8:1:1", "x"), 2), (("push", "--pace", "slow", "x"), 2),
                           (("watch", "--from", "never", "x"), 2), (("watch", "--server", "x", "y"), 2)):
            with self.subTest(args=args):
                r = run(*args)
                self.assertEqual(r.returncode, code, r.stderr)
                self.assertTrue(r.stderr if code else r.stdout)

    @unittest.skipIf(lvx.RANDOM_MODEL, "a random model says nothing twice")
    def test_glossary(self):
        """Spellings, in this process and in a daemon; what is wrong with a file is said by its line."""
        said = run("transcribe", self.wav).stdout.decode().split()
        often = max(set(said), key=[w.strip(".,?!").lower() for w in said].count).strip(".,?!").lower()
        names = os.path.join(self.dir.name, "names.txt")
        with open(names, "w", encoding="utf8") as f:
            f.write(f"# names\nGhent\n{often} => Xyzzy\n")
        for args in (("transcribe", "--glossary", names, self.wav), ("push", "-q", "--glossary", names, self.wav)):
            r = run(*args, env=self.env)
            self.assertEqual(r.returncode, 0, r.stderr)
            words = [w.strip(".,?!") for w in r.stdout.decode().split()]
            self.assertIn("Xyzzy", words, (often, words))
            self.assertNotIn(often, [w.lower() for w in words])
        with open(names, "a", encoding="utf8") as f:
            f.write("a => b => c\n")
        for command in ("transcribe", "push"):
            r = run(command, "--glossary", names, self.wav, env=self.env)
            self.assertEqual(r.returncode, 2)
            self.assertIn("names.txt:4: '=>' stands in it twice", r.stderr.decode())
            self.assertEqual(run(command, "--glossary", names + "x", self.wav, env=self.env).returncode, 2)

    def test_formats(self):
        json_out = run("transcribe", "--format", "json", self.wav)
        self.assertEqual(json_out.returncode, 0, json_out.stderr)
        lines = [json.loads(s) for s in json_out.stdout.decode().splitlines()]
        said = " ".join(o["text"] for o in lines)
        for o in lines:
            self.assertEqual(o["text"], " ".join(w["text"] for w in o["words"]))
            self.assertTrue(0 <= o["start_us"] <= o["end_us"])
        txt = run("transcribe", self.wav).stdout.decode()
        self.assertEqual(txt.split(), said.split())
        self.assertNotIn("\r", txt)  # no progress bar away from a terminal
        for form in ("srt", "vtt"):
            text = run("transcribe", "--format", form, self.wav).stdout.decode()
            times = re.findall(r"(\d\d:\d\d:\d\d[.,]\d{3}) --> (\d\d:\d\d:\d\d[.,]\d{3})", text)
            for a, b in times:
                self.assertLess(seconds(a), seconds(b))
                self.assertLessEqual(seconds(b) - seconds(a), 7.001)
            for cue in text.strip().split("\n\n")[form == "vtt":]:
                body = cue.split("\n")[2 if form == "srt" else 1:]
                self.assertLessEqual(len(body), 2)
                self.assertTrue(all(len(s) <= 42 for s in body), body)

    def test_told(self):
        """What is spoken, the delay and the lanes; what the model does not know is named."""
        config = json.load(open(os.path.join(lvx.MODEL, "config.json")))
        streaming, slot = config["streaming"], config["streaming"]["slot_ms"]
        lanes = {l["name"]: l for l in config["lanes"]}
        spoken = lanes["caption"].get("languages") or [lanes["caption"]["language"]]
        target = next(t[3:] for t in config["conditions"] if t.startswith("to:") and t[3:] != spoken[0])
        out = run("transcribe", "--language", spoken[0], "--delay", str(slot * streaming["delay_slots"]), "--translate", target,
                  "--describe", "--format", "json", self.wav)
        self.assertEqual(out.returncode, 0, out.stderr)
        for o in map(json.loads, out.stdout.decode().splitlines()):
            self.assertEqual(o["language"], {"caption": spoken[0], "translation": target}.get(o["lane"], o["language"]))
        for args, part in ((("--language", "xx"), f"does not understand 'xx', but {', '.join(spoken)}"),
                           (("--delay", "1"), "no delay of 1 ms, but of "),
                           (("--translate-to", "xx"), "does not translate to 'xx', but to "),
                           (("--describe", "--format", "srt"), "hold one lane")):
            r = run("transcribe", *args, self.wav)
            self.assertEqual(r.returncode, 2, r.stderr)
            self.assertIn(part, r.stderr.decode())
        r = run("push", "--delay", "1", self.wav, env=self.env)
        self.assertEqual(r.returncode, 1)
        self.assertIn("no delay of 1 ms", r.stderr.decode())

    def test_errors_do_not_stop_the_others(self):
        text = os.path.join(self.dir.name, "not-media.wav")
        with open(text, "w", encoding="utf8") as f:
            f.write("This is no sound. " * 100)
        gone = os.path.join(self.dir.name, "gone.wav")
        r = run("transcribe", "--format", "json", "-v", text, self.wav, gone)
        self.assertEqual(r.returncode, 1)
        said = r.stderr.decode()
        self.assertIn(text, said)
        self.assertIn(gone, said)
        self.assertRegex(said, r"short\.wav: 10\.\d s in .* real-time factor \d")
        self.assertEqual({json.loads(s)["file"] for s in r.stdout.decode().splitlines()} - {self.wav}, set())

    def test_folder(self):
        out = os.path.join(self.dir.name, "out")
        os.makedirs(out, exist_ok=True)
        r = run("transcribe", "-j", "2", "-f", "vtt", "-o", out, self.wav, lvx.CLIP)
        self.assertEqual(r.returncode, 0, r.stderr)
        for name in ("short.vtt", "clip.vtt"):
            with open(os.path.join(out, name), encoding="utf8") as f:
                self.assertTrue(f.read().startswith("WEBVTT\n\n"))

    def test_no_model(self):
        r = run("transcribe", "--model", self.dir.name, self.wav)
        self.assertEqual(r.returncode, 1)
        self.assertIn(self.dir.name, r.stderr.decode())

    def test_watch(self):
        r = run("watch", "short", "--from", "start", "--format", "json", env=self.env)
        self.assertEqual(r.returncode, 0, r.stderr)
        events = [json.loads(s) for s in r.stdout.decode().splitlines()]
        self.assertEqual(events[-1]["type"], "end")
        plain = run("watch", "short", "--from", "start", "--lanes", "caption", "--quiet", env=self.env)
        self.assertEqual(plain.stdout.decode().split(), lvx.text(events).split())
        self.assertEqual(plain.stderr, b"")
        self.assertEqual(run("watch", "nobody", env=self.env).returncode, 1)
        self.assertEqual(run("watch", "short", "--once", env={"LVX_SERVER": "ws://127.0.0.1:9"}).returncode, 1)

    def test_push(self):
        want = run("watch", "short", "--from", "start", "--lanes", "caption", "-q", env=self.env).stdout.split()
        with open(self.wav, "rb") as f:
            whole = f.read()
        for args, data in (((self.wav,), None), (("-",), whole),
                           (("--raw", "s16le:16000:1", "-"), lvx.pcm(self.wav)),
                           (("--pace", "clock", self.wav), None)):
            with self.subTest(args=args):
                begun = time.monotonic()
                r = run("push", "-q", "--lanes", "caption", *args, env=self.env, data=data)
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertEqual(r.stdout.split(), want)
                if "clock" in args:
                    self.assertGreater(time.monotonic() - begun, 9)
        self.assertEqual(run("push", __file__, env=self.env).returncode, 1)
        self.assertEqual(run("push", self.dir.name + "/gone", env=self.env).returncode, 1)

    def test_interrupted_push_ends_in_order(self):
        p = subprocess.Popen([lvx.LUMIVOX, "push", "-q", "--stream", "cut", "--pace", "clock", lvx.CLIP],
                             env={**os.environ, **self.env}, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            time.sleep(0.5)
            if any(s["id"] == "cut" and s["heard_us"] > 1500000 for s in self.daemon.get("/api/streams")["streams"]):
                break
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(90), 0)
        self.assertEqual(self.daemon.stream("cut")["state"], "ended")

    def test_watch_comes_back(self):
        """A daemon that is restarted: the viewer resumes, and says what it missed."""
        d = lvx.Daemon("--pace", "clock", "clip=" + lvx.CLIP).__enter__()
        viewer = subprocess.Popen([lvx.LUMIVOX, "watch", "clip", "--format", "json"], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True,
                                  env={**os.environ, "LVX_SERVER": d.url.replace("http", "ws")})
        try:
            first = json.loads(viewer.stdout.readline())
            d.__exit__()
            again = lvx.Daemon("clip=" + lvx.CLIP)
            again.port, again.args[again.args.index("--port") + 1] = d.port, str(d.port)
            again.url = d.url
            with again:
                for line in viewer.stdout:
                    e = json.loads(line)
                    if e["epoch"] != first["epoch"] and e["type"] == "text" or lvx.RANDOM_MODEL and e["epoch"] != first["epoch"]:
                        break
                else:
                    self.fail("the viewer did not come back")
        finally:
            viewer.kill()
            viewer.wait()
            viewer.stdout.close()


if __name__ == "__main__":
    lvx.main()
