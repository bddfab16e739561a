// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-replica-bench: what a request to a block device costs
 *
 * It is for devices that keep the same data several times: dm-replica, and what the
 * kernel has of this kind. The same bios are submitted to whichever is given. If it
 * is given several devices, a write goes to all of them and a read to the first:
 * that is what nobody can do cheaper.
 *
 * Whoever reads a file in /sys/kernel/debug/dm-replica-bench has it measured while
 * reading, one kind of request a line. Under an emulator whose clock advances by a
 * nanosecond with each instruction, the nanoseconds are instructions.
 *
 * requests
 *	Reads and writes at random places in the first 16 MiB, which have been written
 *	to before. The next one is submitted when the last one has ended. The last line
 *	says how many were made, measured or not.
 *
 * scattered
 *	Writes of 4 KiB in random order, each to a region that has not been written to
 *	since the module was loaded: one at a time, then several in flight.
 *
 * Work that is done by other tasks until a request ends is part of what it costs:
 * there is one CPU, and nothing else to do. Writes destroy what is on the device. It
 * is opened exclusively, which fails if it is mounted or part of another device.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>

#include "dm-io-bench.h"
#include "dm-io-compat.h"

#define MAX_DEVICES	8
#define MAX_DEPTH	64
#define MAX_ROUNDS	256
#define MAX_BYTES	SZ_1M
#define MAX_PAGES	(MAX_BYTES / PAGE_SIZE)
#define SPAN_BYTES	SZ_16M

static char *device[MAX_DEVICES];
static int num_devices;
module_param_array(device, charp, &num_devices, 0444);
MODULE_PARM_DESC(device, "block devices to measure on; what is on them gets lost");

static unsigned int rounds = 64;
module_param(rounds, uint, 0444);
MODULE_PARM_DESC(rounds, "rounds of each measurement, up to 256");

static unsigned int depth = 32;
module_param(depth, uint, 0444);
MODULE_PARM_DESC(depth, "scattered requests in flight, up to 64");

static unsigned int region = SZ_64K;
module_param(region, uint, 0444);
MODULE_PARM_DESC(region, "bytes of a region, of which each is written to once");

static unsigned int scattered = 1024;
module_param(scattered, uint, 0444);
MODULE_PARM_DESC(scattered, "scattered requests, half of them one at a time");

static unsigned int only;
module_param(only, uint, 0444);
MODULE_PARM_DESC(only, "the kind of request to measure: 1 reads, 2 to 4 writes of 4 KiB, 64 KiB and 1 MiB; 0 all");

/* A kind of request, and how many make a round. */
static const struct kind {
	const char *name;
	enum req_op op;
	unsigned int bytes;
	unsigned int requests;
} kinds[] = {
	{ "read", REQ_OP_READ, SZ_4K, 16 },
	{ "write", REQ_OP_WRITE, SZ_4K, 16 },
	{ "write", REQ_OP_WRITE, SZ_64K, 8 },
	{ "write", REQ_OP_WRITE, SZ_1M, 1 },
};

static struct file *files[MAX_DEVICES];
static struct block_device *bdevs[MAX_DEVICES];
static sector_t num_regions;
static u32 *order;		/* of scattered requests: regions */
static unsigned int used;	/* of these */
static unsigned int made;	/* requests, since the file is being read */
static struct bio_vec vecs[MAX_PAGES];
static struct dentry *directory;
static DEFINE_MUTEX(running);

/* The bios of a round, and who waits for them. */
static struct bio *bios;	/* MAX_DEVICES for each in flight */
static struct {
	atomic_t pending;
	atomic_t failed;
	struct completion done;
} round;

static void end_bio(struct bio *bio)
{
	if (unlikely(bio->bi_status))
		atomic_inc(&round.failed);
	if (atomic_dec_and_test(&round.pending))
		complete(&round.done);
}

static void begin_requests(void)
{
	atomic_set(&round.pending, 1);
	reinit_completion(&round.done);
}

static void await_requests(void)
{
	if (!atomic_dec_and_test(&round.pending))
		wait_for_completion_io(&round.done);
}

/* The request with this index among those in flight. */
static void submit_request(unsigned int index, enum req_op op, sector_t sector,
			   unsigned int bytes)
{
	unsigned int copies = op == REQ_OP_READ ? 1 : num_devices;
	unsigned int i;

	made++;
	for (i = 0; i < copies; i++) {
		struct bio *bio = &bios[index * MAX_DEVICES + i];

		bio_init(bio, bdevs[i], vecs, MAX_PAGES, op | REQ_SYNC);
		bio->bi_vcnt = bytes / PAGE_SIZE;
		bio->bi_iter.bi_sector = sector;
		bio->bi_iter.bi_size = bytes;
		bio->bi_end_io = end_bio;
		atomic_inc(&round.pending);
		submit_bio(bio);
	}
}

