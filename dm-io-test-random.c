// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: random calls, and a model that knows what comes of them
 *
 * Suite dm_io_random. Each step makes up disks with random limits, a buffer, regions
 * and a call; works out from the contract in dm-io.h what has to come of it; makes
 * the call; and compares what it returns, what is on the disks, what is in the buffer
 * and around it. The model shares nothing with the library: it goes by the text.
 *
 * Parameters, on the kernel's command line or, if this is a module, insmod's:
 *
 *   dm_io_random.seed=N	what the steps are made from: 1 if not given, so that a
 *				test that fails now and not before has to do with what
 *				has changed. 0 takes a new one; the log tells which
 *   dm_io_random.steps=N	how many steps; 20000 if not given
 *   dm_io_random.step=N	only this one: what a failure prints along with the
 *				seed. It does not depend on the steps before it
 *   dm_io_random.disk=NAMES	disks, such as nvme0n1,sda: the steps use these, as
 *				they are, beside one disk of the test's own. The first
 *				6 MiB of each are overwritten
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/delay.h>
#include <linux/device/class.h>
#include <linux/highmem.h>
#include <linux/io.h>
#include <linux/ioprio.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"
#include "dm-io-test-random.h"

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "dm_io_random."

static unsigned int seed = 1;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "what the steps are made from; 0 takes a new one");

static unsigned int steps = 20000;
module_param(steps, uint, 0444);
MODULE_PARM_DESC(steps, "how many steps");

static int step = -1;
module_param(step, int, 0444);
MODULE_PARM_DESC(step, "the only step to be made");

static char *disk;
module_param(disk, charp, 0444);
MODULE_PARM_DESC(disk, "names of disks that are overwritten");

/* The steps come in so many tests, since each has to end in some minutes. */
#define NUM_BATCHES	20

static const char *const kind_names[] = {
	"page list", "array", "vmalloc memory", "linear memory", "bio",
};

struct random_run run;

__printf(2, 3) void fail(struct attempt *a, const char *format, ...)
{
	struct va_format message;
	va_list args;

	va_start(args, format);
	message.fmt = format;
	message.va = &args;
	pr_err("dm_io_random: step %u: %pV\n", a->number, &message);
	va_end(args);
	a->failed = true;
}

/*
 * The call
 */

void note_error(unsigned long error, void *context)
{
	struct attempt *a = context;

	a->error = error;
	if (atomic_inc_return(&a->num_ends) == 1)
		complete(&a->ended);
}

void note_result(unsigned long error, unsigned long unsupported, void *context)
{
	struct attempt *a = context;

	a->unsupported = unsupported;
	a->knows_unsupported = true;
	note_error(error, context);
}

static void call_submit(struct attempt *a)
{
	struct dm_io_args args = a->args;

	a->ret = dm_io_submit(&args);
	memset(&args, 0x5e, sizeof(args));
}

static void make_the_call(struct attempt *a)
{
	int rw = DM_IO_OPF(a->opf);
	unsigned int num = a->num_regions;
	struct io_region *where = a->no_where ? NULL : a->where;
	struct page_list *list = a->no_buffer ? NULL : a->list;
	struct bio_vec *bvec = a->no_buffer ? NULL : a->table + a->table_from;
	void *data = a->no_buffer ? NULL : a->data;
	struct bio *bio = a->no_buffer ? NULL : &a->bio;
	unsigned long *bits = a->args.error_bits;

	switch (a->call) {
	case SYNC_PAGES:
		a->ret = dm_io_sync(num, where, rw, list, a->offset, bits);
		break;
	case ASYNC_PAGES:
		a->ret = dm_io_async(num, where, rw, list, a->offset, note_error,
				     a);
		break;
	case SYNC_BVEC:
		a->ret = dm_io_sync_bvec(num, where, rw, bvec, bits);
		break;
	case ASYNC_BVEC:
		a->ret = dm_io_async_bvec(num, where, rw, bvec, note_error, a);
		break;
	case SYNC_VM:
		a->ret = dm_io_sync_vm(num, where, rw, data, bits);
		break;
	case ASYNC_VM:
		a->ret = dm_io_async_vm(num, where, rw, data, note_error, a);
		break;
	case SYNC_BIO:
		a->ret = dm_io_sync_bio(num, where, rw, bio, bits);
		break;
	case ASYNC_BIO:
		a->ret = dm_io_async_bio(num, where, rw, bio, note_error, a);
		break;
	default:
		call_submit(a);
	}
	/* What only has to stay until the call has returned is gone now. */
	if (is_async(a->call)) {
		memset(a->where, 0x5e, sizeof(a->where));
		if (a->kind == OF_LIST)
			memset(a->list, 0x5e, a->num_pieces * sizeof(*a->list));
	}
}

