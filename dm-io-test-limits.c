// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: the tests of what devices can take: alignment and layout of the memory
 *
 * The disks are those of dm-io-test-strict.c, which fail the test when a request
 * breaks one of their limits.
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/sizes.h>

#include "dm-io.h"
#include "dm-io-compat.h"
#include "dm-io-test.h"
#include "dm-io-test-disk.h"
#include "dm-io-test-io.h"
#include "dm-io-test-strict.h"

/* Limits like those of real devices, and each limit by itself. */
static const struct limited {
	const char *name;
	bool bio_based;
	struct strict_limits limits;
} devices[] = {
	{ "512-byte blocks, sectors for DMA", false, { } },
	{ "512-byte blocks, words for DMA", false, { .dma_alignment = 3 } },
	{ "512-byte blocks, pairs of bytes for DMA", false,
	  { .dma_alignment = 1 } },
	{ "4 KiB blocks, pages for DMA", false,
	  { .block = SZ_4K, .dma_alignment = SZ_4K - 1 } },
	{ "4 KiB blocks, sectors for DMA", false, { .block = SZ_4K } },
	{ "NVMe with 512-byte blocks", false,
	  { .dma_alignment = 3, .virt_boundary = SZ_4K - 1,
	    .max_sectors = 1024 } },
	{ "NVMe with 4 KiB blocks", false,
	  { .block = SZ_4K, .dma_alignment = 3, .virt_boundary = SZ_4K - 1,
	    .max_sectors = 1024 } },
	{ "SCSI with 4 KiB blocks and few segments", false,
	  { .block = SZ_4K, .dma_alignment = 3, .max_segments = 4,
	    .max_sectors = 512 } },
	{ "4 KiB blocks and one segment", false,
	  { .block = SZ_4K, .dma_alignment = 3, .max_segments = 1 } },
	{ "512-byte blocks and one segment", false,
	  { .dma_alignment = 1, .max_segments = 1 } },
	{ "segments that cross no page", false,
	  { .block = SZ_4K, .dma_alignment = 3, .seg_boundary = SZ_4K - 1,
	    .max_segments = 1 } },
	{ "segments of a page", false,
	  { .block = SZ_4K, .dma_alignment = 3, .max_segment_size = SZ_4K,
	    .max_segments = 2 } },
	{ "short requests", false,
	  { .block = SZ_4K, .dma_alignment = 3, .max_sectors = 8,
	    .max_segments = 3 } },
	{ "64 KiB blocks, few segments", false,
	  { .block = SZ_64K, .dma_alignment = 3, .max_segments = 3,
	    .max_sectors = 256 } },
	{ "64 KiB blocks, short segments", false,
	  { .block = SZ_64K, .dma_alignment = 3, .max_segment_size = SZ_4K,
	    .max_segments = 16, .max_sectors = 256 } },
	{ "brd", true, { } },
	{ "bio-based, 4 KiB blocks", true, { .block = SZ_4K } },
	{ "bio-based, words", true, { .block = SZ_4K, .dma_alignment = 3 } },
};

