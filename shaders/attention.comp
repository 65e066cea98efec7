#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A work group QP positions that see the same keys, and a key head: all its
 * N = GROUP * QP queries. Keys come from up to three ranges of the row's cache.
 * First invocations are keys (scores), then dims (values); chunks of CHUNK keys
 * are joined by the running maximum, so any window fits.
 */
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 1) const uint HD4 = 16;
layout(constant_id = 2) const uint GROUP = 3;
layout(constant_id = 3) const uint CHUNK = 512;
layout(constant_id = 4) const uint QP = 1;
layout(constant_id = 5) const uint WG = 32;
layout(constant_id = 6) const bool HALF = false; /* the caches are f16 */

layout(set = 0, binding = 0) readonly buffer P { Pos pos[]; };
layout(set = 0, binding = 1) readonly buffer Q { vec4 q[]; };
layout(set = 0, binding = 2) readonly buffer K { vec4 k_cache[]; };
layout(set = 0, binding = 2) readonly buffer K16 { uvec2 k_half[]; };
layout(set = 0, binding = 3) readonly buffer V { vec4 v_cache[]; };
layout(set = 0, binding = 3) readonly buffer V16 { uvec2 v_half[]; };
layout(set = 0, binding = 4) writeonly buffer O { vec4 o[]; };

layout(push_constant) uniform Push {
	uint kv_heads, cap;
	float scale;
	uint first; /* position */
};

const uint N = GROUP * QP;

shared float score[N][CHUNK];
shared vec4 part[N][WG];

vec4 from_half(uvec2 v)
{
	return vec4(unpackHalf2x16(v.x), unpackHalf2x16(v.y));
}

void main()
{
	uint p = first + gl_WorkGroupID.x * QP, kvh = gl_WorkGroupID.y;
	uint lane = gl_LocalInvocationID.x, step = gl_WorkGroupSize.x;
	uint row = pos[p].row, n0 = pos[p].n0, n1 = n0 + pos[p].n1, n = n1 + pos[p].n2;
	uint o0 = pos[p].off0, o1 = pos[p].off1 - n0, o2 = pos[p].off2 - n1;
	uint k_at = (row * kv_heads + kvh) * HD4 * cap;
	uint v_at = row * cap * kv_heads * HD4 + kvh * HD4;
	uint q_at[N];
	[[unroll]] for (uint g = 0; g < N; g++)
		q_at[g] = (((p + g / GROUP) * kv_heads + kvh) * GROUP + g % GROUP) * HD4;

	uint dim = lane % HD4, sub = lane / HD4, subs = step / HD4;
	float top[N], sum[N];
	vec4 acc[N];
	[[unroll]] for (uint g = 0; g < N; g++) {
		top[g] = -1e30;
		sum[g] = 0.0;
		acc[g] = vec4(0.0);
	}
	for (uint base = 0; base < n; base += CHUNK) {
		uint m = min(CHUNK, n - base);
		float high[N];
		[[unroll]] for (uint g = 0; g < N; g++)
			high[g] = -1e30;
		for (uint k0 = 0; k0 < m; k0 += step) {
			uint k = k0 + lane, key = base + min(k, m - 1);
			uint at = k_at + key + (key < n0 ? o0 : key < n1 ? o1 : o2);
			float s[N];
			[[unroll]] for (uint g = 0; g < N; g++)
				s[g] = 0.0;
			[[unroll]] for (uint i = 0; i < HD4; i++) {
				vec4 kv = HALF ? from_half(k_half[at + i * cap]) : k_cache[at + i * cap];
				[[unroll]] for (uint g = 0; g < N; g++)
					s[g] += dot(q[q_at[g] + i], kv);
			}
			[[unroll]] for (uint g = 0; g < N; g++) {
				s[g] *= scale;
				if (k < m) {
					score[g][k] = s[g];
					high[g] = max(high[g], s[g]);
				}
			}
		}
		float e[N];
		[[unroll]] for (uint g = 0; g < N; g++) {
			float t = max(top[g], group_max(high[g]));
			float fade = exp(top[g] - t);
			top[g] = t;
			sum[g] *= fade;
			acc[g] *= fade;
			e[g] = 0.0;
		}
		[[unroll]] for (uint g = 0; g < N; g++)
			for (uint k = lane; k < m; k += step) {
				float v = exp(score[g][k] - top[g]);
				score[g][k] = v;
				e[g] += v;
			}
		barrier();
		for (uint k = sub; k < m; k += subs) {
			uint key = base + k;
			uint slot = key + (key < n0 ? o0 : key < n1 ? o1 : o2);
			uint at = v_at + slot * kv_heads * HD4 + dim;
			vec4 v = HALF ? from_half(v_half[at]) : v_cache[at];
			[[unroll]] for (uint g = 0; g < N; g++)
				acc[g] += score[g][k] * v;
		}
		[[unroll]] for (uint g = 0; g < N; g++)
			sum[g] += group_add(e[g]);
	}
	[[unroll]] for (uint g = 0; g < N; g++)
		part[g][lane] = acc[g];
	barrier();
	if (lane < HD4) {
		[[unroll]] for (uint g = 0; g < N; g++) {
			vec4 s = part[g][lane];
			for (uint i = 1; i < subs; i++)
				s += part[g][lane + i * HD4];
			o[q_at[g] + lane] = s / sum[g];
		}
	}
}
