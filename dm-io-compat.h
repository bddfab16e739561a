/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dm-io: the one place that knows kernel versions and architectures
 *
 * Where it can, it asks for the feature and not for the version: stable series
 * take backports.
 */
#ifndef DM_IO_COMPAT_H
#define DM_IO_COMPAT_H

#include <linux/bio.h>
#include <linux/blk-integrity.h>
#include <linux/blk_types.h>
#include <linux/blkdev.h>
#include <linux/bvec.h>
#include <linux/dm-io.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/vmalloc.h>

/*
 * bio_endio() lets go of the block cgroup on every kernel so far. Should it not,
 * or should the bio carry more, bio_uninit() has work to do.
 */
static inline bool bio_holds_references(const struct bio *bio)
{
#ifdef CONFIG_BLK_CGROUP
	if (bio->bi_blkg)
		return true;
#endif
#ifdef CONFIG_BLK_INLINE_ENCRYPTION
	if (bio->bi_crypt_context)
		return true;
#endif
#ifdef CONFIG_BLK_DEV_INTEGRITY
	if (bio->bi_integrity)
		return true;
#endif
	return false;
}

/*
 * A bio with integrity data can go to a device that has as much of it for as many
 * sectors. On any other, the block layer looks for what is not there.
 */
static inline bool integrity_fits(struct bio *bio, struct block_device *bdev)
{
#ifdef CONFIG_BLK_DEV_INTEGRITY
	struct blk_integrity *integrity;

	if (!bio_integrity(bio))
		return true;
	integrity = bdev_get_integrity(bdev);
	return integrity && bio_integrity(bio)->bip_iter.bi_size ==
			    bio_integrity_bytes(integrity, bio_sectors(bio));
#else
	return true;
#endif
}

/*
 * Atomic writes: which sizes a device can write as a whole or not at all. 0 to 0
 * bytes on a kernel that does not have them.
 */
#ifdef REQ_ATOMIC

#define ATOMIC_FLAG	REQ_ATOMIC

static inline void atomic_write_limits(struct block_device *bdev,
				       unsigned int *min, unsigned int *max)
{
	const struct queue_limits *limits = &bdev_get_queue(bdev)->limits;
	bool can = bdev_can_atomic_write(bdev);

	*min = can ? limits->atomic_write_unit_min : 0;
	*max = can ? limits->atomic_write_unit_max : 0;
}

#else

#define ATOMIC_FLAG	((__force blk_opf_t)0)

static inline void atomic_write_limits(struct block_device *bdev,
				       unsigned int *min, unsigned int *max)
{
	*min = 0;
	*max = 0;
}

#endif

/* Is @page the one behind @previous in physical memory? */
static inline bool page_follows(const struct page *page,
				const struct page *previous)
{
#if defined(CONFIG_SPARSEMEM) && !defined(CONFIG_SPARSEMEM_VMEMMAP)
	return page_to_pfn(page) == page_to_pfn(previous) + 1;
#else
	return page == previous + 1;
#endif
}

/* is_vmalloc_addr() does not know of the data of modules, if that is apart. */
static inline bool is_module_data(const void *data)
{
#if defined(CONFIG_MODULES) && defined(MODULES_VADDR)
	unsigned long addr = (unsigned long)data;

	return addr >= MODULES_VADDR && addr < MODULES_END;
#else
	return false;
#endif
}

/* Does the architecture lend us its page table? */
#if defined(CONFIG_X86_64) && !defined(CONFIG_UML)
#define HAS_PAGE_TABLE
#endif

/*
 * A walk along the pages of memory that is contiguous only virtually. It goes
 * up by one page at each call, and nobody unmaps the memory meanwhile. So where
 * an architecture lends us its page table, an entry found for one page leads to
 * the next ones. To find the first costs more than to ask for two pages.
 */
struct vmap_walk {
#ifdef HAS_PAGE_TABLE
	const pte_t *pte;
#endif
};

/* The page at @addr, of @bytes to come; NULL where nothing is mapped. */
static __always_inline struct page *
vmap_walk_page(struct vmap_walk *walk, unsigned long addr, unsigned int bytes)
{
#ifdef HAS_PAGE_TABLE
	if (likely(walk->pte && (addr & ~PMD_MASK))) {
		walk->pte++;
	} else if (bytes > 2 * PAGE_SIZE) {
		unsigned int level;

		walk->pte = lookup_address(addr, &level);
		if (walk->pte && level != PG_LEVEL_4K)
			walk->pte = NULL;
	} else {
		walk->pte = NULL;
	}
	if (likely(walk->pte)) {
		pte_t pte = READ_ONCE(*walk->pte);

		return likely(pte_present(pte)) ? pte_page(pte) : NULL;
	}
#endif
	return vmalloc_to_page((void *)addr);
}

