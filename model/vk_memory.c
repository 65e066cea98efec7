/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers: each has its own allocation; there are some dozens, all made at start. */
#include "model/vk_device.h"

#include <string.h>

enum { STAGING_BYTES = 16 << 20 };

/* The first type that has all of `want`, else all of `need`; UINT32_MAX: none. */
static uint32_t memory_type(const struct lvx_vk *vk, uint32_t allowed, VkMemoryPropertyFlags want,
	VkMemoryPropertyFlags need)
{
	for (int pass = 0; pass < 2; pass++) {
		VkMemoryPropertyFlags flags = pass == 0 ? want : need;
		for (uint32_t i = 0; i < vk->memory.memoryTypeCount; i++)
			if (allowed >> i & 1 &&
				(vk->memory.memoryTypes[i].propertyFlags & flags) == flags)
				return i;
	}
	return UINT32_MAX;
}

static uint32_t pick_type(const struct lvx_vk *vk, uint32_t allowed, enum lvx_vk_memory kind)
{
	const VkMemoryPropertyFlags host =
		VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
	switch (kind) {
	case LVX_VK_DEVICE:
		return memory_type(vk, allowed, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0);
	case LVX_VK_UPLOAD: /* cached: some of it is read again while it is written */
	case LVX_VK_READBACK:
		break;
	}
	return memory_type(vk, allowed, host | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, host);
}

enum lvx_status lvx_vk_buffer_create(struct lvx_vk *vk, struct lvx_vk_buffer *out,
	VkDeviceSize size, enum lvx_vk_memory kind, const char *what, struct lvx_error *err)
{
	struct lvx_vk_buffer b = {.size = size ? size : 4};
	VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
		.size = b.size,
		.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
			 VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT |
			 (vk->is_cpu ? VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT : 0)};
	VkResult r = vkCreateBuffer(vk->device, &info, NULL, &b.buffer);
	if (r != VK_SUCCESS)
		goto fail;
	VkMemoryRequirements need;
	vkGetBufferMemoryRequirements(vk->device, b.buffer, &need);
	VkMemoryAllocateInfo alloc = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
		.allocationSize = need.size,
		.memoryTypeIndex = pick_type(vk, need.memoryTypeBits, kind)};
	r = VK_ERROR_OUT_OF_DEVICE_MEMORY;
	if (alloc.memoryTypeIndex == UINT32_MAX ||
		(vk->bytes_max && vk->bytes + b.size > vk->bytes_max))
		goto fail;
	r = vkAllocateMemory(vk->device, &alloc, NULL, &b.memory);
	if (r == VK_SUCCESS)
		r = vkBindBufferMemory(vk->device, b.buffer, b.memory, 0);
	VkMemoryPropertyFlags flags = vk->memory.memoryTypes[alloc.memoryTypeIndex].propertyFlags;
	const VkMemoryPropertyFlags mappable =
		VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
	if (r == VK_SUCCESS && (flags & mappable) == mappable)
		r = vkMapMemory(vk->device, b.memory, 0, VK_WHOLE_SIZE, 0, &b.map);
	if (r != VK_SUCCESS)
		goto fail;
	vk->bytes += b.size;
	*out = b;
	return LVX_OK;
fail:
	vkDestroyBuffer(vk->device, b.buffer, NULL);
	vkFreeMemory(vk->device, b.memory, NULL);
	return lvx_fail(err, lvx_vk_status(r), "%s: %llu MiB for %s: %s", vk->info.name,
		(unsigned long long)(size >> 20), what, lvx_vk_result_name(r));
}

void lvx_vk_buffer_destroy(struct lvx_vk *vk, struct lvx_vk_buffer *b)
{
	if (!b->buffer)
		return;
	vkDestroyBuffer(vk->device, b->buffer, NULL);
	vkFreeMemory(vk->device, b->memory, NULL);
	vk->bytes -= b->size;
	*b = (struct lvx_vk_buffer){0};
}

/* ---- copies ---- */

static VkResult begin(struct lvx_vk *vk, VkCommandBuffer *cmd)
{
	VkCommandBufferAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
		.commandPool = vk->pool,
		.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
		.commandBufferCount = 1};
	VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
		.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
	VkResult r = vkAllocateCommandBuffers(vk->device, &alloc, cmd);
	return r == VK_SUCCESS ? vkBeginCommandBuffer(*cmd, &info) : r;
}

/* What is copied was written before, by whatever; whatever comes next sees the copy. */
static void barrier(VkCommandBuffer cmd)
{
	VkMemoryBarrier b = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
		.dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT};
	vkCmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
		VK_PIPELINE_STAGE_ALL_COMMANDS_BIT | VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &b, 0, NULL,
		0, NULL);
}

