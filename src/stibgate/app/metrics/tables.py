"""The numbers behind the metrics: plain dictionaries that belong to the event loop's thread.

A fact on the way to an answer must cost next to nothing. prometheus_client's own children take a lock for every step,
which is several times the price; here a step is an addition, and samples are made when somebody scrapes.
"""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from stibgate.app.metrics.catalogue import CATALOGUE, Kind

Labels = tuple[str, ...]


class Counter:
    """One counter of the catalogue; a row for each combination of label values.

    Args:
        name: Its name.
    """

    def __init__(self, name: str) -> None:
        self._metric = CATALOGUE[name]
        self.rows: dict[Labels, float] = {}

    def add(self, *labels: str, amount: float = 1) -> None:
        """Count *amount* more."""
        self.rows[labels] = self.rows.get(labels, 0) + amount

    def begin(self, *labels: str) -> None:
        """Have a row from the start, so that its first step is seen as one."""
        self.rows.setdefault(labels, 0)

    def family(self) -> Metric:
        """Return its samples."""
        family = CounterMetricFamily(self._metric.name, self._metric.help, labels=self._metric.labels)
        for labels, value in list(self.rows.items()):
            family.add_metric(labels, value)
        return family


class Histogram:
    """One histogram of the catalogue.

    Args:
        name: Its name.
    """

    def __init__(self, name: str) -> None:
        self._metric = CATALOGUE[name]
        self._bounds = self._metric.bounds
        self._names = [*map(str, self._bounds), "+Inf"]
        self.rows: dict[Labels, list[float]] = {}
        """Counts of the buckets, not added up, and behind them the sum."""

    def observe(self, value: float, *labels: str) -> None:
        """Count *value*."""
        row = self.rows.get(labels) or self.begin(*labels)
        row[bisect_left(self._bounds, value)] += 1
        row[-1] += value

    def begin(self, *labels: str) -> list[float]:
        """Return the row of *labels*, made when there is none."""
        return self.rows.setdefault(labels, [0.0] * (len(self._bounds) + 2))

    def family(self) -> Metric:
        """Return its samples."""
        family = HistogramMetricFamily(self._metric.name, self._metric.help, labels=self._metric.labels)
        for labels, row in list(self.rows.items()):
            *counts, total = list(row)
            running, buckets = 0.0, []
            for name, count in zip(self._names, counts, strict=True):
                running += count
                buckets.append((name, running))
            family.add_metric(labels, buckets, total)
        return family


def gauge(name: str, rows: Mapping[Any, float]) -> Metric:
    """Return the samples of gauge *name*, by their label values."""
    metric = CATALOGUE[name]
    if metric.kind is not Kind.GAUGE:
        raise ValueError(f"{name} is no gauge")
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in list(rows.items()):
        family.add_metric(labels, value)
    return family


def counter(name: str, rows: Mapping[Any, float]) -> Metric:
    """Return the samples of counter *name*, which somebody else counts."""
    metric = CATALOGUE[name]
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in rows.items():
        family.add_metric(labels, value)
    return family


def single(name: str, value: float) -> Metric:
    """Return the sample of gauge *name*, which has no labels."""
    return gauge(name, {(): value})
