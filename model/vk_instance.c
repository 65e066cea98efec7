/* SPDX-License-Identifier: Apache-2.0 */
/* The instance, and the devices that it finds. */
#include "model/vk_device.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DEVICES_MAX = 32, SUBGROUP_MIN = 8 };

#define NO_DEVICE                                                                                  \
	"no Vulkan device was found; install a driver (on a plain CPU: mesa-vulkan-drivers)"

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
	VkDebugUtilsMessageTypeFlagsEXT types, const VkDebugUtilsMessengerCallbackDataEXT *data,
	void *user)
{
	(void)severity, (void)types;
	struct lvx_vk_instance *instance = user;
	instance->validation_errors++;
	lvx_log_error("Vulkan validation: %s", data->pMessage);
	return VK_FALSE;
}

enum lvx_status lvx_vk_instance_create(
	struct lvx_vk_instance **out, bool validation, struct lvx_error *err)
{
	static const char *const layers[] = {"VK_LAYER_KHRONOS_validation"};
	static const char *const extensions[] = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME};
	struct lvx_vk_instance *instance = calloc(1, sizeof(*instance));
	if (!instance)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
		.pApplicationName = "lumivox",
		.apiVersion = VK_API_VERSION_1_2};
	VkDebugUtilsMessengerCreateInfoEXT debug = {
		.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
		.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
				   VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
		.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
		.pfnUserCallback = on_message,
		.pUserData = instance};
	VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
		.pApplicationInfo = &app,
		.enabledLayerCount = validation ? 1 : 0,
		.ppEnabledLayerNames = layers,
		.enabledExtensionCount = validation ? 1 : 0,
		.ppEnabledExtensionNames = extensions};
	VkResult r = vkCreateInstance(&info, NULL, &instance->vk);
	if (r != VK_SUCCESS) {
		free(instance);
		if (r == VK_ERROR_INCOMPATIBLE_DRIVER)
			return lvx_fail(err, LVX_ENOENT, NO_DEVICE);
		return lvx_fail(err, LVX_EDEVICE, "Vulkan: no instance: %s", lvx_vk_result_name(r));
	}
	PFN_vkCreateDebugUtilsMessengerEXT create =
		(PFN_vkCreateDebugUtilsMessengerEXT)vkGetInstanceProcAddr(
			instance->vk, "vkCreateDebugUtilsMessengerEXT");
	if (validation && create)
		create(instance->vk, &debug, NULL, &instance->messenger);
	*out = instance;
	return LVX_OK;
}

void lvx_vk_instance_destroy(struct lvx_vk_instance *instance)
{
	if (!instance)
		return;
	PFN_vkDestroyDebugUtilsMessengerEXT destroy =
		(PFN_vkDestroyDebugUtilsMessengerEXT)vkGetInstanceProcAddr(
			instance->vk, "vkDestroyDebugUtilsMessengerEXT");
	if (instance->messenger && destroy)
		destroy(instance->vk, instance->messenger, NULL);
	vkDestroyInstance(instance->vk, NULL);
	free(instance);
}

uint32_t lvx_vk_family(VkPhysicalDevice d)
{
	VkQueueFamilyProperties families[16];
	uint32_t n = 16;
	vkGetPhysicalDeviceQueueFamilyProperties(d, &n, families);
	for (uint32_t i = 0; i < n; i++)
		if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)
			return i;
	return UINT32_MAX;
}

/* What a device is, and whether it has what the kernels need. */
static void describe(VkPhysicalDevice d, struct lvx_device_info *out)
{
	VkPhysicalDeviceSubgroupProperties sub = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
	VkPhysicalDeviceDriverProperties driver = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES, .pNext = &sub};
	VkPhysicalDeviceProperties2 p = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &driver};
	VkPhysicalDeviceMemoryProperties memory;
	*out = (struct lvx_device_info){.type = "other"};
	vkGetPhysicalDeviceProperties(d, &p.properties);
	out->api_major = VK_API_VERSION_MAJOR(p.properties.apiVersion);
	out->api_minor = VK_API_VERSION_MINOR(p.properties.apiVersion);
	snprintf(out->name, sizeof(out->name), "%s", p.properties.deviceName);
	switch (p.properties.deviceType) {
	case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
		out->type = "discrete";
		break;
	case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
		out->type = "integrated";
		break;
	case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
		out->type = "virtual";
		break;
	case VK_PHYSICAL_DEVICE_TYPE_CPU:
		out->type = "cpu";
		break;
	default:
		break;
	}
	vkGetPhysicalDeviceMemoryProperties(d, &memory);
	for (uint32_t i = 0; i < memory.memoryHeapCount; i++)
		if (memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT &&
			memory.memoryHeaps[i].size > out->memory_bytes)
			out->memory_bytes = memory.memoryHeaps[i].size;
	if (p.properties.apiVersion < VK_API_VERSION_1_2) {
		snprintf(out->why_not, sizeof(out->why_not), "Vulkan %u.%u; 1.2 is needed",
			out->api_major, out->api_minor);
		return;
	}
	vkGetPhysicalDeviceProperties2(d, &p);
	snprintf(out->driver, sizeof(out->driver), "%.120s %.120s", driver.driverName,
		driver.driverInfo);
	VkSubgroupFeatureFlags need = VK_SUBGROUP_FEATURE_BASIC_BIT |
				      VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
				      VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
	if (lvx_vk_family(d) == UINT32_MAX)
		snprintf(out->why_not, sizeof(out->why_not), "it has no compute queue");
	else if (sub.subgroupSize < SUBGROUP_MIN || (sub.supportedOperations & need) != need ||
		 !(sub.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT))
		snprintf(out->why_not, sizeof(out->why_not),
			"subgroups of %u or more with arithmetic and shuffle are needed",
			SUBGROUP_MIN);
	else
		out->usable = true;
}

