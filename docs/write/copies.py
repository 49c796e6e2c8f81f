"""Tables that a command wrote to one file and that stand in other documents, too."""

from docs.write import DOCS, ROOT, Texts, read, replace_between
from drrn.study.claims import evaluate_claims
from drrn.study.result import load_results
from drrn.study.result_tables import verdicts_table


def texts() -> Texts:
    """The README, docs/how-to/models.md and docs/how-to/evaluation.md with their tables."""
    family, results = read(DOCS / "family.md"), read(DOCS / "results.md")
    claims = verdicts_table(evaluate_claims(load_results(DOCS / "study/results")))
    readme, models, evaluation = ROOT / "README.md", DOCS / "how-to/models.md", DOCS / "how-to/evaluation.md"
    return {
        readme: replace_between(replace_between(read(readme), "family", family), "study", claims),
        models: replace_between(read(models), "family", family),
        evaluation: replace_between(read(evaluation), "results", results),
    }
