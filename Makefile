# On a machine with git, make, python3 and python3-venv:
#   make run     sets everything up and runs ID server and relay (ARGS="..." are passed on)
#   make test    sets everything up and runs every test (TESTS=tests.wire for a part)
# For work on the code:
#   make lint (style and types), make coverage, make proto, make docs, make clean
#   make nat-lab tests clients behind routers, in network namespaces (as root; iproute2,
#                nftables, haproxy)
#   make interop tests the server among proxies, browsers and other clients, those that
#                are installed
#   make deb     builds the Debian package into dist/
#   make deb-test tests it with piuparts and autopkgtest, and in fresh roots of Debian 12 and
#                13, booted with systemd (as root; debootstrap, systemd-container, both)
#   make image-test builds the container image and tests it (as root; buildah, podman, runc,
#                debootstrap)
#   make bench   measures the server beside others: see bench/README.md (ARGS="--quick")

PYTHON ?= python3
ARGS ?=
TESTS ?= tests
# What runs trial: empty, or "-m coverage run".
TRACE ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
# A package without a wheel fails at once here, not in the middle of a C build.
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet --only-binary :all:

NAT_LAB := tests/natlab/enter.sh

.PHONY: run test interop nat-lab lint style types coverage bench proto docs deb deb-test \
	image-test clean

run: $(READY)
	@mkdir -p data
	$(BIN)/twistd --nodaemon --pidfile= rustdesk-server --data-dir=data $(ARGS)

# The temporary folder has a short path, because those of Unix sockets are limited.
test: $(READY)
	@temp=$$(mktemp -d) && \
	if $(BIN)/python $(TRACE) -m twisted.trial --temp-directory="$$temp/trial" $(TESTS); \
	then rm -rf "$$temp"; \
	else echo "The log of the tests is $$temp/trial/test.log" >&2; exit 1; fi

interop: $(READY_DEV)
	@$(MAKE) --no-print-directory test TESTS="$(sort $(wildcard tests/interop/check_*.py))"

# In namespaces of its own, so that nothing of it is left, whatever happens to it.
nat-lab: $(READY)
	@temp=$$(mktemp -d) && trap 'rm -rf "$$temp"' EXIT && \
	TMPDIR="$$temp" $(NAT_LAB) $(BIN)/python -m twisted.trial --temp-directory="$$temp/trial" \
	tests/natlab/check_nat.py

lint: style types

style: $(READY_DEV)
	$(BIN)/ruff check .

types: $(READY_DEV)
	$(BIN)/mypy

coverage: $(READY_DEV)
	rm -f .coverage .coverage.*
	$(MAKE) --no-print-directory test TRACE="-m coverage run"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

bench: $(READY)
	$(BIN)/python -m bench.run $(ARGS)

# Code of a newer protoc does not import under Debian 12's runtime.
proto:
	@found=$$(protoc --version 2>/dev/null); case "$$found" in \
	"libprotoc 3.21."*) ;; \
	*) echo "make proto needs protoc 3.21 (package protobuf-compiler of Debian 12" \
	        "and 13), found: $${found:-none}" >&2; exit 1;; esac
	protoc --proto_path=rdserver/wire --python_out=rdserver/wire --pyi_out=rdserver/wire rendezvous.proto

docs: $(READY)
	$(BIN)/python -m rdserver.settings.document > docs/settings.md.new
	mv docs/settings.md.new docs/settings.md
	$(BIN)/python -m rdserver.settings.sample > debian/rustdesk-server.conf.new
	mv debian/rustdesk-server.conf.new debian/rustdesk-server.conf

deb:
	deb/build.sh

deb-test:
	deb/test.sh

image-test:
	deb/image.sh

clean:
	rm -rf $(VENV) bench/build build dist *.egg-info .coverage .coverage.* .mypy_cache .ruff_cache
	find rdserver tests twisted tools -name __pycache__ -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache

# The stamp is written last: an environment that was not finished is made anew.
# So is one made elsewhere (a moved checkout) or by another Python, for both are
# named in the stamp.
MADE_BY := $(CURDIR) $(PYTHON)
ifneq "$(shell cat $(READY) 2>/dev/null)" "$(MADE_BY)"
.PHONY: $(READY)
endif

$(READY): requirements.txt setup.cfg tools/link_checkout.py
	@rm -f $@
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	"rdserver needs Python 3.11 or newer; choose one with PYTHON=...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python tools/link_checkout.py
	$(PIP_INSTALL) --requirement requirements.txt
	@echo "$(MADE_BY)" > $@

$(READY_DEV): $(READY) requirements-dev.txt
	$(PIP_INSTALL) --requirement requirements-dev.txt
	@touch $@
