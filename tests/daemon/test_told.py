# SPDX-License-Identifier: Apache-2.0
"""What a stream is told: its delay and the language that is spoken; what the model knows is said where it is refused."""
import asyncio
import json
import subprocess
import time

import websockets

from harness import PATIENCE, Daemon, folder, main, pcm, wav, words
from test_refusals import refuses

# With this the fake model says what its row was told: "c7@960de" is word 7, 960 ms, German.
MORE = {"LVX_FAKE_MORE": "1"}
PUSH = {"type": "push", "format": "s16le", "sample_rate": 16000, "channels": 1}


def told(events, lane="caption"):
    return {w.split("@")[1] for w in words(events, lane)}


async def history(daemon, stream):
    async with daemon.connect() as s:
        await s.ask(type="subscribe", stream=stream, **{"from": "start"})
        return await s.until("end")


async def push(s, **ask):
    """What the stream has said, and how it called its languages."""
    reply = await s.ask(**PUSH, **ask)
    assert reply["type"] == "pushing", reply
    await s.ws.send(pcm(2))
    await s.send(type="subscribe", stream=reply["stream"], **{"from": "start"})
    await s.send(type="finish")
    got = await s.until("pushed")
    return told(got), {(e["lane"], e["language"]) for e in got if e["type"] == "text"}


async def test_streams(exe):
    """a stream has its own delay and language, or the daemon's; what it says, and of itself, tells of them"""
    with folder() as d:
        with open(d + "/lumivox.ini", "w") as f:
            f.write("[daemon]\ndelay = 240\nlanguage = en\n" + "".join(
                f"[stream {name}]\nuri = {wav(d + '/' + name + '.wav', 3)}\npace = max\n{more}" for name, more in (
                    ("plain", ""), ("own", "delay = 960\nlanguage = de\n"), ("free", "language = auto\n"))))
        with Daemon(exe, "--config", d + "/lumivox.ini", env=MORE) as daemon:
            async with daemon.connect() as s:
                assert (s.hello["delay_us"], s.hello["delays_ms"]) == (240000, [240, 400, 960]), s.hello
            status, body = daemon.http("GET", "/api/streams")
            assert (body["delay_us"], body["delays_ms"]) == (240000, [240, 400, 960]), body
            for name, delay, language in (("plain", 240, "en"), ("own", 960, "de"), ("free", 240, None)):
                events = await history(daemon, name)
                assert told(events) == {f"{delay}{language or ''}"}, (name, told(events))
                assert {e["language"] for e in events if e["type"] == "text"} == {language}
                info = daemon.info(name)
                assert (info["delay_us"], info["language"]) == (delay * 1000, language), info
            async with daemon.connect() as s:
                assert await push(s) == ({"240en"}, {("caption", "en")})
                assert await push(s, delay_ms=400, language="de") == ({"400de"}, {("caption", "de")})
                assert await push(s, language="auto") == ({"240"}, {("caption", None)})
            status, body = daemon.http("POST", "/api/streams", {"id": "made", "uri": d + "/own.wav", "delay_ms": 960})
            assert status == 403, body  # files are not for the network
    with folder() as d, Daemon(exe, "--allow-schemes", "file", env=MORE, lanes=None) as daemon:
        status, body = daemon.http("POST", "/api/streams", {"id": "made", "uri": wav(d + "/a.wav", 3), "delay_ms": 960,
                                                            "language": "de", "translate_to": "fr", "pace": "max"})
        assert status == 201 and (body["delay_us"], body["language"]) == (960000, "de"), body
        events = await history(daemon, "made")
        assert told(events) == told(events, "translation") == {"960de"}
        assert {(e["lane"], e["language"]) for e in events if e["type"] == "text"} == {("caption", "de"), ("translation", "fr")}


