// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-replica: a target that keeps the same data on several devices
 *
 * A write goes to all legs with one call of the dm-io library, a read goes to
 * one leg, and to another one if that fails. Documentation/dm-replica.rst is
 * the guide for users; what follows is what one has to know to read this file.
 *
 * Each leg is in one of three states, kept as sets of bits, one bit per leg. A
 * @live leg has all data. A @rebuilding leg receives all writes, while what was
 * written before is copied to it. All other legs are dead: nothing touches
 * them.
 *
 * A leg that fails a write leaves @live at once, in memory. It must also be
 * seen to be out of date after a crash: the superblocks of the legs that stay
 * name the live legs, and are rewritten with a higher generation. Until that is
 * done, @stale is set, and no write is reported as complete.
 *
 * All that may sleep, and is not done for a bio by its submitter, is done by
 * one work item: second attempts to read, writing superblocks and completing
 * the writes that wait for them, and copying, a chunk each time it runs. No two
 * of these ever run at once, so they need no locks against each other.
 *
 * While a chunk is copied, writes that overlap it are put off. Those in flight
 * when copying starts have to end first. They are counted in one of two
 * counters, selected by @epoch: it is switched, and the other counter goes
 * down to 0 although new writes keep coming.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/crc32.h>
#include <linux/device-mapper.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/u64_stats_sync.h>
#include <linux/uuid.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "dm-io.h"
#include "dm-replica-test.h"

#define DM_MSG_PREFIX "replica"

#define MIN_LEGS	2
#define MAX_LEGS	8

/* What is in front of the data of each leg, in sectors. */
#define RESERVED_SECTORS	(SZ_1M >> SECTOR_SHIFT)

/* What is copied at once. */
#define CHUNK_SECTORS	(SZ_1M >> SECTOR_SHIFT)
#define CHUNK_PAGES	(SZ_1M / PAGE_SIZE)

/* Reads alternate between the legs in stretches of this many sectors. */
#define STRETCH_SHIFT	11

/* Page-sized requests that can be in flight when memory is short. */
#define RESERVE_PAGES	64

/* What of a bio's flags goes along to the legs, a flush among others. */
#define FLUSH_FLAGS	(REQ_SYNC | REQ_META | REQ_PRIO | REQ_IDLE | \
			 REQ_BACKGROUND)
#define PASSED_FLAGS	(REQ_OP_MASK | FLUSH_FLAGS | REQ_PREFLUSH | REQ_FUA)

#define SUPERBLOCK_MAGIC	"DMREPLCA"
#define SUPERBLOCK_VERSION	1
#define SUPERBLOCK_MIN_BYTES	SZ_4K

/* The set was in use, or not all legs were equal yet. */
#define SUPERBLOCK_DIRTY	0x1

/*
 * At the start of each leg. All of it lies in the first 512 bytes, which a
 * device writes as a whole or not at all.
 */
struct replica_superblock {
	u8 magic[8];
	__le32 checksum;		/* of all that follows */
	__le32 version;
	u8 uuid[16];			/* of the set */
	__le64 generation;		/* goes up when a leg comes or goes */
	__le64 data_sectors;
	__le32 reserved_sectors;
	__le32 num_legs;
	__le32 leg;			/* which one this is */
	__le32 live;			/* one bit per leg */
	__le32 flags;
	__le32 padding;
};

static_assert(sizeof(struct replica_superblock) == 72);

/* What a leg failed at. */
enum error_kind {
	READ_ERROR,
	WRITE_ERROR,
	FLUSH_ERROR,
	COPY_ERROR,
	SUPERBLOCK_ERROR,
	NUM_ERROR_KINDS,
};

static const char *const error_kind_names[NUM_ERROR_KINDS] = {
	[READ_ERROR]		= "read",
	[WRITE_ERROR]		= "write",
	[FLUSH_ERROR]		= "flush",
	[COPY_ERROR]		= "copy",
	[SUPERBLOCK_ERROR]	= "superblock",
};

/*
 * The bios that a leg was sent. Reads take no lock, and need not start to share
 * a cache line here. So each CPU counts for itself, writes as well as reads.
 */
enum count {
	COUNT_READS,
	COUNT_READ_SECTORS,
	COUNT_WRITES,
	COUNT_WRITE_SECTORS,
	COUNT_FLUSHES,
	COUNT_RETRIES,		/* reads that another leg has failed */
	NUM_COUNTS,
};

static const char *const count_names[NUM_COUNTS] = {
	[COUNT_READS]		= "reads",
	[COUNT_READ_SECTORS]	= "read_sectors",
	[COUNT_WRITES]		= "writes",
	[COUNT_WRITE_SECTORS]	= "write_sectors",
	[COUNT_FLUSHES]		= "flushes",
	[COUNT_RETRIES]		= "retries",
};

struct traffic {
	struct u64_stats_sync sync;
	u64_stats_t counts[MAX_LEGS][NUM_COUNTS];
};

/* What is counted here is rare, and counted with the lock held. */
struct leg {
	struct dm_dev *dev;
	unsigned int errors[NUM_ERROR_KINDS];
	enum error_kind last_kind;	/* of errors, as are the next two */
	int last_error;			/* negative errno, 0 if there was none */
	sector_t last_sector;
	unsigned int dropped;
	unsigned int rebuilt;
	unsigned int superblocks;	/* written */
	u64 copied;			/* sectors written in copying */
};

struct replica_set {
	struct dm_target *ti;
	unsigned int num_legs;
	struct leg legs[MAX_LEGS];
	unsigned long present;		/* legs that the table has a device for */
	bool create;			/* make a new set when first resumed */
	bool loaded;			/* the state of the legs is known */
	bool active;			/* bios may come, and legs may change */

