// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-replica: superblocks, and the state of the legs
 *
 * All that has to be on the legs before something else may happen is written by
 * one work item, in replica_meta_work(): superblocks, after which writes that were
 * held are acknowledged, and bits, after which writes that wait are started. It does
 * so by jobs on the queues of the legs, and does not wait for a leg that is dropped
 * meanwhile: that may hang for as long as it likes.
 */
#include <linux/crc32.h>
#include <linux/device-mapper.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uuid.h>
#include <linux/vmalloc.h>

#include "dm-replica.h"
#include "dm-replica-test.h"

#define DM_MSG_PREFIX "replica"

#define SUPERBLOCK_MAGIC	"DMREPLCA"
#define SUPERBLOCK_VERSION	2
#define SUPERBLOCK_BYTES	512

/* Somebody writes, or not all legs are equal yet. */
#define SUPERBLOCK_DIRTY	0x1

/* Version 1 had a number. That is its identifier, with this in the upper bits. */
#define VERSION_1_ID		(0x7631ULL << 48)
#define VERSION_1_BYTES		72

/*
 * At the start of each leg. A device writes 512 bytes as a whole or not at all.
 */
struct replica_superblock {
	u8 magic[8];
	__le32 checksum;		/* of all that follows */
	__le32 version;
	u8 uuid[16];			/* of the set */
	__le64 sequence;		/* counts, and decides nothing */
	__le64 data_sectors;
	__le32 reserved_sectors;
	__le32 num_legs;
	__le32 leg;			/* which one this is */
	__le32 live;			/* one bit per leg */
	__le32 flags;
	__le32 block_bytes;		/* the end of version 1 */
	__le32 region_shift;		/* of bytes */
	__le32 num_predecessors;
	__le64 id;
	__le64 data_id;
	__le64 base[MAX_LEGS];
	__le64 last[MAX_LEGS];
	__le64 predecessors[MAX_PREDECESSORS];
};

static_assert(sizeof(struct replica_superblock) == SUPERBLOCK_BYTES);

/* What was read of a leg. */
struct leg_state {
	bool valid;
	bool dirty;
	bool version_1;
	unsigned long live;
	u64 data_id;
	u64 sequence;
	unsigned int block_bytes;
	unsigned int region_shift;	/* of bytes; 0 is the usual one */
	struct replica_history history;
};

/*
 * History
 */

/*
 * How many generations ago that was; -1 if it is none of this history. Numbers
 * order nothing, as two histories may have the same.
 */
static int generations_ago(const struct replica_history *history, u64 id)
{
	unsigned int i;

	if (id == history->id)
		return 0;
	for (i = 0; i < history->num_predecessors; i++)
		if (history->predecessors[i] == id)
			return i + 1;
	return -1;
}

/* A leg that was away for long is remembered for itself. */
static bool knows(const struct replica_history *history, unsigned int leg, u64 id)
{
	return generations_ago(history, id) >= 0 || history->last[leg] == id;
}

/* Other legs are live from now on. With the lock held. */
static void begin_generation(struct replica_set *set)
{
	struct replica_history *history = &set->history;
	unsigned int num = min_t(unsigned int, history->num_predecessors,
				 MAX_PREDECESSORS - 1);
	unsigned long gone = set->recorded & ~set->live;
	unsigned long live = set->live;
	unsigned int leg;

	if (history->id) {
		memmove(history->predecessors + 1, history->predecessors,
			num * sizeof(history->predecessors[0]));
		history->predecessors[0] = history->id;
		history->num_predecessors = num + 1;
	}
	do
		get_random_bytes(&history->id, sizeof(history->id));
	while (history->id >> 48 == VERSION_1_ID >> 48 || !history->id);

	/* No bit has been cleared since superblocks named it live. */
	for_each_leg(leg, gone) {
		history->last[leg] = set->recorded_id;
		if (!history->base[leg])
			history->base[leg] = set->recorded_id;
	}
	for_each_leg(leg, live)
		history->base[leg] = 0;
	set->history_live = live;
}

/* Are all bits set of what was written since the leg had this generation's data? */
static bool bitmap_covers(const struct replica_set *set, unsigned int leg,
			  u64 data_id)
{
	int base = generations_ago(&set->history, set->history.base[leg]);
	int data = generations_ago(&set->history, data_id);

	return set->history.base[leg] && base >= 0 && data >= 0 && data <= base;
}

/*
 * Superblocks, as they are on a leg
 */

static u32 superblock_checksum(const struct replica_superblock *superblock,
			       size_t bytes)
{
	size_t start = offsetofend(struct replica_superblock, checksum);

	return crc32_le(~0, (const u8 *)superblock + start, bytes - start);
}

