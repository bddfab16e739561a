// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the kernel's dm_io() on this library
 *
 * What the kernel's interface means, in terms of dm_io_submit(). Each request
 * becomes one, and this is all that there is in between:
 *
 * - The kernel's regions fail, its calls do not. Callers do not look at what an
 *   asynchronous one returns, or they have a BUG_ON() around it. What the library
 *   refuses has failed in all of its regions.
 * - dm_io_kernel() is dm_io() up to Linux 7.1: a region has failed or it has not.
 * - dm_io_kernel_apart() is dm_io() from Linux 7.2 on: what a device cannot do is
 *   told apart, and is not among what has failed. Targets drop devices that fail;
 *   one that cannot do an operation has nothing the matter with it.
 */
#include "dm-io-kernel.h"

#include <linux/bitmap.h>
#include <linux/blk_types.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "dm-io.h"
#include "dm-io-test.h"

/* As many requests as a client of the kernel's has in reserve. */
#define CLIENT_PAGES	16

/* All that a client is. One of the kernel's own, from dm-bufio, does as well. */
struct dm_io_client {
	unsigned int pages;
};

/**
 * dm_io_kernel_client_create - what dm_io_client_create() is to a module on this
 *	library
 *
 * Shares in the reserve of the library: see dm_io_get(). Nothing else depends on
 * the client that a request names.
 *
 * Context: Process context. May sleep.
 * Return: the client, or an ERR_PTR() of -ENOMEM.
 */
struct dm_io_client *dm_io_kernel_client_create(void)
{
	struct dm_io_client *client;

	client = no_memory() ? NULL : kmalloc(sizeof(*client), GFP_KERNEL);
	if (!client)
		return ERR_PTR(-ENOMEM);
	client->pages = CLIENT_PAGES;
	if (dm_io_get(client->pages)) {
		kfree(client);
		return ERR_PTR(-ENOMEM);
	}
	return client;
}
EXPORT_SYMBOL_GPL(dm_io_kernel_client_create);

/**
 * dm_io_kernel_client_destroy - give back what dm_io_kernel_client_create() gave
 * @client: the client, with no request in flight
 *
 * Context: Process context. May sleep.
 */
void dm_io_kernel_client_destroy(struct dm_io_client *client)
{
	dm_io_put(client->pages);
	kfree(client);
}
EXPORT_SYMBOL_GPL(dm_io_kernel_client_destroy);

/*
 * Flags that mean something to the bio of the caller and nothing below it, or
 * nothing with this operation, are taken and not passed on. A flush is: where the
 * block layer does not know it, it is refused.
 */
static blk_opf_t known_flags(blk_opf_t opf)
{
	opf &= REQ_OP_MASK | DM_IO_BIO_FLAGS;
	if ((opf & REQ_OP_MASK) != REQ_OP_WRITE_ZEROES)
		opf &= ~REQ_NOUNMAP;
	return opf;
}

/* False if the memory is of no type that there is. */
static bool describe(struct dm_io_args *args, const struct dm_io_request *io_req,
		     unsigned int num_regions, const struct dm_io_region *where,
		     unsigned short ioprio)
{
	const struct dm_io_memory *mem = &io_req->mem;

	*args = (struct dm_io_args) {
		.opf = known_flags(io_req->bi_opf),
		.num_regions = num_regions,
		.where = where,
		.ioprio = ioprio,
		.flags = DM_IO_READ_ONLY_OK,
	};
	switch (mem->type) {
	case DM_IO_PAGE_LIST:
		args->pl = mem->ptr.pl;
		args->offset = mem->ptr.pl ? mem->offset : 0;
		return true;
	case DM_IO_BIO:
		args->bio = mem->ptr.bio;
		return true;
	case DM_IO_VMA:
		args->data = mem->ptr.vma;
		return true;
	case DM_IO_KMEM:
		args->data = mem->ptr.addr;
		return true;
	default:
		return false;
	}
}

/* A call of no regions is done, and not refused. */
static unsigned long all_regions(unsigned int num_regions)
{
	if (num_regions >= BITS_PER_LONG)
		return ~0UL;
	return BIT(num_regions) - 1;
}

/**
 * dm_io_kernel - dm_io() as it is up to Linux 7.1
 * @io_req: what to do; its callback has two arguments
 * @num_regions: number of elements of @where
 * @where: regions, as for dm_io_sync()
 * @error_bits: where a synchronous call puts one bit per region that failed, or
 *	NULL
 * @ioprio: I/O priority; 0 is that of the bio, or else of the calling task
 *
 * Context: As for dm_io_submit().
 * Return:
 * * 0 - every region succeeded; or the callback has been called or will be
 * * -EIO - regions failed
 * * -EINVAL - a synchronous call makes no sense. @error_bits has all regions
 */
