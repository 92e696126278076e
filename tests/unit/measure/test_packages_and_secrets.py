"""What a record of packages and configurations keeps to itself: secrets, addresses and places."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.active import sanitised
from harness.measure.packages import git, installed
from harness.records.secrets import MASK, clean, names_a_secret, plain

# Secrets


def test_a_resolved_config_loses_places_and_tokens() -> None:
    config = {
        "output_dir": "/somewhere",
        "hub_token": "x",
        "push_to_hub_token": "<T>",
        "other_token": "y",
        "eos_token": "</s>",
    }
    kept = sanitised({**config, "learning_rate": 1e-3, "optim": _Odd(), "nested": {"a": (1, 2)}})
    assert kept == {"eos_token": "</s>", "learning_rate": 1e-3, "optim": "odd", "nested": {"a": [1, 2]}}


def test_secrets_deep_in_a_config_are_masked() -> None:
    config = {
        "model_init_kwargs": {"token": "hf_plantedplanted", "dtype": "bfloat16"},
        "report_to": ["https://me:plantedplanted@tracker.example/x?api_key=plantedplanted&run=3"],
        "deepspeed": {"auth": {"password": {"of": "plantedplanted"}}, "stage": 2},
        "max_tokens": 5,
    }
    kept = sanitised(config)
    assert "plantedplanted" not in json.dumps(kept)
    assert kept["model_init_kwargs"] == {"token": MASK, "dtype": "bfloat16"}
    assert kept["report_to"] == [f"https://tracker.example/x?api_key={MASK}&run=3"]
    assert kept["max_tokens"] == 5


@pytest.mark.parametrize(
    "text",
    [
        "https://user:planted-secret@host/x.git",
        "git+https://planted-secret@host/x.git@main",
        "http://user:an@planted-secret@proxy:8080",
        "https://host/x?token=planted-secret#a",
        "https://host/x?X-Amz-Signature=planted-secret&y=1",
        "hf_plantedsecretplanted",
        "see ghp_plantedsecretplantedsecretplanted for more",
        "sk-plantedsecretplanted1",
        "xoxb-123456789012-planted1234",
        "AIzaSyplanted1234567890123456789012345x",
        "npm_planted1planted2planted3planted4xyz0",
        "ASIAPLANTEDPLANTED12 " + "aws_secret_access_key = planted1EXAMPLEKEY",
        "Authorization: Bearer planted1abcdefghijk.lmn",
        "{'Authorization': 'Basic planted1abcdefghijk=='}",
        "WANDB_API_KEY=1234planted1234",
        '{"api_key": "planted value of words"}',
        '{\\"api_key\\": \\"planted value\\"}',
        "password: planted123",
        "--db-password planted123",
        "'token': 'planted1234567890'",
        "X-Api-Key: planted123",
        "machine api.wandb.ai login user password planted",
        "a -----BEGIN RSA PRIVATE KEY-----\nplanted\n-----END RSA PRIVATE KEY----- b",
        "-----BEGIN PRIVATE KEY-----\\nplanted\\n-----END PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_secret_is_cleaned_from_texts(text: str) -> None:
    assert "planted" not in clean(text).lower()


@pytest.mark.parametrize("write", [str, json.dumps, repr])
@pytest.mark.parametrize(
    "told",
    [
        {"private_key": "-----BEGIN PRIVATE KEY-----\nplanted1\nplanted2==\n-----END PRIVATE KEY-----\n"},
        {"password": "plant\\ed99planted"},
        {"password": "it's planted"},
        {"password": "plänted99 plänted"},
    ],
)
def test_a_secret_goes_whole_whatever_is_escaped_in_it(told: dict[str, str], write: Any) -> None:
    """A service account's key is written so, and what follows a backslash is as secret as what comes before."""
    text = write(json.dumps(told))
    cleaned = clean(text)
    assert not re.search("planted|nted99|ed99", cleaned)
    if write is json.dumps:
        assert json.loads(json.loads(cleaned)).keys() == told.keys()


@pytest.mark.parametrize(
    "text",
    [
        "adamw_torch",
        "a@b.example",
        "hf_transfer",
        "sk-learn",
        "x" * 64,
        "3e-5",
        "file:///a/b",
        "num_tokens=123456789012345678 tokens: 12",
        "pad_token='<|reserved_special_token_12|>', eos_token: <|im_end|>",
        "    model = load(name, token=token, api_key=os.environ, password=self.password)",
        "def f(api_key: str | None = None, secret: Optional[str] = None)",
        "{'loss_per_token': 1.2345678901234567e-05, 'per_token': 12345678.12345678}",
        "a password is needed; the token: none given",
        "the bearer of news",
        "primary_key: 12, cache_key=abc1234567890123456",
    ],
)
def test_ordinary_texts_stay(text: str) -> None:
    assert clean(text) == text


_NAMES = st.sampled_from(["password", "my_api_keys", "secret", "authorization", "token", "rows"])
_VALUES = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.none() | st.booleans()


@given(st.dictionaries(_NAMES, _VALUES | st.dictionaries(_NAMES, _VALUES)), st.booleans())
def test_what_is_json_stays_json_and_its_numbers_stay(told: dict[str, Any], narrow: bool) -> None:
    """Events are cleaned as they are written: a line that is none any more would be lost."""
    kept = json.loads(clean(json.dumps(told, separators=(",", ":") if narrow else None)))
    assert kept.keys() == told.keys()
    assert all(kept[name] == value for name, value in told.items() if isinstance(value, int | float))


