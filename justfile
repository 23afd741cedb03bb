# What CI runs, by the names people use. `just --list` shows them.

# format everything
fmt:
    cargo fmt --all

# formatting and clippy, warnings as errors
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# licences, sources, banned and duplicate crates
deny:
    cargo deny --offline check bans licenses sources

# every test
test:
    cargo xtask test

# controllers, gateway and comparisons on a real kube-apiserver (needs Go)
live:
    cargo xtask live

# Kubernetes' own conformance specs on the embedded engine (needs Go)
conformance:
    cargo xtask conformance

# edges, sizes, orphans, generated files
check:
    cargo xtask check

# write generated files
gen:
    cargo xtask crds
    cargo xtask reference

# the platform in real pods on a real node (needs root, Go and Debian's containerd)
e2e:
    cargo xtask e2e

# the main job, start to end
demo:
    cargo xtask demo

# the real engines that tests and clusters use (needs Go)
engines:
    cargo xtask engines

# a real node on this machine (needs root)
cluster:
    cargo xtask cluster up

# the container image, without Docker
image:
    cargo xtask image

# the numbers in docs/performance.md
bench:
    cargo bench --workspace

# documentation, warnings as errors
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
