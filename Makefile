# make run    play the example through the daemon and print its events; ends by itself
# make test   lint, types and tests, with everything that they need
# make check  lint, types and the fast tests
# make docs   docs/ as a site in build/site, and what is generated in docs/
# All do their own set-up: system packages (apt), a virtual environment, Python packages.
# make install-service     streamsed for systemd, in /opt/streamsed; as root. EXTRAS=gpu for CUDA
# make uninstall-service   takes it away, but for its configuration and its state

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
# Setuptools warns of every editable installation.
PIP_INSTALL = PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --constraint constraints.txt
RUN_PACKAGES := libportaudio2
TEST_PACKAGES := $(RUN_PACKAGES) pulseaudio pulseaudio-utils libasound2-plugins espeak-ng g++ \
	chromium chromium-driver mosquitto systemd-container podman runc mmdebstrap

# Where the service goes. DESTDIR holds all of it somewhere else, for packages and tests.
SERVICE_VENV ?= /opt/streamsed
DESTDIR ?=
EXTRAS ?=
UNITS := /etc/systemd
CONFIG := /etc/streamsed/config.yaml
MODELS := /usr/share/streamsed/models
BUNDLES := $(notdir $(patsubst %/manifest.yaml,%,$(wildcard models/*/manifest.yaml)))

.PHONY: help run test check lint docs bench clean install-service install-service-files uninstall-service

help:
	sed -n '1,8s/^# //p' Makefile

run: $(VENV)/.installed-run
	PATH="$(abspath $(BIN)):$$PATH" examples/demo.sh

test: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --durations=25

check: lint
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal --hypothesis-profile quick \
	  -m 'not slow'

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-test
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	echo "Built build/site/index.html"

bench: $(VENV)/.installed-run
	for script in benchmarks/*.py; do $(BIN)/python "$$script"; done

# With the system's own Python, for a service cannot see into anybody's home.
install-service: install-service-files
	service=$(abspath $(DESTDIR)$(SERVICE_VENV))
	PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	  $(MAKE) --no-print-directory VENV="$$service" "$$service/bin/pip"
	$(call apt_install,$(RUN_PACKAGES))
	echo "Installing streamsed into $$service"
	PYTHONWARNINGS=ignore "$$service/bin/pip" install --quiet --constraint constraints.txt \
	  '.$(if $(EXTRAS),[$(EXTRAS)])'
	mkdir -p $(DESTDIR)/usr/local/bin
	ln -sf $(SERVICE_VENV)/bin/streamsed $(DESTDIR)/usr/local/bin/streamsed
	if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl try-restart streamsed; fi
	echo "Now look into $(CONFIG), then: systemctl enable --now streamsed"

# Everything but Python packages. A configuration that is there is left alone.
install-service-files:
	root=$(DESTDIR)
	if [ -z "$$root" ] && [ "$$(id -u)" != 0 ]; then
	  echo "The service goes to /etc, /opt and /usr: sudo make install-service" >&2; exit 1
	fi
	for unit in system user; do mkdir -p "$$root$(UNITS)/$$unit"; done
	sed 's:/opt/streamsed:$(SERVICE_VENV):' systemd/streamsed.service \
	  >"$$root$(UNITS)/system/streamsed.service"
	sed 's:/opt/streamsed:$(SERVICE_VENV):' systemd/user/streamsed.service \
	  >"$$root$(UNITS)/user/streamsed.service"
	for bundle in $(BUNDLES); do
	  rm -rf "$$root$(MODELS)/$$bundle"
	  install -Dm644 -t "$$root$(MODELS)/$$bundle" models/"$$bundle"/*
	done
	if [ ! -e "$$root$(CONFIG)" ]; then
	  mkdir -p "$$root$(dir $(CONFIG))"
	  install -m644 config.yaml "$$root$(CONFIG)"
	fi
	if [ -z "$$root" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi

uninstall-service:
	root=$(DESTDIR) venv=$(DESTDIR)$(SERVICE_VENV) command=$(DESTDIR)/usr/local/bin/streamsed
	if [ -z "$$root" ] && [ -d /run/systemd/system ]; then
	  systemctl disable --quiet --now streamsed || true
	fi
	rm -f "$$root$(UNITS)"/{system,user}/streamsed.service
	if [ -z "$$root" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
	[ ! -e "$$venv/pyvenv.cfg" ] || rm -rf "$$venv"
	for bundle in $(BUNDLES); do rm -rf "$$root$(MODELS)/$$bundle"; done
	rmdir -p --ignore-fail-on-non-empty "$$root$(MODELS)" 2>/dev/null || true
	[ "$$(readlink "$$command")" != $(SERVICE_VENV)/bin/streamsed ] || rm "$$command"
	echo "Left where they are: $(CONFIG) and /var/lib/streamsed"

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# What apt can do it does, as root or through sudo without a password; what it cannot is reported in
# one line, because the packages may be there under another name or not be needed.
define apt_install
	missing=()
	for package in $(1); do
	  dpkg-query -W -f='$${Status}' "$$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$$package")
	done
	if (($${#missing[@]})); then
	  as_root=(); if [ "$$(id -u)" != 0 ]; then as_root=(sudo -n); fi
	  echo "Installing system packages: $${missing[*]}"
	  { "$${as_root[@]}" apt-get -qq update && "$${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
	    apt-get -qq -y --no-install-recommends install "$${missing[@]}" >/dev/null; } 2>/dev/null ||
	  echo "Not installed; if something fails for lack of it: sudo apt install $${missing[*]}" >&2
	fi
endef

$(VENV)/.installed-run: pyproject.toml constraints.txt | $(BIN)/pip
	$(call apt_install,$(RUN_PACKAGES))
	echo "Installing streamsed into $(VENV)"
	$(PIP_INSTALL) --editable .
	touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/pip
	# sed_scores_eval comes as source: its build wants g++ and Python's headers.
	headers=$$($(BIN)/python -c 'import pathlib, sys, sysconfig
	found = pathlib.Path(sysconfig.get_path("include"), "Python.h").exists()
	print("" if found else "python{}.{}-dev".format(*sys.version_info))')
	$(call apt_install,$(TEST_PACKAGES) $$headers)
	echo "Installing streamsed with all extras into $(VENV) (5 GB, minutes)"
	$(PIP_INSTALL) --editable '.[cluster,dev,eval,gpu,train]'
	touch $@ $(VENV)/.installed-run

# The first Python from 3.11 on that can make an environment. Debian parts venv from Python.
$(BIN)/pip:
	suitable() { command -v "$$1" >/dev/null && "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
	can_venv() { "$$1" -c 'import ensurepip, venv' 2>/dev/null; }
	found=; python=
	for candidate in python3.11 python3.12 python3.13 python3; do
	  suitable $$candidate || continue
	  found=$${found:-$$candidate}
	  if can_venv $$candidate; then python=$$candidate; break; fi
	done
	if [ -z "$$found" ]; then echo "Python 3.11 or newer is needed: sudo apt install python3 python3-venv" >&2; exit 1; fi
	if [ -z "$$python" ]; then
	  python=$$found
	  package=$$($$python -c 'import sys; print("python{}.{}-venv".format(*sys.version_info))')
	  $(call apt_install,$$package)
	  can_venv $$python || exit 1
	fi
	$$python -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
