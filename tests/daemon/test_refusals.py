# SPDX-License-Identifier: Apache-2.0
"""Bad input gets a clear error on its own connection or stream; everything else runs on."""
import asyncio
import os
import socket
import ssl
import subprocess
import time

import websockets

from harness import PATIENCE, Daemon, folder, main, wav, words
from test_streams import close_code, frame, raw_websocket


def run(exe, *args, env=None):
    daemon = Daemon(exe, *args, env=env, ready=False)
    try:
        out, _ = daemon.proc.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        daemon.proc.kill()
        raise AssertionError("did not refuse: " + " ".join(args))
    return daemon.proc.returncode, out, daemon.stderr()


def refuses(exe, code, part, *args, env=None):
    rc, out, err = run(exe, *args, env=env)
    assert rc == code and part in err and "Sanitizer" not in err, (args, rc, err)
    assert err.count("lumivoxd:") == 1, err


def test_flags(exe):
    """unknown flags, wrong values and missing ones are usage errors that say what is allowed"""
    refuses(exe, 2, "unknown flag '--nope'", "--nope")
    refuses(exe, 2, "unknown flag '-x'", "-x")
    refuses(exe, 2, "allowed are 0 to 65535", "--port", "65536")
    refuses(exe, 2, "allowed are 1 to 4096", "--rows=0")
    refuses(exe, 2, "allowed are clock|max", "--pace", "fast")
    refuses(exe, 2, "needs a value", "--device")
    refuses(exe, 2, "two streams 'a'", "a=x.wav", "a=y.wav")
    refuses(exe, 2, "no lane 'subtitles'; it has caption, translation, description",
            "--lanes", "subtitles", "a.wav")
    refuses(exe, 2, "does not translate to 'xx', but to de, fr", "--translate-to", "xx")
    refuses(exe, 2, "error, warn, info, debug", "--log-level", "loud")
    refuses(exe, 2, "both or neither", "--tls-cert", "x.pem")
    refuses(exe, 2, "gopher", "gopher://x/")
    refuses(exe, 1, "no device 'none'", "--device", "none")
    refuses(exe, 1, "no such model", "--model", "/nonexistent")
    for flag in ("--help", "--version", "--list-compute"):
        rc, out, err = run(exe, flag)
        assert rc == 0 and out, (flag, rc, err)


def test_config(exe):
    """the file's errors name file, line, key and what is allowed"""
    cases = [
        ("[daemon]\nport = 80x\n", ":2: 'port' is '80x'; allowed are 0 to 65535"),
        ("[daemon]\nprot = 1\n", ":2: unknown key 'prot' in [daemon]; known are model, "),
        ("[server]\nport = 1\n", ":2: unknown section [server]"),
        ("[daemon]\n\nnonsense\n", ":3: expected 'key = value'"),
        ("[stream a b]\nuri = x\n", ":2: 'a b' is not a stream id"),
        ("[stream a]\npace = clock\n", "[stream a] has no uri"),
        ("[stream a]\nuri = x\nuri = y\n", ":3: 'uri' is said twice in [stream a]"),
        ("[stream a]\nuri = x.wav\nport = 3\n", ":3: unknown key 'port' in [stream a]"),
        ("[daemon]\nprint = maybe\n", ":2: 'print' is 'maybe'; allowed are true and false"),
    ]
    with folder() as d:
        path = d + "/lumivox.ini"
        for text, part in cases:
            with open(path, "w") as f:
                f.write(text)
            refuses(exe, 2, part, "--config", path)
        refuses(exe, 2, "none.ini", "--config", d + "/none.ini")
        wav(d + "/a.wav", 2)
        with open(path, "w") as f:
            f.write("; a comment\n[daemon]\nlanes = caption\nrows = 3\nprint = yes\n"
                    "exit-when-done = true\n[stream hall]\nuri = %s/a.wav\npace = max\n"
                    "lanes = translation\ntranslate-to = fr\nprefix = one\n  two\n" % d)
        rc, out, err = run(exe, "--config", path, f"second={d}/a.wav", "--pace", "max")
        assert rc == 0 and "hall  0:00.1 translation t0" in out, (rc, out, err)
        assert "second  0:00.1 caption c0" in out and "3 rows, 2 streams" in err, (out, err)


