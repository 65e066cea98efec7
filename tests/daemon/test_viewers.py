# SPDX-License-Identifier: Apache-2.0
"""Viewers who want what the stream's own row does not make: further languages and lanes."""
import asyncio
import json
import os
import time

from harness import PATIENCE, Daemon, folder, main, wav, words

# The fake model says "t7" for the stream's own translation and "fr7" for a further one, when the caption is "c7".


def numbers(events, lane, prefix):
    got = words(events, lane)
    assert all(w.startswith(prefix) for w in got), got
    return [int(w[len(prefix):]) for w in got]


async def texts(s, n, lane):
    """Messages until n texts of the lane have come."""
    got = []
    while sum(m["type"] == "text" and m["lane"] == lane for m in got) < n:
        got.append(await s.get())
    return got


async def subscribe(s, stream="a", **ask):
    """The answer; what else has come before it does not matter."""
    reply = await s.ask(type="subscribe", stream=stream, **ask)
    while reply["type"] not in ("subscribed", "error"):
        reply = await s.get()
    return reply


async def test_language(exe):
    """a viewer's own language is a further row; it is shared, and nobody else notices"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 120)}", "--translate-to", "de", "--viewer-linger", "0.1",
                               lanes="caption,translation") as daemon:
        async with daemon.connect() as plain, daemon.connect() as one, daemon.connect() as two:
            assert (await plain.ask(type="subscribe", stream="a"))["translate_to"] == "de"
            seen = await texts(plain, 2, "translation")
            assert daemon.info("a")["further"] == []
            reply = await one.ask(type="subscribe", stream="a", translate_to="fr", ref=7)
            assert reply["lanes"] == ["caption", "translation"] and reply["translate_to"] == "fr" and reply["ref"] == 7, reply
            assert (await two.ask(type="subscribe", stream="a", translate_to="fr", lanes=["translation"]))["lanes"] == ["translation"]
            mine = await texts(one, 4, "translation")
            assert {e["language"] for e in mine if e["type"] == "text" and e["lane"] == "translation"} == {"fr"}, mine
            fr = numbers(mine, "translation", "fr")
            assert fr == list(range(fr[0], fr[0] + 4)), fr
            assert {e["lane"] for e in mine if e["type"] == "text"} == {"caption", "translation"}
            theirs = await texts(two, 3, "translation")
            assert {e["lane"] for e in theirs if e["type"] == "text"} == {"translation"}
            assert daemon.info("a")["further"] == [{"lane": "translation", "language": "fr", "viewers": 2}]
            # the same events for both: made once
            keys = {e["seq"]: e for e in mine}
            assert all(keys.get(e["seq"], e) == e for e in theirs)
            # the stream's own language is no further row
            assert (await subscribe(two, translate_to="de"))["translate_to"] == "de"
            daemon.wait_for("a", lambda i: i["further"] and i["further"][0]["viewers"] == 1)
            await one.send(type="unsubscribe", stream="a")
            daemon.wait_for("a", lambda i: not i["further"])
            seen += await texts(plain, 3, "translation")
            n = numbers(seen, "translation", "t")
            assert n == list(range(n[0], n[0] + len(n))), n
            assert {e["language"] for e in seen if e["type"] == "text" and e["lane"] == "translation"} == {"de"}


async def test_lane(exe):
    """a lane that nobody wants is not computed; it is a further row for who asks by name"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 120)}", "--viewer-linger", "0.1", lanes="caption") as daemon:
        async with daemon.connect() as s:
            reply = await s.ask(type="subscribe", stream="a")  # all that there is: no wish
            assert reply["lanes"] == ["caption"] and daemon.info("a")["further"] == []
            reply = await subscribe(s, lanes=["caption", "description"])
            assert reply["lanes"] == ["caption", "description"], reply
            got = await texts(s, 3, "description")
            numbers(got, "description", "d")
            assert numbers(got, "caption", "c")
            assert daemon.info("a")["further"] == [{"lane": "description", "language": "en", "viewers": 1}]
            # without a language the translation lane cannot be made
            reply = await subscribe(s, lanes=["translation"])
            assert reply["lanes"] == [] and reply["translate_to"] is None
            daemon.wait_for("a", lambda i: not i["further"])


