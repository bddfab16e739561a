// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: a disk in memory for the tests, as strict as hardware
 *
 * And the suite dm_io_strict, which shows that it notices: a disk is given limits
 * that the block layer has not been told of.
 */
#include <kunit/test.h>
#include <linux/blkdev.h>
#include <linux/bvec.h>
#include <linux/highmem.h>
#include <linux/io.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "dm-io-compat.h"
#include "dm-io-test-io.h"
#include "dm-io-test-strict.h"

static atomic_t num_strict_disks;

/*
 * What is wrong with a request
 */

static __printf(2, 3) void complain(struct strict_disk *disk,
				    const char *format, ...)
{
	unsigned long flags;
	va_list args;

	spin_lock_irqsave(&disk->lock, flags);
	if (disk->num_wrong < STRICT_WRONGS) {
		va_start(args, format);
		vsnprintf(disk->wrong[disk->num_wrong], STRICT_SENTENCE, format,
			  args);
		va_end(args);
	}
	disk->num_wrong++;
	spin_unlock_irqrestore(&disk->lock, flags);
}

/* What arrives: a request, or a bio. */
struct arrival {
	blk_opf_t opf;
	sector_t sector;
	u64 bytes;
	unsigned int num_bios;
};

/* The segments of a request, as they come by. */
struct segments {
	unsigned int num;
	phys_addr_t end;		/* of the last one */
};

/* A piece becomes segments in the way of blk_rq_map_sg(). */
static void check_piece(struct strict_disk *disk, struct segments *segments,
			const struct bio_vec *vec)
{
	const struct strict_limits *limits = &disk->limits;
	phys_addr_t addr = page_to_phys(vec->bv_page) + vec->bv_offset;
	unsigned int left = vec->bv_len;

	if (!left)
		complain(disk, "a piece of a request has no length");
	if (segments->num && segments->end != addr &&
	    ((segments->end | addr) & limits->virt_boundary))
		complain(disk, "a gap off the virtual boundary %#lx, from %#llx to %#llx",
			 limits->virt_boundary,
			 (unsigned long long)segments->end,
			 (unsigned long long)addr);
	while (left) {
		unsigned long room = limits->seg_boundary -
				     (limits->seg_boundary & addr);
		unsigned int len = left;

		if (len - 1 > room)
			len = room + 1;
		len = min(len, limits->max_segment_size);
		if ((addr | (len & (limits->block - 1))) &
		    limits->dma_alignment)
			complain(disk, "%u bytes at %#llx are off the DMA alignment %#x",
				 len, (unsigned long long)addr,
				 limits->dma_alignment);
		segments->num++;
		addr += len;
		left -= len;
	}
	segments->end = addr;
}

static void check_sectors(struct strict_disk *disk, const struct arrival *what)
{
	const struct strict_limits *limits = &disk->limits;
	u64 start = (u64)what->sector << SECTOR_SHIFT;
	u64 sectors = what->bytes >> SECTOR_SHIFT;

	if ((start | what->bytes) & (limits->block - 1))
		complain(disk, "sector %llu, %llu bytes: no whole logical blocks of %u bytes",
			 (u64)what->sector, what->bytes, limits->block);
	if (what->sector > disk->num_sectors ||
	    sectors > disk->num_sectors - what->sector)
		complain(disk, "sector %llu, %llu bytes: beyond the end, sector %llu",
			 (u64)what->sector, what->bytes, (u64)disk->num_sectors);
	if (op_is_write(what->opf) && limits->read_only)
		complain(disk, "sector %llu, %llu bytes: a write to a disk that is read-only",
			 (u64)what->sector, what->bytes);
}

static void check_length(struct strict_disk *disk, const struct arrival *what,
			 const char *name, unsigned int max_sectors)
{
	if (what->bytes > (u64)max_sectors << SECTOR_SHIFT)
		complain(disk, "%s of %llu bytes, which is more than %u sectors",
			 name, what->bytes, max_sectors);
}

static void __maybe_unused
check_atomic(struct strict_disk *disk, const struct arrival *what)
{
	const struct strict_limits *limits = &disk->limits;
	u64 start = (u64)what->sector << SECTOR_SHIFT;

	if (what->bytes < limits->atomic_min ||
	    what->bytes > limits->atomic_max ||
	    !is_power_of_2(what->bytes) || (start & (what->bytes - 1)))
		complain(disk, "sector %llu, %llu bytes: cannot be written atomically",
			 (u64)what->sector, what->bytes);
	if (limits->atomic_boundary &&
	    start / limits->atomic_boundary !=
	    (start + what->bytes - 1) / limits->atomic_boundary)
		complain(disk, "sector %llu, %llu bytes: atomic across %u bytes",
			 (u64)what->sector, what->bytes, limits->atomic_boundary);
}

