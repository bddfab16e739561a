// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the tests of calls that race
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/delay.h>
#include <linux/sizes.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"
#include "dm-io-test-disk.h"
#include "dm-io-test-io.h"

KUNIT_ARRAY_PARAM(end_context, end_contexts, describe_end_context);

#define NUM_WRITERS	3
#define WRITER_ROUNDS	60
#define WRITER_BYTES	SZ_32K

/* Writes and reads in an area of its own, by all kinds of calls. */
struct writer {
	struct kunit *test;
	struct io *write, *read;
	struct buffer *from, *to;
	unsigned int num_wrong;
};

static bool call_and_wait(struct io *io)
{
	reinit_completion(&io->ended);
	io->error = 0;
	make_call(io);
	if (is_async(io->call) && !io->ret) {
		wait_for_completion(&io->ended);
		io->wanted_ends++;
	}
	return !io->ret && !io->error;
}

static void write_and_read(void *data)
{
	struct writer *writer = data;
	unsigned int i;

	for (i = 0; i < WRITER_ROUNDS; i++) {
		fill_buffer(writer->from, new_seed());
		memset(writer->to->data, GUARD, WRITER_BYTES);
		writer->write->call = i % NUM_CALLS;
		writer->read->call = i / 3 % NUM_CALLS;
		if (!call_and_wait(writer->write) ||
		    !call_and_wait(writer->read) ||
		    !equal_bytes(writer->from->data, writer->to->data,
				 WRITER_BYTES))
			writer->num_wrong++;
	}
}

static struct writer *new_writer(struct kunit *test, struct test_disk *disk,
				 sector_t sector)
{
	struct writer *writer = test_alloc(test, sizeof(*writer));

	writer->from = new_buffer(test, WRITER_BYTES, 512);
	writer->to = new_buffer(test, WRITER_BYTES, 1024);
	writer->write = new_io(test, SYNC_PAGES, WRITE, writer->from);
	add_region(writer->write, disk->bdev, sector, WRITER_BYTES >> 9);
	add_region(writer->write, disk->bdev, sector + 100, WRITER_BYTES >> 9);
	writer->read = new_io(test, SYNC_PAGES, READ, writer->to);
	add_region(writer->read, disk->bdev, sector + 100, WRITER_BYTES >> 9);
	return writer;
}

/* Gets and puts, and takes memory away and gives it back. */
struct getter {
	unsigned int num_pages;
	unsigned int num_failed;
	bool starve;
	bool stop;
};

static void get_and_put(void *data)
{
	struct getter *getter = data;
	unsigned int i;

	for (i = 0; !READ_ONCE(getter->stop); i++) {
		unsigned int num = 1 + i % getter->num_pages;

		if (getter->starve)
			WRITE_ONCE(dm_io_test_no_memory, i & 1);
		/* Without memory it may fail. */
		if (!dm_io_get(num)) {
			usleep_range(20, 200);
			dm_io_put(num);
		} else {
			getter->num_failed++;
		}
		cond_resched();
	}
}

static void get_and_put_race_with_io(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct writer *writers[NUM_WRITERS];
	struct job *jobs[NUM_WRITERS + 2];
	struct getter *getters[2];
	unsigned int i;

	disk->end = END_IN_SOFTIRQ;
	get_reserve(test, 2);
	for (i = 0; i < NUM_WRITERS; i++)
		writers[i] = new_writer(test, disk, i * 200);
	for (i = 0; i < 2; i++) {
		getters[i] = test_alloc(test, sizeof(*getters[i]));
		getters[i]->num_pages = 5 + 12 * i;
		getters[i]->starve = i;
		jobs[NUM_WRITERS + i] = start_job(test, get_and_put,
						  getters[i]);
	}
	for (i = 0; i < NUM_WRITERS; i++)
		jobs[i] = start_job(test, write_and_read, writers[i]);

	for (i = 0; i < NUM_WRITERS; i++) {
		finish_job(test, jobs[i], "a writer");
		KUNIT_EXPECT_EQ(test, writers[i]->num_wrong, 0);
	}
	for (i = 0; i < 2; i++) {
		WRITE_ONCE(getters[i]->stop, true);
		finish_job(test, jobs[NUM_WRITERS + i], "dm_io_get()");
	}
	WRITE_ONCE(dm_io_test_no_memory, false);
	KUNIT_EXPECT_EQ(test, count_reserve(test), 2);
}

