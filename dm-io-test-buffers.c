// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the tests of kinds of memory, and of long and odd buffers
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/highmem.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/ioprio.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"
#include "dm-io-test-disk.h"
#include "dm-io-test-io.h"

#ifdef CONFIG_HIGHMEM
static void buffers_are_in_high_memory(struct kunit *test)
{
	expect_high_memory(test, arena_pages, ARENA_PAGES);
}
#endif

/*
 * The disk keeps nothing, so few pages serve for a long buffer: a list that goes
 * round in a circle, and entries that pretend to span more than there is.
 */
static void region_may_be_of_gigabytes(struct kunit *test)
{
	struct buffer *buffer = new_buffer(test, 4 * PAGE_SIZE, 0);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	struct test_disk *disk, *small;
	unsigned int seed = new_seed();
	unsigned int i;

	get_reserve(test, 1);
	fill_buffer(buffer, seed);
	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = HUGE_DISK,
		.no_data = true,
	});
	small = new_plain_disk(test);
	buffer->pages[3].next = &buffer->pages[0];
	for (i = 0; i < 3; i++)
		buffer->bvec[i].bv_len = SZ_1G + SZ_1G / 2 + SZ_1G / 4;

	/* The short region ends well before the long one. */
	add_region(io, disk->bdev, 8, HUGE_BYTES >> SECTOR_SHIFT);
	add_region(io, small->bdev, 24, 8);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	expect_in_a_row(test, disk, 8, HUGE_BYTES);
	expect_on_disk(test, small, 24, bytes_of(seed), SZ_4K);
	expect_untouched(test, small, 32, small->num_sectors);
	KUNIT_EXPECT_EQ(test, small->num_bios, 1);

	/* One table at a time, if the array is not the caller's. */
	KUNIT_EXPECT_EQ(test, disk->most_in_flight, 1);
	if (!takes_bvec(io->call))
		for (i = 0; i < TEST_DISK_RECORDS; i++)
			KUNIT_EXPECT_LE(test, disk->bios[i].max_vecs, 256);

	test_disk_forget(disk);
	io->num_regions = 1;
	io->rw = READ;
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	expect_in_a_row(test, disk, 8, HUGE_BYTES);
}

static const struct call_info huge_calls[] = {
	{ SYNC_PAGES, "dm_io_sync" },
	{ ASYNC_PAGES, "dm_io_async" },
	{ SYNC_BVEC, "dm_io_sync_bvec" },
	{ ASYNC_BVEC, "dm_io_async_bvec" },
};

KUNIT_ARRAY_PARAM(huge_call, huge_calls, describe_call);

/* As much as the size of a bio can tell, and more than a signed number can. */
static void region_may_be_as_long_as_a_bio(struct kunit *test)
{
	struct buffer *buffer = new_buffer(test, PAGE_SIZE, 0);
	struct bio_vec *vecs = test_alloc(test, 2 * sizeof(*vecs));
	struct test_disk *disk;
	enum call call;

	get_reserve(test, 1);
	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = HUGE_DISK,
		.no_data = true,
	});
	bvec_set_page(&vecs[0], page_at(buffer->data), SZ_1G + SZ_512, 0);
	bvec_set_page(&vecs[1], page_at(buffer->data), SZ_2G, 0);
	bio_init(&buffer->bio, NULL, vecs, 2, REQ_OP_WRITE);
	buffer->bio.bi_vcnt = 2;
	buffer->bio.bi_iter.bi_size = 3U * SZ_1G + SZ_512;

	for (call = SYNC_BIO; call <= ASYNC_BIO; call++) {
		struct io *io = new_io(test, call, WRITE, buffer);

		test_disk_forget(disk);
		add_region(io, disk->bdev, 8, (3U * SZ_1G + SZ_512) >> 9);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		expect_in_a_row(test, disk, 8, 3U * SZ_1G + SZ_512);
	}
}

/* A table is not larger for memory from vmalloc(), either. */
static void vmalloc_region_takes_one_table_at_a_time(struct kunit *test)
{
	size_t bytes = SZ_8M + 3 * SECTOR_SIZE;
	struct buffer *buffer = new_buffer(test, bytes, 512);
	struct test_disk *disk;
	enum call call;
	unsigned int i;

	get_reserve(test, 1);
	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = HUGE_DISK,
		.no_data = true,
	});
	for (call = SYNC_VM; call <= ASYNC_VM; call++) {
		struct io *io = new_io(test, call, WRITE, buffer);

		test_disk_forget(disk);
		add_region(io, disk->bdev, 8, bytes >> SECTOR_SHIFT);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		expect_in_a_row(test, disk, 8, bytes);
		KUNIT_EXPECT_EQ(test, disk->most_in_flight, 1);
		for (i = 0; i < min(disk->num_bios, TEST_DISK_RECORDS); i++)
			KUNIT_EXPECT_LE(test, disk->bios[i].max_vecs, 256);
	}
}

