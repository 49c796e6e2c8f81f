"""Videos, by PyAV."""
