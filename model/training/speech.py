# SPDX-License-Identifier: Apache-2.0
"""Speech for training. Makers (processes of this file) speak sentences without end and leave shards
`WORK/made/NAME.{pcm,pkl}`; decode() turns recordings into 16 kHz samples."""
import os
import pickle
import random
import subprocess
import sys
import time
import wave
import zlib

import numpy as np

import lexicon
import texts
import units

GERMAN, CARRIERS = 0.36, 0.14          # shares of the jobs; one sentence in three has no place for a name
SWAPS = {"en": (0.1, 0.35), "de": (0.25, 0.6)}         # ... of those with and without translations that get other words (lexicon.py)


def speak(jobs, synth, base, espeak_parent=None, phonemes=False):
    """jobs: [(voice fields, text)] -> (int16 samples, [(job, offset, samples, word ends in ms)]); with `phonemes` also what
    synth says of each one's phonemes."""
    with open(base + ".txt", "w", encoding="utf8") as f:
        for i, (voice, text) in enumerate(jobs):
            f.write("\t".join((str(i), *voice, text)) + "\n")
    with open(base + ".txt") as f:
        subprocess.run([synth, base] + ([espeak_parent] if espeak_parent else []), stdin=f, check=False,
                       stderr=subprocess.DEVNULL)
    pcm, rows, said = np.fromfile(base + ".pcm", np.int16), [], []
    for line in open(base + ".tsv"):
        f = line.rstrip("\n").split("\t")
        if len(f) != 5:                                  # the program was cut short
            continue
        i, off, n, ends, heard = f
        i, off, n, ends = int(i), int(off), int(n), [int(e) for e in ends.split(",") if e]
        ok = off + n <= len(pcm) and n > 4000 and len(ends) == len(jobs[i][1].split(" ")) and 0 < ends[-1] <= n / 16 + 50
        if ok and np.abs(pcm[off:off + n]).max() > 500:
            rows.append((i, off, n, ends))
            said.append(heard)
    for x in (".txt", ".tsv", ".pcm"):
        os.unlink(base + x)
    return (pcm, rows, said) if phonemes else (pcm, rows)


def jobs_of(rng, items, pools, usable, count, speakers=None, share=0.0, words=None):
    """[(voice fields, text)] and for each (item or -1, language, who of `speakers` says it or None): runs of one voice, German by
    a third, some with invented names or other words in them (item -1). share: of the runs, what `speakers` ({language: [units.Speaker]})
    say; words: {language: Lexicon}."""
    jobs, ids = [], []
    while len(jobs) < count:
        lang = "de" if rng.random() < GERMAN else "en"
        who = rng.choice(speakers[lang]) if speakers and lang in speakers and rng.random() < share else None
        voice = units.READER[lang] if who else texts.pick_voice(rng, usable, lang)
        for _ in range(rng.randint(1, 4)):
            paired = rng.random() < 0.6
            i = rng.choice(pools[lang, paired])
            text = texts.carrier(rng, items[i]) if rng.random() < CARRIERS else None
            if words and not text and rng.random() < SWAPS[lang][not paired]:
                text = words[lang].swap(rng, items[i].text)
            jobs.append((voice, text or items[i].text))
            ids.append((-1 if text else i, lang, who))
    return jobs, ids


def voiced(nrng, jobs, ids, pcm, rows, heard):
    """What the readers read, by the speakers who are to say it: -> (samples, rows) as speak() has them, without what they cannot say."""
    out, kept, at = [], [], 0
    for (i, off, n, ends), p in zip(rows, heard):
        x = pcm[off:off + n]
        if ids[i][2]:
            names, _, word = units.phonemes(p)
            got = ids[i][2].say(nrng, names, word, len(jobs[i][1].split(" ")))
            if not got:
                continue
            x, ends = got
        kept.append((i, at, len(x), ends))
        out.append(x)
        at += len(x)
    return np.concatenate(out) if out else pcm[:0], kept


