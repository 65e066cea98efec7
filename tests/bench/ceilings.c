/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/ceilings.h"

#include "base/clock.h"
#include "model/runner_priv.h"

#include <stdlib.h>
#include <string.h>

#include "copy_spv.h"
#include "product_spv.h"

enum { ROUNDS = 5, BUFFERS = 7 };
/* What the kernels beside this file take: bytes of a work group; rows and columns, shared memory. */
enum { COPY_BYTES = 256 * 8 * 16, PRODUCT_TILE = 128, PRODUCT_SHARED = 40960 };

/* One thing to time, `times` times in one command buffer. */
struct job {
	struct lvx_vk *vk;
	VkBuffer from, to; /* the device's own copy, or: */
	VkDeviceSize bytes;
	VkPipeline pipeline;
	VkDescriptorPool pool;
	VkDescriptorSet set;
	VkBufferView texels[LVX_VK_TEXELS];
	const void *push;
	uint32_t push_bytes;
	uint32_t x, y;
	uint32_t times;
};

static void put(VkCommandBuffer cmd, const struct job *j)
{
	VkMemoryBarrier b = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
		.dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT};
	VkBufferCopy region = {.size = j->bytes};
	if (j->from) {
		vkCmdCopyBuffer(cmd, j->from, j->to, 1, &region);
	} else {
		vkCmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, j->pipeline);
		vkCmdBindDescriptorSets(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, j->vk->layout, 0, 1,
			&j->set, 0, NULL);
		if (j->push_bytes)
			vkCmdPushConstants(cmd, j->vk->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
				j->push_bytes, j->push);
		vkCmdDispatch(cmd, j->x, j->y, 1);
	}
	vkCmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
		VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0, 1, &b, 0, NULL, 0, NULL);
}

/* A set with these buffers. */
static bool bind(struct job *j, const struct lvx_vk_buffer *b, uint32_t n)
{
	const VkDescriptorPoolSize sizes[] = {
		{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, LVX_VK_BINDINGS},
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

/* As runner_plan.c binds a product on a CPU. */
static bool bind_texels(struct job *j, const struct lvx_vk_buffer *b)
{
	static const VkFormat formats[LVX_VK_TEXELS] = {VK_FORMAT_R32G32B32A32_UINT,
		VK_FORMAT_R32G32B32A32_SFLOAT, VK_FORMAT_R32_SFLOAT};
	static const int texel_of[LVX_VK_TEXELS] = {0, 2, 1};
	for (int i = 0; i < LVX_VK_TEXELS; i++) {
		VkBufferViewCreateInfo view = {.sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
			.buffer = b[texel_of[i]].buffer,
			.format = formats[i],
			.range = VK_WHOLE_SIZE};
		if (vkCreateBufferView(j->vk->device, &view, NULL, &j->texels[i]) != VK_SUCCESS)
			return false;
	}
	VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
		.dstSet = j->set,
		.dstBinding = LVX_VK_BINDINGS,
		.descriptorCount = LVX_VK_TEXELS,
		.descriptorType = VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER,
		.pTexelBufferView = j->texels};
	vkUpdateDescriptorSets(j->vk->device, 1, &write, 0, NULL);
	return true;
}

static void finish(struct job *j)
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

/* Median seconds of one; 0: it failed. */
static double time_of(const struct job *j)
{
	VkCommandBuffer cmd;
	VkCommandBufferAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
		.commandPool = j->vk->pool,
		.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
		.commandBufferCount = 1};
	VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
	double seconds[ROUNDS] = {0};
	if (vkAllocateCommandBuffers(j->vk->device, &alloc, &cmd) != VK_SUCCESS)
		return 0.0;
	VkSubmitInfo submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
		.commandBufferCount = 1,
		.pCommandBuffers = &cmd};
	VkResult r = vkBeginCommandBuffer(cmd, &begin);
	for (uint32_t i = 0; i < j->times; i++)
		put(cmd, j);
	if (r == VK_SUCCESS)
		r = vkEndCommandBuffer(cmd);
	for (int i = -1; i < ROUNDS && r == VK_SUCCESS; i++) {
		int64_t t = lvx_now_us();
		r = vkQueueSubmit(j->vk->queue, 1, &submit, VK_NULL_HANDLE);
		if (r == VK_SUCCESS)
			r = vkQueueWaitIdle(j->vk->queue);
		if (i >= 0)
			seconds[i] = (double)(lvx_now_us() - t) * 1e-6 / j->times;
	}
	vkFreeCommandBuffers(j->vk->device, j->vk->pool, 1, &cmd);
	qsort(seconds, ROUNDS, sizeof(seconds[0]), by_value);
	return r == VK_SUCCESS ? seconds[ROUNDS / 2] : 0.0;
}

static enum lvx_status buffers(struct lvx_vk *vk, struct lvx_vk_buffer *b,
	const VkDeviceSize *sizes, uint32_t n, struct lvx_error *err)
{
	enum lvx_status st = LVX_OK;
	for (uint32_t i = 0; i < n && st == LVX_OK; i++) {
		st = lvx_vk_buffer_create(vk, &b[i], sizes[i], LVX_VK_DEVICE, "a ceiling", err);
		if (st == LVX_OK)
			st = lvx_vk_zero(vk, &b[i], err);
	}
	return st;
}