static void encode(const struct replica_set *set, unsigned int leg,
		   unsigned long live, bool dirty, u64 data_id)
{
	struct replica_superblock *superblock = set->legs[leg].superblock;
	const struct replica_history *history = &set->history;
	unsigned int i;

	memset(superblock, 0, set->superblock_bytes);
	memcpy(superblock->magic, SUPERBLOCK_MAGIC, sizeof(superblock->magic));
	superblock->version = cpu_to_le32(SUPERBLOCK_VERSION);
	memcpy(superblock->uuid, set->uuid, sizeof(superblock->uuid));
	superblock->sequence = cpu_to_le64(set->sequence);
	superblock->data_sectors = cpu_to_le64(set->len);
	superblock->reserved_sectors = cpu_to_le32(RESERVED_SECTORS);
	superblock->num_legs = cpu_to_le32(set->num_legs);
	superblock->leg = cpu_to_le32(leg);
	superblock->live = cpu_to_le32(live);
	superblock->flags = cpu_to_le32(dirty ? SUPERBLOCK_DIRTY : 0);
	superblock->block_bytes = cpu_to_le32(set->block_bytes);
	superblock->region_shift = cpu_to_le32(set->region_shift + SECTOR_SHIFT);
	superblock->num_predecessors = cpu_to_le32(history->num_predecessors);
	superblock->id = cpu_to_le64(history->id);
	superblock->data_id = cpu_to_le64(data_id);
	for (i = 0; i < MAX_LEGS; i++) {
		superblock->base[i] = cpu_to_le64(history->base[i]);
		superblock->last[i] = cpu_to_le64(history->last[i]);
	}
	for (i = 0; i < history->num_predecessors; i++)
		superblock->predecessors[i] =
			cpu_to_le64(history->predecessors[i]);
	superblock->checksum = cpu_to_le32(superblock_checksum(superblock,
							       SUPERBLOCK_BYTES));
}

/* Returns false if there is none. */
static bool is_superblock(const struct replica_superblock *superblock)
{
	size_t bytes = SUPERBLOCK_BYTES;

	if (memcmp(superblock->magic, SUPERBLOCK_MAGIC,
		   sizeof(superblock->magic)))
		return false;
	if (le32_to_cpu(superblock->version) == 1)
		bytes = VERSION_1_BYTES;
	return le32_to_cpu(superblock->checksum) ==
	       superblock_checksum(superblock, bytes);
}

static void decode(const struct replica_superblock *superblock,
		   struct leg_state *state)
{
	struct replica_history *history = &state->history;
	unsigned int i;

	memset(state, 0, sizeof(*state));
	state->valid = true;
	state->live = le32_to_cpu(superblock->live);
	state->dirty = le32_to_cpu(superblock->flags) & SUPERBLOCK_DIRTY;
	state->sequence = le64_to_cpu(superblock->sequence);
	if (le32_to_cpu(superblock->version) == 1) {
		state->version_1 = true;
		history->id = VERSION_1_ID | state->sequence;
		state->data_id = history->id;
		return;
	}
	state->block_bytes = le32_to_cpu(superblock->block_bytes);
	state->region_shift = le32_to_cpu(superblock->region_shift);
	state->data_id = le64_to_cpu(superblock->data_id);
	history->id = le64_to_cpu(superblock->id);
	history->num_predecessors =
		min_t(u32, le32_to_cpu(superblock->num_predecessors),
		      MAX_PREDECESSORS);
	for (i = 0; i < MAX_LEGS; i++) {
		history->base[i] = le64_to_cpu(superblock->base[i]);
		history->last[i] = le64_to_cpu(superblock->last[i]);
	}
	for (i = 0; i < history->num_predecessors; i++)
		history->predecessors[i] =
			le64_to_cpu(superblock->predecessors[i]);
}

/* Is this one of the superblocks of our set, as far as one can tell? */
static const char *check_superblock(const struct replica_set *set,
				    unsigned int leg,
				    const struct replica_superblock *superblock,
				    bool first)
{
	u32 version = le32_to_cpu(superblock->version);

	if ((version != 1 && version != SUPERBLOCK_VERSION) ||
	    le32_to_cpu(superblock->reserved_sectors) != RESERVED_SECTORS)
		return "A leg has a superblock of an unknown version";
	if (!first && memcmp(set->uuid, superblock->uuid, sizeof(set->uuid)))
		return "Legs belong to different sets";
	if (le32_to_cpu(superblock->num_legs) != set->num_legs)
		return "The set has another number of legs";
	if (le32_to_cpu(superblock->leg) != leg)
		return "A leg belongs in another place";
	if (le64_to_cpu(superblock->data_sectors) != set->len)
		return "The set has another size";
	return NULL;
}

/* Returns a negative errno, or 0: what there is may be anything then. */
static int read_superblock(struct replica_set *set, unsigned int leg,
			   struct replica_superblock *superblock)
{
	struct io_region where = {
		.bdev = set->legs[leg].bdev,
		.count = set->superblock_bytes >> SECTOR_SHIFT,
	};
	int error = 0;
	struct dm_io_args args = {
		.opf = REQ_OP_READ | REQ_META,
		.num_regions = 1,
		.where = &where,
		.data = superblock,
		.errors = &error,
	};
	int ret = dm_io_submit(&args);

	error = error ?: ret;
	if (error) {
		spin_lock_irq(&set->lock);
		replica_count_error(set, leg, SUPERBLOCK_ERROR, error, 0);
		replica_log_error(set, leg);
		spin_unlock_irq(&set->lock);
	}
	return error;
}

/*
 * LOAD
 */

struct load {
	struct leg_state states[MAX_LEGS];
	unsigned long found;		/* legs with a superblock */
	unsigned long failed;		/* that could not be read */
	unsigned int newest;
	bool dirty;
};

