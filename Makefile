# Two commands do everything on a fresh Debian or Ubuntu machine: `make demo` and `make test`.
.PHONY: demo test check bench clean

demo:
	@scripts/setup demo
	@scripts/demo

test: check
	@scripts/setup test
	@scripts/test

# Formatting, lints, documentation, dependencies. No test.
check:
	@scripts/setup check
	@scripts/check

bench:
	@scripts/setup test
	@scripts/bench

clean:
	cargo clean
