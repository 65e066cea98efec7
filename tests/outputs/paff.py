# SPDX-License-Identifier: Apache-2.0
"""H.264 whose pictures are fields (PAFF), which no free encoder makes: 25 frames a second of macroblocks as they are (I_PCM)."""
from ts_read import crc32

WIDTH_MBS, FIELD_MBS = 4, 2  # 64 pixels, and 32 rows a field
GOP = 10


class Bits:
    def __init__(self):
        self.bits = ""

    def u(self, n, value):
        self.bits += format(value, f"0{n}b")
        return self

    def ue(self, *values):
        for value in values:
            code = format(value + 1, "b")
            self.bits += "0" * (len(code) - 1) + code
        return self

    def align(self):
        self.bits += "0" * (-len(self.bits) % 8)
        return self

    def bytes(self):
        return int("1" + self.bits, 2).to_bytes(len(self.bits) // 8 + 1, "big")[1:]


def nal(header, bits):
    rbsp = bits.u(1, 1).align().bytes()
    out, zeros = bytearray(), 0
    for byte in rbsp:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        zeros = 0 if byte else zeros + 1
        out.append(byte)
    return b"\0\0\0\1" + bytes([header]) + bytes(out)


def parameter_sets():
    sps = Bits().u(8, 77).u(8, 0).u(8, 30).ue(0, 0, 0, 4, 1).u(1, 0).ue(WIDTH_MBS - 1, FIELD_MBS - 1)
    sps.u(4, 0b0010)  # frame_mbs_only, mb_adaptive_frame_field, direct_8x8_inference, cropping
    sps.u(1, 1).u(4, 0).u(1, 1).u(32, 1).u(32, 50).u(1, 1).u(4, 0)  # VUI: 50 fields a second
    pps = Bits().ue(0, 0).u(2, 0).ue(0, 0, 0).u(3, 0).ue(0, 0, 0).u(3, 0b100)
    return nal(0x67, sps) + nal(0x68, pps)


def field(frame, bottom):
    """One access unit. The first field of every GOP-th frame is an IDR picture."""
    n, idr = frame % GOP, frame % GOP == 0 and not bottom
    bits = Bits().ue(0, 7, 0).u(4, n).u(1, 1).u(1, bottom)
    if idr:
        bits.ue(frame // GOP % 2)
    bits.u(8, 2 * n + bottom).u(2 if idr else 1, 0).ue(0, 1)  # dec_ref_pic_marking, slice_qp_delta, no deblocking
    for mb in range(WIDTH_MBS * FIELD_MBS):
        bits.ue(25).align()
        luma = 32 + (frame * 5 + mb * 11 + bottom * 3) % 180
        bits.bits += format(luma, "08b") * 256 + format(100 + frame % 50, "08b") * 128
    return nal(0x09, Bits().u(3, 0)) + (parameter_sets() if idr else b"") + nal(0x65 if idr else 0x61, bits)


def packets(pid, counters, payload, pcr=None):
    """Of MPEG-TS: what begins in one of its own."""
    at = 0
    while at < len(payload):
        field = b"\x10" + (pcr << 15 | 0x3f << 9).to_bytes(6, "big") if at == 0 and pcr is not None else b""
        n = min(len(payload) - at, 183 - len(field) if field else 184)
        stuffed = 184 - n
        if stuffed:
            field = bytes([stuffed - 1]) + ((field or b"\0") + 184 * b"\xff")[:stuffed - 1]
        head = bytes([0x47, (0x40 if at == 0 else 0) | pid >> 8, pid & 255, (0x30 if stuffed else 0x10) | counters.get(pid, 0)])
        counters[pid] = (counters.get(pid, 0) + 1) % 16
        yield head + field + payload[at:at + n]
        at += n


def section(body):
    return b"\0" + body + crc32(body).to_bytes(4, "big")


def write_ts(path, frames, together):
    """together: both fields of a frame in one PES packet, as one time is said for; or each in its own."""
    counters, first = {}, 90000
    with open(path, "wb") as f:
        for i in range(frames):
            if i % GOP == 0:
                tables = ((0, b"\0\xb0\x0d\0\1\xc1\0\0\0\1\xf0\0"),
                          (0x1000, b"\2\xb0\x12\0\1\xc1\0\0\xe1\0\xf0\0\x1b\xe1\0\xf0\0"))
                f.writelines(p for pid, table in tables for p in packets(pid, counters, section(table) + b"\xff" * 140))
            fields = [field(i, 0), field(i, 1)]
            for k, unit in enumerate([b"".join(fields)] if together else fields):
                pts = first + i * 3600 + k * 1800
                time = bytes([0x21 | pts >> 29 & 0xe, pts >> 22 & 255, pts >> 14 & 0xfe | 1, pts >> 7 & 255, pts << 1 & 0xfe | 1])
                pes = b"\0\0\1\xe0" + (8 + len(unit)).to_bytes(2, "big") + b"\x84\x80\5" + time + unit
                f.writelines(packets(0x100, counters, pes, pts - 9000))
    return path