static const char *read_legs(struct replica_set *set, struct load *load)
{
	struct replica_superblock *superblock = vzalloc(set->superblock_bytes);
	const char *error = NULL;
	unsigned int leg;

	if (!superblock)
		return "Out of memory";
	for_each_leg(leg, set->present) {
		if (read_superblock(set, leg, superblock)) {
			load->failed |= BIT(leg);
			continue;
		}
		if (!is_superblock(superblock))
			continue;
		error = check_superblock(set, leg, superblock, !load->found);
		if (error)
			break;
		memcpy(set->uuid, superblock->uuid, sizeof(set->uuid));
		decode(superblock, &load->states[leg]);
		load->found |= BIT(leg);
	}
	vfree(superblock);
	return error;
}

/*
 * The newest superblock knows all other ones. If none does, legs were written to
 * without each other.
 */
static const char *find_newest(struct replica_set *set, struct load *load)
{
	unsigned int split[MAX_LEGS], leg, other;

	for_each_leg(leg, load->found) {
		const struct leg_state *state = &load->states[leg];
		unsigned long found = load->found, unknown = 0;

		for_each_leg(other, found)
			if (!knows(&state->history, other,
				   load->states[other].history.id))
				unknown |= BIT(other);
		if (!unknown) {
			load->newest = leg;
			return NULL;
		}
		split[leg] = __ffs(unknown);
	}
	for_each_leg(leg, load->found)
		DMERR("%s: leg %u (%pg) knows nothing of what was written to leg %u (%pg)",
		      set->name, leg, set->legs[leg].bdev, split[leg],
		      set->legs[split[leg]].bdev);
	DMERR("%s: to give up what one of them has, put '-' in its place,",
	      set->name);
	DMERR("%s: or wipe its first MiB and rebuild it later", set->name);
	return "Split brain: legs were written to without each other";
}

/*
 * A leg is live if the newest superblock says so and so does its own, of the same
 * generation; or of an earlier one (CATCH_UP): then RECORD has not reached it, and
 * nothing has been acknowledged without it. Had it been dropped in between, its own
 * superblock would have said so before it could be live again.
 */
static bool leg_is_live(const struct load *load, unsigned int leg)
{
	const struct leg_state *newest = &load->states[load->newest];
	const struct leg_state *state = &load->states[leg];

	return newest->live & BIT(leg) && state->live & BIT(leg) &&
	       generations_ago(&newest->history, state->history.id) >= 0;
}

static const char *refuse_missing(struct replica_set *set,
				  const struct load *load, unsigned int leg)
{
	const char *why = "has no superblock";

	if (!(set->present & BIT(leg)))
		why = "is not there";
	else if (load->failed & BIT(leg))
		why = "cannot be read";
	if (set->degraded) {
		DMWARN("%s: leg %u %s: what only it has got is given up",
		       set->name, leg, why);
		return NULL;
	}
	DMERR("%s: leg %u %s, and may be newer than the others: bring it back,",
	      set->name, leg, why);
	DMERR("%s: or add '1 degraded' to the table, and lose what only it has",
	      set->name);
	return "A leg is missing that may be newer: bring it back, or add '1 degraded'";
}

static const char *check_geometry(struct replica_set *set,
				  const struct leg_state *newest)
{
	unsigned int shift = newest->region_shift, leg;

	if (newest->block_bytes) {
		for_each_leg(leg, set->present) {
			unsigned int bytes =
				bdev_logical_block_size(set->legs[leg].bdev);

			if (bytes <= newest->block_bytes)
				continue;
			DMERR("%s: leg %u (%pg) has logical blocks of %u bytes,",
			      set->name, leg, set->legs[leg].bdev, bytes);
			DMERR("%s: the set has %u, and so less may be written at once",
			      set->name, newest->block_bytes);
			return "A leg has larger logical blocks than the set";
		}
		set->block_bytes = newest->block_bytes;
	}
	if (shift && (shift < MIN_REGION_SHIFT || shift > MAX_REGION_SHIFT))
		return "A leg has a superblock of an unknown version";
	replica_choose_regions(set, shift ? shift - SECTOR_SHIFT : 0);
	if (set->num_regions > (u64)BITMAP_MAX_BYTES * BITS_PER_BYTE)
		return "The regions are too small: their bitmap has no place";
	return replica_alloc_bitmap(set) ? "Out of memory" : NULL;
}

/* Nobody knows what the bits were: all are set. */
static void fill_image(struct replica_set *set)
{
	unsigned long region;

	for (region = 0; region < set->num_regions; region++)
		__set_bit_le(region, set->image);
}

static void load_bitmap(struct replica_set *set, bool dirty, bool unknown)
{
	unsigned long live = set->live;
	bool read = false;
	unsigned int leg;

	for_each_leg(leg, live) {
		int error = unknown ? -ENODATA :
				      replica_read_bitmap(set, leg, set->image);

		if (!error) {
			read = true;
		} else if (!unknown) {
			spin_lock_irq(&set->lock);
			replica_count_error(set, leg, BITMAP_ERROR, error, 0);
			replica_log_error(set, leg);
			spin_unlock_irq(&set->lock);
		}
	}
	/* Version 1 had none, but then neither can a leg have missed anything. */
	if (!read && (dirty || !unknown))
		fill_image(set);
	if (dirty && hweight_long(live) > 1) {
		replica_image_to_map(set, set->image, set->differ);
		set->num_differ = bitmap_weight(set->differ, set->num_regions);
	}
}

