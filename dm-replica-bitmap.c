// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-replica: the write-intent bitmap
 *
 * On each live leg there is a bit for each region. It is set before a write to
 * the region goes to any leg, and cleared some seconds after the last one, if all
 * legs of the set have got all of it. After a crash, legs can differ only in
 * regions whose bit is set. While a leg is missing no bit is cleared, so those
 * that are set cover what that leg has missed.
 *
 * In memory there are four: @image as it is on the legs; @dirty, by which a write
 * sees that it may go ahead; @recent, which it sets in passing; @differ, where live
 * legs have to be made equal. And @todo for the legs that are being rebuilt.
 *
 * A write that finds its regions dirty takes no lock. So to find regions that may
 * be cleared takes three steps, in replica_find_clean(): all writes end that may
 * have passed before @recent was wiped for the last time; what is dirty and not
 * recent loses @dirty; and if a write has come just then, it gets it back. The
 * write sets @recent and looks at @dirty, we do it the other way round, each with
 * a barrier in between: one of us sees the other.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "dm-replica.h"

/* Of what is written at once. Not less than a logical block of any leg. */
static unsigned int image_unit(const struct replica_set *set)
{
	return set->superblock_bytes;
}

/* @shift is that of a region in sectors, or 0 for the usual number of regions. */
void replica_choose_regions(struct replica_set *set, unsigned int shift)
{
	if (!shift) {
		shift = MIN_REGION_SHIFT - SECTOR_SHIFT;
		while ((set->len >> shift) >= USUAL_REGIONS)
			shift++;
	}
	set->region_shift = shift;
	set->num_regions = (set->len + region_sectors(set) - 1) >> shift;
}

int replica_alloc_bitmap(struct replica_set *set)
{
	size_t bytes = BITS_TO_LONGS(set->num_regions) * sizeof(long);

	replica_free_bitmap(set);
	set->image_bytes = round_up(bytes, image_unit(set));
	set->image = vzalloc(set->image_bytes);
	set->dirty = vzalloc(bytes);
	set->recent = vzalloc(bytes);
	set->clearing = vzalloc(bytes);
	set->differ = vzalloc(bytes);
	set->todo = vzalloc(bytes);
	if (!set->image || !set->dirty || !set->recent || !set->clearing ||
	    !set->differ || !set->todo)
		return -ENOMEM;
	return 0;
}

void replica_free_bitmap(struct replica_set *set)
{
	vfree(set->image);
	vfree(set->dirty);
	vfree(set->recent);
	vfree(set->clearing);
	vfree(set->differ);
	vfree(set->todo);
	set->image = NULL;
	set->dirty = NULL;
	set->recent = NULL;
	set->clearing = NULL;
	set->differ = NULL;
	set->todo = NULL;
}

/*
 * What writes do
 */

static unsigned long first_region(const struct replica_set *set,
				  const struct bio *bio)
{
	return region_of(set, bio->bi_iter.bi_sector - set->begin);
}

static unsigned long last_region(const struct replica_set *set,
				 const struct bio *bio)
{
	return region_of(set, bio_end_sector(bio) - 1 - set->begin);
}

/* May a write go ahead? It has been counted as in flight before. */
bool replica_regions_are_dirty(struct replica_set *set, const struct bio *bio)
{
	unsigned long region, last;

	if (unlikely(!bio_sectors(bio)))
		return true;
	region = first_region(set, bio);
	last = last_region(set, bio);
	do {
		if (unlikely(!test_bit(region, set->recent))) {
			set_bit(region, set->recent);
			/* See replica_find_clean(). */
			smp_mb__after_atomic();
		}
		if (unlikely(!test_bit(region, set->dirty)))
			return false;
	} while (region++ != last);
	return true;
}

static void mark_region(struct replica_set *set, unsigned long region)
{
	sector_t sector = (sector_t)region << set->region_shift;

	if (set->live & (set->live - 1) &&
	    !__test_and_set_bit(region, set->differ))
		WRITE_ONCE(set->num_differ, set->num_differ + 1);
	if (set->rebuilding && !__test_and_set_bit(region, set->todo))
		set->num_todo++;
	/* If it has been copied in part, that has to begin again. */
	if (set->copy_next > sector &&
	    set->copy_next < sector + region_sectors(set))
		set->copy_next = sector;
}

/*
 * Some legs have got a write there, and others that stay may not have. The bits
 * are set: they were before the write.
 */
