#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A work group takes QP positions that see the same keys, and a key head: all its N = GROUP * QP
 * queries. Keys come from up to three ranges of the row's cache. First invocations are keys (scores),
 * then dims (values); chunks of CHUNK keys are joined by the running maximum, so any window fits.
 *
 * Of slots (ROPE) it also does what rope.comp does for the others: nobody else in the batch sees their
 * keys. Few positions share their keys out to several work groups, z of the grid, of which the last one
 * to end joins what they have.
 */
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "half.glsl"

layout(constant_id = 1) const uint HD4 = 16;
layout(constant_id = 2) const uint GROUP = 3;
layout(constant_id = 3) const uint CHUNK = 512;
layout(constant_id = 4) const uint QP = 1;
layout(constant_id = 5) const uint WG = 32;
layout(constant_id = 6) const bool HALF = false; /* the caches are f16 */
layout(constant_id = 7) const bool ROPE = false;
layout(constant_id = 8) const uint ROT4 = 4; /* rotary_dim / 2 / 4 */

layout(set = 0, binding = 0) readonly buffer P { Pos pos[]; };
layout(set = 0, binding = 1) readonly buffer Q { vec4 q[]; };
layout(set = 0, binding = 2) buffer K { vec4 k_cache[]; };
layout(set = 0, binding = 2) buffer K16 { uvec2 k_half[]; };
layout(set = 0, binding = 3) buffer V { vec4 v_cache[]; };
layout(set = 0, binding = 3) buffer V16 { uvec2 v_half[]; };
layout(set = 0, binding = 4) writeonly buffer O { vec4 o[]; };
layout(set = 0, binding = 4) writeonly buffer O16 { uvec2 o16[]; };
layout(set = 0, binding = 5) readonly buffer QKV { vec4 qkv[]; };
layout(set = 0, binding = 6) readonly buffer R { vec4 angle[]; }; /* [positions][2][ROT4] cos, sin */
layout(set = 0, binding = 7) readonly buffer QN { vec4 q_norm[]; };
layout(set = 0, binding = 8) readonly buffer KN { vec4 k_norm[]; };
/* Of each work group [N][HD4 + 1]: values, and the maximum and sum; then how many of a position and head have ended. */
layout(set = 0, binding = 9) coherent buffer PA { vec4 partial[]; };
layout(set = 0, binding = 10) coherent buffer C { uint ended[]; };

layout(push_constant) uniform Push {
	uint kv_heads, cap;
	float scale;
	uint first; /* position */
	float eps;
	uint halves; /* the result is f16 */
};

const uint N = GROUP * QP, AHEAD = N <= 4 ? 8 : 2; /* values that are on their way at once */

shared float score[N][CHUNK];
shared vec4 part[N * WG];
shared vec4 sh_q[(N + 2) * HD4]; /* queries; with ROPE then the key and the value */
shared uint sh_ended;

void put(uint at, vec4 v)
{
	if (halves != 0)
		o16[at] = to_half(v);
	else
		o[at] = v;
}

/* Queries to sh_q; with ROPE normed and rotated here, and the position's key and value too. */
void load_heads(uint p, uint kvh, uint lane)
{
	if (!ROPE) {
		for (uint i = lane; i < N * HD4; i += WG)
			sh_q[i] = q[((p + i / HD4 / GROUP) * kv_heads + kvh) * GROUP * HD4 + i % (GROUP * HD4)];
		barrier();
		return;
	}
	uint heads = GROUP * kv_heads, at = p * (heads + 2 * kv_heads) * HD4;
	for (uint i = lane; i < (GROUP + 2) * HD4; i += WG) {
		uint g = i / HD4, head = g < GROUP ? kvh * GROUP + g : heads + (g - GROUP) * kv_heads + kvh;
		part[i] = qkv[at + head * HD4 + i % HD4];
	}
	barrier();
	for (uint i = lane; i < (GROUP + 2) * HD4; i += WG) {
		uint g = i / HD4, d = i % HD4, base = g * HD4;
		vec4 v = part[i];
		if (g <= GROUP) {
			float ss = 0.0;
			for (uint j = 0; j < HD4; j++)
				ss += dot(part[base + j], part[base + j]);
			float r = inversesqrt(ss / float(HD4 * 4) + eps);
			v = v * r * (g < GROUP ? q_norm[d] : k_norm[d]);
			if (d < 2 * ROT4) {
				uint other = d < ROT4 ? d + ROT4 : d - ROT4;
				vec4 w = part[base + other] * r * (g < GROUP ? q_norm[other] : k_norm[other]);
				vec4 c = angle[p * 2 * ROT4 + d % ROT4], s = angle[(p * 2 + 1) * ROT4 + d % ROT4];
				v = d < ROT4 ? v * c - w * s : v * c + w * s;
			}
		}
		sh_q[i] = HALF && g >= GROUP ? from_half(to_half(v)) : v;
	}
	barrier();
}