/* More entries than the block layer can count in a bio. */
static void bvec_may_have_many_entries(struct kunit *test)
{
	unsigned int num = 70000, i, first;
	struct buffer *buffer = new_buffer(test, 2 * PAGE_SIZE, 0);
	struct bio_vec *vecs = test_alloc(test, num * sizeof(*vecs));
	struct test_disk *disk;
	enum call call;

	get_reserve(test, 1);
	disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = num,
		.no_data = true,
	});
	for (i = 0; i < num; i++)
		bvec_set_page(&vecs[i], page_at(buffer->data), SECTOR_SIZE, 0);

	for (call = SYNC_BVEC; call <= ASYNC_BVEC; call++) {
		struct io *io = new_io(test, call, READ, buffer);

		io->bvec = vecs;
		test_disk_forget(disk);
		disk->bad_bio = 0;
		add_region(io, disk->bdev, 0, num);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		expect_in_a_row(test, disk, 0, (u64)num << SECTOR_SHIFT);
		KUNIT_EXPECT_GE(test, disk->num_bios, 2);

		/* The second bio reads into another page, and fails. */
		first = disk->bios[0].bytes >> SECTOR_SHIFT;
		for (i = first; i < num; i++)
			vecs[i].bv_page = page_at(buffer->data + PAGE_SIZE);
		memset(buffer->data, GUARD, 2 * PAGE_SIZE);
		test_disk_forget(disk);
		disk->bad_bio = 2;
		KUNIT_EXPECT_EQ(test, perform(test, io), -EIO);
		all_bytes(test, buffer->data, GUARD, PAGE_SIZE,
			  "what was read");
		all_bytes(test, buffer->data + PAGE_SIZE, 0, SECTOR_SIZE,
			  "what was not read");
	}
}

static void one_entry_may_span_many_pages(struct kunit *test)
{
	unsigned int order = get_order(SZ_256K), offset = 1536, seed;
	size_t bytes = SZ_256K - 3 * SECTOR_SIZE;
	struct page *block = alloc_pages(GFP_KERNEL, order);
	struct buffer *buffer = test_alloc(test, sizeof(*buffer));
	struct bio_vec *vec = test_alloc(test, sizeof(*vec));
	struct test_disk *disk = new_plain_disk(test);
	enum call call;

	KUNIT_ASSERT_NOT_NULL(test, block);
	get_reserve(test, 1);
	buffer->data = page_address(block) + offset;
	buffer->bytes = bytes;
	buffer->bvec = vec;
	buffer->num_vecs = 1;
	bvec_set_page(vec, block, bytes, offset);
	bio_over_bvec(buffer);

	for (call = 0; call < NUM_CALLS; call++) {
		struct io *io;

		if (!takes_bvec(call))
			continue;
		seed = new_seed();
		fill_buffer(buffer, seed);
		io = new_io(test, call, WRITE, buffer);
		add_region(io, disk->bdev, 1, bytes >> SECTOR_SHIFT);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		expect_on_disk(test, disk, 1, bytes_of(seed), bytes);

		memset(buffer->data, GUARD, bytes);
		io->rw = READ;
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		same_bytes(test, buffer->data, bytes_of(seed), bytes,
			   "what was read");
	}
	__free_pages(block, order);
}

static u8 static_memory[SZ_8K];

enum memory {
	KMALLOC,
	LARGE_KMALLOC,
	PAGES,
	VMALLOC,
	STATIC,
	STACK,
};

static const struct memory_kind {
	const char *name;
	enum memory memory;
} memory_kinds[] = {
	{ "kmalloc", KMALLOC },
	{ "kmalloc of many pages", LARGE_KMALLOC },
	{ "pages", PAGES },
	{ "vmalloc", VMALLOC },
	{ "static data", STATIC },
	{ "stack", STACK },
};

