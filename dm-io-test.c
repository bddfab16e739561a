// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the tests of the library
 *
 * Four suites: dm_io_data compares every byte that the calls move to and from
 * brd, null_blk and a disk of the tests' own; dm_io_contract holds each line of
 * the contract in dm-io.h against the library; dm_io_concurrency lets calls race;
 * and dm_io_progress takes all memory away.
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
#include <linux/device/class.h>
#include <linux/highmem.h>
#include <linux/ioprio.h>
#include <linux/jiffies.h>
#include <linux/kmsg_dump.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/panic.h>
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

/* The longest region whose bytes are compared. */
#define MAX_BYTES	SZ_8M

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

static void run_deferred(void)
{
	while (num_deferred--)
		if (!stuck || deferred[num_deferred].even_if_stuck)
			deferred[num_deferred].fn(deferred[num_deferred].data);
	num_deferred = 0;
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

	test_disk_calm_down(disk);
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

void get_reserve(struct kunit *test, unsigned int num_pages)
{
	KUNIT_ASSERT_EQ(test, dm_io_get(num_pages), 0);
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
void give_up(struct kunit *test, const char *what)
{
	stuck = true;
	ever_stuck = true;
	__module_get(THIS_MODULE);
	KUNIT_ASSERT_FALSE_MSG(test, stuck, "%s did not come to an end", what);
}

void finish_job(struct kunit *test, struct job *job, const char *what)
{
	if (!wait_for_completion_timeout(&job->ended, LIMIT))
		give_up(test, what);
	flush_work(&job->work);
}

/* Either the job comes to its end, or it sleeps, in which case this is true. */
bool waits(struct job *job)
{
	unsigned long deadline = jiffies + LIMIT;

	while (time_before(jiffies, deadline)) {
		struct task_struct *task = READ_ONCE(job->task);
		bool asleep = task && !task_is_running(task);

		/* A worker without work is asleep as well. */
		smp_rmb();
		if (completion_done(&job->ended))
			return false;
		if (asleep)
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
static void describe_buffer(struct buffer *buffer)
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

static struct buffer *new_buffer_at(struct kunit *test, void *data,
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
#define ARENA_BYTES	SZ_16M
#define ARENA_PAGES	(ARENA_BYTES / PAGE_SIZE)

static struct page **arena_pages;
static u8 *arena;
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
static void __maybe_unused expect_high_memory(struct kunit *test,
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

KUNIT_ARRAY_PARAM(call, calls, describe_call);

enum call param_call(struct kunit *test)
{
	return ((const struct call_info *)test->param_value)->call;
}

static bool takes_bvec(enum call call)
{
	return call == SYNC_BVEC || call == ASYNC_BVEC || call == SYNC_BIO ||
	       call == ASYNC_BIO;
}

void note_end(unsigned long error, void *context)
{
	struct io *io = context;

	io->error = error;
	io->ended_in_hardirq = in_hardirq();
	atomic_inc(&io->num_ends);
	complete(&io->ended);
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
	args.fn = is_async(io->call) ? io->fn : NULL;
	args.context = io;
	args.error_bits = io->error_bits;
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

static void set_buffer(struct io *io, struct buffer *buffer)
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

/* The call itself, which has not returned yet. */
void start_io(struct io *io)
{
	io->error = ~0UL;
	reinit_completion(&io->ended);
	restart_job(&io->job, make_call, io);
}

static void returned(struct kunit *test, struct io *io)
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
	returned(test, io);
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
		give_up(test, "an asynchronous call");
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
 * What all suites and all tests start from, and end with
 */

static int start_any_suite(void)
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
static void end_any_suite(void)
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

/* No region has a count: there is nothing to do but to look at the reserve. */
static bool reserve_is_held(void)
{
	struct io_region where = { };

	return dm_io_sync(1, &where, WRITE, NULL, 0, NULL) != -ENXIO;
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
	run_deferred();
}

/*
 * Suite dm_io_data: every byte
 *
 * A window of each disk is mirrored in memory. Each call writes its regions
 * there, or reads one, in many geometries; what is around the regions and
 * around the buffer is compared along with them, and after the last call the
 * whole window. The disk is looked at by means of plain bios.
 */

#define WINDOW_BYTES	(MAX_BYTES + SZ_1M)
#define WINDOW_SECTORS	(WINDOW_BYTES >> SECTOR_SHIFT)

/* A buffer has to fit, with its offset and guards. */
#define LAYOUT_PAGES	(WINDOW_BYTES / PAGE_SIZE)

static u8 *mirror;
static u8 *scratch;
static struct buffer data_buffer;

/* Pages in an order in which they are contiguous, or never, or at times. */
enum order {
	IN_ORDER,
	SCATTERED,
	IN_RUNS,
	NUM_ORDERS
};

static const char * const order_names[] = {
	"pages in order", "scattered pages", "runs of pages",
};

static struct page **pages;
static u8 *layouts[NUM_ORDERS];

/* How an array of bio_vecs is cut. */
enum cut {
	EACH_PAGE,
	MERGED,
	ODD_PIECES,
	NUM_CUTS
};

static const char * const cut_names[] = {
	"one bio_vec a page", "long bio_vecs", "odd bio_vecs",
};

struct target {
	const char *name;
	const char *disk_name;		/* NULL: a disk of our own */
	unsigned int granule;		/* of memory: offsets, and lengths */
	const unsigned int *offsets;
	unsigned int num_offsets;
};

static const unsigned int sector_offsets[] = { 0, 512, 1024, 2048, 3584 };
static const unsigned int word_offsets[] = { 0, 4, 252, 256, 3580, 4092 };
static const unsigned int byte_offsets[] = { 0, 1, 255, 256, 3584, 4095 };

static const struct target brd = {
	.name = "brd",
	.disk_name = "ram0",
	.granule = SECTOR_SIZE,
	.offsets = sector_offsets,
	.num_offsets = ARRAY_SIZE(sector_offsets),
};

static const struct target null_blk = {
	.name = "null_blk",
	.disk_name = "nullb0",
	.granule = SECTOR_SIZE,
	.offsets = sector_offsets,
	.num_offsets = ARRAY_SIZE(sector_offsets),
};

static const struct target word_disk = {
	.name = "disk with word alignment",
	.granule = 4,
	.offsets = word_offsets,
	.num_offsets = ARRAY_SIZE(word_offsets),
};

static const struct target byte_disk = {
	.name = "disk with byte alignment",
	.granule = 1,
	.offsets = byte_offsets,
	.num_offsets = ARRAY_SIZE(byte_offsets),
};

static const struct data_param {
	const struct target *target;
	enum call call;
} data_params[] = {
	{ &brd, SYNC_PAGES },
	{ &brd, ASYNC_PAGES },
	{ &brd, SYNC_BVEC },
	{ &brd, ASYNC_BVEC },
	{ &brd, SYNC_VM },
	{ &brd, ASYNC_VM },
	{ &brd, SYNC_BIO },
	{ &brd, ASYNC_BIO },
	{ &null_blk, SYNC_PAGES },
	{ &null_blk, ASYNC_PAGES },
	{ &null_blk, SYNC_BVEC },
	{ &null_blk, ASYNC_BVEC },
	{ &null_blk, SYNC_VM },
	{ &null_blk, ASYNC_VM },
	{ &null_blk, SYNC_BIO },
	{ &null_blk, ASYNC_BIO },
	{ &word_disk, SYNC_PAGES },
	{ &word_disk, ASYNC_PAGES },
	{ &word_disk, SYNC_BVEC },
	{ &word_disk, ASYNC_BVEC },
	{ &word_disk, SYNC_VM },
	{ &word_disk, ASYNC_VM },
	{ &word_disk, SYNC_BIO },
	{ &word_disk, ASYNC_BIO },
	{ &byte_disk, SYNC_PAGES },
	{ &byte_disk, ASYNC_PAGES },
	{ &byte_disk, SYNC_BVEC },
	{ &byte_disk, ASYNC_BVEC },
	{ &byte_disk, SYNC_VM },
	{ &byte_disk, ASYNC_VM },
	{ &byte_disk, SYNC_BIO },
	{ &byte_disk, ASYNC_BIO },
};

static void describe_data_param(const struct data_param *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s on %s",
		 calls[param->call].name, param->target->name);
}

KUNIT_ARRAY_PARAM(data, data_params, describe_data_param);

struct geometry {
	unsigned int num_sectors;
	unsigned int num_regions;
	unsigned int offset;
	enum order order;
	enum cut cut;
};

static const unsigned int region_sectors[] = {
	1, 2, 3, 7, 8, 9, 16, 128, 135, 512, 2048, 2049, 4099,
	MAX_BYTES >> SECTOR_SHIFT,
};

static const unsigned int region_numbers[] = { 1, 2, 3, 8, BITS_PER_LONG };

/* With this size, a test begins to take long. */
#define LONG_SECTORS		(SZ_64K >> SECTOR_SHIFT)
#define MAX_SECTORS_AT_ONCE	(SZ_2M >> SECTOR_SHIFT)

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

/* The window, or a part of it, against its mirror. */
static bool same_as_mirror(struct kunit *test, struct block_device *bdev,
			   sector_t from, sector_t to, const char *what)
{
	while (from < to) {
		size_t bytes = min_t(u64, (to - from) << SECTOR_SHIFT, SZ_1M);

		KUNIT_EXPECT_EQ(test, 0, plain_io(bdev, REQ_OP_READ, from,
						  scratch, bytes));
		if (!same_bytes(test, scratch, mirror + (from << SECTOR_SHIFT),
				bytes, what))
			return false;
		from += bytes >> SECTOR_SHIFT;
	}
	return true;
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

/* A null_blk that is not backed by memory reads nothing, and reports success. */
static bool keeps_data(struct kunit *test, struct block_device *bdev)
{
	memset(scratch, GUARD, PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, 0, plain_io(bdev, REQ_OP_READ, 0, scratch,
					  PAGE_SIZE));
	return memchr_inv(scratch, GUARD, PAGE_SIZE);
}

static struct block_device *open_target(struct kunit *test,
					const struct target *target)
{
	struct block_device *bdev;

	if (target->disk_name)
		bdev = find_disk(test, target->disk_name);
	else
		bdev = new_disk(test, &(struct test_disk_layout) {
			.num_sectors = WINDOW_SECTORS,
			.any_alignment = true,
			.dma_alignment = target->granule - 1,
		})->bdev;
	KUNIT_ASSERT_GE(test, bdev_nr_sectors(bdev), WINDOW_SECTORS);

	memcpy(mirror, bytes_of(new_seed()), MAX_BYTES);
	memcpy(mirror + MAX_BYTES, bytes_of(new_seed()),
	       WINDOW_BYTES - MAX_BYTES);
	KUNIT_ASSERT_EQ(test, 0, plain_io(bdev, REQ_OP_WRITE, 0, mirror,
					  WINDOW_BYTES));
	if (!keeps_data(test, bdev))
		kunit_skip(test, "%s keeps no data: null_blk.memory_backed=1 lets it",
			   target->name);
	return bdev;
}

/* Cut the array anew. The pieces need not be those that a page would give. */
static void cut_bvec(struct buffer *buffer, enum cut cut, unsigned int granule)
{
	static const unsigned int lengths[] = { 1, 3, 8, 2, 13, 5, 21, 4 };
	unsigned int unit = granule < SECTOR_SIZE ? 61 * granule : granule;
	unsigned int num = 0, i;
	size_t done = 0;

	if (cut == EACH_PAGE)
		return;

	while (done < buffer->bytes) {
		u8 *data = buffer->data + done;
		unsigned int len = min_t(size_t, buffer->bytes - done,
					 PAGE_SIZE - offset_in_page(data));
		struct bio_vec *last = &buffer->bvec[num - 1];

		/* Odd pieces at both ends; with all of them, it would take long. */
		if (cut == ODD_PIECES && (done < SZ_16K ||
					  buffer->bytes - done < SZ_16K)) {
			i = num % ARRAY_SIZE(lengths);
			len = min(len, lengths[i] * unit);
		} else if (cut == MERGED && num &&
			   page_to_phys(last->bv_page) + last->bv_offset +
			   last->bv_len ==
			   page_to_phys(page_at(data)) + offset_in_page(data)) {
			last->bv_len += len;
			done += len;
			continue;
		}
		bvec_set_page(&buffer->bvec[num++], page_at(data), len,
			      offset_in_page(data));
		done += len;
	}
	buffer->num_vecs = num;
	bio_over_bvec(buffer);
}

/* Let the bio stand in the midst of its first bio_vec. */
static void start_within_bvec(struct buffer *buffer)
{
	struct bio_vec *first = &buffer->bvec[0];
	unsigned int before = first->bv_offset;

	first->bv_offset -= before;
	first->bv_len += before;
	buffer->bio.bi_iter.bi_size += before;
	bio_advance(&buffer->bio, before);
}

static void set_geometry(struct io *io, const struct geometry *geometry,
			 unsigned int granule)
{
	struct buffer *buffer = &data_buffer;

	buffer->data = layouts[geometry->order] + GUARD_BYTES +
		       geometry->offset;
	buffer->bytes = (size_t)geometry->num_sectors << SECTOR_SHIFT;
	describe_buffer(buffer);
	if (takes_bvec(io->call))
		cut_bvec(buffer, geometry->cut, granule);
	if (io->call == SYNC_BIO || io->call == ASYNC_BIO)
		start_within_bvec(buffer);
	set_buffer(io, buffer);

	memset(buffer->data - GUARD_BYTES, GUARD,
	       buffer->bytes + 2 * GUARD_BYTES);
}

/* Regions with a few sectors between them, in ascending or descending order. */
static void set_regions(struct io *io, struct block_device *bdev,
			const struct geometry *geometry)
{
	unsigned int apart = geometry->num_sectors + 1 + geometry->offset % 3;
	bool descending = geometry->num_sectors & 1;
	unsigned int i;

	io->num_regions = 0;
	for (i = 0; i < geometry->num_regions; i++) {
		unsigned int at = descending ? geometry->num_regions - 1 - i : i;

		add_region(io, bdev, 3 + at * apart, geometry->num_sectors);
	}
}

static sector_t end_of_regions(const struct io *io)
{
	sector_t end = 0;
	unsigned int i;

	for (i = 0; i < io->num_regions; i++)
		end = max(end, io->regions[i].sector + io->regions[i].count);
	return end;
}

static void check_write(struct kunit *test, struct io *io,
			struct block_device *bdev)
{
	const u8 *bytes = bytes_of(new_seed());
	unsigned int i;

	memcpy(data_buffer.data, bytes, data_buffer.bytes);
	io->rw = WRITE;
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);

	for (i = 0; i < io->num_regions; i++)
		memcpy(mirror + (io->regions[i].sector << SECTOR_SHIFT), bytes,
		       data_buffer.bytes);
	same_as_mirror(test, bdev, 0, end_of_regions(io) + 3, "on the disk");
	same_bytes(test, data_buffer.data, bytes, data_buffer.bytes,
		   "the buffer, afterwards");
	expect_guards(test, &data_buffer);
}

static void check_read(struct kunit *test, struct io *io)
{
	io->rw = READ;
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);

	same_bytes(test, data_buffer.data,
		   mirror + (io->regions[0].sector << SECTOR_SHIFT),
		   data_buffer.bytes, "what was read");
	expect_guards(test, &data_buffer);
}

static void check_geometry(struct kunit *test, struct io *io,
			   struct block_device *bdev,
			   const struct geometry *geometry, bool write)
{
	const struct data_param *param = test->param_value;

	set_geometry(io, geometry, param->target->granule);
	set_regions(io, bdev, geometry);
	if (write)
		check_write(test, io, bdev);
	else
		check_read(test, io);

	KUNIT_ASSERT_EQ_MSG(test, test->status, KUNIT_SUCCESS,
			    "a %s of %u regions of %u sectors, %s at %u, %s",
			    write ? "write" : "read", geometry->num_regions,
			    geometry->num_sectors, order_names[geometry->order],
			    geometry->offset, cut_names[geometry->cut]);
}

static void check_size_and_offset(struct kunit *test, struct io *io,
				  struct block_device *bdev, unsigned int s,
				  unsigned int o)
{
	const struct data_param *param = test->param_value;
	unsigned int num_sectors = region_sectors[s];
	unsigned int most = MAX_SECTORS_AT_ONCE / num_sectors;
	struct geometry geometry = {
		.num_sectors = num_sectors,
		.num_regions = region_numbers[(s + o) %
					      ARRAY_SIZE(region_numbers)],
		.offset = param->target->offsets[o],
		.order = (s + o + o / NUM_ORDERS) % NUM_ORDERS,
		.cut = (s + o / 2) % NUM_CUTS,
	};

	geometry.num_regions = clamp(geometry.num_regions, 1U, max(most, 1U));
	check_geometry(test, io, bdev, &geometry, true);
	geometry.num_regions = 1;
	check_geometry(test, io, bdev, &geometry, false);
}

/*
 * Every size with every offset, both with every number of regions, and all of
 * them with every order of pages. What takes long is done with one offset, which
 * is another one for each call.
 */
static void data_arrives(struct kunit *test)
{
	const struct data_param *param = test->param_value;
	const struct target *target = param->target;
	struct block_device *bdev;
	unsigned int s, o;
	struct io *io;

	get_reserve(test, 1);
	bdev = open_target(test, target);
	io = new_io(test, param->call, WRITE, NULL);

	for (s = 0; s < ARRAY_SIZE(region_sectors); s++) {
		if (region_sectors[s] >= LONG_SECTORS) {
			o = (s + param->call) % target->num_offsets;
			check_size_and_offset(test, io, bdev, s, o);
			continue;
		}
		for (o = 0; o < target->num_offsets; o++)
			check_size_and_offset(test, io, bdev, s, o);
	}
	same_as_mirror(test, bdev, 0, WINDOW_SECTORS, "the whole window");
}

#ifdef CONFIG_HIGHMEM
static void data_is_in_high_memory(struct kunit *test)
{
	expect_high_memory(test, pages, LAYOUT_PAGES);
}
#endif

static struct kunit_case data_cases[] = {
#ifdef CONFIG_HIGHMEM
	KUNIT_CASE(data_is_in_high_memory),
#endif
	KUNIT_CASE_PARAM(data_arrives, data_gen_params),
	{}
};

/* Pages of which at least those of a MiB are contiguous. */
static int alloc_layout_pages(void)
{
	unsigned int order = get_order(SZ_1M);
	unsigned int i, j;

	for (i = 0; i < LAYOUT_PAGES; i += 1U << order) {
		struct page *block = alloc_pages(GFP_KERNEL | __GFP_HIGHMEM,
						 order);

		if (!block)
			return -ENOMEM;
		split_page(block, order);
		for (j = 0; j < 1U << order; j++)
			pages[i + j] = block + j;
	}
	return 0;
}

/* Runs of one to five pages, the last run first. */
static void order_in_runs(struct page **ordered)
{
	static const unsigned int lengths[] = { 1, 3, 2, 5, 1, 4 };
	unsigned int end = LAYOUT_PAGES, num = 0, i, j;

	for (i = 0; end; i++) {
		unsigned int len = min(lengths[i % ARRAY_SIZE(lengths)], end);

		end -= len;
		for (j = 0; j < len; j++)
			ordered[num++] = pages[end + j];
	}
}

static int map_layouts(void)
{
	struct page **ordered;
	unsigned int i;

	ordered = kvcalloc(LAYOUT_PAGES, sizeof(*ordered), GFP_KERNEL);
	if (!ordered)
		return -ENOMEM;

	layouts[IN_ORDER] = vmap(pages, LAYOUT_PAGES, VM_MAP, PAGE_KERNEL);

	/* The step has no divisor in common with their number. */
	for (i = 0; i < LAYOUT_PAGES; i++)
		ordered[i] = pages[i * 1031 % LAYOUT_PAGES];
	layouts[SCATTERED] = vmap(ordered, LAYOUT_PAGES, VM_MAP, PAGE_KERNEL);

	order_in_runs(ordered);
	layouts[IN_RUNS] = vmap(ordered, LAYOUT_PAGES, VM_MAP, PAGE_KERNEL);

	kvfree(ordered);
	for (i = 0; i < NUM_ORDERS; i++)
		if (!layouts[i])
			return -ENOMEM;
	return 0;
}

static void end_data_suite(struct kunit_suite *suite)
{
	unsigned int i;

	for (i = 0; i < NUM_ORDERS; i++) {
		vunmap(layouts[i]);
		layouts[i] = NULL;
	}
	for (i = 0; pages && i < LAYOUT_PAGES; i++)
		if (pages[i])
			__free_page(pages[i]);
	kvfree(pages);
	pages = NULL;
	kvfree(data_buffer.pages);
	kvfree(data_buffer.bvec);
	memset(&data_buffer, 0, sizeof(data_buffer));
	vfree(scratch);
	scratch = NULL;
	vfree(mirror);
	mirror = NULL;
	end_any_suite();
}

static int start_data_suite(struct kunit_suite *suite)
{
	/* Odd pieces are more than pages. */
	unsigned int max_vecs = LAYOUT_PAGES + 1024;

	if (start_any_suite())
		return -ENOMEM;
	mirror = vmalloc(WINDOW_BYTES);
	scratch = vmalloc(SZ_1M);
	data_buffer.pages = kvcalloc(max_vecs, sizeof(*data_buffer.pages),
				     GFP_KERNEL);
	data_buffer.bvec = kvcalloc(max_vecs, sizeof(*data_buffer.bvec),
				    GFP_KERNEL);
	pages = kvcalloc(LAYOUT_PAGES, sizeof(*pages), GFP_KERNEL);
	if (!mirror || !scratch || !data_buffer.pages || !data_buffer.bvec ||
	    !pages || alloc_layout_pages())
		return -ENOMEM;
	return map_layouts();
}

/*
 * Suite dm_io_contract: the reserve
 */

#ifdef CONFIG_HIGHMEM
static void buffers_are_in_high_memory(struct kunit *test)
{
	expect_high_memory(test, arena_pages, ARENA_PAGES);
}
#endif

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

static void get_refuses_zero(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, dm_io_get(0), -EINVAL);
	KUNIT_EXPECT_FALSE(test, reserve_is_held());
}

static void get_refuses_the_absurd(struct kunit *test)
{
	unsigned long deadline = jiffies + 2 * HZ;

	KUNIT_EXPECT_EQ(test, dm_io_get(UINT_MAX), -ENOMEM);
	KUNIT_EXPECT_EQ(test, dm_io_get(INT_MAX), -ENOMEM);
	KUNIT_EXPECT_FALSE(test, reserve_is_held());

	/* So does what is absurd only together with what there is. */
	get_reserve(test, 2);
	KUNIT_EXPECT_EQ(test, dm_io_get(UINT_MAX), -ENOMEM);
	KUNIT_EXPECT_EQ(test, dm_io_get(UINT_MAX - 1), -ENOMEM);
	KUNIT_EXPECT_TRUE(test, time_before(jiffies, deadline));
	KUNIT_EXPECT_EQ(test, count_reserve(test), 2);
}

static void get_that_fails_changes_nothing(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, dm_io_get(3), 0);
	WRITE_ONCE(dm_io_test_no_memory, true);
	KUNIT_EXPECT_EQ(test, dm_io_get(2), -ENOMEM);
	WRITE_ONCE(dm_io_test_no_memory, false);

	KUNIT_EXPECT_EQ(test, count_reserve(test), 3);
	dm_io_put(3);
	KUNIT_EXPECT_FALSE(test, reserve_is_held());
}

static void reserve_is_what_was_asked_for(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, dm_io_get(1), 0);
	KUNIT_EXPECT_EQ(test, count_reserve(test), 1);
	KUNIT_ASSERT_EQ(test, dm_io_get(5), 0);
	KUNIT_EXPECT_EQ(test, count_reserve(test), 6);

	/* Those requests have ended and filled it up again. */
	KUNIT_EXPECT_EQ(test, count_reserve(test), 6);
	dm_io_put(1);
	KUNIT_EXPECT_EQ(test, count_reserve(test), 5);
	dm_io_put(5);
	KUNIT_EXPECT_FALSE(test, reserve_is_held());
}

static void put_leaves_io_in_flight_alone(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct io *with_memory, *reserved;
	unsigned int seed = new_seed();
	struct buffer *buffer;

	buffer = new_buffer(test, SZ_8K, 512);
	fill_buffer(buffer, seed);
	disk->end = END_WHEN_TOLD;

	KUNIT_ASSERT_EQ(test, dm_io_get(1), 0);
	with_memory = new_io(test, ASYNC_PAGES, WRITE, buffer);
	add_region(with_memory, disk->bdev, 0, 16);
	add_region(with_memory, disk->bdev, 100, 16);
	submit(test, with_memory);
	reserved = new_io(test, ASYNC_BVEC, WRITE, buffer);
	add_region(reserved, disk->bdev, 200, 16);
	WRITE_ONCE(dm_io_test_no_memory, true);
	submit(test, reserved);
	WRITE_ONCE(dm_io_test_no_memory, false);
	dm_io_put(1);

	KUNIT_EXPECT_FALSE(test, reserve_is_held());
	KUNIT_EXPECT_EQ(test, atomic_read(&with_memory->num_ends), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&reserved->num_ends), 0);
	test_disk_release(disk);
	KUNIT_EXPECT_EQ(test, await(test, with_memory), 0);
	KUNIT_EXPECT_EQ(test, await(test, reserved), 0);
	expect_on_disk(test, disk, 0, bytes_of(seed), SZ_8K);
	expect_on_disk(test, disk, 100, bytes_of(seed), SZ_8K);
	expect_on_disk(test, disk, 200, bytes_of(seed), SZ_8K);

	/* What came back late has not become a reserve. */
	KUNIT_EXPECT_FALSE(test, reserve_is_held());
	KUNIT_ASSERT_EQ(test, dm_io_get(2), 0);
	KUNIT_EXPECT_EQ(test, count_reserve(test), 2);
	dm_io_put(2);
}

/* Go to the end of the kernel's log, and count lines with @text on the way. */
static unsigned int read_log(struct kmsg_dump_iter *iter, const char *text)
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

static void put_of_too_much_is_one_line(struct kunit *test)
{
	bool warned = test_taint(TAINT_WARN);
	struct kmsg_dump_iter iter, again;

	KUNIT_ASSERT_EQ(test, dm_io_get(2), 0);
	kmsg_dump_rewind(&iter);
	read_log(&iter, "");
	again = iter;

	dm_io_put(3);
	KUNIT_EXPECT_EQ(test, read_log(&iter, "dm_io: "), 1);
	KUNIT_EXPECT_EQ(test, read_log(&again, "Call Trace"), 0);
	KUNIT_EXPECT_EQ(test, test_taint(TAINT_WARN), warned);
	KUNIT_EXPECT_FALSE(test, reserve_is_held());

	/* Nothing at all is held now. */
	dm_io_put(1);
	KUNIT_EXPECT_EQ(test, read_log(&iter, "dm_io: "), 1);
	KUNIT_EXPECT_FALSE(test, reserve_is_held());

	/* The account is in order: what is got is there, and no more. */
	KUNIT_ASSERT_EQ(test, dm_io_get(2), 0);
	KUNIT_EXPECT_EQ(test, count_reserve(test), 2);
	dm_io_put(1);
	KUNIT_EXPECT_TRUE(test, reserve_is_held());
	KUNIT_EXPECT_EQ(test, count_reserve(test), 1);
	dm_io_put(1);
	KUNIT_EXPECT_FALSE(test, reserve_is_held());
	read_log(&iter, "");

	/* What is held is given back without a word. */
	KUNIT_ASSERT_EQ(test, dm_io_get(2), 0);
	dm_io_put(2);
	KUNIT_EXPECT_EQ(test, read_log(&iter, "dm_io: "), 0);
}

static void io_needs_a_reserve(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, PAGE_SIZE, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);

	add_region(io, disk->bdev, 0, 8);
	expect_refused(test, io, -ENXIO);
	io->rw = READ;
	expect_refused(test, io, -ENXIO);
	KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
	all_bytes(test, buffer->data, GUARD, PAGE_SIZE, "the buffer");

	get_reserve(test, 1);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	all_bytes(test, buffer->data, TEST_DISK_FILLER, PAGE_SIZE,
		  "the buffer");
}