async def test_target(exe):
    """nobody is translated into a language that was not asked for, nor into the one that is spoken"""
    with folder() as d, Daemon(exe, "--translate-to", "de", f"own={wav(d + '/a.wav', 3)}", env=MORE, lanes=None) as daemon:
        assert daemon.info("own")["lanes"] == ["caption", "translation"]
        async with daemon.connect() as s:
            # The daemon's language is the spoken one: captions only, unless it is asked for.
            assert await push(s, language="de") == ({"400de"}, {("caption", "de")})
            reply = await s.ask(**PUSH, language="de", lanes=["translation"])
            assert reply["type"] == "error" and "needs a language to translate to: de, fr" in reply["message"], reply
            reply = await s.ask(**PUSH, language="de", translate_to="de")
            assert reply["type"] == "error" and "are both 'de'" in reply["message"], reply
            assert await push(s, language="en") == ({"400en"}, {("caption", "en"), ("translation", "de")})
    with folder() as d, Daemon(exe, "--language", "de", f"a={wav(d + '/a.wav', 60)}", env=MORE, lanes="caption") as daemon:
        async with daemon.connect() as s:
            reply = await s.ask(**PUSH, lanes=["caption", "translation"])
            assert reply["code"] == "invalid" and "needs a language to translate to: de, fr" in reply["message"], reply
            reply = await s.ask(type="subscribe", stream="a", translate_to="de")
            assert reply["code"] == "invalid" and "are both 'de'" in reply["message"], reply
            reply = await s.ask(type="subscribe", stream="a", translate_to="fr")
            assert reply["type"] == "subscribed" and reply["translate_to"] == "fr", reply


def test_flags(exe):
    """wrong flags and keys are usage errors that name what the model knows"""
    for args, part in (
            (("--delay", "500"), "delay: the model has no delay of 500 ms, but of 240, 400, 960"),
            (("--delay", "0"), "no delay of 0 ms"), (("--delay", "1s"), "'delay' is '1s'"),
            (("--language", "fr"), "does not understand 'fr', but en, de (or auto: it finds out)"),
            (("--language", "de", "--translate-to", "de"), "are both 'de'")):
        refuses(exe, 2, part, *args, env=MORE)
    refuses(exe, 2, "no delay of 240 ms, but of 400", "--delay", "240")  # a model with one
    with folder() as d:
        path = d + "/lumivox.ini"
        for key, part in (("delay = 80", "stream a: the model has no delay of 80 ms, but of 240, 400, 960"),
                          ("language = xx", "stream a: the model does not understand 'xx', but en, de"),
                          ("language = de\ntranslate-to = de", "stream a: what is spoken"),
                          ("lanes = translation", "a: the translation lane needs a language to translate to: de, fr")):
            with open(path, "w") as f:
                f.write(f"[stream a]\nuri = {d}/a.wav\n{key}\n")
            refuses(exe, 2, part, "--config", path, env=MORE)


async def read(ws, done, seconds=PATIENCE):
    got = []
    while not got or not done(got[-1]):
        got.append(json.loads(await asyncio.wait_for(ws.recv(), seconds)))
    return got