/* Ends what waits in disks that do nothing by themselves. */
static void release_all(struct work_struct *work)
{
	unsigned int i;

	for (i = 0; i < run.num_targets; i++)
		if (run.targets[i].used && run.targets[i].strict)
			strict_disk_release(run.targets[i].strict);
	if (READ_ONCE(run.releasing))
		schedule_delayed_work(&run.release, 0);
}

/* False if the callback does not come. */
static bool perform_call(struct attempt *a)
{
	bool ended = true;

	if (a->hold) {
		WRITE_ONCE(run.releasing, true);
		schedule_delayed_work(&run.release, 0);
	}
	WRITE_ONCE(dm_io_test_no_memory, a->memory == NO_MEMORY);
	if (a->memory == ONE_FAILS)
		WRITE_ONCE(dm_io_test_fail_after, a->fail_after);
	make_the_call(a);
	if (is_async(a->call) && !a->ret)
		ended = wait_for_completion_timeout(&a->ended, LIMIT / 2);
	WRITE_ONCE(dm_io_test_no_memory, false);
	WRITE_ONCE(dm_io_test_fail_after, -1);
	if (a->hold) {
		WRITE_ONCE(run.releasing, false);
		cancel_delayed_work_sync(&run.release);
	}
	if (!ended) {
		fail(a, "no callback came");
		run.stuck = true;
	}
	return ended;
}

/*
 * Steps
 */

static void describe_target(const struct target *t)
{
	const struct strict_limits *l = &t->limits;

	pr_info("dm_io_random: %s: %s, %llu sectors, block %u, dma_alignment %u, virt_boundary %#lx, max_segments %u of %u, seg_boundary %#lx, max_sectors %u, chunk %u, discard %u/%u/%u, erase %u, zeroes %u, atomic %u to %u%s%s%s\n",
		t->name, !t->strict ? "real" : t->strict->bio_based ? "bios" :
		"requests", (u64)t->sectors, l->block, l->dma_alignment,
		l->virt_boundary, l->max_segments, l->max_segment_size,
		l->seg_boundary, l->max_sectors, l->chunk_sectors,
		l->discard_sectors, l->discard_granularity, l->discard_alignment,
		l->erase_sectors, l->zeroes_sectors, t->atomic_min, t->atomic_max,
		l->cache ? ", cache" : "", l->fua ? ", FUA" : "",
		l->read_only ? ", read-only" : "");
	if (t->strict)
		pr_info("dm_io_random: %s: ends %d%s%s, flush status %d, bad %llu+%llu %llu+%llu %llu+%llu %llu+%llu\n",
			t->name, t->strict->end,
			t->strict->backwards ? ", backwards" : "",
			t->strict->partial ? ", partial" : "",
			(__force int)t->strict->flush_status,
			(u64)t->strict->bad[0].sector, (u64)t->strict->bad[0].count,
			(u64)t->strict->bad[1].sector, (u64)t->strict->bad[1].count,
			(u64)t->strict->bad[2].sector, (u64)t->strict->bad[2].count,
			(u64)t->strict->bad[3].sector, (u64)t->strict->bad[3].count);
}