static int rank(const struct lvx_device_info *d)
{
	static const char *const order[] = {"discrete", "integrated", "virtual", "cpu"};
	int i = 0;
	while (i < 4 && strcmp(order[i], d->type) != 0)
		i++;
	return i + (d->usable ? 0 : 10);
}

struct found {
	VkPhysicalDevice device;
	struct lvx_device_info info;
};

/* Best first; the loader's order breaks ties. Returns the count or -1. */
static int find_devices(VkInstance instance, struct found *out, struct lvx_error *err)
{
	VkPhysicalDevice devices[DEVICES_MAX];
	uint32_t n = DEVICES_MAX;
	VkResult r = vkEnumeratePhysicalDevices(instance, &n, devices);
	if (r != VK_SUCCESS && r != VK_INCOMPLETE) {
		lvx_fail(
			err, LVX_EDEVICE, "Vulkan: cannot list devices: %s", lvx_vk_result_name(r));
		return -1;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct found f = {.device = devices[i]};
		describe(devices[i], &f.info);
		uint32_t at = i;
		while (at > 0 && rank(&out[at - 1].info) > rank(&f.info)) {
			out[at] = out[at - 1];
			at--;
		}
		out[at] = f;
	}
	return (int)n;
}

int lvx_vk_list(struct lvx_device_info *out, int max, struct lvx_error *err)
{
	struct lvx_vk_instance *instance;
	struct found *found = calloc(DEVICES_MAX, sizeof(*found));
	if (!found) {
		lvx_fail(err, LVX_ENOMEM, "out of memory");
		return -1;
	}
	int n = -1;
	if (lvx_vk_instance_create(&instance, false, err) == LVX_OK) {
		n = find_devices(instance->vk, found, err);
		lvx_vk_instance_destroy(instance);
	}
	for (int i = 0; i < n && i < max; i++)
		out[i] = found[i].info;
	free(found);
	return n;
}

static enum lvx_status choose(
	const struct found *found, int n, const char *want, int *out, struct lvx_error *err)
{
	if (n == 0)
		return lvx_fail(err, LVX_ENOENT, NO_DEVICE);
	int pick = -1;
	char *end = NULL;
	long index = want && *want ? strtol(want, &end, 10) : 0;
	if (!want || !*want || (end != want && *end == '\0')) {
		if (index < 0 || index >= n)
			return lvx_fail(err, LVX_ENOENT,
				"there is no device %ld; there are 0 to %d", index, n - 1);
		pick = (int)index;
	} else {
		for (int i = 0; i < n && pick < 0; i++)
			if (strcasestr(found[i].info.name, want))
				pick = i;
		if (pick < 0)
			return lvx_fail(err, LVX_ENOENT, "no device's name contains '%.64s'", want);
	}
	if (!found[pick].info.usable)
		return lvx_fail(err, LVX_EUNSUPPORTED, "%s can't be used: %s",
			found[pick].info.name, found[pick].info.why_not);
	*out = pick;
	return LVX_OK;
}

enum lvx_status lvx_vk_find(const struct lvx_vk_instance *instance, const char *want,
	VkPhysicalDevice *out, struct lvx_device_info *info, struct lvx_error *err)
{
	struct found *found = calloc(DEVICES_MAX, sizeof(*found));
	if (!found)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	int pick = 0, n = find_devices(instance->vk, found, err);
	enum lvx_status st = n < 0 ? LVX_EDEVICE : choose(found, n, want, &pick, err);
	if (st == LVX_OK) {
		*out = found[pick].device;
		*info = found[pick].info;
	}
	free(found);
	return st;
}
