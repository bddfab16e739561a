# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What the scripts of this directory share: progress and errors, the cache, packages
# of Debian, kernels. To be sourced by a script that has `set -eu`:
#
#	. "$(dirname "$0")/lib-packages.sh"
#
# and before lib-build.sh and lib-vm.sh, which need it.
#
# Functions that print a result run in a subshell, so that none of their
# variables leak and `dir=$(kernel_source 6.12)` ends the calling script when
# they fail. Progress goes to descriptor 3, a copy of the script's standard
# output, and is seen from within a command substitution as well.

# What programs print gets read here and there. Those of the system are used.
export LC_ALL=C.UTF-8
PATH=$PATH:/usr/sbin:/sbin

script_start=$(date +%s)
exec 3>&1

# A day: package lists older than that are refreshed before they are used.
lists_max_age=86400

# elapsed - print the seconds since the script started
elapsed() {
	printf '%d\n' "$(($(date +%s) - script_start))"
}

# say MESSAGE - one line of progress with the time since the script started
say() {
	printf '[%4ds] %s\n' "$(elapsed)" "$*" >&3
}

# die MESSAGE [LOG] - say why, name the full log, give up
die() {
	printf 'error: %s\n' "$1" >&2
	if [ -n "${2-}" ]; then
		printf 'full log: %s\n' "$2" >&2
	fi
	exit 1
}

# project_dir - print the directory of the sources
project_dir() (
	cd "$(dirname "$0")/.." && pwd
)

# cache_dir - print the directory of everything downloaded or built
cache_dir() (
	[ -n "${XDG_CACHE_HOME:-${HOME-}}" ] ||
		die "neither HOME nor XDG_CACHE_HOME is set: set one, downloads are kept below it"
	dir=${XDG_CACHE_HOME:-$HOME/.cache}/dm-io
	mkdir -p "$dir" || die "cannot create $dir: set XDG_CACHE_HOME to a directory that can be written"
	printf '%s\n' "$dir"
)

# with_lock NAME COMMAND... - run the command while no other script holds NAME
with_lock() (
	lock=$(cache_dir)/$1.lock || exit 1
	name=$1
	shift
	exec 9>"$lock"
	if ! flock -n 9; then
		say "waiting for another run that holds the lock $lock"
		flock -w 900 9 ||
			die "the lock for $name was not released in 15 minutes: end the run that holds $lock"
	fi
	"$@"
)

# older_than SECONDS FILE - true when FILE was changed that long ago, or is missing
older_than() (
	changed=$(stat -c %Y "$2" 2>/dev/null) || exit 0
	[ $(($(date +%s) - changed)) -gt "$1" ]
)

# as_root COMMAND... - run the command as root
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif [ -t 0 ]; then
		sudo "$@"
	else
		sudo -n "$@"
	fi
}

can_be_root() {
	[ "$(id -u)" = 0 ] || command -v sudo >/dev/null
}

# new_log NAME - print the path of a log for this run; those of the last week stay
new_log() (
	dir=$(cache_dir)/log || exit 1
	mkdir -p "$dir"
	find "$dir" -type f -mtime +7 -delete
	printf '%s\n' "$dir/$1-$(date +%Y%m%d-%H%M%S)-$$.log"
)

#
# Packages
#

package_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

package_offered() {
	package_installed "$1" || [ -n "$(apt-cache madison "$1")" ]
}

# refresh_lists - bring the package lists of this system up to date, at most
# once a day; being offline is no error
refresh_lists() (
	stamp=$(cache_dir)/apt/lists-refreshed || exit 1
	older_than $lists_max_age "$stamp" || exit 0
	mkdir -p "${stamp%/*}"
	if [ ! -e "$stamp" ]; then
		recent=$(find /var/lib/apt/lists -maxdepth 1 -type f -name '*Packages*' \
			-newermt "@$(($(date +%s) - lists_max_age))" 2>/dev/null | head -n 1)
		[ -z "$recent" ] || exit 0
	fi
	# Without asking for a password: the lists that are there may do.
	if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
		exit 0
	fi
	say "refreshing the package lists"
	log=$(cache_dir)/apt/update.log
	as_root apt-get update -o Acquire::Retries=0 -o Acquire::http::Timeout=20 \
		>"$log" 2>&1 ||
		say "not all package lists could be refreshed (offline?), going on; log: $log"
	touch "$stamp"
)

