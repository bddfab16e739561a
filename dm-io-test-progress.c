// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the tests with neither memory nor a reserve
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/mm.h>
#include <linux/vmstat.h>
#include <linux/sizes.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"
#include "dm-io-test-disk.h"
#include "dm-io-test-io.h"

KUNIT_ARRAY_PARAM(call, calls, describe_call);

#define PROGRESS_SECTORS	((SZ_8M + SZ_1M) >> SECTOR_SHIFT)

static const struct {
	unsigned int num_sectors, num_regions;
} progress_geometries[] = {
	{ 1, 1 }, { 1, BITS_PER_LONG }, { 8, 3 }, { 135, 1 },
	{ 135, BITS_PER_LONG }, { 512, 8 }, { 2049, 3 }, { 8192, 1 },
};

static void call_needs_no_memory(struct kunit *test)
{
	struct buffer *buffers[ARRAY_SIZE(progress_geometries)];
	struct io *ios[ARRAY_SIZE(progress_geometries)];
	struct shortage shortage;
	struct test_disk *disk;
	unsigned int i, r;

	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = PROGRESS_SECTORS,
		.any_alignment = true,
	});
	for (i = 0; i < ARRAY_SIZE(ios); i++) {
		size_t bytes = progress_geometries[i].num_sectors << 9;

		buffers[i] = new_buffer(test, bytes, i * 511);
		ios[i] = new_io(test, param_call(test), WRITE, buffers[i]);
		for (r = 0; r < progress_geometries[i].num_regions; r++)
			add_region(ios[i], disk->bdev,
				   r * (progress_geometries[i].num_sectors + 1),
				   progress_geometries[i].num_sectors);
	}

	begin_shortage(test, &shortage);
	for (i = 0; i < ARRAY_SIZE(ios); i++) {
		struct buffer *buffer = buffers[i];
		unsigned int seed = new_seed();
		struct io *io = ios[i];

		disk->end = i % END_WHEN_TOLD;
		fill_buffer(buffer, seed);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		KUNIT_EXPECT_EQ(test, io->error, 0);
		for (r = 0; r < io->num_regions; r++)
			expect_on_disk(test, disk, io->regions[r].sector,
				       bytes_of(seed), buffer->bytes);

		seed = new_seed();
		fill_disk(disk, io->regions[0].sector, seed, buffer->bytes);
		io->num_regions = 1;
		io->rw = READ;
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		same_bytes(test, buffer->data, bytes_of(seed), buffer->bytes,
			   "what was read");
		expect_guards(test, buffer);
	}
	end_shortage(test, &shortage);
}

/* The bits are right as well, although the call is made region by region. */
static void failure_needs_no_memory(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_128K, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	struct shortage shortage;

	disk->end = END_IN_WORKER;
	disk->bad_sector = 500;
	disk->bad_sectors = 1;
	add_region(io, disk->bdev, 0, 256);
	add_region(io, disk->bdev, 300, 201);
	add_region(io, disk->bdev, 600, 100);
	add_region(io, disk->bdev, DISK_SECTORS, 1);

	begin_shortage(test, &shortage);
	KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
	KUNIT_EXPECT_EQ(test, io->error, BIT(1) | BIT(3));
	end_shortage(test, &shortage);
}

static void flush_needs_no_memory(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct io *io = new_io(test, param_call(test), WRITE, NULL);
	struct shortage shortage;
	unsigned int i;

	io->rw = DM_IO_OPF(REQ_OP_FLUSH);
	for (i = 0; i < 5; i++)
		add_region(io, disk->bdev, 0, 0);
	begin_shortage(test, &shortage);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	KUNIT_EXPECT_EQ(test, disk->num_bios, 5);
	end_shortage(test, &shortage);
}

/*
 * A driver that is a user of the library: each bio goes to two places of the
 * disk below, by a call from submit_bio().
 */
struct mapping {
	struct test_disk *lower;
	enum call call;
	bool once;			/* to one place only */
	unsigned long stack;		/* where it was when a bio arrived */
};

static void end_mapped(unsigned long error, void *context)
{
	struct bio *bio = context;

	if (error)
		bio->bi_status = BLK_STS_IOERR;
	bio_endio(bio);
}

