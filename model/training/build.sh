#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# build.sh [OUT]: the synthesiser program (Debian: libespeak-ng-dev flite1-dev)
cd "$(dirname "$0")" && ${CC:-cc} -O2 -Wall -Wextra -o "${1:-synth}" synth.c -lespeak-ng \
  -lflite_cmu_us_slt -lflite_cmu_us_rms -lflite_cmu_us_awb -lflite_cmu_us_kal16 -lflite_usenglish -lflite_cmulex -lflite -lm
