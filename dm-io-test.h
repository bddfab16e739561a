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

/* What the library counts; see its file in debugfs. */
enum dm_io_test_stat {
	STAT_REQUESTS,			/* of an enum req_op */
	STAT_BYTES,			/* of an enum req_op */
	STAT_ERRORS,			/* of a negative errno */
	STAT_RESERVE_EMPTY,
	STAT_ON_STACK,
	STAT_USERS,
};

u64 dm_io_test_stat(enum dm_io_test_stat stat, int which);

static inline bool no_memory(void)
{
	return READ_ONCE(dm_io_test_no_memory);
}

#else

static inline bool no_memory(void)
{
	return false;
}

#endif

#endif /* DM_IO_TEST_H */