static void map_by_library(struct test_disk *disk, struct bio *bio)
{
	struct mapping *mapping = disk->map_context;
	struct block_device *bdev = mapping->lower->bdev;
	struct bio_vec *bvec = &bio->bi_io_vec[bio->bi_iter.bi_idx];
	bool write = op_is_write(bio->bi_opf);
	struct io_region where[2] = {
		{ bdev, bio->bi_iter.bi_sector, bio_sectors(bio) },
		{ bdev, bio->bi_iter.bi_sector + disk->num_sectors,
		  bio_sectors(bio) },
	};
	unsigned int num = write && !mapping->once ? 2 : 1;
	int rw = write ? WRITE : READ;
	unsigned long error = 0;
	int ret;

	mapping->stack = (unsigned long)&error;
	switch (mapping->call) {
	case SYNC_BVEC:
		ret = dm_io_sync_bvec(num, where, rw, bvec, &error);
		break;
	case ASYNC_BVEC:
		ret = dm_io_async_bvec(num, where, rw, bvec, end_mapped, bio);
		break;
	case SYNC_BIO:
		ret = dm_io_sync_bio(num, where, rw, bio, &error);
		break;
	default:
		ret = dm_io_async_bio(num, where, rw, bio, end_mapped, bio);
		break;
	}
	if (ret || !is_async(mapping->call))
		end_mapped(ret, bio);
}

static const struct stack {
	unsigned int num_levels;
	enum call call;
} stacks[] = {
	{ 2, SYNC_BVEC }, { 2, ASYNC_BVEC }, { 2, SYNC_BIO }, { 2, ASYNC_BIO },
	{ 3, SYNC_BVEC }, { 3, ASYNC_BVEC }, { 3, SYNC_BIO }, { 3, ASYNC_BIO },
};

static void describe_stack(const struct stack *stack, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u levels of %s",
		 stack->num_levels, calls[stack->call].name);
}

KUNIT_ARRAY_PARAM(stack, stacks, describe_stack);

#define STACK_REQUESTS	24
#define STACK_SECTORS	(STACK_REQUESTS * 200)

/*
 * As deep as the stack allows: targets on targets, each a user of the library, and
 * no memory, so that each call waits for the one below it, on the same stack.
 */
#define NUM_LEVELS	12

static const struct call_info deep_calls[] = {
	{ SYNC_BVEC, "dm_io_sync_bvec" },
	{ ASYNC_BVEC, "dm_io_async_bvec" },
	{ SYNC_BIO, "dm_io_sync_bio" },
	{ ASYNC_BIO, "dm_io_async_bio" },
};

KUNIT_ARRAY_PARAM(deep_call, deep_calls, describe_call);

static void check_deep_stack(struct kunit *test, struct test_disk *top,
			     struct test_disk *bottom)
{
	struct buffer *buffer = new_buffer(test, SZ_16K, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	unsigned int seed = new_seed();

	fill_buffer(buffer, seed);
	add_region(io, top->bdev, 8, 32);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	KUNIT_EXPECT_EQ(test, io->error, 0);
	expect_on_disk(test, bottom, 8, bytes_of(seed), SZ_16K);

	seed = new_seed();
	fill_disk(bottom, 8, seed, SZ_16K);
	io->rw = READ;
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	same_bytes(test, buffer->data, bytes_of(seed), SZ_16K, "what was read");
	expect_guards(test, buffer);
}

static void twelve_users_fit_on_a_stack(struct kunit *test)
{
	struct mapping *mappings = test_alloc(test, NUM_LEVELS * sizeof(*mappings));
	struct test_disk *bottom = new_plain_disk(test), *disk = bottom;
	struct shortage shortage;
	struct held held;
	unsigned int i;

	bottom->end = END_IN_WORKER;
	for (i = 0; i < NUM_LEVELS; i++) {
		mappings[i].lower = disk;
		mappings[i].call = param_call(test);
		mappings[i].once = true;
		disk = new_plain_disk(test);
		disk->map_context = &mappings[i];
		disk->map = map_by_library;
	}
	held = mark_held();
	get_reserve(test, 1);
	check_deep_stack(test, disk, bottom);
	release_held(held);
	begin_shortage(test, &shortage);
	check_deep_stack(test, disk, bottom);
	end_shortage(test, &shortage);
	kunit_info(test, "%lu bytes of stack a level, with all that is around it",
		   (mappings[NUM_LEVELS - 1].stack - mappings[0].stack) /
		   (NUM_LEVELS - 1));
}

/* Each level is twice as long as the one above. Returns the disk on top. */
static struct test_disk *new_stack(struct kunit *test, const struct stack *stack,
				   struct test_disk **bottom)
{
	struct test_disk *lower = NULL;
	unsigned int level;

