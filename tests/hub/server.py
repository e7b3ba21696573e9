"""A small server that speaks what huggingface_hub asks of the Hub: repositories, their files, and commits to them.

Large files are served as the Hub does, by a redirect to another address with the SHA-256 as ETag, in ranges; small ones
directly, with the digest of their git blob. Faults are switched on by attributes of :class:`Hub`.
"""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".safetensors", ".onnx", ".zip")


class Repository:
    """Commits by their hash, each ``{path: content}``; branches and tags by name."""

    def __init__(self, *, private=False, gated=False):
        self.commits, self.refs, self.private, self.gated = {}, {}, private, gated

    def commit(self, files, branch="main"):
        told = json.dumps([branch, len(self.commits), sorted((p, sha(c)) for p, c in files.items())])
        commit = hashlib.sha1(told.encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.refs[branch] = commit
        return commit

    def files(self, revision="main"):
        return self.commits[self.refs.get(revision, revision)]


class Hub:
    """The state of the server.

    Attributes:
        repositories: by "ORG/NAME".
        tokens: those that are accepted, each with whether it may write.
        plain: files at ``/files/NAME``.
        cut: paths whose transfer ends after half of what is left, each with how often.
        wrong: paths that are served with a byte changed.
        status: an HTTP status that every request is answered with.
        requests: ``(method, path, range)`` of each.
    """

    def __init__(self):
        self.repositories, self.tokens, self.plain = {}, {"good": True, "reader": False}, {}
        self.cut, self.wrong, self.status, self.requests, self.uploads = {}, set(), None, [], {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.hub = self
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        #: another host, as large files are kept on one
        self.storage = f"http://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def add(self, name, files, **options):
        self.repositories[name] = Repository(**options)
        return self.repositories[name].commit(files)

    def asked(self, part):
        return [each for each in self.requests if part in each[1]]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def sha(content):
    return hashlib.sha256(content).hexdigest()


def git_blob(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def large(path):
    return path.endswith(LARGE)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    @property
    def hub(self):
        return self.server.hub

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def do_PUT(self):
        self.answer()

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = b"".join(self.chunks())
        else:
            self.body = self.rfile.read(length)
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        if self.hub.status:
            return self.json({"error": "it is down"}, self.hub.status)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in self.hub.tokens and not path.startswith(("/cdn/", "/upload/")):
            headers = {"X-Error-Message": "Invalid credentials in Authorization header"}
            return self.json({"error": "Invalid credentials"}, 401, headers)
        self.token = token
        first, *rest = (unquote(each) for each in urlsplit(self.path).path.strip("/").split("/"))
        if first in ("cdn", "files", "upload"):
            return getattr(self, first)("/".join(rest))
        if first == "api":
            return self.api(rest)
        if path.endswith(".git/info/lfs/objects/batch"):
            return self.batch()
        if len(rest) > 3 and rest[1] == "resolve":
            return self.resolve(f"{first}/{rest[0]}", rest[2], "/".join(rest[3:]))
        return self.error("EntryNotFound", 404)

    def chunks(self):
        while size := int(self.rfile.readline().strip(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def json(self, value, status=200, headers=None):
        self.send(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def error(self, code, status, message=""):
        self.json({"error": message or code}, status, {"X-Error-Code": code, "X-Error-Message": message or code})

    def send(self, content, status=200, headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def serve(self, path, content, headers):
        """A file, perhaps from the middle on, perhaps damaged, perhaps not to its end."""
        if path in self.hub.wrong:
            content = content[:-1] + bytes([content[-1] ^ 1])
        start, status = 0, 200
        if wanted := self.headers.get("Range"):
            start, status = int(wanted.removeprefix("bytes=").split("-")[0]), 206
            if start >= len(content):
                return self.send(b"", 416, {"Content-Range": f"bytes */{len(content)}"})
            headers = {**headers, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        left = content[start:]
        if self.command == "GET" and self.hub.cut.get(path, 0) > 0:
            self.hub.cut[path] -= 1
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(left))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(left[: len(left) // 2])
            self.wfile.flush()
            self.close_connection = True
            return None
        return self.send(left, status, headers)

    # -- what is pulled

    def files(self, name):
        if name not in self.hub.plain:
            return self.send(b"no such file", 404)
        return self.serve(name, self.hub.plain[name], {})

    def cdn(self, digest):
        for repository in self.hub.repositories.values():
            for files in repository.commits.values():
                for path, content in files.items():
                    if sha(content) == digest:
                        return self.serve(path, content, {"ETag": f'"{digest}"'})
        return self.send(b"", 404)

    def found(self, name, revision="main"):
        """The repository and the commit, or None after an error was answered."""
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not self.token):
            return self.error("RepoNotFound", 404 if self.token else 401, "Repository not found")
        if repository.gated:
            return self.error("GatedRepo", 403, "Access to this model is restricted")
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            return self.error("RevisionNotFound", 404, "Invalid rev id")
        return repository, commit

    def resolve(self, name, revision, path):
        if (found := self.found(name, revision)) is None:
            return None
        repository, commit = found
        if path not in repository.commits[commit]:
            return self.error("EntryNotFound", 404)
        content = repository.commits[commit][path]
        headers = {"X-Repo-Commit": commit}
        if not large(path):
            return self.serve(path, content, {**headers, "ETag": f'"{git_blob(content)}"'})
        linked = {"X-Linked-Etag": f'"{sha(content)}"', "X-Linked-Size": str(len(content))}
        return self.send(b"", 302, {**headers, **linked, "Location": f"{self.hub.storage}/cdn/{sha(content)}"})

    def api(self, rest):
        if rest == ["validate-yaml"]:
            self.hub.validated = json.loads(self.body)["content"]
            return self.json({"errors": [], "warnings": []})
        if rest == ["repos", "create"]:
            return self.create()
        if rest[0] != "models":
            return self.error("EntryNotFound", 404)
        _, org, name, *rest = rest
        name = f"{org}/{name}"
        if self.command == "POST":
            return self.written(name, rest)
        revision = rest[1] if rest else "main"
        if (found := self.found(name, revision)) is None:
            return None
        repository, commit = found
        files = repository.commits[commit]
        if rest and rest[0] == "tree":
            parse_qs(urlsplit(self.path).query)
            return self.json([self.leaf(path, content) for path, content in sorted(files.items())])
        siblings = [{"rfilename": path} for path in sorted(files)]
        return self.json({"id": name, "modelId": name, "sha": commit, "private": False, "siblings": siblings})

    def leaf(self, path, content):
        leaf = {"type": "file", "path": path, "size": len(content), "oid": git_blob(content)}
        if large(path):
            leaf["lfs"] = {"oid": sha(content), "size": len(content), "pointerSize": 134}
        return leaf

    # -- what is pushed

    def may_write(self):
        if not self.hub.tokens.get(self.token):
            self.json({"error": "no"}, 403 if self.token else 401, {"X-Error-Message": "You need write access"})
            return False
        return True

    def create(self):
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if not self.may_write():
            return None
        address = f"{self.hub.endpoint}/{name}"
        if name in self.hub.repositories:
            return self.json({"error": "You already created this model repo", "url": address}, 409)
        self.hub.repositories[name] = Repository(private=asked.get("visibility") == "private")
        self.hub.repositories[name].commit({".gitattributes": b"*.onnx filter=lfs\n"})
        return self.json({"url": address, "name": name})

    def written(self, name, rest):
        if (found := self.found(name)) is None or not self.may_write():
            return None
        repository, _ = found
        what, revision = rest
        if what == "branch":
            if revision in repository.refs:
                return self.json({"error": "Reference already exists"}, 409)
            repository.refs[revision] = repository.refs["main"]
            return self.json({})
        if what == "preupload":
            asked = json.loads(self.body)["files"]
            modes = ["lfs" if large(each["path"]) else "regular" for each in asked]
            listed = zip(asked, modes, strict=True)
            files = [{"path": e["path"], "uploadMode": mode, "shouldIgnore": False} for e, mode in listed]
            return self.json({"files": files})
        return self.committed(repository, name, revision)

    def committed(self, repository, name, revision):
        files = dict(repository.files(revision))
        for line in self.body.splitlines():
            each = json.loads(line)
            value = each["value"]
            if each["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif each["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]
            elif each["key"] == "deletedFile":
                del files[value["path"]]
        commit = repository.commit(files, revision)
        return self.json({"commitUrl": f"{self.hub.endpoint}/{name}/commit/{commit}", "commitOid": commit})

    def batch(self):
        if not self.may_write():
            return None
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.hub.storage}/upload/{each['oid']}"}}}
            for each in json.loads(self.body)["objects"]
        ]
        return self.json({"transfer": "basic", "objects": objects})

    def upload(self, digest):
        if self.hub.cut.get("upload", 0) > 0:
            self.hub.cut["upload"] -= 1
            self.close_connection = True
            return None
        if sha(self.body) != digest:
            return self.send(b"", 400)
        self.hub.uploads[digest] = self.body
        return self.send(b"")
