// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: block I/O for Device Mapper targets
 *
 * The way of a request, which is the order of this file: the pools and the
 * reserve behind them; completion; the buffer, which becomes a table of
 * bio_vecs; the check, where every refusal happens; and the run, one bio per
 * region over the same table. The public calls come last.
 *
 * Nothing here ever waits for memory. The reserve of dm_io_get() is a matter
 * of speed: a request that finds it empty runs from its caller's stack, a few
 * bio_vecs at a time, and waits for its own I/O and for nothing else. So
 * devices may be stacked on each other, all of them users of this library, and
 * none can hold what another needs.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/highmem.h>
#include <linux/ioprio.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"

#define CREATE_TRACE_POINTS
#include "dm-io-trace.h"

/* One bio carries no more than this: it fits bi_size, and an int. */
#define CHUNK_BYTES	SZ_1G

/* The largest table built for a request, and the largest one borrowed. */
#define TABLE_VECS	BIO_MAX_VECS
#define BORROWED_VECS	USHRT_MAX

/* The table in each request: a page, wherever it starts in memory. */
#define REQUEST_VECS	2

/* On the stack: a logical block of 64 KiB, wherever it starts. */
#define STACK_VECS	(SZ_64K / PAGE_SIZE + 1)

/* So many pieces of a discard and its like are in flight at once. */
#define RANGE_BIOS	32U

#define COMMON_FLAGS	(REQ_SYNC | REQ_META | REQ_PRIO | REQ_IDLE | \
			 REQ_BACKGROUND)
#define READ_FLAGS	(COMMON_FLAGS | REQ_RAHEAD)
#define WRITE_FLAGS	(COMMON_FLAGS | REQ_PREFLUSH | REQ_FUA)

enum buffer_kind {
	BUFFER_NONE,
	BUFFER_PAGES,
	BUFFER_BVEC,
	BUFFER_BIO,
	BUFFER_VIRTUAL,		/* vmalloc or linear: not looked at yet */
	BUFFER_VMALLOC,
	BUFFER_LINEAR,
};

/* A buffer, from where the next chunk starts. */
struct buffer {
	enum buffer_kind kind;
	unsigned int offset;		/* PAGES */
	union {
		struct page_list *pages;
		struct bio_vec *bvec;	/* BVEC, BIO */
		void *data;
	};
	struct bio *bio;		/* BIO */
	struct bvec_iter iter;		/* BVEC, BIO */
	unsigned int num_vecs;		/* BVEC, BIO: once measured */
};

/* What the caller asked for, and what the check found out about it. */
struct io_call {
	unsigned int num_regions;
	const struct io_region *where;
	blk_opf_t opf;
	struct buffer buffer;
	unsigned short ioprio;
	bool killable;
	io_notify_fn fn;		/* NULL: the call is synchronous */
	void *context;
	int *errors;			/* the caller's, or NULL */

	bool flush;			/* REQ_OP_FLUSH: has no sectors */
	bool range;			/* has sectors, and moves no data */
	unsigned long live;		/* regions to submit */
	unsigned int num_live;
	unsigned long failed;		/* regions that failed */
	u8 *reasons;			/* of those that failed in the check */
	bool other_error;		/* not all of them for want of support */
	bool killed;
	bool reserve_empty;
	bool special;			/* see check_special() */
	u64 bytes;			/* length of the longest live region */
	unsigned int block;		/* the largest logical block among them */
};

/*
 * A bio, and what has to be known when it ends. A call with several regions
 * takes as many of these as there are; what they have in common is in the first.
 */
struct io_request {
	struct io_request *next;	/* of this call, or of a list of free ones */
	struct block_device *bdev;	/* where the bio goes, whoever remaps it */
	sector_t sector;
	unsigned int region;

	atomic_t pending;		/* bios, and whoever waits for them */
	u8 extras;			/* what else is to be done at the end */
	bool other_error;		/* a device failed that can do it */
	unsigned long error;
	int *errors;			/* with HAS_ERRORS: the caller's */
	u64 start;			/* with HAS_START: of the clock */
	io_notify_fn fn;		/* NULL: context is a completion */
	void *context;
	struct bio_vec *table;		/* to be freed, or NULL */
	void *vmap_data;		/* read into; to be invalidated */
	unsigned int vmap_bytes;
	struct bvec_iter read;		/* what a failed read has to zero */

	struct bio bio;
	struct bio_vec vecs[REQUEST_VECS];
};

/* Extras: members of a request that are not valid without them. */
#define HAS_MORE	BIT(0)		/* next, vmap_bytes */
#define HAS_ERRORS	BIT(1)
#define HAS_START	BIT(2)

/* A part of the buffer, as bios take it. */
struct chunk {
	struct bio_vec *table;
	unsigned int num_vecs;
	unsigned int bytes;
	struct bvec_iter iter;
};

EXPORT_TRACEPOINT_SYMBOL_GPL(dm_io_request_submit);
EXPORT_TRACEPOINT_SYMBOL_GPL(dm_io_bio_submit);
EXPORT_TRACEPOINT_SYMBOL_GPL(dm_io_region_fail);
EXPORT_TRACEPOINT_SYMBOL_GPL(dm_io_request_complete);
EXPORT_TRACEPOINT_SYMBOL_GPL(dm_io_reserve_empty);

#if IS_ENABLED(CONFIG_DM_IO_KUNIT_TEST)
bool dm_io_test_no_memory;
EXPORT_SYMBOL_GPL(dm_io_test_no_memory);
#endif

/*
 * What is counted: by each CPU for itself, and put together when somebody asks
 */

/* Why a region may fail. The last one stands for all others. */
static const struct {
	int error;
	const char *name;
} error_names[] = {
#define ERROR_NAME(name)	{ -(name), #name }
	ERROR_NAME(EIO),
	ERROR_NAME(EOPNOTSUPP),
	ERROR_NAME(ERANGE),
	ERROR_NAME(EINVAL),
	ERROR_NAME(EROFS),
	ERROR_NAME(EINTR),
	ERROR_NAME(EFAULT),
	ERROR_NAME(ENOMEM),
	ERROR_NAME(ENOSPC),
	ERROR_NAME(ETIMEDOUT),
	ERROR_NAME(ENOLINK),
	ERROR_NAME(EREMOTEIO),
	ERROR_NAME(EBADE),
	ERROR_NAME(ENODATA),
	ERROR_NAME(EILSEQ),
	ERROR_NAME(EBUSY),
	ERROR_NAME(EAGAIN),
	ERROR_NAME(ENODEV),
	{ 0, "other" },
#undef ERROR_NAME
};

static const char *const op_names[] = {
	[(__force int)REQ_OP_READ]		= "READ",
	[(__force int)REQ_OP_WRITE]		= "WRITE",
	[(__force int)REQ_OP_FLUSH]		= "FLUSH",
	[(__force int)REQ_OP_DISCARD]		= "DISCARD",
	[(__force int)REQ_OP_SECURE_ERASE]	= "SECURE_ERASE",
	[(__force int)REQ_OP_WRITE_ZEROES]	= "WRITE_ZEROES",
};

struct io_stats {
	struct {
		u64 requests;
		u64 bytes;
	} ops[ARRAY_SIZE(op_names)];
	u64 errors[ARRAY_SIZE(error_names)];
	u64 reserve_empty;
	u64 on_stack;
};

static DEFINE_PER_CPU(struct io_stats, io_stats);

static __always_inline void count_request(blk_opf_t opf, u64 bytes)
{
	unsigned int op = (__force unsigned int)(opf & REQ_OP_MASK);

	this_cpu_inc(io_stats.ops[op].requests);
	this_cpu_add(io_stats.ops[op].bytes, bytes);
}

static unsigned int error_index(int error)
{
	unsigned int i = 0;

	while (error_names[i].error && error_names[i].error != error)
		i++;
	return i;
}

/* While another CPU counts, a 32-bit one may see half of a new value. */
static u64 read_count(const u64 *count)
{
	u64 value = READ_ONCE(*count);

	if (BITS_PER_LONG == 32) {
		u64 again;

		while ((again = READ_ONCE(*count)) != value)
			value = again;
	}
	return value;
}

static u64 sum_of_cpus(const u64 __percpu *counts)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += read_count(per_cpu_ptr(counts, cpu));
	return sum;
}

/*
 * Pools: on each CPU a slot for one object and a stash for a few more, and a
 * slab cache behind them. Each free object starts with a pointer to the next.
 */

struct stash {
	void *slot;
	void *first;
	unsigned int num;
};

struct pool {
	struct stash __percpu *stash;
	unsigned int limit;
	struct kmem_cache *cache;
};

static DEFINE_PER_CPU(struct stash, request_stash);
static DEFINE_PER_CPU(struct stash, table_stash);

static struct pool requests = { .stash = &request_stash, .limit = 32 };
static struct pool tables = { .stash = &table_stash, .limit = 3 };

/* Never sleeps: it could be to wait for a request that waits for this one. */
static noinline void *pool_alloc_slow(struct pool *pool)
{
	struct stash *stash;
	unsigned long flags;
	void *object;

	local_irq_save(flags);
	stash = this_cpu_ptr(pool->stash);
	object = stash->first;
	if (object) {
		stash->first = *(void **)object;
		stash->num--;
	}
	local_irq_restore(flags);

	if (!object)
		object = kmem_cache_alloc(pool->cache,
					  GFP_NOWAIT | __GFP_NOWARN);
	return object;
}

static noinline void pool_free_slow(struct pool *pool, void *object)
{
	struct stash *stash;
	unsigned long flags;

	local_irq_save(flags);
	stash = this_cpu_ptr(pool->stash);
	if (stash->num < pool->limit) {
		*(void **)object = stash->first;
		stash->first = object;
		stash->num++;
		object = NULL;
	}
	local_irq_restore(flags);

	if (object)
		kmem_cache_free(pool->cache, object);
}

/* With the slot as a constant, the usual case is a handful of instructions. */
#define pool_alloc(pool, stash) ({				\
	void *_object = NULL;					\
								\
	if (likely(!no_memory()))				\
		_object = this_cpu_xchg(stash.slot, NULL);	\
	if (unlikely(!_object && !no_memory()))			\
		_object = pool_alloc_slow(pool);		\
	_object;						\
})

#define pool_free(pool, stash, object) do {			\
	void *_object = this_cpu_xchg(stash.slot, object);	\
								\
	if (unlikely(_object))					\
		pool_free_slow(pool, _object);			\
} while (0)

static __always_inline struct io_request *pool_request(void)
{
	return pool_alloc(&requests, request_stash);
}

static __always_inline struct bio_vec *alloc_table(void)
{
	return pool_alloc(&tables, table_stash);
}

static __always_inline void free_table(struct bio_vec *table)
{
	pool_free(&tables, table_stash, (void *)table);
}

static void pool_destroy(struct pool *pool)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct stash *stash = per_cpu_ptr(pool->stash, cpu);

		if (stash->slot)
			kmem_cache_free(pool->cache, stash->slot);
		while (stash->first) {
			void *object = stash->first;

			stash->first = *(void **)object;
			kmem_cache_free(pool->cache, object);
		}
	}
	kmem_cache_destroy(pool->cache);
}

