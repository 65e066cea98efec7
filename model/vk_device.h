/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Vulkan side that knows nothing of models: picking a device, memory,
 * pipelines and the cache of compiled ones. One thread owns a struct lvx_vk.
 */
#ifndef LVX_MODEL_VK_DEVICE_H
#define LVX_MODEL_VK_DEVICE_H

#include "model/runner.h"

#include <vulkan/vulkan.h>

enum {
	LVX_VK_BINDINGS = 12, /* storage buffers of every descriptor set */
	LVX_VK_TEXELS = 3,    /* texel buffers, behind those */
	LVX_VK_PUSH_BYTES = 96,
	LVX_VK_GROUP = 32, /* invocations of a work group */
	LVX_VK_SPEC_MAX = 12,
};

enum lvx_vk_memory {
	LVX_VK_DEVICE,   /* the device's own; mapped only where the host shares it */
	LVX_VK_UPLOAD,   /* written by the host, read by the device; mapped */
	LVX_VK_READBACK, /* the other way round; mapped */
};

struct lvx_vk_buffer {
	VkBuffer buffer;
	VkDeviceMemory memory;
	VkDeviceSize size;
	void *map;
};

/* The loader with its drivers. With NVIDIA's no device was found any more after some forty instances,
 * presumably because it leaks when it is loaded: who opens a device again keeps the instance. */
struct lvx_vk_instance {
	VkInstance vk;
	VkDebugUtilsMessengerEXT messenger;
	unsigned validation_errors; /* messages of the validation layer */
};

struct lvx_vk {
	struct lvx_vk_instance *instance; /* borrowed */
	VkPhysicalDevice physical;
	VkDevice device;
	VkQueue queue;
	uint32_t family;
	VkPhysicalDeviceMemoryProperties memory;
	VkPhysicalDeviceLimits limits;
	VkPhysicalDeviceProperties properties;
	VkPipelineCache cache;
	char cache_path[512]; /* "": none */
	size_t cache_len;     /* what was loaded */
	VkDescriptorSetLayout set_layout;
	VkPipelineLayout layout;
	VkCommandPool pool;
	VkSemaphore done;     /* a timeline: submissions that are done */
	uint64_t n_submitted;
	struct lvx_device_info info;
	enum lvx_loss (*lose)(void *user); /* of the runner's parameters */
	void *lose_user;
	bool lost_after; /* tests: it is lost once it has done what it has */
	bool is_cpu;
	bool coop; /* cooperative matrices of f16, 16 x 16 x 16, in subgroups of 32 */
	uint64_t bytes;             /* allocated on the device */
	uint64_t bytes_max;         /* 0: as many as there are */
	struct lvx_vk_buffer staging; /* made when it is first needed */
};

/* What a device is opened with beyond plain Vulkan 1.2; every kernel keeps to it
 * (tests/model/test_shaders.c). coop: with cooperative matrices. */
struct lvx_vk_features {
	VkPhysicalDeviceVulkan12Features v12; /* its pNext: coop, or NULL */
	VkPhysicalDeviceCooperativeMatrixFeaturesNV coop;
};
void lvx_vk_features(struct lvx_vk_features *out, bool coop);

/* vk_instance.c */
enum lvx_status lvx_vk_instance_create(
	struct lvx_vk_instance **out, bool validation, struct lvx_error *err);
void lvx_vk_instance_destroy(struct lvx_vk_instance *instance); /* after its devices; NULL is fine */
int lvx_vk_list(struct lvx_device_info *out, int max, struct lvx_error *err);
/* want: an index, or a part of a name; NULL or "": the best. */
enum lvx_status lvx_vk_find(const struct lvx_vk_instance *instance, const char *want,
	VkPhysicalDevice *out, struct lvx_device_info *info, struct lvx_error *err);
/* The first queue family that computes; UINT32_MAX: none. */
uint32_t lvx_vk_family(VkPhysicalDevice device);

enum lvx_status lvx_vk_create(struct lvx_vk **out, struct lvx_vk_instance *instance,
	const char *device, struct lvx_error *err);
void lvx_vk_destroy(struct lvx_vk *vk); /* also writes the pipeline cache */

/* what: for the error message. */
enum lvx_status lvx_vk_buffer_create(struct lvx_vk *vk, struct lvx_vk_buffer *out,
	VkDeviceSize size, enum lvx_vk_memory kind, const char *what, struct lvx_error *err);
void lvx_vk_buffer_destroy(struct lvx_vk *vk, struct lvx_vk_buffer *buffer); /* zeroed is fine */
/* A part of a device buffer, and its place on the host. */
struct lvx_vk_piece {
	const struct lvx_vk_buffer *buffer;
	VkDeviceSize offset, size;
	void *host;
};
/* Copies to or from a device's memory, all pieces together; the device has done all before. A
 * failed read may have written some of them. */
enum lvx_status lvx_vk_read(struct lvx_vk *vk, const struct lvx_vk_piece *pieces, uint32_t n,
	struct lvx_error *err);
enum lvx_status lvx_vk_write(struct lvx_vk *vk, const struct lvx_vk_piece *pieces, uint32_t n,
	struct lvx_error *err);
enum lvx_status lvx_vk_zero(struct lvx_vk *vk, struct lvx_vk_buffer *buffer, struct lvx_error *err);

/* Submissions are done one after another; a ticket waits for one of them and all before. */
VkResult lvx_vk_submit(struct lvx_vk *vk, VkCommandBuffer cmd, uint64_t *ticket);
VkResult lvx_vk_wait(struct lvx_vk *vk, uint64_t ticket);
/* Both. */
VkResult lvx_vk_run(struct lvx_vk *vk, VkCommandBuffer cmd);

/* spec: values of constants 0, 1, ... */
enum lvx_status lvx_vk_pipeline(struct lvx_vk *vk, VkPipeline *out, const uint32_t *code,
	size_t code_bytes, const uint32_t *spec, uint32_t n_spec, const char *name,
	struct lvx_error *err);

enum lvx_status lvx_vk_status(VkResult result);
const char *lvx_vk_result_name(VkResult result);

/* vk_cache.c: the compiled pipelines on disk. A cache that is missing, damaged or of another
 * device counts as empty. */
void lvx_vk_cache_open(struct lvx_vk *vk);
void lvx_vk_cache_save(struct lvx_vk *vk);

#endif
