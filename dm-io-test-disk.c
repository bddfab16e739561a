// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: disks for the tests of the library
 *
 * A bio-based disk in memory that records what arrives, and fails, delays or
 * reorders it as a test wants. While a bio waits, its data has not moved: a
 * buffer that its owner takes back too early shows. And a blk-mq disk that sees
 * which requests come together.
 */
#include <linux/blkdev.h>
#include <linux/bvec.h>
#include <linux/highmem.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "dm-io-compat.h"
#include "dm-io-test-disk.h"

static atomic_t num_disks;

/*
 * The log
 */

/* With the disk's lock held. */
static struct test_event *new_event(struct test_log *log,
				    enum test_event_kind kind)
{
	struct test_event *event;

	if (log->num == log->max) {
		log->full = true;
		return NULL;
	}
	event = &log->events[log->num++];
	*event = (struct test_event) { .kind = kind };
	return event;
}

static u8 *copy_data(struct test_log *log, const struct bio *bio)
{
	u8 *data = log->data + log->used, *to = data;
	struct bvec_iter iter;
	struct bio_vec vec;

	if (bio->bi_iter.bi_size > log->size - log->used) {
		log->full = true;
		return NULL;
	}
	bio_for_each_segment(vec, bio, iter) {
		memcpy_from_bvec(to, &vec);
		to += vec.bv_len;
	}
	log->used += bio->bi_iter.bi_size;
	return data;
}

static void log_arrival(struct test_log *log, const struct bio *bio)
{
	enum test_event_kind kind = EVENT_WRITE;
	struct test_event *event;

	if (!op_is_write(bio->bi_opf))
		return;
	if (bio_op(bio) == REQ_OP_DISCARD)
		kind = EVENT_DISCARD;
	else if (!bio->bi_iter.bi_size)
		kind = EVENT_FLUSH;
	event = new_event(log, kind);
	if (!event)
		return;
	event->preflush = bio->bi_opf & REQ_PREFLUSH;
	event->fua = bio->bi_opf & REQ_FUA;
	event->sector = bio->bi_iter.bi_sector;
	event->bytes = bio->bi_iter.bi_size;
	event->bio = bio;
	if (kind == EVENT_WRITE)
		event->data = copy_data(log, bio);
}

static void log_end(struct test_log *log, const struct bio *bio)
{
	unsigned int i = log->num;
	struct test_event *event;

	while (i--) {
		if (log->events[i].bio != bio || log->events[i].ended)
			continue;
		log->events[i].ended = true;
		log->events[i].failed = bio->bi_status;
		event = new_event(log, EVENT_END);
		if (event)
			event->of = i;
		return;
	}
}

void test_disk_mark(struct test_disk *disk, u64 mark)
{
	struct test_event *event;
	unsigned long flags;

	spin_lock_irqsave(&disk->lock, flags);
	event = new_event(disk->log, EVENT_MARK);
	if (event)
		event->mark = mark;
	spin_unlock_irqrestore(&disk->lock, flags);
}

struct test_log *test_log_create(unsigned int max_events, size_t bytes)
{
	struct test_log *log = kzalloc(sizeof(*log), GFP_KERNEL);

	if (!log)
		return NULL;
	log->events = vzalloc(array_size(max_events, sizeof(*log->events)));
	log->max = max_events;
	log->data = vmalloc(bytes);
	log->size = bytes;
	if (!log->events || !log->data) {
		test_log_destroy(log);
		return NULL;
	}
	return log;
}

void test_log_destroy(struct test_log *log)
{
	vfree(log->events);
	vfree(log->data);
	kfree(log);
}

/*
 * The disk
 */

static blk_status_t bad_status(const struct test_disk *disk)
{
	return disk->bad_status ?: BLK_STS_IOERR;
}

static void record_bio(struct test_disk *disk, struct bio *bio)
{
	unsigned long flags;

	spin_lock_irqsave(&disk->lock, flags);
	if (disk->num_bios < TEST_DISK_RECORDS)
		disk->bios[disk->num_bios] = (struct test_bio) {
			.opf = bio->bi_opf,
			.sector = bio->bi_iter.bi_sector,
			.bytes = bio->bi_iter.bi_size,
			.max_vecs = bio->bi_max_vecs,
			.ioprio = bio->bi_ioprio,
			.write_hint = bio_write_hint(bio),
		};
	disk->num_bios++;
	disk->num_bytes += bio->bi_iter.bi_size;
	disk->in_flight++;
	disk->most_in_flight = max(disk->most_in_flight, disk->in_flight);
	if (disk->num_bios == disk->bad_bio)
		bio->bi_status = bad_status(disk);
	if (disk->watch)
		disk->watch(disk, bio);
	if (disk->log)
		log_arrival(disk->log, bio);
	spin_unlock_irqrestore(&disk->lock, flags);
}

