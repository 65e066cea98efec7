#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a test of this folder in Node; TAP on stdout. argv: SCRIPT [packages]; with "packages", npm's are installed first."""
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
NODE = os.path.join(os.environ["LVX_BUILD"], "page-node")


def skip(why):
    print(f"1..0 # SKIP {why}")
    sys.exit(0)


def install():
    """The pinned packages, beside copies of the scripts."""
    if not shutil.which("npm") or not shutil.which("chromium"):
        skip("npm or chromium is not installed")
    os.makedirs(NODE, exist_ok=True)
    for name in os.listdir(HERE):
        if name.endswith((".mjs", ".json", ".npmrc")):
            shutil.copy(os.path.join(HERE, name), NODE)
    done = os.path.join(NODE, "installed")
    with open(os.path.join(HERE, "package-lock.json"), encoding="utf8") as f:
        lock = f.read()
    if os.path.exists(done):
        with open(done, encoding="utf8") as f:
            if f.read() == lock:
                return
    r = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=NODE, timeout=240,
                       capture_output=True, text=True, check=False)
    if r.returncode != 0:
        skip("npm ci failed: " + " ".join(r.stderr.split())[:300])
    with open(done, "w", encoding="utf8") as f:
        f.write(lock)


if not shutil.which("node"):
    skip("node is not installed")
if int(subprocess.check_output(["node", "-p", "process.versions.node.split('.')[0]"])) < 20:
    skip("Node 20 is needed")
folder = HERE
if "packages" in sys.argv[2:]:
    install()
    folder = NODE
with subprocess.Popen(["node", "--test", "--test-reporter=tap", os.path.join(folder, sys.argv[1])], stdout=subprocess.PIPE,
                      text=True, env={**os.environ, "LVX_ROOT": os.path.dirname(os.path.dirname(HERE))}) as process:
    for line in process.stdout:  # Node's details of a test are no TAP that meson knows
        print(line if re.match(r"(not )?ok |1\.\.|TAP|#", line) else "# " + line, end="", flush=True)
sys.exit(process.returncode)
