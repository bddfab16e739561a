// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the tests of what comes of a region: bits, ends of devices, failed reads
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

KUNIT_ARRAY_PARAM(call, calls, describe_call);

static void error_bits_are_optional(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, PAGE_SIZE, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);

	get_reserve(test, 1);
	io->error_bits = NULL;
	add_region(io, disk->bdev, 0, 8);
	add_region(io, disk->bdev, 8, 8);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	disk->bad_sector = 8;
	disk->bad_sectors = 1;
	KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
}

/* As many regions as there are bits, of which a few fail. */
static void each_region_has_its_bit(struct kunit *test)
{
	unsigned int num = most_regions();
	unsigned int failing[] = { 0, 5, num / 2 + 1, num - 1 };
	struct test_disk *good, *bad = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 1024);
	unsigned int i, seed = new_seed();
	unsigned long want = 0;
	struct io *io;

	get_reserve(test, 1);
	good = new_plain_disk(test);
	good->end = END_IN_WORKER;
	good->backwards = true;
	bad->end = END_IN_WORKER;
	bad->bad_sectors = bad->num_sectors;

	io = new_io(test, param_call(test), WRITE, buffer);
	for (i = 0; i < num; i++)
		add_region(io, good->bdev, 3 + i * 10, 8);
	fill_buffer(buffer, seed);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	KUNIT_EXPECT_EQ(test, io->error, 0);

	for (i = 0; i < ARRAY_SIZE(failing); i++) {
		io->regions[failing[i]].bdev = bad->bdev;
		want |= BIT(failing[i]);
		KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
		KUNIT_EXPECT_EQ(test, io->error, want);
	}
	KUNIT_EXPECT_EQ(test, bad->num_bios, 1 + 2 + 3 + 4);
	expect_untouched(test, bad, 0, bad->num_sectors);
	for (i = 0; i < num; i++) {
		expect_on_disk(test, good, 3 + i * 10, bytes_of(seed), SZ_4K);
		expect_untouched(test, good, 1 + i * 10, 3 + i * 10);
	}

	for (i = 0; i < num; i++)
		io->regions[i].bdev = bad->bdev;
	KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
	KUNIT_EXPECT_EQ(test, io->error, GENMASK(num - 1, 0));
}

static void empty_region_is_ignored(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	unsigned int seed = new_seed();

	get_reserve(test, 1);
	fill_buffer(buffer, seed);
	add_region(io, NULL, 0, 0);
	add_region(io, disk->bdev, 0, 8);
	add_region(io, disk->bdev, U64_MAX, 0);
	add_region(io, disk->bdev, 100, 8);
	add_region(io, disk->bdev, 0, 0);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	KUNIT_EXPECT_EQ(test, io->error, 0);
	KUNIT_EXPECT_EQ(test, disk->num_bios, 2);
	expect_on_disk(test, disk, 0, bytes_of(seed), SZ_4K);
	expect_on_disk(test, disk, 100, bytes_of(seed), SZ_4K);

	/* The bits are those of the others. */
	disk->bad_sector = 100;
	disk->bad_sectors = 8;
	KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
	KUNIT_EXPECT_EQ(test, io->error, BIT(3));
}

static void only_empty_regions_succeed(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct io *io = new_io(test, param_call(test), WRITE, NULL);

	get_reserve(test, 1);
	add_region(io, NULL, 0, 0);
	add_region(io, disk->bdev, 5, 0);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	KUNIT_EXPECT_EQ(test, io->error, 0);

	io->num_regions = 1;
	io->rw = READ;
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	KUNIT_EXPECT_EQ(test, io->error, 0);
	KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
}

static const struct beyond {
	const char *name;
	sector_t sector, count;
} beyonds[] = {
	{ "by one sector", DISK_SECTORS - 7, 8 },
	{ "starts at the end", DISK_SECTORS, 1 },
	{ "starts behind the end", DISK_SECTORS + 1, 8 },
	{ "longer than the disk", 0, DISK_SECTORS + 1 },
	{ "starts at the last sector there is", U64_MAX, 1 },
	{ "wraps to the first sectors", U64_MAX - 3, 8 },
	{ "wraps to the middle", U64_MAX - 7, 108 },
	{ "count wraps", 8, U64_MAX - 3 },
	{ "count of U64_MAX", 0, U64_MAX },
	{ "bytes wrap to none", 0, 1ULL << 55 },
	{ "bytes wrap to a few", 0, (1ULL << 55) + 8 },
	{ "sector has 33 bits", 1ULL << 32, 8 },
	{ "count has 33 bits", 0, (1ULL << 32) + 8 },
};

