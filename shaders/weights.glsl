/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How matrices lie in memory, and what a product is: bindings, push constants
 * and unpacking of linear.comp, matvec.comp and matmul.comp, which are the same
 * product for a CPU, for few and for many positions.
 *
 * Rows come in tiles of 8: one tile's weights are consecutive in memory, unit by
 * unit (16 bytes of each of the 8 rows), so that a subgroup reads a stream. A
 * block is 32 columns; scales are [tile][block][8].
 */
layout(constant_id = 1) const uint DTYPE = 0; /* 0 f32, 1 f16, 2 int8, 3 4-bit */
layout(constant_id = 2) const uint NP = 1;    /* positions of an invocation or work group */

#ifndef TEXELS
layout(set = 0, binding = 0) readonly buffer W { uvec4 w[]; };
layout(set = 0, binding = 1) readonly buffer S { uint scales[]; }; /* f32, or pairs of f16 */
layout(set = 0, binding = 2) readonly buffer X { vec4 x[]; };
#endif
layout(set = 0, binding = 3) buffer Y { float y[]; };
/* direct: group of each item; grouped: [tiles][4] {group, first, count, 0}, items behind */
layout(set = 0, binding = 4) readonly buffer L { uint list[]; };

layout(push_constant) uniform Push {
	uint blocks;	 /* columns / 32 */
	uint rows, n_items;
	uint x_base, x_stride; /* fours of values */
	uint y_base, y_stride;
	uint w_base, w_group;	/* uvec4s: of a group (expert) */
	uint s_base, s_group;
	uint mode;	 /* 0 plain, 1 direct, 2 grouped, 3 direct and summed */
	uint divide;	 /* x of item i is i / divide; summed: so many experts of an item */
	uint items_at;	 /* grouped: where the items begin in list */
	uint gated;	 /* tiles alternate gate and up: y = (up + 1) gate sigmoid(alpha gate) */
	uint adds;	 /* y += W x */
	uint y_halves;	 /* matmul.comp, gated: y is f16 */
	float alpha, limit;
	float eps;	 /* matvec.comp, of its norm */
};

const uint UNITS = DTYPE == 0 ? 8 : DTYPE == 1 ? 4 : DTYPE == 2 ? 2 : 1; /* of a block */
const uint QUADS = 8 / UNITS; /* vec4s of a unit */

/* Each nibble of the lower 16 bits less 8. */
vec4 from_nibbles(uint v)
{
#ifdef TEXELS
	return vec4(v & 15u, v >> 4 & 15u, v >> 8 & 15u, v >> 12 & 15u) - 8.0;
#else
	/* GPUs convert slowly. As the last bits of a float's mantissa a nibble is added to that float's power of
	 * two, which is taken off again; all of it exact. */
	uvec4 bits = v & uvec4(0xf, 0xf0, 0xf00, 0xf000) | uvec4(0x4b000000, 0x49000000, 0x47000000, 0x45000000);
	return uintBitsToFloat(bits) - vec4(8388608 + 8, 524288 + 8, 32768 + 8, 2048 + 8);
#endif
}

/* Values 4q..4q+3 of a unit. */
vec4 unpack(uvec4 unit, uint q)
{
	if (DTYPE == 0)
		return uintBitsToFloat(unit);
	if (DTYPE == 1)
		return q == 0 ? vec4(unpackHalf2x16(unit.x), unpackHalf2x16(unit.y))
			      : vec4(unpackHalf2x16(unit.z), unpackHalf2x16(unit.w));
	if (DTYPE == 2) {
		int v = int(unit[q]);
		return vec4(v << 24 >> 24, v << 16 >> 24, v << 8 >> 24, v >> 24);
	}
	return from_nibbles(unit[q / 2] >> ((q & 1) * 16));
}

float gate_unit(float g, float u)
{
	precise float a = min(g, limit);
	precise float b = clamp(u, -limit, limit);
	precise float e = exp(-alpha * a);
	precise float r = (b + 1.0) * a / (1.0 + e);
	return r;
}

void put(uint at, float v)
{
	y[at] = adds != 0 ? y[at] + v : v;
}

/* Of work group row wy: the matrix, and which items. */
struct Work {
	uint group, first, count;
};

Work work_of(uint wy)
{
	Work k = Work(0, wy * NP, 0);
	k.count = min(NP, n_items - k.first);
	if (mode == 1) {
		k.group = list[k.first];
	} else if (mode == 2) {
		k.group = list[wy * 4];
		k.first = list[wy * 4 + 1];
		k.count = list[wy * 4 + 2];
	}
	return k;
}

uint item_of(Work k, uint p)
{
	uint item = k.first + min(p, k.count - 1);
	return mode == 2 ? list[items_at + item] : item;
}
