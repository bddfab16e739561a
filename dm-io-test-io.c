// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the harness of the tests: what a test holds, buffers, and calls
 *
 * Every call of the library is made by a worker, and waited for only so long:
 * a call that hangs fails its test and nothing else. What such a call may still
 * use is then left alone for good, memory and disks.
 */
#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/highmem.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"
#include "dm-io-test-disk.h"
#include "dm-io-test-io.h"

/*
 * What a test holds until it ends
 */

static struct workqueue_struct *callers;
static bool stuck;
static bool ever_stuck;

static struct {
	void (*fn)(void *data);
	void *data;
	bool even_if_stuck;
} deferred[1024];

static unsigned int num_deferred;

static void defer_flagged(struct kunit *test, void (*fn)(void *data),
			  void *data, bool even_if_stuck)
{
	KUNIT_ASSERT_LT(test, num_deferred, ARRAY_SIZE(deferred));
	deferred[num_deferred].fn = fn;
	deferred[num_deferred].data = data;
	deferred[num_deferred].even_if_stuck = even_if_stuck;
	num_deferred++;
}

/* At the end of the test, in reverse order. */
void defer(struct kunit *test, void (*fn)(void *data), void *data)
{
	defer_flagged(test, fn, data, false);
}

static void run_deferred(unsigned int from)
{
	while (num_deferred > from) {
		num_deferred--;
		if (!stuck || deferred[num_deferred].even_if_stuck)
			deferred[num_deferred].fn(deferred[num_deferred].data);
	}
}

static void free_memory(void *data)
{
	kvfree(data);
}

void *test_alloc(struct kunit *test, size_t bytes)
{
	void *data = kvzalloc(bytes, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, data);
	defer(test, free_memory, data);
	return data;
}

/* Disks that no test is using: to create one takes long. */
static struct test_disk *idle_disks[16];

static void give_disk_back(void *data)
{
	struct test_disk *disk = data;
	unsigned int i;

	test_disk_drain(disk);
	for (i = 0; i < ARRAY_SIZE(idle_disks); i++) {
		if (!idle_disks[i]) {
			idle_disks[i] = disk;
			return;
		}
	}
	test_disk_destroy(disk);
}

static struct test_disk *take_idle_disk(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(idle_disks); i++)
		if (idle_disks[i])
			return xchg(&idle_disks[i], NULL);
	return NULL;
}

static void destroy_idle_disks(void)
{
	struct test_disk *disk;

	while ((disk = take_idle_disk()))
		test_disk_destroy(disk);
}

struct test_disk *new_disk(struct kunit *test,
			   const struct test_disk_layout *layout)
{
	struct test_disk *disk = take_idle_disk();

	if (!disk)
		disk = test_disk_create();
	KUNIT_ASSERT_NOT_NULL(test, disk);
	defer(test, give_disk_back, disk);
	KUNIT_ASSERT_EQ(test, test_disk_set_up(disk, layout), 0);
	return disk;
}

/* There is nothing special about it. */
struct test_disk *new_plain_disk(struct kunit *test)
{
	return new_disk(test, &(struct test_disk_layout) {
		.num_sectors = DISK_SECTORS,
	});
}

static void put_reserve(void *data)
{
	dm_io_put((unsigned long)data);
}

/* An allocation that is to fail is one of a call, not one of these. */
void get_reserve(struct kunit *test, unsigned int num_pages)
{
	int fail_after = xchg(&dm_io_test_fail_after, -1);

	KUNIT_ASSERT_EQ(test, dm_io_get(num_pages), 0);
	WRITE_ONCE(dm_io_test_fail_after, fail_after);
	defer_flagged(test, put_reserve, (void *)(unsigned long)num_pages, true);
}

/*
 * Work that is given up when it takes too long
 */

static void run_job(struct work_struct *work)
{
	struct job *job = container_of(work, struct job, work);

	WRITE_ONCE(job->task, current);
	job->fn(job->data);
	complete(&job->ended);
}

void restart_job(struct job *job, void (*fn)(void *data), void *data)
{
	INIT_WORK(&job->work, run_job);
	job->task = NULL;
	init_completion(&job->ended);
	job->fn = fn;
	job->data = data;
	queue_work(callers, &job->work);
}

