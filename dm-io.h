/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dm-io: block I/O for Device Mapper targets
 *
 * A caller names up to BITS_PER_LONG regions of block devices and one buffer,
 * and gets one error bit per region. A read fills the buffer from one region;
 * a write sends the buffer, from its first byte, to every region.
 *
 * The buffer is a page list, an array of bio_vecs, kernel memory (vmalloc or
 * linear) or a bio. Each kind comes as a synchronous and as an asynchronous
 * call; dm_io_submit() at the end is all of them in one, and more.
 * Documentation/dm-io.rst is the guide; this file is the contract.
 */
#ifndef DM_IO_LIB_H
#define DM_IO_LIB_H

#include <linux/bits.h>
#include <linux/blk_types.h>
#include <linux/types.h>

/*
 * The kernel's header gives us struct page_list and struct dm_io_region, so
 * that the objects of a caller serve dm-kcopyd and this library alike.
 */
#include <linux/dm-io.h>

/**
 * define io_region - one stretch of a block device
 *
 * ``struct io_region`` has three members: ``bdev``, the block device;
 * ``sector``, where the region starts, and ``count``, its length, both in
 * units of 512 bytes whatever the logical block of the device. A region with
 * a count of 0 is ignored. The type is the kernel's struct dm_io_region.
 */
#define io_region dm_io_region

/**
 * typedef dm_io_lib_notify_fn - completion callback of an asynchronous call
 * @error: bit n is set if the region with index n failed
 * @context: what the caller passed along
 *
 * Runs exactly once for each asynchronous call that returned 0: perhaps before
 * that call has returned, perhaps in interrupt context, with interrupts
 * disabled. It may not sleep. When it runs, the library is done with the
 * buffer. It may make no call of this library, since those may sleep.
 */
typedef void (*dm_io_lib_notify_fn)(unsigned long error, void *context);

/*
 * The name by which callers know the callback's type. The kernel has a type of
 * this name too, which took a third argument along the way.
 */
#define io_notify_fn dm_io_lib_notify_fn

/**
 * define DM_IO_OPF - pass an operation with flags as the rw argument
 * @opf: a blk_opf_t, an operation with flags
 *
 * The rw argument of the classic calls is READ, WRITE, or DM_IO_OPF() of one of
 *
 * - REQ_OP_READ, from one region, with any of REQ_SYNC, REQ_META, REQ_PRIO,
 *   REQ_IDLE, REQ_BACKGROUND and REQ_RAHEAD;
 * - REQ_OP_WRITE with any of these but REQ_RAHEAD, with REQ_PREFLUSH and
 *   REQ_FUA, and with REQ_ATOMIC where the kernel has it. With REQ_PREFLUSH, a
 *   region with a count of 0 and a device is not ignored: it is a flush of that
 *   device;
 * - REQ_OP_FLUSH, with any of the first five: a flush of the device of each
 *   region. It looks at no region's sector and count;
 * - REQ_OP_DISCARD, REQ_OP_SECURE_ERASE or REQ_OP_WRITE_ZEROES, with any of the
 *   first five; the last one with REQ_NOUNMAP, too.
 *
 * All but the first two take no buffer, and do not look at one. Anything else is
 * refused with -EINVAL.
 *
 * A write that becomes several bios flushes once before the first of them, and
 * each of them has REQ_FUA; what is behind one that fails is not written. An
 * atomic write never becomes several: each region has to be a power of two in
 * size, within the limits of its device, and start at a multiple of its size, in
 * a buffer of no more pieces than the device takes at once, or the call is
 * refused with -EINVAL.
 */
#define DM_IO_OPF(opf) ((__force int)(blk_opf_t)(opf))

/**
 * dm_io_get - reserve memory for requests
 * @num_pages: number of pages that the caller expects to have in flight at once
 *
 * Sets memory aside, so that @num_pages requests of one page and one region
 * can be in flight when no other memory is to be had. The reserve is shared by
 * all callers. A request that finds it used up still completes, but its call
 * waits for the I/O.
 *
 * Must be called before any I/O, and paired with dm_io_put().
 *
 * Context: Process context. May sleep, also for memory reclaim. May be called
 * at any time, by any number of callers at once, with I/O in flight.
 * Return:
 * * 0 - the reserve has grown
 * * -EINVAL - @num_pages is 0
 * * -ENOMEM - memory is short, or the reserve would take more than half of what
 *   is available; the reserve is what it was before
 */