	for (level = 0; level < stack->num_levels; level++) {
		struct mapping *mapping = test_alloc(test, sizeof(*mapping));
		struct test_disk *disk;

		disk = new_disk(test, &(struct test_disk_layout) {
			.num_sectors = STACK_SECTORS <<
				       (stack->num_levels - 1 - level),
			.no_data = level > 0,
		});
		if (level) {
			mapping->lower = lower;
			mapping->call = stack->call;
			disk->map_context = mapping;
			disk->map = map_by_library;
		} else {
			*bottom = disk;
		}
		lower = disk;
	}
	return lower;
}

static struct io *new_stack_io(struct kunit *test, struct test_disk *top,
			       unsigned int nr)
{
	size_t bytes = (1 + nr * 7 % 160) << SECTOR_SHIFT;
	struct buffer *buffer = new_buffer(test, bytes, 0);
	struct io *io = new_io(test, nr % NUM_CALLS, WRITE, buffer);

	fill_buffer(buffer, nr);
	add_region(io, top->bdev, nr * 200, bytes >> SECTOR_SHIFT);
	return io;
}

static void check_stack_io(struct kunit *test, struct io *io, unsigned int nr,
			   const struct test_disk *bottom)
{
	size_t bytes = io->regions[0].count << SECTOR_SHIFT;
	sector_t sector = io->regions[0].sector;

	/* Every copy that the levels have made. */
	while (sector < bottom->num_sectors) {
		expect_on_disk(test, bottom, sector, bytes_of(nr), bytes);
		sector += STACK_SECTORS;
	}
	memset(io->data, GUARD, bytes);
	io->rw = READ;
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	same_bytes(test, io->data, bytes_of(nr), bytes, "what was read");
}

static void run_stack(struct kunit *test)
{
	const struct stack *stack = test->param_value;
	struct io *ios[STACK_REQUESTS];
	struct test_disk *top, *bottom;
	unsigned int i;

	top = new_stack(test, stack, &bottom);
	bottom->end = END_IN_WORKER;
	for (i = 0; i < STACK_REQUESTS; i++)
		ios[i] = new_stack_io(test, top, i);

	for (i = 0; i < STACK_REQUESTS; i++)
		start_io(ios[i]);
	for (i = 0; i < STACK_REQUESTS; i++) {
		finish_call(test, ios[i]);
		KUNIT_EXPECT_EQ(test, await(test, ios[i]), 0);
	}
	for (i = 0; i < STACK_REQUESTS; i++)
		check_stack_io(test, ios[i], i, bottom);
}

static void stacked_users_work(struct kunit *test)
{
	get_reserve(test, 1);
	run_stack(test);
}

static void stacked_users_share_a_page(struct kunit *test)
{
	get_reserve(test, 1);
	WRITE_ONCE(dm_io_test_no_memory, true);
	run_stack(test);
	WRITE_ONCE(dm_io_test_no_memory, false);
	KUNIT_EXPECT_EQ(test, count_reserve(test), 1);
}

static void stacked_users_need_no_memory(struct kunit *test)
{
	struct shortage shortage;

	begin_shortage(test, &shortage);
	run_stack(test);
	end_shortage(test, &shortage);
}

/*
 * A driver that splits: it sends the first half of a bio down by itself, which
 * only queues it up until submit_bio() has returned, and the second half by a
 * call. If the call waits for its turn behind the first half, it hangs.
 */
struct splitting {
	struct test_disk *lower;
	struct io *io;
	struct bio *bio;
	struct bio first_half;
	atomic_t pending;
	int ret;
};

static void end_half(struct splitting *splitting, bool failed)
{
	if (failed)
		splitting->bio->bi_status = BLK_STS_IOERR;
	if (atomic_dec_and_test(&splitting->pending))
		bio_endio(splitting->bio);
}

static void end_first_half(struct bio *bio)
{
	end_half(bio->bi_private, bio->bi_status);
}

static void end_second_half(unsigned long error, void *context)
{
	struct io *io = context;

	note_end(error, io);
	end_half(io->private, error);
}

/* The bio has one bio_vec, which is linear memory. */
static void split_bio(struct test_disk *disk, struct bio *bio)
{
	struct splitting *splitting = disk->map_context;
	unsigned int half = bio->bi_iter.bi_size / 2;
	struct bio *first = &splitting->first_half;
	struct io *io = splitting->io;

	splitting->bio = bio;
	atomic_set(&splitting->pending, 2);

	bio_init(first, splitting->lower->bdev, bio->bi_io_vec, 1, bio->bi_opf);
	first->bi_vcnt = 1;
	first->bi_iter = bio->bi_iter;
	first->bi_iter.bi_size = half;
	first->bi_end_io = end_first_half;
	first->bi_private = splitting;
	submit_bio(first);

	make_call(io);
	if (!is_async(io->call) || io->ret)
		end_half(splitting, io->ret);
}

static void submit_splitting(void *data)
{
	struct splitting *splitting = data;

	splitting->ret = submit_bio_wait(splitting->bio);
}

static void check_splitting(struct kunit *test, struct splitting *splitting,
			    struct test_disk *upper, int rw)
{
	struct io *io = splitting->io;

