// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the tests of dm_io_submit(), and of what a bio carries along
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/blk-cgroup.h>
#include <linux/blk-crypto-profile.h>
#include <linux/blk-crypto.h>
#include <linux/blk-integrity.h>
#include <linux/blkdev.h>
#include <linux/iocontext.h>
#include <linux/ioprio.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"
#include "dm-io-test-disk.h"
#include "dm-io-test-io.h"

KUNIT_ARRAY_PARAM(range_op, range_ops, describe_range_op);

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

/*
 * How a call may look besides: what it wants to know, and of how many regions. The
 * fast path is for some of these.
 */
struct submit_shape {
	struct test_disk *disk;
	size_t bytes;
	unsigned int num_regions;
	bool no_errors, no_bits, result_fn;
	unsigned short ioprio;
};

static void check_submit(struct kunit *test, void *data)
{
	const struct submit_param *param = test->param_value;
	const struct submit_shape *shape = data;
	sector_t count = shape->bytes >> SECTOR_SHIFT;
	struct test_disk *disk = shape->disk;
	unsigned int seed = new_seed(), i;
	struct buffer *buffer;
	struct io *io;

	buffer = new_buffer(test, shape->bytes, 77);
	io = new_submit(test, param->call, REQ_OP_WRITE, param->kind, buffer);
	io->no_errors = shape->no_errors;
	io->with_result_fn = shape->result_fn;
	io->args.ioprio = shape->ioprio;
	if (shape->no_bits)
		io->error_bits = NULL;
	fill_buffer(buffer, seed);
	for (i = 0; i < shape->num_regions; i++)
		add_region(io, disk->bdev, 3 + i * (count + 1), count);
	memset(disk->data, TEST_DISK_FILLER,
	       (4 + i * (count + 1)) << SECTOR_SHIFT);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	for (i = 0; i < shape->num_regions; i++) {
		sector_t sector = io->regions[i].sector;

		expect_on_disk(test, disk, sector, bytes_of(seed),
			       shape->bytes);
		expect_untouched(test, disk, sector + count,
				 sector + count + 1);
	}
	same_bytes(test, buffer->data, bytes_of(seed), shape->bytes,
		   "the buffer, afterwards");

	seed = new_seed();
	fill_disk(disk, 3, seed, shape->bytes);
	io->num_regions = 1;
	io->rw = READ;
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	same_bytes(test, buffer->data, bytes_of(seed), shape->bytes,
		   "what was read");
	expect_guards(test, buffer);

	/* A failure says as much as was asked for. */
	io->regions[1] = io->regions[0];
	io->regions[1].sector = disk->num_sectors;
	io->num_regions = 2;
	io->rw = WRITE;
	KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
	if (!shape->no_bits)
		KUNIT_EXPECT_EQ(test, io->error, BIT(1));
	if (!shape->no_errors)
		expect_reasons(test, io, io->errors, (int[]) { 0, -ERANGE });
	if (!is_async(io->call) || shape->result_fn)
		KUNIT_EXPECT_EQ(test, io->unsupported, 0);

	KUNIT_EXPECT_EQ_MSG(test, test->status, KUNIT_SUCCESS,
			    "%zu bytes, %u regions,%s%s%s%s", shape->bytes,
			    shape->num_regions,
			    shape->no_errors ? " no errors," : "",
			    shape->no_bits ? " no bits," : "",
			    shape->result_fn ? " result_fn," : "",
			    shape->ioprio ? " a priority" : "");
}

