// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the tests of operations that move no data, and of devices that cannot do them
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"
#include "dm-io-test-disk.h"
#include "dm-io-test-io.h"

KUNIT_ARRAY_PARAM(call, calls, describe_call);

KUNIT_ARRAY_PARAM(range_op, range_ops, describe_range_op);

/*
 * What reaches the devices
 */

static void check_operation(struct kunit *test, struct test_disk *first,
			    struct test_disk *second, const struct range_op *op,
			    enum test_disk_end end)
{
	struct io *io = new_op(test, param_call(test), op->opf);

	reset_disk(test, first, &able_layout);
	reset_disk(test, second, &able_layout);
	first->end = end;
	second->end = end;
	add_region(io, first->bdev, 8, 16);
	add_region(io, second->bdev, 100, 1);
	add_region(io, NULL, 7, 0);
	add_region(io, first->bdev, 300, 50);
	perform_with(test, io, (int[]) { 0, 0, 0, 0 });

	KUNIT_EXPECT_EQ(test, first->num_bios, 2);
	KUNIT_EXPECT_EQ(test, second->num_bios, 1);
	expect_bio(test, io, first, op->opf, 8, 16);
	expect_bio(test, io, second, op->opf, 100, 1);
	expect_bio(test, io, first, op->opf, 300, 50);
	expect_untouched(test, first, 0, 8);
	expect_bytes(test, first, 8, 16, op->leaves);
	expect_untouched(test, first, 24, 300);
	expect_bytes(test, first, 300, 50, op->leaves);
	expect_untouched(test, first, 350, first->num_sectors);
	expect_untouched(test, second, 0, 100);
	expect_bytes(test, second, 100, 1, op->leaves);
	expect_untouched(test, second, 101, second->num_sectors);
	tell_case(test, io, op->name);
}

static void operation_reaches_its_devices(struct kunit *test)
{
	struct test_disk *first = new_able_disk(test);
	struct test_disk *second = new_able_disk(test);
	enum test_disk_end end;
	unsigned int i;

	get_reserve(test, 1);
	for (i = 0; i < ARRAY_SIZE(range_ops); i++)
		for (end = END_AT_ONCE; end <= END_IN_HARDIRQ; end++)
			check_operation(test, first, second, &range_ops[i],
					end);
}

/* As many regions as there can be, of which a few fail. */
static void each_region_of_an_operation_has_its_bit(struct kunit *test)
{
	struct test_disk *disk = new_able_disk(test), *bad;
	int want[BITS_PER_LONG] = { };
	unsigned int num = most_regions(), i, r;

	get_reserve(test, 1);
	bad = new_able_disk(test);
	bad->end = END_IN_WORKER;
	bad->bad_sectors = bad->num_sectors;
	want[3] = -EIO;
	want[num - 1] = -EIO;
	for (i = 0; i < ARRAY_SIZE(range_ops); i++) {
		const struct range_op *op = &range_ops[i];
		struct io *io = new_op(test, param_call(test), op->opf);

		test_disk_forget(disk);
		test_disk_forget(bad);
		for (r = 0; r < num; r++)
			add_region(io, want[r] ? bad->bdev : disk->bdev,
				   3 + 10 * r, 8);
		perform_with(test, io, want);
		KUNIT_EXPECT_EQ(test, disk->num_bios, num - 2);
		KUNIT_EXPECT_EQ(test, bad->num_bios, 2);
		for (r = 0; r < num; r++) {
			if (!want[r])
				expect_bytes(test, disk, 3 + 10 * r, 8,
					     op->leaves);
			expect_untouched(test, disk, 11 + 10 * r, 13 + 10 * r);
		}
		tell_case(test, io, op->name);
	}
}

/*
 * How long regions are split
 */

