/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dm-replica: what the files of the target share
 *
 * dm-replica-target.c states the protocol, and is the side that Device Mapper
 * sees. dm-replica-io.c has reads and writes, dm-replica-meta.c superblocks and
 * the legs' states, dm-replica-bitmap.c the write-intent bitmap, and
 * dm-replica-sync.c copying.
 */
#ifndef DM_REPLICA_H
#define DM_REPLICA_H

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/cache.h>
#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/u64_stats_sync.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "dm-io.h"

#define MIN_LEGS	2
#define MAX_LEGS	8

/* What is in front of the data of each leg, in sectors. */
#define RESERVED_SECTORS	(SZ_1M >> SECTOR_SHIFT)

/* Where the bitmap is on each leg, and how long it may be. */
#define BITMAP_SECTOR		(SZ_64K >> SECTOR_SHIFT)
#define BITMAP_MAX_BYTES	SZ_512K

/* The bytes that a bit stands for, and the number of bits we like to have. */
#define MIN_REGION_SHIFT	16
#define MAX_REGION_SHIFT	40
#define USUAL_REGIONS		BIT(20)

/* What is copied at once. */
#define CHUNK_SECTORS	(SZ_1M >> SECTOR_SHIFT)

/* Reads alternate between the legs in stretches of this many sectors. */
#define STRETCH_SHIFT	11

/* Page-sized requests that can be in flight when memory is short. */
#define RESERVE_PAGES	64

/* A region that was not written to for one to two of these is clean again. */
#define CLEAR_INTERVAL	(3 * HZ)

/* When no leg takes a superblock, another attempt is made after that. */
#define RETRY_INTERVAL	(HZ / 2)

#define SUPERBLOCK_MIN_BYTES	SZ_4K
#define MAX_PREDECESSORS	36

/* What a leg failed at. */
enum error_kind {
	READ_ERROR,
	WRITE_ERROR,
	FLUSH_ERROR,
	COPY_ERROR,
	SUPERBLOCK_ERROR,
	BITMAP_ERROR,
	NUM_ERROR_KINDS,
};

/*
 * The bios that a leg was sent. Neither reads nor writes take a lock, and need
 * not start to share a cache line here. So each CPU counts for itself.
 */
enum count {
	COUNT_READS,
	COUNT_READ_SECTORS,
	COUNT_WRITES,
	COUNT_WRITE_SECTORS,
	COUNT_FLUSHES,
	COUNT_DISCARDS,
	COUNT_RETRIES,		/* reads that another leg has failed */
	NUM_COUNTS,
};

struct replica_cpu {
	long in_flight[2];	/* writes, by epoch */
	struct u64_stats_sync sync;
	u64_stats_t counts[MAX_LEGS][NUM_COUNTS];
};

/* What is done to one leg at a time, on the leg's own queue. */
enum job_kind {
	META_JOB,		/* its superblock */
	BITMAP_JOB,		/* its bitmap, or a flush before that is cleared */
	COPY_JOB,
	NUM_JOBS,
};

struct replica_job {
	struct work_struct work;
	struct replica_set *set;
	unsigned int leg;
	enum job_kind kind;
	blk_opf_t opf;
	sector_t sector;	/* of the device */
	sector_t count;
	void *data;
	int error;
};

/* The history of a set: see dm-replica-target.c. */
struct replica_history {
	u64 id;
	unsigned int num_predecessors;
	u64 predecessors[MAX_PREDECESSORS];
	u64 base[MAX_LEGS];	/* when it was last live, if bits tell what it lacks */
	u64 last[MAX_LEGS];	/* what its superblock said last */
};

/*
 * A leg, with what is counted with the lock held. Aligned, so that each write does not
 * miss the device of a leg whenever something is counted for the one before it.
 */
struct replica_leg {
	struct block_device *bdev;
	struct dm_dev *dev;
	struct workqueue_struct *queue;
	struct replica_job jobs[NUM_JOBS];
	struct replica_superblock *superblock;
	u64 data_id;			/* written with the superblock */

	struct work_struct retry_work;
	struct list_head retries;	/* reads that this leg may serve */