	struct workqueue_struct *workqueue;
	struct work_struct work;
	struct mutex message;		/* one at a time may change the legs */
	struct traffic __percpu *traffic;

	/* The work item's own; nobody else's while it may run. */
	struct replica_superblock *superblock;
	unsigned int superblock_bytes;
	u8 uuid[16];
	u64 generation;
	struct page_list *pages;	/* for one chunk */
	wait_queue_head_t drained;

	/* Protects all that follows, and what is counted in a leg. */
	spinlock_t lock;
	unsigned long recorded;		/* live legs as of the superblocks */
	bool running;			/* copying and messages are allowed */
	unsigned long live;
	unsigned long rebuilding;
	unsigned long requested;	/* legs that are to be rebuilt */
	bool stale;			/* superblocks have to be written */
	bool resync;			/* live legs may differ: read the first */
	bool copying;
	sector_t copied;
	sector_t window_start;		/* writes from here ... */
	sector_t window_end;		/* ... to here are put off */
	unsigned int epoch;
	unsigned int in_flight[2];	/* writes, by epoch */
	struct bio_list retries;	/* reads that another leg may serve */
	struct bio_list deferred;	/* writes that overlap the window */
	struct bio_list held;		/* writes that wait for superblocks */
};

/* What belongs to a bio, from its mapping to its end. */
struct replica_io {
	struct replica_set *set;
	unsigned int epoch;		/* of a write */
	unsigned int leg;		/* that a read was last sent to */
	unsigned long tried;		/* legs that a read was sent to */
	int errors[MAX_LEGS];		/* of a write; the first of a read */
};

#define for_each_leg(leg, legs)	for_each_set_bit(leg, &(legs), MAX_LEGS)

static const char *set_name(const struct replica_set *set)
{
	return dm_table_device_name(set->ti->table);
}

static struct replica_io *bio_to_io(struct bio *bio)
{
	return dm_per_bio_data(bio, sizeof(struct replica_io));
}

/* A flush has no sector. */
static sector_t io_sector(const struct replica_set *set, const struct bio *bio)
{
	if (!bio_sectors(bio))
		return 0;
	return dm_target_offset(set->ti, bio->bi_iter.bi_sector);
}

/* To the block layer, a flush is a write of nothing. The library has a name for it. */
static blk_opf_t io_opf(const struct bio *bio)
{
	if (!bio_sectors(bio))
		return REQ_OP_FLUSH | (bio->bi_opf & FLUSH_FLAGS);
	return bio->bi_opf & PASSED_FLAGS;
}

static struct bio_list take_bios(struct replica_set *set, struct bio_list *list)
{
	struct bio_list bios;

	spin_lock_irq(&set->lock);
	bios = *list;
	bio_list_init(list);
	spin_unlock_irq(&set->lock);
	return bios;
}

/*
 * The same region of each of @legs. The number of a leg is the index of its
 * region, so error bits come back as a set of legs. The other regions have no
 * device and no count, and are ignored.
 */
static void data_regions(const struct replica_set *set, struct io_region *where,
			 unsigned long legs, sector_t sector, sector_t count)
{
	unsigned int leg;

	memset(where, 0, set->num_legs * sizeof(*where));
	for_each_leg(leg, legs) {
		where[leg].bdev = set->legs[leg].dev->bdev;
		where[leg].sector = RESERVED_SECTORS + sector;
		where[leg].count = count;
	}
}

/*
 * What is counted
 */

static void count_bio(struct replica_set *set, unsigned long legs,
		      const struct bio *bio, bool retry)
{
	struct traffic *traffic = get_cpu_ptr(set->traffic);
	unsigned int sectors = bio_sectors(bio);
	unsigned int leg;

	u64_stats_update_begin(&traffic->sync);
	for_each_leg(leg, legs) {
		u64_stats_t *counts = traffic->counts[leg];

		if (!sectors) {
			u64_stats_inc(&counts[COUNT_FLUSHES]);
		} else if (bio_data_dir(bio) == WRITE) {
			u64_stats_inc(&counts[COUNT_WRITES]);
			u64_stats_add(&counts[COUNT_WRITE_SECTORS], sectors);
		} else {
			u64_stats_inc(&counts[COUNT_READS]);
			u64_stats_add(&counts[COUNT_READ_SECTORS], sectors);
			if (retry)
				u64_stats_inc(&counts[COUNT_RETRIES]);
		}
	}
	u64_stats_update_end(&traffic->sync);
	put_cpu_ptr(set->traffic);
}

static void sum_counts(const struct replica_set *set, unsigned int leg,
		       u64 *sums)
{
	u64 counts[NUM_COUNTS];
	unsigned int start, i;
	int cpu;

	memset(sums, 0, sizeof(counts));
	for_each_possible_cpu(cpu) {
		struct traffic *traffic = per_cpu_ptr(set->traffic, cpu);

		do {
			start = u64_stats_fetch_begin(&traffic->sync);
			for (i = 0; i < NUM_COUNTS; i++)
				counts[i] = u64_stats_read(&traffic->counts[leg][i]);
		} while (u64_stats_fetch_retry(&traffic->sync, start));
		for (i = 0; i < NUM_COUNTS; i++)
			sums[i] += counts[i];
	}
}

static unsigned int sum_errors(const struct leg *leg)
{
	unsigned int sum = 0, kind;

	for (kind = 0; kind < NUM_ERROR_KINDS; kind++)
		sum += leg->errors[kind];
	return sum;
}

/* @sector is the set's own; flushes and superblocks have none, so it is 0. */
static void count_error(struct replica_set *set, unsigned int leg,
			enum error_kind kind, int error, sector_t sector)
{
	lockdep_assert_held(&set->lock);

	set->legs[leg].errors[kind]++;
	set->legs[leg].last_kind = kind;
	set->legs[leg].last_error = error;
	set->legs[leg].last_sector = sector;
}

