#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * y = W x for many positions on a GPU. A work group takes ROWS rows and NP
 * positions; both sides go as f16 through shared memory, BK columns at a time,
 * the next ones on their way meanwhile. Its parts of 32 invocations share them out:
 * PM along the rows, PN along the positions, PK along the columns. A part's share
 * are fragments of 16 x 16; sums are f32. All work groups along the rows read the same positions, so these come
 * as f16 from what makes them in a layer (X_HALVES). With COOPMAT a part is a subgroup of 32 and multiplies
 * with cooperative matrices. The table of shapes is in runner_products.c.
 */
#ifdef COOPMAT
#extension GL_KHR_memory_scope_semantics : require
#extension GL_NV_cooperative_matrix : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#endif
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "weights.glsl"

layout(constant_id = 3) const uint BK = 32; /* columns of a step; a block, or several */
layout(constant_id = 4) const bool SCALE16 = false;
#include "scales.glsl"
layout(constant_id = 5) const uint ROWS = 64;
layout(constant_id = 6) const uint PM = 2;
layout(constant_id = 7) const uint PN = 2;
layout(constant_id = 8) const uint PK = 1;
layout(constant_id = 9) const uint BUFFERS = 1; /* 2: one is filled while the other is read */
layout(constant_id = 10) const bool X_HALVES = false; /* positions are f16 */

layout(set = 0, binding = 3) writeonly buffer Y16 { uint y16[]; };
layout(set = 0, binding = 7) readonly buffer X16 { uvec4 x16[]; };

const uint PARTS = PM * PN * PK, WG = 32 * PARTS;
const uint FM = ROWS / 16 / PM, FN = NP / 16 / PN; /* fragments of a part */
const uint STRIDE = BK / 8 + 1;		    /* uvec4s (8 halfs) of a row in shared memory */
const uint STEP_UNITS = BK / 32 * UNITS;    /* of a row */
const uint A_ALL = ROWS * STEP_UNITS, A = (A_ALL + WG - 1) / WG;
const uint B_ALL = NP * BK / 8, B = (B_ALL + WG - 1) / WG;
const uint KSTEPS = BK / PK / 16;

shared uvec4 sh_a[BUFFERS * ROWS * STRIDE];
shared uvec4 sh_b[BUFFERS * NP * STRIDE];
shared float sh_c[PARTS * FM * 256]; /* of each part, fragments of 16 positions x 16 rows */
shared uint sh_x[NP], sh_item[NP];

uvec4 half8(vec4 a, vec4 b)
{
	return uvec4(packHalf2x16(a.xy), packHalf2x16(a.zw), packHalf2x16(b.xy), packHalf2x16(b.zw));
}

/* Between the writing and the reading of fragments. */
void wait_for_parts()
{
#ifdef COOPMAT
	if (PK == 1) {
		subgroupBarrier();
		return;
	}
#endif
	barrier();
}