/*
 * Suite dm_io_contract: what is refused
 */

#define PAGES_CALLS	(BIT(SYNC_PAGES) | BIT(ASYNC_PAGES) |		\
			 BIT(SYNC_ARGS) | BIT(ASYNC_ARGS))
#define BVEC_CALLS	(BIT(SYNC_BVEC) | BIT(ASYNC_BVEC))
#define VM_CALLS	(BIT(SYNC_VM) | BIT(ASYNC_VM))
#define BIO_CALLS	(BIT(SYNC_BIO) | BIT(ASYNC_BIO))
#define ASYNC_CALLS	(BIT(ASYNC_PAGES) | BIT(ASYNC_BVEC) |		\
			 BIT(ASYNC_VM) | BIT(ASYNC_BIO))
#define ALL_CALLS	(PAGES_CALLS | BVEC_CALLS | VM_CALLS | BIO_CALLS)

/* The library has shorter ways for calls with one region, or of one page. */
static const struct shape {
	unsigned int num_sectors;
	unsigned int num_regions;
} shapes[] = {
	{ 1, 1 },
	{ 3 * PAGE_SECTORS, 1 },
	{ 1, 3 },
	{ 3 * PAGE_SECTORS, 3 },
};

static bool is_long(const struct shape *shape)
{
	return shape->num_sectors > PAGE_SECTORS;
}