/* An error that costs no leg: there may be many of them. */
static void log_error(const struct replica_set *set, unsigned int leg)
{
	const struct leg *failed = &set->legs[leg];

	DMWARN_LIMIT("%s: leg %u (%pg): %s error %pe, sector %llu",
		     set_name(set), leg, failed->dev->bdev,
		     error_kind_names[failed->last_kind],
		     ERR_PTR(failed->last_error),
		     (unsigned long long)failed->last_sector);
}

/*
 * The state of the legs
 */

static void set_live(struct replica_set *set, unsigned long live)
{
	WRITE_ONCE(set->live, live);
	set->stale = true;
	queue_work(set->workqueue, &set->work);
}

/*
 * The @failed legs lack what they should have, so they are dead now. But one
 * live leg always stays. If all have failed, it is the first, and since it may
 * lack what another one has got, it is the only one. Returns the legs that were
 * not dead before.
 */
static unsigned long drop_legs(struct replica_set *set, unsigned long failed)
{
	unsigned long dropped = set->live | set->rebuilding | set->requested;
	unsigned long live = set->live & ~failed;
	unsigned int leg;

	lockdep_assert_held(&set->lock);

	if (!live) {
		live = BIT(__ffs(set->live));
		failed = ~live;
	}
	set->rebuilding &= ~failed;
	set->requested &= ~failed;
	if (live != set->live)
		set_live(set, live);

	dropped &= failed & ~live;
	for_each_leg(leg, dropped)
		set->legs[leg].dropped++;
	return dropped;
}

/*
 * The @failed legs were to be written to, and @errors says why they were not. No
 * error is a good one: what is sent to several legs is nothing that one of them
 * might do without, not even with -EOPNOTSUPP.
 */
static void fail_legs(struct replica_set *set, unsigned long failed,
		      enum error_kind kind, const int *errors, sector_t sector)
{
	unsigned long dropped;
	unsigned int leg;

	for_each_leg(leg, failed)
		count_error(set, leg, kind, errors[leg], sector);
	dropped = drop_legs(set, failed);

	for_each_leg(leg, dropped) {
		struct block_device *bdev = set->legs[leg].dev->bdev;

		if (failed & BIT(leg))
			DMERR("%s: leg %u (%pg) is dropped: %s error %pe, sector %llu",
			      set_name(set), leg, bdev, error_kind_names[kind],
			      ERR_PTR(errors[leg]), (unsigned long long)sector);
		else
			DMERR("%s: leg %u (%pg) is dropped: all live legs failed",
			      set_name(set), leg, bdev);
	}
	failed &= ~dropped;
	for_each_leg(leg, failed)
		log_error(set, leg);
}

/*
 * Writes
 */

/* May run in interrupt context. Once the bio has ended, the set may be gone. */
static void write_done(unsigned long error, void *context)
{
	struct bio *bio = context;
	struct replica_io *io = bio_to_io(bio);
	struct replica_set *set = io->set;
	unsigned long flags;
	bool hold;

	spin_lock_irqsave(&set->lock, flags);
	if (unlikely(error)) {
		fail_legs(set, error,
			  bio_sectors(bio) ? WRITE_ERROR : FLUSH_ERROR,
			  io->errors, io_sector(set, bio));
		/* A leg that failed and is still live is the last one. */
		error &= set->live;
		if (error)
			bio->bi_status =
				errno_to_blk_status(io->errors[__ffs(error)]);
	}
	if (!--set->in_flight[io->epoch] && io->epoch != set->epoch)
		wake_up(&set->drained);
	hold = set->stale;
	if (unlikely(hold)) {
		bio_list_add(&set->held, bio);
		queue_work(set->workqueue, &set->work);
	}
	spin_unlock_irqrestore(&set->lock, flags);

	if (likely(!hold))
		bio_endio(bio);
}

static void start_write(struct replica_set *set, struct bio *bio)
{
	struct replica_io *io = bio_to_io(bio);
	sector_t sector = io_sector(set, bio);
	sector_t count = bio_sectors(bio);
	struct io_region where[MAX_LEGS];
	struct dm_io_args args = {
		.opf = io_opf(bio),
		.num_regions = set->num_legs,
		.where = where,
		.bio = bio,
		.fn = write_done,
		.context = bio,
		.errors = io->errors,
	};
	unsigned long legs;

	spin_lock_irq(&set->lock);
	if (sector < set->window_end && sector + count > set->window_start) {
		bio_list_add(&set->deferred, bio);
		spin_unlock_irq(&set->lock);
		return;
	}
	legs = set->live | set->rebuilding;
	io->epoch = set->epoch;
	set->in_flight[io->epoch]++;
	spin_unlock_irq(&set->lock);

	data_regions(set, where, legs, sector, count);
	count_bio(set, legs, bio, false);
	if (dm_io_submit(&args)) {
		/* Refused: no leg has got it, so none has failed. */
		bio->bi_status = BLK_STS_IOERR;
		write_done(0, bio);
	}
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

	if (!legs)
		return MAX_LEGS;
	/* While live legs may differ, it must not matter where one reads. */
	if (!READ_ONCE(set->resync))
		skip = (u32)(sector >> STRETCH_SHIFT) % hweight_long(legs);
	while (skip--)
		legs &= legs - 1;
	return __ffs(legs);
}

/*
 * May run in interrupt context. A leg is not dropped for a failed read: what
 * else it has is as good as ever, and may be the last copy some day.
 */
