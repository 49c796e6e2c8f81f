"""Enlarge very many files, on one machine or on several that share a folder or a bucket.

A plan divides the names of the files into parts, and any machine can run any part. A part is done when its record has
been written. Which machine runs which part is up to others: a shell, a job array, a cluster.
"""