static const struct split {
	const char *name;
	unsigned int limit;		/* in sectors, like all others */
	unsigned int granularity;
	unsigned int alignment;
	unsigned int block;
	sector_t sector, count;
	unsigned int most;		/* bios; 0 is as many as it takes */
} splits[] = {
	{ "no need to", 1000, 1, 0, 1, 8, 1000, 1 },
	{ "by the limit", 64, 1, 0, 1, 8, 1000 },
	{ "into sectors", 1, 1, 0, 1, 7, 20 },
	{ "one sector too long", 999, 1, 0, 1, 8, 1000, 2 },
	{ "no granularity", 64, 0, 0, 1, 9, 1000 },
	{ "where units of the device end", 64, 32, 0, 1, 8, 1000 },
	{ "limit is no multiple of a unit", 80, 32, 0, 1, 8, 1000 },
	{ "units start later", 64, 32, 8, 1, 3, 1000 },
	{ "region starts before the first unit", 64, 32, 31, 1, 0, 997 },
	{ "unit is no power of two", 100, 24, 7, 1, 1, 1000 },
	{ "limit is one unit", 32, 32, 0, 1, 16, 500 },
	{ "limit is less than a unit", 16, 64, 0, 1, 8, 500 },
	{ "large blocks", 20, 8, 0, 8, 16, 800 },
	{ "large blocks, larger units", 48, 32, 0, 8, 16, 800 },
	{ "large blocks, odd limit", 13, 1, 0, 8, 8, 400 },
};

