/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dm-io: the kernel's dm_io() on this library
 *
 * A module that is compiled with this file in front of its sources gets from here
 * what it would get from <linux/dm-io.h>, and runs on this library without a
 * changed line:
 *
 *	KCFLAGS="-include .../dm-io-kernel.h"
 *
 * or the same in its Kbuild's ccflags-y. dm-io-config --kcflags prints the option.
 * Where a directory is wanted that comes before the kernel's own, as with
 * NOSTDINC_FLAGS, kernel-api is one.
 *
 * dm_io() may have four, five or six arguments here, whatever the kernel, and a
 * callback two or three: which it is, a source decides by the form of dm_io() that
 * it calls. With four or five arguments a callback has two, with six it has three.
 * Documentation/porting.rst has the list of what differs from the kernel.
 *
 * What C does not let us find:
 *
 * - The number of arguments of a callback. &typedef io_notify_fn is a function that
 *   returns nothing, of any arguments that are no narrower than an int.
 * - dm_io without an argument list, such as its address. It is a macro here.
 *
 * This file comes before any other. So it includes no header that would define
 * what a source may want to define first, such as pr_fmt().
 *
 * With DM_IO_KERNEL_CALLS_ONLY, it only declares what dm-io-kernel exports: for a
 * source that has the kernel's header.
 */
#ifndef DM_IO_KERNEL_H
#define DM_IO_KERNEL_H

#include <linux/types.h>

struct dm_io_client;
struct dm_io_region;
struct dm_io_request;

/* What the library has for this: see dm-io-kernel.c. */
struct dm_io_client *dm_io_kernel_client_create(void);
void dm_io_kernel_client_destroy(struct dm_io_client *client);
int dm_io_kernel(const struct dm_io_request *io_req, unsigned int num_regions,
		 const struct dm_io_region *where, unsigned long *error_bits,
		 unsigned short ioprio);
int dm_io_kernel_apart(const struct dm_io_request *io_req,
		       unsigned int num_regions,
		       const struct dm_io_region *where,
		       unsigned long *error_bits,
		       unsigned long *unsupported_bits, unsigned short ioprio);

#ifndef DM_IO_KERNEL_CALLS_ONLY

#ifdef _LINUX_DM_IO_H
#error "<linux/dm-io.h> is included already: compile with -include .../dm-io-kernel.h"
#endif

/* The kernel's header has nothing more to say. */
#define _LINUX_DM_IO_H

/*
 * <linux/blk_types.h> has this, too, which is allowed for the same type. To sparse
 * it would be another one.
 */
#ifdef __CHECKER__
#include <linux/blk_types.h>
#else
typedef __u32 __bitwise blk_opf_t;
#endif

struct bio;
struct block_device;
struct page;

/* A region with a count of 0 is ignored, or only flushed. */
struct dm_io_region {
	struct block_device *bdev;
	sector_t sector;
	sector_t count;
};

struct page_list {
	struct page_list *next;
	struct page *page;
};

/* The callback, of two arguments or of three. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
typedef void (*io_notify_fn)();
#pragma GCC diagnostic pop

enum dm_io_mem_type {
	DM_IO_PAGE_LIST,
	DM_IO_BIO,
	DM_IO_VMA,
	DM_IO_KMEM,
};

/* Where the data is. The offset is that in the first page of a page list. */
struct dm_io_memory {
	enum dm_io_mem_type type;

	unsigned int offset;

	union {
		struct page_list *pl;
		struct bio *bio;
		void *vma;
		void *addr;
	} ptr;
};

/* Without a callback, the call is synchronous. */
struct dm_io_notify {
	io_notify_fn fn;
	void *context;
};

struct dm_io_request {
	blk_opf_t bi_opf;
	struct dm_io_memory mem;
	struct dm_io_notify notify;
	struct dm_io_client *client;
};

#define dm_io_client_create	dm_io_kernel_client_create
#define dm_io_client_destroy	dm_io_kernel_client_destroy

/* Up to Linux 6.8.1, 6.7.10, 6.6.22 and 6.1.82 */
static inline int dm_io_with_4(struct dm_io_request *io_req,
			       unsigned int num_regions,
			       struct dm_io_region *region,
			       unsigned long *sync_error_bits)
{
	return dm_io_kernel(io_req, num_regions, region, sync_error_bits, 0);
}

/* Up to Linux 7.1 */
static inline int dm_io_with_5(struct dm_io_request *io_req,
			       unsigned int num_regions,
			       struct dm_io_region *region,
			       unsigned long *sync_error_bits,
			       unsigned short ioprio)
{
	return dm_io_kernel(io_req, num_regions, region, sync_error_bits,
			    ioprio);
}

/* From Linux 7.2 on */
static inline int dm_io_with_6(struct dm_io_request *io_req,
			       unsigned int num_regions,
			       struct dm_io_region *region,
			       unsigned long *sync_error_bits,
			       unsigned long *sync_unsup_bits,
			       unsigned short ioprio)
{
	return dm_io_kernel_apart(io_req, num_regions, region, sync_error_bits,
				  sync_unsup_bits, ioprio);
}

#define DM_IO_WITH(_1, _2, _3, _4, _5, _6, n, ...)	dm_io_with_ ## n
#define dm_io(...) \
	DM_IO_WITH(__VA_ARGS__, 6, 5, 4, 3, 2, 1, 0)(__VA_ARGS__)

#endif /* DM_IO_KERNEL_CALLS_ONLY */

#endif /* DM_IO_KERNEL_H */
