"""Which variables are secret, and that nothing of their values is left in a text, however it is written."""

from __future__ import annotations

import json

import pytest

from harness.measure.redact import redactor
from harness.records.secrets import MASK, clean

VALUE = "s3cr3t-of-mine"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "HF_TOKEN",
            "TOKEN_OF_MINE",
            "MY_SECRETS",
            "A_PASSWORD_B",
            "DB_PASSWD",
            "GPG_PASSPHRASE_1",
            "GOOGLE_CREDENTIALS",
        ),
        *("AN_API_KEY_1", "AWS_ACCESS_KEY_ID", "SSH_KEY", "DB_PASS", "db_pwd"),
        *("SSHPASS", "DOCKER_AUTH_CONFIG", "SLACK_WEBHOOK_URL", "AZURE_DEVOPS_EXT_PAT", "PROXY_AUTH"),
    ],
)
def test_the_value_of_a_secret_variable_goes(name: str) -> None:
    assert redactor({name: VALUE})(f"it said {VALUE}.") == f"it said [{name} redacted]."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KEYBOARD", VALUE),
        ("PWD_OF_WORK", VALUE),
        ("MY_TOKEN", "seven77"),
        ("TOKENIZERS_PARALLELISM", "Disabled"),
        ("TOKEN_FOLDER", "/home/tokens"),
        ("SOME_PATTERN", VALUE),
        ("AUTHOR_NAME", VALUE),
    ],
)
def test_words_of_ordinary_text_stay(name: str, value: str) -> None:
    assert redactor({name: value})(f"it said {value}.") == f"it said {value}."


def test_a_secret_of_eight_letters_goes_also_inside_a_longer_one_and_as_others_write_it() -> None:
    redact = redactor({"A_TOKEN": "eight888", "B_TOKEN": "eight888-and-more", "C_TOKEN": 'quo"ted-ä'})
    assert redact("eight888 eight888-and-more") == "[A_TOKEN redacted] [B_TOKEN redacted]"
    assert redact(json.dumps('quo"ted-ä')) == '"[C_TOKEN redacted]"'
    both = "quo\"te'd\\8"
    assert redactor({"A_TOKEN": both})(repr({"a": both})) == "{'a': '[A_TOKEN redacted]'}"


@pytest.mark.parametrize(
    "key",
    [
        *("hf_" + "a" * 16, "ghp_" + "a" * 20, "ghs_" + "a" * 20, "github_pat_" + "a" * 20, "glpat-" + "a" * 16),
        *("pypi-" + "a" * 16, "sk-" + "a" * 16, "AKIA" + "A" * 16, "eyJ" + "a" * 10 + "." + "b" * 10 + ".c"),
    ],
)
def test_what_looks_like_a_key_goes_by_itself(key: str) -> None:
    assert clean(f"with {key} in it") == f"with {MASK} in it"
