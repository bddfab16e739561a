/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dm-io: what the tests of the library have in common
 *
 * dm-io-test.c has it. A test holds what it gets from here until it ends, makes
 * each call by a worker, and fails if the call does not come to its end.
 */
#ifndef DM_IO_TEST_IO_H
#define DM_IO_TEST_IO_H

#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/completion.h>
#include <linux/jiffies.h>
#include <linux/sizes.h>
#include <linux/workqueue.h>

#include "dm-io.h"
#include "dm-io-test-disk.h"

/* The kernel that has the tests built in has many names, too. */
#define add_region		dm_io_test_add_region
#define all_bytes		dm_io_test_all_bytes
#define await			dm_io_test_await
#define begin_shortage		dm_io_test_begin_shortage
#define bio_over_bvec		dm_io_test_bio_over_bvec
#define bytes_of		dm_io_test_bytes_of
#define call_waits		dm_io_test_call_waits
#define calls			dm_io_test_calls
#define count_reserve		dm_io_test_count_reserve
#define defer			dm_io_test_defer
#define describe_call		dm_io_test_describe_call
#define end_shortage		dm_io_test_end_shortage
#define end_suite		dm_io_test_end_suite
#define end_test		dm_io_test_end_test
#define equal_bytes		dm_io_test_equal_bytes
#define expect_guards		dm_io_test_expect_guards
#define expect_on_disk		dm_io_test_expect_on_disk
#define expect_refused		dm_io_test_expect_refused
#define expect_untouched	dm_io_test_expect_untouched
#define fill_buffer		dm_io_test_fill_buffer
#define fill_disk		dm_io_test_fill_disk
#define find_disk		dm_io_test_find_disk
#define finish_call		dm_io_test_finish_call
#define finish_job		dm_io_test_finish_job
#define get_reserve		dm_io_test_get_reserve
#define give_up			dm_io_test_give_up
#define make_call		dm_io_test_make_call
#define new_buffer		dm_io_test_new_buffer
#define new_disk		dm_io_test_new_disk
#define new_io			dm_io_test_new_io
#define new_plain_disk		dm_io_test_new_plain_disk
#define new_seed		dm_io_test_new_seed
#define note_end		dm_io_test_note_end
#define ops_suite		dm_io_test_ops_suite
#define page_at			dm_io_test_page_at
#define param_call		dm_io_test_param_call
#define perform			dm_io_test_perform
#define plain_io		dm_io_test_plain_io
#define power_suite		dm_io_test_power_suite
#define restart_job		dm_io_test_restart_job
#define same_bytes		dm_io_test_same_bytes
#define start_io		dm_io_test_start_io
#define start_job		dm_io_test_start_job
#define start_suite		dm_io_test_start_suite
#define start_test		dm_io_test_start_test
#define submit			dm_io_test_submit
#define submit_suite		dm_io_test_submit_suite
#define test_alloc		dm_io_test_alloc
#define trace_suite		dm_io_test_trace_suite
#define waits			dm_io_test_waits

/* What has not come to its end by then never will. */
#define LIMIT		(20 * HZ)

/* What is around a buffer, and has to stay. */
#define GUARD_BYTES	PAGE_SIZE
#define GUARD		0xa7

#define DISK_BYTES	SZ_512K
#define DISK_SECTORS	((sector_t)(DISK_BYTES >> SECTOR_SHIFT))

/* Work that is given up when it takes too long. */
struct job {
	struct work_struct work;
	struct task_struct *task;
	struct completion ended;
	void (*fn)(void *data);
	void *data;
};

/* Memory, and all the ways to describe it. */
struct buffer {
	u8 *data;
	size_t bytes;
	struct page_list *pages;
	unsigned int offset;
	struct bio_vec *bvec;
	unsigned int num_vecs;
	struct bio bio;
};

/* Each synchronous call is followed by its asynchronous one. */
enum call {
	SYNC_PAGES,
	ASYNC_PAGES,
	SYNC_BVEC,
	ASYNC_BVEC,
	SYNC_VM,
	ASYNC_VM,
	SYNC_BIO,
	ASYNC_BIO,
	SYNC_ARGS,
	ASYNC_ARGS,
	NUM_CALLS
};

struct call_info {
	enum call call;
	const char *name;
};

extern const struct call_info calls[NUM_CALLS];

static inline bool is_async(enum call call)
{
	return call & 1;
}