/*
 * The reserve: of @wanted requests set aside, @missing are in flight, and any
 * request that ends makes up for one. Only a request that found no memory
 * writes here.
 */
static struct {
	struct mutex resize;		/* held by dm_io_get() and dm_io_put() */
	spinlock_t lock;		/* protects what follows */
	struct io_request *first;
	unsigned int wanted;
	unsigned int missing;
	unsigned int users;		/* with resize held */
} reserve = {
	.resize = __MUTEX_INITIALIZER(reserve.resize),
	.lock = __SPIN_LOCK_UNLOCKED(reserve.lock),
};

static void free_list(struct io_request *request)
{
	while (request) {
		struct io_request *next = request->next;

		kmem_cache_free(requests.cache, request);
		request = next;
		cond_resched();
	}
}

/* Neither the OOM killer nor a long search may pay for what is only a wish. */
static int grow_reserve(unsigned int num)
{
	struct io_request *first = NULL, *last = NULL;
	unsigned int i;

	for (i = 0; i < num; i++) {
		struct io_request *request = NULL;

		if (!no_memory())
			request = kmem_cache_alloc(requests.cache, GFP_KERNEL |
						   __GFP_NORETRY | __GFP_NOWARN);
		if (!request) {
			free_list(first);
			return -ENOMEM;
		}
		request->next = first;
		first = request;
		if (!last)
			last = request;
		cond_resched();
	}

	spin_lock_irq(&reserve.lock);
	last->next = reserve.first;
	reserve.first = first;
	WRITE_ONCE(reserve.wanted, reserve.wanted + num);
	spin_unlock_irq(&reserve.lock);
	return 0;
}

/* What is missing now need not come back. */
static void shrink_reserve(unsigned int num)
{
	while (num) {
		struct io_request *surplus = NULL;

		spin_lock_irq(&reserve.lock);
		if (reserve.missing) {
			unsigned int gone = min(num, reserve.missing);

			WRITE_ONCE(reserve.missing, reserve.missing - gone);
			WRITE_ONCE(reserve.wanted, reserve.wanted - gone);
			num -= gone;
		} else {
			surplus = reserve.first;
			reserve.first = surplus->next;
			surplus->next = NULL;
			WRITE_ONCE(reserve.wanted, reserve.wanted - 1);
			num--;
		}
		spin_unlock_irq(&reserve.lock);
		free_list(surplus);
	}
}

static noinline struct io_request *take_reserved(void)
{
	struct io_request *request;
	unsigned long flags;

	spin_lock_irqsave(&reserve.lock, flags);
	request = reserve.first;
	if (request) {
		reserve.first = request->next;
		WRITE_ONCE(reserve.missing, reserve.missing + 1);
	}
	spin_unlock_irqrestore(&reserve.lock, flags);
	return request;
}

static noinline bool refill_reserve(struct io_request *request)
{
	unsigned long flags;
	bool missing;

	spin_lock_irqsave(&reserve.lock, flags);
	missing = reserve.missing;
	if (missing) {
		request->next = reserve.first;
		reserve.first = request;
		WRITE_ONCE(reserve.missing, reserve.missing - 1);
	}
	spin_unlock_irqrestore(&reserve.lock, flags);
	return missing;
}

static __always_inline struct io_request *alloc_request(void)
{
	struct io_request *request = pool_request();

	return likely(request) ? request : take_reserved();
}

static __always_inline void free_request(struct io_request *request)
{
	if (likely(!READ_ONCE(reserve.missing)) || !refill_reserve(request))
		pool_free(&requests, request_stash, (void *)request);
}

/* All requests of a call, and its table. */
static noinline void free_requests(struct io_request *request)
{
	if (request->table)
		free_table(request->table);
	do {
		struct io_request *next = request->next;

		free_request(request);
		request = next;
	} while (request);
}

/*
 * Ranges: what has sectors, but no data
 */

static bool is_range(blk_opf_t opf)
{
	switch ((__force enum req_op)(opf & REQ_OP_MASK)) {
	case REQ_OP_DISCARD:
	case REQ_OP_SECURE_ERASE:
	case REQ_OP_WRITE_ZEROES:
		return true;
	default:
		return false;
	}
}

/* The most that one bio may have, in sectors; 0 if the device cannot do it. */
static unsigned int range_limit(struct block_device *bdev, blk_opf_t opf)
{
	unsigned int limit;

	switch ((__force enum req_op)(opf & REQ_OP_MASK)) {
	case REQ_OP_DISCARD:
		limit = bdev_max_discard_sectors(bdev);
		break;
	case REQ_OP_SECURE_ERASE:
		limit = bdev_max_secure_erase_sectors(bdev);
		break;
	default:
		limit = bdev_write_zeroes_sectors(bdev);
	}
	return min_t(unsigned int, limit, UINT_MAX >> SECTOR_SHIFT);
}

/*
 * How much of @left sectors from @sector on the next bio takes: it should end
 * where a unit of the device does that discards come in.
 */
static unsigned int range_sectors(struct block_device *bdev, blk_opf_t opf,
				  sector_t sector, sector_t left)
{
	const struct queue_limits *limits = &bdev_get_queue(bdev)->limits;
	unsigned int block = bdev_logical_block_size(bdev) >> SECTOR_SHIFT;
	unsigned int limit = max(range_limit(bdev, opf), block);
	unsigned int unit = block, offset = 0;
	u32 behind;

	if ((opf & REQ_OP_MASK) != REQ_OP_WRITE_ZEROES) {
		unit = limits->discard_granularity >> SECTOR_SHIFT;
		offset = limits->discard_alignment >> SECTOR_SHIFT;
	}
	if (left <= limit)
		return left;
	if (unit < block || limit < unit || unit % block || offset % block) {
		unit = block;
		offset = 0;
	}

	/* A unit starts at @offset, and counts from the start of the disk. */
	div_u64_rem((u64)sector + get_start_sect(bdev) + limit + unit -
		    offset % unit, unit, &behind);
	return limit - behind;
}

/*
 * Completion, as short as it can be in the usual case
 */

/* The clock is read only for who wants to know. */
static noinline void start_clock(struct io_request *first)
{
	first->extras |= HAS_START;
	first->start = ktime_get_ns();
}

static noinline void stop_clock(const struct io_request *first)
{
	trace_dm_io_request_complete(first, first->error,
				     ktime_get_ns() - first->start);
}

static noinline void end_with_extras(struct io_request *first)
{
	unsigned long error = first->error;
	io_notify_fn fn = first->fn;
	void *context = first->context;

	if (!(first->extras & HAS_MORE))
		first->next = NULL;
	else if (first->vmap_bytes)
		invalidate_kernel_vmap_range(first->vmap_data,
					     first->vmap_bytes);
	if (first->extras & HAS_START)
		stop_clock(first);
	free_requests(first);
	fn(error, context);
}

static noinline void end_with_full_slot(void *object, unsigned long error,
					io_notify_fn fn, void *context)
{
	pool_free_slow(&requests, object);
	fn(error, context);
}

static __always_inline void end_async(struct io_request *first)
{
	unsigned long error = first->error;
	io_notify_fn fn = first->fn;
	void *context = first->context;
	void *object;

	if (unlikely(first->extras || READ_ONCE(reserve.missing)))
		return end_with_extras(first);
	if (first->table)
		free_table(first->table);
	object = this_cpu_xchg(request_stash.slot, (void *)first);
	if (unlikely(object))
		return end_with_full_slot(object, error, fn, context);
	fn(error, context);
}

static __always_inline void end_bio(struct io_request *first)
{
	if (!atomic_dec_and_test(&first->pending))
		return;
	if (first->fn)
		end_async(first);
	else
		complete(first->context);
}

/*
 * Some devices do not know that they cannot do an operation before they try. Then
 * the driver takes it out of their limits, whatever the error is.
 */
static int bio_error(const struct io_request *request)
{
	blk_opf_t opf = request->bio.bi_opf;

	if (is_range(opf) && !range_limit(request->bdev, opf))
		return -EOPNOTSUPP;
	return blk_status_to_errno(request->bio.bi_status);
}

/* Tell everybody who wants to know why a region failed. */
static void report_failure(const struct io_request *first, unsigned int region,
			   struct block_device *bdev, blk_opf_t opf,
			   sector_t sector, int error, int *errors)
{
	this_cpu_inc(io_stats.errors[error_index(error)]);
	if (errors)
		errors[region] = error;
	trace_dm_io_region_fail(first, region, bdev, opf, sector, error);
}

/* The first of its bios that fails says why a region failed. */
static void fail_bio(struct io_request *first, const struct bio *bio)
{
	const struct io_request *request =
		container_of(bio, struct io_request, bio);
	int *errors = first->extras & HAS_ERRORS ? first->errors : NULL;
	int error = bio_error(request);

	if (error != -EOPNOTSUPP)
		WRITE_ONCE(first->other_error, true);
	if (!test_and_set_bit(request->region, &first->error))
		report_failure(first, request->region, request->bdev,
			       bio->bi_opf, request->sector, error, errors);
}

/* Trace events are apart, since they are rare and take room. */
static noinline void
trace_submit(const struct io_request *first, unsigned int num_regions,
	     const struct io_region *where, blk_opf_t opf, u64 bytes, bool async)
{
	trace_dm_io_request_submit(first, where->bdev, opf, num_regions, bytes,
				   async);
}

static noinline void trace_bio(const struct io_request *request,
			       const struct io_request *first)
{
	trace_dm_io_bio_submit(first, request->region, &request->bio);
}

/* What was not read must not pass for data. */
static noinline void end_bio_with_error(struct bio *bio)
{
	struct io_request *first = bio->bi_private;
	struct bvec_iter iter;
	struct bio_vec vec;

	if (bio->bi_status) {
		fail_bio(first, bio);
		if (!op_is_write(bio->bi_opf))
			for_each_bvec(vec, bio->bi_io_vec, iter, first->read)
				memzero_bvec(&vec);
	}
	bio_uninit(bio);
	end_bio(first);
}

static void region_end_io(struct bio *bio)
{
	if (unlikely(bio->bi_status || bio_holds_references(bio)))
		end_bio_with_error(bio);
	else
		end_bio(bio->bi_private);
}

/*
 * The buffer
 */

/* Length and offset of a bio_vec, to be compared at one go. */
union vec_layout {
	struct {
		unsigned int len;
		unsigned int offset;
	};
	u64 both;
};

static __always_inline bool is_whole_page(const struct bio_vec *vec)
{
	const union vec_layout page = { .len = PAGE_SIZE };
	union vec_layout layout;

	memcpy(&layout, (const void *)vec + offsetof(struct bio_vec, bv_len),
	       sizeof(layout));
	return layout.both == page.both;
}

/*
 * Look at the part of a borrowed table that holds @bytes: count its entries,
 * and collect in @bits what is set in any offset, or in any length that another
 * entry follows. Bits of a whole page and above are of no interest. False if
 * the table ends too early.
 */