static void read_done(unsigned long error, void *context)
{
	struct bio *bio = context;
	struct replica_io *io = bio_to_io(bio);
	struct replica_set *set = io->set;
	unsigned long flags;
	bool retry;

	if (likely(!error)) {
		bio_endio(bio);
		return;
	}

	spin_lock_irqsave(&set->lock, flags);
	count_error(set, io->leg, READ_ERROR, io->errors[0],
		    io_sector(set, bio));
	log_error(set, io->leg);
	retry = set->live & ~io->tried;
	if (retry) {
		bio_list_add(&set->retries, bio);
		queue_work(set->workqueue, &set->work);
	}
	spin_unlock_irqrestore(&set->lock, flags);

	if (!retry) {
		bio->bi_status = errno_to_blk_status(io->errors[0]);
		bio_endio(bio);
	}
}

static void start_read(struct replica_set *set, struct bio *bio)
{
	struct replica_io *io = bio_to_io(bio);
	sector_t sector = io_sector(set, bio);
	struct io_region where[MAX_LEGS];
	struct dm_io_args args = {
		.opf = io_opf(bio),
		.num_regions = 1,
		.bio = bio,
		.fn = read_done,
		.context = bio,
		.errors = io->errors,
	};

	io->leg = choose_leg(set, io->tried, sector);
	if (io->leg == MAX_LEGS) {
		bio_io_error(bio);
		return;
	}
	count_bio(set, BIT(io->leg), bio, io->tried);
	io->tried |= BIT(io->leg);
	data_regions(set, where, BIT(io->leg), sector, bio_sectors(bio));
	args.where = &where[io->leg];
	if (dm_io_submit(&args))
		bio_io_error(bio);
}

static void retry_reads(struct replica_set *set)
{
	struct bio_list bios = take_bios(set, &set->retries);
	struct bio *bio;

	while ((bio = bio_list_pop(&bios)))
		start_read(set, bio);
}

/* Runs below submit_bio(), where the asynchronous calls are at home. */
static int replica_map(struct dm_target *ti, struct bio *bio)
{
	struct replica_set *set = ti->private;
	struct replica_io *io = bio_to_io(bio);

	io->set = set;
	io->tried = 0;
	if (bio_data_dir(bio) == WRITE)
		start_write(set, bio);
	else
		start_read(set, bio);
	return DM_MAPIO_SUBMITTED;
}

/*
 * Superblocks
 */

static u32 superblock_checksum(const struct replica_superblock *superblock)
{
	size_t start = offsetofend(struct replica_superblock, checksum);

	return crc32_le(~0, (const u8 *)superblock + start,
			sizeof(*superblock) - start);
}

static int superblock_io(struct replica_set *set, unsigned int leg,
			 blk_opf_t opf)
{
	struct io_region where = {
		.bdev = set->legs[leg].dev->bdev,
		.count = set->superblock_bytes >> SECTOR_SHIFT,
	};
	int error = 0;
	struct dm_io_args args = {
		.opf = opf | REQ_SYNC | REQ_META,
		.num_regions = 1,
		.where = &where,
		.data = set->superblock,
		.errors = &error,
	};
	int ret = dm_io_submit(&args);

	return error ?: ret;
}

static bool read_superblock(struct replica_set *set, unsigned int leg)
{
	const struct replica_superblock *superblock = set->superblock;
	int error = superblock_io(set, leg, REQ_OP_READ);

	if (error) {
		spin_lock_irq(&set->lock);
		count_error(set, leg, SUPERBLOCK_ERROR, error, 0);
		log_error(set, leg);
		spin_unlock_irq(&set->lock);
		return false;
	}
	return !memcmp(superblock->magic, SUPERBLOCK_MAGIC,
		       sizeof(superblock->magic)) &&
	       le32_to_cpu(superblock->checksum) ==
	       superblock_checksum(superblock);
}

/*
 * Returns the legs that failed, with their @errors. The flush is there for what was copied to a
 * leg: a superblock must not claim it before it is safe.
 */
static unsigned long write_superblocks(struct replica_set *set,
				       unsigned long legs, unsigned long live,
				       int *errors)
{
	struct replica_superblock *superblock = set->superblock;
	unsigned long failed = 0;
	unsigned int leg;

	memset(superblock, 0, set->superblock_bytes);
	memcpy(superblock->magic, SUPERBLOCK_MAGIC, sizeof(superblock->magic));
	superblock->version = cpu_to_le32(SUPERBLOCK_VERSION);
	memcpy(superblock->uuid, set->uuid, sizeof(superblock->uuid));
	superblock->generation = cpu_to_le64(set->generation);
	superblock->data_sectors = cpu_to_le64(set->ti->len);
	superblock->reserved_sectors = cpu_to_le32(RESERVED_SECTORS);
	superblock->num_legs = cpu_to_le32(set->num_legs);
	superblock->live = cpu_to_le32(live);
	if (set->active || set->resync)
		superblock->flags = cpu_to_le32(SUPERBLOCK_DIRTY);

	for_each_leg(leg, legs) {
		superblock->leg = cpu_to_le32(leg);
		superblock->checksum =
			cpu_to_le32(superblock_checksum(superblock));
		errors[leg] = superblock_io(set, leg, REQ_OP_WRITE |
					    REQ_PREFLUSH | REQ_FUA);
		if (errors[leg])
			failed |= BIT(leg);
	}
	return failed;
}

/*
 * Have the superblocks name the live legs. A leg that fails here is not one, so
 * it may take several rounds. False if the last leg fails, too.
 *
 * A leg that is to be rebuilt gets its superblock before any data: it will have
 * a mixture of old and new for a while, and must not pass for one that is
 * merely old.
 */
