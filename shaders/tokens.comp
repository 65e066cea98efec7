#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the embedding, unpacked: a work group writes row list[i] to y of item i. */
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "weights.glsl"

layout(constant_id = 3) const bool SCALE16 = false;

#include "scales.glsl"

void main()
{
	uint item = gl_WorkGroupID.x, tile = list[item] / 8, row = list[item] % 8;
	for (uint u = gl_LocalInvocationID.x; u < blocks * UNITS; u += gl_WorkGroupSize.x) {
		uvec4 unit = w[(tile * blocks * UNITS + u) * 8 + row];
		float scale = scale_at((tile * blocks + u / UNITS) * 8 + row);
		[[unroll]] for (uint q = 0; q < QUADS; q++) {
			vec4 v = scale * unpack(unit, q);
			[[unroll]] for (uint c = 0; c < 4; c++)
				y[item * y_stride + (u * QUADS + q) * 4 + c] = v[c];
		}
	}
}
