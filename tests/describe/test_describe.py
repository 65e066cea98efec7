# SPDX-License-Identifier: Apache-2.0
"""Descriptions that are heard: the second sound track of what leaves, read back with FFmpeg.

The daemon runs over a model that says what a script tells it; the voice is a tone of 3 kHz, as long
as its text, so that it can be told from the programme, a tone of 7 kHz, which no measure takes for speech.
argv: EXE [NAME...]
"""
import asyncio
import ctypes
import ctypes.util
import json
import os
import re
import struct
import subprocess
import sys

import numpy as np

for other in ("daemon", "outputs"):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", other))
import harness
import ts_read
from harness import PATIENCE, Daemon, folder

RATE = 48000
HZ = 7000
LANES = "caption,description"
VOICE = """import math, struct, sys, wave
n = len(sys.stdin.read().strip()) * 24000 * 60 // 1000
w = wave.open(sys.stdout.buffer, "wb")
w.setnchannels(1), w.setsampwidth(2), w.setframerate(24000)
w.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(i * math.tau / 8))) for i in range(n)))
"""
SCRIPT = [(500, 1000, "caption", "Good"), (1000, 1500, "caption", "evening."),
          (2000, 2600, "description", "A man walks along the beach."),
          (11000, 14000, "caption", "And this goes on and on."),
          (12000, 13000, "description", "A dog runs behind him, with two cats behind it."),
          (16100, 24000, "caption", "So much is said that there is no room at all."),
          (18000, 19000, "description", "A bird sings in the tree."),
          (24200, 30000, "caption", "Not even when one waits for it, as nobody does.")]


def ffmpeg(*args, **kwargs):
    return subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *args], check=True, timeout=PATIENCE, **kwargs)


def programme(path, seconds=34, audio=("aac",)):
    """audio: None, or a codec and its options."""
    sound = ("-f", "lavfi", "-i", f"sine={HZ}:d={seconds}:r=48000") if audio else ()
    coded = ("-c:a", *audio, "-ac", "2", "-metadata:s:a:0", "language=deu") if audio else ()
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=320x180:r=10:d={seconds}", *sound, "-c:v", "libx264", "-preset", "veryfast",
           "-pix_fmt", "yuv420p", "-g", "10", *coded, path)
    return path


def write_script(path, lines=SCRIPT):
    """Captions come word by word, descriptions as a whole, as soon as they are over."""
    out = []
    for start, end, lane, text in lines:
        words = text.split() if lane == "caption" else [text]
        step = (end - start) / len(words)
        out += [(round(start + step * (i + 1)), round(start + step * i), lane, w) for i, w in enumerate(words)]
    with open(path, "w") as f:
        for end, start, lane, text in sorted(out):
            f.write(f"{end} {start} {end} {lane} {text}\n")
    return path


def write_voice(tmp):
    with open(tmp + "/voice.py", "w") as f:
        f.write(VOICE)
    return f"/usr/bin/python3 {tmp}/voice.py"


def run(exe, tmp, source, *args, lines=SCRIPT, pace="max"):
    """The log, and what it says was spoken: (start_s, end_s, seen_s, text)."""
    d = Daemon(exe, "--pace", pace, "--exit-when-done", "--describe", *args, f"x={source}", lanes="caption", ready=False,
               env={"LVX_FAKE_SCRIPT": write_script(tmp + "/script", lines), "LVX_FAKE_SEES": "1"})
    d.proc.wait(PATIENCE)
    rc, _, err = d.stop()
    assert rc == 0, err
    said = [(float(a), float(b), float(c), text) for a, b, c, text in
            re.findall(r"describe: ([\d.]+) to ([\d.]+) s, seen at ([\d.]+) s, .*? LUFS: (.*)", err)]
    return err, said


