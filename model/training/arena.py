# SPDX-License-Identifier: Apache-2.0
"""The samples that windows are cut from, on the device: sounds, recordings, and a ring of synthetic shards. What is
new is published as files (OUT/pub) to the processes that build windows."""
import glob
import os
import pickle
import threading
import time

import numpy as np
import torch
import torch.nn.functional as F

import speech
import texts

HOUR = 57_600_000                                        # samples
SPAN = 80_000                                            # the shortest sound, repeated where it is shorter


def level(x):
    """A sound as loud as the others, and long enough."""
    x = np.resize(x.astype(np.float32), max(len(x), SPAN))
    return (x * min(1640 / (np.sqrt((x ** 2).mean()) + 1e-3), 32000 / (np.abs(x).max() + 1))).astype(np.int16)


class Arena:
    def __init__(self, work, dev, sound_hours, recorded_hours, hours):
        self.work, self.hours = work, hours
        self.recorded = int(sound_hours * HOUR)
        self.ring = self.recorded + int(recorded_hours * HOUR)
        self.pcm = torch.zeros(self.ring + int(hours * HOUR), dtype=torch.int16, device=dev)
        self.live, self.at, self.count, self.heard = [], self.ring, 0, 0.0
        self.stream = torch.cuda.Stream() if dev == "cuda" else None
        self.lock = threading.Lock()                     # held while the device must be left alone
        os.makedirs(os.path.join(work, "pub"), exist_ok=True)

    def write(self, at, x):
        """Samples into the arena beside the training step, not in its way."""
        if self.stream is None:
            self.pcm[at:at + len(x)] = x
            return
        with self.lock, torch.cuda.stream(self.stream):
            self.pcm[at:at + len(x)].copy_(x.pin_memory(), non_blocking=True)
            self.stream.synchronize()

    def publish(self, kind, name, rows, drop=()):
        path = os.path.join(self.work, "pub", f"{self.count:06d}")
        pickle.dump((kind, name, rows, list(drop)), open(path + ".tmp", "wb"))
        os.rename(path + ".tmp", path + ".pkl")
        self.count += 1

    def poll(self):
        """Takes in what the makers have left; True when there was something."""
        files = sorted(glob.glob(os.path.join(self.work, "made", "*.pkl")), key=os.path.getmtime)[:8 if self.stream else 1]
        for f in files:
            meta = pickle.load(open(f, "rb"))
            x = torch.from_numpy(np.fromfile(f[:-4] + ".pcm", np.int16))
            if self.at + len(x) > len(self.pcm):
                self.at = self.ring
            # drop what stands there, and what comes next, so that windows on their way are done with it
            ahead = self.at + len(x) + int(min(20, self.hours / 4) * HOUR)
            drop = [s for s in self.live if s[0] < ahead and s[1] > self.at]
            self.live = [s for s in self.live if s not in drop]
            name = os.path.basename(f)[:-4]
            self.write(self.at, x)
            self.publish("synth", name, [(i, lang, text, self.at + off, n, e, v) for i, lang, text, off, n, e, v in meta],
                         [s[2] for s in drop])
            self.live.append((self.at, self.at + len(x), name))
            self.at += len(x)
            self.heard += len(x) / HOUR
            os.unlink(f[:-4] + ".pcm")
            os.unlink(f)
        return bool(files)

    def take_sounds(self, sounds):
        """sounds: [(samples, label)]; published as (offset, samples, label). What stands before them is silence."""
        at, rows = 1 << 16, []
        for x, label in sounds:
            x = torch.from_numpy(level(x))
            if at + len(x) <= self.recorded:
                self.write(at, x)
                rows.append((at, len(x), label))
                at += len(x)
        self.publish("sounds", "sounds", rows)
        return len(rows)

    def take_recordings(self):
        """Takes in what read_recordings() left, each recording at three speeds."""
        path, rows, at = os.path.join(self.work, "recorded.pkl"), [], self.recorded
        while not os.path.exists(path):
            time.sleep(0.5)
        pcm = torch.from_numpy(np.fromfile(os.path.join(self.work, "recorded.pcm"), np.int16))
        for text, off, n, ms, speaker, cased, lang in pickle.load(open(path, "rb")):
            x = pcm[off:off + n]
            for num, den in ((1, 1), (9, 10), (11, 10)):
                y = x if num == den else speed(x, num, den)
                if at + len(y) > self.ring:
                    break
                self.write(at, y)
                rows.append((text, at, len(y), [e * den // num for e in ms], hash((speaker, num)), cased, lang))
                at += len(y)
        self.publish("recorded", "recorded", rows)
        return len(rows), (at - self.recorded) / HOUR


def speed(x, num, den):
    """Played num/den times as fast."""
    n = -(-len(x) // (num * 100)) * num * 100
    m = n // num * den
    f = torch.fft.rfft(F.pad(x.float(), (0, n - len(x))))
    f = F.pad(f, (0, max(0, m // 2 + 1 - len(f))))[:m // 2 + 1]
    return (torch.fft.irfft(f, n=m) * (m / n)).clamp(-32767, 32767)[:len(x) * den // num].to(torch.int16)


def read_recordings(data, work, ends_file, voices):
    """A process of its own: decodes the recordings that align.py knew, and voices spoken beforehand ("extra" instead of
    whether they are cased) -> WORK/recorded.pcm, WORK/recorded.pkl, and for units.py WORK/recorded.where."""
    os.nice(2)
    torch.set_num_threads(1)
    ends = dict(line.rstrip("\n").split("\t")[:2] for line in open(ends_file))
    name = lambda path: os.path.relpath(path, os.path.join(data, "speech"))
    rec = [r for r in speech.recordings(data, "train") if name(r[0]) in ends]
    wav = speech.decode([r[0] for r in rec], os.path.join(work, "recordings"))
    rows, pcm, at, where, case = [], [], 0, {}, truecase(texts.sentences(data, "common-voice.en.txt.xz") + texts.sentences(data, "ljspeech.en.txt.xz"))

    def add(x, text, ms, speaker, cased, lang):
        nonlocal at
        if x is not None and len(ms) == len(text.split(" ")):
            rows.append((text, at, len(x), ms, speaker, cased, lang))
            pcm.append(x)
            at += len(x)
    for x, (path, lang, speaker, text, source) in zip(wav, rec):
        cased = source in ("kathleen", "ljspeech", "kerstin")
        where[name(path)] = (at, lang, speaker)
        add(x, text if cased else case(text, source == "an4"), [int(e) for e in ends[name(path)].split(",")], speaker, cased, lang)
    if voices:
        for x, said in speech.extra_voices(voices, os.path.join(work, "recordings")):
            for text, off, n, ms, voice in said:
                add(x[off:off + n], text, ms.tolist(), voice, "extra", "en")
    np.concatenate(pcm).tofile(os.path.join(work, "recorded.pcm"))
    pickle.dump(where, open(os.path.join(work, "recorded.where"), "wb"))
    pickle.dump(rows, open(os.path.join(work, "recorded.tmp"), "wb"))
    os.rename(os.path.join(work, "recorded.tmp"), os.path.join(work, "recorded.pkl"))


def truecase(sentences):
    """Upper-case transcripts -> usual case, from how the sentences write words that do not begin them."""
    count = {}
    for s in sentences:
        for w in s.split(" ")[1:]:
            w = w.strip(".,?!;:\"()")
            forms = count.setdefault(w.lower(), {})
            forms[w] = forms.get(w, 0) + 1
    best = {k: max(v, key=v.get) for k, v in count.items()}

    def fix(text, spelled):
        ws = [w.upper() if spelled and len(w) == 1 else best.get(w.lower(), w.lower()) for w in text.split(" ")]
        return " ".join([ws[0][:1].upper() + ws[0][1:]] + ws[1:])
    return fix
