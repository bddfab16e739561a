/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dm-replica: what the target offers to its tests, and only when these are
 * configured
 */
#ifndef DM_REPLICA_TEST_H
#define DM_REPLICA_TEST_H

#include <linux/export.h>
#include <linux/kconfig.h>

/* The tests make sets without Device Mapper. Their module needs our functions. */
#if IS_ENABLED(CONFIG_DM_IO_KUNIT_TEST)
#define EXPORT_SYMBOL_FOR_TESTS(symbol)	EXPORT_SYMBOL_GPL(symbol)
#else
#define EXPORT_SYMBOL_FOR_TESTS(symbol)	struct symbol
#endif

#endif /* DM_REPLICA_TEST_H */
