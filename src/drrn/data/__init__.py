"""The kitchen: folders of pictures become pairs of ilr and hr, patches of them, and benchmark sets."""