def pcm(path, track):
    """Of one sound track: mono, from time 0 of the stream's timeline on, as the pictures begin there."""
    video = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "stream=start_time", "-select_streams", "v:0", "-of",
                            "csv=p=0", path], check=True, capture_output=True, text=True).stdout.split()[0]
    frames = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "frame=pts_time,nb_samples", "-read_intervals", "%+#20",
                             "-select_streams", f"a:{track}", "-of", "csv=p=0", path], check=True, capture_output=True,
                            text=True).stdout.split()
    out = ffmpeg("-i", path, "-map", f"0:a:{track}", "-af", "pan=mono|c0=c0", "-ar", str(RATE), "-f", "f32le", "-", capture_output=True).stdout
    x = np.frombuffer(out, np.float32)
    # Not from the first: what an encoder says before time 0 MP4 has at its own beginning.
    times = [frame.split(",")[:2] for frame in frames]
    known = next(i for i, (time, _) in enumerate(times) if i > 0 and time != "N/A")
    x = x[sum(int(n) for _, n in times[:known]):]
    lead = round((float(times[known][0]) - float(video)) * RATE)
    return np.concatenate([np.zeros(lead, np.float32), x]) if lead > 0 else x[-lead:]


def level(x, hz, start, end):
    """Amplitude of a tone in [start, end) seconds."""
    part = x[int(start * RATE):int(end * RATE)].astype(np.float64)
    t = np.arange(len(part)) / RATE
    return 2 * abs(np.mean(part * np.exp(-2j * np.pi * hz * t)))


def db(a, b):
    return 20 * np.log10(max(a, 1e-9) / max(b, 1e-9))


def LANGUAGE(data):
    return (0x0a, data)


def SUPPLEMENTARY(data):
    return (0x7f, b"\x06" + data)


def streams(path):
    out = subprocess.run(["ffprobe", "-v", "error", "-show_entries",
                          "stream=index,id,codec_name,codec_type,channels:stream_tags=language:"
                          "stream_disposition=visual_impaired,descriptions,dependent",
                          "-of", "compact=p=0:nk=0", path], check=True, capture_output=True, text=True).stdout
    found = [dict(kv.split("=", 1) for kv in line.split("|")) for line in out.splitlines() if "codec_type=audio" in line]
    return list({s["index"]: s for s in found}.values())  # those of a programme stand there twice


def check_mix(main, mix, said, start, end, duck=12):
    """The voice is where it was said to be, the programme is under it, and untouched elsewhere."""
    loud = level(main, HZ, start, end)
    edges = [start] + [x for a, b, _, _ in said for x in (a - 0.4, b + 0.4)] + [end]
    for a, b in zip(edges[::2], edges[1::2]):
        if b - a > 0.2:
            assert abs(db(level(mix, HZ, a, b), loud)) < 0.5, (a, b, db(level(mix, HZ, a, b), loud))
            assert db(level(mix, 3000, a, b), loud) < -50, (a, b)
    for a, b, _, text in said:
        assert abs(db(level(mix, HZ, a + 0.02, b - 0.02), loud) + duck) < 0.7, (text, db(level(mix, HZ, a, b), loud))
        voice = level(mix, 3000, a + 0.05, b - 0.05)
        # Its edges, to 20 ms.
        assert level(mix, 3000, a - 0.04, a - 0.01) < 0.1 * voice < level(mix, 3000, a + 0.02, a + 0.05), text
        assert level(mix, 3000, b + 0.01, b + 0.04) < 0.1 * voice < level(mix, 3000, b - 0.05, b - 0.02), text
    # No click: the mix has nothing that jumps more than its tones do.
    assert np.max(np.abs(np.diff(mix[int(start * RATE):int(end * RATE)]))) < 0.35