static bool record_state(struct replica_set *set)
{
	unsigned long live, requested, legs, failed;
	int errors[MAX_LEGS];
	unsigned int leg;

	spin_lock_irq(&set->lock);
	do {
		live = set->live;
		requested = set->requested;
		legs = live | set->rebuilding | requested;
		spin_unlock_irq(&set->lock);

		if (live != set->recorded)
			set->generation++;
		failed = write_superblocks(set, legs, live, errors);

		spin_lock_irq(&set->lock);
		for_each_leg(leg, legs)
			set->legs[leg].superblocks++;
		if (failed)
			fail_legs(set, failed, SUPERBLOCK_ERROR, errors, 0);
	} while (live != set->live);

	if (!(failed & live)) {
		set->recorded = live;
		/* What was asked for, or withdrawn, meanwhile is left out. */
		requested &= set->requested;
		set->requested &= ~requested;
		set->stale = set->requested;
		if (requested) {
			set->rebuilding |= requested;
			set->copying = true;
			set->copied = 0;
		}
	}
	spin_unlock_irq(&set->lock);
	return !(failed & live);
}

/* When these writes were held, what they wait for had been decided. */
static void settle_writes(struct replica_set *set)
{
	struct bio_list bios = take_bios(set, &set->held);
	bool failed = READ_ONCE(set->stale) && !record_state(set);
	struct bio *bio;

	if (failed)
		DMERR_LIMIT("%s: no superblock can be written", set_name(set));
	while ((bio = bio_list_pop(&bios))) {
		if (failed)
			bio->bi_status = BLK_STS_IOERR;
		bio_endio(bio);
	}
}

/* Have superblocks written, and wait for it. */
static bool update_superblocks(struct replica_set *set)
{
	spin_lock_irq(&set->lock);
	set->stale = true;
	queue_work(set->workqueue, &set->work);
	spin_unlock_irq(&set->lock);

	flush_work(&set->work);
	return !READ_ONCE(set->stale);
}

/* Is this one of the superblocks of our set, as far as one can tell? */
static char *check_superblock(const struct replica_set *set, unsigned int leg,
			      bool first)
{
	const struct replica_superblock *superblock = set->superblock;

	if (le32_to_cpu(superblock->version) != SUPERBLOCK_VERSION ||
	    le32_to_cpu(superblock->reserved_sectors) != RESERVED_SECTORS)
		return "A leg has a superblock of an unknown version";
	if (!first && memcmp(set->uuid, superblock->uuid, sizeof(set->uuid)))
		return "Legs belong to different sets";
	if (le32_to_cpu(superblock->num_legs) != set->num_legs)
		return "The set has another number of legs";
	if (le32_to_cpu(superblock->leg) != leg)
		return "A leg belongs in another place";
	if (le64_to_cpu(superblock->data_sectors) != set->ti->len)
		return "The set has another size";
	return NULL;
}

/*
 * Find out which legs are live: of those with the highest generation, the ones
 * that its superblocks name. Returns NULL, or why this cannot be a set. Changes
 * nothing on the legs.
 */
static char *load_set(struct replica_set *set)
{
	const struct replica_superblock *superblock = set->superblock;
	unsigned long found = 0, newest = 0, live = 0;
	unsigned int leg;

	for_each_leg(leg, set->present) {
		u64 generation;
		char *error;

		if (!read_superblock(set, leg))
			continue;
		error = check_superblock(set, leg, !found);
		if (error)
			return error;
		generation = le64_to_cpu(superblock->generation);
		if (!found || generation > set->generation) {
			memcpy(set->uuid, superblock->uuid, sizeof(set->uuid));
			set->generation = generation;
			set->resync = false;
			live = le32_to_cpu(superblock->live);
			newest = 0;
		}
		found |= BIT(leg);
		if (generation < set->generation)
			continue;
		if (le32_to_cpu(superblock->live) != live)
			return "Legs were used apart and differ: wipe one";
		newest |= BIT(leg);
		if (superblock->flags & cpu_to_le32(SUPERBLOCK_DIRTY))
			set->resync = true;
	}

	set->recorded = live;
	set->live = newest & live;
	if (set->create) {
		if (found)
			return "A leg belongs to a set already, and is not overwritten";
		/* Whatever there is on the first leg is what counts. */
		set->live = set->present;
		set->resync = true;
		generate_random_uuid(set->uuid);
	}
	return set->live ? NULL :
	       "No leg is known to be up to date: '1 create' makes a new set";
}

/*
 * Copying
 */

/*
 * Returns the leg that the chunk was read from. If there is none, copying comes
 * to its end: rebuilding has failed, and live legs go on being read in order.
 */
static unsigned int read_chunk(struct replica_set *set, sector_t sector,
			       sector_t count)
{
	unsigned long legs = READ_ONCE(set->live);
	struct io_region where[MAX_LEGS];
	unsigned long failed = 0;
	unsigned int source, leg;
	int errors[MAX_LEGS];

	data_regions(set, where, legs, sector, count);
	for_each_leg(source, legs) {
		struct dm_io_args args = {
			.opf = REQ_OP_READ,
			.num_regions = 1,
			.where = &where[source],
			.pl = set->pages,
			.errors = &errors[source],
		};

		if (!dm_io_submit(&args))
			break;
		failed |= BIT(source);
	}

	spin_lock_irq(&set->lock);
	for_each_leg(leg, failed) {
		count_error(set, leg, COPY_ERROR, errors[leg], sector);
		log_error(set, leg);
	}
	if (failed == legs) {
		DMERR("%s: copying ends: no leg can read %llu sectors from %llu",
		      set_name(set), (unsigned long long)count,
		      (unsigned long long)sector);
		set->rebuilding = 0;
		set->copying = false;
	}
	spin_unlock_irq(&set->lock);
	return source;
}

/* The legs that have to be made equal to @source. */
static unsigned long copy_targets(const struct replica_set *set,
				  unsigned int source)
{
	unsigned long legs = set->rebuilding | (set->resync ? set->live : 0);

	return legs & ~BIT(source);
}