static void check_submits(struct kunit *test, size_t most,
			  void (*run)(struct kunit *test, test_body *body,
				      void *data))
{
	static const size_t sizes[] = {
		SECTOR_SIZE, SZ_4K, SZ_64K + SZ_1K, SZ_1M + SZ_512K
	};
	const struct submit_param *param = test->param_value;
	struct test_disk_layout layout = {
		.num_sectors = (SZ_8M >> SECTOR_SHIFT) - 8,
		.any_alignment = true,
	};
	struct submit_shape shape = { .disk = new_disk(test, &layout) };
	unsigned int i, way;

	get_reserve(test, 1);
	for (i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
		shape.bytes = sizes[i / 2];
		shape.num_regions = i & 1 ? 3 : 1;
		if (shape.bytes > most)
			break;
		for (way = 0; way < 16; way++) {
			shape.no_errors = way & 1;
			shape.no_bits = way & 2;
			shape.result_fn = way & 4;
			shape.ioprio = way & 8 ?
				       IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 2) : 0;
			if (is_async(param->call) ? shape.no_bits :
						    shape.result_fn)
				continue;
			shape.disk->end = way % END_WHEN_TOLD;
			run(test, check_submit, &shape);
		}
	}
}

static void each_buffer_moves(struct kunit *test)
{
	check_submits(test, SZ_2M, run_body);
}

static void each_buffer_moves_when_memory_is_short(struct kunit *test)
{
	check_submits(test, SZ_128K, fail_each_allocation);
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
			if (io->args.flags == DM_IO_KILLABLE ||
			    io->args.flags == DM_IO_READ_ONLY_OK)
				continue;
			expect_submit_refused(test, io, disk, "flag");
			io->args.flags |= DM_IO_KILLABLE | DM_IO_READ_ONLY_OK;
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
	struct test_disk_layout layout = able_layout;
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
		fail_stuck(test, "a call of a task");
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
 * Reasons
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

/* Regions that fail because their device cannot do it, and those that just fail. */
static void check_unsupported(struct kunit *test, enum call call,
			      const struct range_op *op, enum test_disk_end end)
{
	struct test_disk *unable = new_unable_disk(test, op->op);
	struct test_disk *says_so = new_able_disk(test);
	struct test_disk *good = new_able_disk(test);
	struct test_disk *bad = new_able_disk(test);
	struct io *io = new_op(test, call, op->opf);

	says_so->bad_status = BLK_STS_NOTSUPP;
	says_so->bad_sectors = says_so->num_sectors;
	says_so->end = end;
	bad->bad_sectors = bad->num_sectors;
	bad->end = end;
	io->own_buffer = true;
	io->with_result_fn = true;
	add_region(io, unable->bdev, 8, 8);
	add_region(io, good->bdev, 8, 8);
	add_region(io, says_so->bdev, 8, 8);
	add_region(io, bad->bdev, 8, 8);
	add_region(io, good->bdev, DISK_SECTORS, 8);
	perform_with(test, io, (int[]) {
		-EOPNOTSUPP, 0, -EOPNOTSUPP, -EIO, -ERANGE
	});
	KUNIT_EXPECT_EQ(test, io->unsupported, BIT(0) | BIT(2));
	io->no_errors = true;
	perform_with(test, io, (int[]) {
		-EOPNOTSUPP, 0, -EOPNOTSUPP, -EIO, -ERANGE
	});
	KUNIT_EXPECT_EQ(test, io->unsupported, BIT(0) | BIT(2));

	/* Nothing is submitted of these, and something of those. */
	io->num_regions = 1;
	perform_with(test, io, (int[]) { -EOPNOTSUPP });
	KUNIT_EXPECT_EQ(test, io->unsupported, BIT(0));
	io->regions[0].bdev = says_so->bdev;
	perform_with(test, io, (int[]) { -EOPNOTSUPP });
	KUNIT_EXPECT_EQ(test, io->unsupported, BIT(0));
	io->regions[0].bdev = bad->bdev;
	perform_with(test, io, (int[]) { -EIO });
	KUNIT_EXPECT_EQ(test, io->unsupported, 0);
	io->regions[0].bdev = good->bdev;
	perform_with(test, io, (int[]) { 0 });
	KUNIT_EXPECT_EQ(test, io->unsupported, 0);
	tell_case(test, io, op->name);
}

static void unsupported_is_told_from_failed(struct kunit *test)
{
	enum test_disk_end end;
	unsigned int i;

	get_reserve(test, 1);
	for (i = 0; i < NUM_RANGE_OPS; i++) {
		for (end = END_AT_ONCE; end <= END_IN_HARDIRQ; end++) {
			struct held held = mark_held();

			check_unsupported(test, param_call(test), &range_ops[i],
					  end);
			release_held(held);
		}
	}
}

static void unsupported_is_told_when_memory_is_short(struct kunit *test)
{
	struct shortage shortage;

	begin_shortage(test, &shortage);
	check_unsupported(test, param_call(test), &range_ops[0], END_IN_WORKER);
	end_shortage(test, &shortage);
}

/* A call that is refused, or finds all well, says so of each bit. */
static void unsupported_bits_are_written_by_every_call(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_submit(test, SYNC_ARGS, REQ_OP_WRITE, PAGE_LIST,
				   buffer);

	get_reserve(test, 1);
	add_region(io, disk->bdev, 8, 8);
	perform_with(test, io, (int[]) { 0 });
	KUNIT_EXPECT_EQ(test, io->unsupported, 0);
	io->rw = DM_IO_OPF(REQ_OP_READ | REQ_FUA);
	expect_refused(test, io, -EINVAL);
	KUNIT_EXPECT_EQ(test, io->unsupported, 0);
}

static void one_callback_is_enough(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, ASYNC_ARGS, WRITE, buffer);
	struct io_region where = { disk->bdev, 8, 8 };
	struct dm_io_args args = {
		.opf = REQ_OP_WRITE, .num_regions = 1, .where = &where,
		.pl = buffer->pages, .fn = note_end, .result_fn = note_end_result,
		.context = io,
	};

	get_reserve(test, 1);
	KUNIT_EXPECT_EQ(test, dm_io_submit(&args), -EINVAL);
	args.opf = REQ_OP_FLUSH;
	args.pl = NULL;
	KUNIT_EXPECT_EQ(test, dm_io_submit(&args), -EINVAL);
	KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&io->num_ends), 0);
}

