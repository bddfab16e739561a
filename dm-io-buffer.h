/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A part of dm-io.c, which alone includes it: all kinds of buffer, and the one cursor
 * that makes tables of bio_vecs of them.
 */
#ifndef _DM_IO_BUFFER_H
#define _DM_IO_BUFFER_H

#include <linux/bio.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/vmalloc.h>

#include "dm-io-compat.h"
#include "dm-io-request.h"

/* What is zeroed at one go, and the most in interrupt context. */
#define IRQ_BYTES	((unsigned int)SZ_64K)

/* Length and offset of a bio_vec, to be compared at one go. */
union vec_layout {
	struct {
		unsigned int len;
		unsigned int offset;
	};
	u64 both;
};

static __always_inline bool is_whole_page(const struct bio_vec *vec)
{
	const union vec_layout page = { .len = PAGE_SIZE };
	union vec_layout layout;

	memcpy(&layout, (const void *)vec + offsetof(struct bio_vec, bv_len),
	       sizeof(layout));
	return layout.both == page.both;
}

/*
 * Look at the part of a borrowed table that holds @bytes: count its entries,
 * and collect in @bits what is set in any offset, or in any length that another
 * entry follows. Bits of a whole page and above are of no interest. False if
 * the table ends too early.
 */
static __always_inline bool measure_vecs(struct buffer *buffer, u64 bytes,
					 unsigned int *bits)
{
	const struct bio_vec *first = &buffer->bvec[buffer->iter.bi_idx];
	const struct bio_vec *vec = first;
	struct bio_vec part = mp_bvec_iter_bvec(buffer->bvec, buffer->iter);
	unsigned int seen = part.bv_offset;

	while (bytes > part.bv_len) {
		if (unlikely(!part.bv_len))
			return false;
		seen |= part.bv_len;
		bytes -= part.bv_len;
		vec++;
		/* Most of them are, and the walk is what they cost. */
		while (bytes > 4 * PAGE_SIZE &&
		       is_whole_page(vec) && is_whole_page(vec + 1) &&
		       is_whole_page(vec + 2) && is_whole_page(vec + 3)) {
			bytes -= 4 * PAGE_SIZE;
			vec += 4;
		}
		while (bytes > PAGE_SIZE && is_whole_page(vec)) {
			bytes -= PAGE_SIZE;
			vec++;
		}
		part = *vec;
		seen |= part.bv_offset;
	}
	buffer->num_vecs = vec - first + 1;
	*bits = seen;
	return true;
}

/* As many bytes, up to @bytes, as BORROWED_VECS entries hold behind @done. */
static noinline unsigned int limit_vecs(const struct bio_vec *table,
					unsigned int done, unsigned int bytes)
{
	struct bvec_iter iter = { .bi_size = bytes, .bi_bvec_done = done };

	while (iter.bi_size && iter.bi_idx < BORROWED_VECS)
		bvec_iter_advance(table, &iter, mp_bvec_iter_len(table, iter));
	return bytes - iter.bi_size;
}

/* The table is the caller's own, from where it has been used up to. */
static __always_inline void borrow_vecs(const struct buffer *buffer,
					struct chunk *chunk)
{
	chunk->table = &buffer->bvec[buffer->iter.bi_idx];
	chunk->iter.bi_bvec_done = buffer->iter.bi_bvec_done;
	chunk->num_vecs = buffer->num_vecs;
	if (unlikely(buffer->num_vecs > BORROWED_VECS)) {
		chunk->bytes = limit_vecs(chunk->table,
					  buffer->iter.bi_bvec_done,
					  chunk->bytes);
		chunk->num_vecs = BORROWED_VECS;
	}
}

/* Where the pages of a table come from: a list, or a virtual address. */
struct page_source {
	struct page_list *node;		/* of the last page */
	struct page_list *next;
	unsigned long addr;
	bool many;			/* more than two pages */
	struct vmap_walk walk;
};