static void write_chunk(struct replica_set *set, unsigned int source,
			sector_t sector, sector_t count)
{
	struct io_region where[MAX_LEGS];
	unsigned long targets, failed;
	int errors[MAX_LEGS];
	struct dm_io_args args = {
		.opf = REQ_OP_WRITE,
		.num_regions = set->num_legs,
		.where = where,
		.pl = set->pages,
		.error_bits = &failed,
		.errors = errors,
	};
	unsigned int leg;

	spin_lock_irq(&set->lock);
	targets = copy_targets(set, source);
	spin_unlock_irq(&set->lock);

	data_regions(set, where, targets, sector, count);
	dm_io_submit(&args);

	spin_lock_irq(&set->lock);
	for_each_leg(leg, targets)
		set->legs[leg].copied += count;
	if (failed)
		fail_legs(set, failed, COPY_ERROR, errors, sector);
	set->copied = sector + count;
	if (set->copied == set->ti->len || !copy_targets(set, source)) {
		if (copy_targets(set, source))
			DMINFO("%s: copying is complete", set_name(set));
		for_each_leg(leg, set->rebuilding)
			set->legs[leg].rebuilt++;
		if (set->rebuilding)
			set_live(set, set->live | set->rebuilding);
		set->rebuilding = 0;
		WRITE_ONCE(set->resync, false);
		set->copying = false;
	}
	spin_unlock_irq(&set->lock);
}

static void copy_chunk(struct replica_set *set)
{
	sector_t sector = set->copied;
	sector_t count = min_t(sector_t, set->ti->len - sector, CHUNK_SECTORS);
	unsigned int epoch, source;
	struct bio_list bios;
	struct bio *bio;

	spin_lock_irq(&set->lock);
	set->window_start = sector;
	set->window_end = sector + count;
	epoch = set->epoch;
	set->epoch = !epoch;
	spin_unlock_irq(&set->lock);
	wait_event(set->drained, !READ_ONCE(set->in_flight[epoch]));

	source = read_chunk(set, sector, count);
	if (source < MAX_LEGS)
		write_chunk(set, source, sector, count);

	spin_lock_irq(&set->lock);
	set->window_end = 0;
	spin_unlock_irq(&set->lock);
	bios = take_bios(set, &set->deferred);
	while ((bio = bio_list_pop(&bios)))
		start_write(set, bio);
}

static void replica_work(struct work_struct *work)
{
	struct replica_set *set = container_of(work, struct replica_set, work);

	retry_reads(set);
	settle_writes(set);
	if (READ_ONCE(set->running) && READ_ONCE(set->copying)) {
		copy_chunk(set);
		queue_work(set->workqueue, &set->work);
	}
}

/*
 * Resuming and suspending
 */

/*
 * When a table is loaded, the one before it may still be in use. So it is what
 * the superblocks say now that counts.
 */
static int replica_preresume(struct dm_target *ti)
{
	struct replica_set *set = ti->private;
	unsigned int leg;

	if (!set->loaded) {
		const char *error = load_set(set);

		if (error) {
			DMERR("%s: %s", set_name(set), error);
			return -EINVAL;
		}
		for (leg = 0; leg < set->num_legs; leg++)
			if (!(set->live & BIT(leg)))
				DMWARN("%s: leg %u is missing or not up to date",
				       set_name(set), leg);
		set->loaded = true;
		set->create = false;
		set->copying = set->resync;
	}

	/* No writes: no leg gets out of date, and none is written to. */
	if (get_disk_ro(dm_disk(dm_table_get_md(ti->table))))
		return 0;
	set->active = true;
	return update_superblocks(set) ? 0 : -EIO;
}

static void replica_resume(struct dm_target *ti)
{
	struct replica_set *set = ti->private;

	spin_lock_irq(&set->lock);
	set->running = set->active;
	queue_work(set->workqueue, &set->work);
	spin_unlock_irq(&set->lock);
}

/* All bios have ended. If this table is resumed, copying goes on. */
static void replica_postsuspend(struct dm_target *ti)
{
	struct replica_set *set = ti->private;

	spin_lock_irq(&set->lock);
	set->running = false;
	spin_unlock_irq(&set->lock);
	flush_work(&set->work);

	if (set->active) {
		set->active = false;
		update_superblocks(set);
	}
}

/*
 * Messages and status
 */

static int rebuild_leg(struct replica_set *set, unsigned int leg)
{
	int ret = 0;

	spin_lock_irq(&set->lock);
	if (!set->running)
		ret = -EBUSY;
	else if ((set->live | set->rebuilding | set->requested) & BIT(leg))
		ret = -EEXIST;
	else
		set->requested |= BIT(leg);
	spin_unlock_irq(&set->lock);
	if (ret)
		return ret;

	update_superblocks(set);

	spin_lock_irq(&set->lock);
	if (!((set->live | set->rebuilding) & BIT(leg)))
		ret = -EIO;
	spin_unlock_irq(&set->lock);
	return ret;
}

static int fail_leg(struct replica_set *set, unsigned int leg)
{
	int ret = 0;

	spin_lock_irq(&set->lock);
	if (!set->running || set->live == BIT(leg))
		ret = -EBUSY;
	else if (drop_legs(set, BIT(leg)))
		DMERR("%s: leg %u (%pg) is dropped: message", set_name(set),
		      leg, set->legs[leg].dev->bdev);
	spin_unlock_irq(&set->lock);
	if (ret)
		return ret;

	/*
	 * If superblocks have to be written once more by now, it is for another
	 * leg. What matters is that they were written without this one, which
	 * no other message can have brought back.
	 */
	update_superblocks(set);

	spin_lock_irq(&set->lock);
	if (set->recorded & BIT(leg))
		ret = -EIO;
	spin_unlock_irq(&set->lock);
	return ret;
}

static char leg_state(const struct replica_set *set, unsigned int leg)
{
	if (set->live & BIT(leg))
		return 'A';
	return set->rebuilding & BIT(leg) ? 'R' : 'D';
}