static const char *create_set(struct replica_set *set, const struct load *load)
{
	const char *error;

	if (load->found)
		return "A leg belongs to a set already, and is not overwritten";
	error = check_geometry(set, &(struct leg_state) {
		.region_shift = set->create_shift ?
				set->create_shift + SECTOR_SHIFT : 0,
	});
	if (error)
		return error;
	/* Whatever there is on the first leg is what counts. */
	set->live = set->present;
	set->recorded = 0;
	set->history_live = 0;
	set->converted = true;
	generate_random_uuid(set->uuid);
	memset(&set->history, 0, sizeof(set->history));
	set->recorded_id = 0;
	load_bitmap(set, true, true);
	return NULL;
}

static const char *load_legs(struct replica_set *set, const struct load *load)
{
	const struct leg_state *newest = &load->states[load->newest];
	unsigned long named = newest->live & all_legs(set);
	unsigned long found = load->found;
	unsigned int leg;
	const char *error;
	bool dirty = false;

	set->live = 0;
	for_each_leg(leg, named) {
		if (!(load->found & BIT(leg))) {
			error = refuse_missing(set, load, leg);
			if (error)
				return error;
		} else if (leg_is_live(load, leg)) {
			set->live |= BIT(leg);
		}
	}
	if (!set->live)
		return "No leg is known to be up to date: '1 create' makes a new set";
	for_each_leg(leg, found)
		if (set->live & BIT(leg) && load->states[leg].dirty)
			dirty = true;
	error = check_geometry(set, newest);
	if (error)
		return error;
	set->recorded = named;
	set->history_live = named;
	set->converted = newest->version_1;
	set->sequence = newest->sequence;
	set->history = newest->history;
	set->recorded_id = newest->history.id;
	/* What version 1 has missed, nobody knows. */
	if (newest->version_1 && set->live != all_legs(set))
		dirty = true;
	load_bitmap(set, dirty, newest->version_1);
	return NULL;
}

/*
 * Find out which legs are live. Returns NULL, or why this cannot be a set. Changes
 * nothing on the legs.
 */
const char *replica_load(struct replica_set *set)
{
	struct load *load = kzalloc(sizeof(*load), GFP_KERNEL);
	const char *error;

	if (!load)
		return "Out of memory";
	set->num_differ = 0;
	error = read_legs(set, load);
	if (!error && set->create)
		error = create_set(set, load);
	else if (!error && !load->found)
		error = "No leg is known to be up to date: '1 create' makes a new set";
	else if (!error)
		error = find_newest(set, load) ?: load_legs(set, load);
	kfree(load);
	return error;
}
EXPORT_SYMBOL_FOR_TESTS(replica_load);

/*
 * Jobs
 */

static int perform(struct replica_job *job)
{
	struct io_region where = {
		.bdev = job->set->legs[job->leg].bdev,
		.sector = job->sector,
		.count = job->count,
	};
	int error = 0;
	struct dm_io_args args = {
		.opf = job->opf,
		.num_regions = 1,
		.where = &where,
		.data = job->count ? job->data : NULL,
		.errors = &error,
	};
	int ret = dm_io_submit(&args);

	return error ?: ret;
}

static void job_work(struct work_struct *work)
{
	struct replica_job *job = container_of(work, struct replica_job, work);
	struct replica_set *set = job->set;
	int error = perform(job);

	spin_lock_irq(&set->lock);
	job->error = error;
	set->busy[job->kind] &= ~BIT(job->leg);
	/* With the lock: whoever sees it may go on to free the set. */
	wake_up_all(&set->wait);
	spin_unlock_irq(&set->lock);
}

static bool jobs_ended(struct replica_set *set, unsigned long legs,
		       enum job_kind kind)
{
	bool ended;

	spin_lock_irq(&set->lock);
	ended = !(set->busy[kind] & legs &
		  (set->live | set->rebuilding | set->requested));
	spin_unlock_irq(&set->lock);
	return ended;
}

/*
 * Have a job done on each of these legs, and wait for those that are not dropped
 * meanwhile. Returns the legs that failed.
 */
unsigned long replica_run_jobs(struct replica_set *set, unsigned long legs,
			       enum job_kind kind, int *errors)
{
	unsigned long failed = 0;
	unsigned int leg;

	spin_lock_irq(&set->lock);
	legs &= ~set->busy[kind];
	set->busy[kind] |= legs;
	spin_unlock_irq(&set->lock);
	for_each_leg(leg, legs)
		queue_work(set->legs[leg].queue, &set->legs[leg].jobs[kind].work);

	wait_event(set->wait, jobs_ended(set, legs, kind));

	spin_lock_irq(&set->lock);
	legs &= ~set->busy[kind];
	spin_unlock_irq(&set->lock);
	for_each_leg(leg, legs) {
		errors[leg] = set->legs[leg].jobs[kind].error;
		if (errors[leg])
			failed |= BIT(leg);
	}
	return failed;
}

/*
 * RECORD
 */

