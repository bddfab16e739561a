// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: block I/O for Device Mapper targets
 *
 * The way of a request is the order of this file: completion; the check, where calls
 * and regions are refused; the plan of the next chunk, part of which may go through
 * a bounce buffer; waves of bios; the fast path; and the public calls. What all of
 * them use is in headers: requests, the pools that they come from and the reserve
 * behind them; buffers, which become tables of bio_vecs; and what is counted.
 *
 * Check, plan and submission are written once. The fast path is an instance of
 * them for the calls that find everything as it should be: all regions are good,
 * the buffer fits one table, and memory is at hand. What turns out otherwise has
 * had no effect so far, and starts again on the slow path.
 *
 * Nothing here waits for memory. A request that finds neither memory nor a reserve
 * runs from its caller's stack, a logical block or so at a time, and waits for its
 * own I/O and for nothing else. So devices may be stacked on each other, all of
 * them users of this library, and none can hold what another one needs.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/ioprio.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"
#include "dm-io-request.h"
#include "dm-io-stats.h"
#include "dm-io-buffer.h"

#define CREATE_TRACE_POINTS
#include "dm-io-trace.h"

/*
 * One bio carries no more than this, so that a driver that works in submit_bio()
 * lets other tasks run now and then.
 */
#define CHUNK_BYTES	SZ_4M

/* An asynchronous call has so much of its buffer in flight without waiting. */
#define FLIGHT_BYTES	SZ_16M

/* What one bounce buffer holds. */
#define BOUNCE_BYTES	SZ_64K

/* On the stack: a logical block of 64 KiB, wherever it starts. */
#define STACK_VECS	(SZ_64K / PAGE_SIZE + 1)

/* So many pieces of a discard and its like are in flight at once. */
#define RANGE_BIOS	32U

#define COMMON_FLAGS	(REQ_SYNC | REQ_META | REQ_PRIO | REQ_IDLE |	\
			 REQ_BACKGROUND | REQ_RAHEAD | REQ_NOMERGE |	\
			 REQ_SWAP | REQ_FAILFAST_MASK)
#define WRITE_FLAGS	(COMMON_FLAGS | REQ_PREFLUSH | REQ_FUA)

EXPORT_TRACEPOINT_SYMBOL_GPL(dm_io_request_submit);
EXPORT_TRACEPOINT_SYMBOL_GPL(dm_io_bio_submit);
EXPORT_TRACEPOINT_SYMBOL_GPL(dm_io_region_fail);
EXPORT_TRACEPOINT_SYMBOL_GPL(dm_io_request_complete);
EXPORT_TRACEPOINT_SYMBOL_GPL(dm_io_reserve_empty);

#if IS_ENABLED(CONFIG_DM_IO_KUNIT_TEST)
bool dm_io_test_no_memory;
EXPORT_SYMBOL_GPL(dm_io_test_no_memory);
unsigned int dm_io_test_allocs;
EXPORT_SYMBOL_GPL(dm_io_test_allocs);
int dm_io_test_fail_after = -1;
EXPORT_SYMBOL_GPL(dm_io_test_fail_after);
#endif

/* What is zeroed outside of interrupt context, and submitted from another stack. */
static struct workqueue_struct *zero_queue, *deep_queue;

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

static void invalidate_vmaps(const struct io_request *request)
{
	for (; request; request = request->next)
		if (request->extras & HAS_VMAP)
			invalidate_kernel_vmap_range(request->vmap_data,
						     request->read.bi_size);
}

static noinline void end_with_extras(struct io_request *first)
{
	unsigned long unsupported = first->unsupported;
	unsigned long error = first->error;
	bool has_result_fn = first->extras & HAS_RESULT_FN;
	dm_io_result_fn result_fn = first->result_fn;
	dm_io_lib_notify_fn fn = first->fn;
	void *context = first->context;

	if (!(first->extras & HAS_MORE))
		first->next = NULL;
	invalidate_vmaps(first);
	if (first->extras & HAS_START)
		stop_clock(first);
	free_requests(first);
	if (has_result_fn)
		result_fn(error, unsupported & error, context);
	else
		fn(error, context);
}

static noinline void end_with_full_slot(void *object, unsigned long error,
					dm_io_lib_notify_fn fn, void *context)
{
	pool_free_slow(&requests, object);
	fn(error, context);
}

static __always_inline void end_async(struct io_request *first)
{
	dm_io_lib_notify_fn fn = first->fn;
	unsigned long error = first->error;
	void *context = first->context;
	u8 extras = first->extras;
	void *object;

	if (unlikely(extras & ~(HAS_TABLE | HAS_ERRORS) ||
		     READ_ONCE(reserve.missing)))
		return end_with_extras(first);
	if (extras & HAS_TABLE)
		free_table(first->table);
	object = this_cpu_xchg(request_stash.slot, (void *)first);
	if (unlikely(object))
		return end_with_full_slot(object, error, fn, context);
	fn(error, context);
}

/* Once the task sees this, @first may be gone, and the task itself soon after. */
static noinline void wake_waiter(struct io_request *first)
{
	struct task_struct *task = first->context;

	rcu_read_lock();
	/* Pairs with sleep_until_null(): what was done before is seen behind it. */
	smp_store_release(&first->context, NULL);
	wake_up_process(task);
	rcu_read_unlock();
}

static __always_inline void end_bio(struct io_request *first)
{
	if (!atomic_dec_and_test(&first->pending))
		return;
	if (first->fn)
		end_async(first);
	else
		wake_waiter(first);
}

/*
 * Sleep until somebody who has set a pointer to NULL wakes this task. A slow device
 * is no reason to report a hung task, so the task is seen to run now and then.
 */
static noinline void sleep_until_null(void *pointer)
{
	for (;;) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		/* Pairs with wake_waiter() and submit_deep(). */
		if (!smp_load_acquire((void **)pointer))
			break;
		io_schedule_timeout(HZ / 2);
	}
	__set_current_state(TASK_RUNNING);
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

	if (test_and_set_bit(request->region, &first->error))
		return;
	if (error == -EOPNOTSUPP)
		set_bit(request->region, &first->unsupported);
	report_failure(first, request->region, request->bdev, bio->bi_opf,
		       request->sector, error, errors);
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

static void zero_work(struct work_struct *work)
{
	struct io_request *request =
		container_of(work, struct io_request, zero.work);
	struct io_request *first = request->zero.first;

	zero_table(request->read_table, request->read, true);
	end_bio(first);
}

/*
 * What was not read must not pass for data. False if that takes longer than
 * interrupts may be held up for: then a worker goes on, or the task that waits.
 */
static bool zero_read(struct io_request *request, struct io_request *first)
{
	if (request->read.bi_size <= IRQ_BYTES) {
		zero_table(request->read_table, request->read, false);
		return true;
	}
	if (first->extras & ON_STACK)
		return true;
	request->zero.first = first;
	INIT_WORK(&request->zero.work, zero_work);
	queue_work(zero_queue, &request->zero.work);
	return false;
}

/* With the last bio, the requests may be gone. */
static noinline void end_bio_slowly(struct bio *bio)
{
	struct io_request *request = container_of(bio, struct io_request, bio);
	struct io_request *first = bio->bi_private;
	bool not_read = bio->bi_status && !op_is_write(bio->bi_opf);

	if (bio->bi_status)
		fail_bio(first, bio);
	bio_uninit(bio);
	if (!not_read || zero_read(request, first))
		end_bio(first);
}

static void region_end_io(struct bio *bio)
{
	if (unlikely(bio->bi_status || bio_holds_references(bio)))
		end_bio_slowly(bio);
	else
		end_bio(bio->bi_private);
}

/* Copy between a bounce buffer and a part of the caller's. */
static void copy_bounce(const struct bio_vec *bounce, const struct bio_vec *table,
			struct bvec_iter iter, bool from_bounce)
{
	char *data = page_address(bounce->bv_page);
	struct bvec_iter i;
	struct bio_vec vec;

	for_each_bvec(vec, table, i, iter) {
		if (from_bounce)
			memcpy_to_bvec(&vec, data);
		else
			memcpy_from_bvec(data, &vec);
		data += vec.bv_len;
	}
}

/* A read that went into a bounce buffer, which is no larger than IRQ_BYTES. */
static void bounced_end_io(struct bio *bio)
{
	struct io_request *request = container_of(bio, struct io_request, bio);

	if (!bio->bi_status)
		copy_bounce(&request->bounce, request->read_table,
			    request->read, true);
	region_end_io(bio);
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
		return !(flags & ~COMMON_FLAGS) && call->num_regions == 1;
	case REQ_OP_WRITE:
		return !(flags & ~(WRITE_FLAGS | ATOMIC_FLAG));
	case REQ_OP_FLUSH:
		/* To the block layer, a flush is a write of nothing. */
		call->opf = REQ_OP_WRITE | REQ_PREFLUSH | flags;
		call->flush = true;
		return !(flags & ~COMMON_FLAGS);
	case REQ_OP_DISCARD:
	case REQ_OP_SECURE_ERASE:
		call->range = true;
		return !(flags & ~COMMON_FLAGS);
	case REQ_OP_WRITE_ZEROES:
		call->range = true;
		return !(flags & ~(COMMON_FLAGS | REQ_NOUNMAP));
	default:
		return false;
	}
}