static VkResult finish(struct lvx_vk *vk, VkCommandBuffer cmd, VkResult r)
{
	if (r == VK_SUCCESS)
		r = vkEndCommandBuffer(cmd);
	if (r == VK_SUCCESS)
		r = lvx_vk_run(vk, cmd);
	if (cmd)
		vkFreeCommandBuffers(vk->device, vk->pool, 1, &cmd);
	return r;
}

/* A load of the staging buffer: from piece *i on, *at bytes of which are done. */
static VkResult copy_load(
	struct lvx_vk *vk, const struct lvx_vk_piece *pieces, uint32_t n, bool to_host, uint32_t *i,
	VkDeviceSize *at)
{
	VkCommandBuffer cmd = VK_NULL_HANDLE;
	VkDeviceSize used = 0, from = *at;
	uint32_t first = *i;
	VkResult r = begin(vk, &cmd);
	if (r == VK_SUCCESS)
		barrier(cmd);
	while (r == VK_SUCCESS && *i < n && used < STAGING_BYTES) {
		const struct lvx_vk_piece *p = &pieces[*i];
		VkDeviceSize left = p->size - *at, room = STAGING_BYTES - used;
		VkBufferCopy c = {p->offset + *at, used, left < room ? left : room};
		if (to_host) {
			vkCmdCopyBuffer(cmd, p->buffer->buffer, vk->staging.buffer, 1, &c);
		} else {
			memcpy((char *)vk->staging.map + used, (char *)p->host + *at, c.size);
			c.srcOffset = used, c.dstOffset = p->offset + *at;
			vkCmdCopyBuffer(cmd, vk->staging.buffer, p->buffer->buffer, 1, &c);
		}
		used += c.size;
		*at += c.size;
		if (*at == p->size)
			++*i, *at = 0;
	}
	if (r == VK_SUCCESS)
		barrier(cmd);
	r = finish(vk, cmd, r);
	for (VkDeviceSize done = 0; r == VK_SUCCESS && to_host && done < used; first++, from = 0) {
		VkDeviceSize left = pieces[first].size - from, rest = used - done;
		VkDeviceSize size = left < rest ? left : rest;
		memcpy((char *)pieces[first].host + from, (char *)vk->staging.map + done, size);
		done += size;
	}
	return r;
}

static enum lvx_status copy(struct lvx_vk *vk, const struct lvx_vk_piece *pieces, uint32_t n,
	bool to_host, struct lvx_error *err)
{
	enum lvx_status st = LVX_OK;
	VkResult r = VK_SUCCESS;
	if (vk->is_cpu) { /* its memory is ours */
		for (uint32_t i = 0; i < n; i++) {
			char *device = (char *)pieces[i].buffer->map + pieces[i].offset;
			memcpy(to_host ? pieces[i].host : device, to_host ? device : pieces[i].host,
				pieces[i].size);
		}
		return LVX_OK;
	}
	if (!vk->staging.buffer)
		st = lvx_vk_buffer_create(
			vk, &vk->staging, STAGING_BYTES, LVX_VK_READBACK, "staging", err);
	if (st != LVX_OK)
		return st;
	uint32_t i = 0;
	VkDeviceSize at = 0;
	while (i < n && r == VK_SUCCESS)
		r = copy_load(vk, pieces, n, to_host, &i, &at);
	return r == VK_SUCCESS ? LVX_OK
			       : lvx_fail(err, lvx_vk_status(r), "%s: copying: %s", vk->info.name,
					 lvx_vk_result_name(r));
}

enum lvx_status lvx_vk_read(struct lvx_vk *vk, const struct lvx_vk_piece *pieces, uint32_t n,
	struct lvx_error *err)
{
	return copy(vk, pieces, n, true, err);
}

enum lvx_status lvx_vk_write(struct lvx_vk *vk, const struct lvx_vk_piece *pieces, uint32_t n,
	struct lvx_error *err)
{
	return copy(vk, pieces, n, false, err);
}

enum lvx_status lvx_vk_zero(struct lvx_vk *vk, struct lvx_vk_buffer *b, struct lvx_error *err)
{
	VkCommandBuffer cmd = VK_NULL_HANDLE;
	VkResult r = begin(vk, &cmd);
	if (r == VK_SUCCESS) {
		barrier(cmd);
		vkCmdFillBuffer(cmd, b->buffer, 0, VK_WHOLE_SIZE, 0);
		barrier(cmd);
	}
	r = finish(vk, cmd, r);
	return r == VK_SUCCESS ? LVX_OK
			       : lvx_fail(err, lvx_vk_status(r), "%s: clearing: %s", vk->info.name,
					 lvx_vk_result_name(r));
}
