// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the tests of what calls wait for, and of who runs meanwhile
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"
#include "dm-io-test-disk.h"
#include "dm-io-test-io.h"

/* What an asynchronous call may have in flight. */
#define MOST_IN_FLIGHT	((u64)SZ_16M)

/* A few pages that appear again and again, in all kinds of buffers. */
#define FEW_PAGES	16

static void unmap_repeated(void *data)
{
	vunmap(data);
}

static struct buffer *new_repeated(struct kunit *test, size_t bytes)
{
	struct buffer *few = new_buffer(test, FEW_PAGES * PAGE_SIZE, 0);
	unsigned int num = DIV_ROUND_UP(bytes, PAGE_SIZE), i;
	struct page **pages = test_alloc(test, num * sizeof(*pages));
	struct buffer *buffer = test_alloc(test, sizeof(*buffer));

	buffer->pages = few->pages;
	few->pages[FEW_PAGES - 1].next = &few->pages[0];
	buffer->bvec = test_alloc(test, num * sizeof(*buffer->bvec));
	for (i = 0; i < num; i++) {
		pages[i] = few->pages[i % FEW_PAGES].page;
		bvec_set_page(&buffer->bvec[i], pages[i], PAGE_SIZE, 0);
	}
	buffer->bytes = bytes;
	buffer->num_vecs = num;
	bio_over_bvec(buffer);
	buffer->data = vmap(pages, num, VM_MAP, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buffer->data);
	defer(test, unmap_repeated, buffer->data);
	return buffer;
}

/* It keeps nothing, and is long. */
static struct test_disk *new_long_disk(struct kunit *test)
{
	return new_disk(test, &(struct test_disk_layout) {
		.num_sectors = HUGE_DISK,
		.no_data = true,
		.any_alignment = true,
		.discard_sectors = 16,
		.discard_granularity = SECTOR_SIZE,
	});
}

static const struct call_info async_calls[] = {
	{ ASYNC_PAGES, "dm_io_async" },
	{ ASYNC_BVEC, "dm_io_async_bvec" },
	{ ASYNC_VM, "dm_io_async_vm" },
	{ ASYNC_BIO, "dm_io_async_bio" },
	{ ASYNC_ARGS, "dm_io_submit with a callback" },
};

KUNIT_ARRAY_PARAM(async_call, async_calls, describe_call);

/* While no bio ends: the call returns, whatever the number of tables. */
static void check_async_returns(struct kunit *test, struct buffer *buffer,
				int rw, unsigned int num_regions)
{
	struct test_disk *disk = new_long_disk(test);
	struct io *io = new_io(test, param_call(test), rw, buffer);
	unsigned int i;

	disk->end = END_WHEN_TOLD;
	for (i = 0; i < num_regions; i++)
		add_region(io, disk->bdev, i * SZ_64K,
			   MOST_IN_FLIGHT >> SECTOR_SHIFT);
	start_io(io);
	KUNIT_EXPECT_FALSE_MSG(test, waits(&io->job), "%u regions", num_regions);
	KUNIT_EXPECT_EQ(test, disk->num_bytes, num_regions * MOST_IN_FLIGHT);
	KUNIT_EXPECT_EQ(test, atomic_read(&io->num_ends), 0);
	disk->end = END_AT_ONCE;
	test_disk_release(disk);
	finish_call(test, io);
	KUNIT_EXPECT_EQ(test, await(test, io), 0);
}

static void async_call_waits_for_nothing(struct kunit *test)
{
	struct buffer *buffer = new_repeated(test, MOST_IN_FLIGHT);

	get_reserve(test, 1);
	check_async_returns(test, buffer, WRITE, 1);
	check_async_returns(test, buffer, WRITE, 3);
	check_async_returns(test, buffer, READ, 1);
}

