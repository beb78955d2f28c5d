"""A plain server of sentence vectors, to compare with: sentence-transformers behind FastAPI, one request, one call."""

import socket
import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer


class Request(BaseModel):
    """A text."""

    input: str
    model: str


def main() -> None:
    """Serve the model in the folder that the command line names on a free port of the loopback."""
    model, app = SentenceTransformer(sys.argv[1], device="cpu"), FastAPI()

    @app.post("/v1/embeddings")
    def embed(request: Request) -> dict[str, object]:
        (vector,) = model.encode([request.input], show_progress_bar=False)
        return {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": vector.tolist()}]}

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen(2048)
        print(f"http://127.0.0.1:{bound.getsockname()[1]}", file=sys.stderr, flush=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        server.run(sockets=[bound])


if __name__ == "__main__":
    main()