static __always_inline struct page *
next_page(struct page_source *source, enum buffer_kind kind)
{
	struct page *page = NULL;

	if (kind == BUFFER_PAGES) {
		source->node = source->next;
		if (likely(source->node)) {
			page = source->node->page;
			source->next = source->node->next;
		}
	} else {
		page = vmap_walk_page(&source->walk, source->addr,
				      source->many);
		source->addr += PAGE_SIZE;
	}
	return page;
}

/* A table as it fills. */
struct table {
	struct bio_vec *vec;		/* the last entry in use */
	const struct bio_vec *end;	/* the last one there is */
	struct page *page;		/* the last page in it */
};

enum add_result { ADDED, TABLE_FULL, NO_PAGE };

/* The next page goes to the entry of the one before it, or to a new one. */
static __always_inline enum add_result
add_page(struct table *table, struct page_source *source,
	 enum buffer_kind kind, unsigned int len)
{
	struct page *page = next_page(source, kind);

	if (unlikely(!page))
		return NO_PAGE;
	if (unlikely(page_follows(page, table->page)) &&
	    pages_mix(page, table->page)) {
		table->vec->bv_len += len;
	} else {
		if (unlikely(table->vec == table->end))
			return TABLE_FULL;
		bvec_set_page(++table->vec, page, len, 0);
	}
	table->page = page;
	return ADDED;
}

/*
 * Pages become a table, contiguous ones an entry. False if there are not as
 * many as the caller said.
 */
static __always_inline bool
table_pages(const struct buffer *buffer, enum buffer_kind kind,
	    unsigned int offset, struct chunk *chunk, unsigned int max_vecs,
	    struct page_list **next)
{
	struct page_source source = {
		.next = buffer->pages,
		.addr = (unsigned long)buffer->data & PAGE_MASK,
		.many = chunk->bytes > 2 * PAGE_SIZE,
	};
	unsigned int left = chunk->bytes;
	unsigned int len = min_t(unsigned int, left, PAGE_SIZE - offset);
	struct table table = {
		.vec = chunk->table,
		.end = chunk->table + max_vecs - 1,
		.page = next_page(&source, kind),
	};
	enum add_result result = ADDED;

	if (unlikely(!table.page)) {
		chunk->bytes = 0;
		return false;
	}
	bvec_set_page(table.vec, table.page, len, offset);
	left -= len;
	/* Where there is no larger table, a page or less is the usual case. */
	if (__builtin_constant_p(max_vecs) && max_vecs <= REQUEST_VECS &&
	    likely(!left)) {
		chunk->num_vecs = 1;
		*next = source.next;
		return true;
	}

	/* A loop of its own for the whole pages: it is what large buffers cost. */
	while (left >= PAGE_SIZE) {
		result = add_page(&table, &source, kind, PAGE_SIZE);
		if (unlikely(result != ADDED))
			goto out;
		left -= PAGE_SIZE;
	}
	if (left) {
		result = add_page(&table, &source, kind, left);
		if (likely(result == ADDED))
			left = 0;
	}
out:
	chunk->num_vecs = table.vec - chunk->table + 1;
	chunk->bytes -= left;
	*next = result == TABLE_FULL ? source.node : source.next;
	return likely(result != NO_PAGE);
}

static __always_inline void table_linear(const struct buffer *buffer, struct chunk *chunk)
{
	bvec_set_page(chunk->table, virt_to_page(buffer->data), chunk->bytes,
		      offset_in_page(buffer->data));
	chunk->num_vecs = 1;
}

/*
 * The one cursor over all kinds of buffer: make a chunk of what comes next, of
 * @bytes or of as much as the table holds. False if that is no memory. Of a page
 * list, @next follows.
 */
static __always_inline bool
next_chunk(const struct buffer *buffer, struct chunk *chunk, unsigned int bytes,
	   struct bio_vec *table, unsigned int max_vecs, struct page_list **next)
{
	bool good = true;

	chunk->bytes = bytes;
	chunk->table = table;
	chunk->num_vecs = 0;
	chunk->iter.bi_sector = 0;
	chunk->iter.bi_idx = 0;
	chunk->iter.bi_bvec_done = 0;

