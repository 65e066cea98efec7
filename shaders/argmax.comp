#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A work group a head item: the best token (the lowest id of equals), its
 * log-probability and its margin over the second best. In the first lane's items the tokens that are
 * favoured count for more, unless the best is PAD: what is expected must be heard at its time.
 */
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

struct Best {
	uint token;
	float logprob, margin, logit;
};

layout(set = 0, binding = 0) readonly buffer LG { float logits[]; };
layout(set = 0, binding = 1) writeonly buffer O { Best best[]; };

layout(set = 0, binding = 2) readonly buffer F { uint favoured[]; }; /* [n_first][2 + FAVOURED_MAX]: how many, by what, which */

layout(push_constant) uniform Push {
	uint vocab, pad, n_first;
};
const uint FAVOURED_MAX = 126; /* as model/favour.h */

void main()
{
	uint item = gl_WorkGroupID.x, lane = gl_LocalInvocationID.x, step = gl_WorkGroupSize.x;
	uint at = item * vocab, id = lane;
	float top = -3e38, second = -3e38;
	for (uint i = lane; i < vocab; i += step) {
		float v = logits[at + i];
		bool better = v > top;
		second = better ? top : max(second, v);
		id = better ? i : id;
		top = better ? v : top;
	}
	float all = group_max(top);
	uint who = min(group_min(top == all ? id : ~0u), vocab - 1); /* of NaN any */
	float next = group_max(id == who ? second : top);
	float s = 0.0;
	for (uint i = lane; i < vocab; i += step)
		s += exp(logits[at + i] - all);
	s = group_add(s);
	if (lane != 0)
		return;
	uint list = item * (2 + FAVOURED_MAX), n = item < n_first && who != pad ? favoured[list] : 0;
	float favour = n > 0 ? uintBitsToFloat(favoured[list + 1]) : 0.0;
	float other = next, value = all; /* of the best, with the favour; the second best's */
	for (uint k = 0; k < n; k++) {
		uint token = favoured[list + 2 + k];
		float v = logits[at + token] + favour;
		if (token == who && v > value) {
			value = v;
		} else if (v > value) {
			other = value;
			value = v;
			who = token;
		} else if (token != who) {
			other = max(other, v);
		}
	}
	best[item] = Best(who, logits[at + who] - all - log(s), value - other, logits[at + who]);
}
