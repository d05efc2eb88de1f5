"""A catalogue in a folder and on a web server, and everything that a hostile one may try."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from local.library.addresses import HttpsReader, is_public
from local.library.catalogue import fetch_package, open_catalogue, read_index, write_catalogue
from local.library.errors import ModelCatalogueError, PackageError
from local.library.package import open_package
from tests.fakes.tls_door import Authority
from tests.unit.inference.tiny_bundle import write_bundle
from tests.unit.local.library.signed import NOW, TRUST, tiny_package

Reply = tuple[int, Mapping[str, str], bytes]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("catalogue")
    write_catalogue([(open_package(tiny_package(), TRUST), tiny_package())], out, NOW)
    return out


def test_a_model_comes_out_of_a_folder_as_it_went_in(catalogue: Path) -> None:
    files, name = open_catalogue(f"{catalogue}#tiny")
    model = read_index(files).choose(name)
    assert (model.name, model.licence, model.qualifies) == ("tiny", "Apache-2.0", False)
    assert fetch_package(files, model) == tiny_package()
    assert read_index(files).choose(None) == model
    with pytest.raises(ModelCatalogueError, match="no model other, only tiny"):
        read_index(files).choose("other")


def test_its_pages_load_nothing_and_show_the_verdicts(catalogue: Path) -> None:
    index, page = (catalogue / "index.html").read_text(), (catalogue / "model-tiny.html").read_text()
    assert 'href="model-tiny.html"' in index
    for text in (index, page):
        assert re.findall(r'(?:src|href)="(?!#)([^"]+)"', text) in ([], ["model-tiny.html"])
        assert "default-src 'none'" in text
    assert all(f"G{number}" in page for number in range(7))
    assert "Apache-2.0" in page
    assert hashlib.sha256(tiny_package()).hexdigest() in page


def test_markup_in_a_report_is_shown_as_text(tmp_path: Path) -> None:
    from local.library.sharing import make_package, version_of_bundle  # noqa: PLC0415 - only here
    from tests.unit.local.library.signed import KEY  # noqa: PLC0415 - as above

    evil = "<script>alert(1)</script>"
    report = {"headline": evil, "gates": {"G1": {"found": evil, "asks": evil}}, "periods": {"train": {"start": evil}},
              "figures": {"by_symbol": {evil: {"precision": {"value": 0.5, "n": 3}}}},
              "curves": {"reliability": [{"confidence": "<", "precision": {}}]}}  # fmt: skip
    folder = write_bundle(tmp_path / "tiny", files={"report.json": json.dumps(report).encode()})
    content = make_package([version_of_bundle(folder)], KEY, NOW, licence=evil)[1]
    write_catalogue([(open_package(content, TRUST), content)], tmp_path / "out", NOW)
    for page in (tmp_path / "out").glob("*.html"):
        assert "<script>alert" not in page.read_text()
        assert "&lt;script&gt;" in page.read_text()


def test_two_packages_of_one_model_are_refused(tmp_path: Path) -> None:
    one = (open_package(tiny_package(), TRUST), tiny_package())
    with pytest.raises(ModelCatalogueError, match="got two of tiny"):
        write_catalogue([one, one], tmp_path, NOW)
    assert not (tmp_path / "index.json").exists()


def _index(catalogue: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((catalogue / "index.json").read_text())
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index.update(extra=1),
        lambda index: index.update(models="none"),
        lambda index: index.update(models=index["models"] * 2),
        lambda index: index["models"][0].update(package="../../etc/passwd"),
        lambda index: index["models"][0].update(package="https://evil.example/x.signalbox"),
        lambda index: index["models"][0].update(package="/etc/x.signalbox"),
        lambda index: index["models"][0].update(size=10 * 2**30),
        lambda index: index["models"][0].update(size=-1),
        lambda index: index["models"][0].update(sha256="x"),
        lambda index: index["models"][0].update(name="a\u202eb"),
    ],
)
def test_an_index_that_is_none_is_refused(catalogue: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    index = _index(catalogue)
    change(index)
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(ModelCatalogueError, match=r"^index\.json"):
        read_index(open_catalogue(str(tmp_path))[0])


def test_a_package_that_is_not_the_listed_one_is_refused(catalogue: Path, tmp_path: Path) -> None:
    index = _index(catalogue)
    (tmp_path / "index.json").write_text(json.dumps(index))
    package = tmp_path / index["models"][0]["package"]
    files = open_catalogue(str(tmp_path))[0]
    model = read_index(files).choose(None)
    with pytest.raises(ModelCatalogueError, match="expected a plain file"):
        fetch_package(files, model)
    package.write_bytes(tiny_package()[:-1] + b"x")
    with pytest.raises(ModelCatalogueError, match="expected sha256"):
        fetch_package(files, model)
    package.write_bytes(tiny_package() + b"x")
    with pytest.raises(ModelCatalogueError, match="at most"):
        fetch_package(files, model)
    package.unlink()
    package.symlink_to("/etc/passwd")
    with pytest.raises(ModelCatalogueError, match="expected a plain file"):
        fetch_package(files, model)


@pytest.mark.parametrize(
    "place",
    [
        "http://example.com/",
        "file:///etc/",
        "ftp://example.com/",
        "FILE:/etc",
        "s3://bucket/",
        "data:,x",
        "javascript:1",
        "",
        "nowhere",
        "/etc",
    ],
)
def test_a_place_that_is_neither_https_nor_a_folder_is_refused(place: str) -> None:
    with pytest.raises(ModelCatalogueError, match=r"expected|no index\.json"):
        open_catalogue(place)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2001:db8::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)  # fmt: skip
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    reader = HttpsReader(resolver=lambda *_: [ipaddress.ip_address("1.1.1.1"), ipaddress.ip_address(address)])
    with pytest.raises(ModelCatalogueError, match="expected a host of the public internet"):
        reader.fetch("https://models.example.com/index.json", at_most=10)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/x", "https://user:secret@a.example/x", "https:///x", "https://a.example:99999/x", "https://a.example\\@b/x",
        "https://a.example/\nHost: b", "https://[::1", "https://\u0430.example/", "gopher://a.example/",
        f"https://a.example/{'x' * 2_000}",
    ],
)  # fmt: skip
def test_an_odd_address_is_refused_before_it_is_resolved(url: str) -> None:
    def never(*_: object) -> list[Any]:
        raise AssertionError("it was resolved")

    with pytest.raises(ModelCatalogueError) as refused:
        HttpsReader(resolver=never).fetch(url, at_most=10)
    assert "secret" not in str(refused.value)


class Site:
    """An https server of this machine, under names that only the test's resolver knows."""

    def __init__(self, folder: Path) -> None:
        authority = Authority.make("test")
        self.replies: dict[str, Reply] = {}
        self.asked: list[tuple[str, str]] = []
        self.context = ssl.create_default_context(cafile=str(authority.write(folder / "ca.pem")))
        site = self

        class Handler(BaseHTTPRequestHandler):
            @override
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                site.asked.append((self.headers["Host"], self.path))
                status, headers, body = site.replies.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*authority.server_files(folder, address="127.0.0.1"))
        self._server.socket = server.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def reader(self, **facts: Any) -> HttpsReader:
        """Takes this machine for a public one, as nothing but a test may."""
        return HttpsReader(allowed=lambda address: str(address) == "127.0.0.1", context=self.context, **facts)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("site"))
    yield found
    found.close()


