/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/ceilings.h"

#include "model/runner_priv.h"
#include "tests/bench/dispatch.h"

#include "copy_spv.h"
#include "product_spv.h"

enum { BUFFERS = 8 };
/* What the kernels beside this file take: bytes of a work group; rows and columns, shared memory. */
enum { COPY_BYTES = 256 * 8 * 16, PRODUCT_TILE = 128, PRODUCT_SHARED = 40960 };

/* As runner_plan.c binds a product on a CPU. */
static bool bind_texels(struct lvx_job *j, const struct lvx_vk_buffer *b)
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

/* Bytes a second, read and written: the better of the device's own copy and of a kernel's. */
static double time_copy(struct lvx_vk *vk, struct lvx_error *err)
{
	VkDeviceSize bytes = vk->is_cpu ? 64 << 20 : 1 << 30, sizes[2] = {bytes, bytes};
	struct lvx_vk_buffer b[2] = {0};
	struct lvx_job kernel = {.vk = vk, .x = (uint32_t)(bytes / COPY_BYTES), .y = 1, .times = 16};
	double s = 0.0, own = 0.0;
	enum lvx_status st = lvx_job_buffers(vk, b, sizes, 2, err);
	if (st == LVX_OK)
		own = lvx_job_time(&(struct lvx_job){.vk = vk,
			.from = b[0].buffer,
			.to = b[1].buffer,
			.bytes = bytes,
			.times = 16});
	if (st == LVX_OK && !vk->is_cpu)
		st = lvx_vk_pipeline(vk, &kernel.pipeline, copy_spv, sizeof(copy_spv), NULL, 0,
			"copy", err);
	if (kernel.pipeline && lvx_job_bind(&kernel, b, 2))
		s = lvx_job_time(&kernel);
	s = own > 0.0 && (s <= 0.0 || own < s) ? own : s;
	lvx_job_finish(&kernel);
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
		(VkDeviceSize)n * rows * 4, 256, 256, 256, (VkDeviceSize)n * cols * 2};
	const struct lvx_push_product push = {.blocks = cols / 32,
		.rows = rows,
		.n_items = n,
		.x_stride = cols / 4,
		.y_stride = rows,
		.divide = 1};
	struct lvx_vk_buffer b[BUFFERS] = {0};
	struct lvx_job j = {.vk = vk,
		.push = &push,
		.push_bytes = sizeof(push),
		.n_pushes = 1,
		.x = lvx_product_groups(vk, rows, tile),
		.y = (n + lvx_tiles[tile].positions - 1) / lvx_tiles[tile].positions,
		.times = times};
	double s = 0.0;
	enum lvx_status st = lvx_product_pipeline(
		vk, &j.pipeline, LVX_FMT_I8, tile, 0, false, true, err);
	if (st == LVX_OK)
		st = lvx_job_buffers(vk, b, sizes, BUFFERS, err);
	if (st == LVX_OK && lvx_job_bind(&j, b, BUFFERS) && (!vk->is_cpu || bind_texels(&j, b)))
		s = lvx_job_time(&j);
	lvx_job_finish(&j);
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
	struct lvx_job j = {.vk = vk,
		.push = push,
		.push_bytes = sizeof(push),
		.n_pushes = 1,
		.x = side / PRODUCT_TILE,
		.y = side / PRODUCT_TILE,
		.times = 8};
	double s = 0.0;
	if (!vk->coop || vk->limits.maxComputeSharedMemorySize < PRODUCT_SHARED)
		return 0.0;
	enum lvx_status st = lvx_vk_pipeline(
		vk, &j.pipeline, product_spv, sizeof(product_spv), NULL, 0, "product", err);
	if (st == LVX_OK)
		st = lvx_job_buffers(vk, b, sizes, 3, err);
	if (st == LVX_OK && lvx_job_bind(&j, b, 3))
		s = lvx_job_time(&j);
	lvx_job_finish(&j);
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
