# need.sh PYTHON: says what is missing for the oracle and how to get it.
"$1" -c 'import torch, transformers, peft, diffusers, PIL, sentencepiece, safetensors, mistral_common, h5py, gguf' 2>/dev/null && exit 0
echo "this needs PyTorch, transformers, peft, diffusers, gguf and Pillow, and $1 lacks at least one of them; to get them:" >&2
echo "  python3 -m venv .oracle && .oracle/bin/pip install -r tests/oracle/requirements.txt" >&2
echo "  make parity PYTHON=.oracle/bin/python" >&2
exit 1
