#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A viewer's own language with the real model: it changes nobody else's text, and company does not change it."""
import asyncio
import json
import os
import subprocess
import tempfile
import unittest

import lvx
from test_same import key

LANGUAGE = "de"


async def push(daemon, name, pcm, wishes=(), **more):
    """Pushes once every wish is there. Returns the events of the stream's own row, and of each wish."""
    import websockets
    got = [[] for _ in range(1 + len(wishes))]

    async def read(ws, events):
        async for text in ws:
            e = json.loads(text)
            events.append(e)
            if e["type"] == "end":
                return

    async with websockets.connect(daemon.ws, max_size=None) as ws:
        await ws.send(json.dumps({"type": "push", "stream": name, "format": "s16le", "sample_rate": 16000, "channels": 1, **more}))
        sockets = [await websockets.connect(daemon.ws, max_size=None) for _ in got]
        reply = {}
        while reply.get("type") != "pushing":
            reply = json.loads(await ws.recv())
            assert reply["type"] != "error", reply
        for s, wish in zip(sockets, [{}, *wishes]):
            await s.send(json.dumps({"type": "subscribe", "stream": name, "from": "start", **wish}))
        while len((await asyncio.to_thread(daemon.stream, name))["further"]) < len(wishes):
            await asyncio.sleep(0.05)
        readers = [asyncio.create_task(read(s, events)) for s, events in zip(sockets, got)]
        for at in range(0, len(pcm), 32000):
            await ws.send(pcm[at:at + 32000])
        await ws.send('{"type":"finish"}')
        await asyncio.wait_for(asyncio.gather(*readers), 300)
        for s in sockets:
            await s.close()
    for events in got:
        errors = [e for e in events if e["type"] == "error"]
        assert not errors, errors
    return got


class Further(unittest.TestCase):
    def test_equal(self):
        with tempfile.TemporaryDirectory() as d:
            wav = os.path.join(d, "clip.wav")
            subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", lvx.CLIP, "-ac", "1", "-ar", "16000", "-vn",
                            "-t", "16", wav], check=True)
            pcm = lvx.pcm(wav)
        to = {"lanes": ["translation"], "translate_to": LANGUAGE}
        describe = {"lanes": ["description"]}
        with lvx.Daemon("--rows", "8", "--lanes", "caption") as daemon:
            [alone] = asyncio.run(push(daemon, "alone", pcm))
            captions, own = asyncio.run(push(daemon, "two", pcm, [to]))

            async def together():
                return await asyncio.gather(push(daemon, "a", pcm, [to, describe]), push(daemon, "b", pcm[32000:], [to]),
                                            push(daemon, "c", pcm[8000:]))
            (beside, own_beside, described), _, _ = asyncio.run(together())
            [stream_translates] = asyncio.run(push(daemon, "d", pcm, lanes=["caption", "translation"], translate_to=LANGUAGE))
        print(f"\n  captions: {lvx.text(alone)}\n  further row: {lvx.text(own, 'translation')}"
              f"\n  the stream's own translation: {lvx.text(stream_translates, 'translation')}")
        if not lvx.RANDOM_MODEL:
            self.assertGreater(len(key(alone)), 10)
            self.assertGreater(len(key(own, ["translation"])), 10)
        self.assertEqual(key(captions), key(alone))
        self.assertEqual(key(beside), key(alone))
        self.assertEqual(key(own_beside, ["translation"]), key(own, ["translation"]))
        # Each got what it asked for and nothing else.
        self.assertEqual(key(captions, ["translation", "description"]), [])
        self.assertEqual(key(own, ["caption", "description"]), [])
        self.assertEqual(key(described, ["caption", "translation"]), [])


if __name__ == "__main__":
    lvx.main()