static void describe_device(const struct limited *device, char *desc)
{
	strscpy(desc, device->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(device, devices, describe_device);

/* No driver may have limits below a page, and not all kernels have all blocks. */
static struct strict_disk *new_device(struct kunit *test,
				      const struct limited *device)
{
	struct strict_limits limits = device->limits;

	if (limits.block > STRICT_MAX_BLOCK)
		limits.block = STRICT_MAX_BLOCK;
	if (limits.seg_boundary)
		limits.seg_boundary = max_t(unsigned long, limits.seg_boundary,
					    PAGE_SIZE - 1);
	if (limits.max_segment_size)
		limits.max_segment_size = max_t(unsigned int, PAGE_SIZE,
						limits.max_segment_size);
	return new_strict_disk(test, device->bio_based, &limits, DISK_SECTORS);
}

/*
 * Memory in pieces. Each is in a page of its own, or they are cut from contiguous
 * pages. All layouts are of whole blocks of 4 KiB.
 */
#define MAX_PIECES	24
#define CONTIGUOUS	SZ_256K

static const struct layout {
	const char *name;
	bool contiguous;
	unsigned int bytes;
	struct {
		unsigned int offset, len;
	} pieces[MAX_PIECES];
} layouts[] = {
	{ "pages", false, SZ_16K,
	  { { 0, 4096 }, { 0, 4096 }, { 0, 4096 }, { 0, 4096 } } },
	{ "halves of pages", false, SZ_4K, { { 0, 2048 }, { 0, 2048 } } },
	{ "halves that meet at the page's end", false, SZ_8K,
	  { { 2048, 2048 }, { 0, 2048 }, { 1536, 2560 }, { 0, 1536 } } },
	{ "sectors", false, SZ_4K,
	  { { 0, 512 }, { 512, 512 }, { 1024, 512 }, { 0, 512 }, { 3584, 512 },
	    { 0, 512 }, { 512, 512 }, { 0, 512 } } },
	{ "100 and 412 bytes", false, SZ_4K,
	  { { 0, 100 }, { 0, 412 }, { 100, 100 }, { 0, 412 }, { 0, 100 },
	    { 4, 412 }, { 0, 100 }, { 0, 412 }, { 0, 100 }, { 0, 412 },
	    { 0, 100 }, { 0, 412 }, { 0, 100 }, { 0, 412 }, { 0, 100 },
	    { 0, 412 } } },
	{ "a sector across two pages, among others", false, SZ_4K,
	  { { 0, 512 }, { 0, 100 }, { 512, 412 }, { 0, 3072 } } },
	{ "1 KiB and 3 KiB", false, SZ_4K, { { 0, 1024 }, { 0, 3072 } } },
	{ "from byte 256 of a page", false, SZ_8K,
	  { { 256, 3840 }, { 0, 4096 }, { 0, 256 } } },
	{ "sixteen times 256 bytes", false, SZ_4K,
	  { { 0, 256 }, { 256, 256 }, { 0, 256 }, { 512, 256 }, { 0, 256 },
	    { 0, 256 }, { 0, 256 }, { 0, 256 }, { 0, 256 }, { 0, 256 },
	    { 0, 256 }, { 0, 256 }, { 0, 256 }, { 0, 256 }, { 0, 256 },
	    { 0, 256 } } },
	{ "words", false, SZ_4K, { { 4, 516 }, { 1000, 3080 }, { 0, 500 } } },
	{ "odd bytes", false, SZ_4K,
	  { { 1, 1 }, { 77, 510 }, { 0, 2 }, { 4095, 1 }, { 3, 3582 } } },
	{ "good blocks around a bad one", false, SZ_16K,
	  { { 0, 4096 }, { 0, 2048 }, { 513, 2048 }, { 0, 4096 },
	    { 0, 4096 } } },
	{ "bad blocks around a good one", false, SZ_16K,
	  { { 0, 1000 }, { 0, 3096 }, { 0, 4096 }, { 0, 4096 }, { 0, 99 },
	    { 0, 3997 } } },
	{ "an odd piece behind the end", false, SZ_4K,
	  { { 0, 4096 }, { 1, 3 } } },
	{ "an odd end of the last piece", false, SZ_4K,
	  { { 0, 2048 }, { 2048, 2049 } } },
	{ "a long piece", true, SZ_64K, { { 0, SZ_64K } } },
	{ "a long piece from the middle of a page", true, SZ_64K,
	  { { 2048, SZ_64K } } },
	{ "a long piece, by a word", true, SZ_64K, { { 4, SZ_64K } } },
	{ "a long piece, by a byte", true, SZ_64K, { { 1, SZ_64K } } },
	{ "long pieces with gaps", true, SZ_16K,
	  { { 0, 6144 }, { 8192, 2048 }, { 10244, 5120 }, { 20480, 3072 } } },
	{ "more than a bounce buffer holds", true, SZ_128K + SZ_64K,
	  { { 3, SZ_128K + SZ_64K } } },
};

/* What a layout is on this machine, with pages of whatever size. */
struct pieces {
	const struct layout *layout;
	u8 *data;			/* all of the memory */
	size_t bytes;
	struct buffer buffer;
	struct bio_vec vecs[MAX_PIECES];
};

static void free_contiguous(void *data)
{
	free_pages((unsigned long)data, get_order(CONTIGUOUS));
}

static u8 *piece_at(const struct pieces *pieces, unsigned int i)
{
	unsigned int offset = pieces->layout->pieces[i].offset;

	if (!pieces->layout->contiguous)
		offset += i * PAGE_SIZE;
	return pieces->data + offset;
}

static struct pieces *new_pieces(struct kunit *test, const struct layout *layout)
{
	struct pieces *pieces = test_alloc(test, sizeof(*pieces));
	unsigned int i;

	pieces->layout = layout;
	if (layout->contiguous) {
		pieces->bytes = CONTIGUOUS;
		pieces->data = (u8 *)__get_free_pages(GFP_KERNEL,
						      get_order(CONTIGUOUS));
		KUNIT_ASSERT_NOT_NULL(test, pieces->data);
		defer(test, free_contiguous, pieces->data);
	} else {
		pieces->bytes = MAX_PIECES * PAGE_SIZE;
		pieces->data = new_buffer(test, pieces->bytes, 0)->data;
	}
	memset(pieces->data, GUARD, pieces->bytes);
	for (i = 0; i < MAX_PIECES && layout->pieces[i].len; i++) {
		u8 *piece = piece_at(pieces, i);

		bvec_set_page(&pieces->vecs[i], page_at(piece),
			      layout->pieces[i].len, offset_in_page(piece));
		pieces->buffer.bytes += layout->pieces[i].len;
	}
	pieces->buffer.bvec = pieces->vecs;
	pieces->buffer.num_vecs = i;
	bio_over_bvec(&pieces->buffer);
	return pieces;
}

/* Copy @bytes between the pieces and memory that is in one piece. */
static void copy_pieces(const struct pieces *pieces, u8 *data, size_t bytes,
			bool to_pieces)
{
	unsigned int i;

	for (i = 0; bytes; i++) {
		size_t len = min_t(size_t, bytes, pieces->vecs[i].bv_len);

		if (to_pieces)
			memcpy(piece_at(pieces, i), data, len);
		else
			memcpy(data, piece_at(pieces, i), len);
		data += len;
		bytes -= len;
	}
}

/* A bounce buffer may find no memory, if the test has taken it away. */
static bool failed_for_memory(struct kunit *test, const struct io *io)
{
	if (!(io->error & BIT(0)) || !memory_was_short())
		return false;
	if (io->call == SYNC_ARGS || io->call == ASYNC_ARGS)
		KUNIT_EXPECT_EQ(test, io->errors[0], -ENOMEM);
	return true;
}

#define AT	128		/* sectors */

/* What is around a region as soon as it has been written; all of it in the end. */
static void expect_filler(struct kunit *test, const struct strict_disk *disk,
			  size_t from, size_t to, const char *what)
{
	to = min(to, disk->bytes);
	all_bytes(test, disk->data + from, TEST_DISK_FILLER, to - from, what);
}

static void check_write(struct kunit *test, struct io *io,
			struct pieces *pieces, struct strict_disk *disk,
			struct test_disk *other)
{
	size_t bytes = pieces->layout->bytes;
	size_t from = AT * SECTOR_SIZE, to = from + bytes;
	unsigned int seed = new_seed();

	copy_pieces(pieces, (u8 *)bytes_of(seed), bytes, true);
	io->rw = WRITE;
	io->num_regions = 1;
	if (other)
		add_region(io, other->bdev, 8, bytes >> SECTOR_SHIFT);
	perform(test, io);
	if (failed_for_memory(test, io)) {
		io->error &= ~BIT(0);
		expect_filler(test, disk, from, to,
			      "a disk that was not written for want of memory");
	} else {
		same_bytes(test, disk->data + from, bytes_of(seed), bytes,
			   "on the disk");
	}
	expect_filler(test, disk, from - SZ_8K, from, "the disk before it");
	expect_filler(test, disk, to, to + SZ_8K, "the disk behind it");
	memset(disk->data + from, TEST_DISK_FILLER, bytes);
	KUNIT_EXPECT_EQ(test, io->error, 0);
	if (other)
		expect_on_disk(test, other, 8, bytes_of(seed), bytes);
}

static void check_read(struct kunit *test, struct io *io,
		       struct pieces *pieces, struct strict_disk *disk)
{
	size_t bytes = pieces->layout->bytes;
	unsigned int seed = new_seed();
	u8 *data = test_alloc(test, bytes);

	memcpy(disk->data + AT * SECTOR_SIZE, bytes_of(seed), bytes);
	memset(pieces->data, GUARD, pieces->bytes);
	io->rw = READ;
	io->num_regions = 1;
	perform(test, io);
	memset(disk->data + AT * SECTOR_SIZE, TEST_DISK_FILLER, bytes);
	copy_pieces(pieces, data, bytes, false);
	if (failed_for_memory(test, io)) {
		all_bytes(test, data, 0, bytes, "what was not read");
	} else {
		KUNIT_EXPECT_EQ(test, io->error, 0);
		same_bytes(test, data, bytes_of(seed), bytes, "what was read");
	}

	/* Nothing but these pieces has changed. */
	memset(data, GUARD, bytes);
	copy_pieces(pieces, data, bytes, true);
	all_bytes(test, pieces->data, GUARD, pieces->bytes,
		  "memory around the pieces");
}

/* The calls that take a buffer in such pieces, and what is the buffer of which. */
static bool set_pieces(struct io *io, struct pieces *pieces,
		       enum buffer_kind kind)
{
	const struct layout *layout = pieces->layout;

	if (io->call == SYNC_ARGS || io->call == ASYNC_ARGS) {
		io->own_buffer = true;
		io->args.bvec = kind == BVEC ? pieces->vecs : NULL;
		io->args.bio = kind == BIO ? &pieces->buffer.bio : NULL;
		io->args.data = kind == DATA ? piece_at(pieces, 0) : NULL;
		return kind == BVEC || kind == BIO ||
		       (kind == DATA && layout->contiguous &&
			!layout->pieces[1].len);
	}
	io->bvec = pieces->vecs;
	io->bio = &pieces->buffer.bio;
	return kind == BVEC && takes_bvec(io->call);
}

struct layout_check {
	struct strict_disk *disk;
	struct test_disk *other;
	struct pieces *pieces;
	enum call call;
	enum buffer_kind kind;
};

static void check_layout(struct kunit *test, void *data)
{
	const struct layout_check *check = data;
	const struct layout *layout = check->pieces->layout;
	struct io *io = new_io(test, check->call, WRITE, NULL);

	if (!set_pieces(io, check->pieces, check->kind))
		return;
	add_region(io, check->disk->bdev, AT, layout->bytes >> SECTOR_SHIFT);
	check_write(test, io, check->pieces, check->disk, NULL);
	check_write(test, io, check->pieces, check->disk, check->other);
	check_read(test, io, check->pieces, check->disk);
	strict_disk_ok(test, check->disk);
	tell_case(test, io, layout->name);
}

static void check_layouts(struct kunit *test,
			  void (*run)(struct kunit *test, test_body *body,
				      void *data))
{
	const struct limited *device = test->param_value;
	struct layout_check check = {
		.disk = new_device(test, device),
		.other = new_byte_disk(test),
	};
	unsigned int i;

	get_reserve(test, 1);
	for (i = 0; i < ARRAY_SIZE(layouts); i++) {
		struct held held = mark_held();

		if (layouts[i].bytes % check.disk->limits.block)
			continue;
		check.pieces = new_pieces(test, &layouts[i]);
		check.disk->end = i % END_WHEN_TOLD;
		/* A third of the calls, and the others with other devices. */
		for (check.call = (i + (device - devices)) % 3;
		     check.call < NUM_CALLS; check.call += 3)
			for (check.kind = 0; check.kind < NUM_KINDS; check.kind++)
				run(test, check_layout, &check);
		release_held(held);
	}
	expect_filler(test, check.disk, 0, check.disk->bytes, "all of the disk");
}

static void any_layout_moves(struct kunit *test)
{
	check_layouts(test, run_body);
}

/* What finds no memory fails for that reason and no other; what needs none works. */
static void any_layout_moves_when_memory_is_short(struct kunit *test)
{
	check_layouts(test, fail_each_allocation);
}

/* A buffer from any byte of its first page on, by every call or some. */
static void check_offset(struct kunit *test, struct strict_disk *disk,
			 struct test_disk *other, size_t bytes,
			 unsigned int offset, enum call first, unsigned int step)
{
	struct buffer *buffer = new_buffer(test, bytes, offset);
	struct layout layout = {
		.name = "from an offset on", .contiguous = true, .bytes = bytes,
		.pieces = { { 0, bytes } },
	};
	struct pieces pieces = {
		.layout = &layout, .data = buffer->data, .bytes = bytes,
		.vecs = { { .bv_len = bytes } },
	};
	enum call call;

	for (call = first; call < NUM_CALLS; call += step) {
		struct io *io = new_io(test, call, WRITE, buffer);

		add_region(io, disk->bdev, AT, bytes >> SECTOR_SHIFT);
		check_write(test, io, &pieces, disk, NULL);
		check_write(test, io, &pieces, disk, other);
		check_read(test, io, &pieces, disk);
		expect_guards(test, buffer);
		strict_disk_ok(test, disk);
		KUNIT_ASSERT_EQ_MSG(test, test->status, KUNIT_SUCCESS,
				    "%s, %zu bytes from byte %u on",
				    calls[call].name, bytes, offset);
	}
}

static void buffer_may_start_anywhere(struct kunit *test)
{
	static const unsigned int offsets[] = {
		0, 1, 4, 255, 256, 512, 2048, 3584, 4092, 4095
	};
	static const size_t sizes[] = { SZ_512, SZ_4K, SZ_64K };
	const struct limited *device = test->param_value;
	struct strict_disk *disk = new_device(test, device);
	struct test_disk *other = new_byte_disk(test);
	unsigned int o, s;

	get_reserve(test, 1);
	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		for (o = 0; o < ARRAY_SIZE(offsets); o++) {
			struct held held = mark_held();

			if (sizes[s] % disk->limits.block)
				continue;
			/* What is long goes by some calls, others each time. */
			if (sizes[s] == SZ_64K)
				check_offset(test, disk, other, sizes[s],
					     offsets[o], o % 3, 3);
			else
				check_offset(test, disk, other, sizes[s],
					     offsets[o], 0, 1);
			release_held(held);
		}
	}
	expect_filler(test, disk, 0, disk->bytes, "all of the disk");
}

/* The short region is good, although the long one would not be; and so on. */
static void each_region_is_judged_by_itself(struct kunit *test)
{
	static const struct layout layout = {
		"three sectors", false, 3 * SECTOR_SIZE,
		{ { 0, 512 }, { 0, 300 }, { 512, 212 }, { 0, 512 } },
	};
	struct strict_limits limits = { };
	struct pieces *pieces = new_pieces(test, &layout);
	struct test_disk *byte_disk = new_byte_disk(test);
	struct strict_disk *disk;
	enum call call;

	get_reserve(test, 1);
	disk = new_strict_disk(test, false, &limits, DISK_SECTORS);
	for (call = 0; call < NUM_CALLS; call++) {
		struct io *io = new_io(test, call, WRITE, NULL);
		const u8 *bytes = bytes_of(new_seed());

		if (!set_pieces(io, pieces, BVEC))
			continue;
		copy_pieces(pieces, (u8 *)bytes, layout.bytes, true);
		add_region(io, disk->bdev, 0, 3);
		add_region(io, disk->bdev, 10, 1);
		add_region(io, byte_disk->bdev, 0, 3);
		add_region(io, disk->bdev, 20, 2);
		perform_with(test, io, (int[]) { 0, 0, 0, 0 });
		same_bytes(test, disk->data, bytes, 3 * SECTOR_SIZE, "first");
		same_bytes(test, disk->data + 10 * SECTOR_SIZE, bytes,
			   SECTOR_SIZE, "second");
		expect_on_disk(test, byte_disk, 0, bytes, 3 * SECTOR_SIZE);
		same_bytes(test, disk->data + 20 * SECTOR_SIZE, bytes,
			   2 * SECTOR_SIZE, "fourth");
	}
	all_bytes(test, disk->data + 3 * SECTOR_SIZE, TEST_DISK_FILLER,
		  7 * SECTOR_SIZE, "the disk between them");
	all_bytes(test, disk->data + 11 * SECTOR_SIZE, TEST_DISK_FILLER,
		  9 * SECTOR_SIZE, "the disk between them");
}

/* No memory for a bounce buffer: that region fails, and nothing else is touched. */
static void bounce_without_memory_fails(struct kunit *test)
{
	struct strict_limits limits = { };
	struct test_disk *byte_disk = new_byte_disk(test);
	struct buffer *buffer = new_buffer(test, SZ_16K, 100);
	struct io *io = new_io(test, param_call(test), WRITE, buffer);
	struct strict_disk *disk;
	unsigned int seed = new_seed();

	get_reserve(test, 4);
	disk = new_strict_disk(test, false, &limits, DISK_SECTORS);
	fill_buffer(buffer, seed);
	add_region(io, disk->bdev, 8, 32);
	add_region(io, byte_disk->bdev, 8, 32);
	add_region(io, disk->bdev, 100, 1);
	WRITE_ONCE(dm_io_test_no_memory, true);
	perform_with(test, io, (int[]) { -ENOMEM, 0, -ENOMEM });
	KUNIT_EXPECT_EQ(test, disk->num_requests, 0);
	expect_on_disk(test, byte_disk, 8, bytes_of(seed), SZ_16K);
	all_bytes(test, disk->data, TEST_DISK_FILLER, disk->bytes, "the disk");

	io->num_regions = 1;
	io->rw = READ;
	perform_with(test, io, (int[]) { -ENOMEM });
	KUNIT_EXPECT_EQ(test, disk->num_requests, 0);
	all_bytes(test, buffer->data, 0, SZ_16K, "what was not read");
	expect_guards(test, buffer);
	WRITE_ONCE(dm_io_test_no_memory, false);

	/* Without a word of it, once there is memory. */
	perform_with(test, io, (int[]) { 0 });
	all_bytes(test, buffer->data, TEST_DISK_FILLER, SZ_16K, "what was read");
}

KUNIT_ARRAY_PARAM(call, calls, describe_call);

static struct kunit_case limits_cases[] = {
	KUNIT_CASE_PARAM(any_layout_moves, device_gen_params),
	KUNIT_CASE_PARAM(buffer_may_start_anywhere, device_gen_params),
	KUNIT_CASE(each_region_is_judged_by_itself),
	KUNIT_CASE_PARAM(bounce_without_memory_fails, call_gen_params),
	KUNIT_CASE_PARAM(any_layout_moves_when_memory_is_short,
			 device_gen_params),
	{}
};

struct kunit_suite limits_suite = {
	.name = "dm_io_limits",
	.suite_init = start_suite,
	.suite_exit = end_suite,
	.init = start_test,
	.exit = end_test,
	.test_cases = limits_cases,
};
