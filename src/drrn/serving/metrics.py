"""The counters of the service in the text format of Prometheus. They reveal no names, addresses or pictures."""

from collections import Counter

from drrn import __version__
from drrn.serving.jobs import Jobs


def metrics(jobs: Jobs, responses: Counter[int]) -> str:
    """The page of /metrics.

    Args:
        responses: their number by status.
    """
    lines: list[str] = []

    def add(name: str, kind: str, text: str, values: dict[str, float]) -> None:
        lines.append(f"# HELP drrn_{name} {text}")
        lines.append(f"# TYPE drrn_{name} {kind}")
        lines.extend(f"drrn_{name}{labels} {value:g}" for labels, value in values.items())

    add("info", "gauge", "The version of drrn.", {f'{{version="{__version__}"}}': 1})
    ended = {f'{{state="{state}"}}': float(jobs.counts[state]) for state in ("done", "failed", "canceled")}
    add("jobs_total", "counter", "Jobs that ended, by state.", ended)
    add("queue_jobs", "gauge", "Pictures that are waiting.", {"": len(jobs.queued)})
    add("queue_seconds", "gauge", "Expected seconds until all jobs are done.", {"": round(jobs.seconds_left(), 1)})
    add("kept_bytes", "gauge", "Bytes of all stored files.", {"": jobs.store.bytes()})
    add("engine_seconds_total", "counter", "Seconds spent on jobs.", {"": round(jobs.seconds, 3)})
    starts = {f'{{worker="{each.purpose}"}}': float(each.starts) for each in (jobs.engine, jobs.viewer)}
    add("worker_starts_total", "counter", "Worker processes started.", starts)
    statuses = {f'{{status="{status}"}}': float(count) for status, count in sorted(responses.items())}
    add("http_responses_total", "counter", "Responses by status.", statuses)
    return "\n".join(lines) + "\n"