/* As LVM has it: the block layer logs a line, and lets it through. */
static void read_only_may_be_left_to_the_block_layer(struct kunit *test)
{
	const struct submit_param *param = test->param_value;
	struct test_disk_layout layout = able_layout;
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	unsigned int i, seed = new_seed();
	struct test_disk *disk;
	struct io *io;

	get_reserve(test, 1);
	layout.read_only = true;
	disk = new_disk(test, &layout);
	fill_buffer(buffer, seed);
	io = new_submit(test, param->call, REQ_OP_WRITE, param->kind, buffer);
	add_region(io, disk->bdev, 8, 8);
	perform_with(test, io, (int[]) { -EROFS });
	KUNIT_EXPECT_EQ(test, disk->num_bios, 0);

	io->args.flags = DM_IO_READ_ONLY_OK;
	perform_with(test, io, (int[]) { 0 });
	KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
	expect_on_disk(test, disk, 8, bytes_of(seed), SZ_4K);

	/* It is about nothing else. */
	io->regions[0].sector = DISK_SECTORS;
	perform_with(test, io, (int[]) { -ERANGE });
	io->regions[0].sector = 8;
	io->rw = READ;
	perform_with(test, io, (int[]) { 0 });
	for (i = 0; i < NUM_RANGE_OPS; i++) {
		io = new_op(test, param->call, range_ops[i].opf);
		io->own_buffer = true;
		add_region(io, disk->bdev, 8, 8);
		perform_with(test, io, (int[]) { -EROFS });
		io->args.flags = DM_IO_READ_ONLY_OK;
		perform_with(test, io, (int[]) { 0 });
		expect_bytes(test, disk, 8, 8, range_ops[i].leaves);
	}
}