static void check_chunk(struct strict_disk *disk, const struct arrival *what)
{
	unsigned int chunk = disk->limits.chunk_sectors;
	sector_t last = what->sector + (what->bytes >> SECTOR_SHIFT) - 1;

	if (chunk && what->sector / chunk != last / chunk)
		complain(disk, "sector %llu, %llu bytes: across a boundary of %u sectors",
			 (u64)what->sector, what->bytes, chunk);
}

/*
 * Before the block layer knew atomic writes, it merged erases until they had as many
 * sectors as a discard may have.
 */
static unsigned int erase_limit(const struct strict_disk *disk)
{
#ifndef REQ_ATOMIC
	if (!disk->bio_based)
		return max(disk->limits.erase_sectors,
			   disk->limits.discard_sectors);
#endif
	return disk->limits.erase_sectors;
}

/* All but the segments. False if the disk does not know the operation. */
static bool check_arrival(struct strict_disk *disk, const struct arrival *what)
{
	const struct strict_limits *limits = &disk->limits;

	if (!what->bytes) {
		if (op_is_write(what->opf) && !limits->cache)
			complain(disk, "a flush of a disk without a cache");
		return true;
	}
	check_sectors(disk, what);

	switch ((__force enum req_op)(what->opf & REQ_OP_MASK)) {
	case REQ_OP_READ:
	case REQ_OP_WRITE:
		if (what->opf & REQ_FUA && !limits->fua && !disk->bio_based)
			complain(disk, "FUA on a disk that does not have it");
		return true;
	case REQ_OP_DISCARD:
		check_length(disk, what, "a discard", limits->discard_sectors);
		return true;
	case REQ_OP_SECURE_ERASE:
		check_length(disk, what, "an erase", erase_limit(disk));
		return true;
	case REQ_OP_WRITE_ZEROES:
		check_length(disk, what, "zeroes", limits->zeroes_sectors);
		return true;
	default:
		complain(disk, "unknown operation %u",
			 (__force unsigned int)what->opf & 0xff);
		return false;
	}
}

/* A write that is to be on the medium by itself, or with the next flush. */
static void count_arrival(struct strict_disk *disk, const struct arrival *what)
{
	bool data = op_is_write(what->opf) && what->bytes;
	sector_t end = what->sector + (what->bytes >> SECTOR_SHIFT);
	unsigned long flags;

	spin_lock_irqsave(&disk->lock, flags);
	disk->num_requests++;
	disk->any_opf |= what->opf;
	if (what->bytes)
		disk->all_opf &= what->opf;
	if (!what->bytes || what->opf & REQ_PREFLUSH) {
		disk->num_flushes++;
		disk->num_unflushed = 0;
	}
	if (data) {
		disk->num_writes += what->num_bios;
		if (what->opf & REQ_FUA)
			disk->num_fua += what->num_bios;
		else
			disk->num_unflushed += what->num_bios;
#ifdef REQ_ATOMIC
		if (what->opf & REQ_ATOMIC)
			disk->num_atomic += what->num_bios;
#endif
		disk->written_from = min(disk->written_from, what->sector);
		disk->written_to = max(disk->written_to, end);
		if (disk->num_ranges < STRICT_RANGES)
			disk->ranges[disk->num_ranges] = (struct strict_range) {
				.from = what->sector,
				.to = end,
			};
		disk->num_ranges++;
	}
	spin_unlock_irqrestore(&disk->lock, flags);
}

static bool has_segments(blk_opf_t opf)
{
	return (opf & REQ_OP_MASK) == REQ_OP_READ ||
	       (opf & REQ_OP_MASK) == REQ_OP_WRITE;
}

static void check_request(struct strict_disk *disk, struct request *rq)
{
	const struct strict_limits *limits = &disk->limits;
	struct arrival what = { .opf = rq->cmd_flags };
	struct segments segments = { };
	struct req_iterator iter;
	struct bio_vec vec;
	struct bio *bio;

	if (req_op(rq) != REQ_OP_FLUSH) {
		what.sector = blk_rq_pos(rq);
		what.bytes = blk_rq_bytes(rq);
	}
	__rq_for_each_bio(bio, rq)
		what.num_bios++;
	if (!what.bytes)
		what.opf |= REQ_OP_WRITE;
	count_arrival(disk, &what);
	if (!what.bytes) {
		check_arrival(disk, &what);
		return;
	}
	if (!check_arrival(disk, &what) || !has_segments(what.opf))
		return;

	rq_for_each_bvec(vec, rq, iter)
		check_piece(disk, &segments, &vec);
	__rq_for_each_bio(bio, rq)
		if (bio->bi_iter.bi_size & (limits->block - 1))
			complain(disk, "a bio of %u bytes: no whole logical blocks of %u bytes",
				 bio->bi_iter.bi_size, limits->block);
	if (segments.num > limits->max_segments)
		complain(disk, "%u segments, which is more than %u",
			 segments.num, limits->max_segments);
	if (segments.num > rq->nr_phys_segments)
		complain(disk, "%u segments, of which the driver is told %u",
			 segments.num, rq->nr_phys_segments);
#ifdef REQ_ATOMIC
	if (what.opf & REQ_ATOMIC) {
		__rq_for_each_bio(bio, rq) {
			what.sector = bio->bi_iter.bi_sector;
			what.bytes = bio->bi_iter.bi_size;
			check_atomic(disk, &what);
		}
		return;
	}
#endif
	check_length(disk, &what, "a request", limits->max_sectors);
	check_chunk(disk, &what);
}

