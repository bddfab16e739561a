// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: tests of all operations and flags, of dm_io_submit(), and of what can
 * be seen of a request
 *
 * Three suites: dm_io_ops looks at what reaches the devices, those that can do
 * an operation and those that cannot; dm_io_submit holds the call that can do
 * it all against its contract; dm_io_trace watches the events and the counters.
 */
#include <linux/async.h>
#include <linux/bio.h>
#include <linux/blk-cgroup.h>
#include <linux/blk-crypto-profile.h>
#include <linux/blk-crypto.h>
#include <linux/blk-integrity.h>
#include <linux/blkdev.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/device/class.h>
#include <linux/ioprio.h>
#include <linux/iocontext.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <scsi/scsi_device.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"
#include "dm-io-test-disk.h"
#include "dm-io-test-io.h"
#include "dm-io-trace.h"

KUNIT_ARRAY_PARAM(call, calls, describe_call);

/*
 * Disks that can do everything, and what comes of a call
 */

#define ANY_SECTORS	(SZ_1M >> SECTOR_SHIFT)

static const struct test_disk_layout able = {
	.num_sectors = DISK_SECTORS,
	.discard_sectors = ANY_SECTORS,
	.discard_granularity = SECTOR_SIZE,
	.erase_sectors = ANY_SECTORS,
	.zeroes_sectors = ANY_SECTORS,
	.atomic_min = SZ_4K,
	.atomic_max = SZ_64K,
};

/* Operations that have sectors, but no buffer. */
static const struct range_op {
	const char *name;
	blk_opf_t opf;
	u8 leaves;		/* on a disk of ours */
	enum req_op op;
} range_ops[] = {
	{ "discard", REQ_OP_DISCARD, TEST_DISK_DISCARDED, REQ_OP_DISCARD },
	{ "secure erase", REQ_OP_SECURE_ERASE, TEST_DISK_ERASED,
	  REQ_OP_SECURE_ERASE },
	{ "write zeroes", REQ_OP_WRITE_ZEROES, 0, REQ_OP_WRITE_ZEROES },
	{ "write zeroes, no unmap", REQ_OP_WRITE_ZEROES | REQ_NOUNMAP, 0,
	  REQ_OP_WRITE_ZEROES },
};

static void describe_range_op(const struct range_op *op, char *desc)
{
	strscpy(desc, op->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(range_op, range_ops, describe_range_op);

static void set_limit(struct test_disk_layout *layout, enum req_op op,
		      unsigned int sectors)
{
	if (op == REQ_OP_DISCARD)
		layout->discard_sectors = sectors;
	else if (op == REQ_OP_SECURE_ERASE)
		layout->erase_sectors = sectors;
	else
		layout->zeroes_sectors = sectors;
}

static struct test_disk *new_able_disk(struct kunit *test)
{
	return new_disk(test, &able);
}

/* It can do everything but @op. */
static struct test_disk *new_unable_disk(struct kunit *test, enum req_op op)
{
	struct test_disk_layout layout = able;

	set_limit(&layout, op, 0);
	return new_disk(test, &layout);
}

/* Disks on which a region fails, each for its own reason, and a good one. */
struct reason_disks {
	struct test_disk *good, *bad, *read_only, *blocks;
};

static void new_reason_disks(struct kunit *test, struct reason_disks *disks)
{
	struct test_disk_layout layout = able;

	disks->good = new_able_disk(test);
	disks->bad = new_able_disk(test);
	disks->bad->bad_sectors = disks->bad->num_sectors;
	layout.read_only = true;
	disks->read_only = new_disk(test, &layout);
	layout.read_only = false;
	layout.block = SZ_4K;
	disks->blocks = new_disk(test, &layout);
}

/* To set up a disk again takes much less time than to take another one. */
static void set_up(struct kunit *test, struct test_disk *disk,
		   const struct test_disk_layout *layout)
{
	test_disk_calm_down(disk);
	KUNIT_ASSERT_EQ(test, test_disk_set_up(disk, layout), 0);
}

/* A call that has no buffer, and whose pointers to one lead nowhere. */
static struct io *new_op(struct kunit *test, enum call call, blk_opf_t opf)
{
	struct io *io = new_io(test, call, DM_IO_OPF(opf), NULL);

	if (call == SYNC_PAGES || call == ASYNC_PAGES || call == SYNC_ARGS ||
	    call == ASYNC_ARGS)
		io->pages = ERR_PTR(-EFAULT);
	io->bvec = ERR_PTR(-EFAULT);
	io->data = ERR_PTR(-EFAULT);
	return io;
}

/* The result of a call whose regions fail for these reasons, or 0. */
static int result_of(const struct io *io, const int *want, unsigned long *bits)
{
	bool killed = false, other = false;
	unsigned int i;

	*bits = 0;
	for (i = 0; i < io->num_regions; i++) {
		if (!want[i])
			continue;
		*bits |= BIT(i);
		killed |= want[i] == -EINTR;
		other |= want[i] != -EOPNOTSUPP;
	}
	if (!*bits)
		return 0;
	if (is_async(io->call))
		return -EIO;	/* that is how await() puts it */
	return killed ? -EINTR : other ? -EIO : -EOPNOTSUPP;
}

static void expect_reasons(struct kunit *test, const struct io *io,
			   const int *got, const int *want)
{
	unsigned int i;

	for (i = 0; i < io->num_regions; i++)
		KUNIT_EXPECT_EQ_MSG(test, got[i], want[i], "region %u", i);
	KUNIT_EXPECT_EQ_MSG(test, got[i], 0x55555555, "behind the last region");
}

/* Make the call, and compare everything that it says about its regions. */
static void perform_with(struct kunit *test, struct io *io, const int *want)
{
	unsigned long bits;
	int ret = result_of(io, want, &bits);

	KUNIT_EXPECT_EQ(test, perform(test, io), ret);
	KUNIT_EXPECT_EQ(test, io->error, bits);
	if (io->call == SYNC_ARGS || io->call == ASYNC_ARGS)
		expect_reasons(test, io, io->errors, want);
}

static void tell_case(struct kunit *test, const struct io *io, const char *what)
{
	KUNIT_ASSERT_EQ_MSG(test, test->status, KUNIT_SUCCESS, "%s, %s",
			    calls[io->call].name, what);
}

/* One bio like that has arrived, with exactly these flags. */
static void expect_bio(struct kunit *test, const struct test_disk *disk,
		       blk_opf_t opf, sector_t sector, sector_t count)
{
	unsigned int i, num = 0;

	for (i = 0; i < min(disk->num_bios, TEST_DISK_RECORDS); i++) {
		const struct test_bio *bio = &disk->bios[i];

		if (bio->sector != sector ||
		    bio->bytes != count << SECTOR_SHIFT)
			continue;
		num++;
		KUNIT_EXPECT_EQ(test, (__force u32)bio->opf, (__force u32)opf);
	}
	KUNIT_EXPECT_EQ_MSG(test, num, 1, "bios of %llu sectors from %llu",
			    count, sector);
}

static void expect_bytes(struct kunit *test, const struct test_disk *disk,
			 sector_t sector, sector_t count, u8 byte)
{
	all_bytes(test, disk->data + (sector << SECTOR_SHIFT), byte,
		  count << SECTOR_SHIFT, "on the disk");
}

/*
 * Suite dm_io_ops: operations without a buffer
 */

static void check_operation(struct kunit *test, struct test_disk *first,
			    struct test_disk *second, const struct range_op *op,
			    enum test_disk_end end)
{
	struct io *io = new_op(test, param_call(test), op->opf);

	set_up(test, first, &able);
	set_up(test, second, &able);
	first->end = end;
	second->end = end;
	add_region(io, first->bdev, 8, 16);
	add_region(io, second->bdev, 100, 1);
	add_region(io, NULL, 7, 0);
	add_region(io, first->bdev, 300, 50);
	perform_with(test, io, (int[]) { 0, 0, 0, 0 });

	KUNIT_EXPECT_EQ(test, first->num_bios, 2);
	KUNIT_EXPECT_EQ(test, second->num_bios, 1);
	expect_bio(test, first, op->opf, 8, 16);
	expect_bio(test, second, op->opf, 100, 1);
	expect_bio(test, first, op->opf, 300, 50);
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
	unsigned int i, r;

	get_reserve(test, 1);
	bad = new_able_disk(test);
	bad->end = END_IN_WORKER;
	bad->bad_sectors = bad->num_sectors;
	want[3] = -EIO;
	want[BITS_PER_LONG - 1] = -EIO;
	for (i = 0; i < ARRAY_SIZE(range_ops); i++) {
		const struct range_op *op = &range_ops[i];
		struct io *io = new_op(test, param_call(test), op->opf);

		test_disk_forget(disk);
		test_disk_forget(bad);
		for (r = 0; r < BITS_PER_LONG; r++)
			add_region(io, want[r] ? bad->bdev : disk->bdev,
				   3 + 10 * r, 8);
		perform_with(test, io, want);
		KUNIT_EXPECT_EQ(test, disk->num_bios, BITS_PER_LONG - 2);
		KUNIT_EXPECT_EQ(test, bad->num_bios, 2);
		for (r = 0; r < BITS_PER_LONG; r++) {
			if (!want[r])
				expect_bytes(test, disk, 3 + 10 * r, 8,
					     op->leaves);
			expect_untouched(test, disk, 11 + 10 * r, 13 + 10 * r);
		}
		tell_case(test, io, op->name);
	}
}

static void range_call_needs_a_reserve(struct kunit *test)
{
	struct test_disk *disk = new_able_disk(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(range_ops); i++) {
		struct io *io = new_op(test, param_call(test),
				       range_ops[i].opf);

		add_region(io, disk->bdev, 8, 16);
		expect_refused(test, io, -ENXIO);
	}
	KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
}

/*
 * Suite dm_io_ops: how long regions are split
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
	struct test_disk_layout layout = able;
	unsigned int most;
	struct io *io;
	u8 *touches;

	layout.block = split.block << SECTOR_SHIFT;
	layout.discard_granularity = split.granularity << SECTOR_SHIFT;
	layout.discard_alignment = split.alignment << SECTOR_SHIFT;
	set_limit(&layout, op->op, split.limit);
	set_up(test, disk, &layout);

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
	struct test_disk_layout layout = able;
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
		struct test_disk_layout layout = able;

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

/* Too many to keep a record of: do they follow each other? */
struct followed {
	sector_t next;
	unsigned int most;		/* sectors of a bio */
	unsigned int num_wrong;
	u64 kill_at;			/* a bio with which a signal comes */
	struct task_struct *task;
};

static void follow_bio(struct test_disk *disk, const struct bio *bio)
{
	struct followed *followed = disk->watch_context;

	if (bio->bi_iter.bi_sector != followed->next ||
	    bio_sectors(bio) > followed->most || !bio_sectors(bio))
		followed->num_wrong++;
	followed->next = bio_end_sector(bio);
	if (disk->num_bios == followed->kill_at)
		send_sig(SIGKILL, followed->task, 1);
}

#define TIB_SECTORS	((sector_t)(SZ_1T >> SECTOR_SHIFT))

/* A disk that keeps nothing, of two TiB and a bit. */
static struct test_disk *new_huge_disk(struct kunit *test, enum req_op op,
				       unsigned int limit,
				       struct followed *followed)
{
	struct test_disk_layout layout = {
		.num_sectors = 2 * TIB_SECTORS + 8,
		.no_data = true,
		.discard_granularity = SECTOR_SIZE,
	};
	struct test_disk *disk;

	set_limit(&layout, op, limit);
	disk = new_disk(test, &layout);
	*followed = (struct followed) { .next = 8, .most = limit };
	disk->watch = follow_bio;
	disk->watch_context = followed;
	return disk;
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
	struct test_disk_layout layout = able;
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
	struct test_disk_layout layout = able;
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
 * Suite dm_io_ops: what devices cannot do
 */

static void check_unable(struct kunit *test, struct test_disk **disks,
			 const struct range_op *op)
{
	struct test_disk *unable = disks[0], *good = disks[1], *bad = disks[2];
	struct io *io = new_op(test, param_call(test), op->opf);
	struct test_disk_layout layout = able;

	set_limit(&layout, op->op, 0);
	set_up(test, unable, &layout);
	set_up(test, good, &able);
	set_up(test, bad, &able);

	add_region(io, unable->bdev, 8, 16);
	perform_with(test, io, (int[]) { -EOPNOTSUPP });

	/* Others can. */
	add_region(io, good->bdev, 8, 16);
	perform_with(test, io, (int[]) { -EOPNOTSUPP, 0 });
	expect_bio(test, good, op->opf, 8, 16);
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
	struct test_disk_layout layout = able;

	set_limit(&layout, op->op, 16);
	set_up(test, disk, &layout);
	disk->bad_status = BLK_STS_NOTSUPP;
	disk->bad_sector = 20;
	disk->bad_sectors = 1;
	disk->end = end;
	set_up(test, bad, &able);
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

			set_up(test, disk, &able);
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
	expect_bio(test, cached, REQ_OP_WRITE | REQ_PREFLUSH, 0, 0);

	test_disk_forget(cached);
	fill_buffer(buffer, seed);
	io = new_io(test, param_call(test),
		    DM_IO_OPF(REQ_OP_WRITE | REQ_PREFLUSH | REQ_FUA), buffer);
	add_region(io, disk->bdev, 8, 8);
	add_region(io, cached->bdev, 8, 8);
	perform_with(test, io, (int[]) { 0, 0 });
	expect_bio(test, disk, REQ_OP_WRITE, 8, 8);
	expect_bio(test, cached, REQ_OP_WRITE | REQ_PREFLUSH | REQ_FUA, 8, 8);
	expect_on_disk(test, disk, 8, bytes_of(seed), SZ_4K);
	expect_on_disk(test, cached, 8, bytes_of(seed), SZ_4K);
}

/*
 * Suite dm_io_ops: flags
 */

#define COMMON_FLAGS	(REQ_SYNC | REQ_META | REQ_PRIO | REQ_IDLE |	\
			 REQ_BACKGROUND)

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
		return !(flags & ~(COMMON_FLAGS | REQ_RAHEAD));
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
			expect_bio(test, disk, REQ_OP_WRITE | REQ_PREFLUSH |
				   (opf & ~REQ_OP_MASK), 0, 0);
		else
			expect_bio(test, disk, opf, 8, 8);
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
				(__force u32)(i ? opf & ~REQ_PREFLUSH : opf));
	for (i = 0; i < other->num_bios; i++)
		KUNIT_EXPECT_EQ(test, (__force u32)other->bios[i].opf,
				(__force u32)(i ? opf & ~REQ_PREFLUSH : opf));
	/* An array of the caller's needs no table. */
	if (param_call(test) == SYNC_PAGES || param_call(test) == ASYNC_PAGES)
		KUNIT_EXPECT_GE(test, disk->num_bios, 3);
	end_shortage(test, &shortage);
}