/* With the lock held: may writes go without it? */
void replica_update_fast(struct replica_set *set)
{
	lockdep_assert_held(&set->lock);
	WRITE_ONCE(set->fast, set->running && set->dirty_recorded && !set->slow);
}

static void prepare_superblock(struct replica_set *set, unsigned int leg,
			       unsigned long live, bool dirty, u64 data_id)
{
	struct replica_job *job = &set->legs[leg].jobs[META_JOB];

	encode(set, leg, live, dirty, data_id);
	/* With a flush: what it says of the data has to be true. */
	job->opf = REQ_OP_WRITE | REQ_META | REQ_PRIO | REQ_PREFLUSH | REQ_FUA;
	job->sector = 0;
	job->count = set->superblock_bytes >> SECTOR_SHIFT;
	job->data = set->legs[leg].superblock;
}

/* Bits that some live legs may lack come first: by the superblocks they count. */
static bool record_bits(struct replica_set *set)
{
	bool ok;

	if (set->image_written)
		return true;
	ok = replica_write_image(set, READ_ONCE(set->live));
	if (ok) {
		set->image_written = true;
		replica_image_to_map(set, set->image, set->dirty);
		return true;
	}
	spin_lock_irq(&set->lock);
	set->record_failed = true;
	wake_up_all(&set->wait);
	spin_unlock_irq(&set->lock);
	DMERR_LIMIT("%s: no bitmap can be written", set->name);
	return false;
}

/* With its first superblocks of version 2, a set begins a new generation. */
static bool is_converted(const struct replica_set *set)
{
	return set->converted && set->history.id == set->recorded_id;
}

/*
 * Legs that superblocks name already come first. Those are what a leg that has been
 * rebuilt needs, should it be the only one that is found: without them, one of the
 * others alone would not know that it may be newer. Returns those that failed.
 */
static unsigned long write_superblocks(struct replica_set *set,
				       unsigned long live, unsigned long recorded,
				       int *errors)
{
	unsigned long failed, legs = live & recorded;

	failed = replica_run_jobs(set, legs, META_JOB, errors);
	if (failed || (READ_ONCE(set->live) & legs) != legs)
		return failed;
	return replica_run_jobs(set, live & ~recorded, META_JOB, errors);
}

/*
 * Have the superblocks of the live legs name the live legs. A leg that fails here
 * is not one, so it may take several rounds. Returns false if all legs fail.
 */
static bool record(struct replica_set *set)
{
	unsigned long live, recorded, failed;
	int errors[MAX_LEGS];
	unsigned int leg;
	bool dirty, ok;

	if (!record_bits(set))
		return false;
	spin_lock_irq(&set->lock);
	do {
		live = set->live;
		recorded = set->recorded;
		dirty = set->want_dirty || set->num_differ;
		if (live != set->history_live || is_converted(set))
			begin_generation(set);
		set->sequence++;
		for_each_leg(leg, live)
			prepare_superblock(set, leg, live, dirty,
					   set->history.id);
		spin_unlock_irq(&set->lock);

		failed = write_superblocks(set, live, recorded, errors);

		spin_lock_irq(&set->lock);
		for_each_leg(leg, live)
			set->legs[leg].superblocks++;
		if (failed)
			replica_fail_legs(set, failed, SUPERBLOCK_ERROR, errors,
					  0);
	} while (live != set->live || (set->want_dirty && !dirty));

	ok = !(failed & live);
	if (ok) {
		set->recorded = live;
		set->recorded_id = set->history.id;
		set->converted = false;
		set->dirty_recorded = dirty && set->want_dirty;
		WRITE_ONCE(set->stale, false);
		replica_update_fast(set);
	}
	set->record_failed = !ok;
	wake_up_all(&set->wait);
	spin_unlock_irq(&set->lock);
	if (!ok)
		DMERR_LIMIT("%s: no superblock can be written", set->name);
	return ok;
}

/* ACTIVATE */
static bool activate(struct replica_set *set)
{
	spin_lock_irq(&set->lock);
	set->want_dirty = true;
	set->running = true;
	spin_unlock_irq(&set->lock);
	return record(set);
}

/*
 * REBUILD_END. While bits are written by nobody but us, legs that have all data get
 * all bits, and then are live.
 */
static void finish_rebuild(struct replica_set *set)
{
	unsigned long legs;
	unsigned int leg;
	bool ok;

	spin_lock_irq(&set->lock);
	legs = set->finishing;
	spin_unlock_irq(&set->lock);
	if (!legs)
		return;
	ok = replica_write_image(set, legs);

	spin_lock_irq(&set->lock);
	legs &= set->finishing & set->rebuilding;
	set->finishing = 0;
	/* A write may have failed to reach them meanwhile. */
	if (legs && ok && !set->num_todo) {
		for_each_leg(leg, legs) {
			set->legs[leg].rebuilt++;
			DMINFO("%s: leg %u (%pg) is rebuilt", set->name, leg,
			       set->legs[leg].bdev);
		}
		set->rebuilding &= ~legs;
		WRITE_ONCE(set->stale, true);
		/* As in replica_drop_legs(). */
		smp_store_release(&set->live, set->live | legs);
		set->event = true;
	}
	spin_unlock_irq(&set->lock);
	queue_delayed_work(set->sync_queue, &set->sync_work, ok ? 0 : HZ);
}

