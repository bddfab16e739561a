// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io-bench: what a request costs
 *
 * The same requests are made in five ways:
 *
 * - floor: a bio built beforehand is submitted again. Nothing can be cheaper;
 * - by hand: bio_alloc(), bio_add_page() and submit_bio(), as in a target that
 *   does without a library, and without the account that a real one has to keep
 *   of which bios belong together;
 * - kernel: dm_io() of dm-mod;
 * - dm-io: this library, by its classic calls;
 * - submit: its dm_io_submit(), as a target calls it that wants to know why a region
 *   failed, or that passes a bio on.
 *
 * Whoever reads /sys/kernel/debug/dm-io-bench/requests has them measured while
 * reading, one measurement a line. Under an emulator whose clock advances by a
 * nanosecond with each instruction, the nanoseconds are instructions.
 *
 * All buffers are made of the same pages, of which no two neighbours are
 * contiguous, so that nobody gains by merging them.
 *
 * Writes destroy what is on the device. It is opened exclusively, which fails
 * if it is mounted or part of another device.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>

#include "dm-io.h"
#include "dm-io-bench.h"
#include "dm-io-compat.h"

#define MAX_BYTES	SZ_4M
#define MAX_PAGES	(MAX_BYTES / PAGE_SIZE)
#define MAX_REGIONS	8
#define MAX_ROUNDS	100
#define MAX_DEPTH	1024
#define MAX_SCALE	100

static char *device;
module_param(device, charp, 0444);
MODULE_PARM_DESC(device, "block device to measure on; what is on it gets lost");

static unsigned int sizes[32] = {
	SZ_512, SZ_1K, SZ_2K, SZ_4K, SZ_8K, SZ_16K, SZ_32K, SZ_64K, SZ_128K,
	SZ_256K, SZ_512K, SZ_1M, SZ_2M, SZ_4M,
};

static int num_sizes = 14;
module_param_array(sizes, uint, &num_sizes, 0444);
MODULE_PARM_DESC(sizes, "bytes of a region, up to 4 MiB");

static unsigned int regions[MAX_REGIONS] = { 1, 2, 3, 4, 8 };
static int num_regions = 5;
module_param_array(regions, uint, &num_regions, 0444);
MODULE_PARM_DESC(regions, "numbers of regions, up to 8");

static unsigned int rounds = 12;
module_param(rounds, uint, 0444);
MODULE_PARM_DESC(rounds, "rounds of each measurement, up to 100");

static unsigned int depth = 8;
module_param(depth, uint, 0444);
MODULE_PARM_DESC(depth, "most requests of a round, up to 1024; asynchronous ones are in flight at once");

static unsigned int round_us = 200;
module_param(round_us, uint, 0444);
MODULE_PARM_DESC(round_us, "microseconds that a round should not exceed");

static unsigned int measurement_ms = 100;
module_param(measurement_ms, uint, 0444);
MODULE_PARM_DESC(measurement_ms, "milliseconds after which three rounds suffice");

static unsigned int scale = 16;
module_param(scale, uint, 0444);
MODULE_PARM_DESC(scale, "hundreds of users whose memory is measured");

/* What a request consists of. */
struct job {
	unsigned int bytes;
	unsigned int num_regions;
	int rw;
	bool sync;
	struct io_region where[MAX_REGIONS];
};

enum engine {
	FLOOR,
	BY_HAND,
	BY_KERNEL,
	BY_LIBRARY,
	BY_SUBMIT,
};

static const char * const engine_names[] = {
	"floor", "hand", "kernel", "dm-io", "submit",
};

enum source {
	PAGE_LIST,
	BVEC,
	VMALLOC,
	/* For dm_io_submit() only. */
	BVEC_ERRORS,
	BIO,
	BIO_ERRORS,
};

static const char * const source_names[] = {
	"list", "bvec", "vmalloc", "bvec+errors", "bio", "bio+errors",
};