void main()
{
	uint lane = gl_LocalInvocationID.x, tiles = (rows + 7) / 8, cols = blocks * 32;
	/* Neighbours share rows: weights are many and read once, positions stay in the caches. */
	uint id = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
	uint row0 = id / gl_NumWorkGroups.y * ROWS;
	Work k = work_of(id % gl_NumWorkGroups.y);
	for (uint p = lane; p < NP; p += WG) {
		uint item = item_of(k, p);
		sh_item[p] = item;
		sh_x[p] = (x_base + item / divide * x_stride) / (X_HALVES ? 2 : 1);
	}
	barrier();

	uint wi[A], si[A], a_unit[A], a_to[A];
	[[unroll]] for (uint i = 0; i < A; i++) {
		uint id = min(i * WG + lane, A_ALL - 1), row = id % 8;
		a_unit[i] = id / 8 % STEP_UNITS;
		uint tile = id / 8 / STEP_UNITS, from = min(row0 / 8 + tile, tiles - 1);
		wi[i] = w_base + k.group * w_group + (from * blocks * UNITS + a_unit[i]) * 8 + row;
		si[i] = s_base + k.group * s_group + (from * blocks + a_unit[i] / UNITS) * 8 + row;
		a_to[i] = (tile * 8 + row) * STRIDE + a_unit[i] * QUADS / 2;
	}
	uint xi[B], b_col[B], b_to[B];
	[[unroll]] for (uint i = 0; i < B; i++) {
		uint id = min(i * WG + lane, B_ALL - 1), p = id / (BK / 8);
		b_col[i] = id % (BK / 8) * 8;
		xi[i] = sh_x[p] + b_col[i] / (X_HALVES ? 8 : 4);
		b_to[i] = p * STRIDE + b_col[i] / 8;
	}

	uint part = lane / 32, part_m = part % PM, part_n = part / PM % PN, part_k = part / PM / PN;
#ifdef COOPMAT
	fcoopmatNV<32, gl_ScopeSubgroup, 16, 16> acc[FM][FN];
	[[unroll]] for (uint i = 0; i < FM; i++)
		[[unroll]] for (uint j = 0; j < FN; j++)
			acc[i][j] = fcoopmatNV<32, gl_ScopeSubgroup, 16, 16>(0.0);
#else
	/* An invocation has a row of a fragment and 8 of its positions. */
	uint my_row = lane % 16, my_pos = lane % 32 / 16 * 8;
	float acc[FM][FN][8];
	[[unroll]] for (uint i = 0; i < FM; i++)
		[[unroll]] for (uint j = 0; j < FN; j++)
			[[unroll]] for (uint e = 0; e < 8; e++)
				acc[i][j][e] = 0.0;
#endif

	uvec4 a_next[A];
	float s_next[A];
	vec4 b_next[B][2];
	uvec4 b_half[B];
	/* A step is loaded while the one before is multiplied. */
	for (uint col = 0; col < cols + BK; col += BK) {
		uint to = BUFFERS == 2 ? col / BK % 2 : 0, from = BUFFERS == 2 ? 1 - to : 0;
		if (col < cols) {
			[[unroll]] for (uint i = 0; i < A; i++) {
				/* rows are whole blocks */
				bool in_row = BK == 32 || col / 32 * UNITS + a_unit[i] < blocks * UNITS;
				a_next[i] = in_row ? w[wi[i] + col / 32 * UNITS * 8] : uvec4(0);
				s_next[i] = DTYPE >= 2 && in_row ? scale_at(si[i] + col / 32 * 8) : 0.0;
			}
			[[unroll]] for (uint i = 0; i < B; i++) {
				bool in_row = BK == 32 || col + b_col[i] < cols;
				if (X_HALVES) {
					b_half[i] = in_row ? x16[xi[i] + col / 8] : uvec4(0);
				} else {
					b_next[i][0] = in_row ? x[xi[i] + col / 4] : vec4(0.0);
					b_next[i][1] = in_row ? x[xi[i] + col / 4 + 1] : vec4(0.0);
				}
			}
		}
		if (col > 0)
			[[unroll]] for (uint s = 0; s < KSTEPS; s++) {
				uint at = (part_k * KSTEPS + s) * 2; /* uvec4s */
				uint a_at = (from * ROWS + part_m * FM * 16) * STRIDE + at;
				uint b_at = (from * NP + part_n * FN * 16) * STRIDE + at;
#ifdef COOPMAT
				fcoopmatNV<16, gl_ScopeSubgroup, 16, 16> a[FM], b[FN];
				[[unroll]] for (uint i = 0; i < FM; i++)
					coopMatLoadNV(a[i], sh_a, a_at + i * 16 * STRIDE, STRIDE, false);
				[[unroll]] for (uint j = 0; j < FN; j++)
					coopMatLoadNV(b[j], sh_b, b_at + j * 16 * STRIDE, STRIDE, true);
				[[unroll]] for (uint i = 0; i < FM; i++)
					[[unroll]] for (uint j = 0; j < FN; j++)
						acc[i][j] = coopMatMulAddNV(a[i], b[j], acc[i][j]);
#else
				[[unroll]] for (uint i = 0; i < FM; i++)
					[[unroll]] for (uint h = 0; h < 2; h++) {
						uvec4 a = sh_a[a_at + (i * 16 + my_row) * STRIDE + h];
						for (uint j = 0; j < FN; j++)
							[[unroll]] for (uint e = 0; e < 8; e++) {
								uvec4 b = sh_b[b_at + (j * 16 + my_pos + e) * STRIDE + h];
								[[unroll]] for (uint c = 0; c < 4; c++)
									acc[i][j][e] += dot(unpackHalf2x16(a[c]), unpackHalf2x16(b[c]));
							}
					}
#endif
			}
		if (BUFFERS == 1)
			barrier();
		if (col < cols) {
			[[unroll]] for (uint i = 0; i < A; i++) {
				if (A_ALL % WG != 0 && i * WG + lane >= A_ALL)
					break;
				uint at = to * ROWS * STRIDE + a_to[i];
				if (DTYPE == 1) {
					sh_a[at] = a_next[i];
					continue;
				}
				[[unroll]] for (uint q = 0; q < QUADS; q += 2)
					sh_a[at + q / 2] = half8(s_next[i] * unpack(a_next[i], q),
						s_next[i] * unpack(a_next[i], q + 1));
			}
			[[unroll]] for (uint i = 0; i < B; i++)
				if (B_ALL % WG == 0 || i * WG + lane < B_ALL)
					sh_b[to * NP * STRIDE + b_to[i]] =
						X_HALVES ? b_half[i] : half8(b_next[i][0], b_next[i][1]);
		}
		barrier();
	}

	/*
	 * Positions by sixteens; what the parts along the columns have is added in their order. A loop that was not
	 * unrolled inside of both loops over fragments kept NVIDIA's driver from unrolling those: sums in memory.
	 */
	[[unroll]] for (uint j = 0; j < FN; j++) {
		[[unroll]] for (uint i = 0; i < FM; i++) {
#ifdef COOPMAT
			coopMatStoreNV(acc[i][j], sh_c, (part * FM + i) * 256, 16, true);
#else
			[[unroll]] for (uint e = 0; e < 8; e++)
				sh_c[(part * FM + i) * 256 + (my_pos + e) * 16 + my_row] = acc[i][j][e];
#endif
		}
		wait_for_parts();
		/* consecutive invocations: consecutive rows of one position */
		[[dont_unroll]] for (uint id = part_k * 32 + lane % 32; id < FM * 256; id += 32 * PK) {
			uint i = id / 256, r = id % 16, c = id / 16 % 16, at = part % (PM * PN) * FM * 256 + id;
			uint p = (part_n * FN + j) * 16 + c, row = row0 + (part_m * FM + i) * 16 + r;
			float v = 0.0, up = 0.0;
			[[unroll]] for (uint g = 0; g < PK; g++)
				v += sh_c[at + g * PM * PN * FM * 256];
			if (p >= k.count || row >= rows)
				continue;
			uint to = y_base + sh_item[p] * y_stride;
			if (gated == 0) {
				put(to + row, v);
			} else if (r < 8) {
				[[unroll]] for (uint g = 0; g < PK; g++)
					up += sh_c[at + 8 + g * PM * PN * FM * 256];
				float unit = gate_unit(v, up);
				to += row / 16 * 8 + r;
				if (y_halves == 0) {
					y[to] = unit;
					continue;
				}
				float next = subgroupShuffleXor(unit, 1);
				if (r % 2 == 0)
					y16[to / 2] = packHalf2x16(vec2(unit, next));
			}
		}
		wait_for_parts();
	}
}
