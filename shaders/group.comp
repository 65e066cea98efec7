#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One work group: sorts the items by expert, in the order of positions, and
 * cuts each expert's into tiles of NP. Writes the tiles, the items and how many
 * tiles there are (vkCmdDispatchIndirect).
 */
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 1) const uint E = 8;

layout(set = 0, binding = 0) readonly buffer CH { uint choice[]; };
layout(set = 0, binding = 1) writeonly buffer L { uint list[]; }; /* tiles [][4], then items */
layout(set = 0, binding = 2) writeonly buffer D { uint dispatch[]; }; /* x, y, z twice: up, down */

layout(push_constant) uniform Push {
	uint n_items, tile, items_at, x_up, x_down;
};

shared uint count[E];

void main()
{
	uint lane = gl_LocalInvocationID.x, step = gl_WorkGroupSize.x;
	for (uint e = lane; e < E; e += step) {
		uint n = 0;
		for (uint i = 0; i < n_items; i++)
			n += choice[i] == e ? 1 : 0;
		count[e] = n;
	}
	barrier();
	for (uint e = lane; e < E; e += step) {
		uint item_at = 0, tile_at = 0;
		for (uint k = 0; k < e; k++) {
			item_at += count[k];
			tile_at += (count[k] + tile - 1) / tile;
		}
		for (uint t = 0; t * tile < count[e]; t++) {
			uint at = (tile_at + t) * 4;
			list[at] = e;
			list[at + 1] = item_at + t * tile;
			list[at + 2] = min(tile, count[e] - t * tile);
		}
		uint n = 0;
		for (uint i = 0; i < n_items; i++)
			if (choice[i] == e)
				list[items_at + item_at + n++] = i;
		if (e == E - 1) {
			uint tiles = tile_at + (count[e] + tile - 1) / tile;
			dispatch[0] = x_up;
			dispatch[1] = tiles;
			dispatch[2] = 1;
			dispatch[3] = x_down;
			dispatch[4] = tiles;
			dispatch[5] = 1;
		}
	}
}
