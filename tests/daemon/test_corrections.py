# SPDX-License-Identifier: Apache-2.0
"""Lines that someone corrects before they go to outputs that are late on purpose; who may; the log."""
import json
import time

from harness import PATIENCE, Daemon, folder, main, wav
from test_record import files, said


def line(events, n):
    """The n-th line that was said: eight words of the fake model are a segment."""
    part = [e for e in events if e["type"] == "text" and e["segment"] == n and e["words"]]
    return part[0]["seq"], part[-1]["seq"]


async def gather(s, segments, stream="a"):
    """Events until so many segments are over."""
    events = []
    while sum(e["type"] == "text" and e["segment_end"] for e in events) < segments:
        events.append(await s.get())
    return events


async def test_correct(exe):
    """a correction reaches the files within the hold, and viewers as an event beside what they have"""
    with folder() as d:
        with Daemon(exe, f"a={wav(d + '/a.wav', 12)}", "--pace", "clock", "--lanes", "caption", "--record", d + "/rec",
                    "--record-formats", "jsonl", "--record-hold", "30") as daemon:
            async with daemon.connect() as s:
                await s.ask(type="subscribe", stream="a", **{"from": "start"})
                events = await gather(s, 2)
                assert daemon.info("a")["hold_us"] == 30000000
                epoch = events[-1]["epoch"]
                path = "/api/streams/a/corrections"

                def post(first, last, text, epoch=epoch):
                    return daemon.http("POST", path, {"epoch": epoch, "from_seq": first, "to_seq": last, "text": text})
                first, second = line(events, 0), line(events, 1)
                # As many words: each keeps its time. Fewer: they share it. A second correction of the line counts.
                status, reply = post(*first, " A1\nb1 c1 d1 e1\t f1 g1 h1. ")
                assert status == 201 and reply["epoch"] == epoch, (status, reply)
                assert post(*second, "wrong again")[0] == 201
                assert post(*second, "two <words>")[0] == 201
                got = []
                while len(got) < 3:
                    e = await s.get()
                    got += [e] if e["type"] == "correction" else []
                assert got[0]["seq"] == reply["seq"] and got[0]["text"] == "A1 b1 c1 d1 e1 f1 g1 h1.", got
                assert (got[0]["from_seq"], got[0]["to_seq"], got[0]["lane"]) == (*first, "caption"), got
                was = [w for e in events if e["type"] == "text" and e["segment"] == 0 for w in e["words"]]
                assert [(w["start_us"], w["end_us"]) for w in got[0]["words"]] == [(w["start_us"], w["end_us"]) for w in was]
                was = [w for e in events if e["type"] == "text" and e["segment"] == 1 for w in e["words"]]
                a, b = got[2]["words"]
                assert [a["text"], b["text"]] == ["two", "<words>"], got
                assert was[0]["start_us"] == a["start_us"] < a["end_us"] < b["start_us"] < b["end_us"] == was[-1]["end_us"]
                # What cannot be done is said.
                for args, status, part in [
                        ((*first, "x", 1), 404, "another epoch"), ((0, 1, "x"), 400, "'from_seq' must be"),
                        ((first[0], 10**6, "x"), 404, "are kept"), ((2, 1, "x"), 404, "are kept"),
                        ((1, first[1], "x"), 400, "text events of one lane"), ((*first, "a\u0007b"), 400, "control"),
                        ((*first, "x " * 300), 400, "at most 256 words"), ((*first, "x" * 3000), 400, "allowed are 2048")]:
                    got_status, reply = post(*args)
                    assert got_status == status and part in reply["error"]["message"], (args, got_status, reply)
                assert daemon.http("GET", path)[0] == 405
                assert daemon.http("POST", "/api/streams/b/corrections", {})[0] == 404
                await s.until("end")
            assert post(*first, "x")[0] == 400  # nothing comes after the end
            daemon.wait_for("a", lambda i: i.get("end_reason"))
        (formats,) = files(d + "/rec").values()
        want = "A1 b1 c1 d1 e1 f1 g1 h1. two <words>".split() + [f"c{i}" for i in range(16, 30)]
        assert said([formats["jsonl"]]) == want, said([formats["jsonl"]])


