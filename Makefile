# SPDX-License-Identifier: GPL-2.0-only
#
# For people. What the kernel's build system reads is Kbuild.

KDIR ?= /lib/modules/$(shell uname -r)/build

.PHONY: modules clean demo vm check check-all lint bench bench-check deb \
	kernel-patch check-deb check-patch help

modules: $(KDIR)/Makefile
	+$(MAKE) -C $(KDIR) M=$(CURDIR) modules

clean: $(KDIR)/Makefile
	+$(MAKE) -C $(KDIR) M=$(CURDIR) clean

$(KDIR)/Makefile:
	@echo "error: no kernel headers in $(KDIR): install those of the running kernel" >&2
	@echo "(on Debian: apt-get install linux-headers-$$(uname -r)) or name others with KDIR=" >&2
	@exit 1

demo:
	@scripts/demo

vm:
	@scripts/vm

check:
	@scripts/check

check-all:
	@scripts/check-all

lint:
	@scripts/lint

bench:
	@scripts/bench

bench-check:
	@scripts/bench --check

deb:
	@scripts/deb

kernel-patch:
	@scripts/kernel-patch

check-deb:
	@scripts/check-deb

check-patch:
	@scripts/check-patch

help:
	@echo 'make [modules]   build dm-io.ko and dm-replica.ko for the kernel of KDIR='
	@echo '                 ($(KDIR))'
	@echo 'make clean       remove what that has built'
	@echo 'make demo        see the library and a target at work on a stock kernel'
	@echo 'make vm          a shell in the virtual machine that the demo runs in'
	@echo 'make check       the tests; KUNIT_FILTER=... for a part of them'
	@echo 'make check-all   the same on every kernel and architecture, with a table'
	@echo 'make lint        checkpatch, sparse, compiler warnings, kernel-doc, shellcheck'
	@echo 'make bench       what a request costs'
	@echo 'make bench-check the same, fails when it costs more than it may'
	@echo 'make deb         a Debian package, which has dkms build the modules'
	@echo 'make check-deb   install it, build an example with it, upgrade and purge it'
	@echo 'make kernel-patch'
	@echo '                 a patch that adds the library to a kernel tree'
	@echo 'make check-patch apply it and run the tests as that tree runs its own'
	@echo
	@echo 'demo, vm, check, kernel-patch and check-patch take KERNEL=, a series such as'
	@echo '6.1; 6.12 if not given.'
	@echo 'check takes ARCH= as well: x86_64, arm64, i386, s390 or um.'
	@echo 'The scripts of the same names explain themselves with --help.'