bool replica_raise_events(struct replica_set *set)
{
	bool event;

	spin_lock_irq(&set->lock);
	event = set->event;
	set->event = false;
	set->events += event;
	spin_unlock_irq(&set->lock);
	if (event && set->ti)
		dm_table_event(set->ti->table);
	return event;
}

/*
 * RELEASE. When these writes were held, what they wait for had been decided. Their
 * ends may be the last thing that keeps the set alive: nothing else of it is looked
 * at by whoever ends them, and the work is flushed before the set goes.
 */
static void release_writes(struct replica_set *set)
{
	bool failed = false;
	LIST_HEAD(held);

	spin_lock_irq(&set->lock);
	list_splice_init(&set->held, &held);
	spin_unlock_irq(&set->lock);
	if (READ_ONCE(set->stale))
		failed = !record(set);
	replica_end_ios(&held, failed ? BLK_STS_IOERR : BLK_STS_OK);
}

/* No leg takes superblocks now. Perhaps nobody writes, and asks again. */
static void try_later(struct replica_set *set)
{
	spin_lock_irq(&set->lock);
	if (set->running)
		queue_delayed_work(set->sync_queue, &set->sync_work,
				   RETRY_INTERVAL);
	spin_unlock_irq(&set->lock);
}

/* Writes that found no bit, or a set that was not active yet. */
static void start_waiting(struct replica_set *set)
{
	bool active, copy;
	LIST_HEAD(ios);

	spin_lock_irq(&set->lock);
	list_splice_init(&set->waiting, &ios);
	active = set->dirty_recorded && set->image_written;
	copy = set->running && !active &&
	       (set->requested || replica_wants_copy(set));
	spin_unlock_irq(&set->lock);
	if (list_empty(&ios) && !copy)
		return;
	if (!active && !activate(set)) {
		replica_end_ios(&ios, BLK_STS_IOERR);
		try_later(set);
		return;
	}
	if (!list_empty(&ios))
		replica_set_bits(set, &ios);
	if (!active)
		mod_delayed_work(set->sync_queue, &set->sync_work, 0);
}

void replica_meta_work(struct work_struct *work)
{
	struct replica_set *set = container_of(work, struct replica_set,
					       meta_work);

	release_writes(set);
	finish_rebuild(set);
	if (READ_ONCE(set->stale))
		release_writes(set);
	if (READ_ONCE(set->clear_wanted))
		replica_clear_bits(set);
	start_waiting(set);
	if (READ_ONCE(set->stale))
		try_later(set);
	replica_raise_events(set);
}

/*
 * Resuming and suspending
 */

/*
 * When a table is loaded, the one before it may still be in use. So it is what
 * the superblocks say now that counts.
 */
int replica_resume(struct replica_set *set, bool read_only)
{
	unsigned int leg;

	if (!set->loaded) {
		const char *error = replica_load(set);

		if (error) {
			DMERR("%s: %s", set->name, error);
			return -EINVAL;
		}
		for (leg = 0; leg < set->num_legs; leg++)
			if (!(set->live & BIT(leg)))
				DMWARN("%s: leg %u is missing or not up to date",
				       set->name, leg);
		set->loaded = true;
		if (set->converted && !set->create)
			DMINFO("%s: the set gets version 2 of its superblocks with the first write",
			       set->name);
	}
	/* With a new set, nothing would be there to load another time. */
	if (set->create && !read_only && !activate(set))
		return -EIO;
	if (set->create && read_only)
		return -EROFS;
	set->create = false;
	return 0;
}
EXPORT_SYMBOL_FOR_TESTS(replica_resume);

/* Bios may come from now on. */
void replica_run(struct replica_set *set, bool read_only)
{
	spin_lock_irq(&set->lock);
	set->running = !read_only;
	replica_update_fast(set);
	spin_unlock_irq(&set->lock);
	queue_work(set->workqueue, &set->meta_work);
	mod_delayed_work(set->sync_queue, &set->sync_work, 0);
}
EXPORT_SYMBOL_FOR_TESTS(replica_run);

/* CLEAN. All bios have ended. If this table is resumed, copying goes on. */
void replica_suspend(struct replica_set *set)
{
	spin_lock_irq(&set->lock);
	set->running = false;
	replica_update_fast(set);
	wake_up_all(&set->wait);
	spin_unlock_irq(&set->lock);
	cancel_delayed_work_sync(&set->sync_work);
	flush_work(&set->meta_work);

	if (set->dirty_recorded) {
		replica_clear_all(set);
		spin_lock_irq(&set->lock);
		set->want_dirty = false;
		spin_unlock_irq(&set->lock);
		record(set);
	}
	spin_lock_irq(&set->lock);
	set->dirty_recorded = false;
	spin_unlock_irq(&set->lock);
	replica_raise_events(set);
}
EXPORT_SYMBOL_FOR_TESTS(replica_suspend);

/*
 * Messages
 */

