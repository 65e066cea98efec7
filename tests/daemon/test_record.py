# SPDX-License-Identifier: Apache-2.0
"""--record: subtitle files of what the streams said, over a model whose words are known."""
import asyncio
import collections
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
import xml.etree.ElementTree as ET

from harness import PATIENCE, Daemon, folder, main, pcm, wav

TT = "{http://www.w3.org/ns/ttml}"
TTP = "{http://www.w3.org/ns/ttml#parameter}"
IMSC = "http://www.w3.org/ns/ttml/profile/imsc1.1/text"


def seconds(t):
    h, m, s = t.replace(",", ".").split(":")
    return int(h) * 3600 + int(m) * 60 + float(s)


def read(path):
    """The cues (start, end, text) of a file, which must be whole."""
    with open(path, encoding="utf8") as f:
        text = f.read()
    if path.endswith(".jsonl"):
        lines = [json.loads(line) for line in text.splitlines()]
        for e in lines:
            assert "".join(e["text"].split()) == "".join(w["text"] for w in e["words"]), e
        return [(e["start_us"] / 1e6, e["end_us"] / 1e6, e["text"]) for e in lines]
    if path.endswith(".ttml"):
        root = ET.fromstring(text)
        assert root.tag == TT + "tt" and root.get(TTP + "contentProfiles") == IMSC, root.attrib
        assert root.get(TTP + "timeBase") == "media"
        assert len(root.findall(f".//{TT}region")) == 1
        # A line break is an empty element between two texts.
        return [(seconds(p.get("begin")), seconds(p.get("end")), "\n".join(p.itertext()))
                for p in root.iter(TT + "p")]
    blocks = text.split("\n\n")
    assert blocks.pop() == ""
    if path.endswith(".vtt"):
        assert blocks.pop(0) == "WEBVTT"
    cues = []
    for i, block in enumerate(blocks, 1):
        lines = block.split("\n")
        if path.endswith(".srt"):
            assert lines.pop(0) == str(i), block
        a, b = re.fullmatch(r"(\d\d:\d\d:\d\d[.,]\d{3}) --> (\d\d:\d\d:\d\d[.,]\d{3})", lines[0]).groups()
        cues.append((seconds(a), seconds(b), "\n".join(lines[1:])))
    return cues


def by_ffmpeg(path):
    """The same, as FFmpeg reads it."""
    out = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", path, "-f", "srt", "-"],
                         stdout=subprocess.PIPE, check=True).stdout.decode()
    blocks = [b.split("\n", 2) for b in out.replace("\r", "").strip().split("\n\n") if b]
    return [(*map(seconds, when.split(" --> ")), text) for _, when, text in blocks]


def files(d):
    """{(stream, time, part, lane, language): {extension: cues}}"""
    found = collections.defaultdict(dict)
    for name in sorted(os.listdir(d)):
        if name.endswith(".events.jsonl"):
            continue
        m = re.fullmatch(r"(\w+)\.(\d{8}T\d{6}Z(?:~\d+)?)(?:_(\d{4}))?\.(\w+)\.(\w+)\.(\w+)", name)
        assert m, name
        found[m[1], m[2], int(m[3] or 1), m[4], m[5]][m[6]] = read(os.path.join(d, name))
    return found


def said(files_of):
    return " ".join(text for cues in files_of for _, _, text in cues).split()


def close(a, b):
    return len(a) == len(b) and all(abs(x[0] - y[0]) < 0.0011 and abs(x[1] - y[1]) < 0.0011 and x[2] == y[2]
                                    for x, y in zip(a, b))


def test_files(exe):
    """four formats a lane say the same, and all of it; new files every minute of the stream"""
    with folder() as d:
        with Daemon(exe, f"a={wav(d + '/a.wav', 150)}", "--pace", "max", "--record", d + "/rec",
                    "--record-roll", "1", "--translate-to", "de", "--lanes", "caption,translation") as daemon:
            daemon.wait_for("a", lambda i: i.get("end_reason"))
        found = files(d + "/rec")
        assert len({k[1] for k in found}) == 1, found.keys()
        for lane, language, letter in (("caption", "en", "c"), ("translation", "de", "t")):
            parts = {k[2]: v for k, v in found.items() if k[3:] == (lane, language)}
            assert sorted(parts) == [1, 2, 3], parts.keys()
            for part, formats in parts.items():
                assert sorted(formats) == ["jsonl", "srt", "ttml", "vtt"]
                cues = formats["jsonl"]
                for a, b in zip(cues, cues[1:]):
                    assert a[1] < b[0], (a, b)
                for a, b, text in cues:
                    assert a < b <= a + 7.001 and (part - 1) * 60 <= a < part * 60, (part, a, b)
                    assert len(text.split("\n")) <= 2 and max(map(len, text.split("\n"))) <= 42, text
                for form in ("srt", "vtt", "ttml"):
                    assert close(formats[form], cues), (form, formats[form][:3], cues[:3])
            for form in ("srt", "vtt", "ttml", "jsonl"):
                assert said(parts[p][form] for p in sorted(parts)) == [f"{letter}{i}" for i in range(375)], form
        for name in os.listdir(d + "/rec"):
            if shutil.which("ffmpeg") and name.endswith((".srt", ".vtt")):
                path = os.path.join(d, "rec", name)
                assert close(by_ffmpeg(path), read(path)), name


