// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-replica: a target that keeps the same data on several devices
 *
 * Documentation/dm-replica.rst is the guide for users. This is the protocol: why a
 * write that has been acknowledged can be read, whatever happens to all legs but
 * one, unless somebody said in the table that he accepts its loss. Steps have the
 * names that the model of it has.
 *
 * A LIVE leg has all data, gets all writes, and serves reads. A REBUILDING leg gets
 * all writes, while what was written before is copied to it. All other legs are
 * DEAD: nothing touches them. Each leg has a superblock, which names the live legs,
 * and a bitmap with a bit for each region.
 *
 * 1. LOAD takes the newest superblock. A leg that this one names live, and that is
 *    absent or cannot be read, may be newer still: the table is refused unless it
 *    says `degraded`. That suffices, since a leg that is dropped keeps a superblock
 *    that names one of those that lived on.
 * 2. Newest is by history, not by number: with each change of the live legs RECORD
 *    draws a random identifier, and keeps those before it. A leg whose identifier is
 *    among them is old. If two do not know each other, somebody has written to both
 *    of them alone: a split brain, which is refused.
 *    If RECORD did not come to its end, some live legs are one generation behind.
 *    They are as good (CATCH_UP): nothing was acknowledged in between.
 * 3. ACTIVATE: before the first write of an activation goes to any leg, superblocks
 *    say that the set is dirty. If it is found like this, live legs may differ where
 *    bits are set, and the first of them counts: a read goes there until the others
 *    have been made equal.
 * 4. DROP: a leg that its device lets down is live no more, at once in memory. No
 *    write is acknowledged (ACK) until superblocks say so, too (HOLD, RECORD,
 *    RELEASE). What was refused before it came to a device costs no leg: the bio
 *    fails, and where some legs have got it, they are made equal again. So it is
 *    if all live legs fail at the same write.
 * 5. COPY takes from another leg only the blocks that the first one cannot read.
 * 6. A leg that hangs delays what needs this leg. Each has a queue of its own for
 *    superblocks, bits, reads that failed elsewhere, and chunks; whoever waits for
 *    that does not wait for a leg once it has been dropped.
 * 7. Each change of a leg's state raises a Device Mapper event.
 * 8. SET_BIT: the bit is on all live legs before the data is sent to any. CLEAR_BITS:
 *    some seconds later, if all legs of the set are live, have been flushed, and so
 *    have the data. While a leg is missing, bits only accumulate: they tell what it
 *    lacks if its data is that of the generation in which it was last live, or a
 *    later one (REBUILD_BEGIN). Else it is copied whole. It is live when it has all
 *    data and all bits (REBUILD_END).
 *
 * In memory, @live and the bitmaps @dirty and @recent are looked at without a lock;
 * @stale is set before @live changes. All else has the lock.
 */
#include <linux/device-mapper.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "dm-replica.h"

#define DM_MSG_PREFIX "replica"

const char *const replica_error_kind_names[NUM_ERROR_KINDS] = {
	[READ_ERROR]		= "read",
	[WRITE_ERROR]		= "write",
	[FLUSH_ERROR]		= "flush",
	[COPY_ERROR]		= "copy",
	[SUPERBLOCK_ERROR]	= "superblock",
	[BITMAP_ERROR]		= "bitmap",
};

static const char *const count_names[NUM_COUNTS] = {
	[COUNT_READS]		= "reads",
	[COUNT_READ_SECTORS]	= "read_sectors",
	[COUNT_WRITES]		= "writes",
	[COUNT_WRITE_SECTORS]	= "write_sectors",
	[COUNT_FLUSHES]		= "flushes",
	[COUNT_DISCARDS]	= "discards",
	[COUNT_RETRIES]		= "retries",
};

static int target_map(struct dm_target *ti, struct bio *bio)
{
	struct replica_io *io = dm_per_bio_data(bio, sizeof(*io));

	io->set = ti->private;
	io->bio = bio;
	return replica_map_io(io);
}

static int target_end_io(struct dm_target *ti, struct bio *bio,
			 blk_status_t *status)
{
	if (likely(!*status))
		return DM_ENDIO_DONE;
	return replica_end_io(dm_per_bio_data(bio, sizeof(struct replica_io)),
			      status);
}

