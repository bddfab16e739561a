// SPDX-License-Identifier: GPL-2.0-only
//
// From the kernel's dm_io() to dm_io_submit() of dm-io, which takes two or three
// arguments in a callback of any kernel: see Documentation/porting.rst.
//
//	spatch --sp-file dm_io.cocci --dir DIRECTORY --include-headers --in-place
//
// It does not look into macros. A part of an initialiser that is one, such as
// #define READING .bi_opf = REQ_OP_READ, has to be changed by hand, and so has the
// Kbuild. Wrappers that are macros have to be named here:

@wrappers@
identifier call = { dm_io, DM_IO };
@@
  call(...)

// The header. A source may have functions of the classic calls' names.

@@
@@
- #include <linux/dm-io.h>
+ #define DM_IO_NO_CLASSIC_CALLS
+ #include "dm-io.h"

// A client was memory in reserve. What stays of it is whether there was enough.

@@
@@
- dm_io_client_create()
+ ERR_PTR(dm_io_get(16))

@@
expression C;
@@
- dm_io_client_destroy(C)
+ dm_io_put(16)

// Initialisers

@@
identifier R;
expression E;
@@
  struct dm_io_request R = { ...,
-   .client = E,
    ...,
  };

@@
expression E;
@@
  (struct dm_io_request) { ...,
-   .client = E,
    ...,
  }

@@
identifier R;
expression E;
@@
  struct dm_io_request R = { ...,
-   .mem.type = E,
    ...,
  };

@@
expression E;
@@
  (struct dm_io_request) { ...,
-   .mem.type = E,
    ...,
  }

@@
identifier R;
expression E;
@@
  struct dm_io_request R = { ...,
-   .mem.offset = E,
+   .offset = E,
    ...,
  };

@@
expression E;
@@
  (struct dm_io_request) { ...,
-   .mem.offset = E,
+   .offset = E,
    ...,
  }

@@
identifier R;
expression E;
@@
  struct dm_io_request R = { ...,
-   .mem.ptr.pl = E,
+   .pl = E,
    ...,
  };

@@
expression E;
@@
  (struct dm_io_request) { ...,
-   .mem.ptr.pl = E,
+   .pl = E,
    ...,
  }

@@
identifier R;
expression E;
@@
  struct dm_io_request R = { ...,
-   .mem.ptr.bio = E,
+   .bio = E,
    ...,
  };

@@
expression E;
@@
  (struct dm_io_request) { ...,
-   .mem.ptr.bio = E,
+   .bio = E,
    ...,
  }

@@
identifier R;
expression E;
@@
  struct dm_io_request R = { ...,
-   .mem.ptr.vma = E,
+   .data = E,
    ...,
  };

@@
expression E;
@@
  (struct dm_io_request) { ...,
-   .mem.ptr.vma = E,
+   .data = E,
    ...,
  }

@@
identifier R;
expression E;
@@
  struct dm_io_request R = { ...,
-   .mem.ptr.addr = E,
+   .data = E,
    ...,
  };

@@
expression E;
@@
  (struct dm_io_request) { ...,
-   .mem.ptr.addr = E,
+   .data = E,
    ...,
  }

@@
identifier R;
expression E;
@@
  struct dm_io_request R = { ...,
-   .notify.fn = E,
+   .fn = E,
    ...,
  };

@@
expression E;
@@
  (struct dm_io_request) { ...,
-   .notify.fn = E,
+   .fn = E,
    ...,
  }

@@
identifier R;
expression E;
@@
  struct dm_io_request R = { ...,
-   .notify.context = E,
+   .context = E,
    ...,
  };

@@
expression E;
@@
  (struct dm_io_request) { ...,
-   .notify.context = E,
+   .context = E,
    ...,
  }

@@
identifier R;
expression E;
@@
  struct dm_io_request R = { ...,
-   .bi_opf = E,
+   .opf = E,
    ...,
  };

@@
expression E;
@@
  (struct dm_io_request) { ...,
-   .bi_opf = E,
+   .opf = E,
    ...,
  }

@@
identifier R;
expression E;
@@
  struct dm_io_request R = { ...,
-   .mem.ptr.bvec = E,
+   .bvec = E,
    ...,
  };

@@
expression E;
@@
  (struct dm_io_request) { ...,
-   .mem.ptr.bvec = E,
+   .bvec = E,
    ...,
  }

// Members

@@
struct dm_io_request R;
expression E;
@@
(
- R.client = E;
|
- R.mem.type = E;
)

