/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by all kernels. A work group has WG invocations in one dimension. */
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_shuffle : require

layout(local_size_x_id = 0) in;

/* One position of the batch; model/runner_priv.h has the same. */
struct Pos {
	uint row, kind, index, run; /* index: which slot, patch or token of the batch */
	uint write, patch_no, off0, n0;
	uint off1, n1, off2, n2;
	uint item[4]; /* slot: where lane i's head input goes, or ~0 */
};

struct Run {
	uint row, modality, first, n;
	uint present; /* bit per modality whose memory may be read */
	float keep, add; /* memory = keep * memory + add * mean */
	uint conditions; /* bit per condition */
};

const uint KIND_SLOT = 0, KIND_PATCH = 1, KIND_TOKEN = 2;

shared uint sh_part[64];

/* The sum over the work group, the same on every invocation and in a fixed order. */
float group_add(float v)
{
	v = subgroupAdd(v);
	if (gl_WorkGroupSize.x <= 8) /* subgroups are not smaller */
		return v;
	if (subgroupElect())
		sh_part[gl_SubgroupID] = floatBitsToUint(v);
	barrier();
	float s = 0.0;
	for (uint i = 0; i < gl_NumSubgroups; i++)
		s += uintBitsToFloat(sh_part[i]);
	barrier();
	return s;
}

float group_max(float v)
{
	v = subgroupMax(v);
	if (gl_WorkGroupSize.x <= 8)
		return v;
	if (subgroupElect())
		sh_part[gl_SubgroupID] = floatBitsToUint(v);
	barrier();
	float s = uintBitsToFloat(sh_part[0]);
	for (uint i = 1; i < gl_NumSubgroups; i++)
		s = max(s, uintBitsToFloat(sh_part[i]));
	barrier();
	return s;
}

uint group_min(uint v)
{
	v = subgroupMin(v);
	if (gl_WorkGroupSize.x <= 8)
		return v;
	if (subgroupElect())
		sh_part[gl_SubgroupID] = v;
	barrier();
	uint s = sh_part[0];
	for (uint i = 1; i < gl_NumSubgroups; i++)
		s = min(s, sh_part[i]);
	barrier();
	return s;
}
