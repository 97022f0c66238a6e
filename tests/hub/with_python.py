# Python's half of with-python.mjs: huggingface_hub reads the cache that rushlight wrote, by every way that asks no server.
import os
import sys

endpoint, cache = sys.argv[1], sys.argv[2]
os.environ.update(HF_ENDPOINT=endpoint, HF_HUB_CACHE=cache, HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")

import huggingface_hub as hub
from huggingface_hub.file_download import _CACHED_NO_EXIST

files = ["config.json", "model.safetensors", "onnx/deep/model.bin", "empty.txt", "a name with ümlauts & spaces.txt"]
for file in files:
    path = hub.try_to_load_from_cache("tests/tiny", file)
    assert isinstance(path, str) and os.path.exists(path), (file, path)
    assert hub.hf_hub_download("tests/tiny", file, local_files_only=True) == path, file
assert hub.try_to_load_from_cache("tests/tiny", "none.json") is _CACHED_NO_EXIST
assert hub.try_to_load_from_cache("tests/tiny", "onnx/none.json") is _CACHED_NO_EXIST
assert hub.try_to_load_from_cache("tests/tiny", "never-asked.json") is None
assert isinstance(hub.try_to_load_from_cache("tests/tiny", "config.json", revision="refs/pr/1"), str)
snapshot = hub.snapshot_download("tests/tiny", local_files_only=True)
assert sorted(os.path.relpath(os.path.join(d, f), snapshot) for d, _, fs in os.walk(snapshot) for f in fs) == sorted(files)

info = hub.scan_cache_dir(cache)
assert not info.warnings, info.warnings
repos = {repo.repo_id: repo for repo in info.repos}
assert sorted(repos) == ["solo", "tests/private", "tests/tiny"], sorted(repos)
assert {ref for revision in repos["tests/tiny"].revisions for ref in revision.refs} == {"main", "refs/pr/1"}
assert not list(info.incomplete_files), info.incomplete_files
print(f"huggingface_hub {hub.__version__} reads what rushlight wrote: {info.size_on_disk} bytes in {len(repos)} repositories")
