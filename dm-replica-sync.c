// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-replica: making legs equal
 *
 * One work item copies what live legs may differ in after a crash, and what legs
 * that are being rebuilt lack; and when there is nothing to copy, it looks every
 * few seconds for regions whose bits may be cleared. So only one of these runs.
 *
 * Both have to know that writes have ended. Each is counted on its CPU in one of
 * two counters, selected by @epoch. It is switched, and the other counter goes
 * down to 0 although new writes keep coming.
 *
 * While there is something to copy, writes take the lock. Those that overlap the
 * chunk that is just being copied are put off.
 */
#include <linux/bitmap.h>
#include <linux/device-mapper.h>
#include <linux/rcupdate.h>

#include "dm-replica.h"
#include "dm-replica-test.h"

#define DM_MSG_PREFIX "replica"

/* How long to wait before trying again what found no memory. */
#define SHORTAGE_DELAY	(HZ / 10)

/*
 * Epochs
 */

/* No writes are added to it any more: a sum that is 0 stays 0. */
bool replica_epoch_ended(const struct replica_set *set, unsigned int epoch)
{
	long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(set->cpus, cpu)->in_flight[epoch]);
	return !sum;
}

/* A write has ended. As long as its bio has not, the set is there. */
void replica_leave(struct replica_set *set, unsigned int epoch)
{
	bool draining;

	/* See begin_copying(). */
	rcu_read_lock();
	this_cpu_dec(set->cpus->in_flight[epoch]);
	draining = READ_ONCE(set->draining);
	if (unlikely(draining))
		wake_up_all(&set->wait);
	rcu_read_unlock();
}

/* Returns the epoch that writes belong to no longer. */
static unsigned int switch_epoch(struct replica_set *set)
{
	unsigned int epoch;

	spin_lock_irq(&set->lock);
	epoch = set->epoch;
	WRITE_ONCE(set->epoch, !epoch);
	spin_unlock_irq(&set->lock);
	return epoch;
}

/* With the lock held, or for a look. */
bool replica_wants_copy(const struct replica_set *set)
{
	if (set->rebuilding)
		return true;
	return set->num_differ && !set->copy_stopped &&
	       hweight_long(set->live) > 1;
}
EXPORT_SYMBOL_FOR_TESTS(replica_wants_copy);

/*
 * Have writes take the lock, and those that end wake us. Those that have not seen it
 * are counted in one of the epochs once this returns.
 */
static void begin_copying(struct replica_set *set)
{
	spin_lock_irq(&set->lock);
	set->slow = true;
	replica_update_fast(set);
	spin_unlock_irq(&set->lock);
	if (READ_ONCE(set->draining))
		return;
	WRITE_ONCE(set->draining, true);
	synchronize_rcu_expedited();
}

/* Unless there is something to copy again. */
static void end_copying(struct replica_set *set)
{
	spin_lock_irq(&set->lock);
	if (!replica_wants_copy(set) && !set->requested) {
		if (hweight_long(set->live) < 2 && set->num_differ) {
			/* It equals itself. */
			bitmap_zero(set->differ, set->num_regions);
			WRITE_ONCE(set->num_differ, 0);
		}
		if (!set->num_differ)
			DMINFO("%s: copying is complete", set->name);
		bitmap_zero(set->todo, set->num_regions);
		set->num_todo = 0;
		set->slow = false;
		set->copy_total = 0;
		set->copy_next = 0;
		WRITE_ONCE(set->draining, false);
		replica_update_fast(set);
	}
	spin_unlock_irq(&set->lock);
}

/*
 * A chunk
 */

struct chunk {
	sector_t sector;
	sector_t count;
	bool differ;			/* other live legs are to be made equal */
	bool todo;			/* so are those that are being rebuilt */
	unsigned int source;
	bool patched;			/* with what the source could not read */
	unsigned long targets;
};

static bool region_wants(const struct replica_set *set, unsigned long region,
			 bool differ, bool todo)
{
	return test_bit(region, set->differ) == differ &&
	       (set->rebuilding && test_bit(region, set->todo)) == todo;
}

