#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One invocation a (position, head): norms and rotates q and k, writes k and v
 * to the row's cache. Keys lie [head][dim / 4][key] so that neighbouring
 * invocations of the attention read neighbouring keys; values [key][head][dim].
 */
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "half.glsl"

layout(constant_id = 1) const uint HD4 = 16;   /* head_dim / 4 */
layout(constant_id = 2) const uint ROT4 = 4;   /* rotary_dim / 2 / 4 */
layout(constant_id = 3) const bool HALF = false; /* the caches are f16 */

layout(set = 0, binding = 0) readonly buffer P { Pos pos[]; };
layout(set = 0, binding = 1) readonly buffer QKV { vec4 qkv[]; };
layout(set = 0, binding = 2) readonly buffer R { vec4 angle[]; }; /* [positions][2][ROT4] cos, sin */
layout(set = 0, binding = 3) readonly buffer QN { vec4 q_norm[]; };
layout(set = 0, binding = 4) readonly buffer KN { vec4 k_norm[]; };
layout(set = 0, binding = 5) writeonly buffer Q { vec4 q[]; };
layout(set = 0, binding = 6) writeonly buffer K { vec4 k_cache[]; };
layout(set = 0, binding = 6) writeonly buffer K16 { uvec2 k_half[]; };
layout(set = 0, binding = 7) writeonly buffer V { vec4 v_cache[]; };
layout(set = 0, binding = 7) writeonly buffer V16 { uvec2 v_half[]; };

layout(push_constant) uniform Push {
	uint n_pos, heads, kv_heads;
	uint cap; /* keys a row holds */
	float eps;
	uint first; /* position: of slots on a GPU the attention does this itself */
};

void main()
{
	uint all = heads + 2 * kv_heads, id = gl_GlobalInvocationID.x;
	if (id >= n_pos * all)
		return;
	uint p = first + id / all, head = id % all;
	vec4 v[HD4];
	float ss = 0.0;
	[[unroll]] for (uint i = 0; i < HD4; i++) {
		v[i] = qkv[(p * all + head) * HD4 + i];
		ss += dot(v[i], v[i]);
	}
	uint key = pos[p].write, row = pos[p].row;
	if (head >= heads + kv_heads) {
		uint at = (row * cap + key) * kv_heads * HD4 + (head - heads - kv_heads) * HD4;
		[[unroll]] for (uint i = 0; i < HD4; i++) {
			if (HALF)
				v_half[at + i] = to_half(v[i]);
			else
				v_cache[at + i] = v[i];
		}
		return;
	}
	float r = inversesqrt(ss / float(HD4 * 4) + eps);
	[[unroll]] for (uint i = 0; i < HD4; i++)
		v[i] = v[i] * r * (head < heads ? q_norm[i] : k_norm[i]);
	[[unroll]] for (uint i = 0; i < ROT4; i++) {
		vec4 c = angle[p * 2 * ROT4 + i], s = angle[(p * 2 + 1) * ROT4 + i];
		vec4 a = v[i], b = v[i + ROT4];
		v[i] = a * c - b * s;
		v[i + ROT4] = b * c + a * s;
	}
	if (head < heads) {
		[[unroll]] for (uint i = 0; i < HD4; i++)
			q[(p * heads + head) * HD4 + i] = v[i];
	} else {
		uint at = (row * kv_heads + head - heads) * HD4 * cap + key;
		[[unroll]] for (uint i = 0; i < HD4; i++) {
			if (HALF)
				k_half[at + i * cap] = to_half(v[i]);
			else
				k_cache[at + i * cap] = v[i];
		}
	}
}
