# SPDX-License-Identifier: Apache-2.0
"""The clip as it would come live, three ways, with the delay of each word. The clocks start at the first sample and
the viewer is this process, not the daemon:

  file   the daemon plays the file; the first sample's moment is what the daemon says it is (start_wall_us)
  push   this process sends 20 ms of PCM whenever they would have been recorded, and keeps the clock
  mic    an ALSA microphone that hears the clip (alsa_play.c) keeps the clock
"""
import asyncio
import os
import tempfile
import time

import lvx

RATE = 16000
PLUGIN = os.path.join(lvx.BUILD, "tests", "e2e", "libasound_module_pcm_lvxplay.so")


class Result:
    def __init__(self, events, start):
        self.events = events
        self.heard = lvx.words(events)
        self.text = lvx.text(events)
        self.spoken = lvx.truth()["words"]
        self.delays = lvx.delays(self.spoken, self.heard, start)
        # The daemon's own view of the same: from the word's end, as the model has it, to the event.
        self.reported = [e["latency_ms"] for e in events if e["type"] == "text" and e["lane"] == "caption" and e["words"]
                         and e["latency_ms"] is not None]

    def wer(self):
        return lvx.wer.score({"clip": " ".join(w["text"] for w in self.spoken)}, {"clip": self.text})


async def by_file(daemon, stream):
    """The daemon plays `stream`, the clip, at --pace clock; call it right after the daemon's start."""
    async def first_sample():
        # In the middle: at the end the last sound is handed over early, and the daemon's estimate with it.
        await asyncio.sleep(lvx.truth()["duration_ms"] / 2000)
        return daemon.stream(stream)["start_wall_us"] / 1e6 + time.monotonic() - time.time()

    events, start = await asyncio.gather(lvx.watch(daemon, stream), first_sample())
    return Result(events, start)


async def by_push(daemon, live=True):
    import websockets
    import json
    pcm = lvx.pcm(lvx.CLIP, RATE)
    step = RATE // 50 * 2
    events = []
    async with websockets.connect(daemon.ws, max_size=None) as ws:
        await ws.send(json.dumps({"type": "push", "format": "s16le", "sample_rate": RATE, "channels": 1, "live": live}))
        while json.loads(await ws.recv())["type"] != "pushing":
            pass
        start = time.monotonic()

        async def send():
            for k, at in enumerate(range(0, len(pcm), step), 1):
                await asyncio.sleep(max(0, start + k * 0.02 - time.monotonic()))
                await ws.send(pcm[at:at + step])
            await ws.send('{"type":"finish"}')

        name = [s["id"] for s in daemon.get("/api/streams")["streams"] if s["kind"] == "push" and s["state"] != "ended"][-1]
        viewer = asyncio.create_task(lvx.watch(daemon, name))
        await asyncio.gather(send(), drain(ws))
        events = await viewer
    return Result(events, start)


async def drain(ws):
    import json
    async for text in ws:
        if json.loads(text)["type"] == "pushed":
            return


class Microphone:
    """with Microphone() as m: Daemon("mic=mic:", env=m.env); m.start() is when its first sample was heard."""

    def __enter__(self):
        self.dir = tempfile.TemporaryDirectory()
        raw, self.note, conf = (os.path.join(self.dir.name, n) for n in ("clip.s16", "started", "asoundrc"))
        with open(raw, "wb") as f:
            f.write(lvx.pcm(lvx.CLIP, RATE))
        with open(conf, "w", encoding="utf8") as f:
            f.write(f'pcm_type.lvxplay {{ lib "{PLUGIN}" }}\n'
                    f'pcm.!default {{ type lvxplay  file "{raw}"  rate {RATE}  started "{self.note}" }}\n')
        self.env = {"ALSA_CONFIG_PATH": conf}
        return self

    def __exit__(self, *_):
        self.dir.cleanup()

    def start(self):
        with open(self.note, encoding="utf8") as f:
            return int(f.read()) / 1e9


async def by_microphone(daemon, microphone, stream):
    """A microphone never ends: it is listened to until the model has heard the whole clip, and said so."""
    events = []
    viewer = asyncio.create_task(lvx.watch(daemon, stream, on_event=events.append))
    whole_us = lvx.truth()["duration_ms"] * 1000 + 1500000
    while not viewer.done() and daemon.stream(stream)["heard_us"] < whole_us:
        await asyncio.sleep(0.2)
    if viewer.done():
        viewer.result()
    await asyncio.sleep(0.5)
    viewer.cancel()
    return Result(events, microphone.start())