static __always_inline bool measure_vecs(struct buffer *buffer, u64 bytes,
					 unsigned int *bits)
{
	const struct bio_vec *first = &buffer->bvec[buffer->iter.bi_idx];
	const struct bio_vec *vec = first;
	struct bio_vec part = mp_bvec_iter_bvec(buffer->bvec, buffer->iter);
	unsigned int seen = part.bv_offset;

	while (bytes > part.bv_len) {
		if (unlikely(!part.bv_len))
			return false;
		seen |= part.bv_len;
		bytes -= part.bv_len;
		vec++;
		/* Most of them are, and the walk is what they cost. */
		while (bytes > 4 * PAGE_SIZE &&
		       is_whole_page(vec) && is_whole_page(vec + 1) &&
		       is_whole_page(vec + 2) && is_whole_page(vec + 3)) {
			bytes -= 4 * PAGE_SIZE;
			vec += 4;
		}
		while (bytes > PAGE_SIZE && is_whole_page(vec)) {
			bytes -= PAGE_SIZE;
			vec++;
		}
		part = *vec;
		seen |= part.bv_offset;
	}
	buffer->num_vecs = vec - first + 1;
	*bits = seen;
	return true;
}

/* As many bytes, up to @bytes, as BORROWED_VECS entries of the table hold. */
static unsigned int limit_vecs(const struct buffer *buffer, unsigned int bytes)
{
	struct bvec_iter iter = buffer->iter;
	unsigned int end = iter.bi_idx + BORROWED_VECS;

	iter.bi_size = bytes;
	while (iter.bi_size && iter.bi_idx < end)
		bvec_iter_advance(buffer->bvec, &iter,
				  mp_bvec_iter_len(buffer->bvec, iter));
	return bytes - iter.bi_size;
}

/* The table is the caller's own, from where it has been used up to. */
static void borrow_vecs(const struct buffer *buffer, struct chunk *chunk)
{
	chunk->table = &buffer->bvec[buffer->iter.bi_idx];
	chunk->iter = buffer->iter;
	chunk->iter.bi_idx = 0;
	chunk->num_vecs = buffer->num_vecs;
	if (unlikely(buffer->num_vecs > BORROWED_VECS)) {
		chunk->bytes = limit_vecs(buffer, chunk->bytes);
		chunk->num_vecs = BORROWED_VECS;
	}
}

/* Where the pages of a table come from: a list, or a virtual address. */
struct page_source {
	struct page_list *node;
	unsigned long addr;
	struct vmap_walk walk;
};

static __always_inline struct page *
next_page(struct page_source *source, enum buffer_kind kind, unsigned int bytes)
{
	struct page *page = NULL;

	if (kind == BUFFER_PAGES) {
		if (likely(source->node)) {
			page = source->node->page;
			source->node = source->node->next;
		}
	} else {
		page = vmap_walk_page(&source->walk, source->addr, bytes);
		source->addr += PAGE_SIZE;
	}
	return page;
}

/* A table as it fills. */
struct table {
	struct bio_vec *vec;		/* the last entry in use */
	const struct bio_vec *end;	/* the last one there is */
	struct page *page;		/* the last page in it */
};

enum add_result { ADDED, TABLE_FULL, NO_PAGE };

/* The next page goes to the entry of the one before it, or to a new one. */
static __always_inline enum add_result
add_page(struct table *table, struct page_source *source,
	 enum buffer_kind kind, unsigned int left, unsigned int len)
{
	struct page *page = next_page(source, kind, left);

	if (unlikely(!page))
		return NO_PAGE;
	if (page_follows(page, table->page)) {
		table->vec->bv_len += len;
	} else {
		if (unlikely(table->vec == table->end))
			return TABLE_FULL;
		bvec_set_page(++table->vec, page, len, 0);
	}
	table->page = page;
	return ADDED;
}

/*
 * Pages become a table, contiguous ones an entry. False if there are not as
 * many as the caller said.
 */
static __always_inline bool
table_pages(const struct buffer *buffer, enum buffer_kind kind,
	    unsigned int offset, struct chunk *chunk, unsigned int max_vecs)
{
	struct page_source source = {
		.node = buffer->pages,
		.addr = (unsigned long)buffer->data & PAGE_MASK,
	};
	unsigned int left = chunk->bytes;
	unsigned int len = min_t(unsigned int, left, PAGE_SIZE - offset);
	struct table table = {
		.vec = chunk->table,
		.end = chunk->table + max_vecs - 1,
		.page = next_page(&source, kind, left),
	};
	enum add_result result = ADDED;

	if (unlikely(!table.page))
		return false;
	bvec_set_page(table.vec, table.page, len, offset);
	left -= len;

	/* A loop of its own for the whole pages: it is what large buffers cost. */
	while (left >= PAGE_SIZE) {
		result = add_page(&table, &source, kind, left, PAGE_SIZE);
		if (unlikely(result != ADDED))
			goto out;
		left -= PAGE_SIZE;
	}
	if (left) {
		result = add_page(&table, &source, kind, left, left);
		if (likely(result == ADDED))
			left = 0;
	}
out:
	chunk->num_vecs = table.vec - chunk->table + 1;
	chunk->bytes -= left;
	return likely(result != NO_PAGE);
}

static void table_linear(const struct buffer *buffer, struct chunk *chunk)
{
	bvec_set_page(chunk->table, virt_to_page(buffer->data), chunk->bytes,
		      offset_in_page(buffer->data));
	chunk->num_vecs = 1;
}

/* The buffer goes on behind the chunk that was made of it. */
static void advance_buffer(struct buffer *buffer, unsigned int bytes)
{
	unsigned int idx;

	switch (buffer->kind) {
	case BUFFER_BVEC:
		idx = buffer->iter.bi_idx;
		bvec_iter_advance(buffer->bvec, &buffer->iter, bytes);
		buffer->iter.bi_size = UINT_MAX;
		buffer->num_vecs -= buffer->iter.bi_idx - idx;
		break;
	case BUFFER_PAGES:
		for (bytes += buffer->offset; bytes >= PAGE_SIZE;
		     bytes -= PAGE_SIZE)
			buffer->pages = buffer->pages->next;
		buffer->offset = bytes;
		break;
	default:
		buffer->data += bytes;
	}
}

/* vmalloc memory and linear memory come through the same calls. */
static bool is_virtual(const void *data)
{
	return is_vmalloc_addr(data) || is_module_data(data);
}

static bool is_linear(void *data, u64 bytes)
{
	return virt_addr_valid(data) && virt_addr_valid(data + (bytes - 1));
}

static bool classify_virtual(struct buffer *buffer, u64 bytes)
{
	if (is_virtual(buffer->data))
		buffer->kind = BUFFER_VMALLOC;
	else if (is_linear(buffer->data, bytes))
		buffer->kind = BUFFER_LINEAR;
	else
		return false;
	return true;
}

/*
 * The check
 */

static __always_inline u64 region_bytes(const struct io_call *call,
					unsigned int region)
{
	return (u64)call->where[region].count << SECTOR_SHIFT;
}

static noinline bool check_opf(struct io_call *call)
{
	blk_opf_t flags = call->opf & ~REQ_OP_MASK;

	switch ((__force enum req_op)(call->opf & REQ_OP_MASK)) {
	case REQ_OP_READ:
		return !(flags & ~READ_FLAGS) && call->num_regions == 1;
	case REQ_OP_WRITE:
		return !(flags & ~(WRITE_FLAGS | ATOMIC_FLAG));
	case REQ_OP_FLUSH:
		/* To the block layer, a flush is a write of nothing. */
		call->opf = REQ_OP_WRITE | REQ_PREFLUSH | flags;
		call->flush = true;
		return !(flags & ~COMMON_FLAGS);
	case REQ_OP_DISCARD:
	case REQ_OP_SECURE_ERASE:
		return !(flags & ~COMMON_FLAGS);
	case REQ_OP_WRITE_ZEROES:
		return !(flags & ~(COMMON_FLAGS | REQ_NOUNMAP));
	default:
		return false;
	}
}

/*
 * The bits that may not be set in an offset or a length of the buffer. Drivers
 * with the default DMA alignment of a sector take it for granted that whatever
 * they are given within a page is made of whole logical blocks; where it is
 * not, brd, null_blk and zram store wrong data and report success.
 */
static __always_inline unsigned int alignment_mask(struct block_device *bdev,
						   unsigned int block)
{
	unsigned int mask = bdev_dma_alignment(bdev);

	return mask < SECTOR_SIZE - 1 ? mask : mask | (block - 1);
}

/* Pieces of more than a page, which an array may have, are pages to a driver. */
static __always_inline bool is_misaligned(unsigned int bits, unsigned int mask)
{
	return bits & mask & (PAGE_SIZE - 1);
}

/* Can this be done, whatever the buffer is? */
static __always_inline int check_region(const struct io_region *where,
					blk_opf_t opf, unsigned int block)
{
	sector_t num_sectors = bdev_nr_sectors(where->bdev);

	if (unlikely(where->count > num_sectors ||
		     where->sector > num_sectors - where->count))
		return -ERANGE;
	if (unlikely((where->sector | where->count) << SECTOR_SHIFT &
		     (block - 1)))
		return -EINVAL;
	if (op_is_write(opf) && bdev_read_only(where->bdev))
		return -EROFS;
	return 0;
}

/* An atomic write has a size that the device knows how to keep together. */
static int check_atomic(const struct io_call *call, unsigned int region)
{
	const struct io_region *where = &call->where[region];
	u64 bytes = region_bytes(call, region);
	unsigned int min, max;

	atomic_write_limits(where->bdev, &min, &max);
	if (!max)
		return -EOPNOTSUPP;
	if (bytes < min || bytes > max || !is_power_of_2(bytes) ||
	    (where->sector << SECTOR_SHIFT & (bytes - 1)))
		return -EINVAL;
	return 0;
}

/* What not every device can do. */
static noinline int check_special(const struct io_call *call,
				  unsigned int region)
{
	struct block_device *bdev = call->where[region].bdev;

	if (call->range)
		return range_limit(bdev, call->opf) ? 0 : -EOPNOTSUPP;
	if (call->buffer.bio && !integrity_fits(call->buffer.bio, bdev))
		return -EOPNOTSUPP;
	if (call->opf & ATOMIC_FLAG)
		return check_atomic(call, region);
	return 0;
}

/* A region that nothing is submitted for. */
static void fail_region(struct io_call *call, unsigned int region, int error)
{
	call->failed |= BIT(region);
	call->reasons[region] = error_index(error);
	if (error != -EOPNOTSUPP)
		call->other_error = true;
}

/* The call goes ahead without these. */
static noinline void report_failed(const struct io_call *call,
				   const struct io_request *first)
{
	unsigned long regions;

	for (regions = call->failed; regions; regions &= regions - 1) {
		unsigned int region = __ffs(regions);
		const struct io_region *where = &call->where[region];

		report_failure(first, region, where->bdev, call->opf,
			       where->sector,
			       error_names[call->reasons[region]].error,
			       call->errors);
	}
}

/*
 * What comes next in the buffer will not be read: zero it, lest the caller takes
 * what was there for data.
 */