#ifdef REQ_ATOMIC

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
	struct test_disk_layout layout = able;
	unsigned int seed = new_seed();
	struct io *io;

	layout.max_segments = write->max_segments;
	set_up(test, disk, &layout);
	set_up(test, other, &able);
	fill_buffer(buffer, seed);
	io = new_io(test, call, DM_IO_OPF(ATOMIC_WRITE), buffer);
	add_region(io, other->bdev, 8, 8);
	add_region(io, disk->bdev, write->sector, count);
	if (write->good) {
		perform_with(test, io, (int[]) { 0, 0 });
		KUNIT_EXPECT_EQ(test, other->num_bios, 1);
		KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
		expect_bio(test, disk, ATOMIC_WRITE, write->sector, count);
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
		expect_bio(test, disk, ATOMIC_WRITE, 0, SZ_1M >> SECTOR_SHIFT);

		test_disk_forget(disk);
		io->regions[0].count = SZ_2M >> SECTOR_SHIFT;
		if (call == SYNC_BVEC || call == ASYNC_BVEC ||
		    call == SYNC_BIO || call == ASYNC_BIO) {
			perform_with(test, io, (int[]) { 0 });
			KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
			expect_bio(test, disk, ATOMIC_WRITE, 0,
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

#endif

/*
 * Suite dm_io_ops: disks of the kernel
 */

static void put_device_of(void *data)
{
	put_device(data);
}

#if IS_REACHABLE(CONFIG_SCSI)

static int is_scsi_debug(struct device *device, const void *data)
{
	struct device *parent = device->parent;

	return parent && parent->bus && !strcmp(parent->bus->name, "scsi") &&
	       !strncmp(to_scsi_device(parent)->model, "scsi_debug", 10);
}

/* Its driver finds it some time after the kernel has started. */
static struct block_device *find_scsi_debug(struct kunit *test)
{
	struct device *like = disk_to_dev(new_plain_disk(test)->disk);
	unsigned long deadline = jiffies + LIMIT / 4;
	struct device *device;

	wait_for_device_probe();
	async_synchronize_full();
	do {
		device = class_find_device(like->class, NULL, NULL,
					   is_scsi_debug);
		if (!device)
			msleep(50);
	} while (!device && time_before(jiffies, deadline));
	if (!device)
		return NULL;
	defer(test, put_device_of, device);
	KUNIT_ASSERT_PTR_EQ(test, dev_to_bdev(device)->bd_holder, NULL);
	return dev_to_bdev(device);
}

#else

static struct block_device *find_scsi_debug(struct kunit *test)
{
	return NULL;
}

#endif

static struct block_device *find_brd(struct kunit *test)
{
	return find_disk(test, "ram0");
}

static struct block_device *find_null_blk(struct kunit *test)
{
	return find_disk(test, "nullb0");
}

enum device_op { DISCARD = BIT(0), ZEROES = BIT(1), ATOMIC_WRITES = BIT(2) };

/* What a device has to be able to do, and the parameter that lets it. */
static const struct kernel_device {
	const char *name;
	struct block_device *(*find)(struct kunit *test);
	unsigned int able;
	const char *parameters;
} kernel_devices[] = {
	{ "brd", find_brd, 0, "" },
	{ "null_blk", find_null_blk, DISCARD,
	  "null_blk.memory_backed=1 null_blk.discard=1" },
	{ "scsi_debug", find_scsi_debug, DISCARD | ZEROES,
	  "scsi_debug.lbpu=1 scsi_debug.lbpws=1 scsi_debug.delay=0" },
};

static void describe_kernel_device(const struct kernel_device *device,
				   char *desc)
{
	strscpy(desc, device->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(kernel_device, kernel_devices, describe_kernel_device);

static struct block_device *open_kernel_device(struct kunit *test)
{
	const struct kernel_device *device = test->param_value;
	struct block_device *bdev = device->find(test);

	if (!bdev || ((device->able & DISCARD) &&
		      !bdev_max_discard_sectors(bdev)) ||
	    ((device->able & ZEROES) && !bdev_write_zeroes_sectors(bdev)))
		kunit_skip(test, "boot the kernel with %s", device->parameters);
	return bdev;
}

static bool can_do(struct block_device *bdev, enum req_op op)
{
	if (op == REQ_OP_DISCARD)
		return bdev_max_discard_sectors(bdev);
	if (op == REQ_OP_SECURE_ERASE)
		return bdev_max_secure_erase_sectors(bdev);
	return bdev_write_zeroes_sectors(bdev);
}

/* The area that an operation is tried in, of pages. */
#define AREA_SECTORS	(SZ_256K >> SECTOR_SHIFT)
#define HOLE_FROM	64
#define HOLE_SECTORS	(AREA_SECTORS - 3 * HOLE_FROM)

static void check_kernel_device(struct kunit *test, struct block_device *bdev,
				enum call call, const struct range_op *op)
{
	unsigned int seed = new_seed();
	size_t from = HOLE_FROM << SECTOR_SHIFT;
	size_t end = (HOLE_FROM + HOLE_SECTORS) << SECTOR_SHIFT;
	bool able = can_do(bdev, op->op);
	struct io *io = new_op(test, call, op->opf);
	u8 *data = test_alloc(test, SZ_256K);

	memcpy(data, bytes_of(seed), SZ_256K);
	KUNIT_ASSERT_EQ(test, 0,
			plain_io(bdev, REQ_OP_WRITE, 0, data, SZ_256K));

	/* In two regions, with nothing in between. */
	add_region(io, bdev, HOLE_FROM, HOLE_SECTORS / 2);
	add_region(io, bdev, HOLE_FROM + HOLE_SECTORS / 2, HOLE_SECTORS / 2);
	if (able)
		perform_with(test, io, (int[]) { 0, 0 });
	else
		perform_with(test, io, (int[]) { -EOPNOTSUPP, -EOPNOTSUPP });

	memset(data, GUARD, SZ_256K);
	KUNIT_ASSERT_EQ(test, plain_io(bdev, REQ_OP_READ, 0, data, SZ_256K), 0);
	same_bytes(test, data, bytes_of(seed), from, "before the region");
	if (able)
		all_bytes(test, data + from, 0, end - from, "the region");
	else
		same_bytes(test, data + from, bytes_of(seed) + from, end - from,
			   "the region");
	same_bytes(test, data + end, bytes_of(seed) + end, SZ_256K - end,
		   "behind the region");
	tell_case(test, io, op->name);
}

static void device_does_what_it_can(struct kunit *test)
{
	struct block_device *bdev = open_kernel_device(test);
	enum call call;
	unsigned int i;

	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++)
		for (i = 0; i < ARRAY_SIZE(range_ops); i++)
			check_kernel_device(test, bdev, call, &range_ops[i]);
}

static void device_is_flushed(struct kunit *test)
{
	struct block_device *bdev = open_kernel_device(test);
	struct buffer *buffer = new_buffer(test, SZ_16K, 0);
	enum call call;

	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++) {
		struct io *io = new_op(test, call, REQ_OP_FLUSH);
		unsigned int seed = new_seed();

		add_region(io, bdev, 0, 0);
		perform_with(test, io, (int[]) { 0 });

		fill_buffer(buffer, seed);
		io = new_io(test, call, DM_IO_OPF(REQ_OP_WRITE | REQ_PREFLUSH |
						  REQ_FUA), buffer);
		add_region(io, bdev, 64, SZ_16K >> SECTOR_SHIFT);
		perform_with(test, io, (int[]) { 0 });
		memset(buffer->data, GUARD, SZ_16K);
		KUNIT_EXPECT_EQ(test, plain_io(bdev, REQ_OP_READ, 64,
					       buffer->data, SZ_16K), 0);
		same_bytes(test, buffer->data, bytes_of(seed), SZ_16K,
			   "on the disk");
	}
}

#ifdef REQ_ATOMIC

static void scsi_debug_writes_atomically(struct kunit *test)
{
	struct buffer *buffer = new_buffer(test, SZ_16K, 0);
	struct block_device *bdev = find_scsi_debug(test);
	const struct queue_limits *limits;
	unsigned int bytes;
	enum call call;

	if (!bdev || !bdev_get_queue(bdev)->limits.atomic_write_unit_max)
		kunit_skip(test, "boot the kernel with scsi_debug.atomic_wr=1");
	limits = &bdev_get_queue(bdev)->limits;
	bytes = min_t(unsigned int, SZ_16K, limits->atomic_write_unit_max);
	KUNIT_ASSERT_GE(test, bytes, limits->atomic_write_unit_min);

	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++) {
		struct io *io = new_io(test, call, DM_IO_OPF(ATOMIC_WRITE),
				       buffer);
		unsigned int seed = new_seed();

		fill_buffer(buffer, seed);
		add_region(io, bdev, 64, bytes >> SECTOR_SHIFT);
		perform_with(test, io, (int[]) { 0 });
		memset(buffer->data, GUARD, SZ_16K);
		KUNIT_EXPECT_EQ(test, plain_io(bdev, REQ_OP_READ, 64,
					       buffer->data, bytes), 0);
		same_bytes(test, buffer->data, bytes_of(seed), bytes,
			   "on the disk");

		io->regions[0].sector = 65;
		expect_refused(test, io, -EINVAL);
		tell_case(test, io, "atomic write");
	}
}

#endif

static struct kunit_case ops_cases[] = {
	KUNIT_CASE_PARAM(operation_reaches_its_devices, call_gen_params),
	KUNIT_CASE_PARAM(each_region_of_an_operation_has_its_bit,
			 call_gen_params),
	KUNIT_CASE_PARAM(range_call_needs_a_reserve, call_gen_params),
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
	KUNIT_CASE_PARAM(each_flag_is_allowed_or_refused, call_gen_params),
	KUNIT_CASE_PARAM(each_piece_of_a_durable_write_is, call_gen_params),
	KUNIT_CASE_PARAM(device_does_what_it_can, kernel_device_gen_params),
	KUNIT_CASE_PARAM(device_is_flushed, kernel_device_gen_params),
#ifdef REQ_ATOMIC
	KUNIT_CASE_PARAM(atomic_write_is_one_or_none, atomic_write_gen_params),
	KUNIT_CASE(atomic_write_fits_into_a_table),
	KUNIT_CASE_PARAM(atomic_write_needs_a_device_that_can, call_gen_params),
	KUNIT_CASE(scsi_debug_writes_atomically),
#endif
	{}
};

/*
 * Suite dm_io_submit
 */

/* What the buffer of dm_io_submit() can be. */
enum buffer_kind { PAGE_LIST, BVEC, DATA, BIO, NUM_KINDS };

static const struct submit_param {
	const char *name;
	enum call call;
	enum buffer_kind kind;
} submit_params[] = {
	{ "page list", SYNC_ARGS, PAGE_LIST },
	{ "page list, with a callback", ASYNC_ARGS, PAGE_LIST },
	{ "bvec", SYNC_ARGS, BVEC },
	{ "bvec, with a callback", ASYNC_ARGS, BVEC },
	{ "data", SYNC_ARGS, DATA },
	{ "data, with a callback", ASYNC_ARGS, DATA },
	{ "bio", SYNC_ARGS, BIO },
	{ "bio, with a callback", ASYNC_ARGS, BIO },
};

static void describe_submit(const struct submit_param *param, char *desc)
{
	strscpy(desc, param->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(submit, submit_params, describe_submit);

static const struct call_info args_calls[] = {
	{ SYNC_ARGS, "dm_io_submit" },
	{ ASYNC_ARGS, "dm_io_submit with a callback" },
};

KUNIT_ARRAY_PARAM(args_call, args_calls, describe_call);

static const struct call_info bio_calls[] = {
	{ SYNC_BIO, "dm_io_sync_bio" },
	{ ASYNC_BIO, "dm_io_async_bio" },
	{ SYNC_ARGS, "dm_io_submit" },
	{ ASYNC_ARGS, "dm_io_submit with a callback" },
};

KUNIT_ARRAY_PARAM(bio_call, bio_calls, describe_call);

static void add_buffer(struct io *io, enum buffer_kind kind,
		       struct buffer *buffer)
{
	io->own_buffer = true;
	switch (kind) {
	case PAGE_LIST:
		io->args.pl = buffer->pages;
		io->args.offset = buffer->offset;
		break;
	case BVEC:
		io->args.bvec = buffer->bvec;
		break;
	case DATA:
		io->args.data = buffer->data;
		break;
	default:
		io->args.bio = &buffer->bio;
		break;
	}
}

static struct io *new_submit(struct kunit *test, enum call call, blk_opf_t opf,
			     enum buffer_kind kind, struct buffer *buffer)
{
	struct io *io = new_io(test, call, DM_IO_OPF(opf), NULL);

	add_buffer(io, kind, buffer);
	return io;
}

static void each_buffer_moves(struct kunit *test)
{
	static const size_t sizes[] = {
		SECTOR_SIZE, SZ_4K, SZ_64K + SZ_1K, SZ_1M + SZ_512K
	};
	const struct submit_param *param = test->param_value;
	struct test_disk_layout layout = {
		.num_sectors = SZ_4M >> SECTOR_SHIFT,
		.any_alignment = true,
	};
	struct test_disk *disk = new_disk(test, &layout);
	unsigned int i;

	get_reserve(test, 1);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct buffer *buffer = new_buffer(test, sizes[i], 77);
		sector_t count = sizes[i] >> SECTOR_SHIFT;
		struct io *io = new_submit(test, param->call, REQ_OP_WRITE,
					   param->kind, buffer);
		unsigned int seed = new_seed();

		disk->end = i % END_WHEN_TOLD;
		fill_buffer(buffer, seed);
		add_region(io, disk->bdev, 3, count);
		add_region(io, disk->bdev, 4 + count, count);
		perform_with(test, io, (int[]) { 0, 0 });
		expect_on_disk(test, disk, 3, bytes_of(seed), sizes[i]);
		expect_on_disk(test, disk, 4 + count, bytes_of(seed), sizes[i]);
		same_bytes(test, buffer->data, bytes_of(seed), sizes[i],
			   "the buffer, afterwards");

		seed = new_seed();
		fill_disk(disk, 3, seed, sizes[i]);
		io->num_regions = 1;
		io->rw = READ;
		perform_with(test, io, (int[]) { 0 });
		same_bytes(test, buffer->data, bytes_of(seed), sizes[i],
			   "what was read");
		expect_guards(test, buffer);
	}
}

static void expect_submit_refused(struct kunit *test, struct io *io,
				  struct test_disk *disk, const char *what)
{
	expect_refused(test, io, -EINVAL);
	KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
	if (!is_async(io->call)) {
		io->error_bits = NULL;
		submit(test, io);
		KUNIT_EXPECT_EQ(test, io->ret, -EINVAL);
		io->error_bits = &io->error;
	}
	KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
	tell_case(test, io, what);
}

static void one_buffer_is_enough(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	unsigned int kinds;

	get_reserve(test, 1);
	for (kinds = 0; kinds < BIT(NUM_KINDS); kinds++) {
		struct io *io = new_io(test, param_call(test), WRITE, NULL);
		enum buffer_kind kind;

		test_disk_forget(disk);
		io->own_buffer = true;
		for (kind = 0; kind < NUM_KINDS; kind++)
			if (kinds & BIT(kind))
				add_buffer(io, kind, buffer);
		add_region(io, disk->bdev, 8, 8);
		if (hweight32(kinds) == 1) {
			perform_with(test, io, (int[]) { 0 });
			KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
		} else {
			expect_submit_refused(test, io, disk, "buffers");
		}
	}
}

static void unknown_arguments_are_refused(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	enum buffer_kind kind;
	struct io *io;
	unsigned int i;

	get_reserve(test, 1);
	KUNIT_EXPECT_EQ(test, dm_io_submit(NULL), -EINVAL);
	for (kind = 0; kind < NUM_KINDS; kind++) {
		io = new_submit(test, param_call(test), REQ_OP_WRITE, kind,
				buffer);
		add_region(io, disk->bdev, 8, 8);
		for (i = 0; i < 32; i++) {
			io->args.flags = BIT(i);
			if (io->args.flags == DM_IO_KILLABLE)
				continue;
			expect_submit_refused(test, io, disk, "flag");
			io->args.flags |= DM_IO_KILLABLE;
			expect_submit_refused(test, io, disk, "flags");
		}
		io->args.flags = 0;

		/* There are four classes. */
		for (i = IOPRIO_CLASS_IDLE + 1; i < 8; i++) {
			io->args.ioprio = IOPRIO_PRIO_VALUE(i, 0);
			expect_submit_refused(test, io, disk, "class");
			io->args.ioprio = IOPRIO_PRIO_VALUE(i, 5);
			expect_submit_refused(test, io, disk, "class");
		}
		io->args.ioprio = 0;
		if (kind != PAGE_LIST) {
			io->args.offset = SECTOR_SIZE;
			expect_submit_refused(test, io, disk, "offset");
		}
	}

	/* The same without a buffer. */
	io = new_io(test, param_call(test), DM_IO_OPF(REQ_OP_FLUSH), NULL);
	io->own_buffer = true;
	add_region(io, disk->bdev, 8, 8);
	io->args.offset = SECTOR_SIZE;
	expect_submit_refused(test, io, disk, "offset");
	io->args.offset = 0;
	io->args.flags = BIT(31);
	expect_submit_refused(test, io, disk, "flag");
	io->args.flags = 0;
	io->rw = WRITE;
	expect_submit_refused(test, io, disk, "no buffer");
}

static void expect_ioprio(struct kunit *test, struct test_disk *disk,
			  unsigned int ioprio)
{
	unsigned int i;

	KUNIT_EXPECT_GE(test, disk->num_bios, 1);
	for (i = 0; i < disk->num_bios; i++)
		KUNIT_EXPECT_EQ(test, disk->bios[i].ioprio, ioprio);
	test_disk_forget(disk);
}

static void check_ioprio(struct kunit *test, struct io *io,
			 struct test_disk *disk)
{
	const unsigned int values[] = {
		IOPRIO_PRIO_VALUE(IOPRIO_CLASS_RT, 0),
		IOPRIO_PRIO_VALUE(IOPRIO_CLASS_RT, 7),
		IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 3),
		IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0),
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		io->args.ioprio = values[i];
		perform_with(test, io, (int[]) { 0, 0 });
		expect_ioprio(test, disk, values[i]);
	}
	io->args.ioprio = 0;
}

/* With each buffer, and with each operation that has none. */
static void ioprio_reaches_the_device(struct kunit *test)
{
	struct test_disk_layout layout = able;
	struct buffer *buffer = new_buffer(test, SZ_64K, 0);
	unsigned int own = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 6);
	struct test_disk *disk;
	enum buffer_kind kind;
	unsigned int i;
	struct io *io;

	get_reserve(test, 1);
	layout.discard_sectors = 16;
	disk = new_disk(test, &layout);
	buffer->bio.bi_ioprio = own;
	for (kind = 0; kind < NUM_KINDS; kind++) {
		io = new_submit(test, param_call(test), REQ_OP_WRITE, kind,
				buffer);
		add_region(io, disk->bdev, 8, 128);
		add_region(io, disk->bdev, 200, 1);
		check_ioprio(test, io, disk);
		if (kind == BIO) {
			perform_with(test, io, (int[]) { 0, 0 });
			expect_ioprio(test, disk, own);
		}
	}

	for (i = 0; i < ARRAY_SIZE(range_ops); i++) {
		io = new_submit(test, param_call(test), range_ops[i].opf, BIO,
				buffer);
		add_region(io, disk->bdev, 8, 128);
		add_region(io, disk->bdev, 200, 1);
		check_ioprio(test, io, disk);
		perform_with(test, io, (int[]) { 0, 0 });
		expect_ioprio(test, disk, own);
		tell_case(test, io, range_ops[i].name);
	}
	io = new_submit(test, param_call(test), REQ_OP_FLUSH, BIO, buffer);
	add_region(io, disk->bdev, 0, 0);
	add_region(io, disk->bdev, 0, 0);
	check_ioprio(test, io, disk);
}

