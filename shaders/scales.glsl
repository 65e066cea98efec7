/* SPDX-License-Identifier: Apache-2.0 */
/* The scale of a block and row; behind weights.glsl and a constant SCALE16. */
float scale_at(uint i)
{
	if (DTYPE < 2)
		return 1.0;
	if (SCALE16) {
		vec2 v = unpackHalf2x16(scales[i / 2]);
		return (i & 1) == 0 ? v.x : v.y;
	}
	return uintBitsToFloat(scales[i]);
}