/* A way to make a request, and from which kind of buffer. */
static const struct way {
	enum engine engine;
	enum source source;
} ways[] = {
	{ FLOOR, BVEC },
	{ BY_HAND, PAGE_LIST }, { BY_HAND, BVEC }, { BY_HAND, VMALLOC },
	{ BY_KERNEL, PAGE_LIST }, { BY_KERNEL, BVEC }, { BY_KERNEL, VMALLOC },
	{ BY_LIBRARY, PAGE_LIST }, { BY_LIBRARY, BVEC }, { BY_LIBRARY, VMALLOC },
	{ BY_SUBMIT, BVEC_ERRORS }, { BY_SUBMIT, BIO }, { BY_SUBMIT, BIO_ERRORS },
};

static DEFINE_MUTEX(running);
static struct file *file;
static struct dentry *directory;
static struct dm_io_client *client;

static struct page *pages[MAX_PAGES];
static struct page_list list[MAX_PAGES];
static struct bio_vec vecs[MAX_PAGES];
static void *data;
static struct bio buffer_bio;
static struct bio *floor_bios;		/* MAX_REGIONS for each in flight */
static int reasons[MAX_REGIONS];	/* of all requests; all are 0 */

/* What has come to its end: bios or requests, as each way counts them. */
static atomic_t ended;
static atomic_t failed;

/*
 * The end of a request
 */

static void count_bio(struct bio *bio)
{
	if (unlikely(bio->bi_status))
		atomic_inc(&failed);
	atomic_inc(&ended);
}

static void count_and_put_bio(struct bio *bio)
{
	count_bio(bio);
	bio_put(bio);
}

static void count_request(unsigned long error, void *context)
{
	if (unlikely(error))
		atomic_inc(&failed);
	atomic_inc(&ended);
}

static void count_request_unsupported(unsigned long error,
				      unsigned long unsupported, void *context)
{
	count_request(error | unsupported, context);
}

static __always_inline void count_call(int ret)
{
	if (unlikely(ret))
		atomic_inc(&failed);
}

/* What the bios of a synchronous request have in common. */
struct waiter {
	atomic_t pending;
	struct completion done;
};

static void wake_waiter(struct bio *bio)
{
	struct waiter *waiter = bio->bi_private;

	if (unlikely(bio->bi_status))
		atomic_inc(&failed);
	if (atomic_dec_and_test(&waiter->pending))
		complete(&waiter->done);
}

static void wake_waiter_and_put_bio(struct bio *bio)
{
	wake_waiter(bio);
	bio_put(bio);
}

static __always_inline void init_waiter(struct waiter *waiter)
{
	atomic_set(&waiter->pending, 1);
	init_completion(&waiter->done);
}

static __always_inline void submit_waited(struct bio *bio, bio_end_io_t *end_io,
					  struct waiter *waiter)
{
	bio->bi_opf |= REQ_SYNC;
	bio->bi_end_io = end_io;
	bio->bi_private = waiter;
	atomic_inc(&waiter->pending);
	submit_bio(bio);
}

static __always_inline void await_bios(struct waiter *waiter)
{
	if (!atomic_dec_and_test(&waiter->pending))
		wait_for_completion_io(&waiter->done);
}

/*
 * The ways to make a request, which is the one with index @slot of its round
 */

/* A bio that has ended needs this much to be submitted again. */
static __always_inline struct bio *floor_bio(struct job *job, unsigned int slot,
					     unsigned int region)
{
	struct bio *bio = &floor_bios[slot * MAX_REGIONS + region];

	bio_init(bio, job->where[region].bdev, vecs, MAX_PAGES,
		 (__force blk_opf_t)job->rw);
	bio->bi_vcnt = DIV_ROUND_UP(job->bytes, PAGE_SIZE);
	bio->bi_iter.bi_sector = job->where[region].sector;
	bio->bi_iter.bi_size = job->bytes;
	return bio;
}

static __always_inline void at_floor(struct job *job, unsigned int slot,
				     enum source source, bool sync)
{
	struct waiter waiter;
	unsigned int region;

