// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the tests of trace events and counters
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
#include "dm-io-trace.h"

KUNIT_ARRAY_PARAM(call, calls, describe_call);

/*
 * Events
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
	KUNIT_EXPECT_EQ(test, (__force u32)seen->opf,
			(__force u32)sent_opf(io->call, opf));
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
	KUNIT_EXPECT_EQ(test, (__force u32)seen->opf,
			(__force u32)sent_opf(io->call, opf));
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
			(__force u32)sent_opf(io->call, REQ_OP_WRITE));
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
			(__force u32)sent_opf(io->call, REQ_OP_DISCARD));
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
	struct test_disk_layout layout = able_layout;
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
 * Counters
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

struct kunit_suite trace_suite = {
	.name = "dm_io_trace",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = trace_cases,
};
