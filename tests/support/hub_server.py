"""A stand-in for the Hugging Face Hub on the loopback interface, for clients started with ``HF_ENDPOINT``.

It speaks the part of the Hub's protocol that pushing and loading a model need, and is strict where the Hub is: writing
takes the token, a large file is known by the SHA-256 of its content, and a commit may only name large files that have
been uploaded. Repositories live in memory.

    create       POST /api/repos/create
    look         GET  /api/models/<repo>/revision/<rev>, GET /api/models/<repo>/tree/<rev>
    before       POST /api/validate-yaml, POST /api/models/<repo>/preupload/<rev>   (which files are large?)
    large files  POST /<repo>.git/info/lfs/objects/batch, PUT /lfs/<oid>, POST /lfs/verify
    commit       POST /api/models/<repo>/commit/<rev>
    download     GET  /<repo>/resolve/<rev>/<path>, for large files a redirect to /lfs/<oid>
"""

import base64
import fnmatch
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

#: The token of the one account; its value is checked for every request that writes.
TOKEN = "hf_loopback"

#: What the Hub puts into a new repository (an excerpt).
GIT_ATTRIBUTES = b"".join(
    b"%s filter=lfs diff=lfs merge=lfs -text\n" % pattern
    for pattern in (b"*.onnx", b"*.pkl", b"*.pt", b"*.pth", b"*.safetensors", b"*.zip")
)


@dataclass(frozen=True)
class File:
    """One file of a repository.

    :param content: its bytes
    :param oid: SHA-256 of a large file, None for a regular one
    """

    content: bytes
    oid: str | None = None

    @property
    def etag(self) -> str:
        return self.oid or hashlib.sha1(b"blob %d\0%s" % (len(self.content), self.content)).hexdigest()


@dataclass
class Repo:
    """A model repository: its newest state and the messages of its commits."""

    files: dict[str, File] = field(default_factory=lambda: {".gitattributes": File(GIT_ATTRIBUTES)})
    commits: list[str] = field(default_factory=lambda: ["initial commit"])

    @property
    def sha(self) -> str:
        return hashlib.sha1(repr((len(self.commits), sorted(self.files))).encode()).hexdigest()

    def is_large(self, path: str, sample: bytes) -> bool:
        """The Hub's choice: binary content, or a pattern of .gitattributes."""
        lines = self.files[".gitattributes"].content.decode().splitlines()
        patterns = [line.split()[0] for line in lines if "filter=lfs" in line]
        return b"\0" in sample or any(fnmatch.fnmatch(path.rpartition("/")[2], pattern) for pattern in patterns)


class HubServer(ThreadingHTTPServer):
    """The server; use as a context manager, then read :attr:`repos` and :attr:`requests`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubRequest)
        self.repos: dict[str, Repo] = {}
        self.large: dict[str, bytes] = {}  # by SHA-256
        self.requests: list[str] = []  # "METHOD path", in order of arrival

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def store_url(self) -> str:
        """Where the large files lie: as on the Hub another host, which a client does not send its token to."""
        return f"http://localhost:{self.server_port}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self.server_close()


class Refusal(Exception):
    """Answered with a status, the Hub's error code and a message."""

    def __init__(self, status: HTTPStatus, code: str, message: str):
        super().__init__(message)
        self.status, self.code = status, code


