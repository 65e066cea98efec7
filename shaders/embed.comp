#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x of every position: slot N_a(W_a mel) + lanes + c; patch N_i(W_i patch) + place + c;
 * token E + c.
 */
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(set = 0, binding = 0) readonly buffer P { Pos pos[]; };
layout(set = 0, binding = 1) readonly buffer C { float cond[]; };   /* [conditions][D] */
layout(set = 0, binding = 2) readonly buffer A { float audio[]; };  /* [slots][D] W_a mel */
layout(set = 0, binding = 3) readonly buffer LN { float lanes[]; }; /* [slots][D] */
layout(set = 0, binding = 4) readonly buffer I { float image[]; };  /* [patches][D] W_i patch */
layout(set = 0, binding = 5) readonly buffer T { float token[]; };  /* [tokens][D] */
layout(set = 0, binding = 6) readonly buffer PL { float place[]; }; /* [patches of a picture][D] */
layout(set = 0, binding = 7) readonly buffer NA { float norm_a[]; };
layout(set = 0, binding = 8) readonly buffer NI { float norm_i[]; };
layout(set = 0, binding = 9) readonly buffer R { Run runs[]; };
layout(set = 0, binding = 10) writeonly buffer X { float x[]; };

layout(push_constant) uniform Push { uint dim; float eps; };

void main()
{
	uint p = gl_WorkGroupID.x, lane = gl_LocalInvocationID.x, step = gl_WorkGroupSize.x;
	uint kind = pos[p].kind, at = pos[p].index * dim, place_at = pos[p].patch_no * dim;
	uint conditions = runs[pos[p].run].conditions;
	float ss = 0.0;
	for (uint i = lane; i < dim; i += step) {
		float v = kind == KIND_SLOT ? audio[at + i] : kind == KIND_PATCH ? image[at + i] : 0.0;
		ss = fma(v, v, ss);
	}
	float r = inversesqrt(group_add(ss) / float(dim) + eps);
	for (uint i = lane; i < dim; i += step) {
		float v;
		if (kind == KIND_SLOT)
			v = audio[at + i] * r * norm_a[i] + lanes[at + i];
		else if (kind == KIND_PATCH)
			v = image[at + i] * r * norm_i[i] + place[place_at + i];
		else
			v = token[at + i];
		float c = 0.0;
		for (uint left = conditions; left != 0; left &= left - 1)
			c += cond[findLSB(left) * dim + i];
		x[p * dim + i] = v + c;
	}
}