def test_port_in_use(exe):
    """a port in use is named, with exit code 1"""
    with Daemon(exe) as daemon:
        refuses(exe, 1, f"port {daemon.port} of 127.0.0.1 is in use", "--port", str(daemon.port))
        assert daemon.http("GET", "/healthz")[0] == 200


async def test_bad_messages(exe):
    """broken JSON and wrong members are answered on their connection, which stays open"""
    cases = [
        ("{", "line 1"), ("[]", "a JSON object is expected"), ("", "message"),
        ('{"type":"subscribe"}', "'stream' is missing"),
        ('{"type":"dance"}', "allowed are subscribe, unsubscribe, push, finish, ping"),
        ('{"type":"subscribe","stream":"a","lane":"caption"}', "unknown key 'lane'"),
        ('{"type":"subscribe","stream":"a","lanes":["x"]}', "no lane 'x'"),
        ('{"type":"subscribe","stream":"a","lanes":[]}', "names no lane"),
        ('{"type":"subscribe","stream":"../a"}', "'stream' must be"),
        ('{"type":"subscribe","stream":"a","from":{"seq":1}}', "'from' must be"),
        ('{"type":"subscribe","stream":"a","from":"then"}', "allowed are now, start"),
        ('{"type":"subscribe","stream":"a","stream":"b"}', "duplicate"),
        ('{"type":"push","format":"mp3"}', "allowed are s16le, f32le, container"),
        ('{"type":"push","format":"s16le"}', "'sample_rate' is missing"),
        ('{"type":"push","format":"s16le","sample_rate":1,"channels":1}', "8000 to 192000"),
        ('{"type":"push","format":"s16le","sample_rate":16000,"channels":2,"channel":2}', "2 of 2"),
        ('{"type":"push","format":"container","channels":2}', "says its"),
        ('{"type":"push","format":"f32le","sample_rate":8000,"channels":1,"prefix":"%s"}'
         % ("x" * 1025), "allowed are 1 to 1024"),
        ('{"type":"ping","ref":[1]}', "'ref' must be"), ('{"type":"finish"}', "no push to finish"),
        ('"\\ud800"', "line 1"),
    ]
    with Daemon(exe) as daemon:
        async with daemon.connect() as s:
            for text, part in cases:
                await s.ws.send(text)
                reply = await s.get()
                assert reply["type"] == "error" and reply["code"] == "invalid", (text, reply)
                assert part in reply["message"], (text, reply)
            reply = await s.ask(type="subscribe", ref="r", stream="none")
            assert reply["code"] == "not_found" and reply["ref"] == "r", reply
            assert (await s.ask(type="ping"))["type"] == "pong"
            for _ in range(32 - len(cases) - 1):
                await s.ws.send("x")
            assert await s.closed() == 1008
        async with daemon.connect() as s:
            assert (await s.ask(type="ping"))["type"] == "pong"


