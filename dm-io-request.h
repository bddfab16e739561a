/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A part of dm-io.c, which alone includes it: what a call is and what a request is,
 * and where requests come from. The fast path is made of these inline.
 */
#ifndef _DM_IO_REQUEST_H
#define _DM_IO_REQUEST_H

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "dm-io.h"
#include "dm-io-test.h"

/* The largest table built for a wave, and the largest one borrowed. */
#define TABLE_VECS	BIO_MAX_VECS
#define BORROWED_VECS	USHRT_MAX

/* The table in each request: a page, wherever it starts in memory. */
#define REQUEST_VECS	2

enum buffer_kind {
	BUFFER_NONE,
	BUFFER_PAGES,
	BUFFER_BVEC,
	BUFFER_BIO,
	BUFFER_VMALLOC,		/* contiguous only virtually */
	BUFFER_LINEAR,
	NUM_BUFFER_KINDS,	/* none that there is */
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
	struct bvec_iter iter;		/* BVEC, BIO */
	unsigned int num_vecs;		/* BVEC, BIO: once measured */
};

/*
 * What the caller asked for, and what the check found out about it. The fast path
 * keeps what it uses of this in registers, and leaves the rest alone.
 */
struct io_call {
	const struct io_region *where;
	unsigned int num_regions;
	blk_opf_t opf;
	struct buffer buffer;
	union {				/* NULL: the call is synchronous */
		dm_io_lib_notify_fn fn;
		dm_io_result_fn result_fn;
	};
	void *context;
	int *errors;			/* the caller's, or NULL */

	/* Found by the check. */
	u64 bytes;			/* length of the longest live region */
	unsigned int block;		/* the largest logical block among them */

	bool has_result_fn;
	/* What the fast path does not touch. */
	u8 flags;
	unsigned short ioprio;
	bool flush;			/* REQ_OP_FLUSH: has no sectors */
	bool range;			/* has sectors, and moves no data */
	bool special;			/* see check_special() */
	bool odd;			/* a device may not take the buffer as it is */
	bool killed;
	bool reserve_empty;
	bool no_table;
	struct bio *bio;		/* the caller's, or NULL */
	unsigned long live;		/* regions to submit */
	unsigned long failed;		/* regions that failed */
	unsigned long unsupported;	/* because their device cannot do it */
};

/*
 * A bio, and what has to be known when it ends. A wave takes one of these for each
 * of its bios; what the whole call has in common is in the first one of all.
 */
struct io_request {
	struct io_request *next;	/* of this call, or of a list of free ones */
	struct block_device *bdev;	/* where the bio goes, whoever remaps it */
	sector_t sector;
	unsigned int region;

	atomic_t pending;		/* bios, and whoever submits more */
	unsigned long error;
	unsigned long unsupported;
	union {				/* NULL: context is a task that waits */
		dm_io_lib_notify_fn fn;
		dm_io_result_fn result_fn;
	};
	void *context;
	int *errors;			/* with HAS_ERRORS: the caller's */
	u64 start;			/* with HAS_START: of the clock */

	struct bio_vec *table;		/* with HAS_TABLE: to be freed */
	struct bio_vec bounce;		/* with HAS_BOUNCE */
	struct bvec_iter read;		/* what a failed read has to zero */
	u8 extras;			/* what else there is, or is to be done */
	u8 bounce_order;
	struct bio_vec *read_table;
	void *vmap_data;		/* with HAS_VMAP: to be invalidated */

	union {
		struct bio bio;
		struct {		/* once a read has failed */
			struct work_struct work;
			struct io_request *first;
		} zero;
	};
	struct bio_vec vecs[REQUEST_VECS];
};

/* Extras: members of a request that are not valid without them. */
#define HAS_TABLE	BIT(0)
#define HAS_BOUNCE	BIT(1)
#define HAS_VMAP	BIT(2)
/* Of the first request only: */
#define HAS_MORE	BIT(3)		/* next */
#define HAS_ERRORS	BIT(4)
#define HAS_START	BIT(5)
#define HAS_RESULT_FN	BIT(6)
#define ON_STACK	BIT(7)