async def test_doors(exe):
    """clients of other services say the language and the delay in their own words"""
    with Daemon(exe, env=MORE) as daemon:
        def door(path):
            return websockets.connect(f"ws://127.0.0.1:{daemon.port}{path}", ping_interval=None, open_timeout=PATIENCE)

        for query, language in (("language=de-AT", "de"), ("language=multi", None), ("detect_language=true", None)):
            async with door(f"/v1/listen?encoding=linear16&sample_rate=16000&punctuate=true&{query}") as ws:
                await ws.send(pcm(2))
                await ws.send('{"type":"Finalize"}')
                got = await read(ws, lambda m: m.get("from_finalize"))
                best = [m["channel"]["alternatives"][0] for m in got if m["type"] == "Results"]
                assert {w.split("@")[1] for a in best for w in a["transcript"].split()} == {f"400{language or ''}"}, got
                assert all(a["languages"] == ([language] if language else []) for a in best)
                assert all(w.get("language") == language for a in best for w in a["words"])
        chunk = json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA" * 16000})
        for asked, delay, language in (({"delay": "xhigh", "language": "de-DE"}, 960, "de"),
                                       ({"delay": "minimal", "languages": ["en", "de"]}, 240, None),
                                       ({"languages": ["en-GB", "xx"]}, 400, "en")):
            async with door("/v1/realtime?intent=transcription") as ws:
                await ws.send(json.dumps({"type": "session.update", "session": {"audio": {"input": {"transcription": asked}}}}))
                holds = (await read(ws, lambda m: m["type"] == "session.updated"))[-1]["session"]["audio"]["input"]["transcription"]
                assert (holds["delay"], holds["language"]) == (asked.get("delay"), language), holds
                await ws.send(chunk)
                await ws.send('{"type":"input_audio_buffer.commit"}')
                text = (await read(ws, lambda m: m["type"].endswith(".completed")))[-1]["transcript"]
                assert {w.split("@")[1] for w in text.split()} == {f"{delay}{language or ''}"}, text
                await ws.send(json.dumps({"type": "session.update", "session": {"audio": {"input": {"transcription": {"delay": "high"}}}}}))
                error = (await read(ws, lambda m: m["type"] == "error"))[-1]["error"]
                assert error["code"] == "cannot_update", error
        async with door("/v1/realtime/translations") as ws:
            session = (await read(ws, lambda m: m["type"] == "session.created"))[-1]["session"]
            assert session["audio"]["output"]["language"] is None, session
            append = json.dumps({"type": "session.input_audio_buffer.append", "audio": "AAAA" * 16000})
            await ws.send(append)
            error = (await read(ws, lambda m: m["type"] == "error"))[-1]["error"]
            assert error["param"] == "session.audio.output.language" and "de, fr" in error["message"], error
            await ws.send(json.dumps({"type": "session.update", "session": {"audio": {"output": {"language": "de"},
                                      "input": {"transcription": {"language": "de"}}}}}))
            error = (await read(ws, lambda m: m["type"] == "error"))[-1]["error"]
            assert "are both 'de'" in error["message"], error
            await ws.send(json.dumps({"type": "session.update", "session": {"audio": {"output": {"language": "fr"}}}}))
            await ws.send(append)
            assert await read(ws, lambda m: m["type"] == "session.output_transcript.delta")


async def test_glossary(exe):
    """spellings of the daemon, of a stream, of a push, in every lane and language; what is wrong is said by its line"""
    with folder() as d:
        for name, text in (("all.txt", "# all\nGhent\nc1 => First\nc2 c3 => Second Third and More\n"),
                           ("own.txt", "d1 => Own\nfr1 => Premier\n"), ("bad.txt", "Ghent\n\nc1 =>\n")):
            with open(f"{d}/{name}", "w") as f:
                f.write(text)
        with open(d + "/lumivox.ini", "w") as f:
            f.write(f"[daemon]\nglossary = {d}/all.txt\nlanes = caption,description\n" + "".join(
                f"[stream {name}]\nuri = {wav(d + '/' + name + '.wav', 3)}\npace = max\n{more}" for name, more in (
                    ("plain", ""), ("own", f"glossary = {d}/own.txt\n"), ("none", "glossary =\n"))))
        with Daemon(exe, "--config", d + "/lumivox.ini") as daemon:
            plain = await history(daemon, "plain")
            assert words(plain)[:7] == ["c0", "First", "Second", "Third", "and", "More", "c4"], words(plain)
            assert words(plain, "description")[:3] == ["d0", "d1", "d2"], plain
            line = [w for e in plain if e["type"] == "text" and e["lane"] == "caption" for w in e["words"]]
            assert all(a["start_us"] <= a["end_us"] <= b["end_us"] for a, b in zip(line, line[1:])), line
            own = await history(daemon, "own")
            assert (words(own)[:2], words(own, "description")[:2]) == (["c0", "c1"], ["d0", "Own"]), own
            assert words(await history(daemon, "none"))[:2] == ["c0", "c1"]
            async with daemon.connect() as s:
                for glossary, want in ((["Ghent", "c1 => Mine"], "Mine"), ([], "c1"), (None, "First")):
                    reply = await s.ask(**PUSH, **({} if glossary is None else {"glossary": glossary}))
                    assert reply["type"] == "pushing", reply
                    await s.ws.send(pcm(2))
                    await s.send(type="subscribe", stream=reply["stream"], **{"from": "start"})
                    await s.send(type="finish")
                    assert words(await s.until("pushed"))[1] == want
                # A viewer's own language too.
                reply = await s.ask(**PUSH, glossary=["fr1 => Premier", "fr2 fr3 => Deux"])
                await s.send(type="subscribe", stream=reply["stream"], translate_to="fr", lanes=["translation"])
                assert (await s.get())["type"] == "subscribed"
                end = asyncio.get_running_loop().time() + PATIENCE
                while not daemon.info(reply["stream"])["further"] and asyncio.get_running_loop().time() < end:
                    await asyncio.sleep(0.02)
                await s.ws.send(pcm(4))
                await s.send(type="finish")
                french = words(await s.until("pushed"), "translation")
                assert "Premier" in french and "Deux" in french and "fr2" not in french, french
                for glossary, part in (("Ghent", "must be an array"), ([1], "'glossary'[0]: lines are strings"),
                                       (["x", "a => b => c"], "'glossary'[1]: '=>' stands in it twice")):
                    reply = await s.ask(**PUSH, glossary=glossary)
                    assert reply["code"] == "invalid" and part in reply["message"], reply
            status, body = daemon.http("POST", "/api/streams", {"uri": "http://x/", "glossary": ["=>"]})
            assert status == 400 and "'glossary'[0]: what stands before '=>' is empty" in body["error"]["message"], body
        refuses(exe, 2, "bad.txt:3: what stands after '=>' is empty", "--glossary", d + "/bad.txt")
        with open(d + "/lumivox.ini", "w") as f:
            f.write(f"[stream a]\nuri = {d}/a.wav\nglossary = {d}/bad.txt\n")
        refuses(exe, 2, "bad.txt:3: what stands after '=>' is empty", "--config", d + "/lumivox.ini")


