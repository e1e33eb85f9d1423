# The commands of the README, nothing else. Each is a script that also runs without make.
.PHONY: help demo check check-long build install clean

help:
	@echo "make demo        install what is missing, build, fetch the default model, answer three questions"
	@echo "make check       build, run every test (fetches the small test model), sanitizers"
	@echo "make check-long  fuzzers, coverage, clang, static analysis, the answers evaluation"
	@echo "make build       build/release/vetro only"
	@echo "make install     build and install below PREFIX (default /usr/local)"

demo:
	@scripts/demo

check:
	@scripts/check

check-long:
	@scripts/check-long

build:
	@scripts/install-packages build
	@cmake --preset release
	@cmake --build --preset release

install: build
	@cmake --install build/release --prefix $(or $(PREFIX),/usr/local)

clean:
	rm -rf build