static void spoil_no_regions(struct io *io)
{
	io->num_regions = 0;
}

static void spoil_many_regions(struct io *io)
{
	unsigned int i;

	for (i = 1; i <= BITS_PER_LONG; i++)
		io->regions[i] = io->regions[0];
	io->num_regions = BITS_PER_LONG + 1;
}

static void spoil_all_regions(struct io *io)
{
	io->num_regions = UINT_MAX;
}

static void spoil_where(struct io *io)
{
	io->where = NULL;
}

static void spoil_first_device(struct io *io)
{
	io->regions[0].bdev = NULL;
}

static void spoil_last_device(struct io *io)
{
	io->regions[io->num_regions - 1].bdev = NULL;
}

static void spoil_second_read(struct io *io)
{
	io->regions[1] = io->regions[0];
	io->num_regions = 2;
}

static void spoil_empty_second_read(struct io *io)
{
	io->regions[1] = (struct io_region) { };
	io->num_regions = 2;
}

static void spoil_buffer(struct io *io)
{
	io->pages = NULL;
	io->bvec = NULL;
	io->data = NULL;
	io->bio = NULL;
}

static void spoil_callback(struct io *io)
{
	io->fn = NULL;
}

static void spoil_offset(struct io *io)
{
	io->offset = PAGE_SIZE;
}

static void spoil_offset_by_pages(struct io *io)
{
	io->offset = 2 * PAGE_SIZE;
}

static void spoil_offset_by_far(struct io *io)
{
	io->offset = -SECTOR_SIZE;
}

static void spoil_offset_by_most(struct io *io)
{
	io->offset = UINT_MAX;
}

/* The list is as long as the buffer, so this is too far by a sector. */
static void spoil_offset_by_a_sector(struct io *io)
{
	io->offset = SECTOR_SIZE;
}

static void spoil_first_node(struct io *io)
{
	io->pages[0].page = NULL;
}

static void spoil_last_page(struct io *io)
{
	io->pages[1].next = NULL;
}

static void spoil_last_node(struct io *io)
{
	io->pages[2].page = NULL;
}

static void spoil_first_vec(struct io *io)
{
	io->bvec[0].bv_len = 0;
}

static void spoil_last_vec(struct io *io)
{
	io->bvec[2].bv_len = 0;
}

static void spoil_bio_size(struct io *io)
{
	io->bio->bi_iter.bi_size -= SECTOR_SIZE;
}

/* Behind what vmap() returns is a page that is not mapped. */
static void spoil_end_of_memory(struct io *io)
{
	io->data = arena + ARENA_BYTES - PAGE_SIZE;
}

static void spoil_memory(struct io *io)
{
	io->data = arena + ARENA_BYTES;
}

static const struct refusal {
	const char *name;
	void (*spoil)(struct io *io);
	unsigned int calls;
	bool reads, writes;
	bool only_long;
} refusals[] = {
	{ "no regions", spoil_no_regions, ALL_CALLS, true, true },
	{ "a region too many", spoil_many_regions, ALL_CALLS, false, true },
	{ "UINT_MAX regions", spoil_all_regions, ALL_CALLS, true, true },
	{ "no where", spoil_where, ALL_CALLS, true, true },
	{ "first region has no device", spoil_first_device, ALL_CALLS, true,
	  true },
	{ "last region has no device", spoil_last_device, ALL_CALLS, true,
	  true },
	{ "read of two regions", spoil_second_read, ALL_CALLS, true, false },
	{ "read of two regions, one empty", spoil_empty_second_read, ALL_CALLS,
	  true, false },
	{ "no buffer", spoil_buffer, ALL_CALLS, true, true },
	{ "no callback", spoil_callback, ASYNC_CALLS, true, true },
	{ "offset of a page", spoil_offset, PAGES_CALLS, true, true },
	{ "offset of two pages", spoil_offset_by_pages, PAGES_CALLS, true,
	  true },
	{ "offset of nearly UINT_MAX", spoil_offset_by_far, PAGES_CALLS, true,
	  true },
	{ "offset of UINT_MAX", spoil_offset_by_most, PAGES_CALLS, true, true },
	{ "page list a sector short", spoil_offset_by_a_sector, PAGES_CALLS,
	  true, true, true },
	{ "page list a page short", spoil_last_page, PAGES_CALLS, true, true,
	  true },
	{ "page list without its last page", spoil_last_node, PAGES_CALLS, true,
	  true, true },
	{ "page list without a page", spoil_first_node, PAGES_CALLS, true,
	  true },
	{ "bvec ends early", spoil_last_vec, BVEC_CALLS | BIO_CALLS, true,
	  true, true },
	{ "bvec ends at once", spoil_first_vec, BVEC_CALLS | BIO_CALLS, true,
	  true },
	{ "bio a sector short", spoil_bio_size, BIO_CALLS, true, true },
	{ "memory ends early", spoil_end_of_memory, VM_CALLS, true, true,
	  true },
	{ "memory is not there", spoil_memory, VM_CALLS, true, true },
};