/*
 * Drivers that take bios with the default DMA alignment take it for granted that what
 * they find within a page is made of whole logical blocks.
 */
static void check_bio(struct strict_disk *disk, struct bio *bio)
{
	const struct strict_limits *limits = &disk->limits;
	struct arrival what = {
		.opf = bio->bi_opf,
		.sector = bio->bi_iter.bi_sector,
		.bytes = bio->bi_iter.bi_size,
		.num_bios = 1,
	};
	unsigned int unit = min_t(unsigned int, limits->block, PAGE_SIZE);
	struct bvec_iter iter;
	struct bio_vec vec;

	count_arrival(disk, &what);
	if (!check_arrival(disk, &what) || !what.bytes ||
	    !has_segments(what.opf))
		return;
	bio_for_each_segment(vec, bio, iter) {
		if ((vec.bv_offset | vec.bv_len) & limits->dma_alignment)
			complain(disk, "%u bytes at byte %u of a page: off DMA alignment %#x",
				 vec.bv_len, vec.bv_offset,
				 limits->dma_alignment);
		else if (limits->dma_alignment >= SECTOR_SIZE - 1 &&
			 vec.bv_len & (unit - 1))
			complain(disk, "%u bytes at byte %u of a page: not whole blocks of %u",
				 vec.bv_len, vec.bv_offset, limits->block);
	}
#ifdef REQ_ATOMIC
	if (what.opf & REQ_ATOMIC)
		check_atomic(disk, &what);
#endif
}

/*
 * Data moves, and things end
 */

/* The first bad sectors that lie in these, or NULL. */
static const struct strict_bad *find_bad(const struct strict_disk *disk,
					 sector_t sector, sector_t count)
{
	const struct strict_bad *first = NULL;
	unsigned int i;

	for (i = 0; i < STRICT_BADS; i++) {
		const struct strict_bad *bad = &disk->bad[i];

		if (!bad->count || bad->sector >= sector + count ||
		    bad->sector + bad->count <= sector)
			continue;
		if (!first || bad->sector < first->sector)
			first = bad;
	}
	return first;
}

/* Of @bio, as far as it is within the first @left bytes; what is left of these. */
static u64 move_data(struct strict_disk *disk, struct bio *bio, u64 left)
{
	u64 start = (u64)bio->bi_iter.bi_sector << SECTOR_SHIFT;
	u32 bytes = min_t(u64, bio->bi_iter.bi_size, left);
	u8 *data = disk->data + start;
	struct bvec_iter iter;
	struct bio_vec vec;

	left -= bytes;
	if (start > disk->bytes || bytes > disk->bytes - start)
		return left;
	switch (bio_op(bio)) {
	case REQ_OP_DISCARD:
		memset(data, TEST_DISK_DISCARDED, bytes);
		return left;
	case REQ_OP_SECURE_ERASE:
		memset(data, TEST_DISK_ERASED, bytes);
		return left;
	case REQ_OP_WRITE_ZEROES:
		memset(data, 0, bytes);
		return left;
	case REQ_OP_READ:
	case REQ_OP_WRITE:
		break;
	default:
		return left;
	}
	bio_for_each_segment(vec, bio, iter) {
		vec.bv_len = min(vec.bv_len, bytes);
		if (!vec.bv_len)
			break;
		if (op_is_write(bio->bi_opf))
			memcpy_from_bvec(data, &vec);
		else
			memcpy_to_bvec(&vec, data);
		data += vec.bv_len;
		bytes -= vec.bv_len;
	}
	return left;
}

static void scribble(struct bio *bio)
{
	struct bvec_iter iter;
	struct bio_vec vec;

	if (bio_op(bio) != REQ_OP_READ)
		return;
	bio_for_each_segment(vec, bio, iter) {
		void *to = bvec_kmap_local(&vec);

		memset(to, STRICT_SCRIBBLE, vec.bv_len);
		kunmap_local(to);
	}
}

