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
#include <linux/ioport.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

/* What of a bio_vec an iterator has done got another name. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
#define bi_bvec_done	bi_offset
#endif

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
 * Have a bio that was made without a device go to one, with what it takes from
 * another bio: block cgroup, I/O priority, and where a device should put the data.
 */
static inline void bio_inherit(struct bio *bio, struct block_device *bdev,
			       struct bio *source)
{
	bio->bi_bdev = bdev;
#ifdef CONFIG_BLK_CGROUP
	if (source->bi_blkg)
		bio_clone_blkg_association(bio, source);
	else
		bio_associate_blkg(bio);
#endif
	bio->bi_ioprio = source->bi_ioprio;
	bio_set_write_hint(bio, bio_write_hint(source));
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
	bio->bi_write_stream = source->bi_write_stream;
#endif
}

/* Does a bio carry what takes memory to clone? */
static inline bool bio_has_context(const struct bio *bio)
{
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
 * bio_endio() lets go of the block cgroup on every kernel so far. Should it not,
 * or should the bio carry more, bio_uninit() has work to do.
 */
static inline bool bio_holds_references(const struct bio *bio)
{
#ifdef CONFIG_BLK_CGROUP
	if (bio->bi_blkg)
		return true;
#endif
	return bio_has_context(bio);
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

/*
 * May both be in one segment? The memory of a device may not be with other memory,
 * nor with that of another page map; it is kept apart altogether.
 */
static inline bool pages_mix(const struct page *a, const struct page *b)
{
	return !is_zone_device_page(a) && !is_zone_device_page(b);
}

/*
 * Is a page memory? An address may lead to a frame that has no struct page, or one
 * that only says so: firmware and I/O memory lie between the RAM.
 */
static __always_inline bool is_memory(struct page *page)
{
	unsigned long pfn = page_to_pfn(page);

	if (!pfn_valid(pfn))
		return false;
	/* User Mode Linux has nothing else, and does not say so. */
	return likely(!PageReserved(page)) || IS_ENABLED(CONFIG_UML) ||
	       page_is_ram(pfn) || is_zone_device_page(page);
}

/* Memory with a page table of its own: from vmalloc(), or the data of a module. */
static inline bool is_virtual(const void *data)
{
	if (is_vmalloc_addr(data))
		return true;
#if defined(CONFIG_MODULES) && defined(MODULES_VADDR)
	return (unsigned long)data >= MODULES_VADDR &&
	       (unsigned long)data < MODULES_END;
#else
	return false;
#endif
}

/*
 * Memory that is mapped for good. Above high_memory are the slots of kmap(), which
 * some architectures take for addresses of other pages.
 */
static inline bool is_linear(const void *data)
{
#ifdef CONFIG_HIGHMEM
	if (data >= (const void *)high_memory)
		return false;
#endif
	return virt_addr_valid(data) &&
	       is_memory(virt_to_page(data));
}

/* Does the architecture lend us its page table? */
#if defined(CONFIG_X86_64) && !defined(CONFIG_UML)
#define HAS_PAGE_TABLE
#endif

/* Frames come and go, and are valid or not, by so many at a time. */
#ifndef PFN_SUBSECTION_SHIFT
#define PFN_SUBSECTION_SHIFT	(21 - PAGE_SHIFT)
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
	unsigned long pfn;		/* of the last page that was looked at */
#endif
};

static noinline __maybe_unused struct page *vmap_page(unsigned long addr)
{
	struct page *page = vmalloc_to_page((void *)addr);

	return likely(page && is_memory(page)) ? page : NULL;
}

/* The page at @addr, with @many to come; NULL where there is no memory. */
static __always_inline struct page *
vmap_walk_page(struct vmap_walk *walk, unsigned long addr, bool many)
{
#ifdef HAS_PAGE_TABLE
	unsigned long pfn;
	pte_t pte;

	if (likely(walk->pte && (addr & ~PMD_MASK))) {
		walk->pte++;
	} else if (many) {
		unsigned int level;

		walk->pfn = 0;
		walk->pte = lookup_address(addr, &level);
		if (walk->pte && level != PG_LEVEL_4K)
			walk->pte = NULL;
	} else {
		walk->pte = NULL;
	}
	if (unlikely(!walk->pte))
		return vmap_page(addr);
	pte = READ_ONCE(*walk->pte);
	if (unlikely(!pte_present(pte)))
		return NULL;
	pfn = pte_pfn(pte);
	/* RAM is cached, and near other RAM: anything else is looked at. */
	if (unlikely((pfn ^ walk->pfn) >> PFN_SUBSECTION_SHIFT ||
		     pte_flags(pte) & _PAGE_CACHE_MASK)) {
		walk->pfn = pfn;
		if (!is_memory(pfn_to_page(pfn)))
			return NULL;
	}
	return pfn_to_page(pfn);
#else
	return vmap_page(addr);
#endif
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

/* The largest logical block that a driver may have. */
#ifdef BLK_MAX_BLOCK_SIZE
#define MAX_LOGICAL_BLOCK	BLK_MAX_BLOCK_SIZE
#else
#define MAX_LOGICAL_BLOCK	PAGE_SIZE
#endif

/* What a disk can write atomically, in bytes. Not for kernels that do not know. */
static inline void set_atomic_hw_limits(struct queue_limits *limits,
					unsigned int min, unsigned int max,
					unsigned int boundary)
{
#ifdef REQ_ATOMIC
	limits->atomic_write_hw_max = max;
	limits->atomic_write_hw_unit_min = min;
	limits->atomic_write_hw_unit_max = max;
	limits->atomic_write_hw_boundary = boundary;
#ifdef BLK_FEAT_ATOMIC_WRITES
	limits->features &= ~BLK_FEAT_ATOMIC_WRITES;
	if (max)
		limits->features |= BLK_FEAT_ATOMIC_WRITES;
#endif
#endif
}

/*
 * Change the limits of a disk that is idle, in the way of a driver: the kernel says
 * whether they are possible, and derives others from them. There was a time when it
 * did not say.
 */
static inline int
change_limits(struct gendisk *disk, bool cache, bool fua,
	      void (*change)(struct queue_limits *limits, const void *data),
	      const void *data)
{
#ifdef BLK_FEAT_WRITE_CACHE
	struct queue_limits limits = queue_limits_start_update(disk->queue);

	limits.features &= ~(BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA);
	if (cache)
		limits.features |= BLK_FEAT_WRITE_CACHE;
	if (fua)
		limits.features |= BLK_FEAT_FUA;
	change(&limits, data);
	return queue_limits_commit_update(disk->queue, &limits);
#else
	struct queue_limits *limits = &disk->queue->limits;

	blk_queue_write_cache(disk->queue, cache, fua);
	change(limits, data);
	limits->max_discard_sectors = limits->max_hw_discard_sectors;
	blk_queue_max_hw_sectors(disk->queue, limits->max_hw_sectors);
	return 0;
#endif
}

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
