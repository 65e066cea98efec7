# SPDX-License-Identifier: Apache-2.0
"""Model inputs: causal log-mel slots and picture patches (docs/MODEL.md, section 1)."""
import math

import numpy as np
import torch
import torch.nn.functional as F

RATE, HOP, WIN, NFFT, MELS, FRAMES = 16000, 160, 400, 512, 80, 8
SLOT = HOP * FRAMES                      # samples in a slot
PIC_W, PIC_H, PATCH = 160, 96, 16


def mel_filters(warp=1.0):
    """[257, 80] Slaney mel filters with area norm; warp != 1 scales the frequency axis."""
    f = torch.linspace(0, RATE / 2, NFFT // 2 + 1, dtype=torch.float64) * warp
    step = math.log(6.4) / 27
    hz = lambda m: m * 200 / 3 if m < 15 else 1000 * math.exp((m - 15) * step)
    top = 15 + math.log(RATE / 2 / 1000) / step
    p = [hz(m) for m in np.linspace(0, top, MELS + 2)]
    fb = torch.zeros(len(f), MELS, dtype=torch.float64)
    for i in range(MELS):
        lo, mid, hi = p[i:i + 3]
        fb[:, i] = torch.minimum((f - lo) / (mid - lo), (hi - f) / (hi - mid)).clamp_min(0) * 2 / (hi - lo)
    return fb.float()


def log_mel(wave, filters):
    """wave [B, n*160] -> [B, n, 80]; filters [257, 80] or [B, 257, 80]."""
    x = F.pad(wave, (WIN - HOP, 0)).unfold(-1, WIN, HOP)
    n = torch.arange(WIN, device=wave.device, dtype=torch.float64)
    w = (0.5 - 0.5 * torch.cos(2 * math.pi * n / WIN)).to(wave.dtype)
    s = torch.fft.rfft(x * w, n=NFFT)
    return (torch.log10(((s.real ** 2 + s.imag ** 2) @ filters).clamp_min(1e-8)) + 4) / 4


def slots(wave, filters):
    """wave [B, n*1280] -> [B, n, 640]."""
    m = log_mel(wave, filters)
    return m.reshape(m.shape[0], -1, FRAMES * MELS)


def patches(picture):
    """uint8 or float [B, 96, 160, 3] in 0..255 -> [B, 60, 768] in -1..1."""
    b = picture.shape[0]
    x = picture.float() / 127.5 - 1
    x = x.reshape(b, PIC_H // PATCH, PATCH, PIC_W // PATCH, PATCH, 3)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(b, 60, PATCH * PATCH * 3)