def test_streams_of_one_name(exe):
    """a stream that takes another's name gets files of its own; formats can be chosen"""
    with folder() as d:
        with Daemon(exe, "--record", d + "/rec", "--record-formats", "jsonl", "--allow-schemes", "file") as daemon:
            wav(d + "/a.wav", 8)
            for _ in range(2):
                status, _ = daemon.http("POST", "/api/streams", {"id": "a", "uri": d + "/a.wav", "pace": "max",
                                                                 "lanes": ["caption"]})
                assert status == 201, status
                daemon.wait_for("a", lambda i: i.get("end_reason"))
        found = files(d + "/rec")
        assert len(found) == 2 and all(set(v) == {"jsonl"} for v in found.values()), found
        for v in found.values():
            assert said([v["jsonl"]]) == [f"c{i}" for i in range(20)]


def test_live(exe):
    """a cue is on the disk while the stream runs; times of day are told"""
    with folder() as d:
        with Daemon(exe, f"a={wav(d + '/a.wav', 60)}", "--record", d + "/rec", "--lanes", "caption") as daemon:
            os.makedirs(d + "/rec", exist_ok=True)
            deadline = time.monotonic() + 60
            while not any(n.endswith(".en.jsonl") and len(read(f"{d}/rec/{n}")) > 1
                          for n in os.listdir(d + "/rec")):
                assert time.monotonic() < deadline, daemon.stderr()
                time.sleep(0.1)
            info = daemon.info("a")
            assert not info.get("end_reason")
            name, = (n for n in os.listdir(d + "/rec") if n.endswith(".en.jsonl"))
            with open(os.path.join(d, "rec", name), encoding="utf8") as f:
                e = json.loads(f.readline())
            assert e["epoch"] == info["epoch"]
            assert abs(e["wall_us"] - info["start_wall_us"] - e["start_us"]) < 50000, (e, info)
            assert abs(e["wall_us"] / 1e6 - time.time()) < 60


def events(d, stream):
    """The lines of the stream's event logs, part after part; each must be whole."""
    found = []
    for name in sorted(n for n in os.listdir(d) if n.startswith(stream + ".") and n.endswith(".events.jsonl")):
        with open(os.path.join(d, name), encoding="utf8") as f:
            text = f.read()
        assert text.endswith("}\n"), text[-200:]
        found += [json.loads(line) for line in text.splitlines()]
    return found


def test_events(exe):
    """all that went out is in the log of events, as it went out: lanes, states, gaps, corrections, silence, the end"""
    async def run(daemon):
        async with daemon.connect() as s:
            await s.ask(type="push", stream="a", format="s16le", sample_rate=16000, channels=1, live=True)
            await s.ask(type="subscribe", stream="a", lanes=["caption", "translation"], activity=True,
                        **{"from": "start"})
            loud = (b"\x00\x20\x00\xe0" * 8000)
            got = []
            for sound in [loud] * 2 + [pcm(1)] * 4:
                await s.ws.send(sound)
            got += await s.until("dead_air")
            text = next(e for e in got if e["type"] == "text")
            status, body = daemon.http("POST", "/api/streams/a/corrections", {
                "epoch": text["epoch"], "from_seq": text["seq"], "to_seq": text["seq"], "text": "晚上好"})
            assert status == 201, body
            await s.ws.send(loud)
            got += await s.until("dead_air")
            await s.send(type="finish")
            return got + await s.until("end")
    with folder() as d:
        with Daemon(exe, "--record", d + "/rec", "--record-formats", "events", "--lanes", "caption,translation",
                    "--translate-to", "de", "--dead-air", "2") as daemon:
            got = [e for e in asyncio.run(run(daemon)) if "seq" in e]
            log = daemon.stderr()
        assert "stream a: dead air: silent for" in log and "no dead air any more" in log, log
        lines = events(d + "/rec", "a")
        assert [{k: v for k, v in e.items() if k != "wall_us"} for e in lines] == got, (lines, got)
        assert [e["seq"] for e in lines] == list(range(1, len(lines) + 1))
        assert all(a["wall_us"] <= b["wall_us"] <= time.time() * 1e6 for a, b in zip(lines, lines[1:]))
        kinds = [e["type"] for e in lines]
        assert {"state", "text", "correction", "dead_air"} < set(kinds) and kinds[-1] == "end", kinds
        silent, over = (e for e in lines if e["type"] == "dead_air")
        assert not silent["over"] and silent["silent_us"] >= 2000000 and over["over"], (silent, over)
        assert {e["lane"] for e in lines if e["type"] == "text"} == {"caption", "translation"}
        assert not [n for n in os.listdir(d + "/rec") if not n.endswith(".events.jsonl")]