static void describe_split(const struct split *split, char *desc)
{
	strscpy(desc, split->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(split, splits, describe_split);

/* Sectors of a disk, and how often a bio had them. */
static u8 *count_touches(struct kunit *test, const struct test_disk *disk)
{
	u8 *touches = test_alloc(test, disk->num_sectors);
	unsigned int i, s;

	KUNIT_ASSERT_LE(test, disk->num_bios, TEST_DISK_RECORDS);
	for (i = 0; i < disk->num_bios; i++) {
		const struct test_bio *bio = &disk->bios[i];

		for (s = 0; s < bio->bytes >> SECTOR_SHIFT; s++)
			touches[bio->sector + s]++;
	}
	return touches;
}

/* Where the bios end, in sectors from the start of the disk. */
static void expect_good_ends(struct kunit *test, const struct test_disk *disk,
			     const struct split *split, sector_t end)
{
	unsigned int unit = max(split->granularity, 1U), i;

	for (i = 0; i < disk->num_bios; i++) {
		const struct test_bio *bio = &disk->bios[i];
		unsigned int count = bio->bytes >> SECTOR_SHIFT;
		u32 behind;

		KUNIT_EXPECT_GT(test, count, 0);
		KUNIT_EXPECT_LE(test, count, split->limit);
		KUNIT_EXPECT_EQ(test, count % split->block, 0);
		if (split->limit < unit || bio->sector + count == end)
			continue;
		div_u64_rem(bio->sector + count + unit -
			    split->alignment % unit, unit, &behind);
		KUNIT_EXPECT_EQ_MSG(test, behind, 0, "bio of %u from %llu",
				    count, bio->sector);
	}
}

static void check_split(struct kunit *test, struct test_disk *disk,
			enum call call, const struct range_op *op)
{
	const struct split *whole = test->param_value;
	struct split split = *whole;
	struct test_disk_layout layout = able_layout;
	unsigned int most;
	struct io *io;
	u8 *touches;

	layout.block = split.block << SECTOR_SHIFT;
	layout.discard_granularity = split.granularity << SECTOR_SHIFT;
	layout.discard_alignment = split.alignment << SECTOR_SHIFT;
	set_limit(&layout, op->op, split.limit);
	reset_disk(test, disk, &layout);

	/* Zeroes know no such units. */
	if (op->op == REQ_OP_WRITE_ZEROES) {
		split.granularity = split.block;
		split.alignment = 0;
	}
	io = new_op(test, call, op->opf);
	add_region(io, disk->bdev, split.sector, split.count);
	perform_with(test, io, (int[]) { 0 });

	touches = count_touches(test, disk);
	all_bytes(test, touches, 0, split.sector, "sectors before the region");
	all_bytes(test, touches + split.sector, 1, split.count,
		  "sectors of the region");
	all_bytes(test, touches + split.sector + split.count, 0,
		  disk->num_sectors - split.sector - split.count,
		  "sectors behind the region");
	expect_bytes(test, disk, split.sector, split.count, op->leaves);
	expect_good_ends(test, disk, &split, split.sector + split.count);

	/* As few as that: at both ends there may be a bio that is short. */
	most = max(split.granularity, split.block);
	most = split.limit < most ? round_down(split.limit, split.block) :
				    split.limit / most * most;
	most = split.most ?: DIV_ROUND_UP_ULL(split.count, most) + 1;
	KUNIT_EXPECT_LE(test, disk->num_bios, most);
	tell_case(test, io, op->name);
}

static void long_region_is_split(struct kunit *test)
{
	struct test_disk *disk = new_able_disk(test);
	enum call call;
	unsigned int i;

	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++)
		for (i = 0; i < ARRAY_SIZE(range_ops); i++)
			check_split(test, disk, call, &range_ops[i]);
}

#ifdef CONFIG_MSDOS_PARTITION

static void destroy_disk(void *data)
{
	test_disk_destroy(data);
}

/* A unit counts from the start of the disk, wherever the partition starts. */
static void partition_is_split_by_units_of_its_disk(struct kunit *test)
{
	const struct split split = {
		.limit = 80, .granularity = 32, .block = 1, .alignment = 5,
	};
	struct test_disk *disk = test_disk_create();
	struct test_disk_layout layout = able_layout;
	struct block_device *partition;
	enum call call;

	KUNIT_ASSERT_NOT_NULL(test, disk);
	defer(test, destroy_disk, disk);
	layout.discard_sectors = split.limit;
	layout.discard_granularity = split.granularity << SECTOR_SHIFT;
	layout.discard_alignment = split.alignment << SECTOR_SHIFT;
	KUNIT_ASSERT_EQ(test, test_disk_set_up(disk, &layout), 0);
	partition = test_disk_partition(disk, 19, 700);
	KUNIT_ASSERT_NOT_NULL(test, partition);
	KUNIT_ASSERT_EQ(test, bdev_nr_sectors(partition), 700);
	get_reserve(test, 1);

	for (call = 0; call < NUM_CALLS; call++) {
		struct io *io = new_op(test, call, REQ_OP_DISCARD);
		u8 *touches;

		test_disk_forget(disk);
		add_region(io, partition, 2, 698);
		perform_with(test, io, (int[]) { 0 });
		touches = count_touches(test, disk);
		all_bytes(test, touches, 0, 21, "sectors before the region");
		all_bytes(test, touches + 21, 1, 698, "sectors of the region");
		all_bytes(test, touches + 719, 0, disk->num_sectors - 719,
			  "sectors behind the region");
		expect_good_ends(test, disk, &split, 719);
		KUNIT_EXPECT_LE(test, disk->num_bios, 698 / 64 + 2);

		/* Where it ends is where the disk seems to end. */
		test_disk_forget(disk);
		io->regions[0].count = 699;
		perform_with(test, io, (int[]) { -ERANGE });
		KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
		tell_case(test, io, "on a partition");
	}
}

#endif

/* Every device has limits of its own. */
static void regions_are_split_by_their_devices(struct kunit *test)
{
	static const struct split by[] = {
		{ .limit = 64, .granularity = 32, .block = 1 },
		{ .limit = 10, .granularity = 1, .block = 1 },
		{ .limit = 4096, .granularity = 1, .block = 1 },
	};
	struct test_disk *disks[ARRAY_SIZE(by)];
	struct io *io = new_op(test, param_call(test), REQ_OP_DISCARD);
	unsigned int i;

	get_reserve(test, 1);
	for (i = 0; i < ARRAY_SIZE(by); i++) {
		struct test_disk_layout layout = able_layout;

		layout.discard_sectors = by[i].limit;
		layout.discard_granularity = by[i].granularity << SECTOR_SHIFT;
		disks[i] = new_disk(test, &layout);
		disks[i]->end = END_IN_WORKER;
		disks[i]->backwards = true;
		add_region(io, disks[i]->bdev, 5 + i, 500 + i);
	}
	perform_with(test, io, (int[]) { 0, 0, 0 });
	for (i = 0; i < ARRAY_SIZE(by); i++) {
		u8 *touches = count_touches(test, disks[i]);

		all_bytes(test, touches, 0, 5 + i, "sectors before the region");
		all_bytes(test, touches + 5 + i, 1, 500 + i,
			  "sectors of the region");
		all_bytes(test, touches + 505 + 2 * i, 0,
			  DISK_SECTORS - 505 - 2 * i,
			  "sectors behind the region");
		expect_good_ends(test, disks[i], &by[i], 505 + 2 * i);
	}
	KUNIT_EXPECT_EQ(test, disks[2]->num_bios, 1);
}

static void check_huge_region(struct kunit *test, enum call call,
			      unsigned int limit)
{
	const struct range_op *op = test->param_value;
	struct followed *followed = test_alloc(test, sizeof(*followed));
	struct test_disk *disk = new_huge_disk(test, op->op, limit, followed);
	struct io *io = new_op(test, call, op->opf);
	unsigned int num = div_u64(2 * TIB_SECTORS, limit);
	u64 bytes = 2 * SZ_1T;

	add_region(io, disk->bdev, 8, 2 * TIB_SECTORS);
	perform_with(test, io, (int[]) { 0 });
	KUNIT_EXPECT_EQ(test, followed->num_wrong, 0);
	KUNIT_EXPECT_EQ(test, followed->next, 8 + 2 * TIB_SECTORS);
	KUNIT_EXPECT_EQ(test, disk->num_bytes, bytes);
	KUNIT_EXPECT_GE(test, disk->num_bios, num);
	KUNIT_EXPECT_LE(test, disk->num_bios, num + 1);
	tell_case(test, io, op->name);
}

static void region_may_be_of_terabytes(struct kunit *test)
{
	get_reserve(test, 1);
	check_huge_region(test, SYNC_PAGES, SZ_256M >> SECTOR_SHIFT);
	check_huge_region(test, ASYNC_ARGS, SZ_256M >> SECTOR_SHIFT);
}

static void region_of_terabytes_needs_no_memory(struct kunit *test)
{
	struct shortage shortage;

	begin_shortage(test, &shortage);
	check_huge_region(test, ASYNC_BVEC, SZ_512M >> SECTOR_SHIFT);
	check_huge_region(test, SYNC_ARGS, SZ_512M >> SECTOR_SHIFT);
	end_shortage(test, &shortage);
}

/* A device without any limit still has that of a bio. */
static void range_fits_into_a_bio(struct kunit *test)
{
	const struct range_op *op = test->param_value;
	struct followed *followed = test_alloc(test, sizeof(*followed));
	struct test_disk *disk = new_huge_disk(test, op->op, UINT_MAX,
					       followed);
	u64 bytes = 9 * (u64)SZ_1G + SZ_4K;
	struct io *io;

	get_reserve(test, 1);
	io = new_op(test, ASYNC_VM, op->opf);
	add_region(io, disk->bdev, 8, bytes >> SECTOR_SHIFT);
	perform_with(test, io, (int[]) { 0 });
	KUNIT_EXPECT_EQ(test, followed->num_wrong, 0);
	KUNIT_EXPECT_EQ(test, disk->num_bytes, bytes);
	KUNIT_EXPECT_EQ(test, disk->num_bios, 3);
}

/* The call waits for nothing as long as there are but a few pieces. */
static void long_range_is_several_bios_at_once(struct kunit *test)
{
	struct test_disk_layout layout = able_layout;
	struct test_disk *disk;
	struct io *io;

	get_reserve(test, 1);
	layout.discard_sectors = 10;
	disk = new_disk(test, &layout);
	disk->end = END_WHEN_TOLD;

	io = new_op(test, ASYNC_ARGS, REQ_OP_DISCARD);
	add_region(io, disk->bdev, 0, 320);
	start_io(io);
	KUNIT_EXPECT_FALSE(test, call_waits(test, io, disk, 32));
	finish_call(test, io);
	test_disk_release(disk);
	KUNIT_EXPECT_EQ(test, await(test, io), 0);

	/* With one piece more, it does. */
	test_disk_forget(disk);
	io->regions[0].count = 330;
	start_io(io);
	KUNIT_EXPECT_TRUE(test, call_waits(test, io, disk, 32));
	KUNIT_EXPECT_EQ(test, atomic_read(&io->num_ends), 1);
	disk->end = END_AT_ONCE;
	test_disk_release(disk);
	finish_call(test, io);
	KUNIT_EXPECT_EQ(test, await(test, io), 0);
	KUNIT_EXPECT_EQ(test, disk->num_bios, 33);
	KUNIT_EXPECT_LE(test, disk->most_in_flight, 32);
	expect_bytes(test, disk, 0, 330, TEST_DISK_DISCARDED);
	expect_untouched(test, disk, 330, disk->num_sectors);
}

static void operation_needs_no_memory(struct kunit *test)
{
	struct test_disk_layout layout = able_layout;
	struct io *ios[ARRAY_SIZE(range_ops)];
	struct shortage shortage;
	struct test_disk *disk;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(range_ops); i++) {
		set_limit(&layout, range_ops[i].op, 30);
		ios[i] = new_op(test, param_call(test), range_ops[i].opf);
	}
	disk = new_disk(test, &layout);
	begin_shortage(test, &shortage);
	for (i = 0; i < ARRAY_SIZE(range_ops); i++) {
		disk->end = i % END_WHEN_TOLD;
		add_region(ios[i], disk->bdev, 10, 200);
		add_region(ios[i], disk->bdev, DISK_SECTORS, 1);
		add_region(ios[i], disk->bdev, 300, 20);
		perform_with(test, ios[i], (int[]) { 0, -ERANGE, 0 });
		expect_untouched(test, disk, 0, 10);
		expect_bytes(test, disk, 10, 200, range_ops[i].leaves);
		expect_untouched(test, disk, 210, 300);
		expect_bytes(test, disk, 300, 20, range_ops[i].leaves);
		expect_untouched(test, disk, 320, disk->num_sectors);
	}
	end_shortage(test, &shortage);
}