/*
 * Numbers that are the same in each run: the reading of a leg may depend on the
 * place.
 */
static u32 next_number(u32 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static int report(struct seq_file *seq, const char *name, unsigned int bytes,
		  unsigned int in_flight, unsigned int requests, u64 *times,
		  unsigned int num_times)
{
	u64 clock = clock_reading();
	unsigned int i;

	if (atomic_xchg(&round.failed, 0)) {
		pr_err("%s of %u bytes on %s failed\n", name, bytes, device[0]);
		return -EIO;
	}
	for (i = 0; i < num_times; i++)
		times[i] = div_u64(times[i] - min(times[i], clock) + requests / 2,
				   requests);
	sort(times, num_times, sizeof(*times), compare_times, NULL);
	seq_printf(seq, "%s,%u,%u,%u,%llu,%llu\n", name, bytes, in_flight,
		   requests * num_times, times[0], times[num_times / 2]);
	return 0;
}

/*
 * requests
 */

static u64 time_round(const struct kind *kind, u32 *random)
{
	sector_t sectors[MAX_DEPTH];
	unsigned int i;
	u64 start;

	for (i = 0; i < kind->requests; i++)
		sectors[i] = (next_number(random) % (SPAN_BYTES / kind->bytes)) *
			     (kind->bytes >> SECTOR_SHIFT);
	start = ktime_get_ns();
	for (i = 0; i < kind->requests; i++) {
		begin_requests();
		submit_request(0, kind->op, sectors[i], kind->bytes);
		await_requests();
	}
	return ktime_get_ns() - start;
}

static void write_span(void)
{
	sector_t sector;

	for (sector = 0; sector < SPAN_BYTES >> SECTOR_SHIFT;
	     sector += MAX_BYTES >> SECTOR_SHIFT) {
		begin_requests();
		submit_request(0, REQ_OP_WRITE, sector, MAX_BYTES);
		await_requests();
	}
}

static int measure(struct seq_file *seq, const struct kind *kind, u64 *times)
{
	u32 random = 2463534242u;
	unsigned int i;

	/* What is found out or allocated once is not what a request costs. */
	for (i = 0; i < 4; i++)
		time_round(kind, &random);
	for (i = 0; i < rounds; i++) {
		times[i] = time_round(kind, &random);
		cond_resched();
	}
	return report(seq, kind->name, kind->bytes, 1, kind->requests, times,
		      rounds);
}

static int requests_show(struct seq_file *seq, void *v)
{
	unsigned int i;
	u64 *times;
	int ret = 0;

	times = kvcalloc(rounds, sizeof(*times), GFP_KERNEL);
	if (!times)
		return -ENOMEM;
	mutex_lock(&running);
	made = 0;
	write_span();
	seq_puts(seq, "operation,bytes,in_flight,requests,least_ns,median_ns\n");
	for (i = 0; !ret && i < ARRAY_SIZE(kinds); i++)
		if (!only || only == i + 1)
			ret = measure(seq, &kinds[i], times);
	seq_printf(seq, "made,%u\n", made);
	mutex_unlock(&running);
	kvfree(times);
	return ret;
}

DEFINE_SHOW_ATTRIBUTE(requests);

/*
 * scattered
 */

/* In each region at another place, which is a multiple of 4 KiB. */
static sector_t next_scattered(void)
{
	u32 number = order[used];
	u32 place = number * 2654435761u % (region / SZ_4K);

	used++;
	return ((u64)number * region + (u64)place * SZ_4K) >> SECTOR_SHIFT;
}

static u64 time_scattered(unsigned int requests, bool at_once)
{
	sector_t sectors[MAX_DEPTH];
	struct blk_plug plug;
	unsigned int i;
	u64 start;

	for (i = 0; i < requests; i++)
		sectors[i] = next_scattered();
	start = ktime_get_ns();
	if (at_once) {
		/* As those do who have many requests. */
		begin_requests();
		blk_start_plug(&plug);
		for (i = 0; i < requests; i++)
			submit_request(i, REQ_OP_WRITE, sectors[i], SZ_4K);
		blk_finish_plug(&plug);
		await_requests();
	} else {
		for (i = 0; i < requests; i++) {
			begin_requests();
			submit_request(0, REQ_OP_WRITE, sectors[i], SZ_4K);
			await_requests();
		}
	}
	return ktime_get_ns() - start;
}

static int scatter(struct seq_file *seq, unsigned int requests, bool at_once)
{
	unsigned int num = scattered / 2 / requests, i;
	u64 *times = kvcalloc(num, sizeof(*times), GFP_KERNEL);
	int ret;

	if (!times)
		return -ENOMEM;
	for (i = 0; i < num; i++)
		times[i] = time_scattered(requests, at_once);
	ret = report(seq, "write", SZ_4K, at_once ? requests : 1, requests,
		     times, num);
	kvfree(times);
	return ret;
}

static int scattered_show(struct seq_file *seq, void *v)
{
	int ret = -ENOSPC;

	mutex_lock(&running);
	/* Those that a second reading would want are not clean any more. */
	if (!used) {
		seq_puts(seq, "operation,bytes,in_flight,requests,least_ns,median_ns\n");
		ret = scatter(seq, 16, false);
		if (!ret)
			ret = scatter(seq, depth, true);
	}
	mutex_unlock(&running);
	return ret;
}

DEFINE_SHOW_ATTRIBUTE(scattered);

/*
 * Beginning and end
 */

static int check_parameters(void)
{
	if (!num_devices) {
		pr_err("no device=, what is on it would get lost\n");
		return -EINVAL;
	}
	if (!rounds || rounds > MAX_ROUNDS || !depth || depth > MAX_DEPTH) {
		pr_err("rounds= is from 1 to 256, depth= from 1 to 64\n");
		return -EINVAL;
	}
	if (only > ARRAY_SIZE(kinds)) {
		pr_err("only= is from 0 to %zu\n", ARRAY_SIZE(kinds));
		return -EINVAL;
	}
	if (region < SZ_4K || region % SZ_4K ||
	    scattered / 2 < max(depth, 16u)) {
		pr_err("region= is a multiple of 4096, scattered= at least twice the depth, and 32\n");
		return -EINVAL;
	}
	return 0;
}

static void close_devices(void)
{
	unsigned int i;

	for (i = 0; i < num_devices; i++)
		if (files[i])
			filp_close(files[i], NULL);
}

static int open_devices(void)
{
	unsigned int i;

	num_regions = U64_MAX;
	for (i = 0; i < num_devices; i++) {
		struct file *file = filp_open(device[i],
					      O_RDWR | O_EXCL | O_LARGEFILE, 0);

		if (IS_ERR(file)) {
			pr_err("cannot open %s exclusively: %pe\n", device[i],
			       file);
			return PTR_ERR(file);
		}
		files[i] = file;
		if (!S_ISBLK(file_inode(file)->i_mode)) {
			pr_err("%s is no block device\n", device[i]);
			return -ENOTBLK;
		}
		bdevs[i] = I_BDEV(file->f_mapping->host);
		num_regions = min_t(u64, num_regions,
				    div_u64(bdev_nr_bytes(bdevs[i]), region));
	}
	if (num_regions * region < SPAN_BYTES || num_regions < scattered) {
		pr_err("%s has less than 16 MiB, or than %u regions of %u bytes\n",
		       device[0], scattered, region);
		return -ENOSPC;
	}
	return 0;
}

static int make_order(void)
{
	u32 random = 88675123u;
	u32 i;

	order = kvcalloc(num_regions, sizeof(*order), GFP_KERNEL);
	if (!order)
		return -ENOMEM;
	for (i = 0; i < num_regions; i++) {
		u32 other = next_number(&random) % (i + 1);

		order[i] = order[other];
		order[other] = i;
	}
	return 0;
}

static int make_buffer(void)
{
	unsigned int i;

	bios = kvcalloc(MAX_DEPTH * MAX_DEVICES, sizeof(*bios), GFP_KERNEL);
	if (!bios)
		return -ENOMEM;
	for (i = 0; i < MAX_PAGES; i++) {
		struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);

		if (!page)
			return -ENOMEM;
		bvec_set_page(&vecs[i], page, PAGE_SIZE, 0);
	}
	return 0;
}

static void free_all(void)
{
	unsigned int i;

	for (i = 0; i < MAX_PAGES; i++)
		if (vecs[i].bv_page)
			__free_page(vecs[i].bv_page);
	kvfree(bios);
	kvfree(order);
	close_devices();
}

static int __init dm_replica_bench_init(void)
{
	int ret = check_parameters();

	init_completion(&round.done);
	if (!ret)
		ret = open_devices();
	if (!ret)
		ret = make_order();
	if (!ret)
		ret = make_buffer();
	if (ret) {
		free_all();
		return ret;
	}
	directory = debugfs_create_dir("dm-replica-bench", NULL);
	debugfs_create_file("requests", 0400, directory, NULL, &requests_fops);
	debugfs_create_file("scattered", 0400, directory, NULL, &scattered_fops);
	return 0;
}

static void __exit dm_replica_bench_exit(void)
{
	debugfs_remove(directory);
	free_all();
}

module_init(dm_replica_bench_init);
module_exit(dm_replica_bench_exit);

MODULE_DESCRIPTION("Benchmark of devices that keep data several times");
MODULE_AUTHOR("dm-io maintainers");
MODULE_LICENSE("GPL");
