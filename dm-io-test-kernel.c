// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: tests of the kernel's dm_io() on this library
 *
 * This file is what a module is that is compiled with dm-io-kernel.h: it calls
 * dm_io() in each of its forms, with callbacks of two and of three arguments, on
 * any kernel.
 */
#include "dm-io-kernel.h"

#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/ioprio.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include <linux/dm-io.h>

#include "dm-io.h"
#include "dm-io-test.h"
#include "dm-io-test-disk.h"
#include "dm-io-test-io.h"

#define CALL_BYTES	SZ_8K
#define CALL_SECTORS	(CALL_BYTES >> SECTOR_SHIFT)
#define PRIO		IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 5)

/* What is asked of each form: the number of arguments of dm_io(). */
static const struct form {
	const char *name;
	unsigned int num_args;
	bool async;
} forms[] = {
	{ "four arguments", 4, false },
	{ "four arguments and a callback", 4, true },
	{ "five arguments", 5, false },
	{ "five arguments and a callback", 5, true },
	{ "six arguments", 6, false },
	{ "six arguments and a callback", 6, true },
};

static void describe_form(const struct form *form, char *desc)
{
	strscpy(desc, form->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(form, forms, describe_form);

/* A call, and how it went. */
struct kernel_call {
	const struct form *form;
	struct dm_io_request io_req;
	unsigned int num_regions;
	struct dm_io_region where[BITS_PER_LONG + 1];
	unsigned short ioprio;

	int ret;
	unsigned long error, unsupported;
	bool ended_at_once;
	atomic_t num_ends;
	struct completion ended;
	struct job job;
};

static void ended(struct kernel_call *request, unsigned long error,
		  unsigned long unsupported)
{
	request->error = error;
	request->unsupported = unsupported;
	atomic_inc(&request->num_ends);
	complete(&request->ended);
}

static void two_arguments(unsigned long error, void *context)
{
	ended(context, error, 0);
}

static void three_arguments(unsigned long error, unsigned long unsupported,
			    void *context)
{
	ended(context, error, unsupported);
}

static void call_dm_io(void *data)
{
	struct kernel_call *request = data;
	struct dm_io_request *io_req = &request->io_req;

	switch (request->form->num_args) {
	case 4:
		request->ret = dm_io(io_req, request->num_regions,
				     request->where, &request->error);
		break;
	case 5:
		request->ret = dm_io(io_req, request->num_regions,
				     request->where, &request->error,
				     request->ioprio);
		break;
	case 6:
		request->ret = dm_io(io_req, request->num_regions,
				     request->where, &request->error,
				     &request->unsupported, request->ioprio);
		break;
	}
	request->ended_at_once = completion_done(&request->ended);
}

static bool is_apart(const struct kernel_call *request)
{
	return request->form->num_args == 6;
}

static struct kernel_call *new_request(struct kunit *test, blk_opf_t opf)
{
	struct kernel_call *request = test_alloc(test, sizeof(*request));

	request->form = test->param_value;
	request->io_req.bi_opf = opf;
	/* No client of this library's, as that of dm-bufio is none. */
	request->io_req.client = ERR_PTR(-EFAULT);
	if (request->form->async) {
		request->io_req.notify.context = request;
		if (is_apart(request))
			request->io_req.notify.fn = (void *)three_arguments;
		else
			request->io_req.notify.fn = (void *)two_arguments;
	}
	init_completion(&request->ended);
	return request;
}

static void add_where(struct kernel_call *request, struct test_disk *disk,
		      sector_t sector, sector_t count)
{
	request->where[request->num_regions++] = (struct dm_io_region) {
		.bdev = disk->bdev,
		.sector = sector,
		.count = count,
	};
}

/* Only the offset of a page list is looked at. */
static void set_memory(struct kernel_call *request, enum dm_io_mem_type type,
		       struct buffer *buffer)
{
	struct dm_io_memory *mem = &request->io_req.mem;

	mem->type = type;
	mem->offset = ~0U;
	switch (type) {
	case DM_IO_PAGE_LIST:
		mem->ptr.pl = buffer->pages;
		mem->offset = buffer->offset;
		break;
	case DM_IO_BIO:
		mem->ptr.bio = &buffer->bio;
		break;
	case DM_IO_VMA:
		mem->ptr.vma = buffer->data;
		break;
	case DM_IO_KMEM:
		mem->ptr.addr = buffer->data;
		break;
	}
}

/* Make the call, and compare everything that it says with these bits. */
static void perform_request(struct kunit *test, struct kernel_call *request,
			    unsigned long failed, unsigned long unsupported)
{
	int ret = failed ? -EIO : unsupported ? -EOPNOTSUPP : 0;
	unsigned int ends;

	if (!is_apart(request)) {
		failed |= unsupported;
		unsupported = 0;
		ret = failed ? -EIO : 0;
	}
	request->error = ~0UL;
	request->unsupported = is_apart(request) ? ~0UL : 0;
	reinit_completion(&request->ended);
	ends = atomic_read(&request->num_ends);
	restart_job(&request->job, call_dm_io, request);
	finish_job(test, &request->job, request->form->name);
	if (request->form->async) {
		ret = 0;
		if (!wait_for_completion_timeout(&request->ended, LIMIT))
			fail_stuck(test, "an asynchronous call");
		ends++;
	}
	KUNIT_EXPECT_EQ(test, request->ret, ret);
	KUNIT_EXPECT_EQ(test, request->error, failed);
	KUNIT_EXPECT_EQ(test, request->unsupported, unsupported);
	KUNIT_EXPECT_EQ(test, atomic_read(&request->num_ends), ends);
}

/* The same for a call that makes no sense: nothing of it is done. */
static void perform_refused(struct kunit *test, struct kernel_call *request,
			    unsigned long bits)
{
	if (request->form->async) {
		perform_request(test, request, 0, bits);
		KUNIT_EXPECT_TRUE(test, request->ended_at_once);
		return;
	}
	request->error = 0;
	request->unsupported = 0;
	restart_job(&request->job, call_dm_io, request);
	finish_job(test, &request->job, request->form->name);
	KUNIT_EXPECT_EQ(test, request->ret, -EINVAL);
	KUNIT_EXPECT_EQ(test, request->error, is_apart(request) ? 0 : bits);
	KUNIT_EXPECT_EQ(test, request->unsupported, is_apart(request) ? bits : 0);
}

/*
 * Data
 */

static void check_memory(struct kunit *test, enum dm_io_mem_type type,
			 struct buffer *out, struct buffer *in)
{
	struct test_disk *first = new_plain_disk(test);
	struct test_disk *second = new_plain_disk(test);
	struct kernel_call *write = new_request(test, REQ_OP_WRITE);
	struct kernel_call *read = new_request(test, REQ_OP_READ);

	fill_buffer(out, 1);
	set_memory(write, type, out);
	add_where(write, first, 8, CALL_SECTORS);
	add_where(write, second, 24, 1);
	perform_request(test, write, 0, 0);
	expect_on_disk(test, first, 8, bytes_of(1), CALL_BYTES);
	expect_untouched(test, first, 0, 8);
	expect_untouched(test, first, 8 + CALL_SECTORS, first->num_sectors);
	expect_on_disk(test, second, 24, bytes_of(1), SECTOR_SIZE);
	expect_untouched(test, second, 25, second->num_sectors);

	set_memory(read, type, in);
	add_where(read, first, 8, CALL_SECTORS);
	perform_request(test, read, 0, 0);
	same_bytes(test, in->data, bytes_of(1), CALL_BYTES, "read");
}

static void data_arrives(struct kunit *test)
{
	static const enum dm_io_mem_type types[] = {
		DM_IO_PAGE_LIST, DM_IO_BIO, DM_IO_VMA,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		struct buffer *out = new_buffer(test, CALL_BYTES, SECTOR_SIZE);
		struct buffer *in = new_buffer(test, CALL_BYTES, SECTOR_SIZE);

		check_memory(test, types[i], out, in);
		expect_guards(test, out);
		expect_guards(test, in);
	}
}

/* Memory of kmalloc(). */
static void kernel_memory_works(struct kunit *test)
{
	struct buffer out = {
		.data = kunit_kzalloc(test, CALL_BYTES, GFP_KERNEL),
		.bytes = CALL_BYTES,
	};
	struct buffer in = {
		.data = kunit_kzalloc(test, CALL_BYTES, GFP_KERNEL),
		.bytes = CALL_BYTES,
	};

	KUNIT_ASSERT_NOT_NULL(test, out.data);
	KUNIT_ASSERT_NOT_NULL(test, in.data);
	check_memory(test, DM_IO_KMEM, &out, &in);
}

/* A bio whose first bytes somebody has had already. */
static void bio_starts_anywhere(struct kunit *test)
{
	struct buffer *buffer = new_buffer(test, CALL_BYTES, 0);
	struct kernel_call *request = new_request(test, REQ_OP_WRITE);
	struct test_disk *disk = new_plain_disk(test);

	fill_buffer(buffer, 2);
	bio_advance(&buffer->bio, 3 * SECTOR_SIZE);
	set_memory(request, DM_IO_BIO, buffer);
	add_where(request, disk, 0, CALL_SECTORS - 3);
	perform_request(test, request, 0, 0);
	expect_on_disk(test, disk, 0, bytes_of(2) + 3 * SECTOR_SIZE,
		       CALL_BYTES - 3 * SECTOR_SIZE);
}

/*
 * Operations and flags
 */

static struct kernel_call *new_write(struct kunit *test, blk_opf_t flags)
{
	struct kernel_call *request = new_request(test, REQ_OP_WRITE | flags);

	set_memory(request, DM_IO_VMA, new_buffer(test, CALL_BYTES, 0));
	return request;
}

static void synchronous_calls_say_so(struct kunit *test)
{
	struct kernel_call *request = new_write(test, REQ_META);
	struct test_disk *disk = new_plain_disk(test);
	blk_opf_t sync = request->form->async ? 0 : REQ_SYNC;

	add_where(request, disk, 0, 8);
	perform_request(test, request, 0, 0);
	KUNIT_ASSERT_EQ(test, disk->num_bios, 1);
	KUNIT_EXPECT_EQ(test, (__force u32)disk->bios[0].opf,
			(__force u32)(REQ_OP_WRITE | REQ_META | sync));
}

/* A flag that has its own meaning, with an operation that does not have it. */
static bool is_refused(blk_opf_t opf, blk_opf_t flag)
{
	blk_opf_t data_only = REQ_PREFLUSH | REQ_FUA | DM_IO_BIO_ATOMIC;

	if (flag & DM_IO_BIO_ATOMIC)
		return true;
	return (opf & REQ_OP_MASK) != REQ_OP_WRITE && (flag & data_only);
}

static void any_flag_is_taken(struct kunit *test)
{
	static const blk_opf_t ops[] = {
		REQ_OP_READ, REQ_OP_WRITE, REQ_OP_DISCARD, REQ_OP_WRITE_ZEROES,
	};
	struct test_disk_layout layout = {
		.num_sectors = DISK_SECTORS,
		.discard_sectors = 8,
		.discard_granularity = SECTOR_SIZE,
		.zeroes_sectors = 8,
	};
	struct test_disk *disk = new_disk(test, &layout);
	struct kernel_call *request = new_write(test, 0);
	unsigned int op, bit;

	add_where(request, disk, 0, 8);
	for (op = 0; op < ARRAY_SIZE(ops); op++) {
		for (bit = REQ_OP_BITS; bit < 32; bit++) {
			blk_opf_t flag = (__force blk_opf_t)BIT(bit);

			if (is_refused(ops[op], flag))
				continue;
			request->io_req.bi_opf = ops[op] | flag;
			perform_request(test, request, 0, 0);
			KUNIT_ASSERT_EQ_MSG(test, test->status, KUNIT_SUCCESS,
					    "operation %u, bit %u", op, bit);
		}
	}
	KUNIT_EXPECT_GE(test, disk->num_bios, 4 * 10);
}

/* What would not be flushed must not seem to be. */
static void flush_is_not_lost(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct kernel_call *request = new_write(test, 0);

	add_where(request, disk, 0, 8);
	request->io_req.bi_opf = REQ_OP_READ | REQ_PREFLUSH;
	perform_refused(test, request, BIT(0));
	request->io_req.bi_opf = REQ_OP_DISCARD | REQ_FUA;
	perform_refused(test, request, BIT(0));
	KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
}

/* As dm-mirror does it: no memory, and regions of no size. */
static void empty_flush_works(struct kunit *test)
{
	struct kernel_call *request = new_request(test, REQ_OP_WRITE | REQ_PREFLUSH);
	struct test_disk *disks[2];
	unsigned int i;

	request->io_req.mem.type = DM_IO_KMEM;
	for (i = 0; i < ARRAY_SIZE(disks); i++) {
		disks[i] = new_plain_disk(test);
		add_where(request, disks[i], 0, 0);
	}
	perform_request(test, request, 0, 0);
	for (i = 0; i < ARRAY_SIZE(disks); i++) {
		KUNIT_ASSERT_EQ(test, disks[i]->num_bios, 1);
		KUNIT_EXPECT_TRUE(test, disks[i]->bios[0].opf & REQ_PREFLUSH);
		KUNIT_EXPECT_EQ(test, disks[i]->bios[0].bytes, 0);
	}
}

static void nothing_is_done_at_once(struct kunit *test)
{
	struct kernel_call *request = new_write(test, 0);
	struct test_disk *disk = new_plain_disk(test);

	perform_request(test, request, 0, 0);
	add_where(request, disk, 0, 0);
	perform_request(test, request, 0, 0);
	KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
}

static void priority_goes_along(struct kunit *test)
{
	struct kernel_call *request = new_write(test, 0);
	struct test_disk *disk = new_plain_disk(test);

	request->ioprio = PRIO;
	add_where(request, disk, 0, 8);
	perform_request(test, request, 0, 0);
	KUNIT_ASSERT_EQ(test, disk->num_bios, 1);
	if (request->form->num_args == 4)
		KUNIT_EXPECT_NE(test, disk->bios[0].ioprio, PRIO);
	else
		KUNIT_EXPECT_EQ(test, disk->bios[0].ioprio, PRIO);
}

/* LVM writes to devices that have been set read-only. */
static void read_only_is_left_to_the_block_layer(struct kunit *test)
{
	struct test_disk_layout layout = {
		.num_sectors = DISK_SECTORS,
		.read_only = true,
	};
	struct test_disk *disk = new_disk(test, &layout);
	struct kernel_call *request = new_write(test, 0);

	add_where(request, disk, 0, 8);
	perform_request(test, request, 0, 0);
	KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
}

/*
 * Failures
 */

/* One that can do everything but fails, one that can do no discard, a good one. */
static void new_disks(struct kunit *test, struct test_disk *disks[3])
{
	struct test_disk_layout layout = {
		.num_sectors = DISK_SECTORS,
		.discard_sectors = DISK_SECTORS,
		.discard_granularity = SECTOR_SIZE,
	};

	disks[0] = new_disk(test, &layout);
	disks[0]->bad_sectors = disks[0]->num_sectors;
	disks[1] = new_plain_disk(test);
	disks[2] = new_disk(test, &layout);
}

static void failures_are_told_apart(struct kunit *test)
{
	struct kernel_call *request = new_write(test, 0);
	struct test_disk *disks[3];
	unsigned int i;

	new_disks(test, disks);
	for (i = 0; i < ARRAY_SIZE(disks); i++)
		add_where(request, disks[i], 0, 8);
	perform_request(test, request, BIT(0), 0);
	request->io_req.bi_opf = REQ_OP_DISCARD;
	perform_request(test, request, BIT(0), BIT(1));
	/* Nobody has failed now. */
	disks[0]->bad_sectors = 0;
	perform_request(test, request, 0, BIT(1));
}

/* What a device says, and how the kernel takes it. */
static void devices_say_what_they_cannot(struct kunit *test)
{
	static const struct {
		blk_status_t status;
		bool unsupported;
	} reports[] = {
		{ BLK_STS_NOTSUPP, true },
#ifdef BLK_STS_INVAL
		{ BLK_STS_INVAL, true },
#endif
		{ BLK_STS_IOERR, false },
		{ BLK_STS_NOSPC, false },
		{ BLK_STS_TARGET, false },
	};
	struct test_disk *disk = new_plain_disk(test);
	struct test_disk *good = new_plain_disk(test);
	struct kernel_call *request = new_write(test, 0);
	unsigned int i;

	add_where(request, good, 0, 8);
	add_where(request, disk, 0, 8);
	disk->bad_sectors = 8;
	for (i = 0; i < ARRAY_SIZE(reports); i++) {
		disk->bad_status = reports[i].status;
		perform_request(test, request,
				reports[i].unsupported ? 0 : BIT(1),
				reports[i].unsupported ? BIT(1) : 0);
	}
}

/* A region off the blocks of its device is nothing that is wrong with it. */
static void wrong_regions_fail_alone(struct kunit *test)
{
	struct test_disk_layout layout = {
		.num_sectors = DISK_SECTORS,
		.block = SZ_4K,
	};
	struct test_disk *blocks = new_disk(test, &layout);
	struct test_disk *disk = new_plain_disk(test);
	struct kernel_call *request = new_write(test, 0);

	add_where(request, blocks, 1, 8);
	add_where(request, disk, 0, 8);
	add_where(request, disk, disk->num_sectors, 8);
	perform_request(test, request, BIT(2), BIT(0));
	KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
}

/* Failed reads leave nothing that was not read. */
static void failed_read_is_zeroed(struct kunit *test)
{
	struct kernel_call *request = new_request(test, REQ_OP_READ);
	struct buffer *buffer = new_buffer(test, CALL_BYTES, 0);
	struct test_disk *disk = new_plain_disk(test);

	fill_buffer(buffer, 3);
	disk->bad_sectors = disk->num_sectors;
	set_memory(request, DM_IO_PAGE_LIST, buffer);
	add_where(request, disk, 0, CALL_SECTORS);
	perform_request(test, request, BIT(0), 0);
	all_bytes(test, buffer->data, 0, CALL_BYTES, "the buffer");
}

static void senseless_calls_fail(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct kernel_call *request = new_write(test, 0);
	struct dm_io_memory mem = request->io_req.mem;
	struct buffer *buffer;
	unsigned int i;

	/* Of no type. */
	add_where(request, disk, 0, 8);
	request->io_req.mem.type = DM_IO_KMEM + 1;
	perform_refused(test, request, BIT(0));

	/* No memory. */
	request->io_req.mem.type = DM_IO_VMA;
	request->io_req.mem.ptr.vma = NULL;
	perform_refused(test, request, BIT(0));

	/* Too short. */
	buffer = new_buffer(test, SZ_4K, 0);
	set_memory(request, DM_IO_BIO, buffer);
	request->where[0].count = 16;
	perform_refused(test, request, BIT(0));
	set_memory(request, DM_IO_PAGE_LIST, buffer);
	perform_refused(test, request, BIT(0));

	/* No such operation. */
	request->io_req.mem = mem;
	request->where[0].count = 8;
	request->io_req.bi_opf = REQ_OP_DRV_OUT;
	perform_refused(test, request, BIT(0));

	/* No device. */
	request->io_req.bi_opf = REQ_OP_WRITE;
	request->where[0].bdev = NULL;
	perform_refused(test, request, BIT(0));
	request->where[0].bdev = disk->bdev;

	/* From two regions. */
	add_where(request, disk, 8, 8);
	request->io_req.bi_opf = REQ_OP_READ;
	perform_refused(test, request, BIT(0) | BIT(1));

	/* Of more regions than there are bits. */
	request->io_req.bi_opf = REQ_OP_WRITE;
	for (i = 2; i <= BITS_PER_LONG; i++)
		add_where(request, disk, 0, 8);
	perform_refused(test, request, ~0UL);

	KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
	expect_untouched(test, disk, 0, disk->num_sectors);

	/* One less is not too many. */
	request->num_regions--;
	perform_request(test, request, 0, 0);
	KUNIT_EXPECT_EQ(test, disk->num_bios, BITS_PER_LONG);
}

static void bits_may_be_left_out(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct kernel_call *request = new_write(test, 0);
	struct dm_io_request *io_req = &request->io_req;

	if (request->form->async)
		return;
	disk->bad_sectors = disk->num_sectors;
	add_where(request, disk, 0, 8);
	KUNIT_EXPECT_EQ(test, dm_io(io_req, 1, request->where, NULL), -EIO);
	KUNIT_EXPECT_EQ(test, dm_io(io_req, 1, request->where, NULL, 0), -EIO);
	KUNIT_EXPECT_EQ(test, dm_io(io_req, 1, request->where, NULL, NULL, 0),
			-EIO);
	io_req->mem.type = DM_IO_KMEM + 1;
	KUNIT_EXPECT_EQ(test, dm_io(io_req, 1, request->where, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, dm_io(io_req, 1, request->where, NULL, NULL, 0),
			-EINVAL);
}

/*
 * Memory
 */

static void set_no_memory(bool no_memory)
{
	WRITE_ONCE(dm_io_test_no_memory, no_memory);
}

static void calls_need_no_memory(struct kunit *test)
{
	struct kernel_call *request = new_write(test, 0);
	struct test_disk *disks[3];
	unsigned int i;

	new_disks(test, disks);
	for (i = 0; i < ARRAY_SIZE(disks); i++)
		add_where(request, disks[i], 0, 8);
	set_no_memory(true);
	perform_request(test, request, BIT(0), 0);
	request->io_req.bi_opf = REQ_OP_DISCARD;
	perform_request(test, request, BIT(0), BIT(1));
	/* What cannot be told apart later is told before the call returns. */
	if (is_apart(request) && request->form->async)
		KUNIT_EXPECT_EQ(test, request->ended_at_once, true);
	request->io_req.mem.type = DM_IO_KMEM + 1;
	perform_refused(test, request, BIT(0) | BIT(1) | BIT(2));
	set_no_memory(false);
}

static void clients_share_the_reserve(struct kunit *test)
{
	struct dm_io_client *first, *second;

	first = dm_io_client_create();
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(first));
	KUNIT_EXPECT_EQ(test, dm_io_test_stat(STAT_RESERVE, 0), 16);
	second = dm_io_client_create();
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(second));
	KUNIT_EXPECT_EQ(test, dm_io_test_stat(STAT_RESERVE, 0), 32);
	KUNIT_EXPECT_EQ(test, dm_io_test_stat(STAT_USERS, 0), 2);
	dm_io_client_destroy(first);
	KUNIT_EXPECT_EQ(test, dm_io_test_stat(STAT_RESERVE, 0), 16);
	dm_io_client_destroy(second);
	KUNIT_EXPECT_EQ(test, dm_io_test_stat(STAT_RESERVE, 0), 0);
}

static void client_that_fails_leaves_nothing(struct kunit *test)
{
	struct dm_io_client *client;
	unsigned int fail_after;

	for (fail_after = 0; fail_after < 1000; fail_after++) {
		dm_io_test_fail_after = fail_after;
		client = dm_io_client_create();
		if (dm_io_test_fail_after >= 0)
			break;
		KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(client), -ENOMEM);
		KUNIT_EXPECT_EQ(test, dm_io_test_stat(STAT_RESERVE, 0), 0);
	}
	dm_io_test_fail_after = -1;
	/* The client and the first page, at least. */
	KUNIT_EXPECT_GE(test, fail_after, 2);
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(client));
	dm_io_client_destroy(client);
}

