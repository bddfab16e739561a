// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the tests of operations with their flags, and of flushes
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/sizes.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"
#include "dm-io-test-disk.h"
#include "dm-io-test-io.h"
#include "dm-io-test-strict.h"

KUNIT_ARRAY_PARAM(call, calls, describe_call);

/* Those that take a list of pages, which may go round in a circle. */
static const struct call_info list_calls[] = {
	{ SYNC_PAGES, "dm_io_sync" },
	{ ASYNC_PAGES, "dm_io_async" },
	{ SYNC_ARGS, "dm_io_submit" },
	{ ASYNC_ARGS, "dm_io_submit with a callback" },
};

KUNIT_ARRAY_PARAM(list_call, list_calls, describe_call);

static void flags_reach_the_device(struct kunit *test)
{
	static const blk_opf_t operations[] = {
		REQ_OP_READ | REQ_SYNC,
		REQ_OP_READ | REQ_META | REQ_PRIO,
		REQ_OP_READ | REQ_RAHEAD,
		REQ_OP_READ | REQ_IDLE | REQ_BACKGROUND,
		REQ_OP_READ | REQ_NOMERGE | REQ_FAILFAST_DEV,
		REQ_OP_WRITE,
		REQ_OP_WRITE | REQ_SYNC | REQ_IDLE,
		REQ_OP_WRITE | REQ_META | REQ_PRIO,
		REQ_OP_WRITE | REQ_BACKGROUND,
		REQ_OP_WRITE | REQ_RAHEAD,
		REQ_OP_WRITE | REQ_NOMERGE | REQ_SWAP,
		REQ_OP_WRITE | REQ_FAILFAST_MASK,
		REQ_OP_WRITE | REQ_FUA,
		REQ_OP_WRITE | REQ_PREFLUSH,
		REQ_OP_WRITE | REQ_PREFLUSH | REQ_FUA | REQ_SYNC,
	};
	blk_opf_t flags = REQ_SYNC | REQ_META | REQ_PRIO | REQ_RAHEAD |
			  REQ_IDLE | REQ_BACKGROUND | REQ_FUA | REQ_PREFLUSH |
			  REQ_NOMERGE | REQ_SWAP | REQ_FAILFAST_MASK;
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	unsigned int i;

	get_reserve(test, 1);
	add_region(io, disk->bdev, 0, 8);
	for (i = 0; i < ARRAY_SIZE(operations); i++) {
		test_disk_forget(disk);
		io->rw = DM_IO_OPF(operations[i]);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
		KUNIT_EXPECT_EQ(test,
				(__force u32)flags_of(&disk->bios[0], flags),
				(__force u32)sent_opf(io->call, operations[i]));
	}
}

/*
 * The flush is for what was written before, so it comes with the first bio of a
 * region, and with those that are sent before that one has ended. Every piece has
 * to be durable.
 */
static void long_write_is_flushed_once(struct kunit *test)
{
	struct buffer *buffer = new_buffer(test, SZ_2M + SZ_1M, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	struct test_disk *disk, *other;
	unsigned int i;

	get_reserve(test, 1);
	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = HUGE_DISK,
		.no_data = true,
	});
	other = new_plain_disk(test);
	io->rw = DM_IO_OPF(REQ_OP_WRITE | REQ_PREFLUSH | REQ_FUA);
	add_region(io, disk->bdev, 0, buffer->bytes >> SECTOR_SHIFT);
	add_region(io, other->bdev, 0, 8);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	if (!takes_bvec(io->call))
		KUNIT_EXPECT_GE(test, disk->num_bios, 3);
	for (i = 0; i < disk->num_bios; i++) {
		KUNIT_EXPECT_TRUE(test, disk->bios[i].opf & REQ_FUA);
		if (!is_async(io->call) || !i)
			KUNIT_EXPECT_EQ(test,
					!!(disk->bios[i].opf & REQ_PREFLUSH),
					!i);
	}
	KUNIT_EXPECT_EQ(test, other->num_bios, 1);
	KUNIT_EXPECT_TRUE(test, other->bios[0].opf & REQ_PREFLUSH);
}

