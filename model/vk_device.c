/* SPDX-License-Identifier: Apache-2.0 */
#include "model/vk_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A GPU that is silent for that long hangs. A CPU's driver compiles a kernel while it is first run. */
enum { GPU_TIMEOUT_S = 120, CPU_TIMEOUT_S = 600 };

const char *lvx_vk_result_name(VkResult r)
{
	switch (r) {
	case VK_ERROR_OUT_OF_HOST_MEMORY:
		return "out of host memory";
	case VK_ERROR_OUT_OF_DEVICE_MEMORY:
		return "out of device memory";
	case VK_ERROR_DEVICE_LOST:
		return "the device is lost";
	case VK_ERROR_INITIALIZATION_FAILED:
		return "initialisation failed";
	case VK_ERROR_LAYER_NOT_PRESENT:
		return "the validation layer is not installed";
	case VK_TIMEOUT:
		return "the device did not finish in time";
	default:
		return "Vulkan failed";
	}
}

enum lvx_status lvx_vk_status(VkResult r)
{
	if (r == VK_SUCCESS)
		return LVX_OK;
	if (r == VK_ERROR_OUT_OF_HOST_MEMORY || r == VK_ERROR_OUT_OF_DEVICE_MEMORY)
		return LVX_ENOMEM;
	return LVX_EDEVICE;
}

static bool has_extension(VkPhysicalDevice d, const char *name)
{
	uint32_t n = 0;
	bool found = false;
	if (vkEnumerateDeviceExtensionProperties(d, NULL, &n, NULL) != VK_SUCCESS)
		return false;
	VkExtensionProperties *list = calloc(n + 1, sizeof(*list));
	if (list && vkEnumerateDeviceExtensionProperties(d, NULL, &n, list) >= 0)
		for (uint32_t i = 0; i < n && !found; i++)
			found = strcmp(list[i].extensionName, name) == 0;
	free(list);
	return found;
}

/* Whether matmul.comp may use them: f16 times f16 in f32, 16 x 16 x 16, subgroups of 32. */
static bool has_coop(const struct lvx_vk *vk)
{
	VkPhysicalDeviceSubgroupProperties sub = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
	VkPhysicalDeviceProperties2 p = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &sub};
	VkPhysicalDeviceCooperativeMatrixFeaturesNV coop = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_NV};
	VkPhysicalDeviceVulkan12Features v12 = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, .pNext = &coop};
	VkPhysicalDeviceFeatures2 f = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &v12};
	PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesNV get =
		(PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesNV)vkGetInstanceProcAddr(
			vk->instance->vk, "vkGetPhysicalDeviceCooperativeMatrixPropertiesNV");
	VkCooperativeMatrixPropertiesNV list[64];
	uint32_t n = 64;
	if (!get || !has_extension(vk->physical, VK_NV_COOPERATIVE_MATRIX_EXTENSION_NAME))
		return false;
	vkGetPhysicalDeviceProperties2(vk->physical, &p);
	vkGetPhysicalDeviceFeatures2(vk->physical, &f);
	for (uint32_t i = 0; i < n; i++)
		list[i] = (VkCooperativeMatrixPropertiesNV){
			.sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_NV};
	if (!coop.cooperativeMatrix || !v12.shaderFloat16 || !v12.vulkanMemoryModel ||
		!v12.vulkanMemoryModelDeviceScope || sub.subgroupSize != 32 || get(vk->physical, &n, list) < 0)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (list[i].MSize == 16 && list[i].NSize == 16 && list[i].KSize == 16 &&
			list[i].AType == VK_COMPONENT_TYPE_FLOAT16_NV &&
			list[i].BType == VK_COMPONENT_TYPE_FLOAT16_NV &&
			list[i].CType == VK_COMPONENT_TYPE_FLOAT32_NV &&
			list[i].DType == VK_COMPONENT_TYPE_FLOAT32_NV &&
			list[i].scope == VK_SCOPE_SUBGROUP_NV)
			return true;
	return false;
}

void lvx_vk_features(struct lvx_vk_features *out, bool coop)
{
	*out = (struct lvx_vk_features){
		.coop = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_NV,
			.cooperativeMatrix = coop},
		/* Where the memory model is on, the scope that atomics and barriers of all the
		 * kernels have must be allowed too. */
		.v12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
			.pNext = coop ? &out->coop : NULL,
			.timelineSemaphore = VK_TRUE, /* every device of 1.2 has it */
			.shaderFloat16 = coop,
			.vulkanMemoryModel = coop,
			.vulkanMemoryModelDeviceScope = coop}};
}