static void describe_refusal(const struct refusal *refusal, char *desc)
{
	strscpy(desc, refusal->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(refusal, refusals, describe_refusal);

/* There is nothing wrong with it, yet. */
static struct io *new_shaped_io(struct kunit *test, enum call call, int rw,
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

static void expect_nothing_done(struct kunit *test, struct test_disk *disk,
				const u8 *data, size_t bytes)
{
	KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
	expect_untouched(test, disk, 0, 32);
	all_bytes(test, data, GUARD, bytes, "the buffer");
}

static void check_refusal(struct kunit *test, enum call call, int rw,
			  const struct shape *shape, struct test_disk *disk)
{
	const struct refusal *refusal = test->param_value;
	size_t bytes = shape->num_sectors << SECTOR_SHIFT;
	struct io *io = new_shaped_io(test, call, rw, shape, disk);
	void *data = io->data;

	memset(data, TEST_DISK_FILLER, bytes);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	test_disk_forget(disk);
	memset(data, GUARD, bytes);

	refusal->spoil(io);
	expect_refused(test, io, -EINVAL);
	if (!is_async(call)) {
		io->error_bits = NULL;
		submit(test, io);
		KUNIT_EXPECT_EQ(test, io->ret, -EINVAL);
	}
	expect_nothing_done(test, disk, data, bytes);
	KUNIT_EXPECT_EQ_MSG(test, test->status, KUNIT_SUCCESS,
			    "%s, %s, %u regions of %u sectors",
			    calls[call].name, rw == READ ? "read" : "write",
			    shape->num_regions, shape->num_sectors);
}

static void arguments_are_refused(struct kunit *test)
{
	const struct refusal *refusal = test->param_value;
	struct test_disk *disk = new_plain_disk(test);
	enum call call;
	unsigned int i;

	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++) {
		if (!(refusal->calls & BIT(call)))
			continue;
		for (i = 0; i < ARRAY_SIZE(shapes); i++) {
			const struct shape *shape = &shapes[i];

			if (refusal->only_long && !is_long(shape))
				continue;
			if (refusal->reads && shape->num_regions == 1)
				check_refusal(test, call, READ, shape, disk);
			if (refusal->writes)
				check_refusal(test, call, WRITE, shape, disk);
		}
	}
}

static void check_operation(struct kunit *test, struct io *io, blk_opf_t opf)
{
	io->rw = DM_IO_OPF(opf);
	expect_refused(test, io, -EINVAL);
	KUNIT_EXPECT_EQ_MSG(test, test->status, KUNIT_SUCCESS,
			    "operation %#x, %u regions of %llu sectors", io->rw,
			    io->num_regions, io->regions[0].count);
}

static void operations_are_refused(struct kunit *test)
{
	static const blk_opf_t refused[] = {
		REQ_OP_ZONE_APPEND,
		REQ_OP_ZONE_RESET,
		REQ_OP_DRV_IN,
		REQ_OP_DRV_OUT,
		(__force blk_opf_t)99,
		(__force blk_opf_t)INT_MAX,
		(__force blk_opf_t)-1,
		REQ_OP_READ | REQ_FUA,
		REQ_OP_READ | REQ_PREFLUSH,
		REQ_OP_READ | REQ_NOWAIT,
		REQ_OP_READ | REQ_POLLED,
		REQ_OP_WRITE | REQ_RAHEAD,
		REQ_OP_WRITE | REQ_NOWAIT,
		REQ_OP_WRITE | REQ_NOMERGE,
		REQ_OP_WRITE | REQ_INTEGRITY,
		REQ_OP_FLUSH | REQ_FUA,
		REQ_OP_FLUSH | REQ_PREFLUSH,
	};
	struct test_disk *disk = new_plain_disk(test);
	unsigned int i, j;

	get_reserve(test, 1);
	for (i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct io *io = new_shaped_io(test, param_call(test), WRITE,
					      &shapes[i], disk);

		for (j = 0; j < ARRAY_SIZE(refused); j++)
			check_operation(test, io, refused[j]);
		expect_nothing_done(test, disk, io->data,
				    shapes[i].num_sectors << SECTOR_SHIFT);
	}
}

/*
 * Suite dm_io_contract: what comes of a region
 */

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
	static const unsigned int failing[] = {
		0, 5, BITS_PER_LONG / 2, BITS_PER_LONG - 1
	};
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
	for (i = 0; i < BITS_PER_LONG; i++)
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
	for (i = 0; i < BITS_PER_LONG; i++) {
		expect_on_disk(test, good, 3 + i * 10, bytes_of(seed), SZ_4K);
		expect_untouched(test, good, 1 + i * 10, 3 + i * 10);
	}

	for (i = 0; i < BITS_PER_LONG; i++)
		io->regions[i].bdev = bad->bdev;
	KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
	KUNIT_EXPECT_EQ(test, io->error, ~0UL);
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

/* A call whose first region is on @disk; others must not suffer from it. */
static void check_write_if_good(struct kunit *test, struct io *io,
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

static void check_read_if_good(struct kunit *test, struct io *io,
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

static struct test_disk *new_byte_disk(struct kunit *test)
{
	return new_disk(test, &(struct test_disk_layout) {
		.num_sectors = DISK_SECTORS,
		.any_alignment = true,
	});
}

/* Alone, and with another region, and not at all. */
static void check_if_good(struct kunit *test, enum call call,
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

static const struct buffer_alignment {
	struct test_disk_layout disk;
	unsigned int offset;
	bool good;
} buffer_alignments[] = {
	{ { .block = 512 }, 1, false },
	{ { .block = 512 }, 4, false },
	{ { .block = 512 }, 256, false },
	{ { .block = 512 }, 4095, false },
	{ { .block = 512 }, 512, true },
	{ { .block = 512 }, 3584, true },
	{ { .block = 4096 }, 512, false },
	{ { .block = 4096 }, 2048, false },
	{ { .block = 4096 }, 0, true },
	{ { .block = 512, .dma_alignment = 4095 }, 512, false },
	{ { .block = 512, .dma_alignment = 1 }, 1, false },
	{ { .block = 512, .dma_alignment = 1 }, 2, true },
	{ { .block = 512, .dma_alignment = 3 }, 2, false },
	{ { .block = 512, .dma_alignment = 3 }, 4, true },
	{ { .block = 512, .dma_alignment = 3 }, 4092, true },
	{ { .block = 4096, .dma_alignment = 3 }, 2, false },
	{ { .block = 4096, .dma_alignment = 3 }, 4, true },
	{ { .block = 4096, .dma_alignment = 3 }, 512, true },
	{ { .block = 512, .any_alignment = true }, 1, true },
	{ { .block = 512, .any_alignment = true }, 255, true },
	{ { .block = 512, .any_alignment = true }, 4095, true },
	{ { .block = 4096, .any_alignment = true }, 4095, true },
};

static unsigned int dma_mask(const struct test_disk_layout *disk)
{
	return disk->any_alignment ? 0 : disk->dma_alignment ?: 511;
}

static void describe_buffer_alignment(const struct buffer_alignment *alignment,
				      char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE,
		 "offset %u, blocks of %u, DMA alignment %u", alignment->offset,
		 alignment->disk.block, dma_mask(&alignment->disk));
}

KUNIT_ARRAY_PARAM(buffer_alignment, buffer_alignments,
		  describe_buffer_alignment);

static struct test_disk *new_disk_like(struct kunit *test,
				       const struct test_disk_layout *like)
{
	struct test_disk_layout layout = *like;

	layout.num_sectors = DISK_SECTORS;
	return new_disk(test, &layout);
}

static void buffer_has_to_suit_its_device(struct kunit *test)
{
	const struct buffer_alignment *alignment = test->param_value;
	struct test_disk *other = new_byte_disk(test);
	struct buffer *buffers[2];
	enum call call;

	get_reserve(test, 1);
	buffers[0] = new_buffer(test, alignment->disk.block, alignment->offset);
	buffers[1] = new_buffer(test, SZ_16K, alignment->offset);
	for (call = 0; call < NUM_CALLS; call++) {
		struct test_disk *disk = new_disk_like(test, &alignment->disk);

		check_if_good(test, call, disk, other, buffers[0], 16,
			      alignment->good);
		disk = new_disk_like(test, &alignment->disk);
		check_if_good(test, call, disk, other, buffers[1], 16,
			      alignment->good);
	}
}

/* Each piece of memory is in a page of its own. */
#define MAX_PIECES	8

static const struct piece_alignment {
	const char *name;
	struct test_disk_layout disk;
	sector_t count;
	bool good;
	struct {
		unsigned int offset, len;
	} pieces[MAX_PIECES];
} piece_alignments[] = {
	{ "odd length in the midst", { .block = 512 }, 3, false,
	  { { 0, 512 }, { 0, 300 }, { 512, 212 }, { 0, 512 } } },
	{ "odd offset in the midst", { .block = 512 }, 3, false,
	  { { 0, 512 }, { 256, 512 }, { 0, 512 } } },
	{ "odd offset at the end", { .block = 512 }, 2, false,
	  { { 0, 512 }, { 256, 512 } } },
	{ "odd length of the last one", { .block = 512 }, 2, true,
	  { { 0, 512 }, { 512, 513 } } },
	{ "odd one behind the end", { .block = 512 }, 2, true,
	  { { 0, 512 }, { 512, 512 }, { 1, 3 } } },
	{ "sectors", { .block = 512 }, 4, true,
	  { { 3584, 512 }, { 512, 1024 }, { 2048, 512 } } },
	{ "less than a block", { .block = 4096 }, 8, false,
	  { { 0, 512 }, { 512, 3584 } } },
	{ "blocks", { .block = 4096 }, 16, true, { { 0, 4096 }, { 0, 4096 } } },
	{ "less than a block, but words",
	  { .block = 4096, .dma_alignment = 3 }, 8, true,
	  { { 4, 516 }, { 1000, 3080 }, { 0, 500 } } },
	{ "words", { .block = 512, .dma_alignment = 3 }, 3, true,
	  { { 0, 512 }, { 300, 300 }, { 512, 212 }, { 4, 512 } } },
	{ "bytes for words", { .block = 512, .dma_alignment = 3 }, 2, false,
	  { { 0, 510 }, { 4, 514 } } },
	{ "bytes", { .block = 512, .any_alignment = true }, 3, true,
	  { { 1, 1 }, { 77, 510 }, { 0, 2 }, { 4095, 1 }, { 3, 1022 } } },
};

static void describe_piece_alignment(const struct piece_alignment *alignment,
				     char *desc)
{
	strscpy(desc, alignment->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(piece_alignment, piece_alignments, describe_piece_alignment);

static void cut_pieces(struct buffer *buffer,
		       const struct piece_alignment *alignment)
{
	unsigned int i;

	buffer->num_vecs = 0;
	buffer->bytes = 0;
	for (i = 0; i < MAX_PIECES && alignment->pieces[i].len; i++) {
		bvec_set_page(&buffer->bvec[i],
			      page_at(buffer->data + i * PAGE_SIZE),
			      alignment->pieces[i].len,
			      alignment->pieces[i].offset);
		buffer->num_vecs++;
		buffer->bytes += alignment->pieces[i].len;
	}
	bio_over_bvec(buffer);
}

/* Copy @bytes between the pieces and memory that is in one piece. */
static void copy_pieces(struct buffer *buffer, u8 *data, size_t bytes,
			bool to_pieces)
{
	unsigned int i;

	for (i = 0; bytes; i++) {
		const struct bio_vec *vec = &buffer->bvec[i];
		u8 *piece = buffer->data + i * PAGE_SIZE + vec->bv_offset;
		size_t len = min_t(size_t, bytes, vec->bv_len);

		if (to_pieces)
			memcpy(piece, data, len);
		else
			memcpy(data, piece, len);
		data += len;
		bytes -= len;
	}
}

static void check_pieces(struct kunit *test, enum call call)
{
	const struct piece_alignment *alignment = test->param_value;
	size_t bytes = alignment->count << SECTOR_SHIFT;
	unsigned int seed = new_seed();
	struct buffer *buffer;
	struct test_disk *disk;
	struct io *io;
	u8 *data;

	data = test_alloc(test, bytes);
	disk = new_disk_like(test, &alignment->disk);
	buffer = new_buffer(test, MAX_PIECES * PAGE_SIZE, 0);
	cut_pieces(buffer, alignment);

	memcpy(data, bytes_of(seed), bytes);
	copy_pieces(buffer, data, bytes, true);
	io = new_io(test, call, WRITE, buffer);
	add_region(io, disk->bdev, 8, alignment->count);
	KUNIT_EXPECT_EQ(test, perform(test, io), alignment->good ? 0 : -EIO);
	if (alignment->good)
		expect_on_disk(test, disk, 8, data, bytes);
	else
		expect_untouched(test, disk, 0, disk->num_sectors);

	seed = new_seed();
	fill_disk(disk, 8, seed, bytes);
	memset(buffer->data, GUARD, MAX_PIECES * PAGE_SIZE);
	io->rw = READ;
	KUNIT_EXPECT_EQ(test, perform(test, io), alignment->good ? 0 : -EIO);
	copy_pieces(buffer, data, bytes, false);
	if (alignment->good)
		same_bytes(test, data, bytes_of(seed), bytes, "what was read");
	else
		all_bytes(test, data, 0, bytes, "what was not read");
	if (!alignment->good)
		KUNIT_EXPECT_EQ(test, disk->num_bios, 0);

	/* Nothing but these pieces has changed. */
	memset(data, GUARD, bytes);
	copy_pieces(buffer, data, bytes, true);
	all_bytes(test, buffer->data, GUARD, MAX_PIECES * PAGE_SIZE,
		  "memory between the pieces");
}

static void each_piece_has_to_suit_its_device(struct kunit *test)
{
	get_reserve(test, 1);
	check_pieces(test, SYNC_BVEC);
	check_pieces(test, ASYNC_BVEC);
	check_pieces(test, SYNC_BIO);
	check_pieces(test, ASYNC_BIO);
}

/* One region is too long for what another one may have. */
static void only_unsuited_regions_fail(struct kunit *test)
{
	struct piece_alignment pieces = {
		.pieces = { { 0, 512 }, { 0, 300 }, { 512, 212 }, { 0, 512 } },
	};
	struct test_disk *disk = new_plain_disk(test), *byte_disk;
	struct buffer *buffer = new_buffer(test, MAX_PIECES * PAGE_SIZE, 0);
	u8 *data = test_alloc(test, 3 * SECTOR_SIZE);
	enum call call;

	get_reserve(test, 1);
	byte_disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = DISK_SECTORS,
		.any_alignment = true,
	});
	cut_pieces(buffer, &pieces);

	for (call = 0; call < NUM_CALLS; call++) {
		struct io *io;

		if (!takes_bvec(call))
			continue;
		io = new_io(test, call, WRITE, buffer);
		memcpy(data, bytes_of(new_seed()), 3 * SECTOR_SIZE);
		copy_pieces(buffer, data, 3 * SECTOR_SIZE, true);
		test_disk_forget(disk);
		add_region(io, disk->bdev, 0, 3);
		add_region(io, disk->bdev, 10, 1);
		add_region(io, byte_disk->bdev, 0, 3);
		add_region(io, disk->bdev, 20, 2);
		KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
		KUNIT_EXPECT_EQ(test, io->error, BIT(0) | BIT(3));
		KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
		expect_on_disk(test, disk, 10, data, SECTOR_SIZE);
		expect_on_disk(test, byte_disk, 0, data, 3 * SECTOR_SIZE);
	}
	expect_untouched(test, disk, 0, 10);
	expect_untouched(test, disk, 11, disk->num_sectors);
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

/*
 * Suite dm_io_contract: who owns what until when, and what runs where
 */

struct end_context {
	const char *name;
	enum test_disk_end end;
};

static const struct end_context end_contexts[] = {
	{ "in submit_bio", END_AT_ONCE },
	{ "in a worker", END_IN_WORKER },
	{ "in a softirq", END_IN_SOFTIRQ },
	{ "in a hardirq", END_IN_HARDIRQ },
};

static void describe_end_context(const struct end_context *context, char *desc)
{
	strscpy(desc, context->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(end_context, end_contexts, describe_end_context);

/* Before the I/O happens, what the caller may take back is overwritten. */
static void check_regions_and_nodes(struct kunit *test, enum call call,
				    const struct shape *shape)
{
	struct test_disk *disk = new_plain_disk(test);
	struct io *io = new_shaped_io(test, call, WRITE, shape, disk);
	size_t bytes = shape->num_sectors << SECTOR_SHIFT;
	unsigned int i, num_nodes = DIV_ROUND_UP(bytes, PAGE_SIZE);
	struct page_list *nodes;
	unsigned int seed = new_seed();
	unsigned long error = BIT(shape->num_regions / 2);

	memcpy(io->data, bytes_of(seed), bytes);
	io->where = kmemdup(io->regions, shape->num_regions * sizeof(*io->where),
			    GFP_KERNEL);
	nodes = kmemdup(io->pages, num_nodes * sizeof(*nodes), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, io->where);
	KUNIT_ASSERT_NOT_NULL(test, nodes);
	for (i = 0; i + 1 < num_nodes; i++)
		nodes[i].next = &nodes[i + 1];
	io->pages = nodes;

	/* The region in the middle fails, if there is one. */
	disk->end = END_WHEN_TOLD;
	disk->backwards = true;
	disk->bad_sector = 100;
	disk->bad_sectors = 1;
	submit(test, io);
	memset(io->where, 0xff, shape->num_regions * sizeof(*io->where));
	kfree(io->where);
	memset(nodes, 0xff, num_nodes * sizeof(*nodes));
	kfree(nodes);

	test_disk_release(disk);
	if (shape->num_regions == 1)
		error = 0;
	KUNIT_EXPECT_EQ(test, await(test, io), error ? -EIO : 0);
	KUNIT_EXPECT_EQ(test, io->error, error);
	for (i = 0; i < shape->num_regions; i++)
		if (!(error & BIT(i)))
			expect_on_disk(test, disk, i * 100, bytes_of(seed),
				       bytes);
	expect_untouched(test, disk, shape->num_sectors, 200);
}

static void regions_and_nodes_may_go(struct kunit *test)
{
	enum call call;
	unsigned int i;

	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++)
		for (i = 0; i < ARRAY_SIZE(shapes); i++)
			if (is_async(call))
				check_regions_and_nodes(test, call, &shapes[i]);
}

/* The buffer goes, with all that describes it, as its I/O ends. */
static void free_buffer_of(unsigned long error, void *context)
{
	struct io *io = context;

	memset(io->data, 0xff, SZ_8K);
	kfree(io->data);
	memset(io->bvec, 0xff, 2 * sizeof(*io->bvec));
	kfree(io->bvec);
	memset(io->bio, 0xff, sizeof(*io->bio));
	kfree(io->bio);
	note_end(error, context);
}

static void check_passing_buffer(struct kunit *test, enum call call,
				 struct test_disk *disk,
				 unsigned int num_regions)
{
	struct page_list *nodes = test_alloc(test, 2 * sizeof(*nodes));
	struct io *io = new_io(test, call, WRITE, NULL);
	unsigned int seed = new_seed();

	io->data = kmalloc(SZ_8K, GFP_KERNEL);
	io->bvec = kcalloc(2, sizeof(*io->bvec), GFP_KERNEL);
	io->bio = kzalloc(sizeof(*io->bio), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, io->data);
	KUNIT_ASSERT_NOT_NULL(test, io->bvec);
	KUNIT_ASSERT_NOT_NULL(test, io->bio);
	memcpy(io->data, bytes_of(seed), SZ_8K);

	nodes[0].page = virt_to_page(io->data);
	nodes[0].next = &nodes[1];
	nodes[1].page = virt_to_page(io->data + SZ_8K - 1);
	io->pages = nodes;
	bvec_set_page(&io->bvec[0], virt_to_page(io->data), SZ_8K,
		      offset_in_page(io->data));
	bio_init(io->bio, NULL, io->bvec, 1, REQ_OP_WRITE);
	io->bio->bi_vcnt = 1;
	io->bio->bi_iter.bi_size = SZ_8K;
	io->fn = free_buffer_of;

	add_region(io, disk->bdev, 0, 16);
	add_region(io, disk->bdev, 300, 16);
	add_region(io, disk->bdev, 100, 16);
	io->num_regions = num_regions;
	KUNIT_EXPECT_EQ(test, perform(test, io), num_regions > 1 ? -EIO : 0);
	KUNIT_EXPECT_EQ(test, io->error, num_regions > 1 ? BIT(1) : 0);
	expect_on_disk(test, disk, 0, bytes_of(seed), SZ_8K);
	if (num_regions == 3)
		expect_on_disk(test, disk, 100, bytes_of(seed), SZ_8K);
}

static void buffer_may_go_in_callback(struct kunit *test)
{
	const struct end_context *context = test->param_value;
	struct test_disk *disk = new_plain_disk(test);
	enum call call;

	get_reserve(test, 1);
	disk->end = context->end;
	disk->bad_sector = 300;
	disk->bad_sectors = 1;
	for (call = 0; call < NUM_CALLS; call++) {
		if (!is_async(call))
			continue;
		check_passing_buffer(test, call, disk, 1);
		check_passing_buffer(test, call, disk, 3);
	}
}

/* Wherever a bio ends: the callback comes once, after all of them. */
static void callback_comes_once(struct kunit *test)
{
	const struct end_context *context = test->param_value;
	struct test_disk *disk = new_plain_disk(test);
	struct test_disk *held = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_16K, 0);
	enum call call;

	get_reserve(test, 1);
	held->end = END_WHEN_TOLD;
	disk->end = context->end;
	for (call = 0; call < NUM_CALLS; call++) {
		struct io *io = new_io(test, call, WRITE, buffer);
		unsigned int seed = new_seed();

		fill_buffer(buffer, seed);
		add_region(io, disk->bdev, 0, 32);
		add_region(io, disk->bdev, 50, 20);
		add_region(io, disk->bdev, 100, 1);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		expect_on_disk(test, disk, 0, bytes_of(seed), SZ_16K);
		expect_on_disk(test, disk, 50, bytes_of(seed),
			       20 * SECTOR_SIZE);
		expect_on_disk(test, disk, 100, bytes_of(seed), SECTOR_SIZE);
		if (!is_async(call))
			continue;
		KUNIT_EXPECT_EQ(test, io->ended_in_hardirq,
				context->end == END_IN_HARDIRQ);

		/* Also if there is but one. */
		io->num_regions = 1;
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		KUNIT_EXPECT_EQ(test, io->ended_in_hardirq,
				context->end == END_IN_HARDIRQ);

		/* Not before the last one, either. */
		io->num_regions = 3;
		io->regions[1].bdev = held->bdev;
		submit(test, io);
		test_disk_calm_down(disk);
		KUNIT_EXPECT_EQ(test, atomic_read(&io->num_ends), 2);
		test_disk_release(held);
		KUNIT_EXPECT_EQ(test, await(test, io), 0);
	}
	KUNIT_EXPECT_EQ(test, disk->ended_in_hardirq,
			context->end == END_IN_HARDIRQ);
	KUNIT_EXPECT_EQ(test, disk->ended_in_softirq,
			context->end == END_IN_SOFTIRQ);
}

/* A synchronous call that returned early would not have read anything yet. */
static void sync_call_waits(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, param_call(test), READ, buffer);

	get_reserve(test, 1);
	disk->end = END_WHEN_TOLD;
	add_region(io, disk->bdev, 0, 8);
	start_io(io);
	KUNIT_EXPECT_EQ(test, call_waits(test, io, disk, 1),
			!is_async(io->call));
	test_disk_release(disk);
	finish_call(test, io);
	KUNIT_EXPECT_EQ(test, await(test, io), 0);
	all_bytes(test, buffer->data, TEST_DISK_FILLER, SZ_4K, "what was read");
}

#if IS_ENABLED(CONFIG_KPROBES) && IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP)

static struct task_struct *watched;
static unsigned int num_might_sleep;

static int count_might_sleep(struct kprobe *probe, struct pt_regs *regs)
{
	if (current == READ_ONCE(watched))
		num_might_sleep++;
	return 0;
}

/* Also when nothing is to be done, lest the mistake shows only under load. */
static void calls_say_that_they_may_sleep(struct kunit *test)
{
	struct kprobe probe = {
		.symbol_name = "__might_sleep",
		.pre_handler = count_might_sleep,
	};
	enum call call;

	get_reserve(test, 1);
	KUNIT_ASSERT_EQ(test, register_kprobe(&probe), 0);
	for (call = 0; call < NUM_CALLS; call++) {
		struct io *io = new_io(test, call, WRITE, NULL);

		add_region(io, NULL, 0, 0);
		num_might_sleep = 0;
		WRITE_ONCE(watched, current);
		make_call(io);
		WRITE_ONCE(watched, NULL);
		KUNIT_EXPECT_GE_MSG(test, num_might_sleep, 1, "%s",
				    calls[call].name);
		returned(test, io);
	}
	unregister_kprobe(&probe);
}

#endif

/*
 * Suite dm_io_contract: buffers
 */

/* A region far longer than what 32 bits of bytes count. */
#define HUGE_BYTES	(5ULL * SZ_1G + SZ_4K)
#define HUGE_DISK	(16ULL * SZ_1G >> SECTOR_SHIFT)

static void expect_in_a_row(struct kunit *test, const struct test_disk *disk,
			    sector_t sector, u64 bytes)
{
	unsigned int i;

	KUNIT_EXPECT_EQ(test, disk->num_bytes, bytes);
	for (i = 0; i < min(disk->num_bios, TEST_DISK_RECORDS); i++) {
		KUNIT_EXPECT_EQ(test, disk->bios[i].sector, sector);
		sector += disk->bios[i].bytes >> SECTOR_SHIFT;
	}
}

/*
 * The disk keeps nothing, so few pages serve for a long buffer: a list that goes
 * round in a circle, and entries that pretend to span more than there is.
 */
static void region_may_be_of_gigabytes(struct kunit *test)
{
	struct buffer *buffer = new_buffer(test, 4 * PAGE_SIZE, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	struct test_disk *disk, *small;
	unsigned int seed = new_seed();
	unsigned int i;

	get_reserve(test, 1);
	fill_buffer(buffer, seed);
	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = HUGE_DISK,
		.no_data = true,
	});
	small = new_plain_disk(test);
	buffer->pages[3].next = &buffer->pages[0];
	for (i = 0; i < 3; i++)
		buffer->bvec[i].bv_len = SZ_1G + SZ_1G / 2 + SZ_1G / 4;

	/* The short region ends well before the long one. */
	add_region(io, disk->bdev, 8, HUGE_BYTES >> SECTOR_SHIFT);
	add_region(io, small->bdev, 24, 8);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	expect_in_a_row(test, disk, 8, HUGE_BYTES);
	expect_on_disk(test, small, 24, bytes_of(seed), SZ_4K);
	expect_untouched(test, small, 32, small->num_sectors);
	KUNIT_EXPECT_EQ(test, small->num_bios, 1);

	/* One table at a time, if the array is not the caller's. */
	KUNIT_EXPECT_EQ(test, disk->most_in_flight, 1);
	if (!takes_bvec(io->call))
		for (i = 0; i < TEST_DISK_RECORDS; i++)
			KUNIT_EXPECT_LE(test, disk->bios[i].max_vecs, 256);

	test_disk_forget(disk);
	io->num_regions = 1;
	io->rw = READ;
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	expect_in_a_row(test, disk, 8, HUGE_BYTES);
}

static const struct call_info huge_calls[] = {
	{ SYNC_PAGES, "dm_io_sync" },
	{ ASYNC_PAGES, "dm_io_async" },
	{ SYNC_BVEC, "dm_io_sync_bvec" },
	{ ASYNC_BVEC, "dm_io_async_bvec" },
};

KUNIT_ARRAY_PARAM(huge_call, huge_calls, describe_call);

/* As much as the size of a bio can tell, and more than a signed number can. */
static void region_may_be_as_long_as_a_bio(struct kunit *test)
{
	struct buffer *buffer = new_buffer(test, PAGE_SIZE, 0);
	struct bio_vec *vecs = test_alloc(test, 2 * sizeof(*vecs));
	struct test_disk *disk;
	enum call call;

	get_reserve(test, 1);
	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = HUGE_DISK,
		.no_data = true,
	});
	bvec_set_page(&vecs[0], page_at(buffer->data), SZ_1G + SZ_512, 0);
	bvec_set_page(&vecs[1], page_at(buffer->data), SZ_2G, 0);
	bio_init(&buffer->bio, NULL, vecs, 2, REQ_OP_WRITE);
	buffer->bio.bi_vcnt = 2;
	buffer->bio.bi_iter.bi_size = 3U * SZ_1G + SZ_512;

	for (call = SYNC_BIO; call <= ASYNC_BIO; call++) {
		struct io *io = new_io(test, call, WRITE, buffer);

		test_disk_forget(disk);
		add_region(io, disk->bdev, 8, (3U * SZ_1G + SZ_512) >> 9);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		expect_in_a_row(test, disk, 8, 3U * SZ_1G + SZ_512);
	}
}

/* A table is not larger for memory from vmalloc(), either. */
static void vmalloc_region_takes_one_table_at_a_time(struct kunit *test)
{
	size_t bytes = SZ_8M + 3 * SECTOR_SIZE;
	struct buffer *buffer = new_buffer(test, bytes, 512);
	struct test_disk *disk;
	enum call call;
	unsigned int i;

	get_reserve(test, 1);
	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = HUGE_DISK,
		.no_data = true,
	});
	for (call = SYNC_VM; call <= ASYNC_VM; call++) {
		struct io *io = new_io(test, call, WRITE, buffer);

		test_disk_forget(disk);
		add_region(io, disk->bdev, 8, bytes >> SECTOR_SHIFT);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		expect_in_a_row(test, disk, 8, bytes);
		KUNIT_EXPECT_EQ(test, disk->most_in_flight, 1);
		for (i = 0; i < min(disk->num_bios, TEST_DISK_RECORDS); i++)
			KUNIT_EXPECT_LE(test, disk->bios[i].max_vecs, 256);
	}
}