static void end_request(struct strict_disk *disk, struct request *rq,
			blk_status_t status)
{
	const struct strict_bad *bad = NULL;
	u64 left = U64_MAX;
	struct bio *bio;
	sector_t good;

	if (req_op(rq) == REQ_OP_FLUSH) {
		blk_mq_end_request(rq, status ?: disk->flush_status);
		return;
	}
	if (!status)
		bad = find_bad(disk, blk_rq_pos(rq), blk_rq_sectors(rq));
	if (!status && !bad) {
		__rq_for_each_bio(bio, rq)
			left = move_data(disk, bio, left);
		blk_mq_end_request(rq, BLK_STS_OK);
		return;
	}
	if (bad)
		status = bad->status;

	/* As SCSI does it: what is before the bad sector has succeeded. */
	if (bad && disk->partial && has_segments(rq->cmd_flags) &&
	    bad->sector > blk_rq_pos(rq)) {
		good = round_down(bad->sector - blk_rq_pos(rq),
				  disk->limits.block >> SECTOR_SHIFT);
		left = good << SECTOR_SHIFT;
		__rq_for_each_bio(bio, rq)
			left = move_data(disk, bio, left);
		if (good)
			blk_update_request(rq, BLK_STS_OK, good << SECTOR_SHIFT);
	}
	__rq_for_each_bio(bio, rq)
		scribble(bio);
	blk_mq_end_request(rq, status);
}

static void end_bio(struct strict_disk *disk, struct bio *bio,
		    blk_status_t status)
{
	const struct strict_bad *bad = NULL;

	if (!status && (!bio->bi_iter.bi_size || bio->bi_opf & REQ_PREFLUSH))
		status = disk->flush_status;
	if (!status && bio->bi_iter.bi_size)
		bad = find_bad(disk, bio->bi_iter.bi_sector, bio_sectors(bio));
	if (bad)
		status = bad->status;
	if (status)
		scribble(bio);
	else if (bio->bi_iter.bi_size)
		move_data(disk, bio, U64_MAX);
	bio->bi_status = status;
	bio_endio(bio);
}

static void end_waiting(struct strict_disk *disk, blk_status_t status)
{
	struct bio_list bios = BIO_EMPTY_LIST;
	struct request *rq, *next;
	unsigned long flags;
	LIST_HEAD(requests);
	struct bio *bio;

	spin_lock_irqsave(&disk->lock, flags);
	list_splice_init(&disk->waiting, &requests);
	while ((bio = bio_list_pop(&disk->waiting_bios))) {
		if (disk->backwards)
			bio_list_add_head(&bios, bio);
		else
			bio_list_add(&bios, bio);
	}
	spin_unlock_irqrestore(&disk->lock, flags);

	list_for_each_entry_safe(rq, next, &requests, queuelist) {
		list_del_init(&rq->queuelist);
		end_request(disk, rq, status);
	}
	while ((bio = bio_list_pop(&bios)))
		end_bio(disk, bio, status);
}

static void end_in_worker(struct work_struct *work)
{
	end_waiting(container_of(work, struct strict_disk, work), BLK_STS_OK);
}

static void end_in_softirq(struct tasklet_struct *tasklet)
{
	end_waiting(container_of(tasklet, struct strict_disk, tasklet),
		    BLK_STS_OK);
}

static void end_in_hardirq(struct irq_work *work)
{
	end_waiting(container_of(work, struct strict_disk, irq_work),
		    BLK_STS_OK);
}

/* Have what waits end, unless that is for the test to tell. */
static void end_later(struct strict_disk *disk)
{
	switch (disk->end) {
	case END_IN_WORKER:
		queue_work(system_unbound_wq, &disk->work);
		break;
	case END_IN_SOFTIRQ:
		tasklet_schedule(&disk->tasklet);
		break;
	case END_IN_HARDIRQ:
		irq_work_queue(&disk->irq_work);
		break;
	default:
		break;
	}
}

static blk_status_t strict_queue_rq(struct blk_mq_hw_ctx *hctx,
				    const struct blk_mq_queue_data *data)
{
	struct strict_disk *disk = hctx->queue->queuedata;
	struct request *rq = data->rq;
	unsigned long flags;

	blk_mq_start_request(rq);
	rq->rq_flags |= RQF_QUIET;
	check_request(disk, rq);
	if (disk->end == END_AT_ONCE) {
		end_request(disk, rq, BLK_STS_OK);
		return BLK_STS_OK;
	}
	spin_lock_irqsave(&disk->lock, flags);
	if (disk->backwards)
		list_add(&rq->queuelist, &disk->waiting);
	else
		list_add_tail(&rq->queuelist, &disk->waiting);
	spin_unlock_irqrestore(&disk->lock, flags);
	end_later(disk);
	return BLK_STS_OK;
}

static const struct blk_mq_ops strict_mq_ops = {
	.queue_rq = strict_queue_rq,
};

static const struct block_device_operations strict_mq_fops = {
	.owner = THIS_MODULE,
};

