/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dm-io: what the library offers to its own tests, and only when these are
 * configured
 */
#ifndef DM_IO_TEST_H
#define DM_IO_TEST_H

#include <linux/compiler.h>
#include <linux/kconfig.h>
#include <linux/types.h>

#if IS_ENABLED(CONFIG_DM_IO_KUNIT_TEST)

/* While this is set, every allocation of the library fails. */
extern bool dm_io_test_no_memory;

/*
 * The library counts its allocations. If this many are still to come, the one
 * that follows them fails, and only that one; -1 is none.
 */
extern unsigned int dm_io_test_allocs;
extern int dm_io_test_fail_after;

/* What the library counts; see its file in debugfs. */
enum dm_io_test_stat {
	STAT_REQUESTS,			/* of an enum req_op */
	STAT_BYTES,			/* of an enum req_op */
	STAT_ERRORS,			/* of a negative errno */
	STAT_RESERVE_EMPTY,
	STAT_ON_STACK,
	STAT_USERS,
	STAT_RESERVE,			/* pages */
};

u64 dm_io_test_stat(enum dm_io_test_stat stat, int which);

/*
 * To be asked once for each allocation. Tests that count do so with one caller at a
 * time; in others, it does not matter what is lost.
 */
static inline bool no_memory(void)
{
	int left = READ_ONCE(dm_io_test_fail_after);

	if (READ_ONCE(dm_io_test_no_memory))
		return true;
	WRITE_ONCE(dm_io_test_allocs, READ_ONCE(dm_io_test_allocs) + 1);
	if (likely(left < 0))
		return false;
	WRITE_ONCE(dm_io_test_fail_after, left - 1);
	return !left;
}

#else

static inline bool no_memory(void)
{
	return false;
}

#endif

#endif /* DM_IO_TEST_H */