static void zero_buffer(struct buffer *buffer, u64 bytes)
{
	struct page_list *node = buffer->pages;
	unsigned int offset = buffer->offset;

	switch (buffer->kind) {
	case BUFFER_PAGES:
		for (; bytes && node && node->page; node = node->next) {
			unsigned int len = min_t(u64, bytes, PAGE_SIZE - offset);

			memzero_page(node->page, offset, len);
			bytes -= len;
			offset = 0;
		}
		break;
	case BUFFER_BVEC:
	case BUFFER_BIO:
		if (buffer->kind == BUFFER_BIO)
			bytes = min_t(u64, bytes, buffer->bio->bi_iter.bi_size);
		while (bytes) {
			struct bio_vec vec = bvec_iter_bvec(buffer->bvec,
							    buffer->iter);

			if (!vec.bv_len)
				break;
			vec.bv_len = min_t(u64, bytes, vec.bv_len);
			memzero_bvec(&vec);
			bytes -= vec.bv_len;
			bvec_iter_advance(buffer->bvec, &buffer->iter,
					  vec.bv_len);
			buffer->iter.bi_size = UINT_MAX;
		}
		break;
	default:
		if (classify_virtual(buffer, bytes))
			memset(buffer->data, 0, bytes);
	}
}

/* Is there a buffer of this length, and which bits are set in its layout? */
static __always_inline bool check_buffer(struct buffer *buffer, u64 bytes,
					 unsigned int *bits)
{
	switch (buffer->kind) {
	case BUFFER_PAGES:
		*bits = buffer->offset;
		return true;
	case BUFFER_BIO:
		if (bytes > buffer->bio->bi_iter.bi_size)
			return false;
		fallthrough;
	case BUFFER_BVEC:
		return measure_vecs(buffer, bytes, bits);
	default:
		*bits = offset_in_page(buffer->data);
		return classify_virtual(buffer, bytes);
	}
}

/* A device cannot take the layout: which regions does that concern? */
static noinline void fail_misaligned(struct io_call *call, unsigned int bits)
{
	struct buffer *buffer = &call->buffer;
	bool borrowed = buffer->kind == BUFFER_BVEC ||
			buffer->kind == BUFFER_BIO;
	unsigned long regions = call->live;

	call->bytes = 0;
	for (; regions; regions &= regions - 1) {
		unsigned int region = __ffs(regions);
		struct block_device *bdev = call->where[region].bdev;
		u64 bytes = region_bytes(call, region);
		unsigned int mask;

		if (!bytes)
			continue;
		/* What is odd may lie behind the end of this region. */
		if (borrowed)
			measure_vecs(buffer, bytes, &bits);
		mask = alignment_mask(bdev, bdev_logical_block_size(bdev));
		if (is_misaligned(bits, mask)) {
			call->live &= ~BIT(region);
			call->num_live--;
			fail_region(call, region, -EINVAL);
		} else {
			call->bytes = max(call->bytes, bytes);
		}
	}
	if (call->bytes && borrowed)
		measure_vecs(buffer, call->bytes, &bits);
}

/*
 * A region without data: ignored, unless it is a flush.
 */
static noinline int check_empty(struct io_call *call, unsigned int region)
{
	const struct io_region *where = &call->where[region];

	if (!where->bdev)
		return where->count ? -EINVAL : 0;
	if (call->opf & REQ_PREFLUSH) {
		call->live |= BIT(region);
		call->num_live++;
	}
	return 0;
}

/*
 * Refusals are made here, with nothing allocated and nothing submitted; run() adds
 * those that only the table shows. Afterwards the call, which was all zero, knows
 * its live regions and the length of its buffer.
 */
static int check_call(struct io_call *call)
{
	unsigned int region, bits, mask = 0;
	bool moves_data = false;
	u64 bytes;
	int error;

	call->block = SECTOR_SIZE;
	if (unlikely(!READ_ONCE(reserve.wanted)))
		return -ENXIO;
	if (unlikely(call->num_regions - 1 >= BITS_PER_LONG || !call->where ||
		     call->buffer.offset >= PAGE_SIZE))
		return -EINVAL;
	if (call->opf != REQ_OP_WRITE && !check_opf(call))
		return -EINVAL;
	call->range = is_range(call->opf);
	call->special = call->range || (call->opf & ATOMIC_FLAG) ||
			(call->buffer.bio && bio_integrity(call->buffer.bio));

	for (region = 0; region < call->num_regions; region++) {
		const struct io_region *where = &call->where[region];
		unsigned int block;

		if (unlikely(!where->count || call->flush)) {
			if (check_empty(call, region))
				return -EINVAL;
			continue;
		}
		if (unlikely(!where->bdev))
			return -EINVAL;
		moves_data |= !call->range;
		block = bdev_logical_block_size(where->bdev);
		error = check_region(where, call->opf, block);
		if (unlikely(call->special) && !error) {
			error = check_special(call, region);
			/* What cannot be atomic must not be anything else. */
			if (error == -EINVAL)
				return error;
		}
		if (unlikely(error)) {
			fail_region(call, region, error);
			continue;
		}
		bytes = region_bytes(call, region);
		call->live |= BIT(region);
		call->num_live++;
		call->bytes = max(call->bytes, bytes);
		call->block = max(call->block, block);
		mask |= alignment_mask(where->bdev, block);
	}

	if (!moves_data) {
		call->buffer.kind = BUFFER_NONE;
		return 0;
	}
	if (unlikely(!call->buffer.data))
		return -EINVAL;
	if (likely(call->bytes)) {
		if (unlikely(!check_buffer(&call->buffer, call->bytes, &bits)))
			return -EINVAL;
		if (unlikely(is_misaligned(bits, mask)))
			fail_misaligned(call, bits);
	}
	return 0;
}

/*
 * The run
 */

/*
 * Make a chunk of what comes next in the buffer: of @bytes, or as much as a
 * table holds. False if the buffer is not what the caller said.
 */
static bool
next_chunk(const struct io_call *call, struct chunk *chunk, u64 bytes,
	   struct bio_vec *table, unsigned int max_vecs)
{
	const struct buffer *buffer = &call->buffer;
	bool good = true;

	chunk->bytes = min_t(u64, bytes, CHUNK_BYTES);
	chunk->table = table;
	chunk->num_vecs = 0;
	chunk->iter = (struct bvec_iter) { };

	if (unlikely(!bytes))
		return true;

	switch (buffer->kind) {
	case BUFFER_BVEC:
		borrow_vecs(buffer, chunk);
		break;
	case BUFFER_BIO:
		/* What fits one bio fits another. */
		chunk->bytes = bytes;
		chunk->table = buffer->bvec;
		chunk->iter = buffer->iter;
		break;
	case BUFFER_PAGES:
		good = table_pages(buffer, BUFFER_PAGES, buffer->offset, chunk,
				   max_vecs);
		break;
	case BUFFER_VMALLOC:
		good = table_pages(buffer, BUFFER_VMALLOC,
				   offset_in_page(buffer->data), chunk,
				   max_vecs);
		flush_kernel_vmap_range(buffer->data, chunk->bytes);
		break;
	default:
		table_linear(buffer, chunk);
		break;
	}
	/* A table that is full within a logical block gives that block back. */
	if (unlikely(chunk->bytes < bytes)) {
		chunk->bytes = round_down(chunk->bytes, call->block);
		good &= chunk->bytes > 0;
	}
	return good;
}

static __always_inline void
set_bio(struct io_request *request, struct io_request *first,
	unsigned int region, sector_t sector)
{
	request->bdev = request->bio.bi_bdev;
	request->sector = sector;
	request->region = region;
	request->bio.bi_iter.bi_sector = sector;
	request->bio.bi_end_io = region_end_io;
	request->bio.bi_private = first;
}

static __always_inline void
init_bio(struct io_request *request, struct block_device *bdev, blk_opf_t opf,
	 const struct chunk *chunk, unsigned int bytes)
{
	struct bio *bio = &request->bio;

	bio_init(bio, bdev, chunk->table, chunk->num_vecs, opf);
	bio->bi_vcnt = chunk->num_vecs;
	bio->bi_iter = chunk->iter;
	bio->bi_iter.bi_size = bytes;
}

/* False if there is no memory for what a clone carries along. */
static bool clone_bio(struct io_request *request, struct block_device *bdev,
		      blk_opf_t opf, struct bio *source, unsigned int bytes)
{
	struct bio *bio = &request->bio;

	if (bio_init_clone(bdev, bio, source, GFP_NOIO))
		return false;
	/* That @source went through a partition says nothing about this one. */
	bio_clear_flag(bio, BIO_REMAPPED);
	opf |= bio->bi_opf & REQ_INTEGRITY;
	/* An atomic write is none yet: bio_trim() would refuse it. */
	bio->bi_opf = opf & ~ATOMIC_FLAG;
	if (bytes < bio->bi_iter.bi_size)
		bio_trim(bio, 0, bytes >> SECTOR_SHIFT);
	bio->bi_opf = opf;
	return true;
}

/* What a bio takes from the caller's, if it is no clone, and from the caller. */
static noinline void set_inherited(const struct io_call *call, struct bio *bio)
{
	struct bio *source = call->buffer.bio;

	if (source && !bio_has_data(bio)) {
		bio->bi_ioprio = source->bi_ioprio;
		bio_clone_blkg_association(bio, source);
	}
	if (call->ioprio)
		bio->bi_ioprio = call->ioprio;
}

/* Send a chunk to one region. */
static __always_inline void
submit_region(const struct io_call *call, struct io_request *request,
	      struct io_request *first, unsigned int region,
	      const struct chunk *chunk, u64 done)
{
	const struct io_region *where = &call->where[region];
	unsigned int bytes = 0;
	sector_t sector = 0;
	blk_opf_t opf = call->opf;
	bool good = true;

	if (!call->flush) {
		bytes = min_t(u64, chunk->bytes,
			      region_bytes(call, region) - done);
		sector = where->sector + (done >> SECTOR_SHIFT);
	}
	/* What was flushed before the first chunk need not be once more. */
	if (done)
		opf &= ~REQ_PREFLUSH;
	/* A flush alone is not written. */
	if (!bytes)
		opf &= ~ATOMIC_FLAG;

	if (call->buffer.kind == BUFFER_BIO && bytes)
		good = clone_bio(request, where->bdev, opf, call->buffer.bio,
				 bytes);
	else
		init_bio(request, where->bdev, opf, chunk, bytes);
	set_bio(request, first, region, sector);

	if (likely(good)) {
		if (call->ioprio || call->buffer.bio)
			set_inherited(call, &request->bio);
		if (trace_dm_io_bio_submit_enabled())
			trace_bio(request, first);
		submit_bio(&request->bio);
	} else {
		request->bio.bi_opf = opf;
		request->bio.bi_status = BLK_STS_RESOURCE;
		region_end_io(&request->bio);
	}
}

/*
 * Send a chunk to the next @num of @regions, and take them out of the set. With
 * the last bio the requests may be gone.
 */
static void
submit_regions(const struct io_call *call, struct io_request *first,
	       unsigned long *regions, unsigned int num,
	       const struct chunk *chunk, u64 done)
{
	struct io_request *request, *next = first;
	struct blk_plug plug __uninitialized;
	bool batch = num > 1;

	if (batch)
		blk_start_plug(&plug);
	do {
		unsigned int region = __ffs(*regions);

		request = next;
		next = request->next;
		*regions &= *regions - 1;
		submit_region(call, request, first, region, chunk, done);
	} while (--num);
	if (batch)
		blk_finish_plug(&plug);
}