/* The next region to copy, from this one on, or num_regions. */
static unsigned long next_region(const struct replica_set *set,
				 unsigned long region)
{
	unsigned long next = find_next_bit(set->differ, set->num_regions, region);

	if (set->rebuilding)
		next = min(next, find_next_bit(set->todo, set->num_regions,
					       region));
	return next;
}

/* With the lock held. */
static bool choose_chunk(struct replica_set *set, struct chunk *chunk)
{
	unsigned long region = next_region(set, region_of(set, set->copy_next));
	sector_t start, end;

	if (region == set->num_regions)
		return false;
	start = (sector_t)region << set->region_shift;
	chunk->sector = max(start, set->copy_next);
	set->copy_next = chunk->sector;
	chunk->differ = test_bit(region, set->differ);
	chunk->todo = set->rebuilding && test_bit(region, set->todo);
	chunk->targets = 0;

	/* As many as are in the same state. */
	do {
		region++;
		end = (sector_t)region << set->region_shift;
	} while (end < chunk->sector + CHUNK_SECTORS &&
		 region < set->num_regions &&
		 region_wants(set, region, chunk->differ, chunk->todo));
	chunk->count = min3(end - chunk->sector, set->len - chunk->sector,
			    (sector_t)CHUNK_SECTORS);
	return true;
}

/* Writes to the chunk are put off, and those in flight have ended. */
static void close_window(struct replica_set *set, const struct chunk *chunk)
{
	unsigned int epoch;

	wait_event(set->wait, replica_epoch_ended(set, !set->epoch));
	spin_lock_irq(&set->lock);
	set->window_start = chunk->sector;
	set->window_end = chunk->sector + chunk->count;
	spin_unlock_irq(&set->lock);
	epoch = switch_epoch(set);
	wait_event(set->wait, replica_epoch_ended(set, epoch));
}

static void open_window(struct replica_set *set)
{
	struct replica_io *io, *next;
	LIST_HEAD(ios);

	spin_lock_irq(&set->lock);
	set->window_end = 0;
	list_splice_init(&set->deferred, &ios);
	spin_unlock_irq(&set->lock);
	list_for_each_entry_safe(io, next, &ios, list)
		replica_start_write(io);
}

static void prepare_copy(struct replica_set *set, unsigned int leg,
			 blk_opf_t opf, sector_t offset, sector_t sector,
			 sector_t count)
{
	struct replica_job *job = &set->legs[leg].jobs[COPY_JOB];

	job->opf = opf;
	job->sector = RESERVED_SECTORS + sector;
	job->count = count;
	job->data = set->chunk + (offset << SECTOR_SHIFT);
}

/* Returns 0, a negative errno, or -ECANCELED if the leg has been dropped. */
static int read_from(struct replica_set *set, const struct chunk *chunk,
		     unsigned int leg, sector_t sector, sector_t count)
{
	int errors[MAX_LEGS] = { };

	prepare_copy(set, leg, REQ_OP_READ, sector - chunk->sector, sector,
		     count);
	replica_run_jobs(set, BIT(leg), COPY_JOB, errors);
	if (!(READ_ONCE(set->live) & BIT(leg)))
		return -ECANCELED;
	if (errors[leg]) {
		spin_lock_irq(&set->lock);
		replica_count_error(set, leg, COPY_ERROR, errors[leg], sector);
		replica_log_error(set, leg);
		spin_unlock_irq(&set->lock);
	}
	return errors[leg];
}

/*
 * What the source cannot read comes from the next leg that can: as reads do. But no
 * block more than that, or what they have returned would change.
 */
static int read_block(struct replica_set *set, struct chunk *chunk,
		      sector_t sector, sector_t count)
{
	unsigned long legs = READ_ONCE(set->live);
	int ret = -EIO;
	unsigned int leg;

	for_each_leg(leg, legs) {
		ret = read_from(set, chunk, leg, sector, count);
		if (!ret && leg != chunk->source)
			chunk->patched = true;
		if (!ret || ret == -ECANCELED)
			break;
	}
	return ret;
}