/* More entries than the block layer can count in a bio. */
static void bvec_may_have_many_entries(struct kunit *test)
{
	unsigned int num = 70000, i, first;
	struct buffer *buffer = new_buffer(test, 2 * PAGE_SIZE, 0);
	struct bio_vec *vecs = test_alloc(test, num * sizeof(*vecs));
	struct test_disk *disk;
	enum call call;

	get_reserve(test, 1);
	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = num,
		.no_data = true,
	});
	for (i = 0; i < num; i++)
		bvec_set_page(&vecs[i], page_at(buffer->data), SECTOR_SIZE, 0);

	for (call = SYNC_BVEC; call <= ASYNC_BVEC; call++) {
		struct io *io = new_io(test, call, READ, buffer);

		io->bvec = vecs;
		test_disk_forget(disk);
		disk->bad_bio = 0;
		add_region(io, disk->bdev, 0, num);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		expect_in_a_row(test, disk, 0, (u64)num << SECTOR_SHIFT);
		KUNIT_EXPECT_GE(test, disk->num_bios, 2);

		/* The second bio reads into another page, and fails. */
		first = disk->bios[0].bytes >> SECTOR_SHIFT;
		for (i = first; i < num; i++)
			vecs[i].bv_page = page_at(buffer->data + PAGE_SIZE);
		memset(buffer->data, GUARD, 2 * PAGE_SIZE);
		test_disk_forget(disk);
		disk->bad_bio = 2;
		KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
		all_bytes(test, buffer->data, GUARD, PAGE_SIZE,
			  "what was read");
		all_bytes(test, buffer->data + PAGE_SIZE, 0, SECTOR_SIZE,
			  "what was not read");
	}
}