static void strict_submit_bio(struct bio *bio)
{
	struct strict_disk *disk = bio->bi_bdev->bd_disk->private_data;
	unsigned long flags;

	check_bio(disk, bio);
	if (disk->end == END_AT_ONCE) {
		end_bio(disk, bio, BLK_STS_OK);
		return;
	}
	spin_lock_irqsave(&disk->lock, flags);
	bio_list_add(&disk->waiting_bios, bio);
	spin_unlock_irqrestore(&disk->lock, flags);
	end_later(disk);
}

static const struct block_device_operations strict_bio_fops = {
	.owner = THIS_MODULE,
	.submit_bio = strict_submit_bio,
};

/*
 * The disk
 */

static struct gendisk *alloc_strict_gendisk(struct strict_disk *disk)
{
	if (disk->bio_based)
		return alloc_cached_bio_disk();

	disk->tags.ops = &strict_mq_ops;
	disk->tags.nr_hw_queues = 1;
	disk->tags.queue_depth = 64;
	disk->tags.numa_node = NUMA_NO_NODE;
	disk->tags.flags = BLK_MQ_F_NO_SCHED_BY_DEFAULT;
	if (blk_mq_alloc_tag_set(&disk->tags))
		return NULL;
	return alloc_mq_disk(&disk->tags, disk);
}

static void free_strict_disk(struct strict_disk *disk)
{
	if (disk->tags.tags)
		blk_mq_free_tag_set(&disk->tags);
	vfree(disk->data);
	kfree(disk);
}

struct strict_disk *strict_disk_create(bool bio_based, size_t bytes)
{
	struct strict_disk *disk = kzalloc(sizeof(*disk), GFP_KERNEL);
	struct gendisk *gendisk;

	if (!disk)
		return NULL;
	disk->bio_based = bio_based;
	spin_lock_init(&disk->lock);
	INIT_LIST_HEAD(&disk->waiting);
	INIT_WORK(&disk->work, end_in_worker);
	tasklet_setup(&disk->tasklet, end_in_softirq);
	disk->irq_work = IRQ_WORK_INIT(end_in_hardirq);
	disk->bytes = bytes;
	disk->data = vmalloc(bytes);
	if (!disk->data)
		goto free;
	memset(disk->data, TEST_DISK_FILLER, bytes);

	gendisk = alloc_strict_gendisk(disk);
	if (!gendisk)
		goto free;
	gendisk->fops = bio_based ? &strict_bio_fops : &strict_mq_fops;
	gendisk->private_data = disk;
	gendisk->flags |= GENHD_FL_NO_PART;
	snprintf(gendisk->disk_name, DISK_NAME_LEN, "dmiostrict%d",
		 atomic_inc_return(&num_strict_disks));
	if (add_disk(gendisk)) {
		put_disk(gendisk);
		goto free;
	}
	disk->disk = gendisk;
	disk->bdev = gendisk->part0;
	strict_disk_begin(disk);
	return disk;

free:
	free_strict_disk(disk);
	return NULL;
}

void strict_disk_destroy(struct strict_disk *disk)
{
	strict_disk_calm_down(disk);
	del_gendisk(disk->disk);
	put_disk(disk->disk);
	free_strict_disk(disk);
}

static void fill_in_defaults(struct strict_limits *limits)
{
	limits->block = limits->block ?: SECTOR_SIZE;
	limits->dma_alignment = limits->dma_alignment ?: SECTOR_SIZE - 1;
	limits->max_segments = limits->max_segments ?: BLK_MAX_SEGMENTS;
	limits->max_segment_size = limits->max_segment_size ?:
		limits->virt_boundary ? UINT_MAX : SZ_64K;
	limits->seg_boundary = limits->seg_boundary ?: U32_MAX;
	limits->max_sectors = limits->max_sectors ?: 255;
	limits->max_sectors = round_down(limits->max_sectors,
					 limits->block >> SECTOR_SHIFT);
	limits->fua &= limits->cache;
}

static void copy_limits(struct queue_limits *to, const void *data)
{
	const struct strict_limits *from = data;

	to->logical_block_size = from->block;
	to->physical_block_size = from->block;
	to->io_min = from->block;
	to->dma_alignment = from->dma_alignment;
	to->virt_boundary_mask = from->virt_boundary;
	to->max_segments = from->max_segments;
	to->max_segment_size = from->max_segment_size;
	to->seg_boundary_mask = from->seg_boundary;
	to->max_hw_sectors = from->max_sectors;
	to->chunk_sectors = from->chunk_sectors;
	to->max_hw_discard_sectors = from->discard_sectors;
	to->discard_granularity = from->discard_granularity;
	to->discard_alignment = from->discard_alignment;
	to->max_secure_erase_sectors = from->erase_sectors;
	to->max_write_zeroes_sectors = from->zeroes_sectors;
	set_atomic_hw_limits(to, from->atomic_min, from->atomic_max,
			     from->atomic_boundary);
}