static void describe_memory(const struct memory_kind *kind, char *desc)
{
	strscpy(desc, kind->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(memory, memory_kinds, describe_memory);

static void check_memory(struct kunit *test, u8 *data, size_t bytes, bool sync)
{
	struct test_disk *disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = DISK_SECTORS,
		.any_alignment = true,
	});
	struct io *io = new_io(test, sync ? SYNC_VM : ASYNC_VM, WRITE, NULL);
	unsigned int seed = new_seed();

	get_reserve(test, 1);
	disk->end = END_IN_WORKER;
	io->data = data;
	add_region(io, disk->bdev, 3, bytes >> SECTOR_SHIFT);
	memcpy(data, bytes_of(seed), bytes);
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	expect_on_disk(test, disk, 3, bytes_of(seed), bytes);

	seed = new_seed();
	fill_disk(disk, 3, seed, bytes);
	io->rw = READ;
	KUNIT_EXPECT_EQ(test, perform(test, io), 0);
	same_bytes(test, data, bytes_of(seed), bytes, "what was read");
}

/* The stack of whoever makes a call is often what vmalloc() returned. */
struct stack_call {
	struct io *io;
	const u8 *before;
	u8 after[SECTOR_SIZE];
};

static noinline_for_stack void call_with_stack(void *context)
{
	struct stack_call *call = context;
	struct io *io = call->io;
	u8 data[SECTOR_SIZE];

	memcpy(data, call->before, sizeof(data));
	io->data = data;
	make_call(io);
	if (is_async(io->call) && !io->ret)
		wait_for_completion(&io->ended);
	memcpy(call->after, data, sizeof(data));
}

static void check_stack(struct kunit *test, bool sync)
{
	struct test_disk *disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = DISK_SECTORS,
		.any_alignment = true,
	});
	struct stack_call *call = test_alloc(test, sizeof(*call));
	struct io *io = new_io(test, sync ? SYNC_VM : ASYNC_VM, WRITE, NULL);
	unsigned int seed = new_seed();

	get_reserve(test, 1);
	disk->end = END_IN_WORKER;
	add_region(io, disk->bdev, 3, 1);
	call->io = io;
	call->before = bytes_of(seed);
	finish_job(test, start_job(test, call_with_stack, call), "a call");
	KUNIT_EXPECT_EQ(test, io->ret, 0);
	expect_on_disk(test, disk, 3, bytes_of(seed), SECTOR_SIZE);

	call->before = bytes_of(new_seed());
	io->rw = READ;
	reinit_completion(&io->ended);
	finish_job(test, start_job(test, call_with_stack, call), "a call");
	KUNIT_EXPECT_EQ(test, io->ret, 0);
	same_bytes(test, call->after, bytes_of(seed), SECTOR_SIZE,
		   "what was read");
	io->wanted_ends = sync ? 0 : 2;
}

static void check_memory_kind(struct kunit *test, enum memory memory, bool sync)
{
	void *data;

	switch (memory) {
	case KMALLOC:
		data = kmalloc(SZ_1K + 100, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, data);
		check_memory(test, data + 100, SZ_1K, sync);
		kfree(data);
		break;
	case LARGE_KMALLOC:
		data = kmalloc(SZ_128K, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, data);
		check_memory(test, data + 77, SZ_64K, sync);
		kfree(data);
		break;
	case PAGES:
		data = (void *)__get_free_pages(GFP_KERNEL, 2);
		KUNIT_ASSERT_NOT_NULL(test, data);
		check_memory(test, data, SZ_16K, sync);
		free_pages((unsigned long)data, 2);
		break;
	case VMALLOC:
		data = vmalloc(SZ_16K);
		KUNIT_ASSERT_NOT_NULL(test, data);
		check_memory(test, data + 1, SZ_8K, sync);
		vfree(data);
		break;
	case STATIC:
		check_memory(test, static_memory, sizeof(static_memory), sync);
		break;
	case STACK:
		check_stack(test, sync);
		break;
	}
}

static void vm_calls_take_any_kernel_memory(struct kunit *test)
{
	const struct memory_kind *kind = test->param_value;

	check_memory_kind(test, kind->memory, true);
	check_memory_kind(test, kind->memory, false);
}