/* Of more than that, no more than that; it returns with the last part in flight. */
static void async_call_has_so_much_in_flight(struct kunit *test)
{
	u64 bytes = SZ_64M, released = 0;
	struct buffer *buffer = new_repeated(test, bytes);
	struct test_disk *disk = new_long_disk(test);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);

	get_reserve(test, 1);
	disk->end = END_WHEN_TOLD;
	add_region(io, disk->bdev, 8, bytes >> SECTOR_SHIFT);
	start_io(io);
	KUNIT_EXPECT_TRUE(test, waits(&io->job));
	KUNIT_EXPECT_GT(test, disk->num_bytes, MOST_IN_FLIGHT / 2);
	while (waits(&io->job)) {
		KUNIT_EXPECT_LE(test, disk->num_bytes - released,
				MOST_IN_FLIGHT);
		released = disk->num_bytes;
		test_disk_release(disk);
	}
	finish_call(test, io);
	KUNIT_EXPECT_GT(test, disk->in_flight, 0);
	KUNIT_EXPECT_LE(test, disk->num_bytes - released, MOST_IN_FLIGHT);
	KUNIT_EXPECT_EQ(test, disk->num_bytes, bytes);
	KUNIT_EXPECT_EQ(test, atomic_read(&io->num_ends), 0);
	test_disk_release(disk);
	KUNIT_EXPECT_EQ(test, await(test, io), 0);
}

/*
 * Whoever reports hung tasks looks for one that has not been running since he
 * looked last.
 */
static void expect_no_hung_task(struct kunit *test, struct io *io,
				struct test_disk *disk, const char *what)
{
	unsigned long deadline = jiffies + 3 * HZ, switches;
	struct task_struct *task;

	start_io(io);
	KUNIT_EXPECT_TRUE_MSG(test, waits(&io->job), "%s", what);
	task = io->job.task;
	switches = READ_ONCE(task->nvcsw) + READ_ONCE(task->nivcsw);
	while (READ_ONCE(task->nvcsw) + READ_ONCE(task->nivcsw) == switches &&
	       time_before(jiffies, deadline))
		msleep(20);
	KUNIT_EXPECT_TRUE_MSG(test, time_before(jiffies, deadline), "%s", what);
	disk->end = END_AT_ONCE;
	test_disk_release(disk);
	finish_call(test, io);
	KUNIT_EXPECT_EQ(test, await(test, io), 0);
}

/* Each of them waits for half a second at least. */
static const struct call_info slow_calls[] = {
	{ SYNC_PAGES, "dm_io_sync" },
	{ ASYNC_ARGS, "dm_io_submit with a callback" },
};

KUNIT_ARRAY_PARAM(slow_call, slow_calls, describe_call);

static void slow_device_makes_no_hung_task(struct kunit *test)
{
	struct buffer *buffer = new_repeated(test, SZ_64M);
	struct test_disk *disk = new_long_disk(test);
	enum call call = param_call(test);
	struct held held = mark_held();
	struct shortage shortage;
	struct io *io;

	get_reserve(test, 1);
	disk->end = END_WHEN_TOLD;
	io = new_io(test, call, READ, buffer);
	add_region(io, disk->bdev, 8, SZ_64M >> SECTOR_SHIFT);
	expect_no_hung_task(test, io, disk, "a long read");

	disk->end = END_WHEN_TOLD;
	io = new_op(test, call, REQ_OP_DISCARD);
	add_region(io, disk->bdev, 8, 1000);
	expect_no_hung_task(test, io, disk, "a long discard");
	if (!is_async(call)) {
		disk->end = END_WHEN_TOLD;
		io = new_io(test, call, WRITE, buffer);
		add_region(io, disk->bdev, 8, 8);
		expect_no_hung_task(test, io, disk, "a short write");

		disk->end = END_WHEN_TOLD;
		io = new_op(test, call, REQ_OP_FLUSH);
		add_region(io, disk->bdev, 8, 8);
		expect_no_hung_task(test, io, disk, "a flush");
	}
	release_held(held);

	begin_shortage(test, &shortage);
	disk->end = END_WHEN_TOLD;
	io = new_io(test, call, WRITE, buffer);
	add_region(io, disk->bdev, 8, 8);
	expect_no_hung_task(test, io, disk, "a write without memory");
	end_shortage(test, &shortage);
}

