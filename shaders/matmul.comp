#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * y = W x for many positions on a GPU. A work group of 256 takes 64 rows and NP
 * positions (32, 64 or 128); both sides go as f16 through shared memory, BK
 * columns at a time, the next ones on their way meanwhile. Of the eight parts of
 * 32 invocations, each takes 32 rows and 32 positions of its share of the
 * columns; sums are f32. With COOPMAT a part is a subgroup of 32 and multiplies
 * with cooperative matrices.
 */
#ifdef COOPMAT
#extension GL_KHR_memory_scope_semantics : require
#extension GL_NV_cooperative_matrix : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#endif
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "weights.glsl"

layout(constant_id = 3) const uint BK = 64; /* columns of a step */
layout(constant_id = 4) const bool SCALE16 = false;

const uint WG = 256, ROWS = 64;
const uint PN = NP / 32, PK = 4 / PN;	    /* parts along positions and columns */
const uint STRIDE = BK / 8 + 1;		    /* uvec4s (8 halfs) of a row in shared memory */
const uint STEP_UNITS = BK / 32 * UNITS;    /* of a row */
const uint A_ALL = ROWS * STEP_UNITS, A = (A_ALL + WG - 1) / WG;
const uint B = NP * BK / 8 / WG;
const uint KSTEPS = BK / PK / 16;

shared uvec4 sh_a[ROWS * STRIDE];
shared uvec4 sh_b[NP * STRIDE];
shared float sh_c[8 * 256]; /* a fragment of each part: 16 rows x 16 positions */
shared uint sh_x[NP], sh_item[NP];

uvec4 half8(vec4 a, vec4 b)
{
	return uvec4(packHalf2x16(a.xy), packHalf2x16(a.zw), packHalf2x16(b.xy), packHalf2x16(b.zw));
}

float scale_at(uint i)
{
	if (SCALE16) {
		vec2 v = unpackHalf2x16(scales[i / 2]);
		return (i & 1) == 0 ? v.x : v.y;
	}
	return uintBitsToFloat(scales[i]);
}

