"""Two simulators of one machine, and the audit: ``fast`` by closed forms, ``stepped`` register by register."""