def test_track(exe):
    """TS and MP4: a second sound PID for the visually impaired, with the voice in the gaps; FLV keeps the programme's own"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts")
        outs = [f"{tmp}/o.{kind}" for kind in ("ts", "mp4", "flv")]
        log, said = run(exe, tmp, source, *(x for o in outs for x in ("--out", o)), "--describe-voice", write_voice(tmp))
        assert [text for *_, text in said] == ["A man walks along the beach.", "A dog runs behind him."], log
        assert re.search(r"not said \(no gap\), seen at 18.000 s: A bird sings", log), log
        start, end, seen, _ = said[1]
        assert 14.3 <= start and end < 15.8, said
        start, end, seen, _ = said[0]
        assert 2.0 <= start < 2.1 and abs(end - start - 1.68) < 0.05, said
        for out in outs[:2]:
            main, described = streams(out)
            assert described["disposition:visual_impaired"] == "1" and main["disposition:visual_impaired"] == "0", out
            assert main["tag:language"] in ("deu", "ger") and described["tag:language"] == "eng", (main, described)
            assert main["codec_name"] == described["codec_name"] == "aac"
            assert out.endswith(".mp4") or main["id"] != described["id"]
        check_mix(pcm(outs[0], 0), pcm(outs[0], 1), said, 0.5, 33)
        data = open(outs[0], "rb").read()
        for table in ts_read.pmts(data):
            assert [d for _, d in table.values()] == [[], [LANGUAGE(b"deu\0")], [LANGUAGE(b"eng\3"), SUPPLEMENTARY(b"\x87eng")]], table
        assert described["disposition:dependent"] == "0" and described["disposition:descriptions"] == "1", described
        assert all(private is None for _, private, _ in ts_read.pes(data, 0x102))
        assert len(streams(outs[2])) == 1 and streams(outs[2])[0]["disposition:visual_impaired"] == "0"
        assert not os.path.exists(tmp + "/o_2.flv")  # it was not begun anew


def test_only_sound(exe):
    """mix=: where there is one track of sound, it is the mix: FLV, TS and MP4; the others are as they were"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", audio=("libmp3lame",))
        kinds = ("flv", "ts", "mp4")
        outs = [x for kind in kinds for x in ("--out", f"mix={tmp}/m.{kind}")]
        log, said = run(exe, tmp, source, *outs, "--out", tmp + "/o.flv", "--describe-voice", write_voice(tmp))
        assert len(said) == 2, log
        main = pcm(source, 0)
        for kind in kinds:
            out = f"{tmp}/m.{kind}"
            assert [s["codec_name"] for s in streams(out)] == ["aac"], (out, streams(out))
            check_mix(main, pcm(out, 0), said, 0.5, 33)
        assert [s["disposition:visual_impaired"] for s in streams(tmp + "/m.ts")] == ["1"]
        assert [s["codec_name"] for s in streams(tmp + "/o.flv")] == ["mp3"]
        assert level(pcm(tmp + "/o.flv", 0), 3000, said[0][0], said[0][1]) < 0.001


