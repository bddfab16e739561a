/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dm-io: what the tests of the library have in common
 *
 * dm-io-test-io.c and dm-io-test-common.c have it. A test holds what it gets from
 * here until it ends, makes each call by a worker, and fails if the call does not
 * come to its end.
 */
#ifndef DM_IO_TEST_IO_H
#define DM_IO_TEST_IO_H

#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/completion.h>
#include <linux/jiffies.h>
#include <linux/kmsg_dump.h>
#include <linux/sizes.h>
#include <linux/workqueue.h>

#include "dm-io.h"
#include "dm-io-test-disk.h"

/* The kernel that has the tests built in has many names, too. */
#define able_layout		dm_io_test_able_layout
#define add_buffer		dm_io_test_add_buffer
#define add_region		dm_io_test_add_region
#define all_bytes		dm_io_test_all_bytes
#define arena			dm_io_test_arena
#define arena_pages		dm_io_test_arena_pages
#define await			dm_io_test_await
#define begin_shortage		dm_io_test_begin_shortage
#define bio_over_bvec		dm_io_test_bio_over_bvec
#define buffers_suite		dm_io_test_buffers_suite
#define bytes_of		dm_io_test_bytes_of
#define call_waits		dm_io_test_call_waits
#define calls			dm_io_test_calls
#define check_if_good		dm_io_test_check_if_good
#define check_read_if_good	dm_io_test_check_read_if_good
#define check_return		dm_io_test_check_return
#define check_write_if_good	dm_io_test_check_write_if_good
#define concurrency_suite	dm_io_test_concurrency_suite
#define contract_suite		dm_io_test_contract_suite
#define count_reserve		dm_io_test_count_reserve
#define data_suite		dm_io_test_data_suite
#define disk_suite		dm_io_test_disk_suite
#define defer			dm_io_test_defer
#define describe_buffer		dm_io_test_describe_buffer
#define describe_call		dm_io_test_describe_call
#define describe_end_context	dm_io_test_describe_end_context
#define describe_range_op	dm_io_test_describe_range_op
#define describe_short_case	dm_io_test_describe_short_case
#define devices_suite		dm_io_test_devices_suite
#define end_any_suite		dm_io_test_end_any_suite
#define end_contexts		dm_io_test_end_contexts
#define end_shortage		dm_io_test_end_shortage
#define end_suite		dm_io_test_end_suite
#define end_test		dm_io_test_end_test
#define equal_bytes		dm_io_test_equal_bytes
#define expect_bio		dm_io_test_expect_bio
#define expect_bytes		dm_io_test_expect_bytes
#define expect_flush		dm_io_test_expect_flush
#define expect_guards		dm_io_test_expect_guards
#define expect_high_memory	dm_io_test_expect_high_memory
#define expect_in_a_row		dm_io_test_expect_in_a_row
#define expect_on_disk		dm_io_test_expect_on_disk
#define expect_reasons		dm_io_test_expect_reasons
#define expect_refused		dm_io_test_expect_refused
#define expect_untouched	dm_io_test_expect_untouched
#define fail_each_allocation	dm_io_test_fail_each_allocation
#define fail_stuck		dm_io_test_fail_stuck
#define fill_buffer		dm_io_test_fill_buffer
#define fill_disk		dm_io_test_fill_disk
#define find_disk		dm_io_test_find_disk
#define finish_call		dm_io_test_finish_call
#define finish_job		dm_io_test_finish_job
#define flags_of		dm_io_test_flags_of
#define flags_suite		dm_io_test_flags_suite
#define follow_bio		dm_io_test_follow_bio
#define get_reserve		dm_io_test_get_reserve
#define limits_suite		dm_io_test_limits_suite
#define make_call		dm_io_test_make_call
#define mark_held		dm_io_test_mark_held
#define memory_was_short	dm_io_test_memory_was_short
#define most_regions		dm_io_test_most_regions
#define new_able_disk		dm_io_test_new_able_disk
#define new_buffer		dm_io_test_new_buffer
#define new_buffer_at		dm_io_test_new_buffer_at
#define new_byte_disk		dm_io_test_new_byte_disk
#define new_disk		dm_io_test_new_disk
#define new_disk_like		dm_io_test_new_disk_like
#define new_huge_disk		dm_io_test_new_huge_disk
#define new_io			dm_io_test_new_io
#define new_op			dm_io_test_new_op
#define new_plain_disk		dm_io_test_new_plain_disk
#define new_reason_disks	dm_io_test_new_reason_disks
#define new_seed		dm_io_test_new_seed
#define new_shaped_io		dm_io_test_new_shaped_io
#define new_submit		dm_io_test_new_submit
#define new_unable_disk		dm_io_test_new_unable_disk
#define note_end		dm_io_test_note_end
#define note_end_result		dm_io_test_note_end_result
#define ops_suite		dm_io_test_ops_suite
#define page_at			dm_io_test_page_at
#define param_call		dm_io_test_param_call
#define perform			dm_io_test_perform
#define perform_with		dm_io_test_perform_with
#define plain_io		dm_io_test_plain_io
#define power_suite		dm_io_test_power_suite
#define progress_suite		dm_io_test_progress_suite
#define range_ops		dm_io_test_range_ops
#define read_log		dm_io_test_read_log
#define regions_suite		dm_io_test_regions_suite
#define release_held		dm_io_test_release_held
#define reserve_is_held		dm_io_test_reserve_is_held
#define reserve_suite		dm_io_test_reserve_suite
#define reset_disk		dm_io_test_reset_disk
#define restart_job		dm_io_test_restart_job
#define result_of		dm_io_test_result_of
#define results_hold_without_memory	dm_io_test_results_hold_without_memory
#define run_body		dm_io_test_run_body
#define same_bytes		dm_io_test_same_bytes
#define set_buffer		dm_io_test_set_buffer
#define set_limit		dm_io_test_set_limit
#define shapes			dm_io_test_shapes
#define start_any_suite		dm_io_test_start_any_suite
#define start_io		dm_io_test_start_io
#define start_job		dm_io_test_start_job
#define start_suite		dm_io_test_start_suite
#define start_test		dm_io_test_start_test
#define submit			dm_io_test_submit
#define submit_suite		dm_io_test_submit_suite
#define tell_case		dm_io_test_tell_case
#define test_alloc		dm_io_test_alloc
#define trace_suite		dm_io_test_trace_suite
#define waiting_suite		dm_io_test_waiting_suite
#define waits			dm_io_test_waits

