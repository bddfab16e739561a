# SPDX-License-Identifier: GPL-2.0-only
#
# For Sphinx. scripts/docs runs it, and names in the environment
#
#	DM_IO_LINUX	a kernel tree, for its kernel-doc and the directive of that name
#	DM_IO_SOURCE	the directory of the sources
#	DM_IO_VERSION	their version
#	DM_IO_DATE	the date of that version, or nothing

import os
import sys

linux = os.environ["DM_IO_LINUX"]
source = os.environ["DM_IO_SOURCE"]
sys.path.insert(0, os.path.join(linux, "Documentation", "sphinx"))

project = "dm-io"
author = ""
copyright = "GPL-2.0-only"
version = release = os.environ["DM_IO_VERSION"]
# In the manual pages. Without it, they would be new every day.
today = os.environ["DM_IO_DATE"]

extensions = ["kerneldoc"]
kerneldoc_bin = os.path.join(linux, "scripts", "kernel-doc")
kerneldoc_srctree = source
# What kernel-doc warns of makes it fail, and that is a warning of Sphinx.
os.environ["KDOC_WERROR"] = "1"

# Code is C unless it is marked as something else.
primary_domain = "c"
highlight_language = "none"

exclude_patterns = ["example"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Block I/O for Device Mapper targets",
    "fixed_sidebar": True,
    "page_width": "1180px",
    "sidebar_width": "230px",
    "show_powered_by": False,
}
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
# Its custom.css is added to that of the theme.
html_static_path = ["static"]

# A page for each symbol: scripts/docs writes their names and what they are.
man_pages = []
man_list = os.environ.get("DM_IO_MAN_LIST")
if man_list:
    with open(man_list, encoding="utf-8") as lines:
        for line in lines:
            name, purpose = line.rstrip("\n").split("|", 1)
            man_pages.append((name, name, purpose, "", 9))