/*
 * Bits that tell whether a device may take a buffer as it is: if none of them is
 * set in an offset or a length of its pieces, each logical block lies within one
 * page and one piece, and no limit of the device can bind inside it. A block that
 * is larger than a page is always looked at.
 */
static __always_inline unsigned int plain_mask(struct block_device *bdev,
					       unsigned int block)
{
	return bdev_dma_alignment(bdev) | (block - 1);
}

static __always_inline bool is_odd(unsigned int bits, unsigned int mask)
{
	return mask & (bits | (unsigned int)PAGE_MASK);
}

/* Can this be done, whatever the buffer is? */
static __always_inline int check_region(const struct io_region *where,
					blk_opf_t opf, u8 flags,
					unsigned int block)
{
	sector_t num_sectors = bdev_nr_sectors(where->bdev);

	if (unlikely(where->count > num_sectors ||
		     where->sector > num_sectors - where->count))
		return -ERANGE;
	if (unlikely((where->sector | where->count) << SECTOR_SHIFT &
		     (block - 1)))
		return -EINVAL;
	if (op_is_write(opf) && unlikely(bdev_read_only(where->bdev)) &&
	    !(flags & DM_IO_READ_ONLY_OK))
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
static int check_special(const struct io_call *call, unsigned int region)
{
	struct block_device *bdev = call->where[region].bdev;

	if (call->range)
		return range_limit(bdev, call->opf) ? 0 : -EOPNOTSUPP;
	if (call->bio && !integrity_fits(call->bio, bdev))
		return -EOPNOTSUPP;
	if (call->opf & ATOMIC_FLAG)
		return check_atomic(call, region);
	return 0;
}

/* Why nothing can be submitted for a region, or 0. */
static noinline int region_error(const struct io_call *call, unsigned int region)
{
	const struct io_region *where = &call->where[region];
	int error = check_region(where, call->opf, call->flags,
				 bdev_logical_block_size(where->bdev));

	return error || !call->special ? error : check_special(call, region);
}

/*
 * A region without data: ignored, unless it is a flush.
 */
static noinline int check_empty(struct io_call *call, unsigned int region)
{
	const struct io_region *where = &call->where[region];

	if (!where->bdev)
		return where->count ? -EINVAL : 0;
	if (call->opf & REQ_PREFLUSH)
		call->live |= BIT(region);
	return 0;
}

/* Something is wrong with a region, or may be. */
static noinline int check_bad_region(struct io_call *call, unsigned int region)
{
	int error = region_error(call, region);

	/* What cannot be atomic must not be anything else. */
	if (error == -EINVAL && call->opf & ATOMIC_FLAG)
		return error;
	if (error)
		call->failed |= BIT(region);
	if (error == -EOPNOTSUPP)
		call->unsupported |= BIT(region);
	return 0;
}

/*
 * Look at all regions. On the fast path, anything that is not as usual is refused;
 * on the slow path, -EINVAL means that the call makes no sense. @total and
 * @mask, see plain_mask(), are of all regions that are good.
 */
static __always_inline int check_regions(struct io_call *call, u64 *total,
					 unsigned int *mask, const bool fast)
{
	unsigned int region = 0;

	*total = 0;
	call->bytes = 0;
	call->block = SECTOR_SIZE;
	*mask = 0;
	do {
		const struct io_region *where = &call->where[region];
		unsigned int block;
		u64 bytes;

		if (unlikely(!where->count || (!fast && call->flush))) {
			if (fast || check_empty(call, region))
				return -EINVAL;
			continue;
		}
		if (unlikely(!where->bdev))
			return -EINVAL;
		block = bdev_logical_block_size(where->bdev);
		if (unlikely(check_region(where, call->opf,
					  fast ? 0 : call->flags, block) ||
			     (!fast && call->special))) {
			if (fast || check_bad_region(call, region))
				return -EINVAL;
			if (call->failed & BIT(region))
				continue;
		}
		bytes = (u64)where->count << SECTOR_SHIFT;
		call->bytes = max(call->bytes, bytes);
		*total += bytes;
		*mask |= plain_mask(where->bdev, block);
		if (!fast) {
			call->block = max(call->block, block);
			call->live |= BIT(region);
		}
	} while (++region < call->num_regions);
	return 0;
}

/* Is there a buffer of this length, and which bits are set in its layout? */
static __always_inline bool check_buffer(struct buffer *buffer, u64 bytes,
					 unsigned int *bits)
{
	switch (buffer->kind) {
	case BUFFER_PAGES:
		*bits = buffer->offset;
		return likely(*bits < PAGE_SIZE);
	case BUFFER_BIO:
		if (bytes > buffer->iter.bi_size)
			return false;
		fallthrough;
	case BUFFER_BVEC:
		return measure_vecs(buffer, bytes, bits);
	case BUFFER_LINEAR:
		*bits = offset_in_page(buffer->data);
		return is_linear_memory(buffer->data, bytes);
	default:
		*bits = offset_in_page(buffer->data);
		return true;
	}
}

/*
 * The bytes of data that the call speaks of, also for regions that fail. A count that
 * is longer than its device says nothing about the buffer, and neither does a region
 * beyond the end that is to be written; but what a read was to fill is zeroed.
 */
static u64 described_bytes(const struct io_call *call)
{
	bool write = op_is_write(call->opf);
	unsigned int region;
	u64 bytes = 0;

	for (region = 0; region < call->num_regions; region++) {
		const struct io_region *where = &call->where[region];
		sector_t end;

		if (!where->count)
			continue;
		end = bdev_nr_sectors(where->bdev);
		if (where->count <= end &&
		    (!write || where->sector <= end - where->count))
			bytes = max(bytes, region_bytes(call, region));
	}
	return bytes;
}

/*
 * The slow path's check. It allocates and submits nothing; what only the first
 * chunk shows is found by run_data(). Afterwards the call, which was all zero,
 * knows its live regions and the length of its buffer.
 */
static noinline int check_call(struct io_call *call)
{
	unsigned int bits, mask;
	u64 total;

	if (unlikely(call->num_regions - 1 >= BITS_PER_LONG || !call->where))
		return -EINVAL;
	if (!check_opf(call))
		return -EINVAL;
	call->special = call->range || (call->opf & ATOMIC_FLAG) ||
			(call->bio && bio_integrity(call->bio));
	if (check_regions(call, &total, &mask, false))
		return -EINVAL;
	if (call->flush || call->range) {
		call->buffer.kind = BUFFER_NONE;
		return 0;
	}

	/* Is there any data? */
	if (call->bytes || call->failed) {
		u64 bytes = described_bytes(call);

		if (!call->buffer.data)
			return -EINVAL;
		if (call->bytes &&
		    !check_buffer(&call->buffer, call->bytes, &bits))
			return -EINVAL;
		if (call->buffer.kind == BUFFER_PAGES &&
		    call->buffer.offset >= PAGE_SIZE)
			return -EINVAL;
		/* Also for the regions that fail. */
		if (bytes > call->bytes &&
		    !walk_buffer(call->buffer, bytes, false))
			return -EINVAL;
	}
	if (call->bytes)
		call->odd = is_odd(bits, mask);
	else if (op_is_write(call->opf))
		call->buffer.kind = BUFFER_NONE;
	return 0;
}

/*
 * What a device can take as it is, and the bounce buffer for what it cannot
 */

/* The segments that a piece of memory becomes. */
static unsigned int count_segments(struct request_queue *queue, phys_addr_t start,
				   unsigned int len)
{
	unsigned long boundary = queue_segment_boundary(queue);
	unsigned int num = 0;

	while (len) {
		unsigned long room = boundary - (start & boundary);
		unsigned int part = min(len, queue_max_segment_size(queue));

		if (part - 1 > room)
			part = room + 1;
		start += part;
		len -= part;
		num++;
	}
	return num;
}

/*
 * Can a device take @bytes from @iter on, a logical block, in one request? Its
 * driver is never given a part of a block, but the block layer splits a bio where
 * a limit binds. Within the block there may be no gap at the virtual boundary, and
 * no more segments than the device has.
 *
 * Drivers with the default DMA alignment of a sector take it for granted that what
 * lies within a page is made of whole logical blocks: otherwise brd, null_blk and
 * zram store wrong data and report success.
 */
static bool block_fits(struct block_device *bdev, const struct bio_vec *table,
		       struct bvec_iter iter, unsigned int bytes,
		       unsigned int block)
{
	struct request_queue *queue = bdev_get_queue(bdev);
	unsigned long gap = queue_virt_boundary(queue);
	unsigned int mask = bdev_dma_alignment(bdev);
	unsigned int num = 0, end = 0;

	if (mask >= SECTOR_SIZE - 1)
		mask |= (block - 1) & ~PAGE_MASK;
	while (bytes) {
		struct bio_vec vec = mp_bvec_iter_bvec(table, iter);
		unsigned int len = min(vec.bv_len, bytes);

		if ((vec.bv_offset | len) & mask)
			return false;
		if (num && ((end | vec.bv_offset) & gap))
			return false;
		end = vec.bv_offset + len;
		num += count_segments(queue, page_to_phys(vec.bv_page) +
				      vec.bv_offset, len);
		bvec_iter_advance(table, &iter, len);
		bytes -= len;
	}
	return num <= queue_max_segments(queue);
}

/*
 * How many of @bytes from the start of a chunk on are alike, in that the device can
 * take each of their logical blocks as it is (@fits), or can take none of them? If
 * @all is set, all of the chunk is looked at, and *@all says if it all fits.
 */
static unsigned int alike_bytes(const struct io_call *call,
				struct block_device *bdev,
				const struct chunk *chunk, unsigned int bytes,
				bool *fits, bool *all)
{
	unsigned int block = bdev_logical_block_size(bdev);
	struct bvec_iter iter = chunk->iter;
	unsigned int done, alike = 0;

	for (done = 0; done < bytes; done += call->block) {
		unsigned int len = min(bytes - done, call->block);
		unsigned int i;
		bool good = true;

		for (i = 0; i < len; i += block) {
			good = good && block_fits(bdev, chunk->table, iter,
						  block, block);
			bvec_iter_advance(chunk->table, &iter, block);
		}
		if (!done)
			*fits = good;
		if (all)
			*all &= good;
		if (!alike && (good != *fits || (!good && done >= BOUNCE_BYTES)))
			alike = done;
		if (alike && !all)
			break;
		cond_resched();
	}
	return alike ?: bytes;
}

/* The bytes of a chunk that go to a region. */
static __always_inline unsigned int
chunk_bytes(const struct io_call *call, unsigned int region,
	    const struct chunk *chunk, u64 done)
{
	return min_t(u64, chunk->bytes, region_bytes(call, region) - done);
}

/*
 * Make the chunk so short that each region can take all of it as it is, or nothing
 * of it. Returns those that can take nothing. At the start of a call, @odd gets those
 * that cannot take all of it.
 */
static noinline unsigned long
shorten_chunk(const struct io_call *call, struct chunk *chunk,
	      unsigned long regions, u64 done, unsigned long *odd)
{
	unsigned int least = chunk->bytes;
	unsigned long bounced = 0;

	for (; regions; regions &= regions - 1) {
		unsigned int region = __ffs(regions);
		unsigned int bytes = chunk_bytes(call, region, chunk, done);
		bool fits = true, all = true;
		unsigned int alike;

		alike = alike_bytes(call, call->where[region].bdev, chunk, bytes,
				    &fits, odd ? &all : NULL);
		if (alike < bytes)
			least = min(least, alike);
		if (!fits)
			bounced |= BIT(region);
		if (odd && !all)
			*odd |= BIT(region);
	}
	chunk->bytes = least;
	chunk->iter.bi_size = least;
	return bounced;
}

/* Is this more than the device can write in one go? */
static noinline bool splits_atomic(const struct io_call *call,
				   const struct chunk *chunk)
{
	unsigned long regions;

	for (regions = call->live; regions; regions &= regions - 1) {
		unsigned int region = __ffs(regions);
		struct block_device *bdev = call->where[region].bdev;
		unsigned int bytes = region_bytes(call, region);

		if (bytes && !block_fits(bdev, chunk->table, chunk->iter, bytes,
					 bdev_logical_block_size(bdev)))
			return true;
	}
	return false;
}

/*
 * A bounce buffer in @head, where an earlier one may be used again. It is contiguous,
 * so that it suits any device. False if there is no memory.
 */
static noinline bool alloc_bounce(const struct io_call *call, struct io_request *head)
{
	unsigned int least = get_order(call->block), order;
	struct page *page = NULL;

	if (head->extras & HAS_BOUNCE)
		return true;
	order = max_t(unsigned int, least,
		      get_order(min_t(u64, BOUNCE_BYTES, call->bytes)));
	while (!no_memory()) {
		page = alloc_pages(GFP_NOWAIT | __GFP_NOWARN, order);
		if (page || order == least)
			break;
		order--;
	}
	if (!page)
		return false;
	head->bounce_order = order;
	head->extras |= HAS_BOUNCE;
	bvec_set_page(&head->bounce, page, PAGE_SIZE << order, 0);
	return true;
}

/* The same for what comes first in the chunk, which is shortened to what it holds. */
static noinline bool fill_bounce(const struct io_call *call,
				 struct io_request *head, struct chunk *chunk)
{
	if (!alloc_bounce(call, head))
		return false;
	chunk->bytes = min3(chunk->bytes, head->bounce.bv_len, IRQ_BYTES);
	chunk->iter.bi_size = chunk->bytes;
	if (op_is_write(call->opf))
		copy_bounce(&head->bounce, chunk->table, chunk->iter, false);
	return true;
}

/*
 * Bios and waves of them
 */

static __always_inline void
set_bio(struct io_request *request, struct io_request *first,
	unsigned int region, struct block_device *bdev, sector_t sector)
{
	request->bdev = bdev;
	request->sector = sector;
	request->region = region;
	request->bio.bi_iter.bi_sector = sector;
	request->bio.bi_end_io = region_end_io;
	request->bio.bi_private = first;
}

/* @source: what it inherits from, or NULL. */
static __always_inline void
init_bio(struct io_request *request, struct block_device *bdev, blk_opf_t opf,
	 const struct chunk *chunk, unsigned int bytes, struct bio *source)
{
	struct bio *bio = &request->bio;

	bio_init(bio, source ? NULL : bdev, chunk->table, chunk->num_vecs, opf);
	bio->bi_vcnt = chunk->num_vecs;
	bio->bi_iter.bi_bvec_done = chunk->iter.bi_bvec_done;
	bio->bi_iter.bi_size = bytes;
	if (source)
		bio_inherit(bio, bdev, source);
}

/*
 * A bio with an encryption context or integrity data has to be cloned. False if
 * there is no memory for that.
 */
static bool clone_bio(struct io_request *request, struct block_device *bdev,
		      blk_opf_t opf, struct bio *source, u64 done,
		      unsigned int bytes)
{
	struct bio *bio = &request->bio;

	if (no_memory() || bio_init_clone(bdev, bio, source, GFP_NOIO))
		return false;
	/* That @source went through a partition says nothing about this one. */
	bio_clear_flag(bio, BIO_REMAPPED);
	opf |= bio->bi_opf & REQ_INTEGRITY;
	/* An atomic write is none yet: bio_trim() would refuse it. */
	bio->bi_opf = opf & ~ATOMIC_FLAG;
	if (done || bytes < bio->bi_iter.bi_size)
		bio_trim(bio, done >> SECTOR_SHIFT, bytes >> SECTOR_SHIFT);
	bio->bi_opf = opf;
	return true;
}

/* Have a bio use a bounce buffer in the place of what it has. */
static void redirect_bio(struct bio *bio, struct bio_vec *bounce)
{
	bio->bi_io_vec = bounce;
	bio->bi_vcnt = 1;
	bio->bi_max_vecs = 1;
	bio->bi_iter.bi_idx = 0;
	bio->bi_iter.bi_bvec_done = 0;
	if (!op_is_write(bio->bi_opf))
		bio->bi_end_io = bounced_end_io;
}

/* Send what was made ready; with the last bio, the requests may be gone. */
static __always_inline void
submit_bios(struct io_request *request, struct io_request *first, unsigned int num,
	    const bool may_have_failed)
{
	struct io_request *next = request;

	do {
		request = next;
		next = request->next;
		if (trace_dm_io_bio_submit_enabled())
			trace_bio(request, first);
		/* A clone for which there was no memory has a status by now. */
		if (may_have_failed && unlikely(request->bio.bi_status))
			region_end_io(&request->bio);
		else
			submit_bio(&request->bio);
	} while (--num);
}

/* A plug is a large thing, so this is apart. */
static noinline void submit_plugged(struct io_request *request,
				    struct io_request *first, unsigned int num)
{
	struct blk_plug plug __uninitialized;

	blk_start_plug(&plug);
	submit_bios(request, first, num, true);
	blk_finish_plug(&plug);
}

/* Before anything is submitted that has to be waited for. */
static __always_inline void prepare_wait(struct io_request *first)
{
	first->fn = NULL;
	first->context = current;
}

/* What is left to the task that waited. */
static noinline void finish_reads(struct io_request *first)
{
	struct io_request *request;

	/* See zero_read(). */
	if (first->extras & ON_STACK && first->bio.bi_status &&
	    !op_is_write(first->bio.bi_opf) && first->read.bi_size > IRQ_BYTES)
		zero_table(first->read_table, first->read, true);
	invalidate_vmaps(first);
	for (request = first; request; request = request->next)
		request->extras &= ~HAS_VMAP;
}

/* Wait for all bios of the call that are in flight. */
static __always_inline void await_waves(struct io_request *first)
{
	if (!atomic_dec_and_test(&first->pending))
		sleep_until_null(&first->context);
	if (unlikely(first->error) || unlikely(first->extras & HAS_VMAP))
		finish_reads(first);
}

static noinline void drain(struct io_request *first)
{
	prepare_wait(first);
	await_waves(first);
	atomic_set(&first->pending, 1);
}

/* The last wave is on its way, or is about to be: nobody waits any more. */
static void hand_over(const struct io_call *call, struct io_request *first)
{
	if (call->has_result_fn)
		first->result_fn = call->result_fn;
	else
		first->fn = call->fn;
	first->context = call->context;
}

/* A region that will not be gone on with, unless it has failed already. */
static noinline void give_up(struct io_request *first,
			     const struct io_call *call, unsigned int region,
			     sector_t done, int error)
{
	const struct io_region *where = &call->where[region];

	if (!test_and_set_bit(region, &first->error))
		report_failure(first, region, where->bdev, call->opf,
			       where->sector + done, error, call->errors);
}

static bool is_killed(struct io_call *call)
{
	if (likely(!(call->flags & DM_IO_KILLABLE)) ||
	    !fatal_signal_pending(current))
		return false;
	call->killed = true;
	return true;
}

/* What a failed read has to zero, and any read to invalidate. */
static __always_inline void
note_read(struct io_request *request, blk_opf_t opf, const struct buffer *buffer,
	  const struct chunk *chunk)
{
	if (op_is_write(opf))
		return;
	request->read = chunk->iter;
	request->read.bi_size = chunk->bytes;
	request->read_table = chunk->table;
	if (buffer->kind == BUFFER_VMALLOC) {
		request->extras |= HAS_VMAP;
		request->vmap_data = buffer->data;
	}
}

/* Nothing refuses the call any more: from here on it is accounted for. */
static __always_inline void account_call(const struct io_call *call, blk_opf_t opf,
					 u64 total)
{
	count_request(opf, total);
	if (call->errors) {
		call->errors[0] = 0;
		if (call->num_regions > 1)
			memset(call->errors, 0,
			       call->num_regions * sizeof(*call->errors));
	}
}

/* The request is about to be on its way. */
static __always_inline void
start_request(const struct io_call *call, struct io_request *first,
	      const struct io_region *where, u64 total, const bool async)
{
	if (call->errors) {
		first->extras |= HAS_ERRORS;
		first->errors = call->errors;
	}
	if (trace_dm_io_request_complete_enabled())
		start_clock(first);
	if (trace_dm_io_request_submit_enabled())
		trace_submit(first, call->num_regions, where, call->opf, total,
			     async);
}

/*
 * The slow path: the run of a call, wave by wave
 */

/* The regions that failed in the check. The call goes ahead without these. */
static noinline void report_failed(const struct io_call *call,
				   const struct io_request *first)
{
	unsigned long regions;

	for (regions = call->failed; regions; regions &= regions - 1) {
		unsigned int region = __ffs(regions);
		const struct io_region *where = &call->where[region];
		/* Its device may have changed since. */
		int error = region_error(call, region) ?: -EIO;

		report_failure(first, region, where->bdev, call->opf,
			       where->sector, error, call->errors);
	}
}

/* The same with all that may be unusual; @first is NULL if no region is live. */
static noinline void start_run(const struct io_call *call, struct io_request *first)
{
	/* An empty write with REQ_PREFLUSH is a flush by another name. */
	bool flush = call->flush || (call->live && !call->bytes);
	unsigned long regions;
	u64 total = 0;

	for (regions = call->flush ? 0 : call->live; regions; regions &= regions - 1)
		total += region_bytes(call, __ffs(regions));
	account_call(call, flush ? REQ_OP_FLUSH : call->opf, total);
	if (first) {
		atomic_set(&first->pending, 1);
		first->error = call->failed;
		first->unsupported = call->unsupported;
		if (call->has_result_fn)
			first->extras |= HAS_RESULT_FN;
		start_request(call, first, &call->where[__ffs(call->live)], total,
			      call->fn);
	}
	if (unlikely(call->failed))
		report_failed(call, first);
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

/* The number of entries that a table for the rest of the call may need. */
static unsigned int table_vecs(const struct io_call *call, u64 left)
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
	return min_t(u64, (left + offset + PAGE_SIZE - 1) >> PAGE_SHIFT,
		     TABLE_VECS);
}

/*
 * Up to @num requests in front of those that @head has behind it. The reserve is
 * there for what cannot do with less.
 */
static noinline unsigned int add_requests(struct io_request *head, unsigned int num,
					  bool from_reserve)
{
	unsigned int added;

	for (added = 0; added < num; added++) {
		struct io_request *request = from_reserve ? alloc_request() :
							    pool_request();

		if (!request)
			break;
		request->extras = 0;
		request->next = head->next;
		head->next = request;
	}
	return added;
}

/* Memory for another wave, behind @skip requests of the call. NULL if there is none. */
static struct io_request *
add_wave(const struct io_call *call, struct io_request *last, unsigned int skip,
	 unsigned int num, u64 left)
{
	struct io_request *head = pool_request(), *more;

	if (!head)
		return NULL;
	head->extras = 0;
	head->next = NULL;
	if (table_vecs(call, left) > REQUEST_VECS) {
		head->table = alloc_table();
		if (!head->table)
			goto undo;
		head->extras |= HAS_TABLE;
	}
	if (add_requests(head, num - 1, false) < num - 1)
		goto undo;
	while (--skip)
		last = last->next;
	more = last->next;
	last->next = head;
	while (head->next)
		head = head->next;
	head->next = more;
	return last->next;
undo:
	free_requests(head);
	return NULL;
}

/* Make a bio for a part of a chunk ready. */
static void prepare_region(const struct io_call *call, struct io_request *request,
			   struct io_request *first, unsigned int region,
			   const struct chunk *chunk, u64 done, bool flushed,
			   struct bio_vec *bounce)
{
	const struct io_region *where = &call->where[region];
	struct bio *bio = &request->bio;
	unsigned int bytes = 0;
	sector_t sector = 0;
	blk_opf_t opf = call->opf;
	bool good = true;

	/* A flush has no sector: some kernels reject one off the blocks. */
	if (!call->flush && where->count) {
		bytes = chunk_bytes(call, region, chunk, done);
		sector = where->sector + (done >> SECTOR_SHIFT);
	}
	/* What was flushed before the first chunk need not be once more. */
	if (flushed)
		opf &= ~REQ_PREFLUSH;
	/* A flush alone is not written. */
	if (!bytes)
		opf &= ~ATOMIC_FLAG;

	if (bytes && call->bio && bio_has_context(call->bio))
		good = clone_bio(request, where->bdev, opf, call->bio, done,
				 bytes);
	else
		init_bio(request, where->bdev, opf, chunk, bytes, call->bio);
	set_bio(request, first, region, where->bdev, sector);
	if (!good) {
		bio_init(bio, where->bdev, NULL, 0, opf);
		set_bio(request, first, region, where->bdev, sector);
		bio->bi_status = BLK_STS_RESOURCE;
		return;
	}
	if (bounce)
		redirect_bio(bio, bounce);
	if (call->ioprio)
		bio->bi_ioprio = call->ioprio;
}

/* Is a page list as long as the caller says, behind its first chunk, too? */
static bool pages_suffice(const struct buffer *buffer, const struct chunk *chunk,
			  const struct page_list *node, u64 bytes)
{
	u64 num = (buffer->offset + bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;

	for (num -= PAGE_ALIGN(buffer->offset + chunk->bytes) >> PAGE_SHIFT;
	     num && node && node->page; num--)
		node = node->next;
	return !num;
}

/*
 * Ranges go round the regions, a piece of each one at a time, so that all devices
 * are at work.
 */
struct range_cursor {
	unsigned long regions;		/* that are not done */
	unsigned int region;		/* the last one that was served */
	sector_t done[BITS_PER_LONG];	/* in sectors, by region */
};

/*
 * A call on the slow path, from one wave to the next. It is on the stack while
 * lower devices work, so what can be worked out again is not kept.
 */
struct run {
	struct io_call *call;
	struct io_request *first;	/* of the call */
	struct io_request *wave;	/* first of the wave that is next */
	union {
		struct bio_vec *stack_table;	/* a large one, or NULL */
		struct range_cursor *ranges;
	};
	unsigned long to_send;		/* regions that still have to get the chunk */
	unsigned long bounced;		/* those of them that get it out of a bounce */
	u64 done;			/* bytes in front of the chunk */
	struct chunk chunk;
	unsigned int in_flight;		/* bytes of the buffer */
	u8 num_first;			/* requests of the first wave */
	bool async;			/* its last wave is not waited for */
	bool flushed;			/* REQ_PREFLUSH has been done */
	bool last;			/* there is no other wave */
};

/*
 * Plan what comes next, with the table that the wave has, or with a larger one on
 * the stack. An error if there is nothing that could be submitted.
 */
static int plan_chunk(const struct run *run, struct chunk *chunk, bool at_start,
		      struct page_list **next)
{
	const struct io_call *call = run->call;
	struct io_request *wave = run->wave;
	u64 left = call->bytes - run->done;
	bool atomic = call->opf & ATOMIC_FLAG;
	unsigned int most = min_t(unsigned int, CHUNK_BYTES,
				  FLIGHT_BYTES - run->in_flight);
	unsigned int bytes = min_t(u64, left, atomic ? SZ_1G : most);
	struct bio_vec *table = wave->vecs;
	unsigned int max_vecs = REQUEST_VECS;

	if (wave->extras & HAS_TABLE) {
		table = wave->table;
		max_vecs = TABLE_VECS;
	} else if (run->stack_table) {
		table = run->stack_table;
		max_vecs = STACK_VECS;
	}
	/* What is in front of a hole may be all that some region needs. */
	if (!next_chunk(&call->buffer, chunk, bytes, table, max_vecs, next) &&
	    (at_start || !chunk->bytes))
		return at_start ? -EINVAL : -EFAULT;
	if (chunk->bytes < left) {
		if (atomic)
			return max_vecs < table_vecs(call, left) ? -ENOMEM :
								   -EINVAL;
		if (at_start && call->buffer.kind == BUFFER_PAGES &&
		    !pages_suffice(&call->buffer, chunk, *next, left))
			return -EINVAL;
		/* A table that is full within a block gives that block back. */
		if (chunk->bytes % call->block) {
			*next = NULL;
			chunk->bytes = round_down(chunk->bytes, call->block);
			chunk->iter.bi_size = chunk->bytes;
		}
		if (!chunk->bytes)
			return -EFAULT;
	}
	if (atomic && chunk->bytes && splits_atomic(call, chunk))
		return -EINVAL;
	return 0;
}

/* What is left of a call will not be done. */
static void stop_run(const struct run *run, unsigned long regions, int error)
{
	const struct io_call *call = run->call;

	if (!op_is_write(call->opf))
		walk_buffer(call->buffer, call->bytes - run->done, true);
	for (; regions; regions &= regions - 1)
		give_up(run->first, call, __ffs(regions),
			run->done >> SECTOR_SHIFT, error);
}

/*
 * Wait for all waves, and go back to the memory of the first one.
 */
static void rewind_waves(struct run *run)
{
	struct io_request *last = run->first;
	unsigned int i;

	drain(run->first);
	run->wave = run->first;
	run->in_flight = 0;
	run->flushed = run->done > 0;
	if (run->call->range)
		return;
	for (i = 1; i < run->num_first; i++)
		last = last->next;
	if (last->next)
		free_requests(last->next);
	last->next = NULL;
}

static noinline void note_shortage(const struct io_call *call)
{
	this_cpu_inc(io_stats.on_stack);
	if (call->reserve_empty) {
		this_cpu_inc(io_stats.reserve_empty);
		trace_dm_io_reserve_empty(READ_ONCE(reserve.wanted));
	}
}

/*
 * Make bios of the chunk ready for as many regions as the wave has requests. A wave
 * that was added has one for each.
 */
static unsigned int fill_wave(struct run *run)
{
	struct io_request *request = run->wave;
	unsigned int num = 0;

	do {
		unsigned int region = __ffs(run->to_send);

		prepare_region(run->call, request, run->first, region,
			       &run->chunk, run->done, run->flushed,
			       run->bounced & BIT(region) ?
			       &run->wave->bounce : NULL);
		run->to_send &= run->to_send - 1;
		request = request->next;
		num++;
	} while (run->to_send &&
		 (run->wave != run->first || num < run->num_first));
	run->last = !run->to_send &&
		    run->done + run->chunk.bytes == run->call->bytes;
	return num;
}

/*
 * What comes behind the chunk that is on its way. False if nothing does. An
 * asynchronous call waits only when it has enough in flight, or finds no memory for
 * another wave: then it goes on with that of its first one.
 */
static bool advance_run(struct run *run)
{
	struct io_call *call = run->call;
	struct io_request *wave = NULL;

	if (run->last)
		return false;
	run->done += run->chunk.bytes;
	run->in_flight += run->chunk.bytes;
	run->to_send = regions_beyond(call, run->done);
	/* One flush is enough, if nothing overtakes it. */
	if (run->async && run->in_flight < FLIGHT_BYTES &&
	    (run->flushed || !(call->opf & REQ_PREFLUSH)))
		wave = add_wave(call, run->first, run->num_first,
				hweight_long(run->to_send),
				call->bytes - run->done);
	if (wave)
		run->wave = wave;
	else
		rewind_waves(run);
	/*
	 * Behind data that was not written, or not flushed, nothing may follow.
	 * What can still be read, should be.
	 */
	if (op_is_write(call->opf))
		run->to_send &= ~READ_ONCE(run->first->error);
	if (!run->to_send)
		return false;
	if (is_killed(call)) {
		stop_run(run, run->to_send, -EINTR);
		return false;
	}
	cond_resched();
	return true;
}

/*
 * Make the next wave ready. Returns its number of bios, 0 if there is nothing more
 * to send, and an error if the call is refused after all.
 */
static noinline int next_data_wave(struct run *run)
{
	struct io_call *call = run->call;
	struct page_list *next = NULL;
	bool at_start = !run->wave;
	unsigned int planned;
	unsigned long failed, odd;
	int error;

	if (at_start) {
		run->wave = run->first;
		run->to_send = call->live;
	} else if (run->to_send) {
		rewind_waves(run);
		return fill_wave(run);
	} else if (!advance_run(run)) {
		return 0;
	}

	for (;;) {
		error = plan_chunk(run, &run->chunk, at_start, &next);
		if (error == -EINVAL && at_start)
			return error;
		if (at_start)
			start_run(call, run->first);
		at_start = false;
		if (error) {
			stop_run(run, run->to_send, error);
			return 0;
		}
		planned = run->chunk.bytes;
		run->bounced = 0;
		if (likely(!call->odd) || call->opf & ATOMIC_FLAG)
			break;
		odd = 0;
		run->bounced = shorten_chunk(call, &run->chunk, run->to_send,
					     run->done, run->done ? NULL : &odd);
		/* A region that will need a bounce buffer gets it first or fails. */
		failed = odd;
		if (failed && alloc_bounce(call, run->wave))
			failed = 0;
		if (!failed && run->bounced &&
		    !fill_bounce(call, run->wave, &run->chunk))
			failed = run->bounced;
		if (!failed)
			break;
		/* That of the first wave may be used again. */
		if (run->wave != run->first) {
			rewind_waves(run);
			continue;
		}
		stop_run(run, failed, -ENOMEM);
		call->live &= ~failed;
		run->to_send &= ~failed;
		if (!run->to_send)
			return 0;
		/* Without these, the chunk need not be so short. */
	}

	/* What a table could not hold, or was cut off since, is found again. */
	note_read(run->wave, call->opf, &call->buffer, &run->chunk);
	if (run->done + run->chunk.bytes < call->bytes)
		advance_buffer(&call->buffer, run->chunk.bytes,
			       run->chunk.bytes == planned ? next : NULL);
	return fill_wave(run);
}

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
	struct chunk no_data = { };

	*done += sectors;
	if (*done == where->count)
		cursor->regions &= ~BIT(region);

	init_bio(request, where->bdev, call->opf, &no_data,
		 sectors << SECTOR_SHIFT, call->bio);
	set_bio(request, first, region, where->bdev, sector);
	if (call->ioprio)
		request->bio.bi_ioprio = call->ioprio;
}

/*
 * The same for ranges. All bios of a wave are made before the first is submitted:
 * how many it takes depends on the limits of the devices, which may change at any
 * time.
 */
static noinline int next_range_wave(struct run *run)
{
	struct io_request *first = run->first, *request = first;
	struct range_cursor *cursor = run->ranges;
	struct io_call *call = run->call;
	unsigned int num = 0;

	if (!run->wave) {
		run->wave = first;
		start_ranges(call, cursor);
		start_run(call, first);
	} else {
		rewind_waves(run);
		while (is_killed(call) && next_range(first, cursor))
			give_up(first, call, cursor->region,
				cursor->done[cursor->region], -EINTR);
		cond_resched();
	}
	while (num < run->num_first && next_range(first, cursor)) {
		prepare_range(call, request, first, cursor);
		request = request->next;
		num++;
	}
	run->last = !cursor->regions;
	return num;
}

static void call_back(const struct io_call *call)
{
	if (call->has_result_fn)
		call->result_fn(call->failed, call->unsupported, call->context);
	else
		call->fn(call->failed, call->context);
}

/* A request of the pool, or the one on the stack, and what else the waves need. */
static noinline void start_waves(struct run *run, struct io_request *on_stack)
{
	struct io_call *call = run->call;
	struct io_request *first = NULL;
	unsigned int wanted;

	if (unlikely(!READ_ONCE(reserve.wanted)))
		warn_no_reserve();
	if (call->fn) {
		first = alloc_request();
		call->reserve_empty = !first;
	}
	run->async = first;
	if (!first)
		first = on_stack;
	first->extras = run->async ? HAS_MORE : ON_STACK;
	first->next = NULL;
	first->bio.bi_status = BLK_STS_OK;
	run->first = first;
	if (table_vecs(call, call->bytes) > REQUEST_VECS) {
		first->table = alloc_table();
		if (first->table)
			first->extras |= HAS_TABLE;
		else
			call->no_table = true;
	}
	/* Ranges are content with less, and leave the reserve alone. */
	wanted = call->range ? count_ranges(call, RANGE_BIOS) :
			       hweight_long(call->live);
	wanted = min_t(unsigned int, wanted, call->range ? RANGE_BIOS : BITS_PER_LONG);
	run->num_first = 1 + add_requests(first, wanted - 1, !call->range);
	if (!call->range && run->num_first < wanted)
		call->reserve_empty = true;
	if (unlikely(call->reserve_empty || call->no_table))
		note_shortage(call);
}

/* All waves have ended, or @error has refused the call. */
static noinline void end_waves(struct run *run, int error)
{
	struct io_request *first = run->first;
	struct io_call *call = run->call;

	if (run->async && !error) {
		hand_over(call, first);
		end_bio(first);
		return;
	}
	if (!error) {
		drain(first);
		call->failed = first->error;
		call->unsupported = first->unsupported & first->error;
		if (first->extras & HAS_START)
			stop_clock(first);
	}
	if (first->extras & ON_STACK) {
		if (first->extras & HAS_TABLE)
			free_table(first->table);
		if (first->extras & HAS_BOUNCE)
			free_bounce(first);
		first = first->next;
	}
	if (first)
		free_requests(first);
	if (!error && call->fn)
		call_back(call);
}

/*
 * What is left of the stack may be too little for the drivers below: then a wave is
 * submitted from another one, by a worker.
 */
struct deep_wave {
	struct work_struct work;
	struct io_request *request;	/* NULL: submitted */
	struct io_request *first;
	unsigned int num;
	struct task_struct *task;
};

static void submit_deep(struct work_struct *work)
{
	struct deep_wave *wave = container_of(work, struct deep_wave, work);
	struct task_struct *task = wave->task;

	submit_plugged(wave->request, wave->first, wave->num);
	rcu_read_lock();
	/* Pairs with sleep_until_null(): what was done before is seen behind it. */
	smp_store_release(&wave->request, NULL);
	wake_up_process(task);
	rcu_read_unlock();
}

static noinline void submit_by_worker(struct io_request *request,
				      struct io_request *first, unsigned int num)
{
	struct deep_wave wave = {
		.request = request,
		.first = first,
		.num = num,
		.task = current,
	};

	INIT_WORK_ONSTACK(&wave.work, submit_deep);
	queue_work(deep_queue, &wave.work);
	sleep_until_null(&wave.request);
	/* It may not have returned yet. */
	flush_work(&wave.work);
	destroy_work_on_stack(&wave.work);
}

static bool is_stack_short(void)
{
#ifdef CONFIG_STACK_GROWSUP
	return false;
#else
	unsigned long here = (unsigned long)__builtin_frame_address(0);

	return here - (unsigned long)end_of_stack(current) < THREAD_SIZE / 4;
#endif
}

/*
 * Submit a wave.
 *
 * Below submit_bio(), new bios only queue up until the caller has returned, and
 * a caller that waits for them waits for ever. So but for the last wave of an
 * asynchronous call, its queue is put aside, and these bios go down at once. What is
 * left in the queue belongs to devices at the caller's level or above it, none of
 * which these bios need: the block layer handles the bios for lower devices first.
 *
 * True if it was the last wave of an asynchronous call: all may be gone then.
 */
static __always_inline bool send_wave(const struct run *run, unsigned int num)
{
	struct bio_list *queue = current->bio_list;
	bool hand = run->async && run->last;

	if (hand) {
		hand_over(run->call, run->first);
		/* The last of these bios takes the place of the submitter. */
		atomic_add(num - 1, &run->first->pending);
	} else {
		atomic_add(num, &run->first->pending);
		current->bio_list = NULL;
	}
	if (unlikely(!hand && is_stack_short()))
		submit_by_worker(run->wave, run->first, num);
	else if (num > 1)
		submit_plugged(run->wave, run->first, num);
	else
		submit_bios(run->wave, run->first, 1, true);
	current->bio_list = queue;
	return hand;
}

/* The slow path. Returns an errno if the call is refused. */
static __always_inline int run_waves(struct run *run, const bool ranges)
{
	int num;

	do {
		num = ranges ? next_range_wave(run) : next_data_wave(run);
	} while (num > 0 && !send_wave(run, num));
	if (num <= 0)
		end_waves(run, num);
	return min(num, 0);
}

static noinline int run_ranges(struct run *run)
{
	struct range_cursor cursor __uninitialized;

	run->ranges = &cursor;
	return run_waves(run, true);
}

/* No table is at hand, and a logical block may take many entries. */
static noinline int run_large_blocks(struct run *run)
{
	struct bio_vec table[STACK_VECS] __uninitialized;

	run->stack_table = table;
	run->async = false;
	return run_waves(run, false);
}

/* No region can be submitted. */
static noinline void fail_call(const struct io_call *call)
{
	start_run(call, NULL);
	if (call->failed && !op_is_write(call->opf))
		walk_buffer(call->buffer, described_bytes(call), true);
	if (call->fn)
		call_back(call);
}

static __always_inline int slow_path(struct io_call *call)
{
	struct io_request on_stack __uninitialized;
	struct run run __uninitialized;
	int ret = check_call(call);

	if (ret)
		return ret;
	if (!call->live) {
		fail_call(call);
		return 0;
	}
	run.call = call;
	run.wave = NULL;
	run.stack_table = NULL;
	run.done = 0;
	run.in_flight = 0;
	run.flushed = false;
	start_waves(&run, &on_stack);
	if (unlikely(call->range))
		return run_ranges(&run);
	if (unlikely(call->no_table && call->block > PAGE_SIZE))
		return run_large_blocks(&run);
	return run_waves(&run, false);
}

/* What a synchronous call returns for regions that failed. */
static __always_inline int sync_result(unsigned long failed,
				       unsigned long unsupported)
{
	if (likely(!failed))
		return 0;
	return failed & ~unsupported ? -EIO : -EOPNOTSUPP;
}

/*
 * The fast path: either the whole call, or nothing
 */

/*
 * Check the call, and make its one chunk. @many: it may have several regions;
 * @large: it may need a table. NULL if it is none for the fast path.
 */
static __always_inline struct io_request *
plan_fast(struct io_call *call, struct chunk *chunk, u64 *total,
	  struct io_request *on_stack,
	  struct bio_vec *stack_table, const bool many, const bool large)
{
	unsigned int max_vecs = on_stack ? STACK_VECS : REQUEST_VECS;
	struct buffer *buffer = &call->buffer;
	struct io_request *first = on_stack;
	struct bio_vec *table = stack_table;
	bool paged = buffer->kind == BUFFER_PAGES ||
		     buffer->kind == BUFFER_VMALLOC;
	bool needs_table = false;
	struct page_list *next;
	unsigned int bits, mask;

	if (unlikely(!READ_ONCE(reserve.wanted) || !call->where ||
		     (many && call->num_regions - 1 >= BITS_PER_LONG)))
		return NULL;
	if (likely((call->opf & ~WRITE_FLAGS) == REQ_OP_WRITE))
		;
	else if ((call->opf & ~COMMON_FLAGS) != REQ_OP_READ ||
		 (many && call->num_regions != 1))
		return NULL;
	if (unlikely(check_regions(call, total, &mask, true) || !buffer->data))
		return NULL;
	if (!paged && unlikely(call->bytes > CHUNK_BYTES))
		return NULL;
	if (buffer->kind == BUFFER_BIO && unlikely(bio_has_context(call->bio)))
		return NULL;
	if (unlikely(!check_buffer(buffer, call->bytes, &bits) ||
		     is_odd(bits, mask)))
		return NULL;
	if (paged) {
		needs_table = bits + call->bytes > max_vecs * PAGE_SIZE;
		if (needs_table &&
		    (!large || bits + call->bytes >
		     min_t(unsigned long, TABLE_VECS * PAGE_SIZE, CHUNK_BYTES)))
			return NULL;
	}

	if (!on_stack) {
		if (many || large)
			first = pool_request();
		else
			first = no_memory() ? NULL :
				this_cpu_xchg(request_stash.slot, NULL);
		if (unlikely(!first))
			return NULL;
		table = first->vecs;
	}
	first->extras = 0;
	if (many) {
		first->extras = call->num_regions > 1 ? HAS_MORE : 0;
		first->next = NULL;
	}
	if (large && needs_table) {
		table = alloc_table();
		if (unlikely(!table))
			goto undo;
		first->table = table;
		first->extras |= HAS_TABLE;
		max_vecs = TABLE_VECS;
	}
	if (unlikely(!next_chunk(buffer, chunk, call->bytes, table, max_vecs,
				 &next) ||
		     chunk->bytes != call->bytes))
		goto undo;
	if (many && call->num_regions > 1 &&
	    unlikely(add_requests(first, call->num_regions - 1, false) <
		     call->num_regions - 1))
		goto undo;
	return first;
undo:
	if (!on_stack) {
		first->next = many ? first->next : NULL;
		free_requests(first);
	}
	return NULL;
}

/* Fill in the requests and bios of a call that has been planned. */
static __always_inline void
prepare_fast(const struct io_call *call, const struct chunk *chunk, u64 total,
	     struct io_request *first, const bool async, const bool many)
{
	const struct io_region *where = call->where;
	struct io_request *request = first;
	unsigned int region = 0;

	first->error = 0;
	if (!async)
		first->unsupported = 0;
	if (call->has_result_fn) {
		first->unsupported = 0;
		first->extras |= HAS_RESULT_FN;
	}
	if (async) {
		first->fn = call->fn;
		first->context = call->context;
	} else {
		prepare_wait(first);
	}
	note_read(first, call->opf, &call->buffer, chunk);
	account_call(call, call->opf, total);
	start_request(call, first, where, total, async);

	do {
		unsigned int bytes = where->count << SECTOR_SHIFT;

		init_bio(request, where->bdev, call->opf, chunk, bytes,
			 call->bio);
		set_bio(request, first, region, where->bdev, where->sector);
		request = request->next;
		where++;
	} while (many && ++region < call->num_regions);
}

/* What the fast path knows of a call. */
#define FAST_CALL(_num, _where, _opf, _kind, _data, _offset, _errors) {	\
	.num_regions = _num,						\
	.where = _where,						\
	.opf = (__force blk_opf_t)(_opf),				\
	.buffer = {							\
		.kind = _kind,						\
		.offset = _offset,					\
		.data = _data,						\
		.iter.bi_size = UINT_MAX,				\
	},								\
	.errors = _errors,						\
}