static void report_stats(struct replica_set *set, char *result,
			 unsigned int maxlen)
{
	unsigned int leg, sz = 0;

	for (leg = 0; leg < set->num_legs; leg++) {
		const struct leg *of = &set->legs[leg];
		u64 sums[NUM_COUNTS];
		unsigned int i;

		sum_counts(set, leg, sums);
		spin_lock_irq(&set->lock);
		DMEMIT("leg=%u device=%s state=%c", leg,
		       of->dev ? of->dev->name : "-", leg_state(set, leg));
		for (i = 0; i < NUM_COUNTS; i++)
			DMEMIT(" %s=%llu", count_names[i], sums[i]);
		DMEMIT(" copied_sectors=%llu superblocks=%u", of->copied,
		       of->superblocks);
		DMEMIT(" dropped=%u rebuilt=%u", of->dropped, of->rebuilt);
		for (i = 0; i < NUM_ERROR_KINDS; i++)
			DMEMIT(" %s_errors=%u", error_kind_names[i],
			       of->errors[i]);
		if (of->last_error)
			DMEMIT(" last_error=%d last_error_kind=%s last_error_sector=%llu",
			       of->last_error, error_kind_names[of->last_kind],
			       (unsigned long long)of->last_sector);
		DMEMIT("\n");
		spin_unlock_irq(&set->lock);
	}
}

/* Returns 1 if there is a @result to be handed to the sender. */
static int replica_message(struct dm_target *ti, unsigned int argc, char **argv,
			   char *result, unsigned int maxlen)
{
	struct replica_set *set = ti->private;
	int (*change)(struct replica_set *set, unsigned int leg) = NULL;
	unsigned int leg;
	int ret;

	if (argc == 1 && !strcasecmp(argv[0], "stats")) {
		report_stats(set, result, maxlen);
		return 1;
	}
	if (argc == 2 && !strcasecmp(argv[0], "rebuild"))
		change = rebuild_leg;
	if (argc == 2 && !strcasecmp(argv[0], "fail"))
		change = fail_leg;
	if (!change || kstrtouint(argv[1], 10, &leg) || leg >= MAX_LEGS ||
	    !(set->present & BIT(leg))) {
		DMERR("%s: a message is 'stats', or 'rebuild' or 'fail' and a leg with a device",
		      set_name(set));
		return -EINVAL;
	}

	mutex_lock(&set->message);
	ret = change(set, leg);
	mutex_unlock(&set->message);
	return ret;
}

static void replica_status(struct dm_target *ti, status_type_t type,
			   unsigned int status_flags, char *result,
			   unsigned int maxlen)
{
	struct replica_set *set = ti->private;
	unsigned int leg, sz = 0;

	switch (type) {
	case STATUSTYPE_INFO:
		spin_lock_irq(&set->lock);
		DMEMIT("%u ", set->num_legs);
		for (leg = 0; leg < set->num_legs; leg++)
			DMEMIT("%c", leg_state(set, leg));
		for (leg = 0; leg < set->num_legs; leg++)
			DMEMIT(" %u", sum_errors(&set->legs[leg]));
		if (set->copying)
			DMEMIT(" %llu/%llu", (unsigned long long)set->copied,
			       (unsigned long long)ti->len);
		else
			DMEMIT(" -");
		for (leg = 0; leg < set->num_legs; leg++)
			DMEMIT(" %d", set->legs[leg].last_error);
		spin_unlock_irq(&set->lock);
		break;
	case STATUSTYPE_TABLE:
		DMEMIT("%u", set->num_legs);
		for (leg = 0; leg < set->num_legs; leg++)
			DMEMIT(" %s", set->present & BIT(leg) ?
				      set->legs[leg].dev->name : "-");
		if (set->create)
			DMEMIT(" 1 create");
		break;
	case STATUSTYPE_IMA:
		*result = '\0';
		break;
	}
}

