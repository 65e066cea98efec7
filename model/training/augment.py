# SPDX-License-Identifier: Apache-2.0
"""Arena of samples -> augmented log-mel slots, on the device."""
import torch

import features

SLOT, F_BINS = features.SLOT, features.NFFT // 2 + 1
FADE, GONE = 64, 9                                       # samples; frames that a gap in time has


def warped_filters(device, n=17):
    return torch.stack([features.mel_filters(w) for w in torch.linspace(0.87, 1.15, n).tolist()]).to(device)


def place(arena, src, dst, length, gain, n):
    """Mixes the utterances (in order, and none overlaps the next) into windows of n samples."""
    pos = torch.arange(n, device=arena.device)[None]
    begin = torch.where(length > 0, dst, torch.full((), n, device=arena.device))
    k = (torch.searchsorted(begin, pos.expand(len(src), n).contiguous(), right=True) - 1).clamp_min(0)
    rel, long = pos - begin.gather(1, k), length.gather(1, k)
    on = (rel >= 0) & (rel < long)
    edge = torch.minimum(rel, long - rel).clamp(0, FADE) / FADE      # cut speech must not click
    return arena[torch.where(on, src.gather(1, k) + rel, 0)].float() * (gain.gather(1, k) * edge * on / 32768)


def shift(w, d):
    """Each row delayed by d [B] samples."""
    pos = torch.arange(w.shape[1], device=w.device)[None] - d[:, None]
    return torch.where(pos >= 0, w.gather(1, pos.clamp_min(0)), torch.zeros_like(w))


def wave(arena, src, dst, length, gain, noise_at, noise_level, n, rand):
    """rand [B, 8] in 0..1. Speech, two echoes, recorded noise, overall gain, a little clipping."""
    w = place(arena, src, dst, length, gain, n)
    e = torch.where(rand[:, 0] < 0.35, rand[:, 1] * 0.4, torch.zeros_like(rand[:, 1]))[:, None]
    w = w + e * shift(w, (160 + rand[:, 2] * 1600).long()) + e * 0.6 * shift(w, (800 + rand[:, 3] * 3200).long())
    pos = (torch.arange(n, device=w.device)[None] + (rand[:, 4:5] * 80000).long()) % 78000
    z = arena[(noise_at.clamp_min(0)[:, None] + pos)].float() / 32768
    return w + z * torch.where(noise_at >= 0, noise_level, torch.zeros_like(noise_level))[:, None]


def mel_slots(w, filters, rand, tone):
    """Adds coloured noise and EQ in the spectrum; rand [B, 10]; tone: noise [2, B, frames, bins]."""
    x = torch.nn.functional.pad(w, (features.WIN - features.HOP, 0)).unfold(-1, features.WIN, features.HOP)
    s = torch.fft.rfft(x * torch.hann_window(features.WIN, device=w.device), n=features.NFFT)
    f = torch.linspace(0, 1, F_BINS, device=w.device)[None]
    tilt = torch.exp((rand[:, 0:1] - 0.5) * 3 * f)
    cut = torch.where(rand[:, 1:2] < 0.15, 0.43, torch.where(rand[:, 1:2] < 0.4, 0.5 + 0.5 * rand[:, 2:3], 1.2))
    low = torch.where(rand[:, 3:4] < 0.12, 0.035, -1.0)  # telephone: nothing under 280 Hz
    eq = tilt * torch.sigmoid((cut - f) * 80) * torch.sigmoid((f - low) * 300)
    level = w.pow(2).mean(1, keepdim=True).sqrt().clamp_min(3e-4)
    snr = torch.where(rand[:, 4:5] < 0.1, 60.0, 4 + 42 * rand[:, 5:6])
    hiss = level * 10 ** (-snr / 20) * 9.0 / (f * 60 + 1) ** rand[:, 6:7]
    gain = 10 ** ((-26 + 30 * rand[:, 7:8]) / 20)
    re = s.real * eq[:, None] + tone[0] * hiss[:, None]
    im = s.imag * eq[:, None] + tone[1] * hiss[:, None]
    power = (re ** 2 + im ** 2) * (gain ** 2)[:, None]
    m = (torch.log10((power @ filters).clamp_min(1e-8)) + 4) / 4
    return m.reshape(m.shape[0], -1, features.FRAMES * features.MELS)


def mask(mel, bands=3):
    """SpecAugment (arXiv 1904.08779) on [B, T, 640]: bands of up to 16 bins, gaps of 90 ms; each row has as much of it as chance will."""
    b, t, _ = mel.shape
    much = torch.rand(b, 1, device=mel.device)
    m = mel.view(b, t, features.FRAMES, features.MELS)
    i = torch.arange(features.MELS, device=mel.device)
    drop = torch.zeros(b, features.MELS, dtype=torch.bool, device=mel.device)
    for _ in range(bands):
        lo = torch.randint(0, features.MELS - 8, (b, 1), device=mel.device)
        wide = torch.randint(0, 17, (b, 1), device=mel.device) * (torch.rand(b, 1, device=mel.device) < 0.8 * much)
        drop |= (i >= lo) & (i < lo + wide)
    begins = (torch.rand(b, 1, t * features.FRAMES, device=mel.device) < 0.012 * much[..., None]).float()
    gone = torch.nn.functional.max_pool1d(torch.nn.functional.pad(begins, (GONE - 1, 0)), GONE, 1).view(b, t, features.FRAMES, 1) > 0
    return m.masked_fill(drop[:, None, None] | gone, 0).view(b, t, -1)