def test_receiver_mix(exe):
    """voice=: the programme, and the voice alone for receivers that mix, which are told what it is and how to duck"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts")
        log, said = run(exe, tmp, source, "--out", f"voice={tmp}/o.ts", "--describe-voice", write_voice(tmp))
        assert len(said) == 2, log
        main, voice = streams(tmp + "/o.ts")
        assert [voice[k] for k in ("codec_name", "channels", "tag:language")] == ["aac", "1", "eng"], voice
        # FFmpeg's `dependent` is mix_type 0 of the supplementary_audio_descriptor.
        for key in ("visual_impaired", "descriptions", "dependent"):
            assert voice["disposition:" + key] == "1" and main["disposition:" + key] == "0", (key, main, voice)
        data = open(tmp + "/o.ts", "rb").read()
        tables = ts_read.pmts(data)
        assert len(tables) > 100
        for table in tables:
            assert [d for _, d in table.values()] == [[], [LANGUAGE(b"deu\0")], [LANGUAGE(b"eng\3"), SUPPLEMENTARY(b"\x07eng")]], table
        # The voice alone, from beginning to end.
        x, y = pcm(tmp + "/o.ts", 0), pcm(tmp + "/o.ts", 1)
        assert len(y) > 33.5 * RATE, len(y) / RATE
        assert level(x, HZ, 0.5, 33) > 0.05 and level(y, HZ, 0.5, 33) < 1e-5
        edges = [0.1] + [t for a, b, *_ in said for t in (a - 0.03, b + 0.03)] + [33]
        for a, b in zip(edges[::2], edges[1::2]):
            assert np.max(np.abs(y[int(a * RATE):int(b * RATE)])) < 1e-3, (a, b)
        for a, b, *_ in said:
            assert level(y, 3000, a + 0.05, b - 0.05) > 0.05, (a, b)
        # Each PES packet says how far the programme is to be lower: 40 times 0.3 dB are 12.
        video = next(ts_read.pes(data, 0x100))[0]
        fades = []
        for pts, private, _ in ts_read.pes(data, 0x102):
            assert private and private[:7] == b"\xf8DTGAD1" and private[8:] == b"\0" + 7 * b"\xff", private
            fades.append((pts - video, private[7]))
        assert len(fades) > 500 and max(y[0] - x[0] for x, y in zip(fades, fades[1:])) < 0.7
        for t, fade in fades:
            near = [max(a - t, t - b, 0) for a, b, *_ in said]
            assert min(near) > 0.05 or fade >= 36, (t, fade)
            assert min(near) < 0.3 or fade == 0, (t, fade)
        assert max(fade for _, fade in fades) == 40


def test_silent_programme(exe):
    """pictures without sound: the description's voice over silence, in TS, MP4, FLV, HLS and over WebSocket"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", audio=None)
        log, said = run(exe, tmp, source, "--out", tmp + "/o.ts", "--out", tmp + "/o.flv", "--out", f"mix={tmp}/m.flv",
                        "--out", f"voice={tmp}/v.ts", "--hls", tmp, "--hls-window", "0", "--describe-voice", write_voice(tmp))
        assert [text for *_, text in said] == ["A man walks along the beach.", "A dog runs behind him."], log
        master = open(tmp + "/x/master.m3u8").read()
        media = [line for line in master.splitlines() if line.startswith("#EXT-X-MEDIA:TYPE=AUDIO")]
        assert len(media) == 1 and "describes-video" in media[0] and 'AUDIO="sound"' in master, master
        hls = re.search(r'URI="([^"]+)"', media[0])[1]
        out = ffmpeg("-i", f"{tmp}/x/{hls}", "-af", "pan=mono|c0=c0", "-ar", str(RATE), "-f", "f32le", "-", capture_output=True)
        sounds = [pcm(f"{tmp}/{name}", 0) for name in ("o.ts", "m.flv", "v.ts")] + [np.frombuffer(out.stdout, np.float32)]
        assert streams(tmp + "/o.flv") == []
        for x in sounds:
            assert abs(len(x) / RATE - 34) < 0.3, len(x) / RATE
            for a, b, *_ in said:
                assert level(x, 3000, a + 0.05, b - 0.05) > 0.03, (a, b)
                assert np.max(np.abs(x[int((b + 0.1) * RATE):int((b + 1) * RATE)])) < 1e-3
                assert np.max(np.abs(x[int((a - 1) * RATE):int((a - 0.1) * RATE)])) < 1e-3
        assert [s["disposition:dependent"] for s in streams(tmp + "/v.ts")] == ["1"]

        # In real time, to a viewer.
        env = {"LVX_FAKE_SCRIPT": write_script(tmp + "/script", SCRIPT[:3]), "LVX_FAKE_SEES": "1"}
        live = programme(tmp + "/live.ts", seconds=16, audio=None)
        with Daemon(exe, "--describe", "--describe-voice", write_voice(tmp), f"x={live}", lanes=LANES, env=env) as d:
            _, got = asyncio.run(listen(d, "mix"))
            said = re.findall(r"describe: ([\d.]+) to ([\d.]+) s, seen", d.stderr())
        a, b = map(float, said[0])
        x = got.pcm(17)
        assert level(x, 3000, a + 0.05, b - 0.05) > 0.03 and np.max(np.abs(x[int((b + 0.1) * RATE):int(15 * RATE)])) < 1e-3