/* Whatever describes a buffer: an operation without data looks at none of it. */
static void buffer_of_an_operation_without_data_is_ignored(struct kunit *test)
{
	enum call call = param_call(test);
	struct test_disk *disk = new_able_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	unsigned int i, kinds;

	get_reserve(test, 1);
	for (i = 0; i <= NUM_RANGE_OPS; i++) {
		blk_opf_t opf = i < NUM_RANGE_OPS ? range_ops[i].opf :
						    REQ_OP_FLUSH;

		for (kinds = 0; kinds < BIT(NUM_KINDS); kinds++) {
			struct io *io = new_op(test, call, opf);

			io->own_buffer = true;
			if (kinds & BIT(PAGE_LIST))
				io->args.pl = ERR_PTR(-EFAULT);
			if (kinds & BIT(BVEC))
				io->args.bvec = ERR_PTR(-EFAULT);
			if (kinds & BIT(DATA))
				io->args.data = ERR_PTR(-EFAULT);
			if (kinds & BIT(BIO))
				io->args.bio = &buffer->bio;
			io->args.offset = kinds & 1 ? SECTOR_SIZE : UINT_MAX;
			io->offset = UINT_MAX;
			test_disk_forget(disk);
			add_region(io, disk->bdev, 8, 16);
			perform_with(test, io, (int[]) { 0 });
			KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
			tell_case(test, io, "a buffer that is ignored");
		}
	}
}

/*
 * Whoever makes the call is killed
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
 * What a bio carries
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

#ifdef CONFIG_BLK_INLINE_ENCRYPTION

/* A bio with what only a clone can carry; what is for it goes with the test. */
static void add_crypt_context(struct kunit *test, struct bio *bio)
{
	struct blk_crypto_key *key = test_alloc(test, sizeof(*key));
	struct bio_crypt_ctx *context = test_alloc(test, sizeof(*context));

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
	bio->bi_crypt_context = context;
}

/* Regions for whose clones there is memory, and regions for whose there is none. */
static void check_clones(struct kunit *test, void *data)
{
	struct test_disk *disk = data;
	struct buffer *buffer = new_buffer(test, SZ_16K, 0);
	struct io *io = new_bio_io(test, REQ_OP_WRITE, buffer);
	unsigned int i, num, seed = new_seed();
	bool fails = READ_ONCE(dm_io_test_no_memory);

	add_crypt_context(test, &buffer->bio);
	memset(disk->data, TEST_DISK_FILLER, DISK_BYTES);
	test_disk_forget(disk);
	fill_buffer(buffer, seed);
	for (i = 0; i < 4; i++)
		add_region(io, disk->bdev, i * 100, 32);
	perform(test, io);
	fails |= memory_was_short();
	if (!fails)
		KUNIT_EXPECT_EQ(test, io->error, 0);
	num = 4 - hweight_long(io->error);
	KUNIT_EXPECT_EQ(test, disk->num_bytes, num * SZ_16K);
	for (i = 0; i < 4; i++) {
		if (io->error & BIT(i))
			expect_untouched(test, disk, i * 100, i * 100 + 32);
		else
			expect_on_disk(test, disk, i * 100, bytes_of(seed),
				       SZ_16K);
		if (io->call == SYNC_ARGS || io->call == ASYNC_ARGS)
			KUNIT_EXPECT_EQ(test, io->errors[i],
					io->error & BIT(i) ? -ENOMEM : 0);
	}

	memset(buffer->data, GUARD, SZ_16K);
	io->rw = READ;
	io->num_regions = 1;
	perform(test, io);
	if (io->error)
		all_bytes(test, buffer->data, 0, SZ_16K, "what was not read");
	else
		same_bytes(test, buffer->data, disk->data, SZ_16K,
			   "what was read");
	expect_guards(test, buffer);
	buffer->bio.bi_crypt_context = NULL;
}

/* Whether or not it finds memory, the call comes to its end and says so. */
static void clone_without_memory_ends(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct shortage shortage;
	enum test_disk_end end;
	struct held held;

	add_crypto_profile(test, disk);
	held = mark_held();
	get_reserve(test, 1);
	for (end = END_AT_ONCE; end <= END_IN_HARDIRQ; end++) {
		disk->end = end;
		run_body(test, check_clones, disk);
		fail_each_allocation(test, check_clones, disk);
	}
	release_held(held);
	begin_shortage(test, &shortage);
	run_body(test, check_clones, disk);
	end_shortage(test, &shortage);
}

#ifdef CONFIG_MSDOS_PARTITION

static void destroy_disk(void *data)
{
	test_disk_destroy(data);
}

/*
 * The bio has gone through its partition already, and says so. Its region is one of
 * the partition all the same.
 */
