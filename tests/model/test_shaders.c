/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every kernel's SPIR-V asks of a device is what vk_device.c opens it with,
 * or what it refuses a device for. Without a device: also the kernels that none
 * here can run.
 */
#include "model/vk_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "argmax_spv.h"
#include "attention8_spv.h"
#include "attention_spv.h"
#include "embed_spv.h"
#include "group_spv.h"
#include "linear_spv.h"
#include "matmul_cm_spv.h"
#include "matmul_spv.h"
#include "matvec_spv.h"
#include "memory_spv.h"
#include "norm_spv.h"
#include "rope_spv.h"
#include "router_spv.h"
#include "tokens_spv.h"

/* SPIR-V 1.5, chapter 3. */
enum {
	MAGIC = 0x07230203,
	HEADER_WORDS = 5,
	OP_CAPABILITY = 17,
	OP_CONSTANT = 43,
	OP_CONTROL_BARRIER = 224,
	OP_MEMORY_BARRIER = 225,
	OP_ATOMIC_LOAD = 227,
	OP_ATOMIC_STORE = 228,
	OP_ATOMIC_LAST = 242,
	SCOPE_DEVICE = 1,
	CONSTANTS_MAX = 4096,
};

enum {
	CAP_SHADER = 1,
	CAP_FLOAT16 = 9,
	CAP_SAMPLED_BUFFER = 46,
	CAP_SUBGROUP = 61, /* basic */
	CAP_SUBGROUP_ARITHMETIC = 63,
	CAP_SUBGROUP_SHUFFLE = 65,
	CAP_MEMORY_MODEL = 5345,
	CAP_MEMORY_MODEL_DEVICE_SCOPE = 5346,
	CAP_COOPERATIVE_MATRIX_NV = 5357,
};

static const struct shader {
	const char *name;
	const uint32_t *code;
	size_t n_words;
} shaders[] = {
#define SHADER(name) {#name, name##_spv, sizeof(name##_spv) / 4},
	ALL_SHADERS
#undef SHADER
};

/* Subgroups are a property: describe() in vk_device.c refuses a device without these. */
static bool allowed(const struct lvx_vk_features *f, uint32_t capability)
{
	switch (capability) {
	case CAP_SHADER:
	case CAP_SAMPLED_BUFFER:
	case CAP_SUBGROUP:
	case CAP_SUBGROUP_ARITHMETIC:
	case CAP_SUBGROUP_SHUFFLE:
		return true;
	case CAP_FLOAT16:
		return f->v12.shaderFloat16;
	case CAP_MEMORY_MODEL:
		return f->v12.vulkanMemoryModel;
	case CAP_MEMORY_MODEL_DEVICE_SCOPE:
		return f->v12.vulkanMemoryModelDeviceScope;
	case CAP_COOPERATIVE_MATRIX_NV:
		return f->v12.pNext == &f->coop && f->coop.cooperativeMatrix;
	default:
		return false;
	}
}

/* Where an instruction's memory scope is, in words; 0: it has none. */
static uint32_t scope_at(uint32_t op)
{
	if (op == OP_CONTROL_BARRIER)
		return 2;
	if (op == OP_MEMORY_BARRIER)
		return 1;
	if (op == OP_ATOMIC_STORE)
		return 2;
	return op >= OP_ATOMIC_LOAD && op <= OP_ATOMIC_LAST ? 4 : 0;
}

static void check(const struct shader *s, const struct lvx_vk_features *f)
{
	static uint32_t constants[CONSTANTS_MAX];
	bool device_scope = false;
	memset(constants, 0, sizeof(constants));
	assert_true(s->n_words > HEADER_WORDS && s->code[0] == MAGIC);
	for (size_t at = HEADER_WORDS; at < s->n_words; at += s->code[at] >> 16) {
		const uint32_t *w = s->code + at;
		uint32_t op = w[0] & 0xffff, scope = scope_at(op);
		assert_true(w[0] >> 16 > 0);
		if (op == OP_CAPABILITY && !allowed(f, w[1]))
			fail_msg("%s declares capability %u, whose feature is not enabled", s->name,
				w[1]);
		if (op == OP_CONSTANT && w[2] < CONSTANTS_MAX)
			constants[w[2]] = w[3];
		if (scope) {
			assert_true(w[scope] < CONSTANTS_MAX);
			device_scope |= constants[w[scope]] == SCOPE_DEVICE;
		}
	}
	/* VUID-RuntimeSpirv-vulkanMemoryModel-06265 */
	if (device_scope && f->v12.vulkanMemoryModel && !f->v12.vulkanMemoryModelDeviceScope)
		fail_msg("%s uses the device's scope, which the memory model does not allow",
			s->name);
}

static bool needs_coop(const struct shader *s)
{
	return strcmp(s->name, "matmul_cm") == 0;
}

static void test_with_cooperative_matrices(void **state)
{
	(void)state;
	struct lvx_vk_features f;
	lvx_vk_features(&f, true);
	for (size_t i = 0; i < sizeof(shaders) / sizeof(shaders[0]); i++)
		check(&shaders[i], &f);
}

static void test_without(void **state)
{
	(void)state;
	struct lvx_vk_features f;
	lvx_vk_features(&f, false);
	for (size_t i = 0; i < sizeof(shaders) / sizeof(shaders[0]); i++)
		if (!needs_coop(&shaders[i]))
			check(&shaders[i], &f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_with_cooperative_matrices),
		cmocka_unit_test(test_without),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