	unsigned int errors[NUM_ERROR_KINDS];
	enum error_kind last_kind;	/* of errors, as are the next two */
	int last_error;			/* negative errno, 0 if there was none */
	sector_t last_sector;
	unsigned int dropped;
	unsigned int rebuilt;
	unsigned int superblocks;	/* written */
	u64 copied;			/* sectors written in copying */
	u64 bitmap_sectors;		/* written */
	unsigned int bitmap_flushes;	/* before bits were cleared */
} ____cacheline_aligned_in_smp;

struct replica_set {
	/* What reads and writes look at; it changes seldom. */
	unsigned long live;
	bool fast;		/* writes need no lock */
	bool stale;		/* superblocks have to be written */
	bool draining;		/* somebody waits for writes to end */
	unsigned int epoch;
	unsigned long num_differ;
	unsigned int num_legs;
	unsigned int region_shift;	/* of sectors */
	unsigned long num_regions;
	unsigned long *dirty;		/* the bit is on all live legs */
	unsigned long *recent;		/* written to since the last look */
	struct replica_cpu __percpu *cpus;
	struct replica_leg legs[MAX_LEGS];

	const char *name;
	struct dm_target *ti;		/* NULL in a test */
	sector_t len;
	sector_t begin;			/* of the target, in its device */
	unsigned long present;		/* legs that the table has a device for */
	bool create;			/* make a new set when first resumed */
	bool degraded;			/* do without a leg that may be newer */
	bool loaded;			/* the state of the legs is known */
	unsigned int create_shift;	/* of a region in sectors; 0 is the usual */
	unsigned int block_bytes;	/* logical block of the set */
	unsigned int superblock_bytes;

	struct workqueue_struct *workqueue;
	struct workqueue_struct *sync_queue;
	struct work_struct meta_work;
	struct delayed_work sync_work;
	unsigned long clear_interval;
	wait_queue_head_t wait;		/* for all that is waited for here */

	/* Of the bitmap. The meta work's own, if not said otherwise. */
	void *image;			/* as on the legs, little-endian */
	unsigned int image_bytes;
	bool image_written;		/* to all live legs */
	unsigned long *clearing;	/* regions that are to be cleared */
	bool clear_wanted;		/* with the lock */

	/* The sync work's own. */
	void *chunk;
	sector_t copy_next;		/* with the lock */
	bool flipped;			/* the other epoch has to end */

	/* The meta work's, and of whoever holds the lock. */
	u8 uuid[16];
	u64 sequence;
	struct replica_history history;
	unsigned long history_live;	/* legs of the generation */
	u64 recorded_id;

	/* Protects all that follows, and what is counted in a leg. */
	spinlock_t lock;
	unsigned long recorded;		/* live legs as of the superblocks */
	bool converted;			/* the next superblocks are a new generation */
	bool want_dirty;		/* somebody writes */
	bool dirty_recorded;		/* and the superblocks say so */
	bool running;			/* copying and messages are allowed */
	bool record_failed;
	bool slow;			/* copying: writes take the lock */
	bool gave_up;			/* no leg could read some sectors */
	bool copy_stopped;		/* for that reason */
	unsigned long rebuilding;
	unsigned long requested;	/* legs that are to be rebuilt */
	unsigned long finishing;	/* legs that have been rebuilt */
	unsigned long busy[NUM_JOBS];	/* legs with a job that has not ended */
	unsigned long *differ;		/* regions in which live legs may differ */
	unsigned long *todo;		/* regions that rebuilding legs lack */
	unsigned long num_todo;
	unsigned long copy_total;	/* regions, when copying began */
	sector_t window_start;		/* writes from here ... */
	sector_t window_end;		/* ... to here are put off */
	struct list_head deferred;	/* writes that overlap the window */
	struct list_head held;		/* writes that wait for superblocks */
	struct list_head waiting;	/* writes that wait for their bits */
	bool event;
	unsigned int events;		/* that were raised */
};