#define NUM_REQUESTS	100

static void many_requests_share_a_small_reserve(struct kunit *test)
{
	const struct end_context *context = test->param_value;
	struct buffer *buffer = new_buffer(test, SZ_16K, 0);
	struct io **ios = test_alloc(test, NUM_REQUESTS * sizeof(*ios));
	unsigned int i, seed = new_seed();
	struct test_disk *disk;

	get_reserve(test, 4);
	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = NUM_REQUESTS * 40,
	});
	disk->end = context->end;
	disk->backwards = true;
	fill_buffer(buffer, seed);
	for (i = 0; i < NUM_REQUESTS; i++) {
		ios[i] = new_io(test, ASYNC_PAGES + 2 * (i % 4), WRITE, buffer);
		add_region(ios[i], disk->bdev, i * 40, 1 + i % 32);
	}

	WRITE_ONCE(dm_io_test_no_memory, true);
	for (i = 0; i < NUM_REQUESTS; i++)
		start_io(ios[i]);
	for (i = 0; i < NUM_REQUESTS; i++)
		finish_call(test, ios[i]);
	for (i = 0; i < NUM_REQUESTS; i++) {
		KUNIT_EXPECT_EQ(test, await(test, ios[i]), 0);
		expect_on_disk(test, disk, i * 40, bytes_of(seed),
			       (1 + i % 32) * SECTOR_SIZE);
	}
	KUNIT_EXPECT_EQ(test, count_reserve(test), 4);
}

/* All at once in flight, with memory, and the last of them ends first. */
static void requests_end_in_any_order(struct kunit *test)
{
	struct io **ios = test_alloc(test, NUM_REQUESTS * sizeof(*ios));
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	unsigned int i, seed = new_seed();
	struct test_disk *disk;

	get_reserve(test, 1);
	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = NUM_REQUESTS * 40,
	});
	disk->end = END_WHEN_TOLD;
	disk->backwards = true;
	disk->bad_sector = 40 * 7 + 20;
	disk->bad_sectors = 1;
	fill_buffer(buffer, seed);
	for (i = 0; i < NUM_REQUESTS; i++) {
		ios[i] = new_io(test, ASYNC_PAGES + 2 * (i % 4), WRITE, buffer);
		add_region(ios[i], disk->bdev, i * 40, 8);
		add_region(ios[i], disk->bdev, i * 40 + 20, 8);
		submit(test, ios[i]);
	}
	KUNIT_EXPECT_EQ(test, disk->in_flight, 2 * NUM_REQUESTS);
	test_disk_release(disk);
	for (i = 0; i < NUM_REQUESTS; i++) {
		KUNIT_EXPECT_EQ(test, await(test, ios[i]), i == 7 ? -EIO : 0);
		KUNIT_EXPECT_EQ(test, ios[i]->error, i == 7 ? BIT(1) : 0);
		expect_on_disk(test, disk, i * 40, bytes_of(seed), SZ_4K);
	}
}

static struct kunit_case concurrency_cases[] = {
	KUNIT_CASE(get_and_put_race_with_io),
	KUNIT_CASE_PARAM(many_requests_share_a_small_reserve,
			 end_context_gen_params),
	KUNIT_CASE(requests_end_in_any_order),
	{}
};

struct kunit_suite concurrency_suite = {
	.name = "dm_io_concurrency",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = concurrency_cases,
};