/*
 * What devices cannot do
 */

static void check_unable(struct kunit *test, struct test_disk **disks,
			 const struct range_op *op)
{
	struct test_disk *unable = disks[0], *good = disks[1], *bad = disks[2];
	struct io *io = new_op(test, param_call(test), op->opf);
	struct test_disk_layout layout = able_layout;

	set_limit(&layout, op->op, 0);
	reset_disk(test, unable, &layout);
	reset_disk(test, good, &able_layout);
	reset_disk(test, bad, &able_layout);

	add_region(io, unable->bdev, 8, 16);
	perform_with(test, io, (int[]) { -EOPNOTSUPP });

	/* Others can. */
	add_region(io, good->bdev, 8, 16);
	perform_with(test, io, (int[]) { -EOPNOTSUPP, 0 });
	expect_bio(test, io, good, op->opf, 8, 16);
	expect_bytes(test, good, 8, 16, op->leaves);

	add_region(io, unable->bdev, 100, 1);
	perform_with(test, io, (int[]) { -EOPNOTSUPP, 0, -EOPNOTSUPP });

	/* A device that fails is not one that cannot. */
	bad->bad_sectors = bad->num_sectors;
	add_region(io, bad->bdev, 8, 16);
	perform_with(test, io, (int[]) { -EOPNOTSUPP, 0, -EOPNOTSUPP, -EIO });
	io->regions[3].sector = DISK_SECTORS;
	perform_with(test, io,
		     (int[]) { -EOPNOTSUPP, 0, -EOPNOTSUPP, -ERANGE });

	KUNIT_EXPECT_EQ(test, unable->num_bios, 0);
	KUNIT_EXPECT_EQ(test, bad->num_bios, 1);
	expect_untouched(test, unable, 0, unable->num_sectors);
	expect_untouched(test, bad, 0, bad->num_sectors);
	tell_case(test, io, op->name);
}