/*
 * The same for all of @regions, and wait: as many at a time as there are
 * requests.
 *
 * Below submit_bio(), new bios only queue up until the caller has returned, and
 * a caller that waits for them waits for ever. So its queue is put aside for
 * the moment, and these bios go down at once. What is left in the queue belongs
 * to devices at the caller's level or above it, none of which these bios need:
 * the block layer handles the bios for lower devices first.
 */
static noinline void
submit_and_wait(const struct io_call *call, struct io_request *first,
		unsigned int max_bios, unsigned long regions,
		const struct chunk *chunk, u64 done)
{
	struct bio_list *queue = current->bio_list;
	DECLARE_COMPLETION_ONSTACK(ended);

	first->fn = NULL;
	first->context = &ended;
	do {
		unsigned int num = 1;

		if (max_bios > 1)
			num = min_t(unsigned int, hweight_long(regions), max_bios);
		atomic_set(&first->pending, num + 1);

		current->bio_list = NULL;
		submit_regions(call, first, &regions, num, chunk, done);
		current->bio_list = queue;

		if (!atomic_dec_and_test(&first->pending))
			wait_for_completion_io(&ended);
	} while (regions);

	if (first->vmap_bytes)
		invalidate_kernel_vmap_range(first->vmap_data,
					     first->vmap_bytes);
}

/* A region that will not be gone on with, unless it has failed already. */
static noinline void give_up(struct io_request *first,
			     const struct io_call *call, unsigned int region,
			     sector_t done, int error)
{
	const struct io_region *where = &call->where[region];

	first->other_error = true;
	if (!test_and_set_bit(region, &first->error))
		report_failure(first, region, where->bdev, call->opf,
			       where->sector + done, error, call->errors);
}

static void give_up_all(struct io_request *first, const struct io_call *call,
			unsigned long regions, u64 done, int error)
{
	for (; regions; regions &= regions - 1)
		give_up(first, call, __ffs(regions), done >> SECTOR_SHIFT,
			error);
}

static bool is_killed(const struct io_call *call)
{
	return unlikely(call->killable) && fatal_signal_pending(current);
}

/* What a failed read has to zero, and any read to invalidate. */
static __always_inline void
note_read(struct io_request *first, blk_opf_t opf, const struct buffer *buffer,
	  const struct chunk *chunk)
{
	if (op_is_write(opf))
		return;
	first->read = chunk->iter;
	first->read.bi_size = chunk->bytes;
	if (buffer->kind == BUFFER_VMALLOC) {
		first->vmap_data = buffer->data;
		first->vmap_bytes = chunk->bytes;
	}
}

/* The live regions that reach beyond @done bytes. */
static unsigned long regions_beyond(const struct io_call *call, u64 done)
{
	unsigned long regions, beyond = 0;

	for (regions = call->live; regions; regions &= regions - 1) {
		unsigned int region = __ffs(regions);

		if (region_bytes(call, region) > done)
			beyond |= BIT(region);
	}
	return beyond;
}

/* Is the page list as long as the caller says, before anything is submitted? */
static bool pages_suffice(const struct buffer *buffer, u64 bytes)
{
	const struct page_list *node = buffer->pages;
	u64 left = bytes + buffer->offset;

	for (; node && node->page; node = node->next) {
		if (left <= PAGE_SIZE)
			return true;
		left -= PAGE_SIZE;
	}
	return false;
}

/* The number of entries that a table for the call may need. */
static unsigned int table_vecs(const struct io_call *call)
{
	const struct buffer *buffer = &call->buffer;
	unsigned int offset = 0;

	switch (buffer->kind) {
	case BUFFER_PAGES:
		offset = buffer->offset;
		break;
	case BUFFER_VMALLOC:
		offset = offset_in_page(buffer->data);
		break;
	default:
		return 1;
	}
	return min_t(u64, (call->bytes + offset + PAGE_SIZE - 1) >> PAGE_SHIFT,
		     TABLE_VECS);
}

/* Is this more than the device can write in one go? */
static bool splits_atomic(struct block_device *bdev, const struct chunk *chunk,
			  unsigned int bytes)
{
	struct request_queue *queue = bdev_get_queue(bdev);
	unsigned long gap = queue_virt_boundary(queue);
	struct bvec_iter iter = chunk->iter;
	unsigned int num = 0, end = 0;

	iter.bi_size = bytes;
	while (iter.bi_size) {
		struct bio_vec vec = mp_bvec_iter_bvec(chunk->table, iter);

		if (num && ((end | vec.bv_offset) & gap))
			return true;
		end = vec.bv_offset + vec.bv_len;
		num += DIV_ROUND_UP(vec.bv_len, queue_max_segment_size(queue));
		bvec_iter_advance(chunk->table, &iter, vec.bv_len);
	}
	return num > queue_max_segments(queue);
}

static noinline bool call_splits_atomic(const struct io_call *call,
					const struct chunk *chunk)
{
	unsigned long regions;

	for (regions = call->live; regions; regions &= regions - 1) {
		unsigned int region = __ffs(regions);

		if (splits_atomic(call->where[region].bdev, chunk,
				  region_bytes(call, region)))
			return true;
	}
	return false;
}

static u64 total_bytes(const struct io_call *call)
{
	unsigned long regions;
	u64 bytes = 0;

	if (!call->flush)
		for (regions = call->live; regions; regions &= regions - 1)
			bytes += region_bytes(call, __ffs(regions));
	return bytes;
}

/* Nothing refuses the call any more: from here on it is accounted for. */
static void start_call(const struct io_call *call,
		       const struct io_request *first)
{
	/* An empty write with REQ_PREFLUSH is a flush by another name. */
	bool flush = call->flush || (call->live && !call->bytes);

	count_request(flush ? REQ_OP_FLUSH : call->opf, total_bytes(call));
	if (unlikely(call->errors))
		memset(call->errors, 0,
		       call->num_regions * sizeof(*call->errors));
	if (unlikely(call->failed))
		report_failed(call, first);
}

/* The request is about to be on its way. */
static void start_request(const struct io_call *call, struct io_request *first)
{
	first->error = call->failed;
	first->other_error = call->other_error;
	first->vmap_bytes = 0;
	first->extras = HAS_MORE;
	if (call->errors) {
		first->extras |= HAS_ERRORS;
		first->errors = call->errors;
	}
	if (trace_dm_io_request_complete_enabled())
		start_clock(first);
	if (trace_dm_io_request_submit_enabled())
		trace_submit(first, call->num_regions,
			     &call->where[__ffs(call->live)], call->opf,
			     total_bytes(call), call->fn);
	start_call(call, first);
}

/*
 * Run a call chunk by chunk, with @max_bios requests from @first on and with a
 * table of @max_vecs. Every chunk is waited for, but the last one of an
 * asynchronous run. An error means that nothing was submitted.
 */
static int run(struct io_call *call, struct io_request *first,
	       unsigned int max_bios, struct bio_vec *table,
	       unsigned int max_vecs, bool async)
{
	struct buffer *buffer = &call->buffer;
	unsigned long regions = call->live;
	struct chunk chunk __uninitialized;
	u64 left = call->bytes;
	u64 done = 0;

	while (likely(next_chunk(call, &chunk, left, table, max_vecs))) {
		bool atomic = call->opf & ATOMIC_FLAG;
		bool last = chunk.bytes == left;

		if (unlikely(!last && !done) && buffer->kind == BUFFER_PAGES &&
		    !pages_suffice(buffer, left))
			return -EINVAL;
		if (unlikely(atomic) && last && call_splits_atomic(call, &chunk))
			return -EINVAL;
		if (unlikely(atomic && !last) && max_vecs >= table_vecs(call))
			return -EINVAL;
		if (!done)
			start_request(call, first);
		/* There was no memory for the table that would hold it. */
		if (unlikely(atomic && !last)) {
			give_up_all(first, call, regions, 0, -ENOMEM);
			goto out;
		}

		note_read(first, call->opf, buffer, &chunk);
		if (async && likely(last)) {
			unsigned int num = call->num_live;

			if (unlikely(done))
				num = hweight_long(regions);
			first->fn = call->fn;
			first->context = call->context;
			atomic_set(&first->pending, num);
			submit_regions(call, first, &regions, num, &chunk, done);
			return 0;
		}
		submit_and_wait(call, first, max_bios, regions, &chunk, done);
		if (last)
			return 0;

		advance_buffer(buffer, chunk.bytes);
		left -= chunk.bytes;
		done += chunk.bytes;
		regions = regions_beyond(call, done);
		/*
		 * Behind data that was not written, or not flushed, nothing may
		 * follow. What can still be read, should be.
		 */
		if (op_is_write(call->opf))
			regions &= ~first->error;
		if (unlikely(!regions))
			goto out;
		if (is_killed(call)) {
			call->killed = true;
			if (!op_is_write(call->opf))
				zero_buffer(buffer, left);
			give_up_all(first, call, regions, done, -EINTR);
			goto out;
		}
	}

	/* The memory is not what the caller said. */
	if (!done)
		return -EINVAL;
	give_up_all(first, call, regions, done, -EFAULT);
out:
	if (async) {
		first->fn = call->fn;
		first->context = call->context;
		end_async(first);
	}
	return 0;
}

/*
 * The same for ranges. They go round the regions, a piece of each one at a time,
 * so that all devices are at work.
 */
struct range_cursor {
	unsigned long regions;		/* that are not done */
	unsigned int region;		/* the last one that was served */
	sector_t done[BITS_PER_LONG];	/* in sectors, by region */
};

static void start_ranges(const struct io_call *call,
			 struct range_cursor *cursor)
{
	cursor->regions = call->live;
	cursor->region = BITS_PER_LONG - 1;
	memset(cursor->done, 0, call->num_regions * sizeof(cursor->done[0]));
}

/* How many bios does it take? More than @enough is as good as that. */
static unsigned int count_ranges(const struct io_call *call,
				 unsigned int enough)
{
	unsigned int num = 0;
	unsigned long regions;

	for (regions = call->live; regions; regions &= regions - 1) {
		const struct io_region *where = &call->where[__ffs(regions)];
		sector_t done = 0;

		while (done < where->count) {
			if (++num > enough)
				return num;
			done += range_sectors(where->bdev, call->opf,
					      where->sector + done,
					      where->count - done);
		}
	}
	return num;
}

/* The next region in turn; one that has failed is not gone on with. */
static bool next_range(const struct io_request *first,
		       struct range_cursor *cursor)
{
	unsigned long last = BIT(cursor->region);
	unsigned long behind;

	cursor->regions &= ~READ_ONCE(first->error);
	if (!cursor->regions)
		return false;
	behind = cursor->regions & ~(last | (last - 1));
	cursor->region = __ffs(behind ?: cursor->regions);
	return true;
}

static void prepare_range(const struct io_call *call, struct io_request *request,
			  struct io_request *first, struct range_cursor *cursor)
{
	unsigned int region = cursor->region;
	const struct io_region *where = &call->where[region];
	sector_t *done = &cursor->done[region];
	sector_t sector = where->sector + *done;
	unsigned int sectors = range_sectors(where->bdev, call->opf, sector,
					     where->count - *done);
	struct bio *bio = &request->bio;