	bio_init(splitting->bio, upper->bdev, splitting->bio->bi_io_vec, 1,
		 rw == WRITE ? REQ_OP_WRITE : REQ_OP_READ);
	splitting->bio->bi_vcnt = 1;
	splitting->bio->bi_iter.bi_size = SZ_64K;
	io->rw = rw;
	finish_job(test, start_job(test, submit_splitting, splitting),
		   "a bio whose driver made a call");
	if (is_async(io->call))
		io->wanted_ends++;
	KUNIT_EXPECT_EQ(test, splitting->ret, 0);
	KUNIT_EXPECT_EQ(test, io->ret, 0);
}

static void run_below_submit_bio(struct kunit *test)
{
	struct splitting *splitting = test_alloc(test, sizeof(*splitting));
	struct bio_vec *vec = test_alloc(test, sizeof(*vec));
	u8 *data = test_alloc(test, SZ_64K + SZ_4K);
	struct test_disk *upper = new_plain_disk(test);
	unsigned int seed = new_seed();
	struct buffer *second_half;

	data = PTR_ALIGN(data, SZ_4K);
	KUNIT_ASSERT_FALSE(test, is_vmalloc_addr(data));
	bvec_set_page(vec, virt_to_page(data), SZ_64K, 0);
	second_half = new_buffer_at(test, data + SZ_32K, SZ_32K);

	splitting->lower = new_plain_disk(test);
	splitting->lower->end = END_IN_WORKER;
	splitting->bio = test_alloc(test, sizeof(*splitting->bio));
	splitting->bio->bi_io_vec = vec;
	splitting->io = new_io(test, param_call(test), WRITE, second_half);
	splitting->io->fn = end_second_half;
	splitting->io->private = splitting;
	add_region(splitting->io, splitting->lower->bdev,
		   SZ_32K >> SECTOR_SHIFT, SZ_32K >> SECTOR_SHIFT);
	upper->map = split_bio;
	upper->map_context = splitting;

	memcpy(data, bytes_of(seed), SZ_64K);
	check_splitting(test, splitting, upper, WRITE);
	expect_on_disk(test, splitting->lower, 0, bytes_of(seed), SZ_64K);

	memset(data, GUARD, SZ_64K);
	check_splitting(test, splitting, upper, READ);
	same_bytes(test, data, bytes_of(seed), SZ_64K, "what was read");
}

static void call_works_below_submit_bio(struct kunit *test)
{
	get_reserve(test, 1);
	run_below_submit_bio(test);
}

static void call_below_submit_bio_needs_no_memory(struct kunit *test)
{
	struct shortage shortage;

	begin_shortage(test, &shortage);
	run_below_submit_bio(test);
	end_shortage(test, &shortage);
}

/*
 * A call that gives up its fast path, or a part of a wave, gives all of it back. What
 * it did not would add up.
 */
#define LEAK_ROUNDS	1000
#define LEAK_PAGES	40

/* In slabs. A bounce buffer is in none, but large; other memory is in use, too. */
static long pages_in_use(void)
{
	return (long)global_node_page_state_pages(NR_SLAB_UNRECLAIMABLE_B) -
	       (long)global_zone_page_state(NR_FREE_PAGES) / 256;
}

static void repeat_call(void *data)
{
	struct io *io = data;
	int failing = (long)io->private;
	unsigned int i;

	for (i = 0; i < LEAK_ROUNDS; i++) {
		WRITE_ONCE(dm_io_test_fail_after, failing);
		reinit_completion(&io->ended);
		make_call(io);
		if (is_async(io->call) && !io->ret) {
			wait_for_completion(&io->ended);
			io->wanted_ends++;
		}
	}
}

static long count_leaked(struct kunit *test, struct io *io)
{
	long before = pages_in_use();

	finish_job(test, start_job(test, repeat_call, io), "calls");
	return pages_in_use() - before;
}

static void failed_allocation_leaks_nothing(struct kunit *test)
{
	struct test_disk *disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = HUGE_DISK,
		.no_data = true,
	});
	unsigned int i, n;

	get_reserve(test, 1);
	for (i = 0; i < 2 * NUM_SHAPES; i++) {
		const struct shape *shape = &shapes[i / 2];
		size_t bytes = shape->num_sectors << SECTOR_SHIFT;
		/* Through a bounce buffer as well. */
		struct buffer *buffer = new_buffer(test, bytes, i & 1 ? 3 : 0);
		struct io *io = new_io(test, param_call(test), WRITE, buffer);
		bool failed = true;

		for (n = 0; n < shape->num_regions; n++)
			add_region(io, disk->bdev, n * 100, shape->num_sectors);
		for (n = 0; failed && n < 10; n++) {
			io->private = (void *)(long)n;
			if (count_leaked(test, io) > LEAK_PAGES)
				KUNIT_EXPECT_LE_MSG(test, count_leaked(test, io),
						    LEAK_PAGES,
						    "%u regions of %u sectors, when allocation %u fails",
						    shape->num_regions,
						    shape->num_sectors, n);
			failed = READ_ONCE(dm_io_test_fail_after) < 0;
			WRITE_ONCE(dm_io_test_fail_after, -1);
		}
	}
}