static bool touches_bad_sectors(const struct test_disk *disk,
				const struct bio *bio)
{
	return bio->bi_iter.bi_sector < disk->bad_sector + disk->bad_sectors &&
	       bio_end_sector(bio) > disk->bad_sector;
}

static void move_data(struct test_disk *disk, struct bio *bio)
{
	u8 *data = disk->data + (bio->bi_iter.bi_sector << SECTOR_SHIFT);
	struct bvec_iter iter;
	struct bio_vec vec;

	switch (bio_op(bio)) {
	case REQ_OP_DISCARD:
		memset(data, TEST_DISK_DISCARDED, bio->bi_iter.bi_size);
		return;
	case REQ_OP_SECURE_ERASE:
		memset(data, TEST_DISK_ERASED, bio->bi_iter.bi_size);
		return;
	case REQ_OP_WRITE_ZEROES:
		memset(data, 0, bio->bi_iter.bi_size);
		return;
	default:
		break;
	}
	bio_for_each_segment(vec, bio, iter) {
		if (op_is_write(bio->bi_opf))
			memcpy_from_bvec(data, &vec);
		else
			memcpy_to_bvec(&vec, data);
		data += vec.bv_len;
	}
}

static void end_bio(struct test_disk *disk, struct bio *bio)
{
	unsigned long flags;

	if (touches_bad_sectors(disk, bio))
		bio->bi_status = bad_status(disk);
	if (bio->bi_status && disk->forgets_zeroes)
		disk->disk->queue->limits.max_write_zeroes_sectors = 0;
	if (!bio->bi_status && disk->data)
		move_data(disk, bio);

	spin_lock_irqsave(&disk->lock, flags);
	disk->in_flight--;
	if (disk->log)
		log_end(disk->log, bio);
	if (in_hardirq())
		disk->ended_in_hardirq = true;
	else if (in_serving_softirq())
		disk->ended_in_softirq = true;
	spin_unlock_irqrestore(&disk->lock, flags);

	if (disk->watch_end)
		disk->watch_end(disk, false);
	bio_endio(bio);
	if (disk->watch_end)
		disk->watch_end(disk, true);
}

static void end_waiting(struct test_disk *disk, blk_status_t status)
{
	struct bio_list bios = BIO_EMPTY_LIST;
	unsigned long flags;
	struct bio *bio;

	spin_lock_irqsave(&disk->lock, flags);
	while ((bio = bio_list_pop(&disk->waiting))) {
		if (disk->backwards)
			bio_list_add_head(&bios, bio);
		else
			bio_list_add(&bios, bio);
	}
	spin_unlock_irqrestore(&disk->lock, flags);

	while ((bio = bio_list_pop(&bios))) {
		if (status)
			bio->bi_status = status;
		end_bio(disk, bio);
	}
}

static void end_in_worker(struct work_struct *work)
{
	end_waiting(container_of(work, struct test_disk, work), BLK_STS_OK);
}

static void end_in_softirq(struct tasklet_struct *tasklet)
{
	end_waiting(container_of(tasklet, struct test_disk, tasklet),
		    BLK_STS_OK);
}

static void end_in_hardirq(struct irq_work *work)
{
	end_waiting(container_of(work, struct test_disk, irq_work), BLK_STS_OK);
}

