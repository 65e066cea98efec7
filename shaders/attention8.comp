#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attention for devices that are CPUs. A work group is one vector of 8
 * invocations, so nothing waits and nothing leaves the registers; it takes QP
 * positions that see the same keys, and a key head: N = GROUP * QP queries.
 * 8 keys at a time: first an invocation is a key (scores), then dims (values),
 * under a running maximum.
 */
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 1) const uint HD4 = 16; /* head_dim / 4: 2 to 32, a power of two */
layout(constant_id = 2) const uint GROUP = 3;
layout(constant_id = 3) const uint QP = 1;

layout(set = 0, binding = 0) readonly buffer P { Pos pos[]; };
/* as texels: see linear.comp */
layout(set = 0, binding = 12) uniform samplerBuffer k_cache;
layout(set = 0, binding = 13) uniform samplerBuffer v_cache;
layout(set = 0, binding = 14) uniform samplerBuffer q;
layout(set = 0, binding = 4) writeonly buffer O { vec4 o[]; };

layout(push_constant) uniform Push {
	uint kv_heads, cap;
	float scale;
	uint first; /* position */
};

const uint N = GROUP * QP;
const uint DV = (HD4 + 7) / 8;		 /* vec4s of an invocation */
const uint PER8 = HD4 < 8 ? 8 / HD4 : 1; /* keys whose values are read at once */

float max8(float v)
{
	v = max(v, subgroupShuffleXor(v, 4));
	v = max(v, subgroupShuffleXor(v, 2));
	return max(v, subgroupShuffleXor(v, 1));
}

float add8(float v)
{
	v += subgroupShuffleXor(v, 4);
	v += subgroupShuffleXor(v, 2);
	return v + subgroupShuffleXor(v, 1);
}

void main()
{
	uint p = first + gl_WorkGroupID.x * QP, kvh = gl_WorkGroupID.y;
	uint lane = gl_SubgroupInvocationID, dim = lane % HD4;
	uint row = pos[p].row, n0 = pos[p].n0, n1 = n0 + pos[p].n1, n = n1 + pos[p].n2;
	uint o0 = pos[p].off0, o1 = pos[p].off1 - n0, o2 = pos[p].off2 - n1;
	uint k_at = (row * kv_heads + kvh) * HD4 * cap;
	uint v_at = row * cap * kv_heads * HD4 + kvh * HD4;

	uint q_at[N];
	vec4 qs[N][DV], acc[N][DV];
	float top[N], sum[N];
	[[unroll]] for (uint g = 0; g < N; g++) {
		q_at[g] = (((p + g / GROUP) * kv_heads + kvh) * GROUP + g % GROUP) * HD4;
		top[g] = -1e30;
		sum[g] = 0.0;
		[[unroll]] for (uint i = 0; i < DV; i++) {
			qs[g][i] = texelFetch(q, int(q_at[g] + i * 8 + dim)) * scale;
			acc[g][i] = vec4(0.0);
		}
	}
	for (uint k0 = 0; k0 < n; k0 += 8) {
		uint key = min(k0 + lane, n - 1);
		uint slot = key + (key < n0 ? o0 : key < n1 ? o1 : o2);
		float s[N];
		[[unroll]] for (uint g = 0; g < N; g++)
			s[g] = 0.0;
		[[unroll]] for (uint i = 0; i < HD4; i++) {
			vec4 kv = texelFetch(k_cache, int(k_at + i * cap + slot));
			[[unroll]] for (uint g = 0; g < N; g++)
				s[g] += dot(subgroupShuffle(qs[g][i / 8], i % 8), kv);
		}
		[[unroll]] for (uint g = 0; g < N; g++) {
			s[g] = k0 + lane < n ? s[g] : -1e30;
			float t = max(top[g], max8(s[g])), fade = exp(top[g] - t);
			s[g] = exp(s[g] - t);
			top[g] = t;
			sum[g] = sum[g] * fade + s[g];
			[[unroll]] for (uint i = 0; i < DV; i++)
				acc[g][i] *= fade;
		}
		/* a key beyond the last has weight 0 */
		[[unroll]] for (uint j = 0; j < 8; j += PER8) {
			uint from = PER8 > 1 ? j + lane / HD4 : j;
			uint at = v_at + subgroupShuffle(slot, from) * kv_heads * HD4 + dim;
			[[unroll]] for (uint i = 0; i < DV; i++) {
				vec4 v = texelFetch(v_cache, int(at + i * 8));
				[[unroll]] for (uint g = 0; g < N; g++)
					acc[g][i] += subgroupShuffle(s[g], from) * v;
			}
		}
	}
	[[unroll]] for (uint g = 0; g < N; g++) {
		float all = add8(sum[g]);
		[[unroll]] for (uint i = 0; i < DV; i++) {
			vec4 a = acc[g][i];
			if (HD4 <= 4)
				a += subgroupShuffleXor(a, 4);
			if (HD4 <= 2)
				a += subgroupShuffleXor(a, 2);
			if (lane < HD4)
				o[q_at[g] + i * 8 + dim] = a / all;
		}
	}
}
