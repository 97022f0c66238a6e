# What huggingface_hub makes of the tests' Hub: files of every kind downloaded, one missing; then the tree of its cache as JSON.
#   node tests/hub/with-python.mjs --golden        starts that Hub and runs this
import json
import os
import sys

os.environ["HF_ENDPOINT"], cache = sys.argv[1], sys.argv[2]
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_UPDATE_CHECK"] = "1"

import huggingface_hub as hub
from huggingface_hub.errors import EntryNotFoundError


def download(repository, file, **options):
    return hub.hf_hub_download(repository, file, cache_dir=cache, token="hf_test", **options)


for file in ["config.json", "model.safetensors", "onnx/deep/model.bin", "empty.txt", "a name with ümlauts & spaces.txt"]:
    download("tests/tiny", file)
download("tests/tiny", "config.json", revision="refs/pr/1")
download("tests/tiny", "model.safetensors", revision="refs/pr/1")
download("tests/private", "model.bin")
download("solo", "config.json")
for options in [{}, {"subfolder": "onnx"}]:
    try:
        download("tests/tiny", "none.json", **options)
        raise SystemExit("none.json was found")
    except EntryNotFoundError:
        pass

# Each path with what it is: a link's target, a small file's text, or a file's size. Locks are Python's own.
tree = {}
for folder, folders, files in os.walk(cache):
    folders[:] = sorted(name for name in folders if name != ".locks")
    for name in sorted(files):
        path = os.path.join(folder, name)
        key = os.path.relpath(path, cache).replace(os.sep, "/")
        if key == "CACHEDIR.TAG":
            tree[key] = {"begins": open(path).readline()}
        elif os.path.islink(path):
            tree[key] = {"link": os.readlink(path)}
        elif os.path.getsize(path) <= 100:
            tree[key] = {"text": open(path).read()}
        else:
            tree[key] = {"size": os.path.getsize(path)}
json.dump({"huggingface_hub": hub.__version__, "tree": tree}, sys.stdout, indent=1, ensure_ascii=False, sort_keys=True)
print()