static void one_entry_may_span_many_pages(struct kunit *test)
{
	unsigned int order = get_order(SZ_256K), offset = 1536, seed;
	size_t bytes = SZ_256K - 3 * SECTOR_SIZE;
	struct page *block = alloc_pages(GFP_KERNEL, order);
	struct buffer *buffer = test_alloc(test, sizeof(*buffer));
	struct bio_vec *vec = test_alloc(test, sizeof(*vec));
	struct test_disk *disk = new_plain_disk(test);
	enum call call;

	KUNIT_ASSERT_NOT_NULL(test, block);
	get_reserve(test, 1);
	buffer->data = page_address(block) + offset;
	buffer->bytes = bytes;
	buffer->bvec = vec;
	buffer->num_vecs = 1;
	bvec_set_page(vec, block, bytes, offset);
	bio_over_bvec(buffer);

	for (call = 0; call < NUM_CALLS; call++) {
		struct io *io;

		if (!takes_bvec(call))
			continue;
		seed = new_seed();
		fill_buffer(buffer, seed);
		io = new_io(test, call, WRITE, buffer);
		add_region(io, disk->bdev, 1, bytes >> SECTOR_SHIFT);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		expect_on_disk(test, disk, 1, bytes_of(seed), bytes);

		memset(buffer->data, GUARD, bytes);
		io->rw = READ;
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		same_bytes(test, buffer->data, bytes_of(seed), bytes,
			   "what was read");
	}
	__free_pages(block, order);
}

static u8 static_memory[SZ_8K];

enum memory {
	KMALLOC,
	LARGE_KMALLOC,
	PAGES,
	VMALLOC,
	STATIC,
	STACK,
};

static const struct memory_kind {
	const char *name;
	enum memory memory;
} memory_kinds[] = {
	{ "kmalloc", KMALLOC },
	{ "kmalloc of many pages", LARGE_KMALLOC },
	{ "pages", PAGES },
	{ "vmalloc", VMALLOC },
	{ "static data", STATIC },
	{ "stack", STACK },
};

static void describe_memory(const struct memory_kind *kind, char *desc)
{
	strscpy(desc, kind->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(memory, memory_kinds, describe_memory);

static void check_memory(struct kunit *test, u8 *data, size_t bytes, bool sync)
{
	struct test_disk *disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = DISK_SECTORS,
		.any_alignment = true,
	});
	struct io *io = new_io(test, sync ? SYNC_VM : ASYNC_VM, WRITE, NULL);
	unsigned int seed = new_seed();

	get_reserve(test, 1);
	disk->end = END_IN_WORKER;
	io->data = data;
	add_region(io, disk->bdev, 3, bytes >> SECTOR_SHIFT);
	memcpy(data, bytes_of(seed), bytes);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	expect_on_disk(test, disk, 3, bytes_of(seed), bytes);

	seed = new_seed();
	fill_disk(disk, 3, seed, bytes);
	io->rw = READ;
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	same_bytes(test, data, bytes_of(seed), bytes, "what was read");
}

/* The stack of whoever makes a call is often what vmalloc() returned. */
struct stack_call {
	struct io *io;
	const u8 *before;
	u8 after[SECTOR_SIZE];
};

static noinline_for_stack void call_with_stack(void *context)
{
	struct stack_call *call = context;
	struct io *io = call->io;
	u8 data[SECTOR_SIZE];

	memcpy(data, call->before, sizeof(data));
	io->data = data;
	make_call(io);
	if (is_async(io->call) && !io->ret)
		wait_for_completion(&io->ended);
	memcpy(call->after, data, sizeof(data));
}

static void check_stack(struct kunit *test, bool sync)
{
	struct test_disk *disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = DISK_SECTORS,
		.any_alignment = true,
	});
	struct stack_call *call = test_alloc(test, sizeof(*call));
	struct io *io = new_io(test, sync ? SYNC_VM : ASYNC_VM, WRITE, NULL);
	unsigned int seed = new_seed();

	get_reserve(test, 1);
	disk->end = END_IN_WORKER;
	add_region(io, disk->bdev, 3, 1);
	call->io = io;
	call->before = bytes_of(seed);
	finish_job(test, start_job(test, call_with_stack, call), "a call");
	KUNIT_EXPECT_EQ(test, io->ret, 0);
	expect_on_disk(test, disk, 3, bytes_of(seed), SECTOR_SIZE);

	call->before = bytes_of(new_seed());
	io->rw = READ;
	reinit_completion(&io->ended);
	finish_job(test, start_job(test, call_with_stack, call), "a call");
	KUNIT_EXPECT_EQ(test, io->ret, 0);
	same_bytes(test, call->after, bytes_of(seed), SECTOR_SIZE,
		   "what was read");
	io->wanted_ends = sync ? 0 : 2;
}

static void check_memory_kind(struct kunit *test, enum memory memory, bool sync)
{
	void *data;

	switch (memory) {
	case KMALLOC:
		data = kmalloc(SZ_1K + 100, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, data);
		check_memory(test, data + 100, SZ_1K, sync);
		kfree(data);
		break;
	case LARGE_KMALLOC:
		data = kmalloc(SZ_128K, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, data);
		check_memory(test, data + 77, SZ_64K, sync);
		kfree(data);
		break;
	case PAGES:
		data = (void *)__get_free_pages(GFP_KERNEL, 2);
		KUNIT_ASSERT_NOT_NULL(test, data);
		check_memory(test, data, SZ_16K, sync);
		free_pages((unsigned long)data, 2);
		break;
	case VMALLOC:
		data = vmalloc(SZ_16K);
		KUNIT_ASSERT_NOT_NULL(test, data);
		check_memory(test, data + 1, SZ_8K, sync);
		vfree(data);
		break;
	case STATIC:
		check_memory(test, static_memory, sizeof(static_memory), sync);
		break;
	case STACK:
		check_stack(test, sync);
		break;
	}
}

static void vm_calls_take_any_kernel_memory(struct kunit *test)
{
	const struct memory_kind *kind = test->param_value;

	check_memory_kind(test, kind->memory, true);
	check_memory_kind(test, kind->memory, false);
}

/* What a clone of the bio would carry goes along, and the bio is not touched. */
static void bio_stays_as_it_is(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_16K, 512);
	struct bio *copy = test_alloc(test, sizeof(*copy));
	struct bio *bio = &buffer->bio;
	enum call call;

	get_reserve(test, 1);
	disk->end = END_IN_WORKER;
	bio->bi_ioprio = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_RT, 3);
	bio_set_write_hint(bio, 4);
	bio->bi_opf = REQ_OP_DISCARD | REQ_META;
	bio->bi_iter.bi_sector = 12345;
	*copy = *bio;

	for (call = SYNC_BIO; call <= ASYNC_BIO; call++) {
		struct io *io = new_io(test, call, WRITE, buffer);
		unsigned int i, seed = new_seed();

		fill_buffer(buffer, seed);
		test_disk_forget(disk);
		add_region(io, disk->bdev, 0, 32);
		add_region(io, disk->bdev, 100, 16);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		expect_on_disk(test, disk, 0, bytes_of(seed), SZ_16K);
		expect_on_disk(test, disk, 100, bytes_of(seed), SZ_8K);
		expect_untouched(test, disk, 116, disk->num_sectors);
		for (i = 0; i < 2; i++) {
			KUNIT_EXPECT_EQ(test, disk->bios[i].ioprio,
					bio->bi_ioprio);
			KUNIT_EXPECT_EQ(test, disk->bios[i].write_hint,
					bio_write_hint(bio));
			KUNIT_EXPECT_FALSE(test, disk->bios[i].opf & REQ_META);
		}
		KUNIT_EXPECT_EQ(test, memcmp(bio, copy, sizeof(*bio)), 0);
	}
}

/*
 * Suite dm_io_contract: operations and flags
 */

static blk_opf_t flags_of(const struct test_bio *bio, blk_opf_t flags)
{
	return bio->opf & (REQ_OP_MASK | flags);
}

static void flags_reach_the_device(struct kunit *test)
{
	static const blk_opf_t operations[] = {
		REQ_OP_READ | REQ_SYNC,
		REQ_OP_READ | REQ_META | REQ_PRIO,
		REQ_OP_READ | REQ_RAHEAD,
		REQ_OP_READ | REQ_IDLE | REQ_BACKGROUND,
		REQ_OP_WRITE,
		REQ_OP_WRITE | REQ_SYNC | REQ_IDLE,
		REQ_OP_WRITE | REQ_META | REQ_PRIO,
		REQ_OP_WRITE | REQ_BACKGROUND,
		REQ_OP_WRITE | REQ_FUA,
		REQ_OP_WRITE | REQ_PREFLUSH,
		REQ_OP_WRITE | REQ_PREFLUSH | REQ_FUA | REQ_SYNC,
	};
	blk_opf_t flags = REQ_SYNC | REQ_META | REQ_PRIO | REQ_RAHEAD |
			  REQ_IDLE | REQ_BACKGROUND | REQ_FUA | REQ_PREFLUSH;
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	unsigned int i;

	get_reserve(test, 1);
	add_region(io, disk->bdev, 0, 8);
	for (i = 0; i < ARRAY_SIZE(operations); i++) {
		test_disk_forget(disk);
		io->rw = DM_IO_OPF(operations[i]);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
		KUNIT_EXPECT_EQ(test,
				(__force u32)flags_of(&disk->bios[0], flags),
				(__force u32)operations[i]);
	}
}

/* The flush is for what was written before; every piece has to be durable. */
static void long_write_is_flushed_once(struct kunit *test)
{
	struct buffer *buffer = new_buffer(test, SZ_2M + SZ_1M, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	struct test_disk *disk, *other;
	unsigned int i;

	get_reserve(test, 1);
	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = HUGE_DISK,
		.no_data = true,
	});
	other = new_plain_disk(test);
	io->rw = DM_IO_OPF(REQ_OP_WRITE | REQ_PREFLUSH | REQ_FUA);
	add_region(io, disk->bdev, 0, buffer->bytes >> SECTOR_SHIFT);
	add_region(io, other->bdev, 0, 8);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	if (!takes_bvec(io->call))
		KUNIT_EXPECT_GE(test, disk->num_bios, 3);
	for (i = 0; i < disk->num_bios; i++) {
		KUNIT_EXPECT_TRUE(test, disk->bios[i].opf & REQ_FUA);
		KUNIT_EXPECT_EQ(test, !!(disk->bios[i].opf & REQ_PREFLUSH),
				!i);
	}
	KUNIT_EXPECT_EQ(test, other->num_bios, 1);
	KUNIT_EXPECT_TRUE(test, other->bios[0].opf & REQ_PREFLUSH);
}

/* What is behind data that is missing might be taken for the whole. */
static void write_stops_behind_failure(struct kunit *test)
{
	struct buffer *buffer = new_buffer(test, SZ_2M + SZ_1M, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	struct test_disk *disks[2];
	unsigned int i;

	get_reserve(test, 1);
	for (i = 0; i < 2; i++) {
		disks[i] = new_disk(test, &(struct test_disk_layout) {
			.num_sectors = HUGE_DISK,
			.no_data = true,
		});
		add_region(io, disks[i]->bdev, 0, buffer->bytes >> SECTOR_SHIFT);
	}
	disks[0]->bad_bio = 1;
	KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
	KUNIT_EXPECT_EQ(test, io->error, BIT(0));
	KUNIT_EXPECT_EQ(test, disks[0]->num_bios, 1);
	if (!takes_bvec(io->call))
		KUNIT_EXPECT_GE(test, disks[1]->num_bios, 3);
}

static void expect_flush(struct kunit *test, const struct test_disk *disk)
{
	KUNIT_EXPECT_EQ(test, disk->num_bios, 1);
	KUNIT_EXPECT_EQ(test, (__force u32)flags_of(&disk->bios[0],
						    REQ_PREFLUSH),
			(__force u32)(REQ_OP_WRITE | REQ_PREFLUSH));
	KUNIT_EXPECT_EQ(test, disk->bios[0].bytes, 0);
}

static void flush_reaches_every_device(struct kunit *test)
{
	struct io *io = new_io(test, param_call(test), WRITE, NULL);
	struct test_disk *disks[3];
	unsigned int i;

	get_reserve(test, 1);
	io->rw = DM_IO_OPF(REQ_OP_FLUSH);
	for (i = 0; i < 3; i++) {
		disks[i] = new_plain_disk(test);
		/* Neither sector nor count matters. */
		add_region(io, disks[i]->bdev, i * 5000, i * 7);
	}
	add_region(io, NULL, 0, 0);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	for (i = 0; i < 3; i++)
		expect_flush(test, disks[i]);

	test_disk_forget(disks[1]);
	disks[1]->bad_bio = 1;
	KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
	KUNIT_EXPECT_EQ(test, io->error, BIT(1));
}

static void preflush_without_data_is_a_flush(struct kunit *test)
{
	struct test_disk *empty = new_plain_disk(test);
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	unsigned int seed = new_seed();

	get_reserve(test, 1);
	fill_buffer(buffer, seed);
	io->rw = DM_IO_OPF(REQ_OP_WRITE | REQ_PREFLUSH);
	add_region(io, empty->bdev, 0, 0);
	add_region(io, disk->bdev, 5, 8);
	add_region(io, NULL, 0, 0);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	expect_flush(test, empty);
	expect_on_disk(test, disk, 5, bytes_of(seed), SZ_4K);
	KUNIT_EXPECT_TRUE(test, disk->bios[0].opf & REQ_PREFLUSH);

	/* If that is all there is to do, no buffer is needed. */
	io->num_regions = 1;
	io->pages = NULL;
	io->bvec = NULL;
	io->data = NULL;
	io->bio = NULL;
	test_disk_forget(empty);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	expect_flush(test, empty);
}

/* The regions are far apart, so that no two can become one request. */
static void regions_arrive_as_a_batch(struct kunit *test)
{
	struct test_mq_disk *disk = test_mq_disk_create(DISK_SECTORS);
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	enum call call;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, disk);
	get_reserve(test, 1);
	for (call = 0; call < NUM_CALLS; call++) {
		struct io *io = new_io(test, call, WRITE, buffer);

		for (i = 0; i < 8; i++)
			add_region(io, disk->bdev, i * 100, 8);
		atomic_set(&disk->num_requests, 0);
		atomic_set(&disk->num_followed, 0);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		KUNIT_EXPECT_EQ(test, atomic_read(&disk->num_requests), 8);
		KUNIT_EXPECT_EQ(test, atomic_read(&disk->num_followed), 7);
	}
	test_mq_disk_destroy(disk);
}