int strict_disk_limit(struct strict_disk *disk,
		      const struct strict_limits *limits, sector_t num_sectors)
{
	int error;

	if (num_sectors > disk->bytes >> SECTOR_SHIFT)
		return -EINVAL;
	disk->limits = *limits;
	fill_in_defaults(&disk->limits);
	error = change_limits(disk->disk, limits->cache, limits->fua,
			      copy_limits, &disk->limits);
	if (error)
		return error;
	disk->num_sectors = num_sectors;
	set_capacity(disk->disk, num_sectors);
	/* set_disk_ro() would tell user space. */
	if (limits->read_only)
		set_bit(GD_READ_ONLY, &disk->disk->state);
	else
		clear_bit(GD_READ_ONLY, &disk->disk->state);

	disk->end = END_AT_ONCE;
	disk->backwards = false;
	disk->partial = false;
	memset(disk->bad, 0, sizeof(disk->bad));
	disk->flush_status = BLK_STS_OK;
	strict_disk_begin(disk);
	return 0;
}

void strict_disk_begin(struct strict_disk *disk)
{
	unsigned long flags;

	spin_lock_irqsave(&disk->lock, flags);
	disk->num_requests = 0;
	disk->num_flushes = 0;
	disk->num_writes = 0;
	disk->num_fua = 0;
	disk->num_atomic = 0;
	disk->num_unflushed = 0;
	disk->any_opf = 0;
	disk->all_opf = ~(__force blk_opf_t)0;
	disk->written_from = ~(sector_t)0;
	disk->written_to = 0;
	disk->num_ranges = 0;
	spin_unlock_irqrestore(&disk->lock, flags);
}

void strict_disk_release(struct strict_disk *disk)
{
	end_waiting(disk, BLK_STS_OK);
}

void strict_disk_calm_down(struct strict_disk *disk)
{
	irq_work_sync(&disk->irq_work);
	tasklet_kill(&disk->tasklet);
	flush_work(&disk->work);
	end_waiting(disk, BLK_STS_IOERR);
}

bool strict_disk_ok(struct kunit *test, struct strict_disk *disk)
{
	unsigned int i, num = disk->num_wrong;

	for (i = 0; i < min_t(unsigned int, num, STRICT_WRONGS); i++)
		KUNIT_FAIL(test, "%s: %s", disk->disk->disk_name,
			   disk->wrong[i]);
	if (num > STRICT_WRONGS)
		KUNIT_FAIL(test, "%s: and %u things more", disk->disk->disk_name,
			   num - STRICT_WRONGS);
	disk->num_wrong = 0;
	return !num;
}

static void end_strict_disk(void *data)
{
	struct strict_disk *disk = data;

	strict_disk_calm_down(disk);
	strict_disk_ok(disk->test, disk);
	strict_disk_destroy(disk);
}

struct strict_disk *new_strict_disk(struct kunit *test, bool bio_based,
				    const struct strict_limits *limits,
				    sector_t num_sectors)
{
	struct strict_disk *disk;

	disk = strict_disk_create(bio_based, num_sectors << SECTOR_SHIFT);
	KUNIT_ASSERT_NOT_NULL(test, disk);
	disk->test = test;
	defer(test, end_strict_disk, disk);
	KUNIT_ASSERT_EQ(test, strict_disk_limit(disk, limits, num_sectors), 0);
	return disk;
}

/*
 * Suite dm_io_strict: the disk notices
 */

struct lapse {
	const char *name;
	bool bio_based;
	struct strict_limits told;	/* what the block layer is told */
	struct strict_limits meant;	/* what the disk goes by */
	blk_opf_t opf;
	sector_t sector;
	unsigned int num_pieces;
	unsigned int len;		/* of each piece */
	unsigned int stride;		/* from one to the next in memory */
	unsigned int offset;		/* of the first one */
	const char *sentence;		/* a part of what the disk says; NULL: nothing */
};

#define LOOSE { .dma_alignment = 3, .max_segments = 64, .max_sectors = 1024, \
		.cache = true, .fua = true, .discard_sectors = 1024,	     \
		.zeroes_sectors = 1024, .erase_sectors = 1024,		     \
		.discard_granularity = 512 }

