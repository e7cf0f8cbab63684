# Baton's commands. `make help` explains them.
VENV := .venv
BIN := $(VENV)/bin
LOCAL := $(VENV)/.installed-local
DEV := $(VENV)/.installed-dev
INSTALLER := scripts/install.sh scripts/find-python.sh pyproject.toml
ARGS ?=
SHARED := --dist loadfile --no-loadscope-reorder
# Three at a time on two cores: tests with processes wait most of their time.
PYTEST := $(BIN)/python -m pytest -n 3 $(SHARED)
# The tests of `make check`: those of other folders load TensorFlow, start processes, or load large packages.
CHECKED := unit service client contract control_plane security

export VENV
ifdef PYTHON
export PYTHON
endif

.DEFAULT_GOAL := help
.PHONY: help install demo up check check-tests test test-all coverage chaos chaos-adapters drill-campaign chaos-control published images images-try lint audit docs format bench bench-checkpoint bench-recovery bench-deadline bench-control bench-lists bench-retention bench-outage bench-uploads bench-data bench-push bench-program bench-program-files bench-batches bench-resume bench-keras bench-gpu lock clean

help: ## Show this text
	@echo "make TARGET [ARGS='...']  (ARGS are passed to the command of the target; PYTHON=... selects the interpreter)"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(LOCAL) ## Make .venv from the lock file: service, CPU worker, command line, embedded Redis
	@echo "$(VENV) is up to date; the command line is $(BIN)/baton"

demo: $(LOCAL) ## Train on handwritten digits, kill the worker during the training, watch the recovery (about 3 minutes)
	$(BIN)/baton demo $(ARGS)

up: $(LOCAL) ## Run service, Redis and a worker on this machine until Ctrl-C
	$(BIN)/baton up $(ARGS)

check: $(DEV) ## Lint, and the tests that start no process and load no TensorFlow (about 3 minutes)
	@$(MAKE) --no-print-directory -j 2 lint check-tests

check-tests: $(DEV)
	$(BIN)/python -m pytest -n 3 $(SHARED) $(CHECKED:%=tests/%) -m "not process and not postgres and not browser and not chaos and not docs and not slow" $(ARGS)

test: $(DEV) ## All tests except campaigns, fuzzing and the docs' commands; ARGS='tests/client -x', '-n 0': one by one
	$(PYTEST) -m "not chaos and not docs and not slow" $(ARGS)

test-all: $(DEV) ## All tests, as in continuous integration
	$(PYTEST) $(ARGS)

coverage: $(DEV) ## Coverage of lines and branches, including started processes (htmlcov/)
	$(BIN)/python -m coverage erase
	$(PYTEST) --cov --cov-branch --cov-report= -m "not chaos and not docs and not slow" $(ARGS)
	$(BIN)/python -m coverage html --quiet
	$(BIN)/python -m coverage report --skip-covered --format=total

chaos: $(DEV) ## Kill N classifiers and N/4 programs at random points, compare bits: make chaos N=200 STORE=s3; SEED=... repeats
	$(BIN)/python -m tests.resume.chaos $(if $(N),-n $(N)) $(if $(SEED),--seed $(SEED)) $(if $(STORE),--store $(STORE)) $(ARGS)

drill-campaign: $(DEV) ## Drill ten planted faults and three correct programs with N seeds (N=20: 15 minutes)
	$(BIN)/python -m tests.drill.campaign -n $(or $(N),20) $(ARGS)

chaos-adapters: $(DEV) ## Kill N times each the programs of the adapters for Keras, torch and JAX, compare bits: make chaos-adapters N=10; SEED=...
	$(BIN)/python -m tests.resume.adapters $(if $(N),-n $(N)) $(if $(SEED),--seed $(SEED)) $(ARGS)

chaos-control: $(DEV) ## Kill, freeze, disconnect services, workers, Redis with 100 jobs: make chaos-control MINUTES=20; SEED=...
	$(BIN)/python -m tests.control_plane.chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) \
	  $(if $(JOBS),--jobs $(JOBS)) $(ARGS)

published: $(DEV) ## Train the four published plans at small size, each killed twice: make published DATA=path/to/tiny-imagenet-200
	$(BIN)/python -m tests.resume.published $(DATA) $(ARGS)

images: ## Build the container images: make images ARGS=worker-gpu; docker, podman, or buildah without a registry
	bash scripts/images.sh $(ARGS)

images-try: $(DEV) ## Run the images and train a job with them, with buildah and no container engine (root; after make images)
	$(BIN)/python -m tests.deploy.try_images $(ARGS)

