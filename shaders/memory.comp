#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/* A work group a run of many positions: folds its mean [V; K] h into the row's memory. */
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(set = 0, binding = 0) readonly buffer RN { Run runs[]; };
layout(set = 0, binding = 1) readonly buffer KV { float kvh[]; };
layout(set = 0, binding = 2) buffer M { float memory[]; };

layout(push_constant) uniform Push { uint first_run, nm; };

void main()
{
	Run run = runs[first_run + gl_WorkGroupID.x];
	if (run.n == 1) /* router.comp has done it */
		return;
	uint at = (run.row * 3 + run.modality) * nm;
	for (uint i = gl_LocalInvocationID.x; i < nm; i += gl_WorkGroupSize.x) {
		float s = 0.0;
		for (uint k = 0; k < run.n; k++)
			s += kvh[(run.first + k) * nm + i];
		s *= run.add / float(run.n);
		memory[at + i] = run.keep == 0.0 ? s : fma(run.keep, memory[at + i], s);
	}
}