void main()
{
	uint p = first + gl_WorkGroupID.x * QP, kvh = gl_WorkGroupID.y;
	uint lane = gl_LocalInvocationID.x, z = gl_WorkGroupID.z, n_z = gl_NumWorkGroups.z;
	uint row = pos[p].row, n0 = pos[p].n0, n1 = n0 + pos[p].n1, n = n1 + pos[p].n2;
	uint o0 = pos[p].off0, o1 = pos[p].off1 - n0, o2 = pos[p].off2 - n1;
	uint k_at = (row * kv_heads + kvh) * HD4 * cap;
	uint v_at = row * cap * kv_heads * HD4 + kvh * HD4;
	/* Where the position's own key goes; it is not read from there. */
	uint own = ROPE ? pos[p].write : ~0u;
	load_heads(p, kvh, lane);
	if (ROPE && z == 0)
		for (uint i = lane; i < HD4; i += WG) {
			vec4 key = sh_q[GROUP * HD4 + i], value = sh_q[(GROUP + 1) * HD4 + i];
			uint k_to = k_at + i * cap + own, v_to = v_at + own * kv_heads * HD4 + i;
			if (HALF) {
				k_half[k_to] = to_half(key);
				v_half[v_to] = to_half(value);
			} else {
				k_cache[k_to] = key;
				v_cache[v_to] = value;
			}
		}

	uint dim = lane % HD4, sub = lane / HD4, subs = WG / HD4;
	float top[N], sum[N];
	vec4 acc[N];
	[[unroll]] for (uint g = 0; g < N; g++) {
		top[g] = -1e30;
		sum[g] = 0.0;
		acc[g] = vec4(0.0);
	}
	uint end = n * (z + 1) / n_z;
	for (uint base = n * z / n_z; base < end; base += CHUNK) {
		uint m = min(CHUNK, end - base);
		float high[N];
		[[unroll]] for (uint g = 0; g < N; g++)
			high[g] = -1e30;
		for (uint k0 = 0; k0 < m; k0 += WG) {
			uint k = k0 + lane, key = base + min(k, m - 1);
			uint slot = key + (key < n0 ? o0 : key < n1 ? o1 : o2);
			float s[N];
			[[unroll]] for (uint g = 0; g < N; g++)
				s[g] = 0.0;
			/* No branch in here: all loads are on their way at once. */
			[[unroll]] for (uint i = 0; i < HD4; i++) {
				vec4 kv = HALF ? from_half(k_half[k_at + slot + i * cap]) : k_cache[k_at + slot + i * cap];
				[[unroll]] for (uint g = 0; g < N; g++)
					s[g] += dot(sh_q[g * HD4 + i], kv);
			}
			if (ROPE && slot == own)
				[[unroll]] for (uint g = 0; g < N; g++) {
					s[g] = 0.0;
					for (uint i = 0; i < HD4; i++)
						s[g] += dot(sh_q[g * HD4 + i], sh_q[GROUP * HD4 + i]);
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
			for (uint k = lane; k < m; k += WG) {
				float v = exp(score[g][k] - top[g]);
				score[g][k] = v;
				e[g] += v;
			}
		barrier();
		for (uint k0 = sub; k0 < m; k0 += AHEAD * subs) {
			vec4 v[AHEAD];
			[[unroll]] for (uint a = 0; a < AHEAD; a++) {
				uint key = base + min(k0 + a * subs, m - 1);
				uint slot = key + (key < n0 ? o0 : key < n1 ? o1 : o2);
				uint at = v_at + slot * kv_heads * HD4 + dim;
				vec4 there = HALF ? from_half(v_half[at]) : v_cache[at];
				v[a] = ROPE && slot == own ? sh_q[(GROUP + 1) * HD4 + dim] : there;
			}
			[[unroll]] for (uint a = 0; a < AHEAD; a++) {
				uint k = k0 + a * subs;
				[[unroll]] for (uint g = 0; g < N; g++)
					acc[g] += k < m ? score[g][k] * v[a] : vec4(0.0);
			}
		}
		[[unroll]] for (uint g = 0; g < N; g++)
			sum[g] += group_add(e[g]);
	}
	barrier(); /* load_heads may still be read there */
	[[unroll]] for (uint g = 0; g < N; g++)
		part[g * WG + lane] = acc[g];
	barrier();

	uint head = (p * kv_heads + kvh) * GROUP * HD4, task = gl_WorkGroupID.x * kv_heads + kvh;
	uint mine = (task * n_z + z) * N * (HD4 + 1);
	if (lane < HD4) {
		[[unroll]] for (uint g = 0; g < N; g++) {
			vec4 s = part[g * WG + lane];
			for (uint i = 1; i < subs; i++)
				s += part[g * WG + lane + i * HD4];
			uint to = head + g / GROUP * kv_heads * GROUP * HD4 + g % GROUP * HD4 + lane;
			if (n_z == 1) {
				put(to, s / sum[g]);
				continue;
			}
			partial[mine + g * (HD4 + 1) + lane] = s;
			if (lane == 0)
				partial[mine + g * (HD4 + 1) + HD4] = vec4(top[g], sum[g], 0.0, 0.0);
		}
	}
	if (n_z == 1)
		return;
	memoryBarrierBuffer();
	barrier();
	if (lane == 0)
		sh_ended = atomicAdd(ended[task], 1);
	barrier();
	if (sh_ended + 1 < n_z)
		return;
	memoryBarrierBuffer();
	uint all = task * n_z * N * (HD4 + 1), each = N * (HD4 + 1);
	for (uint i = lane; i < N * HD4; i += WG) {
		uint g = i / HD4, at = all + g * (HD4 + 1);
		float high = -1e30, total = 0.0;
		for (uint j = 0; j < n_z; j++)
			high = max(high, partial[at + j * each + HD4].x);
		vec4 s = vec4(0.0);
		for (uint j = 0; j < n_z; j++) {
			vec4 about = partial[at + j * each + HD4];
			float fade = exp(about.x - high);
			total = fma(about.y, fade, total);
			s += fade * partial[at + j * each + i % HD4];
		}
		put(head + g / GROUP * kv_heads * GROUP * HD4 + g % GROUP * HD4 + i % HD4, s / total);
	}
	if (lane == 0)
		ended[task] = 0;
}