/* What has not come to its end by then never will. */
#define LIMIT		(20 * HZ)

/* What is around a buffer, and has to stay. */
#define GUARD_BYTES	PAGE_SIZE
#define GUARD		0xa7

/* The longest region whose bytes are compared. */
#define MAX_BYTES	SZ_8M

/* All buffers of a test together, with what is around them. */
#define ARENA_BYTES	SZ_16M
#define ARENA_PAGES	(ARENA_BYTES / PAGE_SIZE)

#define DISK_BYTES	SZ_512K
#define DISK_SECTORS	((sector_t)(DISK_BYTES >> SECTOR_SHIFT))
#define ANY_SECTORS	(SZ_1M >> SECTOR_SHIFT)
#define TIB_SECTORS	((sector_t)(SZ_1T >> SECTOR_SHIFT))

/* A region far longer than what 32 bits of bytes count. */
#define HUGE_BYTES	(5ULL * SZ_1G + SZ_4K)
#define HUGE_DISK	(16ULL * SZ_1G >> SECTOR_SHIFT)

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

static inline bool takes_bvec(enum call call)
{
	return call == SYNC_BVEC || call == ASYNC_BVEC || call == SYNC_BIO ||
	       call == ASYNC_BIO;
}

/* A synchronous call says that somebody waits for it. */
static inline blk_opf_t sent_opf(enum call call, blk_opf_t opf)
{
	return is_async(call) ? opf : opf | REQ_SYNC;
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
	bool no_errors;			/* without an array of errors */
	bool with_result_fn;		/* in the place of @fn */

	/* How it went. */
	int ret;
	unsigned long error;
	unsigned long unsupported;
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

/* The library has shorter ways for calls with one region, or of one page. */
#define NUM_SHAPES	4

struct shape {
	unsigned int num_sectors;
	unsigned int num_regions;
};

extern const struct shape shapes[NUM_SHAPES];

static inline bool is_long(const struct shape *shape)
{
	return shape->num_sectors > PAGE_SECTORS;
}

/* What the buffer of dm_io_submit() can be. */
enum buffer_kind { PAGE_LIST, BVEC, DATA, BIO, NUM_KINDS };

#define NUM_END_CONTEXTS	4

struct end_context {
	const char *name;
	enum test_disk_end end;
};

extern const struct end_context end_contexts[NUM_END_CONTEXTS];

/* Operations that have sectors, but no buffer. */
#define NUM_RANGE_OPS	4

struct range_op {
	const char *name;
	blk_opf_t opf;
	u8 leaves;		/* on a disk of ours */
	enum req_op op;
};

extern const struct range_op range_ops[NUM_RANGE_OPS];

/* Disks on which a region fails, each for its own reason, and a good one. */
struct reason_disks {
	struct test_disk *good, *bad, *read_only, *blocks;
};

/* Too many to keep a record of: do they follow each other? */
struct followed {
	sector_t next;
	unsigned int most;		/* sectors of a bio */
	unsigned int num_wrong;
	u64 kill_at;			/* a bio with which a signal comes */
	struct task_struct *task;
};

/* A part of a test, which may be run several times. */
typedef void test_body(struct kunit *test, void *data);

/*
 * A test that is to give the same results when memory is short, with the parameters
 * it is run with.
 */
struct short_case {
	const char *name;
	void (*run)(struct kunit *test);
	const void *params;
	size_t bytes, size;		/* of all of them, and of one */
};

#define SHORT_CASE(test)						\
	{ #test, test, NULL, 0, 0 }
#define SHORT_CASE_PARAM(test, params)					\
	{ #test, test, params, sizeof(params), sizeof((params)[0]) }

/* How much a test held at some time. */
struct held {
	unsigned int num_deferred;
	size_t arena_used;
};

/* What a test holds */
struct held mark_held(void);
void release_held(struct held held);
void defer(struct kunit *test, void (*fn)(void *data), void *data);
void *test_alloc(struct kunit *test, size_t bytes);
void get_reserve(struct kunit *test, unsigned int num_pages);
unsigned int count_reserve(struct kunit *test);
bool reserve_is_held(void);
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

/* Disks that can do all operations, or all but one, and others */
extern const struct test_disk_layout able_layout;

struct test_disk *new_byte_disk(struct kunit *test);
struct test_disk *new_disk_like(struct kunit *test,
				const struct test_disk_layout *like);
void set_limit(struct test_disk_layout *layout, enum req_op op,
	       unsigned int sectors);
struct test_disk *new_able_disk(struct kunit *test);
struct test_disk *new_unable_disk(struct kunit *test, enum req_op op);
void new_reason_disks(struct kunit *test, struct reason_disks *disks);
void reset_disk(struct kunit *test, struct test_disk *disk,
		const struct test_disk_layout *layout);
void follow_bio(struct test_disk *disk, const struct bio *bio);
struct test_disk *new_huge_disk(struct kunit *test, enum req_op op,
				unsigned int limit,
				struct followed *followed);
blk_opf_t flags_of(const struct test_bio *bio, blk_opf_t flags);
void expect_bio(struct kunit *test, const struct io *io,
		const struct test_disk *disk, blk_opf_t opf, sector_t sector, sector_t count);
void expect_bytes(struct kunit *test, const struct test_disk *disk,
		  sector_t sector, sector_t count, u8 byte);
void expect_flush(struct kunit *test, const struct test_disk *disk);
void expect_in_a_row(struct kunit *test, const struct test_disk *disk,
		     sector_t sector, u64 bytes);

/* Bytes and buffers */
extern struct page **arena_pages;
extern u8 *arena;

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
void describe_buffer(struct buffer *buffer);
struct buffer *new_buffer_at(struct kunit *test, void *data,
			     size_t bytes);
void expect_high_memory(struct kunit *test,
			struct page **of,
			unsigned int num);
void fill_buffer(struct buffer *buffer, unsigned int seed);
void expect_guards(struct kunit *test, const struct buffer *buffer);

/* Jobs and calls */
struct job *start_job(struct kunit *test, void (*fn)(void *data), void *data);
void restart_job(struct job *job, void (*fn)(void *data), void *data);
void fail_stuck(struct kunit *test, const char *what);
void finish_job(struct kunit *test, struct job *job, const char *what);
bool waits(struct job *job);
void describe_call(const struct call_info *info, char *desc);
enum call param_call(struct kunit *test);
void note_end(unsigned long error, void *context);
void note_end_result(unsigned long error, unsigned long unsupported, void *context);
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

void set_buffer(struct io *io, struct buffer *buffer);
void add_buffer(struct io *io, enum buffer_kind kind,
		struct buffer *buffer);
struct io *new_submit(struct kunit *test, enum call call, blk_opf_t opf,
		      enum buffer_kind kind, struct buffer *buffer);
struct io *new_shaped_io(struct kunit *test, enum call call, int rw,
			 const struct shape *shape,
			 struct test_disk *disk);
struct io *new_op(struct kunit *test, enum call call, blk_opf_t opf);
void check_return(struct kunit *test, struct io *io);
int result_of(const struct io *io, const int *want, unsigned long *bits);
void expect_reasons(struct kunit *test, const struct io *io,
		    const int *got, const int *want);
void perform_with(struct kunit *test, struct io *io, const int *want);
void tell_case(struct kunit *test, const struct io *io, const char *what);
void check_write_if_good(struct kunit *test, struct io *io,
			 struct buffer *buffer, struct test_disk *disk,
			 struct test_disk *other, bool good);
void check_read_if_good(struct kunit *test, struct io *io,
			struct buffer *buffer, struct test_disk *disk,
			bool good);
void check_if_good(struct kunit *test, enum call call,
		   struct test_disk *disk, struct test_disk *other,
		   struct buffer *buffer, sector_t sector, bool good);

/* When memory is short */
void run_body(struct kunit *test, test_body *body, void *data);
void fail_each_allocation(struct kunit *test, test_body *body, void *data);
bool memory_was_short(void);
unsigned int most_regions(void);
void results_hold_without_memory(struct kunit *test);
void describe_short_case(const struct short_case *short_case, char *desc);

/* Parameters */
void describe_end_context(const struct end_context *context, char *desc);
void describe_range_op(const struct range_op *op, char *desc);

/* The kernel's log */
unsigned int read_log(struct kmsg_dump_iter *iter, const char *text);

/* Suites */
int start_any_suite(void);
void end_any_suite(void);
int start_suite(struct kunit_suite *suite);
void end_suite(struct kunit_suite *suite);
int start_test(struct kunit *test);
void end_test(struct kunit *test);

extern struct kunit_suite data_suite;
extern struct kunit_suite disk_suite;
extern struct kunit_suite contract_suite;
extern struct kunit_suite reserve_suite;
extern struct kunit_suite regions_suite;
extern struct kunit_suite limits_suite;
extern struct kunit_suite buffers_suite;
extern struct kunit_suite flags_suite;
extern struct kunit_suite ops_suite;
extern struct kunit_suite submit_suite;
extern struct kunit_suite devices_suite;
extern struct kunit_suite trace_suite;
extern struct kunit_suite waiting_suite;
extern struct kunit_suite concurrency_suite;
extern struct kunit_suite progress_suite;
extern struct kunit_suite power_suite;

#endif /* DM_IO_TEST_IO_H */
