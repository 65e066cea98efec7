#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies memory as fast as a kernel can: the ceiling for kernels that read and write. A work
 * group has EACH loads of 16 bytes an invocation on their way, neighbours beside each other.
 */
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x = 256) in;

const uint EACH = 8;

layout(set = 0, binding = 0) readonly restrict buffer From { uvec4 from[]; };
layout(set = 0, binding = 1) writeonly restrict buffer To { uvec4 to[]; };

void main()
{
	uint at = gl_WorkGroupID.x * (256 * EACH) + gl_LocalInvocationID.x;
	uvec4 v[EACH];
	[[unroll]] for (uint i = 0; i < EACH; i++)
		v[i] = from[at + i * 256];
	[[unroll]] for (uint i = 0; i < EACH; i++)
		to[at + i * 256] = v[i];
}
