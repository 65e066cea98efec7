# SPDX-License-Identifier: Apache-2.0
"""HLS in a folder, read by FFmpeg; what it does with other codecs, full disks and sources that come back.

The daemon runs over a model that says c0, c1, ... (t0, t1, ... as translation), one every 400 ms.
argv: EXE [NAME...]
"""
import asyncio
import glob
import os
import re
import resource
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "daemon"))
import harness
from harness import PATIENCE, Daemon, folder
from media import Popen, ffmpeg, free_port, hashes, probe, programme, wait, wait_log

SHIFT_S = 10  # the media's times are the stream's and these


def attributes(line):
    return {k: v.strip('"') for k, v in re.findall(r'([A-Z-]+)=("[^"]*"|[^,]*)', line.split(":", 1)[1])}


class Playlist:
    """A media playlist, as RFC 8216 has it."""

    def __init__(self, path):
        self.dir = os.path.dirname(path)
        with open(path, encoding="utf8") as f:
            lines = f.read().splitlines()
        assert lines[0] == "#EXTM3U", lines
        self.segments, self.ended, self.sequence, self.breaks, self.kind = [], False, 0, 0, None
        extra, init = {}, None
        for line in lines[1:]:
            tag, _, value = line.partition(":")
            if tag == "#EXT-X-TARGETDURATION":
                self.target = int(value)
            elif tag == "#EXT-X-MEDIA-SEQUENCE":
                self.sequence = int(value)
            elif tag == "#EXT-X-DISCONTINUITY-SEQUENCE":
                self.breaks = int(value)
            elif tag == "#EXT-X-PLAYLIST-TYPE":
                self.kind = value
            elif tag == "#EXT-X-ENDLIST":
                self.ended = True
            elif tag == "#EXT-X-MAP":
                init = attributes(line)["URI"]
            elif tag == "#EXT-X-DISCONTINUITY":
                extra["discontinuity"] = True
            elif tag == "#EXT-X-PROGRAM-DATE-TIME":
                extra["wall"] = value
            elif tag == "#EXT-X-GAP":
                extra["gap"] = True
            elif tag == "#EXTINF":
                extra["length"] = float(value.rstrip(","))
            elif line and line[0] != "#":
                self.segments.append(dict(extra, name=line, init=init))
                extra = {}
        for s in self.segments:
            assert round(s["length"]) <= self.target, (path, s, self.target)
            assert s.get("gap") or os.path.exists(os.path.join(self.dir, s["name"])), (path, s)

    def lengths(self):
        return [s["length"] for s in self.segments]

    def text(self, i):
        with open(os.path.join(self.dir, self.segments[i]["name"]), encoding="utf8") as f:
            return f.read()

    def cues(self):
        """All cues by id: (start, end, text, segments in which it is); those that are repeated are the same."""
        found = {}
        for i in range(len(self.segments)):
            text = self.text(i)
            head = "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:01.000,MPEGTS:90000\n\n"
            assert text.startswith(head) and text.endswith("\n\n"), text
            for block in text[len(head):].split("\n\n")[:-1]:
                number, times, *lines = block.split("\n")
                start, end = (sum(float(x) * 60 ** k for k, x in enumerate(reversed(t.split(":"))))
                              for t in times.split(" --> "))
                cue = found.setdefault(int(number), (start, end, " ".join(lines), []))
                assert cue[:3] == (start, end, " ".join(lines)), (cue, block)
                cue[3].append(i)
        return found


