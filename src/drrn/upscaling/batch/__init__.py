"""Many files: find them, plan and run the work, and remember what is done."""