# forget_lists - have the package lists refreshed when they are used next
forget_lists() {
	rm -rf "$(cache_dir)/apt/resolved" "$(cache_dir)/apt/other/refreshed"
	touch -d @0 "$(cache_dir)/apt/lists-refreshed"
}

# need PACKAGE... - install those that are missing; `a|b` is content with either
need() (
	missing=
	for package in "$@"; do
		found=
		for alternative in $(printf '%s\n' "$package" | tr '|' ' '); do
			if package_installed "$alternative"; then
				found=yes
			fi
		done
		[ -n "$found" ] || missing="$missing ${package%%|*}"
	done
	[ -n "$missing" ] || exit 0
	command -v apt-get >/dev/null ||
		die "no apt-get here, but these Debian packages are needed:$missing"
	can_be_root ||
		die "packages are missing, run as root: apt-get install --no-install-recommends$missing"
	with_lock install need_install "$missing"
)

need_install() {
	log=$(cache_dir)/apt/install.log
	mkdir -p "${log%/*}"
	refresh_lists
	say "installing$1"
	set -f
	# shellcheck disable=SC2086 # a list of words
	set -- $1
	set +f
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y \
		--no-install-recommends -o DPkg::Lock::Timeout=300 "$@" \
		>"$log" 2>&1 </dev/null ||
		die "could not install $*, run as root: apt-get update && apt-get install --no-install-recommends $*" "$log"
}

# debian_mirror - print the mirror of Debian's main archive apt is configured with
debian_mirror() (
	# shellcheck disable=SC2016 # apt's variables
	apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' |
		sed -n '/^Debian|Debian|/{s///p;q}'
)

# apt_config STATE - print the apt configuration file of a package state:
# `configured` is what this system has; `other` a private one in the cache with the
# same mirror's newest suites, `backports` one with what is built for this system, and
# `sources` one with the sources of this system's packages
apt_config() (
	dir=$(cache_dir)/apt || exit 1
	mkdir -p "$dir"
	config=$dir/$1.conf
	{
		echo 'Acquire::Retries "0";'
		echo 'Acquire::http::Timeout "20";'
		# The cache need not be readable for apt's own user.
		echo 'APT::Sandbox::User "root";'
		if [ "$1" != configured ]; then
			echo "Dir::Etc::SourceList \"/dev/null\";"
			echo "Dir::Etc::SourceParts \"$dir/$1/sources\";"
			echo "Dir::Etc::Preferences \"/dev/null\";"
			echo "Dir::Etc::PreferencesParts \"/dev/null\";"
			echo "Dir::State::Lists \"$dir/$1/lists\";"
			echo "Dir::Cache \"$dir/$1/cache\";"
			echo 'Acquire::Languages "none";'
			# Testing becomes stable some day.
			echo 'Acquire::AllowReleaseInfoChange "true";'
			echo '#clear APT::Update::Post-Invoke;'
			echo '#clear APT::Update::Post-Invoke-Success;'
		fi
	} >"$config.$$"
	mv "$config.$$" "$config"
	printf '%s\n' "$config"
)

# newest_suites MIRROR DIRECTORY - print where the newest kernels are: backports to
# stable and testing, by code name since mirrors may lag with the aliases
newest_suites() (
	for alias in stable testing; do
		/usr/lib/apt/apt-helper download-file "${1%/}/dists/$alias/InRelease" \
			"$2/$alias" >"$2/codename.log" 2>&1 || continue
		codename=$(sed -n '/^Codename: /{s///p;q}' "$2/$alias")
		case $alias:$codename in
		*:) ;;
		stable:*) printf '%s-backports ' "$codename" ;;
		testing:*) printf '%s ' "$codename" ;;
		esac
	done
)