/* All that there is to know about a step, and the line that repeats it. */
static void describe(struct attempt *a)
{
	unsigned int i;

	pr_info("dm_io_random: step %u: %s, opf %#x, %u regions; %s%s of %llu bytes in %u pieces (unit %u, offset %u), %llu needed; memory %d/%u, reserve %u; %s\n",
		a->number, calls[a->call].name, (__force u32)a->opf,
		a->num_regions, a->no_buffer ? "no " : "", kind_names[a->kind],
		a->available, a->num_pieces, a->style, a->offset, a->need,
		a->memory, a->fail_after, a->reserve,
		a->refused ? "refused" : a->may_be_refused ? "may be refused" :
		"accepted");
	pr_info("dm_io_random: returned %d, error %#lx, unsupported %#lx, flags %#x\n",
		a->ret, a->error, a->unsupported, a->args.flags);
	for (i = 0; i < min(a->num_regions, 8u); i++) {
		const struct io_region *where = &a->where_before[i];
		const struct outcome *o = &a->outcomes[i];

		pr_info("dm_io_random: region %u: %s%s %llu+%llu: must %#x, may %#x; error %d\n",
			i, o->target ? o->target->name : "?",
			where->bdev ? "" : " (none)",
			(u64)where->sector, (u64)where->count, o->must, o->may,
			a->args.errors ? a->errors[i] : 0);
	}
	for (i = 0; i < min(a->num_pieces, 12u); i++)
		pr_info("dm_io_random: piece %u: %u bytes at %#llx\n", i,
			a->pieces[i].len, (u64)phys_of(a->pieces[i].at));
	for (i = 0; i < run.num_targets; i++)
		if (run.targets[i].used)
			describe_target(&run.targets[i]);
	pr_err("dm_io_random: to repeat it: kunit.filter_glob=dm_io_random dm_io_random.seed=%u dm_io_random.step=%u\n",
	       run.used_seed, a->number);
}

static void begin_attempt(struct attempt *a, unsigned int number)
{
	struct piece *pieces = a->pieces;
	struct page_list *list = a->list;
	struct bio_vec *table = a->table;
	unsigned int i;

	memset(a, 0, sizeof(*a));
	a->pieces = pieces;
	a->list = list;
	a->table = table;
	a->number = number;
	a->state = ((u64)run.used_seed << 32 | number) * 0x2545f4914f6cdd1dULL;
	any(a);
	a->error_bits = ~0UL;
	memset(a->errors, 0x55, sizeof(a->errors));
	init_completion(&a->ended);
	for (i = 0; i < run.num_targets; i++)
		run.targets[i].used = false;
}

static bool make_step(struct attempt *a, unsigned int number)
{
	begin_attempt(a, number);
	if (!choose_attempt(a))
		return false;
	expect_attempt(a);

	if (a->reserve && dm_io_get(a->reserve)) {
		fail(a, "there is no reserve to be had");
		a->reserve = 0;
	}
	if (!perform_call(a))
		return false;
	if (a->reserve)
		dm_io_put(a->reserve);

	check_attempt(a);
	return !a->failed;
}

static void run_batch(void *data)
{
	unsigned int from = mul_u64_u32_div(steps, run.batch, NUM_BATCHES);
	unsigned int to = mul_u64_u32_div(steps, run.batch + 1, NUM_BATCHES);
	unsigned int number;

	if (step >= 0) {
		from = step;
		to = run.batch ? from : from + 1;
	}
	for (number = from; number < to && !run.failed; number++) {
		if (!make_step(run.attempt, number)) {
			run.failed = true;
			describe(run.attempt);
		}
		WRITE_ONCE(run.done, run.done + 1);
		cond_resched();
	}
}

struct batch {
	unsigned int number;
};

static const struct batch batches[NUM_BATCHES] = {
	{ 0 }, { 1 }, { 2 }, { 3 }, { 4 }, { 5 }, { 6 }, { 7 }, { 8 }, { 9 },
	{ 10 }, { 11 }, { 12 }, { 13 }, { 14 }, { 15 }, { 16 }, { 17 }, { 18 },
	{ 19 },
};

static void describe_batch(const struct batch *batch, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "part %u of %u", batch->number + 1,
		 NUM_BATCHES);
}

KUNIT_ARRAY_PARAM(batch, batches, describe_batch);