/* A task of its own, which may be given a priority, or be killed. */
struct task {
	struct io *io;
	unsigned int ioprio;
	struct completion start, ended;
	int ret;
};

static int run_task(void *data)
{
	struct task *task = data;

	allow_signal(SIGKILL);
	wait_for_completion(&task->start);
	if (task->ioprio)
		task->ret = set_task_ioprio(current, task->ioprio);
	make_call(task->io);
	flush_signals(current);
	complete(&task->ended);
	return 0;
}

static struct task *new_task(struct kunit *test, struct io *io,
			     struct task_struct **thread)
{
	struct task *task = test_alloc(test, sizeof(*task));

	task->io = io;
	init_completion(&task->start);
	init_completion(&task->ended);
	*thread = kthread_run(run_task, task, "dm-io-test");
	KUNIT_ASSERT_FALSE(test, IS_ERR(*thread));
	return task;
}

/* Returns what perform() would have returned. */
static int finish_task(struct kunit *test, struct task *task)
{
	struct io *io = task->io;

	complete(&task->start);
	if (!wait_for_completion_timeout(&task->ended, LIMIT))
		give_up(test, "a call of a task");
	if (is_async(io->call) && !io->ret)
		io->wanted_ends++;
	return await(test, io);
}

static void ioprio_is_that_of_the_task(struct kunit *test)
{
	unsigned int ioprio = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 1);
	struct test_disk *disk = new_able_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct task_struct *thread;
	struct task *task;
	enum buffer_kind kind;
	struct io *io;

	get_reserve(test, 1);
	for (kind = 0; kind < NUM_KINDS; kind++) {
		io = new_submit(test, param_call(test), REQ_OP_WRITE, kind,
				buffer);
		add_region(io, disk->bdev, 8, 8);
		task = new_task(test, io, &thread);
		task->ioprio = ioprio;
		KUNIT_EXPECT_EQ(test, finish_task(test, task), 0);
		KUNIT_EXPECT_EQ(test, task->ret, 0);
		expect_ioprio(test, disk, ioprio);
	}
	io = new_op(test, param_call(test), REQ_OP_DISCARD);
	io->own_buffer = true;
	add_region(io, disk->bdev, 8, 8);
	task = new_task(test, io, &thread);
	task->ioprio = ioprio;
	KUNIT_EXPECT_EQ(test, finish_task(test, task), 0);
	expect_ioprio(test, disk, ioprio);
}