int dm_io_kernel(const struct dm_io_request *io_req, unsigned int num_regions,
		 const struct dm_io_region *where, unsigned long *error_bits,
		 unsigned short ioprio)
{
	dm_io_lib_notify_fn fn = (dm_io_lib_notify_fn)io_req->notify.fn;
	struct dm_io_args args;
	unsigned long refused;
	int ret = -EINVAL;

	if (likely(describe(&args, io_req, num_regions, where, ioprio))) {
		args.fn = fn;
		args.context = io_req->notify.context;
		args.error_bits = error_bits;
		ret = dm_io_submit(&args);
	}
	if (likely(ret != -EINVAL))
		return ret ? -EIO : 0;

	refused = all_regions(num_regions);
	if (fn) {
		fn(refused, io_req->notify.context);
		return 0;
	}
	if (error_bits)
		*error_bits = refused;
	return refused ? -EINVAL : 0;
}
EXPORT_SYMBOL_GPL(dm_io_kernel);

/*
 * Failed and unsupported apart
 */

typedef void (*apart_fn)(unsigned long error, unsigned long unsupported,
			 void *context);

/* An asynchronous request: whom to tell. */
struct apart {
	apart_fn fn;
	void *context;
	int errors[];
};

/* Takes from @error what the devices could not do, and returns that. */
static unsigned long take_unsupported(unsigned long *error, const int *errors)
{
	unsigned long unsupported = 0;
	unsigned int region;

	for_each_set_bit(region, error, BITS_PER_LONG)
		if (errors[region] == -EOPNOTSUPP || errors[region] == -EINVAL)
			unsupported |= BIT(region);
	*error &= ~unsupported;
	return unsupported;
}

static void end_apart(unsigned long error, void *context)
{
	unsigned long unsupported = 0;
	struct apart *apart = context;
	void *fn_context = apart->context;
	apart_fn fn = apart->fn;

	if (unlikely(error))
		unsupported = take_unsupported(&error, apart->errors);
	kfree(apart);
	fn(error, unsupported, fn_context);
}

static struct apart *new_apart(unsigned int num_regions)
{
	struct apart *apart = NULL;

	if (num_regions <= BITS_PER_LONG && !no_memory())
		apart = kmalloc(struct_size(apart, errors, num_regions),
				GFP_NOWAIT | __GFP_NOWARN);
	return apart;
}

/* Returns -EINVAL if the call is refused, else 0. */
static noinline int submit_and_wait(struct dm_io_args *args,
				    unsigned long *error,
				    unsigned long *unsupported)
{
	int errors[BITS_PER_LONG];

	args->fn = NULL;
	args->errors = errors;
	args->error_bits = error;
	*unsupported = 0;
	if (dm_io_submit(args) == -EINVAL)
		return -EINVAL;
	*unsupported = take_unsupported(error, errors);
	return 0;
}

/**
 * dm_io_kernel_apart - dm_io() as it is from Linux 7.2 on
 * @io_req: what to do; its callback has three arguments
 * @num_regions: number of elements of @where
 * @where: regions, as for dm_io_sync()
 * @error_bits: where a synchronous call puts one bit per region that failed, or
 *	NULL
 * @unsupported_bits: the same for those whose device cannot do it, or cannot do it
 *	there; they are not in @error_bits
 * @ioprio: I/O priority; 0 is that of the bio, or else of the calling task
 *
 * Without memory, an asynchronous call waits for its I/O.
 *
 * Context: As for dm_io_submit().
 * Return:
 * * 0 - every region succeeded; or the callback has been called or will be
 * * -EIO - regions failed
 * * -EOPNOTSUPP - regions failed, and all of them are in @unsupported_bits
 * * -EINVAL - a synchronous call makes no sense. @unsupported_bits has all regions
 */
int dm_io_kernel_apart(const struct dm_io_request *io_req,
		       unsigned int num_regions,
		       const struct dm_io_region *where,
		       unsigned long *error_bits,
		       unsigned long *unsupported_bits, unsigned short ioprio)
{
	apart_fn fn = (apart_fn)io_req->notify.fn;
	unsigned long error = 0, unsupported = 0;
	struct apart *apart = NULL;
	struct dm_io_args args;
	int ret = -EINVAL;

	if (likely(describe(&args, io_req, num_regions, where, ioprio))) {
		if (fn)
			apart = new_apart(num_regions);
		if (likely(apart)) {
			apart->fn = fn;
			apart->context = io_req->notify.context;
			args.fn = end_apart;
			args.context = apart;
			args.errors = apart->errors;
			ret = dm_io_submit(&args);
			if (likely(!ret))
				return 0;
			kfree(apart);
		} else {
			ret = submit_and_wait(&args, &error, &unsupported);
		}
	}
	if (ret) {
		error = 0;
		unsupported = all_regions(num_regions);
	}
	if (fn) {
		fn(error, unsupported, io_req->notify.context);
		return 0;
	}
	if (error_bits)
		*error_bits = error;
	if (unsupported_bits)
		*unsupported_bits = unsupported;
	if (ret && num_regions)
		return ret;
	return error ? -EIO : unsupported ? -EOPNOTSUPP : 0;
}
EXPORT_SYMBOL_GPL(dm_io_kernel_apart);

MODULE_DESCRIPTION("The kernel's dm_io() on the dm-io library");
MODULE_LICENSE("GPL");