static const struct lapse lapses[] = {
	{ "nothing wrong", false, LOOSE, LOOSE, REQ_OP_WRITE, 8, 4, 1024, 2048, 4,
	  NULL },
	{ "DMA alignment of an address", false, LOOSE,
	  { .dma_alignment = 7, .max_sectors = 1024 },
	  REQ_OP_READ, 8, 1, 4096, 4096, 4, "DMA alignment" },
	{ "DMA alignment of a length", false, LOOSE,
	  { .dma_alignment = 63, .max_sectors = 1024 },
	  REQ_OP_READ, 8, 16, 32, 64, 0, "DMA alignment" },
	{ "virtual boundary", false, LOOSE,
	  { .dma_alignment = 3, .max_sectors = 1024, .virt_boundary = SZ_4K - 1 },
	  REQ_OP_WRITE, 8, 2, 2048, 4096, 0, "virtual boundary" },
	{ "a block across the virtual boundary", false, LOOSE,
	  { .dma_alignment = 3, .max_sectors = 1024, .virt_boundary = SZ_4K - 1 },
	  REQ_OP_WRITE, 8, 2, 4096, 4096, 2048, NULL },
	{ "segments", false, LOOSE,
	  { .dma_alignment = 3, .max_sectors = 1024, .max_segments = 3 },
	  REQ_OP_WRITE, 8, 4, 512, 1024, 0, "4 segments" },
	{ "segments by their size", false, LOOSE,
	  { .dma_alignment = 3, .max_sectors = 1024, .max_segments = 3,
	    .max_segment_size = 1024 },
	  REQ_OP_WRITE, 8, 1, 4096, 4096, 0, "4 segments" },
	{ "segments by their boundary", false, LOOSE,
	  { .dma_alignment = 3, .max_sectors = 1024, .max_segments = 1,
	    .seg_boundary = 2047 },
	  REQ_OP_WRITE, 8, 1, 2048, 2048, 512, "2 segments" },
	{ "blocks", false, LOOSE,
	  { .block = 4096, .dma_alignment = 3, .max_sectors = 1024 },
	  REQ_OP_WRITE, 1, 1, 4096, 4096, 0, "no whole logical blocks" },
	{ "length", false, LOOSE,
	  { .dma_alignment = 3, .max_sectors = 8 },
	  REQ_OP_WRITE, 8, 2, 4096, 8192, 0, "more than 8 sectors" },
	{ "chunks", false, LOOSE,
	  { .dma_alignment = 3, .max_sectors = 1024, .chunk_sectors = 16 },
	  REQ_OP_WRITE, 8, 3, 4096, 8192, 0, "boundary of 16 sectors" },
	{ "read-only", false, LOOSE,
	  { .dma_alignment = 3, .max_sectors = 1024, .read_only = true },
	  REQ_OP_WRITE, 8, 1, 4096, 4096, 0, "read-only" },
	{ "FUA", false, LOOSE,
	  { .dma_alignment = 3, .max_sectors = 1024, .cache = true },
	  REQ_OP_WRITE | REQ_FUA, 8, 1, 4096, 4096, 0, "FUA" },
	{ "flush", false, LOOSE,
	  { .dma_alignment = 3, .max_sectors = 1024 },
	  REQ_OP_WRITE | REQ_PREFLUSH, 0, 0, 0, 0, 0, "flush" },
	{ "a bio's DMA alignment", true, LOOSE,
	  { .dma_alignment = 7, .max_sectors = 1024 },
	  REQ_OP_READ, 8, 1, 4096, 4096, 4, "off DMA alignment" },
	{ "a bio's blocks", true, LOOSE,
	  { .block = 2048, .max_sectors = 1024 },
	  REQ_OP_READ, 8, 4, 1024, 2048, 0, "1024 bytes at byte 0 of a page" },
	{ "a bio's blocks across pages", true, LOOSE,
	  { .block = 4096, .max_sectors = 1024 },
	  REQ_OP_READ, 8, 2, 4096, 4096, 512, "not whole blocks" },
	{ "nothing wrong with a bio", true, LOOSE,
	  { .block = 4096, .dma_alignment = 3, .max_sectors = 1024 },
	  REQ_OP_READ, 8, 4, 1024, 2048, 4, NULL },
};

