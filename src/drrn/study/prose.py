"""The paragraphs of a study's report that depend on its results."""

import shlex
from collections.abc import Sequence
from statistics import fmean

from drrn import tables
from drrn.core.metrics import PROTOCOL
from drrn.study.experiments import BASE, BUDGETS, LISTS, describe_budget
from drrn.study.findings import Finding
from drrn.study.measures import contrast, minus, psnr_if_alive
from drrn.study.parts import MARGIN, Difference, Verdict
from drrn.study.result import HELD_OUT, Results, count_failures

OPENINGS: dict[Verdict, str] = {
    "holds": "is right",
    "does not hold": "is wrong",
    "too small to matter": f"names what is too small to matter, under {MARGIN:g} dB for sure, when it says",
    "cannot be told": "may be right or wrong, since these results cannot tell, when it says",
    "not run": "was not tested where it says",
}
NEW = ("initial", "norm", "loss", "unshuffle", "color")
"""Lists of experiments about which the report claims nothing."""
KINDS: dict[Verdict, str] = {
    "holds": "better",
    "does not hold": "worse",
    "too small to matter": f"equal within {MARGIN:g} dB",
    "cannot be told": "cannot be told",
}
DEAD = "dead in every training"
DECISIVE = ("residual", "units", "blocks", "sharing", "skip")
"""Lists that decide most claims: those to repeat at another width."""
SEEDS_OF_WIDE = 5


def banner(results: Results) -> str:
    """The warning at the top: these results are for one budget."""
    budget = BUDGETS[results.budget]
    return f"Budget *{budget.name}*: {describe_budget(budget)}. Results at another size may differ."


def summary(results: Results, findings: Sequence[Finding]) -> str:
    """What the report and the paper got right and wrong, and what is new, in words."""
    lines = []
    for source in ("report", "paper"):
        for verdict, opening in OPENINGS.items():
            found = [each for each in findings if each.claim.source.startswith(source) and each.verdict == verdict]
            if found:
                lines.append(f"* **The {source}** {opening} {_and([*map(_clause, found)])}.")
    lines += [f"* **New**, as changes of {BASE.name}: {'; '.join(new)}." for new in [_changes(results)] if new]
    failed = {name: text for name in results.by_name if (text := count_failures(results.of(name)))}
    total, count = len(results.all), sum(run.failure is not None for run in results.all)
    lines.append(
        f"* **Failed:** {count} of {tables.plural(total, 'training')}"
        + (": " + "; ".join(f"{name} ({text})" for name, text in failed.items()) if failed else "")
        + "."
    )
    return "\n".join(lines)


def _and(phrases: Sequence[str]) -> str:
    return ", and ".join(filter(None, [", ".join(phrases[:-1]), phrases[-1]]))


def _clause(finding: Finding) -> str:
    wanted = f" ({finding.missing})" if finding.verdict == "cannot be told" else ""
    return f"that {finding.claim.clause}{wanted}"


def _changes(results: Results) -> list[str]:
    """What the experiments beyond the report changed, by verdict."""
    by_kind: dict[str, list[str]] = {kind: [] for kind in (*KINDS.values(), DEAD)}
    for experiment in (each for name in NEW for each in LISTS[name] if each.name != BASE.name):
        if not results.of(experiment.name) or not results.of(BASE.name):
            continue
        weights = minus({experiment.name: 1.0}, {BASE.name: 1.0})
        estimate = contrast(results, weights, psnr_if_alive)
        if estimate:
            part = Difference(says="", weights=weights, measure=psnr_if_alive, above=0, margin=MARGIN)
            name = f"{experiment.name} ({estimate.mean:+.2f} dB)"
            by_kind[KINDS[part.verdict(estimate)]].append(name)
        elif not results.living(experiment.name):
            by_kind[DEAD].append(experiment.name)
    return [f"{kind}: {', '.join(names)}" for kind, names in by_kind.items() if names]


