// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-replica: reads and writes
 *
 * A read is remapped to a leg. Only if it fails does anything else look at it:
 * the next leg's own work item then sends it there, with a call of the library.
 *
 * A write goes to all legs with one call. In a healthy set it takes no lock: it
 * counts itself on its CPU, sees that the bits of its regions are set, and is
 * submitted. Otherwise it takes the lock and finds out what it has to wait for.
 */
#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "dm-replica.h"
#include "dm-replica-test.h"

#define DM_MSG_PREFIX "replica"

/* A flush has no sector. */
static sector_t io_sector(const struct replica_set *set,
			  const struct bvec_iter *iter)
{
	return iter->bi_size ? iter->bi_sector - set->begin : 0;
}

static bool is_flush(const struct bio *bio)
{
	return !bio->bi_iter.bi_size;
}

/*
 * To the block layer, a flush is a write of nothing. The library has a name for it.
 * A write that gives up early would cost a leg.
 */
static blk_opf_t write_opf(const struct bio *bio)
{
	blk_opf_t opf = DM_IO_BIO_OPF(bio) & ~REQ_FAILFAST_MASK;

	if (unlikely(is_flush(bio)))
		return REQ_OP_FLUSH | (opf & (REQ_SYNC | REQ_META | REQ_PRIO |
					      REQ_IDLE | REQ_BACKGROUND));
	return opf;
}

/*
 * What is counted
 */

static enum count counted_as(const struct bio *bio)
{
	if (unlikely(is_flush(bio)))
		return COUNT_FLUSHES;
	if (unlikely(bio_op(bio) == REQ_OP_DISCARD))
		return COUNT_DISCARDS;
	return COUNT_WRITES;
}

/* Of reads and writes, the sectors follow. */
static __always_inline void count_for_leg(struct replica_cpu *cpu,
					  unsigned int leg, enum count count,
					  unsigned int sectors)
{
	u64_stats_t *counts = cpu->counts[leg];

	u64_stats_inc(&counts[count]);
	if (count == COUNT_READS || count == COUNT_WRITES)
		u64_stats_add(&counts[count + 1], sectors);
}

static void count_read(struct replica_set *set, unsigned int leg,
		       unsigned int sectors, bool retry)
{
	struct replica_cpu *cpu = get_cpu_ptr(set->cpus);

	u64_stats_update_begin(&cpu->sync);
	count_for_leg(cpu, leg, COUNT_READS, sectors);
	if (retry)
		u64_stats_inc(&cpu->counts[leg][COUNT_RETRIES]);
	u64_stats_update_end(&cpu->sync);
	put_cpu_ptr(set->cpus);
}

static void count_write(struct replica_set *set, unsigned long legs,
			const struct bio *bio)
{
	struct replica_cpu *cpu = get_cpu_ptr(set->cpus);
	unsigned int sectors = bio_sectors(bio);
	enum count count = counted_as(bio);
	unsigned int leg;

	u64_stats_update_begin(&cpu->sync);
	for_each_leg(leg, legs)
		count_for_leg(cpu, leg, count, sectors);
	u64_stats_update_end(&cpu->sync);
	put_cpu_ptr(set->cpus);
}

void replica_sum_counts(const struct replica_set *set, unsigned int leg,
			u64 *sums)
{
	u64 counts[NUM_COUNTS];
	unsigned int start, i;
	int cpu;

	memset(sums, 0, sizeof(counts));
	for_each_possible_cpu(cpu) {
		struct replica_cpu *of = per_cpu_ptr(set->cpus, cpu);

		do {
			start = u64_stats_fetch_begin(&of->sync);
			for (i = 0; i < NUM_COUNTS; i++)
				counts[i] = u64_stats_read(&of->counts[leg][i]);
		} while (u64_stats_fetch_retry(&of->sync, start));
		for (i = 0; i < NUM_COUNTS; i++)
			sums[i] += counts[i];
	}
}

/* @sector is the set's own; flushes and superblocks have none, so it is 0. */
void replica_count_error(struct replica_set *set, unsigned int leg,
			 enum error_kind kind, int error, sector_t sector)
{
	lockdep_assert_held(&set->lock);