/* Bytes a second, read and written: the better of the device's own copy and of a kernel's. */
static double time_copy(struct lvx_vk *vk, struct lvx_error *err)
{
	VkDeviceSize bytes = vk->is_cpu ? 64 << 20 : 1 << 30, sizes[2] = {bytes, bytes};
	struct lvx_vk_buffer b[2] = {0};
	struct job kernel = {.vk = vk, .x = (uint32_t)(bytes / COPY_BYTES), .y = 1, .times = 16};
	double s = 0.0, own = 0.0;
	enum lvx_status st = buffers(vk, b, sizes, 2, err);
	if (st == LVX_OK)
		own = time_of(&(struct job){.vk = vk,
			.from = b[0].buffer,
			.to = b[1].buffer,
			.bytes = bytes,
			.times = 16});
	if (st == LVX_OK && !vk->is_cpu)
		st = lvx_vk_pipeline(vk, &kernel.pipeline, copy_spv, sizeof(copy_spv), NULL, 0,
			"copy", err);
	if (kernel.pipeline && bind(&kernel, b, 2))
		s = time_of(&kernel);
	s = own > 0.0 && (s <= 0.0 || own < s) ? own : s;
	finish(&kernel);
	for (int i = 0; i < 2; i++)
		lvx_vk_buffer_destroy(vk, &b[i]);
	return s > 0.0 ? 2.0 * (double)bytes / s : 0.0;
}

/* Seconds of the runner's product of an int8 matrix with n positions. */
static double time_product(struct lvx_vk *vk, uint32_t rows, uint32_t cols, uint32_t n,
	uint32_t tile, uint32_t times, struct lvx_error *err)
{
	const VkDeviceSize sizes[BUFFERS] = {(VkDeviceSize)rows * cols,
		(VkDeviceSize)rows * cols / 32 * 4, (VkDeviceSize)n * cols * 4,
		(VkDeviceSize)n * rows * 4, 256, 256, 256};
	const struct lvx_push_product push = {.blocks = cols / 32,
		.rows = rows,
		.n_items = n,
		.x_stride = cols / 4,
		.y_stride = rows,
		.divide = 1};
	struct lvx_vk_buffer b[BUFFERS] = {0};
	struct job j = {.vk = vk,
		.push = &push,
		.push_bytes = sizeof(push),
		.x = lvx_product_groups(vk, rows, tile),
		.y = (n + lvx_tiles[tile].positions - 1) / lvx_tiles[tile].positions,
		.times = times};
	double s = 0.0;
	enum lvx_status st = lvx_product_pipeline(vk, &j.pipeline, LVX_FMT_I8, tile, 0, false, err);
	if (st == LVX_OK)
		st = buffers(vk, b, sizes, BUFFERS, err);
	if (st == LVX_OK && bind(&j, b, BUFFERS) && (!vk->is_cpu || bind_texels(&j, b)))
		s = time_of(&j);
	finish(&j);
	for (int i = 0; i < BUFFERS; i++)
		lvx_vk_buffer_destroy(vk, &b[i]);
	return s;
}

/* Seconds of a product of f16 [side, side], with cooperative matrices; 0: the device has none. */
static double time_half_product(struct lvx_vk *vk, uint32_t side, struct lvx_error *err)
{
	const VkDeviceSize half = (VkDeviceSize)side * side * 2, sizes[3] = {half, half, 2 * half};
	const uint32_t push[] = {side / 8, side};
	struct lvx_vk_buffer b[3] = {0};
	struct job j = {.vk = vk,
		.push = push,
		.push_bytes = sizeof(push),
		.x = side / PRODUCT_TILE,
		.y = side / PRODUCT_TILE,
		.times = 8};
	double s = 0.0;
	if (!vk->coop || vk->limits.maxComputeSharedMemorySize < PRODUCT_SHARED)
		return 0.0;
	enum lvx_status st = lvx_vk_pipeline(
		vk, &j.pipeline, product_spv, sizeof(product_spv), NULL, 0, "product", err);
	if (st == LVX_OK)
		st = buffers(vk, b, sizes, 3, err);
	if (st == LVX_OK && bind(&j, b, 3))
		s = time_of(&j);
	finish(&j);
	for (int i = 0; i < 3; i++)
		lvx_vk_buffer_destroy(vk, &b[i]);
	return s;
}

enum lvx_status lvx_ceilings_measure(
	struct lvx_ceilings *out, const char *device, struct lvx_error *err)
{
	struct lvx_vk_instance *instance;
	struct lvx_vk *vk;
	enum lvx_status st = lvx_vk_instance_create(&instance, false, err);
	if (st != LVX_OK)
		return st;
	st = lvx_vk_create(&vk, instance, device, err);
	if (st != LVX_OK) {
		lvx_vk_instance_destroy(instance);
		return st;
	}
	uint32_t rows = vk->is_cpu ? 4096 : 32768, cols = vk->is_cpu ? 1024 : 16384;
	uint32_t side = vk->is_cpu ? 1024 : 8192, n = vk->is_cpu ? 64 : 8192;
	double flop = 2.0 * side * side * n;
	*out = (struct lvx_ceilings){.copy_gbs = time_copy(vk, err) * 1e-9};
	double s = time_product(vk, rows, cols, 1, 0, 8, err);
	out->matvec_gbs = s > 0.0 ? (double)rows * cols * (vk->is_cpu ? 1.125 : 1.0625) / s * 1e-9 : 0.0;
	s = time_product(vk, side, side, n, lvx_top_tile(vk, LVX_FMT_I8), vk->is_cpu ? 8 : 2, err);
	out->product_tfs = s > 0.0 ? flop / s * 1e-12 : 0.0;
	s = time_half_product(vk, side, err);
	out->half_tfs = s > 0.0 ? flop / s * 1e-12 : 0.0;
	lvx_vk_destroy(vk);
	lvx_vk_instance_destroy(instance);
	if (out->copy_gbs <= 0.0 || out->matvec_gbs <= 0.0 || out->product_tfs <= 0.0)
		return lvx_fail(err, LVX_EDEVICE, "the device's own speed could not be measured");
	return LVX_OK;
}
