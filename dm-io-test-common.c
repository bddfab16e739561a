// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: disks, calls and expectations that many tests need
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/delay.h>
#include <linux/device/class.h>
#include <linux/kmsg_dump.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"
#include "dm-io-test-disk.h"
#include "dm-io-test-io.h"

/*
 * Disks
 */

/* Move data without the library: any number of bytes from vmalloc(). */
int plain_io(struct block_device *bdev, blk_opf_t opf, sector_t sector,
	     u8 *data, size_t bytes)
{
	while (bytes) {
		struct bio *bio = bio_alloc(bdev, BIO_MAX_VECS, opf, GFP_KERNEL);
		unsigned int moved = 0;
		int ret;

		bio->bi_iter.bi_sector = sector;
		while (moved < bytes) {
			unsigned int len =
				min_t(size_t, bytes - moved,
				      PAGE_SIZE - offset_in_page(data + moved));

			if (bio_add_page(bio, page_at(data + moved), len,
					 offset_in_page(data + moved)) != len)
				break;
			moved += len;
		}
		ret = submit_bio_wait(bio);
		bio_put(bio);
		if (ret)
			return ret;
		data += moved;
		bytes -= moved;
		sector += moved >> SECTOR_SHIFT;
	}
	return 0;
}

static void put_disk_device(void *data)
{
	put_device(data);
}

/* A disk that is not one of ours, but of the same class of devices. */
struct block_device *find_disk(struct kunit *test, const char *name)
{
	struct test_disk *disk = new_plain_disk(test);
	struct device *device;

	device = class_find_device_by_name(disk_to_dev(disk->disk)->class,
					   name);
	KUNIT_ASSERT_NOT_NULL_MSG(test, device, "there is no disk %s", name);
	defer(test, put_disk_device, device);
	KUNIT_ASSERT_PTR_EQ_MSG(test, dev_to_bdev(device)->bd_holder, NULL,
				"%s is in use", name);
	return dev_to_bdev(device);
}

struct test_disk *new_byte_disk(struct kunit *test)
{
	return new_disk(test, &(struct test_disk_layout) {
		.num_sectors = DISK_SECTORS,
		.any_alignment = true,
	});
}

struct test_disk *new_disk_like(struct kunit *test,
				const struct test_disk_layout *like)
{
	struct test_disk_layout layout = *like;

	layout.num_sectors = DISK_SECTORS;
	return new_disk(test, &layout);
}

/* The library has shorter ways for calls with one region, or of one page. */
const struct shape shapes[NUM_SHAPES] = {
	{ 1, 1 },
	{ 3 * PAGE_SECTORS, 1 },
	{ 1, 3 },
	{ 3 * PAGE_SECTORS, 3 },
};

/* There is nothing wrong with it, yet. */
struct io *new_shaped_io(struct kunit *test, enum call call, int rw,
			 const struct shape *shape,
			 struct test_disk *disk)
{
	size_t bytes = shape->num_sectors << SECTOR_SHIFT;
	struct buffer *buffer = new_buffer(test, bytes, 0);
	struct io *io = new_io(test, call, rw, buffer);
	unsigned int i;

	for (i = 0; i < shape->num_regions; i++)
		add_region(io, disk->bdev, i * 100, shape->num_sectors);
	return io;
}