static void device_that_cannot_is_told_apart(struct kunit *test)
{
	struct test_disk *disks[3];
	unsigned int i;

	get_reserve(test, 1);
	for (i = 0; i < ARRAY_SIZE(disks); i++)
		disks[i] = new_able_disk(test);
	for (i = 0; i < ARRAY_SIZE(range_ops); i++)
		check_unable(test, disks, &range_ops[i]);
}

/* Its limits are those of a device that can. */
static void check_device_that_says_so(struct kunit *test,
				      struct test_disk **disks,
				      const struct range_op *op,
				      enum test_disk_end end)
{
	struct test_disk *disk = disks[0], *good = disks[1], *bad = disks[2];
	struct io *io = new_op(test, param_call(test), op->opf);
	struct test_disk_layout layout = able_layout;

	set_limit(&layout, op->op, 16);
	reset_disk(test, disk, &layout);
	disk->bad_status = BLK_STS_NOTSUPP;
	disk->bad_sector = 20;
	disk->bad_sectors = 1;
	disk->end = end;
	reset_disk(test, bad, &able_layout);
	bad->bad_sectors = bad->num_sectors;

	/* Part of it has been done before. */
	add_region(io, disk->bdev, 0, 32);
	perform_with(test, io, (int[]) { -EOPNOTSUPP });
	expect_bytes(test, disk, 0, 16, op->leaves);
	expect_untouched(test, disk, 16, disk->num_sectors);