# refresh_state STATE - fetch the package lists of a private state, at most once a day
refresh_state() (
	state_dir=$(cache_dir)/apt/$1 || exit 1
	older_than $lists_max_age "$state_dir/refreshed" || exit 0
	mirror=$(debian_mirror)
	if [ -z "$mirror" ]; then
		refresh_lists
		mirror=$(debian_mirror)
	fi
	[ -n "$mirror" ] ||
		die "apt knows no mirror of Debian here: add one to its sources and run apt-get update"
	mkdir -p "$state_dir/sources" "$state_dir/lists/partial" \
		"$state_dir/cache/archives/partial"
	case $1 in
	other) suites=$(newest_suites "$mirror" "$state_dir") ;;
	backports) suites=$(. /etc/os-release && echo "$VERSION_CODENAME-backports") ;;
	sources) suites=$(. /etc/os-release && echo "$VERSION_CODENAME") ;;
	esac
	if [ -z "$suites" ]; then
		say "could not ask $mirror for its newest suites (offline?), going on; log: $state_dir/codename.log"
		exit 0
	fi
	{
		echo "Types: $([ "$1" = sources ] && echo deb-src || echo deb)"
		echo "URIs: $mirror"
		echo "Suites: ${suites% }"
		echo "Components: main"
		echo "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg"
	} >"$state_dir/sources/$1.sources"
	say "fetching the package lists of ${suites% }"
	config=$(apt_config "$1")
	apt-get -c "$config" update >"$state_dir/update.log" 2>&1 ||
		say "not all could be fetched (offline?), going on; log: $state_dir/update.log"
	touch "$state_dir/refreshed"
)

# refresh_other - the same for the newest suites
refresh_other() {
	refresh_state other
}

# apt_find STATE SERIES PACKAGE... - print `PACKAGE VERSION` of the newest version
# in that series of the first package that has one
apt_find() (
	config=$(apt_config "$1") || exit 1
	series=$2
	shift 2
	for package in "$@"; do
		found=$(apt-cache -c "$config" madison "$package" 2>/dev/null |
			awk -v series="$series" '
				{ gsub(/ *\| */, "|"); split($0, field, "|") }
				field[3] ~ /Packages$/ && index(field[2], series ".") == 1 {
					sub(/^ */, "", field[1])
					print field[1], field[2]
					exit
				}')
		if [ -n "$found" ]; then
			printf '%s\n' "$found"
			exit 0
		fi
	done
	exit 1
)

# apt_depends STATE PACKAGE VERSION - print what it depends on, one name a line
apt_depends() (
	config=$(apt_config "$1") || exit 1
	apt-cache -c "$config" show "$2=$3" | sed -n 's/^Depends: //p' | head -n 1 |
		tr ',' '\n' | sed 's/^ *//; s/[ |].*//'
)

# kernel_lists_resolve KIND SERIES - print `STATE VERSION PACKAGE...`, what has to
# be fetched for the `source`, `image` or `headers` of a series
kernel_lists_resolve() (
	kind=$1
	series=$2
	case $kind in
	source) candidates=linux-source-$series ;;
	*) candidates="linux-$kind-$series-cloud-amd64 linux-$kind-cloud-amd64" ;;
	esac
	for state in configured other; do
		case $state in
		configured) refresh_lists ;;
		other) refresh_other ;;
		esac
		# shellcheck disable=SC2086 # a list of words
		found=$(apt_find $state "$series" $candidates) || continue
		meta=${found% *}
		version=${found#* }
		if [ "$kind" = source ]; then
			echo "$state $version $meta"
			exit 0
		fi
		package=$(apt_depends $state "$meta" "$version" |
			grep -x "linux-$kind-[0-9].*" | head -n 1)
		[ -n "$package" ] || continue
		# Newer images are split in kernel and modules.
		others=$(apt_depends $state "$package" "$version" |
			grep -Ex 'linux-(base|binary|modules|headers|kbuild)-[0-9].*' |
			tr '\n' ' ')
		echo "$state $version $package $others"
		exit 0
	done
	exit 1
)

# kernel_resolve KIND SERIES - the same, remembered for as long as the lists are
kernel_resolve() (
	memory=$(cache_dir)/apt/resolved/$1-$2 || exit 1
	if ! older_than $lists_max_age "$memory" &&
	   [ -z "$(find /var/lib/apt/lists -maxdepth 0 -newer "$memory")" ]; then
		cat "$memory"
		exit 0
	fi
	mkdir -p "${memory%/*}"
	found=$(kernel_lists_resolve "$1" "$2") || exit 1
	printf '%s\n' "$found" >"$memory.$$"
	mv "$memory.$$" "$memory"
	printf '%s\n' "$found"
)

# kernel_series - print the series the mirror offers the source of, one a line
kernel_series() (
	refresh_lists
	refresh_other
	for state in configured other; do
		config=$(apt_config $state) || exit 1
		apt-cache -c "$config" search --names-only '^linux-source-[0-9.]+$'
	done | sed -n 's/^linux-source-\([0-9.]*\) .*/\1/p' | sort -Vu
)

