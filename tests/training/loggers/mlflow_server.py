"""A local server with the part of MLflow's REST API that the logger uses, which can fail on purpose."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class FakeMLflow:
    """The content of the server, and the failures that it simulates.

    Attributes:
        failing: answers every request with this status, where it is not 0.
        delay: seconds before each answer.
        lost: endpoints whose next response is lost after the request was processed.
        longest_value: characters that a parameter's value may have.
    """

    def __init__(self) -> None:
        self.failing, self.delay, self.longest_value = 0, 0.0, 6000
        self.lost: set[str] = set()
        self.released = threading.Event()
        self.requests: list[str] = []
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def points(self, run_id: str) -> dict[str, dict[int, float]]:
        """Return the metrics of a run by name and epoch; an AssertionError if a point is duplicated or out of order."""
        found: dict[str, dict[int, float]] = {}
        for metric in self.runs[run_id]["metrics"]:
            points = found.setdefault(metric["key"], {})
            assert metric["step"] not in points, f"{metric} is there twice"
            assert all(step < metric["step"] for step in points), f"{metric} is out of order"
            points[metric["step"]] = metric["value"]
        return found

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self._lock:
            self.requests.append(path)
            return self._answer(path, body)

    def _answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        missing = 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not there"}
        match path.partition("/mlflow/")[2]:
            case "experiments/get-by-name":
                name = body["experiment_name"]
                return (200, {"experiment": self._experiment(name)}) if name in self.experiments else missing
            case "experiments/create":
                self.experiments[body["name"]] = str(len(self.experiments) + 1)
                return 200, {"experiment_id": self.experiments[body["name"]]}
            case "runs/create":
                run_id = f"{len(self.runs):032x}"
                self.runs[run_id] = {"name": body["run_name"], "tags": body["tags"], "status": "RUNNING"}
                self.runs[run_id] |= {"params": {}, "metrics": []}
                return 200, {"run": self._run(run_id)}
            case "runs/get":
                return (200, {"run": self._run(body["run_id"])}) if body["run_id"] in self.runs else missing
            case "runs/search":
                found = [id for id, run in self.runs.items() if any(t["value"] in body["filter"] for t in run["tags"])]
                return 200, {"runs": list(map(self._run, found))}
            case "runs/update":
                self.runs[body["run_id"]]["status"] = body["status"]
                return 200, {"run_info": self._run(body["run_id"])["info"]}
            case "runs/log-batch":
                run = self.runs[body["run_id"]]
                params = {param["key"]: param["value"] for param in body.get("params", [])}
                if any(len(value) > self.longest_value for value in params.values()):
                    return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "too long"}
                run["params"] |= params
                run["metrics"] += body.get("metrics", [])
                return 200, {}
            case "metrics/get-history":
                metrics = self.runs[body["run_id"]]["metrics"]
                return 200, {"metrics": [metric for metric in metrics if metric["key"] == body["metric_key"]]}
        return 404, {"error_code": "ENDPOINT_NOT_FOUND", "message": path}

    def _experiment(self, name: str) -> dict[str, Any]:
        return {"experiment_id": self.experiments[name], "name": name, "lifecycle_stage": "active"}

    def _run(self, run_id: str) -> dict[str, Any]:
        run = self.runs[run_id]
        info = {"run_id": run_id, "run_name": run["name"], "status": run["status"], "lifecycle_stage": "active"}
        latest = {metric["key"]: metric for metric in run["metrics"]}
        params = [{"key": key, "value": value} for key, value in run["params"].items()]
        return {
            "info": info | {"experiment_id": "1", "start_time": 1},
            "data": {"metrics": list(latest.values()), "params": params},
        }


@contextmanager
def serving(server: FakeMLflow, port: int = 0) -> Iterator[int]:
    """Start the server, and yield its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            url = urlsplit(self.path)
            body = json.loads(self.rfile.read(length) or b"{}") | {k: v[0] for k, v in parse_qs(url.query).items()}
            server.released.wait(server.delay)
            if server.failing:
                server.requests.append(url.path)
                status, answer = server.failing, {"error_code": "INTERNAL_ERROR", "message": "out of order"}
            else:
                status, answer = server.answer(url.path, body)
            endpoint = url.path.partition("/mlflow/")[2]
            if endpoint in server.lost and not server.failing:
                server.lost.remove(endpoint)
                self.close_connection = True
                return
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_PATCH = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, *_: Any) -> None:
            """Ignore a client that has disconnected."""

    http = Quiet(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield http.server_address[1]
    finally:
        server.released.set()
        http.shutdown()
        http.server_close()
        thread.join()
