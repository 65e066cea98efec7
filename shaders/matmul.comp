#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * y = W x for many positions on a GPU. A work group takes ROWS rows and NP
 * positions; both sides go as f16 through shared memory, BK columns at a time, the next DEPTH times BK
 * on their way to registers meanwhile. Its parts of 32 invocations share them out:
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
layout(constant_id = 11) const uint DEPTH = 1; /* steps on their way */

layout(set = 0, binding = 3) writeonly buffer Y16 { uint y16[]; };
layout(set = 0, binding = 7) readonly buffer X16 { uvec4 x16[]; };

const uint PARTS = PM * PN * PK, WG = 32 * PARTS;
const uint FM = ROWS / 16 / PM, FN = NP / 16 / PN; /* fragments of a part */
const uint STRIDE = BK / 8 + 1;		    /* uvec4s (8 halfs) of a row in shared memory */
const uint STEP_UNITS = BK / 32 * UNITS;    /* of a row */
const uint A_ALL = ROWS * STEP_UNITS, A = (A_ALL + WG - 1) / WG;
const uint B_ALL = NP * BK / 8, B = (B_ALL + WG - 1) / WG;
const uint KSTEPS = BK / PK / 16;

/* Both sides; when they are done with, of each part FM x JN fragments of 16 positions x 16 rows of f32. */
const uint B_AT = BUFFERS * ROWS * STRIDE, SIDES = B_AT + BUFFERS * NP * STRIDE;
const uint FRAGMENTS = PARTS * FM * 64; /* of 16 positions */
/* Sums are added up when all of a part's are in shared memory, or by sixteen positions. */
const uint JN = FN * FRAGMENTS <= SIDES ? FN : 1, SUMS = JN * FRAGMENTS;
shared uvec4 sh[SIDES > SUMS ? SIDES : SUMS];
shared uint sh_x[NP], sh_item[NP];
/* Of the sums, those that parts along the columns share out, in turns, AT_ONCE of these together. */
const uint MINE = FM * JN * 256, TURNS = (MINE / 32 + PK - 1) / PK;
const uint AT_ONCE = TURNS % 4 == 0 ? 4 : TURNS % 2 == 0 ? 2 : 1;

uvec4 half8(vec4 a, vec4 b)
{
	return uvec4(packHalf2x16(a.xy), packHalf2x16(a.zw), packHalf2x16(b.xy), packHalf2x16(b.zw));
}

