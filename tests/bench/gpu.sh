#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the runner's tests and lumivox-bench on a GPU's machine that has neither compiler nor
# Vulkan's loader: everything that is needed goes there as one folder.
#
#   tests/bench/gpu.sh pack FOLDER [PCM]   here, from ./build; PCM: s16le mono 16 kHz speech
#   FOLDER/gpu.sh run OUT [SECONDS] [PART...]
#       there, in a checkout of the source; the report is OUT/report.txt, written as it goes. It stops
#       starting things after SECONDS (500), and each part has a time of its own, most important
#       ones first. Two calls give the table of docs/PERFORMANCE.md:
#       "streams": ratios held two whole torch; "rest": lite kernels parity loss validation profile
#       Further: 1b nano (the most streams, looked for) m3 plain products; compare: 1b beside another build's
#       bench, FOLDER/bin/lumivox-bench-before, shapes of work groups for 64 positions
set -u

pack() {
	folder=$1 lib=/usr/lib/x86_64-linux-gnu
	rm -rf "$folder"
	mkdir -p "$folder/bin" "$folder/lib" "$folder/lib-x11" "$folder/layers"
	cp tests/bench/gpu.sh "$folder/"
	for t in test_parity test_runner test_kernels test_products test_loss lumivox-bench; do
		[ -f "build/tests/model/$t" ] && strip -o "$folder/bin/$t" "build/tests/model/$t"
	done
	for l in libjansson.so.4 libkissfft-float.so.131 libcmocka.so.0 libvulkan.so.1 libutf8proc.so.2; do
		cp -L "$lib/$l" "$folder/lib/"
	done
	# what NVIDIA's driver links
	for l in libX11.so.6 libXext.so.6 libxcb.so.1 libXau.so.6 libXdmcp.so.6 libbsd.so.0 libmd.so.0 \
		libGLdispatch.so.0 libGLX.so.0 libEGL.so.1; do
		[ -e "$lib/$l" ] && cp -L "$lib/$l" "$folder/lib-x11/"
	done
	gzip -9c "$lib/libVkLayer_khronos_validation.so" >"$folder/layers/validation.so.gz"
	cp /usr/share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json "$folder/layers/"
	pwd >"$folder/source" # the tests know their data by this path
	[ $# -gt 1 ] && cp "$2" "$folder/speech.s16"
	du -sh "$folder"
}

# part NAME SECONDS COMMAND...: unless time is up; its output goes to the report.
part() {
	name=$1 most=$2
	shift 2
	left=$((deadline - $(date +%s)))
	[ $left -lt 5 ] && echo "=== $name: no time left" >>"$report" && return
	[ $left -lt $most ] && most=$left
	echo "=== $name: $*" >>"$report"
	begin=$(date +%s)
	timeout -k 2 $most "$@" >>"$report" 2>&1
	echo "=== $name: rc $? after $(($(date +%s) - begin)) s" >>"$report"
}

run() {
	folder=$(cd "$(dirname "$0")" && pwd) out=$1 seconds=${2:-500}
	shift
	[ $# -gt 0 ] && shift
	parts=" ${*:-streams} "
	parts=$(echo "$parts" | sed 's/ streams / ratios held two whole torch /; s/ rest / lite kernels parity loss validation profile /')
	mkdir -p "$out"
	report=$out/report.txt deadline=$(($(date +%s) + seconds)) bench=$folder/bin/lumivox-bench
	source=$(cat "$folder/source")
	if [ ! -e "$source" ]; then
		mkdir -p "$(dirname "$source")"
		ln -s "$(pwd)" "$source"
	fi
	gzip -dc "$folder/layers/validation.so.gz" >"$folder/layers/libVkLayer_khronos_validation.so"
	sed -i 's|"library_path": "lib|"library_path": "./lib|' "$folder/layers/VkLayer_khronos_validation.json"
	export LD_LIBRARY_PATH="$folder/lib:/usr/local/nvidia/lib64:/usr/local/nvidia/lib:${LD_LIBRARY_PATH:-}"
	LD_LIBRARY_PATH="$LD_LIBRARY_PATH:$folder/lib-x11" # the driver finds libGLX and libEGL nowhere else
	export VK_LAYER_PATH="$folder/layers" XDG_CACHE_HOME="${TMPDIR:-/tmp}/lumivox-cache" LVX_LOG=info
	icd=/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json
	[ -e $icd ] && export VK_DRIVER_FILES=$icd
	mkdir -p "$XDG_CACHE_HOME"
	model="--model model/weights/m3-nano"
	[ -e model/weights/m3-nano/model.safetensors ] || model="--shape nano"
	speech=
	[ -e "$folder/speech.s16" ] && speech="--pcm $folder/speech.s16"
	nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader >>"$report" 2>&1
	for p in $parts; do
		case $p in
		# batch 1 and 64 against the ceilings, five times
		ratios)
			for i in 1 2 3 4 5; do
				part "1b ratios $i" 30 "$bench" --shape 1b --rows 64 --no-held $speech
			done
			;;
		# for 60 s, side by side where there are two devices
		held)
			other=0
			"$bench" --shape tiny --device 1 --no-ceilings --no-batches --no-held >/dev/null 2>&1 && other=1
			(
				report=$out/nano.txt
				part "nano held" 100 "$bench" $model --device $other --rows 3000 --streams 3000 --pictures \
					--no-ceilings --no-batches $speech
			) &
			[ $other = 1 ] || wait
			part "1b held" 100 "$bench" --shape 1b --device 0 --rows 1000 --streams 1000 --no-ceilings \
				--no-batches $speech
			wait
			cat "$out/nano.txt" >>"$report"
			;;
		# the most streams, and their tick times, batch 1 and ceilings
		1b) part 1b 170 "$bench" --shape 1b --rows 1600 $speech ;;
		nano) part nano 170 "$bench" $model --rows 8192 --pictures $speech ;;
		# one part a batch against two, at one number of streams
		whole)
			for split in 1000000 1024; do
				part "nano split $split" 35 "$bench" $model --rows 3000 --streams 3000 \
					--seconds 8 --split $split --no-ceilings --no-batches $speech
			done
			;;
		lite) part m3-lite 200 "$bench" --shape m3-lite --rows 8 --pictures $speech --no-held ;;
		two)
			for devices in 0 0,1; do
				part "nano on $devices" 100 "$bench" $model --device $devices --rows 8192 --pictures --seconds 5 \
					--no-ceilings --no-batches $speech
			done
			;;
		parity) part parity 40 "$folder/bin/test_parity" ;;
		kernels)
			part kernels 120 "$folder/bin/test_kernels"
			part runner 60 "$folder/bin/test_runner"
			part "products against C" 60 "$folder/bin/test_products"
			;;
		loss) part loss 60 "$folder/bin/test_loss" ;;
		validation)
			part validation 120 env LVX_VALIDATION=1 "$folder/bin/test_kernels"
			part "validation of a lost device" 60 env LVX_VALIDATION=1 "$folder/bin/test_loss"
			;;
		profile)
			part "1b profile of 64" 40 "$bench" --shape 1b --rows 64 --no-ceilings --no-batches --no-held --profile
			part "m3-lite profile" 90 "$bench" --shape m3-lite --rows 8 --no-ceilings --no-batches \
				--no-held --profile --trace "$out/m3-lite.json"
			part "1b profile" 40 "$bench" --shape 1b --rows 800 --no-ceilings --no-batches --no-held \
				--profile --trace "$out/1b.json"
			part "nano profile" 30 "$bench" $model --rows 4096 --pictures --no-ceilings --no-batches \
				--no-held --profile --trace "$out/nano.json"
			;;
		# the shapes of a work group, by which runner_products.c's table is chosen
		products) part products 120 "$bench" --shape 1b --products ;;
		compare)
			tick="--shape 1b --rows 64 --no-held $speech"
			before=$folder/bin/lumivox-bench-before
			part "before" 25 "$before" $tick
			part "after" 30 "$bench" $tick
			part "profile" 10 "$bench" $tick --no-ceilings --no-batches --profile
			part "profile before" 10 "$before" $tick --no-ceilings --no-batches --profile
			for i in 1 2 3 4; do # in turns: medians of five
				part "before again" 10 "$before" $tick --no-ceilings
				part "after again" 10 "$bench" $tick --no-ceilings
			done
			part "products" 30 "$bench" --shape 1b --products=64
			part "products against C" 100 "$folder/bin/test_products"
			;;
		m3) part m3 60 "$bench" --shape m3 --rows 4 $speech --profile --no-held --no-ceilings ;;
		plain)
			part "nano plain" 20 "$bench" $model --rows 1024 --plain --no-held --no-ceilings $speech
			part "nano exact" 20 "$bench" $model --rows 1024 --exact --no-held --no-ceilings $speech
			;;
		torch)
			part torch 40 python3 -c '
import time, torch
a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
b = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
x = torch.empty(1 << 31, device="cuda", dtype=torch.uint8); y = torch.empty_like(x)
def best(f, n=10):
    f(); torch.cuda.synchronize(); t = []
    for _ in range(5):
        s = time.time()
        for _ in range(n): f()
        torch.cuda.synchronize(); t.append((time.time() - s) / n)
    return sorted(t)[2]
print("torch: bf16 8192^3 %.0f TFLOP/s, copy %.0f GB/s" % (2 * 8192**3 / best(lambda: a @ b) / 1e12,
    2 * x.numel() / best(lambda: y.copy_(x)) / 1e9))'
			;;
		esac
	done
}

case ${1:-} in
pack) shift && pack "$@" ;;
run) shift && run "$@" ;;
*) sed -n '2,15p' "$0" && exit 2 ;;
esac
