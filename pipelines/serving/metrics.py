"""Metrics in Prometheus' text format."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from pipelines.serving.admission import Admission
    from pipelines.serving.service import Service

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Metrics of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        names = ("path", "status")
        self._requests = Counter("recsys_bert_requests", "Requests.", names, registry=self.registry)
        self._seconds = Histogram(
            "recsys_bert_request_seconds", "Time to the answer.", ("path",), buckets=_SECONDS, registry=self.registry
        )

    def count(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def watch(self, service: "Service") -> None:
        """Read the batcher and runs of a service whenever metrics are read."""
        self.registry.register(_ServiceCollector(service))

    def watch_admission(self, admission: "Admission") -> None:
        """Read the requests under way whenever metrics are read."""
        under_way = Gauge("recsys_bert_under_way", "Requests accepted and not answered yet.", registry=self.registry)
        under_way.set_function(lambda: admission.active)
        refused = Gauge("recsys_bert_shed", "Requests refused as they would wait too long.", registry=self.registry)
        refused.set_function(lambda: admission.refused)

    def text(self) -> bytes:
        """All of them."""
        return generate_latest(self.registry)


class _ServiceCollector:
    def __init__(self, service: "Service") -> None:
        self.service = service

    def describe(self) -> Iterable[Metric]:
        """Nothing: names are those of ``collect``."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Current values."""
        service, counts = self.service, self.service.models.counts
        yield GaugeMetricFamily("recsys_bert_queued", "Items that wait for the model.", value=service.models.queued)
        yield GaugeMetricFamily("recsys_bert_ready", "1 if requests are welcome.", value=service.not_ready is None)
        yield GaugeMetricFamily("recsys_bert_generation", "Times runs were loaded.", value=service.runs.generation)
        yield CounterMetricFamily("recsys_bert_batches", "Batches computed.", value=counts.batches)
        yield CounterMetricFamily("recsys_bert_batch_items", "Items computed.", value=counts.items)
        yield CounterMetricFamily("recsys_bert_model_seconds", "Seconds that batches took.", value=counts.busy_s)
        yield CounterMetricFamily("recsys_bert_dropped", "Items nobody waited for any more.", value=counts.dropped)
        yield CounterMetricFamily("recsys_bert_refused", "Items refused by a full queue.", value=counts.refused)