def push_past_a_full_disk(daemon, before, full, after):
    """So many seconds of stream a: with room on the disk, with none (no file may grow over 1,500 bytes), and with room again."""
    limit = resource.RLIMIT_FSIZE
    soft, hard = resource.prlimit(daemon.proc.pid, limit)

    async def run():
        async with daemon.connect() as s:
            await s.ask(type="push", stream="a", format="s16le", sample_rate=16000, channels=1)
            for seconds, room in (before, soft), (full, 1500), (after, soft):
                resource.prlimit(daemon.proc.pid, limit, (room, hard))
                words = daemon.info("a")["words"]
                for _ in range(seconds):
                    await s.ws.send(pcm(1))
                daemon.wait_for("a", lambda i: i["words"] >= words + seconds * 2)
                time.sleep(1)
            await s.send(type="finish")
            await s.until("pushed")
    asyncio.run(run())


def test_events_missing(exe):
    """what the log of events could not have is said in it: a disk that was full, a history that was too short"""
    with folder() as d:
        with Daemon(exe, "--record", d + "/rec", "--lanes", "caption", "--record-formats", "events",
                    "--record-roll", "1") as daemon:
            push_past_a_full_disk(daemon, 30, 10, 40)
        lines = events(d + "/rec", "a")
        gap, = (e for e in lines if e["type"] == "gap")
        assert gap["what"] == "events" and gap["reason"] == "disk", gap
        seqs = [s for e in lines for s in ([e["seq"]] if "seq" in e else range(e["from_seq"], e["to_seq"] + 1))]
        assert seqs == list(range(1, seqs[-1] + 1)) and lines[-1]["type"] == "end", seqs
        assert len([n for n in os.listdir(d + "/rec") if "_0002.events" in n]) == 1, os.listdir(d + "/rec")
    with folder() as d:
        with Daemon(exe, f"a={wav(d + '/a.wav', 60)}", "--pace", "max", "--record", d + "/rec", "--lanes", "caption",
                    "--history", "16", "--record-formats", "events", env={"LVX_FAKE_FLOOD": "200"}) as daemon:
            daemon.wait_for("a", lambda i: i.get("end_reason"))
        lines = events(d + "/rec", "a")
        seqs = [s for e in lines for s in ([e["seq"]] if "seq" in e else range(e["from_seq"], e["to_seq"] + 1))]
        assert seqs == list(range(1, seqs[-1] + 1)), "neither there nor said to be missing"
        assert {e.get("reason") for e in lines if e["type"] == "gap"} == {"history"}, "nothing was missing"


def test_killed(exe):
    """a daemon that is killed leaves whole files, and all that was on the disk before"""
    with folder() as d:
        daemon = Daemon(exe, f"a={wav(d + '/a.wav', 60)}", "--record", d + "/rec")
        try:
            deadline = time.monotonic() + PATIENCE
            while len(os.listdir(d + "/rec") if os.path.isdir(d + "/rec") else []) < 9:  # four formats of two lanes
                assert time.monotonic() < deadline, daemon.stderr()
                time.sleep(0.05)
            before, log = files(d + "/rec"), events(d + "/rec", "a")
        finally:
            rc, _, _ = daemon.stop(signal.SIGKILL)
        assert rc == -signal.SIGKILL
        after = files(d + "/rec")  # each is whole, or it could not be read
        for key, formats in before.items():
            for form, cues in formats.items():
                assert cues and after[key][form][:len(cues)] == cues, (key, form)
        left = events(d + "/rec", "a")
        assert left[:len(log)] == log and [e["seq"] for e in left] == list(range(1, len(left) + 1)), left
        assert left[-1]["type"] != "end"
        # Those of the next start are others.
        with Daemon(exe, f"a={d}/a.wav", "--pace", "max", "--record", d + "/rec") as again:
            again.wait_for("a", lambda i: i.get("end_reason"))
        assert files(d + "/rec").keys() > after.keys()
        lines = events(d + "/rec", "a")
        assert len({e["epoch"] for e in lines}) == 2 and lines[:len(left)] == left and lines[-1]["type"] == "end"


