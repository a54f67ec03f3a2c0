#!/usr/bin/env bash
# ansible-test sanity over the collection, as its registry would run it.
#
# ansible-test wants a collection to lie in ansible_collections/<namespace>/<name> of a git repository of its own,
# and wants to fetch an installer for pip; it gets a copy of the collection and a stub around the pip wheel instead.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cache=${ANSIBLE_HOME:-$HOME/.ansible}/test/cache
pip_version=24.2
if [ ! -e "$cache/pip-$pip_version-py3-none-any.whl" ]; then
  mkdir -p "$cache"
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$cache" "pip==$pip_version"
fi
cat >"$cache/get_pip_${pip_version/./_}.py" <<'STUB'
import os, runpy, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.environ["GET_PIP"]), "pip-24.2-py3-none-any.whl"))
sys.argv = ["pip", "install"] + [a for a in sys.argv[1:] if a not in ("--no-setuptools", "--no-wheel")]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
STUB

copy=$work/ansible_collections/oncall/runbooks
mkdir -p "$copy"
git -C "$root" ls-files -z collections/ansible_collections/oncall/runbooks |
  (cd "$root" && xargs -0 tar -cf -) | tar -xf - --strip-components=4 -C "$copy"
cd "$copy"
git init --quiet .
git add --all

# What is fetched for the checks themselves is not worth reading: only the verdicts are.
minor=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$(dirname "$python")/ansible-test" sanity --python "$minor" "$@" >"$work/log" 2>&1 && status=0 || status=$?
grep -E '^(Running sanity|ERROR|FATAL|See doc)' "$work/log" || cat "$work/log"
exit "$status"