/* A set that is read-only is not written to, not even its superblocks. */
static bool is_read_only(struct dm_target *ti)
{
	return get_disk_ro(dm_disk(dm_table_get_md(ti->table)));
}

static int target_preresume(struct dm_target *ti)
{
	return replica_resume(ti->private, is_read_only(ti));
}

static void target_resume(struct dm_target *ti)
{
	replica_run(ti->private, is_read_only(ti));
}

static void target_postsuspend(struct dm_target *ti)
{
	replica_suspend(ti->private);
}

/*
 * Messages and status
 */

static char leg_state(const struct replica_set *set, unsigned int leg)
{
	if (set->live & BIT(leg))
		return 'A';
	return set->rebuilding & BIT(leg) ? 'R' : 'D';
}

static unsigned int sum_errors(const struct replica_leg *leg)
{
	unsigned int sum = 0, kind;

	for (kind = 0; kind < NUM_ERROR_KINDS; kind++)
		sum += leg->errors[kind];
	return sum;
}

static void report_stats(struct replica_set *set, char *result,
			 unsigned int maxlen)
{
	unsigned int leg, sz = 0;

	for (leg = 0; leg < set->num_legs; leg++) {
		const struct replica_leg *of = &set->legs[leg];
		u64 sums[NUM_COUNTS];
		unsigned int i;

		replica_sum_counts(set, leg, sums);
		spin_lock_irq(&set->lock);
		DMEMIT("leg=%u device=%s state=%c", leg,
		       of->dev ? of->dev->name : "-", leg_state(set, leg));
		for (i = 0; i < NUM_COUNTS; i++)
			DMEMIT(" %s=%llu", count_names[i], sums[i]);
		DMEMIT(" copied_sectors=%llu superblocks=%u", of->copied,
		       of->superblocks);
		DMEMIT(" bitmap_sectors=%llu bitmap_flushes=%u",
		       of->bitmap_sectors, of->bitmap_flushes);
		DMEMIT(" dropped=%u rebuilt=%u", of->dropped, of->rebuilt);
		for (i = 0; i < NUM_ERROR_KINDS; i++)
			DMEMIT(" %s_errors=%u", replica_error_kind_names[i],
			       of->errors[i]);
		if (of->last_error)
			DMEMIT(" last_error=%d last_error_kind=%s last_error_sector=%llu",
			       of->last_error,
			       replica_error_kind_names[of->last_kind],
			       (unsigned long long)of->last_sector);
		DMEMIT("\n");
		spin_unlock_irq(&set->lock);
	}
	DMEMIT("regions=%lu region_sectors=%llu dirty_regions=%u\n",
	       set->num_regions, (unsigned long long)region_sectors(set),
	       bitmap_weight(set->dirty, set->num_regions));
}

/* Returns 1 if there is a @result to be handed to the sender. */
static int target_message(struct dm_target *ti, unsigned int argc, char **argv,
			  char *result, unsigned int maxlen)
{
	struct replica_set *set = ti->private;
	int (*change)(struct replica_set *set, unsigned int leg) = NULL;
	unsigned int leg;

	if (argc == 1 && !strcasecmp(argv[0], "stats")) {
		report_stats(set, result, maxlen);
		return 1;
	}
	if (argc == 2 && !strcasecmp(argv[0], "rebuild"))
		change = replica_rebuild_leg;
	if (argc == 2 && !strcasecmp(argv[0], "fail"))
		change = replica_fail_leg;
	if (!change || kstrtouint(argv[1], 10, &leg) || leg >= MAX_LEGS ||
	    !(set->present & BIT(leg))) {
		DMERR("%s: a message is 'stats', or 'rebuild' or 'fail' and a leg with a device",
		      set->name);
		return -EINVAL;
	}
	return change(set, leg);
}

static void report_progress(struct replica_set *set, u64 *done, u64 *all)
{
	u64 left = max(set->num_differ, set->rebuilding ? set->num_todo : 0);
	u64 total = max_t(u64, set->copy_total, left);

	*all = min_t(u64, total << set->region_shift, set->len);
	*done = *all - min_t(u64, left << set->region_shift, *all);
}