/* It takes long: each way into the library once. */
static const struct call_info leak_calls[] = {
	{ SYNC_PAGES, "dm_io_sync" },
	{ ASYNC_BVEC, "dm_io_async_bvec" },
	{ SYNC_ARGS, "dm_io_submit" },
	{ ASYNC_ARGS, "dm_io_submit with a callback" },
};

KUNIT_ARRAY_PARAM(leak_call, leak_calls, describe_call);

/* The fast path takes what is left of the reserve, and has to give it back. */
static void reserve_comes_back_when_it_is_too_small(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	unsigned int i, round;

	get_reserve(test, 2);
	for (i = 0; i < NUM_SHAPES; i++) {
		struct io *io = new_shaped_io(test, param_call(test), WRITE,
					      &shapes[i], disk);

		for (round = 0; round < 4; round++) {
			WRITE_ONCE(dm_io_test_no_memory, true);
			KUNIT_EXPECT_EQ(test, perform(test, io), 0);
			WRITE_ONCE(dm_io_test_no_memory, false);
		}
		KUNIT_EXPECT_EQ(test, count_reserve(test), 2);
	}
}

static struct kunit_case progress_cases[] = {
	KUNIT_CASE_PARAM(call_needs_no_memory, call_gen_params),
	KUNIT_CASE_PARAM(failure_needs_no_memory, call_gen_params),
	KUNIT_CASE_PARAM(flush_needs_no_memory, call_gen_params),
	KUNIT_CASE_PARAM(stacked_users_work, stack_gen_params),
	KUNIT_CASE_PARAM(stacked_users_share_a_page, stack_gen_params),
	KUNIT_CASE_PARAM(twelve_users_fit_on_a_stack, deep_call_gen_params),
	KUNIT_CASE_PARAM(stacked_users_need_no_memory, stack_gen_params),
	KUNIT_CASE_PARAM(failed_allocation_leaks_nothing,
			 leak_call_gen_params),
	KUNIT_CASE_PARAM(reserve_comes_back_when_it_is_too_small,
			 call_gen_params),
	KUNIT_CASE_PARAM(call_works_below_submit_bio, call_gen_params),
	KUNIT_CASE_PARAM(call_below_submit_bio_needs_no_memory,
			 call_gen_params),
	{}
};

struct kunit_suite progress_suite = {
	.name = "dm_io_progress",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = progress_cases,
};