/* REBUILD_BEGIN: what does the leg have, and what does it lack? With the lock held. */
static bool plan_rebuild(struct replica_set *set, unsigned int leg,
			 const struct leg_state *state, const void *bits)
{
	unsigned long region;
	bool by_bitmap = state->valid && bits &&
			 bitmap_covers(set, leg, state->data_id);

	for (region = 0; region < set->num_regions; region++)
		if ((!by_bitmap || test_bit_le(region, set->image) ||
		     test_bit_le(region, bits)) &&
		    !__test_and_set_bit(region, set->todo))
			set->num_todo++;
	set->copy_next = 0;
	set->copy_total = 0;
	set->copy_stopped = false;
	set->gave_up = false;
	return by_bitmap;
}

/*
 * Do the superblocks say what is so? Then another one may say it, too. With the
 * lock held.
 */
static bool is_settled(const struct replica_set *set, unsigned int leg)
{
	return set->requested & BIT(leg) && set->dirty_recorded &&
	       !set->stale && set->live == set->recorded &&
	       set->history.id == set->recorded_id;
}

/* Have it so. Returns false if that is not to be had. */
static bool settle(struct replica_set *set, unsigned int leg)
{
	bool settled, failed;

	spin_lock_irq(&set->lock);
	settled = is_settled(set, leg);
	failed = set->record_failed || !(set->requested & BIT(leg)) ||
		 !set->running;
	spin_unlock_irq(&set->lock);
	return settled || failed;
}

/*
 * A leg that is half rebuilt must not pass for one that is merely old: its superblock
 * says so before any data comes. It does not say what data it had, even if that tells
 * what to copy now: until the rebuild has ended, writes reach the leg whose bits are on
 * others only. So what is cut short by a crash starts again with everything.
 */
static int begin_rebuild(struct replica_set *set, unsigned int leg,
			 const struct leg_state *state, const void *bits)
{
	int errors[MAX_LEGS];
	unsigned long failed;

	spin_lock_irq(&set->lock);
	if (!is_settled(set, leg)) {
		set->requested &= ~BIT(leg);
		spin_unlock_irq(&set->lock);
		return -EIO;
	}
	prepare_superblock(set, leg, set->recorded, true, 0);
	spin_unlock_irq(&set->lock);

	failed = replica_run_jobs(set, BIT(leg), META_JOB, errors);

	spin_lock_irq(&set->lock);
	set->legs[leg].superblocks++;
	if (failed) {
		replica_fail_legs(set, failed, SUPERBLOCK_ERROR, errors, 0);
		set->requested &= ~BIT(leg);
	}
	/* From here on, writes take the lock ... */
	set->slow = true;
	replica_update_fast(set);
	spin_unlock_irq(&set->lock);
	/* ... so those that do not have found their bits, which we copy by ... */
	synchronize_rcu();
	spin_lock_irq(&set->lock);
	if (!(set->requested & BIT(leg))) {
		/* Writes need not take the lock for this leg: the copier says so. */
		mod_delayed_work(set->sync_queue, &set->sync_work, 0);
		spin_unlock_irq(&set->lock);
		return -EIO;
	}
	set->history.last[leg] = set->recorded_id;
	set->requested &= ~BIT(leg);
	/* ... and all others go to this leg as well. */
	if (plan_rebuild(set, leg, state, bits))
		DMINFO("%s: leg %u (%pg): %lu of %lu regions are copied",
		       set->name, leg, set->legs[leg].bdev, set->num_todo,
		       set->num_regions);
	set->rebuilding |= BIT(leg);
	set->event = true;
	queue_work(set->workqueue, &set->meta_work);
	mod_delayed_work(set->sync_queue, &set->sync_work, 0);
	spin_unlock_irq(&set->lock);
	return 0;
}

static int claim_leg(struct replica_set *set, unsigned int leg)
{
	int ret = 0;

	spin_lock_irq(&set->lock);
	if (!set->running ||
	    (set->busy[META_JOB] | set->busy[BITMAP_JOB] |
	     set->busy[COPY_JOB]) & BIT(leg))
		ret = -EBUSY;
	else if ((set->live | set->rebuilding | set->requested) & BIT(leg))
		ret = -EEXIST;
	else
		set->requested |= BIT(leg);
	set->record_failed = false;
	queue_work(set->workqueue, &set->meta_work);
	spin_unlock_irq(&set->lock);
	return ret;
}

/* The device may have been replaced since it was dropped, so it is asked again. */
int replica_rebuild_leg(struct replica_set *set, unsigned int leg)
{
	struct replica_superblock *superblock = vzalloc(set->superblock_bytes);
	void *bits = vzalloc(set->image_bytes);
	struct leg_state *state = kzalloc(sizeof(*state), GFP_KERNEL);
	int ret = -EINVAL;

	if (!(set->present & BIT(leg)))
		goto out;
	ret = -ENOMEM;
	if (!superblock || !bits || !state)
		goto out;
	ret = claim_leg(set, leg);
	if (ret)
		goto out;
	if (!read_superblock(set, leg, superblock) &&
	    is_superblock(superblock) &&
	    !check_superblock(set, leg, superblock, false))
		decode(superblock, state);
	if (replica_read_bitmap(set, leg, bits))
		state->valid = false;
	wait_event(set->wait, settle(set, leg));
	ret = begin_rebuild(set, leg, state, bits);
out:
	kfree(state);
	vfree(bits);
	vfree(superblock);
	return ret;
}
EXPORT_SYMBOL_FOR_TESTS(replica_rebuild_leg);