@@
struct dm_io_request *R;
expression E;
@@
(
- R->client = E;
|
- R->mem.type = E;
)

@@
struct dm_io_request R;
@@
(
- R.mem.offset
+ R.offset
|
- R.mem.ptr.pl
+ R.pl
|
- R.mem.ptr.bio
+ R.bio
|
- R.mem.ptr.bvec
+ R.bvec
|
- R.mem.ptr.vma
+ R.data
|
- R.mem.ptr.addr
+ R.data
|
- R.notify.fn
+ R.fn
|
- R.notify.context
+ R.context
|
- R.bi_opf
+ R.opf
)

@@
struct dm_io_request *R;
@@
(
- R->mem.offset
+ R->offset
|
- R->mem.ptr.pl
+ R->pl
|
- R->mem.ptr.bio
+ R->bio
|
- R->mem.ptr.bvec
+ R->bvec
|
- R->mem.ptr.vma
+ R->data
|
- R->mem.ptr.addr
+ R->data
|
- R->notify.fn
+ R->fn
|
- R->notify.context
+ R->context
|
- R->bi_opf
+ R->opf
)

// The call, with four arguments or five

@@
identifier wrappers.call;
struct dm_io_request R;
expression N, W, B;
@@
- return call(&R, N, W, B);
+ R.num_regions = N;
+ R.where = W;
+ R.error_bits = B;
+ return dm_io_submit(&R);

@@
identifier wrappers.call;
struct dm_io_request R;
expression N, W, B, P;
@@
- return call(&R, N, W, B, P);
+ R.num_regions = N;
+ R.where = W;
+ R.error_bits = B;
+ R.ioprio = P;
+ return dm_io_submit(&R);

@@
identifier wrappers.call;
struct dm_io_request R;
expression X;
expression N, W, B;
@@
- X = call(&R, N, W, B);
+ R.num_regions = N;
+ R.where = W;
+ R.error_bits = B;
+ X = dm_io_submit(&R);

@@
identifier wrappers.call;
struct dm_io_request R;
expression X;
expression N, W, B, P;
@@
- X = call(&R, N, W, B, P);
+ R.num_regions = N;
+ R.where = W;
+ R.error_bits = B;
+ R.ioprio = P;
+ X = dm_io_submit(&R);

@@
identifier wrappers.call;
struct dm_io_request R;
expression N, W, B;
@@
- call(&R, N, W, B);
+ R.num_regions = N;
+ R.where = W;
+ R.error_bits = B;
+ dm_io_submit(&R);

@@
identifier wrappers.call;
struct dm_io_request R;
expression N, W, B, P;
@@
- call(&R, N, W, B, P);
+ R.num_regions = N;
+ R.where = W;
+ R.error_bits = B;
+ R.ioprio = P;
+ dm_io_submit(&R);

@@
identifier wrappers.call;
expression R;
expression N, W, B;
@@
- return call(R, N, W, B);
+ R->num_regions = N;
+ R->where = W;
+ R->error_bits = B;
+ return dm_io_submit(R);

@@
identifier wrappers.call;
expression R;
expression N, W, B, P;
@@
- return call(R, N, W, B, P);
+ R->num_regions = N;
+ R->where = W;
+ R->error_bits = B;
+ R->ioprio = P;
+ return dm_io_submit(R);

@@
identifier wrappers.call;
expression R;
expression X;
expression N, W, B;
@@
- X = call(R, N, W, B);
+ R->num_regions = N;
+ R->where = W;
+ R->error_bits = B;
+ X = dm_io_submit(R);

@@
identifier wrappers.call;
expression R;
expression X;
expression N, W, B, P;
@@
- X = call(R, N, W, B, P);
+ R->num_regions = N;
+ R->where = W;
+ R->error_bits = B;
+ R->ioprio = P;
+ X = dm_io_submit(R);

@@
identifier wrappers.call;
expression R;
expression N, W, B;
@@
- call(R, N, W, B);
+ R->num_regions = N;
+ R->where = W;
+ R->error_bits = B;
+ dm_io_submit(R);

@@
identifier wrappers.call;
expression R;
expression N, W, B, P;
@@
- call(R, N, W, B, P);
+ R->num_regions = N;
+ R->where = W;
+ R->error_bits = B;
+ R->ioprio = P;
+ dm_io_submit(R);

// What is not named is to be 0.

@@
identifier R;
@@
- struct dm_io_request R;
+ struct dm_io_args R = { };

@@
@@
- struct dm_io_request
+ struct dm_io_args
