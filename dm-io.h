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
 * call. Documentation/dm-io.rst is the guide; this file is the contract.
 */
#ifndef DM_IO_LIB_H
#define DM_IO_LIB_H

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
 * @opf: a blk_opf_t: REQ_OP_READ or REQ_OP_WRITE with flags, or REQ_OP_FLUSH
 *
 * The rw argument of every call is READ, WRITE, or DM_IO_OPF() of
 *
 * - REQ_OP_READ with any of REQ_SYNC, REQ_META, REQ_PRIO, REQ_IDLE, REQ_RAHEAD
 *   and REQ_BACKGROUND;
 * - REQ_OP_WRITE with any of these but REQ_RAHEAD, and with REQ_PREFLUSH and
 *   REQ_FUA. With REQ_PREFLUSH, a region with a count of 0 and a device is not
 *   ignored: it is a flush of that device;
 * - REQ_OP_FLUSH: a flush of the device of each region. It takes no buffer, and
 *   looks at no region's sector and count.
 *
 * Anything else is refused with -EINVAL.
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
 * - the device says so.
 *
 * In all these cases but the last nothing of the region is submitted. Other
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
 * * -EIO - at least one region failed, see @error_bits
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
 * cgroup, encryption context, integrity data. Otherwise as dm_io_sync().
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

#endif /* DM_IO_LIB_H */