/* The buffer of a call is the memory of a bio. */
static __always_inline void set_bio_buffer(struct io_call *call, struct bio *bio)
{
	call->bio = bio;
	call->buffer.bvec = bio->bi_io_vec;
	call->buffer.iter.bi_size = bio->bi_iter.bi_size;
	call->buffer.iter.bi_idx = bio->bi_iter.bi_idx;
	call->buffer.iter.bi_bvec_done = bio->bi_iter.bi_bvec_done;
}

/* One region, and no table but that of the request. */
static __always_inline bool
fast_async(const struct io_region *where, int rw, enum buffer_kind kind, void *data,
	   unsigned int offset, dm_io_lib_notify_fn fn, void *context,
	   const bool large)
{
	struct io_call call = FAST_CALL(1, where, rw, kind, data, offset, NULL);
	struct chunk chunk __uninitialized;
	struct io_request *first;
	u64 total;

	if (kind == BUFFER_BIO && likely(data))
		set_bio_buffer(&call, data);
	call.fn = fn;
	call.context = context;
	first = plan_fast(&call, &chunk, &total, NULL, NULL, false, large);
	if (unlikely(!first))
		return false;
	atomic_set(&first->pending, 1);
	prepare_fast(&call, &chunk, total, first, true, false);
	submit_bios(first, first, 1, false);
	return true;
}

