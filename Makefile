# SPDX-License-Identifier: GPL-2.0-only
#
# For people. What the kernel's build system reads is Kbuild.

KDIR ?= /lib/modules/$(shell uname -r)/build

.PHONY: modules clean demo demo-remote model vm check check-all mutants coverage \
	lint docs bench bench-check deb kernel-patch check-deb check-load check-patch \
	check-users check-targets check-tutorial check-build help

# A kernel wants the compiler that it was built with. What is given on the command line
# is taken as it is.
config := $(shell cat '$(KDIR)/include/config/auto.conf' 2>/dev/null | \
	grep -E '^CONFIG_(CC_IS_CLANG|LD_IS_LLD|CLANG_VERSION)=')
ifneq ($(filter CONFIG_CC_IS_CLANG=y,$(config)),)
ifeq ($(origin LLVM)$(filter command line,$(origin CC)),undefined)
# Debian has clang-19 besides clang, or without.
version := $(shell expr $(patsubst CONFIG_CLANG_VERSION=%,%,$(filter \
	CONFIG_CLANG_VERSION=%,$(config))) / 10000 2>/dev/null)
suffix := $(shell command -v clang >/dev/null || command -v clang-$(version) | \
	sed 's/.*clang//')
compiler := $(if $(filter CONFIG_LD_IS_LLD=y,$(config)),LLVM=$(or $(suffix),1), \
	CC=clang$(suffix))
endif
endif

modules clean: check-build $(KDIR)/Makefile
	+$(MAKE) -C $(KDIR) M=$(CURDIR) $(compiler) $@

# The kernel's build system hands these to the shell as they are, or takes them for
# several files.
check-build:
	@case "$$(pwd -P)" in \
	*[[:space:]\(\)\'\"\`\$$\&\;\<\>\|\*\?\[\]\{\}\#:\\\%]*) \
		echo "error: the kernel's build system takes no directory with a space or a special" >&2; \
		echo "character in its path: move $$(pwd -P) to another one" >&2; \
		exit 1 ;; \
	esac
ifneq ($(compiler),)
	@command -v clang$(suffix) >/dev/null || { \
		echo "error: the kernel of $(KDIR) was built with clang, which is missing here:" >&2; \
		echo "install it (on Debian: apt-get install clang lld llvm)" >&2; \
		exit 1; \
	}
endif

$(KDIR)/Makefile:
	@echo "error: no kernel headers in $(KDIR): install those of the running kernel" >&2
	@echo "(on Debian: apt-get install linux-headers-$$(uname -r)) or name others with KDIR=" >&2
	@exit 1

demo:
	@scripts/demo

demo-remote:
	@scripts/demo-remote

model:
	@scripts/model

vm:
	@scripts/vm

check:
	@scripts/check

check-all:
	@scripts/check-all

mutants:
	@scripts/mutants

coverage:
	@scripts/coverage

lint:
	@scripts/lint

docs:
	@scripts/docs

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

check-load:
	@scripts/check-load

check-patch:
	@scripts/check-patch

check-users:
	@scripts/check-users

check-targets:
	@scripts/check-targets

check-tutorial:
	@scripts/check-tutorial

help:
	@echo 'make [modules]   build dm-io.ko and dm-replica.ko for the kernel of KDIR='
	@echo '                 ($(KDIR))'
	@echo 'make clean       remove what that has built'
	@echo 'make demo        see the library and a target at work on a stock kernel'
	@echo 'make demo-remote a replica with legs on other machines, which come and go'
	@echo 'make model       verify the protocol of dm-replica with the model checker Spin'
	@echo 'make vm          a shell in the virtual machine that the demo runs in'
	@echo 'make check       the tests; KUNIT_FILTER=... for a part of them'
	@echo 'make check-all   the same on every kernel and architecture, with a table'
	@echo 'make mutants     whether the tests notice mistakes that are put into the code'
	@echo 'make coverage    how much of the code the tests run'
	@echo 'make check-load  filesystems on a replica whose legs fail and come back'
	@echo 'make lint        checkpatch, sparse, compiler warnings, kernel-doc, shellcheck'
	@echo 'make docs        the documents as HTML, and manual pages of dm-io.h'
	@echo 'make bench       what a request costs'
	@echo 'make bench-check the same, fails when it costs more than it may'
	@echo 'make deb         a Debian package, which has dkms build the modules'
	@echo 'make check-deb   install it, build an example with it, upgrade and purge it'
	@echo 'make check-tutorial'
	@echo '                 do what Documentation/tutorial.rst says, by the letter'
	@echo 'make kernel-patch'
	@echo '                 a patch that adds the library to a kernel tree; with ENGINE=y,'
	@echo '                 dm_io() of its own targets can be done by the library, too'
	@echo 'make check-patch apply it and run the tests as that tree runs its own'
	@echo 'make check-users build and run targets that call the kernel'"'"'s dm_io()'
	@echo 'make check-targets'
	@echo '                 run the kernel'"'"'s own targets on the library, and compare'
	@echo
	@echo 'demo, demo-remote, vm, check, check-load, kernel-patch, check-patch and'
	@echo 'check-targets take KERNEL=, a series such as 6.1; 6.12 if not given.'
	@echo 'check takes ARCH= as well: x86_64, arm64, i386, s390 or um.'
	@echo 'The scripts of the same names explain themselves with --help.'