static struct kunit_case contract_cases[] = {
#ifdef CONFIG_HIGHMEM
	KUNIT_CASE(buffers_are_in_high_memory),
#endif
	KUNIT_CASE(get_refuses_zero),
	KUNIT_CASE(get_refuses_the_absurd),
	KUNIT_CASE(get_that_fails_changes_nothing),
	KUNIT_CASE(reserve_is_what_was_asked_for),
	KUNIT_CASE(put_leaves_io_in_flight_alone),
	KUNIT_CASE(put_of_too_much_is_one_line),
	KUNIT_CASE_PARAM(io_needs_a_reserve, call_gen_params),
	KUNIT_CASE_PARAM(arguments_are_refused, refusal_gen_params),
	KUNIT_CASE_PARAM(operations_are_refused, call_gen_params),
	KUNIT_CASE_PARAM(error_bits_are_optional, call_gen_params),
	KUNIT_CASE_PARAM(each_region_has_its_bit, call_gen_params),
	KUNIT_CASE_PARAM(empty_region_is_ignored, call_gen_params),
	KUNIT_CASE_PARAM(only_empty_regions_succeed, call_gen_params),
	KUNIT_CASE_PARAM(region_beyond_its_device_fails, beyond_gen_params),
	KUNIT_CASE_PARAM(region_may_end_with_its_device, call_gen_params),
	KUNIT_CASE_PARAM(region_has_to_be_of_whole_blocks,
			 region_alignment_gen_params),
	KUNIT_CASE_PARAM(buffer_has_to_suit_its_device,
			 buffer_alignment_gen_params),
	KUNIT_CASE_PARAM(each_piece_has_to_suit_its_device,
			 piece_alignment_gen_params),
	KUNIT_CASE(only_unsuited_regions_fail),
	KUNIT_CASE_PARAM(read_that_fails_is_zeroed, call_gen_params),
	KUNIT_CASE_PARAM(part_of_read_that_fails_is_zeroed, call_gen_params),
	KUNIT_CASE_PARAM(read_only_device_is_not_written, call_gen_params),
	KUNIT_CASE(regions_and_nodes_may_go),
	KUNIT_CASE_PARAM(buffer_may_go_in_callback, end_context_gen_params),
	KUNIT_CASE_PARAM(callback_comes_once, end_context_gen_params),
	KUNIT_CASE_PARAM(sync_call_waits, call_gen_params),
#if IS_ENABLED(CONFIG_KPROBES) && IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP)
	KUNIT_CASE(calls_say_that_they_may_sleep),
#endif
	KUNIT_CASE_PARAM(region_may_be_of_gigabytes, huge_call_gen_params),
	KUNIT_CASE(region_may_be_as_long_as_a_bio),
	KUNIT_CASE(vmalloc_region_takes_one_table_at_a_time),
	KUNIT_CASE(bvec_may_have_many_entries),
	KUNIT_CASE(one_entry_may_span_many_pages),
	KUNIT_CASE_PARAM(vm_calls_take_any_kernel_memory, memory_gen_params),
	KUNIT_CASE(bio_stays_as_it_is),
	KUNIT_CASE_PARAM(flags_reach_the_device, call_gen_params),
	KUNIT_CASE_PARAM(long_write_is_flushed_once, call_gen_params),
	KUNIT_CASE_PARAM(write_stops_behind_failure, call_gen_params),
	KUNIT_CASE_PARAM(flush_reaches_every_device, call_gen_params),
	KUNIT_CASE_PARAM(preflush_without_data_is_a_flush, call_gen_params),
	KUNIT_CASE(regions_arrive_as_a_batch),
	{}
};

/*
 * Suite dm_io_concurrency
 */

#define NUM_WRITERS	3
#define WRITER_ROUNDS	60
#define WRITER_BYTES	SZ_32K

/* Writes and reads in an area of its own, by all kinds of calls. */
struct writer {
	struct kunit *test;
	struct io *write, *read;
	struct buffer *from, *to;
	unsigned int num_wrong;
};

static bool call_and_wait(struct io *io)
{
	reinit_completion(&io->ended);
	io->error = 0;
	make_call(io);
	if (is_async(io->call) && !io->ret) {
		wait_for_completion(&io->ended);
		io->wanted_ends++;
	}
	return !io->ret && !io->error;
}

static void write_and_read(void *data)
{
	struct writer *writer = data;
	unsigned int i;

	for (i = 0; i < WRITER_ROUNDS; i++) {
		fill_buffer(writer->from, new_seed());
		memset(writer->to->data, GUARD, WRITER_BYTES);
		writer->write->call = i % NUM_CALLS;
		writer->read->call = i / 3 % NUM_CALLS;
		if (!call_and_wait(writer->write) ||
		    !call_and_wait(writer->read) ||
		    !equal_bytes(writer->from->data, writer->to->data,
				 WRITER_BYTES))
			writer->num_wrong++;
	}
}

static struct writer *new_writer(struct kunit *test, struct test_disk *disk,
				 sector_t sector)
{
	struct writer *writer = test_alloc(test, sizeof(*writer));

	writer->from = new_buffer(test, WRITER_BYTES, 512);
	writer->to = new_buffer(test, WRITER_BYTES, 1024);
	writer->write = new_io(test, SYNC_PAGES, WRITE, writer->from);
	add_region(writer->write, disk->bdev, sector, WRITER_BYTES >> 9);
	add_region(writer->write, disk->bdev, sector + 100, WRITER_BYTES >> 9);
	writer->read = new_io(test, SYNC_PAGES, READ, writer->to);
	add_region(writer->read, disk->bdev, sector + 100, WRITER_BYTES >> 9);
	return writer;
}

/* Gets and puts, and takes memory away and gives it back. */
struct getter {
	unsigned int num_pages;
	unsigned int num_failed;
	bool starve;
	bool stop;
};

static void get_and_put(void *data)
{
	struct getter *getter = data;
	unsigned int i;

	for (i = 0; !READ_ONCE(getter->stop); i++) {
		unsigned int num = 1 + i % getter->num_pages;

		if (getter->starve)
			WRITE_ONCE(dm_io_test_no_memory, i & 1);
		/* Without memory it may fail. */
		if (!dm_io_get(num)) {
			usleep_range(20, 200);
			dm_io_put(num);
		} else {
			getter->num_failed++;
		}
		cond_resched();
	}
}

static void get_and_put_race_with_io(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct writer *writers[NUM_WRITERS];
	struct job *jobs[NUM_WRITERS + 2];
	struct getter *getters[2];
	unsigned int i;

	disk->end = END_IN_SOFTIRQ;
	get_reserve(test, 2);
	for (i = 0; i < NUM_WRITERS; i++)
		writers[i] = new_writer(test, disk, i * 200);
	for (i = 0; i < 2; i++) {
		getters[i] = test_alloc(test, sizeof(*getters[i]));
		getters[i]->num_pages = 5 + 12 * i;
		getters[i]->starve = i;
		jobs[NUM_WRITERS + i] = start_job(test, get_and_put,
						  getters[i]);
	}
	for (i = 0; i < NUM_WRITERS; i++)
		jobs[i] = start_job(test, write_and_read, writers[i]);

	for (i = 0; i < NUM_WRITERS; i++) {
		finish_job(test, jobs[i], "a writer");
		KUNIT_EXPECT_EQ(test, writers[i]->num_wrong, 0);
	}
	for (i = 0; i < 2; i++) {
		WRITE_ONCE(getters[i]->stop, true);
		finish_job(test, jobs[NUM_WRITERS + i], "dm_io_get()");
	}
	WRITE_ONCE(dm_io_test_no_memory, false);
	KUNIT_EXPECT_EQ(test, count_reserve(test), 2);
}

#define NUM_REQUESTS	100

static void many_requests_share_a_small_reserve(struct kunit *test)
{
	const struct end_context *context = test->param_value;
	struct buffer *buffer = new_buffer(test, SZ_16K, 0);
	struct io **ios = test_alloc(test, NUM_REQUESTS * sizeof(*ios));
	unsigned int i, seed = new_seed();
	struct test_disk *disk;

	get_reserve(test, 4);
	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = NUM_REQUESTS * 40,
	});
	disk->end = context->end;
	disk->backwards = true;
	fill_buffer(buffer, seed);
	for (i = 0; i < NUM_REQUESTS; i++) {
		ios[i] = new_io(test, ASYNC_PAGES + 2 * (i % 4), WRITE, buffer);
		add_region(ios[i], disk->bdev, i * 40, 1 + i % 32);
	}

	WRITE_ONCE(dm_io_test_no_memory, true);
	for (i = 0; i < NUM_REQUESTS; i++)
		start_io(ios[i]);
	for (i = 0; i < NUM_REQUESTS; i++)
		finish_call(test, ios[i]);
	for (i = 0; i < NUM_REQUESTS; i++) {
		KUNIT_EXPECT_EQ(test, await(test, ios[i]), 0);
		expect_on_disk(test, disk, i * 40, bytes_of(seed),
			       (1 + i % 32) * SECTOR_SIZE);
	}
	KUNIT_EXPECT_EQ(test, count_reserve(test), 4);
}

/* All at once in flight, with memory, and the last of them ends first. */
static void requests_end_in_any_order(struct kunit *test)
{
	struct io **ios = test_alloc(test, NUM_REQUESTS * sizeof(*ios));
	struct buffer *buffer = new_buffer(test, SZ_4K, 0);
	unsigned int i, seed = new_seed();
	struct test_disk *disk;

	get_reserve(test, 1);
	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = NUM_REQUESTS * 40,
	});
	disk->end = END_WHEN_TOLD;
	disk->backwards = true;
	disk->bad_sector = 40 * 7 + 20;
	disk->bad_sectors = 1;
	fill_buffer(buffer, seed);
	for (i = 0; i < NUM_REQUESTS; i++) {
		ios[i] = new_io(test, ASYNC_PAGES + 2 * (i % 4), WRITE, buffer);
		add_region(ios[i], disk->bdev, i * 40, 8);
		add_region(ios[i], disk->bdev, i * 40 + 20, 8);
		submit(test, ios[i]);
	}
	KUNIT_EXPECT_EQ(test, disk->in_flight, 2 * NUM_REQUESTS);
	test_disk_release(disk);
	for (i = 0; i < NUM_REQUESTS; i++) {
		KUNIT_EXPECT_EQ(test, await(test, ios[i]), i == 7 ? -EIO : 0);
		KUNIT_EXPECT_EQ(test, ios[i]->error, i == 7 ? BIT(1) : 0);
		expect_on_disk(test, disk, i * 40, bytes_of(seed), SZ_4K);
	}
}

static struct kunit_case concurrency_cases[] = {
	KUNIT_CASE(get_and_put_race_with_io),
	KUNIT_CASE_PARAM(many_requests_share_a_small_reserve,
			 end_context_gen_params),
	KUNIT_CASE(requests_end_in_any_order),
	{}
};

/*
 * Suite dm_io_progress: with neither memory nor a reserve
 */

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

static const struct {
	unsigned int num_sectors, num_regions;
} progress_geometries[] = {
	{ 1, 1 }, { 1, BITS_PER_LONG }, { 8, 3 }, { 135, 1 },
	{ 135, BITS_PER_LONG }, { 512, 8 }, { 2049, 3 }, { 8192, 1 },
};

static void call_needs_no_memory(struct kunit *test)
{
	struct buffer *buffers[ARRAY_SIZE(progress_geometries)];
	struct io *ios[ARRAY_SIZE(progress_geometries)];
	struct shortage shortage;
	struct test_disk *disk;
	unsigned int i, r;

	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = WINDOW_SECTORS,
		.any_alignment = true,
	});
	for (i = 0; i < ARRAY_SIZE(ios); i++) {
		size_t bytes = progress_geometries[i].num_sectors << 9;

		buffers[i] = new_buffer(test, bytes, i * 511);
		ios[i] = new_io(test, param_call(test), WRITE, buffers[i]);
		for (r = 0; r < progress_geometries[i].num_regions; r++)
			add_region(ios[i], disk->bdev,
				   r * (progress_geometries[i].num_sectors + 1),
				   progress_geometries[i].num_sectors);
	}

	begin_shortage(test, &shortage);
	for (i = 0; i < ARRAY_SIZE(ios); i++) {
		struct buffer *buffer = buffers[i];
		unsigned int seed = new_seed();
		struct io *io = ios[i];

		disk->end = i % END_WHEN_TOLD;
		fill_buffer(buffer, seed);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		KUNIT_EXPECT_EQ(test, io->error, 0);
		for (r = 0; r < io->num_regions; r++)
			expect_on_disk(test, disk, io->regions[r].sector,
				       bytes_of(seed), buffer->bytes);

		seed = new_seed();
		fill_disk(disk, io->regions[0].sector, seed, buffer->bytes);
		io->num_regions = 1;
		io->rw = READ;
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		same_bytes(test, buffer->data, bytes_of(seed), buffer->bytes,
			   "what was read");
		expect_guards(test, buffer);
	}
	end_shortage(test, &shortage);
}