/* The same with a table, with the kind known to the compiler. */
static noinline bool
fast_async_pages(const struct io_region *where, int rw, void *data,
		 unsigned int offset, dm_io_lib_notify_fn fn, void *context)
{
	return fast_async(where, rw, BUFFER_PAGES, data, offset, fn, context, true);
}

static noinline bool
fast_async_vmalloc(const struct io_region *where, int rw, void *data,
		   dm_io_lib_notify_fn fn, void *context)
{
	return fast_async(where, rw, BUFFER_VMALLOC, data, 0, fn, context, true);
}

/* Any buffer, and any number of regions if @many. */
static __always_inline bool fast_async_any(struct io_call *call, const bool many)
{
	struct chunk chunk __uninitialized;
	struct io_request *first;
	u64 total;

	first = plan_fast(call, &chunk, &total, NULL, NULL, many, true);
	if (unlikely(!first))
		return false;
	atomic_set(&first->pending, many ? call->num_regions : 1);
	prepare_fast(call, &chunk, total, first, true, many);
	if (many && call->num_regions > 1)
		submit_plugged(first, first, call->num_regions);
	else
		submit_bios(first, first, 1, false);
	return true;
}

static noinline bool
fast_async_regions(unsigned int num_regions, const struct io_region *where, int rw,
		   enum buffer_kind kind, void *data, unsigned int offset,
		   dm_io_lib_notify_fn fn, void *context)
{
	struct io_call call = FAST_CALL(num_regions, where, rw, kind, data, offset,
					NULL);

	if (kind == BUFFER_BIO && likely(data))
		set_bio_buffer(&call, data);
	call.fn = fn;
	call.context = context;
	return fast_async_any(&call, true);
}

