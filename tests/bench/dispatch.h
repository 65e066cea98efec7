/* SPDX-License-Identifier: Apache-2.0 */
/* One kernel or copy with buffers of its own, outside of a runner, and how long it takes. */
#ifndef LVX_BENCH_DISPATCH_H
#define LVX_BENCH_DISPATCH_H

#include "model/vk_device.h"

struct lvx_job {
	struct lvx_vk *vk;
	VkBuffer from, to; /* the device's own copy, or: */
	VkDeviceSize bytes;
	VkPipeline pipeline;
	VkDescriptorPool pool;
	VkDescriptorSet set;
	VkBufferView texels[LVX_VK_TEXELS];
	const void *push; /* [n_pushes][push_bytes], in turn */
	uint32_t push_bytes, n_pushes;
	uint32_t x, y;
	uint32_t times; /* in one command buffer */
	bool once;      /* one round of these, for the result rather than the time */
};

/* A set with these buffers. */
bool lvx_job_bind(struct lvx_job *j, const struct lvx_vk_buffer *b, uint32_t n);
/* Seconds of one, the median of some rounds of all; 0: it failed. */
double lvx_job_time(const struct lvx_job *j);
/* Everything in it but the buffers. */
void lvx_job_finish(struct lvx_job *j);

/* On the device, zeroed. */
enum lvx_status lvx_job_buffers(struct lvx_vk *vk, struct lvx_vk_buffer *b,
	const VkDeviceSize *sizes, uint32_t n, struct lvx_error *err);

#endif