static void describe_lapse(const struct lapse *lapse, char *desc)
{
	strscpy(desc, lapse->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(lapse, lapses, describe_lapse);

/* A block of real pages that are contiguous, so that strides are what they say. */
static void free_lapse_pages(void *data)
{
	free_pages((unsigned long)data, get_order(SZ_64K));
}

static int submit_pieces(struct strict_disk *disk, const struct lapse *lapse,
			 u8 *data, struct bio_vec *table)
{
	struct bio bio;
	unsigned int i;
	int error;

	for (i = 0; i < lapse->num_pieces; i++) {
		u8 *piece = data + lapse->offset + i * lapse->stride;

		bvec_set_page(&table[i], virt_to_page(piece), lapse->len,
			      offset_in_page(piece));
	}
	bio_init(&bio, disk->bdev, table, lapse->num_pieces, lapse->opf);
	bio.bi_vcnt = lapse->num_pieces;
	bio.bi_iter.bi_size = lapse->num_pieces * lapse->len;
	bio.bi_iter.bi_sector = lapse->sector;
	error = submit_bio_wait(&bio);
	bio_uninit(&bio);
	return error;
}

static void strict_disk_notices(struct kunit *test)
{
	const struct lapse *lapse = test->param_value;
	struct strict_disk *disk;
	struct bio_vec *table;
	u8 *data;

	disk = new_strict_disk(test, lapse->bio_based, &lapse->told, DISK_SECTORS);
	table = test_alloc(test, 256 * sizeof(*table));
	data = (u8 *)__get_free_pages(GFP_KERNEL, get_order(SZ_64K));
	KUNIT_ASSERT_NOT_NULL(test, data);
	defer(test, free_lapse_pages, data);

	disk->limits = lapse->meant;
	fill_in_defaults(&disk->limits);
	KUNIT_EXPECT_EQ(test, submit_pieces(disk, lapse, data, table), 0);
	KUNIT_EXPECT_EQ(test, !disk->num_wrong, !lapse->sentence);
	if (disk->num_wrong && lapse->sentence)
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(disk->wrong[0],
						       lapse->sentence),
					  "%s", disk->wrong[0]);
	if (lapse->sentence)
		disk->num_wrong = 0;
}

/* And moves data, ends it where it is told to, and fails what it is told to. */
static void strict_disk_works(struct kunit *test, bool bio_based,
			      enum test_disk_end end)
{
	static const struct strict_limits limits = LOOSE;
	struct lapse lapse = {
		.opf = REQ_OP_WRITE,
		.sector = 8,
		.num_pieces = 3,
		.len = 4096,
		.stride = 8192,
		.offset = 4,
	};
	struct strict_disk *disk;
	struct bio_vec *table;
	unsigned int i;
	u8 *data;

	disk = new_strict_disk(test, bio_based, &limits, DISK_SECTORS);
	table = test_alloc(test, 256 * sizeof(*table));
	data = (u8 *)__get_free_pages(GFP_KERNEL, get_order(SZ_64K));
	KUNIT_ASSERT_NOT_NULL(test, data);
	defer(test, free_lapse_pages, data);
	disk->end = end;

	memcpy(data, bytes_of(1), SZ_64K);
	KUNIT_EXPECT_EQ(test, submit_pieces(disk, &lapse, data, table), 0);
	for (i = 0; i < 3; i++)
		same_bytes(test, disk->data + 4096 + i * 4096,
			   bytes_of(1) + 4 + i * 8192, 4096, "on the disk");
	all_bytes(test, disk->data, TEST_DISK_FILLER, 4096, "before it");
	all_bytes(test, disk->data + 4 * 4096, TEST_DISK_FILLER, 4096, "behind it");

	memset(data, GUARD, SZ_64K);
	lapse.opf = REQ_OP_READ;
	KUNIT_EXPECT_EQ(test, submit_pieces(disk, &lapse, data, table), 0);
	for (i = 0; i < 3; i++)
		same_bytes(test, data + 4 + i * 8192,
			   bytes_of(1) + 4 + i * 8192, 4096, "read");

	disk->bad[2] = (struct strict_bad) { 17, 1, BLK_STS_MEDIUM };
	disk->partial = true;
	memset(data, GUARD, SZ_64K);
	KUNIT_EXPECT_EQ(test, submit_pieces(disk, &lapse, data, table), -ENODATA);
	if (!bio_based)
		same_bytes(test, data + 4, bytes_of(1) + 4, 4096, "read");
	all_bytes(test, data + 4 + 2 * 8192, STRICT_SCRIBBLE, 4096, "not read");
}

struct strict_way {
	bool bio_based;
	enum test_disk_end end;
	const char *name;
};

static const struct strict_way strict_ways[] = {
	{ false, END_AT_ONCE, "requests that end at once" },
	{ false, END_IN_WORKER, "requests that end in a worker" },
	{ false, END_IN_SOFTIRQ, "requests that end in a softirq" },
	{ false, END_IN_HARDIRQ, "requests that end in an interrupt" },
	{ true, END_AT_ONCE, "bios that end at once" },
	{ true, END_IN_WORKER, "bios that end in a worker" },
	{ true, END_IN_SOFTIRQ, "bios that end in a softirq" },
	{ true, END_IN_HARDIRQ, "bios that end in an interrupt" },
};

static void describe_strict_way(const struct strict_way *way, char *desc)
{
	strscpy(desc, way->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(strict_way, strict_ways, describe_strict_way);

static void strict_disk_moves_data(struct kunit *test)
{
	const struct strict_way *way = test->param_value;

	strict_disk_works(test, way->bio_based, way->end);
}

static struct kunit_case strict_cases[] = {
	KUNIT_CASE_PARAM(strict_disk_notices, lapse_gen_params),
	KUNIT_CASE_PARAM(strict_disk_moves_data, strict_way_gen_params),
	{ }
};

static struct kunit_suite strict_suite = {
	.name = "dm_io_strict",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = strict_cases,
};

kunit_test_suites(&strict_suite);