static __always_inline void set_callback(struct io_call *call,
					 const struct dm_io_args *args)
{
	call->has_result_fn = args->result_fn;
	if (call->has_result_fn)
		call->result_fn = args->result_fn;
	else
		call->fn = args->fn;
	call->context = args->context;
}

static __always_inline bool
fast_async_args(const struct dm_io_args *args, enum buffer_kind kind, void *data,
		const bool many)
{
	struct io_call call = FAST_CALL(many ? args->num_regions : 1, args->where,
					args->opf, kind, data, args->offset,
					args->errors);

	if (kind == BUFFER_BIO)
		set_bio_buffer(&call, data);
	set_callback(&call, args);
	return fast_async_any(&call, many);
}

static noinline bool fast_async_args_one(const struct dm_io_args *args,
					 enum buffer_kind kind, void *data)
{
	return fast_async_args(args, kind, data, false);
}

static noinline bool fast_async_args_many(const struct dm_io_args *args,
					  enum buffer_kind kind, void *data)
{
	return fast_async_args(args, kind, data, true);
}

/* How a synchronous call went. */
struct io_result {
	unsigned long error;
	unsigned long unsupported;
};

/* One region, on the stack, which this gives back before the slow path is tried. */
static noinline bool
fast_sync(const struct io_region *where, int rw, enum buffer_kind kind, void *data,
	  unsigned int offset, int *errors, struct io_result *result)
{
	struct io_call call = FAST_CALL(1, where, rw, kind, data, offset, errors);
	struct bio_vec vecs[STACK_VECS] __uninitialized;
	struct io_request first __uninitialized;
	struct bio_list *queue = current->bio_list;
	struct chunk chunk __uninitialized;
	u64 total;

	if (kind == BUFFER_BIO && likely(data))
		set_bio_buffer(&call, data);
	if (unlikely(!plan_fast(&call, &chunk, &total, &first, vecs, false, false)))
		return false;
	first.extras = ON_STACK;
	first.next = NULL;
	atomic_set(&first.pending, 2);
	prepare_fast(&call, &chunk, total, &first, false, false);

	/* As in send_wave(). */
	current->bio_list = NULL;
	if (unlikely(queue && is_stack_short()))
		submit_by_worker(&first, &first, 1);
	else
		submit_bios(&first, &first, 1, false);
	current->bio_list = queue;
	await_waves(&first);

	if (unlikely(first.extras & HAS_START))
		stop_clock(&first);
	result->error = first.error;
	result->unsupported = first.unsupported;
	return true;
}