async def test_chinese(exe):
    """a line in Chinese: a character is a word, with the line's time shared out; no spaces come into the files"""
    text = "\u665a\u4e0a\u597d\uff0c\u6839\u7279\u3002"
    with folder() as d:
        with Daemon(exe, f"a={wav(d + '/a.wav', 8)}", "--pace", "clock", "--lanes", "caption", "--record", d + "/rec",
                    "--record-formats", "vtt,jsonl", "--record-hold", "30") as daemon:
            async with daemon.connect() as s:
                await s.ask(type="subscribe", stream="a", **{"from": "start"})
                events = await gather(s, 2)
                for n, said_so in (0, "\u3000" + text + "\u3000Lumivox\u5728"), (1, text + "\u597d"):
                    first, last = line(events, n)
                    status, body = daemon.http("POST", "/api/streams/a/corrections", {
                        "epoch": events[-1]["epoch"], "from_seq": first, "to_seq": last, "text": said_so})
                    assert status == 201, body
                    e = await s.get()
                    while e["type"] != "correction":
                        e = await s.get()
                    was = [w for x in events if x["type"] == "text" and x["segment"] == n for w in x["words"]]
                    words = [w["text"] for w in e["words"]]
                    assert words == [*text, *(["Lumivox", "\u5728"] if n == 0 else ["\u597d"])], words
                    times = [t for w in e["words"] for t in (w["start_us"], w["end_us"])]
                    assert times == sorted(times) and (times[0], times[-1]) == (was[0]["start_us"], was[-1]["end_us"]), times
                    if n == 1:  # as many words as before: word for word
                        assert times == [t for w in was for t in (w["start_us"], w["end_us"])]
                await s.until("end")
            daemon.wait_for("a", lambda i: i.get("end_reason"))
        (formats,) = files(d + "/rec").values()
        for form in "vtt", "jsonl":
            cues = "".join(cue[2].replace("\n", "") for cue in formats[form])
            assert cues.startswith(text + "Lumivox \u5728" + text + "\u597d"), cues


async def test_too_late(exe):
    """a line that has left stays as it is, which the log tells; an empty correction takes a line away"""
    with folder() as d:
        with Daemon(exe, f"a={wav(d + '/a.wav', 14)}", "--pace", "clock", "--lanes", "caption", "--record", d + "/rec",
                    "--record-formats", "srt", "--record-hold", "5") as daemon:
            async with daemon.connect() as s:
                await s.ask(type="subscribe", stream="a", **{"from": "start"})
                events = await gather(s, 3)
                for n, text in (0, "never seen"), (2, ""):
                    first, last = line(events, n)
                    if n == 2:  # its last words are held for sure
                        first = last
                    status, _ = daemon.http("POST", "/api/streams/a/corrections", {
                        "epoch": events[-1]["epoch"], "from_seq": first, "to_seq": last, "text": text})
                    assert status == 201
                gone = events[-1]["words"][0]["text"]
                await s.until("end")
            end = time.monotonic() + PATIENCE
            while True:
                status, reply = daemon.http("GET", "/api/log")
                if any("came too late" in e["message"] for e in reply["entries"]):
                    break
                assert status == 200 and time.monotonic() < end, reply
                time.sleep(0.1)
            entry = reply["entries"][-1]
            assert entry["level"] == "warn" and abs(entry["wall_us"] / 1e6 - time.time()) < PATIENCE, entry
        (formats,) = files(d + "/rec").values()
        assert said([formats["srt"]]) == [f"c{i}" for i in range(35) if f"c{i}" != gone], said([formats["srt"]])


async def test_who(exe):
    """with an operator's token, others read and do not rule"""
    with folder() as d:
        wav(d + "/a.wav", 3)
        for viewer in None, "seen":
            more = ["--token", viewer] if viewer else []
            with Daemon(exe, f"a={d}/a.wav", "--operator-token", "ruler", *more) as daemon:
                def status(method, path, token):
                    head = {"Authorization": "Bearer " + token} if token else {}
                    return daemon.http(method, path, {} if method in ("POST", "PATCH") else None, head)[0]
                everyone = 401 if viewer else 200
                for token, read_it, rule in (None, everyone, 401), ("seen", 200, 401), ("ruler", 200, 400):
                    assert status("GET", "/api/streams", token) == read_it, (viewer, token)
                    for method, path in ("POST", "/api/streams"), ("PATCH", "/api/streams/a"), \
                            ("POST", "/api/streams/a/corrections"):
                        assert status(method, path, token) == rule, (viewer, token, method, path)
                    assert status("GET", "/api/log", token) == (200 if token == "ruler" else 401)
                assert status("DELETE", "/api/streams/a", "seen") == 401
                assert status("DELETE", "/api/streams/a", "ruler") == 204
                async with daemon.connect("/api/ws?token=ruler") as s:
                    assert (await s.ask(type="ping"))["type"] == "pong"


def test_levels(exe):
    """how loud a stream is, and for how long it has been silent, is told"""
    with folder() as d:
        wav(d + "/a.wav", 4)
        with open(d + "/b.wav", "wb") as f:
            with open(d + "/a.wav", "rb") as tone:
                head = tone.read(44)
            f.write(head + bytes(4 * 32000))
        with Daemon(exe, f"a={d}/a.wav", f"b={d}/b.wav", "--pace", "max") as daemon:
            a, b = (daemon.wait_for(n, lambda i: i.get("end_reason")) for n in "ab")
            assert -30 < a["level_db"] < -10 < 0 > a["peak_db"] >= a["level_db"] and a["silent_us"] == 0, a
            assert b["level_db"] == b["peak_db"] == -120 and b["silent_us"] >= 3600000, b
            assert a["hold_us"] == 0
            json.dumps(a)


if __name__ == "__main__":
    main([test_correct, test_chinese, test_too_late, test_who, test_levels])