async def test_bad_frames(exe):
    """giant messages, binary without a push, text that is not UTF-8, broken frames: own codes"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 4)}", "--lanes", "caption") as daemon:
        async with daemon.connect() as viewer:
            await viewer.ask(type="subscribe", stream="a", **{"from": "start"})
            async with daemon.connect() as s:
                await s.ws.send('{"type":"ping","ref":"' + "x" * 70000 + '"}')
                assert (await s.get())["code"] == "too_large"
                assert await s.closed() == 1009
            async with daemon.connect() as s:
                async def endless():
                    while True:
                        yield "x" * 10000
                try:
                    await s.ws.send(endless())
                except websockets.ConnectionClosed:
                    pass
                # It never stopped to read, so a reset may overtake the code.
                assert await s.closed() in (1009, None)
            async with daemon.connect() as s:
                await s.ws.send(b"binary")
                assert (await s.get())["code"] == "invalid"
                assert await s.closed() == 1003
            for data in (frame(b"\xff\xfe{}"), frame(b"{}", opcode=5),
                         b"\x81\xff" + b"\xff" * 8 + b"\0\0\0\0",
                         frame(b"x" * 200, opcode=9), b"\0" * 100):
                s = raw_websocket(daemon.port)
                s.sendall(data)
                if data[0] == 0x81 and data[1] == 0xff:
                    s.shutdown(socket.SHUT_WR)  # it waits for the rest, rightly
                code = close_code(s)
                assert code in (1002, 1007, None), (data[:20], code)
                s.close()
            for data in (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 3000, b"\x16\x03\x01\0\xff" * 50,
                         b"GET " + b"/a" * 40000 + b" HTTP/1.1\r\n\r\n", b"\r\n\r\n\r\n"):
                with socket.create_connection(("127.0.0.1", daemon.port)) as s:
                    try:
                        s.sendall(data)
                        s.shutdown(socket.SHUT_WR)
                        s.recv(65536)
                    except OSError:
                        pass
            got = await viewer.until("end")
            assert words(got) == [f"c{i}" for i in range(10)]


async def test_request_flood(exe):
    """who asks without end and reads no answer is held back, not buffered, and then served in order"""
    with Daemon(exe) as daemon:
        s = raw_websocket(daemon.port)
        s.settimeout(3)
        sent = 0
        try:
            while True:
                s.sendall(b"".join(frame(b'{"type":"ping","ref":%d}' % k)
                                   for k in range(sent, sent + 100)))
                sent += 100
                assert sent < 10**6
        except socket.timeout:
            pass
        s.settimeout(PATIENCE)
        async with daemon.connect() as other:
            assert (await other.ask(type="ping"))["type"] == "pong"
        rss = int(open(f"/proc/{daemon.proc.pid}/statm").read().split()[1]) * 4096
        assert rss < 500 << 20, rss
        data, last, at = b"", b'"ref":%d}' % (sent - 1), 0
        while last not in data[at:]:  # more may follow: what the last try had sent
            at = max(0, len(data) - len(last))
            data += s.recv(1 << 20)
        refs = [int(part.split(b"}")[0]) for part in data.split(b'"ref":')[1:]]
        assert refs[:sent] == list(range(sent)), sent
        s.close()


def test_http(exe):
    """streams are made, changed and deleted over HTTP; what is wrong is told"""
    with folder() as d, Daemon(exe, "--allow-schemes", "file,https", "--rows", "2", "--lanes",
                               "caption") as daemon:
        wav(d + "/a.wav", 30)
        status, body = daemon.http("POST", "/api/streams", {"id": "a", "uri": d + "/a.wav"})
        assert status == 201 and body["id"] == "a" and body["lanes"] == ["caption"], body
        status, body = daemon.http("POST", "/api/streams", {"id": "a", "uri": d + "/a.wav"})
        assert status == 409 and body["error"]["code"] == "exists", body
        status, body = daemon.http("POST", "/api/streams", {"uri": d + "/a.wav", "pace": "max"})
        assert status == 201 and body["id"] == "stream-1", body
        epoch = body["epoch"]
        daemon.wait_for("stream-1", lambda i: i.get("end_reason") == "ended")
        status, body = daemon.http("POST", "/api/streams", {"id": "stream-1", "uri": d + "/a.wav"})
        assert status == 201 and body["epoch"] > epoch, body  # an ended one is replaced
        status, body = daemon.http("POST", "/api/streams", {"uri": d + "/a.wav"})
        assert status == 503 and "all 2 rows are taken (--rows)" in body["error"]["message"], body
        status, body = daemon.http("PATCH", "/api/streams/a", {"lanes": ["description"]})
        assert status == 200 and body["lanes"] == ["description"], body
        status, body = daemon.http("PATCH", "/api/streams/a", {"lanes": ["translation"]})
        assert status == 400 and "without a language" in body["error"]["message"], body
        status, body = daemon.http("GET", "/api/streams")
        assert [s["id"] for s in body["streams"]] == ["a", "stream-1"], body
        assert body["limits"]["streams_used"] == 2 and body["limits"]["schemes"] == ["file", "https"]
        assert daemon.http("DELETE", "/api/streams/a")[0] == 204
        assert daemon.http("DELETE", "/api/streams/a")[0] == 404
        for uri, want in (("rtsp://x/", 403), ("rtmp://user:secret@x/", 403), ("mic:", 403)):
            status, body = daemon.http("POST", "/api/streams", {"uri": uri})
            assert status == want and "file,https" in body["error"]["message"], body
        for body in (b"", b"{", b"[]", {"uri": 3}, {"url": "x"}, {"uri": ""}, {"id": "ä", "uri": "x"},
                     {"uri": "x", "channel": -1}, {"uri": "x", "pace": "no"},
                     {"uri": "x", "lanes": ["caption", 3]}, {"uri": "x", "translate_to": "xx"}):
            status, reply = daemon.http("POST", "/api/streams", body)
            assert status == 400 and reply["error"]["code"] == "invalid", (body, reply)
        assert daemon.http("POST", "/api/streams", b"x" * 70000)[0] == 413
        assert daemon.http("PUT", "/api/streams", {})[0] == 405
        assert daemon.http("GET", "/api/nothing")[0] == 404
        assert daemon.http("GET", "/api/ws")[0] == 400
        assert daemon.http("GET", "/api/streams/" + "x" * 400)[0] == 404
        for head in ("Content-Length: 9000000000", "Transfer-Encoding: chunked", "Content-Length: -5"):
            with socket.create_connection(("127.0.0.1", daemon.port)) as s:
                s.sendall(f"POST /api/streams HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode())
                s.settimeout(PATIENCE)
                assert s.recv(4096).split()[1] in (b"400", b"413"), head
        # A file that is none: the stream fails, and nothing else.
        status, body = daemon.http("POST", "/api/streams", {"id": "bad", "uri": d + "/none.wav"})
        assert status == 201, body
        info = daemon.wait_for("bad", lambda i: i.get("end_reason"))
        assert info["end_reason"] == "failed" and "none.wav" in info["message"], info
        status, body = daemon.http("GET", "/healthz")
        assert status == 200 and body["status"] == "ok" and body["streams"] == 1, body


def test_default_schemes(exe):
    """files and microphones cannot be opened over the network unless that was configured"""
    with Daemon(exe) as daemon:
        for uri in ("/etc/passwd", "file:///etc/passwd", "etc/passwd", "mic:", "v4l2:/dev/video0",
                    "FILE:/etc/passwd", " /etc/passwd", "//host/x", "http:"):
            status, body = daemon.http("POST", "/api/streams", {"uri": uri})
            assert status in (400, 403), (uri, status, body)
        assert daemon.http("GET", "/api/streams")[1]["streams"] == []


async def refused(connecting, status):
    try:
        async with connecting:
            raise AssertionError("it was let in")
    except websockets.InvalidStatusCode as e:
        assert e.status_code == status, e.status_code


async def test_token(exe):
    """a token is needed where one is set: 401 without, or with a wrong one"""
    refuses(exe, 2, "needs a token", "--bind", "0.0.0.0")
    refuses(exe, 2, "needs a token", "--bind", "*")
    with folder() as d:
        with open(d + "/token", "w") as f:
            f.write("s3cret\n")
        with open(d + "/empty", "w") as f:
            f.write("\n")
        refuses(exe, 2, "the first line is empty", "--token-file", d + "/empty")
        with Daemon(exe, "--bind", "0.0.0.0", "--token-file", d + "/token") as daemon:
            await refused(daemon.connect(), 401)
            await refused(daemon.connect("/api/ws?token=S3cret"), 401)
            await refused(daemon.connect("/api/ws?token="), 401)
            await refused(daemon.connect(extra_headers={"Authorization": "Bearer s3cre"}), 401)
            async with daemon.connect("/api/ws?token=s3cret") as s:
                assert (await s.ask(type="ping"))["type"] == "pong"
            async with daemon.connect(extra_headers={"Authorization": "Bearer s3cret"}) as s:
                assert (await s.ask(type="ping"))["type"] == "pong"
            for path in ("/api/streams", "/metrics", "/api/streams/x"):
                status, body = daemon.http("GET", path)
                assert status == 401 and body["error"]["code"] == "unauthorized", body
            assert daemon.http("POST", "/api/streams", {"uri": "http://x/"})[0] == 401
            assert daemon.http("GET", "/healthz")[0] == 200
            good = {"Authorization": "Bearer s3cret"}
            assert daemon.http("GET", "/api/streams", headers=good)[0] == 200
            assert "s3cret" not in daemon.stderr()
    with Daemon(exe, env={"LVX_TOKEN": "envtoken"}) as daemon:
        assert daemon.http("GET", "/api/streams")[0] == 401
        assert daemon.http("GET", "/api/streams?token=envtoken")[0] == 200


async def test_origin(exe):
    """pages of other origins are refused, unless allowed; so is a rebound host name"""
    with Daemon(exe, "--allow-origin", "https://good.example") as daemon:
        own = f"http://127.0.0.1:{daemon.port}"
        for origin, ok in ((own, True), ("https://good.example", True), ("https://evil.example", False),
                           ("null", False), ("https://good.example.evil", False),
                           ("http://127.0.0.1:1", False)):
            status, _ = daemon.http("GET", "/api/streams", headers={"Origin": origin})
            assert status == (200 if ok else 403), (origin, status)
            if ok:
                async with daemon.connect(extra_headers={"Origin": origin}) as s:
                    assert (await s.ask(type="ping"))["type"] == "pong"
            else:
                await refused(daemon.connect(extra_headers={"Origin": origin}), 403)
        status, head, _ = daemon.http("OPTIONS", "/api/streams", raw=True, headers={
            "Origin": "https://good.example", "Access-Control-Request-Method": "POST"})
        assert status == 204 and head["access-control-allow-origin"] == "https://good.example"
        status, body = daemon.http("GET", "/api/streams", headers={"Host": "evil.example"})
        assert status == 403 and "Host" in body["error"]["message"], body
        status, body = daemon.http("GET", "/api/streams", headers={
            "Host": "evil.example", "Origin": "http://evil.example"})
        assert status == 403, body
        assert daemon.http("GET", "/api/streams", headers={"Host": "localhost:1"})[0] == 200


async def test_limits(exe):
    """connections and streams over the limit are refused by name; others go on"""
    with Daemon(exe, "--max-connections", "2", "--rows", "1") as daemon:
        async with daemon.connect() as a, daemon.connect() as b:
            await refused(daemon.connect(), 503)
            reply = await a.ask(type="push", format="s16le", sample_rate=16000, channels=1)
            assert reply["type"] == "pushing" and reply["stream"] == "push-1", reply
            reply = await b.ask(type="push", format="s16le", sample_rate=16000, channels=1)
            assert reply["code"] == "over_limit" and "--rows" in reply["message"], reply
            reply = await b.ask(type="push", stream="push-1", format="container")
            assert reply["code"] == "exists", reply
            reply = await a.ask(type="push", format="container")
            assert reply["code"] == "invalid", reply
        end = time.monotonic() + PATIENCE
        while True:  # it may not have seen yet that they went
            try:
                async with daemon.connect() as s:
                    assert (await s.ask(type="ping"))["type"] == "pong"
                    break
            except websockets.InvalidStatusCode:
                assert time.monotonic() < end
                await asyncio.sleep(0.1)


def test_page(exe):
    """the page is served, and nothing outside its folder"""
    with folder() as d:
        os.makedirs(d + "/web/sub")
        for name, text in (("web/index.html", "<!doctype html>hello"), ("web/app.js", "1"),
                           ("web/sub/x.css", "a{}"), ("web/.hidden.js", "no"), ("secret.txt", "no"),
                           ("web/run.sh", "no")):
            with open(f"{d}/{name}", "w") as f:
                f.write(text)
        os.symlink(d + "/secret.txt", d + "/web/link.txt")
        with Daemon(exe, "--web-root", d + "/web", "--token", "t") as daemon:
            status, head, text = daemon.http("GET", "/", raw=True)
            assert status == 200 and b"hello" in text and "text/html" in head["content-type"]
            assert "default-src 'self'" in head["content-security-policy"], head
            assert daemon.http("GET", "/?token=t", raw=True)[0] == 200
            status, head, _ = daemon.http("GET", "/app.js", raw=True)
            assert status == 200 and "javascript" in head["content-type"]
            assert daemon.http("GET", "/sub/x.css", raw=True)[0] == 200
            for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/sub/../../secret.txt", "/link.txt",
                         "/.hidden.js", "/run.sh", "/none.html", "/sub", "//etc/passwd", "/sub/",
                         "/app.js%00.html", "/..%5csecret.txt"):
                with socket.create_connection(("127.0.0.1", daemon.port)) as s:
                    s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                    s.settimeout(PATIENCE)
                    reply = s.recv(4096)
                    assert b" 200 " not in reply.split(b"\r\n")[0], (path, reply)
                    assert b"no\n" not in reply and not reply.endswith(b"no"), (path, reply)


async def test_tls(exe):
    """with a certificate it speaks TLS; plain requests and bad files get nowhere"""
    with folder() as d:
        cert, key = d + "/cert.pem", d + "/key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert, "-days",
                        "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
                       check=True, capture_output=True)
        with open(d + "/junk.pem", "w") as f:
            f.write("junk")
        refuses(exe, 1, "none.pem", "--tls-cert", d + "/none.pem", "--tls-key", key)
        rc, _, err = run(exe, "--tls-cert", d + "/junk.pem", "--tls-key", key)
        assert rc == 1 and "is it a certificate" in err, err
        context = ssl.create_default_context(cafile=cert)
        sound = wav(d + "/a.wav", 2)
        with Daemon(exe, f"a={sound}", "--tls-cert", cert, "--tls-key", key, "--lanes",
                    "caption") as daemon:
            async with daemon.connect(ssl=context) as s:
                await s.ask(type="subscribe", stream="a", **{"from": "start"})
                assert words(await s.until("end")) == [f"c{i}" for i in range(5)]
            with socket.create_connection(("127.0.0.1", daemon.port)) as plain:
                plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                plain.settimeout(PATIENCE)
                try:
                    assert b" 200 " not in plain.recv(1000)
                except OSError:
                    pass
            async with daemon.connect(ssl=context) as s:
                assert (await s.ask(type="ping"))["type"] == "pong"


def test_metrics(exe):
    """/metrics is well-formed Prometheus text and counts what happened"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 2)}", "--lanes", "caption") as daemon:
        daemon.wait_for("a", lambda i: i.get("end_reason"))
        status, head, text = daemon.http("GET", "/metrics", raw=True)
        assert status == 200 and head["content-type"].startswith("text/plain; version=0.0.4")
        values = {}
        for line in text.decode().splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                assert name.startswith("lumivox_") and name not in values, line
                values[name] = float(value)
        assert values['lumivox_words_total{stream="a"}'] == 5
        assert values['lumivox_latency_seconds_count{stream="a"}'] == 5
        assert values['lumivox_latency_seconds_bucket{stream="a",le="+Inf"}'] == 5
        assert 0 < values['lumivox_latency_seconds_sum{stream="a"}'] < 5 * PATIENCE
        assert values["lumivox_resident_bytes"] > 1e6 and values["lumivox_rows_used"] == 0


if __name__ == "__main__":
    main([test_flags, test_config, test_port_in_use, test_bad_messages, test_bad_frames, test_request_flood, test_http,
          test_default_schemes, test_token, test_origin, test_limits, test_page, test_tls,
          test_metrics])
