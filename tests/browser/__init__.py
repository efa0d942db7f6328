"""Reports, comparisons and explorations as pages in a headless Chromium: ``make browser`` makes and checks them.

The browser's environment has no torch: ``pages`` runs in that of the tests, ``check_pages`` in the browser's.
"""