	set->legs[leg].errors[kind]++;
	set->legs[leg].last_kind = kind;
	set->legs[leg].last_error = error;
	set->legs[leg].last_sector = sector;
}

/* An error that costs no leg: there may be many of them. */
void replica_log_error(const struct replica_set *set, unsigned int leg)
{
	const struct replica_leg *failed = &set->legs[leg];

	DMWARN_LIMIT("%s: leg %u (%pg): %s error %pe, sector %llu", set->name,
		     leg, failed->bdev,
		     replica_error_kind_names[failed->last_kind],
		     ERR_PTR(failed->last_error),
		     (unsigned long long)failed->last_sector);
}

/*
 * Legs that fail
 */

/*
 * DROP. What these legs lack, they lack from now on: live legs come with superblocks
 * to be written before anybody hears of a write that went without them. There
 * is another live leg.
 */
void replica_drop_legs(struct replica_set *set, unsigned long legs)
{
	unsigned long live = set->live & ~legs;
	unsigned int leg;

	lockdep_assert_held(&set->lock);

	legs &= set->live | set->rebuilding | set->requested;
	for_each_leg(leg, legs)
		set->legs[leg].dropped++;
	set->rebuilding &= ~legs;
	set->requested &= ~legs;
	set->finishing &= ~legs;
	if (live != set->live) {
		WRITE_ONCE(set->stale, true);
		/* Who sees it, sees that superblocks are stale, too. */
		smp_store_release(&set->live, live);
	}
	set->event = true;
	queue_work(set->workqueue, &set->meta_work);
	wake_up_all(&set->wait);
}

/*
 * Has the library, or a layer above the device, not even tried? -EOPNOTSUPP is none
 * of these: a leg that does not support a write lacks the data.
 */
bool replica_is_refusal(int error)
{
	switch (error) {
	case -ENOMEM:
	case -EINVAL:
	case -EFAULT:
	case -EINTR:
	case -EAGAIN:
		return true;
	default:
		return false;
	}
}

/*
 * The @failed legs were to be written to, and @errors says why they were not.
 * Those that their device has failed are dropped, unless that were all live legs:
 * then none lacks what another one has. Returns the legs that are left, and which
 * yet lack what was written.
 */
unsigned long replica_fail_legs(struct replica_set *set, unsigned long failed,
				enum error_kind kind, const int *errors,
				sector_t sector)
{
	unsigned long known = set->live | set->rebuilding | set->requested;
	unsigned long drop = failed;
	unsigned int leg;

	lockdep_assert_held(&set->lock);

	for_each_leg(leg, failed) {
		replica_count_error(set, leg, kind, errors[leg], sector);
		if (replica_is_refusal(errors[leg]))
			drop &= ~BIT(leg);
	}
	/*
	 * A leg that superblocks do not name yet does not count: the others would
	 * not know that it is newer.
	 */
	if (!(set->live & set->recorded & ~drop))
		drop &= ~set->live;
	drop &= known;
	for_each_leg(leg, failed) {
		if (drop & BIT(leg))
			DMERR("%s: leg %u (%pg) is dropped: %s error %pe, sector %llu",
			      set->name, leg, set->legs[leg].bdev,
			      replica_error_kind_names[kind],
			      ERR_PTR(errors[leg]), (unsigned long long)sector);
		else
			replica_log_error(set, leg);
	}
	if (drop)
		replica_drop_legs(set, drop);
	return failed & (set->live | set->rebuilding);
}

/*
 * Writes
 */

void replica_end_ios(struct list_head *ios, blk_status_t status)
{
	struct replica_io *io, *next;

	list_for_each_entry_safe(io, next, ios, list) {
		if (status)
			io->bio->bi_status = status;
		bio_endio(io->bio);
	}
}

static int first_error(const struct replica_io *io, unsigned long legs)
{
	return io->errors[__ffs(legs)];
}

/*
 * Discarded data is nobody's: a leg that cannot discard, or fails to, lacks
 * nothing. Somebody has to have done it, that is all.
 */
