"""The court: how good an Upscaler is, and what it costs."""
