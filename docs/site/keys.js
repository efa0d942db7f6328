// Keys reach what scrolls by itself: tables, code and diagrams that are wider than the window.
document$.subscribe(() => {
  for (const frame of document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code, figure.waves")) {
    if (frame.scrollWidth > frame.clientWidth) frame.tabIndex = 0;
  }
});