int dm_io_get(unsigned int num_pages);

/**
 * dm_io_put - give back what dm_io_get() reserved
 * @num_pages: the number that was passed to dm_io_get()
 *
 * Requests in flight are not disturbed. Giving back more than is held logs a
 * warning and leaves a reserve of 0.
 *
 * Context: Process context. May sleep.
 */
void dm_io_put(unsigned int num_pages);

/**
 * dm_io_sync - read into or write from a page list, and wait
 * @num_regions: number of elements of @where, 1 to BITS_PER_LONG; 1 for a read
 * @where: regions, each read or written from the start of the buffer
 * @rw: READ, WRITE or DM_IO_OPF()
 * @pl: list of pages, together at least as long as the longest region
 * @offset: where the buffer starts in the first page, in bytes, below PAGE_SIZE
 * @error_bits: where to put one bit per region, or NULL; written by every call,
 *	with 0 when the call is refused
 *
 * A region fails, and its bit is set, when
 *
 * - it ends past the end of its device, or wraps;
 * - its start or its length is not a multiple of the device's logical block;
 * - the device cannot take the buffer's alignment. A device whose DMA alignment
 *   is a sector or more must be given whole logical blocks (of up to a page) in
 *   each piece of memory; one with a finer DMA alignment must be given that;
 * - it is written, and the device is read-only;
 * - the device cannot do the operation;
 * - the device says so.
 *
 * In all these cases but the last two nothing of the region is submitted. Other
 * regions proceed. After a failed read, the part of the buffer that was not
 * read is zeroed; if the region is longer than its whole device, the buffer is
 * left alone.
 *
 * @where and the nodes of @pl must stay until the call returns; so must the
 * pages, which then belong to the caller again.
 *
 * Context: Process context. May sleep for the I/O, but never for memory. Works
 * below submit_bio() too (a target's map function), without depending on any
 * bio that the caller has submitted there; a target should still prefer the
 * asynchronous call, since all I/O behind this one has to wait.
 * Return:
 * * 0 - every region succeeded
 * * -EOPNOTSUPP - regions failed, see @error_bits, and all of them because their
 *   device cannot do the operation
 * * -EIO - regions failed, see @error_bits
 * * -EINVAL - an argument is not as described, or a region with a count has no
 *   device, or the buffer is shorter than a region. Nothing was submitted
 * * -ENXIO - no reserve is held, see dm_io_get(). Nothing was submitted
 */
int dm_io_sync(unsigned int num_regions, struct io_region *where, int rw,
	       struct page_list *pl, unsigned int offset,
	       unsigned long *error_bits);

/**
 * dm_io_async - read into or write from a page list
 * @num_regions: as for dm_io_sync()
 * @where: as for dm_io_sync()
 * @rw: as for dm_io_sync()
 * @pl: as for dm_io_sync()
 * @offset: as for dm_io_sync()
 * @fn: called when the I/O has completed, see &typedef dm_io_lib_notify_fn
 * @context: passed to @fn
 *
 * Regions fail as they do for dm_io_sync(). @where and the nodes of @pl must
 * stay until the call returns, the pages until @fn is called.
 *
 * Context: Process context. May sleep, but never for memory. It waits for I/O
 * when neither memory nor a reserve is left, and when the buffer does not fit
 * into one table of 256 pieces of contiguous memory and 1 GiB: then for all
 * but the last part. Works below submit_bio() as well.
 * Return:
 * * 0 - @fn has been called or will be, exactly once
 * * -EINVAL, -ENXIO - as for dm_io_sync(); @fn will not be called
 */
int dm_io_async(unsigned int num_regions, struct io_region *where, int rw,
		struct page_list *pl, unsigned int offset,
		io_notify_fn fn, void *context);

/**
 * dm_io_sync_bvec - read into or write from an array of bio_vecs, and wait
 * @num_regions: as for dm_io_sync()
 * @where: as for dm_io_sync()
 * @rw: as for dm_io_sync()
 * @bvec: array, together at least as long as the longest region. An entry may
 *	span any number of contiguous pages. One with a length of 0 ends the
 *	array, without which its end is not checked
 * @error_bits: as for dm_io_sync()
 *
 * Nothing is copied: the devices are given @bvec itself. Otherwise as
 * dm_io_sync().
 *
 * Context: As for dm_io_sync().
 * Return: As for dm_io_sync().
 */