def method(results: Results) -> str:
    """How the numbers were obtained."""
    first = results.typical
    model, config = first.experiment.model, first.experiment.train
    sets = ", ".join(f"{name} ({len(first.bicubic(name).images)} pictures)" for name in first.sets)
    count, held_out = first.data["pictures"], first.data["validation_pictures"]
    machine = first.machine
    commits = ", ".join(sorted({result.commit for result in results.all if result.commit})) or "unknown"
    test_images = (
        "the held-out pictures, which also decided the best epoch, so all numbers are slightly too good"
        if first.sets == [HELD_OUT]
        else "whole pictures that no training has seen"
    )
    return (
        f"Networks have {model.width} features unless their name says otherwise; the base is *{BASE.name}*, 2 blocks "
        "of 4 units, and takes RGB. "
        f"They are trained on {count} pictures of {' and '.join(first.data['folders'])}; {held_out} are held out, "
        f"different ones for each seed. Patches have {config.patch}x{config.patch} pixels at a stride of "
        f"{config.stride}, made {config.scales[0]:g} times smaller by MATLAB's bicubic and enlarged again. Adam at "
        f"{config.learning_rate:g}, gradients clipped to a norm of {config.clip:g}, mean squared error unless a loss "
        f"is named, Glorot initialization; {config.epochs} epochs of {config.epoch_steps or 'all'} steps of "
        f"{config.batch_size} patches, stopping after {config.patience} epochs without a better validation loss. The "
        "best epoch is kept.\n\n"
        f"They are tested on {test_images}: {sets}. Claims are decided on the first set, and SSIM, MS-SSIM and FLIP "
        f"are measured on it. {PROTOCOL}. A training that diverges has the scores of its best epoch, or none if it did "
        "not finish its first. In tables, ± is half the distance between the best and the worst seed. Curves are means "
        "over the seeds still running at an epoch, in a band from minimum to maximum if there are few of them; they "
        "end in a dot, or in a cross if a seed diverged.\n\n"
        "Experiments are compared seed by seed and picture by picture; a seed is left out if one of them has no scores "
        "for it. Intervals in brackets are 95 % confidence intervals over other seeds and other pictures of the same "
        "kind: an analysis of variance with both random, and Student's t. They are wide if there are few seeds; "
        "bootstrap intervals, given below for comparison, are then too narrow.\n\n"
        f"**Margin.** A difference under {MARGIN:g} dB counts as none. The report gives no number for its "
        "*marginal*. This one was set before these trainings: nobody sees so little side by side, another seed of the "
        "same network changes about as much, and the paper draws conclusions from differences not much larger. "
        "Whether a difference is within the margin is decided by two one-sided tests at 5 % each, for a gain and for a "
        "loss, which is the same as a 90 % interval.\n\n"
        "**Verdicts.** A comparison *holds* if its interval is on the claim's side of the bound, and *does not hold* "
        "if it is on the other side. It is *too small to matter* if both one-sided tests show that it is within the "
        "margin, whatever its sign; a claim of *no gain* holds if the test for a gain shows that it is below the "
        "margin. Otherwise it *cannot be told*: that is no evidence against a claim, and the number of seeds that "
        "would decide it, if the means stayed as they are, stands beside it. A claim holds if all its comparisons do. "
        "Each interval has its own 5 % chance of missing the truth: of so many, one may well be wrong.\n\n"
        "**Dead networks.** Some trainings learn nothing: the network gives bicubic's pictures or, without the global "
        "residual, one color. A mean over dead and living networks describes neither, so tables and comparisons of "
        "quality leave the dead out, and every table counts them; where a claim is about whether networks learn at "
        "all, they are in.\n\n"
        f"Training times are CPU seconds on {machine['cpu']}, {machine['jobs']} experiments at a time, each with "
        f"{tables.plural(machine['threads'], 'thread')}: the median epoch times the number of epochs. Seconds per "
        f"megapixel are for the enlarged picture, the shortest of three times and of all seeds by the "
        f"{machine['engine']} engine, while other experiments were running: take them as rough. "
        f"torch {machine['torch']}, commit {commits}."
    )


