// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-replica: the tests of what is on its legs
 *
 * A superblock is made of the same bytes on every architecture.
 */
#include <kunit/test.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "dm-io.h"
#include "dm-io-test-disk.h"
#include "dm-replica-test.h"

static const struct replica_test_state example = {
	.uuid = {
		0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
		0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
	},
	.generation = 0x0123456789abcdef,
	.data_sectors = 0xfedcba987,
	.num_legs = 3,
	.leg = 2,
	.live = 0x5,
	.dirty = true,
};

/* As it has to be on the disk, by Documentation/dm-replica.rst. */
static const u8 example_bytes[] = {
	'D', 'M', 'R', 'E', 'P', 'L', 'C', 'A',
	0xe7, 0xff, 0x6f, 0xb0,				/* checksum */
	0x01, 0x00, 0x00, 0x00,				/* version */
	0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,	/* uuid */
	0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
	0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01,	/* generation */
	0x87, 0xa9, 0xcb, 0xed, 0x0f, 0x00, 0x00, 0x00,	/* data_sectors */
	0x00, 0x08, 0x00, 0x00,				/* reserved_sectors */
	0x03, 0x00, 0x00, 0x00,				/* num_legs */
	0x02, 0x00, 0x00, 0x00,				/* leg */
	0x05, 0x00, 0x00, 0x00,				/* live */
	0x01, 0x00, 0x00, 0x00,				/* flags */
	0x00, 0x00, 0x00, 0x00,				/* padding */
};

#define SUPERBLOCK_BYTES	SZ_4K
#define DISK_BYTES		SZ_8K

static int start_test(struct kunit *test)
{
	struct test_disk *disk = test_disk_create();
	int ret;

	if (!disk)
		return -ENOMEM;
	test->priv = disk;
	ret = test_disk_set_up(disk, &(struct test_disk_layout) {
		.num_sectors = DISK_BYTES >> SECTOR_SHIFT,
	});
	return ret ?: dm_io_get(1);
}

static void end_test(struct kunit *test)
{
	struct test_disk *disk = test->priv;

	if (!disk)
		return;
	dm_io_put(1);
	test_disk_destroy(disk);
}

static void superblock_has_these_bytes(struct kunit *test)
{
	struct test_disk *disk = test->priv;
	size_t size = sizeof(example_bytes), i;

	KUNIT_ASSERT_EQ(test, dm_replica_test_write(disk->bdev, &example), 0);
	for (i = 0; i < size; i++)
		KUNIT_EXPECT_EQ_MSG(test, disk->data[i], example_bytes[i],
				    "byte %zu", i);
	KUNIT_EXPECT_NULL(test, memchr_inv(disk->data + size, 0,
					   SUPERBLOCK_BYTES - size));
	KUNIT_EXPECT_NULL(test, memchr_inv(disk->data + SUPERBLOCK_BYTES,
					   TEST_DISK_FILLER,
					   DISK_BYTES - SUPERBLOCK_BYTES));
}

static void put_example(struct test_disk *disk)
{
	memset(disk->data, 0, SUPERBLOCK_BYTES);
	memcpy(disk->data, example_bytes, sizeof(example_bytes));
}

/* What the target is told by its table. */
static struct replica_test_state example_of_table(void)
{
	return (struct replica_test_state) {
		.data_sectors = example.data_sectors,
		.num_legs = example.num_legs,
		.leg = example.leg,
	};
}

static void these_bytes_are_a_superblock(struct kunit *test)
{
	struct replica_test_state state = example_of_table();
	struct test_disk *disk = test->priv;

	put_example(disk);
	KUNIT_ASSERT_TRUE(test, dm_replica_test_read(disk->bdev, &state));
	KUNIT_EXPECT_EQ(test, state.generation, example.generation);
	KUNIT_EXPECT_EQ(test, state.live, example.live);
	KUNIT_EXPECT_EQ(test, state.dirty, example.dirty);
	KUNIT_EXPECT_EQ(test, 0, memcmp(state.uuid, example.uuid,
					sizeof(state.uuid)));
}

static void any_other_byte_is_noticed(struct kunit *test)
{
	struct test_disk *disk = test->priv;
	struct replica_test_state state;
	size_t i;

	put_example(disk);
	state = example_of_table();
	KUNIT_ASSERT_TRUE(test, dm_replica_test_read(disk->bdev, &state));
	for (i = 0; i < sizeof(example_bytes); i++) {
		put_example(disk);
		state = example_of_table();
		disk->data[i] ^= 0x10;
		KUNIT_EXPECT_FALSE_MSG(test,
				       dm_replica_test_read(disk->bdev, &state),
				       "byte %zu is another one", i);
	}
}

static struct kunit_case superblock_cases[] = {
	KUNIT_CASE(superblock_has_these_bytes),
	KUNIT_CASE(these_bytes_are_a_superblock),
	KUNIT_CASE(any_other_byte_is_noticed),
	{}
};

static struct kunit_suite superblock_suite = {
	.name = "dm_replica_superblock",
	.init = start_test,
	.exit = end_test,
	.test_cases = superblock_cases,
};

kunit_test_suite(superblock_suite);
