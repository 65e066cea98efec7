#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * y = W x on a CPU, plain or through experts.
 *
 * Everything stays in registers: an invocation owns ROWS rows of NP positions.
 * The sums of one row and position are the same whatever NP: four products in
 * a chain, chains added in column order, blocks of 32 times their scale.
 */
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#define TEXELS
#include "weights.glsl"

/* lavapipe reads storage buffers one invocation and component after another, each with its check of
 * the bounds; texels it gathers. */
layout(set = 0, binding = 12) uniform usamplerBuffer w;
layout(set = 0, binding = 13) uniform samplerBuffer x;
layout(set = 0, binding = 14) uniform samplerBuffer scales;

layout(constant_id = 3) const uint ROWS = 2;

void main()
{
	uint lane = gl_LocalInvocationID.x, col = gl_SubgroupInvocationID & 7;
	Work k = work_of(gl_WorkGroupID.y);
	uint xi[NP], item[NP];
	[[unroll]] for (uint p = 0; p < NP; p++) {
		item[p] = item_of(k, p);
		xi[p] = x_base + item[p] / divide * x_stride;
	}
	uint tiles = (rows + 7) / 8;
	uint tile0 = (gl_WorkGroupID.x * (gl_WorkGroupSize.x / 8) + lane / 8) * ROWS;
	uint wi[ROWS], si[ROWS];
	float acc[ROWS][NP];
	[[unroll]] for (uint r = 0; r < ROWS; r++) {
		uint tile = min(tile0 + r, tiles - 1);
		wi[r] = w_base + k.group * w_group + tile * blocks * UNITS * 8 + lane % 8;
		si[r] = s_base + k.group * s_group + tile * blocks * 8 + lane % 8;
		[[unroll]] for (uint p = 0; p < NP; p++)
			acc[r][p] = 0.0;
	}
	for (uint b = 0; b < blocks; b++) {
		uvec4 unit[ROWS][UNITS];
		[[unroll]] for (uint r = 0; r < ROWS; r++)
			[[unroll]] for (uint u = 0; u < UNITS; u++)
				unit[r][u] = texelFetch(w, int(wi[r] + (b * UNITS + u) * 8));
		vec4 xs[NP]; /* 8 invocations load different columns and shuffle */
		[[unroll]] for (uint p = 0; p < NP; p++)
			xs[p] = texelFetch(x, int(xi[p] + b * 8 + col));
		float sum[ROWS][NP];
		[[unroll]] for (uint r = 0; r < ROWS; r++)
			[[unroll]] for (uint p = 0; p < NP; p++)
				sum[r][p] = 0.0;
		[[unroll]] for (uint q = 0; q < 8; q++) {
			vec4 v[ROWS];
			[[unroll]] for (uint r = 0; r < ROWS; r++)
				v[r] = unpack(unit[r][q / QUADS], q % QUADS);
			[[unroll]] for (uint p = 0; p < NP; p++) {
				vec4 a = subgroupShuffle(xs[p], q);
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
			float scale = DTYPE >= 2 ? texelFetch(scales, int(si[r] + b * 8)).x : 1.0;
			[[unroll]] for (uint p = 0; p < NP; p++)
				acc[r][p] = fma(scale, sum[r][p], acc[r][p]);
		}
	}
	[[unroll]] for (uint p = 0; p < NP; p++) {
		uint at = y_base + item[p] * y_stride + lane % 8;
		if (p >= k.count)
			continue;
		if (gated != 0) {
			[[unroll]] for (uint r = 0; r + 1 < ROWS; r += 2)
				if (tile0 + r < tiles)
					y[at + (tile0 + r) / 2 * 8] = gate_unit(acc[r][p], acc[r + 1][p]);
		} else {
			[[unroll]] for (uint r = 0; r < ROWS; r++)
				if ((tile0 + r) * 8 + lane % 8 < rows)
					put(at + (tile0 + r) * 8, acc[r][p]);
		}
	}
}
