#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * y = W x for many positions, plain or through experts.
 *
 * Everything stays in registers: an invocation owns ROWS rows of NP positions.
 * Rows come in tiles of 8: one tile's weights are consecutive in memory, unit
 * by unit (16 bytes of each of the 8 rows), so that a subgroup reads a stream.
 * The sums of one row and position are the same whatever NP: four products in
 * a chain, chains added in column order, blocks of 32 times their scale.
 */
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 1) const uint DTYPE = 0; /* 0 f32, 1 f16, 2 int8, 3 4-bit */
layout(constant_id = 2) const uint NP = 1;
layout(constant_id = 3) const uint ROWS = 2;
layout(constant_id = 4) const bool SPREAD = true; /* 8 lanes load different columns and shuffle */

layout(set = 0, binding = 0) readonly buffer W { uvec4 w[]; };
layout(set = 0, binding = 1) readonly buffer S { float scales[]; };
layout(set = 0, binding = 2) readonly buffer X { vec4 x[]; };
layout(set = 0, binding = 3) writeonly buffer Y { float y[]; };
/* direct: group of each item; grouped: [tiles][4] {group, first, count, 0}, items behind */
layout(set = 0, binding = 4) readonly buffer L { uint list[]; };

layout(push_constant) uniform Push {
	uint blocks;	 /* columns / 32 */
	uint rows, n_items;
	uint x_base, x_stride; /* vec4s */
	uint y_base, y_stride;
	uint w_base, w_group;	/* uvec4s: of a group (expert) */
	uint s_base, s_group;
	uint mode;	 /* 0 plain, 1 direct, 2 grouped */
	uint divide;	 /* x of item i is i / divide */
	uint items_at;	 /* grouped: where the items begin in list */
	uint gated;	 /* tiles alternate gate and up: y = (up + 1) gate sigmoid(alpha gate) */
	float alpha, limit;
};

const uint UNITS = DTYPE == 0 ? 8 : DTYPE == 1 ? 4 : DTYPE == 2 ? 2 : 1; /* of a block */

/* Columns 4q..4q+3 of a block. */
vec4 unpack(uvec4 unit[UNITS], uint q)
{
	if (DTYPE == 0)
		return uintBitsToFloat(unit[q]);
	if (DTYPE == 1) {
		uvec4 u = unit[q / 2];
		return (q & 1) == 0 ? vec4(unpackHalf2x16(u.x), unpackHalf2x16(u.y))
				    : vec4(unpackHalf2x16(u.z), unpackHalf2x16(u.w));
	}
	if (DTYPE == 2) {
		int v = int(unit[q / 4][q & 3]);
		return vec4(v << 24 >> 24, v << 16 >> 24, v << 8 >> 24, v >> 24);
	}
	uint v = unit[0][q / 2] >> ((q & 1) * 16);
	return vec4(v & 15u, v >> 4 & 15u, v >> 8 & 15u, v >> 12 & 15u) - 8.0;
}

float gate_unit(float g, float u)
{
	precise float a = min(g, limit);
	precise float b = clamp(u, -limit, limit);
	precise float e = exp(-alpha * a);
	precise float r = (b + 1.0) * a / (1.0 + e);
	return r;
}

void main()
{
	uint lane = gl_LocalInvocationID.x, col = gl_SubgroupInvocationID & 7;
	uint group = 0, first = gl_WorkGroupID.y * NP, count = min(NP, n_items - first);
	if (mode == 1) {
		group = list[first];
	} else if (mode == 2) {
		group = list[gl_WorkGroupID.y * 4];
		first = list[gl_WorkGroupID.y * 4 + 1];
		count = list[gl_WorkGroupID.y * 4 + 2];
	}
	uint xi[NP], item[NP];
	[[unroll]] for (uint p = 0; p < NP; p++) {
		item[p] = first + min(p, count - 1);
		if (mode == 2)
			item[p] = list[items_at + item[p]];
		xi[p] = x_base + item[p] / divide * x_stride;
	}
	uint tiles = (rows + 7) / 8;
	uint tile0 = (gl_WorkGroupID.x * (gl_WorkGroupSize.x / 8) + lane / 8) * ROWS;
	uint wi[ROWS], si[ROWS];
	float acc[ROWS][NP];
	[[unroll]] for (uint r = 0; r < ROWS; r++) {
		uint tile = min(tile0 + r, tiles - 1);
		wi[r] = w_base + group * w_group + tile * blocks * UNITS * 8 + lane % 8;
		si[r] = s_base + group * s_group + tile * blocks * 8 + lane % 8;
		[[unroll]] for (uint p = 0; p < NP; p++)
			acc[r][p] = 0.0;
	}
	for (uint b = 0; b < blocks; b++) {
		uvec4 unit[ROWS][UNITS];
		[[unroll]] for (uint r = 0; r < ROWS; r++)
			[[unroll]] for (uint u = 0; u < UNITS; u++)
				unit[r][u] = w[wi[r] + (b * UNITS + u) * 8];
		vec4 xs[NP];
		if (SPREAD)
			[[unroll]] for (uint p = 0; p < NP; p++)
				xs[p] = x[xi[p] + b * 8 + col];
		float sum[ROWS][NP];
		[[unroll]] for (uint r = 0; r < ROWS; r++)
			[[unroll]] for (uint p = 0; p < NP; p++)
				sum[r][p] = 0.0;
		[[unroll]] for (uint q = 0; q < 8; q++) {
			vec4 v[ROWS];
			[[unroll]] for (uint r = 0; r < ROWS; r++)
				v[r] = unpack(unit[r], q);
			[[unroll]] for (uint p = 0; p < NP; p++) {
				vec4 a = SPREAD ? subgroupShuffle(xs[p], q)
						: x[xi[p] + b * 8 + q];
				[[unroll]] for (uint r = 0; r < ROWS; r++) {
					precise float t = v[r].x * a.x;
					t = fma(v[r].y, a.y, t);
					t = fma(v[r].z, a.z, t);
					t = fma(v[r].w, a.w, t);
					precise float s = sum[r][p] + t;
					sum[r][p] = s;
				}
			}
		}
		[[unroll]] for (uint r = 0; r < ROWS; r++) {
			float scale = DTYPE >= 2 ? scales[si[r] + b * 8] : 1.0;
			[[unroll]] for (uint p = 0; p < NP; p++)
				acc[r][p] = fma(scale, sum[r][p], acc[r][p]);
		}
	}
	[[unroll]] for (uint p = 0; p < NP; p++) {
		uint at = y_base + item[p] * y_stride + lane % 8;
		if (p >= count)
			continue;
		if (gated != 0) {
			[[unroll]] for (uint r = 0; r + 1 < ROWS; r += 2)
				if (tile0 + r < tiles)
					y[at + (tile0 + r) / 2 * 8] = gate_unit(acc[r][p], acc[r + 1][p]);
		} else {
			[[unroll]] for (uint r = 0; r < ROWS; r++)
				if ((tile0 + r) * 8 + lane % 8 < rows)
					y[at + (tile0 + r) * 8] = acc[r][p];
		}
	}
}
