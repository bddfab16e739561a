/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dm-io: a disk in memory for the tests, as strict as hardware
 *
 * It has any limits that a driver may set, and looks at each request as hardware
 * would: at every segment, its address, length and neighbours. Hardware answers a
 * request that it cannot take with wrong data; this disk moves the right data, and
 * fails the test with a sentence that says what was wrong.
 *
 * It comes in two kinds. The request-based one sits below the block layer, which
 * splits bios for it. The bio-based one sees bios as they are submitted, and takes
 * them page by page like brd or null_blk.
 */
#ifndef DM_IO_TEST_STRICT_H
#define DM_IO_TEST_STRICT_H

#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/blk-mq.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "dm-io-test-disk.h"

/* The kernel that has the tests built in has many names, too. */
#define new_strict_disk		dm_io_test_new_strict_disk
#define strict_disk_begin	dm_io_test_strict_disk_begin
#define strict_disk_calm_down	dm_io_test_strict_disk_calm_down
#define strict_disk_create	dm_io_test_strict_disk_create
#define strict_disk_destroy	dm_io_test_strict_disk_destroy
#define strict_disk_limit	dm_io_test_strict_disk_limit
#define strict_disk_ok		dm_io_test_strict_disk_ok
#define strict_disk_release	dm_io_test_strict_disk_release

/**
 * struct strict_limits - what a strict disk can take
 * @block: bytes of a logical block; 0 is 512
 * @dma_alignment: bits that have to be clear in address and length of a segment;
 *	0 is 511, as it is for a driver
 * @virt_boundary: bits that have to be clear where one segment ends and another
 *	one, that is elsewhere, starts; 0 is none
 * @max_segments: of a request; 0 is 128
 * @max_segment_size: in bytes; 0 is 64 KiB, or no limit with @virt_boundary
 * @seg_boundary: a mask; a segment does not cross a multiple of it plus one. 0 is
 *	4 GiB - 1
 * @max_sectors: of a request; 0 is 255
 * @chunk_sectors: no request crosses a multiple of it; 0 is none
 * @discard_sectors: the longest discard; 0 if it takes none
 * @discard_granularity: in bytes
 * @discard_alignment: offset of the first unit of that size, in bytes
 * @erase_sectors: the longest secure erase
 * @zeroes_sectors: the longest write of zeroes
 * @atomic_min: the smallest atomic write, in bytes
 * @atomic_max: the largest one; 0 if it takes none, or if the kernel has none
 * @atomic_boundary: no atomic write crosses a multiple of it; 0 is none
 * @cache: it has a volatile write cache
 * @fua: with which it takes FUA
 * @read_only: writes are not allowed
 */
struct strict_limits {
	unsigned int block;
	unsigned int dma_alignment;
	unsigned long virt_boundary;
	unsigned short max_segments;
	unsigned int max_segment_size;
	unsigned long seg_boundary;
	unsigned int max_sectors;
	unsigned int chunk_sectors;
	unsigned int discard_sectors;
	unsigned int discard_granularity;
	unsigned int discard_alignment;
	unsigned int erase_sectors;
	unsigned int zeroes_sectors;
	unsigned int atomic_min;
	unsigned int atomic_max;
	unsigned int atomic_boundary;
	bool cache;
	bool fua;
	bool read_only;
};

/* Sectors that fail whatever touches them. */
struct strict_bad {
	sector_t sector, count;
	blk_status_t status;
};

#define STRICT_BADS		4
#define STRICT_WRONGS		4
#define STRICT_SENTENCE		160

/* Sectors that were written, or discarded and the like. */
struct strict_range {
	sector_t from, to;
};

#define STRICT_RANGES		64

/* What it leaves in memory that it could not read to. */
#define STRICT_SCRIBBLE		0xbd

struct strict_disk {
	struct block_device *bdev;
	struct strict_limits limits;	/* with the defaults filled in */
	u8 *data;
	size_t bytes;			/* of @data */
	sector_t num_sectors;

	/* How it behaves; to be changed while it is idle. */
	enum test_disk_end end;
	bool backwards;			/* of requests that wait, the last comes first */
	bool partial;			/* what is before bad sectors succeeds */
	struct strict_bad bad[STRICT_BADS];
	blk_status_t flush_status;

	/* What it has seen since strict_disk_begin(). */
	unsigned int num_requests;
	unsigned int num_flushes;
	unsigned int num_writes;	/* with data */
	unsigned int num_fua;		/* of these */
	unsigned int num_atomic;	/* of these */
	unsigned int num_unflushed;	/* of these, since the last flush */
	blk_opf_t any_opf, all_opf;	/* flags of any, and of all with data */
	sector_t written_from, written_to;
	unsigned int num_ranges;	/* the first of them are in @ranges */
	struct strict_range ranges[STRICT_RANGES];

	/* What was wrong; strict_disk_ok() says it. */
	unsigned int num_wrong;
	char wrong[STRICT_WRONGS][STRICT_SENTENCE];

	/* Its own affairs. */
	bool bio_based;
	struct kunit *test;
	struct gendisk *disk;
	struct blk_mq_tag_set tags;
	spinlock_t lock;		/* of what it has seen, and what waits */
	struct list_head waiting;
	struct bio_list waiting_bios;
	struct work_struct work;
	struct tasklet_struct tasklet;
	struct irq_work irq_work;
};

/*
 * A disk that holds up to so many bytes, and has no size yet; NULL if there is no
 * memory.
 */
struct strict_disk *strict_disk_create(bool bio_based, size_t bytes);
void strict_disk_destroy(struct strict_disk *disk);

/*
 * Make an idle disk what @limits says, with so many sectors; have it end what
 * arrives at once. What is on it stays. Takes some microseconds. An error if no
 * driver can have such limits.
 */
int strict_disk_limit(struct strict_disk *disk,
		      const struct strict_limits *limits, sector_t num_sectors);

/* Forget what has been seen, but not what was wrong. */
void strict_disk_begin(struct strict_disk *disk);

/* End what waits in a disk that ends it when it is told to. */
void strict_disk_release(struct strict_disk *disk);

/* What still waits fails now. Afterwards the disk is idle. */
void strict_disk_calm_down(struct strict_disk *disk);

/*
 * Was everything right? If not, the test fails with a sentence for each of the first
 * things that were wrong, which are then forgotten.
 */
bool strict_disk_ok(struct kunit *test, struct strict_disk *disk);

/*
 * A disk filled with TEST_DISK_FILLER that the test holds until it ends, and that
 * fails it if anything was wrong by then.
 */
struct strict_disk *new_strict_disk(struct kunit *test, bool bio_based,
				    const struct strict_limits *limits,
				    sector_t num_sectors);

/* The largest logical block that a driver of this kernel may have. */
#define STRICT_MAX_BLOCK	MAX_LOGICAL_BLOCK

#endif /* DM_IO_TEST_STRICT_H */