	if (sync && job->num_regions == 1) {
		count_call(submit_bio_wait(floor_bio(job, slot, 0)));
		return;
	}

	if (sync)
		init_waiter(&waiter);
	for (region = 0; region < job->num_regions; region++) {
		struct bio *bio = floor_bio(job, slot, region);

		if (sync) {
			submit_waited(bio, wake_waiter, &waiter);
		} else {
			bio->bi_end_io = count_bio;
			submit_bio(bio);
		}
	}
	if (sync)
		await_bios(&waiter);
}

/* A bio with as many pages of the buffer as it takes, from byte @done on. */
static __always_inline struct bio *bio_by_hand(struct job *job,
					       unsigned int region,
					       enum source source,
					       unsigned int *done)
{
	const struct io_region *where = &job->where[region];
	const struct page_list *node = &list[*done >> PAGE_SHIFT];
	const struct bio_vec *vec = &vecs[*done >> PAGE_SHIFT];
	const void *address = data + *done;
	unsigned int left = job->bytes - *done;
	struct bio *bio;

	bio = bio_alloc(where->bdev, bio_max_segs(DIV_ROUND_UP(left, PAGE_SIZE)),
			(__force blk_opf_t)job->rw, GFP_NOIO);
	bio->bi_iter.bi_sector = where->sector + (*done >> SECTOR_SHIFT);

	while (left) {
		unsigned int len = min_t(unsigned int, left, PAGE_SIZE);
		struct page *page;

		switch (source) {
		case PAGE_LIST:
			page = node->page;
			node = node->next;
			break;
		case BVEC:
			page = vec->bv_page;
			vec++;
			break;
		default:
			page = vmalloc_to_page(address);
			address += PAGE_SIZE;
			break;
		}
		if (!bio_add_page(bio, page, len, 0))
			break;
		left -= len;
	}
	*done = job->bytes - left;
	return bio;
}

static __always_inline void by_hand(struct job *job, unsigned int slot,
				    enum source source, bool sync)
{
	struct waiter waiter;
	unsigned int region;

	if (sync && job->num_regions == 1 &&
	    job->bytes <= BIO_MAX_VECS * PAGE_SIZE) {
		unsigned int done = 0;
		struct bio *bio = bio_by_hand(job, 0, source, &done);

		count_call(submit_bio_wait(bio));
		bio_put(bio);
		return;
	}

	if (sync)
		init_waiter(&waiter);
	for (region = 0; region < job->num_regions; region++) {
		unsigned int done = 0;

		while (done < job->bytes) {
			struct bio *bio = bio_by_hand(job, region, source, &done);

			if (sync) {
				submit_waited(bio, wake_waiter_and_put_bio,
					      &waiter);
			} else {
				bio->bi_end_io = count_and_put_bio;
				submit_bio(bio);
			}
		}
	}
	if (sync)
		await_bios(&waiter);
}

static __always_inline void by_kernel(struct job *job, unsigned int slot,
				      enum source source, bool sync)
{
	struct dm_io_request request = {
		.bi_opf = (__force blk_opf_t)job->rw,
		.client = client,
	};
	unsigned long error;

	switch (source) {
	case PAGE_LIST:
		request.mem.type = DM_IO_PAGE_LIST;
		request.mem.ptr.pl = list;
		break;
	case BVEC:
		request.mem.type = DM_IO_BIO;
		request.mem.ptr.bio = &buffer_bio;
		break;
	default:
		request.mem.type = DM_IO_VMA;
		request.mem.ptr.vma = data;
		break;
	}
	if (!sync)
		request.notify.fn =
			kernel_dm_io_callback(count_request,
					      count_request_unsupported);
	count_call(kernel_dm_io(&request, job->num_regions, job->where, &error));
}

static __always_inline void by_library(struct job *job, unsigned int slot,
				       enum source source, bool sync)
{
	unsigned long error;
	int ret;