int dm_io_sync_bvec(unsigned int num_regions, struct io_region *where, int rw,
		    struct bio_vec *bvec, unsigned long *error_bits);

/**
 * dm_io_async_bvec - read into or write from an array of bio_vecs
 * @num_regions: as for dm_io_sync()
 * @where: as for dm_io_sync()
 * @rw: as for dm_io_sync()
 * @bvec: as for dm_io_sync_bvec()
 * @fn: as for dm_io_async()
 * @context: as for dm_io_async()
 *
 * @where must stay until the call returns, @bvec and the pages until @fn is
 * called. Otherwise as dm_io_async().
 *
 * Context: As for dm_io_async(), with 65535 pieces and 1 GiB as the limit.
 * Return: As for dm_io_async().
 */
int dm_io_async_bvec(unsigned int num_regions, struct io_region *where, int rw,
		     struct bio_vec *bvec, io_notify_fn fn, void *context);

/**
 * dm_io_sync_vm - read into or write from kernel memory, and wait
 * @num_regions: as for dm_io_sync()
 * @where: as for dm_io_sync()
 * @rw: as for dm_io_sync()
 * @data: virtually contiguous memory, at least as long as the longest region:
 *	from vmalloc() or vmap(), or linear (kmalloc(), the address of a page)
 * @error_bits: as for dm_io_sync()
 *
 * Where the processor's caches need it, they are flushed and invalidated.
 * Otherwise as dm_io_sync().
 *
 * Context: As for dm_io_sync().
 * Return: As for dm_io_sync(). Memory that is no kernel memory is an -EINVAL.
 */
int dm_io_sync_vm(unsigned int num_regions, struct io_region *where, int rw,
		  void *data, unsigned long *error_bits);

/**
 * dm_io_async_vm - read into or write from kernel memory
 * @num_regions: as for dm_io_sync()
 * @where: as for dm_io_sync()
 * @rw: as for dm_io_sync()
 * @data: as for dm_io_sync_vm()
 * @fn: as for dm_io_async()
 * @context: as for dm_io_async()
 *
 * @where must stay until the call returns, @data until @fn is called.
 * Otherwise as dm_io_async().
 *
 * Context: As for dm_io_async().
 * Return: As for dm_io_sync_vm(); with an error, @fn will not be called.
 */
int dm_io_async_vm(unsigned int num_regions, struct io_region *where, int rw,
		   void *data, io_notify_fn fn, void *context);

/**
 * dm_io_sync_bio - read into or write from the memory of a bio, and wait
 * @num_regions: as for dm_io_sync()
 * @where: as for dm_io_sync()
 * @rw: as for dm_io_sync(); @bio's own operation does not matter
 * @bio: its memory is the buffer, from where its bi_iter stands, and at least
 *	as long as the longest region. It is not submitted and not changed
 * @error_bits: as for dm_io_sync()
 *
 * What a clone of @bio would carry goes along: I/O priority, write hint, block
 * cgroup, encryption context, integrity data. A device whose integrity data is of
 * another kind cannot do the operation. Otherwise as dm_io_sync().
 *
 * Context: As for dm_io_sync(), except that a @bio with an encryption context
 * or integrity data makes the call wait for the block layer's own pools.
 * Return: As for dm_io_sync().
 */
int dm_io_sync_bio(unsigned int num_regions, struct io_region *where, int rw,
		   struct bio *bio, unsigned long *error_bits);

/**
 * dm_io_async_bio - read into or write from the memory of a bio
 * @num_regions: as for dm_io_sync()
 * @where: as for dm_io_sync()
 * @rw: as for dm_io_sync()
 * @bio: as for dm_io_sync_bio()
 * @fn: as for dm_io_async()
 * @context: as for dm_io_async()
 *
 * @where must stay until the call returns, @bio until @fn is called.
 * Otherwise as dm_io_async().
 *
 * Context: As for dm_io_async_bvec() and dm_io_sync_bio().
 * Return: As for dm_io_async().
 */