/*
 * Suite dm_io_submit: reasons
 */

/* The reasons as the callback sees them. */
struct reasons {
	struct io *io;
	int errors[BITS_PER_LONG + 1];
};

static void note_reasons(unsigned long error, void *context)
{
	struct io *io = context;
	struct reasons *reasons = io->private;

	memcpy(reasons->errors, io->errors, sizeof(reasons->errors));
	note_end(error, context);
}

static const struct status_param {
	const char *name;
	blk_status_t status;
	int error;
} status_params[] = {
	{ "I/O error", BLK_STS_IOERR, -EIO },
	{ "no space", BLK_STS_NOSPC, -ENOSPC },
	{ "timeout", BLK_STS_TIMEOUT, -ETIMEDOUT },
	{ "transport", BLK_STS_TRANSPORT, -ENOLINK },
	{ "target", BLK_STS_TARGET, -EREMOTEIO },
	{ "medium", BLK_STS_MEDIUM, -ENODATA },
	{ "protection", BLK_STS_PROTECTION, -EILSEQ },
	{ "resource", BLK_STS_RESOURCE, -ENOMEM },
	{ "not supported", BLK_STS_NOTSUPP, -EOPNOTSUPP },
};

static void describe_status(const struct status_param *param, char *desc)
{
	strscpy(desc, param->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(status, status_params, describe_status);

static void check_reasons(struct kunit *test, const struct reason_disks *disks,
			  enum call call, blk_opf_t opf, enum test_disk_end end)
{
	const struct status_param *param = test->param_value;
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct reasons *reasons = test_alloc(test, sizeof(*reasons));
	struct test_disk *good = disks->good, *bad = disks->bad;
	int want[] = { 0, param->error, -ERANGE, 0, -EROFS, -EINVAL,
		       param->error, 0 };
	struct io *io;

	bad->bad_status = param->status;
	bad->end = end;
	good->end = end;
	test_disk_forget(bad);
	test_disk_forget(good);

	io = new_submit(test, call, opf, PAGE_LIST, buffer);
	io->fn = note_reasons;
	io->private = reasons;
	add_region(io, good->bdev, 8, 8);
	add_region(io, bad->bdev, 8, 8);
	add_region(io, good->bdev, DISK_SECTORS, 1);
	add_region(io, NULL, 0, 0);
	add_region(io, disks->read_only->bdev, 8, 8);
	add_region(io, disks->blocks->bdev, 4, 8);
	add_region(io, bad->bdev, 100, 8);
	add_region(io, good->bdev, 100, 8);
	perform_with(test, io, want);
	if (is_async(call))
		expect_reasons(test, io, reasons->errors, want);
	KUNIT_EXPECT_EQ(test, good->num_bios, 2);
	KUNIT_EXPECT_EQ(test, bad->num_bios, 2);

	/* Alone, and of a read. */
	io->num_regions = 1;
	io->regions[0].bdev = bad->bdev;
	perform_with(test, io, (int[]) { param->error });
	if (opf == REQ_OP_WRITE) {
		io->rw = READ;
		perform_with(test, io, (int[]) { param->error });
		io->regions[0].bdev = good->bdev;
		perform_with(test, io, (int[]) { 0 });
		io->regions[0].sector = U64_MAX;
		perform_with(test, io, (int[]) { -ERANGE });
	}

	tell_case(test, io, param->name);
}

static void each_region_has_its_reason(struct kunit *test)
{
	struct reason_disks disks;
	enum test_disk_end end;
	enum call call;

	get_reserve(test, 1);
	new_reason_disks(test, &disks);
	for (end = END_AT_ONCE; end <= END_IN_HARDIRQ; end++) {
		for (call = SYNC_ARGS; call <= ASYNC_ARGS; call++) {
			check_reasons(test, &disks, call, REQ_OP_WRITE, end);
			check_reasons(test, &disks, call, REQ_OP_DISCARD, end);
		}
	}
}

/* One device cannot take the buffer, another one can. */
static void buffer_may_be_the_reason(struct kunit *test)
{
	struct test_disk *sectors = new_plain_disk(test);
	struct test_disk *bytes = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = DISK_SECTORS,
		.any_alignment = true,
	});
	struct buffer *buffer = new_buffer(test, SZ_4K, 100);
	struct io *io = new_submit(test, param_call(test), REQ_OP_WRITE,
				   PAGE_LIST, buffer);

	get_reserve(test, 1);
	add_region(io, sectors->bdev, 8, 8);
	add_region(io, bytes->bdev, 8, 8);
	perform_with(test, io, (int[]) { -EINVAL, 0 });
	KUNIT_EXPECT_EQ(test, sectors->num_bios, 0);
	KUNIT_EXPECT_EQ(test, bytes->num_bios, 1);
}

/* What is mapped ends in the midst of it, long after the first bio. */
static void missing_memory_is_a_reason(struct kunit *test)
{
	unsigned int num = 400, i;
	struct page **pages = test_alloc(test, num * sizeof(*pages));
	struct buffer *buffer = new_buffer(test, PAGE_SIZE, 0);
	struct test_disk_layout layout = {
		.num_sectors = SZ_4M >> SECTOR_SHIFT,
		.no_data = true,
	};
	struct test_disk *disk = new_disk(test, &layout);
	struct io *io;
	void *data;

	/* The area that vmap() makes has a page behind it which is none. */
	for (i = 0; i < num; i++)
		pages[i] = page_at(buffer->data);
	data = vmap(pages, num, VM_MAP, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, data);
	get_reserve(test, 1);

	io = new_io(test, param_call(test), WRITE, NULL);
	io->own_buffer = true;
	io->args.data = data;
	add_region(io, disk->bdev, 0, (num + 1) * PAGE_SECTORS);
	add_region(io, disk->bdev, 0, PAGE_SECTORS);
	perform_with(test, io, (int[]) { -EFAULT, 0 });
	KUNIT_EXPECT_GE(test, disk->num_bios, 2);
	vunmap(data);
}

/*
 * Suite dm_io_submit: whoever makes the call is killed
 */

#define KILL_AT		200