/* What belongs to a bio, from its mapping to its end. */
struct replica_io {
	struct replica_set *set;
	struct bio *bio;
	struct list_head list;
	unsigned int epoch;		/* of a write */
	unsigned int leg;		/* that a read was last sent to */
	unsigned long legs;		/* that a write was sent to, or a read */
	bool ended;			/* a read, and not for good */
	unsigned short bio_flags;	/* of a read, to begin again */
	struct bvec_iter iter;
	int errors[MAX_LEGS];		/* of a write; the first of a read */
};

#define for_each_leg(leg, legs)	for_each_set_bit(leg, &(legs), MAX_LEGS)

static inline unsigned long all_legs(const struct replica_set *set)
{
	return BIT(set->num_legs) - 1;
}

static inline sector_t region_sectors(const struct replica_set *set)
{
	return (sector_t)1 << set->region_shift;
}

static inline unsigned long long region_kib(unsigned int shift)
{
	return BIT_ULL(shift) >> 1;
}

static inline unsigned long region_of(const struct replica_set *set,
				      sector_t sector)
{
	return sector >> set->region_shift;
}

/* dm-replica-target.c */
extern const char *const replica_error_kind_names[NUM_ERROR_KINDS];

/* dm-replica-io.c */
int replica_map_io(struct replica_io *io);
int replica_end_io(struct replica_io *io, blk_status_t *status);
void replica_start_write(struct replica_io *io);
void replica_retry_reads(struct work_struct *work);
void replica_drop_legs(struct replica_set *set, unsigned long legs);
void replica_count_error(struct replica_set *set, unsigned int leg,
			 enum error_kind kind, int error, sector_t sector);
void replica_log_error(const struct replica_set *set, unsigned int leg);
unsigned long replica_fail_legs(struct replica_set *set, unsigned long failed,
				enum error_kind kind, const int *errors,
				sector_t sector);
bool replica_is_refusal(int error);
void replica_end_ios(struct list_head *ios, blk_status_t status);
void replica_sum_counts(const struct replica_set *set, unsigned int leg,
			u64 *sums);

/* dm-replica-meta.c */
const char *replica_load(struct replica_set *set);
int replica_resume(struct replica_set *set, bool read_only);
void replica_run(struct replica_set *set, bool read_only);
void replica_suspend(struct replica_set *set);
void replica_free(struct replica_set *set);
int replica_alloc(struct replica_set *set);
void replica_init(struct replica_set *set);
void replica_meta_work(struct work_struct *work);
unsigned long replica_run_jobs(struct replica_set *set, unsigned long legs,
			       enum job_kind kind, int *errors);
void replica_update_fast(struct replica_set *set);
int replica_rebuild_leg(struct replica_set *set, unsigned int leg);
int replica_fail_leg(struct replica_set *set, unsigned int leg);
bool replica_raise_events(struct replica_set *set);

/* dm-replica-bitmap.c */
void replica_choose_regions(struct replica_set *set, unsigned int shift);
int replica_alloc_bitmap(struct replica_set *set);
void replica_free_bitmap(struct replica_set *set);
bool replica_regions_are_dirty(struct replica_set *set, const struct bio *bio);
void replica_mark_differ(struct replica_set *set, sector_t sector,
			 sector_t count);
void replica_mark_all_differ(struct replica_set *set);
int replica_read_bitmap(struct replica_set *set, unsigned int leg, void *image);
bool replica_write_image(struct replica_set *set, unsigned long legs);
void replica_set_bits(struct replica_set *set, struct list_head *ios);
void replica_clear_bits(struct replica_set *set);
bool replica_find_clean(struct replica_set *set);
bool replica_clear_all(struct replica_set *set);
bool replica_any_dirty(const struct replica_set *set);
void replica_image_to_map(struct replica_set *set, const void *image,
			  unsigned long *map);

/* dm-replica-sync.c */
void replica_sync_work(struct work_struct *work);
bool replica_epoch_ended(const struct replica_set *set, unsigned int epoch);
void replica_leave(struct replica_set *set, unsigned int epoch);
bool replica_wants_copy(const struct replica_set *set);

#endif /* DM_REPLICA_H */