	*done += sectors;
	if (*done == where->count)
		cursor->regions &= ~BIT(region);

	bio_init(bio, where->bdev, NULL, 0, call->opf);
	bio->bi_iter.bi_size = sectors << SECTOR_SHIFT;
	set_bio(request, first, region, sector);
	if (call->ioprio || call->buffer.bio)
		set_inherited(call, bio);
}

/* With the last bio, the requests may be gone. */
static void submit_ranges(struct io_request *first, unsigned int num)
{
	struct io_request *request, *next = first;
	struct blk_plug plug __uninitialized;

	blk_start_plug(&plug);
	do {
		request = next;
		next = request->next;
		if (trace_dm_io_bio_submit_enabled())
			trace_bio(request, first);
		submit_bio(&request->bio);
	} while (--num);
	blk_finish_plug(&plug);
}

/*
 * As many bios at a time as there are requests. They are all made before the
 * first is submitted: how many it takes depends on the limits of the devices,
 * which may change at any time.
 */
static noinline void run_ranges(struct io_call *call, struct io_request *first,
				unsigned int max_bios, bool async)
{
	struct bio_list *queue = current->bio_list;
	struct range_cursor cursor __uninitialized;
	DECLARE_COMPLETION_ONSTACK(ended);

	start_ranges(call, &cursor);
	start_request(call, first);

	while (cursor.regions) {
		struct io_request *request = first;
		unsigned int num = 0;

		while (num < max_bios && next_range(first, &cursor)) {
			prepare_range(call, request, first, &cursor);
			request = request->next;
			num++;
		}
		if (!num)
			break;
		if (async && !cursor.regions) {
			first->fn = call->fn;
			first->context = call->context;
			atomic_set(&first->pending, num);
			submit_ranges(first, num);
			return;
		}

		first->fn = NULL;
		first->context = &ended;
		atomic_set(&first->pending, num + 1);
		/* As in submit_and_wait(). */
		current->bio_list = NULL;
		submit_ranges(first, num);
		current->bio_list = queue;
		if (!atomic_dec_and_test(&first->pending))
			wait_for_completion_io(&ended);

		while (is_killed(call) && next_range(first, &cursor)) {
			call->killed = true;
			give_up(first, call, cursor.region,
				cursor.done[cursor.region], -EINTR);
		}
		cond_resched();
	}

	if (async) {
		first->fn = call->fn;
		first->context = call->context;
		end_async(first);
	}
}

/*
 * Requests for all live regions but the first; false, and as many as there
 * were, if memory is short.
 */
static noinline bool add_requests(struct io_call *call,
				  struct io_request *first, unsigned int *num)
{
	for (*num = 1; *num < call->num_live; ++*num) {
		struct io_request *request = alloc_request();

		if (!request) {
			call->reserve_empty = true;
			return false;
		}
		request->next = first->next;
		first->next = request;
	}
	return true;
}

/* The same for ranges, which are content with less, and leave the reserve alone. */
static noinline void add_range_requests(const struct io_call *call,
					struct io_request *first,
					unsigned int *num)
{
	unsigned int wanted = count_ranges(call, RANGE_BIOS);

	for (*num = 1; *num < min(wanted, RANGE_BIOS); ++*num) {
		struct io_request *request = pool_request();

		if (!request)
			return;
		request->next = first->next;
		first->next = request;
	}
}

/* False if there is no memory: then the caller has to wait. */
static bool run_async(struct io_call *call, int *ret)
{
	struct io_request *first = alloc_request();
	unsigned int max_vecs = REQUEST_VECS;
	struct bio_vec *table;
	unsigned int max_bios = 1;

	if (unlikely(!first)) {
		call->reserve_empty = true;
		return false;
	}

	first->next = NULL;
	first->table = NULL;
	table = first->vecs;
	if (table_vecs(call) > REQUEST_VECS) {
		first->table = alloc_table();
		table = first->table;
		max_vecs = TABLE_VECS;
	}
	if (unlikely(call->range)) {
		add_range_requests(call, first, &max_bios);
		run_ranges(call, first, max_bios, true);
		*ret = 0;
		return true;
	}
	if (unlikely(!table) ||
	    (call->num_live > 1 && !add_requests(call, first, &max_bios))) {
		free_requests(first);
		return false;
	}

	*ret = run(call, first, max_bios, table, max_vecs, true);
	if (unlikely(*ret))
		free_requests(first);
	return true;
}

/*
 * Needs no memory but this stack, and waits for its own I/O alone. More
 * requests and a larger table are welcome.
 */
static noinline int run_on_stack(struct io_call *call)
{
	struct bio_vec vecs[STACK_VECS] __uninitialized;
	struct io_request first __uninitialized;
	unsigned int max_vecs = STACK_VECS;
	struct bio_vec *table = vecs;
	unsigned int max_bios = 1;
	bool short_of_memory = call->fn;
	int ret = 0;

	first.next = NULL;
	first.table = NULL;
	if (unlikely(call->range))
		add_range_requests(call, &first, &max_bios);
	else if (unlikely(call->num_live > 1))
		short_of_memory |= !add_requests(call, &first, &max_bios);
	if (unlikely(table_vecs(call) > STACK_VECS)) {
		first.table = alloc_table();
		if (first.table) {
			table = first.table;
			max_vecs = TABLE_VECS;
		} else {
			short_of_memory = true;
		}
	}
	if (unlikely(short_of_memory))
		this_cpu_inc(io_stats.on_stack);
	if (unlikely(call->reserve_empty)) {
		this_cpu_inc(io_stats.reserve_empty);
		trace_dm_io_reserve_empty(READ_ONCE(reserve.wanted));
	}

	if (unlikely(call->range))
		run_ranges(call, &first, max_bios, false);
	else
		ret = run(call, &first, max_bios, table, max_vecs, false);
	if (likely(!ret)) {
		call->failed = first.error;
		call->other_error = first.other_error;
		if (first.extras & HAS_START)
			stop_clock(&first);
	}

	if (first.table)
		free_table(first.table);
	if (first.next) {
		first.next->table = NULL;
		free_requests(first.next);
	}
	return ret;
}

/*
 * Returns an errno if the call is refused; else call->failed tells how a
 * synchronous one went.
 */
static int run_call(struct io_call *call)
{
	int ret;

	ret = check_call(call);
	if (ret)
		return ret;

	if (call->live) {
		if (call->fn && run_async(call, &ret))
			return ret;
		ret = run_on_stack(call);
		if (ret)
			return ret;
	} else {
		start_call(call, NULL);
		/* A count beyond any end says nothing about the buffer. */
		if (call->failed && !op_is_write(call->opf) &&
		    call->where->count <= bdev_nr_sectors(call->where->bdev))
			zero_buffer(&call->buffer, region_bytes(call, 0));
	}
	if (call->fn)
		call->fn(call->failed, call->context);
	return 0;
}

/* What a synchronous call returns for regions that failed. */
static __always_inline int sync_result(unsigned long failed, bool other_error)
{
	if (likely(!failed))
		return 0;
	return other_error ? -EIO : -EOPNOTSUPP;
}

/*
 * The straight way
 *
 * Most calls find everything as it should be: all regions are good, the buffer
 * fits one table, and memory is at hand. They are made here, out of the same
 * pieces and with the same checks, but without a struct io_call. Whatever turns
 * out otherwise has had no effect so far, and starts again with run_call().
 */

static __always_inline bool
straight_regions(unsigned int num_regions, const struct io_region *where,
		 blk_opf_t opf, u64 *bytes, u64 *total, unsigned int *mask)
{
	sector_t longest = 0, sum = 0;

	*mask = 0;
	if (unlikely(!READ_ONCE(reserve.wanted) || !where ||
		     num_regions - 1 >= BITS_PER_LONG))
		return false;
	if (likely((opf & ~WRITE_FLAGS) == REQ_OP_WRITE))
		;
	else if ((opf & ~READ_FLAGS) != REQ_OP_READ || num_regions != 1)
		return false;

	do {
		unsigned int block;

		if (unlikely(!where->count || !where->bdev))
			return false;
		block = bdev_logical_block_size(where->bdev);
		if (unlikely(check_region(where, opf, block)))
			return false;
		longest = max(longest, where->count);
		sum += where->count;
		*mask |= alignment_mask(where->bdev, block);
		where++;
	} while (--num_regions);

	*bytes = (u64)longest << SECTOR_SHIFT;
	*total = (u64)sum << SECTOR_SHIFT;
	return likely(*bytes <= CHUNK_BYTES);
}

/*
 * Make all of the buffer one chunk. False if that cannot be, or if its layout
 * is not what @mask allows.
 */
static __always_inline bool
straight_chunk(struct buffer *buffer, struct chunk *chunk, unsigned int bytes,
	       unsigned int mask, struct bio_vec *table, unsigned int max_vecs)
{
	unsigned int bits = 0;

	chunk->bytes = bytes;
	chunk->table = table;
	chunk->iter = (struct bvec_iter) { };

	switch (buffer->kind) {
	case BUFFER_BVEC:
		if (unlikely(!measure_vecs(buffer, bytes, &bits) ||
			     buffer->num_vecs > BORROWED_VECS))
			return false;
		chunk->table = buffer->bvec;
		chunk->num_vecs = buffer->num_vecs;
		break;
	case BUFFER_PAGES:
		bits = buffer->offset;
		if (unlikely(!table_pages(buffer, BUFFER_PAGES, bits, chunk,
					  max_vecs)))
			return false;
		break;
	case BUFFER_VMALLOC:
		bits = offset_in_page(buffer->data);
		if (unlikely(!table_pages(buffer, BUFFER_VMALLOC, bits, chunk,
					  max_vecs)))
			return false;
		flush_kernel_vmap_range(buffer->data, bytes);
		break;
	default:
		bits = offset_in_page(buffer->data);
		table_linear(buffer, chunk);
	}
	return likely(chunk->bytes == bytes && !is_misaligned(bits, mask));
}

static __always_inline void
straight_submit(struct io_request *first, unsigned int num_regions,
		const struct io_region *where, blk_opf_t opf,
		const struct chunk *chunk)
{
	struct io_request *request, *next = first;
	unsigned int region = 0;

	do {
		struct bio *bio = &next->bio;

		request = next;
		next = request->next;
		bio_init(bio, where->bdev, chunk->table, chunk->num_vecs, opf);
		bio->bi_vcnt = chunk->num_vecs;
		bio->bi_iter.bi_size = where->count << SECTOR_SHIFT;
		set_bio(request, first, region, where->sector);
		if (trace_dm_io_bio_submit_enabled())
			trace_bio(request, first);
		submit_bio(bio);
		where++;
	} while (++region < num_regions);
}

static __always_inline void
straight_start(struct io_request *first, unsigned int num_regions,
	       const struct io_region *where, blk_opf_t opf, u64 total,
	       bool async)
{
	count_request(opf, total);
	if (trace_dm_io_request_complete_enabled())
		start_clock(first);
	if (trace_dm_io_request_submit_enabled())
		trace_submit(first, num_regions, where, opf, total, async);
}