static void test_disk_submit_bio(struct bio *bio)
{
	struct test_disk *disk = bio->bi_bdev->bd_disk->private_data;
	unsigned long flags;

	record_bio(disk, bio);
	if (disk->map) {
		spin_lock_irqsave(&disk->lock, flags);
		disk->in_flight--;
		spin_unlock_irqrestore(&disk->lock, flags);
		disk->map(disk, bio);
		return;
	}
	if (disk->end == END_AT_ONCE) {
		end_bio(disk, bio);
		return;
	}

	spin_lock_irqsave(&disk->lock, flags);
	bio_list_add(&disk->waiting, bio);
	spin_unlock_irqrestore(&disk->lock, flags);

	switch (disk->end) {
	case END_IN_WORKER:
		schedule_work(&disk->work);
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

static const struct block_device_operations test_disk_fops = {
	.owner = THIS_MODULE,
	.submit_bio = test_disk_submit_bio,
};

static int add_test_disk(struct gendisk *disk, sector_t num_sectors)
{
	snprintf(disk->disk_name, DISK_NAME_LEN, "dmiotest%d",
		 atomic_inc_return(&num_disks));
	disk->flags |= GENHD_FL_NO_PART;
	set_capacity(disk, num_sectors);
	return add_disk(disk);
}

struct test_disk *test_disk_create(void)
{
	struct test_disk *disk = kzalloc(sizeof(*disk), GFP_KERNEL);

	if (!disk)
		return NULL;
	spin_lock_init(&disk->lock);
	INIT_WORK(&disk->work, end_in_worker);
	tasklet_setup(&disk->tasklet, end_in_softirq);
	disk->irq_work = IRQ_WORK_INIT(end_in_hardirq);

	disk->disk = alloc_cached_bio_disk();
	if (!disk->disk)
		goto free_disk;
	disk->disk->fops = &test_disk_fops;
	disk->disk->private_data = disk;
	if (add_test_disk(disk->disk, 0))
		goto put_disk;

	disk->bdev = disk->disk->part0;
	return disk;

put_disk:
	put_disk(disk->disk);
free_disk:
	kfree(disk);
	return NULL;
}

static void set_cache(struct test_disk *disk, bool cache)
{
#ifdef BLK_FEAT_WRITE_CACHE
	blk_features_t features = BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA;

	if (cache)
		disk->disk->queue->limits.features |= features;
	else
		disk->disk->queue->limits.features &= ~features;
#else
	blk_queue_write_cache(disk->disk->queue, cache, cache);
#endif
}

static void set_atomic_limits(struct queue_limits *limits,
			      const struct test_disk_layout *layout)
{
#ifdef REQ_ATOMIC
	limits->max_segments = layout->max_segments ?: BLK_MAX_SEGMENTS;
	limits->atomic_write_unit_min = layout->atomic_min;
	limits->atomic_write_unit_max = layout->atomic_max;
	limits->atomic_write_max_sectors = layout->atomic_max >> SECTOR_SHIFT;
#endif
}

/* The limits are set by hand: no kernel offers all of these to its drivers. */
static void set_range_limits(struct queue_limits *limits,
			     const struct test_disk_layout *layout)
{
	limits->max_discard_sectors = layout->discard_sectors;
	limits->max_hw_discard_sectors = layout->discard_sectors;
	limits->discard_granularity = layout->discard_granularity;
	limits->discard_alignment = layout->discard_alignment;
	limits->max_secure_erase_sectors = layout->erase_sectors;
	limits->max_write_zeroes_sectors = layout->zeroes_sectors;
}

int test_disk_set_up(struct test_disk *disk,
		     const struct test_disk_layout *layout)
{
	struct queue_limits *limits = &disk->disk->queue->limits;
	size_t bytes = layout->num_sectors << SECTOR_SHIFT;

	if (disk->data && (layout->no_data ||
			   layout->num_sectors != disk->num_sectors)) {
		vfree(disk->data);
		disk->data = NULL;
	}
	if (!disk->data && !layout->no_data) {
		disk->data = vmalloc(bytes);
		if (!disk->data)
			return -ENOMEM;
	}
	if (disk->data)
		memset(disk->data, TEST_DISK_FILLER, bytes);

	disk->num_sectors = layout->num_sectors;
	set_capacity(disk->disk, layout->num_sectors);
	set_disk_ro(disk->disk, layout->read_only);
	limits->logical_block_size = layout->block ?: SECTOR_SIZE;
	limits->physical_block_size = limits->logical_block_size;
	limits->dma_alignment = layout->any_alignment ? 0 :
				layout->dma_alignment ?: SECTOR_SIZE - 1;
	set_range_limits(limits, layout);
	set_atomic_limits(limits, layout);
	set_cache(disk, !layout->no_cache);
	set_integrity_bytes(disk->disk, layout->integrity_bytes);

	disk->end = END_AT_ONCE;
	disk->backwards = false;
	disk->bad_bio = 0;
	disk->bad_sector = 0;
	disk->bad_sectors = 0;
	disk->map = NULL;
	disk->map_context = NULL;
	disk->bad_status = BLK_STS_OK;
	disk->forgets_zeroes = false;
	disk->watch = NULL;
	disk->watch_context = NULL;
	disk->watch_end = NULL;
	disk->watch_end_context = NULL;
	disk->log = NULL;
	test_disk_forget(disk);
	return 0;
}

void test_disk_drain(struct test_disk *disk)
{
	irq_work_sync(&disk->irq_work);
	tasklet_kill(&disk->tasklet);
	flush_work(&disk->work);
	end_waiting(disk, BLK_STS_IOERR);
}

void test_disk_destroy(struct test_disk *disk)
{
	test_disk_drain(disk);
	del_gendisk(disk->disk);
	put_disk(disk->disk);
	vfree(disk->data);
	kfree(disk);
}

void test_disk_forget(struct test_disk *disk)
{
	unsigned long flags;

	spin_lock_irqsave(&disk->lock, flags);
	disk->num_bios = 0;
	disk->num_bytes = 0;
	disk->most_in_flight = disk->in_flight;
	disk->ended_in_hardirq = false;
	disk->ended_in_softirq = false;
	spin_unlock_irqrestore(&disk->lock, flags);
}

void test_disk_release(struct test_disk *disk)
{
	end_waiting(disk, BLK_STS_OK);
}

/* By means of a partition table, which the kernel reads from the disk. */
struct block_device *test_disk_partition(struct test_disk *disk, u32 sector,
					 u32 num_sectors)
{
	__le32 start = cpu_to_le32(sector), count = cpu_to_le32(num_sectors);
	u8 *entry = disk->data + 446;

	memset(disk->data, 0, SECTOR_SIZE);
	entry[4] = 0x83;
	memcpy(entry + 8, &start, sizeof(start));
	memcpy(entry + 12, &count, sizeof(count));
	disk->data[510] = 0x55;
	disk->data[511] = 0xaa;

	disk->disk->flags &= ~GENHD_FL_NO_PART;
	mutex_lock(&disk->disk->open_mutex);
	bdev_disk_changed(disk->disk, false);
	mutex_unlock(&disk->disk->open_mutex);
	return xa_load(&disk->disk->part_tbl, 1);
}

/*
 * The blk-mq disk
 */

static blk_status_t test_mq_queue_rq(struct blk_mq_hw_ctx *hctx,
				     const struct blk_mq_queue_data *data)
{
	struct test_mq_disk *disk = hctx->queue->queuedata;

	blk_mq_start_request(data->rq);
	atomic_inc(&disk->num_requests);
	if (!data->last)
		atomic_inc(&disk->num_followed);
	blk_mq_end_request(data->rq, BLK_STS_OK);
	return BLK_STS_OK;
}

static const struct blk_mq_ops test_mq_ops = {
	.queue_rq = test_mq_queue_rq,
};

static const struct block_device_operations test_mq_fops = {
	.owner = THIS_MODULE,
};

struct test_mq_disk *test_mq_disk_create(sector_t num_sectors)
{
	struct test_mq_disk *disk = kzalloc(sizeof(*disk), GFP_KERNEL);

	if (!disk)
		return NULL;
	disk->tags.ops = &test_mq_ops;
	disk->tags.nr_hw_queues = 1;
	disk->tags.queue_depth = 128;
	disk->tags.numa_node = NUMA_NO_NODE;
	disk->tags.flags = BLK_MQ_F_NO_SCHED_BY_DEFAULT;
	if (blk_mq_alloc_tag_set(&disk->tags))
		goto free_disk;

	disk->disk = alloc_mq_disk(&disk->tags, disk);
	if (!disk->disk)
		goto free_tags;
	disk->disk->fops = &test_mq_fops;
	if (add_test_disk(disk->disk, num_sectors))
		goto put_disk;

	disk->bdev = disk->disk->part0;
	return disk;

put_disk:
	put_disk(disk->disk);
free_tags:
	blk_mq_free_tag_set(&disk->tags);
free_disk:
	kfree(disk);
	return NULL;
}

void test_mq_disk_destroy(struct test_mq_disk *disk)
{
	del_gendisk(disk->disk);
	put_disk(disk->disk);
	blk_mq_free_tag_set(&disk->tags);
	kfree(disk);
}