/*
 * With each bio, somebody else is to run: how many more come before he may? A kernel
 * that preempts lets him at once.
 */
struct resched {
	unsigned int num, most, total;
};

#define MOST_BIOS	64

static void ask_for_resched(struct test_disk *disk, const struct bio *bio)
{
	struct resched *resched = disk->watch_context;

	resched->num = test_tsk_need_resched(current) ? resched->num + 1 : 0;
	resched->most = max(resched->most, resched->num);
	resched->total++;
	set_tsk_need_resched(current);
	set_preempt_need_resched();
}

static void check_resched(struct kunit *test, struct io *io,
			  struct resched *resched, const char *what)
{
	*resched = (struct resched) { };
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	KUNIT_EXPECT_GT_MSG(test, resched->total, 2 * MOST_BIOS, "%s", what);
	KUNIT_EXPECT_LE_MSG(test, resched->most, MOST_BIOS, "%s", what);
}

static void others_run_during_a_long_call(struct kunit *test)
{
	struct resched *resched = test_alloc(test, sizeof(*resched));
	struct buffer *buffer = new_repeated(test, SZ_64M);
	struct test_disk *disk = new_long_disk(test);
	enum call call = param_call(test);
	struct held held = mark_held();
	struct shortage shortage;
	size_t bytes = SZ_64M;
	struct io *io;

	/* A list goes round, and an entry may pretend to be long. */
	if (call == SYNC_BVEC || call == ASYNC_BVEC)
		buffer->bvec[0].bv_len = SZ_1G;
	if (buffer->bvec[0].bv_len == SZ_1G || call == SYNC_PAGES ||
	    call == ASYNC_PAGES || call == SYNC_ARGS || call == ASYNC_ARGS)
		bytes = SZ_1G;
	get_reserve(test, 1);
	disk->watch = ask_for_resched;
	disk->watch_context = resched;
	if (bytes == SZ_1G) {
		io = new_io(test, call, WRITE, buffer);
		add_region(io, disk->bdev, 8, bytes >> SECTOR_SHIFT);
		check_resched(test, io, resched, "a write");
	}
	io = new_op(test, call, REQ_OP_DISCARD);
	add_region(io, disk->bdev, 8, 10000);
	check_resched(test, io, resched, "a discard");
	release_held(held);

	begin_shortage(test, &shortage);
	if (bytes == SZ_1G || call == SYNC_VM || call == ASYNC_VM) {
		/* What is in one piece is in long bios, even then. */
		if (call != SYNC_BVEC && call != ASYNC_BVEC)
			bytes = SZ_64M;
		io = new_io(test, call, READ, buffer);
		add_region(io, disk->bdev, 8, bytes >> SECTOR_SHIFT);
		check_resched(test, io, resched, "a read without memory");
	}
	io = new_op(test, call, REQ_OP_DISCARD);
	add_region(io, disk->bdev, 8, 10000);
	check_resched(test, io, resched, "a discard without memory");
	end_shortage(test, &shortage);
}

KUNIT_ARRAY_PARAM(call, calls, describe_call);

static struct kunit_case waiting_cases[] = {
	KUNIT_CASE_PARAM(async_call_waits_for_nothing, async_call_gen_params),
	KUNIT_CASE_PARAM(async_call_has_so_much_in_flight,
			 async_call_gen_params),
	KUNIT_CASE_PARAM(slow_device_makes_no_hung_task, slow_call_gen_params),
	KUNIT_CASE_PARAM(others_run_during_a_long_call, call_gen_params),
	{}
};

struct kunit_suite waiting_suite = {
	.name = "dm_io_waiting",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = waiting_cases,
};
