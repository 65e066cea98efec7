#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * y = W x for few positions on a GPU. A work group takes 2 tiles (16 rows) and NP
 * positions; 8 of its invocations are the rows of a tile, the others share the
 * columns, so that even a small matrix keeps many loads in flight. The sums of
 * one row and position are the same whatever NP.
 */
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "weights.glsl"

layout(constant_id = 3) const uint WG = 128;
layout(constant_id = 4) const bool SCALE16 = false;

#include "scales.glsl"

const uint PARTS = WG / 8, AHEAD = DTYPE == 3 ? 2 : 4;

shared float sh[2 * NP * WG];

float total(uint r, uint row, uint p)
{
	float s = 0.0;
	for (uint i = 0; i < PARTS; i++)
		s += sh[(r * NP + p) * WG + i * 8 + row];
	return s;
}

void main()
{
	uint lane = gl_LocalInvocationID.x, part = lane / 8, tiles = (rows + 7) / 8;
	Work k = work_of(gl_WorkGroupID.y);
	uint tile0 = gl_WorkGroupID.x * 2;
	uint xi[NP];
	[[unroll]] for (uint p = 0; p < NP; p++)
		xi[p] = x_base + item_of(k, p) / divide * x_stride;
	uint n = blocks * UNITS, wi[2], si[2];
	float acc[2][NP];
	[[unroll]] for (uint r = 0; r < 2; r++) {
		uint tile = min(tile0 + r, tiles - 1);
		wi[r] = w_base + k.group * w_group + tile * n * 8 + lane % 8;
		si[r] = s_base + k.group * s_group + tile * blocks * 8 + lane % 8;
		[[unroll]] for (uint p = 0; p < NP; p++)
			acc[r][p] = 0.0;
	}
	for (uint u0 = part; u0 < n; u0 += AHEAD * PARTS) {
		uvec4 unit[AHEAD][2];
		float scale[AHEAD][2];
		[[unroll]] for (uint a = 0; a < AHEAD; a++)
			[[unroll]] for (uint r = 0; r < 2; r++) {
				uint u = min(u0 + a * PARTS, n - 1);
				unit[a][r] = w[wi[r] + u * 8];
				scale[a][r] = scale_at(si[r] + u / UNITS * 8);
			}
		[[unroll]] for (uint a = 0; a < AHEAD; a++) {
			uint u = u0 + a * PARTS;
			if (u >= n)
				break;
			[[unroll]] for (uint p = 0; p < NP; p++) {
				float sum[2] = float[2](0.0, 0.0);
				[[unroll]] for (uint q = 0; q < QUADS; q++) {
					vec4 v = x[xi[p] + u * QUADS + q];
					[[unroll]] for (uint r = 0; r < 2; r++)
						sum[r] += dot(unpack(unit[a][r], q), v);
				}
				[[unroll]] for (uint r = 0; r < 2; r++)
					acc[r][p] = fma(scale[a][r], sum[r], acc[r][p]);
			}
		}
	}
	[[unroll]] for (uint r = 0; r < 2; r++)
		[[unroll]] for (uint p = 0; p < NP; p++)
			sh[(r * NP + p) * WG + lane] = acc[r][p];
	barrier();
	uint row = lane % 8;
	if (gated != 0) {
		uint p = lane / 8;
		if (p < min(k.count, NP) && tile0 < tiles)
			y[y_base + item_of(k, p) * y_stride + tile0 / 2 * 8 + row] =
				gate_unit(total(0, row, p), total(1, row, p));
		return;
	}
	uint r = lane / 8 % 2, p = lane / 16, at = (tile0 + r) * 8 + row;
	if (p < min(k.count, NP) && at < rows)
		y[y_base + item_of(k, p) * y_stride + at] = total(r, row, p);
}
