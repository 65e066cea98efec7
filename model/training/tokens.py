# SPDX-License-Identifier: Apache-2.0
"""Tokenizer: pieces in id order, byte fallback, `▁` closes a word. Encodes by merging the neighbours whose
joint piece has the lowest id, as tokenizer.json's merges by rank do; a word that is a piece is that piece."""
import json

END, PAD = "▁", 3


class Tokenizer:
    def __init__(self, path):
        vocab = json.load(open(path, encoding="utf8"))["model"]["vocab"]
        self.id = vocab
        self.piece = [p for p, _ in sorted(vocab.items(), key=lambda x: x[1])]
        self.cache = {}

    def word(self, w):
        """Ids of one word; the last piece ends in END."""
        if w not in self.cache:
            s = [w + END] if w + END in self.id else list(w + END)
            while True:
                best = min(((self.id.get(a + b, 1 << 30), i) for i, (a, b) in enumerate(zip(s, s[1:]))),
                           default=(1 << 30, 0))
                if best[0] == 1 << 30:
                    break
                s[best[1]:best[1] + 2] = [s[best[1]] + s[best[1] + 1]]
            ids = []
            for p in s:
                ids += [self.id[p]] if p in self.id else [self.id[f"<0x{x:02X}>"] for x in p.encode()]
            self.cache[w] = ids
        return self.cache[w]

    def encode(self, text):
        return [i for w in text.split() for i in self.word(w)]

    def decode(self, ids):
        out = b""
        for i in ids:
            p = self.piece[i]
            if p.startswith("<0x"):
                out += bytes([int(p[3:5], 16)])
            elif i > PAD:
                out += p.replace(END, " ").encode()
        return out.decode(errors="replace").strip()


def write(path, pieces):
    """tokenizer.json (HF layout) from the pieces in id order."""
    vocab, merges = {p: i for i, p in enumerate(pieces)}, []
    for p in pieces[4:]:
        if p.startswith("<0x") or len(p) < 2:
            continue
        # the split that byte-pair merging reaches: both halves known, the later of them as early as possible
        cuts = [(max(vocab[p[:i]], vocab[p[i:]]), i) for i in range(1, len(p)) if p[:i] in vocab and p[i:] in vocab]
        merges += [f"{p[:i]} {p[i:]}" for _, i in sorted(cuts)]
    special = [{"id": i, "content": pieces[i], "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False, "special": True} for i in range(4)]
    doc = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
           "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[^▁]*▁"}, "behavior": "Isolated", "invert": False},
           "post_processor": None,
           "decoder": {"type": "Sequence", "decoders": [
               {"type": "Replace", "pattern": {"String": END}, "content": " "}, {"type": "ByteFallback"},
               {"type": "Fuse"}]},
           "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                     "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "vocab": vocab,
                     "merges": merges}}
    json.dump(doc, open(path, "w", encoding="utf8"), ensure_ascii=False, indent=0)


def tiny_pieces():
    """A made-up vocabulary of 320 pieces for random models: bytes, letters and a few words."""
    letters = [END, *"abcdefghijklmnopqrstuvwxyz", *".,?'"]
    joined = ["e" + END, "th", "s" + END, "t" + END, "in", "the" + END, "er", "an", "d" + END, "and" + END, "on",
              "re", "ing" + END, "ing", "o" + END, "to" + END, "y" + END, "at", "en", "ed" + END, "ar", "ou",
              "you" + END, "of" + END]
    base = ["<unk>", "<s>", "</s>", "<pad>"] + [f"<0x{i:02X}>" for i in range(256)]
    return (joined_order(base, joined) + letters + [chr(0xC0 + i) for i in range(64)])[:320]


def joined_order(base, joined):
    return base + joined


if __name__ == "__main__":
    import sys
    import sentencepiece
    sp = sentencepiece.SentencePieceProcessor(model_file=sys.argv[1])
    write(sys.argv[2], [sp.id_to_piece(i) for i in range(sp.get_piece_size())])