/* Decide what kind of memory it is, and whether it needs a larger table. */
static __always_inline bool straight_buffer(struct buffer *buffer, u64 bytes,
					    unsigned int max_vecs, bool *larger)
{
	*larger = false;
	if (buffer->kind == BUFFER_BIO)
		return false;
	if (unlikely(!buffer->data || buffer->offset >= PAGE_SIZE))
		return false;
	if (buffer->kind == BUFFER_VIRTUAL &&
	    unlikely(!classify_virtual(buffer, bytes)))
		return false;
	if (buffer->kind == BUFFER_VMALLOC)
		buffer->offset = offset_in_page(buffer->data);
	if (buffer->kind == BUFFER_PAGES || buffer->kind == BUFFER_VMALLOC)
		*larger = buffer->offset + bytes > max_vecs * PAGE_SIZE;
	return true;
}

#define STRAIGHT_BUFFER {		\
	.kind = kind,			\
	.offset = offset,		\
	.data = data,			\
	.iter.bi_size = UINT_MAX,	\
}

/*
 * The shortest way: one region, and an array or a single page. All checks come
 * before a request is taken, so there is nothing to undo.
 */
static __always_inline bool
straight_one(enum buffer_kind kind, void *data, unsigned int offset,
	     const struct io_region *where, blk_opf_t opf,
	     io_notify_fn fn, void *context)
{
	struct buffer buffer = STRAIGHT_BUFFER;
	struct chunk chunk __uninitialized;
	struct io_request *first;
	unsigned int mask, bits;
	struct page *page = NULL;
	u64 bytes, total;

	if (kind == BUFFER_VMALLOC)
		offset = offset_in_page(data);
	if (unlikely(!data ||
		     !straight_regions(1, where, opf, &bytes, &total, &mask)))
		return false;
	if (kind != BUFFER_BVEC && unlikely(bytes + offset > PAGE_SIZE))
		return false;

	if (kind == BUFFER_BVEC) {
		if (unlikely(!measure_vecs(&buffer, bytes, &bits) ||
			     buffer.num_vecs > BORROWED_VECS))
			return false;
	} else {
		bits = offset;
		page = kind == BUFFER_PAGES ? buffer.pages->page :
					      vmalloc_to_page(data);
		if (unlikely(!page))
			return false;
	}
	if (unlikely(is_misaligned(bits, mask) || no_memory()))
		return false;
	first = this_cpu_xchg(request_stash.slot, NULL);
	if (unlikely(!first))
		return false;

	chunk.bytes = bytes;
	chunk.iter = (struct bvec_iter) { };
	if (kind == BUFFER_BVEC) {
		chunk.table = buffer.bvec;
		chunk.num_vecs = buffer.num_vecs;
	} else {
		chunk.table = first->vecs;
		chunk.num_vecs = 1;
		bvec_set_page(chunk.table, page, bytes, offset);
	}
	if (kind == BUFFER_VMALLOC)
		flush_kernel_vmap_range(data, bytes);

	first->extras = 0;
	first->table = NULL;
	first->error = 0;
	first->fn = fn;
	first->context = context;
	if (kind == BUFFER_VMALLOC && !op_is_write(opf)) {
		first->extras = HAS_MORE;
		first->next = NULL;
	}
	note_read(first, opf, &buffer, &chunk);
	atomic_set(&first->pending, 1);
	straight_start(first, 1, where, opf, total, true);
	straight_submit(first, 1, where, opf, &chunk);
	return true;
}

/* Either the whole call, or nothing. */
static __always_inline bool
straight_async(enum buffer_kind kind, void *data, unsigned int offset,
	       unsigned int num_regions, const struct io_region *where,
	       blk_opf_t opf, io_notify_fn fn, void *context,
	       struct blk_plug *plug)
{
	struct buffer buffer = STRAIGHT_BUFFER;
	struct io_request *first, *last;
	struct chunk chunk __uninitialized;
	unsigned int max_vecs = REQUEST_VECS;
	struct bio_vec *table;
	unsigned int mask, i;
	bool larger;
	u64 bytes, total;

	if (unlikely(!straight_regions(num_regions, where, opf, &bytes, &total,
				       &mask) ||
		     !straight_buffer(&buffer, bytes, REQUEST_VECS, &larger)))
		return false;
	first = pool_request();
	if (unlikely(!first))
		return false;
	first->table = NULL;
	table = first->vecs;
	first->extras = num_regions > 1 ? HAS_MORE : 0;
	if (num_regions > 1) {
		first->next = NULL;
		first->vmap_bytes = 0;
	}

	if (larger) {
		table = alloc_table();
		if (unlikely(!table))
			goto undo;
		first->table = table;
		max_vecs = TABLE_VECS;
	}
	if (unlikely(!straight_chunk(&buffer, &chunk, bytes, mask, table,
				     max_vecs)))
		goto undo;
	for (i = 1, last = first; i < num_regions; i++, last = last->next) {
		last->next = pool_request();
		if (unlikely(!last->next))
			goto undo;
		last->next->next = NULL;
	}

	first->error = 0;
	first->fn = fn;
	first->context = context;
	if (buffer.kind == BUFFER_VMALLOC && !op_is_write(opf)) {
		first->extras = HAS_MORE;
		first->next = NULL;
	}
	note_read(first, opf, &buffer, &chunk);
	atomic_set(&first->pending, num_regions);
	straight_start(first, num_regions, where, opf, total, true);
	if (num_regions > 1)
		blk_start_plug(plug);
	straight_submit(first, num_regions, where, opf, &chunk);
	if (num_regions > 1)
		blk_finish_plug(plug);
	return true;
undo:
	if (num_regions == 1)
		first->next = NULL;
	free_requests(first);
	return false;
}

/* The same on the stack, for one region. */
static __always_inline bool
straight_sync(enum buffer_kind kind, void *data, unsigned int offset,
	      unsigned int num_regions, const struct io_region *where,
	      blk_opf_t opf, unsigned long *error, int *ret)
{
	struct buffer buffer = STRAIGHT_BUFFER;
	struct bio_vec vecs[STACK_VECS] __uninitialized;
	struct io_request first __uninitialized;
	struct chunk chunk __uninitialized;
	struct completion ended __uninitialized;
	struct bio_list *queue = current->bio_list;
	unsigned int mask;
	bool larger;
	u64 bytes, total;

	if (unlikely(num_regions != 1 ||
		     !straight_regions(1, where, opf, &bytes, &total, &mask) ||
		     !straight_buffer(&buffer, bytes, STACK_VECS, &larger) ||
		     larger ||
		     !straight_chunk(&buffer, &chunk, bytes, mask, vecs,
				     STACK_VECS)))
		return false;

	init_completion(&ended);
	first.extras = 0;
	first.other_error = false;
	first.error = 0;
	first.fn = NULL;
	first.context = &ended;
	first.vmap_bytes = 0;
	note_read(&first, opf, &buffer, &chunk);
	atomic_set(&first.pending, 2);
	straight_start(&first, 1, where, opf, total, false);

	current->bio_list = NULL;
	straight_submit(&first, 1, where, opf, &chunk);
	current->bio_list = queue;

	if (!atomic_dec_and_test(&first.pending))
		wait_for_completion_io(&ended);
	if (unlikely(first.vmap_bytes))
		invalidate_kernel_vmap_range(first.vmap_data, first.vmap_bytes);
	if (unlikely(first.extras))
		stop_clock(&first);
	*error = first.error;
	*ret = sync_result(first.error, first.other_error);
	return true;
}

/*
 * The calls
 */

int dm_io_get(unsigned int num_pages)
{
	unsigned int total;
	int ret = -ENOMEM;

	might_sleep();
	if (!num_pages)
		return -EINVAL;

	mutex_lock(&reserve.resize);
	if (!check_add_overflow(reserve.wanted, num_pages, &total) &&
	    (u64)num_pages * sizeof(struct io_request) <=
	    (u64)si_mem_available() * (PAGE_SIZE / 2))
		ret = grow_reserve(num_pages);
	if (!ret)
		reserve.users++;
	mutex_unlock(&reserve.resize);
	return ret;
}
EXPORT_SYMBOL_GPL(dm_io_get);

void dm_io_put(unsigned int num_pages)
{
	might_sleep();
	mutex_lock(&reserve.resize);
	if (num_pages > reserve.wanted) {
		pr_warn("%s: %u pages put back, but only %u are reserved\n",
			__func__, num_pages, reserve.wanted);
		num_pages = reserve.wanted;
	}
	shrink_reserve(num_pages);
	if (!reserve.wanted)
		reserve.users = 0;
	else if (num_pages && reserve.users)
		reserve.users--;
	mutex_unlock(&reserve.resize);
}
EXPORT_SYMBOL_GPL(dm_io_put);

/*
 * A call that does not go straight. All of them are a struct dm_io_args then.
 */
static noinline int run_args(const struct dm_io_args *args,
			     enum buffer_kind kind, void *data)
{
	struct io_call call = {
		.num_regions = args->num_regions,
		.where = args->where,
		.opf = args->opf,
		.buffer = {
			.kind = kind,
			.offset = args->offset,
			.data = data,
			.iter.bi_size = UINT_MAX,
		},
		.ioprio = args->ioprio,
		.killable = args->flags & DM_IO_KILLABLE,
		.fn = args->fn,
		.context = args->context,
		.errors = args->errors,
	};
	u8 reasons[BITS_PER_LONG] __uninitialized;
	struct bio *bio = data;
	int ret;

	call.reasons = reasons;
	if (kind == BUFFER_BIO && bio) {
		call.buffer.bio = bio;
		call.buffer.bvec = bio->bi_io_vec;
		call.buffer.iter = bio->bi_iter;
	}
	ret = run_call(&call);
	if (args->fn)
		return ret;
	if (args->error_bits)
		*args->error_bits = ret ? 0 : call.failed;
	if (ret)
		return ret;
	return call.killed ? -EINTR : sync_result(call.failed, call.other_error);
}

/*
 * Each of the other calls says what its buffer is, goes straight if it can, and
 * here if it cannot. To fill a struct dm_io_args before that is known would cost
 * them some twenty instructions.
 */
static noinline int
run_other(unsigned int num_regions, const struct io_region *where, int rw,
	  enum buffer_kind kind, void *data, unsigned int offset,
	  io_notify_fn fn, void *context, unsigned long *error_bits)
{
	struct dm_io_args args = {
		.opf = (__force blk_opf_t)rw,
		.num_regions = num_regions,
		.where = where,
		.offset = offset,
		.fn = fn,
		.context = context,
		.error_bits = error_bits,
	};

	return run_args(&args, kind, data);
}

/* With several regions there is a plug: a large thing, so this is apart. */
static noinline int
start_many(unsigned int num_regions, const struct io_region *where, int rw,
	   enum buffer_kind kind, void *data, unsigned int offset,
	   io_notify_fn fn, void *context)
{
	struct blk_plug plug __uninitialized;

	if (likely(straight_async(kind, data, offset, num_regions, where,
				  (__force blk_opf_t)rw, fn, context, &plug)))
		return 0;
	return run_other(num_regions, where, rw, kind, data, offset, fn,
			 context, NULL);
}