/* What a clone of the bio would carry goes along, and the bio is not touched. */
static void bio_stays_as_it_is(struct kunit *test)
{
	struct test_disk *disk = new_plain_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_16K, 512);
	struct bio *copy = test_alloc(test, sizeof(*copy));
	struct bio *bio = &buffer->bio;
	enum call call;

	get_reserve(test, 1);
	disk->end = END_IN_WORKER;
	bio->bi_ioprio = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_RT, 3);
	bio_set_write_hint(bio, 4);
	bio->bi_opf = REQ_OP_DISCARD | REQ_META;
	bio->bi_iter.bi_sector = 12345;
	*copy = *bio;

	for (call = SYNC_BIO; call <= ASYNC_BIO; call++) {
		struct io *io = new_io(test, call, WRITE, buffer);
		unsigned int i, seed = new_seed();

		fill_buffer(buffer, seed);
		test_disk_forget(disk);
		add_region(io, disk->bdev, 0, 32);
		add_region(io, disk->bdev, 100, 16);
		KUNIT_EXPECT_EQ(test, perform(test, io), 0);
		expect_on_disk(test, disk, 0, bytes_of(seed), SZ_16K);
		expect_on_disk(test, disk, 100, bytes_of(seed), SZ_8K);
		expect_untouched(test, disk, 116, disk->num_sectors);
		for (i = 0; i < 2; i++) {
			KUNIT_EXPECT_EQ(test, disk->bios[i].ioprio,
					bio->bi_ioprio);
			KUNIT_EXPECT_EQ(test, disk->bios[i].write_hint,
					bio_write_hint(bio));
			KUNIT_EXPECT_FALSE(test, disk->bios[i].opf & REQ_META);
		}
		KUNIT_EXPECT_EQ(test, memcmp(bio, copy, sizeof(*bio)), 0);
	}
}

/*
 * What is no memory
 */

static const struct call_info vm_calls[] = {
	{ SYNC_VM, "dm_io_sync_vm" },
	{ ASYNC_VM, "dm_io_async_vm" },
	{ SYNC_ARGS, "dm_io_submit" },
	{ ASYNC_ARGS, "dm_io_submit with a callback" },
};

KUNIT_ARRAY_PARAM(vm_call, vm_calls, describe_call);

static struct io *new_vm_io(struct kunit *test, enum call call, int rw,
			    void *data)
{
	struct io *io = new_io(test, call, rw, NULL);

	io->data = data;
	io->own_buffer = true;
	io->args.data = data;
	return io;
}

/* Nobody looks at what is there: the disk keeps nothing. */
static void check_no_memory(struct kunit *test, void *data, const char *what)
{
	static const sector_t counts[] = { 1, PAGE_SECTORS, 4 * PAGE_SECTORS,
					   SZ_2M >> SECTOR_SHIFT };
	struct test_disk *disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = HUGE_DISK,
		.no_data = true,
		.any_alignment = true,
	});
	unsigned int i;

	for (i = 0; i < 2 * ARRAY_SIZE(counts); i++) {
		struct io *io = new_vm_io(test, param_call(test),
					  i & 1 ? READ : WRITE, data);

		add_region(io, disk->bdev, 8, counts[i / 2]);
		expect_refused(test, io, -EINVAL);
		io->regions[1] = io->regions[0];
		io->num_regions = 2;
		io->rw = WRITE;
		expect_refused(test, io, -EINVAL);
		KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
		tell_case(test, io, what);
	}
}

static void address_without_memory_is_refused(struct kunit *test)
{
	get_reserve(test, 1);
	check_no_memory(test, (void *)SECTOR_SIZE, "a low address");
	check_no_memory(test, ERR_PTR(-EIO), "an error");
	check_no_memory(test, arena + ARENA_BYTES, "behind vmap()");
}

#if IS_ENABLED(CONFIG_HAS_IOMEM) && !IS_ENABLED(CONFIG_UML)

/* Behind all RAM: in the section of its last page, or in one that has no RAM. */
static phys_addr_t behind_memory(phys_addr_t apart)
{
	resource_size_t end = 0;
	struct resource *res;

	for (res = iomem_resource.child; res; res = res->sibling)
		if ((res->flags & IORESOURCE_SYSTEM_RAM) == IORESOURCE_SYSTEM_RAM)
			end = max(end, res->end + 1);
	return ALIGN(end, apart) + apart;
}

static void io_memory_is_refused(struct kunit *test)
{
	static const phys_addr_t distances[] = { PAGE_SIZE, SZ_128M };
	unsigned int i;

	get_reserve(test, 1);
	for (i = 0; i < ARRAY_SIZE(distances); i++) {
		phys_addr_t phys = behind_memory(distances[i]);
		void __iomem *data = ioremap(phys, SZ_4M);

		if (!data)
			continue;
		check_no_memory(test, (__force void *)data, "ioremap()");
		iounmap(data);
	}
}