static int read_chunk(struct replica_set *set, struct chunk *chunk)
{
	sector_t block = set->block_bytes >> SECTOR_SHIFT;
	sector_t sector = chunk->sector, end = sector + chunk->count;
	sector_t count = chunk->count;
	int ret;

	/* In halves around what cannot be read, down to a block. */
	while (sector < end) {
		count = min(count, end - sector);
		if (count > block) {
			ret = read_from(set, chunk, chunk->source, sector, count);
			if (ret && ret != -ECANCELED && ret != -ENOMEM) {
				count = round_up(count / 2, block);
				continue;
			}
		} else {
			ret = read_block(set, chunk, sector, count);
		}
		if (ret)
			return ret;
		sector += count;
		/* It grows again as long as it fits. */
		if (sector < end)
			count = min(count * 2, end - sector);
	}
	return 0;
}

/* Nobody has it. Rebuilding has failed, and live legs stay as they are there. */
static void give_up(struct replica_set *set, const struct chunk *chunk, int error)
{
	spin_lock_irq(&set->lock);
	DMERR("%s: no leg can read all of %llu sectors from %llu (%pe)",
	      set->name, (unsigned long long)chunk->count,
	      (unsigned long long)chunk->sector, ERR_PTR(error));
	if (chunk->todo)
		replica_drop_legs(set, set->rebuilding);
	set->copy_next = chunk->sector + chunk->count;
	set->gave_up = true;
	spin_unlock_irq(&set->lock);
}

static void end_region(struct replica_set *set, unsigned long region,
		       const struct chunk *chunk)
{
	if (chunk->differ && __test_and_clear_bit(region, set->differ))
		WRITE_ONCE(set->num_differ, set->num_differ - 1);
	if (chunk->todo && __test_and_clear_bit(region, set->todo))
		set->num_todo--;
}

/* With the lock held: the targets have got it. */
static void end_chunk(struct replica_set *set, const struct chunk *chunk)
{
	sector_t end = chunk->sector + chunk->count;
	unsigned long region = region_of(set, chunk->sector);

	/* A write has failed in this region, or a leg has come: it begins again. */
	if (set->copy_next != chunk->sector ||
	    (chunk->todo && set->rebuilding & ~chunk->targets))
		return;
	set->copy_next = end;
	for (; region < set->num_regions; region++) {
		sector_t region_end = (sector_t)(region + 1) << set->region_shift;

		if (min(region_end, set->len) > end)
			break;
		end_region(set, region, chunk);
	}
}

/*
 * A source that could not read a part gets that, too: it may be able to later, and would
 * return something else than the others.
 */
static bool write_chunk(struct replica_set *set, struct chunk *chunk)
{
	unsigned long failed, lacking, targets;
	int errors[MAX_LEGS];
	unsigned int leg;
	bool ok;

	spin_lock_irq(&set->lock);
	targets = (chunk->differ ? set->live : 0) |
		  (chunk->todo ? set->rebuilding : 0);
	if (!chunk->patched)
		targets &= ~BIT(chunk->source);
	chunk->targets = targets;
	for_each_leg(leg, targets)
		prepare_copy(set, leg, REQ_OP_WRITE, 0, chunk->sector,
			     chunk->count);
	spin_unlock_irq(&set->lock);

	failed = replica_run_jobs(set, targets, COPY_JOB, errors);

	spin_lock_irq(&set->lock);
	for_each_leg(leg, targets)
		set->legs[leg].copied += chunk->count;
	lacking = failed ? replica_fail_legs(set, failed, COPY_ERROR, errors,
					     chunk->sector) : 0;
	ok = !lacking && set->live & BIT(chunk->source);
	if (ok)
		end_chunk(set, chunk);
	spin_unlock_irq(&set->lock);
	return ok;
}