struct job *start_job(struct kunit *test, void (*fn)(void *data), void *data)
{
	struct job *job = test_alloc(test, sizeof(*job));

	restart_job(job, fn, data);
	return job;
}

/* The code of what is stuck has to stay, too. */
void fail_stuck(struct kunit *test, const char *what)
{
	stuck = true;
	ever_stuck = true;
	__module_get(THIS_MODULE);
	KUNIT_ASSERT_FALSE_MSG(test, stuck, "%s did not come to an end", what);
}

void finish_job(struct kunit *test, struct job *job, const char *what)
{
	if (!wait_for_completion_timeout(&job->ended, LIMIT))
		fail_stuck(test, what);
	flush_work(&job->work);
}

/*
 * Either the job comes to its end, or it sleeps, in which case this is true. One that
 * is about to run, since somebody has just woken it or its condition has come true
 * before it slept, does not sleep.
 */
bool waits(struct job *job)
{
	unsigned long deadline = jiffies + LIMIT, switches = 0;
	bool asleep = false;

	while (time_before(jiffies, deadline)) {
		struct task_struct *task = READ_ONCE(job->task);
		unsigned long switches_before = switches;
		bool was_asleep = asleep;

		asleep = task && (READ_ONCE(task->__state) & TASK_NORMAL);
		switches = task ? READ_ONCE(task->nvcsw) : 0;
		/* A worker without work is asleep as well. */
		smp_rmb();
		if (completion_done(&job->ended))
			return false;
		if (asleep && was_asleep && switches == switches_before)
			return true;
		usleep_range(100, 1000);
	}
	return false;
}

/*
 * Buffers, and bytes that tell where they belong
 */

#define PATTERN_SHIFTS	16381
#define PATTERN_BYTES	(MAX_BYTES + PATTERN_SHIFTS)

static u8 *pattern;
static atomic_t num_seeds;

/* Bytes that differ from those of other seeds at nearly every place. */
const u8 *bytes_of(unsigned int seed)
{
	return pattern + seed * 61 % PATTERN_SHIFTS;
}

unsigned int new_seed(void)
{
	return atomic_inc_return(&num_seeds);
}

struct word {
	unsigned long value;
} __packed;

/*
 * With KASAN, memcmp() checks each of its accesses, and takes longer than all
 * the rest.
 */
__no_sanitize_address bool equal_bytes(const u8 *a, const u8 *b, size_t bytes)
{
	const struct word *words_a = (const struct word *)a;
	const struct word *words_b = (const struct word *)b;
	size_t num = bytes / sizeof(struct word), i;
	unsigned long differences = 0;

	for (i = 0; i < num; i++)
		differences |= words_a[i].value ^ words_b[i].value;
	for (i = num * sizeof(struct word); i < bytes; i++)
		differences |= a[i] ^ b[i];
	return !differences;
}

bool same_bytes(struct kunit *test, const u8 *got, const u8 *want,
		size_t bytes, const char *what)
{
	size_t i = 0;

	if (equal_bytes(got, want, bytes))
		return true;
	while (i < bytes && got[i] == want[i])
		i++;
	KUNIT_FAIL(test, "%s: byte %zu of %zu is %02x, not %02x", what, i,
		   bytes, got[i], want[i]);
	return false;
}

bool all_bytes(struct kunit *test, const u8 *got, u8 want, size_t bytes,
	       const char *what)
{
	const u8 *wrong = memchr_inv(got, want, bytes);

	if (!wrong)
		return true;
	KUNIT_FAIL(test, "%s: byte %zu of %zu is %02x, not %02x", what,
		   wrong - got, bytes, *wrong, want);
	return false;
}

struct page *page_at(const void *data)
{
	return is_vmalloc_addr(data) ? vmalloc_to_page(data) :
				       virt_to_page((void *)data);
}

void bio_over_bvec(struct buffer *buffer)
{
	bio_init(&buffer->bio, NULL, buffer->bvec, buffer->num_vecs,
		 REQ_OP_READ);
	buffer->bio.bi_vcnt = buffer->num_vecs;
	buffer->bio.bi_iter.bi_size = buffer->bytes;
}