/* The short region is done by then, the others are not. */
static void check_kill(struct kunit *test, enum call call, unsigned int flags,
		       bool killed)
{
	const struct range_op *op = test->param_value;
	sector_t count = killed ? 2 * TIB_SECTORS : 400 * 16;
	struct followed *followed = test_alloc(test, sizeof(*followed));
	struct test_disk *disk = new_huge_disk(test, op->op, 16, followed);
	struct test_disk *other = new_able_disk(test);
	struct io *io = new_op(test, call, op->opf);
	struct task_struct *thread;
	int want[] = { 0, 0 };
	unsigned long bits;
	struct task *task;

	io->own_buffer = true;
	io->args.flags = flags;
	add_region(io, other->bdev, 0, 16);
	add_region(io, disk->bdev, 8, count);
	task = new_task(test, io, &thread);
	followed->task = thread;
	followed->kill_at = KILL_AT;
	if (killed)
		want[1] = -EINTR;
	KUNIT_EXPECT_EQ(test, finish_task(test, task),
			result_of(io, want, &bits));
	KUNIT_EXPECT_EQ(test, io->error, bits);
	expect_reasons(test, io, io->errors, want);
	KUNIT_EXPECT_EQ(test, followed->num_wrong, 0);
	KUNIT_EXPECT_GE(test, disk->num_bios, KILL_AT);
	if (killed)
		KUNIT_EXPECT_LE(test, disk->num_bios, KILL_AT + 64);
	else
		KUNIT_EXPECT_EQ(test, followed->next, 8 + count);
	tell_case(test, io, op->name);
}

static void long_range_ends_when_killed(struct kunit *test)
{
	get_reserve(test, 1);
	check_kill(test, SYNC_ARGS, DM_IO_KILLABLE, true);
	check_kill(test, ASYNC_ARGS, DM_IO_KILLABLE, true);
	check_kill(test, SYNC_ARGS, 0, false);
	check_kill(test, ASYNC_ARGS, 0, false);
}

static void killed_call_needs_no_memory(struct kunit *test)
{
	struct shortage shortage;

	begin_shortage(test, &shortage);
	check_kill(test, SYNC_ARGS, DM_IO_KILLABLE, true);
	check_kill(test, ASYNC_ARGS, DM_IO_KILLABLE, true);
	end_shortage(test, &shortage);
}

/* A read or a write of several tables. What has not been read is zeroed. */
static void check_kill_of_data(struct kunit *test, enum call call, int rw,
			       bool killable)
{
	struct buffer *buffer = new_buffer(test, SZ_4M, 0);
	struct followed *followed = test_alloc(test, sizeof(*followed));
	struct test_disk_layout layout = {
		.num_sectors = (SZ_4M >> SECTOR_SHIFT) + 8,
	};
	struct test_disk *disk = new_disk(test, &layout);
	struct io *io = new_submit(test, call, (__force blk_opf_t)rw, PAGE_LIST,
				   buffer);
	int want[] = { killable ? -EINTR : 0 };
	size_t done = SZ_4M;
	struct task_struct *thread;
	unsigned long bits;
	struct task *task;

	*followed = (struct followed) { .next = 8, .most = UINT_MAX,
					.kill_at = 2 };
	disk->watch = follow_bio;
	disk->watch_context = followed;
	io->args.flags = killable ? DM_IO_KILLABLE : 0;
	add_region(io, disk->bdev, 8, SZ_4M >> SECTOR_SHIFT);
	task = new_task(test, io, &thread);
	followed->task = thread;
	KUNIT_EXPECT_EQ(test, finish_task(test, task),
			result_of(io, want, &bits));
	KUNIT_EXPECT_EQ(test, io->error, bits);
	expect_reasons(test, io, io->errors, want);
	KUNIT_EXPECT_EQ(test, followed->num_wrong, 0);
	if (killable)
		done = (followed->next - 8) << SECTOR_SHIFT;
	KUNIT_EXPECT_EQ(test, disk->num_bytes, done);
	if (killable)
		KUNIT_EXPECT_LT(test, done, SZ_4M);
	if (rw == READ) {
		all_bytes(test, buffer->data, TEST_DISK_FILLER, done,
			  "what was read");
		all_bytes(test, buffer->data + done, 0, SZ_4M - done,
			  "what was not read");
		expect_guards(test, buffer);
	}
	tell_case(test, io, rw == READ ? "read" : "write");
}

static void long_call_ends_when_killed(struct kunit *test)
{
	enum call call = param_call(test);

	get_reserve(test, 1);
	check_kill_of_data(test, call, WRITE, true);
	check_kill_of_data(test, call, READ, true);
	check_kill_of_data(test, call, READ, false);
}

/*
 * Suite dm_io_submit: what a bio carries
 */

/* What has arrived with the last bio, of what is not in every record. */
struct carried {
	unsigned int num;
	struct blkcg_gq *blkg;
	bool integrity;
	struct bvec_iter integrity_iter;
	unsigned int integrity_offset;
	struct page *integrity_page;
	bool crypt;
	const struct blk_crypto_key *key;
	u64 dun;
	struct bvec_iter iter;
};

static void note_carried(struct test_disk *disk, const struct bio *bio)
{
	struct carried *carried = disk->watch_context;

	carried->num++;
	carried->iter = bio->bi_iter;
#ifdef CONFIG_BLK_CGROUP
	carried->blkg = bio->bi_blkg;
#endif
#ifdef CONFIG_BLK_DEV_INTEGRITY
	if (bio->bi_opf & REQ_INTEGRITY) {
		struct bio_integrity_payload *payload = bio->bi_integrity;

		carried->integrity = true;
		carried->integrity_iter = payload->bip_iter;
		carried->integrity_page = payload->bip_vec->bv_page;
		carried->integrity_offset =
			mp_bvec_iter_offset(payload->bip_vec, payload->bip_iter);
	}
#endif
#ifdef CONFIG_BLK_INLINE_ENCRYPTION
	if (bio->bi_crypt_context) {
		carried->crypt = true;
		carried->key = bio->bi_crypt_context->bc_key;
		carried->dun = bio->bi_crypt_context->bc_dun[0];
	}
#endif
}

static struct carried *watch_carried(struct kunit *test, struct test_disk *disk)
{
	struct carried *carried = test_alloc(test, sizeof(*carried));

	disk->watch = note_carried;
	disk->watch_context = carried;
	return carried;
}

/* A call with the bio, which stands some sectors into its memory. */
static struct io *new_bio_io(struct kunit *test, blk_opf_t opf,
			     struct buffer *buffer)
{
	struct io *io = new_io(test, param_call(test), DM_IO_OPF(opf), NULL);

	io->bio = &buffer->bio;
	io->own_buffer = true;
	io->args.bio = &buffer->bio;
	return io;
}

#define BEFORE_SECTORS	3

static void stand_within(struct bio *bio)
{
	bvec_iter_advance(bio->bi_io_vec, &bio->bi_iter,
			  BEFORE_SECTORS << SECTOR_SHIFT);
}

#ifdef CONFIG_BLK_INLINE_ENCRYPTION

static void give_back_profile(void *data)
{
	struct test_disk *disk = data;

	disk->disk->queue->crypto_profile = NULL;
}

/* A disk that says it can encrypt. */
static void add_crypto_profile(struct kunit *test, struct test_disk *disk)
{
	struct blk_crypto_profile *profile = test_alloc(test, sizeof(*profile));

	KUNIT_ASSERT_EQ(test, blk_crypto_profile_init(profile, 0), 0);
	defer(test, (void (*)(void *))blk_crypto_profile_destroy, profile);
	profile->max_dun_bytes_supported = BLK_CRYPTO_MAX_IV_SIZE;
	profile->modes_supported[BLK_ENCRYPTION_MODE_AES_256_XTS] = ~0U;
#ifdef BLK_CRYPTO_MAX_RAW_KEY_SIZE
	profile->key_types_supported = BLK_CRYPTO_KEY_TYPE_RAW;
#endif
	disk->disk->queue->crypto_profile = profile;
	defer(test, give_back_profile, disk);
}

/* The numbers of data units go on with the data. */
static void bio_keeps_its_crypt_context(struct kunit *test)
{
	struct blk_crypto_key *key = test_alloc(test, sizeof(*key));
	struct bio_crypt_ctx *context = test_alloc(test, sizeof(*context));
	struct buffer *buffer = new_buffer(test, SZ_16K, 0);
	struct test_disk *disk = new_plain_disk(test);
	struct carried *carried;
	struct io *io;
	unsigned int i;

	get_reserve(test, 1);
	add_crypto_profile(test, disk);
	carried = watch_carried(test, disk);
	key->crypto_cfg.crypto_mode = BLK_ENCRYPTION_MODE_AES_256_XTS;
	key->crypto_cfg.data_unit_size = SECTOR_SIZE;
	key->crypto_cfg.dun_bytes = 8;
#ifdef BLK_CRYPTO_MAX_RAW_KEY_SIZE
	key->crypto_cfg.key_type = BLK_CRYPTO_KEY_TYPE_RAW;
#endif
#ifdef BLK_CRYPTO_CFG_ALLOW_HW
	key->crypto_cfg.flags = BLK_CRYPTO_CFG_ALLOW_HW;
#endif
	key->data_unit_size_bits = SECTOR_SHIFT;
	context->bc_key = key;
	context->bc_dun[0] = 1000;
	stand_within(&buffer->bio);
	buffer->bio.bi_crypt_context = context;

	io = new_bio_io(test, REQ_OP_WRITE, buffer);
	for (i = 0; i < 2; i++) {
		io->rw = i ? READ : WRITE;
		io->num_regions = 0;
		add_region(io, disk->bdev, 8, 20);
		perform_with(test, io, (int[]) { 0 });
		KUNIT_EXPECT_EQ(test, carried->num, i + 1);
		KUNIT_EXPECT_TRUE(test, carried->crypt);
		KUNIT_EXPECT_PTR_EQ(test, carried->key,
				    (const struct blk_crypto_key *)key);
		KUNIT_EXPECT_EQ(test, carried->dun, 1000);
		KUNIT_EXPECT_EQ(test, carried->iter.bi_size, 20 * SECTOR_SIZE);
	}
	KUNIT_EXPECT_PTR_EQ(test, buffer->bio.bi_crypt_context, context);
	KUNIT_EXPECT_EQ(test, context->bc_dun[0], 1000);
	buffer->bio.bi_crypt_context = NULL;
}

#endif

#ifdef CONFIG_BLK_DEV_INTEGRITY

/* A bio over the buffer, with integrity data, which has stood at the start. */
static struct bio *new_integrity_bio(struct kunit *test, struct buffer *buffer,
				     struct page *page)
{
	struct bio *bio = bio_alloc(NULL, 8, REQ_OP_WRITE, GFP_KERNEL);
	struct bio_integrity_payload *payload;

