/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dm-io: what the random test consists of
 *
 * dm-io-test-inputs.c makes up what is called and with what, dm-io-test-model.c knows
 * what comes of it, and dm-io-test-random.c makes the calls.
 */
#ifndef DM_IO_TEST_RANDOM_H
#define DM_IO_TEST_RANDOM_H

#include <linux/bio.h>
#include <linux/completion.h>
#include <linux/sizes.h>
#include <linux/workqueue.h>

#include "dm-io.h"
#include "dm-io-test-io.h"
#include "dm-io-test-strict.h"

/* The kernel that has the tests built in has many names, too. */
#define any			dm_io_test_random_any
#define below			dm_io_test_random_below
#define check_attempt		dm_io_test_random_check_attempt
#define choose_attempt		dm_io_test_random_choose_attempt
#define copy_buffer		dm_io_test_random_copy_buffer
#define expect_attempt		dm_io_test_random_expect_attempt
#define fail			dm_io_test_random_fail
#define note_error		dm_io_test_random_note_error
#define note_result		dm_io_test_random_note_result
#define phys_of			dm_io_test_random_phys_of
#define plain_flags		dm_io_test_random_plain_flags
#define read_atomic_limits	dm_io_test_random_read_atomic_limits
#define run			dm_io_test_random_run

#define MAX_TARGETS	8
#define TARGET_BYTES	(6 * SZ_1M)
#define POOL_BYTES	(8 * SZ_1M)
#define POOL_PAGES	(POOL_BYTES >> PAGE_SHIFT)
#define MAX_PIECES	2048
#define MAX_LARGE	(5 * SZ_1M)

/* What must never be looked at. */
#define POISON		((void *)(0xdeadUL << (BITS_PER_LONG - 16)))

/* The reasons why a region may fail, as bits of a set. */
enum {
	WHY_ERANGE	= BIT(0),
	WHY_EINVAL	= BIT(1),
	WHY_EROFS	= BIT(2),
	WHY_EOPNOTSUPP	= BIT(3),
	WHY_ENOMEM	= BIT(4),
	WHY_EFAULT	= BIT(5),
	WHY_EIO		= BIT(6),
	WHY_ENODATA	= BIT(7),
	WHY_ENOSPC	= BIT(8),
	WHY_ETIMEDOUT	= BIT(9),
};

/* A disk, and what the model thinks is on it. */
struct target {
	struct strict_disk *strict;	/* NULL: a real one */
	struct block_device *bdev;
	const char *name;
	struct strict_limits limits;
	sector_t sectors;		/* its size */
	sector_t usable;		/* from its start: what the steps touch */
	u8 *shadow;			/* what is there */

	/* In this step. */
	bool used;
	unsigned int bad_why[STRICT_BADS];
	unsigned int flush_why;
	unsigned int atomic_min, atomic_max;
};

/* A part of the buffer that is contiguous in memory. */
struct piece {
	unsigned int at;		/* in the pool */
	unsigned int len;
};

enum kind { OF_LIST, OF_ARRAY, OF_VIRTUAL, OF_LINEAR, OF_BIO, NUM_OF_KINDS };

/* What has to become of a region. */
struct outcome {
	struct target *target;
	u64 start, bytes;		/* on its device, if it is in there */
	bool data;			/* it has sectors */
	bool unfit;			/* refused before anything is submitted */
	bool longer;			/* than its whole device */
	unsigned int must;		/* it fails, for one of these reasons */
	unsigned int may;		/* it may fail for these as well */
	unsigned int spread;		/* as its neighbours do */
};

enum memory { PLENTY, NO_MEMORY, ONE_FAILS };

/* A step: what is called, and what has to come of it. */
struct attempt {
	unsigned int number;
	u64 state;			/* of the random numbers */

	/* The call. */
	enum call call;
	blk_opf_t opf;
	bool moves_data;
	unsigned int num_regions;
	struct io_region where[BITS_PER_LONG + 1];
	struct io_region where_before[BITS_PER_LONG + 1];
	struct dm_io_args args;
	bool no_where;
	unsigned long error_bits, unsupported_bits;
	int errors[BITS_PER_LONG + 2];

	/* The buffer. */
	enum kind kind;
	bool no_buffer;
	unsigned int style;
	u64 need;			/* length of the longest region */
	u64 available;			/* length of the buffer */
	unsigned int window_from, window_to;	/* in the pool: that and guards */
	unsigned int num_pieces;
	struct piece *pieces;
	struct page_list *list;
	struct bio_vec *table;		/* with room around it */
	unsigned int table_from, table_num;
	struct bio bio;
	struct bio bio_before;
	unsigned int offset;
	void *data;
	const u8 *pattern;		/* what a write writes */

	enum memory memory;
	unsigned int fail_after;
	unsigned int reserve;
	bool hold;			/* a disk ends nothing by itself */
	bool slow;			/* each request takes its time */

	/* The model. */
	bool refused, may_be_refused;
	struct outcome outcomes[BITS_PER_LONG + 1];

	/* What came of it. */
	int ret;
	unsigned long error, unsupported;
	bool knows_unsupported;
	atomic_t num_ends;
	struct completion ended;

	bool failed;
};

/* What all steps use. */
struct random_run {
	struct target targets[MAX_TARGETS];
	unsigned int num_targets;

	/* Memory for all buffers, at an address of its own: runs of pages. */
	struct page **pages;
	u8 *run_left;			/* pages of the same run behind each */
	u8 *pool;
	u8 *image;			/* what has to be in there */
	u8 *scratch;

	struct attempt *attempt;
	unsigned int used_seed;
	bool stuck, failed;
	unsigned int done;
	struct delayed_work release;
	bool releasing;
	unsigned int batch;
};

extern struct random_run run;

/* Flags that every operation may have. */
#define NUM_PLAIN_FLAGS		11

extern const blk_opf_t plain_flags[NUM_PLAIN_FLAGS];

static inline bool is_call_of_args(enum call call)
{
	return call == SYNC_ARGS || call == ASYNC_ARGS;
}

/* Inputs */
u32 any(struct attempt *a);
unsigned int below(struct attempt *a, unsigned int num);
bool choose_attempt(struct attempt *a);
void copy_buffer(const struct attempt *a, u8 *image, u64 from, u8 *bytes,
		 u64 num, bool to_buffer);
void read_atomic_limits(struct target *t);
phys_addr_t phys_of(unsigned int at);

/* The model */
void expect_attempt(struct attempt *a);
void check_attempt(struct attempt *a);

/* Calls */
__printf(2, 3) void fail(struct attempt *a, const char *format, ...);
void note_error(unsigned long error, void *context);
void note_result(unsigned long error, unsigned long unsupported, void *context);

#endif /* DM_IO_TEST_RANDOM_H */
