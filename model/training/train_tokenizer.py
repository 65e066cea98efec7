# SPDX-License-Identifier: Apache-2.0
"""train_tokenizer.py DATA OUT.json: 4096 BPE pieces over English (a quarter lower-cased, as style:plain writes)
and German sentences, whitespace as suffix, byte fallback."""
import os
import random
import sys
import tempfile

import sentencepiece

import texts
import tokens


def main(data, out):
    rng, train = random.Random(1), texts.load(data)[0]
    train = [p for p in train if p[1] is None] + rng.sample([p for p in train if p[1]], 60000)
    with tempfile.TemporaryDirectory() as tmp:
        with open(os.path.join(tmp, "t.txt"), "w", encoding="utf8") as f:
            for en, de in train:
                f.write((texts.key(en) if rng.random() < 0.25 else en) + "\n" + (de + "\n" if de else ""))
        sentencepiece.SentencePieceTrainer.train(
            input=f.name, model_prefix=os.path.join(tmp, "m"), vocab_size=4096, model_type="bpe",
            character_coverage=1.0, byte_fallback=True, pad_id=3, treat_whitespace_as_suffix=True,
            normalization_rule_name="identity", num_threads=2, minloglevel=1)
        sp = sentencepiece.SentencePieceProcessor(model_file=os.path.join(tmp, "m.model"))
        pieces = [sp.id_to_piece(i) for i in range(sp.get_piece_size())]
        pieces[3] = "<pad>"
        tokens.write(out, pieces)
        tok, bad = tokens.Tokenizer(out), 0
        for en, de in rng.sample(train, 5000):
            for s in (en, de or en):
                bad += tok.encode(s) != sp.encode(s) or tok.decode(tok.encode(s)) != s
        print("pieces", len(pieces), "sentences encoded or decoded otherwise than sentencepiece:", bad)


if __name__ == "__main__":
    main(*sys.argv[1:])