def test_settings(exe):
    """each stream by its own settings; a folder that cannot be written is told once and costs no other"""
    with folder() as d:
        open(d + "/no-folder", "w", encoding="utf8").close()
        for name in "abc":
            wav(f"{d}/{name}.wav", 30)
        with open(d + "/x.ini", "w", encoding="utf8") as f:
            f.write(f"[daemon]\nrecord = {d}/rec\nrecord-formats = srt\npace = max\nlanes = caption\n"
                    f"[stream a]\nuri = {d}/a.wav\nrecord-formats = vtt, jsonl\n"
                    f"[stream b]\nuri = {d}/b.wav\nrecord =\n"
                    f"[stream c]\nuri = {d}/c.wav\nrecord = {d}/no-folder\n")
        with Daemon(exe, "--config", d + "/x.ini") as daemon:
            for name in "abc":
                info = daemon.wait_for(name, lambda i: i.get("end_reason"))
                assert info["end_reason"] == "ended" and info["words"] == 75, info
        found = files(d + "/rec")
        assert [k[0] for k in found] == ["a"] and set(*map(frozenset, found.values())) == {"vtt", "jsonl"}, found
        told = [line for line in daemon.stderr().splitlines() if "no-folder" in line]
        assert len(told) == 1 and "stream c is not recorded" in told[0], daemon.stderr()


def test_full_disk(exe):
    """a disk that is full costs the cues of that time, and nothing else"""
    with folder() as d:
        with Daemon(exe, "--record", d + "/rec", "--lanes", "caption") as daemon:
            push_past_a_full_disk(daemon, 30, 60, 60)
            info = daemon.info("a")
            assert info["words"] == 375, info
        (formats,) = files(d + "/rec").values()
        for form, cues in formats.items():
            got = [int(w[1:]) for w in said([cues])]
            assert got == sorted(got) and got[0] == 0 and got[-1] == 374, (form, got)
            assert len(got) < 375, form
        told = [line for line in daemon.stderr().splitlines() if "recorded" in line or "missing" in line]
        assert len(told) == 2, told
        assert "stream a is not recorded until this is well" in told[0] and "File too large" in told[0], told
        assert re.search(r"stream a has ended; \d+ cues and the words of 0 events are missing", told[1]), told


def test_slow_disk(exe):
    """words that come faster than the disk takes them: some are missing, which is told, and nobody waits"""
    with folder() as d:
        with Daemon(exe, f"a={wav(d + '/a.wav', 60)}", "--pace", "max", "--record", d + "/rec", "--lanes", "caption",
                    "--history", "16", env={"LVX_FAKE_FLOOD": "200"}) as daemon:
            assert daemon.wait_for("a", lambda i: i.get("end_reason"))["words"] == 750 * 200
        (formats,) = files(d + "/rec").values()
        for cues in formats.values():
            got = [int(w[1:]) for w in said([cues])]
            assert got == sorted(set(got)) and len(got) < 750 * 200
        told = [line for line in daemon.stderr().splitlines() if "the history is full" in line or "missing" in line]
        assert len(told) == 2 and "the words of 0 events" not in told[1], told


def test_full_tmpfs(exe):
    """the same on a file system that is really full, for three streams at once"""
    if subprocess.run(["unshare", "-rm", "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        print("# not tested: no mount name space can be made here")
        return
    with folder() as d:
        os.mkdir(d + "/rec")
        with open(d + "/tiny", "w", encoding="utf8") as f:
            f.write(f"#!/bin/sh\nexec unshare -rm sh -c 'mount -t tmpfs -o size=64k none {d}/rec && exec {exe} \"$@\"' sh \"$@\"\n")
        os.chmod(d + "/tiny", 0o755)
        for name in "abc":
            wav(f"{d}/{name}.wav", 150)
        with Daemon(d + "/tiny", *(f"{n}={d}/{n}.wav" for n in "abc"), "--pace", "max", "--record", d + "/rec",
                    "--record-formats", "srt,vtt,ttml,jsonl") as daemon:
            for name in "abc":
                assert daemon.wait_for(name, lambda i: i.get("end_reason"))["words"] == 750
            end = time.monotonic() + PATIENCE
            while daemon.stderr().count("are missing") < 3:
                assert time.monotonic() < end, daemon.stderr()
                time.sleep(0.05)
            found = files(f"/proc/{daemon.proc.pid}/root{d}/rec")  # each is whole
        assert len(found) >= 3, found.keys()
        for formats in found.values():
            for form, cues in formats.items():
                got = [int(w[1:]) for w in said([cues])]
                assert got and got == sorted(set(got)), (form, got)
        err = daemon.stderr()
        assert len(re.findall("is not recorded until this is well.*No space left on device", err)) == 3, err
        assert err.count("error") == 3 and "half a cue" not in err, err


if __name__ == "__main__":
    main([test_files, test_streams_of_one_name, test_live, test_events, test_events_missing, test_killed, test_settings, test_full_disk, test_slow_disk, test_full_tmpfs])