void replica_mark_differ(struct replica_set *set, sector_t sector,
			 sector_t count)
{
	unsigned long region = region_of(set, sector);
	unsigned long last = region_of(set, sector + count - 1);

	lockdep_assert_held(&set->lock);
	do
		mark_region(set, region);
	while (region++ != last);
	set->copy_stopped = false;
	set->gave_up = false;
	mod_delayed_work(set->sync_queue, &set->sync_work, 0);
}

/* A flush that all legs have failed: nobody knows what they have kept. */
void replica_mark_all_differ(struct replica_set *set)
{
	unsigned long region;

	lockdep_assert_held(&set->lock);
	for (region = 0; region < set->num_regions; region++)
		if (test_bit_le(region, set->image))
			mark_region(set, region);
	set->copy_stopped = false;
	set->gave_up = false;
	mod_delayed_work(set->sync_queue, &set->sync_work, 0);
}

/*
 * The image
 */

void replica_image_to_map(struct replica_set *set, const void *image,
			  unsigned long *map)
{
	unsigned long region;

	for (region = 0; region < set->num_regions; region++)
		if (test_bit_le(region, image))
			__set_bit(region, map);
}

/* Adds the bits of a leg to an image. */
int replica_read_bitmap(struct replica_set *set, unsigned int leg, void *image)
{
	unsigned long *bits = vzalloc(set->image_bytes);
	unsigned long *sum = image;
	struct io_region where = {
		.bdev = set->legs[leg].bdev,
		.sector = BITMAP_SECTOR,
		.count = set->image_bytes >> SECTOR_SHIFT,
	};
	int error = 0;
	struct dm_io_args args = {
		.opf = REQ_OP_READ | REQ_META,
		.num_regions = 1,
		.where = &where,
		.data = bits,
		.errors = &error,
	};
	unsigned int i;
	int ret;

	if (!bits)
		return -ENOMEM;
	ret = dm_io_submit(&args);
	for (i = 0; !ret && i < set->image_bytes / sizeof(*bits); i++)
		sum[i] |= bits[i];
	vfree(bits);
	return error ?: ret;
}

/* Write a part of the image to @legs, or flush them. Returns those that failed. */
static unsigned long image_io(struct replica_set *set, unsigned long legs,
			      blk_opf_t opf, unsigned int from, unsigned int to)
{
	int errors[MAX_LEGS];
	unsigned long failed;
	unsigned int leg;

	for_each_leg(leg, legs) {
		struct replica_job *job = &set->legs[leg].jobs[BITMAP_JOB];

		/* A leg that was dropped may have it still. */
		if (READ_ONCE(set->busy[BITMAP_JOB]) & BIT(leg))
			continue;
		job->opf = opf;
		job->sector = BITMAP_SECTOR + (from >> SECTOR_SHIFT);
		job->count = (to - from) >> SECTOR_SHIFT;
		job->data = set->image + from;
	}
	failed = replica_run_jobs(set, legs, BITMAP_JOB, errors);
	spin_lock_irq(&set->lock);
	for_each_leg(leg, legs) {
		set->legs[leg].bitmap_sectors += (to - from) >> SECTOR_SHIFT;
		set->legs[leg].bitmap_flushes += to == from;
	}
	if (failed)
		replica_fail_legs(set, failed, BITMAP_ERROR, errors, 0);
	spin_unlock_irq(&set->lock);
	return failed;
}

/* The bits that were put into the image are on all live legs. */
static bool write_image_part(struct replica_set *set, unsigned int from,
			     unsigned int to)
{
	unsigned long failed;

	if (from >= to)
		return true;
	failed = image_io(set, READ_ONCE(set->live),
			  REQ_OP_WRITE | REQ_FUA | REQ_META | REQ_PRIO, from, to);
	return !(failed & READ_ONCE(set->live));
}

/* All of it. Returns false if one of the legs that are left has not got it. */
bool replica_write_image(struct replica_set *set, unsigned long legs)
{
	blk_opf_t opf = REQ_OP_WRITE | REQ_FUA | REQ_META;
	unsigned long failed = image_io(set, legs, opf, 0, set->image_bytes);

	return !(failed & (READ_ONCE(set->live) | READ_ONCE(set->rebuilding)));
}

/* The part of the image that has changed. */
struct span {
	unsigned int from, to;
};

static void update_image(struct replica_set *set, struct span *span,
			 unsigned long region, bool value)
{
	unsigned int unit = image_unit(set);
	unsigned int from = round_down(region / BITS_PER_BYTE, unit);

	if (!!test_bit_le(region, set->image) == value)
		return;
	if (value)
		__set_bit_le(region, set->image);
	else
		__clear_bit_le(region, set->image);
	span->from = min(span->from, from);
	span->to = max(span->to, from + unit);
}

