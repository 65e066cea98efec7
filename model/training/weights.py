# SPDX-License-Identifier: Apache-2.0
"""Model folders: safetensors files, block quantisation, and M3's tensor names (docs/MODEL.md, section 5)."""
import json
import os
import struct

import numpy as np
import torch

import m3

BLOCK = 32
DTYPES = {"F32": np.float32, "F16": np.float16, "I8": np.int8, "U8": np.uint8, "I32": np.int32}


def save_tensors(path, tensors, metadata=None):
    """tensors: name -> numpy array."""
    head, at = {"__metadata__": metadata} if metadata else {}, 0
    kind = {np.dtype(v): k for k, v in DTYPES.items()}
    arrays = {n: np.ascontiguousarray(tensors[n]) for n in sorted(tensors, key=lambda n: (-tensors[n].itemsize, n))}
    for name, a in arrays.items():
        head[name] = {"dtype": kind[a.dtype], "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for a in arrays.values():
            f.write(a.tobytes())


def load_tensors(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, e in json.loads(data[8:8 + n]).items():
        if name != "__metadata__":
            lo, hi = e["data_offsets"]
            out[name] = np.frombuffer(data[8 + n + lo:8 + n + hi], DTYPES[e["dtype"]]).reshape(e["shape"])
    return out


def quantise(w, bits):
    """w [..., out, in] float tensor -> (integers as float, f16 scale); 8: scale = max|w| / 127;
    4: the value of largest magnitude maps to -8."""
    b = w.float().reshape(*w.shape[:-1], -1, BLOCK)
    if bits == 8:
        scale = b.abs().amax(-1) / 127
    else:
        scale = b.gather(-1, b.abs().argmax(-1, keepdim=True))[..., 0] / -8
    scale = scale.half()
    s = scale.float()[..., None]
    q = torch.where(s != 0, b / torch.where(s != 0, s, torch.ones_like(s)), torch.zeros_like(b)).round()
    q = q.clamp(-127, 127) if bits == 8 else q.clamp(-8, 7)
    return q.reshape(w.shape), scale


def fake_quantise(w, bits):
    q, s = quantise(w, bits)
    return (q.reshape(*s.shape, BLOCK) * s.float()[..., None]).reshape(w.shape).to(w.dtype)


def kind_of(name, shape):
    """'expert', 'matrix' or 'exact' by M3 parameter name."""
    if name.endswith(("w13", "w2")):
        return "expert"
    small = ("gate", "xq", "xk", "xv", "presence", "row", "col", "cond", "act.weight")
    return "exact" if len(shape) < 2 or name.split(".")[-1] in small or name == "act.weight" else "matrix"


def names(c):
    """[(M3 parameter, index into it or None, row slice or None, public name)]."""
    out, pre = [], "language_model.model."
    add = lambda p, n, i=None, rows=None: out.append((p, i, rows, n))
    add("embed", pre + "embed_tokens.weight")
    add("final.weight", pre + "norm.weight")
    for L, sparse in enumerate(c.moe):
        b, n = f"blocks.{L}.", f"{pre}layers.{L}."
        add(b + "n1.weight", n + "input_layernorm.weight")
        add(b + "n2.weight", n + "post_attention_layernorm.weight")
        h, k = c.heads * c.hd, c.kv * c.hd
        for x, lo, hi in (("q", 0, h), ("k", h, h + k), ("v", h + k, h + 2 * k)):
            add(b + "qkv.weight", f"{n}self_attn.{x}_proj.weight", rows=(lo, hi))
        add(b + "o.weight", n + "self_attn.o_proj.weight")
        add(b + "qn.weight", n + "self_attn.q_norm.weight")
        add(b + "kn.weight", n + "self_attn.k_norm.weight")
        wide, m = (c.shared, n + "block_sparse_moe.shared_experts.") if sparse else (c.dense, n + "mlp.")
        add(b + "up.weight", m + "gate_proj.weight", rows=(0, wide))
        add(b + "up.weight", m + "up_proj.weight", rows=(wide, 2 * wide))
        add(b + "down.weight", m + "down_proj.weight")
        if sparse:
            m = n + "block_sparse_moe."
            add(b + "gate", m + "gate.weight")
            add(b + "bias", m + "e_score_correction_bias")
            for e in range(c.experts):
                add(b + "w13", f"{m}experts.{e}.w1.weight", e, (0, c.inter))
                add(b + "w13", f"{m}experts.{e}.w3.weight", e, (c.inter, 2 * c.inter))
                add(b + "w2", f"{m}experts.{e}.w2.weight", e)
            for p, x in (("xq", "q_proj.weight"), ("xk", "k_proj.weight"), ("xv", "v_proj.weight"),
                         ("presence", "presence_bias")) if c.router == "cross-modal" else ():
                add(b + p, f"{m}cross_modal.{x}")
    for p, n in (("audio.weight", "audio_embed.proj.weight"), ("audio_norm.weight", "audio_embed.norm.weight"),
                 ("image.weight", "image_embed.proj.weight"), ("image_norm.weight", "image_embed.norm.weight"),
                 ("row", "image_embed.row.weight"), ("col", "image_embed.col.weight"),
                 ("cond", "conditions.weight"), ("act.weight", "activity.weight"), ("act.bias", "activity.bias")):
        add(p, n)
    for i, lane in enumerate(c.lanes):
        add(f"lane_in.{i}.weight", f"lanes.{lane}.in_proj.weight")
        add(f"lane_out.{i}.weight", f"lanes.{lane}.out_proj.weight")
    return out


def part(t, index, rows):
    t = t if index is None else t[index]
    return t if rows is None else t[rows[0]:rows[1]]


def save_folder(net, folder, bits=32, expert_bits=None):
    """Writes config.json and model.safetensors; bits 32, 16 or 8 for matrices, 32, 16, 8 or 4 for experts."""
    if net.c.router == "per-modality":
        raise ValueError("a router for each modality is for comparison only: no runner computes it")
    os.makedirs(folder, exist_ok=True)
    json.dump(net.c.raw, open(os.path.join(folder, "config.json"), "w"), indent=2)
    expert_bits = expert_bits or bits
    state, out = {k: v.detach().float().cpu() for k, v in net.state_dict().items()}, {}
    for p, i, rows, name in names(net.c):
        t, kind = part(state[p], i, rows), kind_of(p, state[p].shape)
        width = {"exact": 32, "matrix": bits, "expert": expert_bits}[kind]
        if width in (32, 16):
            out[name] = t.numpy().astype(np.float32 if width == 32 else np.float16)
            continue
        q, s = quantise(t, width)
        q = q.numpy()
        if width == 4:
            u = (q + 8).astype(np.uint8)
            out[name] = u[:, 0::2] | (u[:, 1::2] << 4)
        else:
            out[name] = q.astype(np.int8)
        out[name + "_scale"] = s.numpy()
    save_tensors(os.path.join(folder, "model.safetensors"), out, {"format": "pt"})


def dequantise(tensors, name):
    a, s = tensors[name], tensors.get(name + "_scale")
    if s is None:
        return torch.from_numpy(a.astype(np.float32))
    if a.dtype == np.uint8:
        a = np.stack([a & 15, a >> 4], -1).reshape(a.shape[0], -1).astype(np.float32) - 8
    a = a.astype(np.float32).reshape(*s.shape, BLOCK) * s.astype(np.float32)[..., None]
    return torch.from_numpy(a.reshape(a.shape[0], -1))


def load_into(net, folder):
    """Copies the folder's (dequantised) weights into net; those of another shape are left as they are, and counted."""
    tensors, state, other = load_tensors(os.path.join(folder, "model.safetensors")), net.state_dict(), 0
    with torch.no_grad():
        for p, i, rows, name in names(net.c):
            to = part(state[p], i, rows)
            if name in tensors and dequantise(tensors, name).shape == to.shape:
                to.copy_(dequantise(tensors, name))
            else:
                other += 1
    return other


def load_folder(folder):
    """An M3 with the folder's (dequantised) weights, f32."""
    net = m3.M3(m3.config(os.path.join(folder, "config.json"))).eval()
    if load_into(net, folder):
        raise ValueError(f"{folder}: tensors are missing or of another shape than config.json says")
    return net