/*
 * The calls
 */

int dm_io_get(unsigned int num_pages)
{
	struct io_request *first, *last;
	unsigned int total;
	int ret = 0;

	might_sleep();
	if (!num_pages)
		return -EINVAL;
	if ((u64)num_pages * sizeof(struct io_request) >
	    (u64)si_mem_available() * (PAGE_SIZE / 2))
		return -ENOMEM;
	first = alloc_list(num_pages, &last);
	if (!first)
		return -ENOMEM;

	raw_spin_lock_irq(&reserve.lock);
	if (check_add_overflow(reserve.wanted, num_pages, &total)) {
		ret = -ENOMEM;
	} else {
		last->next = reserve.first;
		reserve.first = first;
		WRITE_ONCE(reserve.wanted, total);
		reserve.users++;
		WRITE_ONCE(reserve.warned, false);
	}
	raw_spin_unlock_irq(&reserve.lock);
	if (ret)
		free_list(first);
	return ret;
}
EXPORT_SYMBOL_GPL(dm_io_get);

void dm_io_put(unsigned int num_pages)
{
	unsigned int taken;

	might_sleep();
	taken = shrink_reserve(num_pages);
	if (taken < num_pages)
		pr_warn("%s: %u pages put back, but only %u are reserved\n",
			__func__, num_pages, taken);

	raw_spin_lock_irq(&reserve.lock);
	if (!reserve.wanted)
		reserve.users = 0;
	else if (taken && reserve.users)
		reserve.users--;
	raw_spin_unlock_irq(&reserve.lock);
}
EXPORT_SYMBOL_GPL(dm_io_put);

