// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the tests of atomic writes
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

#ifdef REQ_ATOMIC

KUNIT_ARRAY_PARAM(call, calls, describe_call);

static const struct atomic_write {
	const char *name;
	sector_t sector;
	unsigned int bytes;
	unsigned short max_segments;
	bool good;
} atomic_writes[] = {
	{ "the smallest", 8, SZ_4K, 0, true },
	{ "some", 32, SZ_16K, 0, true },
	{ "the largest", 256, SZ_64K, 0, true },
	{ "no power of two", 24, SZ_4K * 3, 0, false },
	{ "not of its size", 8, SZ_8K, 0, false },
	{ "a sector", 8, SZ_512, 0, false },
	{ "too small", 8, SZ_2K, 0, false },
	{ "too large", 256, SZ_128K, 0, false },
	{ "as many segments as there may be", 128, SZ_64K, 16, true },
	{ "a segment too many", 128, SZ_64K, 15, false },
};

static void describe_atomic_write(const struct atomic_write *write, char *desc)
{
	strscpy(desc, write->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(atomic_write, atomic_writes, describe_atomic_write);

#define ATOMIC_WRITE	(REQ_OP_WRITE | REQ_ATOMIC)

static void check_atomic_write(struct kunit *test, struct test_disk *disk,
			       struct test_disk *other, enum call call)
{
	const struct atomic_write *write = test->param_value;
	struct buffer *buffer = new_buffer(test, write->bytes, 0);
	sector_t count = write->bytes >> SECTOR_SHIFT;
	struct test_disk_layout layout = able_layout;
	unsigned int seed = new_seed();
	struct io *io;

	layout.max_segments = write->max_segments;
	reset_disk(test, disk, &layout);
	reset_disk(test, other, &able_layout);
	fill_buffer(buffer, seed);
	io = new_io(test, call, DM_IO_OPF(ATOMIC_WRITE), buffer);
	add_region(io, other->bdev, 8, 8);
	add_region(io, disk->bdev, write->sector, count);
	if (write->good) {
		perform_with(test, io, (int[]) { 0, 0 });
		KUNIT_EXPECT_EQ(test, other->num_bios, 1);
		KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
		expect_bio(test, io, disk, ATOMIC_WRITE, write->sector, count);
		expect_on_disk(test, disk, write->sector, bytes_of(seed),
			       write->bytes);
	} else {
		/* Neither is the other one, which would be all right. */
		expect_refused(test, io, -EINVAL);
		KUNIT_EXPECT_EQ(test, other->num_bios, 0);
		KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
	}

	/* The same on its own. */
	io->regions[0] = io->regions[1];
	io->num_regions = 1;
	test_disk_forget(disk);
	if (write->good) {
		perform_with(test, io, (int[]) { 0 });
		KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
	} else {
		expect_refused(test, io, -EINVAL);
		KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
	}
	tell_case(test, io, write->name);
}

static void atomic_write_is_one_or_none(struct kunit *test)
{
	struct test_disk *disk = new_able_disk(test);
	struct test_disk *other = new_able_disk(test);
	enum call call;

	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++)
		check_atomic_write(test, disk, other, call);
}

/* More pieces than a table has, if the library has to make one. */
static void atomic_write_fits_into_a_table(struct kunit *test)
{
	struct buffer *buffer = new_buffer(test, SZ_2M, 0);
	struct test_disk_layout layout = {
		.num_sectors = SZ_4M >> SECTOR_SHIFT,
		.no_data = true,
		.atomic_min = SZ_4K,
		.atomic_max = SZ_2M,
		.max_segments = 1024,
	};
	struct test_disk *disk = new_disk(test, &layout);
	enum call call;

	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++) {
		struct io *io = new_io(test, call, DM_IO_OPF(ATOMIC_WRITE),
				       buffer);

		test_disk_forget(disk);
		add_region(io, disk->bdev, 0, SZ_1M >> SECTOR_SHIFT);
		perform_with(test, io, (int[]) { 0 });
		KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
		expect_bio(test, io, disk, ATOMIC_WRITE, 0, SZ_1M >> SECTOR_SHIFT);

		test_disk_forget(disk);
		io->regions[0].count = SZ_2M >> SECTOR_SHIFT;
		if (call == SYNC_BVEC || call == ASYNC_BVEC ||
		    call == SYNC_BIO || call == ASYNC_BIO) {
			perform_with(test, io, (int[]) { 0 });
			KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
			expect_bio(test, io, disk, ATOMIC_WRITE, 0,
				   SZ_2M >> SECTOR_SHIFT);
		} else {
			expect_refused(test, io, -EINVAL);
			KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
		}
		tell_case(test, io, "2 MiB");
	}
}