#endif

/* The memory is too short, and something is wrong with the region, too. */
static void short_memory_is_not_touched(struct kunit *test)
{
	static const struct {
		sector_t sector, count;
	} wheres[] = {
		{ 1, 8 * PAGE_SECTORS }, { 8, 8 * PAGE_SECTORS + 1 },
		{ DISK_SECTORS - 8, 8 * PAGE_SECTORS }, { 8, 8 * PAGE_SECTORS },
	};
	struct test_disk *disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = DISK_SECTORS,
		.block = SZ_4K,
	});
	u8 *data = arena + ARENA_BYTES - 2 * PAGE_SIZE;
	unsigned int i, offset;

	get_reserve(test, 1);
	for (i = 0; i < ARRAY_SIZE(wheres); i++) {
		for (offset = 0; offset < 3; offset++) {
			struct io *io = new_vm_io(test, param_call(test), READ,
						  data + offset);

			memset(data, GUARD, 2 * PAGE_SIZE);
			add_region(io, disk->bdev, wheres[i].sector,
				   wheres[i].count);
			expect_refused(test, io, -EINVAL);
			all_bytes(test, data, GUARD, 2 * PAGE_SIZE,
				  "memory that is too short");
		}
	}
	KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
}

/*
 * Two areas with the page between them that vmap() leaves unmapped: it comes
 * behind more pages than a table has entries.
 */
#define HOLE_PAGES	300
#define HOLE_MAPS	32

struct hole {
	struct page *pages[2][HOLE_PAGES];
	u8 *maps[HOLE_MAPS];
	u8 *before, *behind;
};

static void free_hole(void *data)
{
	struct hole *hole = data;
	unsigned int i;

	for (i = 0; i < HOLE_MAPS; i++)
		vunmap(hole->maps[i]);
	for (i = 0; i < 2 * HOLE_PAGES; i++)
		if (hole->pages[i & 1][i / 2])
			__free_page(hole->pages[i & 1][i / 2]);
}

/* Areas that are mapped one after the other are mostly side by side. */
static struct hole *new_hole(struct kunit *test)
{
	struct hole *hole = test_alloc(test, sizeof(*hole));
	unsigned int i, j;

	defer(test, free_hole, hole);
	for (i = 0; i < 2 * HOLE_PAGES; i++) {
		hole->pages[i & 1][i / 2] = alloc_page(GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, hole->pages[i & 1][i / 2]);
	}
	for (i = 0; i < HOLE_MAPS && !hole->before; i++) {
		hole->maps[i] = vmap(hole->pages[i & 1], HOLE_PAGES, VM_MAP,
				     PAGE_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, hole->maps[i]);
		for (j = i & 1 ? 0 : 1; j < i; j += 2) {
			u8 *low = min(hole->maps[i], hole->maps[j]);
			u8 *high = max(hole->maps[i], hole->maps[j]);

			if (high - low != (HOLE_PAGES + 1) * PAGE_SIZE)
				continue;
			hole->before = low;
			hole->behind = high;
		}
	}
	KUNIT_ASSERT_NOT_NULL(test, hole->before);
	return hole;
}

static void check_hole(struct kunit *test, struct hole *hole, unsigned int offset)
{
	size_t bytes = (HOLE_PAGES + 4) * PAGE_SIZE, mapped, done;
	struct test_disk *disk = new_disk(test, &(struct test_disk_layout) {
		.num_sectors = bytes >> SECTOR_SHIFT,
		.any_alignment = true,
	});
	struct io *io = new_vm_io(test, param_call(test), READ,
				  hole->before + offset);

	memset(hole->before, GUARD, HOLE_PAGES * PAGE_SIZE);
	memset(hole->behind, GUARD, HOLE_PAGES * PAGE_SIZE);
	add_region(io, disk->bdev, 0, bytes >> SECTOR_SHIFT);
	perform_with(test, io, (int[]) { -EFAULT });
	done = disk->num_bytes;
	mapped = HOLE_PAGES * PAGE_SIZE - offset;
	KUNIT_EXPECT_GT(test, done, 0);
	KUNIT_EXPECT_LE(test, done, mapped);
	all_bytes(test, hole->before, GUARD, offset, "memory before the buffer");
	all_bytes(test, hole->before + offset, TEST_DISK_FILLER, done,
		  "what was read");
	all_bytes(test, hole->before + offset + done, 0, mapped - done,
		  "what was not read, before the hole");
	/* A hole ends a buffer: what is mapped behind it may be somebody else's. */
	all_bytes(test, hole->behind, GUARD, 4 * PAGE_SIZE + offset,
		  "memory behind the hole");
}