class Hls:
    """What lies in the folder of a stream."""

    def __init__(self, path):
        with open(path + "/master.m3u8", encoding="utf8") as f:
            self.master = f.read()
        lines = self.master.splitlines()
        assert lines[0] == "#EXTM3U"
        self.media = [attributes(x) for x in lines if x.startswith("#EXT-X-MEDIA:")]
        variants = [i for i, x in enumerate(lines) if x.startswith("#EXT-X-STREAM-INF:")]
        assert len(variants) == 1, self.master
        self.variant = attributes(lines[variants[0]])
        self.main = os.path.join(path, lines[variants[0] + 1])
        self.dir = os.path.dirname(self.main)
        self.path = path

    def playlist(self, name):
        return Playlist(f"{self.dir}/{name}.m3u8")

    def check_text(self, name, letter, n):
        """n words in their order, each cue in every segment of which it has a part, and in no other."""
        playlist = self.playlist(name)
        cues = playlist.cues()
        assert sorted(cues) == list(range(1, len(cues) + 1)), cues.keys()
        text = " ".join(cues[k][2] for k in sorted(cues)).split()
        assert text == [f"{letter}{i}" for i in range(len(text))] and len(text) >= n, text
        starts = [SHIFT_S]
        for s in playlist.segments:
            starts.append(starts[-1] + s["length"])
        for start, end, _, where in cues.values():
            want = [i for i in range(len(playlist.segments)) if start < starts[i + 1] - 1e-3 and end > starts[i] + 1e-3]
            assert where == want, (start, end, where, want)
        return cues


def convert(exe, source, *args, lanes="caption,translation"):
    """Runs a file through as fast as it can be; the log."""
    d = Daemon(exe, "--pace", "max", "--exit-when-done", "--translate-to", "de", *args, f"x={source}", lanes=lanes,
               ready=False)
    d.proc.wait(PATIENCE)
    rc, _, err = d.stop()
    assert rc == 0, err
    return err


def subtitles(master, index):
    """As the command line of FFmpeg reads them: SubRip."""
    out = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-strict", "experimental", "-i", master, "-map", f"0:s:{index}",
                          "-f", "srt", "-"], check=True, capture_output=True, text=True, timeout=PATIENCE).stdout
    return [(times, " ".join(lines)) for _, times, *lines in (b.split("\n") for b in out.strip().split("\n\n"))]