/* A call, with all arguments that it may need. */
struct io {
	enum call call;
	unsigned int num_regions;
	struct io_region *where;
	int rw;
	struct page_list *pages;
	unsigned int offset;
	struct bio_vec *bvec;
	void *data;
	struct bio *bio;
	unsigned long *error_bits;
	io_notify_fn fn;

	/* Of dm_io_submit(): what the others do not have. */
	struct dm_io_args args;
	bool own_buffer;		/* it is in @args, or there is none */

	/* How it went. */
	int ret;
	unsigned long error;
	int errors[BITS_PER_LONG + 1];
	struct completion ended;
	atomic_t num_ends;
	unsigned int wanted_ends;
	bool ended_in_hardirq;

	struct kunit *test;
	struct job job;
	void *private;
	struct io_region regions[BITS_PER_LONG + 1];
};

/* A request that holds the whole reserve, of one page, until the end. */
struct shortage {
	struct test_disk *held;
	struct io *io;
};

/* What a test holds */
void defer(struct kunit *test, void (*fn)(void *data), void *data);
void *test_alloc(struct kunit *test, size_t bytes);
void get_reserve(struct kunit *test, unsigned int num_pages);
unsigned int count_reserve(struct kunit *test);
void begin_shortage(struct kunit *test, struct shortage *shortage);
void end_shortage(struct kunit *test, struct shortage *shortage);

/* Disks */
struct test_disk *new_disk(struct kunit *test,
			   const struct test_disk_layout *layout);
struct test_disk *new_plain_disk(struct kunit *test);
struct block_device *find_disk(struct kunit *test, const char *name);
int plain_io(struct block_device *bdev, blk_opf_t opf, sector_t sector,
	     u8 *data, size_t bytes);
void fill_disk(struct test_disk *disk, sector_t sector, unsigned int seed,
	       size_t bytes);
void expect_on_disk(struct kunit *test, const struct test_disk *disk,
		    sector_t sector, const u8 *bytes, size_t num_bytes);
void expect_untouched(struct kunit *test, const struct test_disk *disk,
		      sector_t from, sector_t to);

/* Bytes and buffers */
const u8 *bytes_of(unsigned int seed);
unsigned int new_seed(void);
bool equal_bytes(const u8 *a, const u8 *b, size_t bytes);
bool same_bytes(struct kunit *test, const u8 *got, const u8 *want,
		size_t bytes, const char *what);
bool all_bytes(struct kunit *test, const u8 *got, u8 want, size_t bytes,
	       const char *what);
struct page *page_at(const void *data);
void bio_over_bvec(struct buffer *buffer);
struct buffer *new_buffer(struct kunit *test, size_t bytes,
			  unsigned int offset);
void fill_buffer(struct buffer *buffer, unsigned int seed);
void expect_guards(struct kunit *test, const struct buffer *buffer);

/* Jobs and calls */
struct job *start_job(struct kunit *test, void (*fn)(void *data), void *data);
void restart_job(struct job *job, void (*fn)(void *data), void *data);
void give_up(struct kunit *test, const char *what);
void finish_job(struct kunit *test, struct job *job, const char *what);
bool waits(struct job *job);
void describe_call(const struct call_info *info, char *desc);
enum call param_call(struct kunit *test);
void note_end(unsigned long error, void *context);
void make_call(void *data);
struct io *new_io(struct kunit *test, enum call call, int rw,
		  struct buffer *buffer);
void add_region(struct io *io, struct block_device *bdev, sector_t sector,
		sector_t count);
void start_io(struct io *io);
void finish_call(struct kunit *test, struct io *io);
void submit(struct kunit *test, struct io *io);
int await(struct kunit *test, struct io *io);
int perform(struct kunit *test, struct io *io);
void expect_refused(struct kunit *test, struct io *io, int ret);
bool call_waits(struct kunit *test, struct io *io, struct test_disk *disk,
		unsigned int num_bios);

/* Suites */
int start_suite(struct kunit_suite *suite);
void end_suite(struct kunit_suite *suite);
int start_test(struct kunit *test);
void end_test(struct kunit *test);

extern struct kunit_suite ops_suite;
extern struct kunit_suite submit_suite;
extern struct kunit_suite trace_suite;
extern struct kunit_suite power_suite;

#endif /* DM_IO_TEST_IO_H */