static int judge_discard(struct replica_set *set, struct replica_io *io,
			 unsigned long error)
{
	unsigned long unable = 0;
	unsigned int leg;

	for_each_leg(leg, error)
		if (io->errors[leg] == -EOPNOTSUPP)
			unable |= BIT(leg);
	if (error & ~unable)
		return first_error(io, error & ~unable);
	return unable == io->legs ? -EOPNOTSUPP : 0;
}

/* What becomes of a write, and of the legs, that had errors. With the lock held. */
static int judge_write(struct replica_set *set, struct replica_io *io,
		       unsigned long error)
{
	struct bio *bio = io->bio;
	sector_t sector = io_sector(set, &bio->bi_iter);
	enum error_kind kind = WRITE_ERROR;
	unsigned long unable = 0, lacking;
	unsigned int leg;

	if (bio_op(bio) == REQ_OP_DISCARD)
		return judge_discard(set, io, error);

	if (is_flush(bio)) {
		kind = FLUSH_ERROR;
	} else if (bio_op(bio) == REQ_OP_WRITE_ZEROES) {
		/* Whoever asked writes zeroes by himself then. */
		for_each_leg(leg, error)
			if (io->errors[leg] == -EOPNOTSUPP)
				unable |= BIT(leg);
		if (unable == io->legs)
			return -EOPNOTSUPP;
	}

	lacking = unable;
	if (error & ~unable)
		lacking |= replica_fail_legs(set, error & ~unable, kind,
					     io->errors, sector);
	if (!lacking)
		return 0;

	/* A flush that was not tried has changed nothing. */
	if (!is_flush(bio))
		replica_mark_differ(set, sector, bio_sectors(bio));
	else if (!replica_is_refusal(first_error(io, lacking)))
		replica_mark_all_differ(set);
	if (unable)
		return -EOPNOTSUPP;
	return lacking & set->live ? first_error(io, lacking & set->live) : 0;
}

/* ACK or HOLD: as long as superblocks are stale, nobody hears of a write. */
static noinline void end_write(struct replica_set *set, struct replica_io *io,
			       unsigned long error)
{
	struct bio *bio = io->bio;
	unsigned long flags;
	bool hold;
	int ret;

	spin_lock_irqsave(&set->lock, flags);
	if (error) {
		ret = judge_write(set, io, error);
		if (ret)
			bio->bi_status = errno_to_blk_status(ret);
	}
	replica_leave(set, io->epoch);
	hold = set->stale;
	if (hold) {
		list_add_tail(&io->list, &set->held);
		queue_work(set->workqueue, &set->meta_work);
	}
	spin_unlock_irqrestore(&set->lock, flags);

	if (!hold)
		bio_endio(bio);
}

/* May run in interrupt context. Once the bio has ended, the set may be gone. */
static void write_done(unsigned long error, void *context)
{
	struct replica_io *io = context;
	struct replica_set *set = io->set;

	if (unlikely(error || READ_ONCE(set->stale))) {
		end_write(set, io, error);
		return;
	}
	replica_leave(set, io->epoch);
	bio_endio(io->bio);
}

/* If there is none, the first one is asked to, and says so. */
static unsigned long legs_that_discard(const struct replica_set *set,
				       unsigned long legs)
{
	unsigned long able = 0;
	unsigned int leg;

	for_each_leg(leg, legs)
		if (bdev_max_discard_sectors(set->legs[leg].bdev))
			able |= BIT(leg);
	return able ?: BIT(__ffs(legs));
}

/*
 * WRITE. The number of a leg is the index of its region, so error bits come back
 * as a set of legs. The other regions have no device and no count, and are ignored.
 */