	memcpy(bio->bi_io_vec, buffer->bvec,
	       buffer->num_vecs * sizeof(*buffer->bvec));
	bio->bi_vcnt = buffer->num_vecs;
	bio->bi_iter.bi_size = buffer->bytes;
	payload = bio_integrity_alloc(bio, GFP_KERNEL, 1);
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(payload));

	/* Eight bytes for each sector, and on from those that are done. */
	bvec_set_page(&payload->bip_vec[0], page,
		      8 * (buffer->bytes >> SECTOR_SHIFT), 512);
	payload->bip_vcnt = 1;
	payload->bip_iter.bi_size = payload->bip_vec[0].bv_len;
	payload->bip_iter.bi_sector = 777;
	bvec_iter_advance(payload->bip_vec, &payload->bip_iter,
			  8 * BEFORE_SECTORS);
	stand_within(bio);
	return bio;
}

static void check_integrity(struct kunit *test, const struct carried *carried,
			    const struct page *page, unsigned int num_sectors)
{
	KUNIT_EXPECT_TRUE(test, carried->integrity);
	KUNIT_EXPECT_PTR_EQ(test, (const struct page *)carried->integrity_page,
			    page);
	KUNIT_EXPECT_EQ(test, carried->integrity_iter.bi_size, 8 * num_sectors);
	KUNIT_EXPECT_EQ(test, carried->integrity_offset,
			512 + 8 * BEFORE_SECTORS);
	KUNIT_EXPECT_EQ(test, carried->integrity_iter.bi_sector, 777);
}

/* A region may be shorter than the bio, and a device may have no such data. */
static void bio_keeps_its_integrity_data(struct kunit *test)
{
	struct test_disk_layout layout = {
		.num_sectors = DISK_SECTORS, .integrity_bytes = 8,
	};
	struct buffer *buffer = new_buffer(test, SZ_16K, 0);
	struct page *page = alloc_page(GFP_KERNEL);
	unsigned int seed = new_seed(), num = 32 - BEFORE_SECTORS;
	const u8 *bytes = bytes_of(seed) + BEFORE_SECTORS * SECTOR_SIZE;
	struct test_disk *disk, *shorter, *plain, *other;
	struct carried *carried, *trimmed;
	struct bio *bio;
	struct io *io;

	KUNIT_ASSERT_NOT_NULL(test, page);
	get_reserve(test, 1);
	disk = new_disk(test, &layout);
	shorter = new_disk(test, &layout);
	layout.integrity_bytes = 16;
	other = new_disk(test, &layout);
	plain = new_plain_disk(test);
	carried = watch_carried(test, disk);
	trimmed = watch_carried(test, shorter);
	fill_buffer(buffer, seed);
	bio = new_integrity_bio(test, buffer, page);

	io = new_bio_io(test, REQ_OP_WRITE, buffer);
	io->bio = bio;
	io->args.bio = bio;
	add_region(io, disk->bdev, 8, num);
	add_region(io, plain->bdev, 8, num);
	add_region(io, shorter->bdev, 100, 7);
	add_region(io, other->bdev, 8, num);
	perform_with(test, io, (int[]) { 0, -EOPNOTSUPP, 0, -EOPNOTSUPP });
	KUNIT_EXPECT_EQ(test, carried->num, 1);
	KUNIT_EXPECT_EQ(test, trimmed->num, 1);
	KUNIT_EXPECT_EQ(test, plain->num_bios, 0);
	KUNIT_EXPECT_EQ(test, other->num_bios, 0);
	check_integrity(test, carried, page, num);
	check_integrity(test, trimmed, page, 7);
	expect_on_disk(test, disk, 8, bytes, num * SECTOR_SIZE);
	expect_on_disk(test, shorter, 100, bytes, 7 * SECTOR_SIZE);
	expect_untouched(test, shorter, 107, shorter->num_sectors);

	/* The bio still has its own. */
	KUNIT_EXPECT_EQ(test, bio->bi_integrity->bip_iter.bi_size, 8 * num);
	bio_put(bio);
	__free_page(page);
}

#endif

#if defined(CONFIG_BLK_CGROUP) && IS_ENABLED(CONFIG_KPROBES)

/*
 * There are no cgroups but the root one, which every bio has anyway. So it
 * takes a look at who asks for the association of which bio.
 */
static struct bio *associated;
static atomic_t num_associated;

static int note_association(struct kprobe *probe, struct pt_regs *regs)
{
	if ((struct bio *)regs_get_kernel_argument(regs, 1) == associated)
		atomic_inc(&num_associated);
	return 0;
}

static void bio_keeps_its_block_cgroup(struct kunit *test)
{
	static const blk_opf_t opfs[] = {
		REQ_OP_WRITE, REQ_OP_DISCARD, REQ_OP_WRITE_ZEROES, REQ_OP_FLUSH
	};
	struct kprobe probe = {
		.symbol_name = "bio_clone_blkg_association",
		.pre_handler = note_association,
	};
	struct test_disk *disk = new_able_disk(test);
	struct test_disk *source = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_16K, 0);
	struct carried *carried = watch_carried(test, disk);
	struct bio *clone;
	unsigned int i;

	get_reserve(test, 1);
	bio_set_dev(&buffer->bio, source->bdev);
	bio_associate_blkg_from_css(&buffer->bio, blkcg_root_css);
	KUNIT_ASSERT_NOT_NULL(test, buffer->bio.bi_blkg);
	clone = bio_alloc_clone(disk->bdev, &buffer->bio, GFP_KERNEL,
				&fs_bio_set);
	KUNIT_ASSERT_NOT_NULL(test, clone);
	KUNIT_ASSERT_EQ(test, register_kprobe(&probe), 0);
	associated = &buffer->bio;

	for (i = 0; i < ARRAY_SIZE(opfs); i++) {
		struct io *io = new_bio_io(test, opfs[i], buffer);

		/* There are no such calls with a bio but the one for all. */
		if (i && io->call != SYNC_ARGS && io->call != ASYNC_ARGS)
			break;
		add_region(io, disk->bdev, 8, 8);
		add_region(io, disk->bdev, 100, 8);
		carried->blkg = NULL;
		atomic_set(&num_associated, 0);
		perform_with(test, io, (int[]) { 0, 0 });
		KUNIT_EXPECT_EQ(test, atomic_read(&num_associated), 2);
		KUNIT_EXPECT_PTR_EQ(test, carried->blkg, clone->bi_blkg);
	}
	unregister_kprobe(&probe);
	bio_put(clone);
	bio_uninit(&buffer->bio);
}

#endif

static struct kunit_case submit_cases[] = {
	KUNIT_CASE_PARAM(each_buffer_moves, submit_gen_params),
	KUNIT_CASE_PARAM(one_buffer_is_enough, args_call_gen_params),
	KUNIT_CASE_PARAM(unknown_arguments_are_refused, args_call_gen_params),
	KUNIT_CASE_PARAM(ioprio_reaches_the_device, args_call_gen_params),
	KUNIT_CASE_PARAM(ioprio_is_that_of_the_task, args_call_gen_params),
	KUNIT_CASE_PARAM(each_region_has_its_reason, status_gen_params),
	KUNIT_CASE_PARAM(buffer_may_be_the_reason, args_call_gen_params),
	KUNIT_CASE_PARAM(missing_memory_is_a_reason, args_call_gen_params),
	KUNIT_CASE_PARAM(long_range_ends_when_killed, range_op_gen_params),
	KUNIT_CASE_PARAM(killed_call_needs_no_memory, range_op_gen_params),
	KUNIT_CASE_PARAM(long_call_ends_when_killed, args_call_gen_params),
#ifdef CONFIG_BLK_INLINE_ENCRYPTION
	KUNIT_CASE_PARAM(bio_keeps_its_crypt_context, bio_call_gen_params),
#endif
#ifdef CONFIG_BLK_DEV_INTEGRITY
	KUNIT_CASE_PARAM(bio_keeps_its_integrity_data, bio_call_gen_params),
#endif
#if defined(CONFIG_BLK_CGROUP) && IS_ENABLED(CONFIG_KPROBES)
	KUNIT_CASE_PARAM(bio_keeps_its_block_cgroup, bio_call_gen_params),
#endif
	{}
};

/*
 * Suite dm_io_trace: events
 */

enum event {
	REQUEST_SUBMIT,
	BIO_SUBMIT,
	REGION_FAIL,
	REQUEST_COMPLETE,
	RESERVE_EMPTY,
	NUM_EVENTS
};

struct seen {
	enum event event;
	const void *request;
	unsigned int region;
	const struct block_device *bdev;
	blk_opf_t opf;
	sector_t sector;
	unsigned int num_sectors;
	unsigned int num_regions;
	u64 bytes;
	bool async;
	int error;
	unsigned long error_bits;
	u64 latency;
	unsigned int num_pages;
};

#define MAX_EVENTS	128U

static struct {
	spinlock_t lock;		/* of all that follows */
	unsigned int num;
	unsigned int num_of[NUM_EVENTS];
	struct seen seen[MAX_EVENTS];
} events = {
	.lock = __SPIN_LOCK_UNLOCKED(events.lock),
};

static void note_event(const struct seen *seen)
{
	unsigned long flags;

	spin_lock_irqsave(&events.lock, flags);
	if (events.num < MAX_EVENTS)
		events.seen[events.num] = *seen;
	events.num++;
	events.num_of[seen->event]++;
	spin_unlock_irqrestore(&events.lock, flags);
}

static void forget_events(void)
{
	spin_lock_irq(&events.lock);
	events.num = 0;
	memset(events.num_of, 0, sizeof(events.num_of));
	spin_unlock_irq(&events.lock);
}

static void see_request_submit(void *data, const void *request,
			       struct block_device *bdev, blk_opf_t opf,
			       unsigned int num_regions, u64 bytes, bool async)
{
	note_event(&(struct seen) {
		.event = REQUEST_SUBMIT, .request = request, .bdev = bdev,
		.opf = opf, .num_regions = num_regions, .bytes = bytes,
		.async = async,
	});
}

static void see_bio_submit(void *data, const void *request, unsigned int region,
			   const struct bio *bio)
{
	note_event(&(struct seen) {
		.event = BIO_SUBMIT, .request = request, .region = region,
		.bdev = bio->bi_bdev, .opf = bio->bi_opf,
		.sector = bio->bi_iter.bi_sector,
		.num_sectors = bio_sectors(bio),
	});
}

static void see_region_fail(void *data, const void *request,
			    unsigned int region, struct block_device *bdev,
			    blk_opf_t opf, sector_t sector, int error)
{
	note_event(&(struct seen) {
		.event = REGION_FAIL, .request = request, .region = region,
		.bdev = bdev, .opf = opf, .sector = sector, .error = error,
	});
}

static void see_request_complete(void *data, const void *request,
				 unsigned long error_bits, u64 latency)
{
	note_event(&(struct seen) {
		.event = REQUEST_COMPLETE, .request = request,
		.error_bits = error_bits, .latency = latency,
	});
}

static void see_reserve_empty(void *data, unsigned int num_pages)
{
	note_event(&(struct seen) {
		.event = RESERVE_EMPTY, .num_pages = num_pages,
	});
}

