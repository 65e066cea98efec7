#version 450
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One work group: sorts the items by expert and cuts each expert's into tiles of
 * NP. Writes the tiles, the items and how many tiles there are
 * (vkCmdDispatchIndirect). The order within an expert may vary: an item's
 * products do not depend on its neighbours.
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

shared uint count[E], item_at[E], tile_at[E];

void main()
{
	uint lane = gl_LocalInvocationID.x, step = gl_WorkGroupSize.x;
	for (uint e = lane; e < E; e += step)
		count[e] = 0;
	barrier();
	for (uint i = lane; i < n_items; i += step)
		atomicAdd(count[choice[i]], 1);
	barrier();
	if (lane == 0) {
		uint items = 0, tiles = 0;
		for (uint e = 0; e < E; e++) {
			item_at[e] = items;
			tile_at[e] = tiles;
			items += count[e];
			tiles += (count[e] + tile - 1) / tile;
		}
		dispatch[0] = x_up;
		dispatch[1] = tiles;
		dispatch[2] = 1;
		dispatch[3] = x_down;
		dispatch[4] = tiles;
		dispatch[5] = 1;
	}
	barrier();
	for (uint e = lane; e < E; e += step)
		for (uint t = 0; t * tile < count[e]; t++) {
			uint at = (tile_at[e] + t) * 4;
			list[at] = e;
			list[at + 1] = item_at[e] + t * tile;
			list[at + 2] = min(tile, count[e] - t * tile);
		}
	barrier();
	for (uint i = lane; i < n_items; i += step)
		list[items_at + atomicAdd(item_at[choice[i]], 1)] = i;
}