/* A bio_vec for each page. The arrays have room for that and one more. */
void describe_buffer(struct buffer *buffer)
{
	unsigned int offset = offset_in_page(buffer->data);
	unsigned int num = DIV_ROUND_UP(offset + buffer->bytes, PAGE_SIZE);
	size_t left = buffer->bytes;
	u8 *data = buffer->data;
	unsigned int i;

	buffer->offset = offset;
	buffer->num_vecs = num;
	for (i = 0; i < num; i++) {
		unsigned int len = min_t(size_t, left, PAGE_SIZE - offset);

		buffer->pages[i].page = page_at(data);
		buffer->pages[i].next = i + 1 < num ? &buffer->pages[i + 1] : NULL;
		bvec_set_page(&buffer->bvec[i], page_at(data), len, offset);
		left -= len;
		data += len;
		offset = 0;
	}
	bio_over_bvec(buffer);
}

struct buffer *new_buffer_at(struct kunit *test, void *data,
			     size_t bytes)
{
	unsigned int max_pages = DIV_ROUND_UP(bytes, PAGE_SIZE) + 2;
	struct buffer *buffer;

	buffer = test_alloc(test, sizeof(*buffer) +
			    max_pages * (sizeof(*buffer->bvec) +
					 sizeof(*buffer->pages)));
	buffer->bvec = (struct bio_vec *)(buffer + 1);
	buffer->pages = (struct page_list *)(buffer->bvec + max_pages);
	buffer->data = data;
	buffer->bytes = bytes;
	describe_buffer(buffer);
	return buffer;
}

/*
 * Pages, mapped in an order in which none is contiguous with the one before.
 * The buffers of a test are cut from them.
 */
struct page **arena_pages;
u8 *arena;
static size_t arena_used;
static size_t arena_lost;		/* to calls that are stuck */

static int descending(const void *a, const void *b)
{
	unsigned long pfn_a = page_to_pfn(*(struct page **)a);
	unsigned long pfn_b = page_to_pfn(*(struct page **)b);

	return pfn_a < pfn_b ? 1 : pfn_a > pfn_b ? -1 : 0;
}

static int create_arena(void)
{
	unsigned int i;

	arena_pages = kvcalloc(ARENA_PAGES, sizeof(*arena_pages), GFP_KERNEL);
	if (!arena_pages)
		return -ENOMEM;
	for (i = 0; i < ARENA_PAGES; i++) {
		arena_pages[i] = alloc_page(GFP_KERNEL | __GFP_HIGHMEM);
		if (!arena_pages[i])
			return -ENOMEM;
	}
	sort(arena_pages, ARENA_PAGES, sizeof(*arena_pages), descending, NULL);
	arena = vmap(arena_pages, ARENA_PAGES, VM_MAP, PAGE_KERNEL);
	arena_lost = 0;
	return arena ? 0 : -ENOMEM;
}

static void destroy_arena(void)
{
	unsigned int i;

	vunmap(arena);
	arena = NULL;
	for (i = 0; arena_pages && i < ARENA_PAGES; i++)
		if (arena_pages[i])
			__free_page(arena_pages[i]);
	kvfree(arena_pages);
	arena_pages = NULL;
}

/* Memory that starts @offset bytes into a page, and has guards around it. */
struct buffer *new_buffer(struct kunit *test, size_t bytes, unsigned int offset)
{
	size_t whole = PAGE_ALIGN(2 * GUARD_BYTES + offset + bytes);
	u8 *data = arena + arena_used;

	KUNIT_ASSERT_LE(test, whole, ARENA_BYTES - arena_used);
	arena_used += whole;
	memset(data, GUARD, whole);
	return new_buffer_at(test, data + GUARD_BYTES + offset, bytes);
}

/* Where there is memory without an address, all buffers are made of it. */
void expect_high_memory(struct kunit *test,
			struct page **of,
			unsigned int num)
{
	unsigned int num_high = 0, i;
	struct sysinfo info;

	si_meminfo(&info);
	if (!info.totalhigh)
		kunit_skip(test, "all of this machine's memory has an address");
	for (i = 0; i < num; i++)
		num_high += PageHighMem(of[i]);
	KUNIT_EXPECT_EQ(test, num_high, num);
}