/* The bits are right as well, although the call is made region by region. */
static void failure_needs_no_memory(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_128K, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	struct shortage shortage;

	disk->end = END_IN_WORKER;
	disk->bad_sector = 500;
	disk->bad_sectors = 1;
	add_region(io, disk->bdev, 0, 256);
	add_region(io, disk->bdev, 300, 201);
	add_region(io, disk->bdev, 600, 100);
	add_region(io, disk->bdev, DISK_SECTORS, 1);

	begin_shortage(test, &shortage);
	KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
	KUNIT_EXPECT_EQ(test, io->error, BIT(1) | BIT(3));
	end_shortage(test, &shortage);
}

static void flush_needs_no_memory(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct io *io = new_io(test, param_call(test), WRITE, NULL);
	struct shortage shortage;
	unsigned int i;

	io->rw = DM_IO_OPF(REQ_OP_FLUSH);
	for (i = 0; i < 5; i++)
		add_region(io, disk->bdev, 0, 0);
	begin_shortage(test, &shortage);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	KUNIT_EXPECT_EQ(test, disk->num_bios, 5);
	end_shortage(test, &shortage);
}

/*
 * A driver that is a user of the library: each bio goes to two places of the
 * disk below, by a call from submit_bio().
 */
struct mapping {
	struct test_disk *lower;
	enum call call;
};

static void end_mapped(unsigned long error, void *context)
{
	struct bio *bio = context;

	if (error)
		bio->bi_status = BLK_STS_IOERR;
	bio_endio(bio);
}

static void map_by_library(struct test_disk *disk, struct bio *bio)
{
	struct mapping *mapping = disk->map_context;
	struct block_device *bdev = mapping->lower->bdev;
	struct bio_vec *bvec = &bio->bi_io_vec[bio->bi_iter.bi_idx];
	bool write = op_is_write(bio->bi_opf);
	struct io_region where[2] = {
		{ bdev, bio->bi_iter.bi_sector, bio_sectors(bio) },
		{ bdev, bio->bi_iter.bi_sector + disk->num_sectors,
		  bio_sectors(bio) },
	};
	unsigned int num = write ? 2 : 1;
	int rw = write ? WRITE : READ;
	unsigned long error = 0;
	int ret;

	switch (mapping->call) {
	case SYNC_BVEC:
		ret = dm_io_sync_bvec(num, where, rw, bvec, &error);
		break;
	case ASYNC_BVEC:
		ret = dm_io_async_bvec(num, where, rw, bvec, end_mapped, bio);
		break;
	case SYNC_BIO:
		ret = dm_io_sync_bio(num, where, rw, bio, &error);
		break;
	default:
		ret = dm_io_async_bio(num, where, rw, bio, end_mapped, bio);
		break;
	}
	if (ret || !is_async(mapping->call))
		end_mapped(ret, bio);
}

static const struct stack {
	unsigned int num_levels;
	enum call call;
} stacks[] = {
	{ 2, SYNC_BVEC }, { 2, ASYNC_BVEC }, { 2, SYNC_BIO }, { 2, ASYNC_BIO },
	{ 3, SYNC_BVEC }, { 3, ASYNC_BVEC }, { 3, SYNC_BIO }, { 3, ASYNC_BIO },
};

static void describe_stack(const struct stack *stack, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u levels of %s",
		 stack->num_levels, calls[stack->call].name);
}

KUNIT_ARRAY_PARAM(stack, stacks, describe_stack);

#define STACK_REQUESTS	24
#define STACK_SECTORS	(STACK_REQUESTS * 200)

/* Each level is twice as long as the one above. Returns the disk on top. */
static struct test_disk *new_stack(struct kunit *test, const struct stack *stack,
				   struct test_disk **bottom)
{
	struct test_disk *lower = NULL;
	unsigned int level;

	for (level = 0; level < stack->num_levels; level++) {
		struct mapping *mapping = test_alloc(test, sizeof(*mapping));
		struct test_disk *disk;

		disk = new_disk(test, &(struct test_disk_layout) {
			.num_sectors = STACK_SECTORS <<
				       (stack->num_levels - 1 - level),
			.no_data = level > 0,
		});
		if (level) {
			mapping->lower = lower;
			mapping->call = stack->call;
			disk->map_context = mapping;
			disk->map = map_by_library;
		} else {
			*bottom = disk;
		}
		lower = disk;
	}
	return lower;
}

static struct io *new_stack_io(struct kunit *test, struct test_disk *top,
			       unsigned int nr)
{
	size_t bytes = (1 + nr * 7 % 160) << SECTOR_SHIFT;
	struct buffer *buffer = new_buffer(test, bytes, 0);
	struct io *io = new_io(test, nr % NUM_CALLS, WRITE, buffer);

	fill_buffer(buffer, nr);
	add_region(io, top->bdev, nr * 200, bytes >> SECTOR_SHIFT);
	return io;
}

static void check_stack_io(struct kunit *test, struct io *io, unsigned int nr,
			   const struct test_disk *bottom)
{
	size_t bytes = io->regions[0].count << SECTOR_SHIFT;
	sector_t sector = io->regions[0].sector;

	/* Every copy that the levels have made. */
	while (sector < bottom->num_sectors) {
		expect_on_disk(test, bottom, sector, bytes_of(nr), bytes);
		sector += STACK_SECTORS;
	}
	memset(io->data, GUARD, bytes);
	io->rw = READ;
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	same_bytes(test, io->data, bytes_of(nr), bytes, "what was read");
}

static void run_stack(struct kunit *test)
{
	const struct stack *stack = test->param_value;
	struct io *ios[STACK_REQUESTS];
	struct test_disk *top, *bottom;
	unsigned int i;

	top = new_stack(test, stack, &bottom);
	bottom->end = END_IN_WORKER;
	for (i = 0; i < STACK_REQUESTS; i++)
		ios[i] = new_stack_io(test, top, i);

	for (i = 0; i < STACK_REQUESTS; i++)
		start_io(ios[i]);
	for (i = 0; i < STACK_REQUESTS; i++) {
		finish_call(test, ios[i]);
		KUNIT_EXPECT_EQ(test, await(test, ios[i]), 0);
	}
	for (i = 0; i < STACK_REQUESTS; i++)
		check_stack_io(test, ios[i], i, bottom);
}

static void stacked_users_work(struct kunit *test)
{
	get_reserve(test, 1);
	run_stack(test);
}

static void stacked_users_share_a_page(struct kunit *test)
{
	get_reserve(test, 1);
	WRITE_ONCE(dm_io_test_no_memory, true);
	run_stack(test);
	WRITE_ONCE(dm_io_test_no_memory, false);
	KUNIT_EXPECT_EQ(test, count_reserve(test), 1);
}

static void stacked_users_need_no_memory(struct kunit *test)
{
	struct shortage shortage;

	begin_shortage(test, &shortage);
	run_stack(test);
	end_shortage(test, &shortage);
}

/*
 * A driver that splits: it sends the first half of a bio down by itself, which
 * only queues it up until submit_bio() has returned, and the second half by a
 * call. If the call waits for its turn behind the first half, it hangs.
 */
struct splitting {
	struct test_disk *lower;
	struct io *io;
	struct bio *bio;
	struct bio first_half;
	atomic_t pending;
	int ret;
};

static void end_half(struct splitting *splitting, bool failed)
{
	if (failed)
		splitting->bio->bi_status = BLK_STS_IOERR;
	if (atomic_dec_and_test(&splitting->pending))
		bio_endio(splitting->bio);
}

static void end_first_half(struct bio *bio)
{
	end_half(bio->bi_private, bio->bi_status);
}

static void end_second_half(unsigned long error, void *context)
{
	struct io *io = context;

	note_end(error, io);
	end_half(io->private, error);
}

/* The bio has one bio_vec, which is linear memory. */
static void split_bio(struct test_disk *disk, struct bio *bio)
{
	struct splitting *splitting = disk->map_context;
	unsigned int half = bio->bi_iter.bi_size / 2;
	struct bio *first = &splitting->first_half;
	struct io *io = splitting->io;

	splitting->bio = bio;
	atomic_set(&splitting->pending, 2);

	bio_init(first, splitting->lower->bdev, bio->bi_io_vec, 1, bio->bi_opf);
	first->bi_vcnt = 1;
	first->bi_iter = bio->bi_iter;
	first->bi_iter.bi_size = half;
	first->bi_end_io = end_first_half;
	first->bi_private = splitting;
	submit_bio(first);

	make_call(io);
	if (!is_async(io->call) || io->ret)
		end_half(splitting, io->ret);
}

static void submit_splitting(void *data)
{
	struct splitting *splitting = data;

	splitting->ret = submit_bio_wait(splitting->bio);
}

static void check_splitting(struct kunit *test, struct splitting *splitting,
			    struct test_disk *upper, int rw)
{
	struct io *io = splitting->io;

	bio_init(splitting->bio, upper->bdev, splitting->bio->bi_io_vec, 1,
		 rw == WRITE ? REQ_OP_WRITE : REQ_OP_READ);
	splitting->bio->bi_vcnt = 1;
	splitting->bio->bi_iter.bi_size = SZ_64K;
	io->rw = rw;
	finish_job(test, start_job(test, submit_splitting, splitting),
		   "a bio whose driver made a call");
	if (is_async(io->call))
		io->wanted_ends++;
	KUNIT_EXPECT_EQ(test, splitting->ret, 0);
	KUNIT_EXPECT_EQ(test, io->ret, 0);
}

static void run_below_submit_bio(struct kunit *test)
{
	struct splitting *splitting = test_alloc(test, sizeof(*splitting));
	struct bio_vec *vec = test_alloc(test, sizeof(*vec));
	u8 *data = test_alloc(test, SZ_64K + SZ_4K);
	struct test_disk *upper = new_plain_disk(test);
	unsigned int seed = new_seed();
	struct buffer *second_half;

	data = PTR_ALIGN(data, SZ_4K);
	KUNIT_ASSERT_FALSE(test, is_vmalloc_addr(data));
	bvec_set_page(vec, virt_to_page(data), SZ_64K, 0);
	second_half = new_buffer_at(test, data + SZ_32K, SZ_32K);

	splitting->lower = new_plain_disk(test);
	splitting->lower->end = END_IN_WORKER;
	splitting->bio = test_alloc(test, sizeof(*splitting->bio));
	splitting->bio->bi_io_vec = vec;
	splitting->io = new_io(test, param_call(test), WRITE, second_half);
	splitting->io->fn = end_second_half;
	splitting->io->private = splitting;
	add_region(splitting->io, splitting->lower->bdev,
		   SZ_32K >> SECTOR_SHIFT, SZ_32K >> SECTOR_SHIFT);
	upper->map = split_bio;
	upper->map_context = splitting;

	memcpy(data, bytes_of(seed), SZ_64K);
	check_splitting(test, splitting, upper, WRITE);
	expect_on_disk(test, splitting->lower, 0, bytes_of(seed), SZ_64K);

	memset(data, GUARD, SZ_64K);
	check_splitting(test, splitting, upper, READ);
	same_bytes(test, data, bytes_of(seed), SZ_64K, "what was read");
}

static void call_works_below_submit_bio(struct kunit *test)
{
	get_reserve(test, 1);
	run_below_submit_bio(test);
}

static void call_below_submit_bio_needs_no_memory(struct kunit *test)
{
	struct shortage shortage;

	begin_shortage(test, &shortage);
	run_below_submit_bio(test);
	end_shortage(test, &shortage);
}

static struct kunit_case progress_cases[] = {
	KUNIT_CASE_PARAM(call_needs_no_memory, call_gen_params),
	KUNIT_CASE_PARAM(failure_needs_no_memory, call_gen_params),
	KUNIT_CASE_PARAM(flush_needs_no_memory, call_gen_params),
	KUNIT_CASE_PARAM(stacked_users_work, stack_gen_params),
	KUNIT_CASE_PARAM(stacked_users_share_a_page, stack_gen_params),
	KUNIT_CASE_PARAM(stacked_users_need_no_memory, stack_gen_params),
	KUNIT_CASE_PARAM(call_works_below_submit_bio, call_gen_params),
	KUNIT_CASE_PARAM(call_below_submit_bio_needs_no_memory,
			 call_gen_params),
	{}
};

static struct kunit_suite data_suite = {
	.name = "dm_io_data",
	.suite_init = start_data_suite,
	.suite_exit = end_data_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = data_cases,
};

static struct kunit_suite contract_suite = {
	.name = "dm_io_contract",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = contract_cases,
};

static struct kunit_suite concurrency_suite = {
	.name = "dm_io_concurrency",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = concurrency_cases,
};

static struct kunit_suite progress_suite = {
	.name = "dm_io_progress",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = progress_cases,
};

kunit_test_suites(&data_suite, &contract_suite, &concurrency_suite,
		  &progress_suite, &ops_suite, &submit_suite, &trace_suite,
		  &power_suite);

MODULE_DESCRIPTION("KUnit tests of the dm-io library");
MODULE_LICENSE("GPL");