/* On a disk that ends nothing by itself, nothing overtakes the flush. */
static void long_async_write_waits_for_its_flush(struct kunit *test)
{
	struct buffer *buffer = new_buffer(test, 4 * PAGE_SIZE, 0);
	struct io *io = new_io(test, ASYNC_PAGES, WRITE, buffer);
	unsigned int i, first;
	struct test_disk *disk;

	get_reserve(test, 1);
	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = HUGE_DISK,
		.no_data = true,
	});
	disk->end = END_WHEN_TOLD;
	buffer->pages[3].next = &buffer->pages[0];
	io->rw = DM_IO_OPF(REQ_OP_WRITE | REQ_PREFLUSH);
	add_region(io, disk->bdev, 0, SZ_64M >> SECTOR_SHIFT);
	start_io(io);
	KUNIT_EXPECT_TRUE(test, waits(&io->job));
	first = disk->num_bios;
	KUNIT_EXPECT_EQ(test, first, 1);
	disk->end = END_AT_ONCE;
	test_disk_release(disk);
	finish_call(test, io);
	KUNIT_EXPECT_EQ(test, await(test, io), 0);
	KUNIT_EXPECT_GT(test, disk->num_bios, first);
	for (i = 0; i < min(disk->num_bios, TEST_DISK_RECORDS); i++)
		KUNIT_EXPECT_EQ_MSG(test, !!(disk->bios[i].opf & REQ_PREFLUSH),
				    i < first, "bio %u", i);
}

/*
 * What is behind data that is missing might be taken for the whole. Of an
 * asynchronous call some of it may be in flight already.
 */
static void write_stops_behind_failure(struct kunit *test)
{
	u64 bytes = 3 * (u64)SZ_16M, most = SZ_16M;
	struct buffer *buffer = new_buffer(test, 4 * PAGE_SIZE, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	struct test_disk *disks[2];
	unsigned int i;

	get_reserve(test, 1);
	buffer->pages[3].next = &buffer->pages[0];
	for (i = 0; i < 2; i++) {
		disks[i] = new_disk(test, &(struct test_disk_layout) {
			.num_sectors = HUGE_DISK,
			.no_data = true,
		});
		disks[i]->end = END_IN_WORKER;
		add_region(io, disks[i]->bdev, 0, bytes >> SECTOR_SHIFT);
	}
	disks[0]->bad_bio = 1;
	KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
	KUNIT_EXPECT_EQ(test, io->error, BIT(0));
	if (is_async(io->call))
		KUNIT_EXPECT_LE(test, disks[0]->num_bytes, most);
	else
		KUNIT_EXPECT_EQ(test, disks[0]->num_bios, 1);
	KUNIT_EXPECT_EQ(test, disks[1]->num_bytes, bytes);
}

static void flush_reaches_every_device(struct kunit *test)
{
	struct io *io = new_io(test, param_call(test), WRITE, NULL);
	struct test_disk *disks[3];
	unsigned int i;

	get_reserve(test, 1);
	io->rw = DM_IO_OPF(REQ_OP_FLUSH);
	for (i = 0; i < 3; i++) {
		disks[i] = new_plain_disk(test);
		/* Neither sector nor count matters. */
		add_region(io, disks[i]->bdev, i * 5000, i * 7);
	}
	add_region(io, NULL, 0, 0);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	for (i = 0; i < 3; i++)
		expect_flush(test, disks[i]);

	test_disk_forget(disks[1]);
	disks[1]->bad_bio = 1;
	KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
	KUNIT_EXPECT_EQ(test, io->error, BIT(1));
}

static void preflush_without_data_is_a_flush(struct kunit *test)
{
	struct test_disk *empty = new_plain_disk(test);
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	unsigned int seed = new_seed();

	get_reserve(test, 1);
	fill_buffer(buffer, seed);
	io->rw = DM_IO_OPF(REQ_OP_WRITE | REQ_PREFLUSH);
	add_region(io, empty->bdev, 0, 0);
	add_region(io, disk->bdev, 5, 8);
	add_region(io, NULL, 0, 0);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	expect_flush(test, empty);
	expect_on_disk(test, disk, 5, bytes_of(seed), SZ_4K);
	KUNIT_EXPECT_TRUE(test, disk->bios[0].opf & REQ_PREFLUSH);

	/* If that is all there is to do, no buffer is needed. */
	io->num_regions = 1;
	io->pages = NULL;
	io->bvec = NULL;
	io->data = NULL;
	io->bio = NULL;
	test_disk_forget(empty);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	expect_flush(test, empty);
}

/* The regions are far apart, so that no two can become one request. */
static void regions_arrive_as_a_batch(struct kunit *test)
{
	struct test_mq_disk *disk = test_mq_disk_create(DISK_SECTORS);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	enum call call;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, disk);
	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++) {
		struct io *io = new_io(test, call, WRITE, buffer);

		for (i = 0; i < 8; i++)
			add_region(io, disk->bdev, i * 100, 8);
		atomic_set(&disk->num_requests, 0);
		atomic_set(&disk->num_followed, 0);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		KUNIT_EXPECT_EQ(test, atomic_read(&disk->num_requests), 8);
		KUNIT_EXPECT_EQ(test, atomic_read(&disk->num_followed), 7);
	}
	test_mq_disk_destroy(disk);
}