def test_finished(exe):
    """a finished playlist: pictures and sound untouched, cut at key frames; text as FFmpeg reads it"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", 22)
        log = convert(exe, source, "--hls", tmp + "/hls", "--hls-window", "0")
        assert "error" not in log and "ffmpeg" not in log, log
        h = Hls(tmp + "/hls/x")
        assert h.variant["CODECS"] == "avc1.64000d,mp4a.40.2" and h.variant["RESOLUTION"] == "320x180", h.master
        assert h.variant["FRAME-RATE"] == "29.970" and h.variant["AUDIO"] and h.variant["SUBTITLES"], h.master
        by_name = {m["NAME"]: m for m in h.media}
        assert set(by_name) == {"Programme (en)", "Captions (en)", "Translation (de)"}, h.master
        captions = by_name["Captions (en)"]
        assert captions["CHARACTERISTICS"] == "public.accessibility.transcribes-spoken-dialog", captions
        assert captions["LANGUAGE"] == "en" and captions["AUTOSELECT"] == "YES" and captions["DEFAULT"] == "NO", captions
        assert by_name["Translation (de)"]["LANGUAGE"] == "de" and by_name["Programme (en)"]["DEFAULT"] == "YES"

        lists = [h.playlist(n) for n in ("video", "audio", "caption-en", "translation-de")]
        for p in lists:
            assert p.ended and p.kind == "EVENT" and p.sequence == 0 and p.lengths() == lists[0].lengths(), vars(p)
        assert [round(x, 3) for x in lists[0].lengths()[:-1]] == [4.004] * 5, lists[0].lengths()
        size = 0
        for i, s in enumerate(lists[0].segments):
            path = f"{tmp}/s.mp4"
            with open(path, "wb") as f:
                for name in (s["init"], s["name"]):
                    with open(f"{h.dir}/{name}", "rb") as part:
                        f.write(part.read())
            flags = probe(path, "packet=pts_time,flags", "-select_streams", "v")
            start = SHIFT_S + sum(lists[0].lengths()[:i])
            assert flags[0].split(",")[1][0] == "K" and abs(float(flags[0].split(",")[0]) - start) < 0.001, flags[0]
            size = max(size, 8 * sum(os.path.getsize(f"{h.dir}/{n}-{i + 1}.m4s") for n in ("video", "audio")) / s["length"])
        assert size <= int(h.variant["BANDWIDTH"]) < 1.5 * size, (size, h.variant)
        assert hashes(h.path + "/master.m3u8") == hashes(source)
        n = [len(probe(x, "packet=size", "-select_streams", "a")) for x in (h.path + "/master.m3u8", source)]
        assert n[1] - 3 <= n[0] <= n[1], n  # but for what comes before the first picture

        h.check_text("caption-en", "c", 50)
        h.check_text("translation-de", "t", 50)
        for i, letter in enumerate("ct"):
            cues = subtitles(h.path + "/master.m3u8", i)
            words = " ".join(t for _, t in cues).split()
            assert words == [f"{letter}{k}" for k in range(len(words))] and len(words) >= 50, words
            assert cues[0][0].startswith("00:00:00,1"), cues[0]


def test_codecs(exe):
    """H.265 with Opus, sound alone; what HLS does not carry is said, and the rest goes on"""
    with folder() as tmp:
        def make(name, *args):
            ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=9", "-f", "lavfi", "-i", "sine=440:d=9", "-pix_fmt", "yuv420p",
                   *args, f"{tmp}/{name}")
            log = convert(exe, f"{tmp}/{name}", "--hls", f"{tmp}/{name}.hls", "--hls-window", "0")
            return f"{tmp}/{name}.hls/x", log

        path, log = make("a.mkv", "-c:v", "libx265", "-bf", "3", "-g", "50", "-x265-params", "log-level=error", "-c:a", "libopus")
        h = Hls(path)
        assert re.fullmatch(r"hvc1\.1\.6\.L\d+(\.[0-9A-F]+)+,opus", h.variant["CODECS"]), h.master
        assert sorted(set(probe(path + "/master.m3u8", "stream=codec_name,codec_tag_string"))) == ["hevc,hvc1", "opus,Opus"]
        assert hashes(path + "/master.m3u8") == hashes(tmp + "/a.mkv")
        h.check_text("caption-en", "c", 20)

        for name, args, codec in (("b.mp3", ["-vn"], "mp4a.40.34"), ("c.ts", ["-vn", "-c:a", "eac3"], "ec-3"),
                                  ("d.ts", ["-vn", "-c:a", "ac3"], "ac-3"), ("e.m4a", ["-vn", "-c:a", "aac"], "mp4a.40.2")):
            path, log = make(name, *args)
            h = Hls(path)
            assert h.variant["CODECS"] == codec and "RESOLUTION" not in h.variant and h.main.endswith("/audio.m3u8"), h.master
            assert sum(h.playlist("audio").lengths()) > 8.9
            n = [len(probe(x, "packet=size")) for x in (path + "/master.m3u8", f"{tmp}/{name}")]
            assert n[1] - 2 <= n[0] <= n[1], (name, n)
            h.check_text("caption-en", "c", 20)

        path, log = make("f.webm", "-c:v", "libvpx", "-c:a", "libopus")
        assert "hls: the pictures: HLS does not carry vp8; it carries H.264, H.265, AAC" in log, log
        h = Hls(path)
        assert h.variant["CODECS"] == "opus" and h.main.endswith("/audio.m3u8"), h.master
        h.check_text("caption-en", "c", 20)

        path, log = make("g.ts", "-c:v", "mpeg2video", "-c:a", "mp2")
        assert "HLS does not carry" in log and "no master playlist" in log, log
        assert not os.path.exists(path + "/master.m3u8")
        text, = glob.glob(path + "/*/caption-en.m3u8")
        words = " ".join(c[2] for _, c in sorted(Playlist(text).cues().items())).split()
        assert words[:20] == [f"c{i}" for i in range(20)], words


def test_window(exe):
    """playlists and folder stay bounded; what an earlier stream of that name has left goes, but not what is somebody's"""
    with folder() as tmp:
        old = tmp + "/hls/x/20200101T000000Z"
        os.makedirs(old)
        os.makedirs(tmp + "/hls/x/20200102T000000Z~2")
        for name in ("x/20200101T000000Z/video-1.m4s", "x/20200102T000000Z~2/a.vtt", "x/20200102T000000Z~2/mine.txt", "x/mine"):
            open(f"{tmp}/hls/{name}", "w").close()
        convert(exe, programme(tmp + "/in.ts", 100), "--hls", tmp + "/hls", "--hls-window", "12", "--hls-segment", "2")
        h = Hls(tmp + "/hls/x")
        for name in ("video", "audio", "caption-en", "translation-de"):
            p = h.playlist(name)
            assert p.ended and p.kind is None and 12 <= sum(p.lengths()) < 16, (name, p.lengths())
            assert p.sequence + len(p.segments) in (50, 51), vars(p)
            there = glob.glob(f"{h.dir}/{name}-[0-9]*")
            assert len(p.segments) < len(there) <= len(p.segments) + 8, there
        cues = h.playlist("caption-en").cues()
        ids = sorted(cues)
        assert ids == list(range(ids[0], ids[-1] + 1)) and cues[ids[-1]][2].split()[-1] in ("c248", "c249"), cues
        assert sorted(os.listdir(tmp + "/hls/x")) == ["20200102T000000Z~2", os.path.basename(h.dir), "master.m3u8", "mine"]
        assert os.listdir(tmp + "/hls/x/20200102T000000Z~2") == ["mine.txt"]