/*
 * The header
 */

/* A source that has functions of the classic calls' names is no concern of ours. */
static int own_dm_io_async_bvec(struct dm_io_request *io_req,
				unsigned int num_regions,
				struct dm_io_region *where, io_notify_fn fn,
				void *context)
{
	io_req->notify.fn = (void *)fn;
	io_req->notify.context = context;
	return dm_io(io_req, num_regions, where, NULL);
}

static void callbacks_can_be_passed_on(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct kernel_call *request = new_write(test, 0);

	add_where(request, disk, 0, 8);
	if (!request->form->async || is_apart(request))
		return;
	KUNIT_EXPECT_EQ(test, own_dm_io_async_bvec(&request->io_req, 1,
						   request->where,
						   two_arguments, request), 0);
	if (!wait_for_completion_timeout(&request->ended, LIMIT))
		fail_stuck(test, "an asynchronous call");
	KUNIT_EXPECT_EQ(test, request->error, 0);
}

/* As the kernel has them, so that they can be passed to dm-kcopyd. */
static void types_are_the_kernels(struct kunit *test)
{
	struct dm_io_region where = { NULL, 1, 2 };
	struct page_list pl = { NULL, NULL };
	struct dm_io_request io_req = {
		REQ_OP_READ,
		{ DM_IO_VMA, 0, { NULL } },
		{ (void *)two_arguments, NULL },
		NULL,
	};

	KUNIT_EXPECT_EQ(test, where.sector, 1);
	KUNIT_EXPECT_EQ(test, where.count, 2);
	KUNIT_EXPECT_NULL(test, pl.next);
	KUNIT_EXPECT_EQ(test, io_req.mem.type, 2);
	KUNIT_EXPECT_EQ(test, DM_IO_PAGE_LIST, 0);
	KUNIT_EXPECT_EQ(test, DM_IO_KMEM, 3);
	KUNIT_EXPECT_TRUE(test, __same_type(blk_opf_t, io_req.bi_opf));
}

