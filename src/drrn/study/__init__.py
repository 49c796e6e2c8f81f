"""The library: experiments as values, run, kept, and asked what they show; and the search for better ones."""