int dm_io_async_bio(unsigned int num_regions, struct io_region *where, int rw,
		    struct bio *bio, io_notify_fn fn, void *context);

/*
 * Everything else
 */

/**
 * define DM_IO_KILLABLE - a flag for &struct dm_io_args
 *
 * A request that consists of many bios ends early when the caller's task has been
 * killed: regions that are not complete fail with -EINTR.
 */
#define DM_IO_KILLABLE	BIT(0)

/**
 * struct dm_io_args - the arguments of dm_io_submit()
 * @opf: operation and flags, see DM_IO_OPF()
 * @num_regions: as for dm_io_sync()
 * @where: as for dm_io_sync()
 * @pl: the buffer is this page list, as for dm_io_sync(), or
 * @bvec: this array of bio_vecs, as for dm_io_sync_bvec(), or
 * @data: this kernel memory, as for dm_io_sync_vm(), or
 * @bio: the memory of this bio, as for dm_io_sync_bio(). With an operation that
 *	takes no buffer, I/O priority and block cgroup of @bio go along
 * @offset: where the buffer starts in the first page of @pl; 0 without @pl
 * @ioprio: I/O priority as of IOPRIO_PRIO_VALUE(); 0 is that of @bio, or else of
 *	the calling task
 * @flags: 0 or DM_IO_KILLABLE
 * @fn: called when the I/O has completed, as for dm_io_async(); NULL makes the
 *	call synchronous
 * @context: passed to @fn
 * @error_bits: as for dm_io_sync(). Not looked at if there is @fn, which gets them
 * @errors: array of @num_regions, or NULL. For each region, 0 or the reason why it
 *	failed as a negative errno: see dm_io_submit()
 *
 * What is not named in an initialiser is 0 or NULL, which is always a good default.
 * New members will be like that, too.
 */
struct dm_io_args {
	blk_opf_t opf;
	unsigned int num_regions;
	const struct io_region *where;

	struct page_list *pl;
	struct bio_vec *bvec;
	void *data;
	struct bio *bio;
	unsigned int offset;

	unsigned short ioprio;
	unsigned int flags;

	io_notify_fn fn;
	void *context;
	unsigned long *error_bits;
	int *errors;
};

/**
 * dm_io_submit - do any I/O that the library can do
 * @args: what to do. May go when the call returns
 *
 * The calls above are short forms of this one. So its regions fail as they do for
 * dm_io_sync(), and what @args points to has to stay as long as it does there.
 * @args->errors is written until the I/O has completed: until @args->fn is called,
 * or until a synchronous call returns; not by a call that is refused. It holds for
 * each region that failed
 *
 * * -ERANGE - it ends past the end of its device, or wraps
 * * -EINVAL - it is not of whole logical blocks, or the device cannot take the
 *   buffer's alignment
 * * -EROFS - it is written, and the device is read-only
 * * -EOPNOTSUPP - the device cannot do the operation
 * * -EINTR - the task was killed, see DM_IO_KILLABLE
 * * -ENOMEM - an atomic write, or the clone of a bio with encryption context or
 *   integrity data, did not find memory
 * * -EFAULT - a part of the buffer is no memory
 * * any other errno - what the device said, as of blk_status_to_errno(): -EIO,
 *   -ENOSPC, -ETIMEDOUT ...
 *
 * A device is found unable if its limits say so, or if it says so itself. The
 * latter may come after a part of the region is done. Discards, secure erases and
 * zeroes go in pieces that the device can take, several at a time; an asynchronous
 * call waits for all but the last 32 of them, or fewer when memory is short.
 *
 * Context: As for dm_io_sync(), or for dm_io_async() if there is @args->fn.
 * Return:
 * * 0 - every region succeeded; or @args->fn has been called or will be, exactly
 *   once
 * * -EOPNOTSUPP, -EIO - regions failed, as for dm_io_sync(); not with @args->fn
 * * -EINTR - regions failed, since the task was killed; not with @args->fn
 * * -EINVAL - @args is NULL, or an argument is not as described: for example, more
 *   than one buffer, or an unknown flag. Nothing was submitted, @args->fn will not
 *   be called
 * * -ENXIO - no reserve is held, see dm_io_get(). As for -EINVAL
 */
int dm_io_submit(const struct dm_io_args *args);

#endif /* DM_IO_LIB_H */
