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
 * typedef dm_io_result_fn - completion callback that tells unsupported from failed
 * @error: bit n is set if the region with index n failed
 * @unsupported: bit n is set if it failed because its device cannot do the
 *	operation. A subset of @error
 * @context: what the caller passed along
 *
 * For dm_io_submit(). Otherwise as &typedef dm_io_lib_notify_fn.
 */
typedef void (*dm_io_result_fn)(unsigned long error, unsigned long unsupported,
				void *context);

/**
 * define DM_IO_OPF - pass an operation with flags as the rw argument
 * @opf: a blk_opf_t, an operation with flags
 *
 * The rw argument of the classic calls is READ, WRITE, or DM_IO_OPF() of one of
 *
 * - REQ_OP_READ, from one region;
 * - REQ_OP_WRITE, also with REQ_PREFLUSH and REQ_FUA, and with REQ_ATOMIC where
 *   the kernel has it. With REQ_PREFLUSH, a region with a count of 0 and a device
 *   is not ignored: it is a flush of that device;
 * - REQ_OP_FLUSH: a flush of the device of each region. It looks at no region's
 *   sector and count;
 * - REQ_OP_DISCARD, REQ_OP_SECURE_ERASE or REQ_OP_WRITE_ZEROES, the last one also
 *   with REQ_NOUNMAP.
 *
 * Each of them may have REQ_SYNC, REQ_META, REQ_PRIO, REQ_IDLE, REQ_BACKGROUND,
 * REQ_RAHEAD, REQ_NOMERGE, REQ_SWAP and any of REQ_FAILFAST_MASK. A synchronous
 * call adds REQ_SYNC. Anything else is refused with -EINVAL. See DM_IO_BIO_OPF().
 *
 * All but the first two move no data: they look at no buffer, except that a bio
 * still gives its I/O priority and its block cgroup.
 *
 * A write that becomes several bios flushes once before the first of them, and each
 * of them has REQ_FUA; what is behind one that was seen to fail is not submitted any
 * more. An atomic write never becomes several: each region has to be a power of two
 * in size, within the limits of its device, and start at a multiple of its size, in a
 * buffer that the device can take in one request as it is, or the call is refused
 * with -EINVAL.
 */
#define DM_IO_OPF(opf) ((__force int)(blk_opf_t)(opf))

/* What DM_IO_BIO_OPF() keeps. */
#ifdef REQ_ATOMIC
#define DM_IO_BIO_ATOMIC	REQ_ATOMIC
#else
#define DM_IO_BIO_ATOMIC	((__force blk_opf_t)0)
#endif
#define DM_IO_BIO_FLAGS	(REQ_SYNC | REQ_META | REQ_PRIO | REQ_IDLE |	\
			 REQ_BACKGROUND | REQ_RAHEAD | REQ_NOMERGE |	\
			 REQ_SWAP | REQ_FAILFAST_MASK | REQ_PREFLUSH |	\
			 REQ_FUA | REQ_NOUNMAP | DM_IO_BIO_ATOMIC)

/**
 * define DM_IO_BIO_OPF - operation and flags of a bio, to be passed on
 * @bio: a bio that a target was given
 *
 * A blk_opf_t: the operation of @bio and those of its flags that the calls of this
 * library take. What is left out is of no use below it: REQ_NOWAIT and REQ_POLLED,
 * which ask for a behaviour of @bio itself, and what marks memory that @bio owns.
 * The classic calls take DM_IO_OPF(DM_IO_BIO_OPF(bio)) as rw.
 */
#define DM_IO_BIO_OPF(bio) \
	((bio)->bi_opf & (REQ_OP_MASK | DM_IO_BIO_FLAGS))

/**
 * dm_io_get - reserve memory for requests
 * @num_pages: number of pages that the caller expects to have in flight at once
 *
 * Sets memory aside, so that @num_pages requests of one page and one region
 * can be in flight when no other memory is to be had. The reserve is shared by
 * all callers, and is not touched while there is memory: it is a matter of speed
 * when memory is short, and of nothing else. A request that finds it used up, or
 * that finds none because nobody holds one, still completes; but its call waits
 * for the I/O, and sends a logical block or so at a time.
 *
 * So ask for the number of bios that the target should keep in flight while the
 * system swaps, times the regions of each. 16 to 64 is usual: a target that
 * mirrors to two devices and wants eight bios of up to a page in flight asks for
 * 16, in its constructor, and gives 16 back in its destructor. A page costs some
 * 300 bytes; the data itself stays in the caller's pages.
 *
 * The first call of the library that finds no reserve logs a line.
 *
 * Context: Process context. May sleep, also for memory reclaim, while nobody else
 * waits for it. May be called at any time, by any number of callers at once, with
 * I/O in flight.
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
 * warning and leaves a reserve of 0, without which I/O goes on: see dm_io_get().
 *
 * Context: Process context. May sleep.
 */
void dm_io_put(unsigned int num_pages);

/*
 * The eight calls of the specification. A source that has functions of these names
 * itself defines DM_IO_NO_CLASSIC_CALLS before it includes this file, and has
 * dm_io_submit() for everything.
 */
