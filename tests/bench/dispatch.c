/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/dispatch.h"

#include "base/clock.h"

#include <stdlib.h>

enum { ROUNDS = 5 };

static void put(VkCommandBuffer cmd, const struct lvx_job *j, uint32_t i)
{
	VkMemoryBarrier b = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
		.dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT};
	VkBufferCopy region = {.size = j->bytes};
	if (j->from) {
		vkCmdCopyBuffer(cmd, j->from, j->to, 1, &region);
	} else {
		vkCmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, j->pipeline);
		vkCmdBindDescriptorSets(
			cmd, VK_PIPELINE_BIND_POINT_COMPUTE, j->vk->layout, 0, 1, &j->set, 0, NULL);
		if (j->push_bytes)
			vkCmdPushConstants(cmd, j->vk->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
				j->push_bytes,
				(const char *)j->push + i % j->n_pushes * j->push_bytes);
		vkCmdDispatch(cmd, j->x, j->y, 1);
	}
	vkCmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
		VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0, 1, &b, 0, NULL, 0, NULL);
}

bool lvx_job_bind(struct lvx_job *j, const struct lvx_vk_buffer *b, uint32_t n)
{
	const VkDescriptorPoolSize sizes[] = {{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, LVX_VK_BINDINGS},
		{VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, LVX_VK_TEXELS}};
	VkDescriptorPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
		.maxSets = 1,
		.poolSizeCount = 2,
		.pPoolSizes = sizes};
	VkDescriptorSetAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
		.descriptorSetCount = 1,
		.pSetLayouts = &j->vk->set_layout};
	VkDescriptorBufferInfo views[LVX_VK_BINDINGS];
	if (vkCreateDescriptorPool(j->vk->device, &info, NULL, &j->pool) != VK_SUCCESS)
		return false;
	alloc.descriptorPool = j->pool;
	if (vkAllocateDescriptorSets(j->vk->device, &alloc, &j->set) != VK_SUCCESS)
		return false;
	for (uint32_t i = 0; i < n; i++)
		views[i] = (VkDescriptorBufferInfo){b[i].buffer, 0, VK_WHOLE_SIZE};
	VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
		.dstSet = j->set,
		.descriptorCount = n,
		.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
		.pBufferInfo = views};
	vkUpdateDescriptorSets(j->vk->device, 1, &write, 0, NULL);
	return true;
}

void lvx_job_finish(struct lvx_job *j)
{
	for (int i = 0; i < LVX_VK_TEXELS; i++)
		vkDestroyBufferView(j->vk->device, j->texels[i], NULL);
	vkDestroyDescriptorPool(j->vk->device, j->pool, NULL);
	vkDestroyPipeline(j->vk->device, j->pipeline, NULL);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double lvx_job_time(const struct lvx_job *j)
{
	VkCommandBuffer cmd;
	VkCommandBufferAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
		.commandPool = j->vk->pool,
		.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
		.commandBufferCount = 1};
	VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
	double seconds[ROUNDS] = {0};
	int rounds = j->once ? 1 : ROUNDS;
	if (vkAllocateCommandBuffers(j->vk->device, &alloc, &cmd) != VK_SUCCESS)
		return 0.0;
	VkSubmitInfo submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
		.commandBufferCount = 1,
		.pCommandBuffers = &cmd};
	VkResult r = vkBeginCommandBuffer(cmd, &begin);
	for (uint32_t i = 0; i < j->times; i++)
		put(cmd, j, i);
	if (r == VK_SUCCESS)
		r = vkEndCommandBuffer(cmd);
	/* none is timed before a first one */
	for (int i = j->once ? 0 : -1; i < rounds && r == VK_SUCCESS; i++) {
		int64_t t = lvx_now_us();
		r = vkQueueSubmit(j->vk->queue, 1, &submit, VK_NULL_HANDLE);
		if (r == VK_SUCCESS)
			r = vkQueueWaitIdle(j->vk->queue);
		if (i >= 0)
			seconds[i] = (double)(lvx_now_us() - t) * 1e-6 / j->times;
	}
	vkFreeCommandBuffers(j->vk->device, j->vk->pool, 1, &cmd);
	qsort(seconds, (size_t)rounds, sizeof(seconds[0]), by_value);
	return r == VK_SUCCESS ? seconds[rounds / 2] : 0.0;
}

enum lvx_status lvx_job_buffers(struct lvx_vk *vk, struct lvx_vk_buffer *b,
	const VkDeviceSize *sizes, uint32_t n, struct lvx_error *err)
{
	enum lvx_status st = LVX_OK;
	for (uint32_t i = 0; i < n && st == LVX_OK; i++) {
		st = lvx_vk_buffer_create(vk, &b[i], sizes[i], LVX_VK_DEVICE, "a benchmark", err);
		if (st == LVX_OK)
			st = lvx_vk_zero(vk, &b[i], err);
	}
	return st;
}