# The oldest series that is supported, and those that have been seen to be offered.
oldest_series=6.1
known_series='6.1 6.12 7.2 7.3'

# wanted_series - print the series that are supported and offered, one a line
wanted_series() (
	offered=$(kernel_series | awk -v oldest=$oldest_series '
		function number(series, part) {
			split(series, part, ".")
			return part[1] * 1000 + part[2]
		}
		number($1) >= number(oldest)')
	[ -n "$offered" ] ||
		die "the mirror offers no kernel source: see whether apt works here and the network does"
	printf '%s\n' "$offered"
)

# missing_series OFFERED... - print the series that are known, and not among these
missing_series() (
	for series in $known_series; do
		case " $* " in
		*" $series "*) ;;
		*) printf '%s\n' "$series" ;;
		esac
	done
)

# read_counts LOG STATUS - set passed and failed to what the log of a command ends
# with. One that has failed without counting anything has failed once
read_counts() {
	counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$1" | tail -n 1)
	counts=${counts:-0 1}
	# shellcheck disable=SC2034 # the scripts use it
	passed=${counts% *}
	failed=${counts#* }
	if [ "$2" != 0 ] && [ "$failed" = 0 ]; then
		failed=1
	fi
}

# What a download that failed is told apart by: newer lists may know better.
download_failed=75

# fetch_packages STATE VERSION DIRECTORY PACKAGE... - download and unpack them; without a
# VERSION, what the state offers
fetch_packages() (
	config=$(apt_config "$1") || exit 1
	version=$2
	dir=$3
	shift 3
	log=$(cache_dir)/apt/download.log
	mkdir -p "$dir/deb"
	for package in "$@"; do
		# The signed image and its meta package share a version, the
		# tools a package depends on may have another.
		printf '%s%s\n' "$package" "${version:+=$version}"
	done >"$dir/list"
	if ! (cd "$dir/deb" && xargs apt-get -c "$config" download <"$dir/list") \
		>"$log" 2>&1; then
		say "could not download $*; log: $log"
		exit 1
	fi
	for package in "$dir"/deb/*.deb; do
		dpkg-deb -f "$package" Depends >>"$dir/depends"
		dpkg -x "$package" "$dir" >>"$log" 2>&1 ||
			die "could not unpack $package" "$log"
	done
	rm -rf "$dir/deb" "$dir/list"
)

# unpacked_tools NAME PACKAGES PROGRAMS - print a directory with these programs out of these
# packages, which are not installed; the libraries they need are
unpacked_tools() (
	dir=$(cache_dir)/$1 || exit 1
	with_lock "$1" unpack_tools "$dir" "$2" "$3" || exit 1
	# shellcheck disable=SC2046 # a list of words
	need $(cat "$dir/libraries") || exit 1
	printf '%s\n' "$dir/path"
)

# unpack_tools DIRECTORY PACKAGES PROGRAMS
unpack_tools() (
	[ ! -e "$1/complete" ] || exit 0
	refresh_lists
	rm -rf "$1"
	say "downloading $2"
	# shellcheck disable=SC2086 # a list of words
	if ! fetch_packages configured '' "$1" $2; then
		forget_lists
		refresh_lists
		fetch_packages configured '' "$1" $2 ||
			die "could not download $2" "$(cache_dir)/apt/download.log"
	fi
	tr ',' '\n' <"$1/depends" | sed -n 's/^ *\(lib[^ (|]*\).*/\1/p' | sort -u >"$1/libraries"
	mkdir "$1/path"
	for program in $3; do
		found=$(find "$1" -name "$program" -type f -perm -100 -path '*bin/*' | head -n 1)
		[ -n "$found" ] || die "no $program in the packages $2: see what is in $1"
		ln -s "$found" "$1/path/$program"
	done
	touch "$1/complete"
)

# kernel_fetch KIND SERIES - print the directory with the unpacked packages,
# fetched when there is none yet or the mirror offers a newer version
kernel_fetch() (
	kind=$1
	series=$2
	store=$(cache_dir)/$kind/$series || exit 1
	found=
	case $series in
	*[!0-9.]* | '' | [!0-9]* | *.) die "'$series' is no kernel series: give one like 6.12" ;;
	esac
	command -v apt-get >/dev/null ||
		die "kernels are fetched with apt-get: this needs a Debian system"
	[ "$(dpkg --print-architecture)" = amd64 ] ||
		die "only Debian's kernels for amd64 are known here, this system is $(dpkg --print-architecture)"
	for lists in known refreshed; do
		status=0
		if [ $lists = refreshed ]; then
			forget_lists
		fi
		found=$(kernel_resolve "$kind" "$series") || continue
		version=${found#* }
		version=${version%% *}
		with_lock "$kind-$series" kernel_fetch_version "$kind" \
			"$store" "$version" "$found" || status=$?
		case $status in
		0) ;;
		"$download_failed") continue ;;
		*) exit 1 ;;
		esac
		touch "$store/$version/complete"
		printf '%s\n' "$store/$version"
		exit 0
	done
	complete=$(find "$store" -mindepth 2 -maxdepth 2 -name complete \
		-printf '%T@ %h\n' 2>/dev/null | sort -rn | head -n 1)
	if [ -n "$complete" ]; then
		say "going on with ${complete#* }, fetched earlier"
		printf '%s\n' "${complete#* }"
		exit 0
	fi
	[ -n "$found" ] ||
		die "the mirror offers no $kind of Linux $series; it offers: $(kernel_series | tr '\n' ' ')"
	die "could not fetch the $kind of Linux $series" "$(cache_dir)/apt/download.log"
)

