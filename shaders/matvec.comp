#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * y = W x for few positions on a GPU; with NORM y = W N x, the scale of N last. A work group takes
 * 2 tiles (16 rows) and NP positions; 8 of its invocations are the rows of a tile, the others share
 * the columns, so that even a small matrix keeps many loads in flight. The sums of one row and
 * position are the same whatever NP. Summed: an item is a position, and y the sum of its experts' y
 * by their shares.
 */
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "weights.glsl"

layout(constant_id = 3) const uint WG = 128;
layout(constant_id = 4) const bool SCALE16 = false;
layout(constant_id = 5) const bool NORM = false;

layout(set = 0, binding = 5) readonly buffer N { vec4 norm[]; };
layout(set = 0, binding = 6) readonly buffer SH { float share[]; }; /* summed: [positions][divide] */

#include "scales.glsl"

const uint PARTS = WG / 8, AHEAD = DTYPE == 3 ? 2 : 4;

shared float sh[NP * WG]; /* [NP][subgroups][8]: a subgroup has 8 invocations at least */
shared float sh_square[NP * PARTS];

/* Over the parts of a row that are in one subgroup. */
float fold(float v)
{
	for (uint d = 8; d < gl_SubgroupSize; d *= 2)
		v += subgroupShuffleXor(v, d);
	return v;
}

void main()
{
	uint lane = gl_LocalInvocationID.x, part = lane / 8, row = lane % 8, tiles = (rows + 7) / 8;
	Work k = work_of(gl_WorkGroupID.y);
	uint tile0 = gl_WorkGroupID.x * 2;
	uint xi[NP];
	[[unroll]] for (uint p = 0; p < NP; p++)
		xi[p] = x_base + item_of(k, p) / divide * x_stride;
	uint n = blocks * UNITS, tile[2];
	float acc[2][NP], square[NP];
	[[unroll]] for (uint p = 0; p < NP; p++)
		square[p] = 0.0;
	[[unroll]] for (uint r = 0; r < 2; r++) {
		tile[r] = min(tile0 + r, tiles - 1);
		[[unroll]] for (uint p = 0; p < NP; p++)
			acc[r][p] = 0.0;
	}
	uint turns = mode == 3 ? divide : 1;
	for (uint turn = 0; turn < turns; turn++) {
		float factor = 1.0;
		if (mode == 3) {
			uint i = k.first * divide + turn;
			k.group = list[i];
			xi[0] = x_base + i * x_stride;
			factor = share[i];
		}
		uint wi[2], si[2];
		[[unroll]] for (uint r = 0; r < 2; r++) {
			wi[r] = w_base + k.group * w_group + tile[r] * n * 8 + row;
			si[r] = s_base + k.group * s_group + tile[r] * blocks * 8 + row;
		}
		for (uint u0 = part; u0 < n; u0 += AHEAD * PARTS) {
			uvec4 unit[AHEAD][2];
			float scale[AHEAD][2];
			[[unroll]] for (uint a = 0; a < AHEAD; a++)
				[[unroll]] for (uint r = 0; r < 2; r++) {
					uint u = min(u0 + a * PARTS, n - 1);
					unit[a][r] = w[wi[r] + u * 8];
					float there = u0 + a * PARTS < n ? factor : 0.0;
					scale[a][r] = there * scale_at(si[r] + u / UNITS * 8);
				}
			/* Behind a row its last unit counts for nothing: a branch between these loads would keep
			 * NVIDIA's driver from having more than one on its way. */
			[[unroll]] for (uint a = 0; a < AHEAD; a++) {
				uint u = min(u0 + a * PARTS, n - 1);
				[[unroll]] for (uint p = 0; p < NP; p++) {
					float sum[2] = float[2](0.0, 0.0);
					[[unroll]] for (uint q = 0; q < QUADS; q++) {
						vec4 v = x[xi[p] + u * QUADS + q];
						if (NORM) {
							square[p] += u0 + a * PARTS < n ? dot(v, v) : 0.0;
							v *= norm[u * QUADS + q];
						}
						[[unroll]] for (uint r = 0; r < 2; r++)
							sum[r] += dot(unpack(unit[a][r], q), v);
					}
					[[unroll]] for (uint r = 0; r < 2; r++)
						acc[r][p] = fma(scale[a][r], sum[r], acc[r][p]);
				}
			}
		}
	}

	/* Invocation p * 8 + row ends with that position's two rows. */
	uint p_mine = min(lane / 8, NP - 1);
	float total[2], squares = 0.0;
	[[unroll]] for (uint r = 0; r < 2; r++) {
		[[unroll]] for (uint p = 0; p < NP; p++) {
			float s = fold(acc[r][p]);
			if (gl_SubgroupInvocationID < 8)
				sh[(p * gl_NumSubgroups + gl_SubgroupID) * 8 + row] = s;
			if (NORM && r == 0) {
				s = fold(square[p]);
				if (subgroupElect())
					sh_square[p * gl_NumSubgroups + gl_SubgroupID] = s;
			}
		}
		barrier();
		total[r] = 0.0;
		if (lane < NP * 8)
			for (uint i = 0; i < gl_NumSubgroups; i++) {
				total[r] += sh[(p_mine * gl_NumSubgroups + i) * 8 + row];
				if (NORM && r == 0)
					squares += sh_square[p_mine * gl_NumSubgroups + i];
			}
		barrier();
	}
	if (lane >= NP * 8 || p_mine >= k.count)
		return;
	if (NORM) {
		float scale = inversesqrt(squares / float(blocks * 32) + eps);
		total[0] *= scale;
		total[1] *= scale;
	}
	uint to = y_base + item_of(k, p_mine) * y_stride;
	if (gated != 0) {
		if (tile0 < tiles)
			y[to + tile0 / 2 * 8 + row] = gate_unit(total[0], total[1]);
		return;
	}
	[[unroll]] for (uint r = 0; r < 2; r++)
		if ((tile0 + r) * 8 + row < rows)
			put(to + (tile0 + r) * 8 + row, total[r]);
}