	switch (source) {
	case PAGE_LIST:
		ret = sync ? dm_io_sync(job->num_regions, job->where, job->rw,
					list, 0, &error) :
			     dm_io_async(job->num_regions, job->where, job->rw,
					 list, 0, count_request, NULL);
		break;
	case BVEC:
		ret = sync ? dm_io_sync_bvec(job->num_regions, job->where,
					     job->rw, vecs, &error) :
			     dm_io_async_bvec(job->num_regions, job->where,
					      job->rw, vecs, count_request,
					      NULL);
		break;
	default:
		ret = sync ? dm_io_sync_vm(job->num_regions, job->where,
					   job->rw, data, &error) :
			     dm_io_async_vm(job->num_regions, job->where,
					    job->rw, data, count_request, NULL);
		break;
	}
	count_call(ret);
}

static __always_inline void by_submit(struct job *job, unsigned int slot,
				      enum source source, bool sync)
{
	struct dm_io_args args = {
		.opf = (__force blk_opf_t)job->rw,
		.num_regions = job->num_regions,
		.where = job->where,
		.fn = sync ? NULL : count_request,
	};

	if (source == BVEC_ERRORS)
		args.bvec = vecs;
	else
		args.bio = &buffer_bio;
	if (source != BIO)
		args.errors = reasons;
	count_call(dm_io_submit(&args));
}

/*
 * Measuring
 */

typedef void (make_request_fn)(struct job *job, unsigned int slot,
			       enum source source, bool sync);

/* Inlined for each way, so that none pays for a call through a pointer. */
static __always_inline u64 time_calls(struct job *job, unsigned int num,
				      unsigned int num_ends,
				      make_request_fn *make_request,
				      enum source source, bool sync)
{
	unsigned int slot;
	u64 start;

	atomic_set(&ended, 0);
	start = ktime_get_ns();
	for (slot = 0; slot < num; slot++)
		make_request(job, slot, source, sync);
	if (!sync)
		while (atomic_read(&ended) < num * num_ends) {
			cpu_relax();
			cond_resched();
		}
	return ktime_get_ns() - start;
}

static __always_inline u64 time_mode(struct job *job, unsigned int num,
				     unsigned int num_ends,
				     make_request_fn *make_request,
				     enum source source)
{
	if (job->sync)
		return time_calls(job, num, 0, make_request, source, true);
	return time_calls(job, num, num_ends, make_request, source, false);
}

static __always_inline u64 time_source(struct job *job, unsigned int num,
				       unsigned int num_ends,
				       make_request_fn *make_request,
				       enum source source)
{
	switch (source) {
	case PAGE_LIST:
		return time_mode(job, num, num_ends, make_request, PAGE_LIST);
	case BVEC:
		return time_mode(job, num, num_ends, make_request, BVEC);
	default:
		return time_mode(job, num, num_ends, make_request, VMALLOC);
	}
}

static __always_inline u64 time_submit(struct job *job, unsigned int num,
				       enum source source)
{
	switch (source) {
	case BVEC_ERRORS:
		return time_mode(job, num, 1, by_submit, BVEC_ERRORS);
	case BIO:
		return time_mode(job, num, 1, by_submit, BIO);
	default:
		return time_mode(job, num, 1, by_submit, BIO_ERRORS);
	}
}

/* The time that @num requests take. */
static u64 time_round(struct job *job, unsigned int num, const struct way *way)
{
	unsigned int bios_by_hand = job->num_regions *
		DIV_ROUND_UP(job->bytes, BIO_MAX_VECS * PAGE_SIZE);

	switch (way->engine) {
	case FLOOR:
		return time_mode(job, num, job->num_regions, at_floor, BVEC);
	case BY_HAND:
		return time_source(job, num, bios_by_hand, by_hand, way->source);
	case BY_KERNEL:
		return time_source(job, num, 1, by_kernel, way->source);
	case BY_LIBRARY:
		return time_source(job, num, 1, by_library, way->source);
	default:
		return time_submit(job, num, way->source);
	}
}

