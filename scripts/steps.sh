# Shared by the scripts that run several steps: sourced, from the root of the repository.
jobs=$(nproc)
log=build/log.txt
mkdir -p build
start=$(date +%s)

step() {
    now=$(date +%s)
    echo
    echo "== $1 [$((now - start)) s]"
}

# build PRESET [OPTION...]: everything, or $build_targets; quiet unless it fails.
build_targets=
build() {
    preset=$1
    shift
    # shellcheck disable=SC2086  # a list of words
    if ! cmake --preset "$preset" "$@" >"$log" 2>&1 ||
        ! cmake --build --preset "$preset" -j "$jobs" ${build_targets:+--target $build_targets} >>"$log" 2>&1
    then
        grep -v -E '^\[[0-9]+/[0-9]+\]|^-- ' "$log" || tail -n 40 "$log"
        exit 1
    fi
    grep -A3 'warning: ' "$log" || true
    tail -n 1 "$log" | cut -c 1-120
}