def test_full_disk(exe):
    """a disk without room: said, tried again, marked as a break; captions go on"""
    with folder() as tmp:
        disk = tmp + "/disk"
        os.mkdir(disk)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "none", disk], capture_output=True).returncode != 0:
            print("# no tmpfs may be mounted here: a limit of file sizes instead")
            return full_by_limit(exe, tmp)
        try:
            source = programme(tmp + "/in.ts", 60, "25", ("libx264", "-b:v", "300k"))
            with Daemon(exe, "--translate-to", "de", "--hls", disk, "--hls-window", "0", "--hls-segment", "1", f"x={source}",
                        lanes="caption,translation") as d:
                wait_log(d, "cannot be written: No space left on device")
                n = len(Playlist(glob.glob(disk + "/x/*/video.m3u8")[0]).segments)
                words = d.info("x")["words"]
                for path in glob.glob(disk + "/x/*/video-[12345].m4s"):
                    os.truncate(path, 0)
                wait_log(d, "hls: written again")
                wait(lambda: len(Playlist(glob.glob(disk + "/x/*/video.m3u8")[0]).segments) > n, d.stderr)
                info = d.info("x")
                assert info["words"] > words and info["state"] == "live" and info["gaps"] == 0, info
            for name in ("video", "audio", "caption-en"):
                p = Playlist(glob.glob(f"{disk}/x/*/{name}.m3u8")[0])
                assert [bool(s.get("discontinuity")) for s in p.segments[n - 1:]].count(True) >= 1, p.segments
        finally:
            subprocess.run(["umount", disk], check=True)


def full_by_limit(exe, tmp):
    source = programme(tmp + "/in.ts", 20)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100000, hard))
    try:
        log = convert(exe, source, "--hls", tmp + "/hls", "--hls-window", "0")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot be written: File too large" in log and "ended after 100 words" in log, log
    assert not glob.glob(tmp + "/hls/x/*/*.m3u8") and not glob.glob(tmp + "/hls/x/*/*.vtt")


