// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-io: what a target does that uses dm-kcopyd and this library side by side
 *
 * Included by scripts/check, behind the headers in each of their orders. The same
 * regions and page lists go to both, without a cast.
 */
static struct io_region ours;
static struct dm_io_region theirs;

static void copied(int read_err, unsigned long write_err, void *context)
{
}

static void done(unsigned long error, void *context)
{
}

void copy_with_kcopyd(struct dm_kcopyd_client *client);
void copy_with_kcopyd(struct dm_kcopyd_client *client)
{
	dm_kcopyd_copy(client, &ours, 1, &theirs, 0, copied, NULL);
	dm_kcopyd_copy(client, &theirs, 1, &ours, 0, copied, NULL);
}

int use_both(struct dm_target *ti, struct page_list *pages, struct bio *bio,
	     struct bio_vec *bvec, void *data);
int use_both(struct dm_target *ti, struct page_list *pages, struct bio *bio,
	     struct bio_vec *bvec, void *data)
{
	struct dm_io_memory memory = { .type = DM_IO_PAGE_LIST };
	struct io_region *ours_of_theirs = &theirs;
	struct dm_io_region *theirs_of_ours = &ours;
	io_notify_fn fn = done;
	unsigned long error;

	ours.sector = dm_target_offset(ti, 8);
	memory.ptr.pl = pages;
	return dm_io_get(1) ||
	       dm_io_sync(1, &theirs, READ, memory.ptr.pl, 0, &error) ||
	       dm_io_async(1, &ours, WRITE, pages, 0, fn, NULL) ||
	       dm_io_sync_bvec(1, ours_of_theirs, READ, bvec, &error) ||
	       dm_io_async_bvec(1, theirs_of_ours, WRITE, bvec, done, NULL) ||
	       dm_io_sync_vm(1, &theirs, DM_IO_OPF(REQ_OP_READ), data, NULL) ||
	       dm_io_async_vm(1, &ours, WRITE, data, done, NULL) ||
	       dm_io_sync_bio(1, &theirs, READ, bio, &error) ||
	       dm_io_async_bio(1, &ours, WRITE, bio, done, NULL);
}
