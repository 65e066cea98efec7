# SPDX-License-Identifier: Apache-2.0
"""What the tests of the doors share: a daemon with token or TLS, sound, and Node with its packages."""
import json
import os
import shutil
import ssl
import subprocess
import sys
import unittest
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
import lvx  # noqa: E402

PATIENCE_S = 240  # only a hang takes so long, on however busy a machine
NODE = os.path.join(lvx.BUILD, "doors-node")


class Daemon(lvx.Daemon):
    """As lvx.Daemon; tls: a self-signed certificate is made for it."""

    def __init__(self, *args, tls=False, env=None):
        super().__init__(*args, env=env)
        self.context = None
        if not tls:
            return
        self.cert, key = (os.path.join(lvx.BUILD, f"doors-{n}.pem") for n in ("cert", "key"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key,
                        "-out", self.cert], check=True, capture_output=True)
        self.args += ["--tls-cert", self.cert, "--tls-key", key]
        self.url = self.url.replace("http:", "https:")
        self.context = ssl.create_default_context(cafile=self.cert)

    def __exit__(self, *exc):
        self.process.terminate()
        code = self.process.wait(90)
        log = self.log
        super().__exit__(*exc)
        assert code == 0 and "Sanitizer" not in log and "runtime error" not in log, log[-4000:]

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=90, context=self.context) as r:
            body = r.read().decode()
        return json.loads(body) if r.headers.get_content_type() == "application/json" else body


def clip(name, *options, seconds=8):
    """A file with the beginning of the bundled clip, as ffmpeg's options say."""
    path = os.path.join(lvx.BUILD, "doors-" + name)
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", lvx.CLIP, "-t", str(seconds), "-vn", *options,
                    path], check=True)
    return path


def raw(seconds=8, rate=16000):
    return clip(f"{rate}-{seconds}.raw", "-ac", "1", "-ar", str(rate), "-f", "s16le", seconds=seconds)


def spoken(name="doors-spoken.wav"):
    """Speech of our own."""
    path = os.path.join(lvx.BUILD, name)
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "140", "-w", path,
                    "Good morning. This is the news. The weather will be warm today."], check=True)
    return path


def need_node():
    """Installs the pinned packages beside copies of the scripts, or skips the test."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise unittest.SkipTest("node and npm are not installed")
    major = int(subprocess.check_output(["node", "-p", "process.versions.node.split('.')[0]"]))
    if major < 20:
        raise unittest.SkipTest(f"the npm packages want Node 20; this is {major}")
    os.makedirs(NODE, exist_ok=True)
    for name in os.listdir(HERE):
        if name.endswith((".mjs", ".json", ".npmrc")):
            shutil.copy(os.path.join(HERE, name), NODE)
    with open(os.path.join(HERE, "package-lock.json"), encoding="utf8") as f:
        lock = f.read()
    done = os.path.join(NODE, "installed")
    if os.path.exists(done):
        with open(done, encoding="utf8") as f:
            if f.read() == lock:
                return
    try:
        result = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=NODE,
                                timeout=PATIENCE_S, capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired as e:
        raise unittest.SkipTest("npm ci does not come to an end") from e
    if result.returncode != 0:
        raise unittest.SkipTest("npm ci failed: " + " ".join(result.stderr.split())[:300])
    with open(done, "w", encoding="utf8") as f:
        f.write(lock)


def main(wants_node=False):
    """As lvx.main; 77 where all tests of the script want Node and it cannot be had."""
    try:
        if wants_node:
            need_node()
    except unittest.SkipTest as e:
        print(f"skipped: {e}")
        sys.exit(lvx.SKIP)
    lvx.main()


def node(script, *args, env=None, seconds=PATIENCE_S):
    """The JSON lines that a script of this folder prints."""
    result = subprocess.run(["node", script, *args], cwd=NODE, capture_output=True, text=True, timeout=seconds,
                            env={**os.environ, **(env or {})}, check=False)
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode != 0:
        raise AssertionError(f"{script}: {result.stderr[-2000:]}\n{result.stdout[-2000:]}")
    return lines