def test_opus_source(exe):
    """sound of another kind: Opus in, as it is on the first track, AAC on the second; duck and level as set"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", audio=("libopus",))
        log, said = run(exe, tmp, source, "--out", tmp + "/o.ts", "--describe-voice", write_voice(tmp), "--describe-duck", "20",
                        "--describe-level", "-18", "--describe-within", "20", lines=SCRIPT[:5])
        assert [s["codec_name"] for s in streams(tmp + "/o.ts")] == ["opus", "aac"]
        assert len(said) == 2 and said[1][0] > 14.3, said
        assert log.count("-18.0 LUFS") == 2, log
        mix = pcm(tmp + "/o.ts", 1)
        check_mix(pcm(tmp + "/o.ts", 0), mix, said, 0.5, 33, duck=20)
        # R128 of a tone of 3 kHz in two loudspeakers: about 3 dB over that of its RMS, by K-weighting.
        a, b, *_ = said[0]
        with open(tmp + "/v.f32", "wb") as f:
            f.write(mix[int(a * RATE):int(b * RATE)].tobytes())
        out = subprocess.run(["ffmpeg", "-nostdin", "-f", "f32le", "-ar", str(RATE), "-ac", "1", "-i", tmp + "/v.f32", "-af",
                              "pan=stereo|c0=c0|c1=c0,ebur128", "-f", "null", "-"], capture_output=True, text=True).stderr
        lufs = float(re.findall(r"I:\s+(-[\d.]+) LUFS", out)[-1])
        assert abs(lufs + 18) < 1, lufs


def test_hls(exe):
    """HLS: a rendition that describes the pictures, from the first segment to the last"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts")
        log, said = run(exe, tmp, source, "--hls", tmp, "--hls-window", "0", "--describe-voice", write_voice(tmp))
        assert len(said) == 2, log
        master = open(tmp + "/x/master.m3u8").read()
        media = [line for line in master.splitlines() if line.startswith("#EXT-X-MEDIA:TYPE=AUDIO")]
        describes = [line for line in media if 'CHARACTERISTICS="public.accessibility.describes-video"' in line]
        assert len(media) == 2 and len(describes) == 1 and 'LANGUAGE="en"' in describes[0], master
        lists = [open(f"{tmp}/x/{re.search(r'URI=.([^.]+.m3u8)', line)[1]}").read() for line in media]
        assert lists[0].count("#EXTINF") == lists[1].count("#EXTINF") > 4, lists
        uri = re.search(r'URI="([^"]+)"', describes[0])[1]
        out = ffmpeg("-i", f"{tmp}/x/{uri}", "-af", "pan=mono|c0=c0", "-ar", str(RATE), "-f", "f32le", "-", capture_output=True)
        x = np.frombuffer(out.stdout, np.float32)
        assert len(x) > 33.5 * RATE, len(x) / RATE
        voiced = [i / 50 for i in range(int(50 * len(x) / RATE) - 1) if level(x, 3000, i / 50, i / 50 + 0.02) > 0.02]
        assert abs(len(voiced) / 50 - sum(b - a for a, b, *_ in said)) < 0.2, (voiced, said)
        assert abs(voiced[0] - said[0][0]) < 0.1, (voiced[0], said)


