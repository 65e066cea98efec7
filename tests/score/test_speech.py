#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speech that needs no data from outside: our own sentences, spoken now in voices that training never heard."""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "e2e")]
import json  # noqa: E402

import lvx  # noqa: E402

if not os.path.isdir(lvx.MODEL):
    print(f"skipped: there is no model at {lvx.MODEL}")
    sys.exit(lvx.SKIP)
with tempfile.NamedTemporaryFile("r", suffix=".json") as f:
    subprocess.run([sys.executable, os.path.join(HERE, "score.py"), "--json", f.name, "own"], check=True)
    figures = json.load(f)
if not figures:
    sys.exit(lvx.SKIP)
if not lvx.RANDOM_MODEL and figures["own"]["wer"] > 0.35:
    sys.exit(f"the word error rate is {figures['own']['wer']:.1%}; 35 % is the bound")