	switch (buffer->kind) {
	case BUFFER_PAGES:
		good = table_pages(buffer, BUFFER_PAGES, buffer->offset, chunk,
				   max_vecs, next);
		break;
	case BUFFER_VMALLOC:
		good = table_pages(buffer, BUFFER_VMALLOC,
				   offset_in_page(buffer->data), chunk,
				   max_vecs, next);
		flush_kernel_vmap_range(buffer->data, chunk->bytes);
		break;
	case BUFFER_LINEAR:
		table_linear(buffer, chunk);
		break;
	case BUFFER_BVEC:
	case BUFFER_BIO:
		borrow_vecs(buffer, chunk);
		break;
	default:
		break;
	}
	chunk->iter.bi_size = chunk->bytes;
	return good;
}

/*
 * The buffer goes on behind the chunk that was made of it; with @next, if all that
 * was found is in it.
 */
static void advance_buffer(struct buffer *buffer, unsigned int bytes,
			   struct page_list *next)
{
	unsigned int idx = buffer->iter.bi_idx;

	switch (buffer->kind) {
	case BUFFER_BVEC:
	case BUFFER_BIO:
		bvec_iter_advance(buffer->bvec, &buffer->iter, bytes);
		buffer->num_vecs -= buffer->iter.bi_idx - idx;
		if (buffer->kind == BUFFER_BVEC)
			buffer->iter.bi_size = UINT_MAX;
		break;
	case BUFFER_PAGES:
		bytes += buffer->offset;
		buffer->offset = offset_in_page(bytes);
		if (likely(next && !buffer->offset)) {
			buffer->pages = next;
			break;
		}
		for (; bytes >= PAGE_SIZE; bytes -= PAGE_SIZE)
			buffer->pages = buffer->pages->next;
		break;
	default:
		buffer->data += bytes;
	}
}

/* Linear memory of which each page has a struct page, and is there. */
static bool is_linear_memory(void *data, u64 bytes)
{
	void *last = data + (bytes - 1);

	if (last < data || !is_linear(data) || !is_linear(last))
		return false;
	/* There are no holes in what is smaller than this. */
	for (; bytes > SZ_2M; bytes -= SZ_2M, data += SZ_2M)
		if (!is_linear(data))
			return false;
	return true;
}

/* Bytes of the piece of memory that comes next, 0 behind the last one. */
static unsigned int piece_bytes(const struct buffer *buffer)
{
	switch (buffer->kind) {
	case BUFFER_BVEC:
	case BUFFER_BIO:
		return mp_bvec_iter_len(buffer->bvec, buffer->iter);
	case BUFFER_PAGES:
		return PAGE_SIZE - buffer->offset;
	default:
		return PAGE_SIZE - offset_in_page(buffer->data);
	}
}

static void zero_table(struct bio_vec *table, struct bvec_iter iter, bool may_sleep)
{
	struct bvec_iter i;
	struct bio_vec vec;

	for_each_bvec(vec, table, i, iter) {
		memzero_bvec(&vec);
		if (may_sleep)
			cond_resched();
	}
}

/*
 * Walk along a buffer, piece by piece, and zero it if @zero is set. False if there
 * is less memory than @bytes: then all that there is has been zeroed.
 */
static noinline bool walk_buffer(struct buffer buffer, u64 bytes, bool zero)
{
	if (buffer.kind == BUFFER_LINEAR && !is_linear_memory(buffer.data, bytes))
		return false;
	while (bytes) {
		unsigned int piece = min_t(u64, bytes, piece_bytes(&buffer));
		struct page_list *next;
		struct bio_vec vec;
		struct chunk chunk;

		/* A piece of an array may be longer than it is good to hold on. */
		piece = min(piece, IRQ_BYTES);
		if (!piece || !next_chunk(&buffer, &chunk, piece, &vec, 1, &next))
			return false;
		if (zero)
			zero_table(chunk.table, chunk.iter, true);
		if (zero && buffer.kind == BUFFER_VMALLOC)
			invalidate_kernel_vmap_range(buffer.data, piece);
		advance_buffer(&buffer, piece, NULL);
		bytes -= piece;
		cond_resched();
	}
	return true;
}

#endif