float sum_at(uint i)
{
	return uintBitsToFloat(sh[i / 4][i % 4]);
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

/* Steps from column `col` on to registers d, without a branch between loads: with one, NVIDIA's driver has only
 * one on its way. Behind the last column it is read again. */
#define LOAD(d, col) \
	{ \
		[[unroll]] for (uint i = 0; i < A; i++) { \
			uint u = min((col) / 32 * UNITS + a_unit[i], units - 1); \
			a_next[d][i] = w[wi[i] + u * 8]; \
			s_next[d][i] = DTYPE >= 2 ? scale_at(si[i] + u / UNITS * 8) : 0.0; \
		} \
		[[unroll]] for (uint i = 0; i < B; i++) { \
			uint c = min((col) + b_col[i], cols - 8); \
			if (X_HALVES) { \
				b_half[d][i] = x16[xi[i] + c / 8]; \
			} else { \
				b_next[d][i][0] = x[xi[i] + c / 4]; \
				b_next[d][i][1] = x[xi[i] + c / 4 + 1]; \
			} \
		} \
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

	uint units = blocks * UNITS; /* of a row */
	uint wi[A], si[A], a_unit[A], a_to[A];
	[[unroll]] for (uint i = 0; i < A; i++) {
		uint id = min(i * WG + lane, A_ALL - 1), row = id % 8;
		a_unit[i] = id / 8 % STEP_UNITS;
		uint tile = id / 8 / STEP_UNITS, from = min(row0 / 8 + tile, tiles - 1);
		wi[i] = w_base + k.group * w_group + from * units * 8 + row;
		si[i] = s_base + k.group * s_group + from * blocks * 8 + row;
		a_to[i] = (tile * 8 + row) * STRIDE + a_unit[i] * QUADS / 2;
	}
	uint xi[B], b_col[B], b_to[B];
	[[unroll]] for (uint i = 0; i < B; i++) {
		uint id = min(i * WG + lane, B_ALL - 1), p = id / (BK / 8);
		b_col[i] = id % (BK / 8) * 8;
		xi[i] = sh_x[p];
		b_to[i] = B_AT + p * STRIDE + b_col[i] / 8;
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

	uvec4 a_next[DEPTH][A], b_half[DEPTH][B];
	float s_next[DEPTH][A];
	vec4 b_next[DEPTH][B][2];
	[[unroll]] for (uint d = 0; d < DEPTH; d++)
		LOAD(d, d * BK);
	for (uint col0 = 0; col0 < cols; col0 += DEPTH * BK)
		[[unroll]] for (uint d = 0; d < DEPTH; d++) {
			uint col = col0 + d * BK, to = BUFFERS == 2 ? col / BK % 2 : 0;
			[[unroll]] for (uint i = 0; i < A; i++) {
				if (A_ALL % WG != 0 && i * WG + lane >= A_ALL)
					break;
				uint at = to * ROWS * STRIDE + a_to[i];
				if (DTYPE == 1) {
					sh[at] = a_next[d][i];
					continue;
				}
				[[unroll]] for (uint q = 0; q < QUADS; q += 2)
					sh[at + q / 2] = half8(s_next[d][i] * unpack(a_next[d][i], q),
						s_next[d][i] * unpack(a_next[d][i], q + 1));
			}
			/* Columns that there are not: nothing of a position, whatever the weights. */
			[[unroll]] for (uint i = 0; i < B; i++)
				if (B_ALL % WG == 0 || i * WG + lane < B_ALL) {
					uint mask = col + b_col[i] < cols ? ~0u : 0u;
					sh[to * NP * STRIDE + b_to[i]] = mask &
						(X_HALVES ? b_half[d][i] : half8(b_next[d][i][0], b_next[d][i][1]));
				}
			barrier();
			LOAD(d, col + DEPTH * BK);
			[[unroll]] for (uint s = 0; s < KSTEPS; s++) {
				uint at = (part_k * KSTEPS + s) * 2; /* uvec4s */
				uint a_at = (to * ROWS + part_m * FM * 16) * STRIDE + at;
				uint b_at = B_AT + (to * NP + part_n * FN * 16) * STRIDE + at;
#ifdef COOPMAT
				fcoopmatNV<16, gl_ScopeSubgroup, 16, 16> a[FM], b[FN];
				[[unroll]] for (uint i = 0; i < FM; i++)
					coopMatLoadNV(a[i], sh, a_at + i * 16 * STRIDE, STRIDE, false);
				[[unroll]] for (uint j = 0; j < FN; j++)
					coopMatLoadNV(b[j], sh, b_at + j * 16 * STRIDE, STRIDE, true);
				[[unroll]] for (uint i = 0; i < FM; i++)
					[[unroll]] for (uint j = 0; j < FN; j++)
						acc[i][j] = coopMatMulAddNV(a[i], b[j], acc[i][j]);
#else
				[[unroll]] for (uint i = 0; i < FM; i++)
					[[unroll]] for (uint h = 0; h < 2; h++) {
						uvec4 a = sh[a_at + (i * 16 + my_row) * STRIDE + h];
						for (uint j = 0; j < FN; j++)
							[[unroll]] for (uint e = 0; e < 8; e++) {
								uvec4 b = sh[b_at + (j * 16 + my_pos + e) * STRIDE + h];
								[[unroll]] for (uint c = 0; c < 4; c++)
									acc[i][j][e] += dot(unpackHalf2x16(a[c]), unpackHalf2x16(b[c]));
							}
					}
#endif
			}
			if (BUFFERS == 1) /* with two, nobody is a step ahead of another's reading */
				barrier();
		}
	if (BUFFERS == 2)
		barrier();

	/*
	 * What the parts along the columns have is added in their order. A loop that was not unrolled inside of both
	 * loops over fragments kept NVIDIA's driver from unrolling those: sums in memory. Sums that are added to are
	 * read some at once: one after the other they would take a good part of a small product's time.
	 */
	[[unroll]] for (uint j0 = 0; j0 < FN; j0 += JN) {
		[[unroll]] for (uint j = 0; j < JN; j++)
			[[unroll]] for (uint i = 0; i < FM; i++) {
				uint at = (part * JN + j) * FM + i;
#ifdef COOPMAT
				coopMatStoreNV(acc[i][j0 + j], sh, at * 64, 4, true);
#else
				[[unroll]] for (uint e = 0; e < 8; e++)
					sh[at * 64 + (my_pos + e) * 4 + my_row / 4][my_row % 4] =
						floatBitsToUint(acc[i][j0 + j][e]);
#endif
			}
		wait_for_parts();
		/* consecutive invocations: consecutive rows of one position */
		[[dont_unroll]] for (uint turn = 0; turn < TURNS; turn += AT_ONCE) {
			float v[AT_ONCE], up[AT_ONCE], old[AT_ONCE];
			uint to[AT_ONCE], mine[AT_ONCE], r[AT_ONCE];
			[[unroll]] for (uint t = 0; t < AT_ONCE; t++) {
				uint id = (turn + t) * 32 * PK + part_k * 32 + lane % 32;
				bool in_turn = id < MINE;
				id = min(id, MINE - 1);
				uint f = id / 256, at = part % (PM * PN) * MINE + id;
				uint p = (part_n * FN + j0 + f / FM) * 16 + id / 16 % 16;
				uint row = row0 + (part_m * FM + f % FM) * 16 + id % 16;
				r[t] = id % 16;
				mine[t] = in_turn && p < k.count && row < rows ? 1 : 0;
				row = min(row, rows - 1);
				to[t] = y_base + sh_item[p] * y_stride + (gated == 0 ? row : row / 16 * 8 + row % 8);
				v[t] = up[t] = old[t] = 0.0;
				[[unroll]] for (uint g = 0; g < PK; g++)
					v[t] += sum_at(at + g * PM * PN * MINE);
				if (gated != 0)
					[[unroll]] for (uint g = 0; g < PK; g++)
						up[t] += sum_at((at | 8) + g * PM * PN * MINE);
			}
			if (adds != 0)
				[[unroll]] for (uint t = 0; t < AT_ONCE; t++)
					old[t] = y[to[t]];
			[[unroll]] for (uint t = 0; t < AT_ONCE; t++) {
				if (mine[t] != 0 && gated == 0)
					y[to[t]] = adds != 0 ? old[t] + v[t] : v[t];
				if (mine[t] != 0 && gated != 0 && r[t] < 8) {
					float unit = gate_unit(v[t], up[t]);
					float next = subgroupShuffleXor(unit, 1);
					if (y_halves == 0)
						y[to[t]] = unit;
					else if (r[t] % 2 == 0)
						y16[to[t] / 2] = packHalf2x16(vec2(unit, next));
				}
			}
		}
		wait_for_parts();
	}
}