	add_region(io, good->bdev, 0, 32);
	perform_with(test, io, (int[]) { -EOPNOTSUPP, 0 });
	add_region(io, bad->bdev, 0, 32);
	perform_with(test, io, (int[]) { -EOPNOTSUPP, 0, -EIO });
	tell_case(test, io, op->name);
}

static void device_may_say_that_it_cannot(struct kunit *test)
{
	struct test_disk *disks[3];
	enum test_disk_end end;
	unsigned int i;

	get_reserve(test, 1);
	for (i = 0; i < ARRAY_SIZE(disks); i++)
		disks[i] = new_able_disk(test);
	for (i = 0; i < ARRAY_SIZE(range_ops); i++)
		for (end = END_AT_ONCE; end <= END_IN_HARDIRQ; end++)
			check_device_that_says_so(test, disks, &range_ops[i],
						  end);
}

/* Some find out when they try, and say so by their limit. */
static void device_may_forget_zeroes(struct kunit *test)
{
	blk_opf_t opf[] = { REQ_OP_WRITE_ZEROES,
			    REQ_OP_WRITE_ZEROES | REQ_NOUNMAP };
	struct test_disk *disk = new_able_disk(test);
	enum test_disk_end end;
	unsigned int i;

	get_reserve(test, 1);
	for (i = 0; i < ARRAY_SIZE(opf); i++) {
		for (end = END_AT_ONCE; end <= END_IN_HARDIRQ; end++) {
			struct io *io = new_op(test, param_call(test), opf[i]);

			reset_disk(test, disk, &able_layout);
			disk->end = end;
			disk->bad_sectors = disk->num_sectors;
			disk->forgets_zeroes = true;
			add_region(io, disk->bdev, 8, 16);
			perform_with(test, io, (int[]) { -EOPNOTSUPP });
			KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
			perform_with(test, io, (int[]) { -EOPNOTSUPP });
			KUNIT_EXPECT_EQ(test, disk->num_bios, 1);

			/* A discard that fails is nothing but that. */
			io = new_op(test, param_call(test), REQ_OP_DISCARD);
			add_region(io, disk->bdev, 8, 16);
			perform_with(test, io, (int[]) { -EIO });
			tell_case(test, io, "zeroes");
		}
	}
}

static void range_that_cannot_be_fails(struct kunit *test)
{
	static const struct {
		sector_t sector, count;
	} beyond[] = {
		{ DISK_SECTORS - 7, 8 }, { DISK_SECTORS, 1 },
		{ U64_MAX, 1 }, { U64_MAX - 3, 8 }, { 8, U64_MAX - 3 },
		{ 0, U64_MAX }, { 0, 1ULL << 55 }, { 1ULL << 32, 8 },
	};
	struct reason_disks disks;
	struct test_disk *good;
	unsigned int i, b;

	get_reserve(test, 1);
	new_reason_disks(test, &disks);
	good = disks.good;

	for (i = 0; i < ARRAY_SIZE(range_ops); i++) {
		const struct range_op *op = &range_ops[i];
		struct io *io = new_op(test, param_call(test), op->opf);

		test_disk_forget(good);
		add_region(io, good->bdev, 8, 16);
		add_region(io, disks.read_only->bdev, 8, 16);
		add_region(io, disks.blocks->bdev, 4, 8);
		add_region(io, disks.blocks->bdev, 8, 7);
		add_region(io, good->bdev, 0, 0);
		for (b = 0; b < ARRAY_SIZE(beyond); b++) {
			io->regions[4].sector = beyond[b].sector;
			io->regions[4].count = beyond[b].count;
			perform_with(test, io, (int[]) {
				0, -EROFS, -EINVAL, -EINVAL, -ERANGE
			});
		}
		KUNIT_EXPECT_EQ(test, good->num_bios, ARRAY_SIZE(beyond));
		expect_untouched(test, good, 0, 8);
		expect_untouched(test, good, 24, good->num_sectors);
		tell_case(test, io, op->name);
	}
	KUNIT_EXPECT_EQ(test, disks.read_only->num_bios, 0);
	KUNIT_EXPECT_EQ(test, disks.blocks->num_bios, 0);
}