static void unwatch_events(void *data)
{
	unregister_trace_dm_io_request_submit(see_request_submit, NULL);
	unregister_trace_dm_io_bio_submit(see_bio_submit, NULL);
	unregister_trace_dm_io_region_fail(see_region_fail, NULL);
	unregister_trace_dm_io_request_complete(see_request_complete, NULL);
	unregister_trace_dm_io_reserve_empty(see_reserve_empty, NULL);
	tracepoint_synchronize_unregister();
}

static void watch_events(struct kunit *test)
{
	int ret = register_trace_dm_io_request_submit(see_request_submit, NULL);

	ret = ret ?: register_trace_dm_io_bio_submit(see_bio_submit, NULL);
	ret = ret ?: register_trace_dm_io_region_fail(see_region_fail, NULL);
	ret = ret ?: register_trace_dm_io_request_complete(see_request_complete,
							   NULL);
	ret = ret ?: register_trace_dm_io_reserve_empty(see_reserve_empty,
							NULL);
	KUNIT_ASSERT_EQ(test, ret, 0);
	defer(test, unwatch_events, NULL);
	forget_events();
}

/* The only event of its kind. */
static const struct seen *the_event(struct kunit *test, enum event event)
{
	unsigned int i;

	KUNIT_ASSERT_EQ(test, events.num_of[event], 1);
	for (i = 0; events.seen[i].event != event; i++)
		KUNIT_ASSERT_LT(test, i + 1, MAX_EVENTS);
	return &events.seen[i];
}

/* That of the bio of a region, if there is one. */
static const struct seen *bio_event(struct kunit *test, unsigned int region)
{
	const struct seen *found = NULL;
	unsigned int i, num = 0;

	for (i = 0; i < min(events.num, MAX_EVENTS); i++) {
		const struct seen *seen = &events.seen[i];

		if (seen->event == BIO_SUBMIT && seen->region == region) {
			found = seen;
			num++;
		}
	}
	KUNIT_ASSERT_EQ(test, num, 1);
	return found;
}

static void expect_submitted(struct kunit *test, const struct io *io,
			     blk_opf_t opf, u64 bytes)
{
	const struct seen *seen = the_event(test, REQUEST_SUBMIT);

	KUNIT_EXPECT_PTR_EQ(test, seen->bdev,
			    (const struct block_device *)io->regions[0].bdev);
	KUNIT_EXPECT_EQ(test, (__force u32)seen->opf, (__force u32)opf);
	KUNIT_EXPECT_EQ(test, seen->num_regions, io->num_regions);
	KUNIT_EXPECT_EQ(test, seen->bytes, bytes);
	KUNIT_EXPECT_EQ(test, seen->async, is_async(io->call));
	KUNIT_EXPECT_NOT_NULL(test, seen->request);
	KUNIT_EXPECT_EQ(test, events.seen[0].event, REQUEST_SUBMIT);
}

static void expect_completed(struct kunit *test, unsigned long error_bits)
{
	const struct seen *seen = the_event(test, REQUEST_COMPLETE);

	KUNIT_EXPECT_PTR_EQ(test, seen->request, events.seen[0].request);
	KUNIT_EXPECT_EQ(test, seen->error_bits, error_bits);
	KUNIT_EXPECT_LT(test, seen->latency, (u64)LIMIT / HZ * NSEC_PER_SEC);
	KUNIT_EXPECT_EQ(test, events.seen[events.num - 1].event,
			REQUEST_COMPLETE);
}

static void expect_bio_event(struct kunit *test, const struct io *io,
			     unsigned int region, blk_opf_t opf)
{
	const struct seen *seen = bio_event(test, region);
	const struct io_region *where = &io->regions[region];

	KUNIT_EXPECT_PTR_EQ(test, seen->request, events.seen[0].request);
	KUNIT_EXPECT_PTR_EQ(test, seen->bdev,
			    (const struct block_device *)where->bdev);
	KUNIT_EXPECT_EQ(test, (__force u32)seen->opf, (__force u32)opf);
	KUNIT_EXPECT_EQ(test, seen->sector, where->sector);
	KUNIT_EXPECT_EQ(test, seen->num_sectors, where->count);
}

static void request_is_seen(struct kunit *test)
{
	static const blk_opf_t opfs[] = {
		REQ_OP_WRITE, REQ_OP_READ, REQ_OP_WRITE | REQ_SYNC | REQ_FUA,
		REQ_OP_READ | REQ_META, REQ_OP_DISCARD, REQ_OP_WRITE_ZEROES,
		REQ_OP_SECURE_ERASE | REQ_SYNC,
	};
	struct test_disk *disk = new_able_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	enum test_disk_end end;
	unsigned int i;

	get_reserve(test, 1);
	watch_events(test);
	for (end = END_AT_ONCE; end <= END_IN_HARDIRQ; end++) {
		disk->end = end;
		for (i = 0; i < ARRAY_SIZE(opfs); i++) {
			struct io *io = new_io(test, param_call(test),
					       DM_IO_OPF(opfs[i]), buffer);

			add_region(io, disk->bdev, 24, 8);
			forget_events();
			perform_with(test, io, (int[]) { 0 });
			KUNIT_EXPECT_EQ(test, events.num, 3);
			expect_submitted(test, io, opfs[i], SZ_4K);
			expect_bio_event(test, io, 0, opfs[i]);
			expect_completed(test, 0);
			tell_case(test, io, "events");
		}
	}
}

static void request_of_many_regions_is_seen(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct test_disk *bad = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	const struct seen *seen;

	get_reserve(test, 1);
	bad->bad_sectors = bad->num_sectors;
	bad->bad_status = BLK_STS_MEDIUM;
	watch_events(test);
	add_region(io, disk->bdev, 8, 8);
	add_region(io, bad->bdev, 64, 5);
	add_region(io, disk->bdev, 100, 1);
	perform_with(test, io, (int[]) { 0, -ENODATA, 0 });
	KUNIT_EXPECT_EQ(test, events.num, 6);
	expect_submitted(test, io, REQ_OP_WRITE, 14 * SECTOR_SIZE);
	expect_bio_event(test, io, 0, REQ_OP_WRITE);
	expect_bio_event(test, io, 1, REQ_OP_WRITE);
	expect_bio_event(test, io, 2, REQ_OP_WRITE);
	expect_completed(test, BIT(1));
	seen = the_event(test, REGION_FAIL);
	KUNIT_EXPECT_PTR_EQ(test, seen->request, events.seen[0].request);
	KUNIT_EXPECT_EQ(test, seen->region, 1);
	KUNIT_EXPECT_PTR_EQ(test, seen->bdev,
			    (const struct block_device *)bad->bdev);
	KUNIT_EXPECT_EQ(test, (__force u32)seen->opf,
			(__force u32)REQ_OP_WRITE);
	KUNIT_EXPECT_EQ(test, seen->sector, 64);
	KUNIT_EXPECT_EQ(test, seen->error, -ENODATA);
}

/* What the check finds. If all regions fail, there is no request. */
static void region_that_fails_early_is_seen(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	const struct seen *seen;

	get_reserve(test, 1);
	watch_events(test);
	add_region(io, disk->bdev, 8, 8);
	add_region(io, disk->bdev, DISK_SECTORS - 1, 2);
	perform_with(test, io, (int[]) { 0, -ERANGE });
	seen = the_event(test, REGION_FAIL);
	KUNIT_EXPECT_PTR_EQ(test, seen->request,
			    the_event(test, REQUEST_SUBMIT)->request);
	KUNIT_EXPECT_EQ(test, seen->region, 1);
	KUNIT_EXPECT_EQ(test, seen->sector, DISK_SECTORS - 1);
	KUNIT_EXPECT_EQ(test, seen->error, -ERANGE);
	KUNIT_EXPECT_EQ(test, events.num_of[REQUEST_SUBMIT], 1);
	KUNIT_EXPECT_EQ(test, events.num_of[BIO_SUBMIT], 1);
	KUNIT_EXPECT_EQ(test, the_event(test, REQUEST_COMPLETE)->error_bits,
			BIT(1));

	/* A device that cannot, and nothing else to do. */
	forget_events();
	io->rw = DM_IO_OPF(REQ_OP_DISCARD);
	io->num_regions = 1;
	perform_with(test, io, (int[]) { -EOPNOTSUPP });
	seen = the_event(test, REGION_FAIL);
	KUNIT_EXPECT_PTR_EQ(test, seen->request, NULL);
	KUNIT_EXPECT_EQ(test, seen->error, -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, (__force u32)seen->opf,
			(__force u32)REQ_OP_DISCARD);
	KUNIT_EXPECT_EQ(test, events.num, 1);

	/* What is refused is nothing to be seen. */
	forget_events();
	io->rw = DM_IO_OPF(REQ_OP_READ | REQ_FUA);
	expect_refused(test, io, -EINVAL);
	KUNIT_EXPECT_EQ(test, events.num, 0);
}

static void flush_is_seen(struct kunit *test)
{
	blk_opf_t opf = REQ_OP_WRITE | REQ_PREFLUSH;
	struct test_disk *disk = new_plain_disk(test);
	struct io *io = new_io(test, param_call(test), DM_IO_OPF(REQ_OP_FLUSH),
			       NULL);

	get_reserve(test, 1);
	watch_events(test);
	add_region(io, disk->bdev, 0, 0);
	perform_with(test, io, (int[]) { 0 });
	KUNIT_EXPECT_EQ(test, events.num, 3);
	expect_submitted(test, io, opf, 0);
	expect_bio_event(test, io, 0, opf);
	expect_completed(test, 0);
}

/* Every bio of a request is an event, and the time is that of all of them. */
static void long_request_is_seen(struct kunit *test)
{
	struct test_disk_layout layout = able;
	struct buffer *buffer = new_buffer(test, SZ_2M, 0);
	struct test_disk *disk;
	struct io *io;

	get_reserve(test, 1);
	layout.num_sectors = SZ_2M >> SECTOR_SHIFT;
	layout.discard_sectors = 100;
	disk = new_disk(test, &layout);
	watch_events(test);
	io = new_io(test, param_call(test), WRITE, buffer);
	add_region(io, disk->bdev, 0, SZ_2M >> SECTOR_SHIFT);
	perform_with(test, io, (int[]) { 0 });
	KUNIT_EXPECT_EQ(test, events.num_of[BIO_SUBMIT], disk->num_bios);
	expect_submitted(test, io, REQ_OP_WRITE, SZ_2M);
	expect_completed(test, 0);

	forget_events();
	test_disk_forget(disk);
	io->rw = DM_IO_OPF(REQ_OP_DISCARD);
	perform_with(test, io, (int[]) { 0 });
	KUNIT_EXPECT_EQ(test, disk->num_bios, 41);
	KUNIT_EXPECT_EQ(test, events.num_of[BIO_SUBMIT], disk->num_bios);
	expect_submitted(test, io, REQ_OP_DISCARD, SZ_2M);
	expect_completed(test, 0);
}

