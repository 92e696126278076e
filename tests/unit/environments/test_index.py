"""Where packages come from: pip's settings in uv's words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.environments import pip
from harness.environments.index import settings
from harness.environments.redact import Redactor, without_secrets


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Variables of a user without any settings, on a machine without any."""
    monkeypatch.setattr(pip, "_MACHINE", tmp_path / "etc" / "pip.conf")
    (tmp_path / "prefix").mkdir()
    return {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "xdg")}


def told(given: dict[str, str], *, prefix: Path | None = None) -> dict[str, str]:
    return dict(settings(given, prefix=prefix or Path(given["HOME"]) / "prefix").variables)


def test_variables_of_pip_are_translated(home: dict[str, str]) -> None:
    found = told(
        {
            **home,
            "PIP_INDEX_URL": "https://one.example/simple",
            "PIP_EXTRA_INDEX_URL": "https://two.example/simple file:///three",
            "PIP_FIND_LINKS": "/wheels https://four.example/links",
            "PIP_CERT": "/certs.pem",
            "PIP_TRUSTED_HOST": "one.example two.example",
            "PIP_TIMEOUT": "90",
            "PIP_PROXY": "http://proxy.example:3128",
        }
    )
    assert found == {
        "UV_DEFAULT_INDEX": "https://one.example/simple",
        "UV_INDEX": "https://two.example/simple file:///three",
        "UV_FIND_LINKS": "/wheels,https://four.example/links",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "/certs.pem",
        "UV_INSECURE_HOST": "one.example two.example",
        "UV_HTTP_TIMEOUT": "90",
        "ALL_PROXY": "http://proxy.example:3128",
    }


def test_one_index_leaves_uvs_strategy_alone(home: dict[str, str]) -> None:
    assert told({**home, "PIP_INDEX_URL": "https://one.example"}) == {"UV_DEFAULT_INDEX": "https://one.example"}
    assert told(home) == {}


def test_no_index_is_an_argument(home: dict[str, str]) -> None:
    prefix = Path(home["HOME"])
    for said in ({"PIP_NO_INDEX": "1"}, {"PIP_NO_INDEX": "true"}, {"UV_NO_INDEX": "1"}):
        assert settings({**home, **said}, prefix=prefix).arguments == ("--no-index",)
    for said in ({"PIP_NO_INDEX": "0"}, {}, {"PIP_NO_INDEX": "1", "UV_DEFAULT_INDEX": "https://mine"}):
        assert settings({**home, **said}, prefix=prefix).arguments == ()


@pytest.mark.parametrize(
    ("given", "absent"),
    [
        ({"UV_DEFAULT_INDEX": "https://mine"}, "UV_DEFAULT_INDEX"),
        ({"UV_INDEX_URL": "https://mine"}, "UV_DEFAULT_INDEX"),
        ({"UV_INDEX": "https://mine"}, "UV_INDEX"),
        ({"UV_EXTRA_INDEX_URL": "https://mine"}, "UV_INDEX"),
        ({"UV_FIND_LINKS": "/mine"}, "UV_FIND_LINKS"),
        ({"UV_INDEX_STRATEGY": "first-index"}, "UV_INDEX_STRATEGY"),
        ({"SSL_CERT_FILE": "/mine.pem"}, "SSL_CERT_FILE"),
        ({"UV_HTTP_TIMEOUT": "5"}, "UV_HTTP_TIMEOUT"),
        ({"HTTPS_PROXY": "http://mine"}, "ALL_PROXY"),
    ],
)
def test_what_uv_was_told_itself_wins(home: dict[str, str], given: dict[str, str], absent: str) -> None:
    said = {
        "PIP_INDEX_URL": "https://one.example",
        "PIP_EXTRA_INDEX_URL": "https://two.example",
        "PIP_FIND_LINKS": "/wheels",
        "PIP_CERT": "/certs.pem",
        "PIP_TIMEOUT": "90",
        "PIP_PROXY": "http://proxy.example",
    }
    assert absent in told({**home, **said})
    assert absent not in told({**home, **said, **given})