@pytest.mark.parametrize(
    "text", ["authorization: 12345678.abcdefgh", "secret = 12345678901", "{'password': 123456789}"]
)
def test_what_only_begins_as_a_number_or_is_no_json_is_cleaned(text: str) -> None:
    assert "1234" not in clean(text)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("hub_token", True),
        ("token", True),
        ("HF_TOKEN", True),
        ("wandb_api_key", True),
        ("password", True),
        ("aws_secret_access_key", True),
        ("eos_token", False),
        ("pad_token", False),
        ("max_tokens_per_batch", False),
        ("tokenizer", False),
        ("key", False),
    ],
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert names_a_secret(name) is secret


def test_names_are_no_matter_where_keys_are_no_options() -> None:
    assert plain({"api-key": "1.0"}, by_name=False) == {"api-key": "1.0"}
    assert plain({"b": {2, 1}, "token": None, "num_token": 4}) == {"b": [1, 2], "token": None, "num_token": 4}


class _Odd:
    def __str__(self) -> str:
        return "odd"


# Packages


class _Distribution(metadata.Distribution):
    """A made-up installed package."""

    def __init__(self, name: str, direct: Mapping[str, Any] | str | None = None, version: str = "1.0") -> None:
        self._files = {"METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"}
        if direct is not None:
            self._files["direct_url.json"] = direct if isinstance(direct, str) else json.dumps(direct)

    def read_text(self, filename: str) -> str | None:
        return self._files.get(filename)

    def locate_file(self, path: Any) -> Any:
        return Path(path)


def test_direct_installs_are_told_by_commit_or_hash_and_never_by_address() -> None:
    direct = "https://user:plantedplanted@host/x"
    versions, editable, origins = installed(
        [
            _Distribution("Some_Package", {"url": direct, "vcs_info": {"vcs": "git", "commit_id": "abc"}}),
            _Distribution("an.archive", {"url": direct, "archive_info": {"hashes": {"sha256": "ff"}}}),
            _Distribution("older", {"url": direct, "archive_info": {"hash": "sha256=ee"}}),
            _Distribution("bare", {"url": direct, "archive_info": {}}),
            _Distribution("copied", {"url": "file:///home/somebody/x", "dir_info": {}}),
            _Distribution("from-index"),
            _Distribution("damaged", "{"),
            _Distribution("from-index", version="0.1"),
        ]
    )
    assert list(versions) == ["an-archive", "bare", "copied", "damaged", "from-index", "older", "some-package"]
    assert versions["from-index"] == "1.0"  # the one that Python would import
    assert editable == {}
    assert origins == {
        "an-archive": {"archive": "sha256=ff"},
        "bare": {"archive": "without a hash"},
        "copied": {"folder": "copied"},
        "older": {"archive": "sha256=ee"},
        "some-package": {"vcs": "git", "commit_id": "abc"},
    }
    assert "planted" not in json.dumps([versions, editable, origins])


def _repository(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.py").write_text("one\n")
    for command in (["init", "-q"], ["add", "a.py"], ["commit", "-q", "-m", "x"]):
        identity = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(folder), *identity, *command], check=True)
    return folder


def test_a_working_copy_is_told_by_its_commit_and_a_hash_of_its_changes(tmp_path: Path) -> None:
    folder = _repository(tmp_path / "a repository")
    clean_state = git(folder)
    assert (len(clean_state["commit"]), clean_state["dirty"]) == (40, False)
    assert "diff" not in clean_state
    (folder / "a.py").write_text("two\n")
    changed = git(folder)
    assert (changed["commit"], changed["dirty"], len(changed["diff"])) == (clean_state["commit"], True, 64)
    assert git(folder) == changed
    (folder / "a.py").write_text("three\n")
    assert git(folder)["diff"] != changed["diff"]
    found = installed(
        [_Distribution("mine", {"url": f"file://{folder}".replace(" ", "%20"), "dir_info": {"editable": True}})]
    )
    assert found[1]["mine"] == git(folder)


@pytest.mark.parametrize(
    "setting",
    [
        *("core.abbrev=20", "diff.noprefix=true", "diff.mnemonicPrefix=true", "diff.context=9"),
        *("diff.relative=true", "diff.interHunkContext=9", "color.diff=always", "diff.external=false"),
    ],
)
def test_one_change_has_one_hash_whatever_git_is_set_to(setting: str, tmp_path: Path) -> None:
    folder = _repository(tmp_path / "repository")
    (folder / "package").mkdir()
    (folder / "a.py").write_text("two\n")
    state = git(folder / "package")
    subprocess.run(["git", "-C", str(folder), "config", *setting.split("=")], check=True)
    assert git(folder / "package") == state
    assert state["dirty"]


def test_a_folder_without_a_repository_and_one_that_is_gone_tell_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git(tmp_path / "gone") == {}
    elsewhere = _repository(tmp_path / "elsewhere")
    monkeypatch.setenv("GIT_DIR", str(elsewhere / ".git"))  # as inside a hook of another repository
    (tmp_path / "plain").mkdir()
    assert git(tmp_path / "plain") == {}