async def test_resume(exe):
    """who reconnects in time loses nothing and hears nothing twice, and late joiners get history"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 8)}") as daemon:
        got, start = [], "now"
        while not got or got[-1]["type"] != "end":
            async with daemon.connect() as s:
                reply = await s.ask(type="subscribe", stream="a", lanes=["translation"], translate_to="fr", **{"from": start})
                assert reply["type"] == "subscribed", reply
                for _ in range(4):
                    got.append(await s.get())
                    assert got[-1]["type"] != "gap", got
                    if got[-1]["type"] == "end":
                        break
            start = {"epoch": got[-1]["epoch"], "seq": got[-1]["seq"]}
        fr = numbers(got, "translation", "fr")
        assert fr == list(range(fr[0], 20)) and len(fr) > 12, fr
        # what was made for viewers is history, too, also when the stream is over
        async with daemon.connect() as s:
            await s.ask(type="subscribe", stream="a", lanes=["translation"], translate_to="fr", **{"from": "start"})
            assert numbers(await s.until("end"), "translation", "fr") == fr
            await s.ask(type="subscribe", stream="a", **{"from": "start"})
            assert words(await s.until("end"), "translation") == []


async def test_refused(exe):
    """what cannot be made is refused, with a reason; the connection and its subscription stay"""
    with folder() as d:
        a, b = wav(d + "/a.wav", 120), wav(d + "/b.wav", 120)

        async def refused(s, code, text, **ask):
            reply = await subscribe(s, ref="x", **ask)
            assert reply["type"] == "error" and reply["code"] == code and text in reply["message"], reply
            assert reply["ref"] == "x"

        with Daemon(exe, f"a={a}", f"b={b}", "--rows", "2") as daemon:
            async with daemon.connect() as s:
                await s.ask(type="subscribe", stream="a")
                await refused(s, "invalid", "does not translate to 'xx', but to de, fr", translate_to="xx")
                await refused(s, "invalid", "translation lane", translate_to="de", lanes=["caption"])
                await refused(s, "invalid", "'translate_to'", translate_to="")
                await refused(s, "over_limit", "all 2 rows are taken (--rows)", translate_to="fr")
                await texts(s, 1, "caption")
            assert daemon.info("a")["further"] == []
        with Daemon(exe, f"a={a}", "--rows", "4", "--viewer-rows", "1") as daemon:
            async with daemon.connect() as s:
                await s.ask(type="subscribe", stream="a", translate_to="fr")
                await refused(s, "over_limit", "all 1 rows that they may have (--viewer-rows)", translate_to="de")
                await texts(s, 2, "translation")  # what it had goes on
        with Daemon(exe, f"a={a}", "--viewer-rows", "0") as daemon:
            async with daemon.connect() as s:
                await refused(s, "over_limit", "--viewer-rows", translate_to="fr")


async def test_gives_way(exe):
    """a further row without viewers gives way at once to a stream or another language"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 120)}", "--rows", "2", "--viewer-linger", "3600",
                               "--allow-schemes", "file") as daemon:
        async with daemon.connect() as s:
            await s.ask(type="subscribe", stream="a", translate_to="fr")
            await texts(s, 1, "translation")
            # it is wanted: nobody else gets the row
            status, body = daemon.http("POST", "/api/streams", {"id": "b", "uri": d + "/a.wav"})
            assert status == 503 and "--rows" in body["error"]["message"], body
            await s.send(type="unsubscribe", stream="a")
            await s.until("unsubscribed")
            await asyncio.sleep(0.3)
            assert daemon.info("a")["further"][0]["viewers"] == 0  # stays for who comes back
            assert (await subscribe(s, translate_to="de"))["type"] == "subscribed"
            await texts(s, 2, "translation")
            assert [f["language"] for f in daemon.info("a")["further"]] == ["de"]
            await s.send(type="unsubscribe", stream="a")
            await s.until("unsubscribed")
            status, body = daemon.http("POST", "/api/streams", {"id": "b", "uri": d + "/a.wav"})
            assert status == 201, body
            daemon.wait_for("b", lambda i: i["words"] > 1)
            assert daemon.info("a")["further"] == []


