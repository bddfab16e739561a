// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the tests of the library, a file for each suite
 *
 * A suite dm_io_NAME is in dm-io-test-NAME.c. What they share is in dm-io-test-io.c
 * (what a test holds, buffers, calls), dm-io-test-common.c (expectations) and
 * dm-io-test-disk.c (disks that do as they are told).
 */
#include <kunit/test.h>
#include <linux/module.h>

#include "dm-io-test-io.h"

/* The line about a missing reserve comes once: it has to be looked for first. */
kunit_test_suites(&reserve_suite,
		  &data_suite,
		  &disk_suite,
		  &contract_suite,
		  &regions_suite,
		  &limits_suite,
		  &buffers_suite,
		  &flags_suite,
		  &ops_suite,
		  &submit_suite,
		  &devices_suite,
		  &trace_suite,
		  &waiting_suite,
		  &concurrency_suite,
		  &progress_suite,
		  &power_suite);

MODULE_DESCRIPTION("KUnit tests of the dm-io library");
MODULE_LICENSE("GPL");
