"""How good an Upscaler is, and what it costs."""