# kernel_fetch_version KIND STORE VERSION 'STATE VERSION PACKAGE...'
kernel_fetch_version() (
	kind=$1
	dir=$2/$3
	new=$2/new
	version=$3
	[ ! -e "$dir/complete" ] || exit 0
	# shellcheck disable=SC2086 # a list of words
	set -- $4
	state=$1
	shift 2
	rm -rf "$dir" "$new"
	mkdir -p "$new"
	say "downloading $* ($version)"
	fetch_packages "$state" "$version" "$new" "$@" || exit $download_failed
	case $kind in
	source) unpack_source "$new" ;;
	image) unpack_image "$new" ;;
	headers) unpack_headers "$new" "$dir" "$1" ;;
	esac || exit 1
	mv "$new" "$dir"
	touch "$dir/complete"
	# A superseded version may still be in use by another run.
	for complete in "${dir%/*}"/*/complete; do
		if older_than 86400 "$complete"; then
			rm -rf "${complete%/complete}"
		fi
	done
)

unpack_source() {
	say "unpacking the kernel source"
	need xz-utils || return 1
	tar -C "$1" -xf "$1"/usr/src/linux-source-*.tar.* --strip-components=1 \
		--one-top-level=linux || die "could not unpack $1/usr/src"
	rm -rf "${1:?}/usr"
}

unpack_image() {
	need kmod || return 1
	if [ -d "$1/usr/lib/modules" ]; then
		mkdir -p "$1/lib"
		mv "$1/usr/lib/modules" "$1/lib/" || return 1
	fi
	# The series differ in where they have it.
	for vmlinuz in "$1"/boot/vmlinuz-* "$1"/lib/modules/*/vmlinuz; do
		[ ! -e "$vmlinuz" ] || mv "$vmlinuz" "$1/vmlinuz"
	done
	[ -e "$1/vmlinuz" ] || die "no kernel image in the packages unpacked in $1"
	rm -rf "${1:?}/usr" "$1"/lib/modules/*/build "$1"/lib/modules/*/source
	depmod -b "$1" "$(ls "$1/lib/modules")" ||
		die "depmod failed in $1"
}

# unpack_headers DIRECTORY FINAL-DIRECTORY PACKAGE - the headers are made for
# /usr/src; let them refer to each other where they are
unpack_headers() {
	sed -i "s|/usr/src/|$2/usr/src/|" "$1/usr/src/$3/Makefile" || return 1
	ln -s "usr/src/$3" "$1/build"
}

# kernel_source SERIES - print the directory of Debian's pristine kernel source
kernel_source() (
	dir=$(kernel_fetch source "$1") || exit 1
	printf '%s\n' "$dir/linux"
)

# kernel_image SERIES - print a directory with Debian's stock cloud kernel, not
# installed: `vmlinuz` and `lib/modules/RELEASE/`
kernel_image() (
	kernel_fetch image "$1"
)