static void atomic_write_needs_a_device_that_can(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct test_disk *good = new_able_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, param_call(test),
			       DM_IO_OPF(ATOMIC_WRITE), buffer);

	get_reserve(test, 1);
	add_region(io, disk->bdev, 8, 8);
	perform_with(test, io, (int[]) { -EOPNOTSUPP });
	add_region(io, good->bdev, 8, 8);
	perform_with(test, io, (int[]) { -EOPNOTSUPP, 0 });
	add_region(io, good->bdev, DISK_SECTORS, 8);
	perform_with(test, io, (int[]) { -EOPNOTSUPP, 0, -ERANGE });
	KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
	KUNIT_EXPECT_EQ(test, good->num_bios, 2);
}

/*
 * An atomic write is one request, or none. Each of these buffers is such that a
 * device with this limit would have to split it, or to copy it.
 */
static const struct atomic_limit {
	const char *name;
	struct strict_limits limits;
	unsigned int bytes;
	unsigned int offset, len, stride;	/* of pieces in memory */
	bool good;
} atomic_limits[] = {
	{ "across a boundary of segments", { .seg_boundary = SZ_4K - 1,
	  .max_segments = 2 }, SZ_8K, 2048, SZ_8K, SZ_8K, false },
	{ "up to a boundary of segments", { .seg_boundary = SZ_4K - 1,
	  .max_segments = 2 }, SZ_8K, 0, SZ_8K, SZ_8K, true },
	{ "two pieces, each across a boundary", { .seg_boundary = SZ_4K - 1,
	  .max_segments = 3 }, SZ_8K, 2048, SZ_4K, SZ_8K, false },
	{ "two pieces, each across a boundary, for four",
	  { .seg_boundary = SZ_4K - 1, .max_segments = 4 }, SZ_8K, 2048,
	  SZ_4K, SZ_8K, true },
	{ "a piece longer than a segment", { .max_segment_size = SZ_4K,
	  .max_segments = 2 }, SZ_8K, 0, SZ_4K + 4, SZ_8K, false },
	{ "a piece longer than a segment, for three",
	  { .max_segment_size = SZ_4K, .max_segments = 3 }, SZ_8K, 0,
	  SZ_4K + 4, SZ_8K, true },
	{ "a gap at the virtual boundary", { .virt_boundary = SZ_4K - 1 },
	  SZ_4K, 0, 2048, SZ_4K, false },
	{ "starts within the virtual boundary", { .virt_boundary = SZ_4K - 1 },
	  SZ_8K, 2048, SZ_8K, SZ_8K, true },
	{ "pages at the virtual boundary", { .virt_boundary = SZ_4K - 1 },
	  SZ_8K, 0, SZ_4K, SZ_8K, true },
	{ "too many segments", { .max_segments = 4 }, SZ_16K, 0, 2048, SZ_4K,
	  false },
	{ "just as many segments", { .max_segments = 8 }, SZ_16K, 0, 2048,
	  SZ_4K, true },
	{ "an odd address", { .max_segments = 4 }, SZ_4K, 2, SZ_4K, SZ_4K,
	  false },
	{ "an odd length", { .max_segments = 4 }, SZ_4K, 0, SZ_4K - 2, SZ_8K,
	  false },
};