/*
 * For the tests
 */

#include <linux/blk-mq.h>

/* Disks whose limits are the default, the bio-based one with a write cache. */
#ifdef BLK_FEAT_WRITE_CACHE

static inline struct gendisk *alloc_cached_bio_disk(void)
{
	struct queue_limits limits = {
		.features = BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA,
	};
	struct gendisk *disk = blk_alloc_disk(&limits, NUMA_NO_NODE);

	return IS_ERR(disk) ? NULL : disk;
}

static inline struct gendisk *alloc_mq_disk(struct blk_mq_tag_set *tags,
					    void *data)
{
	struct gendisk *disk = blk_mq_alloc_disk(tags, NULL, data);

	return IS_ERR(disk) ? NULL : disk;
}

#else

static inline struct gendisk *alloc_cached_bio_disk(void)
{
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);

	if (disk)
		blk_queue_write_cache(disk->queue, true, true);
	return disk;
}

static inline struct gendisk *alloc_mq_disk(struct blk_mq_tag_set *tags,
					    void *data)
{
	struct gendisk *disk = blk_mq_alloc_disk(tags, data);

	return IS_ERR(disk) ? NULL : disk;
}

#endif

/*
 * Let a disk have so many bytes of integrity data for each sector; 0 is none. Its
 * length got another name when user space could ask for it.
 */
static inline void set_integrity_bytes(struct gendisk *disk,
				       unsigned int bytes)
{
#if defined(CONFIG_BLK_DEV_INTEGRITY) && !defined(BLK_FEAT_WRITE_CACHE)
	static const struct blk_integrity_profile profile = { .name = "test" };
	struct blk_integrity *integrity = &disk->queue->integrity;

	integrity->profile = bytes ? &profile : NULL;
	integrity->tuple_size = bytes;
	integrity->interval_exp = SECTOR_SHIFT;
#elif defined(CONFIG_BLK_DEV_INTEGRITY)
	struct blk_integrity *integrity = &disk->queue->limits.integrity;

#ifdef FS_IOC_GETLBMD_CAP
	integrity->metadata_size = bytes;
#else
	integrity->tuple_size = bytes;
#endif
	integrity->interval_exp = SECTOR_SHIFT;
#endif
}

/* Bios went without a write hint for some years. It came back with a header. */
#ifdef _LINUX_RW_HINT_H

static inline unsigned char bio_write_hint(const struct bio *bio)
{
	return (__force unsigned char)bio->bi_write_hint;
}

static inline void bio_set_write_hint(struct bio *bio, unsigned char hint)
{
	bio->bi_write_hint = (__force enum rw_hint)hint;
}

#else

static inline unsigned char bio_write_hint(const struct bio *bio)
{
	return 0;
}

static inline void bio_set_write_hint(struct bio *bio, unsigned char hint)
{
}

#endif

/*
 * The kernel's own dm_io() for the benchmark. Its arguments and those of its
 * callback came one by one, in the middle of stable series too.
 */
typedef int (dm_io_four_fn)(struct dm_io_request *, unsigned int,
			    struct dm_io_region *, unsigned long *);
typedef int (dm_io_five_fn)(struct dm_io_request *, unsigned int,
			    struct dm_io_region *, unsigned long *,
			    unsigned short);
typedef int (dm_io_six_fn)(struct dm_io_request *, unsigned int,
			   struct dm_io_region *, unsigned long *,
			   unsigned long *, unsigned short);

/* dm_io where it is of that type, for the branch that is taken only then. */
#define dm_io_if(type)							\
	__builtin_choose_expr(__same_type(dm_io, type), dm_io, (type *)NULL)

static inline int kernel_dm_io(struct dm_io_request *request,
			       unsigned int num_regions,
			       struct dm_io_region *where, unsigned long *error)
{
	if (__same_type(dm_io, dm_io_four_fn))
		return dm_io_if(dm_io_four_fn)(request, num_regions, where,
					       error);
	if (__same_type(dm_io, dm_io_five_fn))
		return dm_io_if(dm_io_five_fn)(request, num_regions, where,
					       error, 0);
	return dm_io_if(dm_io_six_fn)(request, num_regions, where, error,
				      NULL, 0);
}

/* The callback it takes, of one with two arguments and one with three. */
typedef void (dm_io_two_notify_fn)(unsigned long error, void *context);

#define kernel_dm_io_callback(two, three)				\
	__builtin_choose_expr(						\
		__same_type(((struct dm_io_notify *)NULL)->fn,		\
			    (dm_io_two_notify_fn *)NULL),		\
		(two), (three))

#endif /* DM_IO_COMPAT_H */