void fill_buffer(struct buffer *buffer, unsigned int seed)
{
	memcpy(buffer->data, bytes_of(seed), buffer->bytes);
}

void expect_guards(struct kunit *test, const struct buffer *buffer)
{
	all_bytes(test, buffer->data - GUARD_BYTES, GUARD, GUARD_BYTES,
		  "memory before the buffer");
	all_bytes(test, buffer->data + buffer->bytes, GUARD, GUARD_BYTES,
		  "memory behind the buffer");
}

/*
 * Calls
 */

const struct call_info calls[NUM_CALLS] = {
	{ SYNC_PAGES, "dm_io_sync" },
	{ ASYNC_PAGES, "dm_io_async" },
	{ SYNC_BVEC, "dm_io_sync_bvec" },
	{ ASYNC_BVEC, "dm_io_async_bvec" },
	{ SYNC_VM, "dm_io_sync_vm" },
	{ ASYNC_VM, "dm_io_async_vm" },
	{ SYNC_BIO, "dm_io_sync_bio" },
	{ ASYNC_BIO, "dm_io_async_bio" },
	{ SYNC_ARGS, "dm_io_submit" },
	{ ASYNC_ARGS, "dm_io_submit with a callback" },
};

void describe_call(const struct call_info *info, char *desc)
{
	strscpy(desc, info->name, KUNIT_PARAM_DESC_SIZE);
}

enum call param_call(struct kunit *test)
{
	return ((const struct call_info *)test->param_value)->call;
}

void note_end(unsigned long error, void *context)
{
	struct io *io = context;

	io->error = error;
	io->ended_in_hardirq = in_hardirq();
	atomic_inc(&io->num_ends);
	complete(&io->ended);
}

void note_end_result(unsigned long error, unsigned long unsupported, void *context)
{
	struct io *io = context;

	io->unsupported = unsupported;
	note_end(error, context);
}

/* If the test has not named another buffer, it is the list of pages. */
static void call_with_args(struct io *io)
{
	struct dm_io_args args = io->args;

	memset(io->errors, 0x55, sizeof(io->errors));
	args.opf = (__force blk_opf_t)io->rw;
	args.num_regions = io->num_regions;
	args.where = io->where;
	if (!io->own_buffer) {
		args.pl = io->pages;
		args.offset = io->offset;
	}
	if (is_async(io->call) && io->with_result_fn)
		args.result_fn = note_end_result;
	else if (is_async(io->call))
		args.fn = io->fn;
	args.context = io;
	args.error_bits = io->error_bits;
	args.unsupported_bits = &io->unsupported;
	if (!io->no_errors)
		args.errors = io->errors;
	io->ret = dm_io_submit(&args);
}

void make_call(void *data)
{
	struct io *io = data;

	switch (io->call) {
	case SYNC_PAGES:
		io->ret = dm_io_sync(io->num_regions, io->where, io->rw,
				     io->pages, io->offset, io->error_bits);
		break;
	case ASYNC_PAGES:
		io->ret = dm_io_async(io->num_regions, io->where, io->rw,
				      io->pages, io->offset, io->fn, io);
		break;
	case SYNC_BVEC:
		io->ret = dm_io_sync_bvec(io->num_regions, io->where, io->rw,
					  io->bvec, io->error_bits);
		break;
	case ASYNC_BVEC:
		io->ret = dm_io_async_bvec(io->num_regions, io->where, io->rw,
					   io->bvec, io->fn, io);
		break;
	case SYNC_VM:
		io->ret = dm_io_sync_vm(io->num_regions, io->where, io->rw,
					io->data, io->error_bits);
		break;
	case ASYNC_VM:
		io->ret = dm_io_async_vm(io->num_regions, io->where, io->rw,
					 io->data, io->fn, io);
		break;
	case SYNC_BIO:
		io->ret = dm_io_sync_bio(io->num_regions, io->where, io->rw,
					 io->bio, io->error_bits);
		break;
	case ASYNC_BIO:
		io->ret = dm_io_async_bio(io->num_regions, io->where, io->rw,
					  io->bio, io->fn, io);
		break;
	default:
		call_with_args(io);
		break;
	}
}