static enum lvx_status create_device(struct lvx_vk *vk, struct lvx_error *err)
{
	static const char *const extensions[] = {VK_NV_COOPERATIVE_MATRIX_EXTENSION_NAME};
	struct lvx_vk_features features;
	vk->coop = has_coop(vk);
	lvx_vk_features(&features, vk->coop);
	float priority = 1.0f;
	VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
		.queueFamilyIndex = vk->family,
		.queueCount = 1,
		.pQueuePriorities = &priority};
	VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
		.pNext = &features.v12,
		.queueCreateInfoCount = 1,
		.pQueueCreateInfos = &queue,
		.enabledExtensionCount = vk->coop ? 1 : 0,
		.ppEnabledExtensionNames = extensions};
	VkResult r = vkCreateDevice(vk->physical, &info, NULL, &vk->device);
	if (r != VK_SUCCESS)
		return lvx_fail(err, lvx_vk_status(r), "%s: no logical device: %s", vk->info.name,
			lvx_vk_result_name(r));
	vkGetDeviceQueue(vk->device, vk->family, 0, &vk->queue);
	return LVX_OK;
}

static enum lvx_status create_layouts(struct lvx_vk *vk, struct lvx_error *err)
{
	VkDescriptorSetLayoutBinding bindings[LVX_VK_BINDINGS + LVX_VK_TEXELS];
	for (uint32_t i = 0; i < LVX_VK_BINDINGS + LVX_VK_TEXELS; i++)
		bindings[i] = (VkDescriptorSetLayoutBinding){.binding = i,
			.descriptorType = i < LVX_VK_BINDINGS
						  ? VK_DESCRIPTOR_TYPE_STORAGE_BUFFER
						  : VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER,
			.descriptorCount = 1,
			.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
	VkDescriptorSetLayoutCreateInfo set = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
		.bindingCount = LVX_VK_BINDINGS + LVX_VK_TEXELS,
		.pBindings = bindings};
	VkPushConstantRange push = {
		.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = LVX_VK_PUSH_BYTES};
	VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
		.setLayoutCount = 1,
		.pSetLayouts = &vk->set_layout,
		.pushConstantRangeCount = 1,
		.pPushConstantRanges = &push};
	VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
		.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
		.queueFamilyIndex = vk->family};
	VkSemaphoreTypeCreateInfo timeline = {
		.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
		.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
	VkSemaphoreCreateInfo done = {
		.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &timeline};
	VkResult r = vkCreateDescriptorSetLayout(vk->device, &set, NULL, &vk->set_layout);
	if (r == VK_SUCCESS)
		r = vkCreatePipelineLayout(vk->device, &layout, NULL, &vk->layout);
	if (r == VK_SUCCESS)
		r = vkCreateCommandPool(vk->device, &pool, NULL, &vk->pool);
	if (r == VK_SUCCESS)
		r = vkCreateSemaphore(vk->device, &done, NULL, &vk->done);
	if (r != VK_SUCCESS)
		return lvx_fail(
			err, lvx_vk_status(r), "%s: %s", vk->info.name, lvx_vk_result_name(r));
	return LVX_OK;
}

static enum lvx_status open_device(struct lvx_vk *vk, const char *device, struct lvx_error *err)
{
	enum lvx_status st = lvx_vk_find(vk->instance, device, &vk->physical, &vk->info, err);
	if (st != LVX_OK)
		return st;
	vk->is_cpu = strcmp(vk->info.type, "cpu") == 0;
	vk->family = lvx_vk_family(vk->physical);
	vkGetPhysicalDeviceMemoryProperties(vk->physical, &vk->memory);
	vkGetPhysicalDeviceProperties(vk->physical, &vk->properties);
	vk->limits = vk->properties.limits;
	st = create_device(vk, err);
	if (st == LVX_OK)
		st = create_layouts(vk, err);
	if (st == LVX_OK)
		lvx_vk_cache_open(vk);
	return st;
}

enum lvx_status lvx_vk_create(struct lvx_vk **out, struct lvx_vk_instance *instance,
	const char *device, struct lvx_error *err)
{
	struct lvx_vk *vk = calloc(1, sizeof(*vk));
	if (!vk)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	vk->instance = instance;
	enum lvx_status st = open_device(vk, device, err);
	if (st != LVX_OK) {
		lvx_vk_destroy(vk);
		return st;
	}
	*out = vk;
	return LVX_OK;
}