def maker(data, places, work, synth, espeak_data, seed, count, ends_file, share, words):
    """Rows of a shard: (item or -1, language, text, first sample, samples, word ends in ms, voice)."""
    items, rng = texts.load(data, places), random.Random(seed)
    pools = {(lang, paired): [i for i, x in enumerate(items) if x.lang == lang and bool(x.to) == paired]
             for lang in texts.TARGETS for paired in (True, False)}
    words = lexicon.load(words) if words else None
    usable, out, k, speakers, nrng = texts.variants(espeak_data), os.path.join(work, "made"), 0, None, np.random.default_rng(seed)
    while not os.path.exists(os.path.join(work, "stop")):
        if len(os.listdir(out)) > 60:
            time.sleep(0.5)
            continue
        if share and speakers is None and os.path.exists(os.path.join(work, "recorded.pkl")):
            speakers = units.load(ends_file, os.path.join(work, "recorded"))
        # something to begin with, soon
        jobs, ids = jobs_of(rng, items, pools, usable, count // 4 if k == 0 else count, speakers, share, words)
        pcm, rows = voiced(nrng, jobs, ids, *speak(jobs, synth, os.path.join(work, f"m{seed}"), os.path.dirname(espeak_data.rstrip("/")), True))
        meta = [(*ids[i][:2], jobs[i][1], off, n, np.array(ends, np.int32),
                 zlib.crc32((ids[i][2].name if ids[i][2] else "".join(jobs[i][0])).encode())) for i, off, n, ends in rows]
        name = os.path.join(out, f"{seed}-{k}")
        pcm.tofile(name + ".pcm")
        pickle.dump(meta, open(name + ".tmp", "wb"))
        os.rename(name + ".tmp", name + ".pkl")
        k += 1


def start_makers(n, data, places, work, synth, espeak_data, seed, count, ends_file, share, words):
    os.makedirs(os.path.join(work, "made"), exist_ok=True)
    return [subprocess.Popen(["nice", "-n", "5", sys.executable, os.path.abspath(__file__), data, places, work, synth,
                              espeak_data, str(seed + i), str(count), ends_file, str(share), words]) for i in range(n)]


def extra_voices(folder, work, jobs=16):
    """What voices.py spoke: [(int16 samples of a whole file, [(text, first sample, samples, word ends, voice)])]."""
    rows = {}
    for line in open(os.path.join(folder, "voices.tsv"), encoding="utf8").read().split("\n")[1:]:
        if line:
            path, off, n, ends, voice, text = line.split("\t")
            rows.setdefault(path, []).append((text, int(off), int(n), np.array(ends.split(","), np.int32), zlib.crc32(voice.encode())))
    files = sorted(rows)
    got = zip(files, decode([os.path.join(folder, f) for f in files], work, jobs))
    return [(x, [r for r in rows[f] if r[1] + r[2] <= len(x)]) for f, x in got if x is not None]


def recordings(data, part):
    """[(file, language, speaker, text, source)] of the recordings, without held-out sentences in `train`."""
    out = []
    for line in open(os.path.join(data, "speech", part + ".tsv"), encoding="utf8").read().split("\n")[1:]:
        f = line.split("\t")
        if len(f) == 5 and not (part == "train" and texts.held(f[4])):
            out.append((os.path.join(data, "speech", f[0]), f[2], f[3], texts.clean(f[4]), f[0].split("/")[0]))
    return out


def decode(files, work, jobs=16):
    """Ogg Opus files -> list of int16 arrays at 16 kHz (None where it fails)."""
    folder = os.path.join(work, "wav")
    os.makedirs(folder, exist_ok=True)
    lines = "".join(f"{f} {folder}/{i:05d}.wav\n" for i, f in enumerate(files))
    subprocess.run(["nice", "-n", "8", "xargs", f"-P{jobs}", "-L1", "opusdec", "--quiet", "--rate", "16000"], input=lines.encode(), check=False,
                   stderr=subprocess.DEVNULL)
    out = []
    for i in range(len(files)):
        try:
            w = wave.open(f"{folder}/{i:05d}.wav")
            x = np.frombuffer(w.readframes(w.getnframes()), np.int16)
            out.append(np.ascontiguousarray(x.reshape(-1, w.getnchannels())[:, 0]))
            os.unlink(f"{folder}/{i:05d}.wav")
        except (OSError, wave.Error, EOFError):
            out.append(None)
    return out


if __name__ == "__main__":
    maker(*sys.argv[1:6], int(sys.argv[6]), int(sys.argv[7]), sys.argv[8], float(sys.argv[9]), sys.argv[10])
