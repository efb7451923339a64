#!/usr/bin/env bash
# Installs what test/opentables runs, into a directory outside of the repository: pyiceberg and pyspark from PyPI, two jars from Maven Central. What is there is
# kept. Where something cannot be had the tests that need it say so and are skipped.
set -euo pipefail
dir=${PALATE_OPENTABLES:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/palate-opentables}
mkdir -p "$dir/jars"

if ! "$dir/venv/bin/python" -c 'import pyiceberg, pyiceberg_core, pyarrow, sqlalchemy, pyspark' 2>/dev/null; then
	python3 -m venv "$dir/venv"
	timeout 240 "$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
		'pyiceberg[sql-sqlite,pyarrow,pyiceberg-core]==0.12.0' 'pyspark==4.1.1'
fi
for artifact in org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0 org.xerial:sqlite-jdbc:3.53.4.0; do
	IFS=: read -r _ name version <<<"$artifact"
	if [ ! -f "$dir/jars/$name-$version.jar" ]; then
		timeout 120 mvn --quiet --batch-mode dependency:copy -Dartifact="$artifact" -DoutputDirectory="$dir/jars" >/dev/null
	fi
done