static struct kunit_case kernel_cases[] = {
	KUNIT_CASE_PARAM(data_arrives, form_gen_params),
	KUNIT_CASE_PARAM(kernel_memory_works, form_gen_params),
	KUNIT_CASE_PARAM(bio_starts_anywhere, form_gen_params),
	KUNIT_CASE_PARAM(synchronous_calls_say_so, form_gen_params),
	KUNIT_CASE_PARAM(any_flag_is_taken, form_gen_params),
	KUNIT_CASE_PARAM(flush_is_not_lost, form_gen_params),
	KUNIT_CASE_PARAM(empty_flush_works, form_gen_params),
	KUNIT_CASE_PARAM(nothing_is_done_at_once, form_gen_params),
	KUNIT_CASE_PARAM(priority_goes_along, form_gen_params),
	KUNIT_CASE_PARAM(read_only_is_left_to_the_block_layer, form_gen_params),
	KUNIT_CASE_PARAM(failures_are_told_apart, form_gen_params),
	KUNIT_CASE_PARAM(devices_say_what_they_cannot, form_gen_params),
	KUNIT_CASE_PARAM(wrong_regions_fail_alone, form_gen_params),
	KUNIT_CASE_PARAM(failed_read_is_zeroed, form_gen_params),
	KUNIT_CASE_PARAM(senseless_calls_fail, form_gen_params),
	KUNIT_CASE_PARAM(bits_may_be_left_out, form_gen_params),
	KUNIT_CASE_PARAM(calls_need_no_memory, form_gen_params),
	KUNIT_CASE(clients_share_the_reserve),
	KUNIT_CASE(client_that_fails_leaves_nothing),
	KUNIT_CASE_PARAM(callbacks_can_be_passed_on, form_gen_params),
	KUNIT_CASE(types_are_the_kernels),
	{}
};

static struct kunit_suite kernel_suite = {
	.name = "dm_io_kernel",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = kernel_cases,
};

kunit_test_suite(kernel_suite);
