// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-dual: a linear target on two devices, to start a target of your own from
 *
 *	<start> <length> dual <device> <device>
 *
 * A write goes to both devices and fails if either of them fails it. A read comes
 * from the first device, and from the second one if the first fails it.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include <dm-io.h>

#define RESERVED_PAGES	16

struct dual {
	struct dm_dev *dev[2];
	struct workqueue_struct *rereads;
};

/* For each bio: it has to be read once more where one may sleep. */
struct reread {
	struct work_struct work;
	struct dual *dual;
	sector_t sector;
};

static struct io_region dual_region(struct dual *dual, int n, sector_t sector,
				    struct bio *bio)
{
	return (struct io_region) {
		.bdev = dual->dev[n]->bdev,
		.sector = sector,
		.count = bio_sectors(bio),
	};
}

static void read_second(struct work_struct *work)
{
	struct reread *reread = container_of(work, struct reread, work);
	struct bio *bio = dm_bio_from_per_bio_data(reread, sizeof(*reread));
	struct io_region where = dual_region(reread->dual, 1, reread->sector,
					     bio);
	int ret = dm_io_sync_bio(1, &where, DM_IO_OPF(DM_IO_BIO_OPF(bio)),
				 bio, NULL);

	bio->bi_status = errno_to_blk_status(ret);
	bio_endio(bio);
}

/* Callbacks may run in interrupt context, and make no call of the library. */
static void first_read(unsigned long error, void *context)
{
	struct bio *bio = context;
	struct reread *reread = dm_per_bio_data(bio, sizeof(*reread));

	if (error)
		queue_work(reread->dual->rereads, &reread->work);
	else
		bio_endio(bio);
}

/* One bit for each device. Where one of them missed a write they may differ. */
static void both_written(unsigned long error, void *context)
{
	struct bio *bio = context;

	if (error)
		bio->bi_status = BLK_STS_IOERR;
	bio_endio(bio);
}

static int dual_map(struct dm_target *ti, struct bio *bio)
{
	struct dual *dual = ti->private;
	sector_t sector = dm_target_offset(ti, bio->bi_iter.bi_sector);
	int rw = DM_IO_OPF(DM_IO_BIO_OPF(bio));
	struct io_region where[2] = {
		dual_region(dual, 0, sector, bio),
		dual_region(dual, 1, sector, bio),
	};
	int ret;

	if (bio_data_dir(bio) == READ) {
		struct reread *reread = dm_per_bio_data(bio, sizeof(*reread));

		INIT_WORK(&reread->work, read_second);
		reread->dual = dual;
		reread->sector = sector;
		ret = dm_io_async_bio(1, where, rw, bio, first_read, bio);
	} else {
		/* A flush is a write with REQ_PREFLUSH and without data. */
		ret = dm_io_async_bio(2, where, rw, bio, both_written, bio);
	}
	return ret ? DM_MAPIO_KILL : DM_MAPIO_SUBMITTED;
}

static void dual_dtr(struct dm_target *ti)
{
	struct dual *dual = ti->private;
	int i;

	if (dual->rereads)
		destroy_workqueue(dual->rereads);
	for (i = 0; i < 2; i++)
		if (dual->dev[i])
			dm_put_device(ti, dual->dev[i]);
	kfree(dual);
	dm_io_put(RESERVED_PAGES);
}

static int dual_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct dual *dual;
	int ret, i;

	if (argc != 2) {
		ti->error = "Two devices are required";
		return -EINVAL;
	}
	ret = dm_io_get(RESERVED_PAGES);
	if (ret) {
		ti->error = "Cannot reserve memory for requests";
		return ret;
	}
	dual = kzalloc(sizeof(*dual), GFP_KERNEL);
	if (!dual) {
		ti->error = "Cannot allocate memory";
		dm_io_put(RESERVED_PAGES);
		return -ENOMEM;
	}
	ti->private = dual;

	for (i = 0; i < 2; i++) {
		ret = dm_get_device(ti, argv[i], dm_table_get_mode(ti->table),
				    &dual->dev[i]);
		if (ret) {
			ti->error = "Cannot open a device";
			goto bad;
		}
	}
	dual->rereads = alloc_workqueue("dm-dual", WQ_MEM_RECLAIM, 0);
	if (!dual->rereads) {
		ti->error = "Cannot create a workqueue";
		ret = -ENOMEM;
		goto bad;
	}
	ti->per_io_data_size = sizeof(struct reread);
	ti->num_flush_bios = 1;
	return 0;

bad:
	dual_dtr(ti);
	return ret;
}

static void dual_status(struct dm_target *ti, status_type_t type,
			unsigned int status_flags, char *result,
			unsigned int maxlen)
{
	struct dual *dual = ti->private;
	unsigned int sz = 0;

	if (type == STATUSTYPE_TABLE)
		DMEMIT("%s %s", dual->dev[0]->name, dual->dev[1]->name);
	else
		*result = '\0';
}

/* By this, the limits of the devices become those of the target. */
static int dual_iterate_devices(struct dm_target *ti,
				iterate_devices_callout_fn fn, void *data)
{
	struct dual *dual = ti->private;
	int ret = fn(ti, dual->dev[0], 0, ti->len, data);

	return ret ? ret : fn(ti, dual->dev[1], 0, ti->len, data);
}

static struct target_type dual_target = {
	.name = "dual",
	.version = { 1, 0, 0 },
	.module = THIS_MODULE,
	.ctr = dual_ctr,
	.dtr = dual_dtr,
	.map = dual_map,
	.status = dual_status,
	.iterate_devices = dual_iterate_devices,
};

static int __init dual_init(void)
{
	return dm_register_target(&dual_target);
}

static void __exit dual_exit(void)
{
	dm_unregister_target(&dual_target);
}

module_init(dual_init);
module_exit(dual_exit);

MODULE_DESCRIPTION("Device Mapper target that writes to two devices");
MODULE_LICENSE("GPL");
