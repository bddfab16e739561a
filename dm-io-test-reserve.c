// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the tests of dm_io_get() and dm_io_put(), and of having no reserve
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/kmsg_dump.h>
#include <linux/panic.h>
#include <linux/sizes.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"
#include "dm-io-test-disk.h"
#include "dm-io-test-io.h"

KUNIT_ARRAY_PARAM(call, calls, describe_call);

static void get_refuses_zero(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, dm_io_get(0), -EINVAL);
	KUNIT_EXPECT_FALSE(test, reserve_is_held());
}

static void get_refuses_the_absurd(struct kunit *test)
{
	unsigned long deadline = jiffies + 2 * HZ;

	KUNIT_EXPECT_EQ(test, dm_io_get(UINT_MAX), -ENOMEM);
	KUNIT_EXPECT_EQ(test, dm_io_get(INT_MAX), -ENOMEM);
	KUNIT_EXPECT_FALSE(test, reserve_is_held());

	/* So does what is absurd only together with what there is. */
	get_reserve(test, 2);
	KUNIT_EXPECT_EQ(test, dm_io_get(UINT_MAX), -ENOMEM);
	KUNIT_EXPECT_EQ(test, dm_io_get(UINT_MAX - 1), -ENOMEM);
	KUNIT_EXPECT_TRUE(test, time_before(jiffies, deadline));
	KUNIT_EXPECT_EQ(test, count_reserve(test), 2);
}

static void get_that_fails_changes_nothing(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, dm_io_get(3), 0);
	WRITE_ONCE(dm_io_test_no_memory, true);
	KUNIT_EXPECT_EQ(test, dm_io_get(2), -ENOMEM);
	WRITE_ONCE(dm_io_test_no_memory, false);

	KUNIT_EXPECT_EQ(test, count_reserve(test), 3);
	dm_io_put(3);
	KUNIT_EXPECT_FALSE(test, reserve_is_held());
}

static void reserve_is_what_was_asked_for(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, dm_io_get(1), 0);
	KUNIT_EXPECT_EQ(test, count_reserve(test), 1);
	KUNIT_ASSERT_EQ(test, dm_io_get(5), 0);
	KUNIT_EXPECT_EQ(test, count_reserve(test), 6);

	/* Those requests have ended and filled it up again. */
	KUNIT_EXPECT_EQ(test, count_reserve(test), 6);
	dm_io_put(1);
	KUNIT_EXPECT_EQ(test, count_reserve(test), 5);
	dm_io_put(5);
	KUNIT_EXPECT_FALSE(test, reserve_is_held());
}

static void put_leaves_io_in_flight_alone(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct io *with_memory, *reserved;
	unsigned int seed = new_seed();
	struct buffer *buffer;

	buffer = new_buffer(test, SZ_8K, 512);
	fill_buffer(buffer, seed);
	disk->end = END_WHEN_TOLD;

	KUNIT_ASSERT_EQ(test, dm_io_get(1), 0);
	with_memory = new_io(test, ASYNC_PAGES, WRITE, buffer);
	add_region(with_memory, disk->bdev, 0, 16);
	add_region(with_memory, disk->bdev, 100, 16);
	submit(test, with_memory);
	reserved = new_io(test, ASYNC_BVEC, WRITE, buffer);
	add_region(reserved, disk->bdev, 200, 16);
	WRITE_ONCE(dm_io_test_no_memory, true);
	submit(test, reserved);
	WRITE_ONCE(dm_io_test_no_memory, false);
	dm_io_put(1);

	KUNIT_EXPECT_FALSE(test, reserve_is_held());
	KUNIT_EXPECT_EQ(test, atomic_read(&with_memory->num_ends), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&reserved->num_ends), 0);
	test_disk_release(disk);
	KUNIT_EXPECT_EQ(test, await(test, with_memory), 0);
	KUNIT_EXPECT_EQ(test, await(test, reserved), 0);
	expect_on_disk(test, disk, 0, bytes_of(seed), SZ_8K);
	expect_on_disk(test, disk, 100, bytes_of(seed), SZ_8K);
	expect_on_disk(test, disk, 200, bytes_of(seed), SZ_8K);

	/* What came back late has not become a reserve. */
	KUNIT_EXPECT_FALSE(test, reserve_is_held());
	KUNIT_ASSERT_EQ(test, dm_io_get(2), 0);
	KUNIT_EXPECT_EQ(test, count_reserve(test), 2);
	dm_io_put(2);
}