/*
 * The slow path of the classic calls takes its arguments in registers, so that the
 * caller's stack can be given back first: kind of the buffer, offset and number of
 * regions come as one. An offset beyond its page is refused, whatever it is.
 */
static __always_inline u64 pack(unsigned int num_regions, enum buffer_kind kind,
				unsigned int offset)
{
	return (u64)num_regions << 32 | kind << 24 | min(offset, 0xffffffU >> 4);
}

static noinline int slow_async(u64 what, const struct io_region *where, int rw,
			       void *data, dm_io_lib_notify_fn fn, void *context)
{
	struct io_call call = FAST_CALL(what >> 32, where, rw, (u32)what >> 24,
					data, what & 0xffffff, NULL);

	if (call.buffer.kind == BUFFER_BIO && data)
		set_bio_buffer(&call, data);
	call.fn = fn;
	call.context = context;
	return slow_path(&call);
}

/* A call whose errno, if it has one, is about the call itself, has no result. */
static int slow_result(const struct io_call *call, int ret,
		       struct io_result *result)
{
	if (call->fn)
		return ret;
	result->error = ret ? 0 : call->failed;
	result->unsupported = ret ? 0 : call->unsupported;
	if (ret)
		return ret;
	return call->killed ? -EINTR : sync_result(call->failed,
						   call->unsupported);
}