static void describe_beyond(const struct beyond *beyond, char *desc)
{
	strscpy(desc, beyond->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(beyond, beyonds, describe_beyond);

static void check_write_beyond(struct kunit *test, enum call call,
			       const struct beyond *beyond)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, call, WRITE, buffer);
	unsigned int seed = new_seed();

	fill_buffer(buffer, seed);
	add_region(io, disk->bdev, 3, 8);
	add_region(io, disk->bdev, beyond->sector, beyond->count);
	add_region(io, disk->bdev, 200, 8);
	KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
	KUNIT_EXPECT_EQ(test, io->error, BIT(1));

	KUNIT_EXPECT_EQ(test, disk->num_bios, 2);
	expect_untouched(test, disk, 0, 3);
	expect_on_disk(test, disk, 3, bytes_of(seed), SZ_4K);
	expect_untouched(test, disk, 11, 200);
	expect_on_disk(test, disk, 200, bytes_of(seed), SZ_4K);
	expect_untouched(test, disk, 208, disk->num_sectors);

	/* The same on its own. */
	test_disk_forget(disk);
	io->regions[0] = io->regions[1];
	io->num_regions = 1;
	KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
	KUNIT_EXPECT_EQ(test, io->error, BIT(0));
	KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
}

/* How long the buffer is, nobody knows if no device could ever fill it. */
static void check_read_beyond(struct kunit *test, enum call call,
			      const struct beyond *beyond)
{
	struct test_disk *disk = new_plain_disk(test);
	size_t bytes = SZ_64K;
	struct buffer *buffer = new_buffer(test, bytes, 0);
	struct io *io = new_io(test, call, READ, buffer);

	if (beyond->count <= DISK_SECTORS)
		bytes = beyond->count << SECTOR_SHIFT;
	else
		bytes = 0;
	add_region(io, disk->bdev, beyond->sector, beyond->count);
	KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
	KUNIT_EXPECT_EQ(test, io->error, BIT(0));

	KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
	all_bytes(test, buffer->data, 0, bytes, "what was not read");
	all_bytes(test, buffer->data + bytes, GUARD, SZ_64K - bytes,
		  "the rest of the buffer");
	expect_guards(test, buffer);
}

static void region_beyond_its_device_fails(struct kunit *test)
{
	const struct beyond *beyond = test->param_value;
	enum call call;

	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++) {
		check_write_beyond(test, call, beyond);
		check_read_beyond(test, call, beyond);
	}
}

/* Up to the last sector of a device is not beyond its end. */
static void region_may_end_with_its_device(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, DISK_BYTES, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	unsigned int seed = new_seed();

	get_reserve(test, 1);
	fill_buffer(buffer, seed);
	add_region(io, disk->bdev, DISK_SECTORS - 1, 1);
	add_region(io, disk->bdev, 0, DISK_SECTORS);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	expect_on_disk(test, disk, 0, bytes_of(seed), DISK_BYTES);

	memset(buffer->data, GUARD, DISK_BYTES);
	io->num_regions = 1;
	io->regions[0].sector = 0;
	io->regions[0].count = DISK_SECTORS;
	io->rw = READ;
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	same_bytes(test, buffer->data, bytes_of(seed), DISK_BYTES, "what was read");
	expect_guards(test, buffer);
}

static const struct region_alignment {
	unsigned int block;
	sector_t sector, count;
	bool good;
} region_alignments[] = {
	{ 512, 1, 1, true },
	{ 1024, 1, 2, false },
	{ 1024, 2, 1, false },
	{ 1024, 2, 2, true },
	{ 4096, 1, 8, false },
	{ 4096, 4, 8, false },
	{ 4096, 8, 7, false },
	{ 4096, 8, 12, false },
	{ 4096, 8, 8, true },
	{ SZ_64K, 8, 128, false },
	{ SZ_64K, 128, 120, false },
	{ SZ_64K, 128, 256, true },
};

static void describe_region_alignment(const struct region_alignment *alignment,
				      char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE,
		 "%llu sectors from %llu, blocks of %u", alignment->count,
		 alignment->sector, alignment->block);
}

KUNIT_ARRAY_PARAM(region_alignment, region_alignments,
		  describe_region_alignment);

static void region_has_to_be_of_whole_blocks(struct kunit *test)
{
	const struct region_alignment *alignment = test->param_value;
	size_t bytes = alignment->count << SECTOR_SHIFT;
	struct test_disk *other = new_byte_disk(test);
	struct buffer *buffer = new_buffer(test, bytes, 0);
	struct test_disk_layout layout = {
		.num_sectors = DISK_SECTORS,
		.block = alignment->block,
	};
	enum call call;

	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++)
		check_if_good(test, call, new_disk(test, &layout), other,
			      buffer, alignment->sector, alignment->good);
}

