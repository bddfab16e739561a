/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dm-io: what both benchmarks do with times
 */
#ifndef DM_IO_BENCH_H
#define DM_IO_BENCH_H

#include <linux/ktime.h>
#include <linux/minmax.h>
#include <linux/types.h>

/* For sort(). */
static inline int compare_times(const void *a, const void *b)
{
	u64 one = *(const u64 *)a, other = *(const u64 *)b;

	return one < other ? -1 : one > other;
}

/* What it takes to read the clock once, which is in each time. */
static inline u64 clock_reading(void)
{
	u64 least = U64_MAX;
	unsigned int i;

	for (i = 0; i < 16; i++) {
		u64 start = ktime_get_ns();

		least = min(least, ktime_get_ns() - start);
	}
	return least;
}

#endif /* DM_IO_BENCH_H */
