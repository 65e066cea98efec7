# SPDX-License-Identifier: Apache-2.0
"""vosk-server's protocol, as its published clients speak it, byte for byte."""
import asyncio
import json
import unittest
import wave

import doors
import websockets


class Vosk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = doors.Daemon().__enter__()
        cls.addClassCleanup(cls.daemon.__exit__, None, None, None)
        cls.wav = doors.clip("vosk.wav", "-ac", "1", "-ar", "16000", seconds=6)
        cls.uri = f"ws://127.0.0.1:{cls.daemon.port}"

    def run_async(self, coroutine):
        return asyncio.run(asyncio.wait_for(coroutine, doors.PATIENCE_S))

    def check(self, replies, final):
        """Words of all results, their times in order."""
        words = []
        for reply in map(json.loads, replies):
            self.assertTrue(set(reply) in ({"partial"}, {"text"}, {"text", "result"}), reply)
            if "result" in reply:
                self.assertEqual(" ".join(w["word"] for w in reply["result"]), reply["text"])
                words += reply["result"]
        self.assertIn("text", json.loads(final))
        self.assertTrue(all(set(w) == {"conf", "start", "end", "word"} for w in words))
        times = [t for w in words for t in (w["start"], w["end"])]
        self.assertEqual(times, sorted(times))
        return words

    async def lockstep(self, uri):
        """The published test.py."""
        replies = []
        async with websockets.connect(uri) as websocket:
            wf = wave.open(self.wav, "rb")
            await websocket.send('{ "config" : { "sample_rate" : %d } }' % (wf.getframerate()))
            buffer_size = int(wf.getframerate() * 0.2)
            while True:
                data = wf.readframes(buffer_size)
                if len(data) == 0:
                    break
                await websocket.send(data)
                replies.append(await websocket.recv())
            await websocket.send('{"eof" : 1}')
            replies.append(await websocket.recv())
            wf.close()
            await websocket.wait_closed()
            self.assertEqual(websocket.close_code, 1000)
        return replies

    def test_lockstep(self):
        """One reply a message, at both paths."""
        for path in ("", "/vosk"):
            replies = self.run_async(self.lockstep(self.uri + path))
            self.assertEqual(len(replies), 31)
            words = self.check(replies, replies[-1])
            self.assertGreater(len(words), 5)
            self.assertLessEqual(words[-1]["end"], 6.1)
            kinds = ["partial" in json.loads(r) for r in replies]
            self.assertTrue(any(kinds) and not all(kinds[:-1]), kinds)
            # What a reply says has been sent before it, and not long before.
            for i, r in enumerate(replies[:-1]):
                for w in json.loads(r).get("result", []):
                    self.assertLessEqual(w["end"], (i + 1) * 0.2 + 0.1)

    def test_reset(self):
        """The configuration of test_words.py, reset in the middle, alternatives."""
        async def run():
            with wave.open(self.wav, "rb") as wf:
                data = wf.readframes(wf.getnframes())
            async with websockets.connect(self.uri) as ws:
                await ws.send('{ "config" : \n    { "sample_rate" : 16000,\n      "words" : true,\n'
                              '      "max_alternatives" : 2,\n      "phrase_list" : ["weather", "[unk]"] } }')
                got = []
                for half in (data[:96000], data[96000:]):
                    await ws.send(half)
                    await ws.recv()
                    await ws.send('{"reset" : 1}')
                    got.append(json.loads(await ws.recv())["alternatives"][0])
                await ws.send('{"eof" : 1}')
                last = json.loads(await ws.recv())
                return got, last

        got, last = self.run_async(run())
        self.assertTrue(all(len(g["result"]) > 0 and 0 < g["confidence"] <= 1 for g in got), got)
        self.assertLessEqual(got[0]["result"][-1]["end"], 3.1)
        self.assertGreaterEqual(got[1]["result"][0]["start"], 2.9)
        self.assertEqual(last["alternatives"][0]["text"], "")

    def test_whole_file(self):
        """The published Node client: no configuration, the file with its head, eof at once."""
        async def run():
            with open(self.wav, "rb") as f:
                data = f.read()
            async with websockets.connect(self.uri) as ws:
                for at in range(0, len(data), 65536):
                    await ws.send(data[at:at + 65536])
                await ws.send('{"eof" : 1}')
                return [r async for r in ws]

        replies = self.run_async(run())
        self.assertGreater(len(self.check(replies, replies[-1])), 5)

    def test_bad_input(self):
        """No errors in this protocol: a close with a reason."""
        async def run(*messages):
            async with websockets.connect(self.uri) as ws:
                for m in messages:
                    await ws.send(m)
                await ws.wait_closed()
                return ws.close_code, ws.close_reason

        sound = bytes(6400)
        for messages, wanted in (
                (["{"], 1008), (['{"config" : {"model" : "/etc"}}'], 1008), (['{"hello" : 1}'], 1008),
                (['{"config" : {"sample_rate" : 1}}'], 1008), (["x" * 70000], 1009),
                ([sound, '{"config" : {"sample_rate" : 16000}}'], 1008), ([b"RIFF" + bytes(60000), '{"eof" : 1}'], 1011),
                (['{"eof" : 1}'], 1000)):
            code, reason = self.run_async(run(*messages))
            self.assertEqual(code, wanted, (messages[0][:40], reason))
            self.assertTrue(reason or code == 1000)
        self.assertEqual(self.daemon.get("/api/streams")["streams"], [])


if __name__ == "__main__":
    doors.main()
