#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * C = A B', f16 in, f32 sums, as fast as cooperative matrices go: the ceiling for products. A
 * work group of four subgroups of 32 takes 128 rows and 128 columns of C, a subgroup 64 of
 * each; A and B go through shared memory 32 columns at a time, the next ones on their way meanwhile. All
 * sizes are multiples of these.
 */
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_NV_cooperative_matrix : require

layout(local_size_x = 128) in;

const uint TILE = 128, BK8 = 4;	    /* columns of a step / 8 */
const uint STRIDE = BK8 + 1;	    /* uvec4s (8 halfs) of a row in shared memory */
const uint EACH = TILE * BK8 / 128; /* uvec4s that an invocation loads of each side */

layout(set = 0, binding = 0) readonly buffer A { uvec4 a[]; }; /* [rows][k8] */
layout(set = 0, binding = 1) readonly buffer B { uvec4 b[]; }; /* [columns][k8] */
layout(set = 0, binding = 2) writeonly buffer C { float c[]; }; /* [rows][columns] */

layout(push_constant) uniform Push {
	uint k8, columns;
};

shared uvec4 sh_a[2 * TILE * STRIDE], sh_b[2 * TILE * STRIDE];

void main()
{
	uint lane = gl_LocalInvocationID.x, part = lane / 32;
	uint row0 = gl_WorkGroupID.x * TILE, col0 = gl_WorkGroupID.y * TILE;
	uint my_row = part / 2 * 64, my_col = part % 2 * 64;
	uvec4 next_a[EACH], next_b[EACH];
	fcoopmatNV<32, gl_ScopeSubgroup, 16, 16> acc[4][4];
	[[unroll]] for (uint i = 0; i < 4; i++)
		[[unroll]] for (uint j = 0; j < 4; j++)
			acc[i][j] = fcoopmatNV<32, gl_ScopeSubgroup, 16, 16>(0.0);
	/* Step k loads its columns while those of the step before are multiplied. */
	for (uint k = 0; k <= k8; k += BK8) {
		if (k < k8)
			[[unroll]] for (uint i = 0; i < EACH; i++) {
				uint id = i * 128 + lane, row = id / BK8, col = id % BK8;
				next_a[i] = a[(row0 + row) * k8 + k + col];
				next_b[i] = b[(col0 + row) * k8 + k + col];
			}
		uint from = (k / BK8 + 1) % 2 * TILE * STRIDE, to = k / BK8 % 2 * TILE * STRIDE;
		if (k > 0)
			[[unroll]] for (uint s = 0; s < BK8; s += 2) {
				fcoopmatNV<16, gl_ScopeSubgroup, 16, 16> fa[4], fb[4];
				[[unroll]] for (uint i = 0; i < 4; i++)
					coopMatLoadNV(fa[i], sh_a,
						from + (my_row + i * 16) * STRIDE + s, STRIDE, false);
				[[unroll]] for (uint j = 0; j < 4; j++)
					coopMatLoadNV(fb[j], sh_b,
						from + (my_col + j * 16) * STRIDE + s, STRIDE, true);
				[[unroll]] for (uint i = 0; i < 4; i++)
					[[unroll]] for (uint j = 0; j < 4; j++)
						acc[i][j] = coopMatMulAddNV(fa[i], fb[j], acc[i][j]);
			}
		if (k < k8)
			[[unroll]] for (uint i = 0; i < EACH; i++) {
				uint id = i * 128 + lane, at = to + id / BK8 * STRIDE + id % BK8;
				sh_a[at] = next_a[i];
				sh_b[at] = next_b[i];
			}
		barrier();
	}
	[[unroll]] for (uint i = 0; i < 4; i++)
		[[unroll]] for (uint j = 0; j < 4; j++)
			coopMatStoreNV(acc[i][j], c,
				(row0 + my_row + i * 16) * columns + col0 + my_col + j * 16,
				columns, false);
}