static void submit_write(struct replica_set *set, struct replica_io *io,
			 unsigned long legs)
{
	struct bio *bio = io->bio;
	sector_t sector = RESERVED_SECTORS + bio->bi_iter.bi_sector - set->begin;
	struct io_region where[MAX_LEGS];
	struct dm_io_args args = {
		.opf = write_opf(bio),
		.num_regions = set->num_legs,
		.where = where,
		.bio = bio,
		.fn = write_done,
		.context = io,
		.errors = io->errors,
	};
	unsigned int leg;

	if (unlikely(bio_op(bio) == REQ_OP_DISCARD))
		legs = legs_that_discard(set, legs);
	io->legs = legs;
	for (leg = 0; leg < set->num_legs; leg++) {
		if (likely(legs & BIT(leg))) {
			where[leg].bdev = set->legs[leg].bdev;
			where[leg].sector = sector;
			where[leg].count = bio_sectors(bio);
		} else {
			where[leg] = (struct io_region) { };
		}
	}
	count_write(set, legs, bio);
	if (dm_io_submit(&args)) {
		/* Refused: no leg has got it, so none has failed. */
		bio->bi_status = BLK_STS_IOERR;
		write_done(0, io);
	}
}

/* With the lock held, or within rcu_read_lock(), so that nobody waits in vain. */
static void enter(struct replica_set *set, struct replica_io *io)
{
	io->epoch = READ_ONCE(set->epoch);
	this_cpu_inc(set->cpus->in_flight[io->epoch]);
}

static bool enter_fast(struct replica_set *set, struct replica_io *io)
{
	bool dirty;

	rcu_read_lock();
	if (unlikely(!READ_ONCE(set->fast))) {
		rcu_read_unlock();
		return false;
	}
	enter(set, io);
	dirty = replica_regions_are_dirty(set, io->bio);
	rcu_read_unlock();

	if (unlikely(!dirty))
		replica_leave(set, io->epoch);
	return dirty;
}

/* With the lock held. A flush makes no leg differ, whatever the superblocks say. */
static bool is_prepared(struct replica_set *set, const struct bio *bio)
{
	return is_flush(bio) ||
	       (set->dirty_recorded && replica_regions_are_dirty(set, bio));
}

static bool in_window(const struct replica_set *set, const struct bio *bio)
{
	sector_t sector = io_sector(set, &bio->bi_iter);

	return sector < set->window_end &&
	       sector + bio_sectors(bio) > set->window_start;
}

void replica_start_write(struct replica_io *io)
{
	struct replica_set *set = io->set;
	struct bio *bio = io->bio;
	unsigned long legs;

	if (likely(enter_fast(set, io))) {
		/* Pairs with the release in replica_drop_legs(). */
		submit_write(set, io, smp_load_acquire(&set->live));
		return;
	}

	spin_lock_irq(&set->lock);
	/* Counted before its regions are looked at: see replica_find_clean(). */
	enter(set, io);
	if (!is_prepared(set, bio)) {
		replica_leave(set, io->epoch);
		list_add_tail(&io->list, &set->waiting);
		queue_work(set->workqueue, &set->meta_work);
	} else if (in_window(set, bio)) {
		replica_leave(set, io->epoch);
		list_add_tail(&io->list, &set->deferred);
	} else {
		legs = set->live | set->rebuilding;
		spin_unlock_irq(&set->lock);
		submit_write(set, io, legs);
		return;
	}
	spin_unlock_irq(&set->lock);
}

/*
 * Reads
 */

/* A live leg that was not tried; MAX_LEGS if there is none. */
static unsigned int choose_leg(const struct replica_set *set,
			       unsigned long tried, sector_t sector)
{
	unsigned long legs = READ_ONCE(set->live) & ~tried;
	unsigned int skip = 0;

	if (unlikely(!legs))
		return MAX_LEGS;
	/* While live legs may differ, it must not matter where one reads. */
	if (likely(!READ_ONCE(set->num_differ)))
		skip = (u32)(sector >> STRETCH_SHIFT) % hweight_long(legs);
	while (skip--)
		legs &= legs - 1;
	return __ffs(legs);
}

/*
 * A leg is not dropped for a failed read: what else it has is as good as ever,
 * and may be the last copy some day. Returns false if no leg is left to try.
 */