/* So is what needs a table, with the kind known to the compiler. */
static noinline int start_pages(const struct io_region *where, int rw, void *data,
				unsigned int offset, io_notify_fn fn,
				void *context)
{
	if (likely(straight_async(BUFFER_PAGES, data, offset, 1, where,
				  (__force blk_opf_t)rw, fn, context, NULL)))
		return 0;
	return run_other(1, where, rw, BUFFER_PAGES, data, offset, fn, context,
			 NULL);
}

static noinline int start_vmalloc(const struct io_region *where, int rw, void *data,
				  io_notify_fn fn, void *context)
{
	if (likely(straight_async(BUFFER_VMALLOC, data, 0, 1, where,
				  (__force blk_opf_t)rw, fn, context, NULL)))
		return 0;
	return run_other(1, where, rw, BUFFER_VMALLOC, data, 0, fn, context,
			 NULL);
}

static __always_inline int
start_async(unsigned int num_regions, const struct io_region *where, int rw,
	    enum buffer_kind kind, void *data, unsigned int offset,
	    io_notify_fn fn, void *context)
{
	__might_sleep(__FILE__, __LINE__);
	if (unlikely(!fn))
		return -EINVAL;
	if (kind == BUFFER_BIO)
		return run_other(num_regions, where, rw, kind, data, offset,
				 fn, context, NULL);
	if (unlikely(num_regions != 1 || !where) || kind == BUFFER_VIRTUAL)
		return start_many(num_regions, where, rw, kind, data, offset,
				  fn, context);
	if (kind == BUFFER_PAGES && where->count > PAGE_SECTORS)
		return start_pages(where, rw, data, offset, fn, context);
	if (kind == BUFFER_VMALLOC && where->count > PAGE_SECTORS)
		return start_vmalloc(where, rw, data, fn, context);
	if (likely(straight_one(kind, data, offset, where,
				(__force blk_opf_t)rw, fn, context)))
		return 0;
	return start_many(num_regions, where, rw, kind, data, offset, fn,
			  context);
}

static __always_inline int
start_sync(unsigned int num_regions, const struct io_region *where, int rw,
	   enum buffer_kind kind, void *data, unsigned int offset,
	   unsigned long *error_bits)
{
	unsigned long error;
	int ret;

	__might_sleep(__FILE__, __LINE__);
	if (unlikely(kind == BUFFER_BIO ||
		     !straight_sync(kind, data, offset, num_regions, where,
				    (__force blk_opf_t)rw, &error, &ret)))
		return run_other(num_regions, where, rw, kind, data, offset,
				 NULL, NULL, error_bits);
	if (error_bits)
		*error_bits = error;
	return ret;
}

int dm_io_sync(unsigned int num_regions, struct io_region *where, int rw,
	       struct page_list *pl, unsigned int offset,
	       unsigned long *error_bits)
{
	return start_sync(num_regions, where, rw, BUFFER_PAGES, pl, offset,
			  error_bits);
}
EXPORT_SYMBOL_GPL(dm_io_sync);

int dm_io_async(unsigned int num_regions, struct io_region *where, int rw,
		struct page_list *pl, unsigned int offset,
		io_notify_fn fn, void *context)
{
	return start_async(num_regions, where, rw, BUFFER_PAGES, pl, offset,
			   fn, context);
}
EXPORT_SYMBOL_GPL(dm_io_async);

int dm_io_sync_bvec(unsigned int num_regions, struct io_region *where, int rw,
		    struct bio_vec *bvec, unsigned long *error_bits)
{
	return start_sync(num_regions, where, rw, BUFFER_BVEC, bvec, 0,
			  error_bits);
}
EXPORT_SYMBOL_GPL(dm_io_sync_bvec);

int dm_io_async_bvec(unsigned int num_regions, struct io_region *where, int rw,
		     struct bio_vec *bvec, io_notify_fn fn, void *context)
{
	return start_async(num_regions, where, rw, BUFFER_BVEC, bvec, 0,
			   fn, context);
}
EXPORT_SYMBOL_GPL(dm_io_async_bvec);

int dm_io_sync_vm(unsigned int num_regions, struct io_region *where, int rw,
		  void *data, unsigned long *error_bits)
{
	if (likely(is_virtual(data)))
		return start_sync(num_regions, where, rw, BUFFER_VMALLOC, data,
				  0, error_bits);
	return start_sync(num_regions, where, rw, BUFFER_VIRTUAL, data, 0,
			  error_bits);
}
EXPORT_SYMBOL_GPL(dm_io_sync_vm);

int dm_io_async_vm(unsigned int num_regions, struct io_region *where, int rw,
		   void *data, io_notify_fn fn, void *context)
{
	if (likely(is_virtual(data)))
		return start_async(num_regions, where, rw, BUFFER_VMALLOC, data,
				   0, fn, context);
	return start_async(num_regions, where, rw, BUFFER_VIRTUAL, data, 0,
			   fn, context);
}
EXPORT_SYMBOL_GPL(dm_io_async_vm);

int dm_io_sync_bio(unsigned int num_regions, struct io_region *where, int rw,
		   struct bio *bio, unsigned long *error_bits)
{
	return start_sync(num_regions, where, rw, BUFFER_BIO, bio, 0,
			  error_bits);
}
EXPORT_SYMBOL_GPL(dm_io_sync_bio);

int dm_io_async_bio(unsigned int num_regions, struct io_region *where, int rw,
		    struct bio *bio, io_notify_fn fn, void *context)
{
	return start_async(num_regions, where, rw, BUFFER_BIO, bio, 0,
			   fn, context);
}
EXPORT_SYMBOL_GPL(dm_io_async_bio);

/* Which buffer, if there is no more than one? */
static bool choose_buffer(const struct dm_io_args *args, enum buffer_kind *kind,
			  void **data)
{
	unsigned int num = !!args->pl + !!args->bvec + !!args->data + !!args->bio;

	if (args->pl) {
		*kind = BUFFER_PAGES;
		*data = args->pl;
	} else if (args->bvec) {
		*kind = BUFFER_BVEC;
		*data = args->bvec;
	} else if (args->bio) {
		*kind = BUFFER_BIO;
		*data = args->bio;
	} else if (args->data) {
		*kind = is_virtual(args->data) ? BUFFER_VMALLOC : BUFFER_VIRTUAL;
		*data = args->data;
	} else {
		*kind = BUFFER_NONE;
		*data = NULL;
	}
	return num <= 1 && (args->pl || !args->offset);
}

/* Apart, for the same reason as start_many(). */
static noinline int
start_here(unsigned int num_regions, const struct io_region *where, int rw,
	   enum buffer_kind kind, void *data, unsigned int offset,
	   unsigned long *error_bits)
{
	return start_sync(num_regions, where, rw, kind, data, offset,
			  error_bits);
}

int dm_io_submit(const struct dm_io_args *args)
{
	enum buffer_kind kind;
	void *data;
	int rw;

	might_sleep();
	if (unlikely(!args))
		return -EINVAL;
	if (unlikely(!choose_buffer(args, &kind, &data) ||
		     args->flags & ~DM_IO_KILLABLE ||
		     IOPRIO_PRIO_CLASS(args->ioprio) > IOPRIO_CLASS_IDLE)) {
		if (!args->fn && args->error_bits)
			*args->error_bits = 0;
		return -EINVAL;
	}
	/* What the other calls cannot say does not go straight. */
	if (args->flags || args->ioprio || args->errors ||
	    kind == BUFFER_NONE || kind == BUFFER_BIO)
		return run_args(args, kind, data);
	rw = (__force int)args->opf;
	if (args->fn)
		return start_many(args->num_regions, args->where, rw, kind,
				  data, args->offset, args->fn, args->context);
	return start_here(args->num_regions, args->where, rw, kind, data,
			  args->offset, args->error_bits);
}
EXPORT_SYMBOL_GPL(dm_io_submit);

/*
 * What a person may want to know: debugfs
 */

static int stats_show(struct seq_file *file, void *data)
{
	unsigned int wanted, missing, users, i;

	mutex_lock(&reserve.resize);
	spin_lock_irq(&reserve.lock);
	wanted = reserve.wanted;
	missing = reserve.missing;
	users = reserve.users;
	spin_unlock_irq(&reserve.lock);
	mutex_unlock(&reserve.resize);

	seq_printf(file, "reserve: %u pages for %u users, %u in use\n", wanted,
		   users, missing);
	seq_printf(file, "reserve found empty: %llu times\n",
		   sum_of_cpus(&io_stats.reserve_empty));
	seq_printf(file, "went ahead on the stack: %llu requests\n",
		   sum_of_cpus(&io_stats.on_stack));

	seq_printf(file, "\n%-14s %14s %18s\n", "operation", "requests", "bytes");
	for (i = 0; i < ARRAY_SIZE(op_names); i++)
		if (op_names[i])
			seq_printf(file, "%-14s %14llu %18llu\n", op_names[i],
				   sum_of_cpus(&io_stats.ops[i].requests),
				   sum_of_cpus(&io_stats.ops[i].bytes));

	seq_printf(file, "\n%-14s %14s\n", "error", "regions");
	for (i = 0; i < ARRAY_SIZE(error_names); i++) {
		u64 regions = sum_of_cpus(&io_stats.errors[i]);

		if (regions)
			seq_printf(file, "%-14s %14llu\n", error_names[i].name,
				   regions);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

#if IS_ENABLED(CONFIG_DM_IO_KUNIT_TEST)

u64 dm_io_test_stat(enum dm_io_test_stat stat, int which)
{
	switch (stat) {
	case STAT_REQUESTS:
		return sum_of_cpus(&io_stats.ops[which].requests);
	case STAT_BYTES:
		return sum_of_cpus(&io_stats.ops[which].bytes);
	case STAT_ERRORS:
		return sum_of_cpus(&io_stats.errors[error_index(which)]);
	case STAT_RESERVE_EMPTY:
		return sum_of_cpus(&io_stats.reserve_empty);
	case STAT_ON_STACK:
		return sum_of_cpus(&io_stats.on_stack);
	case STAT_USERS:
		return reserve.users;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(dm_io_test_stat);

#endif

/*
 * The module
 */

static struct dentry *debugfs_dir;

static int __init dm_io_lib_init(void)
{
	requests.cache = KMEM_CACHE(io_request, 0);
	tables.cache = kmem_cache_create("dm_io_table",
					 TABLE_VECS * sizeof(struct bio_vec),
					 0, 0, NULL);
	if (!requests.cache || !tables.cache) {
		kmem_cache_destroy(requests.cache);
		kmem_cache_destroy(tables.cache);
		return -ENOMEM;
	}
	/* Nobody depends on these, so that they fail is no reason to. */
	debugfs_dir = debugfs_create_dir("dm_io", NULL);
	debugfs_create_file("stats", 0444, debugfs_dir, NULL, &stats_fops);
	return 0;
}

static void __exit dm_io_lib_exit(void)
{
	debugfs_remove_recursive(debugfs_dir);
	/* A user that is gone without dm_io_put() leaves nothing behind. */
	shrink_reserve(reserve.wanted);
	pool_destroy(&requests);
	pool_destroy(&tables);
}

/* Before any built-in target may call. */
subsys_initcall(dm_io_lib_init);
module_exit(dm_io_lib_exit);

MODULE_DESCRIPTION("Block I/O library for Device Mapper targets");
MODULE_VERSION("1.1");
MODULE_LICENSE("GPL");