void main()
{
	uint lane = gl_LocalInvocationID.x, tiles = (rows + 7) / 8, cols = blocks * 32;
	Work k = work_of(gl_WorkGroupID.y);
	uint row0 = gl_WorkGroupID.x * ROWS;
	if (lane < NP) {
		uint item = item_of(k, lane);
		sh_item[lane] = item;
		sh_x[lane] = x_base + item / divide * x_stride;
	}
	barrier();

	uint wi[A], si[A], a_unit[A], a_to[A];
	[[unroll]] for (uint i = 0; i < A; i++) {
		uint id = min(i * WG + lane, A_ALL - 1), row = id % 8;
		a_unit[i] = id / 8 % STEP_UNITS;
		uint tile = id / 8 / STEP_UNITS, from = min(row0 / 8 + tile, tiles - 1);
		wi[i] = w_base + k.group * w_group + from * blocks * UNITS * 8 + row;
		si[i] = s_base + k.group * s_group + from * blocks * 8 + row;
		a_to[i] = (tile * 8 + row) * STRIDE + a_unit[i] * QUADS / 2;
	}
	uint xi[B], b_col[B], b_to[B];
	[[unroll]] for (uint i = 0; i < B; i++) {
		uint id = i * WG + lane, p = id / (BK / 8);
		b_col[i] = id % (BK / 8);
		xi[i] = sh_x[p];
		b_to[i] = p * STRIDE + b_col[i];
	}

	uint part = lane / 32, part_m = part % 2, part_n = part / 2 % PN, part_k = part / 2 / PN;
#ifdef COOPMAT
	fcoopmatNV<32, gl_ScopeSubgroup, 16, 16> acc[2][2];
	[[unroll]] for (uint i = 0; i < 2; i++)
		[[unroll]] for (uint j = 0; j < 2; j++)
			acc[i][j] = fcoopmatNV<32, gl_ScopeSubgroup, 16, 16>(0.0);
#else
	/* An invocation has a row of a fragment and 8 of its positions. */
	uint my_row = lane % 16, my_pos = lane % 32 / 16 * 8;
	float acc[2][2][8];
	[[unroll]] for (uint i = 0; i < 2; i++)
		[[unroll]] for (uint j = 0; j < 2; j++)
			[[unroll]] for (uint e = 0; e < 8; e++)
				acc[i][j][e] = 0.0;
#endif

	uvec4 a_next[A];
	float s_next[A];
	vec4 b_next[B][2];
	for (uint col = 0; col < cols + BK; col += BK) {
		/* the step that was loaded last goes to shared memory */
		if (col > 0) {
			barrier();
			[[unroll]] for (uint i = 0; i < A; i++) {
				if (A_ALL % WG != 0 && lane >= A_ALL)
					break;
				if (DTYPE == 1) {
					sh_a[a_to[i]] = a_next[i];
					continue;
				}
				[[unroll]] for (uint q = 0; q < QUADS; q += 2)
					sh_a[a_to[i] + q / 2] = half8(s_next[i] * unpack(a_next[i], q),
						s_next[i] * unpack(a_next[i], q + 1));
			}
			[[unroll]] for (uint i = 0; i < B; i++)
				sh_b[b_to[i]] = half8(b_next[i][0], b_next[i][1]);
			barrier();
		}
		if (col < cols) {
			[[unroll]] for (uint i = 0; i < A; i++) {
				uint u = col / 32 * UNITS + a_unit[i];
				bool in_row = u < blocks * UNITS;
				a_next[i] = in_row ? w[wi[i] + u * 8] : uvec4(0);
				s_next[i] = DTYPE >= 2 && in_row ? scale_at(si[i] + u / UNITS * 8) : 0.0;
			}
			[[unroll]] for (uint i = 0; i < B; i++) {
				bool in_row = col + b_col[i] * 8 < cols;
				uint at = xi[i] + (in_row ? (col + b_col[i] * 8) / 4 : 0);
				b_next[i][0] = in_row ? x[at] : vec4(0.0);
				b_next[i][1] = in_row ? x[at + 1] : vec4(0.0);
			}
		}
		if (col == 0)
			continue;
		[[unroll]] for (uint s = 0; s < KSTEPS; s++) {
			uint at = (part_k * KSTEPS + s) * 2; /* uvec4s */
#ifdef COOPMAT
			fcoopmatNV<16, gl_ScopeSubgroup, 16, 16> a[2], b[2];
			[[unroll]] for (uint i = 0; i < 2; i++)
				coopMatLoadNV(a[i], sh_a, (part_m * 32 + i * 16) * STRIDE + at, STRIDE, false);
			[[unroll]] for (uint j = 0; j < 2; j++)
				coopMatLoadNV(b[j], sh_b, (part_n * 32 + j * 16) * STRIDE + at, STRIDE, true);
			[[unroll]] for (uint i = 0; i < 2; i++)
				[[unroll]] for (uint j = 0; j < 2; j++)
					acc[i][j] = coopMatMulAddNV(a[i], b[j], acc[i][j]);
#else
			[[unroll]] for (uint i = 0; i < 2; i++)
				[[unroll]] for (uint h = 0; h < 2; h++) {
					uvec4 a = sh_a[(part_m * 32 + i * 16 + my_row) * STRIDE + at + h];
					[[unroll]] for (uint j = 0; j < 2; j++)
						[[unroll]] for (uint e = 0; e < 8; e++) {
							uvec4 b = sh_b[(part_n * 32 + j * 16 + my_pos + e) * STRIDE + at + h];
							[[unroll]] for (uint c = 0; c < 4; c++)
								acc[i][j][e] += dot(unpackHalf2x16(a[c]), unpackHalf2x16(b[c]));
						}
				}
#endif
		}
	}

	/* Fragment by fragment: parts of the same rows and positions are added in order. */
	[[unroll]] for (uint i = 0; i < 2; i++)
		[[unroll]] for (uint j = 0; j < 2; j++) {
			barrier();
#ifdef COOPMAT
			coopMatStoreNV(acc[i][j], sh_c, part * 256, 16, false);
#else
			[[unroll]] for (uint e = 0; e < 8; e++)
				sh_c[part * 256 + my_row * 16 + my_pos + e] = acc[i][j][e];
#endif
			barrier();
			/* consecutive invocations: consecutive rows of one position */
			for (uint id = lane; id < 2 * PN * 256; id += WG) {
				uint frag = id / 256, r = id % 16, c = id / 16 % 16, at = frag * 256 + r * 16 + c;
				uint p = frag / 2 * 32 + j * 16 + c, row = row0 + frag % 2 * 32 + i * 16 + r;
				float v = 0.0, up = 0.0;
				[[unroll]] for (uint g = 0; g < PK; g++)
					v += sh_c[at + g * 2 * PN * 256];
				if (p >= k.count || row >= rows)
					continue;
				uint to = y_base + sh_item[p] * y_stride;
				if (gated == 0) {
					y[to + row] = v;
				} else if (r < 8) {
					[[unroll]] for (uint g = 0; g < PK; g++)
						up += sh_c[at + 8 * 16 + g * 2 * PN * 256];
					y[to + row / 16 * 8 + r] = gate_unit(v, up);
				}
			}
		}
}