class HubRequest(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, *args: Any) -> None:
        """Keep the test's output clean."""

    def do_HEAD(self) -> None:
        self._answer("GET")

    def do_GET(self) -> None:
        self._answer("GET")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        body = self._read_body()
        try:
            for known_method, pattern, handler in ROUTES:
                match = re.fullmatch(pattern, path)
                if match and method == known_method:
                    return handler(self, body, *match.groups())
            raise Refusal(HTTPStatus.NOT_FOUND, "EntryNotFound", f"{method} {path} is not part of this Hub")
        except Refusal as refusal:
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": str(refusal)}
            self._send(refusal.status, json.dumps({"error": str(refusal)}).encode(), headers)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _send(self, status: HTTPStatus, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _send_json(self, answer: Any) -> None:
        self._send(HTTPStatus.OK, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _require_token(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refusal(HTTPStatus.UNAUTHORIZED, "Unauthorized", "Invalid username or password.")

    def _repo(self, repo_id: str) -> Repo:
        if repo_id not in self.server.repos:
            raise Refusal(HTTPStatus.NOT_FOUND, "RepoNotFound", f"Repository {repo_id} not found")
        return self.server.repos[repo_id]

    def create(self, body: bytes) -> None:
        self._require_token()
        wanted = json.loads(body)
        repo_id = f"{wanted['organization']}/{wanted['name']}"
        url = f"{self.server.url}/{repo_id}"
        if repo_id in self.server.repos:
            answer = json.dumps({"error": "You already created this model repo", "url": url}).encode()
            return self._send(HTTPStatus.CONFLICT, answer)
        self.server.repos[repo_id] = Repo()
        self._send_json({"url": url, "name": repo_id, "id": repo_id})

    def info(self, body: bytes, repo_id: str, revision: str) -> None:
        repo = self._repo(repo_id)
        siblings = [{"rfilename": path} for path in repo.files]
        self._send_json({"id": repo_id, "sha": repo.sha, "private": False, "tags": [], "siblings": siblings})

    def tree(self, body: bytes, repo_id: str, revision: str) -> None:
        def entry(path: str, file: File) -> dict[str, Any]:
            large = {"oid": file.oid, "size": len(file.content), "pointerSize": 134}
            plain = {"type": "file", "path": path, "size": len(file.content), "oid": file.etag}
            return plain if file.oid is None else plain | {"lfs": large}

        self._send_json([entry(path, file) for path, file in self._repo(repo_id).files.items()])

    def validate_card(self, body: bytes) -> None:
        front_matter = re.match(r"---\n(.*?)\n---\n", json.loads(body)["content"], re.DOTALL)
        metadata = yaml.safe_load(front_matter.group(1)) if front_matter else None
        if not isinstance(metadata, dict):
            answer = {"errors": [{"message": "README.md does not begin with a block of metadata"}], "warnings": []}
            return self._send(HTTPStatus.BAD_REQUEST, json.dumps(answer).encode())
        self._send_json({"errors": [], "warnings": []})

    def choose_modes(self, body: bytes, repo_id: str, revision: str) -> None:
        self._require_token()
        repo = self._repo(repo_id)

        def mode(file: dict[str, Any]) -> dict[str, Any]:
            large = repo.is_large(file["path"], base64.b64decode(file["sample"]))
            known = repo.files.get(file["path"])
            oid = known.etag if known else None
            upload_mode = "lfs" if large else "regular"
            return {"path": file["path"], "uploadMode": upload_mode, "shouldIgnore": False, "oid": oid}

        self._send_json({"files": [mode(file) for file in json.loads(body)["files"]]})

    def large_file_batch(self, body: bytes, repo_id: str) -> None:
        self._require_token()
        self._repo(repo_id)
        wanted = json.loads(body)
        if wanted["operation"] != "upload" or "basic" not in wanted["transfers"]:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "BadBatch", f"cannot serve {wanted}")

        def upload(large_file: dict[str, Any]) -> dict[str, Any]:
            if large_file["oid"] in self.server.large:
                return large_file
            links = {
                "upload": f"{self.server.store_url}/lfs/{large_file['oid']}",
                "verify": f"{self.server.url}/lfs/verify",
            }
            return large_file | {"actions": {action: {"href": link} for action, link in links.items()}}

        self._send_json({"transfer": "basic", "objects": [upload(large_file) for large_file in wanted["objects"]]})

    def store_large_file(self, body: bytes, oid: str) -> None:
        found = hashlib.sha256(body).hexdigest()
        if found != oid:
            raise Refusal(HTTPStatus.BAD_REQUEST, "BadChecksum", f"content of {oid} has SHA-256 {found}")
        self.server.large[oid] = body
        self._send(HTTPStatus.OK, b"")

    def verify_large_file(self, body: bytes) -> None:
        self._require_token()
        named = json.loads(body)
        self._large_file(named["oid"], named["size"])
        self._send_json({})

    def send_large_file(self, body: bytes, oid: str) -> None:
        content = self._large_file(oid)
        self._send(HTTPStatus.OK, content, {"ETag": f'"{oid}"'})

    def _large_file(self, oid: str, size: int | None = None) -> bytes:
        content = self.server.large.get(oid)
        if content is None or size not in (None, len(content)):
            raise Refusal(HTTPStatus.NOT_FOUND, "EntryNotFound", f"large file {oid} was never uploaded")
        return content

    def commit(self, body: bytes, repo_id: str, revision: str) -> None:
        self._require_token()
        repo = self._repo(repo_id)
        message = ""
        for line in body.splitlines():
            item = json.loads(line)
            key, value = item["key"], item["value"]
            if key == "header":
                message = value["summary"]
            elif key == "file":
                repo.files[value["path"]] = File(base64.b64decode(value["content"]))
            elif key == "lfsFile":
                repo.files[value["path"]] = File(self._large_file(value["oid"], value["size"]), value["oid"])
            else:
                raise Refusal(HTTPStatus.BAD_REQUEST, "BadCommit", f"cannot commit a {key}")
        repo.commits.append(message)
        url = f"{self.server.url}/{repo_id}/commit/{repo.sha}"
        self._send_json({"success": True, "commitUrl": url, "commitOid": repo.sha})

    def send_file(self, body: bytes, repo_id: str, revision: str, path: str) -> None:
        repo = self._repo(repo_id)
        if path not in repo.files:
            raise Refusal(HTTPStatus.NOT_FOUND, "EntryNotFound", f"{path} is not in {repo_id}")
        file = repo.files[path]
        headers = {"X-Repo-Commit": repo.sha, "ETag": f'"{file.etag}"'}
        if file.oid is None:
            return self._send(HTTPStatus.OK, file.content, headers)
        headers |= {"Location": f"{self.server.store_url}/lfs/{file.oid}", "X-Linked-Size": str(len(file.content))}
        self._send(HTTPStatus.FOUND, b"", headers | {"X-Linked-Etag": f'"{file.oid}"'})


_REPO = r"([\w.-]+/[\w.-]+)"

#: (method, pattern of the path, handler called with the request, its body and the groups of the pattern)
ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("POST", "/api/repos/create", HubRequest.create),
    ("POST", "/api/validate-yaml", HubRequest.validate_card),
    ("GET", f"/api/models/{_REPO}/revision/(.+)", HubRequest.info),
    ("GET", f"/api/models/{_REPO}/tree/(.+)", HubRequest.tree),
    ("POST", f"/api/models/{_REPO}/preupload/(.+)", HubRequest.choose_modes),
    ("POST", f"/api/models/{_REPO}/commit/(.+)", HubRequest.commit),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", HubRequest.large_file_batch),
    ("POST", "/lfs/verify", HubRequest.verify_large_file),
    ("PUT", "/lfs/([0-9a-f]{64})", HubRequest.store_large_file),
    ("GET", "/lfs/([0-9a-f]{64})", HubRequest.send_large_file),
    ("GET", rf"/{_REPO}/resolve/([^/]+)/(.+)", HubRequest.send_file),
]
