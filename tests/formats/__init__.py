"""Files of every version of every format, and that today's code reads them."""
