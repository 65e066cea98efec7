#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h = N x, behind experts that were not summed also x += what they left. For the final norm also the
 * heads' inputs (one copy a wanted lane) and the activity logits.
 */
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "half.glsl"

layout(set = 0, binding = 0) readonly buffer P { Pos pos[]; };
layout(set = 0, binding = 1) buffer X { vec4 x[]; };
layout(set = 0, binding = 2) readonly buffer E { vec4 expert[]; }; /* [positions][top][D] */
layout(set = 0, binding = 3) readonly buffer WT { float share[]; }; /* [positions][top] */
layout(set = 0, binding = 4) readonly buffer N { vec4 norm[]; };
layout(set = 0, binding = 5) writeonly buffer H { vec4 h[]; };
layout(set = 0, binding = 6) readonly buffer AW { vec4 act_w[]; }; /* [3][D], then [3] bias */
layout(set = 0, binding = 7) writeonly buffer AO { float act[]; };  /* [slots][4] */
layout(set = 0, binding = 8) writeonly buffer H16 { uvec2 h16[]; };

layout(push_constant) uniform Push {
	uint dim;
	float eps;
	uint top_k; /* experts whose outputs are to be added */
	uint n_act; /* > 0: the final norm */
	uint forms; /* of h: 1 f32, 2 f16, 3 both */
};

void main()
{
	uint p = gl_WorkGroupID.x, lane = gl_LocalInvocationID.x, step = gl_WorkGroupSize.x;
	uint n4 = dim / 4, at = p * n4;
	float ss = 0.0;
	for (uint i = lane; i < n4; i += step) {
		vec4 v = x[at + i];
		for (uint k = 0; k < top_k; k++)
			v += share[p * top_k + k] * expert[(p * top_k + k) * n4 + i];
		if (top_k > 0)
			x[at + i] = v;
		ss += dot(v, v);
	}
	float r = inversesqrt(group_add(ss) / float(dim) + eps);
	if (n_act == 0) {
		for (uint i = lane; i < n4; i += step) {
			vec4 v = x[at + i] * r * norm[i];
			if ((forms & 1) != 0)
				h[at + i] = v;
			if ((forms & 2) != 0)
				h16[at + i] = to_half(v);
		}
		return;
	}
	vec4 part = vec4(0.0);
	for (uint i = lane; i < n4; i += step) {
		vec4 v = x[at + i] * r * norm[i];
		[[unroll]] for (uint k = 0; k < 4; k++) {
			if (pos[p].item[k] != ~0u)
				h[pos[p].item[k] * n4 + i] = v;
			if (k < n_act)
				part[k] += dot(act_w[k * n4 + i], v);
		}
	}
	[[unroll]] for (uint k = 0; k < 4; k++) {
		float s = group_add(part[k]);
		if (k < n_act && lane == 0)
			act[p * 4 + k] = s + act_w[n_act * n4][k];
	}
}
