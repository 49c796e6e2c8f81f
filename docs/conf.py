"""Sphinx's configuration of the site: `make docs`, or `python -m sphinx -W -n docs build/site`.

The site works from disk without a network: no address of another host is needed for fonts, scripts or search.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from docs.write.site import connect
from drrn import __version__

project = "drrn"
author = "the authors of drrn"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["LOG.md", "log", "write", "family.md", "results.md", "study/results"]
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!drrn\b).*"),  # types of Python and NumPy: their pages are on the network
    (
        r"py:class",
        r"drrn\.(upscaling\.upscaler\.Sample|weights\.store\.NetworkPlan|media\.metadata\..*)",
    ),  # a type variable; not public
]
default_role = "code"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

smartquotes = False  # --output is an option

autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"drrn {version}"
html_copy_source = False
html_show_search_summary = False  # a browser fetches no page from disk
html_show_sphinx = False
html_show_copyright = False  # the license is in the README


setup = connect