def test_live(exe):
    """in real time: the output waits for the mix; nothing is lost, the voice is where it was said to be"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", seconds=16)
        log, said = run(exe, tmp, source, "--out", tmp + "/o.ts", "--describe-voice", write_voice(tmp), lines=SCRIPT[:3],
                        pace="clock")
        assert len(said) == 1 and 2 <= said[0][0] <= 12, log
        check_mix(pcm(tmp + "/o.ts", 0), pcm(tmp + "/o.ts", 1), said, 0.5, 15)


class Opus:
    """The messages of one kind of sound, decoded by libopus: samples by their place on the timeline."""

    def __init__(self):
        self.lib = ctypes.CDLL(ctypes.util.find_library("opus"))
        self.lib.opus_decoder_create.restype = ctypes.c_void_p
        self.decoder = None
        self.pieces, self.heads = [], []

    def put(self, message):
        kind, begins, zero, duration, epoch, pts = struct.unpack("<BBHIqq", message[:24])
        assert zero == 0 and begins in (0, 1) and 0 < duration <= 60001, (zero, begins, duration)
        self.heads.append((kind, begins, epoch, pts))
        if begins:
            self.decoder = ctypes.c_void_p(self.lib.opus_decoder_create(RATE, 2, None))
        out = (ctypes.c_float * 2 * 5760)()
        n = self.lib.opus_decode_float(self.decoder, message[24:], len(message) - 24, out, 5760, 0)
        assert n == 2880, n
        self.pieces.append((pts, np.ctypeslib.as_array(out)[:n, 0].copy()))

    def pcm(self, seconds):
        x = np.zeros(int(seconds * RATE), np.float32)
        for pts, piece in self.pieces:
            at = round(pts * RATE / 1e6)
            piece = piece[max(0, -at):]
            at = max(0, at)
            x[at:at + len(piece)] = piece[:len(x) - at]
        return x


async def listen(d, sound):
    """What a viewer of stream x hears to its end: its epoch, and the sound."""
    got, texts = Opus(), []
    async with d.connect() as ws:
        answer = await ws.ask(type="subscribe", stream="x", sound=sound)
        assert answer["type"] == "subscribed" and answer["sound"] == sound, answer
        while not texts or texts[-1]["type"] != "end":
            message = await asyncio.wait_for(ws.ws.recv(), PATIENCE)
            if isinstance(message, bytes):
                got.put(message)
            else:
                texts.append(json.loads(message))
        try:  # what was mixed at the very end
            while True:
                got.put(await asyncio.wait_for(ws.ws.recv(), 1))
        except asyncio.TimeoutError:
            pass
    return answer["epoch"], got


def test_viewers(exe):
    """Opus over WebSocket: the mix, and the voice alone, each on the timeline of the captions"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", seconds=16)
        env = {"LVX_FAKE_SCRIPT": write_script(tmp + "/script", SCRIPT[:3])}
        with Daemon(exe, "--describe", "--describe-voice", write_voice(tmp), f"x={source}", lanes=LANES, env=env) as d:
            async def refused():
                async with d.connect() as ws:
                    assert (await ws.ask(type="subscribe", stream="x", sound="loud"))["code"] == "invalid"
                    other = await ws.ask(type="push", stream="y", format="s16le", sample_rate=16000, channels=1, lanes=["caption"])
                    assert other["type"] == "pushing"
                    error = await ws.ask(type="subscribe", stream="y", sound="mix")
                    assert error["code"] == "invalid" and "is not described" in error["message"], error
                    assert (await ws.ask(type="subscribe", stream="y"))["sound"] is None

            async def all_of_them():
                return (await asyncio.gather(listen(d, "mix"), listen(d, "voice"), refused()))[:2]
            (epoch, mix), (_, voice) = asyncio.run(all_of_them())
            said = [(float(a), float(b), 0, "") for a, b in
                    re.findall(r"describe: ([\d.]+) to ([\d.]+) s, seen", d.stderr())]
        assert len(said) == 1, said
        a, b, *_ = said[0]
        assert {h[0] for h in mix.heads} == {1} and {h[0] for h in voice.heads} == {2}
        assert {h[2] for h in mix.heads + voice.heads} == {epoch}
        assert [h[1] for h in mix.heads] == [1] + [0] * (len(mix.heads) - 1) and voice.heads[0][1] == 1
        for one in (mix, voice):
            assert all(abs(y[3] - x[3] - 60000) <= 1 for x, y in zip(one.heads, one.heads[1:]))
        # Who comes in the middle hears from there on; the voice is sent only while it speaks.
        begin = mix.heads[0][3] / 1e6
        assert len(voice.heads) * 0.06 < b - a + 0.3, (len(voice.heads), a, b)
        x, v = mix.pcm(17), voice.pcm(17)
        check_mix(pcm(source, 0), x, said, max(begin + 0.2, 0.2), 15)
        assert level(v, 3000, a + 0.05, b - 0.05) > 0.05 and level(v, HZ, a + 0.05, b - 0.05) < 0.001
        assert abs(db(level(v, 3000, a + 0.05, b - 0.05), level(x, 3000, a + 0.05, b - 0.05))) < 1


