# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Functions the scripts that package the library share, and those that check the
# packages. To be sourced behind lib-packages.sh.

# project_version - print the version, of which dm-io.c has the only one
project_version() (
	file=$(project_dir)/dm-io.c || exit 1
	version=$(sed -n 's/^MODULE_VERSION("\([0-9][0-9.]*\)");$/\1/p' "$file")
	[ -n "$version" ] || die "there is no MODULE_VERSION(\"1.2\") in $file"
	printf '%s\n' "$version"
)

# maintainer - print who answers for a package: NAME <ADDRESS>
maintainer() (
	who=${MAINTAINER-}
	if [ -z "$who" ]; then
		cd "$(project_dir)" || exit 1
		name=$(git config user.name 2>/dev/null) || :
		address=$(git config user.email 2>/dev/null) || :
		if [ -n "$name" ] && [ -n "$address" ]; then
			who="$name <$address>"
		else
			who=$(git log -1 --format='%an <%ae>' 2>/dev/null) || :
		fi
	fi
	case $who in
	?*' <'?*@?*'>') printf '%s\n' "$who" ;;
	*) die "packages need a maintainer, got '$who': set git's user.name and user.email, or MAINTAINER='Name <address>'" ;;
	esac
)

#
# A system of its own, below a directory
#

# inside ROOT COMMAND [OPTION] - run the shell's command in the other system, without
# a network unless there is an option for unshare. Its processes and mounts end with it
inside() {
	# shellcheck disable=SC2016 # variables of the inner shell
	as_root unshare --mount --pid --fork --kill-child "${3---net}" sh -c '
		mount -t proc proc "$1/proc" &&
		mount --rbind /dev "$1/dev" &&
		exec chroot "$1" env -i HOME=/root LC_ALL=C.UTF-8 \
			PATH=/usr/sbin:/usr/bin:/sbin:/bin \
			DEBIAN_FRONTEND=noninteractive sh -c "$2"
		' sh "$1" "$2" </dev/null
}

# debian_suites - print the suites of Debian that apt is configured with here, as
# lines of a sources.list
debian_suites() {
	# shellcheck disable=SC2016 # apt's variables
	apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)' \
		'Created-By: Packages' |
		sed -n 's/^Debian|\([^|]*\)|\([^|]*\)|\(.*\)/deb \1 \2 \3/p'
}

#
# Checks, each of them counted
#

passed=0
failed=0

# check NAME COMMAND... - run it in a subshell with its output in a log of its own, in
# the directory $logs. What it prints on descriptor 4 is the reason of a failure
check() {
	check_name=$1
	shift
	checks=$((passed + failed + 1))
	check_log=${logs:?}/$(printf '%02d' "$checks")-$(printf '%s' "$check_name" | tr -c 'A-Za-z0-9.\n' - | cut -c 1-60).log
	check_start=$(date +%s)
	if ("$@") >"$check_log" 2>&1 4>"$logs/reason"; then
		passed=$((passed + 1))
		say "passed: $check_name ($(($(date +%s) - check_start)) s)"
		return 0
	fi
	failed=$((failed + 1))
	say "FAILED: $check_name"
	if [ -s "$logs/reason" ]; then
		sed 's/^/    /' "$logs/reason" | head -n 20
	else
		tail -n 5 "$check_log" | sed 's/^/    /'
	fi
	printf '    full log: %s\n' "$check_log"
	return 1
}

# because MESSAGE - the reason why the check around it fails
because() {
	printf '%s\n' "$*" >&4
	return 1
}

# finish - print the last line
finish() {
	if [ $((passed + failed)) = 0 ]; then
		failed=1
	fi
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ]
}