/* Dropped legs may still use the memory. */
static bool chunk_is_free(struct replica_set *set)
{
	return !READ_ONCE(set->busy[COPY_JOB]);
}

/* COPY. Returns false if it has to be tried again after a while. */
static bool copy_chunk(struct replica_set *set, struct chunk *chunk)
{
	bool ok = true;
	int ret;

	close_window(set, chunk);
	chunk->source = __ffs(READ_ONCE(set->live));
	chunk->patched = false;
	ret = read_chunk(set, chunk);
	if (!ret)
		ok = write_chunk(set, chunk);
	else if (ret == -ENOMEM)
		ok = false;
	else if (ret != -ECANCELED)
		give_up(set, chunk, ret);
	open_window(set);
	wait_event(set->wait, chunk_is_free(set));
	return ok;
}

/* Returns false if there is nothing left. */
static bool find_chunk(struct replica_set *set, struct chunk *chunk)
{
	bool found;

	spin_lock_irq(&set->lock);
	if (!set->copy_total)
		set->copy_total = max(set->num_differ,
				      set->rebuilding ? set->num_todo : 0);
	found = choose_chunk(set, chunk);
	if (!found && set->copy_next) {
		set->copy_next = 0;
		found = choose_chunk(set, chunk);
		/* A second time over the same is of no use. */
		if (set->gave_up && !(set->rebuilding && set->num_todo)) {
			set->copy_stopped = true;
			found = false;
		}
	}
	if (!found && set->rebuilding && !set->num_todo) {
		set->finishing = set->rebuilding;
		queue_work(set->workqueue, &set->meta_work);
	}
	spin_unlock_irq(&set->lock);
	return found;
}

static void copy(struct replica_set *set)
{
	struct chunk chunk;
	bool wait;

	spin_lock_irq(&set->lock);
	wait = replica_wants_copy(set) && !set->dirty_recorded;
	spin_unlock_irq(&set->lock);
	if (wait) {
		/* It queues us again. */
		queue_work(set->workqueue, &set->meta_work);
		return;
	}
	begin_copying(set);
	if (find_chunk(set, &chunk)) {
		queue_delayed_work(set->sync_queue, &set->sync_work,
				   copy_chunk(set, &chunk) ? 0 : SHORTAGE_DELAY);
		return;
	}
	/* If that is not the end, it may still come to nothing: we look again. */
	end_copying(set);
	queue_delayed_work(set->sync_queue, &set->sync_work,
			   set->clear_interval);
}

/*
 * CLEAR_BITS. What was written to before the last time is to have ended. If it takes
 * longer, we come again.
 */
static void look_for_clean(struct replica_set *set)
{
	bool may;

	spin_lock_irq(&set->lock);
	may = set->dirty_recorded && set->live == all_legs(set) &&
	      !set->num_differ && !set->clear_wanted && !set->slow;
	spin_unlock_irq(&set->lock);
	if (!may || !replica_any_dirty(set))
		return;
	if (!set->flipped) {
		if (!replica_epoch_ended(set, !set->epoch))
			goto again;
		switch_epoch(set);
		synchronize_rcu();
	}
	set->flipped = !replica_epoch_ended(set, !set->epoch);
	if (!set->flipped && replica_find_clean(set)) {
		spin_lock_irq(&set->lock);
		set->clear_wanted = true;
		spin_unlock_irq(&set->lock);
		queue_work(set->workqueue, &set->meta_work);
		return;
	}
again:
	queue_delayed_work(set->sync_queue, &set->sync_work, set->clear_interval);
}

void replica_sync_work(struct work_struct *work)
{
	struct replica_set *set = container_of(to_delayed_work(work),
					       struct replica_set, sync_work);
	bool running, wanted;

	spin_lock_irq(&set->lock);
	running = set->running;
	if (running && set->stale)
		queue_work(set->workqueue, &set->meta_work);
	wanted = replica_wants_copy(set) || set->slow;
	spin_unlock_irq(&set->lock);
	if (!running)
		return;
	if (wanted)
		copy(set);
	else
		look_for_clean(set);
}