/* What a device without a volatile cache has to do: nothing. */
static void flush_is_free_without_a_cache(struct kunit *test)
{
	struct test_disk *disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = DISK_SECTORS,
		.no_cache = true,
	});
	struct test_disk *cached = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_op(test, param_call(test), REQ_OP_FLUSH);
	unsigned int seed = new_seed();

	get_reserve(test, 1);
	add_region(io, disk->bdev, 0, 8);
	add_region(io, cached->bdev, 0, 8);
	perform_with(test, io, (int[]) { 0, 0 });
	KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
	KUNIT_EXPECT_EQ(test, cached->num_bios, 1);
	expect_bio(test, io, cached, REQ_OP_WRITE | REQ_PREFLUSH, 0, 0);

	test_disk_forget(cached);
	fill_buffer(buffer, seed);
	io = new_io(test, param_call(test),
		    DM_IO_OPF(REQ_OP_WRITE | REQ_PREFLUSH | REQ_FUA), buffer);
	add_region(io, disk->bdev, 8, 8);
	add_region(io, cached->bdev, 8, 8);
	perform_with(test, io, (int[]) { 0, 0 });
	expect_bio(test, io, disk, REQ_OP_WRITE, 8, 8);
	expect_bio(test, io, cached, REQ_OP_WRITE | REQ_PREFLUSH | REQ_FUA, 8, 8);
	expect_on_disk(test, disk, 8, bytes_of(seed), SZ_4K);
	expect_on_disk(test, cached, 8, bytes_of(seed), SZ_4K);
}

static const struct short_case short_cases[] = {
	SHORT_CASE_PARAM(operation_reaches_its_devices, calls),
	SHORT_CASE_PARAM(each_region_of_an_operation_has_its_bit, calls),
	SHORT_CASE_PARAM(device_that_cannot_is_told_apart, calls),
	SHORT_CASE_PARAM(device_may_say_that_it_cannot, calls),
	SHORT_CASE_PARAM(device_may_forget_zeroes, calls),
	SHORT_CASE_PARAM(flush_is_free_without_a_cache, calls),
};

KUNIT_ARRAY_PARAM(short_case, short_cases, describe_short_case);

static struct kunit_case ops_cases[] = {
	KUNIT_CASE_PARAM(operation_reaches_its_devices, call_gen_params),
	KUNIT_CASE_PARAM(each_region_of_an_operation_has_its_bit,
			 call_gen_params),
	KUNIT_CASE_PARAM(long_region_is_split, split_gen_params),
#ifdef CONFIG_MSDOS_PARTITION
	KUNIT_CASE(partition_is_split_by_units_of_its_disk),
#endif
	KUNIT_CASE_PARAM(regions_are_split_by_their_devices, call_gen_params),
	KUNIT_CASE_PARAM(region_may_be_of_terabytes, range_op_gen_params),
	KUNIT_CASE_PARAM(region_of_terabytes_needs_no_memory,
			 range_op_gen_params),
	KUNIT_CASE_PARAM(range_fits_into_a_bio, range_op_gen_params),
	KUNIT_CASE(long_range_is_several_bios_at_once),
	KUNIT_CASE_PARAM(operation_needs_no_memory, call_gen_params),
	KUNIT_CASE_PARAM(device_that_cannot_is_told_apart, call_gen_params),
	KUNIT_CASE_PARAM(device_may_say_that_it_cannot, call_gen_params),
	KUNIT_CASE_PARAM(device_may_forget_zeroes, call_gen_params),
	KUNIT_CASE_PARAM(range_that_cannot_be_fails, call_gen_params),
	KUNIT_CASE_PARAM(flush_is_free_without_a_cache, call_gen_params),
	KUNIT_CASE_PARAM(results_hold_without_memory, short_case_gen_params),
	{}
};

struct kunit_suite ops_suite = {
	.name = "dm_io_ops",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = ops_cases,
};
