# SPDX-License-Identifier: Apache-2.0
"""train_tokenizer.py DATA PLACES OUT.json: 6144 pieces, byte fallback, whitespace as suffix. BPE over English (a quarter
lower-cased, as style:plain writes), German, French and Spanish; a piece for each Chinese character of the pairs that
closes its word; one for each sound's tag."""
import collections
import os
import random
import sys
import tempfile

import sentencepiece

import sounds
import texts
import tokens

PIECES, LINES = 6144, {"en": 170000, "de": 120000, "fr": 50000, "es": 50000}


def main(data, places, out):
    rng, items = random.Random(1), texts.load(data, places)
    said = {lang: [] for lang in texts.CHARS}
    for item in items:
        said[item.lang].append(item.text)
        for lang, (text, _) in item.to.items():
            said[lang].append(text)
    seen = collections.Counter(ch for s in said["zh"] for ch in s if ord(ch) > 0x2fff)
    whole = sounds.LABELS + [ch for ch, _ in sorted(seen.items(), key=lambda x: (-x[1], x[0]))]
    train = {lang: rng.sample(said[lang], min(n, len(said[lang]))) for lang, n in LINES.items()}
    with tempfile.TemporaryDirectory() as tmp:
        with open(os.path.join(tmp, "t.txt"), "w", encoding="utf8") as f:
            for lang, lines in train.items():
                f.write("".join((texts.plain(s) if lang == "en" and rng.random() < 0.25 else s) + "\n" for s in lines))
        sentencepiece.SentencePieceTrainer.train(
            input=f.name, model_prefix=os.path.join(tmp, "m"), vocab_size=PIECES - len(whole), model_type="bpe",
            character_coverage=1.0, byte_fallback=True, pad_id=3, treat_whitespace_as_suffix=True,
            normalization_rule_name="identity", num_threads=2, minloglevel=1)
        sp = sentencepiece.SentencePieceProcessor(model_file=os.path.join(tmp, "m.model"))
    pieces = [sp.id_to_piece(i) for i in range(sp.get_piece_size())]
    pieces[3] = "<pad>"
    tokens.write(out, pieces + [w + tokens.END for w in whole])
    tok = tokens.Tokenizer(out)
    print("pieces", len(tok.piece), "Chinese", len(whole) - len(sounds.LABELS))
    for lang, lines in said.items():
        lines = rng.sample(lines, 3000)
        ids = [tok.encode(s) for s in lines]
        print(f"{lang}: {sum(map(len, ids)) / sum(len(s.split()) for s in lines):.3f} tokens a word;",
              sum(any(tok.piece[i].startswith("<0x") for i in x) for x in ids), "of 3000 sentences fall back to bytes,",
              sum(x != sp.encode(s) for x, s in zip(ids, lines)) if lang != "zh" else "-", "are encoded otherwise than by sentencepiece,",
              sum(tok.decode(x) != s for x, s in zip(ids, lines)), "come back changed")


if __name__ == "__main__":
    main(*sys.argv[1:])
