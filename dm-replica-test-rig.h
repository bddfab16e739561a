/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dm-replica: a set on disks in memory, for its tests
 *
 * Device Mapper cannot be asked for a device from within the kernel. So a disk in
 * front of the set takes its place: it clones each bio that it gets, as Device
 * Mapper does, and hands it to the functions that the target hands it to.
 *
 * What reaches the legs is written down in one log, in order, and so is what is
 * acknowledged. From that follows what can be on the legs if the power goes off at
 * any moment: see rig_cut().
 */
#ifndef DM_REPLICA_TEST_RIG_H
#define DM_REPLICA_TEST_RIG_H

#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/completion.h>
#include <linux/prandom.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "dm-io-test-disk.h"
#include "dm-replica.h"

#define RIG_LEGS	3
#define RIG_ALL		(BIT(RIG_LEGS) - 1)
#define RIG_BLOCK	SZ_4K
#define RIG_BLOCK_SECTORS	(RIG_BLOCK >> SECTOR_SHIFT)
#define RIG_BLOCKS	128
#define RIG_SECTORS	(RIG_BLOCKS * RIG_BLOCK_SECTORS)
#define RIG_LEG_SECTORS	(RESERVED_SECTORS + RIG_SECTORS)
#define RIG_LEG_BYTES	(RIG_LEG_SECTORS << SECTOR_SHIFT)

/* What is not there again before that, never will be. */
#define RIG_LIMIT	(10 * HZ)

enum rig_event_kind {
	RIG_WRITE,		/* has arrived at a leg */
	RIG_FLUSH,
	RIG_END,		/* of one of these */
	RIG_ISSUE,		/* a write is given to the set ... */
	RIG_ACK,		/* ... and has succeeded */
	RIG_FLUSHED,		/* a flush that came after event @of has succeeded */
};

struct rig_event {
	enum rig_event_kind kind;
	unsigned int leg;
	bool flush, fua;	/* of a write */
	unsigned int end;	/* event, 0 while it has not ended */
	bool failed;
	bool kept;		/* by rig_cut(), of one that has not ended */
	sector_t sector;
	unsigned int bytes;
	const u8 *data;
	unsigned int of;
	u32 version;		/* that was issued or acknowledged */
	const struct bio *bio;
};

/* Sectors of a leg that fail. */
struct rig_fault {
	sector_t sector, count;
	bool reads, writes;
	bool once;
	blk_status_t status;
};

struct rig_leg {
	struct rig *rig;
	unsigned int nr;
	struct test_disk *disk;
	u8 *base;			/* when the log began */
	bool hangs;
	struct bio_list hung;
	struct rig_fault fault;
	unsigned int fail_write;	/* the how many-th from now, and flushes */
	blk_status_t fail_status;
	unsigned int hang_write;	/* it hangs from this one on */
	unsigned int num_reads, num_writes, num_zeroes, num_discards;
};

/* What may be read of a sector. */
struct rig_sector {
	u32 floor;			/* this version or a later one ... */
	u32 acked;			/* ... and after a flush, this one ... */
	u32 issued;			/* ... and none later than this */
};

struct rig {
	struct kunit *test;
	struct rig_leg legs[RIG_LEGS];
	struct test_disk *front;
	struct bio_set bios;
	struct replica_set *set;
	struct rnd_state random;
	bool has_reserve;
	const char *error;		/* why the set was refused */
	u32 version;			/* the last one given to a write */
	struct rig_sector sectors[RIG_SECTORS];	/* at the beginning of the log */

	spinlock_t lock;		/* of all that follows */
	bool shuffle;			/* bios end later, in any order */
	struct bio_list pending;
	struct work_struct work;
	struct rig_event *events;
	unsigned int num_events, max_events;
	u8 *data;
	size_t used, size;
	bool full;
	bool quiet;			/* nothing is written down */
};

/* A bio on its way to the set. */
struct rig_io {
	struct rig *rig;
	struct bio *bio;
	u8 *data;
	sector_t sector;
	u32 version;
	unsigned int issued;		/* event */
	struct completion ended;
	int error;
};

struct rig_load {
	unsigned long present;
	bool create, degraded, read_only;
};

struct rig *rig_create(struct kunit *test);
void rig_destroy(struct rig *rig);

bool rig_load(struct rig *rig, const struct rig_load *load);
void rig_unload(struct rig *rig);
/* With all legs; it has to be accepted. Waits until they are equal. */
void rig_make(struct rig *rig);
void rig_reload(struct rig *rig, unsigned long present);
bool rig_is_idle(struct rig *rig);
void rig_await_idle(struct rig *rig);
void rig_await_clear(struct rig *rig);
/* The states of the legs, as in the status. */
const char *rig_states(struct rig *rig, char *states);

struct rig_io *rig_start(struct rig *rig, blk_opf_t opf, sector_t sector,
			 sector_t count);
int rig_finish(struct rig_io *io);
int rig_write(struct rig *rig, sector_t sector, sector_t count, blk_opf_t flags);
int rig_flush(struct rig *rig);
int rig_read(struct rig *rig, sector_t sector, sector_t count, u8 *data);
void rig_release(struct rig *rig, unsigned int leg);

u32 rig_version_of(const u8 *data, sector_t sector);
void rig_fill(u8 *data, sector_t sector, sector_t count, u32 version);

void rig_begin_log(struct rig *rig);
/*
 * What is on the legs if the power goes off before this event: everything that was
 * flushed, and of all else @keep: nothing, everything, or any part.
 */
enum rig_keep { RIG_NOTHING, RIG_EVERYTHING, RIG_ANYTHING };
void rig_cut(struct rig *rig, unsigned int cut, enum rig_keep keep);
/* What may be read then, as the beginning of the next log. */
void rig_promises(struct rig *rig, unsigned int cut, struct rig_sector *sectors);
/* Returns the first sector that is not as it may be, or -1. */
int rig_check(struct rig *rig, const struct rig_sector *sectors, u8 *data);
/* The first sector in which live legs differ, or -1. */
int rig_compare(struct rig *rig);

extern struct kunit_suite replica_power_suite;

#endif /* DM_REPLICA_TEST_RIG_H */