#ifndef DM_IO_NO_CLASSIC_CALLS

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
 * - it is written, and the device is read-only;
 * - the device cannot do the operation;
 * - there is no memory for a bounce buffer that it needs;
 * - the device says so.
 *
 * In all these cases but the last, and one of an operation that the device only
 * finds out to be impossible, nothing of the region is submitted. Other regions
 * proceed. After a failed read, the part of the buffer that was not read is
 * zeroed; if the region is longer than its whole device, the buffer is left alone.
 *
 * Any layout of the buffer is good for any device. Logical blocks that a device
 * cannot take from where they are, because of its DMA alignment or of its limits
 * on segments, go through a bounce buffer of up to 64 KiB at a time.
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
 * when neither memory nor a reserve is left, while 16 MiB of the buffer are in
 * flight, and for the first part of a long write with REQ_PREFLUSH. Works below
 * submit_bio() as well.
 * Return:
 * * 0 - @fn has been called or will be, exactly once
 * * -EINVAL - as for dm_io_sync(); @fn will not be called
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
 * The devices are given @bvec itself, as far as they can take it. Otherwise as
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
 * Context: As for dm_io_async().
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
 * Return: As for dm_io_sync(). -EINVAL as well if @data is no memory: I/O memory,
 * an address that kmap() gave, one where nothing is mapped. If that shows only
 * behind the first part of a long buffer, the region fails with -EFAULT.
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
 * Context: As for dm_io_async() and dm_io_sync_bio().
 * Return: As for dm_io_async().
 */
int dm_io_async_bio(unsigned int num_regions, struct io_region *where, int rw,
		    struct bio *bio, io_notify_fn fn, void *context);

#endif /* DM_IO_NO_CLASSIC_CALLS */

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
 * define DM_IO_READ_ONLY_OK - a flag for &struct dm_io_args
 *
 * A write to a device that is read-only is left to the block layer, and does not
 * fail with -EROFS. For stacks that write to devices which were set read-only, as
 * LVM does.
 */
#define DM_IO_READ_ONLY_OK	BIT(1)

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
 * @flags: any of DM_IO_KILLABLE and DM_IO_READ_ONLY_OK
 * @fn: called when the I/O has completed, as for dm_io_async(), or
 * @result_fn: the same with the regions whose device cannot do the operation. If
 *	both are NULL, the call is synchronous
 * @context: passed to @fn or @result_fn
 * @error_bits: as for dm_io_sync(). Not looked at by an asynchronous call
 * @unsupported_bits: where to put the subset of @error_bits whose device cannot do
 *	the operation, or NULL. Not looked at by an asynchronous call
 * @errors: array of @num_regions, or NULL. For each region, 0 or the reason why it
 *	failed as a negative errno: see dm_io_submit()
 *
 * What is not named in an initialiser is 0 or NULL. That is a good default for all
 * members but @num_regions and @where; the buffer may be left out where no data is
 * moved. New members will have such a default, too.
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

	dm_io_lib_notify_fn fn;
	dm_io_result_fn result_fn;
	void *context;
	unsigned long *error_bits;
	unsigned long *unsupported_bits;
	int *errors;
};

/**
 * dm_io_submit - do any I/O that the library can do
 * @args: what to do. May go when the call returns
 *
 * The other eight calls are short forms of this one. So its regions fail as they do
 * for dm_io_sync(), and what @args points to has to stay as long as it does there.
 * @args->errors is written until the I/O has completed: until the callback is
 * called, or until a synchronous call returns; not by a call that is refused. It
 * holds for each region that failed
 *
 * * -ERANGE - it ends past the end of its device, or wraps
 * * -EINVAL - it is not of whole logical blocks
 * * -EROFS - it is written, and the device is read-only
 * * -EOPNOTSUPP - the device cannot do the operation
 * * -EINTR - the task was killed, see DM_IO_KILLABLE
 * * -ENOMEM - a bounce buffer, an atomic write, or the clone of a bio with
 *   encryption context or integrity data did not find memory
 * * -EFAULT - a part of the buffer is no memory
 * * any other errno - what the device said, as of blk_status_to_errno(): -EIO,
 *   -ENOSPC, -ETIMEDOUT ...
 *
 * A device is found unable if its limits say so, or if it says so itself. The
 * latter may come after a part of the region is done. Discards, secure erases and
 * zeroes go in pieces that the device can take, several at a time; an asynchronous
 * call waits for all but the last 32 of them, or fewer when memory is short.
 *
 * Context: As for dm_io_sync(), or for dm_io_async() if there is a callback.
 * Return:
 * * 0 - every region succeeded; or the callback has been called or will be,
 *   exactly once
 * * -EOPNOTSUPP, -EIO - regions failed, as for dm_io_sync(); not with a callback
 * * -EINTR - regions failed, since the task was killed; not with a callback
 * * -EINVAL - @args is NULL, or an argument is not as described: for example, more
 *   than one buffer or callback, or an unknown flag. Nothing was submitted, no
 *   callback will be called
 */
int dm_io_submit(const struct dm_io_args *args);

#endif /* DM_IO_LIB_H */