void set_buffer(struct io *io, struct buffer *buffer)
{
	io->pages = buffer->pages;
	io->offset = buffer->offset;
	io->bvec = buffer->bvec;
	io->data = buffer->data;
	io->bio = &buffer->bio;
}

/* A callback that came twice shows at the latest here. */
static void end_io(void *data)
{
	struct io *io = data;

	KUNIT_EXPECT_EQ(io->test, atomic_read(&io->num_ends), io->wanted_ends);
}

struct io *new_io(struct kunit *test, enum call call, int rw,
		  struct buffer *buffer)
{
	struct io *io = test_alloc(test, sizeof(*io));

	io->test = test;
	io->call = call;
	io->rw = rw;
	io->where = io->regions;
	io->error_bits = &io->error;
	io->fn = note_end;
	init_completion(&io->ended);
	if (buffer)
		set_buffer(io, buffer);
	defer(test, end_io, io);
	return io;
}

void add_region(struct io *io, struct block_device *bdev, sector_t sector,
		sector_t count)
{
	io->regions[io->num_regions++] = (struct io_region) {
		.bdev = bdev,
		.sector = sector,
		.count = count,
	};
}

/* The allocation of each call that is to fail, counted from 0 on; -1 is none. */
static int failing = -1;

/* One has failed in an earlier call than the last one. */
static bool failed_before;

/* Has one failed in the last call? */
bool memory_was_short(void)
{
	return failing >= 0 && READ_ONCE(dm_io_test_fail_after) < 0;
}

static void fail_in_call(void)
{
	if (failing < 0)
		return;
	failed_before |= memory_was_short();
	WRITE_ONCE(dm_io_test_fail_after, failing);
}

/* The call itself, which has not returned yet. */
void start_io(struct io *io)
{
	io->error = ~0UL;
	io->unsupported = ~0UL;
	reinit_completion(&io->ended);
	fail_in_call();
	restart_job(&io->job, make_call, io);
}

void check_return(struct kunit *test, struct io *io)
{
	if (is_async(io->call)) {
		if (!io->ret)
			io->wanted_ends++;
	} else if (io->error_bits) {
		KUNIT_EXPECT_EQ(test, io->ret == -EIO || io->ret == -EINTR ||
				io->ret == -EOPNOTSUPP, *io->error_bits != 0);
	}
}

/* Wait until the call has returned. */
void finish_call(struct kunit *test, struct io *io)
{
	finish_job(test, &io->job, "a call");
	check_return(test, io);
}

void submit(struct kunit *test, struct io *io)
{
	start_io(io);
	finish_call(test, io);
}

/* Returns what the synchronous call would have returned. */
int await(struct kunit *test, struct io *io)
{
	if (!is_async(io->call) || io->ret)
		return io->ret;
	if (!wait_for_completion_timeout(&io->ended, LIMIT))
		fail_stuck(test, "an asynchronous call");
	KUNIT_EXPECT_EQ(test, atomic_read(&io->num_ends), io->wanted_ends);
	return io->error ? -EIO : 0;
}

int perform(struct kunit *test, struct io *io)
{
	submit(test, io);
	return await(test, io);
}

/* What a call does that is refused: nothing. */
void expect_refused(struct kunit *test, struct io *io, int ret)
{
	unsigned int ends = io->wanted_ends;

	submit(test, io);
	KUNIT_EXPECT_EQ(test, io->ret, ret);
	KUNIT_EXPECT_EQ(test, atomic_read(&io->num_ends), ends);
	if (!is_async(io->call))
		KUNIT_EXPECT_EQ(test, io->error, 0);
}

/* Does the disk have these bytes, and the others still its first ones? */
void expect_on_disk(struct kunit *test, const struct test_disk *disk,
		    sector_t sector, const u8 *bytes, size_t num_bytes)
{
	same_bytes(test, disk->data + (sector << SECTOR_SHIFT), bytes,
		   num_bytes, "on the disk");
}

void expect_untouched(struct kunit *test, const struct test_disk *disk,
		      sector_t from, sector_t to)
{
	all_bytes(test, disk->data + (from << SECTOR_SHIFT), TEST_DISK_FILLER,
		  (to - from) << SECTOR_SHIFT, "the rest of the disk");
}

