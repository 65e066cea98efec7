# SPDX-License-Identifier: Apache-2.0
"""More English voices, which are too slow or too large to speak while training: Festival's ked and slt-hts.

voices.py DATA PLACES OUT [--hours 1.25] [--jobs 2]
ked: pitch and tempo vary; slt-hts through hts_engine: pitch, formants and tempo, so each is another speaker. Sentences of
the training part. OUT/*.opus: long files; OUT/voices.tsv: path, first sample at 16 kHz, samples, word ends in ms, voice,
text. speech.extra_voices() reads them."""
import argparse
import math
import multiprocessing
import os
import random
import re
import subprocess
import tempfile
import wave

import numpy as np

import texts

HTS = "/usr/share/festival/voices/us/cmu_us_slt_arctic_hts/hts/cmu_us_slt_arctic_hts.htsvoice"
ALPHA = 0.45                                              # its own warp of frequencies
RUN, FILE_S, BITRATE = 5, 900, 13                         # sentences of a voice, seconds of a file, kbit/s
PLAIN = re.compile(r"[A-Za-z][A-Za-z']*(?:[.,?!]? [A-Za-z][A-Za-z']*)*[.?!]?")

# A token's end: that of its last word that is not punctuation.
COMMON = r"""
(define (token_end tok)
  (let ((end 0))
    (mapcar (lambda (w) (let ((e (item.feat w "word_end"))) (if (> e end) (set! end e)))) (item.daughters tok))
    end))
(define (ends utt file)
  (let ((f (fopen file "w")) (tok (utt.relation.first utt 'Token)))
    (while tok (format f "%s %f\n" (item.name tok) (token_end tok)) (set! tok (item.next tok)))
    (fclose f)))
(defSynthType LABELS utt)
(define (labels utt file)
  (let ((f (fopen file "w")))
    (mapcar (lambda (s) (hts_feats_output f s) (format f "\n")) (utt.relation.items utt 'Segment))
    (fclose f)))
"""


def speakers(rng, kind):
    """Settings of one voice: a name, what Festival is told, arguments of hts_engine."""
    if kind == "ked":
        mean, stretch = rng.uniform(85, 185), rng.uniform(0.85, 1.25)
        std = mean * rng.uniform(0.08, 0.2)
        return (f"ked {mean:.0f} {std:.0f} {stretch:.2f}", f"(set! int_lr_params '((target_f0_mean {mean:.1f}) (target_f0_std {std:.1f})"
                f" (model_f0_mean 170) (model_f0_std 34))) (Parameter.set 'Duration_Stretch {stretch:.3f})", None)
    up, a, r = rng.uniform(-8, 4), ALPHA + rng.uniform(-0.06, 0.05), rng.uniform(0.85, 1.25)
    return f"slt-hts {up:.1f} {a:.3f} {r:.2f}", "", ["-fm", f"{up:.2f}", "-a", f"{a:.3f}", "-r", f"{r:.2f}"]


def read_wave(path):
    with wave.open(path) as w:
        return np.frombuffer(w.readframes(w.getnframes()), np.int16), w.getframerate()


def engine_ends(labels, durations, ends):
    """Ends by Festival's clock (s) -> by hts_engine's (ms): the phone that ends there, and when it ends now."""
    was = [int(line.split()[1]) / 1e7 for line in open(labels) if line.strip()]
    now = {}                                              # the last state of each phone, in order
    k = -1
    for line in open(durations):
        _, end, state = line.split()
        if state.endswith("[2]") or "[" not in state:
            k += 1
        now[k] = int(end) / 1e4
    return [now[int(np.argmin(np.abs(np.array(was) - e)))] for e in ends] if len(now) == len(was) else None