def test_uvs_own_file_wins(home: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / ".config" / "uv" / "uv.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[[index]]\nurl = "https://mine.example/simple"\ndefault = true\n[pip]\nfind-links = ["/mine"]\n')
    said = {"PIP_INDEX_URL": "https://one.example", "PIP_FIND_LINKS": "/wheels", "PIP_CERT": "/certs.pem"}
    assert told({**home, **said}) == {"SSL_CERT_FILE": "/certs.pem"}
    assert set(told({**home, **said, "UV_NO_CONFIG": "1"})) == {"UV_DEFAULT_INDEX", "UV_FIND_LINKS", "SSL_CERT_FILE"}


FILES = {
    "xdg/pip/pip.conf": "[global]\nindex-url = https://global.example\nextra_index_url =\n  https://a.example\n  https://b\n",
    ".config/pip/pip.conf": "[global]\nindex-url = https://user.example\n[install]\nfind-links = /user\n",
    "prefix/pip.conf": "[global]\nfind-links = /site\ntimeout = 7\n",
    "named.conf": "[global]\nindex-url = https://named.example\n",
}


def write(folder: Path) -> None:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def test_files_of_pip_are_read_in_its_order(home: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path)
    prefix = tmp_path / "prefix"
    found = pip.settings(home, prefix=prefix)
    assert found["index-url"] == "https://user.example"  # the user's file after the machine's
    assert found["find-links"] == "/user"  # [install] before [global], whatever the file
    assert found["extra-index-url"].split() == ["https://a.example", "https://b"]
    assert found["timeout"] == "7"
    assert pip.settings({**home, "PIP_INDEX_URL": "https://var"}, prefix=prefix)["index-url"] == "https://var"
    named = pip.settings({**home, "PIP_CONFIG_FILE": str(tmp_path / "named.conf")}, prefix=prefix)
    assert (named["index-url"], named["find-links"]) == ("https://named.example", "/site")
    assert pip.settings({**home, "PIP_CONFIG_FILE": os.devnull}, prefix=prefix) == {}


def test_the_files_say_what_pip_reads_in_them(home: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path)
    asked = [sys.executable, "-m", "pip", "config", "list"]
    done = subprocess.run(asked, env={**home, "PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    theirs = dict(line.split("=", 1) for line in done.stdout.splitlines() if line.startswith("global.index-url"))
    assert theirs["global.index-url"].strip("'") == pip.settings(home, prefix=tmp_path / "prefix")["index-url"]


def test_a_damaged_file_counts_as_absent(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".pip").mkdir()
    (tmp_path / ".pip" / "pip.conf").write_bytes(b"\xff\xfe[[[\nnonsense")
    assert pip.settings(home, prefix=tmp_path) == {}


SECRET = st.text(alphabet="abcXYZ019%-_.~", min_size=6, max_size=20).filter(lambda text: text not in "https://h/simple")


@given(SECRET, st.booleans())
def test_no_password_of_a_setting_gets_through(secret: str, alone: bool) -> None:
    address = f"https://{secret if alone else 'ada:' + secret}@packages.example/simple"
    redact = settings({"HOME": "/nowhere", "PIP_INDEX_URL": address, "PIP_CONFIG_FILE": os.devnull}).redact
    text = f"cannot fetch {address}six/ (basic auth {secret})"
    assert secret not in redact(text)


def test_addresses_lose_their_user_and_keys_only() -> None:
    assert without_secrets("see https://a:b@h/x?token=q&v=1 and git+ssh://git@h/r") == (
        "see https://***@h/x?token=***&v=1 and git+ssh://***@h/r"
    )
    assert without_secrets("https://h/simple/six==1.0 mail@h") == "https://h/simple/six==1.0 mail@h"
    assert without_secrets("https://a:p@ss@h/x") == "https://***@h/x"


def test_encoded_passwords_are_known_decoded_too() -> None:
    redact = Redactor.of(["https://ada:p%40ssw0rd@h/simple"])
    assert json.dumps(redact("p%40ssw0rd p@ssw0rd")) == '"*** ***"'