void add_buffer(struct io *io, enum buffer_kind kind,
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

struct io *new_submit(struct kunit *test, enum call call, blk_opf_t opf,
		      enum buffer_kind kind, struct buffer *buffer)
{
	struct io *io = new_io(test, call, DM_IO_OPF(opf), NULL);

	add_buffer(io, kind, buffer);
	return io;
}

const struct end_context end_contexts[NUM_END_CONTEXTS] = {
	{ "in submit_bio", END_AT_ONCE },
	{ "in a worker", END_IN_WORKER },
	{ "in a softirq", END_IN_SOFTIRQ },
	{ "in a hardirq", END_IN_HARDIRQ },
};

void describe_end_context(const struct end_context *context, char *desc)
{
	strscpy(desc, context->name, KUNIT_PARAM_DESC_SIZE);
}

/* Wait until the call has submitted its I/O, and tell whether it waits for it. */
bool call_waits(struct kunit *test, struct io *io, struct test_disk *disk,
		unsigned int num_bios)
{
	unsigned long deadline = jiffies + LIMIT;

	while (READ_ONCE(disk->num_bios) < num_bios &&
	       time_before(jiffies, deadline))
		usleep_range(100, 1000);
	KUNIT_EXPECT_EQ(test, disk->num_bios, num_bios);
	return waits(&io->job);
}

/* How many requests of a page get through without memory, and do not wait? */
unsigned int count_reserve(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, PAGE_SIZE, 0);
	struct io *ios[16];
	unsigned int num;

	disk->end = END_WHEN_TOLD;
	WRITE_ONCE(dm_io_test_no_memory, true);
	for (num = 0; num < ARRAY_SIZE(ios); num++) {
		ios[num] = new_io(test, ASYNC_PAGES, WRITE, buffer);
		add_region(ios[num], disk->bdev, num * 8, 8);
		start_io(ios[num]);
		if (call_waits(test, ios[num], disk, num + 1))
			break;
		finish_call(test, ios[num]);
	}
	test_disk_release(disk);
	if (num < ARRAY_SIZE(ios))
		finish_call(test, ios[num]);
	WRITE_ONCE(dm_io_test_no_memory, false);
	return num;
}

/* Go to the end of the kernel's log, and count lines with @text on the way. */
unsigned int read_log(struct kmsg_dump_iter *iter, const char *text)
{
	static char line[256];
	unsigned int num = 0;
	size_t len;

	while (kmsg_dump_get_line(iter, false, line, sizeof(line) - 1, &len)) {
		line[min(len, sizeof(line) - 1)] = '\0';
		if (strstr(line, text))
			num++;
	}
	return num;
}

void begin_shortage(struct kunit *test, struct shortage *shortage)
{
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);

	shortage->held = new_plain_disk(test);
	shortage->held->end = END_WHEN_TOLD;
	shortage->io = new_io(test, ASYNC_PAGES, WRITE, buffer);
	add_region(shortage->io, shortage->held->bdev, 0, 8);
	get_reserve(test, 1);
	WRITE_ONCE(dm_io_test_no_memory, true);
	submit(test, shortage->io);
	KUNIT_EXPECT_EQ(test, atomic_read(&shortage->io->num_ends), 0);
}

/* It held the reserve all the time, or something else has not been tested. */
void end_shortage(struct kunit *test, struct shortage *shortage)
{
	KUNIT_EXPECT_EQ(test, atomic_read(&shortage->io->num_ends), 0);
	test_disk_release(shortage->held);
	KUNIT_EXPECT_EQ(test, await(test, shortage->io), 0);
	WRITE_ONCE(dm_io_test_no_memory, false);
}

const struct test_disk_layout able_layout = {
	.num_sectors = DISK_SECTORS,
	.discard_sectors = ANY_SECTORS,
	.discard_granularity = SECTOR_SIZE,
	.erase_sectors = ANY_SECTORS,
	.zeroes_sectors = ANY_SECTORS,
	.atomic_min = SZ_4K,
	.atomic_max = SZ_64K,
};

const struct range_op range_ops[NUM_RANGE_OPS] = {
	{ "discard", REQ_OP_DISCARD, TEST_DISK_DISCARDED, REQ_OP_DISCARD },
	{ "secure erase", REQ_OP_SECURE_ERASE, TEST_DISK_ERASED,
	  REQ_OP_SECURE_ERASE },
	{ "write zeroes", REQ_OP_WRITE_ZEROES, 0, REQ_OP_WRITE_ZEROES },
	{ "write zeroes, no unmap", REQ_OP_WRITE_ZEROES | REQ_NOUNMAP, 0,
	  REQ_OP_WRITE_ZEROES },
};

void describe_range_op(const struct range_op *op, char *desc)
{
	strscpy(desc, op->name, KUNIT_PARAM_DESC_SIZE);
}

void set_limit(struct test_disk_layout *layout, enum req_op op,
	       unsigned int sectors)
{
	if (op == REQ_OP_DISCARD)
		layout->discard_sectors = sectors;
	else if (op == REQ_OP_SECURE_ERASE)
		layout->erase_sectors = sectors;
	else
		layout->zeroes_sectors = sectors;
}

