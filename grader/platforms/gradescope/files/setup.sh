#!/usr/bin/env bash
# Gradescope runs this once, as root, when it builds the image.
set -euo pipefail

source=${AUTOGRADER_ROOT:-/autograder}/source
home=${GRADER_HOME:-/opt/sequential-grader}
version=$(<"$source/python-version")
export DEBIAN_FRONTEND=noninteractive
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

apt-get update
apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv

# The Python that the versions were pinned for: the system's, or one that uv downloads. Not in /root,
# which the user of the sandbox cannot read.
mkdir -p "$home"
if "python$version" -c 'import ensurepip, venv'; then
    "python$version" -m venv "$home/venv"
else
    python3 -m venv "$home/uv"
    "$home/uv/bin/pip" install --quiet 'uv>=0.5,<1'
    UV_PYTHON_INSTALL_DIR="$home/python" "$home/uv/bin/uv" venv --seed --python "$version" "$home/venv"
    rm -rf "$home/uv"
fi

# torch first, from its own index: PyPI's torch brings 5 GB of CUDA.
pip=("$home/venv/bin/python" -m pip)
"${pip[@]}" install --quiet --no-deps --constraint "$source/constraints.txt" --requirement "$source/torch.txt"
"${pip[@]}" install --quiet --constraint "$source/constraints.txt" "$source/grader-source"
"${pip[@]}" check

# Student code runs as another user, who needs Python but must not read the data.
chmod -R a+rX "$home"
mkdir -p "$home/cache"
chmod 700 "$home/cache"
XDG_CACHE_HOME="$home/cache" "$home/venv/bin/python" -P -m grader.platforms.gradescope.fetch_data "$source"