static bool retry_read(struct replica_io *io, int error)
{
	struct replica_set *set = io->set;
	sector_t sector = io_sector(set, &io->iter);
	unsigned long flags;
	bool retry;

	spin_lock_irqsave(&set->lock, flags);
	replica_count_error(set, io->leg, READ_ERROR, error, sector);
	replica_log_error(set, io->leg);
	io->leg = choose_leg(set, io->legs, sector);
	retry = io->leg < MAX_LEGS;
	if (retry) {
		struct replica_leg *leg = &set->legs[io->leg];

		io->legs |= BIT(io->leg);
		list_add_tail(&io->list, &leg->retries);
		queue_work(leg->queue, &leg->retry_work);
	}
	spin_unlock_irqrestore(&set->lock, flags);
	return retry;
}

static void end_read(struct replica_io *io, int error)
{
	io->ended = true;
	io->bio->bi_status = errno_to_blk_status(error);
	bio_endio(io->bio);
}

/* May run in interrupt context. */
static void read_done(unsigned long error, void *context)
{
	struct replica_io *io = context;

	if (!error)
		end_read(io, 0);
	else if (!retry_read(io, io->errors[0]))
		end_read(io, io->errors[0]);
}

/* The bio as it was before it came to an end for the first time. */
static void restore_bio(struct replica_io *io)
{
	io->bio->bi_status = BLK_STS_OK;
	io->bio->bi_iter = io->iter;
	io->bio->bi_flags = io->bio_flags;
}

static void restart_read(struct replica_set *set, struct replica_io *io)
{
	struct bio *bio = io->bio;
	struct io_region where = {
		.bdev = set->legs[io->leg].bdev,
	};
	struct dm_io_args args = {
		.opf = DM_IO_BIO_OPF(bio),
		.num_regions = 1,
		.where = &where,
		.bio = bio,
		.fn = read_done,
		.context = io,
		.errors = io->errors,
	};

	restore_bio(io);
	where.sector = RESERVED_SECTORS + io_sector(set, &io->iter);
	where.count = bio_sectors(bio);
	count_read(set, io->leg, bio_sectors(bio), true);
	if (dm_io_submit(&args))
		end_read(io, -EIO);
}

/* On the leg's own queue: if it hangs, that is where it does. */
void replica_retry_reads(struct work_struct *work)
{
	struct replica_leg *leg = container_of(work, struct replica_leg,
					       retry_work);
	struct replica_set *set = leg->jobs[0].set;
	struct replica_io *io, *next;
	LIST_HEAD(ios);

	spin_lock_irq(&set->lock);
	list_splice_init(&leg->retries, &ios);
	spin_unlock_irq(&set->lock);
	list_for_each_entry_safe(io, next, &ios, list)
		restart_read(set, io);
}

/* READ */
static int map_read(struct replica_set *set, struct replica_io *io)
{
	struct bio *bio = io->bio;
	sector_t sector = io_sector(set, &bio->bi_iter);

	io->leg = choose_leg(set, 0, sector);
	if (unlikely(io->leg == MAX_LEGS))
		return DM_MAPIO_KILL;
	io->legs = BIT(io->leg);
	io->ended = false;
	io->iter = bio->bi_iter;
	io->bio_flags = bio->bi_flags;
	count_read(set, io->leg, bio_sectors(bio), false);
	bio_set_dev(bio, set->legs[io->leg].bdev);
	bio->bi_iter.bi_sector = RESERVED_SECTORS + sector;
	return DM_MAPIO_REMAPPED;
}

/* Runs below submit_bio(), where the asynchronous calls are at home. */
int replica_map_io(struct replica_io *io)
{
	if (bio_data_dir(io->bio) == READ)
		return map_read(io->set, io);
	replica_start_write(io);
	return DM_MAPIO_SUBMITTED;
}
EXPORT_SYMBOL_FOR_TESTS(replica_map_io);

/* May run in interrupt context. */
int replica_end_io(struct replica_io *io, blk_status_t *status)
{
	if (likely(!*status) || bio_data_dir(io->bio) == WRITE || io->ended)
		return DM_ENDIO_DONE;
	return retry_read(io, blk_status_to_errno(*status)) ?
	       DM_ENDIO_INCOMPLETE : DM_ENDIO_DONE;
}
EXPORT_SYMBOL_FOR_TESTS(replica_end_io);