def test_bad_voices(exe):
    """voices that crash, hang, flood and write rubbish: it is told, and the programme goes on"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", seconds=20)
        lines = SCRIPT[:3] + [(7000, 8000, "description", "The sun sets over the sea.")]
        for voice, why in (("kill -SEGV $$", "was ended by signal 11"), ("cat; echo", "is no WAV"),
                           ("cat >/dev/null; echo no voice >&2; exit 4", "ended with 4: no voice"),
                           ("/nonexistent", "ended with 127"), ("exec cat /dev/zero", "writes too much"),
                           ("sleep 900", "takes too long")):
            out = f"{tmp}/{abs(hash(voice))}.ts"
            log, said = run(exe, tmp, source, "--out", out, "--describe-voice", voice, lines=lines)
            assert why in log and said == [], (voice, log)
            assert re.search(r"describe: the voice '.*'", log), log
            main, mix = pcm(out, 0), pcm(out, 1)
            assert abs(db(level(mix, HZ, 0.5, 19), level(main, HZ, 0.5, 19))) < 0.5
            assert len(main) > 19.9 * RATE and len(mix) > 19.9 * RATE, (len(main), len(mix))


def test_nothing_to_say(exe):
    """no description, no picture, or no sound worth it: the second track is the programme"""
    with folder() as tmp:
        log, said = run(exe, tmp, programme(tmp + "/in.ts", seconds=12), "--out", tmp + "/o.ts", lines=SCRIPT[:2])
        assert said == [] and len(streams(tmp + "/o.ts")) == 2
        assert abs(db(level(pcm(tmp + "/o.ts", 1), HZ, 0.5, 11), level(pcm(tmp + "/o.ts", 0), HZ, 0.5, 11))) < 0.5
        ffmpeg("-f", "lavfi", "-i", f"sine={HZ}:d=6", "-c:a", "aac", tmp + "/a.ts")
        log, said = run(exe, tmp, tmp + "/a.ts", lines=SCRIPT[:3], *("--describe-voice", write_voice(tmp)))
        assert len(said) == 1, log


def test_stops_at_once(exe):
    """a voice that hangs does not hold up the end of the daemon"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", seconds=30)
        with Daemon(exe, "--describe", "--describe-voice", f"touch {tmp}/began; sleep 900", "--out", tmp + "/o.ts", f"x={source}",
                    lanes=LANES, env={"LVX_FAKE_SCRIPT": write_script(tmp + "/script")}) as d:
            async def began():
                async with d.connect() as ws:
                    await ws.ask(type="subscribe", stream="x", **{"from": "start"})
                    while True:
                        e = await ws.get()
                        if e["type"] == "text" and e["lane"] == "description":
                            return
            asyncio.run(began())
        assert d.took < 8, d.took


def test_refused_settings(exe):
    """what is not allowed is refused at the start, with what is"""
    for args, want in ((["--describe-voice", "spd-say -w"], "spd-say plays to the loudspeakers"),
                       (["--describe-voice", ""], "a command is missing"), (["--describe-delay", "1000"], "allowed are 4000 to"),
                       (["--describe-level", "loud"], "allowed are -40 to -10"),
                       (["--out", "a.ts", "--out-delay", "2000"], "with describe it must be 8700 or more"),
                       (["--out", "voice=rtmp://x/y"], "only MPEG-TS can say what it is"), (["--out", "mix=x.wav"], "is no output"),
                       (["--out", "voice=a.mp4"], "srt://, udp:// and .ts are allowed")):
        p = subprocess.run([exe, "--model", "/tmp", "--port", "0", "--describe", *args, "x=/nonexistent"], capture_output=True,
                           text=True, timeout=PATIENCE)
        assert p.returncode == 2 and want in p.stderr, (args, p.returncode, p.stderr)
    p = subprocess.run([exe, "--model", "/tmp", "--port", "0", "--out", "mix=a.flv", "x=/nonexistent"], capture_output=True,
                       text=True, timeout=PATIENCE)
    assert p.returncode == 2 and "mix=: the stream is not described (describe)" in p.stderr, p.stderr


harness.main([test_track, test_only_sound, test_receiver_mix, test_silent_programme, test_opus_source, test_hls, test_live,
              test_viewers, test_bad_voices, test_nothing_to_say, test_stops_at_once, test_refused_settings])