static void read_that_fails_is_zeroed(struct kunit *test)
{
	struct test_disk *disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = DISK_SECTORS,
		.any_alignment = true,
	});
	struct buffer *buffer = new_buffer(test, SZ_16K, 77);
	struct io *io = new_io(test, param_call(test), READ, buffer);
	enum test_disk_end end;

	get_reserve(test, 1);
	disk->bad_sector = 40;
	disk->bad_sectors = 1;
	add_region(io, disk->bdev, 10, 31);

	for (end = END_AT_ONCE; end <= END_IN_HARDIRQ; end++) {
		memset(buffer->data, GUARD, buffer->bytes);
		disk->end = end;
		KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
		KUNIT_EXPECT_EQ(test, io->error, BIT(0));
		all_bytes(test, buffer->data, 0, 31 * SECTOR_SIZE,
			  "what was not read");
		all_bytes(test, buffer->data + 31 * SECTOR_SIZE, GUARD,
			  SECTOR_SIZE, "the rest of the buffer");
		expect_guards(test, buffer);
	}
	KUNIT_EXPECT_EQ(test, disk->num_bios, 4);
}

/* A region that takes several bios: only what one of them lost is zeroed. */
static void check_partial_read(struct kunit *test, struct io *io,
			       struct buffer *buffer, struct test_disk *disk)
{
	sector_t from = io->regions[0].sector, to;
	unsigned int seed = new_seed(), bad;
	size_t start, end;

	fill_disk(disk, from, seed, buffer->bytes);
	test_disk_forget(disk);
	disk->bad_bio = 0;
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	same_bytes(test, buffer->data, bytes_of(seed), buffer->bytes,
		   "what was read");
	KUNIT_EXPECT_EQ(test, disk->num_bytes, buffer->bytes);
	if (!takes_bvec(io->call))
		KUNIT_EXPECT_GE(test, disk->num_bios, 3);
	bad = (min(disk->num_bios, TEST_DISK_RECORDS) + 1) / 2;

	memset(buffer->data, GUARD, buffer->bytes);
	test_disk_forget(disk);
	disk->bad_bio = bad;
	KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
	KUNIT_EXPECT_EQ(test, io->error, BIT(0));
	to = disk->bios[bad - 1].sector +
	     (disk->bios[bad - 1].bytes >> SECTOR_SHIFT);
	start = (disk->bios[bad - 1].sector - from) << SECTOR_SHIFT;
	end = (to - from) << SECTOR_SHIFT;
	same_bytes(test, buffer->data, bytes_of(seed), start,
		   "what was read before the failure");
	all_bytes(test, buffer->data + start, 0, end - start,
		  "what was not read");
	same_bytes(test, buffer->data + end, bytes_of(seed) + end,
		   buffer->bytes - end, "what was read after the failure");
	expect_guards(test, buffer);
}

static void part_of_read_that_fails_is_zeroed(struct kunit *test)
{
	struct test_disk *disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = SZ_4M >> SECTOR_SHIFT,
		.any_alignment = true,
	});
	struct buffer *buffer = new_buffer(test, SZ_2M + SZ_1M, 100);
	struct io *io = new_io(test, param_call(test), READ, buffer);

	get_reserve(test, 1);
	add_region(io, disk->bdev, 10, buffer->bytes >> SECTOR_SHIFT);
	check_partial_read(test, io, buffer, disk);
	WRITE_ONCE(dm_io_test_no_memory, true);
	check_partial_read(test, io, buffer, disk);
}

/* How much has become zero in hardirqs, looked at where each bio has ended. */
struct zeroing {
	const u8 *data;
	size_t bytes;
	size_t before, in_irq;
};

static size_t count_zeroed(const struct zeroing *zeroing)
{
	size_t i, num = 0;

	for (i = 0; i < zeroing->bytes; i += SECTOR_SIZE)
		num += !zeroing->data[i];
	return num * SECTOR_SIZE;
}

static void note_zeroed(struct test_disk *disk, bool ended)
{
	struct zeroing *zeroing = disk->watch_end_context;
	size_t now = count_zeroed(zeroing);

	if (ended && in_hardirq())
		zeroing->in_irq += now - zeroing->before;
	zeroing->before = now;
}