async def test_compressed(exe):
    """with --compress who offers permessage-deflate gets it; the text is the same, also in bursts"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 60)}", "--pace", "max", "--compress",
                               env={"LVX_FAKE_FLOOD": "4"}) as daemon:
        daemon.wait_for("a", lambda i: i.get("end_reason"))
        got = []
        for compression in ("deflate", None):
            async with daemon.connect(compression=compression) as s:
                assert ("permessage-deflate" in s.ws.response_headers.get("Sec-WebSocket-Extensions", "")) == (compression is not None)
                await s.ask(type="subscribe", stream="a", activity=True, **{"from": "start"})
                got.append(await s.until("end"))
                assert (await s.ask(type="ping"))["type"] == "pong"
        assert got[0] == got[1] and len(words(got[0])) > 1000, (len(got[0]), len(got[1]))
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 60)}") as daemon:
        async with daemon.connect(compression="deflate") as s:
            assert "Sec-WebSocket-Extensions" not in s.ws.response_headers


async def test_recorded(exe):
    """what went out to viewers is in the files, too"""
    with folder() as d:
        with Daemon(exe, f"a={wav(d + '/a.wav', 5)}", "--record", d + "/r", "--record-formats", "jsonl", lanes="caption") as daemon:
            async with daemon.connect() as s:
                await s.ask(type="subscribe", stream="a", translate_to="fr")
                fr = numbers(await s.until("end"), "translation", "fr")
        names = sorted(n.split(".", 2)[2] for n in os.listdir(d + "/r"))
        assert "caption.en.jsonl" in names and "translation.fr.jsonl" in names, names
        with open(next(d + "/r/" + n for n in os.listdir(d + "/r") if n.endswith("translation.fr.jsonl"))) as f:
            got = [w["text"] for line in f for w in json.loads(line)["words"]]
        assert got == [f"fr{i}" for i in fr], (got, fr)


async def test_many_come_and_go(exe):
    """viewers of many languages come and go at random; captions go on, and all rows come back"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 120)}", f"b={wav(d + '/b.wav', 120)}", "--rows", "4",
                               "--viewer-linger", "0", lanes="caption") as daemon:
        async def come_and_go(k):
            async with daemon.connect() as s:
                for i in range(30):
                    ask = [{"translate_to": "fr"}, {"translate_to": "de"}, {"lanes": ["description"]}, {}][(k * 7 + i * 5) % 4]
                    await s.send(type="subscribe", stream="ab"[(k + i) % 2], **ask)
                    await asyncio.sleep((k * 13 + i * 7) % 5 * 0.01)
        async with daemon.connect() as s:
            await s.ask(type="subscribe", stream="a")
            begin = time.monotonic()
            await asyncio.gather(*(come_and_go(k) for k in range(12)))
            took = time.monotonic() - begin
            got = await texts(s, 3 + int(took), "caption")
            n = numbers(got, "caption", "c")
            assert n == list(range(n[0], n[0] + len(n))), n
        for x in "ab":
            daemon.wait_for(x, lambda i: not i["further"], PATIENCE)
            assert daemon.info(x)["state"] == "live"


main([test_language, test_lane, test_resume, test_refused, test_gives_way, test_compressed, test_recorded, test_many_come_and_go])