static void latency_is_the_time_it_took(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	u64 before, submitted, told, after, latency;

	get_reserve(test, 1);
	watch_events(test);
	disk->end = END_WHEN_TOLD;
	add_region(io, disk->bdev, 8, 8);
	before = ktime_get_ns();
	start_io(io);
	call_waits(test, io, disk, 1);
	submitted = ktime_get_ns();
	msleep(30);
	told = ktime_get_ns();
	test_disk_release(disk);
	finish_call(test, io);
	KUNIT_EXPECT_EQ(test, await(test, io), 0);
	after = ktime_get_ns();

	latency = the_event(test, REQUEST_COMPLETE)->latency;
	KUNIT_EXPECT_GE(test, latency, told - submitted);
	KUNIT_EXPECT_LE(test, latency, after - before);
}

static void empty_reserve_is_seen(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	u64 empty, on_stack;
	struct shortage shortage;
	struct io *io;

	io = new_io(test, param_call(test), WRITE, buffer);
	add_region(io, disk->bdev, 8, 8);
	add_region(io, disk->bdev, 100, 8);
	get_reserve(test, 2);
	begin_shortage(test, &shortage);
	watch_events(test);
	empty = dm_io_test_stat(STAT_RESERVE_EMPTY, 0);
	on_stack = dm_io_test_stat(STAT_ON_STACK, 0);

	/* Two of the three pages are still there. */
	if (is_async(io->call)) {
		perform_with(test, io, (int[]) { 0, 0 });
		KUNIT_EXPECT_EQ(test, events.num_of[RESERVE_EMPTY], 0);
		KUNIT_EXPECT_EQ(test, dm_io_test_stat(STAT_ON_STACK, 0),
				on_stack);
	}

	/* Now there is one that is not. */
	forget_events();
	add_region(io, disk->bdev, 200, 8);
	add_region(io, disk->bdev, 300, 8);
	perform_with(test, io, (int[]) { 0, 0, 0, 0 });
	KUNIT_EXPECT_GE(test, events.num_of[RESERVE_EMPTY], 1);
	KUNIT_EXPECT_EQ(test, dm_io_test_stat(STAT_RESERVE_EMPTY, 0),
			empty + events.num_of[RESERVE_EMPTY]);
	KUNIT_EXPECT_EQ(test, dm_io_test_stat(STAT_ON_STACK, 0), on_stack + 1);
	KUNIT_EXPECT_EQ(test, events.num_of[REQUEST_SUBMIT], 1);
	KUNIT_EXPECT_EQ(test, events.num_of[BIO_SUBMIT], 4);
	KUNIT_EXPECT_EQ(test, events.num_of[REQUEST_COMPLETE], 1);
	KUNIT_EXPECT_EQ(test, events.seen[0].num_pages, 3);
	end_shortage(test, &shortage);
}

static void nobody_is_called_without_a_probe(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);

	get_reserve(test, 1);
	KUNIT_EXPECT_FALSE(test, trace_dm_io_request_submit_enabled());
	KUNIT_EXPECT_FALSE(test, trace_dm_io_bio_submit_enabled());
	KUNIT_EXPECT_FALSE(test, trace_dm_io_region_fail_enabled());
	KUNIT_EXPECT_FALSE(test, trace_dm_io_request_complete_enabled());
	KUNIT_EXPECT_FALSE(test, trace_dm_io_reserve_empty_enabled());
	forget_events();
	add_region(io, disk->bdev, 8, 8);
	add_region(io, disk->bdev, DISK_SECTORS, 8);
	perform_with(test, io, (int[]) { 0, -ERANGE });
	KUNIT_EXPECT_EQ(test, events.num, 0);
}

/* A probe that comes after a request was submitted says nothing about it. */
static void probe_may_come_late(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);

	get_reserve(test, 1);
	disk->end = END_WHEN_TOLD;
	add_region(io, disk->bdev, 8, 8);
	add_region(io, disk->bdev, 100, 8);
	start_io(io);
	call_waits(test, io, disk, 2);
	watch_events(test);
	test_disk_release(disk);
	finish_call(test, io);
	KUNIT_EXPECT_EQ(test, await(test, io), 0);
	KUNIT_EXPECT_EQ(test, events.num, 0);

	/* But of the next one it has. */
	disk->end = END_AT_ONCE;
	perform_with(test, io, (int[]) { 0, 0 });
	KUNIT_EXPECT_EQ(test, events.num, 4);
}

/*
 * Suite dm_io_trace: counters
 */

static const enum req_op counted_ops[] = {
	REQ_OP_READ, REQ_OP_WRITE, REQ_OP_FLUSH, REQ_OP_DISCARD,
	REQ_OP_SECURE_ERASE, REQ_OP_WRITE_ZEROES,
};

#define NUM_COUNTED	ARRAY_SIZE(counted_ops)

struct counts {
	u64 requests[NUM_COUNTED];
	u64 bytes[NUM_COUNTED];
};

static void count(struct counts *counts)
{
	unsigned int i;

	for (i = 0; i < NUM_COUNTED; i++) {
		int op = (__force int)counted_ops[i];

		counts->requests[i] = dm_io_test_stat(STAT_REQUESTS, op);
		counts->bytes[i] = dm_io_test_stat(STAT_BYTES, op);
	}
}

static void requests_are_counted(struct kunit *test)
{
	struct test_disk *disk = new_able_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_64K, 0);
	struct counts before, after;
	unsigned int i, j;

	get_reserve(test, 1);
	for (i = 0; i < NUM_COUNTED; i++) {
		struct io *io = new_io(test, param_call(test),
				       DM_IO_OPF(counted_ops[i] | REQ_SYNC),
				       buffer);
		u64 bytes = i == 0 ? 8 : i == 2 ? 0 : 8 + 128 + 1;

		add_region(io, disk->bdev, 8, 8);
		if (i) {
			add_region(io, disk->bdev, 100, 128);
			add_region(io, disk->bdev, 300, 1);
		}
		count(&before);
		perform_with(test, io, (int[]) { 0, 0, 0 });
		count(&after);
		before.requests[i]++;
		before.bytes[i] += bytes << SECTOR_SHIFT;
		for (j = 0; j < NUM_COUNTED; j++) {
			KUNIT_EXPECT_EQ_MSG(test, after.requests[j],
					    before.requests[j],
					    "operation %u, after one of %u",
					    counted_ops[j], (__force int)counted_ops[i]);
			KUNIT_EXPECT_EQ(test, after.bytes[j], before.bytes[j]);
		}

		/* What is refused is not. */
		count(&before);
		io->rw = DM_IO_OPF(counted_ops[i] | REQ_NOWAIT);
		expect_refused(test, io, -EINVAL);
		count(&after);
		KUNIT_EXPECT_EQ(test, memcmp(&before, &after, sizeof(before)),
				0);
		tell_case(test, io, "counts");
	}
}

static void errors_are_counted(struct kunit *test)
{
	static const int reasons[] = {
		-EIO, -ERANGE, -EROFS, -EINVAL, -EOPNOTSUPP, -ENOSPC, -EINTR
	};
	static const u64 want[] = { 0, 1, 1, 1, 1, 2, 0 };
	static const int failing[] = {
		0, -ENOSPC, -ENOSPC, -EROFS, -EINVAL, -EOPNOTSUPP, -ERANGE
	};
	struct test_disk *unable = new_unable_disk(test, REQ_OP_DISCARD);
	struct reason_disks disks;
	struct io *io = new_op(test, param_call(test), REQ_OP_DISCARD);
	u64 before[ARRAY_SIZE(reasons)];
	unsigned int i;

	new_reason_disks(test, &disks);
	get_reserve(test, 1);
	disks.bad->bad_status = BLK_STS_NOSPC;
	add_region(io, disks.good->bdev, 8, 8);
	add_region(io, disks.bad->bdev, 8, 8);
	add_region(io, disks.bad->bdev, 100, 8);
	add_region(io, disks.read_only->bdev, 8, 8);
	add_region(io, disks.blocks->bdev, 1, 8);
	add_region(io, unable->bdev, 8, 8);
	add_region(io, disks.good->bdev, DISK_SECTORS, 8);
	for (i = 0; i < ARRAY_SIZE(reasons); i++)
		before[i] = dm_io_test_stat(STAT_ERRORS, reasons[i]);
	perform_with(test, io, failing);
	for (i = 0; i < ARRAY_SIZE(reasons); i++)
		KUNIT_EXPECT_EQ_MSG(test,
				    dm_io_test_stat(STAT_ERRORS, reasons[i]),
				    before[i] + want[i], "errno %d",
				    -reasons[i]);
}

static void users_are_counted(struct kunit *test)
{
	u64 before = dm_io_test_stat(STAT_USERS, 0);

	KUNIT_EXPECT_EQ(test, before, 0);
	KUNIT_ASSERT_EQ(test, dm_io_get(3), 0);
	KUNIT_EXPECT_EQ(test, dm_io_test_stat(STAT_USERS, 0), 1);
	KUNIT_ASSERT_EQ(test, dm_io_get(1), 0);
	KUNIT_EXPECT_EQ(test, dm_io_test_stat(STAT_USERS, 0), 2);
	KUNIT_EXPECT_EQ(test, dm_io_get(0), -EINVAL);
	KUNIT_EXPECT_EQ(test, dm_io_test_stat(STAT_USERS, 0), 2);
	dm_io_put(3);
	KUNIT_EXPECT_EQ(test, dm_io_test_stat(STAT_USERS, 0), 1);
	dm_io_put(1);
	KUNIT_EXPECT_EQ(test, dm_io_test_stat(STAT_USERS, 0), 0);
}

static struct kunit_case trace_cases[] = {
	KUNIT_CASE_PARAM(request_is_seen, call_gen_params),
	KUNIT_CASE_PARAM(request_of_many_regions_is_seen, call_gen_params),
	KUNIT_CASE_PARAM(region_that_fails_early_is_seen, call_gen_params),
	KUNIT_CASE_PARAM(flush_is_seen, call_gen_params),
	KUNIT_CASE_PARAM(long_request_is_seen, call_gen_params),
	KUNIT_CASE_PARAM(latency_is_the_time_it_took, call_gen_params),
	KUNIT_CASE_PARAM(empty_reserve_is_seen, call_gen_params),
	KUNIT_CASE_PARAM(nobody_is_called_without_a_probe, call_gen_params),
	KUNIT_CASE_PARAM(probe_may_come_late, call_gen_params),
	KUNIT_CASE_PARAM(requests_are_counted, call_gen_params),
	KUNIT_CASE_PARAM(errors_are_counted, call_gen_params),
	KUNIT_CASE(users_are_counted),
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

struct kunit_suite submit_suite = {
	.name = "dm_io_submit",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = submit_cases,
};

struct kunit_suite trace_suite = {
	.name = "dm_io_trace",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = trace_cases,
};