/* All bios fail, in a hardirq. The rest is zeroed elsewhere, and then told. */
static void long_read_is_not_zeroed_in_an_interrupt(struct kunit *test)
{
	static const size_t sizes[] = {
		SZ_4K, SZ_64K, SZ_64K + SZ_512, SZ_128K, SZ_1M + SZ_512K, SZ_8M
	};
	struct zeroing *zeroing = test_alloc(test, sizeof(*zeroing));
	struct test_disk *disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = SZ_16M >> SECTOR_SHIFT,
		.any_alignment = true,
		.no_data = true,
	});
	unsigned int i;

	get_reserve(test, 1);
	disk->end = END_IN_HARDIRQ;
	disk->bad_sectors = disk->num_sectors;
	for (i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
		struct held held = mark_held();
		size_t bytes = sizes[i / 2];
		struct buffer *buffer = new_buffer(test, bytes, i & 1 ? 77 : 0);
		struct io *io = new_io(test, param_call(test), READ, buffer);

		memset(buffer->data, GUARD, bytes);
		*zeroing = (struct zeroing) {
			.data = buffer->data, .bytes = bytes,
		};
		disk->watch_end = note_zeroed;
		disk->watch_end_context = zeroing;
		add_region(io, disk->bdev, 8, bytes >> SECTOR_SHIFT);
		KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
		all_bytes(test, buffer->data, 0, bytes, "what was not read");
		expect_guards(test, buffer);
		test_disk_drain(disk);
		disk->watch_end = NULL;

		/* Nobody else may have done it meanwhile. */
		if (num_online_cpus() == 1)
			KUNIT_EXPECT_LE(test, zeroing->in_irq, SZ_64K);
		/* Of several bios, a short one may be the last to end. */
		if (is_async(io->call) && bytes > SZ_64K && bytes <= SZ_128K)
			KUNIT_EXPECT_FALSE_MSG(test, io->ended_in_hardirq,
					       "%zu bytes", bytes);
		release_held(held);
	}
}

static void read_only_device_is_not_written(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test), *read_only;
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	unsigned int seed = new_seed();

	get_reserve(test, 1);
	read_only = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = DISK_SECTORS,
		.read_only = true,
	});
	fill_buffer(buffer, seed);
	add_region(io, disk->bdev, 0, 8);
	add_region(io, read_only->bdev, 0, 8);
	add_region(io, disk->bdev, 100, 8);
	KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
	KUNIT_EXPECT_EQ(test, io->error, BIT(1));
	KUNIT_EXPECT_EQ(test, read_only->num_bios, 0);
	expect_untouched(test, read_only, 0, DISK_SECTORS);
	expect_on_disk(test, disk, 0, bytes_of(seed), SZ_4K);
	expect_on_disk(test, disk, 100, bytes_of(seed), SZ_4K);

	/* The same on its own. */
	io->regions[0].bdev = read_only->bdev;
	io->num_regions = 1;
	KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
	KUNIT_EXPECT_EQ(test, io->error, BIT(0));
	KUNIT_EXPECT_EQ(test, read_only->num_bios, 0);
	expect_untouched(test, read_only, 0, DISK_SECTORS);

	/* It can be read. */
	io->rw = READ;
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	all_bytes(test, buffer->data, TEST_DISK_FILLER, SZ_4K, "what was read");
}

static const struct short_case short_cases[] = {
	SHORT_CASE_PARAM(error_bits_are_optional, calls),
	SHORT_CASE_PARAM(empty_region_is_ignored, calls),
	SHORT_CASE_PARAM(only_empty_regions_succeed, calls),
	SHORT_CASE_PARAM(region_may_end_with_its_device, calls),
	SHORT_CASE_PARAM(read_only_device_is_not_written, calls),
	SHORT_CASE_PARAM(each_region_has_its_bit, calls),
};

KUNIT_ARRAY_PARAM(short_case, short_cases, describe_short_case);

static struct kunit_case regions_cases[] = {
	KUNIT_CASE_PARAM(error_bits_are_optional, call_gen_params),
	KUNIT_CASE_PARAM(each_region_has_its_bit, call_gen_params),
	KUNIT_CASE_PARAM(empty_region_is_ignored, call_gen_params),
	KUNIT_CASE_PARAM(only_empty_regions_succeed, call_gen_params),
	KUNIT_CASE_PARAM(region_beyond_its_device_fails, beyond_gen_params),
	KUNIT_CASE_PARAM(region_may_end_with_its_device, call_gen_params),
	KUNIT_CASE_PARAM(region_has_to_be_of_whole_blocks,
			 region_alignment_gen_params),
	KUNIT_CASE_PARAM(read_that_fails_is_zeroed, call_gen_params),
	KUNIT_CASE_PARAM(part_of_read_that_fails_is_zeroed, call_gen_params),
	KUNIT_CASE_PARAM(long_read_is_not_zeroed_in_an_interrupt,
			 call_gen_params),
	KUNIT_CASE_PARAM(read_only_device_is_not_written, call_gen_params),
	KUNIT_CASE_PARAM(results_hold_without_memory, short_case_gen_params),
	{}
};

struct kunit_suite regions_suite = {
	.name = "dm_io_regions",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = regions_cases,
};