static void describe_atomic_limit(const struct atomic_limit *limit, char *desc)
{
	strscpy(desc, limit->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(atomic_limit, atomic_limits, describe_atomic_limit);

static void free_atomic_memory(void *data)
{
	free_pages((unsigned long)data, get_order(SZ_64K));
}

static void check_atomic_limit(struct kunit *test, enum call call,
			       const struct strict_limits *limits, bool good)
{
	const struct atomic_limit *limit = test->param_value;
	struct bio_vec *vecs = test_alloc(test, 16 * sizeof(*vecs));
	struct test_disk_layout layout = able_layout;
	struct strict_disk *disk;
	struct test_disk *other;
	unsigned int i, num = DIV_ROUND_UP(limit->bytes, limit->len);
	unsigned int left = limit->bytes;
	struct buffer buffer = { .bvec = vecs, .num_vecs = num };
	struct io *io;
	u8 *data;

	layout.dma_alignment = 3;
	other = new_disk(test, &layout);
	disk = new_strict_disk(test, false, limits, DISK_SECTORS);
	data = (u8 *)__get_free_pages(GFP_KERNEL, get_order(SZ_64K));
	KUNIT_ASSERT_NOT_NULL(test, data);
	defer(test, free_atomic_memory, data);
	for (i = 0; i < num; i++) {
		u8 *piece = data + limit->offset + i * limit->stride;
		unsigned int len = min(left, limit->len);

		memcpy(piece, bytes_of(i + 1), len);
		bvec_set_page(&vecs[i], virt_to_page(piece), len,
			      offset_in_page(piece));
		left -= len;
	}
	buffer.bytes = limit->bytes;
	bio_over_bvec(&buffer);

	/* As the second region, and alone. */
	io = new_io(test, call, DM_IO_OPF(ATOMIC_WRITE), NULL);
	io->bvec = vecs;
	io->bio = &buffer.bio;
	io->own_buffer = true;
	io->args.bvec = vecs;
	add_region(io, other->bdev, 128, limit->bytes >> SECTOR_SHIFT);
	add_region(io, disk->bdev, 128, limit->bytes >> SECTOR_SHIFT);
	for (i = 0; i < 2; i++) {
		if (good) {
			perform_with(test, io, (int[]) { 0, 0 });
			KUNIT_EXPECT_EQ(test, disk->num_atomic, i + 1);
		} else {
			expect_refused(test, io, -EINVAL);
			KUNIT_EXPECT_EQ(test, disk->num_requests, 0);
			KUNIT_EXPECT_EQ(test, other->num_bios, 0);
		}
		io->regions[0] = io->regions[1];
		io->num_regions = 1;
	}
	KUNIT_EXPECT_TRUE(test, strict_disk_ok(test, disk));
	tell_case(test, io, limit->name);
}

static void atomic_write_suits_its_device_as_it_is(struct kunit *test)
{
	const struct atomic_limit *limit = test->param_value;
	struct strict_limits limits = limit->limits;
	unsigned long page_size = PAGE_SIZE;
	bool good = limit->good;
	enum call call;

	/* No driver may have limits below a page, which leaves nothing of these. */
	if (page_size > SZ_4K &&
	    (limits.seg_boundary || limits.max_segment_size)) {
		limits.seg_boundary = 0;
		limits.max_segment_size = 0;
		good = true;
	}

	/* What a device may write atomically, the kernel derives from its segments. */
	limits.block = SZ_4K;
	limits.dma_alignment = 3;
	limits.max_sectors = 1024;
	limits.atomic_min = SZ_4K;
	limits.atomic_max = SZ_64K;
	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++) {
		struct held held = mark_held();

		if (takes_bvec(call) || call == SYNC_ARGS || call == ASYNC_ARGS)
			check_atomic_limit(test, call, &limits, good);
		release_held(held);
	}
}

/* Data is there if the call says so, and is not if it says that it found no memory. */
static void check_atomic_memory(struct kunit *test, void *data)
{
	struct test_disk *disk = new_able_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_64K, 0);
	struct io *io = new_io(test, param_call(test), DM_IO_OPF(ATOMIC_WRITE),
			       buffer);
	unsigned int i, seed = new_seed();

	fill_buffer(buffer, seed);
	for (i = 0; i < 3; i++)
		add_region(io, disk->bdev, i * 128, 128);
	perform(test, io);
	for (i = 0; i < 3; i++) {
		if (io->error & BIT(i))
			expect_untouched(test, disk, i * 128, (i + 1) * 128);
		else
			expect_on_disk(test, disk, i * 128, bytes_of(seed),
				       SZ_64K);
		if (io->error & BIT(i) &&
		    (io->call == SYNC_ARGS || io->call == ASYNC_ARGS))
			KUNIT_EXPECT_EQ(test, io->errors[i], -ENOMEM);
	}
	if (!memory_was_short() && !data)
		KUNIT_EXPECT_EQ(test, io->error, 0);
	KUNIT_EXPECT_EQ(test, disk->num_bios, 3 - hweight_long(io->error));
}

static void atomic_write_is_one_or_none_without_memory(struct kunit *test)
{
	struct held held = mark_held();
	struct shortage shortage;

	get_reserve(test, 1);
	run_body(test, check_atomic_memory, NULL);
	fail_each_allocation(test, check_atomic_memory, NULL);
	WRITE_ONCE(dm_io_test_no_memory, true);
	run_body(test, check_atomic_memory, test);
	WRITE_ONCE(dm_io_test_no_memory, false);
	release_held(held);
	begin_shortage(test, &shortage);
	run_body(test, check_atomic_memory, test);
	end_shortage(test, &shortage);
}

static struct kunit_case atomic_cases[] = {
	KUNIT_CASE_PARAM(atomic_write_is_one_or_none, atomic_write_gen_params),
	KUNIT_CASE(atomic_write_fits_into_a_table),
	KUNIT_CASE_PARAM(atomic_write_suits_its_device_as_it_is,
			 atomic_limit_gen_params),
	KUNIT_CASE_PARAM(atomic_write_is_one_or_none_without_memory,
			 call_gen_params),
	KUNIT_CASE_PARAM(atomic_write_needs_a_device_that_can, call_gen_params),
	{}
};

static struct kunit_suite atomic_suite = {
	.name = "dm_io_atomic",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = atomic_cases,
};

kunit_test_suites(&atomic_suite);

#endif