/*
 * Which flags an operation may have
 */

#define COMMON_FLAGS	(REQ_SYNC | REQ_META | REQ_PRIO | REQ_IDLE |	\
			 REQ_BACKGROUND | REQ_RAHEAD | REQ_NOMERGE |	\
			 REQ_SWAP | REQ_FAILFAST_MASK)

#ifdef REQ_ATOMIC
#define ATOMIC		REQ_ATOMIC
#else
#define ATOMIC		0
#endif

/* What the header says about each operation, and all others. */
static bool is_allowed(unsigned int op, blk_opf_t flags)
{
	switch (op) {
	case (__force int)REQ_OP_READ:
		return !(flags & ~COMMON_FLAGS);
	case (__force int)REQ_OP_WRITE:
		return !(flags & ~(COMMON_FLAGS | REQ_PREFLUSH | REQ_FUA |
				   ATOMIC));
	case (__force int)REQ_OP_FLUSH:
	case (__force int)REQ_OP_DISCARD:
	case (__force int)REQ_OP_SECURE_ERASE:
		return !(flags & ~COMMON_FLAGS);
	case (__force int)REQ_OP_WRITE_ZEROES:
		return !(flags & ~(COMMON_FLAGS | REQ_NOUNMAP));
	default:
		return false;
	}
}

static void check_opf(struct kunit *test, struct io *io, struct test_disk *disk,
		      blk_opf_t opf)
{
	unsigned int op = (__force int)(opf & REQ_OP_MASK);

	test_disk_forget(disk);
	io->rw = DM_IO_OPF(opf);
	if (!is_allowed(op, opf & ~REQ_OP_MASK)) {
		expect_refused(test, io, -EINVAL);
		KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
	} else {
		perform_with(test, io, (int[]) { 0 });
		KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
		if (op == (__force int)REQ_OP_FLUSH)
			expect_bio(test, io, disk, REQ_OP_WRITE | REQ_PREFLUSH |
				   (opf & ~REQ_OP_MASK), 0, 0);
		else
			expect_bio(test, io, disk, opf, 8, 8);
	}
	KUNIT_ASSERT_EQ_MSG(test, test->status, KUNIT_SUCCESS,
			    "%s, operation with flags %#x",
			    calls[io->call].name, (__force u32)opf);
}

static void each_flag_is_allowed_or_refused(struct kunit *test)
{
	struct test_disk *disk = new_able_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, param_call(test), READ, buffer);
	unsigned int op, bit;

	get_reserve(test, 1);
	add_region(io, disk->bdev, 8, 8);
	for (op = 0; op <= (__force u32)REQ_OP_MASK; op++) {
		blk_opf_t opf = (__force blk_opf_t)op, all = opf;

		check_opf(test, io, disk, opf);
		if (!is_allowed(op, 0)) {
			check_opf(test, io, disk, opf | REQ_SYNC);
			continue;
		}
		for (bit = REQ_OP_BITS; bit < 32; bit++) {
			blk_opf_t flag = (__force blk_opf_t)(1U << bit);

			check_opf(test, io, disk, opf | flag);
			/* What is refused is so among others, too. */
			if (is_allowed(op, flag))
				all |= flag;
			else
				check_opf(test, io, disk,
					  opf | flag | COMMON_FLAGS);
		}
		check_opf(test, io, disk, all);
	}
}