/* SET_BIT: for writes that wait, and that are started afterwards. */
void replica_set_bits(struct replica_set *set, struct list_head *ios)
{
	struct span span = { .from = UINT_MAX };
	struct replica_io *io, *next;
	unsigned long region;

	list_for_each_entry(io, ios, list)
		for (region = first_region(set, io->bio);
		     region <= last_region(set, io->bio); region++)
			update_image(set, &span, region, true);

	if (!write_image_part(set, span.from, span.to)) {
		/* Of all these bits none was set in vain, but some were too late. */
		set->image_written = false;
		replica_end_ios(ios, BLK_STS_IOERR);
		return;
	}
	list_for_each_entry(io, ios, list)
		for (region = first_region(set, io->bio);
		     region <= last_region(set, io->bio); region++) {
			/* In this order, or they might be cleared at once. */
			set_bit(region, set->recent);
			/* See replica_find_clean(). */
			smp_mb__after_atomic();
			set_bit(region, set->dirty);
		}
	list_for_each_entry_safe(io, next, ios, list)
		replica_start_write(io);

	spin_lock_irq(&set->lock);
	if (set->running)
		queue_delayed_work(set->sync_queue, &set->sync_work,
				   set->clear_interval);
	spin_unlock_irq(&set->lock);
}

/*
 * Clearing
 */

/* With the lock held: would any leg of the set lack something? */
static bool may_clear(const struct replica_set *set)
{
	return set->live == all_legs(set) && !set->num_differ && !set->stale;
}

bool replica_any_dirty(const struct replica_set *set)
{
	return !bitmap_empty(set->dirty, set->num_regions);
}

/*
 * CLEAR_BITS, its first part: choose regions, and have writes to them set their
 * bits again. All writes have ended that were in flight when @recent was wiped.
 */
bool replica_find_clean(struct replica_set *set)
{
	unsigned long i, longs = BITS_TO_LONGS(set->num_regions);
	bool found = false;

	for (i = 0; i < longs; i++) {
		unsigned long clean = READ_ONCE(set->dirty[i]) &
				      ~READ_ONCE(set->recent[i]);
		unsigned int bit;

		for_each_set_bit(bit, &clean, BITS_PER_LONG) {
			unsigned long region = i * BITS_PER_LONG + bit;

			clear_bit(region, set->dirty);
			/* A write sets @recent before it looks at @dirty. */
			smp_mb__after_atomic();
			if (test_bit(region, set->recent)) {
				set_bit(region, set->dirty);
				continue;
			}
			__set_bit(region, set->clearing);
			found = true;
		}
		if (READ_ONCE(set->recent[i]))
			xchg(&set->recent[i], 0);
	}
	return found;
}

/* Make sure that all legs have what was written to them. */
static bool flush_all(struct replica_set *set)
{
	return !image_io(set, all_legs(set), REQ_OP_FLUSH, 0, 0);
}

/*
 * CLEAR_BITS, its second part: on the legs. What cannot be cleared is still set
 * there, so it is dirty again.
 */
void replica_clear_bits(struct replica_set *set)
{
	struct span span = { .from = UINT_MAX };
	unsigned long region;
	bool flushed, may;

	spin_lock_irq(&set->lock);
	may = may_clear(set);
	spin_unlock_irq(&set->lock);
	flushed = may && flush_all(set);

	spin_lock_irq(&set->lock);
	may = flushed && may_clear(set);
	for_each_set_bit(region, set->clearing, set->num_regions) {
		if (may)
			update_image(set, &span, region, false);
		else
			set_bit(region, set->dirty);
	}
	bitmap_zero(set->clearing, set->num_regions);
	set->clear_wanted = false;
	if (set->running && replica_any_dirty(set))
		queue_delayed_work(set->sync_queue, &set->sync_work,
				   set->clear_interval);
	spin_unlock_irq(&set->lock);

	/* A leg that keeps them set is not wrong. */
	if (may)
		write_image_part(set, span.from, span.to);
}

/* All writes have ended, and no work is running. Returns false if bits stay. */
bool replica_clear_all(struct replica_set *set)
{
	bool may;

	spin_lock_irq(&set->lock);
	may = may_clear(set);
	spin_unlock_irq(&set->lock);
	if (!may || !flush_all(set))
		return false;
	spin_lock_irq(&set->lock);
	may = may_clear(set);
	spin_unlock_irq(&set->lock);
	if (!may)
		return false;

	memset(set->image, 0, set->image_bytes);
	bitmap_zero(set->dirty, set->num_regions);
	bitmap_zero(set->recent, set->num_regions);
	return replica_write_image(set, all_legs(set));
}
