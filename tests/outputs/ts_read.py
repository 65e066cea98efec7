# SPDX-License-Identifier: Apache-2.0
"""MPEG-TS by ISO 13818-1, for what FFmpeg does not tell: descriptors of the PMT, and PES headers."""


def crc32(data):
    """Of sections: over one with its CRC it is 0."""
    crc = 0xffffffff
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04c11db7 if crc & 0x80000000 else 0)) & 0xffffffff
    return crc


def packets(data):
    """(pid, begins, payload) of each, whose continuity is looked at."""
    counters = {}
    assert len(data) % 188 == 0, len(data)
    for at in range(0, len(data), 188):
        p = data[at:at + 188]
        assert p[0] == 0x47, at
        pid, counter = (p[1] & 0x1f) << 8 | p[2], p[3] & 0xf
        if not p[3] & 0x10:
            continue
        assert pid not in counters or counter == (counters[pid] + 1) % 16, (pid, at // 188, counter, counters[pid])
        counters[pid] = counter
        yield pid, bool(p[1] & 0x40), p[4 + (1 + p[4] if p[3] & 0x20 else 0):]


def section(payload):
    body = payload[1 + payload[0]:]
    body = body[:3 + ((body[1] & 0xf) << 8 | body[2])]
    assert crc32(body) == 0, body.hex()
    return body


def descriptors(data):
    out = []
    while data:
        assert len(data) >= 2 + data[1], data.hex()
        out.append((data[0], data[2:2 + data[1]]))
        data = data[2 + data[1]:]
    return out


def pmts(data):
    """Each PMT: {pid: (stream_type, [(tag, bytes), ...])}"""
    pids, found = set(), []
    for pid, begins, payload in packets(data):
        if pid == 0 and begins:
            body = section(payload)[8:-4]
            pids |= {(body[i + 2] & 0x1f) << 8 | body[i + 3] for i in range(0, len(body), 4) if body[i:i + 2] != b"\0\0"}
        elif pid in pids and begins:
            body = section(payload)
            at, table = 12 + ((body[10] & 0xf) << 8 | body[11]), {}
            while at < len(body) - 4:
                n = (body[at + 3] & 0xf) << 8 | body[at + 4]
                table[(body[at + 1] & 0x1f) << 8 | body[at + 2]] = (body[at], descriptors(body[at + 5:at + 5 + n]))
                at += 5 + n
            assert at == len(body) - 4
            found.append(table)
    return found


def pes(data, wanted):
    """Of one PID: (pts in s, PES_private_data or None, payload)"""
    def one(b):
        assert b[:3] == b"\0\0\1" and len(b) == 6 + (b[4] << 8 | b[5]), (b[:9].hex(), len(b))
        assert b[7] & 0x80
        t = b[9:14]
        pts = (t[0] >> 1 & 7) << 30 | t[1] << 22 | t[2] >> 1 << 15 | t[3] << 7 | t[4] >> 1
        private, at = None, 9 + {2: 5, 3: 10}[b[7] >> 6]
        assert not b[7] & 0x3e
        if b[7] & 1:
            assert b[at] & 0xf1 == 0x80, b[at]
            private = b[at + 1:at + 17]
            at += 17
        assert at <= 9 + b[8] and set(b[at:9 + b[8]]) <= {0xff}
        return pts / 90000, private, b[9 + b[8]:]

    gathered = b""
    for pid, begins, payload in packets(data):
        if pid != wanted:
            continue
        if begins and gathered:
            yield one(gathered)
        gathered = payload if begins else gathered + payload
    yield one(gathered)
