/* SPDX-License-Identifier: Apache-2.0 */
/* Caches and positions of f16. */
uvec2 to_half(vec4 v)
{
	return uvec2(packHalf2x16(v.xy), packHalf2x16(v.zw));
}

vec4 from_half(uvec2 v)
{
	return vec4(unpackHalf2x16(v.x), unpackHalf2x16(v.y));
}