static void report_status(struct replica_set *set, char *result,
			  unsigned int maxlen)
{
	unsigned int leg, sz = 0;
	u64 done, all;

	spin_lock_irq(&set->lock);
	DMEMIT("%u ", set->num_legs);
	for (leg = 0; leg < set->num_legs; leg++)
		DMEMIT("%c", leg_state(set, leg));
	for (leg = 0; leg < set->num_legs; leg++)
		DMEMIT(" %u", sum_errors(&set->legs[leg]));
	report_progress(set, &done, &all);
	if (set->running && replica_wants_copy(set))
		DMEMIT(" %llu/%llu", done, all);
	else
		DMEMIT(" -");
	for (leg = 0; leg < set->num_legs; leg++)
		DMEMIT(" %d", set->legs[leg].last_error);
	spin_unlock_irq(&set->lock);
}

static void report_table(struct replica_set *set, char *result,
			 unsigned int maxlen)
{
	unsigned int leg, sz = 0;

	DMEMIT("%u", set->num_legs);
	for (leg = 0; leg < set->num_legs; leg++)
		DMEMIT(" %s", set->legs[leg].dev ? set->legs[leg].dev->name :
						   "-");
	if (set->create && set->create_shift)
		DMEMIT(" 3 create region %llu", region_kib(set->create_shift));
	else if (set->create)
		DMEMIT(" 1 create");
	else if (set->degraded && !set->loaded)
		DMEMIT(" 1 degraded");
}

static void target_status(struct dm_target *ti, status_type_t type,
			  unsigned int status_flags, char *result,
			  unsigned int maxlen)
{
	switch (type) {
	case STATUSTYPE_INFO:
		report_status(ti->private, result, maxlen);
		break;
	case STATUSTYPE_TABLE:
		report_table(ti->private, result, maxlen);
		break;
	case STATUSTYPE_IMA:
		*result = '\0';
		break;
	}
}

