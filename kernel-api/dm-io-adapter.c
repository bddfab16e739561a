// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: dm_io() of Device Mapper itself on this library
 *
 * A part of dm-mod in the place of dm-io.c, see CONFIG_DM_IO_ENGINE_LIB. What the
 * kernel's interface means is in dm-io-lib/dm-io-kernel.c, which modules outside of
 * the kernel share with this file. Here are only the names that <linux/dm-io.h>
 * declares.
 *
 * scripts/kernel-patch leaves of the two forms of dm_io() the one that the kernel has.
 */
#include <linux/build_bug.h>
#include <linux/device-mapper.h>
#include <linux/dm-io.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/stddef.h>

#include "dm-core.h"

#define DM_IO_KERNEL_CALLS_ONLY
#include "dm-io-lib/dm-io-kernel.h"

/*
 * The library has been compiled with definitions of its own of these, which have to
 * look the same in memory.
 */
#define SAME_PLACE(type, member, other) \
	static_assert(offsetof(struct type, member) == \
		      offsetof(struct expected_ ## type, other))

struct expected_dm_io_region {
	void *bdev;
	u64 sector, count;
};

SAME_PLACE(dm_io_region, bdev, bdev);
SAME_PLACE(dm_io_region, sector, sector);
SAME_PLACE(dm_io_region, count, count);
static_assert(sizeof(struct dm_io_region) ==
	      sizeof(struct expected_dm_io_region));

struct expected_page_list {
	void *next, *page;
};

SAME_PLACE(page_list, next, next);
SAME_PLACE(page_list, page, page);

struct expected_dm_io_request {
	u32 opf;
	struct {
		u32 type, offset;
		void *memory;
	} mem;
	void *fn, *context, *client;
};

SAME_PLACE(dm_io_request, bi_opf, opf);
SAME_PLACE(dm_io_request, mem.type, mem.type);
SAME_PLACE(dm_io_request, mem.offset, mem.offset);
SAME_PLACE(dm_io_request, mem.ptr, mem.memory);
SAME_PLACE(dm_io_request, notify.fn, fn);
SAME_PLACE(dm_io_request, notify.context, context);
SAME_PLACE(dm_io_request, client, client);
static_assert(sizeof(blk_opf_t) == sizeof(u32));
static_assert(DM_IO_PAGE_LIST == 0 && DM_IO_BIO == 1 && DM_IO_VMA == 2 &&
	      DM_IO_KMEM == 3);

struct dm_io_client *dm_io_client_create(void)
{
	return dm_io_kernel_client_create();
}
EXPORT_SYMBOL(dm_io_client_create);

void dm_io_client_destroy(struct dm_io_client *client)
{
	dm_io_kernel_client_destroy(client);
}
EXPORT_SYMBOL(dm_io_client_destroy);

#ifdef DM_IO_HAS_UNSUPPORTED_BITS
int dm_io(struct dm_io_request *io_req, unsigned int num_regions,
	  struct dm_io_region *region, unsigned long *sync_error_bits,
	  unsigned long *sync_unsup_bits, unsigned short ioprio)
{
	return dm_io_kernel_apart(io_req, num_regions, region, sync_error_bits,
				  sync_unsup_bits, ioprio);
}
#else
int dm_io(struct dm_io_request *io_req, unsigned int num_regions,
	  struct dm_io_region *region, unsigned long *sync_error_bits,
	  unsigned short ioprio)
{
	return dm_io_kernel(io_req, num_regions, region, sync_error_bits,
			    ioprio);
}
#endif
EXPORT_SYMBOL(dm_io);

/* The library has initialised itself, and each client is its own. */
int __init dm_io_init(void)
{
	return 0;
}

void dm_io_exit(void)
{
}