/* On the stack a request is many small pieces. */
static void each_piece_of_a_durable_write_is(struct kunit *test)
{
	struct buffer *buffer = new_buffer(test, SZ_512K, 0);
	blk_opf_t opf = REQ_OP_WRITE | REQ_PREFLUSH | REQ_FUA;
	struct io *io = new_io(test, param_call(test), DM_IO_OPF(opf), buffer);
	struct test_disk *disk, *other = new_plain_disk(test);
	struct shortage shortage;
	unsigned int i;

	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = 2 * DISK_SECTORS,
	});
	disk->end = END_IN_WORKER;
	begin_shortage(test, &shortage);
	add_region(io, disk->bdev, 0, SZ_512K >> SECTOR_SHIFT);
	add_region(io, other->bdev, 0, SZ_256K >> SECTOR_SHIFT);
	perform_with(test, io, (int[]) { 0, 0 });
	KUNIT_EXPECT_EQ(test, disk->num_bytes, SZ_512K);
	KUNIT_EXPECT_EQ(test, other->num_bytes, SZ_256K);
	for (i = 0; i < disk->num_bios; i++)
		KUNIT_EXPECT_EQ(test, (__force u32)disk->bios[i].opf,
				(__force u32)sent_opf(io->call, i ?
						      opf & ~REQ_PREFLUSH :
						      opf));
	for (i = 0; i < other->num_bios; i++)
		KUNIT_EXPECT_EQ(test, (__force u32)other->bios[i].opf,
				(__force u32)sent_opf(io->call, i ?
						      opf & ~REQ_PREFLUSH :
						      opf));
	/* An array of the caller's needs no table. */
	if (param_call(test) == SYNC_PAGES || param_call(test) == ASYNC_PAGES)
		KUNIT_EXPECT_GE(test, disk->num_bios, 3);
	end_shortage(test, &shortage);
}

/* Whatever a bio has: what cannot be passed on is taken off, and the rest arrives. */
static void flags_of_a_bio_can_be_passed_on(struct kunit *test)
{
	blk_opf_t kept = COMMON_FLAGS | REQ_PREFLUSH | REQ_FUA | REQ_NOUNMAP |
			 ATOMIC;
	struct test_disk *disk = new_able_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, param_call(test), READ, buffer);
	struct bio *bio = test_alloc(test, sizeof(*bio));
	unsigned int op, bit;

	get_reserve(test, 1);
	add_region(io, disk->bdev, 8, 8);
	for (op = 0; op <= (__force u32)REQ_OP_MASK; op++) {
		for (bit = REQ_OP_BITS; bit < 32; bit++) {
			blk_opf_t flag = (__force blk_opf_t)(1U << bit);

			if (!is_allowed(op, flag & kept))
				continue;
			bio->bi_opf = (__force blk_opf_t)op | flag;
			KUNIT_EXPECT_EQ(test, (__force u32)DM_IO_BIO_OPF(bio),
					op | (__force u32)(flag & kept));
			check_opf(test, io, disk, DM_IO_BIO_OPF(bio));
		}
	}

	/* All of a write at once. */
	kept = REQ_OP_MASK | COMMON_FLAGS | REQ_PREFLUSH | REQ_FUA;
	bio->bi_opf = REQ_OP_WRITE | (kept & ~REQ_OP_MASK) |
		      REQ_NOWAIT | REQ_POLLED | REQ_INTEGRITY;
	KUNIT_EXPECT_EQ(test, (__force u32)DM_IO_BIO_OPF(bio),
			(__force u32)(REQ_OP_WRITE | COMMON_FLAGS |
				      REQ_PREFLUSH | REQ_FUA));
	check_opf(test, io, disk, DM_IO_BIO_OPF(bio));
}