def test_transcriptions(exe):
    """an upload in a language that is given, or found out"""
    with folder() as d, Daemon(exe, env=MORE) as daemon:
        with open(wav(d + "/a.wav", 2), "rb") as f:
            sound = f.read()
        for language, want in (("de-DE", "de"), (None, "und")):
            parts = [("response_format", b"verbose_json")] + ([("language", language.encode())] if language else [])
            body = b"".join(b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (k.encode(), v) for k, v in parts)
            body += b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + sound + b"\r\n--x--\r\n"
            status, answer = daemon.http("POST", "/v1/audio/transcriptions", body, {"Content-Type": "multipart/form-data; boundary=x"})
            assert status == 200 and answer["language"] == want, answer
            assert {w.split("@")[1] for w in answer["text"].split()} == {"400" + (language or "")[:2]}, answer


def test_events(exe):
    """an upload's words as events; a client that leaves, and a device that fails in the middle, which is told"""
    def upload(daemon, *more):
        return subprocess.run(["curl", "-s", "-N", "-m", "60", "-F", "file=@" + sound, "-F", "stream=true", *more,
                               f"http://127.0.0.1:{daemon.port}/v1/audio/transcriptions"], capture_output=True, text=True,
                              check=False).stdout

    with folder() as d:
        sound = wav(d + "/a.wav", 20)
        with Daemon(exe, env={"LVX_FAKE_TICK_MS": "5"}) as daemon:
            said = "".join(f"{' ' if i else ''}c{i}" for i in range(50))
            deltas = [json.loads(line[6:]) for line in upload(daemon).splitlines() if line.startswith("data: {")]
            assert "".join(e["delta"] for e in deltas[:-1]) == deltas[-1]["text"] == said, deltas
            assert len(deltas) == 51, deltas
            for after in ("0.05", "0.2", "0.4"):
                upload(daemon, "-m", after)
            assert upload(daemon).endswith("data: [DONE]\n\n")
            end = time.monotonic() + PATIENCE
            while daemon.http("GET", "/api/streams")[1]["streams"] and time.monotonic() < end:
                time.sleep(0.02)
            assert daemon.http("GET", "/api/streams")[1]["streams"] == []
        with Daemon(exe, env={"LVX_FAKE_FAIL_AFTER": "60"}) as daemon:
            out = upload(daemon)
            last = json.loads(out.strip().splitlines()[-1][6:])
            assert out.count(".delta") == 12 and last["error"]["code"] == "device" and "[DONE]" not in out, out


if __name__ == "__main__":
    main([test_streams, test_target, test_flags, test_glossary, test_doors, test_transcriptions, test_events])
