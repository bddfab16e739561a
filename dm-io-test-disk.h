/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dm-io: disks for the tests of the library, which do as they are told
 */
#ifndef DM_IO_TEST_DISK_H
#define DM_IO_TEST_DISK_H

#include <linux/bio.h>
#include <linux/blk-mq.h>
#include <linux/blk_types.h>
#include <linux/completion.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#define TEST_DISK_RECORDS	256

/* Where a bio ends, and its data moves. */
enum test_disk_end {
	END_AT_ONCE,		/* in submit_bio() */
	END_IN_WORKER,
	END_IN_SOFTIRQ,
	END_IN_HARDIRQ,
	END_WHEN_TOLD,		/* by test_disk_release() */
};

/* What has arrived. */
struct test_bio {
	blk_opf_t opf;
	sector_t sector;
	unsigned int bytes;
	unsigned int max_vecs;
	unsigned short ioprio;
	unsigned char write_hint;
};

/*
 * What happens to a disk, in order. The data of a write is copied as it arrives,
 * and moves to the medium at some time between that and its end, or later: that
 * is what whoever reads the log has to think of.
 */
enum test_event_kind {
	EVENT_WRITE,
	EVENT_DISCARD,
	EVENT_FLUSH,
	EVENT_END,		/* of the event with index @of */
	EVENT_MARK,		/* by test_disk_mark() */
};

struct test_event {
	enum test_event_kind kind;
	bool preflush, fua;
	bool ended, failed;
	sector_t sector;
	unsigned int bytes;
	u8 *data;		/* of a write */
	unsigned int of;
	u64 mark;
	const struct bio *bio;	/* to tell bios apart that have not ended */
};

struct test_log {
	struct test_event *events;
	unsigned int num, max;
	u8 *data;
	size_t used, size;
	bool full;		/* there was more */
};

/* A bio-based disk with a volatile write cache. */
struct test_disk {
	struct block_device *bdev;
	sector_t num_sectors;
	u8 *data;			/* NULL: it keeps nothing */

	/* How it behaves; to be changed while it is idle. */
	enum test_disk_end end;
	bool backwards;			/* of bios that wait, the last comes first */
	unsigned int bad_bio;		/* this one fails; the first is 1 */
	sector_t bad_sector;		/* and so does whatever touches these */
	sector_t bad_sectors;
	blk_status_t bad_status;	/* BLK_STS_IOERR, if it is not set */
	bool forgets_zeroes;		/* with that, it knows zeroes no more */

	/* Called in submit_bio() instead of all this, if it is there. */
	void (*map)(struct test_disk *disk, struct bio *bio);
	void *map_context;

	/* Called for each bio that arrives, with the lock held. */
	void (*watch)(struct test_disk *disk, const struct bio *bio);
	void *watch_context;

	/* Called before a bio ends and when it has ended, in the context of that. */
	void (*watch_end)(struct test_disk *disk, bool ended);
	void *watch_end_context;

	/* Where it writes down what happens, or NULL. */
	struct test_log *log;

	/* What it has seen since test_disk_forget(). */
	unsigned int num_bios;		/* the first of them are in @bios */
	u64 num_bytes;
	unsigned int most_in_flight;
	bool ended_in_hardirq;
	bool ended_in_softirq;
	struct test_bio bios[TEST_DISK_RECORDS];

	/* Its own affairs. */
	struct gendisk *disk;
	spinlock_t lock;		/* of what it has seen, and what waits */
	unsigned int in_flight;
	struct bio_list waiting;
	struct work_struct work;
	struct tasklet_struct tasklet;
	struct irq_work irq_work;
};

/**
 * struct test_disk_layout - what a disk is like
 * @num_sectors: its size
 * @block: bytes of a logical block; 0 is 512
 * @any_alignment: it takes memory at any address
 * @dma_alignment: else these bits of an address have to be clear; 0 is 511
 * @read_only: writes are not allowed
 * @no_data: it keeps nothing, and reads leave the memory alone
 * @no_cache: it has no volatile write cache
 * @integrity_bytes: integrity data of a sector; 0 if it has none
 * @discard_sectors: the longest discard it takes; 0 if it takes none
 * @discard_granularity: in bytes
 * @discard_alignment: offset of the first unit of that size, in bytes
 * @erase_sectors: the longest secure erase
 * @zeroes_sectors: the longest write of zeroes
 * @atomic_min: the smallest atomic write, in bytes
 * @atomic_max: the largest one; 0 if it takes none, or if the kernel has none
 * @max_segments: of an atomic write; 0 is 128
 */
struct test_disk_layout {
	sector_t num_sectors;
	unsigned int block;
	bool any_alignment;
	unsigned int dma_alignment;
	bool read_only;
	bool no_data;
	bool no_cache;
	unsigned int integrity_bytes;
	unsigned int discard_sectors;
	unsigned int discard_granularity;
	unsigned int discard_alignment;
	unsigned int erase_sectors;
	unsigned int zeroes_sectors;
	unsigned int atomic_min;
	unsigned int atomic_max;
	unsigned short max_segments;
};

#define TEST_DISK_FILLER	0xdb

/* What is there after a discard, and after a secure erase. */
#define TEST_DISK_DISCARDED	0xd1
#define TEST_DISK_ERASED	0xe5

/* A disk of no size, or NULL if there is no memory. */
struct test_disk *test_disk_create(void);

/*
 * Make a disk that is idle what @layout says, fill it with TEST_DISK_FILLER, and
 * have it end each bio at once. To create a disk takes much longer than this.
 */
int test_disk_set_up(struct test_disk *disk,
		     const struct test_disk_layout *layout);

/* Bios that still wait fail now. Afterwards the disk is idle. */
void test_disk_drain(struct test_disk *disk);

void test_disk_destroy(struct test_disk *disk);

/* Forget what has been seen. */
void test_disk_forget(struct test_disk *disk);

/* End what waits in a disk that ends a bio when it is told to. */
void test_disk_release(struct test_disk *disk);

/*
 * A log of a disk, with room for so many events and bytes of data. NULL if there
 * is no memory.
 */
struct test_log *test_log_create(unsigned int max_events, size_t bytes);
void test_log_destroy(struct test_log *log);

/* Write a mark into the log of a disk. */
void test_disk_mark(struct test_disk *disk, u64 mark);

/*
 * Make a partition of a disk that has its data in memory. Returns it, or NULL.
 * The disk may serve no other test afterwards.
 */
struct block_device *test_disk_partition(struct test_disk *disk, u32 sector,
					 u32 num_sectors);

/* A blk-mq disk that keeps no data. */
struct test_mq_disk {
	struct block_device *bdev;
	atomic_t num_requests;
	atomic_t num_followed;		/* those that came with another one */

	struct gendisk *disk;
	struct blk_mq_tag_set tags;
};

struct test_mq_disk *test_mq_disk_create(sector_t num_sectors);
void test_mq_disk_destroy(struct test_mq_disk *disk);

#endif /* DM_IO_TEST_DISK_H */