/* A scheduler takes what nobody waits for as background work. */
static void synchronous_call_says_so(struct kunit *test)
{
	static const size_t sizes[] = { SZ_512, SZ_4K, SZ_64K, SZ_2M };
	struct test_disk *disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = SZ_8M >> SECTOR_SHIFT,
		.no_data = true,
	});
	struct buffer *buffer = new_buffer(test, SZ_2M, 0);
	enum call call = param_call(test);
	unsigned int i, b, num;

	get_reserve(test, 1);
	for (i = 0; i < 4 * ARRAY_SIZE(sizes); i++) {
		struct io *io = new_io(test, call, i & 1 ? READ : WRITE, buffer);

		test_disk_forget(disk);
		for (num = i & 1 ? 1 : 3; num; num--)
			add_region(io, disk->bdev, num * 4096,
				   sizes[i / 4] >> SECTOR_SHIFT);
		WRITE_ONCE(dm_io_test_no_memory, i & 2);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		for (b = 0; b < min(disk->num_bios, TEST_DISK_RECORDS); b++)
			KUNIT_EXPECT_EQ(test,
					!!(disk->bios[b].opf & REQ_SYNC),
					!is_async(call));
	}
}

/* Where the empty region is does not matter: it may even be within a block. */
static void preflush_of_an_empty_region_has_no_sector(struct kunit *test)
{
	static const sector_t sectors[] = { 0, 1, 5, 8, DISK_SECTORS + 3, U64_MAX };
	struct strict_limits limits = {
		.block = SZ_4K, .dma_alignment = 3, .cache = true, .fua = true,
	};
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct strict_disk *disk;
	unsigned int i;

	get_reserve(test, 1);
	disk = new_strict_disk(test, false, &limits, DISK_SECTORS);
	for (i = 0; i < 2 * ARRAY_SIZE(sectors); i++) {
		struct io *io = new_io(test, param_call(test), WRITE, buffer);

		io->rw = DM_IO_OPF(i & 1 ? REQ_OP_WRITE | REQ_PREFLUSH :
					   REQ_OP_FLUSH);
		add_region(io, disk->bdev, sectors[i / 2], 0);
		strict_disk_begin(disk);
		perform_with(test, io, (int[]) { 0 });
		KUNIT_EXPECT_EQ(test, disk->num_flushes, 1);

		/* Next to one with data. */
		if (i & 1) {
			add_region(io, disk->bdev, 8, 8);
			strict_disk_begin(disk);
			perform_with(test, io, (int[]) { 0, 0 });
			KUNIT_EXPECT_GE(test, disk->num_flushes, 1);
			KUNIT_EXPECT_EQ(test, disk->num_writes, 1);
		}
		KUNIT_EXPECT_TRUE(test, strict_disk_ok(test, disk));
		tell_case(test, io, "an empty region");
	}
}

static const struct short_case short_cases[] = {
	SHORT_CASE_PARAM(flags_reach_the_device, calls),
	SHORT_CASE_PARAM(flush_reaches_every_device, calls),
	SHORT_CASE_PARAM(preflush_without_data_is_a_flush, calls),
	SHORT_CASE_PARAM(preflush_of_an_empty_region_has_no_sector, calls),
};

KUNIT_ARRAY_PARAM(short_case, short_cases, describe_short_case);

static struct kunit_case flags_cases[] = {
	KUNIT_CASE_PARAM(flags_reach_the_device, call_gen_params),
	KUNIT_CASE_PARAM(long_write_is_flushed_once, call_gen_params),
	KUNIT_CASE(long_async_write_waits_for_its_flush),
	KUNIT_CASE_PARAM(write_stops_behind_failure, list_call_gen_params),
	KUNIT_CASE_PARAM(flush_reaches_every_device, call_gen_params),
	KUNIT_CASE_PARAM(preflush_without_data_is_a_flush, call_gen_params),
	KUNIT_CASE(regions_arrive_as_a_batch),
	KUNIT_CASE_PARAM(flags_of_a_bio_can_be_passed_on, call_gen_params),
	KUNIT_CASE_PARAM(synchronous_call_says_so, call_gen_params),
	KUNIT_CASE_PARAM(preflush_of_an_empty_region_has_no_sector,
			 call_gen_params),
	KUNIT_CASE_PARAM(each_flag_is_allowed_or_refused, call_gen_params),
	KUNIT_CASE_PARAM(each_piece_of_a_durable_write_is, call_gen_params),
	KUNIT_CASE_PARAM(results_hold_without_memory, short_case_gen_params),
	{}
};

struct kunit_suite flags_suite = {
	.name = "dm_io_flags",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = flags_cases,
};