lint: $(DEV) ## Check style, formatting, types, import directions and lock files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m scripts.async_client --check
	$(BIN)/python scripts/check_locks.py

audit: $(DEV) ## Check each locked version for known vulnerabilities (needs the network; exit status 1 if one is found)
	@status=0; for lock in requirements/*.txt; do echo "$$lock"; \
	  $(BIN)/pip-audit --requirement $$lock --require-hashes --disable-pip --strict --progress-spinner off $(ARGS) || status=1; \
	done; exit $$status

docs: $(DEV) ## Generate the reference from the code, then build the documentation site in build/docs (warnings are errors)
	$(BIN)/python -m scripts.reference
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs build/docs
	@echo "build/docs/index.html"

format: $(DEV) ## Format the code and sort the imports
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(DEV) ## Benchmarks: checkpoints, deterministic mode, recovery, control plane, data (about 26 minutes)
	$(BIN)/python -m bench $(ARGS)

bench-checkpoint: $(DEV) ## Cost of a checkpoint, compared with no checkpoints and with Keras's callbacks (5 minutes)
	$(BIN)/python -m bench checkpoint

bench-recovery: $(DEV) ## Seconds from a signal to the first new step on a warm and on a cold worker (8 minutes)
	$(BIN)/python -m bench recovery

bench-deadline: $(DEV) ## N jobs (20) in sessions of a minute: time between each hand-over and the deadline (40 minutes)
	$(BIN)/python -m bench.deadline $(if $(N),-n $(N)) $(ARGS)

bench-control: $(DEV) ## Requests per second of one service process, of a bare route, and after a year of use (12 minutes); ARGS=--year
	$(BIN)/python -m bench.control $(ARGS)

bench-lists: $(DEV) ## Each filter and sort of the job list, with 1,000 and 100,000 jobs, on SQLite and PostgreSQL (15 minutes)
	$(BIN)/python -m bench.lists $(ARGS)

bench-retention: $(DEV) ## A year of jobs under a retention of 30 days: sizes, and heartbeats beside the deletion (25 minutes); ARGS='--jobs 5000 --days 60'
	$(BIN)/python -m bench.retention $(ARGS)

bench-outage: $(DEV) ## Heartbeats while the store hangs for a minute with 200 clients, on SQLite and PostgreSQL (4 minutes)
	$(BIN)/python -m bench.outage $(ARGS)

bench-uploads: $(DEV) ## Heartbeats and memory of the service while 200 workers upload through it (2 minutes)
	$(BIN)/python -m bench.uploads $(ARGS)

bench-data: $(DEV) ## Images per second decoded, cached, served, augmented; also of imgaug and Keras (a minute); ARGS='--path DIR'
	$(BIN)/python -m bench.data $(ARGS)

bench-push: $(DEV) ## Bytes and seconds of a push of 2 GB that is killed five times, compared with a plain copy (4 minutes)
	$(BIN)/python -m bench.push $(ARGS)

bench-program: $(DEV) ## Cost of the library in a training program, beside the same program without it (a minute)
	$(BIN)/python -m bench.program $(ARGS)

bench-program-files: $(DEV) ## A program's checkpoint of 3 GB, beside the store's own client (3 minutes); ARGS='--gigabytes 1 --stores gcs'
	$(BIN)/python -m bench.program_files $(ARGS)

bench-batches: $(DEV) ## Cost of baton.data.batches in a training loop, beside a loop without it (a minute)
	$(BIN)/python -m bench.batches $(ARGS)

bench-resume: $(DEV) ## Steps redone, seconds lost, weights and data of several ways to resume, under the same kills (4 minutes)
	$(BIN)/python -m bench.resume $(ARGS)

bench-keras: $(DEV) ## Time of a step in baton.keras.fit and in model.fit, in one process (2 minutes)
	$(BIN)/python -m bench.resumable_fit $(ARGS)

bench-gpu: $(DEV) ## Images per second of both networks on this machine's GPU, compared with torch.compile; ARGS='--data DIR'
	$(BIN)/python -m bench.gpu $(ARGS)

lock: ## Make requirements/*.txt again from pyproject.toml, e.g. make lock ARGS=--upgrade (needs uv)
	bash scripts/lock.sh $(ARGS)

clean: ## Remove .venv, caches and the data of make demo; the data of make up (.baton) is kept
	rm -rf $(VENV) .demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis htmlcov .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(LOCAL): requirements/local.txt $(INSTALLER)
	@bash scripts/install.sh local

$(DEV): requirements/dev.txt $(INSTALLER)
	@bash scripts/install.sh dev