def differences(results: Results) -> str:
    """Where the study differs from the report, or where the report says nothing."""
    config, channels = results.typical.experiment.train, results.typical.experiment.model.channels
    alike = [result for result in results.all if result.experiment.model.channels == channels]
    constant = fmean(result.constant_loss for result in alike)
    seen = config.epochs * (config.epoch_steps or 0) * config.batch_size
    amount = f"here a network sees at most {seen:,}" if seen else "as many here"
    return "\n".join(
        [
            "* **Size.** The report has 103,455 patches from 601 pictures, and trains on 728 batches of them per epoch "
            "(nine tenths, if a batch has 128), for up to 50 epochs: up to 4.7 million patches seen; "
            f"{amount}. It does not say how wide its network was; the paper's has 128 features.",
            "* **Which residual.** The report changed one line, *x + input* to *x*, and does not say whether that is "
            "the local residual or the global one. Its claims about *none* are decided by the network without both.",
            "* **Scale and smaller pictures.** The report does not say by what factor, or how, its pictures were made "
            "smaller.",
            "* **Initial weights.** The report does not say how they were drawn. Its output is that of Keras, whose "
            "default is Glorot's uniform, used here. The paper uses He's, under batch norms that the report lacks.",
            "* **Skips.** The report cites the paper, but its equations are those of a chain. The base is the paper's.",
            "* **Metric.** The report gives the loss and the accuracy on held-out patches. Its accuracy is Keras's for "
            "three channels: whether the same channel is the largest. A gray picture scores by chance. Claims are "
            "decided here by PSNR on whole pictures, except that the loss stays flat, that accuracy falls, and that "
            "networks overfit.",
            f"* **0.0755.** One color for all held-out pictures has a mean squared error of {constant:.4f} here. The "
            "report's loss without residuals is about as large: its network seems to have learned nothing at all.",
            f"* **Marginal.** A gain under {MARGIN:g} dB counts as none; the report gives no number.",
            "* **Vanishing.** The report gives no measure. Here a gradient has vanished if less than 1 % of its norm "
            "at the last layer of the network's width arrives at the first.",
            f"* **One size.** {_sizes(results)}",
        ]
    )


def _sizes(results: Results) -> str:
    """Whether the study says anything about other widths; if not, what that would cost."""
    width = results.typical.experiment.model.width
    words = f"`drrn study run {' '.join(DECISIVE)} --budget wide --seeds {SEEDS_OF_WIDE}`"
    page = "Its results are a page of their own, since a claim is decided on networks of one size."
    text = f"All of this is about networks of width {width}. Whether it depends on the size is a study of its own: "
    hours = _hours_at_twice_the_width(results)
    if results.budget != "standard" or not hours:
        return f"{text}{words} repeats the decisive lists at twice the width of the budget *standard*. {page}"
    return (
        f"{text}{words} repeats the decisive lists at twice the width. It was not run for this page, because of its "
        f"cost: these lists took {hours / 4 / SEEDS_OF_WIDE * 60:.0f} CPU minutes a seed here, and at twice the width "
        f"a network has some four times the multiply-adds, so {SEEDS_OF_WIDE} seeds would take some {hours:.0f} CPU "
        f"hours. {page}"
    )


def _hours_at_twice_the_width(results: Results) -> float:
    """CPU hours of the decisive lists, from what they took here; 0 if some of them were not run or not timed."""
    names = {each.name for name in DECISIVE for each in LISTS[name]}
    times = [[run.training_seconds for run in results.of(name) if run.cpu_seconds] for name in names]
    return sum(map(fmean, times)) * 4 * SEEDS_OF_WIDE / 3600 if all(times) else 0.0


def repeat(results: Results) -> str:
    """The commands that repeat the study."""
    first = results.typical
    test = "" if first.sets == [HELD_OUT] else f" --test {shlex.join(first.sets)}"
    complete = [name for name, experiments in LISTS.items() if all(results.of(each.name) for each in experiments)]
    listed = {each.name for name in complete for each in LISTS[name]}
    known = {each.name for experiments in LISTS.values() for each in experiments}
    single = [name for name in results.by_name if name in known - listed]
    own = ["FILE.py"] if results.by_name.keys() - known else []
    is_partial = own or len(complete) < len(LISTS)
    names = "".join(f" {shlex.quote(name)}" for name in [*complete, *single, *own] if is_partial)
    return (
        "<!-- not run: it takes hours -->\n\n```sh\npip install 'drrn[study]'\n"
        f"drrn study run{names} --data {shlex.join(first.data['folders'])}{test} --budget {results.budget} --seeds "
        f"{len(results.seeds)}\n"
        f"drrn study report --budget {results.budget}\n```\n\n"
        + ("FILE.py is the Python file that defines the other experiments. " if own else "")
        + "Folders are named by their last two parts. You can stop the run at any time; the same command resumes it."
    )
