#!/bin/sh
# Deploys what is checked out. On the real host it builds images; here a release is a folder, and the API reads it at
# its start.
set -eu
. ./.deploy.env
sha=$(git rev-parse HEAD)
test "${DEPLOY_SHA:-$sha}" = "$sha" || { echo "asked for $DEPLOY_SHA, but $sha is checked out" >&2; exit 3; }
echo "deploying $sha"
rm -rf "$RELEASE_DIR.new"
mkdir "$RELEASE_DIR.new"
cp -R api.json migrations "$RELEASE_DIR.new"
echo "$sha" > "$RELEASE_DIR.new/SHA"
rm -rf "$RELEASE_DIR.old"
test ! -e "$RELEASE_DIR" || mv "$RELEASE_DIR" "$RELEASE_DIR.old"
mv "$RELEASE_DIR.new" "$RELEASE_DIR"
"$PYTHON" -m supervisor.supervisorctl -c "$SUPERVISOR" restart api