/* As many requests as fit the time of a round, and as may be in flight. */
static unsigned int requests_of_round(struct job *job,
				      const struct way *way)
{
	u64 least;

	time_round(job, 1, way);
	least = max_t(u64, time_round(job, 1, way), 1);
	return clamp_t(u64, div64_u64((u64)round_us * NSEC_PER_USEC, least),
		       1, depth);
}

static int measure(struct seq_file *seq, struct job *job, const struct way *way)
{
	u64 times[MAX_ROUNDS], clock = clock_reading();
	unsigned int num, num_times, i;
	unsigned long end;

	atomic_set(&failed, 0);
	num = requests_of_round(job, way);
	end = jiffies + msecs_to_jiffies(measurement_ms);
	for (i = 0; i < rounds && (i < 3 || time_before(jiffies, end)); i++) {
		times[i] = time_round(job, num, way);
		cond_resched();
	}
	num_times = i;
	if (atomic_read(&failed)) {
		pr_err("%s, %s: %u bytes to or from %u regions of %s failed\n",
		       engine_names[way->engine], source_names[way->source],
		       job->bytes, job->num_regions, device);
		return -EIO;
	}

	for (i = 0; i < num_times; i++)
		times[i] = div_u64(times[i] - min(times[i], clock) + num / 2, num);
	sort(times, num_times, sizeof(*times), compare_times, NULL);
	seq_printf(seq, "%s,%s,%s,%s,%u,%u,%u,%llu,%llu\n",
		   engine_names[way->engine], source_names[way->source],
		   job->rw == WRITE ? "write" : "read",
		   job->sync ? "sync" : "async", job->bytes, job->num_regions,
		   num, times[0], times[num_times / 2]);
	return 0;
}

/*
 * /sys/kernel/debug/dm-io-bench/requests: all combinations, in the order of a
 * number whose digits are the size, direction and number of regions, mode and
 * way
 */

static bool find_job(loff_t number, struct job *job, const struct way **way)
{
	struct block_device *bdev = I_BDEV(file->f_mapping->host);
	unsigned int region, kind;
	u64 rest = number;

	*way = &ways[do_div(rest, ARRAY_SIZE(ways))];
	job->sync = do_div(rest, 2);
	/* A read has one region. */
	kind = do_div(rest, num_regions + 1);
	job->rw = kind < num_regions ? WRITE : READ;
	job->num_regions = job->rw == WRITE ? regions[kind] : 1;
	if (rest >= num_sizes)
		return false;
	job->bytes = sizes[rest];

	for (region = 0; region < job->num_regions; region++) {
		job->where[region].bdev = bdev;
		job->where[region].sector = region * (MAX_BYTES >> SECTOR_SHIFT);
		job->where[region].count = job->bytes >> SECTOR_SHIFT;
	}
	return true;
}

static void *requests_find(loff_t *pos)
{
	const struct way *way;
	struct job job;

	return find_job(*pos - 1, &job, &way) ? pos : NULL;
}

static void *requests_start(struct seq_file *seq, loff_t *pos)
{
	mutex_lock(&running);
	return *pos ? requests_find(pos) : SEQ_START_TOKEN;
}

static void *requests_next(struct seq_file *seq, void *v, loff_t *pos)
{
	++*pos;
	return requests_find(pos);
}

static void requests_stop(struct seq_file *seq, void *v)
{
	mutex_unlock(&running);
}

static int requests_show(struct seq_file *seq, void *v)
{
	const struct way *way;
	struct job job;

	if (v == SEQ_START_TOKEN) {
		seq_puts(seq, "engine,buffer,operation,mode,bytes,regions,requests,least_ns,median_ns\n");
		return 0;
	}
	if (signal_pending(current))
		return -EINTR;
	find_job(*(loff_t *)v - 1, &job, &way);
	return measure(seq, &job, way);
}

static const struct seq_operations requests_sops = {
	.start = requests_start,
	.next = requests_next,
	.stop = requests_stop,
	.show = requests_show,
};