struct test_disk *new_able_disk(struct kunit *test)
{
	return new_disk(test, &able_layout);
}

/* It can do everything but @op. */
struct test_disk *new_unable_disk(struct kunit *test, enum req_op op)
{
	struct test_disk_layout layout = able_layout;

	set_limit(&layout, op, 0);
	return new_disk(test, &layout);
}

void new_reason_disks(struct kunit *test, struct reason_disks *disks)
{
	struct test_disk_layout layout = able_layout;

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
void reset_disk(struct kunit *test, struct test_disk *disk,
		const struct test_disk_layout *layout)
{
	test_disk_drain(disk);
	KUNIT_ASSERT_EQ(test, test_disk_set_up(disk, layout), 0);
}

/* A call that has no buffer, and whose pointers to one lead nowhere. */
struct io *new_op(struct kunit *test, enum call call, blk_opf_t opf)
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
int result_of(const struct io *io, const int *want, unsigned long *bits)
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

void expect_reasons(struct kunit *test, const struct io *io,
		    const int *got, const int *want)
{
	unsigned int i;

	for (i = 0; i < io->num_regions; i++)
		KUNIT_EXPECT_EQ_MSG(test, got[i], want[i], "region %u", i);
	KUNIT_EXPECT_EQ_MSG(test, got[i], 0x55555555, "behind the last region");
}

/* Make the call, and compare everything that it says about its regions. */
void perform_with(struct kunit *test, struct io *io, const int *want)
{
	unsigned long bits, unsupported = 0;
	int ret = result_of(io, want, &bits);
	unsigned int i;

	KUNIT_EXPECT_EQ(test, perform(test, io), ret);
	KUNIT_EXPECT_EQ(test, io->error, bits);
	if (io->call != SYNC_ARGS && io->call != ASYNC_ARGS)
		return;
	if (!io->no_errors)
		expect_reasons(test, io, io->errors, want);
	for (i = 0; i < io->num_regions; i++)
		if (want[i] == -EOPNOTSUPP)
			unsupported |= BIT(i);
	if (!is_async(io->call) || io->with_result_fn)
		KUNIT_EXPECT_EQ(test, io->unsupported, unsupported);
}

void tell_case(struct kunit *test, const struct io *io, const char *what)
{
	KUNIT_ASSERT_EQ_MSG(test, test->status, KUNIT_SUCCESS, "%s, %s",
			    calls[io->call].name, what);
}

/* One bio like that has arrived, with exactly these flags. */
void expect_bio(struct kunit *test, const struct io *io,
		const struct test_disk *disk, blk_opf_t opf, sector_t sector, sector_t count)
{
	unsigned int i, num = 0;

	for (i = 0; i < min(disk->num_bios, TEST_DISK_RECORDS); i++) {
		const struct test_bio *bio = &disk->bios[i];

		if (bio->sector != sector ||
		    bio->bytes != count << SECTOR_SHIFT)
			continue;
		num++;
		KUNIT_EXPECT_EQ(test, (__force u32)bio->opf,
				(__force u32)sent_opf(io->call, opf));
	}
	KUNIT_EXPECT_EQ_MSG(test, num, 1, "bios of %llu sectors from %llu",
			    count, sector);
}

void expect_bytes(struct kunit *test, const struct test_disk *disk,
		  sector_t sector, sector_t count, u8 byte)
{
	all_bytes(test, disk->data + (sector << SECTOR_SHIFT), byte,
		  count << SECTOR_SHIFT, "on the disk");
}

void follow_bio(struct test_disk *disk, const struct bio *bio)
{
	struct followed *followed = disk->watch_context;

	if (bio->bi_iter.bi_sector != followed->next ||
	    bio_sectors(bio) > followed->most || !bio_sectors(bio))
		followed->num_wrong++;
	followed->next = bio_end_sector(bio);
	if (disk->num_bios == followed->kill_at)
		send_sig(SIGKILL, followed->task, 1);
}

/* A disk that keeps nothing, of two TiB and a bit. */
struct test_disk *new_huge_disk(struct kunit *test, enum req_op op,
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

void expect_in_a_row(struct kunit *test, const struct test_disk *disk,
		     sector_t sector, u64 bytes)
{
	unsigned int i;

	KUNIT_EXPECT_EQ(test, disk->num_bytes, bytes);
	for (i = 0; i < min(disk->num_bios, TEST_DISK_RECORDS); i++) {
		KUNIT_EXPECT_EQ(test, disk->bios[i].sector, sector);
		KUNIT_EXPECT_LE(test, disk->bios[i].bytes, SZ_4M);
		sector += disk->bios[i].bytes >> SECTOR_SHIFT;
	}
}

blk_opf_t flags_of(const struct test_bio *bio, blk_opf_t flags)
{
	return bio->opf & (REQ_OP_MASK | flags);
}

void expect_flush(struct kunit *test, const struct test_disk *disk)
{
	KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
	KUNIT_EXPECT_EQ(test, (__force u32)flags_of(&disk->bios[0],
						    REQ_PREFLUSH),
			(__force u32)(REQ_OP_WRITE | REQ_PREFLUSH));
	KUNIT_EXPECT_EQ(test, disk->bios[0].bytes, 0);
}

/* A call whose first region is on @disk; others must not suffer from it. */
void check_write_if_good(struct kunit *test, struct io *io,
			 struct buffer *buffer, struct test_disk *disk,
			 struct test_disk *other, bool good)
{
	sector_t sector = io->regions[0].sector, count = io->regions[0].count;
	unsigned int seed = new_seed();

	test_disk_forget(disk);
	fill_buffer(buffer, seed);
	io->rw = WRITE;
	io->num_regions = 1;
	if (other)
		add_region(io, other->bdev, 8, count);
	KUNIT_EXPECT_EQ(test, perform(test, io), good ? 0 : -EIO);
	KUNIT_EXPECT_EQ(test, io->error, good ? 0 : BIT(0));
	if (other)
		expect_on_disk(test, other, 8, bytes_of(seed),
			       count << SECTOR_SHIFT);
	if (good) {
		expect_on_disk(test, disk, sector, bytes_of(seed),
			       count << SECTOR_SHIFT);
		expect_untouched(test, disk, 0, sector);
		expect_untouched(test, disk, sector + count, disk->num_sectors);
	} else {
		KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
		expect_untouched(test, disk, 0, disk->num_sectors);
	}
}

void check_read_if_good(struct kunit *test, struct io *io,
			struct buffer *buffer, struct test_disk *disk,
			bool good)
{
	size_t bytes = io->regions[0].count << SECTOR_SHIFT;
	unsigned int seed = new_seed();

	fill_disk(disk, io->regions[0].sector, seed, bytes);
	test_disk_forget(disk);
	memset(buffer->data, GUARD, buffer->bytes);
	io->rw = READ;
	io->num_regions = 1;
	KUNIT_EXPECT_EQ(test, perform(test, io), good ? 0 : -EIO);
	KUNIT_EXPECT_EQ(test, io->error, good ? 0 : BIT(0));
	if (good) {
		same_bytes(test, buffer->data, bytes_of(seed), bytes,
			   "what was read");
	} else {
		KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
		all_bytes(test, buffer->data, 0, bytes, "what was not read");
	}
	all_bytes(test, buffer->data + bytes, GUARD, buffer->bytes - bytes,
		  "the rest of the buffer");
	expect_guards(test, buffer);
}

/* Alone, and with another region, and not at all. */
void check_if_good(struct kunit *test, enum call call,
		   struct test_disk *disk, struct test_disk *other,
		   struct buffer *buffer, sector_t sector, bool good)
{
	struct io *io = new_io(test, call, WRITE, buffer);
	sector_t count = buffer->bytes >> SECTOR_SHIFT;

	add_region(io, disk->bdev, sector, count);
	check_write_if_good(test, io, buffer, disk, NULL, good);
	check_write_if_good(test, io, buffer, disk, other, good);
	check_read_if_good(test, io, buffer, disk, good);
	KUNIT_EXPECT_EQ_MSG(test, test->status, KUNIT_SUCCESS,
			    "%s, %llu sectors", calls[call].name, count);
}
