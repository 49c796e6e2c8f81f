"""What the service counts, as Prometheus reads it. No name, no address and nothing of a picture is in it."""

from collections import Counter

from drrn import __version__
from drrn.serving.jobs import Jobs


def metrics(jobs: Jobs, requests: Counter[int]) -> str:
    lines: list[str] = []

    def add(name: str, kind: str, text: str, values: dict[str, float]) -> None:
        lines.append(f"# HELP drrn_{name} {text}")
        lines.append(f"# TYPE drrn_{name} {kind}")
        lines.extend(f"drrn_{name}{labels} {value:g}" for labels, value in values.items())

    add("info", "gauge", "The version of drrn.", {f'{{version="{__version__}"}}': 1})
    ended = {f'{{state="{state}"}}': float(jobs.counts[state]) for state in ("done", "failed", "canceled")}
    add("jobs_total", "counter", "Jobs that ended, by how.", ended)
    add("queue_jobs", "gauge", "Pictures that wait.", {"": len(jobs.queued)})
    add("queue_seconds", "gauge", "Expected seconds until all is done.", {"": round(jobs.expected(), 1)})
    add("kept_bytes", "gauge", "Bytes of all files that are kept.", {"": jobs.store.bytes()})
    add("engine_seconds_total", "counter", "Seconds that were spent on jobs.", {"": round(jobs.seconds, 3)})
    starts = {f'{{worker="{each.purpose}"}}': float(each.starts) for each in (jobs.engine, jobs.viewer)}
    add("worker_starts_total", "counter", "Processes that were started.", starts)
    answers = {f'{{status="{status}"}}': float(count) for status, count in sorted(requests.items())}
    add("http_responses_total", "counter", "Answers by status.", answers)
    return "\n".join(lines) + "\n"