static void random_calls(struct kunit *test)
{
	const struct batch *batch = test->param_value;
	struct job *job;
	unsigned int last;
	bool ended;

	/* One failure is one failure. */
	if (run.failed || run.stuck)
		return;
	run.batch = batch->number;
	job = start_job(test, run_batch, NULL);
	do {
		last = READ_ONCE(run.done);
		ended = wait_for_completion_timeout(&job->ended, LIMIT);
	} while (!ended && READ_ONCE(run.done) != last);
	if (ended) {
		flush_work(&job->work);
	} else {
		run.stuck = true;
		describe(run.attempt);
		finish_job(test, job, "a step");
	}
	KUNIT_EXPECT_FALSE_MSG(test, run.failed,
			       "step %u has failed: to repeat it, dm_io_random.seed=%u dm_io_random.step=%u",
			       run.attempt->number, run.used_seed,
			       run.attempt->number);
	/* The callback may still come. */
	if (run.stuck)
		__module_get(THIS_MODULE);
}

/*
 * What the steps need
 */

/* Pages in runs, that are contiguous within and not between them. */
static int create_pool(void)
{
	unsigned int num = 0, longest = get_order(SZ_512K), i;

	run.pages = kvcalloc(POOL_PAGES, sizeof(*run.pages), GFP_KERNEL);
	run.run_left = kvcalloc(POOL_PAGES, 1, GFP_KERNEL);
	if (!run.pages || !run.run_left)
		return -ENOMEM;
	while (num < POOL_PAGES) {
		unsigned int order = num ? num / 3 % 5 : longest;
		struct page *page;

		while (num + (1 << order) > POOL_PAGES)
			order--;
		page = alloc_pages(GFP_KERNEL, order);
		if (!page)
			return -ENOMEM;
		split_page(page, order);
		for (i = 0; i < 1 << order; i++) {
			run.pages[num + i] = page + i;
			run.run_left[num + i] = (1 << order) - 1 - i;
		}
		num += 1 << order;
	}
	run.pool = vmap(run.pages, POOL_PAGES, VM_MAP, PAGE_KERNEL);
	run.image = vmalloc(POOL_BYTES);
	run.scratch = vmalloc(POOL_BYTES);
	return run.pool && run.image && run.scratch ? 0 : -ENOMEM;
}

static int create_attempt(void)
{
	run.attempt = kvzalloc(sizeof(*run.attempt), GFP_KERNEL);
	if (!run.attempt)
		return -ENOMEM;
	run.attempt->pieces = kvcalloc(MAX_PIECES, sizeof(struct piece),
				       GFP_KERNEL);
	run.attempt->list = kvcalloc(MAX_PIECES, sizeof(struct page_list),
				     GFP_KERNEL);
	run.attempt->table = kvcalloc(MAX_PIECES + 16, sizeof(struct bio_vec),
				      GFP_KERNEL);
	return run.attempt->pieces && run.attempt->list && run.attempt->table ?
	       0 : -ENOMEM;
}

/* Each byte of a disk tells where it is, and which disk it is on. */
static void fill_shadow(struct target *t, unsigned int number)
{
	memcpy(t->shadow, bytes_of(number * 31 + 7), TARGET_BYTES);
}

static int add_strict_target(bool bio_based)
{
	struct target *t = &run.targets[run.num_targets];

	t->strict = strict_disk_create(bio_based, TARGET_BYTES);
	t->shadow = vmalloc(TARGET_BYTES);
	run.num_targets++;
	if (!t->strict || !t->shadow)
		return -ENOMEM;
	t->bdev = t->strict->bdev;
	t->name = t->strict->disk->disk_name;
	fill_shadow(t, run.num_targets);
	memcpy(t->strict->data, t->shadow, TARGET_BYTES);
	return 0;
}

/* It may still be on its way when the tests are built in. */
static struct device *wait_for_disk(const char *name)
{
	struct device *other = disk_to_dev(run.targets[0].strict->disk);
	unsigned long deadline = jiffies + LIMIT;
	struct device *device;

	/* All disks are of the same class. */
	while (!(device = class_find_device_by_name(other->class, name)) &&
	       time_before(jiffies, deadline))
		msleep(100);
	return device;
}