DEFINE_SEQ_ATTRIBUTE(requests);

/*
 * /sys/kernel/debug/dm-io-bench/memory: what a hundred users hold
 */

#define USERS		100
#define PAGES_A_USER	16
/* A reserve should be so much smaller, and is measured so many times more. */
#define MORE_RESERVES	8

/* Memory as the kernel accounts for it: all that is free, all of the slabs. */
struct account {
	s64 free;
	s64 slab;
};

static struct account account(void)
{
	return (struct account) {
		.free = global_zone_page_state(NR_FREE_PAGES),
		.slab = global_node_page_state_pages(NR_SLAB_UNRECLAIMABLE_B),
	};
}

/*
 * Pages that each CPU keeps at hand count as used already, and memory from
 * elsewhere does not count as slab. So it is the larger of both.
 */
static s64 bytes_held_since(struct account before)
{
	struct account now = account();

	return max(before.free - now.free, now.slab - before.slab) << PAGE_SHIFT;
}

static s64 hold_clients(unsigned int num)
{
	struct dm_io_client **clients;
	struct account before;
	s64 held = -ENOMEM;
	unsigned int i;

	clients = kvcalloc(num, sizeof(*clients), GFP_KERNEL);
	if (!clients)
		return -ENOMEM;
	before = account();
	for (i = 0; i < num; i++) {
		clients[i] = dm_io_client_create();
		if (IS_ERR(clients[i]))
			break;
	}
	if (i == num)
		held = bytes_held_since(before);
	while (i--)
		dm_io_client_destroy(clients[i]);
	kvfree(clients);
	return held;
}

static s64 hold_reserves(unsigned int num)
{
	struct account before = account();
	s64 held = -ENOMEM;
	unsigned int i;

	for (i = 0; i < num; i++)
		if (dm_io_get(PAGES_A_USER))
			break;
	if (i == num)
		held = bytes_held_since(before);
	while (i--)
		dm_io_put(PAGES_A_USER);
	return held;
}

/* The account is not exact to the page: so of many users, and divided. */
static int memory_show(struct seq_file *seq, void *v)
{
	s64 of_kernel, ours;

	mutex_lock(&running);
	ours = hold_reserves(MORE_RESERVES * scale * USERS);
	of_kernel = hold_clients(scale * USERS);
	mutex_unlock(&running);
	if (of_kernel < 0 || ours < 0)
		return -ENOMEM;

	seq_puts(seq, "engine,users,bytes\n");
	seq_printf(seq, "kernel,%u,%lld\n", USERS, div_s64(of_kernel, scale));
	seq_printf(seq, "dm-io,%u,%lld\n", USERS,
		   div_s64(ours, MORE_RESERVES * scale));
	return 0;
}

DEFINE_SHOW_ATTRIBUTE(memory);

/*
 * Beginning and end
 */

static int check_parameters(void)
{
	int i;

	if (!device || !*device) {
		pr_err("no device=, what is on it would get lost\n");
		return -EINVAL;
	}
	for (i = 0; i < num_sizes; i++)
		if (!sizes[i] || sizes[i] > MAX_BYTES || sizes[i] % SECTOR_SIZE) {
			pr_err("sizes= are multiples of 512, up to 4194304\n");
			return -EINVAL;
		}
	for (i = 0; i < num_regions; i++)
		if (!regions[i] || regions[i] > MAX_REGIONS) {
			pr_err("regions= are from 1 to 8\n");
			return -EINVAL;
		}
	if (!rounds || rounds > MAX_ROUNDS || !depth || depth > MAX_DEPTH ||
	    !scale || scale > MAX_SCALE) {
		pr_err("rounds= and scale= are from 1 to 100, depth= from 1 to 1024\n");
		return -EINVAL;
	}
	return 0;
}

