# SPDX-License-Identifier: Apache-2.0
"""OpenAI's realtime transcription and translation, with two versions of the npm package openai; vLLM's dialect."""
import asyncio
import base64
import json
import unittest

import doors

ITEM = "conversation.item.input_audio_transcription."
NESTED = {"type": "session.update", "session": {"type": "transcription", "audio": {"input": {
    "format": {"type": "audio/pcm", "rate": 24000}, "noise_reduction": {"type": "near_field"},
    "transcription": {"model": "gpt-4o-transcribe", "language": "en", "prompt": "A programme."},
    "turn_detection": {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 400}}},
    "include": ["item.input_audio_transcription.logprobs"]}}
MANUAL = {"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}}
SILENCE = base64.b64encode(bytes(48000)).decode()


class OpenAI(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = doors.Daemon("--token", "key-1", tls=True).__enter__()
        cls.addClassCleanup(cls.daemon.__exit__, None, None, None)
        cls.file = doors.raw(8, 24000)

    def run_client(self, kind, *steps, key="key-1", file=None):
        return doors.node("realtime.mjs", kind, f"{self.daemon.url}/v1", key, file or self.file, json.dumps(steps),
                          env={"NODE_EXTRA_CA_CERTS": self.daemon.cert})

    def items(self, got):
        """The transcripts by item; each must be made of its deltas, and be committed before it is completed."""
        deltas, done, committed = {}, {}, []
        for m in got:
            kind = m["type"]
            if kind not in ("close", "finished"):
                self.assertTrue(m["event_id"])
            if kind == ITEM + "delta":
                self.assertNotIn(m["item_id"], done)
                deltas.setdefault(m["item_id"], []).append(m["delta"])
                for p in m.get("logprobs", []):
                    self.assertTrue(p["logprob"] <= 0 and bytes(p["bytes"]).decode() == p["token"])
            elif kind == "input_audio_buffer.committed":
                self.assertEqual(m["previous_item_id"], committed[-1] if committed else None)
                committed.append(m["item_id"])
            elif kind == ITEM + "completed":
                self.assertIn(m["item_id"], committed)
                self.assertEqual("".join(deltas.get(m["item_id"], [])), m["transcript"])
                self.assertEqual(m["usage"]["type"], "duration")
                done[m["item_id"]] = m["transcript"]
        return done

    def test_server_vad(self):
        """Turns that pauses end."""
        got = self.run_client("7", NESTED, "session.updated", 10**9, {"type": "input_audio_buffer.append",
                              "audio": SILENCE}, ITEM + "completed", ITEM + "completed", "close")
        self.assertEqual(got[0]["type"], "session.created")
        updated = next(m for m in got if m["type"] == "session.updated")["session"]
        self.assertEqual(updated["audio"]["input"]["turn_detection"]["silence_duration_ms"], 400)
        self.assertEqual(updated["audio"]["input"]["transcription"]["model"], "m3-nano")
        self.assertIsNone(updated["audio"]["input"]["noise_reduction"])
        done = self.items(got)
        self.assertGreaterEqual(len(done), 2)
        self.assertGreater(len(" ".join(done.values()).split()), 5)
        order = [m["type"] for m in got if m.get("item_id") == next(iter(done))]
        self.assertEqual(order[0], "input_audio_buffer.speech_started")
        self.assertEqual(order[-3:], ["input_audio_buffer.speech_stopped", "input_audio_buffer.committed",
                                      ITEM + "completed"])
        self.assertTrue(next(m for m in got if m["type"] == ITEM + "delta")["logprobs"])
        self.assertEqual(got[-1], {"type": "close", "code": 1000})

    def test_manual(self):
        """Turns that the client commits, also while it goes on sending."""
        commit = {"type": "input_audio_buffer.commit"}
        got = self.run_client("6", MANUAL, "session.updated", 4 * 48000, commit, 10**9, commit, ITEM + "completed",
                              ITEM + "completed", commit, "error", "close")
        done = self.items(got)
        self.assertEqual(len(done), 2)
        self.assertTrue(all(len(text.split()) > 2 for text in done.values()), done)
        lengths = [m["usage"]["seconds"] for m in got if m["type"] == ITEM + "completed"]
        self.assertAlmostEqual(lengths[0], 4, places=1)
        self.assertAlmostEqual(sum(lengths), 8, places=1)
        self.assertFalse(any("speech" in m["type"] for m in got))
        error = next(m for m in got if m["type"] == "error")["error"]
        self.assertEqual(error["code"], "input_audio_buffer_commit_empty")

    def test_beta(self):
        """The older flat update, and G.711."""
        got = self.run_client("6", {"type": "transcription_session.update", "session": {
            "input_audio_format": "g711_ulaw", "input_audio_transcription": {"model": "whisper-1"},
            "turn_detection": None}}, "transcription_session.updated", 10**9, {"type": "input_audio_buffer.commit"},
            ITEM + "completed", "close", file=doors.clip("mu.raw", "-ac", "1", "-ar", "8000", "-f", "mulaw", seconds=5))
        self.assertGreater(len(" ".join(self.items(got).values()).split()), 3)

    def test_errors(self):
        """Half a protocol, and what is not supported: errors that name the member; the session goes on."""
        def update(**audio_input):
            return {"type": "session.update", "event_id": "e1", "session": {"audio": {"input": audio_input}}}

        bad = [update(format={"type": "audio/opus"}), update(transcription={"language": "xx"}), update(colour="red"),
               update(turn_detection={"type": "magic"}), {"type": "session.update", "session": {"type": "realtime"}},
               {"type": "response.create"}, {"type": "input_audio_buffer.append", "audio": "$$$$"},
               {"type": "input_audio_buffer.append"}, {"type": "input_audio_buffer.commit"}]
        steps = [s for b in bad for s in (b, "error")]
        got = self.run_client("7", *steps, {"type": "input_audio_buffer.append", "audio": SILENCE},
                              {"type": "input_audio_buffer.clear"}, "input_audio_buffer.cleared",
                              update(format={"type": "audio/pcm", "rate": 16000}), "error", "close")
        errors = [m["error"] for m in got if m["type"] == "error"]
        self.assertEqual(len(errors), len(bad) + 1)
        self.assertTrue(all(set(e) == {"type", "code", "message", "param", "event_id"} for e in errors))
        self.assertEqual(errors[0]["param"], "session.audio.input.format")
        self.assertEqual(errors[0]["event_id"], "e1")
        self.assertEqual(errors[-1]["code"], "cannot_update")
        refused = self.run_client("7", "close", key="wrong")
        self.assertIn("401", refused[0]["message"])

    def test_translation(self):
        """Captions and translation as they come, until the session is closed in order."""
        got = self.run_client("translation", {"type": "session.update", "session": {"audio": {"output": {
            "language": "de"}}}}, "session.updated", 10**9, "finish")
        session = next(m for m in got if m["type"] == "session.updated")["session"]
        self.assertEqual((session["type"], session["audio"]["output"]["language"]), ("translation", "de"))
        for kind in ("input", "output"):
            deltas = [m for m in got if m["type"] == f"session.{kind}_transcript.delta"]
            self.assertGreater(len(deltas), 5)
            self.assertGreater(len("".join(m["delta"] for m in deltas).split()), 5)
            times = [m["elapsed_ms"] for m in deltas]
            self.assertEqual(times, sorted(times))
        self.assertIn("session.closed", [m["type"] for m in got])
        self.assertEqual({"type": "close", "code": 1000}, next(m for m in got if m["type"] == "close"))

    def test_vllm(self):
        """vLLM's flat dialect."""
        import websockets

        async def run():
            url = f"wss://127.0.0.1:{self.daemon.port}/v1/realtime"
            with open(doors.raw(5), "rb") as f:
                data = f.read()
            async with websockets.connect(url, ssl=self.daemon.context, subprotocols=[
                    "realtime", "openai-insecure-api-key.key-1"]) as ws:
                self.assertEqual(ws.subprotocol, "realtime")
                created = json.loads(await ws.recv())
                self.assertEqual(created["type"], "session.created")
                self.assertTrue(created["id"] and created["created"])
                await ws.send('{"type":"session.update","model":"any"}')
                await ws.send('{"type":"input_audio_buffer.commit"}')
                for at in range(0, len(data), 8192):
                    await ws.send(json.dumps({"type": "input_audio_buffer.append",
                                              "audio": base64.b64encode(data[at:at + 8192]).decode()}))
                await ws.send('{"type":"input_audio_buffer.commit","final":true}')
                deltas = []
                while True:
                    m = json.loads(await ws.recv())
                    if m["type"] == "transcription.done":
                        break
                    deltas += [m["delta"]] if m["type"] == "transcription.delta" else []
                self.assertEqual(m["text"], "".join(deltas))
                self.assertGreater(m["usage"]["completion_tokens"], 3)
                await ws.send("{}")
                self.assertIsInstance(json.loads(await ws.recv())["error"], str)

        asyncio.run(asyncio.wait_for(run(), doors.PATIENCE_S))


if __name__ == "__main__":
    doors.main(wants_node=True)