def speak(job):
    """(kind, seed, sentences) -> (rate, [(samples, ends in ms, voice, text)])."""
    kind, seed, sentences = job
    rng, out = random.Random(seed), []
    with tempfile.TemporaryDirectory() as tmp:
        script, said = [COMMON, "(voice_ked_diphone)" if kind == "ked" else "(voice_cmu_us_slt_arctic_hts)"], []
        if kind != "ked":
            script.append("(Parameter.set 'Synth_Method 'LABELS)")
        for i, text in enumerate(sentences):
            if i % RUN == 0:
                voice, setting, args = speakers(rng, kind)
                script.append(setting)
            said.append((voice, text, args))
            base = os.path.join(tmp, str(i))
            script.append(f'(set! utt (utt.synth (Utterance Text "{text}")))(ends utt "{base}.ends")')
            script.append(f'(utt.save.wave utt "{base}.wav" \'riff)' if kind == "ked" else f'(labels utt "{base}.lab")')
        with open(os.path.join(tmp, "all.scm"), "w") as f:
            f.write("\n".join(script) + "\n")
        subprocess.run(["festival", "-b", f.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        rate = None
        for i, (voice, text, args) in enumerate(said):
            base = os.path.join(tmp, str(i))
            try:
                tokens = [line.split() for line in open(base + ".ends")]
                ends = [float(e) for _, e in tokens]
                if [t.rstrip(".,?!") for t, _ in tokens] != [w.rstrip(".,?!") for w in text.split(" ")] or min(ends) <= 0:
                    continue
                if args is None:
                    ends = [1000 * e for e in ends]
                else:
                    subprocess.run(["hts_engine", "-m", HTS, *args, "-od", base + ".dur", "-ow", base + ".wav", base + ".lab"],
                                   check=True, stderr=subprocess.DEVNULL)
                    ends = engine_ends(base + ".lab", base + ".dur", ends)
                x, rate = read_wave(base + ".wav")
            except (OSError, ValueError, subprocess.CalledProcessError, wave.Error):
                continue
            # 16-bit samples that have wrapped jump
            if ends and np.abs(np.diff(x.astype(np.int32))).max() < 25000 and 0 < ends[-1] <= len(x) / rate * 1000 + 50:
                out.append((x, [int(e) for e in ends], voice, text))
    return rate, out


def main():
    a = argparse.ArgumentParser()
    for x in ("data", "places", "out"):
        a.add_argument(x)
    a.add_argument("--hours", type=float, default=1.25, help="of each")
    a.add_argument("--jobs", type=int, default=2)
    a = a.parse_args()
    os.makedirs(a.out, exist_ok=True)
    rng = random.Random(7)
    pool = [x.text for x in texts.load(a.data, a.places) if x.lang == "en" and 4 <= x.text.count(" ") < 18 and PLAIN.fullmatch(x.text)]
    rows = []
    with multiprocessing.Pool(a.jobs) as workers:
        for kind in ("ked", "slt-hts"):
            said = rng.sample(pool, min(len(pool), int(a.hours * 3600)))     # each takes more than a second
            jobs = [(kind, i, said[i:i + 100]) for i in range(0, len(said), 100)]
            seconds, n, wait, room = 0.0, 0, [], 0.0

            def flush():
                path = f"{kind}-{n}.opus"
                enc = subprocess.run(["opusenc", "--quiet", "--speech", "--raw", "--raw-rate", str(rate), "--raw-chan", "1", "--bitrate",
                                      str(BITRATE), "--framesize", "60", "-", os.path.join(a.out, path)],
                                     input=np.concatenate([x for x, *_ in wait]).tobytes(), check=True)
                at = 0
                for x, ends, voice, text in wait:
                    rows.append((path, at * 16000 // rate, len(x) * 16000 // rate, ",".join(map(str, ends)), voice, text))
                    at += len(x)
                return enc

            for rate, got in workers.imap(speak, jobs):
                for row in got:
                    wait.append(row)
                    room += len(row[0]) / rate
                if room >= FILE_S or seconds + room >= a.hours * 3600:
                    flush()
                    seconds, n, wait, room = seconds + room, n + 1, [], 0.0
                if seconds >= a.hours * 3600:
                    break
            print(f"{kind}: {seconds / 3600:.2f} h in {n} files", flush=True)
    with open(os.path.join(a.out, "voices.tsv"), "w", encoding="utf8") as f:
        f.write("\t".join(("path", "offset", "samples", "ends", "voice", "text")) + "\n")
        f.write("".join("\t".join(map(str, r)) + "\n" for r in rows))
    print(len(rows), "sentences,", len({r[4] for r in rows}), "voices,", math.ceil(sum(
        os.path.getsize(os.path.join(a.out, p)) for p in {r[0] for r in rows}) / 1e5) / 10, "MB")


if __name__ == "__main__":
    main()