static noinline int slow_sync(u64 what, const struct io_region *where, int rw,
			      void *data, unsigned long *error_bits)
{
	struct io_call call = FAST_CALL(what >> 32, where, rw, (u32)what >> 24,
					data, what & 0xffffff, NULL);
	struct io_result result;
	int ret;

	if (call.buffer.kind == BUFFER_BIO && data)
		set_bio_buffer(&call, data);
	ret = slow_result(&call, slow_path(&call), &result);
	if (error_bits)
		*error_bits = result.error;
	return ret;
}

static noinline int slow_args(const struct dm_io_args *args, enum buffer_kind kind,
			      void *data, struct io_result *result)
{
	struct io_call call = FAST_CALL(args->num_regions, args->where, args->opf,
					kind, data, args->offset, args->errors);

	if (kind == BUFFER_BIO)
		set_bio_buffer(&call, data);
	call.bio = args->bio;
	call.ioprio = args->ioprio;
	call.flags = args->flags;
	set_callback(&call, args);
	if (!call.fn)
		call.opf |= REQ_SYNC;
	return slow_result(&call, slow_path(&call), result);
}

static __always_inline int
start_async(unsigned int num_regions, const struct io_region *where, int rw,
	    enum buffer_kind kind, void *data, unsigned int offset,
	    dm_io_lib_notify_fn fn, void *context)
{
	bool done;

	__might_sleep(__FILE__, __LINE__);
	if (unlikely(!fn))
		return -EINVAL;
	if (num_regions != 1 || unlikely(!where) || kind == BUFFER_LINEAR)
		done = fast_async_regions(num_regions, where, rw, kind, data,
					  offset, fn, context);
	else if (kind == BUFFER_PAGES && where->count > PAGE_SECTORS)
		done = fast_async_pages(where, rw, data, offset, fn, context);
	else if (kind == BUFFER_VMALLOC && where->count > PAGE_SECTORS)
		done = fast_async_vmalloc(where, rw, data, fn, context);
	else
		/* The pool's slot may be empty, and the rest of it not. */
		done = fast_async(where, rw, kind, data, offset, fn, context,
				  false) ||
		       fast_async_regions(1, where, rw, kind, data, offset, fn,
					  context);
	if (likely(done))
		return 0;
	return slow_async(pack(num_regions, kind, offset), where, rw, data, fn,
			  context);
}

static __always_inline int
start_sync(unsigned int num_regions, const struct io_region *where, int rw,
	   enum buffer_kind kind, void *data, unsigned int offset,
	   unsigned long *error_bits)
{
	struct io_result result;

	__might_sleep(__FILE__, __LINE__);
	rw |= (__force int)REQ_SYNC;
	if (unlikely(num_regions != 1 ||
		     !fast_sync(where, rw, kind, data, offset, NULL, &result)))
		return slow_sync(pack(num_regions, kind, offset), where, rw,
				 data, error_bits);
	if (error_bits)
		*error_bits = result.error;
	return sync_result(result.error, result.unsupported);
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

/* vmalloc memory and linear memory come through the same calls. */
int dm_io_sync_vm(unsigned int num_regions, struct io_region *where, int rw,
		  void *data, unsigned long *error_bits)
{
	if (likely(is_virtual(data)))
		return start_sync(num_regions, where, rw, BUFFER_VMALLOC, data,
				  0, error_bits);
	return start_sync(num_regions, where, rw, BUFFER_LINEAR, data, 0,
			  error_bits);
}
EXPORT_SYMBOL_GPL(dm_io_sync_vm);

int dm_io_async_vm(unsigned int num_regions, struct io_region *where, int rw,
		   void *data, io_notify_fn fn, void *context)
{
	if (likely(is_virtual(data)))
		return start_async(num_regions, where, rw, BUFFER_VMALLOC, data,
				   0, fn, context);
	return start_async(num_regions, where, rw, BUFFER_LINEAR, data, 0,
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

/* Operations that move no data look at no buffer. */
static bool moves_data(blk_opf_t opf)
{
	return ((__force u32)opf & (__force u32)REQ_OP_MASK) <=
	       (__force u32)REQ_OP_WRITE;
}

/* Which buffer is it? NUM_BUFFER_KINDS if there is more than one. */
static __always_inline enum buffer_kind
choose_buffer(const struct dm_io_args *args, void **data)
{
	const void *pl = args->pl, *bvec = args->bvec, *bio = args->bio;
	const void *memory = args->data;

	*data = NULL;
	if (unlikely(!moves_data(args->opf)))
		return BUFFER_NONE;
	if (bvec) {
		*data = args->bvec;
		return likely(!(pl || bio || memory || args->offset)) ?
		       BUFFER_BVEC : NUM_BUFFER_KINDS;
	}
	if (bio) {
		*data = args->bio;
		return likely(!(pl || memory || args->offset)) ?
		       BUFFER_BIO : NUM_BUFFER_KINDS;
	}
	if (pl) {
		*data = args->pl;
		return likely(!memory) ? BUFFER_PAGES : NUM_BUFFER_KINDS;
	}
	*data = args->data;
	if (args->offset)
		return NUM_BUFFER_KINDS;
	if (!memory)
		return BUFFER_NONE;
	return is_virtual(memory) ? BUFFER_VMALLOC : BUFFER_LINEAR;
}

/* A call that asks for nothing that the fast path does not know. */
static __always_inline bool is_plain(const struct dm_io_args *args, const void *data)
{
	return !args->flags && !args->ioprio && data;
}

static noinline int submit_sync(const struct dm_io_args *args,
				enum buffer_kind kind, void *data)
{
	struct io_result result = { };
	int ret = -EINVAL;

	if (kind == NUM_BUFFER_KINDS)
		;
	else if (is_plain(args, data) && args->num_regions == 1 &&
		 fast_sync(args->where, (__force int)(args->opf | REQ_SYNC), kind,
			   data, args->offset, args->errors, &result))
		ret = sync_result(result.error, result.unsupported);
	else
		ret = slow_args(args, kind, data, &result);
	if (args->error_bits)
		*args->error_bits = result.error;
	if (args->unsupported_bits)
		*args->unsupported_bits = result.unsupported;
	return ret;
}

int dm_io_submit(const struct dm_io_args *args)
{
	enum buffer_kind kind;
	void *data;

	might_sleep();
	if (unlikely(!args))
		return -EINVAL;
	kind = choose_buffer(args, &data);
	if (unlikely((args->fn && args->result_fn) ||
		     args->flags & ~(DM_IO_KILLABLE | DM_IO_READ_ONLY_OK) ||
		     IOPRIO_PRIO_CLASS(args->ioprio) > IOPRIO_CLASS_IDLE))
		kind = NUM_BUFFER_KINDS;

	if (!args->fn && !args->result_fn)
		return submit_sync(args, kind, data);
	if (unlikely(kind == NUM_BUFFER_KINDS))
		return -EINVAL;
	if (likely(is_plain(args, data)) &&
	    (likely(args->num_regions == 1) ?
	     fast_async_args_one(args, kind, data) :
	     fast_async_args_many(args, kind, data)))
		return 0;
	return slow_args(args, kind, data, NULL);
}
EXPORT_SYMBOL_GPL(dm_io_submit);

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
	zero_queue = alloc_workqueue("dm_io", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	deep_queue = alloc_workqueue("dm_io_deep", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!requests.cache || !tables.cache || !zero_queue || !deep_queue) {
		if (zero_queue)
			destroy_workqueue(zero_queue);
		if (deep_queue)
			destroy_workqueue(deep_queue);
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
	destroy_workqueue(zero_queue);
	destroy_workqueue(deep_queue);
	pool_destroy(&requests);
	pool_destroy(&tables);
}

/* Before any built-in target may call. */
subsys_initcall(dm_io_lib_init);
module_exit(dm_io_lib_exit);

MODULE_DESCRIPTION("Block I/O library for Device Mapper targets");
MODULE_VERSION("1.2");
MODULE_LICENSE("GPL");