static int open_device(void)
{
	file = filp_open(device, O_RDWR | O_EXCL | O_LARGEFILE, 0);
	if (IS_ERR(file)) {
		pr_err("cannot open %s exclusively: %pe\n", device, file);
		return PTR_ERR(file);
	}
	if (!S_ISBLK(file_inode(file)->i_mode)) {
		pr_err("%s is no block device\n", device);
		filp_close(file, NULL);
		return -ENOTBLK;
	}
	if (bdev_nr_bytes(I_BDEV(file->f_mapping->host)) <
	    MAX_REGIONS * MAX_BYTES) {
		pr_err("%s has less than 32 MiB\n", device);
		filp_close(file, NULL);
		return -ENOSPC;
	}
	return 0;
}

static void free_pages_but(struct page **first, unsigned int num)
{
	while (num--)
		__free_page(first[num]);
}

/* Of pages that follow each other in memory, every other one is left out. */
static int alloc_pages_apart(void)
{
	struct page **spares;
	unsigned int num = 0, num_spares = 0;

	spares = kvcalloc(MAX_PAGES, sizeof(*spares), GFP_KERNEL);
	if (!spares)
		return -ENOMEM;
	while (num < MAX_PAGES) {
		struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);

		if (!page)
			break;
		if (num && page_to_pfn(page) == page_to_pfn(pages[num - 1]) + 1)
			spares[num_spares++] = page;
		else
			pages[num++] = page;
	}
	free_pages_but(spares, num_spares);
	kvfree(spares);
	if (num == MAX_PAGES)
		return 0;
	free_pages_but(pages, num);
	return -ENOMEM;
}

static int make_buffers(void)
{
	unsigned int i;
	int ret;

	ret = alloc_pages_apart();
	if (ret)
		return ret;
	for (i = 0; i < MAX_PAGES; i++) {
		list[i].page = pages[i];
		list[i].next = i + 1 < MAX_PAGES ? &list[i + 1] : NULL;
		bvec_set_page(&vecs[i], pages[i], PAGE_SIZE, 0);
	}
	bio_init(&buffer_bio, NULL, vecs, MAX_PAGES, REQ_OP_WRITE);
	buffer_bio.bi_vcnt = MAX_PAGES;
	buffer_bio.bi_iter.bi_size = MAX_BYTES;

	data = vmap(pages, MAX_PAGES, VM_MAP, PAGE_KERNEL);
	floor_bios = kvcalloc(depth * MAX_REGIONS, sizeof(*floor_bios),
			      GFP_KERNEL);
	if (data && floor_bios)
		return 0;
	vunmap(data);
	kvfree(floor_bios);
	free_pages_but(pages, MAX_PAGES);
	return -ENOMEM;
}

static void free_buffers(void)
{
	vunmap(data);
	kvfree(floor_bios);
	free_pages_but(pages, MAX_PAGES);
}

static int __init dm_io_bench_init(void)
{
	int ret;

	ret = check_parameters();
	if (ret)
		return ret;
	ret = open_device();
	if (ret)
		return ret;
	ret = make_buffers();
	if (ret)
		goto close;
	client = dm_io_client_create();
	if (IS_ERR(client)) {
		ret = PTR_ERR(client);
		goto free;
	}
	ret = dm_io_get(depth);
	if (ret)
		goto destroy;

	directory = debugfs_create_dir("dm-io-bench", NULL);
	debugfs_create_file("requests", 0400, directory, NULL, &requests_fops);
	debugfs_create_file("memory", 0400, directory, NULL, &memory_fops);
	return 0;

destroy:
	dm_io_client_destroy(client);
free:
	free_buffers();
close:
	filp_close(file, NULL);
	return ret;
}

static void __exit dm_io_bench_exit(void)
{
	debugfs_remove(directory);
	dm_io_put(depth);
	dm_io_client_destroy(client);
	free_buffers();
	filp_close(file, NULL);
}

module_init(dm_io_bench_init);
module_exit(dm_io_bench_exit);

MODULE_DESCRIPTION("Benchmark of the dm-io library");
MODULE_AUTHOR("dm-io maintainers");
MODULE_VERSION("1.0");
MODULE_LICENSE("GPL");
