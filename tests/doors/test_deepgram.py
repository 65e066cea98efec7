# SPDX-License-Identifier: Apache-2.0
"""Deepgram's /v1/listen, with the npm package @deepgram/sdk."""
import contextlib
import http.client
import json
import unittest
import urllib.error
import urllib.request

import doors

LINEAR = {"model": "nova-3", "encoding": "linear16", "sample_rate": 16000}


class Deepgram(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = doors.Daemon("--token", "key-1").__enter__()
        cls.addClassCleanup(cls.daemon.__exit__, None, None, None)

    def listen(self, file, query, steps, key="key-1"):
        return doors.node("deepgram.mjs", f"ws://127.0.0.1:{self.daemon.port}", key, file, json.dumps(query), steps)

    def results(self, got):
        """The Results, their shape and order looked at; the words of the final ones."""
        results = [m for m in got if m["type"] == "Results"]
        words, end = [], 0
        for r in results:
            self.assertEqual(r["channel_index"], [0, 1])
            self.assertAlmostEqual(r["start"], end, places=2)
            best = r["channel"]["alternatives"][0]
            times = [t for w in best["words"] for t in (w["start"], w["end"])]
            self.assertEqual(times, sorted(times))
            self.assertTrue(all(0 <= w["confidence"] <= 1 for w in best["words"]))
            self.assertEqual(len(best["transcript"].split()), len(best["words"]))
            self.assertTrue(r["metadata"]["request_id"])
            if r["is_final"]:
                end = r["start"] + r["duration"]
                words += best["words"]
        return results, words

    def test_live(self):
        """A session with interim results, Finalize, KeepAlive and CloseStream."""
        got = self.listen(doors.raw(8), {**LINEAR, "interim_results": "true", "smart_format": "true",
                                         "utterance_end_ms": "1000", "vad_events": "true"},
                          "send 128000,finalize,wait from_finalize,keepalive,send 999999,close,wait Metadata")
        results, words = self.results(got)
        self.assertGreater(len(words), 8)
        self.assertEqual([t for w in words for t in (w["start"], w["end"])],
                         sorted(t for w in words for t in (w["start"], w["end"])))
        self.assertLessEqual(words[-1]["end"], 8.1)
        self.assertTrue(any(not r["is_final"] for r in results))
        self.assertTrue(any(r["speech_final"] for r in results))
        self.assertTrue(any(w["punctuated_word"] != w["word"] for w in words))
        flushed = [i for i, r in enumerate(results) if r["from_finalize"]]
        self.assertEqual(len(flushed), 1)
        # What was sent before Finalize is out, and the silence that brought it out does not count.
        before = [w for r in results[:flushed[0] + 1] if r["is_final"] for w in r["channel"]["alternatives"][0]["words"]]
        self.assertTrue(before and before[-1]["end"] <= 4.05)
        self.assertTrue(any(4 < w["start"] for w in words))
        self.assertTrue(any(m["type"] == "SpeechStarted" for m in got))
        metadata, close = got[-2:]
        self.assertEqual(metadata["type"], "Metadata")
        self.assertAlmostEqual(metadata["duration"], 8, places=1)
        self.assertEqual((close["type"], close["code"]), ("close", 1000))
        ends = [m for m in got if m["type"] == "UtteranceEnd"]
        self.assertTrue(all(m["last_word_end"] in [w["end"] for w in words] for m in ends))

    def test_formats(self):
        """A container, and G.711; only final results unless others are asked for."""
        spoken = {"mu.raw": (["-ac", "1", "-ar", "8000", "-f", "mulaw"], {"encoding": "mulaw", "sample_rate": 8000}),
                  "a.raw": (["-ac", "1", "-ar", "8000", "-f", "alaw"], {"encoding": "alaw", "sample_rate": 8000}),
                  "a.webm": (["-c:a", "libopus"], {})}
        for name, (options, query) in spoken.items():
            with self.subTest(name):
                got = self.listen(doors.clip(name, *options, seconds=5), query, "send 9999999,close,wait Metadata")
                results, words = self.results(got)
                self.assertTrue(all(r["is_final"] for r in results))
                self.assertGreater(len(words), 3)
                self.assertTrue(all("punctuated_word" not in w and w["word"] == w["word"].lower() for w in words))
                self.assertEqual(got[-1]["code"], 1000)
        self.assertEqual(self.daemon_streams(), [])

    @unittest.skipIf(doors.lvx.RANDOM_MODEL, "random weights say nothing that could be replaced")
    def test_replace(self):
        """Words and phrases that are written otherwise, more than one."""
        def said(**more):
            _, words = self.results(self.listen(doors.raw(5), {**LINEAR, "punctuate": "true", **more},
                                                "send 999999,close,wait Metadata"))
            return [w["punctuated_word"] for w in words], words
        plain, _ = said()
        at = next(i for i, w in enumerate(plain) if w.lower() == "short")
        got, words = said(replace=["welcome:greetings", f"{plain[at]} {plain[at + 1]}:brief live show"])
        want = [w.replace("welcome", "greetings") for w in plain]
        self.assertEqual(got, [*want[:at], "brief", "live", "show", *want[at + 2:]])
        self.assertIn("greetings", [w["word"] for w in words])

    def daemon_streams(self):
        request = urllib.request.Request(self.daemon.url + "/api/streams", headers={"Authorization": "Bearer key-1"})
        with urllib.request.urlopen(request, timeout=30) as r:
            return json.load(r)["streams"]

    def handshake(self, query, *headers):
        """Status, head and body of what a handshake is answered with."""
        connection = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=doors.PATIENCE_S)
        connection.request("GET", "/v1/listen" + query, headers={
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==", **dict(h.split(": ", 1) for h in headers)})
        with contextlib.closing(connection):
            r = connection.getresponse()
            return r.status, str(r.headers), r.read().decode()

    def test_refusals(self):
        """What is not supported is said, in Deepgram's words, before the upgrade."""
        key = "Authorization: Token key-1"
        for query in ("?encoding=linear16", "?encoding=opus&sample_rate=8000", "?diarize=true", "?colour=red",
                      "?language=xx", "?encoding=linear16&sample_rate=4", "?utterance_end_ms=1000",
                      "?interim_results=maybe", "?redact=pci", "?replace=word", "?replace=a:", "?search=a", "?tag=" + "x" * 1500):
            with self.subTest(query):
                status, head, body = self.handshake(query, key)
                self.assertEqual(status, 400, head)
                self.assertIn("dg-error: query: ", head)
                self.assertEqual(set(json.loads(body)), {"err_code", "err_msg", "request_id"})
        self.assertEqual(self.handshake("")[0], 401)
        self.assertEqual(json.loads(self.handshake("", "Authorization: Token wrong")[2])["err_code"], "INVALID_AUTH")
        self.assertEqual(self.handshake("", key)[0], 101)
        self.assertEqual(self.handshake("", "Authorization: Bearer key-1")[0], 101)
        status, head, _ = self.handshake("", "Sec-WebSocket-Protocol: token, key-1")
        self.assertEqual(status, 101)
        self.assertIn("sec-websocket-protocol: token", head.lower())

    def test_bad_input(self):
        """Half a protocol: errors as messages, and the connection goes on."""
        import asyncio
        import websockets

        async def run():
            url = f"ws://127.0.0.1:{self.daemon.port}/v1/listen?encoding=linear16&sample_rate=16000&token=key-1"
            async with websockets.connect(url) as ws:
                for bad in ("{", "[]", '{"type":"Nothing"}', '{"type":"Finalize","channel":3}', "{}"):
                    await ws.send(bad)
                    self.assertEqual(json.loads(await ws.recv())["type"], "Error")
                await ws.send('{"type":"Finalize"}')
                self.assertTrue(json.loads(await ws.recv())["from_finalize"])
                await ws.send('{"type":"CloseStream"}')
                self.assertEqual(json.loads(await ws.recv())["duration"], 0)
                await ws.wait_closed()
                self.assertEqual(ws.close_code, 1000)
            async with websockets.connect(url.replace("encoding=linear16&sample_rate=16000&", "")) as ws:
                await ws.send(b"this is no sound" * 1000)
                await ws.send('{"type":"CloseStream"}')
                self.assertEqual(json.loads(await ws.recv())["variant"], "DATA-0000")
                await ws.wait_closed()
                self.assertEqual(ws.close_code, 1008)
            async with websockets.connect(url) as ws:
                await ws.send("x" * 70000)
                self.assertEqual(json.loads(await ws.recv())["type"], "Error")
                await ws.wait_closed()
                self.assertEqual(ws.close_code, 1009)

        asyncio.run(asyncio.wait_for(run(), doors.PATIENCE_S))

    def test_goodbye(self):
        """A client that vanishes leaves no stream; a daemon that stops says so."""
        import asyncio
        import websockets

        async def run():
            with doors.Daemon() as daemon:
                url = f"ws://127.0.0.1:{daemon.port}/v1/listen?encoding=linear16&sample_rate=16000"
                ws = await websockets.connect(url)
                await ws.send(bytes(64001))
                await ws.send('{"type":"Finalize"}')
                self.assertTrue(json.loads(await ws.recv())["from_finalize"])
                self.assertEqual(len(daemon.get("/api/streams")["streams"]), 1)
                ws.transport.abort()
                while daemon.get("/api/streams")["streams"]:
                    await asyncio.sleep(0.05)
                async with websockets.connect(url) as ws:
                    await ws.send(bytes(64000))
                    while not daemon.get("/api/streams")["streams"]:
                        await asyncio.sleep(0.05)
                    daemon.process.terminate()
                    await asyncio.wait_for(ws.wait_closed(), 120)
                    self.assertIn(ws.close_code, (1001, 1011))

        asyncio.run(asyncio.wait_for(run(), doors.PATIENCE_S))


if __name__ == "__main__":
    doors.main(wants_node=True)