void fill_disk(struct test_disk *disk, sector_t sector, unsigned int seed,
	       size_t bytes)
{
	memcpy(disk->data + (sector << SECTOR_SHIFT), bytes_of(seed), bytes);
}

/*
 * When memory is short
 */

struct held mark_held(void)
{
	return (struct held) {
		.num_deferred = num_deferred,
		.arena_used = arena_used,
	};
}

/* What has been taken since then goes now and not at the end of the test. */
void release_held(struct held held)
{
	run_deferred(held.num_deferred);
	if (!stuck)
		arena_used = held.arena_used;
}

/* Once, and nothing fails. */
void run_body(struct kunit *test, test_body *body, void *data)
{
	struct held held = mark_held();

	body(test, data);
	release_held(held);
}

/*
 * With the first allocation of each call failing, then with the second, and so on,
 * until the body gets through without a failure. Behind the first ones come many of
 * the same kind, one for each bio: of those, fewer and fewer are tried.
 */
#define EACH_OF		16

void fail_each_allocation(struct kunit *test, test_body *body, void *data)
{
	bool failed;

	for (failing = 0, failed = true; failed;
	     failing += 1 + failing / EACH_OF) {
		failed_before = false;
		WRITE_ONCE(dm_io_test_fail_after, failing);
		run_body(test, body, data);
		failed = failed_before || memory_was_short();
		WRITE_ONCE(dm_io_test_fail_after, -1);
		KUNIT_ASSERT_EQ_MSG(test, test->status, KUNIT_SUCCESS,
				    "when allocation %d fails", failing);
	}
	failing = -1;
}

/* As many regions as there can be, or fewer where all of it is done many times. */
unsigned int most_regions(void)
{
	return failing >= 0 ? 10 : BITS_PER_LONG;
}

static void run_test(struct kunit *test, void *data)
{
	const struct short_case *short_case = data;

	short_case->run(test);
}

void results_hold_without_memory(struct kunit *test)
{
	const struct short_case *short_case = test->param_value;
	size_t at = 0;

	do {
		test->param_value = short_case->params + at;
		fail_each_allocation(test, run_test, (void *)short_case);
		at += short_case->size;
	} while (at < short_case->bytes);
	test->param_value = short_case;
}

void describe_short_case(const struct short_case *short_case, char *desc)
{
	strscpy(desc, short_case->name, KUNIT_PARAM_DESC_SIZE);
}

/*
 * What all suites and all tests start from, and end with
 */

int start_any_suite(void)
{
	struct rnd_state state;

	pattern = vmalloc(PATTERN_BYTES);
	callers = alloc_workqueue("dm-io-test", WQ_UNBOUND, 0);
	if (!pattern || !callers)
		return -ENOMEM;
	prandom_seed_state(&state, 1);
	prandom_bytes_state(&state, pattern, PATTERN_BYTES);
	return 0;
}

/* Calls that are stuck keep their workqueue and all they may look at. */
void end_any_suite(void)
{
	destroy_idle_disks();
	if (!ever_stuck) {
		if (callers)
			destroy_workqueue(callers);
		vfree(pattern);
	}
	callers = NULL;
	pattern = NULL;
	ever_stuck = false;
	stuck = false;
}

int start_suite(struct kunit_suite *suite)
{
	return start_any_suite() ?: create_arena();
}

void end_suite(struct kunit_suite *suite)
{
	if (!ever_stuck)
		destroy_arena();
	end_any_suite();
}

bool reserve_is_held(void)
{
	return dm_io_test_stat(STAT_RESERVE, 0);
}

int start_test(struct kunit *test)
{
	if (stuck)
		arena_lost = arena_used;
	arena_used = arena_lost;
	stuck = false;
	KUNIT_EXPECT_FALSE_MSG(test, reserve_is_held(),
			       "somebody has left a reserve behind");
	return 0;
}

void end_test(struct kunit *test)
{
	WRITE_ONCE(dm_io_test_no_memory, false);
	WRITE_ONCE(dm_io_test_fail_after, -1);
	if (failing >= 0)
		kunit_info(test, "ended while allocation %d failed", failing);
	failing = -1;
	run_deferred(0);
}
