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
			 VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT};
	VkResult r = vkCreateBuffer(vk->device, &info, NULL, &b.buffer);
	if (r != VK_SUCCESS)
		goto fail;
	VkMemoryRequirements need;
	vkGetBufferMemoryRequirements(vk->device, b.buffer, &need);
	VkMemoryAllocateInfo alloc = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
		.allocationSize = need.size,
		.memoryTypeIndex = pick_type(vk, need.memoryTypeBits, kind)};
	r = VK_ERROR_OUT_OF_DEVICE_MEMORY;
	if (alloc.memoryTypeIndex == UINT32_MAX)
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

struct transfer {
	VkBuffer from, to;
	VkBufferCopy region; /* size 0: fill `to` with zeros */
};

/* Runs one copy or fill and waits. */
static VkResult run(struct lvx_vk *vk, const struct transfer *t)
{
	VkCommandBuffer cmd;
	VkCommandBufferAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
		.commandPool = vk->pool,
		.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
		.commandBufferCount = 1};
	VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
		.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
	VkResult r = vkAllocateCommandBuffers(vk->device, &alloc, &cmd);
	if (r != VK_SUCCESS)
		return r;
	r = vkBeginCommandBuffer(cmd, &begin);
	if (r == VK_SUCCESS && t->region.size)
		vkCmdCopyBuffer(cmd, t->from, t->to, 1, &t->region);
	else if (r == VK_SUCCESS)
		vkCmdFillBuffer(cmd, t->to, 0, VK_WHOLE_SIZE, 0);
	if (r == VK_SUCCESS)
		r = vkEndCommandBuffer(cmd);
	VkSubmitInfo submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
		.commandBufferCount = 1,
		.pCommandBuffers = &cmd};
	if (r == VK_SUCCESS)
		r = vkQueueSubmit(vk->queue, 1, &submit, VK_NULL_HANDLE);
	if (r == VK_SUCCESS)
		r = vkQueueWaitIdle(vk->queue);
	vkFreeCommandBuffers(vk->device, vk->pool, 1, &cmd);
	return r;
}

static enum lvx_status copy_failed(struct lvx_vk *vk, VkResult r, struct lvx_error *err)
{
	return lvx_fail(
		err, lvx_vk_status(r), "%s: copying: %s", vk->info.name, lvx_vk_result_name(r));
}

enum lvx_status lvx_vk_upload(struct lvx_vk *vk, struct lvx_vk_buffer *b, const void *data,
	VkDeviceSize size, struct lvx_error *err)
{
	if (b->map) {
		memcpy(b->map, data, size);
		return LVX_OK;
	}
	struct lvx_vk_buffer staging;
	enum lvx_status st =
		lvx_vk_buffer_create(vk, &staging, STAGING_BYTES, LVX_VK_UPLOAD, "staging", err);
	if (st != LVX_OK)
		return st;
	VkResult r = VK_SUCCESS;
	for (VkDeviceSize at = 0; at < size && r == VK_SUCCESS; at += STAGING_BYTES) {
		VkDeviceSize n = size - at < STAGING_BYTES ? size - at : STAGING_BYTES;
		memcpy(staging.map, (const char *)data + at, n);
		r = run(vk, &(struct transfer){staging.buffer, b->buffer, {0, at, n}});
	}
	lvx_vk_buffer_destroy(vk, &staging);
	return r == VK_SUCCESS ? LVX_OK : copy_failed(vk, r, err);
}

enum lvx_status lvx_vk_zero(struct lvx_vk *vk, struct lvx_vk_buffer *b, struct lvx_error *err)
{
	VkResult r = run(vk, &(struct transfer){.to = b->buffer});
	return r == VK_SUCCESS ? LVX_OK : copy_failed(vk, r, err);
}

enum lvx_status lvx_vk_download(struct lvx_vk *vk, const struct lvx_vk_buffer *b,
	VkDeviceSize offset, void *data, VkDeviceSize size, struct lvx_error *err)
{
	struct lvx_vk_buffer back;
	enum lvx_status st = lvx_vk_buffer_create(vk, &back, size, LVX_VK_READBACK, "reading", err);
	if (st != LVX_OK)
		return st;
	VkResult r = run(vk, &(struct transfer){b->buffer, back.buffer, {offset, 0, size}});
	if (r == VK_SUCCESS)
		memcpy(data, back.map, size);
	lvx_vk_buffer_destroy(vk, &back);
	return r == VK_SUCCESS ? LVX_OK : copy_failed(vk, r, err);
}