static void clone_goes_through_its_partition(struct kunit *test)
{
	struct buffer *buffer = new_buffer(test, SZ_16K, 0);
	struct test_disk *disk = test_disk_create();
	struct io *io = new_bio_io(test, REQ_OP_WRITE, buffer);
	unsigned int seed = new_seed();
	struct block_device *partition;

	KUNIT_ASSERT_NOT_NULL(test, disk);
	defer(test, destroy_disk, disk);
	KUNIT_ASSERT_EQ(test, test_disk_set_up(disk, &able_layout), 0);
	partition = test_disk_partition(disk, 19, 700);
	KUNIT_ASSERT_NOT_NULL(test, partition);
	get_reserve(test, 1);
	add_crypto_profile(test, disk);
	add_crypt_context(test, &buffer->bio);
	fill_buffer(buffer, seed);
	buffer->bio.bi_bdev = partition;
	bio_set_flag(&buffer->bio, BIO_REMAPPED);
	add_region(io, partition, 8, 32);
	add_region(io, partition, 100, 8);
	perform_with(test, io, (int[]) { 0, 0 });
	expect_on_disk(test, disk, 19 + 8, bytes_of(seed), SZ_16K);
	expect_on_disk(test, disk, 19 + 100, bytes_of(seed), SZ_4K);
	expect_untouched(test, disk, 1, 19 + 8);
	buffer->bio.bi_crypt_context = NULL;
	buffer->bio.bi_bdev = NULL;
}

#endif
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
	KUNIT_CASE_PARAM(each_buffer_moves_when_memory_is_short,
			 submit_gen_params),
	KUNIT_CASE_PARAM(one_buffer_is_enough, args_call_gen_params),
	KUNIT_CASE_PARAM(unknown_arguments_are_refused, args_call_gen_params),
	KUNIT_CASE_PARAM(ioprio_reaches_the_device, args_call_gen_params),
	KUNIT_CASE_PARAM(ioprio_is_that_of_the_task, args_call_gen_params),
	KUNIT_CASE_PARAM(each_region_has_its_reason, status_gen_params),
	KUNIT_CASE_PARAM(unsupported_is_told_from_failed, args_call_gen_params),
	KUNIT_CASE_PARAM(unsupported_is_told_when_memory_is_short,
			 args_call_gen_params),
	KUNIT_CASE(unsupported_bits_are_written_by_every_call),
	KUNIT_CASE(one_callback_is_enough),
	KUNIT_CASE_PARAM(read_only_may_be_left_to_the_block_layer,
			 submit_gen_params),
	KUNIT_CASE_PARAM(buffer_of_an_operation_without_data_is_ignored,
			 args_call_gen_params),
	KUNIT_CASE_PARAM(missing_memory_is_a_reason, args_call_gen_params),
	KUNIT_CASE_PARAM(long_range_ends_when_killed, range_op_gen_params),
	KUNIT_CASE_PARAM(killed_call_needs_no_memory, range_op_gen_params),
	KUNIT_CASE_PARAM(long_call_ends_when_killed, args_call_gen_params),
#ifdef CONFIG_BLK_INLINE_ENCRYPTION
	KUNIT_CASE_PARAM(bio_keeps_its_crypt_context, bio_call_gen_params),
	KUNIT_CASE_PARAM(clone_without_memory_ends, bio_call_gen_params),
#ifdef CONFIG_MSDOS_PARTITION
	KUNIT_CASE_PARAM(clone_goes_through_its_partition, bio_call_gen_params),
#endif
#endif
#ifdef CONFIG_BLK_DEV_INTEGRITY
	KUNIT_CASE_PARAM(bio_keeps_its_integrity_data, bio_call_gen_params),
#endif
#if defined(CONFIG_BLK_CGROUP) && IS_ENABLED(CONFIG_KPROBES)
	KUNIT_CASE_PARAM(bio_keeps_its_block_cgroup, bio_call_gen_params),
#endif
	{}
};

struct kunit_suite submit_suite = {
	.name = "dm_io_submit",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = submit_cases,
};