static int add_real_target(const char *name)
{
	struct target *t = &run.targets[run.num_targets];
	struct queue_limits *limits;
	struct device *device;

	device = wait_for_disk(name);
	if (!device) {
		pr_err("dm_io_random: there is no disk %s\n", name);
		return -ENODEV;
	}
	if (dev_to_bdev(device)->bd_holder) {
		pr_err("dm_io_random: %s is in use\n", name);
		put_device(device);
		return -EBUSY;
	}
	t->shadow = vmalloc(TARGET_BYTES);
	t->bdev = dev_to_bdev(device);
	t->name = kstrdup(name, GFP_KERNEL);
	run.num_targets++;
	if (!t->shadow || !t->name)
		return -ENOMEM;
	limits = &bdev_get_queue(t->bdev)->limits;
	t->sectors = bdev_nr_sectors(t->bdev);
	t->limits = (struct strict_limits) {
		.block = bdev_logical_block_size(t->bdev),
		.dma_alignment = bdev_dma_alignment(t->bdev),
		.virt_boundary = limits->virt_boundary_mask,
		.max_segments = limits->max_segments,
		.max_segment_size = limits->max_segment_size,
		.seg_boundary = limits->seg_boundary_mask,
		.max_sectors = limits->max_sectors,
		.discard_sectors = bdev_max_discard_sectors(t->bdev),
		.erase_sectors = bdev_max_secure_erase_sectors(t->bdev),
		.zeroes_sectors = bdev_write_zeroes_sectors(t->bdev),
		.read_only = bdev_read_only(t->bdev),
	};
	t->usable = round_down(min_t(sector_t, t->sectors,
				     TARGET_BYTES >> SECTOR_SHIFT),
			       t->limits.block >> SECTOR_SHIFT);
	fill_shadow(t, run.num_targets);
	pr_info("dm_io_random: %s: a real disk\n", name);
	describe_target(t);
	return plain_io(t->bdev, REQ_OP_WRITE, 0, t->shadow,
			t->usable << SECTOR_SHIFT);
}

static int add_real_targets(void)
{
	char *names = kstrdup(disk, GFP_KERNEL), *rest = names, *name;
	int error = 0;

	if (!names)
		return -ENOMEM;
	while (!error && (name = strsep(&rest, ",")))
		if (*name && run.num_targets < MAX_TARGETS)
			error = add_real_target(name);
	kfree(names);
	return error;
}

static int create_targets(void)
{
	int error = add_strict_target(false);

	if (disk && *disk)
		return error ?: add_real_targets();
	return error ?: add_strict_target(false) ?: add_strict_target(false) ?:
	       add_strict_target(true) ?: add_strict_target(true);
}

static void free_all(void)
{
	unsigned int i;

	for (i = 0; i < run.num_targets; i++) {
		struct target *t = &run.targets[i];

		if (t->strict) {
			strict_disk_destroy(t->strict);
		} else if (t->bdev) {
			put_device(disk_to_dev(t->bdev->bd_disk));
			kfree(t->name);
		}
		vfree(t->shadow);
	}
	if (run.attempt) {
		kvfree(run.attempt->pieces);
		kvfree(run.attempt->list);
		kvfree(run.attempt->table);
		kvfree(run.attempt);
	}
	vunmap(run.pool);
	for (i = 0; run.pages && i < POOL_PAGES; i++)
		if (run.pages[i])
			__free_page(run.pages[i]);
	kvfree(run.pages);
	kvfree(run.run_left);
	vfree(run.image);
	vfree(run.scratch);
	memset(&run, 0, sizeof(run));
}

static int start_random_suite(struct kunit_suite *suite)
{
	int error = start_suite(suite);

	if (error)
		return error;
	memset(&run, 0, sizeof(run));
	INIT_DELAYED_WORK(&run.release, release_all);
	run.used_seed = seed ?: get_random_u32();
	pr_info("dm_io_random: dm_io_random.seed=%u, %u steps\n", run.used_seed,
		steps);
	return create_pool() ?: create_attempt() ?: create_targets();
}

/* A step that is stuck may still use any of it. */
static void end_random_suite(struct kunit_suite *suite)
{
	if (!run.stuck)
		free_all();
	end_suite(suite);
}

static struct kunit_case random_cases[] = {
	KUNIT_CASE_PARAM(random_calls, batch_gen_params),
	{ }
};

static struct kunit_suite random_suite = {
	.name = "dm_io_random",
	.suite_init = start_random_suite,
	.suite_exit = end_random_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = random_cases,
};

kunit_test_suites(&random_suite);
