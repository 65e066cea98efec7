#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A work group a position: h = N x; the router's rows [W; V; K; Q] h (on a GPU norm.comp and a
 * product have done this; the rows are read); the logits with the cross-modal part; the best TOP
 * experts and their shares. A slot is a run of one position: its memory is updated here; longer runs
 * leave [V; K] h for memory.comp.
 * Memory of (row, modality): [E + R] floats, V mean then K mean.
 */
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 1) const uint E = 8;
layout(constant_id = 2) const uint R = 32; /* 0: no cross-modal part */
layout(constant_id = 3) const uint TOP = 2;
layout(constant_id = 4) const bool PROJECT = true; /* false: the rows are there */

layout(set = 0, binding = 0) readonly buffer P { Pos pos[]; };
layout(set = 0, binding = 1) readonly buffer RN { Run runs[]; };
layout(set = 0, binding = 2) readonly buffer X { vec4 x[]; };
layout(set = 0, binding = 3) readonly buffer RW { float rows[]; }; /* [positions][ROWS] */
layout(set = 0, binding = 4) readonly buffer N { vec4 norm[]; };
layout(set = 0, binding = 5) coherent buffer H { vec4 h[]; };
layout(set = 0, binding = 6) readonly buffer W { vec4 w[]; }; /* rows in tiles of 8, f32 */
layout(set = 0, binding = 7) readonly buffer B { float bias[]; }; /* [E], then presence [3][E] */
layout(set = 0, binding = 8) buffer M { float memory[]; };  /* [rows][3][E + R] */
layout(set = 0, binding = 9) writeonly buffer KV { float kvh[]; }; /* [positions][E + R] */
layout(set = 0, binding = 10) writeonly buffer CH { uint choice[]; }; /* [positions][TOP] */
layout(set = 0, binding = 11) writeonly buffer WT { float share[]; };

layout(push_constant) uniform Push {
	uint dim;
	float eps, route_scale;
	uint n_choose; /* positions below this choose experts; the others only feed the memory */
};

const uint NM = R > 0 ? E + R : 0;
const uint ROWS = R > 0 ? 2 * (E + R) : E; /* W, V, K, Q */

shared float out_row[ROWS + 8];
shared float attend[4];
shared float prob[E];

/* h = N x, out_row = [W; V; K; Q] h. */
void project(uint p, uint lane, uint step)
{
	uint col = gl_SubgroupInvocationID & 7;
	uint at = p * dim / 4, n4 = dim / 4;
	float ss = 0.0;
	for (uint i = lane; i < n4; i += step) {
		vec4 v = x[at + i];
		ss += dot(v, v);
	}
	float r = inversesqrt(group_add(ss) / float(dim) + eps);
	for (uint i = lane; i < n4; i += step)
		h[at + i] = x[at + i] * r * norm[i];
	memoryBarrierBuffer();
	barrier();
	/* the tiles are padded, so that every invocation stays in the loop */
	for (uint row0 = 0; row0 < ROWS; row0 += step) {
		uint row = row0 + lane;
		uint tile = min(row / 8, (ROWS + 7) / 8 - 1);
		uint wi = tile * n4 * 8 + row % 8;
		float s = 0.0;
		for (uint b = 0; b < n4; b += 8) {
			vec4 hs = h[at + b + col];
			[[unroll]] for (uint q = 0; q < 8; q++)
				s += dot(w[wi + (b + q) * 8], subgroupShuffle(hs, q));
		}
		if (row < ROWS)
			out_row[row] = s;
	}
}

void main()
{
	uint p = gl_WorkGroupID.x, lane = gl_LocalInvocationID.x, step = gl_WorkGroupSize.x;
	if (PROJECT)
		project(p, lane, step);
	else
		for (uint i = lane; i < ROWS; i += step)
			out_row[i] = rows[p * ROWS + i];
	barrier();

	uint run = pos[p].run, present = runs[run].present;
	uint mem = (pos[p].row * 3) * NM;
	if (R > 0 && lane < 3) {
		float s = 0.0;
		if ((present >> lane & 1) != 0)
			for (uint i = 0; i < R; i++)
				s = fma(out_row[2 * E + R + i], memory[mem + lane * NM + E + i], s);
		attend[lane] = s * inversesqrt(float(R));
	}
	barrier();
	float pm[3] = float[3](0.0, 0.0, 0.0);
	if (R > 0 && present != 0) {
		float top = -1e30, sum = 0.0;
		[[unroll]] for (uint m = 0; m < 3; m++)
			if ((present >> m & 1) != 0)
				top = max(top, attend[m]);
		[[unroll]] for (uint m = 0; m < 3; m++)
			if ((present >> m & 1) != 0) {
				pm[m] = exp(attend[m] - top);
				sum += pm[m];
			}
		[[unroll]] for (uint m = 0; m < 3; m++)
			pm[m] /= sum;
	}
	for (uint e = lane; e < E; e += step) {
		float s = out_row[e];
		if (R > 0)
			[[unroll]] for (uint m = 0; m < 3; m++)
				if ((present >> m & 1) != 0)
					s += pm[m] * memory[mem + m * NM + e] + bias[E + m * E + e];
		prob[e] = 1.0 / (1.0 + exp(-s));
	}
	barrier(); /* also: every read of the memory comes before the update below */
	if (R > 0) {
		bool alone = runs[run].n == 1;
		float keep = runs[run].keep, add_mean = runs[run].add;
		uint m = mem + runs[run].modality * NM;
		for (uint i = lane; i < NM; i += step) {
			float v = out_row[E + i];
			if (alone)
				memory[m + i] = keep == 0.0 ? add_mean * v
							    : fma(keep, memory[m + i], add_mean * v);
			else
				kvh[p * NM + i] = v;
		}
	}
	if (p >= n_choose)
		return;
	uint best[TOP];
	float sum = 0.0;
	[[unroll]] for (uint k = 0; k < TOP; k++) {
		float top = -1e30;
		uint who = ~0u;
		for (uint e = lane; e < E; e += step) {
			float s = prob[e] + bias[e];
			bool taken = false;
			[[unroll]] for (uint j = 0; j < k; j++)
				taken = taken || best[j] == e;
			if (!taken && s > top) {
				top = s;
				who = e;
			}
		}
		float all = group_max(top);
		best[k] = min(group_min(top == all ? who : ~0u), E - 1); /* of equals the first; of NaN any */
		sum += prob[best[k]];
	}
	if (lane != 0)
		return;
	[[unroll]] for (uint k = 0; k < TOP; k++) {
		choice[p * TOP + k] = best[k];
		share[p * TOP + k] = route_scale * prob[best[k]] / sum;
	}
}