def test_a_model_comes_over_https_as_it_went_in(site: Site, catalogue: Path) -> None:
    for path in catalogue.iterdir():
        site.replies[f"/models/{path.name}"] = (200, {}, path.read_bytes())
    site.replies["/moved/index.json"] = (302, {"Location": "/models/index.json"}, b"")
    for place in ("/models", "/models/", "/models/index.json"):
        files, name = open_catalogue(f"{site.url}{place}#tiny", site.reader())
        content = fetch_package(files, read_index(files).choose(name))
        assert open_package(content, TRUST).manifest.name == "tiny"
    assert site.reader().fetch(f"{site.url}/moved/index.json", at_most=100_000) == (catalogue / "index.json").read_bytes()
    assert site.asked[-1][0] == f"127.0.0.1:{site.port}"


def test_a_larger_file_a_redirect_elsewhere_and_a_compressed_file_are_refused(site: Site) -> None:
    away = {
        "/in": "https://169.254.169.254/latest/meta-data/",
        "/plain": "http://127.0.0.1/",
        "/file": "file:///etc/passwd",
        "/none": "",
    }
    site.replies |= {path: (302, {"Location": place} if place else {}, b"") for path, place in away.items()}
    site.replies["/loop"] = (302, {"Location": "/loop"}, b"")
    site.replies["/large"] = (200, {}, b"x" * 101)
    site.replies["/packed"] = (200, {"Content-Encoding": "gzip"}, b"x")
    for path, why in (
        ("/in", "public internet"), ("/plain", "expected an https address"), ("/file", "expected an https address"),
        ("/none", "at most 3 redirects"), ("/loop", "at most 3 redirects"), ("/large", "at most 100 bytes"),
        ("/packed", "not compressed"),
        ("/missing", "expected 200, got 404"),
    ):  # fmt: skip
        with pytest.raises(ModelCatalogueError, match=why):
            site.reader().fetch(f"{site.url}{path}", at_most=100)
    site.replies["/slow"] = (200, {}, b"x")
    with pytest.raises(ModelCatalogueError, match="within the time allowed"):
        site.reader(seconds=-1.0).fetch(f"{site.url}/slow", at_most=100)


def test_a_certificate_of_another_name_or_maker_is_refused(site: Site) -> None:
    site.replies["/x"] = (200, {}, b"x")
    local = [ipaddress.ip_address("127.0.0.1")]
    with pytest.raises(ModelCatalogueError, match="no answer"):
        site.reader(resolver=lambda *_: local).fetch(f"https://models.example.com:{site.port}/x", at_most=10)
    with pytest.raises(ModelCatalogueError, match="no answer"):
        HttpsReader(allowed=lambda _: True).fetch(f"{site.url}/x", at_most=10)


def test_a_package_of_another_model_in_the_index_is_noticed(catalogue: Path) -> None:
    model = read_index(open_catalogue(str(catalogue))[0]).choose(None)
    assert issubclass(ModelCatalogueError, PackageError)
    assert open_package(tiny_package(), TRUST).manifest.name == model.name