static int target_iterate_devices(struct dm_target *ti,
				  iterate_devices_callout_fn fn, void *data)
{
	struct replica_set *set = ti->private;
	unsigned int leg;
	int ret;

	for_each_leg(leg, set->present) {
		ret = fn(ti, set->legs[leg].dev, RESERVED_SECTORS, ti->len,
			 data);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * What is on the set may count on its blocks, whatever those of the legs are that
 * happen to be there.
 */
static void target_io_hints(struct dm_target *ti, struct queue_limits *limits)
{
	struct replica_set *set = ti->private;

	limits->logical_block_size = max(limits->logical_block_size,
					 set->block_bytes);
	limits->physical_block_size = max(limits->physical_block_size,
					  limits->logical_block_size);
	limits->io_min = max(limits->io_min, limits->physical_block_size);
}

/*
 * Construction
 */

static void target_dtr(struct dm_target *ti)
{
	struct replica_set *set = ti->private;
	unsigned int leg;

	replica_free(set);
	for_each_leg(leg, set->present)
		dm_put_device(ti, set->legs[leg].dev);
	dm_io_put(RESERVE_PAGES);
	kfree(set);
}

static int get_leg(struct replica_set *set, unsigned int leg, const char *path)
{
	struct dm_target *ti = set->ti;
	struct dm_dev *dev;
	unsigned int other;
	int ret;

	if (!strcmp(path, "-"))
		return 0;
	ret = dm_get_device(ti, path, dm_table_get_mode(ti->table), &dev);
	if (ret) {
		ti->error = "The device of a leg cannot be opened";
		return ret;
	}
	for_each_leg(other, set->present)
		if (set->legs[other].dev == dev)
			ret = -EINVAL;
	set->legs[leg].dev = dev;
	set->legs[leg].bdev = dev->bdev;
	set->present |= BIT(leg);
	if (ret)
		ti->error = "Two legs have the same device";
	if (bdev_max_discard_sectors(dev->bdev))
		ti->discards_supported = true;
	return ret;
}

static bool read_region(struct replica_set *set, const char *text)
{
	u64 kib;

	if (!text || kstrtou64(text, 10, &kib) || !is_power_of_2(kib) ||
	    kib < SZ_64K / SZ_1K || kib > BIT_ULL(MAX_REGION_SHIFT) / SZ_1K)
		return false;
	set->create_shift = ilog2(kib) + ilog2(SZ_1K) - SECTOR_SHIFT;
	return true;
}

static int read_features(struct replica_set *set, struct dm_arg_set *args,
			 unsigned int num)
{
	char **error = &set->ti->error;

	while (num--) {
		const char *name = dm_shift_arg(args);

		if (!strcasecmp(name, "create")) {
			set->create = true;
		} else if (!strcasecmp(name, "degraded")) {
			set->degraded = true;
		} else if (num && !strcasecmp(name, "region")) {
			num--;
			if (!read_region(set, dm_shift_arg(args))) {
				*error = "A region is a power of two KiB, at least 64";
				return -EINVAL;
			}
		} else {
			*error = "The features are create, region <KiB> and degraded";
			return -EINVAL;
		}
	}
	if (set->create && (set->degraded ||
			    hweight_long(set->present) < set->num_legs)) {
		*error = "To create a set takes a device for each leg";
		return -EINVAL;
	}
	if (set->create_shift && !set->create) {
		*error = "The size of a region is given when a set is created";
		return -EINVAL;
	}
	return 0;
}

static int read_args(struct replica_set *set, struct dm_arg_set *args)
{
	static const struct dm_arg num_legs_arg = {
		MIN_LEGS, MAX_LEGS, "The number of legs must be 2 to 8",
	};
	static const struct dm_arg num_features_arg = {
		0, 4, "The number of features must be 0 to 4",
	};
	char **error = &set->ti->error;
	unsigned int leg, num_features = 0;
	int ret;

	if (dm_read_arg_group(&num_legs_arg, args, &set->num_legs, error))
		return -EINVAL;
	for (leg = 0; leg < set->num_legs; leg++) {
		ret = get_leg(set, leg, dm_shift_arg(args));
		if (ret)
			return ret;
	}
	if (args->argc &&
	    dm_read_arg_group(&num_features_arg, args, &num_features, error))
		return -EINVAL;
	ret = read_features(set, args, num_features);
	if (ret)
		return ret;
	if (args->argc) {
		*error = "There are too many arguments";
		return -EINVAL;
	}
	return 0;
}

/* <#legs> <device or ->... [<#features> [create] [region <KiB>] [degraded]] */
static int target_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct dm_arg_set args = { .argc = argc, .argv = argv };
	struct replica_set *set;
	const char *error;
	int ret;

	ti->error = "Out of memory";
	set = kzalloc(sizeof(*set), GFP_KERNEL);
	if (!set)
		return -ENOMEM;
	ret = dm_io_get(RESERVE_PAGES);
	if (ret) {
		kfree(set);
		return ret;
	}
	set->ti = ti;
	set->name = dm_table_device_name(ti->table);
	set->begin = ti->begin;
	set->len = ti->len;
	replica_init(set);
	ti->private = set;

	ret = read_args(set, &args);
	if (!ret) {
		ti->error = "Out of memory";
		ret = replica_alloc(set);
	}
	if (!ret) {
		error = replica_load(set);
		ti->error = (char *)error;
		ret = error ? -EINVAL : 0;
	}
	if (ret) {
		target_dtr(ti);
		return ret;
	}

	ti->num_flush_bios = 1;
	ti->num_discard_bios = 1;
	ti->num_write_zeroes_bios = 1;
	ti->per_io_data_size = sizeof(struct replica_io);
	return 0;
}

static struct target_type replica_target = {
	.name = "replica",
	.version = { 2, 0, 0 },
	.module = THIS_MODULE,
	.ctr = target_ctr,
	.dtr = target_dtr,
	.map = target_map,
	.end_io = target_end_io,
	.preresume = target_preresume,
	.resume = target_resume,
	.postsuspend = target_postsuspend,
	.message = target_message,
	.status = target_status,
	.iterate_devices = target_iterate_devices,
	.io_hints = target_io_hints,
};

static int __init replica_module_init(void)
{
	return dm_register_target(&replica_target);
}

static void __exit replica_module_exit(void)
{
	dm_unregister_target(&replica_target);
}

module_init(replica_module_init);
module_exit(replica_module_exit);

MODULE_DESCRIPTION("Device Mapper target that keeps data on several devices");
MODULE_AUTHOR("dm-io maintainers");
MODULE_LICENSE("GPL");
