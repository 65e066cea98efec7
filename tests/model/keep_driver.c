/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Under AddressSanitizer lavapipe stays in the process. It keeps memory for good in variables of
 * its own; the Vulkan loader unloads it with the last instance, and LeakSanitizer, which looks only
 * at the end, would find that memory without an owner and without a name to suppress.
 */
#include <dlfcn.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LVX_KEEP_DRIVER 1
#endif
#endif

void lvx_test_keep_driver(void);

__attribute__((constructor)) void lvx_test_keep_driver(void)
{
#ifdef LVX_KEEP_DRIVER
	(void)dlopen("libvulkan_lvp.so", RTLD_NOW | RTLD_NODELETE);
#endif
}