static void put_of_too_much_is_one_line(struct kunit *test)
{
	bool warned = test_taint(TAINT_WARN);
	struct kmsg_dump_iter iter, again;

	KUNIT_ASSERT_EQ(test, dm_io_get(2), 0);
	kmsg_dump_rewind(&iter);
	read_log(&iter, "");
	again = iter;

	dm_io_put(3);
	KUNIT_EXPECT_EQ(test, read_log(&iter, "dm_io: "), 1);
	KUNIT_EXPECT_EQ(test, read_log(&again, "Call Trace"), 0);
	KUNIT_EXPECT_EQ(test, test_taint(TAINT_WARN), warned);
	KUNIT_EXPECT_FALSE(test, reserve_is_held());

	/* Nothing at all is held now. */
	dm_io_put(1);
	KUNIT_EXPECT_EQ(test, read_log(&iter, "dm_io: "), 1);
	KUNIT_EXPECT_FALSE(test, reserve_is_held());

	/* The account is in order: what is got is there, and no more. */
	KUNIT_ASSERT_EQ(test, dm_io_get(2), 0);
	KUNIT_EXPECT_EQ(test, count_reserve(test), 2);
	dm_io_put(1);
	KUNIT_EXPECT_TRUE(test, reserve_is_held());
	KUNIT_EXPECT_EQ(test, count_reserve(test), 1);
	dm_io_put(1);
	KUNIT_EXPECT_FALSE(test, reserve_is_held());
	read_log(&iter, "");

	/* What is held is given back without a word. */
	KUNIT_ASSERT_EQ(test, dm_io_get(2), 0);
	dm_io_put(2);
	KUNIT_EXPECT_EQ(test, read_log(&iter, "dm_io: "), 0);
}

#define NO_RESERVE	"I/O without a reserve"

/* A target that forgot dm_io_get() is told so, and not again for each I/O. */
static void first_io_without_a_reserve_is_one_line(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, PAGE_SIZE, 0);
	struct kmsg_dump_iter iter;
	unsigned int before, i;

	kmsg_dump_rewind(&iter);
	before = read_log(&iter, NO_RESERVE);
	for (i = 0; i < 2 * NUM_CALLS; i++) {
		struct io *io = new_io(test, i % NUM_CALLS, WRITE, buffer);

		add_region(io, disk->bdev, 0, 8);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	}
	KUNIT_EXPECT_EQ(test, before + read_log(&iter, NO_RESERVE), 1);
}

/* Data that needs a table, and some that does not; for one region and for many. */
static void check_without_reserve(struct kunit *test, bool no_memory)
{
	struct test_disk *disk = new_able_disk(test);
	unsigned int i, r;

	for (i = 0; i < NUM_SHAPES; i++) {
		struct io *io = new_shaped_io(test, param_call(test), WRITE,
					      &shapes[i], disk);
		size_t bytes = shapes[i].num_sectors << SECTOR_SHIFT;
		unsigned int seed = new_seed();

		memcpy(io->data, bytes_of(seed), bytes);
		WRITE_ONCE(dm_io_test_no_memory, no_memory);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		KUNIT_EXPECT_EQ(test, io->error, 0);
		for (r = 0; r < shapes[i].num_regions; r++)
			expect_on_disk(test, disk, r * 100, bytes_of(seed),
				       bytes);

		memset(io->data, GUARD, bytes);
		io->rw = READ;
		io->num_regions = 1;
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		same_bytes(test, io->data, bytes_of(seed), bytes,
			   "what was read");
		WRITE_ONCE(dm_io_test_no_memory, false);
	}
}