void lvx_vk_destroy(struct lvx_vk *vk)
{
	if (!vk)
		return;
	if (vk->device) {
		vkDeviceWaitIdle(vk->device);
		lvx_vk_cache_save(vk);
		lvx_vk_buffer_destroy(vk, &vk->staging);
		vkDestroySemaphore(vk->device, vk->done, NULL);
		vkDestroyPipelineCache(vk->device, vk->cache, NULL);
		vkDestroyCommandPool(vk->device, vk->pool, NULL);
		vkDestroyPipelineLayout(vk->device, vk->layout, NULL);
		vkDestroyDescriptorSetLayout(vk->device, vk->set_layout, NULL);
		vkDestroyDevice(vk->device, NULL);
	}
	free(vk);
}

VkResult lvx_vk_submit(struct lvx_vk *vk, VkCommandBuffer cmd, uint64_t *ticket)
{
	*ticket = vk->n_submitted + 1;
	VkTimelineSemaphoreSubmitInfo values = {
		.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
		.signalSemaphoreValueCount = 1,
		.pSignalSemaphoreValues = ticket};
	VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
		.pNext = &values,
		.commandBufferCount = 1,
		.pCommandBuffers = &cmd,
		.signalSemaphoreCount = 1,
		.pSignalSemaphores = &vk->done};
	enum lvx_loss loss = vk->lose ? vk->lose(vk->lose_user) : LVX_LOSS_NONE;
	if (loss == LVX_LOSS_BEFORE)
		return VK_ERROR_DEVICE_LOST;
	VkResult r = vkQueueSubmit(vk->queue, 1, &info, VK_NULL_HANDLE);
	vk->n_submitted += r == VK_SUCCESS;
	vk->lost_after |= loss == LVX_LOSS_AFTER;
	return r;
}

VkResult lvx_vk_wait(struct lvx_vk *vk, uint64_t ticket)
{
	VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
		.semaphoreCount = 1,
		.pSemaphores = &vk->done,
		.pValues = &ticket};
	uint64_t timeout_s = vk->is_cpu ? CPU_TIMEOUT_S : GPU_TIMEOUT_S;
	VkResult r = vkWaitSemaphores(vk->device, &info, timeout_s * 1000000000ull);
	return vk->lost_after ? VK_ERROR_DEVICE_LOST : r;
}

VkResult lvx_vk_run(struct lvx_vk *vk, VkCommandBuffer cmd)
{
	uint64_t ticket;
	VkResult r = lvx_vk_submit(vk, cmd, &ticket);
	return r == VK_SUCCESS ? lvx_vk_wait(vk, ticket) : r;
}

enum lvx_status lvx_vk_pipeline(struct lvx_vk *vk, VkPipeline *out, const uint32_t *code,
	size_t code_bytes, const uint32_t *spec, uint32_t n_spec, const char *name,
	struct lvx_error *err)
{
	VkShaderModuleCreateInfo module_info = {
		.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
		.codeSize = code_bytes,
		.pCode = code};
	VkSpecializationMapEntry entries[LVX_VK_SPEC_MAX];
	for (uint32_t i = 0; i < n_spec; i++)
		entries[i] = (VkSpecializationMapEntry){i, i * 4, 4};
	VkSpecializationInfo spec_info = {n_spec, entries, n_spec * 4, spec};
	VkShaderModule module;
	VkResult r = vkCreateShaderModule(vk->device, &module_info, NULL, &module);
	if (r == VK_SUCCESS) {
		VkComputePipelineCreateInfo info = {
			.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
			.stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
				.stage = VK_SHADER_STAGE_COMPUTE_BIT,
				.module = module,
				.pName = "main",
				.pSpecializationInfo = &spec_info},
			.layout = vk->layout};
		r = vkCreateComputePipelines(vk->device, vk->cache, 1, &info, NULL, out);
		vkDestroyShaderModule(vk->device, module, NULL);
	}
	if (r != VK_SUCCESS)
		return lvx_fail(err, lvx_vk_status(r), "%s: kernel '%s' does not compile: %s",
			vk->info.name, name, lvx_vk_result_name(r));
	return LVX_OK;
}