def test_restart(exe):
    """a source that is lost and comes back: a discontinuity in all playlists, and times of day"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", 60)
        port = free_port(socket.SOCK_DGRAM)

        def send():
            return Popen("ffmpeg", "-nostdin", "-v", "error", "-re", "-i", source, "-c", "copy", "-f", "mpegts",
                         f"srt://127.0.0.1:{port}?latency=50000")

        with Daemon(exe, "--hls", tmp + "/hls", "--hls-segment", "1", "--hls-window", "600", "--stall", "1",
                    f"x=srt://127.0.0.1:{port}?mode=listener&latency=50", lanes="caption") as d:
            def segments():
                path = tmp + "/hls/x/master.m3u8"
                return len(Hls(tmp + "/hls/x").playlist("video").segments) if os.path.exists(path) else 0

            with send():
                wait(lambda: segments() >= 3, d.stderr)
            n = segments()
            d.wait_for("x", lambda i: i["state"] != "live")
            time.sleep(2)  # of the stream: what is shorter than half a second is no break
            with send():
                wait(lambda: segments() >= n + 6, d.stderr)
        h = Hls(tmp + "/hls/x")
        video = h.playlist("video")
        assert video.ended and [bool(s.get("discontinuity")) for s in video.segments].count(True) == 1, video.segments
        assert not video.segments[0].get("discontinuity")
        for name in ("audio", "caption-en"):
            p = h.playlist(name)
            same = ("discontinuity", "wall", "length")
            assert [[s.get(k) for k in same] for s in p.segments] == [[s.get(k) for k in same] for s in video.segments]
        walls = [s["wall"] for s in video.segments]
        assert walls == sorted(walls) and all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", w) for w in walls), walls
        assert {s["init"] for s in video.segments} == {"video-init-1.mp4"}
        h.playlist("caption-en").cues()


def test_languages(exe):
    """further languages: each a rendition of its own; what has no row is said"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", 20)
        convert(exe, source, "--hls", tmp + "/hls", "--hls-window", "0", "--hls-languages", "fr,de")
        h = Hls(tmp + "/hls/x")
        names = sorted(m["NAME"] for m in h.media)
        assert names == ["Captions (en)", "Programme (en)", "Translation (de)", "Translation (fr)"], h.master
        h.check_text("translation-de", "t", 45)
        cues = h.playlist("translation-fr").cues()
        words = " ".join(cues[k][2] for k in sorted(cues)).split()
        first = int(words[0][2:])  # its row begins with what is heard from then on
        assert words == [f"fr{i}" for i in range(first, 50)] and first < 10, words
        log = convert(exe, source, "--hls", tmp + "/hls2", "--hls-window", "0", "--hls-languages", "fr", "--viewer-rows", "0")
        assert "there will be no translation to fr: viewers may have no rows" in log, log
        Hls(tmp + "/hls2/x").check_text("translation-de", "t", 45)
        d = Daemon(exe, "--hls", tmp + "/hls", "--hls-languages", "de,tlh", "x=/dev/null", ready=False)
        d.proc.wait(PATIENCE)
        rc, _, err = d.stop()
        assert rc == 2 and "hls-languages: the model does not translate to 'tlh', but to de, fr" in err, (rc, err)


def test_correction(exe):
    """hls-hold: a line is corrected before its segment is published"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", 25)
        with Daemon(exe, "--hls", tmp + "/hls", "--hls-window", "0", "--hls-segment", "1", "--hls-hold", "6", f"x={source}",
                    lanes="caption") as d:
            info = d.wait_for("x", lambda i: i["words"] >= 9)
            assert info["hold_us"] == 6000000, info

            async def line():
                async with d.connect() as ws:
                    await ws.ask(type="subscribe", stream="x", **{"from": "start"})
                    events = []
                    while len(events) < 8:
                        e = await ws.get()
                        events += [e] if e["type"] == "text" else []
                    return events
            events = asyncio.run(line())
            assert not os.path.exists(tmp + "/hls/x/master.m3u8")
            status, _ = d.http("POST", "/api/streams/x/corrections", {
                "epoch": info["epoch"], "from_seq": events[0]["seq"], "to_seq": events[7]["seq"], "text": "Good evening, Ghent."})
            assert status == 201
            d.wait_for("x", lambda i: i["state"] != "live")
        cues = Hls(tmp + "/hls/x").playlist("caption-en").cues()
        assert cues[1][2] == "Good evening, Ghent." and cues[2][2].startswith("c8 c9"), cues


def test_refused(exe):
    """settings that are not allowed, and a folder that cannot be made"""
    for args, want in ((["--hls-segment", "0"], "allowed are 1 to 30"), (["--hls-window", "-3"], "allowed are 0 to 86400")):
        d = Daemon(exe, "--hls", "/tmp/x", *args, "x=/dev/null", ready=False)
        d.proc.wait(PATIENCE)
        rc, _, err = d.stop()
        assert rc == 2 and want in err, (args, rc, err)
    with folder() as tmp:
        log = convert(exe, programme(tmp + "/in.ts", 5), "--hls", tmp + "/no/such", lanes="caption")
        assert f"hls: {tmp}/no/such: cannot be made: No such file or directory" in log and "ended after" in log, log


harness.main([test_finished, test_codecs, test_window, test_full_disk, test_restart, test_languages, test_correction,
              test_refused])