/* A part of the buffer, as bios take it. */
struct chunk {
	struct bio_vec *table;
	unsigned int num_vecs;
	unsigned int bytes;
	struct bvec_iter iter;
};

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
	if (likely(!no_memory())) {				\
		_object = this_cpu_xchg(stash.slot, NULL);	\
		if (unlikely(!_object))				\
			_object = pool_alloc_slow(pool);	\
	}							\
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
	raw_spinlock_t lock;		/* protects what follows */
	struct io_request *first;
	unsigned int wanted;
	unsigned int missing;
	unsigned int users;
	bool warned;			/* that there is no reserve */
} reserve = {
	.lock = __RAW_SPIN_LOCK_UNLOCKED(reserve.lock),
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

/* GFP_NORETRY: a reserve is not worth invoking the OOM killer. */
static struct io_request *alloc_list(unsigned int num, struct io_request **last)
{
	struct io_request *first = NULL;

	*last = NULL;
	while (num--) {
		struct io_request *request = NULL;

		if (!no_memory())
			request = kmem_cache_alloc(requests.cache, GFP_KERNEL |
						   __GFP_NORETRY | __GFP_NOWARN);
		if (!request) {
			free_list(first);
			return NULL;
		}
		request->next = first;
		first = request;
		if (!*last)
			*last = request;
		cond_resched();
	}
	return first;
}

/*
 * Take up to @num requests out of the reserve. What is missing now need not come
 * back. Returns the number that were taken.
 */
static unsigned int shrink_reserve(unsigned int num)
{
	struct io_request *surplus = NULL;
	unsigned int taken = 0;

	do {
		unsigned int gone = 0;

		raw_spin_lock_irq(&reserve.lock);
		num = min(num, reserve.wanted);
		if (reserve.missing) {
			gone = min(num, reserve.missing);
			WRITE_ONCE(reserve.missing, reserve.missing - gone);
		} else if (num) {
			struct io_request *request = reserve.first;

			reserve.first = request->next;
			request->next = surplus;
			surplus = request;
			gone = 1;
		}
		WRITE_ONCE(reserve.wanted, reserve.wanted - gone);
		raw_spin_unlock_irq(&reserve.lock);
		num -= gone;
		taken += gone;
	} while (num);
	free_list(surplus);
	return taken;
}

static noinline struct io_request *take_reserved(void)
{
	struct io_request *request;
	unsigned long flags;

	raw_spin_lock_irqsave(&reserve.lock, flags);
	request = reserve.first;
	if (request) {
		reserve.first = request->next;
		WRITE_ONCE(reserve.missing, reserve.missing + 1);
	}
	raw_spin_unlock_irqrestore(&reserve.lock, flags);
	return request;
}

static noinline bool refill_reserve(struct io_request *request)
{
	unsigned long flags;
	bool missing;

	raw_spin_lock_irqsave(&reserve.lock, flags);
	missing = reserve.missing;
	if (missing) {
		request->next = reserve.first;
		reserve.first = request;
		WRITE_ONCE(reserve.missing, reserve.missing - 1);
	}
	raw_spin_unlock_irqrestore(&reserve.lock, flags);
	return missing;
}

/* The first call since dm_io_get() was due says so, and they all go on. */
static noinline void warn_no_reserve(void)
{
	if (!xchg(&reserve.warned, true))
		pr_warn("I/O without a reserve: its caller has not called dm_io_get()\n");
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

static void free_bounce(struct io_request *request)
{
	__free_pages(request->bounce.bv_page, request->bounce_order);
	request->extras &= ~HAS_BOUNCE;
}

/* A list of requests, and what each of them has. */
static noinline void free_requests(struct io_request *request)
{
	do {
		struct io_request *next = request->next;

		if (request->extras & HAS_TABLE)
			free_table(request->table);
		if (request->extras & HAS_BOUNCE)
			free_bounce(request);
		free_request(request);
		request = next;
	} while (request);
}

#endif
