# SPDX-License-Identifier: Apache-2.0
"""POST /v1/audio/transcriptions, with curl and with the npm package openai."""
import json
import os
import re
import subprocess
import time
import unittest

import doors
import lvx

PATH = "/v1/audio/transcriptions"
ERROR = {"message", "type", "param", "code"}


class Rest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = doors.Daemon("--token", "key-1").__enter__()
        cls.addClassCleanup(cls.daemon.__exit__, None, None, None)
        cls.file = doors.clip("a.mp3", "-ac", "1", seconds=6)

    def curl(self, *args, key="key-1"):
        """Status, content type and body."""
        out = subprocess.run(["curl", "-s", "-m", str(doors.PATIENCE_S), "-w", "\n%{http_code} %{content_type}", "-H",
                              "Authorization: Bearer " + key, *args, self.daemon.url + PATH],
                             capture_output=True, text=True, check=False).stdout
        body, _, tail = out.rpartition("\n")
        status, _, kind = tail.partition(" ")
        return int(status), kind, body

    def post(self, *fields, file=None):
        return self.curl("-F", f"file=@{file or self.file}", "-F", "model=whisper-1",
                         *(a for f in fields for a in ("-F", f)))

    def test_formats(self):
        """The five formats say the same."""
        status, kind, body = self.post("response_format=text")
        self.assertEqual((status, kind), (200, "text/plain; charset=utf-8"))
        text = body.strip()
        self.assertGreater(len(text.split()), 5)
        status, kind, body = self.post()
        self.assertEqual((status, kind), (200, "application/json"))
        answer = json.loads(body)
        self.assertEqual(answer["text"], text)
        self.assertEqual(answer["usage"], {"type": "duration", "seconds": answer["usage"]["seconds"]})
        status, _, body = self.post("response_format=srt")
        cues = re.findall(r"(\d+)\n(\d\d:\d\d:\d\d,\d{3}) --> (\d\d:\d\d:\d\d,\d{3})\n((?:.+\n)+)\n", body)
        self.assertEqual([int(c[0]) for c in cues], list(range(1, len(cues) + 1)))
        self.assertEqual(" ".join(" ".join(c[3] for c in cues).split()), text)
        status, kind, body = self.post("response_format=vtt")
        self.assertEqual(kind, "text/vtt; charset=utf-8")
        self.assertTrue(body.startswith("WEBVTT\n\n00:00:0"))
        status, kind, body = self.post("response_format=verbose_json", "timestamp_granularities[]=word",
                                       "timestamp_granularities[]=segment", "language=en", "temperature=0",
                                       "prompt=A short programme.")
        answer = json.loads(body)
        self.assertEqual((answer["task"], answer["language"]), ("transcribe", "en"))
        self.assertAlmostEqual(answer["duration"], 6, delta=0.3)
        self.assertEqual(" ".join(s["text"] for s in answer["segments"]), answer["text"])
        self.assertEqual(" ".join(w["word"] for w in answer["words"]), answer["text"])
        times = [t for w in answer["words"] for t in (w["start"], w["end"])]
        self.assertEqual(times, sorted(times))
        self.assertLess(times[-1], 6.2)
        self.assertNotIn("words", json.loads(self.post("response_format=verbose_json")[2]))

    def test_speech(self):
        """Own synthesised speech, in chunks; the stream is gone afterwards."""
        status, _, body = self.curl("-H", "Transfer-Encoding: chunked", "-F", "file=@" + doors.spoken())
        self.assertEqual(status, 200)
        self.assertGreater(len(json.loads(body)["text"].split()), 3)
        listed = subprocess.check_output(["curl", "-s", "-H", "Authorization: Bearer key-1",
                                          self.daemon.url + "/api/streams"])
        self.assertEqual(json.loads(listed)["streams"], [])

    def test_refusals(self):
        """Errors in OpenAI's form, for what is broken and for what is not supported."""
        nothing = os.path.join(lvx.BUILD, "doors-nothing.wav")
        with open(nothing, "wb") as f:
            f.write(b"this is no sound" * 5000)
        huge = os.path.join(lvx.BUILD, "doors-huge.wav")
        with open(huge, "wb") as f:
            f.truncate(27 << 20)
        refused = [
            (400, self.post(file=nothing)), (400, self.post("stream=true", file=nothing)),
            (400, self.post("stream=true", "response_format=srt")), (400, self.post("stream=1")), (400, self.post("language=xx")),
            (400, self.post("response_format=diarized_json")), (400, self.post("include[]=item")),
            (400, self.post("include[]=logprobs", "response_format=text")),
            (400, self.post("timestamp_granularities[]=word")), (400, self.post("temperature=9")),
            (400, self.post("prompt=" + "x" * 2000)), (400, self.post("colour=red")),
            (400, self.curl("-F", "model=m")), (415, self.curl("-H", "Content-Type: text/plain", "-d", "x")),
            (415, self.curl("-d", '{"file": 1}')), (415, self.curl("-H", "Content-Type: multipart/form-database", "-d", "x")),
            (415, self.curl("-H", "Content-Type: application/json", "-H", "Transfer-Encoding: chunked", "-d", "{}")),
            (415, self.curl("-H", "Content-Encoding: gzip", "-F", "file=@" + self.file)),
            (400, self.curl("-H", "Content-Type: multipart/form-data; boundary=b", "-d", "--b\r\nx")),
            (400, self.curl("-H", "Transfer-Encoding: chunked", "-H", "Content-Type: multipart/form-data", "-d", "x")),
            (405, self.curl()), (401, self.curl("-F", "file=@" + self.file, key="wrong")),
        ]
        for i, (wanted, (status, kind, body)) in enumerate(refused):
            with self.subTest(i):
                self.assertEqual((status, kind), (wanted, "application/json"), body)
                self.assertEqual(set(json.loads(body)["error"]), ERROR)
        for field, what in ("colour=red", "colour"), ("include[]=usage", "include[]"), ("temperature=9", "temperature"):
            self.assertEqual(json.loads(self.post(field)[2])["error"]["param"], what)
        self.assertIsNone(json.loads(self.curl("-d", "{}")[2])["error"]["param"])
        for how in ([], ["-H", "Transfer-Encoding: chunked"]):
            status, _, body = self.curl("-H", "Expect:", *how, "-F", "file=@" + huge)
            # 0: the daemon hung up before curl had sent all, and curl says no more than that.
            self.assertIn(status, (413, 0), body)
        # A client that goes in the middle leaves nothing behind.
        self.curl("-m", "0.3", "--limit-rate", "2000", "-F", "file=@" + self.file)
        self.assertEqual(self.post()[0], 200)

    def test_events(self):
        """stream=true: words while they are heard, and then the whole, as server-sent events."""
        text = self.post("response_format=text")[2].strip()
        for how in ([], ["-H", "Transfer-Encoding: chunked"]):
            status, kind, body = self.curl(*how, "-F", f"file=@{self.file}", "-F", "stream=true", "-F", "model=whisper-1")
            self.assertEqual((status, kind), (200, "text/event-stream; charset=utf-8"))
            blocks = body.split("\n\n")
            self.assertEqual((blocks.pop(), blocks.pop()), ("", "data: [DONE]"))
            events = [json.loads(re.fullmatch("data: (.*)", b)[1]) for b in blocks]
            done = events.pop()
            self.assertEqual({e["type"] for e in events}, {"transcript.text.delta"})
            self.assertEqual("".join(e["delta"] for e in events), text)
            self.assertGreater(len(events), 5)
            self.assertEqual(done, {"type": "transcript.text.done", "text": text, "usage": done["usage"]})
            self.assertEqual(done["usage"]["type"], "duration")
        # Nothing is said in silence, and the stream of one who leaves is gone.
        silence = doors.clip("silence.wav", "-af", "volume=0", seconds=2)
        _, _, body = self.post("stream=true", file=silence)
        self.assertIn('"transcript.text.done","text":""', body)
        self.curl("-m", "0.7", "-F", f"file=@{self.file}", "-F", "stream=true")
        listed = ["curl", "-s", "-H", "Authorization: Bearer key-1", self.daemon.url + "/api/streams"]
        end = time.monotonic() + 60
        while json.loads(subprocess.check_output(listed))["streams"] and time.monotonic() < end:
            time.sleep(0.1)
        self.assertEqual(json.loads(subprocess.check_output(listed))["streams"], [])

    def test_browsers(self):
        """A page of an allowed origin may send the headers that OpenAI's client sends, and read answers and errors."""
        with doors.Daemon("--token", "key-1", "--allow-origin", "https://app.example") as daemon:
            def ask(*args, origin="https://app.example"):
                out = subprocess.run(["curl", "-s", "-i", "-m", str(doors.PATIENCE_S), "-H", "Origin: " + origin, *args,
                                      daemon.url + PATH], capture_output=True, text=True, check=False).stdout
                head, _, body = out.replace("\r", "").partition("\n\n")
                if "100 Continue" in head:
                    head, _, body = body.partition("\n\n")
                return int(head.split()[1]), dict(re.findall(r"\n([\w-]+): (.*)", head)), body

            wanted = "authorization,content-type,x-stainless-arch,x-stainless-lang,x-stainless-os,x-stainless-package-version," \
                     "x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout"
            preflight = ["-X", "OPTIONS", "-H", "Access-Control-Request-Method: POST", "-H"]
            status, head, _ = ask(*preflight, "Access-Control-Request-Headers: " + wanted)
            self.assertEqual(status, 204)
            self.assertEqual(head["access-control-allow-origin"], "https://app.example")
            self.assertEqual(head["access-control-allow-headers"], wanted)
            self.assertIn("POST", head["access-control-allow-methods"])
            self.assertNotIn("content-length", head)
            for odd in ("x: y", "a\tb", "x" * 600):
                _, head, _ = ask(*preflight, "Access-Control-Request-Headers: " + odd)
                self.assertEqual(head["access-control-allow-headers"], "Authorization, Content-Type", odd)
            status, head, _ = ask(*preflight, "Access-Control-Request-Headers: " + wanted, origin="https://evil.example")
            self.assertEqual((status, "access-control-allow-origin" in head), (403, False))
            for key, more, want in (("key-1", ["-F", "stream=true"], 200), ("wrong", [], 401)):
                status, head, body = ask("-H", "Authorization: Bearer " + key, "-H", "x-stainless-lang: js",
                                         "-F", "file=@" + self.file, *more)
                self.assertEqual((status, head["access-control-allow-origin"]), (want, "https://app.example"), body)

    def check_logprobs(self, logprobs, text):
        self.assertEqual("".join(p["token"] for p in logprobs), text)
        self.assertGreater(len(logprobs), 5)
        for p in logprobs:
            self.assertEqual(bytes(p["bytes"]).decode(), p["token"])
            self.assertTrue(-9.3 < p["logprob"] <= 0)
        self.assertGreater(len({p["logprob"] for p in logprobs}), 3)  # they are measured, not made up

    def test_npm(self):
        """The npm package openai, which uploads in chunks."""
        doors.need_node()

        def transcribe(key="key-1", **options):
            return doors.node("rest.mjs", self.daemon.url + "/v1", key, self.file, json.dumps(options))[0]

        got = transcribe(response_format="verbose_json", timestamp_granularities=["word"])
        self.assertEqual(got["kind"], "object")
        self.assertEqual(" ".join(w["word"] for w in got["got"]["words"]), got["got"]["text"])
        for form, begin in (("vtt", "WEBVTT"), ("srt", "1\n"), ("text", "")):
            got = transcribe(response_format=form)
            self.assertEqual(got["kind"], "string")
            self.assertTrue(got["got"].startswith(begin))
        got = transcribe(stream=True)
        self.assertEqual(got["kind"], "events")
        *deltas, done = got["got"]
        self.assertEqual({e["type"] for e in deltas}, {"transcript.text.delta"})
        self.assertEqual((done["type"], "".join(e["delta"] for e in deltas)), ("transcript.text.done", done["text"]))
        self.assertGreater(len(deltas), 5)
        # With log-probabilities: one of each word, which is sent as it stands in the text.
        plain = transcribe()["got"]
        self.assertNotIn("logprobs", plain)
        got = transcribe(include=["logprobs"])["got"]
        self.check_logprobs(got["logprobs"], got["text"])
        self.assertEqual(got["text"], plain["text"])
        *deltas, done = transcribe(include=["logprobs"], stream=True)["got"]
        self.check_logprobs(done["logprobs"], done["text"])
        self.assertEqual([p for e in deltas for p in e["logprobs"]], done["logprobs"])
        self.assertTrue(all(e["delta"] == e["logprobs"][0]["token"] for e in deltas))
        got = transcribe(response_format="diarized_json")
        self.assertEqual((got["kind"], got["status"], got["type"]), ("error", 400, "invalid_request_error"))
        self.assertIn("response_format", got["message"])
        self.assertEqual(transcribe(key="wrong")["code"], "invalid_api_key")


if __name__ == "__main__":
    doors.main()
