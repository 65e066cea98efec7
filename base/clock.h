/* SPDX-License-Identifier: Apache-2.0 */
/* Time in microseconds. Free-threaded. */
#ifndef LVX_BASE_CLOCK_H
#define LVX_BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC: for delays and pacing. */
int64_t lvx_now_us(void);
/* CLOCK_REALTIME, µs since 1970: for epochs and what people read. */
int64_t lvx_wall_us(void);
void lvx_sleep_us(int64_t us);

#endif