static void io_works_without_a_reserve(struct kunit *test)
{
	check_without_reserve(test, false);
}

static void io_works_without_reserve_and_memory(struct kunit *test)
{
	check_without_reserve(test, true);
}

static void range_works_without_a_reserve(struct kunit *test)
{
	struct test_disk *disk = new_able_disk(test);
	unsigned int i;

	for (i = 0; i < 2 * NUM_RANGE_OPS; i++) {
		const struct range_op *op = &range_ops[i / 2];
		struct io *io = new_op(test, param_call(test), op->opf);

		add_region(io, disk->bdev, 8, 16);
		add_region(io, disk->bdev, 100, 16);
		WRITE_ONCE(dm_io_test_no_memory, i & 1);
		perform_with(test, io, (int[]) { 0, 0 });
		expect_bytes(test, disk, 8, 16, op->leaves);
		expect_bytes(test, disk, 100, 16, op->leaves);
		tell_case(test, io, op->name);
	}
	test_disk_forget(disk);
	for (i = 0; i < 2; i++) {
		struct io *io = new_op(test, param_call(test), REQ_OP_FLUSH);

		add_region(io, disk->bdev, 0, 0);
		WRITE_ONCE(dm_io_test_no_memory, i & 1);
		perform_with(test, io, (int[]) { 0 });
		KUNIT_EXPECT_EQ(test, disk->num_bios, i + 1);
	}
	WRITE_ONCE(dm_io_test_no_memory, false);
}

/* One user puts more than it has got. The other one's reserve is gone, not its I/O. */
static void put_of_too_much_fails_no_io(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_16K, 512);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	struct io *late = new_io(test, ASYNC_PAGES, WRITE, buffer);
	unsigned int i, seed = new_seed();

	fill_buffer(buffer, seed);
	add_region(io, disk->bdev, 8, 32);
	add_region(io, disk->bdev, 100, 32);
	add_region(late, disk->bdev, 200, 8);
	KUNIT_ASSERT_EQ(test, dm_io_get(4), 0);
	KUNIT_ASSERT_EQ(test, dm_io_get(16), 0);

	/* Some of it is in use meanwhile. */
	disk->end = END_WHEN_TOLD;
	WRITE_ONCE(dm_io_test_no_memory, true);
	submit(test, late);
	for (i = 0; i < 5; i++)
		dm_io_put(16);
	KUNIT_EXPECT_FALSE(test, reserve_is_held());
	disk->end = END_AT_ONCE;
	test_disk_release(disk);
	KUNIT_EXPECT_EQ(test, await(test, late), 0);

	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		KUNIT_EXPECT_EQ(test, io->error, 0);
		expect_on_disk(test, disk, 8, bytes_of(seed), SZ_16K);
		expect_on_disk(test, disk, 100, bytes_of(seed), SZ_16K);
		WRITE_ONCE(dm_io_test_no_memory, false);
	}
	dm_io_put(4);
	KUNIT_EXPECT_EQ(test, count_reserve(test), 0);
}

static struct kunit_case reserve_cases[] = {
	KUNIT_CASE(first_io_without_a_reserve_is_one_line),
	KUNIT_CASE(get_refuses_zero),
	KUNIT_CASE(get_refuses_the_absurd),
	KUNIT_CASE(get_that_fails_changes_nothing),
	KUNIT_CASE(reserve_is_what_was_asked_for),
	KUNIT_CASE(put_leaves_io_in_flight_alone),
	KUNIT_CASE(put_of_too_much_is_one_line),
	KUNIT_CASE_PARAM(io_works_without_a_reserve, call_gen_params),
	KUNIT_CASE_PARAM(io_works_without_reserve_and_memory, call_gen_params),
	KUNIT_CASE_PARAM(range_works_without_a_reserve, call_gen_params),
	KUNIT_CASE_PARAM(put_of_too_much_fails_no_io, call_gen_params),
	{}
};

struct kunit_suite reserve_suite = {
	.name = "dm_io_reserve",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = reserve_cases,
};
