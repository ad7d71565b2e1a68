# `make run` and `make test` install what they need; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLIENTS := .venv-clients
PIP := python -m pip install --disable-pip-version-check

.DEFAULT_GOAL := help

help:  ## Show this list
	@grep -E '^[a-z -]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z -]+):[^#]*## */  make \1|/' | column -t -s '|'

run: $(VENV)/installed  ## Install missing packages and serve on 127.0.0.1:8000 (change with PORT=)
	@exec $(BIN)/python backend/main.py $(if $(PORT),--port $(PORT))

install-chatterbox: $(VENV)/installed-chatterbox  ## Install Chatterbox, the engine for CUDA GPUs, with torch

install-cluster: $(VENV)/installed-cluster  ## Install Ray Serve, for several servers behind one address

test: $(VENV)/installed-test  ## Run the tests without the slow ones: a few minutes
	$(BIN)/python -m pytest -m "not slow"

test-all: $(VENV)/installed-test $(VENV)/installed-chatterbox $(VENV)/installed-cluster  ## Run all tests: also the page's, Chatterbox's and other slow ones
	$(BIN)/python -m pytest

check: $(VENV)/installed-test  ## Check style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-page: $(VENV)/installed-test  ## Run only the page tests, in a real browser (needs make chromium)
	$(BIN)/python -m pytest tests/browser

test-clients: $(VENV)/installed-test $(CLIENTS)/installed  ## Test the real clients of OpenAI, ElevenLabs, LiveKit, Pipecat and others
	$(CLIENTS)/bin/python -m pytest -c tests/interop/pytest.ini tests/interop

test-js: $(VENV)/installed-test js  ## Run only the tests of the JavaScript client in Node (20 or newer)
	$(BIN)/python -m pytest tests/clients_js

js: clients/js/node_modules/.package-lock.json  ## Install what the JavaScript client's tests need: 31 MB

clients/js/node_modules/.package-lock.json: clients/js/package-lock.json
	@command -v npm || { echo "Install Node 20 or newer, with npm: https://nodejs.org"; exit 1; }
	cd clients/js && npm ci

chromium:  ## Install the browser for the page tests (Debian, Ubuntu)
	@for name in chromium chromium-browser google-chrome; do \
	  if command -v $$name; then exit 0; fi; \
	done; \
	if command -v apt-get >/dev/null; then \
	  sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$sudo apt-get update && \
	  $$sudo apt-get install --yes --no-install-recommends chromium fonts-dejavu-core; \
	else echo "Install Chromium or Google Chrome so that one of these is on the PATH:" \
	  "chromium, chromium-browser, google-chrome. (macOS: brew install --cask chromium;" \
	  "Fedora: dnf install chromium; Arch: pacman -S chromium.)"; exit 1; fi

nginx caddy:  ## Install a reverse proxy for the tests of docs/deploy.md (Debian, Ubuntu)
	@if PATH="$$PATH:/usr/sbin" command -v $@; then exit 0; fi; \
	if command -v apt-get >/dev/null; then \
	  sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$sudo apt-get update && \
	  $$sudo apt-get install --yes --no-install-recommends $@; \
	else echo "Install $@ so that it is on the PATH. (macOS: brew install $@; Fedora: dnf install $@;" \
	  "Arch: pacman -S $@.)"; exit 1; fi

speechd:  ## Install Speech Dispatcher and PulseAudio for the screen readers' tests (Debian, Ubuntu)
	@if command -v speech-dispatcher && command -v pulseaudio && command -v parec; then exit 0; fi; \
	sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	$$sudo apt-get update && $$sudo apt-get install --yes --no-install-recommends \
	  speech-dispatcher speech-dispatcher-espeak-ng pulseaudio pulseaudio-utils

bench: $(VENV)/installed-test  ## Run the benchmark; writes bench/results/
	$(BIN)/python -m bench

clean:  ## Remove installed and built files
	rm -rf $(VENV) $(CLIENTS) build *.egg-info clients/js/node_modules

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "duplex-tts needs Python 3.11 or newer; choose one with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV): about 150 MB to download, 540 MB on disk, one minute"
	$(BIN)/$(PIP) -r requirements.txt
	$(BIN)/$(PIP) --no-deps --editable .
	@touch $@

$(VENV)/installed-test: requirements-test.txt $(VENV)/installed
	@echo "Installing the test packages into $(VENV): about 250 MB to download, 720 MB on disk"
	$(BIN)/$(PIP) -r requirements-test.txt
	@touch $@

CHATTERBOX := requirements-chatterbox.txt requirements-chatterbox-parts.txt
$(VENV)/installed-chatterbox: $(CHATTERBOX) $(VENV)/installed
	@echo "Installing Chatterbox into $(VENV): a few minutes; several GB with a CUDA torch"
	$(BIN)/$(PIP) -r requirements-chatterbox.txt
	$(BIN)/$(PIP) --no-deps -r requirements-chatterbox-parts.txt
	@# Compiled for another torch, they cannot be loaded; nothing here uses them.
	rm -f $(VENV)/lib/python*/site-packages/torchaudio/lib/*.so
	$(BIN)/python -W ignore -c "import chatterbox.tts, chatterbox.tts_turbo"
	@touch $@

$(VENV)/installed-cluster: requirements-cluster.txt $(VENV)/installed
	@echo "Installing Ray Serve into $(VENV): about 110 MB to download, 330 MB on disk"
	$(BIN)/$(PIP) -r requirements-cluster.txt
	@touch $@

$(CLIENTS)/installed: requirements-clients.txt | $(VENV)/bin/python
	@echo "Installing the real clients into $(CLIENTS): about 250 MB to download, 800 MB on disk, one minute"
	$(BIN)/python -m venv $(CLIENTS)
	$(CLIENTS)/bin/$(PIP) -r requirements-clients.txt
	@touch $@

.PHONY: help run install-chatterbox install-cluster test test-all test-page test-js js test-clients check chromium nginx caddy speechd bench clean
