#!/bin/sh
# What `cargo xtask fuzz` puts before rustc: the platform's crates count the edges they pass, by a pass of LLVM's that stable
# rustc can run. The fuzzer itself and build scripts are left as they are.
case " $* " in
*" --crate-name tenantry_fuzz "*) ;;
*" --crate-name tenantry_"*)
    exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    ;;
esac
exec "$@"
