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
		bio->bi_status = BLK_STS_IOERR;
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
		bio->bi_status = BLK_STS_IOERR;
	if (!bio->bi_status && disk->data)
		move_data(disk, bio);

	spin_lock_irqsave(&disk->lock, flags);
	disk->in_flight--;
	if (in_hardirq())
		disk->ended_in_hardirq = true;
	else if (in_serving_softirq())
		disk->ended_in_softirq = true;
	spin_unlock_irqrestore(&disk->lock, flags);

	bio_endio(bio);
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
	disk->irq_work = IRQ_WORK_INIT_HARD(end_in_hardirq);

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

/* The limits are set by hand: no kernel offers all of these to its drivers. */
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

	disk->end = END_AT_ONCE;
	disk->backwards = false;
	disk->bad_bio = 0;
	disk->bad_sector = 0;
	disk->bad_sectors = 0;
	disk->map = NULL;
	disk->map_context = NULL;
	test_disk_forget(disk);
	return 0;
}

void test_disk_calm_down(struct test_disk *disk)
{
	irq_work_sync(&disk->irq_work);
	tasklet_kill(&disk->tasklet);
	flush_work(&disk->work);
	end_waiting(disk, BLK_STS_IOERR);
}

void test_disk_destroy(struct test_disk *disk)
{
	test_disk_calm_down(disk);
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