static int replica_iterate_devices(struct dm_target *ti,
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
 * The library hands on the memory of a bio as it is, and refuses what splits a
 * logical block in a way that not every driver copes with. That would cost us
 * legs, so bios must not come like this.
 */
static void replica_io_hints(struct dm_target *ti, struct queue_limits *limits)
{
	limits->dma_alignment = max_t(unsigned int, limits->dma_alignment,
				      min_t(unsigned int, PAGE_SIZE,
					    limits->logical_block_size) - 1);
}

/*
 * Construction
 */

/* Undoes as much as was done. */
static void free_set(struct replica_set *set)
{
	unsigned int i;

	if (set->workqueue)
		destroy_workqueue(set->workqueue);
	for (i = 0; set->pages && i < CHUNK_PAGES && set->pages[i].page; i++)
		__free_page(set->pages[i].page);
	kvfree(set->pages);
	free_percpu(set->traffic);
	vfree(set->superblock);
	for_each_leg(i, set->present)
		dm_put_device(set->ti, set->legs[i].dev);
	dm_io_put(RESERVE_PAGES);
	kfree(set);
}

/* All memory is allocated here: nothing may fail for lack of it later. */
static int alloc_memory(struct replica_set *set)
{
	unsigned int i;
	int cpu;

	set->traffic = alloc_percpu(struct traffic);
	set->superblock = vzalloc(set->superblock_bytes);
	set->pages = kvcalloc(CHUNK_PAGES, sizeof(*set->pages), GFP_KERNEL);
	set->workqueue = alloc_ordered_workqueue("dm-replica", WQ_MEM_RECLAIM);
	if (!set->traffic || !set->superblock || !set->pages ||
	    !set->workqueue)
		return -ENOMEM;
	for_each_possible_cpu(cpu)
		u64_stats_init(&per_cpu_ptr(set->traffic, cpu)->sync);
	for (i = 0; i < CHUNK_PAGES; i++) {
		set->pages[i].page = alloc_page(GFP_KERNEL);
		if (!set->pages[i].page)
			return -ENOMEM;
		if (i)
			set->pages[i - 1].next = &set->pages[i];
	}
	return 0;
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
	set->present |= BIT(leg);
	set->superblock_bytes = max(set->superblock_bytes,
				    bdev_logical_block_size(dev->bdev));
	if (ret)
		ti->error = "Two legs have the same device";
	return ret;
}

static int read_args(struct replica_set *set, struct dm_arg_set *args)
{
	static const struct dm_arg num_legs_arg = {
		MIN_LEGS, MAX_LEGS, "The number of legs must be 2 to 8",
	};
	static const struct dm_arg num_features_arg = {
		0, 1, "The number of features must be 0 or 1",
	};
	char **error = &set->ti->error;
	unsigned int leg, num_features = 0;

	if (dm_read_arg_group(&num_legs_arg, args, &set->num_legs, error))
		return -EINVAL;
	for (leg = 0; leg < set->num_legs; leg++) {
		int ret = get_leg(set, leg, dm_shift_arg(args));

		if (ret)
			return ret;
	}
	if (args->argc &&
	    dm_read_arg_group(&num_features_arg, args, &num_features, error))
		return -EINVAL;
	if (num_features) {
		set->create = !strcasecmp(dm_shift_arg(args), "create");
		if (!set->create ||
		    hweight_long(set->present) < set->num_legs) {
			*error = "The only feature is create, with a device for each leg";
			return -EINVAL;
		}
	}
	if (args->argc) {
		*error = "There are too many arguments";
		return -EINVAL;
	}
	return 0;
}

/* <#legs> <device or ->... [<#features> [create]] */
static int replica_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct dm_arg_set args = { .argc = argc, .argv = argv };
	struct replica_set *set;
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
	set->superblock_bytes = SUPERBLOCK_MIN_BYTES;
	spin_lock_init(&set->lock);
	mutex_init(&set->message);
	init_waitqueue_head(&set->drained);
	INIT_WORK(&set->work, replica_work);

	ret = read_args(set, &args);
	if (!ret)
		ret = alloc_memory(set);
	if (!ret) {
		ti->error = load_set(set);
		ret = ti->error ? -EINVAL : 0;
	}
	if (ret) {
		free_set(set);
		return ret;
	}

	ti->private = set;
	ti->num_flush_bios = 1;
	ti->per_io_data_size = sizeof(struct replica_io);
	return 0;
}

static void replica_dtr(struct dm_target *ti)
{
	free_set(ti->private);
}

static struct target_type replica_target = {
	.name = "replica",
	.version = { 1, 1, 0 },
	.module = THIS_MODULE,
	.ctr = replica_ctr,
	.dtr = replica_dtr,
	.map = replica_map,
	.preresume = replica_preresume,
	.resume = replica_resume,
	.postsuspend = replica_postsuspend,
	.message = replica_message,
	.status = replica_status,
	.iterate_devices = replica_iterate_devices,
	.io_hints = replica_io_hints,
};

#if IS_ENABLED(CONFIG_DM_IO_KUNIT_TEST)

/* A set of which nothing is there but the superblock of one leg. */
struct test_set {
	struct replica_set set;
	struct dm_target ti;
	struct dm_dev dev;
};

static void free_test_set(struct test_set *test)
{
	kfree(test->set.superblock);
	kfree(test);
}

static struct test_set *alloc_test_set(struct block_device *bdev,
				       const struct replica_test_state *state)
{
	struct test_set *test = kzalloc(sizeof(*test), GFP_KERNEL);

	if (!test)
		return NULL;
	test->set.superblock_bytes = SUPERBLOCK_MIN_BYTES;
	test->set.superblock = kzalloc(SUPERBLOCK_MIN_BYTES, GFP_KERNEL);
	if (!test->set.superblock) {
		kfree(test);
		return NULL;
	}
	test->ti.len = state->data_sectors;
	test->dev.bdev = bdev;
	test->set.ti = &test->ti;
	test->set.num_legs = state->num_legs;
	test->set.legs[state->leg].dev = &test->dev;
	test->set.present = BIT(state->leg);
	return test;
}

int dm_replica_test_write(struct block_device *bdev,
			  const struct replica_test_state *state)
{
	struct test_set *test = alloc_test_set(bdev, state);
	int errors[MAX_LEGS] = { };
	unsigned long failed;

	if (!test)
		return -ENOMEM;
	memcpy(test->set.uuid, state->uuid, sizeof(test->set.uuid));
	test->set.generation = state->generation;
	test->set.resync = state->dirty;
	failed = write_superblocks(&test->set, BIT(state->leg), state->live,
				   errors);
	free_test_set(test);
	return failed ? -EIO : 0;
}
EXPORT_SYMBOL_GPL(dm_replica_test_write);

bool dm_replica_test_read(struct block_device *bdev,
			  struct replica_test_state *state)
{
	struct test_set *test = alloc_test_set(bdev, state);
	bool found;

	if (!test)
		return false;
	found = !load_set(&test->set);
	memcpy(state->uuid, test->set.uuid, sizeof(state->uuid));
	state->generation = test->set.generation;
	state->live = test->set.recorded;
	state->dirty = test->set.resync;
	free_test_set(test);
	return found;
}
EXPORT_SYMBOL_GPL(dm_replica_test_read);

#endif

static int __init replica_init(void)
{
	return dm_register_target(&replica_target);
}

static void __exit replica_exit(void)
{
	dm_unregister_target(&replica_target);
}

module_init(replica_init);
module_exit(replica_exit);

MODULE_DESCRIPTION("Device Mapper target that keeps data on several devices");
MODULE_AUTHOR("dm-io maintainers");
MODULE_LICENSE("GPL");
