"""The sections of a study's report: one for each list of experiments."""

from typing import NamedTuple


class Section(NamedTuple):
    """The text about a list of experiments, and its figures."""

    title: str
    source: str
    """The sections and figures of the report or the paper that it repeats."""
    question: str
    figures: tuple[str, ...] = ()


SECTIONS: dict[str, Section] = {
    "residual": Section(
        "Residual connections",
        "report, 4.1 and 5, figures 4 and 5",
        "When the report (4.1) removed the residual connections, its network no longer learned anything. There are two "
        "kinds: local ones, around each unit, and the global one, from the interpolated image to the result. Here each "
        "is removed alone, and both together. The report explains its finding by gradients that vanish on their way "
        "back through the layers; the norm of the gradient with respect to each layer's output shows whether they do.",
        ("residual_curves", "residual_pictures", "gradients"),
    ),
    "skip": Section(
        "What a unit's output is added to",
        "report, 3.1 and 3.2; paper, discussion",
        "In the paper, each unit adds the block's first features (*source*); in the report's equations 3.1 and 3.2, it "
        "adds its own input (*chain*).",
    ),
    "units": Section(
        "Residual units in a block",
        "report, 4.2 and 4.4, figure 6; paper, table 2",
        "The report (4.2) found 4 to 6 units best, diminishing returns beyond, and overfitting at 10 to 12. One block "
        "here.",
        ("units_curves",),
    ),
    "blocks": Section(
        "Recursive blocks",
        "report, 4.3 and 4.4, figure 7",
        "The report (4.3) found that more blocks help at first, but not beyond 3 or 4. Three units per block here.",
        ("blocks_curves",),
    ),
    "grid": Section(
        "Blocks and units together",
        "report, 4.4 and 5",
        "The report (4.4 and 5) found 2 or 3 blocks of 4 to 6 units to be a good balance of quality and time.",
        ("grid", "trade_off"),
    ),
    "sharing": Section(
        "Shared weights", "paper, discussion", "The units of a block share their weights. What if each has its own?"
    ),
    "initial": Section(
        "Initial weights",
        "paper",
        "Glorot's uniform initialization (Keras's default, assumed here for the report) halves the variance in each "
        "layer of constant width; He's (the paper's) preserves it, and the sum of a unit and a skip is then larger "
        "than either.",
    ),
    "norm": Section("Batch norm", "paper", "The paper normalizes before every ReLU; the report does not mention it."),
    "loss": Section(
        "Losses",
        "report, 6 (future work)",
        "The report minimizes the mean squared error (MSE), and leaves perceptual losses to future work. PSNR measures "
        "just the MSE; MS-SSIM and FLIP are closer to what people see. FLIP is an error: lower is better.",
        ("losses",),
    ),
    "unshuffle": Section(
        "Working on fewer pixels",
        "new",
        "Not in the paper: the same network between a pixel-unshuffle and a pixel-shuffle, on 4 or 16 times fewer "
        "pixels.",
    ),
    "color": Section("Color", "paper", "The report's runs used RGB, the paper's luma alone."),
}
