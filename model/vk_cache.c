/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/log.h"
#include "model/vk_device.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CACHE_MAX = 64 << 20, HEADER_BYTES = 32 };

/* Names the file; false where there is no place for one. */
static bool cache_path(struct lvx_vk *vk)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char dir[256];
	int n;
	if (base && *base == '/')
		n = snprintf(dir, sizeof(dir), "%s", base);
	else if (home && *home == '/')
		n = snprintf(dir, sizeof(dir), "%s/.cache", home);
	else
		return false;
	if (n < 0 || (size_t)n >= sizeof(dir))
		return false;
	mkdir(dir, 0700);
	n = snprintf(vk->cache_path, sizeof(vk->cache_path), "%s/lumivox", dir);
	mkdir(vk->cache_path, 0700);
	char uuid[2 * VK_UUID_SIZE + 1];
	for (unsigned i = 0; i < VK_UUID_SIZE; i++)
		snprintf(uuid + 2 * i, 3, "%02x", vk->properties.pipelineCacheUUID[i]);
	snprintf(vk->cache_path + n, sizeof(vk->cache_path) - (size_t)n, "/pipelines-%04x-%04x-%s",
		vk->properties.vendorID, vk->properties.deviceID, uuid);
	return true;
}

/* Drivers should refuse a foreign cache themselves; not all do. */
static bool is_ours(const struct lvx_vk *vk, const char *data, size_t len)
{
	uint32_t head[4];
	if (len < HEADER_BYTES)
		return false;
	memcpy(head, data, sizeof(head));
	return head[0] >= HEADER_BYTES && head[0] <= len &&
	       head[1] == VK_PIPELINE_CACHE_HEADER_VERSION_ONE &&
	       head[2] == vk->properties.vendorID && head[3] == vk->properties.deviceID &&
	       memcmp(data + 16, vk->properties.pipelineCacheUUID, VK_UUID_SIZE) == 0;
}

void lvx_vk_cache_open(struct lvx_vk *vk)
{
	VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
	char *data = NULL;
	size_t len = 0;
	if (cache_path(vk) &&
		lvx_file_read(&data, &len, vk->cache_path, CACHE_MAX, NULL) == LVX_OK &&
		is_ours(vk, data, len)) {
		info.initialDataSize = vk->cache_len = len;
		info.pInitialData = data;
	}
	VkResult r = vkCreatePipelineCache(vk->device, &info, NULL, &vk->cache);
	if (r != VK_SUCCESS && info.initialDataSize) {
		info.initialDataSize = vk->cache_len = 0;
		info.pInitialData = NULL;
		r = vkCreatePipelineCache(vk->device, &info, NULL, &vk->cache);
	}
	if (r != VK_SUCCESS)
		vk->cache = VK_NULL_HANDLE; /* it only saves time */
	free(data);
}

void lvx_vk_cache_save(struct lvx_vk *vk)
{
	size_t len = 0;
	if (!vk->cache || !vk->cache_path[0] ||
		vkGetPipelineCacheData(vk->device, vk->cache, &len, NULL) != VK_SUCCESS ||
		len <= HEADER_BYTES || len == vk->cache_len || len > CACHE_MAX)
		return;
	char temp[sizeof(vk->cache_path) + 16];
	char *data = malloc(len);
	if (!data || vkGetPipelineCacheData(vk->device, vk->cache, &len, data) != VK_SUCCESS) {
		free(data);
		return;
	}
	/* A whole file or none: another process may be reading. */
	snprintf(temp, sizeof(temp), "%s.%ld", vk->cache_path, (long)getpid());
	int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0) {
		bool ok = write(fd, data, len) == (ssize_t)len;
		ok = close(fd) == 0 && ok;
		if (!ok || rename(temp, vk->cache_path) != 0) {
			unlink(temp);
			lvx_log_debug("%s: cannot be written", vk->cache_path);
		}
	}
	free(data);
}