static bool is_recorded(struct replica_set *set, unsigned int leg, bool *failed)
{
	bool gone;

	spin_lock_irq(&set->lock);
	gone = !(set->recorded & BIT(leg));
	*failed = set->record_failed;
	spin_unlock_irq(&set->lock);
	return gone || *failed;
}

/* Does not wait for the leg itself, which may be why somebody wants it to fail. */
int replica_fail_leg(struct replica_set *set, unsigned int leg)
{
	unsigned long known;
	bool failed;

	spin_lock_irq(&set->lock);
	known = set->live | set->rebuilding | set->requested;
	if (!set->running || (set->live & set->recorded) == BIT(leg)) {
		spin_unlock_irq(&set->lock);
		return -EBUSY;
	}
	if (known & set->present & BIT(leg)) {
		DMERR("%s: leg %u (%pg) is dropped: message", set->name, leg,
		      set->legs[leg].bdev);
		replica_drop_legs(set, BIT(leg));
	}
	/* It may have been found dead, and nothing was written since. */
	if (set->recorded & BIT(leg)) {
		WRITE_ONCE(set->stale, true);
		queue_work(set->workqueue, &set->meta_work);
	}
	set->record_failed = false;
	spin_unlock_irq(&set->lock);

	wait_event(set->wait, is_recorded(set, leg, &failed));
	return failed ? -EIO : 0;
}
EXPORT_SYMBOL_FOR_TESTS(replica_fail_leg);

/*
 * Memory
 */

void replica_init(struct replica_set *set)
{
	spin_lock_init(&set->lock);
	init_waitqueue_head(&set->wait);
	INIT_WORK(&set->meta_work, replica_meta_work);
	INIT_DELAYED_WORK(&set->sync_work, replica_sync_work);
	set->clear_interval = CLEAR_INTERVAL;
	INIT_LIST_HEAD(&set->deferred);
	INIT_LIST_HEAD(&set->held);
	INIT_LIST_HEAD(&set->waiting);
}
EXPORT_SYMBOL_FOR_TESTS(replica_init);

static int alloc_leg(struct replica_set *set, unsigned int nr)
{
	struct replica_leg *leg = &set->legs[nr];
	unsigned int kind;

	INIT_WORK(&leg->retry_work, replica_retry_reads);
	INIT_LIST_HEAD(&leg->retries);
	for (kind = 0; kind < NUM_JOBS; kind++) {
		INIT_WORK(&leg->jobs[kind].work, job_work);
		leg->jobs[kind].set = set;
		leg->jobs[kind].leg = nr;
		leg->jobs[kind].kind = kind;
	}
	leg->superblock = vzalloc(set->superblock_bytes);
	leg->queue = alloc_ordered_workqueue("dm-replica/%u", WQ_MEM_RECLAIM, nr);
	return leg->superblock && leg->queue ? 0 : -ENOMEM;
}

/* All memory is allocated here, once legs are known. */
int replica_alloc(struct replica_set *set)
{
	unsigned int leg, bytes;
	int cpu;

	set->superblock_bytes = max_t(unsigned int, set->superblock_bytes,
				      SUPERBLOCK_MIN_BYTES);
	for_each_leg(leg, set->present) {
		bytes = bdev_logical_block_size(set->legs[leg].bdev);
		set->superblock_bytes = max(set->superblock_bytes, bytes);
		set->block_bytes = max(set->block_bytes, bytes);
	}
	set->cpus = alloc_percpu(struct replica_cpu);
	set->chunk = vzalloc(CHUNK_SECTORS << SECTOR_SHIFT);
	set->workqueue = alloc_ordered_workqueue("dm-replica", WQ_MEM_RECLAIM);
	set->sync_queue = alloc_ordered_workqueue("dm-replica-sync",
						  WQ_MEM_RECLAIM);
	if (!set->cpus || !set->chunk || !set->workqueue || !set->sync_queue)
		return -ENOMEM;
	for_each_possible_cpu(cpu)
		u64_stats_init(&per_cpu_ptr(set->cpus, cpu)->sync);
	for_each_leg(leg, set->present)
		if (alloc_leg(set, leg))
			return -ENOMEM;
	return 0;
}
EXPORT_SYMBOL_FOR_TESTS(replica_alloc);

/* Undoes as much as was done. The set is suspended. */
void replica_free(struct replica_set *set)
{
	unsigned int leg;

	spin_lock_irq(&set->lock);
	set->running = false;
	spin_unlock_irq(&set->lock);
	if (set->workqueue)
		flush_work(&set->meta_work);
	if (set->sync_queue)
		cancel_delayed_work_sync(&set->sync_work);
	if (set->workqueue)
		flush_work(&set->meta_work);

	for (leg = 0; leg < MAX_LEGS; leg++) {
		if (set->legs[leg].queue)
			destroy_workqueue(set->legs[leg].queue);
		vfree(set->legs[leg].superblock);
	}
	if (set->workqueue)
		destroy_workqueue(set->workqueue);
	if (set->sync_queue)
		destroy_workqueue(set->sync_queue);
	replica_free_bitmap(set);
	vfree(set->chunk);
	free_percpu(set->cpus);
}
EXPORT_SYMBOL_FOR_TESTS(replica_free);