static void read_is_zeroed_up_to_a_hole(struct kunit *test)
{
	struct hole *hole = new_hole(test);

	get_reserve(test, 1);
	check_hole(test, hole, 0);
	check_hole(test, hole, 512);
	check_hole(test, hole, 77);
	WRITE_ONCE(dm_io_test_no_memory, true);
	check_hole(test, hole, 512);
	WRITE_ONCE(dm_io_test_no_memory, false);
}

#ifdef CONFIG_HIGHMEM

/* An address that kmap() gave is memory, but not that of its linear address. */
static void mapped_high_memory_is_right_or_refused(struct kunit *test)
{
	struct test_disk *disk = new_byte_disk(test);
	unsigned int i, num_mapped = 0;

	get_reserve(test, 1);
	for (i = 0; i < 16; i++) {
		unsigned int seed = new_seed();
		struct io *io;
		u8 *data;

		if (!PageHighMem(arena_pages[i]))
			continue;
		num_mapped++;
		data = kmap_high(arena_pages[i]);
		memcpy(data, bytes_of(seed), PAGE_SIZE);
		io = new_vm_io(test, param_call(test), WRITE, data);
		add_region(io, disk->bdev, i * PAGE_SECTORS, PAGE_SECTORS);
		perform(test, io);
		if (io->ret == -EINVAL) {
			KUNIT_EXPECT_EQ(test, disk->num_bios, 0);
		} else {
			KUNIT_EXPECT_EQ(test, io->error, 0);
			expect_on_disk(test, disk, i * PAGE_SECTORS,
				       bytes_of(seed), PAGE_SIZE);
		}

		io->rw = READ;
		memset(data, GUARD, PAGE_SIZE);
		perform(test, io);
		if (io->ret == -EINVAL)
			all_bytes(test, data, GUARD, PAGE_SIZE, "the page");
		else
			same_bytes(test, data, bytes_of(seed), PAGE_SIZE,
				   "what was read");
		kunmap_high(arena_pages[i]);
	}
	KUNIT_EXPECT_GT(test, num_mapped, 0);
}

#endif

static const struct short_case short_cases[] = {
	SHORT_CASE(one_entry_may_span_many_pages),
	SHORT_CASE(bio_stays_as_it_is),
	SHORT_CASE_PARAM(vm_calls_take_any_kernel_memory, memory_kinds),
};

KUNIT_ARRAY_PARAM(short_case, short_cases, describe_short_case);

static struct kunit_case buffers_cases[] = {
#ifdef CONFIG_HIGHMEM
	KUNIT_CASE(buffers_are_in_high_memory),
#endif
	KUNIT_CASE_PARAM(region_may_be_of_gigabytes, huge_call_gen_params),
	KUNIT_CASE(region_may_be_as_long_as_a_bio),
	KUNIT_CASE(vmalloc_region_takes_one_table_at_a_time),
	KUNIT_CASE(bvec_may_have_many_entries),
	KUNIT_CASE(one_entry_may_span_many_pages),
	KUNIT_CASE_PARAM(vm_calls_take_any_kernel_memory, memory_gen_params),
	KUNIT_CASE(bio_stays_as_it_is),
	KUNIT_CASE_PARAM(address_without_memory_is_refused, vm_call_gen_params),
#if IS_ENABLED(CONFIG_HAS_IOMEM) && !IS_ENABLED(CONFIG_UML)
	KUNIT_CASE_PARAM(io_memory_is_refused, vm_call_gen_params),
#endif
	KUNIT_CASE_PARAM(short_memory_is_not_touched, vm_call_gen_params),
	KUNIT_CASE_PARAM(read_is_zeroed_up_to_a_hole, vm_call_gen_params),
#ifdef CONFIG_HIGHMEM
	KUNIT_CASE_PARAM(mapped_high_memory_is_right_or_refused,
			 vm_call_gen_params),
#endif
	KUNIT_CASE_PARAM(results_hold_without_memory, short_case_gen_params),
	{}
};

struct kunit_suite buffers_suite = {
	.name = "dm_io_buffers",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = buffers_cases,
};
